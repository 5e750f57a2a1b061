"""Exhaust cursors: the server streams the batches on a connection that the cursor holds meanwhile.

OP_MSG specification ("moreToCome", "exhaustAllowed"); find_getmore_killcursors_commands, "Exhaust".
"""

from __future__ import annotations

import gc

import anyio
import bson
import pytest
from bson.datetime_ms import DatetimeMS

import wiredrv
from tests.support.commands import APP_NAME, DATABASE, fresh_collection, primary_of, watched
from tests.support.event_log import EventLog
from tests.support.failpoints import fail_command
from tests.support.leaks import LeakWatch
from tests.support.waiting import until
from wiredrv import CursorType, _introspect, events
from wiredrv.errors import ConfigurationError, InvalidOperation, OperationFailure, UnreadableReply
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

NAME = "exhaust"
EXHAUST = CursorType.EXHAUST


async def filled(client: wiredrv.Client, documents: int = 40, size: int = 10) -> wiredrv.Collection:
    """A collection. Many large documents keep the server from sending all of them at once."""
    collection = await fresh_collection(client, NAME)
    await collection.insert_many([{"_id": number, "text": "x" * size} for number in range(documents)])
    return collection


async def large(client: wiredrv.Client) -> wiredrv.Collection:
    return await filled(client, 300, 100_000)


async def test_batches_come_on_one_connection_that_goes_back_at_the_end(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await filled(client)
        log.clear()
        cursor = orders.find({}, batch_size=3, cursor_type=EXHAUST).sort("_id")
        found = []
        async for document in cursor:
            found.append(document["_id"])
            if 3 < len(found) < 30:
                assert _introspect.checked_out(client) == 1
        assert found == list(range(40))
        await until(lambda: _introspect.checked_out(client) == 0, "the connection back in its pool")
        assert log.names == ["find", *["getMore"] * 13]
        assert len({event.connection_id for event in log.started_events[1:]}) == 1
        assert len(set(log.lsids())) == 1
        # The connection is used again.
        log.clear()
        assert await orders.count_documents({}) == 40


async def test_every_spelling_reads_the_same(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        orders = await filled(client)
        find = orders.find({}, batch_size=7, cursor_type=EXHAUST).sort("_id")
        expected = await orders.find().sort("_id").to_list()
        assert await find.to_list() == expected
        assert [
            document for found in [found async for found in find.clone().batches()] for document in found
        ] == expected
        raw = await orders.find_raw_batches({}, batch_size=7).sort("_id").add_option(64).to_list()
        assert bson.decode_all(b"".join(raw)) == expected
        assert await orders.find({}, cursor_type=EXHAUST, prefetch=True).sort("_id").to_list() == expected
        tz_aware = orders.with_options(codec_options=bson.CodecOptions(tz_aware=True))
        assert await tz_aware.find({}, batch_size=7, cursor_type=EXHAUST).sort("_id").to_list() == expected


async def test_without_listeners_and_compressed(replica_set: ReplicaSet) -> None:
    async with wiredrv.Client(replica_set.uri, compressors="zlib") as client:
        orders = await filled(client)
        found = [document["_id"] async for document in orders.find({}, batch_size=3, cursor_type=EXHAUST).sort("_id")]
        assert found == list(range(40))


async def test_sessions_take_one_turn_for_each_reply(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log), client.start_session() as session:
        orders = await filled(client)
        log.clear()
        cursor = orders.find({}, batch_size=3, cursor_type=EXHAUST, session=session)
        found = []
        async for document in cursor:
            found.append(document)
            # Between two replies the session is free.
            await orders.find_one({"_id": 0}, session=session)
        assert len(found) == 40
        assert set(log.lsids()) == {bytes(session.session_id["id"])}
        async with session.bind(end_session=False):
            assert len(await orders.find({}, batch_size=3, cursor_type=EXHAUST).to_list()) == 40
        majority = orders.with_options(write_concern=wiredrv.WriteConcern("majority"))
        await majority.update_one({"_id": 0}, {"$set": {"a": 1}})
        async with client.start_session(snapshot=True) as snapshot:
            cursor = orders.find({}, batch_size=3, cursor_type=EXHAUST, session=snapshot)
            await cursor.next()
            await majority.delete_many({"_id": {"$gt": 20}})
            assert len(await cursor.to_list()) == 39


async def test_it_is_refused_in_a_transaction_before_anything_is_sent(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await filled(client)
        log.clear()
        async with client.transaction():
            with pytest.raises(InvalidOperation, match="exhaust cursor cannot be used in a transaction"):
                await orders.find({}, cursor_type=EXHAUST).next()
            assert log.names == []
            assert len(await orders.find().to_list()) == 40


async def test_a_limit_is_refused() -> None:
    orders = wiredrv.Client().shop.orders
    with pytest.raises(ConfigurationError, match="limit cannot be combined"):
        orders.find({}, cursor_type=EXHAUST, limit=3)
    with pytest.raises(ConfigurationError, match="limit cannot be combined"):
        orders.find({}, cursor_type=EXHAUST).limit(3)
    with pytest.raises(ConfigurationError, match="limit cannot be combined"):
        orders.find({}).limit(3).add_option(64)


async def _closed(log: EventLog) -> None:
    await until(lambda: len(log.of(events.ConnectionClosedEvent)) == 1, "the stream's connection closed")


@pytest.mark.parametrize("way", ["close", "drop", "rewind", "cancel"])
async def test_leaving_early_closes_the_connection_and_the_cursor(replica_set: ReplicaSet, way: str) -> None:
    log = EventLog()
    async with wiredrv.Client(replica_set.uri, event_listeners=[log], appName=APP_NAME) as client:
        orders = await large(client)
        watch = LeakWatch(replica_set, client, f"{DATABASE}.{NAME}")
        await watch.remember()
        log.clear()
        cursor = orders.find({}, batch_size=20, cursor_type=EXHAUST)
        for _ in range(45):
            await cursor.next()
        if way == "close":
            await cursor.close()
        elif way == "drop":
            del cursor
            gc.collect()
        elif way == "rewind":
            cursor.rewind()
        else:
            with anyio.move_on_after(0) as scope:
                async with cursor:
                    while True:
                        await cursor.next()
            assert scope.cancelled_caught
        await _closed(log)
        await watch.check(way)
        assert _introspect.checked_out(client) == 0
        assert await orders.find_one({"_id": 1}, {"_id": 1}) == {"_id": 1}


async def test_cancellation_while_it_waits_for_a_reply(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        orders = await filled(client, 300)
        watch = LeakWatch(replica_set, client, f"{DATABASE}.{NAME}")
        await watch.remember()

        async def read(seconds: float) -> None:
            with anyio.move_on_after(seconds):
                async with orders.find({}, batch_size=2, cursor_type=EXHAUST) as cursor:
                    async for _ in cursor:
                        pass

        async with anyio.create_task_group() as group:
            for number in range(40):
                group.start_soon(read, number / 1000)
        await watch.check("cancelled")


async def test_an_error_ends_it(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await filled(client)
        for data in ({"errorCode": 2}, {"closeConnection": True}):
            log.clear()
            async with fail_command(primary_of(client), "getMore", app_name=APP_NAME, data=data):
                cursor = orders.find({}, batch_size=3, cursor_type=EXHAUST)
                with pytest.raises((OperationFailure, wiredrv.errors.AutoReconnect)):
                    await cursor.to_list()
            assert not cursor.alive
            assert _introspect.checked_out(client) == 0


async def test_a_document_that_cannot_be_decoded(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        orders = await filled(client)
        await orders.update_one({"_id": 7}, {"$set": {"x": DatetimeMS(10**15)}})
        watch = LeakWatch(replica_set, client, f"{DATABASE}.{NAME}")
        await watch.remember()
        found = []

        async def read() -> None:
            async for document in orders.find({}, batch_size=3, cursor_type=EXHAUST).sort("_id"):
                found.append(document["_id"])

        with pytest.raises(UnreadableReply, match="_id 7"):
            await read()
        assert found == list(range(7))
        await watch.check("after an unreadable document")
        assert _introspect.checked_out(client) == 0


async def test_a_closed_client_leaves_nothing_open(replica_set: ReplicaSet) -> None:
    async with wiredrv.Client(replica_set.uri) as other, wiredrv.Client(replica_set.uri) as client:
        orders = await large(client)
        watch = LeakWatch(replica_set, other, f"{DATABASE}.{NAME}")
        await watch.remember()
        cursor = orders.find({}, batch_size=20, cursor_type=EXHAUST)
        for _ in range(45):
            await cursor.next()
        await client.close()
        await watch.check("the client is closed")
        for _ in range(15):
            await cursor.next()
        with pytest.raises(InvalidOperation, match="after close"):
            await cursor.next()
        await cursor.close()
