"""Cursors on a real replica set, on both backends: what is open on the server, their sessions, when they end.

``watched`` asserts at the end of each test that every server session was returned exactly once.
"""

from __future__ import annotations

import copy
import gc
from typing import Any

import anyio
import bson
import pytest

import wiredrv
from tests.support.commands import APP_NAME, DATABASE, fresh_collection, primary_of, watched
from tests.support.failpoints import fail_command
from tests.support.leaks import LeakWatch
from tests.support.waiting import until, until_async
from wiredrv import CursorType, _introspect
from wiredrv.errors import AutoReconnect, CursorNotFound, InvalidOperation, OperationFailure
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

NAME = "cursors"


async def open_cursors(client: wiredrv.Client) -> int:
    """How many idle cursors the primary has on the collection of these tests."""
    pipeline: list[dict[str, Any]] = [
        {"$currentOp": {"idleCursors": True, "allUsers": True}},
        {"$match": {"type": "idleCursor", "ns": f"{DATABASE}.{NAME}"}},
    ]
    return len(await client.admin.aggregate(pipeline).to_list())


async def test_batches_of_one_cursor_use_one_session_and_one_server(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME, documents=10)
        log.clear()
        assert len(await orders.find({}, batch_size=3).to_list()) == 10
        assert log.names == ["find", "getMore", "getMore", "getMore"]
        assert len(set(log.lsids())) == 1
        assert len({event.address for event in log.started_events}) == 1
        assert [command.get("batchSize") for command in log.sent()] == [3, 3, 3, 3]


async def test_reading_from_secondaries_stays_on_the_server_that_was_chosen(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME, documents=10)
        majority = orders.with_options(write_concern=wiredrv.WriteConcern(w=3))
        await majority.update_one({"_id": 0}, {"$set": {"a": 1}})
        log.clear()
        secondary = orders.with_options(read_preference=wiredrv.ReadPreference.SECONDARY)
        cursor = secondary.find({}, batch_size=3)
        assert len(await cursor.to_list()) == 10
        assert {event.address for event in log.started_events} == {cursor.address}
        assert cursor.address != primary_of(client)


async def test_limit_and_batch_size(replica_set: ReplicaSet) -> None:
    # CRUD specification, "Setting limit and batchSize options for find commands".
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME, documents=10)
        log.clear()
        assert len(await orders.find({}, limit=4, batch_size=4).to_list()) == 4
        assert log.names == ["find"]
        assert len(await orders.find({}, limit=4, batch_size=3).to_list()) == 4
        assert len(await orders.find({}, limit=-3).to_list()) == 3
        assert len(await orders.find({}, limit=20, batch_size=5).to_list()) == 10
        assert await open_cursors(client) == 0


async def test_closing_early_leaves_nothing_open(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME, documents=10)
        log.clear()
        async with orders.find({}, batch_size=2) as cursor:
            async for _ in cursor:
                break
            assert await open_cursors(client) == 1
        assert await open_cursors(client) == 0
        assert not cursor.alive
        assert log.lsids("killCursors") == log.lsids("find")


async def test_dropped_cursor_is_killed_in_the_background(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME, documents=10)
        cursor = orders.find({}, batch_size=2)
        await cursor.next()
        lsid = log.lsids("find")[-1]
        del cursor
        gc.collect()
        await until(lambda: "killCursors" in log.names, "killCursors of the dropped cursor")

        async def closed() -> bool:
            return await open_cursors(client) == 0

        await until_async(closed, "no open cursor")
        assert log.lsids("killCursors") == [lsid]
        await until(lambda: _introspect.checked_out(client) == 0, "the killing connection back in its pool")


async def test_every_spelling_reads_the_same(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME, documents=5)
        pipeline = [{"$sort": {"_id": 1}}]
        expected = [{"_id": number} for number in range(5)]
        log.clear()
        assert [d async for d in orders.aggregate(pipeline, batch_size=2)] == expected
        assert [d async for d in await orders.aggregate(pipeline, batch_size=2)] == expected
        assert await orders.aggregate(pipeline, batch_size=2).to_list() == expected
        assert await (await orders.aggregate(pipeline, batch_size=2)).to_list() == expected
        async with await orders.aggregate(pipeline, batch_size=2) as cursor:
            assert await cursor.next() == expected[0]
        async with orders.aggregate(pipeline, batch_size=2) as cursor:
            assert await cursor.try_next() == expected[0]
        assert log.names.count("aggregate") == 6
        assert await open_cursors(client) == 0


async def test_try_next_and_to_list_in_portions(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        orders = await fresh_collection(client, NAME, documents=7)
        cursor = orders.find({}, batch_size=2).sort("_id")
        assert await cursor.try_next() == {"_id": 0}
        assert await cursor.to_list(3) == [{"_id": number} for number in (1, 2, 3)]
        assert await cursor.to_list() == [{"_id": number} for number in (4, 5, 6)]
        assert await cursor.try_next() is None
        assert cursor.retrieved == 7


# --- sessions ---


async def test_cursor_of_an_explicit_session_keeps_it(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log), client.start_session() as session:
        orders = await fresh_collection(client, NAME, documents=6)
        log.clear()
        assert len(await orders.find({}, batch_size=2, session=session).to_list()) == 6
        assert set(log.lsids()) == {bytes(session.session_id["id"])}


async def test_cursor_opened_in_a_binding_keeps_its_session_outside(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log), client.start_session() as session:
        orders = await fresh_collection(client, NAME, documents=6)
        log.clear()
        async with session.bind(end_session=False):
            cursor = orders.find({}, batch_size=2)
            await cursor.next()
        assert len(await cursor.to_list()) == 5
        assert set(log.lsids()) == {bytes(session.session_id["id"])}


async def test_two_cursors_of_one_session_in_turn(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _), client.start_session() as session:
        orders = await fresh_collection(client, NAME, documents=6)
        one = orders.find({}, batch_size=2, session=session).sort("_id")
        two = orders.find({}, batch_size=2, session=session).sort("_id", -1)
        async with one, two:
            for number in range(6):
                assert await one.next() == {"_id": number}
                assert await two.next() == {"_id": 5 - number}


async def test_cursor_whose_session_ended_cannot_go_on_and_is_closed(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        orders = await fresh_collection(client, NAME, documents=6)
        async with client.start_session() as session:
            cursor = orders.find({}, batch_size=2, session=session)
            await cursor.next()
        await cursor.next()
        with pytest.raises(InvalidOperation, match="ended"):
            await cursor.next()
        await cursor.close()
        assert await open_cursors(client) == 0


async def test_cursor_in_a_transaction(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME, documents=6)
        log.clear()
        async with client.start_session() as session, session.start_transaction():
            await orders.insert_one({"_id": 6}, session=session)
            assert len(await orders.find({}, batch_size=2, session=session).to_list()) == 7
            async with orders.find({}, batch_size=2, session=session) as cursor:
                await cursor.next()
        # killCursors belongs to the transaction while it is open, like every other command.
        assert all(command.get("autocommit") is False for command in log.sent())
        assert log.names[-1] == "commitTransaction"
        assert await open_cursors(client) == 0


# --- failures ---


async def test_get_more_is_not_retried_and_gives_the_session_back(replica_set: ReplicaSet) -> None:
    # Retryable-reads specification, "Unsupported Read Operations".
    async with watched(replica_set) as (client, log):
        # The server's cursor outlives its connection, so this test uses a collection of its own.
        orders = await fresh_collection(client, f"{NAME}_lost", documents=6)
        log.clear()
        data = {"closeConnection": True}
        async with fail_command(primary_of(client), "getMore", app_name=APP_NAME, data=data):
            cursor = orders.find({}, batch_size=2)
            with pytest.raises(AutoReconnect):
                await cursor.to_list()
        assert log.names == ["find", "getMore"]
        assert not cursor.alive


async def test_get_more_that_the_server_refuses_kills_the_cursor(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME, documents=6)
        log.clear()
        async with fail_command(primary_of(client), "getMore", app_name=APP_NAME, data={"errorCode": 2}):
            with pytest.raises(OperationFailure):
                await orders.find({}, batch_size=2).to_list()
        assert log.names == ["find", "getMore", "killCursors"]
        assert await open_cursors(client) == 0


async def test_cursor_that_the_server_lost(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME, documents=6)
        cursor = orders.find({}, batch_size=2)
        await cursor.next()
        await client[DATABASE].command("killCursors", NAME, cursors=[cursor.cursor_id])
        log.clear()
        with pytest.raises(CursorNotFound):
            await cursor.to_list()
        assert log.names == ["getMore"]
        assert not cursor.alive


async def test_find_is_retried(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME, documents=3)
        log.clear()
        data = {"closeConnection": True}
        async with fail_command(primary_of(client), "find", app_name=APP_NAME, data=data):
            assert len(await orders.find().to_list()) == 3
        assert log.names == ["find", "find"]
        assert len(set(log.lsids())) == 1


# --- cancellation and concurrency ---


async def test_cancelled_get_more_leaves_nothing_open(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME, documents=6)
        watch = LeakWatch(replica_set, client, f"{DATABASE}.{NAME}")
        await watch.remember()
        async with fail_command(primary_of(client), "getMore", app_name=APP_NAME, block_ms=200) as point:
            cursor = orders.find({}, batch_size=2)
            await cursor.next()
            await cursor.next()
            async with anyio.create_task_group() as group:

                async def drain() -> None:
                    await cursor.to_list()

                group.start_soon(drain)
                await point.wait_until_entered()
                group.cancel_scope.cancel()
        assert not cursor.alive
        await watch.check("a getMore was cancelled")
        assert await open_cursors(client) == 0
        # Which of them depends on whether the reply arrived in time.
        assert {"killCursors", "killSessions"} & set(log.names)


async def test_cancelled_find_leaves_nothing_open(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        orders = await fresh_collection(client, NAME, documents=6)
        watch = LeakWatch(replica_set, client, f"{DATABASE}.{NAME}")
        await watch.remember()
        async with fail_command(primary_of(client), "find", app_name=APP_NAME, block_ms=200) as point:
            cursor = orders.find({}, batch_size=2)
            async with anyio.create_task_group() as group:

                async def drain() -> None:
                    await cursor.to_list()

                group.start_soon(drain)
                await point.wait_until_entered()
                group.cancel_scope.cancel()
        assert not cursor.alive
        await watch.check("a find was cancelled")
        assert await open_cursors(client) == 0


async def test_cursor_goes_from_task_to_task_in_turn_but_not_at_once(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        orders = await fresh_collection(client, NAME, documents=6)
        cursor = orders.find({}, batch_size=2).sort("_id")
        taken: list[Any] = []

        async def take_two() -> None:
            taken.append(await cursor.next())
            taken.append(await cursor.next())

        for _ in range(2):
            async with anyio.create_task_group() as group:
                group.start_soon(take_two)
        assert taken == [{"_id": number} for number in range(4)]
        async with (
            fail_command(primary_of(client), "getMore", app_name=APP_NAME, block_ms=300) as point,
            anyio.create_task_group() as group,
        ):
            group.start_soon(take_two)
            await point.wait_until_entered()
            with pytest.raises(InvalidOperation, match="one task at a time"):
                await cursor.next()
        assert taken == [{"_id": number} for number in range(6)]
        await cursor.close()


# --- tailable ---


async def test_tailable_cursor_waits_for_more(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        database = client[DATABASE]
        await database.drop_collection("cursors_capped")
        tail = await database.create_collection("cursors_capped", capped=True, size=4096)
        await tail.insert_one({"_id": 1})
        log.clear()
        async with tail.find({}, cursor_type=CursorType.TAILABLE_AWAIT, max_await_time_ms=20) as cursor:
            assert [d async for d in cursor] == [{"_id": 1}]
            assert cursor.alive
            await tail.insert_one({"_id": 2})
            found: list[Any] = []
            with anyio.fail_after(10):
                while not found:
                    found = [d async for d in cursor]
            assert found == [{"_id": 2}]
        assert all(command["maxTimeMS"] == 20 for command in log.sent("getMore"))
        assert log.sent("find")[0]["awaitData"] is True


async def test_large_result_does_not_starve_other_tasks(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        orders = await fresh_collection(client, NAME)
        await orders.insert_many([{"_id": number} for number in range(5000)])
        turns = 0
        done = False

        async def count_turns() -> None:
            nonlocal turns
            while not done:
                await anyio.lowlevel.checkpoint()
                turns += 1

        async with anyio.create_task_group() as group:
            group.start_soon(count_turns)
            count = 0
            async for _ in orders.find({}, batch_size=5000):
                count += 1
            done = True
        assert count == 5000
        assert turns >= 40


async def test_tailable_cursor_overtaken_by_its_collection_ends(replica_set: ReplicaSet) -> None:
    # CappedPositionLost, as in PyMongo: ``alive`` shows that a new cursor is needed.
    async with watched(replica_set) as (client, log):
        database = client[DATABASE]
        await database.drop_collection("cursors_overtaken")
        tail = await database.create_collection("cursors_overtaken", capped=True, size=4096, max=3)
        await tail.insert_many([{"_id": number} for number in range(3)])
        log.clear()
        async with tail.find({}, cursor_type=CursorType.TAILABLE, batch_size=1) as cursor:
            assert await cursor.next() == {"_id": 0}
            await tail.insert_many([{"_id": number} for number in range(3, 20)])
            assert [d async for d in cursor] == []
            assert not cursor.alive
        assert [getattr(event.failure, "code", None) for event in log.failed_events] == [136]
        assert "killCursors" not in log.names


# --- change streams, copies, overload ---


async def test_list_of_a_change_stream_ends(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        orders = await fresh_collection(client, NAME)
        with anyio.fail_after(30):
            async with orders.aggregate([{"$changeStream": {}}], max_await_time_ms=50) as cursor:
                assert await cursor.to_list() == []
                await orders.insert_many([{"_id": number} for number in range(3)])
                found: list[Any] = []
                while len(found) < 3:
                    found += await cursor.to_list()
                assert [event["documentKey"]["_id"] for event in found] == [0, 1, 2]
                assert cursor.alive
        assert await open_cursors(client) == 0


async def test_copies_of_an_open_cursor_have_cursors_and_sessions_of_their_own(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME, documents=6)
        log.clear()
        cursor = orders.find({}, batch_size=2).sort("_id")
        await cursor.next()
        one, two = copy.copy(cursor), copy.deepcopy(cursor)
        await one.next()
        await two.next()
        assert len(set(log.lsids("find"))) == 3
        expected = [{"_id": number} for number in range(1, 6)]
        assert await one.to_list() == await two.to_list() == await cursor.to_list() == expected
        del one, two, cursor
        gc.collect()
        assert await open_cursors(client) == 0


async def test_killing_a_cursor_is_tried_again_when_the_server_sheds_load(replica_set: ReplicaSet) -> None:
    # Client-backpressure specification, "Driver mechanisms subject to the retry policy".
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME, documents=6)
        log.clear()
        data = {"errorCode": 462, "errorLabels": ["SystemOverloadedError", "RetryableError"]}
        async with (
            fail_command(primary_of(client), "killCursors", times=2, app_name=APP_NAME, data=data),
            orders.find({}, batch_size=2) as cursor,
        ):
            await cursor.next()
        assert log.names == ["find", "killCursors", "killCursors", "killCursors"]
        assert await open_cursors(client) == 0


# --- raw batches ---


async def test_raw_batches_in_a_binding_a_transaction_and_a_snapshot(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME, documents=7)
        await orders.with_options(write_concern=wiredrv.WriteConcern("majority")).insert_one({"_id": 7})

        async def read() -> None:
            log.clear()
            raw = await orders.find_raw_batches({}, batch_size=3).sort("_id").to_list()
            assert [[document["_id"] for document in bson.decode_all(item)] for item in raw] == [
                [0, 1, 2],
                [3, 4, 5],
                [6, 7],
            ]
            async with orders.aggregate_raw_batches([{"$sort": {"_id": 1}}], batch_size=3) as cursor:
                assert len(bson.decode_all(await cursor.next())) == 3
            assert len(set(log.lsids())) == 1

        async with client.start_session() as session, session.bind(end_session=False):
            await read()
        async with client.transaction():
            await read()
            assert all(command.get("autocommit") is False for command in log.sent())
        async with client.start_session(snapshot=True) as session, session.bind(end_session=False):
            await read()
        assert await open_cursors(client) == 0


async def test_dropped_raw_cursor_is_killed(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME, documents=10)
        cursor = orders.find_raw_batches({}, batch_size=2)
        await cursor.next()
        del cursor
        gc.collect()
        await until(lambda: "killCursors" in log.names, "killCursors of the dropped cursor")
        await until(lambda: _introspect.checked_out(client) == 0, "the killing connection back in its pool")
