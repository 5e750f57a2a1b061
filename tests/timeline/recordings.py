"""Made-up recordings, as the decoded lines of a timeline file."""

from __future__ import annotations

import random
from typing import Any

SESSION = "3fa9c1d2" + "0" * 24
OTHER = "77b0aa10" + "1" * 24
IMPLICIT = ["a1" * 16, "b2" * 16]
SERVER, NEXT = "127.0.0.1:27017", "127.0.0.1:27018"

CONFLICT: dict[str, Any] = {
    "type": "OperationFailure",
    "message": "WriteConflict error: please retry",
    "code": 112,
    "labels": ["TransientTransactionError"],
}
HEADER = {"kind": "header", "version": 1, "driver": "wiredrv 1.2.3", "started": "2026-11-22T01:40:00.123456Z"}


def command(id: int, at: int, took: int = 4000, **fields: Any) -> dict[str, Any]:
    """A command that waited for selection, then for a connection, then for the server."""
    found = {
        "kind": "command",
        "id": id,
        "operation": id,
        "at": at,
        "selected": at + took // 8,
        "connected": at + took // 4,
        "sent": at + took // 4 + 20,
        "replied": at + took,
        "name": "find",
        "database": "bank",
        "collection": "accounts",
        "server": SERVER,
        "connection": 7,
        "session": SESSION,
        "ok": True,
        "command": f'{{"find":"accounts","filter":{{"_id":{id}}},"txnNumber":9007199254740993}}',
        "cluster_time": [1795311600, id + 1],
        "operation_time": [1795311600, id],
    }
    return {name: value for name, value in {**found, **fields}.items() if value is not None}


def bank() -> list[dict[str, Any]]:
    """Two sessions with transactions, one tried again; implicit sessions; an election, a cleared pool, a pin."""
    at = 100_000

    def transaction(number: int, event: str, when: int, **fields: Any) -> dict[str, Any]:
        return {"kind": "transaction", "session": SESSION, "number": number, "event": event, "at": when, **fields}

    return [
        HEADER,
        {"kind": "topology", "event": "server", "at": 500, "server": SERVER, "detail": "Unknown, now RSPrimary"},
        {"kind": "topology", "event": "primary", "at": 900, "server": SERVER},
        {"kind": "session", "session": SESSION, "event": "start", "at": 2000},
        command(1, 5_000, 20_000),
        transaction(1, "begin", 30_000),
        command(2, 30_500, 9_000, transaction=1),
        command(3, 40_000, 12_000, name="update", transaction=1, ok=False, error=CONFLICT),
        command(4, 53_000, 5_000, name="abortTransaction", collection=None, transaction=1),
        transaction(1, "aborted", 58_000, error=CONFLICT),
        transaction(1, "retry", 58_500, attempt=2, error=CONFLICT),
        transaction(2, "begin", 62_000, attempt=2),
        command(5, 62_500, 9_000, name="update", transaction=2),
        command(6, 72_000, 9_000, name="commitTransaction", collection=None, transaction=2),
        transaction(2, "committed", 81_100),
        {"kind": "session", "session": SESSION, "event": "end", "at": at},
        command(7, 20_000, 30_000, session=OTHER, name="aggregate", collection="audit"),
        {**transaction(9, "begin", 60_000), "session": OTHER},
        command(8, 60_100, 8_000, session=OTHER, name="insert", transaction=9),
        command(
            9,
            70_000,
            12_000,
            session=OTHER,
            name="commitTransaction",
            collection=None,
            transaction=9,
            ok=False,
            error={"type": "NetworkTimeout", "message": "timed out", "labels": ["UnknownTransactionCommitResult"]},
        ),
        {**transaction(9, "unknown", 82_000), "session": OTHER},
        command(10, 10_000, 30_000, session=IMPLICIT[0], implicit=True, collection="audit"),
        command(11, 20_000, 30_000, session=IMPLICIT[1], implicit=True, name="insert", collection="audit"),
        command(
            12,
            85_000,
            3_000,
            session=IMPLICIT[0],
            implicit=True,
            operation=50,
            ok=False,
            retried=True,
            error={"type": "AutoReconnect", "message": "connection closed", "labels": ["RetryableWriteError"]},
        ),
        command(13, 90_000, 3_000, session=IMPLICIT[0], implicit=True, operation=50, attempt=2, server=NEXT),
        command(14, 95_000, session=None, name="ping", collection=None, replied=None, ok=None),
        {"kind": "topology", "event": "pool cleared", "at": 88_100, "server": SERVER, "detail": "connection closed"},
        {"kind": "topology", "event": "primary", "at": 89_000, "server": NEXT, "detail": f"was {SERVER}"},
        {"kind": "session", "session": OTHER, "event": "pin", "at": 59_000, "server": SERVER},
    ]


def crowd(commands: int = 50_000, sessions: int = 60) -> list[dict[str, Any]]:
    """Many sessions that send commands at the same time, with errors and transactions."""
    chance = random.Random(1)
    names = [f"{chance.getrandbits(128):032x}" for _ in range(sessions)]
    clocks = [chance.randrange(10_000) for _ in names]
    found: list[dict[str, Any]] = [HEADER]
    for id in range(commands):
        k = id % sessions
        took = chance.randrange(300, 4000)
        at = clocks[k] + chance.randrange(100, 3000)
        clocks[k] = at + took
        kind = {"implicit": True} if k >= 40 else {"transaction": id // 600} if k < 20 else {}
        wrong = {"ok": False, "error": CONFLICT} if chance.random() < 0.01 else {}
        text = (
            f'{{"find":"accounts","filter":{{"_id":{id}}},"lsid":{{"id":{{"$binary":{{"base64":"{names[k]}","subType":"04"}}}}}},'
            f'"$clusterTime":{{"clusterTime":{{"$timestamp":{{"t":1795311600,"i":{id}}}}},"signature":{{"hash":{{"$binary":'
            '{"base64":"AAAAAAAAAAAAAAAAAAAAAAAAAAA=","subType":"00"}},"keyId":0}},"$db":"bank"}'
        )
        name = chance.choice(("find", "insert", "update"))
        found.append(command(id, at, took, session=names[k], name=name, command=text, **kind, **wrong))
    return found
