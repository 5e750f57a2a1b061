"""The router double against recordings of a real mongos: what a driver can see of it is the same.

The recordings are a folder of JSON files, ``WIREDRV_TRANSCRIPTS`` or ``../shared/transcripts/mongos``. They are
replayed in the order in which they were made, because one uses what another wrote. Not compared: times, ids, addresses,
messages (but an error's code, name and labels are), and what depends on the server's version, since the shard behind
the double is newer than the recorded mongos.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Binary, json_util

from tests.support.sharded_double import ShardedDouble
from wiredrv.local import ReplicaSet
from wiredrv.types import Address
from wiredrv.wire.framing import Framer
from wiredrv.wire.op_msg import decode_message, encode_message

_FOLDER = Path(
    os.environ.get("WIREDRV_TRANSCRIPTS")
    or Path(__file__).parents[2].resolve().parent / "shared" / "transcripts" / "mongos"
)
SCENARIOS = (
    "hello",
    "plain_reads_and_writes",
    "snapshot_reads",  # they read the state before the transactions
    "transaction_commit",
    "transaction_abort",
    "other_router_continues",
    "never_started",
    "write_conflict",
    "cursors",
    "fail_points",
    "sessions_admin",
    "change_streams",
    "time_limits",
    "housekeeping",
)
#: (recording, note): fields of the request for a shard of several members. The recorded ones had one member each, so
#: so that no write concern of two could be satisfied, and a majority took no time.
_FOR_THE_SHARD: dict[tuple[str, str], Callable[[ReplicaSet], dict[str, Any]]] = {
    ("time_limits", "wtimeout"): lambda shard: {"writeConcern": {"w": len(shard.members) + 1, "wtimeout": 50}},
    ("time_limits", "maxTimeMS while waiting for the write concern"): lambda shard: {
        "writeConcern": {"w": len(shard.members) + 1}
    },
    ("time_limits", "commit with maxTimeMS 1"): lambda shard: {"maxTimeMS": 10_000},
    # They wait for events that do not come.
    **{("change_streams", str(number)): lambda shard: {"maxTimeMS": 20} for number in range(22, 30)},
}
_CLOSED = "connection closed"
_UNCOMPARED = frozenset(
    {"$clusterTime", "operationTime", "topologyVersion", "connectionId", "localTime", "errmsg", "maxWireVersion"}
)


class Peer:
    """A plain socket to a router that replays requests."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._socket: socket.socket | None = None

    def ask(self, command: Mapping[str, Any]) -> dict[str, Any] | str:
        if self._socket is None:
            self._socket = socket.create_connection((self._address.host, self._address.port or 0), 20)
        framer = Framer()
        self._socket.sendall(encode_message(bson.encode(command), 1))
        while True:
            data = self._socket.recv(65536)
            if not data:
                self.close()
                return _CLOSED
            message = framer.feed(data)
            if message is not None:
                return bson.decode(decode_message(message).body)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Replay:
    """Sends recorded requests to the double. Values from a recorded reply are replaced by those of the double."""

    def __init__(self, double: ShardedDouble, shard: ReplicaSet) -> None:
        self._shard = shard
        self._peers = [Peer(router.address) for router in double.routers]
        self._told: dict[Any, Any] = {}
        self._sessions: dict[bytes, Binary] = {}

    def close(self) -> None:
        for peer in self._peers:
            peer.close()

    def differences(self, scenario: str) -> list[str]:
        found = []
        recorded = json_util.loads((_FOLDER / f"{scenario}.json").read_text())
        for number, exchange in enumerate(recorded["exchanges"]):
            note = str(exchange.get("note", number))
            request = self._request(exchange["request"])
            fit = _FOR_THE_SHARD.get((scenario, note))
            if fit is not None:
                request.update(fit(self._shard))
            reply = self._peers[exchange["router"]].ask(request)
            expected = exchange["reply"]
            self._learn(expected, reply)
            wanted, actual = _comparable(expected, self._told), _comparable(reply, {})
            if wanted != actual:
                found.append(
                    f"{note}: {exchange['request']}\n  mongos: {wanted}\n  double: {actual}\n  whole:  {reply}"
                )
        return found

    def _request(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return {key: self._translated(value) for key, value in request.items() if key != "$clusterTime"}

    def _translated(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: self._translated(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._translated(one) for one in value]
        if isinstance(value, Binary):
            return self._sessions.setdefault(bytes(value), Binary(os.urandom(16), 4))
        return self._told.get(_key(value), value)

    def _learn(self, expected: Any, reply: Any) -> None:
        if not isinstance(expected, Mapping) or not isinstance(reply, Mapping):
            return
        pairs = [(expected.get("operationTime"), reply.get("operationTime"))]
        pairs.append((expected.get("atClusterTime"), reply.get("atClusterTime")))
        cursors = expected.get("cursor") or {}, reply.get("cursor") or {}
        pairs += [(cursors[0].get(key), cursors[1].get(key)) for key in ("id", "atClusterTime")]
        pairs += zip(_tokens(cursors[0]), _tokens(cursors[1]), strict=False)
        for recorded, actual in pairs:
            if recorded and actual:
                self._told[_key(recorded)] = actual


def _tokens(cursor: Mapping[str, Any]) -> list[Any]:
    """The resume tokens of a change stream's batch, and that of the batch."""
    events = [event for name in ("firstBatch", "nextBatch") for event in cursor.get(name, ())]
    tokens = [event.get("_id") for event in events] + [cursor.get("postBatchResumeToken")]
    return [token.get("_data") for token in tokens if isinstance(token, Mapping)]


def _key(value: Any) -> Any:
    return (type(value).__name__, str(value))


def _comparable(reply: Any, told: Mapping[Any, Any]) -> Any:
    if not isinstance(reply, Mapping):
        return reply
    if "versionArray" in reply or "count" in reply:
        return {"ok": reply["ok"]}
    if "shards" in reply:
        return {*reply["shards"][0]} - {"topologyTime"}  # the double has one shard
    kept = {key: value for key, value in reply.items() if key not in _UNCOMPARED}
    if isinstance(kept.get("recoveryToken"), Mapping):
        kept["recoveryToken"] = sorted(kept["recoveryToken"])
    if "writeErrors" in kept:
        kept["writeErrors"] = [{"index": one["index"], "code": one["code"]} for one in kept["writeErrors"]]
    if "writeConcernError" in kept:
        kept["writeConcernError"] = {**kept["writeConcernError"], "errmsg": "not compared"}
    if "cursor" in kept:
        kept["cursor"] = _comparable_cursor(kept["cursor"])
    kept.pop("atClusterTime", None)
    for killed in ("cursorsKilled", "cursorsNotFound"):
        if killed in kept:
            kept[killed] = len(kept[killed])
    return kept


def _comparable_cursor(cursor: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in cursor.items() if key != "atClusterTime"}
    if "postBatchResumeToken" in kept:
        kept["postBatchResumeToken"] = list(kept["postBatchResumeToken"])
    for batch in ("firstBatch", "nextBatch"):
        if batch in kept and cursor["ns"].endswith(".$cmd.listCollections"):
            kept[batch] = [sorted(document) for document in kept[batch]]  # the order is random
        elif batch in kept and "postBatchResumeToken" in kept:
            kept[batch] = [_comparable_event(event) for event in kept[batch]]
        elif batch in kept:
            kept[batch] = sorted(map(str, kept[batch]))
    return {**kept, "id": bool(cursor["id"]), "dated": "atClusterTime" in cursor}


def _comparable_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event without its token and time; servers from 6.0 on add the time of day."""
    return {key: value for key, value in event.items() if key not in ("_id", "clusterTime", "wallTime")}


@pytest.fixture(scope="module", params=["asyncio", "trio"], ids="double on {}".format)
def replayed(replica_set: ReplicaSet, request: pytest.FixtureRequest) -> Iterator[dict[str, list[str]]]:
    if not _FOLDER.is_dir():
        pytest.skip(f"there are no recordings of a mongos in {_FOLDER}; WIREDRV_TRANSCRIPTS names another folder")
    with ShardedDouble.before(replica_set, backend=request.param) as double:
        set_up = Peer(double.routers[0].address)
        set_up.ask({"dropDatabase": 1, "$db": "transcript"})
        documents = [{"_id": x, "x": x, "n": 0} for x in (-1, 1)]
        set_up.ask({"insert": "sharded", "documents": documents, "$db": "transcript"})
        set_up.close()
        replay = Replay(double, replica_set)
        try:
            yield {scenario: replay.differences(scenario) for scenario in SCENARIOS}
        finally:
            replay.close()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_double_answers_as_the_recorded_mongos_did(scenario: str, replayed: dict[str, list[str]]) -> None:
    assert not replayed[scenario], "\n".join(replayed[scenario])


def test_every_recording_is_replayed() -> None:
    if not _FOLDER.is_dir():
        pytest.skip(f"there are no recordings of a mongos in {_FOLDER}")
    assert {path.stem for path in _FOLDER.glob("*.json")} == set(SCENARIOS)
