"""Documents that cannot be decoded, on the replica set: the reader gets an error, and other operations are unaffected.

A date after the year 9999, a string that is not UTF-8, a type decoder that raises. The message that contains such a
document is complete, and the server did its work: the connection is kept, the topology is not notified, and the
cursor is closed.
"""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import anyio
import bson.errors
import pytest
from bson.codec_options import CodecOptions, TypeDecoder, TypeRegistry
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument

import wiredrv
from tests.support.event_log import EventLog
from tests.support.leaks import LeakWatch
from wiredrv import events
from wiredrv.errors import DriverError, UnreadableReply
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

DATABASE = "wiredrv_unreadable"
_GRACE = 20.0


class Strict(TypeDecoder):
    """A user's decoder that rejects some values."""

    bson_type = bson.int64.Int64

    def transform_bson(self, value: Any) -> Any:
        if value == 13:
            raise ZeroDivisionError("thirteen is not welcome")
        return value


def _not_utf8() -> RawBSONDocument:
    options = CodecOptions(document_class=RawBSONDocument, unicode_decode_error_handler="replace")
    return RawBSONDocument(bson.encode({"_id": 0, "x": "abcd"}).replace(b"abcd", b"ab\xff\xfe"), options)


@dataclass(frozen=True)
class Unreadable:
    """What is stored, how it is read, and what the error says."""

    document: Callable[[], Any]
    says: str
    options: CodecOptions[Any] | None = None


CASES: dict[str, Unreadable] = {
    "a far date": Unreadable(lambda: {"_id": 0, "x": DatetimeMS(10**15)}, "year 33658 is out of range"),
    "a string that is not UTF-8": Unreadable(_not_utf8, "'utf-8' codec can't decode"),
    "a far date, codec options": Unreadable(
        lambda: {"_id": 0, "x": DatetimeMS(10**15)}, "year 33658 is out of range", CodecOptions(tz_aware=True)
    ),
    "a decoder that raises": Unreadable(
        lambda: {"_id": 0, "x": bson.Int64(13)},
        "thirteen is not welcome",
        CodecOptions(type_registry=TypeRegistry([Strict()])),
    ),
}


@asynccontextmanager
async def undisturbed(
    replica_set: ReplicaSet, case: Unreadable, name: str
) -> AsyncIterator[tuple[wiredrv.Client, wiredrv.Collection]]:
    """A client and a collection in which the first of many documents cannot be read. The block may have no effects:
    no connection closed, no pool cleared, no server unknown, nothing left open on the server."""
    log = EventLog()
    async with wiredrv.Client(replica_set.uri, event_listeners=[log]) as client:
        plain = client[DATABASE][name]
        await plain.drop()
        await plain.insert_many([case.document(), *({"_id": number} for number in range(1, 300))])
        await plain.find_one({"_id": 1})
        watch = LeakWatch(replica_set, client, f"{DATABASE}.")
        await watch.remember()
        log.clear()
        with anyio.fail_after(_GRACE):
            yield client, plain.with_options(codec_options=case.options)
        await watch.check("after an unreadable document")
        assert log.of(events.PoolClearedEvent) == []
        assert log.of(events.ConnectionClosedEvent) == []
        assert log.of(events.ServerDescriptionChangedEvent) == []


async def _refused(reading: Any, collection: wiredrv.Collection, case: Unreadable) -> None:
    with pytest.raises(UnreadableReply, match=f"{collection.full_name}.*{case.says}") as caught:
        await reading
    error = caught.value
    assert isinstance(error, DriverError)
    assert isinstance(error, bson.errors.InvalidBSON)
    assert error.namespace == collection.full_name
    assert error.__cause__ is not None
    assert str(error.__cause__) in str(error)
    assert "".join(traceback.format_exception(error)).count("Traceback") <= 3


@pytest.mark.parametrize("name", CASES)
async def test_a_first_batch(replica_set: ReplicaSet, name: str) -> None:
    case = CASES[name]
    async with undisturbed(replica_set, case, "first") as (_, collection):
        await _refused(collection.find_one({"_id": 0}), collection, case)
        await _refused(collection.find({}, batch_size=2).to_list(), collection, case)
        await _refused(collection.aggregate([{"$match": {}}], batch_size=2).to_list(), collection, case)
        assert await collection.find_one({"_id": 1}) == {"_id": 1}


@pytest.mark.parametrize("name", CASES)
async def test_a_later_batch(replica_set: ReplicaSet, name: str) -> None:
    case = CASES[name]
    async with undisturbed(replica_set, case, "later") as (_, collection):
        cursor = collection.find({}, batch_size=150, sort=[("_id", -1)])
        for _ in range(150):
            await cursor.next()
        await _refused(cursor.to_list(), collection, case)
        assert not cursor.alive
        # With more documents after it, so that the cursor is open on the server.
        stages: list[dict[str, Any]] = [{"$match": {"_id": {"$gt": 295}}}, {"$unionWith": collection.name}]
        await _refused(collection.aggregate(stages, batch_size=2).to_list(), collection, case)


@pytest.mark.parametrize("many", [20, 3000], ids=["small", "large"])
@pytest.mark.parametrize("listening", [True, False], ids=["listening", "unheard"])
@pytest.mark.parametrize("name", CASES)
async def test_it_comes_at_its_own_place(replica_set: ReplicaSet, name: str, listening: bool, many: int) -> None:
    """After the documents before it, for every batch size, with and without listeners."""
    case = CASES[name]
    log = EventLog()
    async with wiredrv.Client(replica_set.uri, event_listeners=[log] if listening else []) as client:
        plain = client[DATABASE].place
        await plain.drop()
        await plain.insert_many([{"_id": -number, "text": "x" * 30} for number in range(1, many)])
        await plain.insert_one(case.document())
        await plain.insert_many([{"_id": number} for number in range(1, 200)])
        watch = LeakWatch(replica_set, client, f"{DATABASE}.")
        await watch.remember()
        collection = plain.with_options(codec_options=case.options)
        async with client.start_session() as session:
            for given in (None, session):
                for cursor in (
                    collection.find({}, batch_size=many + 20, sort=[("_id", 1)], session=given),
                    collection.aggregate([{"$sort": {"_id": 1}}], batch_size=many + 20, session=given),
                ):
                    found: list[Any] = []

                    async def read(cursor: Any = cursor, found: list[Any] = found) -> None:
                        async for document in cursor:
                            found.append(document["_id"])

                    await _refused(read(), collection, case)
                    assert found == list(range(1 - many, 0))
                    assert not cursor.alive
        await watch.check("after an unreadable document")
        if listening:
            succeeded = [event for event in log.of(events.CommandSucceededEvent) if event.command_name == "find"]
            assert len(succeeded[0].reply["cursor"]["firstBatch"]) == many + 20


@pytest.mark.parametrize("name", CASES)
async def test_values_beside_batches(replica_set: ReplicaSet, name: str) -> None:
    case = CASES[name]
    async with undisturbed(replica_set, case, "values") as (_, collection):
        await _refused(collection.distinct("x"), collection, case)
        await _refused(collection.find_one_and_update({"_id": 0}, {"$set": {"seen": True}}), collection, case)
        # It took place, and was not done twice.
        assert await collection.count_documents({"_id": 0, "seen": True}) == 1


@pytest.mark.parametrize("name", CASES)
async def test_a_cursor_of_a_command_of_the_users_own(replica_set: ReplicaSet, name: str) -> None:
    case = CASES[name]
    async with undisturbed(replica_set, case, "command") as (client, collection):
        command = {"find": collection.name, "batchSize": 2}
        for reading in (
            client[DATABASE].command(command, codec_options=case.options),
            client[DATABASE].cursor_command(command, codec_options=case.options).to_list(),
        ):
            with pytest.raises(UnreadableReply, match=case.says):
                await reading


@pytest.mark.parametrize("name", CASES)
async def test_a_transaction_goes_on(replica_set: ReplicaSet, name: str) -> None:
    case = CASES[name]
    async with undisturbed(replica_set, case, "transaction") as (client, collection):
        async with client.start_session() as session, session.start_transaction():
            await collection.insert_one({"_id": -1}, session=session)
            await _refused(collection.find_one({"_id": 0}, session=session), collection, case)
            await _refused(collection.find({}, batch_size=2, session=session).to_list(), collection, case)
            await collection.insert_one({"_id": -2}, session=session)
        assert await collection.count_documents({"_id": {"$lt": 0}}) == 2


async def test_a_cancelled_find_of_an_unreadable_document_leaves_no_cursor(replica_set: ReplicaSet) -> None:
    case = CASES["a far date"]
    async with undisturbed(replica_set, case, "cancelled") as (_, collection):
        for delay in range(10):
            with anyio.move_on_after(delay / 5000):
                await _refused(collection.find({}, batch_size=2).to_list(), collection, case)


async def test_readers_of_other_documents_are_not_disturbed(replica_set: ReplicaSet) -> None:
    """Eight readers beside one that reads an undecodable document again and again, compared to eight alone."""
    case = CASES["a far date"]

    async def reads(collection: wiredrv.Collection, disturbed: bool) -> int:
        done = 0
        end = monotonic() + 1.5

        async def reader() -> None:
            nonlocal done
            while monotonic() < end:
                assert await collection.find_one({"_id": 1}) == {"_id": 1}
                done += 1

        async def disturber() -> None:
            while monotonic() < end:
                await _refused(collection.find({}, batch_size=2).to_list(), collection, case)
                await anyio.sleep(0.1)

        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(reader)
            if disturbed:
                group.start_soon(disturber)
        return done

    async with undisturbed(replica_set, case, "readers") as (_, collection):
        alone = await reads(collection, disturbed=False)
        beside = await reads(collection, disturbed=True)
    # It was a twentieth when each such read cleared the pool; the actual speed depends on the machine's other load.
    assert beside > alone / 4, f"{beside} reads beside it, {alone} without"
