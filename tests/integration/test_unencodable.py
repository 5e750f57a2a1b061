"""Values that cannot be encoded, on the replica set: the error names the call and the value, and nothing else happens.

It is refused here (``wiredrv/failures.py``): nothing is sent, no connection is closed, no transaction changes state.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import bson.errors
import pytest
from bson.codec_options import CodecOptions, TypeEncoder, TypeRegistry
from bson.decimal128 import Decimal128

import wiredrv
from tests.support.commands import CommandLog, fresh_collection, watched
from tests.support.event_log import EventLog
from tests.support.sharded_double import ShardedDouble
from wiredrv import ClientSession, Collection, InsertOne, UpdateOne, _introspect, events
from wiredrv.errors import AutoReconnect, DriverError, InvalidDocument, OperationFailure
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio


class _Picky(TypeEncoder):
    """A user's encoder that rejects some numbers. It has no state and no side effects."""

    python_type = Decimal

    def transform_python(self, value: Any) -> Any:
        if value == 13:
            raise KeyError("thirteen is not welcome")
        return Decimal128(value)


_CODEC: CodecOptions[Any] = CodecOptions(type_registry=TypeRegistry([_Picky()]))
BAD, GOOD = Decimal(13), Decimal(12)

Call = Callable[[Collection, ClientSession | None], Awaitable[Any]]


async def _listed(cursor: Any) -> Any:
    return await cursor.to_list()


CALLS: dict[str, tuple[Call, str]] = {
    "insert": (lambda c, s: c.insert_one({"a": [1, {"b": BAD}]}, session=s), "a.1.b"),
    "update": (lambda c, s: c.update_one({"x": BAD}, {"$set": {"y": 1}}, session=s), "updates.0.q.x"),
    "delete": (lambda c, s: c.delete_one({"x": BAD}, session=s), "deletes.0.q.x"),
    "find": (lambda c, s: c.find_one({"x": {"$in": [GOOD, BAD]}}, session=s), "filter.x.$in.1"),
    "aggregate": (lambda c, s: _listed(c.aggregate([{"$match": {"x": BAD}}], session=s)), r"pipeline.0.\$match.x"),
    "distinct": (lambda c, s: c.distinct("x", {"y": BAD}, session=s), "query.y"),
    "findAndModify": (lambda c, s: c.find_one_and_delete({"x": BAD}, session=s), "query.x"),
    "ping": (
        lambda c, s: c.database.command({"ping": 1, "comment": BAD}, codec_options=_CODEC, session=s),
        "comment",
    ),
}


@asynccontextmanager
async def _scene(uri: str) -> AsyncIterator[tuple[wiredrv.Client, Collection, CommandLog, EventLog]]:
    heard = EventLog()
    async with watched(uri, heard) as (client, log):
        collection = (await fresh_collection(client, "unencodable", 3)).with_options(codec_options=_CODEC)
        await collection.find_one({})
        log.clear()
        heard.clear()
        yield client, collection, log, heard
        assert _introspect.checked_out(client) == 0


async def _refused(call: Awaitable[Any], name: str, namespace: str, place: str) -> InvalidDocument:
    with pytest.raises(InvalidDocument) as caught:
        await call
    error = caught.value
    assert isinstance(error, DriverError)
    assert isinstance(error, bson.errors.InvalidDocument), "what PyMongo's users catch"
    assert isinstance(error.__cause__, KeyError)
    for part in (f"{name!r} on {namespace} was not sent", "KeyError: 'thirteen is not welcome'", place):
        assert part.replace("\\", "") in str(error)
    return error


@pytest.mark.parametrize("name", CALLS)
async def test_an_encoder_that_raises(replica_set: ReplicaSet, name: str) -> None:
    async with _scene(replica_set.uri) as (_, collection, log, heard):
        call, place = CALLS[name]
        namespace = collection.database.name if name == "ping" else collection.full_name
        await _refused(call(collection, None), name, namespace, place)
        assert log.names == []
        assert heard.of(events.PoolClearedEvent) == []
        assert heard.of(events.ConnectionClosedEvent) == []
        assert heard.of(events.ServerDescriptionChangedEvent) == []


async def test_a_statement_of_a_bulk_is_named_by_its_place(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set.uri) as (_, collection, log, _heard):
        inserts = [InsertOne({"x": GOOD}), InsertOne({"x": BAD})]
        with pytest.raises(InvalidDocument, match=r"'insert' on .* was not sent: statement 2: .*\(at 'x'\)"):
            await collection.bulk_write([UpdateOne({}, {"$set": {"y": 1}}), *inserts])
        assert log.names == ["update"]


async def test_the_options_of_a_bulk_are_encoded_with_the_codec_of_its_collection(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set.uri) as (_, collection, log, _heard):
        result = await collection.bulk_write([InsertOne({"x": 1})], comment={"why": GOOD})
        assert result.inserted_count == 1
        assert log.sent("insert")[0]["comment"] == {"why": GOOD}


@pytest.mark.parametrize("name", [name for name in CALLS if name != "ping"])
async def test_a_first_statement_begins_no_transaction(replica_set: ReplicaSet, name: str) -> None:
    async with _scene(replica_set.uri) as (client, collection, log, _heard), client.start_session() as session:
        async with session.start_transaction():
            error = await _refused(CALLS[name][0](collection, session), name, collection.full_name, CALLS[name][1])
            assert error.transaction is None, "it ended none"
            await collection.insert_one({"_id": "kept"}, session=session)
        assert log.names == ["insert", "commitTransaction"]
        assert log.sent("insert")[0]["startTransaction"] is True
        assert await collection.find_one({"_id": "kept"}) is not None


async def test_a_transaction_of_nothing_but_what_was_refused_sends_nothing(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set.uri) as (client, collection, log, _heard), client.start_session() as session:
        for ending in (session.commit_transaction, session.abort_transaction):
            session.start_transaction()
            with pytest.raises(InvalidDocument):
                await collection.insert_one({"x": BAD}, session=session)
            await ending()
        assert log.names == []


@pytest.mark.parametrize("name", [name for name in CALLS if name != "ping"])
async def test_a_later_statement_changes_nothing(replica_set: ReplicaSet, name: str) -> None:
    async with _scene(replica_set.uri) as (client, collection, log, _heard), client.start_session() as session:
        async with session.start_transaction():
            await collection.insert_one({"_id": "kept"}, session=session)
            await _refused(CALLS[name][0](collection, session), name, collection.full_name, CALLS[name][1])
        assert log.names == ["insert", "commitTransaction"]
        assert await collection.find_one({"_id": "kept"}) is not None


async def test_what_was_refused_is_not_the_first_failure_of_its_transaction(replica_set: ReplicaSet) -> None:
    """It was never sent. A later error's record only covers what was sent."""
    async with _scene(replica_set.uri) as (client, collection, _, _heard), client.start_session() as session:
        session.start_transaction()
        await collection.insert_one({"_id": "mine"}, session=session)
        with pytest.raises(InvalidDocument):
            await collection.insert_one({"x": BAD}, session=session)
        with pytest.raises(OperationFailure) as caught:
            await collection.insert_one({"_id": "mine"}, session=session)
        record = caught.value.transaction
        assert record is not None
        assert type(record.cause) is type(caught.value)
        assert [sent.name for sent in record.commands] == ["insert", "insert"]
        await session.abort_transaction()


async def test_a_driver_error_of_an_encoder_is_no_news_of_the_server(replica_set: ReplicaSet) -> None:
    """Nor is it retried: the encoder raised it, not the connection."""
    calls: list[int] = []

    def fallback(value: Any) -> Any:
        calls.append(1)
        raise AutoReconnect("made up")

    codec: CodecOptions[Any] = CodecOptions(type_registry=TypeRegistry(fallback_encoder=fallback))
    async with _scene(replica_set.uri) as (_, collection, log, heard):
        with pytest.raises(InvalidDocument, match="AutoReconnect: made up"):
            await collection.with_options(codec_options=codec).insert_one({"x": object()})
        assert log.names == []
        assert heard.of(events.PoolClearedEvent) == []


async def test_a_first_statement_that_was_refused_pins_no_connection(sharded_double: ShardedDouble) -> None:
    """Load-balancers specification, "Connection Pinning": an empty transaction is not pinned to a connection."""
    async with _scene(sharded_double.single_uri) as (client, collection, log, _heard):
        async with client.start_session() as session:
            session.start_transaction()
            with pytest.raises(InvalidDocument):
                await collection.insert_one({"x": BAD}, session=session)
            assert _introspect.checked_out(client) == 0
            await session.commit_transaction()
        assert log.names == []
