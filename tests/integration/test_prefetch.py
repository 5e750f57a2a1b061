"""Cursors that read ahead, on the replica set: connections, errors, closing, cancellation, closed clients."""

from __future__ import annotations

import contextlib
import gc
import warnings
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from bson.datetime_ms import DatetimeMS

import wiredrv
from tests.support.commands import APP_NAME, DATABASE, CommandLog, fresh_collection, primary_of, watched
from tests.support.event_log import EventLog
from tests.support.failpoints import fail_command
from tests.support.leaks import LeakWatch
from tests.support.waiting import until
from wiredrv import _introspect, events
from wiredrv.errors import InvalidOperation, OperationFailure, OperationTimeout, UnreadableReply
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

NAME = "prefetch"


async def idle(client: wiredrv.Client, log: CommandLog, commands: int) -> None:
    """Wait until so many commands were sent, and all connections are back in their pool."""
    await until(lambda: len(log.names) == commands, f"{commands} commands")
    await until(lambda: _introspect.checked_out(client) == 0, "all connections back in their pools")


async def test_a_batch_ahead_holds_no_connection(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME, documents=7)
        log.clear()
        found = []
        async with orders.find({}, prefetch=True, batch_size=3).sort("_id") as cursor:
            found.append(await cursor.next())
            await idle(client, log, 2)
            await anyio.sleep(0.02)
            assert log.names == ["find", "getMore"]
            found += [document async for document in cursor]
        assert [document["_id"] for document in found] == list(range(7))
        assert log.names == ["find", "getMore", "getMore"]
        assert len(set(log.lsids())) == 1


async def test_every_spelling_reads_the_same(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME, documents=7)
        expected = [{"_id": number} for number in range(7)]
        find = orders.find({}, prefetch=True, batch_size=2).sort("_id")
        stages = [{"$sort": {"_id": 1}}]
        assert await find.to_list() == expected
        assert [document async for document in find.clone()] == expected
        assert await find.clone().limit(5).to_list() == expected[:5]
        assert [len(found) async for found in find.clone().batches()] == [2, 2, 2, 1]
        assert len(await orders.find_raw_batches({}, prefetch=True, batch_size=2).to_list()) == 4
        assert await (await orders.aggregate(stages, prefetch=True, batch_size=2)).to_list() == expected
        assert [document async for document in orders.aggregate(stages, prefetch=True)] == expected
        assert log.names.count("killCursors") in (0, 1)  # of the one with a limit


async def test_sessions_read_one_batch_after_the_other(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME, documents=7)

        async def read(**options: Any) -> None:
            log.clear()
            cursor = orders.find({}, prefetch=True, batch_size=2, **options)
            await cursor.next()
            await anyio.sleep(0.01)
            assert log.names == ["find"]
            assert len(await cursor.to_list()) == 6

        async with client.start_session() as session:
            await read(session=session)
        async with client.start_session() as session, session.bind(end_session=False):
            await read()
        async with client.transaction():
            await read()
        async with client.start_session(snapshot=True) as session:
            await read(session=session)


async def test_an_error_is_raised_after_the_documents_before_it(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME, documents=7)
        log.clear()
        found = []

        async def read() -> None:
            async for document in orders.find({}, prefetch=True, batch_size=2):
                await idle(client, log, 2)
                found.append(document)

        async with fail_command(primary_of(client), "getMore", app_name=APP_NAME, data={"errorCode": 2}):
            with pytest.raises(OperationFailure):
                await read()
        assert len(found) == 2
        assert log.names == ["find", "getMore", "killCursors"]


async def test_a_document_that_cannot_be_decoded(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        orders = await fresh_collection(client, NAME, documents=7)
        await orders.update_one({"_id": 3}, {"$set": {"x": DatetimeMS(10**15)}})
        watch = LeakWatch(replica_set, client, f"{DATABASE}.{NAME}")
        await watch.remember()
        found = []

        async def read() -> None:
            async for document in orders.find({}, prefetch=True, batch_size=2).sort("_id"):
                found.append(document["_id"])

        with pytest.raises(UnreadableReply, match="_id 3"):
            await read()
        assert found == [0, 1, 2]
        await watch.check("after an unreadable document")


@pytest.mark.parametrize("late", [0, 150], ids=["at rest", "in flight"])
async def test_leaving_early_leaves_nothing_open(replica_set: ReplicaSet, late: int) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME, documents=10)
        watch = LeakWatch(replica_set, client, f"{DATABASE}.{NAME}")
        await watch.remember()
        async with fail_command(primary_of(client), "getMore", app_name=APP_NAME, block_ms=late, times=3):
            async with orders.find({}, prefetch=True, batch_size=2) as cursor:
                await cursor.next()
            await watch.check("closed")
            cursor = orders.find({}, prefetch=True, batch_size=2)
            await cursor.next()
            cursor.rewind()
            await cursor.next()
            del cursor
            gc.collect()
            await watch.check("rewound, and dropped")
        assert log.names.count("killCursors") == 3


async def test_a_closed_client_leaves_nothing_open(replica_set: ReplicaSet) -> None:
    async with wiredrv.Client(replica_set.uri) as other, wiredrv.Client(replica_set.uri, appName=APP_NAME) as client:
        orders = await fresh_collection(client, NAME, documents=10)
        watch = LeakWatch(replica_set, other, f"{DATABASE}.{NAME}")
        await watch.remember()
        async with fail_command(primary_of(client), "getMore", app_name=APP_NAME, block_ms=200) as point:
            cursor = orders.find({}, prefetch=True, batch_size=2)
            await cursor.next()
            await point.wait_until_entered()
            await client.close()
        await cursor.next()
        for _ in range(2):
            with pytest.raises(InvalidOperation, match="cannot be read any further"):
                await cursor.next()
        await watch.check("the client is closed")


async def test_a_time_limit_of_a_block_applies_to_the_wait_alone(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME, documents=6)
        watch = LeakWatch(replica_set, client, f"{DATABASE}.{NAME}")
        await watch.remember()
        async with fail_command(primary_of(client), "getMore", app_name=APP_NAME, block_ms=600) as point:
            cursor = orders.find({}, prefetch=True, batch_size=2)
            await cursor.to_list(2)
            await point.wait_until_entered()
            with pytest.raises(OperationTimeout, match="did not come within 50 ms"), wiredrv.timeout(0.05):
                await cursor.next()
            await cursor.close()
        await watch.check("out of time")
        log.clear()
        async with orders.find({}, prefetch=True, batch_size=2) as cursor:
            await cursor.to_list(2)
            await idle(client, log, 2)
            async with fail_command(primary_of(client), "getMore", app_name=APP_NAME, block_ms=150):
                with wiredrv.timeout(0.1):
                    # Starts to read the last batch ahead, which is needed after the block.
                    await cursor.next()
                assert len(await cursor.to_list()) == 3
        await watch.check("after the block")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("answered", [True, False])
def test_another_event_loop_skips_no_batch(replica_set: ReplicaSet, backend: str, answered: bool) -> None:
    name = f"{NAME}_loops_{backend}_{answered}"
    log = EventLog()
    client = wiredrv.Client(replica_set.uri, appName=APP_NAME, event_listeners=[log])
    orders = client[DATABASE][name]
    cursor = orders.find({}, prefetch=True, batch_size=5).sort("_id")

    async def first() -> int:
        await orders.drop()
        await orders.insert_many([{"_id": number} for number in range(20)])
        if not answered:
            delay = {"failCommands": ["getMore"], "blockConnection": True, "blockTimeMS": 1000, "appName": APP_NAME}
            await client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": delay})
        log.clear()
        found: int = (await cursor.next())["_id"]
        await until(lambda: len(log.of(events.CommandStartedEvent)) == 2, "a getMore")
        if answered:
            await until(lambda: len(log.of(events.CommandSucceededEvent)) == 2, "its reply")
            await until(lambda: _introspect.checked_out(client) == 0, "its connection back in the pool")
        return found

    async def second() -> list[int]:
        async with client:
            found = []
            with contextlib.nullcontext() if answered else pytest.raises(InvalidOperation, match="any further"):
                async for document in cursor:
                    found.append(document["_id"])
            await cursor.close()
            return found

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client was not closed in its first event loop
        assert anyio.run(first, backend=backend) == 0
        assert anyio.run(second, backend=backend) == list(range(1, 20 if answered else 5))


async def test_cancellation_at_any_await_leaves_nothing_open(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        orders = await fresh_collection(client, NAME, documents=300)
        watch = LeakWatch(replica_set, client, f"{DATABASE}.{NAME}")
        await watch.remember()

        async def read(seconds: float) -> None:
            with anyio.move_on_after(seconds):
                async with orders.find({}, prefetch=True, batch_size=5) as cursor:
                    async for _ in cursor:
                        await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as group:
            for number in range(60):
                group.start_soon(read, number / 1500)
        await watch.check("cancelled")


async def test_it_makes_way_for_operations_that_wait_for_a_connection(replica_set: ReplicaSet) -> None:
    log = EventLog()
    async with wiredrv.Client(replica_set.uri, maxPoolSize=1, appName=APP_NAME, event_listeners=[log]) as client:
        orders = await fresh_collection(client, NAME, documents=30)
        log.clear()
        async with anyio.create_task_group() as group:

            async def count() -> None:
                assert await orders.count_documents({}) == 30

            for _ in range(3):
                group.start_soon(count)
            cursor = orders.find({}, prefetch=True, batch_size=10)
            for _ in range(4):
                group.start_soon(count)
            await cursor.next()
            sent = [event.command_name for event in log.of(events.CommandStartedEvent)]
            assert "getMore" not in sent
        assert len(await cursor.to_list()) == 29


@pytest.mark.parametrize("how", ["closed", "left open", "failed"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_event_loop_that_ends_meanwhile_leaves_nothing_open(replica_set: ReplicaSet, backend: str, how: str) -> None:
    name = f"{NAME}_{backend}_{how.replace(' ', '_')}"

    async def program() -> None:
        client = wiredrv.Client(replica_set.uri, appName=APP_NAME)
        orders = client[DATABASE][name]
        await orders.drop()
        await orders.insert_many([{"_id": number} for number in range(50)])
        delay = {"failCommands": ["getMore"], "blockConnection": True, "blockTimeMS": 150, "appName": APP_NAME}
        await client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": delay})
        cursor = orders.find({}, prefetch=True, batch_size=5)
        await cursor.next()
        await until(lambda: _introspect.checked_out(client) == 1, "a getMore in flight")
        if how == "closed":
            await client.close()
        if how == "failed":
            raise ZeroDivisionError

    async def idle_cursors() -> int:
        async with wiredrv.Client(replica_set.uri) as client:
            stages: list[dict[str, Any]] = [
                {"$currentOp": {"idleCursors": True, "allUsers": True}},
                {"$match": {"type": "idleCursor", "ns": f"{DATABASE}.{name}"}},
            ]
            found = -1
            with anyio.move_on_after(5):
                while found:
                    found = len(await client.admin.aggregate(stages).to_list())
            return found

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # clients that were not closed
        with contextlib.suppress(ZeroDivisionError):
            anyio.run(program, backend=backend)
        gc.collect()
    assert anyio.run(idle_cursors) == 0
