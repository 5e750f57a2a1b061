"""Thousands of malformed replies: each ends in a result or in an error of this driver, and nothing is leaked.

The replies are those that real servers send, mutated: in their bytes, so that they are not valid messages or BSON any
more, and in their values, so that they are valid but make no sense.
"""

from __future__ import annotations

import asyncio
import copy
import struct
from collections.abc import Callable
from typing import Any

import bson
import pytest
from bson.codec_options import CodecOptions
from bson.timestamp import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.execution.fakes import SERVER
from tests.execution.replay import Bench, reply
from wiredrv.errors import DriverError, ProtocolError, UnreadableReply
from wiredrv.operations.aggregate import Aggregate, CountDocuments
from wiredrv.operations.base import Operation, Target
from wiredrv.operations.collections import ListCollections
from wiredrv.operations.cursors import GetMore
from wiredrv.operations.databases import ListDatabases
from wiredrv.operations.delete import Delete
from wiredrv.operations.distinct import Distinct
from wiredrv.operations.find import Find, FindOne
from wiredrv.operations.find_and_modify import FindAndModify
from wiredrv.operations.insert import Insert
from wiredrv.operations.run_command import RunCommand
from wiredrv.operations.update import Update

#: What every reply of a replica set's member ends with.
GOSSIP = {
    "ok": 1.0,
    "$clusterTime": {"clusterTime": Timestamp(1_700_000_000, 1), "signature": {"hash": bytes(20), "keyId": 0}},
    "operationTime": Timestamp(1_700_000_000, 1),
}
PLAIN = Target("db", "c")
#: With its own codec options, replies are read another way: raw, and decoded when a user accesses them.
RAW = Target("db", "c", codec_options=CodecOptions(tz_aware=True))


def _cursor(batch: str, *documents: dict[str, Any], number: int = 0) -> dict[str, Any]:
    return {"cursor": {"id": number, "ns": "db.c", batch: list(documents)}, **GOSSIP}


#: Each operation with the reply that it gets from a correct server.
OPERATIONS: dict[str, tuple[Callable[[Target], Operation[Any]], dict[str, Any]]] = {
    "find": (lambda target: Find(target, {}, {}), _cursor("firstBatch", {"_id": 1}, {"_id": 2}, number=5)),
    "find_one": (lambda target: FindOne(target, {}, {}), _cursor("firstBatch", {"_id": 1, "a": [1, {"b": 2}]})),
    "getMore": (lambda target: GetMore(target, 5, "c", SERVER), _cursor("nextBatch", {"_id": 3})),
    "aggregate": (lambda target: Aggregate(target, [], {}), _cursor("firstBatch", {"_id": 1})),
    "count_documents": (lambda target: CountDocuments(target, {}, {}), _cursor("firstBatch", {"_id": 1, "n": 3})),
    "distinct": (lambda target: Distinct(target, "x", {}), {"values": [1, "a"], **GOSSIP}),
    "insert": (lambda target: Insert(target, {"_id": 1}, 1, {}), {"n": 1, **GOSSIP}),
    "insert, failed": (
        lambda target: Insert(target, {"_id": 1}, 1, {}),
        {
            "n": 0,
            "writeErrors": [{"index": 0, "code": 11000, "keyPattern": {"_id": 1}, "errmsg": "E11000 duplicate key"}],
            "writeConcernError": {"code": 64, "errmsg": "waiting timed out", "errInfo": {"wtimeout": True}},
            **GOSSIP,
        },
    ),
    "update": (
        lambda target: Update(target, {"q": {}, "u": {"$set": {"a": 1}}}, {}),
        {"n": 1, "nModified": 1, "upserted": [{"index": 0, "_id": 7}], **GOSSIP},
    ),
    "delete": (lambda target: Delete(target, {"q": {}, "limit": 1}, {}), {"n": 1, **GOSSIP}),
    "find_and_modify": (
        lambda target: FindAndModify(target, {}, {"remove": True}, {}),
        {"lastErrorObject": {"n": 1, "updatedExisting": False}, "value": {"_id": 1}, **GOSSIP},
    ),
    "list_collections": (
        lambda target: ListCollections(target, {}),
        _cursor("firstBatch", {"name": "c", "type": "collection"}),
    ),
    "list_databases": (
        lambda target: ListDatabases(target, {}),
        {"databases": [{"name": "db", "sizeOnDisk": 1}], "totalSize": 1, **GOSSIP},
    ),
    "run_command": (lambda target: RunCommand(target, {"ping": 1}), dict(GOSSIP)),
    "a failed command": (
        lambda target: RunCommand(target, {"ping": 1}),
        {
            **GOSSIP,
            "ok": 0.0,
            "errmsg": "not primary",
            "code": 10107,
            "codeName": "NotWritablePrimary",
            "errorLabels": ["RetryableWriteError"],
            "topologyVersion": {"processId": bson.ObjectId(), "counter": bson.Int64(1)},
        },
    ),
}

NAMES = sorted(OPERATIONS)
TARGETS = {"plain": PLAIN, "raw": RAW}


def outcome(name: str, target: Target, messages: list[bytes]) -> object:
    """Run an operation against these messages. Any exception that is not ours leaves this function, and the test."""
    bench = Bench(messages)
    try:
        with asyncio.Runner() as runner:
            bench.executor.loop = runner.get_loop()
            result: object = runner.run(bench.executor.execute(OPERATIONS[name][0](target)))
    except DriverError as error:
        result = error
        if isinstance(error, ProtocolError):
            assert bench.pool.made[0].closed, "nobody may go on reading where nonsense was read"
        if isinstance(error, UnreadableReply):
            cursors = [sent for sent in bench.transport.sent if b"killCursors" in sent]
            # A later command on the same connection reads the end of the tape, which closes it.
            assert cursors or not bench.pool.made[0].closed, "one document that cannot be read costs no connection"
    bench.nothing_is_out()
    return result


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_the_unmutated_reply_is_understood(name: str, target: str) -> None:
    result = outcome(name, TARGETS[target], [reply(OPERATIONS[name][1])])
    if "failed" in name:
        assert isinstance(result, DriverError)
        assert not isinstance(result, (ProtocolError, UnreadableReply))
    else:
        assert not isinstance(result, DriverError)


# --- mutated bytes ----------------------------------------------------------------------------------------------------


@settings(max_examples=600)
@given(st.data(), st.sampled_from(NAMES), st.sampled_from(sorted(TARGETS)))
def test_mutated_bytes(data: st.DataObject, name: str, target: str) -> None:
    message = bytearray(reply(OPERATIONS[name][1]))
    for _ in range(data.draw(st.integers(1, 3))):
        kind = data.draw(st.sampled_from(["change", "insert", "delete", "cut"]))
        # Positions start after the header's length, so that most mutations get past it.
        position = data.draw(st.integers(12, max(len(message) - 1, 12)))
        if kind == "change" and position < len(message):
            message[position] = data.draw(st.integers(0, 255))
        elif kind == "insert":
            message[position:position] = data.draw(st.binary(min_size=1, max_size=4))
        elif kind == "delete":
            del message[position : position + data.draw(st.integers(1, 4))]
        else:
            del message[position:]
    if data.draw(st.booleans()):
        message[:4] = struct.pack("<i", len(message))
    outcome(name, TARGETS[target], [bytes(message)])


# --- mutated values ---------------------------------------------------------------------------------------------------

STRANGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.sampled_from(["", "x", "1", b"", [], [1], [[]], ["x"], {}, {"a": 1}, {"index": "x"}, {"clusterTime": 5}]),
    st.just(Timestamp(1, 1)),
    st.just(bson.ObjectId(bytes(12))),
    st.just(bson.Decimal128("NaN")),
)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in a document."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [path] if path else []
    for key, inner in entries:
        found += _paths(inner, (*path, key))
    return found


def _parent(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        document = document[key]
    return document


@settings(max_examples=800)
@given(st.data(), st.sampled_from(NAMES), st.sampled_from(sorted(TARGETS)))
def test_mutated_values(data: st.DataObject, name: str, target: str) -> None:
    document = copy.deepcopy(OPERATIONS[name][1])
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(_paths(document)))
        parent = _parent(document, path)
        if data.draw(st.booleans()):
            parent[path[-1]] = copy.deepcopy(data.draw(STRANGE))
        else:
            del parent[path[-1]]
        if not document:
            break
    outcome(name, TARGETS[target], [reply(document)])


@settings(max_examples=150)
@given(st.sampled_from(NAMES), st.sampled_from(sorted(TARGETS)), st.sampled_from(NAMES))
def test_the_reply_to_another_command(name: str, target: str, other: str) -> None:
    outcome(name, TARGETS[target], [reply(OPERATIONS[other][1])])


@settings(max_examples=200)
@given(st.sampled_from(NAMES), st.binary(max_size=80))
def test_random_bytes(name: str, data: bytes) -> None:
    outcome(name, PLAIN, [data])
