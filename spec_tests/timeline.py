"""The commands of a test as the records of a timeline, for the page that shows one (``wiredrv.timeline.page``).

They are made of the events that the driver published, so that PyMongo's tests have a timeline too. What events do not
tell is left out: the waits for a server and a connection, and whether a session is implicit.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from bson import json_util
from bson.json_util import RELAXED_JSON_OPTIONS
from bson.timestamp import Timestamp

from spec_tests.results import WireLine

Record = dict[str, Any]


def records_of(wire: Sequence[WireLine], driver: str = "") -> list[Record]:
    """The records: a header, a command for each ``commandStartedEvent``, and what happened to transactions.

    :param wire: the command events of a test, in their order.
    """
    clients: dict[str, int] = {}
    under_way: dict[tuple[str, object, object], Record] = {}
    found: list[Record] = [{"kind": "header", "version": 1, "driver": driver}]
    for line in wire:
        at = round(line.seconds * 1_000_000)
        # A connection executes one command after the other.
        where = (line.client, line.body.get("address"), line.body.get("connectionId"))
        if line.name == "commandStartedEvent":
            client = clients.setdefault(line.client, len(clients) + 1)
            record = under_way[where] = _command(line, at, client, len(found))
            found.append(record)
            found += _begin(record, line.body.get("command") or {})
        elif (begun := under_way.pop(where, None)) is not None:
            _end(begun, line, at)
            found += _outcome(begun)
    return found


def _command(line: WireLine, at: int, client: int, number: int) -> Record:
    body = line.body
    command: Mapping[str, Any] = body.get("command") or {}
    name = str(body.get("commandName"))
    target = command.get("collection" if name == "getMore" else name)
    record: Record = {
        "kind": "command",
        "id": number,
        "operation": number,
        "client": client,
        "at": at,
        "sent": at,
        "name": name,
        "database": body.get("databaseName"),
        "collection": target if isinstance(target, str) else None,
        "server": body.get("address"),
        "connection": body.get("connectionId"),
        "session": _session((command.get("lsid") or {}).get("id")),
        "transaction": command.get("txnNumber") if "autocommit" in command else None,
        "command": _json(command) if command else None,
        "entity": line.client,
    }
    return {key: value for key, value in record.items() if value is not None}


def _session(lsid: object) -> str | None:
    if isinstance(lsid, uuid.UUID):
        return lsid.hex
    return bytes(lsid).hex() if isinstance(lsid, bytes) else None


def _end(record: Record, line: WireLine, at: int) -> None:
    record["replied"] = at
    record["ok"] = line.name == "commandSucceededEvent"
    reply: Mapping[str, Any] = line.body.get("reply") or {}
    gossip = reply.get("$clusterTime") or {}
    for name, time in (("cluster_time", gossip.get("clusterTime")), ("operation_time", reply.get("operationTime"))):
        if isinstance(time, Timestamp):
            record[name] = [time.time, time.inc]
    if not record["ok"]:
        kind, _, message = str(line.body.get("failure", "")).partition(": ")
        error = {
            "type": kind,
            "message": message,
            "code": line.body.get("code"),
            "labels": line.body.get("errorLabels"),
        }
        record["error"] = {name: value for name, value in error.items() if value is not None}


def _mark(record: Record, event: str, at: int) -> Record:
    mark = {
        "kind": "transaction",
        "session": record["session"],
        "number": record["transaction"],
        "event": event,
        "at": at,
    }
    return {**mark, "error": record["error"]} if "error" in record else mark


def _begin(record: Record, command: Mapping[str, Any]) -> list[Record]:
    begins = command.get("startTransaction") and "session" in record
    return [_mark(record, "begin", record["at"])] if begins else []


def _outcome(record: Record) -> list[Record]:
    if "transaction" not in record or "session" not in record:
        return []
    if record["name"] == "abortTransaction":
        return [_mark(record, "aborted", record["replied"])]
    if record["name"] == "commitTransaction":
        transient = "TransientTransactionError" in record.get("error", {}).get("labels", ())
        outcome = "committed" if record["ok"] else "aborted" if transient else "unknown"
        return [_mark(record, outcome, record["replied"])]
    return []


def _json(command: Mapping[str, Any]) -> str:
    try:
        return json_util.dumps(command, json_options=RELAXED_JSON_OPTIONS, ensure_ascii=False)
    except TypeError:
        return repr(command)
