"""Change streams on two routers, and behind load balancers: a router that is killed loses no event.

The routers are doubles. Specifications: change-streams, "Resume Process"; load-balancers, "Cursors".
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import pytest

import wiredrv
from tests.support.commands import APP_NAME, CommandLog, fresh_collection, sessions_back, watched
from tests.support.failpoints import fail_command
from tests.support.sharded_double import ShardedDouble
from tests.support.waiting import until
from wiredrv import _introspect

pytestmark = pytest.mark.anyio

_RESUMABLE = {"errorCode": 6, "errorLabels": ["ResumableChangeStreamError"]}


@asynccontextmanager
async def _scene(uri: str) -> AsyncIterator[tuple[wiredrv.Client, wiredrv.Collection, CommandLog]]:
    # A router that is slow on a busy machine must still be selected.
    async with watched(uri, localThresholdMS=60_000) as (client, log):
        collection = await fresh_collection(client, "routed_streams")
        log.clear()
        yield client, collection, log
        await sessions_back(client)
        await until(lambda: _introspect.checked_out(client) == 0, "every connection is back in its pool")


async def _ids(stream: wiredrv.ChangeStream, count: int) -> list[Any]:
    return [(await stream.next())["documentKey"]["_id"] for _ in range(count)]


@pytest.mark.parametrize("idle", [True, False], ids=["idle", "waiting"])
async def test_a_stream_goes_on_with_the_other_router(
    sharded_double: ShardedDouble, replica_set: Any, idle: bool
) -> None:
    async with (
        wiredrv.Client(replica_set.uri) as direct,
        _scene(sharded_double.uri) as (_, collection, log),
    ):
        written = direct[collection.database.name][collection.name]
        async with collection.watch() as stream:
            await written.insert_many([{"_id": number} for number in range(3)])
            assert await _ids(stream, 2) == [0, 1]
            [router] = {event.address for event in log.started_events}
            number = [one.address for one in sharded_double.routers].index(router)
            seen: list[Any] = []

            async def read() -> None:
                seen.extend(await _ids(stream, 3))

            async with anyio.create_task_group() as group:
                if not idle:
                    group.start_soon(read)
                    await until(lambda: len(log.sent("getMore")) > 1, "the stream waits for an event")
                try:
                    await anyio.to_thread.run_sync(sharded_double.kill, number)
                    await written.insert_many([{"_id": number} for number in (3, 4)])
                    if idle:
                        await read()
                    with anyio.fail_after(20):
                        await until(lambda: len(seen) == 3, "the events were given")
                finally:
                    with anyio.CancelScope(shield=True):
                        await anyio.to_thread.run_sync(sharded_double.start, number)
            assert seen == [2, 3, 4]
            assert {event.address for event in log.started_events if event.command_name == "aggregate"} == {
                one.address for one in sharded_double.routers
            }


async def test_behind_a_load_balancer_a_stream_keeps_a_connection_until_it_is_closed(
    sharded_double: ShardedDouble,
) -> None:
    async with _scene(sharded_double.multiple_uri) as (client, collection, log):
        async with collection.watch(max_await_time_ms=20) as stream:
            assert _introspect.checked_out(client) == 1
            await collection.insert_one({"_id": 1})
            assert await _ids(stream, 1) == [1]
            assert await stream.try_next() is None
        of_stream = {e.connection_id for e in log.started_events if e.command_name != "insert"}
        assert len(of_stream) == 1
        assert len(log.succeeded_events[-1].reply["cursorsKilled"]) == 1
        assert _introspect.checked_out(client) == 0


async def test_behind_a_load_balancer_a_resumed_stream_has_one_connection(sharded_double: ShardedDouble) -> None:
    async with _scene(sharded_double.single_uri) as (client, collection, log):
        async with collection.watch(max_await_time_ms=20) as stream:
            for data in (_RESUMABLE, {"closeConnection": True}):
                async with fail_command(sharded_double.routers[0].address, "getMore", app_name=APP_NAME, data=data):
                    assert await stream.try_next() is None
                await until(lambda: _introspect.checked_out(client) == 1, "only the new cursor has a connection")
            await collection.insert_one({"_id": 1})
            assert await _ids(stream, 1) == [1]
        assert len(log.sent("aggregate")) == 3


async def test_behind_a_load_balancer_cancelled_closed_and_collected_streams_leave_nothing(
    sharded_double: ShardedDouble,
) -> None:
    async with _scene(sharded_double.multiple_uri) as (client, collection, _):
        stream = await collection.watch()
        with anyio.move_on_after(0.05) as scope:
            await stream.next()
        assert scope.cancelled_caught
        await until(lambda: _introspect.checked_out(client) == 0, "a cancelled wait keeps no connection")
        await collection.insert_one({"_id": 1})
        assert await _ids(stream, 1) == [1]
        async with anyio.create_task_group() as group:
            group.start_soon(_read_to_the_end, stream)
            await anyio.sleep(0.05)
            await stream.close()
        held = [await collection.watch()]
        with pytest.warns(ResourceWarning, match="was never closed"):
            _drop(held)


def _drop(held: list[wiredrv.ChangeStream]) -> None:
    held.clear()
    gc.collect()


async def _read_to_the_end(stream: wiredrv.ChangeStream) -> None:
    assert [event async for event in stream] == []
