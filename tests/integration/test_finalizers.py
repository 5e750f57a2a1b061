"""Objects that were never closed: a finalizer runs in any thread at any point, and only records what to clean up.

The clean-up happens on the loop that owns the client, also for transactions that are open when a loop ends.
"""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest

import wiredrv
from tests.support.commands import APP_NAME, fresh_collection
from tests.support.leaks import LeakWatch
from tests.support.waiting import until
from wiredrv.local import ReplicaSet
from wiredrv.pool.state import PoolState

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:a session started at:ResourceWarning")]

_NAME = "finalizers"


class Holder:
    """Refers to itself, so that only the garbage collector frees what it holds."""

    def __init__(self, *held: object) -> None:
        self.held = held
        self.myself = self


async def _open_things(client: wiredrv.Client, collection: wiredrv.Collection) -> list[object]:
    """A cursor without a session, one in a session, and a session with a transaction that holds a third."""
    alone = collection.find({}, batch_size=2)
    await alone.next()
    session = client.start_session()
    explicit = collection.find({}, batch_size=2, session=session)
    await explicit.next()
    other = client.start_session()
    other.start_transaction()
    await collection.insert_one({"x": 1}, session=other)
    within = collection.find({}, batch_size=2, session=other)
    await within.next()
    return [alone, explicit, session, within, other]


async def test_what_is_collected_in_another_thread_is_cleaned_up_on_its_own_loop(replica_set: ReplicaSet) -> None:
    async with wiredrv.Client(replica_set.uri, appName=APP_NAME) as client:
        collection = await fresh_collection(client, _NAME, 9)
        watch = LeakWatch(replica_set, client, collection.full_name)
        await watch.remember()
        things = await _open_things(client, collection)

        def drop() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                things.clear()
                gc.collect()

        await anyio.to_thread.run_sync(drop)
        await watch.check("collected in a worker thread")
        assert await collection.count_documents({"x": 1}) == 0


async def test_the_hooks_of_a_session_that_is_collected_in_a_cycle_are_called(replica_set: ReplicaSet) -> None:
    """Python clears the weak references to the objects of a cycle before it calls their finalizers."""
    async with wiredrv.Client(replica_set.uri, appName=APP_NAME) as client:
        collection = await fresh_collection(client, _NAME, 1)
        session = client.start_session()
        session.start_transaction()
        await collection.insert_one({"x": 1}, session=session)
        told: list[str] = []
        session.on_abort(lambda: told.append("abort"))
        session.on_commit(lambda: told.append("commit"))
        Holder(session)
        del session
        gc.collect()
        await until(lambda: told == ["abort"], "the outcome is known")
        assert await collection.count_documents({"x": 1}) == 0


async def test_what_is_collected_within_a_check_in_disturbs_no_pool(
    replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with wiredrv.Client(replica_set.uri, appName=APP_NAME) as client:
        collection = await fresh_collection(client, _NAME, 9)
        watch = LeakWatch(replica_set, client, collection.full_name)
        await watch.remember()
        garbage: list[Holder] = [Holder(*await _open_things(client, collection))]
        returned: Callable[..., Any] = PoolState.returned
        collected: list[int] = []

        def collect_then_return(self: Any, *arguments: Any) -> Any:
            if garbage:
                garbage.clear()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ResourceWarning)
                    collected.append(gc.collect())
            return returned(self, *arguments)

        monkeypatch.setattr(PoolState, "returned", collect_then_return)
        assert await collection.count_documents({}) == 9
        assert collected
        await watch.check("collected within a check-in")


async def test_a_client_that_is_collected_in_another_thread_stops_its_tasks(replica_set: ReplicaSet) -> None:
    before = len(anyio.get_running_tasks())
    client = wiredrv.Client(replica_set.uri)
    await client.admin.command("ping")
    held = [client]
    del client

    def drop() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            held.clear()
            gc.collect()

    await anyio.to_thread.run_sync(drop)
    await until(lambda: len(anyio.get_running_tasks()) <= before, "its tasks have ended")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_loop_that_ends_leaves_no_transaction_behind(replica_set: ReplicaSet) -> None:
    """``asyncio.run`` cancels all tasks at once, the client's included, and gives them no second chance."""
    async with wiredrv.Client(replica_set.uri, appName=APP_NAME) as client:
        collection = await fresh_collection(client, _NAME)
        watch = LeakWatch(replica_set, client, collection.full_name)
        await watch.remember()
        name = collection.database.name

        async def main() -> None:
            other = wiredrv.Client(replica_set.uri)
            started = [asyncio.Event() for _ in range(3)]

            async def work(number: int) -> None:
                async with other.start_session() as session, session.start_transaction():
                    await other[name][_NAME].insert_one({"_id": number}, session=session)
                    started[number].set()
                    if number == 0:
                        await asyncio.sleep(60)
                    while True:
                        await other[name][_NAME].find_one({"_id": number}, session=session)

            tasks = [asyncio.create_task(work(number)) for number in range(3)]
            for event in started:
                await event.wait()
            other.keep = tasks  # type: ignore[attr-defined]

        def run() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                asyncio.run(main())
                gc.collect()

        await anyio.to_thread.run_sync(run)
        await watch.check("the loop ended")
        assert await collection.count_documents({}) == 0
