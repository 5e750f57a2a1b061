"""The caller regains control soon after its cancellation or its deadline, whatever was open.

The primary is frozen (SIGSTOP), so that no reply ever arrives, and open objects of every kind are cancelled: the bound
is ``GRACE_SECONDS``, shared by everything that one cancellation affects. What could not be cleaned up in that time is
left to the background, or to the server's own time limit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from time import monotonic

import anyio
import pytest

import wiredrv
from tests.support.commands import APP_NAME, fresh_collection, primary_of, watched
from tests.support.failpoints import fail_command
from tests.support.leaks import LeakWatch
from tests.support.stalls import stopwatch
from tests.support.waiting import until
from wiredrv.execution.budget import GRACE_SECONDS
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

_LIMIT = 0.6
#: In addition to the machine's delays, which are subtracted. Without the bound, the cases took from 4 to 16 seconds.
_SLACK = 0.7
_NAME = "deadlines"


class Scene:
    """A client with a collection on a replica set whose primary can be frozen."""

    def __init__(self, replica_set: ReplicaSet, client: wiredrv.Client, collection: wiredrv.Collection) -> None:
        self.client = client
        self.collection = collection
        self.uri = replica_set.uri
        self.server = replica_set.primary()

    def freeze(self) -> None:
        self.server.freeze()


@asynccontextmanager
async def _scene(replica_set: ReplicaSet) -> AsyncIterator[Scene]:
    async with wiredrv.Client(replica_set.uri, appName=APP_NAME) as client:
        scene = Scene(replica_set, client, await fresh_collection(client, _NAME, 9))
        try:
            yield scene
        finally:
            scene.server.thaw()


async def find_one(scene: Scene) -> None:
    scene.freeze()
    await scene.collection.find_one({})


async def in_a_cursors_block(scene: Scene) -> None:
    async with scene.collection.find({}, batch_size=2) as cursor:
        await cursor.next()
        scene.freeze()
        await cursor.to_list()


async def in_five_cursors_blocks(scene: Scene) -> None:
    async with AsyncExitStack() as stack:
        cursors = [await stack.enter_async_context(scene.collection.find({}, batch_size=2)) for _ in range(5)]
        for cursor in cursors:
            await cursor.next()
        scene.freeze()
        await cursors[-1].to_list()


async def in_a_transactions_block(scene: Scene) -> None:
    async with scene.client.start_session() as session, session.start_transaction():
        await scene.collection.insert_one({"x": 1}, session=session)
        scene.freeze()
        await scene.collection.insert_one({"x": 2}, session=session)


async def at_the_commit(scene: Scene) -> None:
    async with scene.client.start_session() as session, session.start_transaction():
        await scene.collection.insert_one({"x": 1}, session=session)
        scene.freeze()


async def in_with_transaction(scene: Scene) -> None:
    async def callback(session: wiredrv.ClientSession) -> None:
        await scene.collection.insert_one({"x": 1}, session=session)
        scene.freeze()
        await scene.collection.find_one({}, session=session)

    async with scene.client.start_session() as session:
        await session.with_transaction(callback)


async def asleep_in_a_transaction(scene: Scene) -> None:
    """The first driver code that the cancellation reaches is the end of the block."""
    async with scene.client.transaction():
        await scene.collection.insert_one({"x": 1})
        scene.freeze()
        await anyio.sleep(60)


async def in_a_clients_block_with_all_of_it(scene: Scene) -> None:
    async with wiredrv.Client(scene.uri) as own, own.start_session() as session:
        documents = own[scene.collection.database.name][scene.collection.name]
        async with session.start_transaction(), documents.find({}, batch_size=2, session=session) as cursor:
            await cursor.next()
            async with documents.find({}, batch_size=2) as other:
                await other.next()
                scene.freeze()
                await cursor.to_list()


async def in_a_child_of_a_transactions_block(scene: Scene) -> None:
    """The child cleans up first; the block that waits for it gets no additional time."""
    async with scene.client.start_session() as session, session.start_transaction():
        await scene.collection.insert_one({"x": 1}, session=session)
        scene.freeze()
        async with anyio.create_task_group() as group:
            group.start_soon(partial(scene.collection.insert_one, {"x": 2}, session=session))


CASES: tuple[Callable[[Scene], Awaitable[None]], ...] = (
    find_one,
    in_a_cursors_block,
    in_five_cursors_blocks,
    in_a_transactions_block,
    at_the_commit,
    in_with_transaction,
    asleep_in_a_transaction,
    in_a_clients_block_with_all_of_it,
    in_a_child_of_a_transactions_block,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_a_deadline_holds_while_the_primary_is_frozen(
    disturbed_replica_set: ReplicaSet, case: Callable[[Scene], Awaitable[None]]
) -> None:
    async with _scene(disturbed_replica_set) as scene:
        with stopwatch() as watch, anyio.move_on_after(_LIMIT) as scope:
            await case(scene)
    assert scope.cancelled_caught
    assert watch.seconds < _LIMIT + GRACE_SECONDS + _SLACK, f"control came back after {watch.seconds:.1f} s"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("case", [in_a_transactions_block, in_a_clients_block_with_all_of_it])
@pytest.mark.parametrize("how", ["timeout", "wait_for", "cancel"])
async def test_asyncios_own_deadlines_hold_too(
    disturbed_replica_set: ReplicaSet, case: Callable[[Scene], Awaitable[None]], how: str
) -> None:
    """Their cancellation is delivered once, and no shield or scope shows it."""
    async with _scene(disturbed_replica_set) as scene:

        async def run() -> None:
            if how == "timeout":
                async with asyncio.timeout(_LIMIT):
                    await case(scene)
            elif how == "wait_for":
                await asyncio.wait_for(case(scene), _LIMIT)
            else:
                task = asyncio.ensure_future(case(scene))
                await asyncio.sleep(_LIMIT)
                task.cancel()
                await task

        with stopwatch() as watch, pytest.raises((TimeoutError, asyncio.CancelledError)):
            await run()
    assert watch.seconds < _LIMIT + GRACE_SECONDS + _SLACK, f"control came back after {watch.seconds:.1f} s"


async def test_the_next_cancellation_has_time_of_its_own(replica_set: ReplicaSet) -> None:
    """A task that survives one cancellation gets the full time to clean up after the next one."""
    async with watched(replica_set) as (client, _log):
        collection = await fresh_collection(client, _NAME, 9)
        watch = LeakWatch(replica_set, client, collection.full_name)
        await watch.remember()
        for _ in range(3):
            async with fail_command(primary_of(client), "getMore", app_name=APP_NAME, block_ms=150) as point:
                with anyio.CancelScope() as scope:
                    async with anyio.create_task_group() as group:

                        async def cancel(scope: anyio.CancelScope = scope, point: object = point) -> None:
                            await point.wait_until_entered()  # type: ignore[attr-defined]
                            scope.cancel()

                        group.start_soon(cancel)
                        async with collection.find({}, batch_size=2) as cursor:
                            await cursor.to_list()
            assert not cursor.alive
            assert await collection.count_documents({}) == 9
        await watch.check("three cancellations in one task")


# --- what is reported, and when ---------------------------------------------------------------------------------------


async def test_a_commit_that_is_given_up_is_unknown_at_first_and_known_later(replica_set: ReplicaSet) -> None:
    """``on_unknown`` is called when control returns to the caller, the final hook from the background."""
    told: list[str] = []
    async with watched(replica_set) as (client, _log):
        collection = await fresh_collection(client, _NAME)
        session = client.start_session()
        held = int((GRACE_SECONDS + 0.4) * 1000)
        async with fail_command(primary_of(client), "commitTransaction", app_name=APP_NAME, block_ms=held) as point:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:

                    async def cancel() -> None:
                        await point.wait_until_entered()
                        scope.cancel()

                    group.start_soon(cancel)
                    session.start_transaction()
                    session.on_commit(lambda: told.append("committed"))
                    session.on_unknown(lambda: told.append("unknown"))
                    session.on_abort(lambda: told.append("aborted"))
                    await collection.insert_one({"_id": 1}, session=session)
                    await session.commit_transaction()
            first = list(told)
            await until(lambda: "committed" in told, "the background knows the outcome")
        await session.end_session()
        assert first in (["unknown"], ["committed"])
        assert told in (["unknown", "committed"], ["committed"])
        assert await collection.count_documents({}) == 1


async def test_closing_in_a_cancelled_task_says_what_it_gave_up(
    disturbed_replica_set: ReplicaSet, caplog: pytest.LogCaptureFixture
) -> None:
    async with _scene(disturbed_replica_set) as scene:
        with caplog.at_level(logging.WARNING, "wiredrv"), anyio.move_on_after(_LIMIT):
            async with wiredrv.Client(scene.uri) as own:
                session = own.start_session()
                session.start_transaction()
                await own[scene.collection.database.name][scene.collection.name].insert_one({}, session=session)
                scene.freeze()
                await anyio.sleep(60)
        await session.end_session()
    assert "the client is closed in the background; still to be done: 1 open transactions" in caplog.text


async def test_what_a_closed_client_was_to_clean_up_is_cleaned_up(replica_set: ReplicaSet) -> None:
    """The deadline is around the client's own block: closing continues in the background."""
    async with watched(replica_set) as (client, _log):
        collection = await fresh_collection(client, _NAME)
        watch = LeakWatch(replica_set, client, collection.full_name)
        await watch.remember()
        held = int((GRACE_SECONDS + 0.6) * 1000)
        async with fail_command(primary_of(client), "update", app_name=APP_NAME, block_ms=held):
            with anyio.move_on_after(_LIMIT) as scope:
                async with wiredrv.Client(replica_set.uri, appName=APP_NAME) as own, own.start_session() as session:
                    documents = own[collection.database.name][collection.name]
                    async with session.start_transaction():
                        await documents.insert_one({"_id": 1}, session=session)
                        await documents.update_one({"_id": 1}, {"$set": {"x": 1}}, session=session)
        assert scope.cancelled_caught
        await watch.check("a client that was closed past its deadline")


async def test_closing_stops_what_is_in_flight_and_aborts_every_transaction(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _log):
        collection = await fresh_collection(client, _NAME)
        watch = LeakWatch(replica_set, client, collection.full_name)
        await watch.remember()
        own = wiredrv.Client(replica_set.uri, appName="closed")
        documents = own[collection.database.name][collection.name]
        sessions = [own.start_session() for _ in range(2)]
        for number, session in enumerate(sessions):
            session.start_transaction()
            await documents.insert_one({"_id": number}, session=session)
        failures: list[BaseException] = []

        async def update() -> None:
            try:
                await documents.update_one({"_id": 0}, {"$set": {"x": 1}}, session=sessions[0])
            except wiredrv.DriverError as error:
                failures.append(error)

        async with (
            fail_command(primary_of(client), "update", app_name="closed", block_ms=5000) as point,
            anyio.create_task_group() as group,
        ):
            group.start_soon(update)
            await point.wait_until_entered()
            started = monotonic()
            await own.close()
            assert monotonic() - started < 4
        assert failures
        for session in sessions:
            await session.end_session()
        await watch.check("a client that was closed with a statement in flight")
        assert await collection.count_documents({}) == 0


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_that_a_program_swallowed_is_over(replica_set: ReplicaSet) -> None:
    """asyncio's counter keeps its value unless ``uncancel`` is called; what is closed later has its usual time."""
    async with watched(replica_set) as (client, _log):
        collection = await fresh_collection(client, _NAME)

        async def swallow_and_go_on() -> list[str]:
            try:
                await client.admin.command({"aggregate": 1, "pipeline": [{"$currentOp": {}}], "cursor": {}})
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass
            await asyncio.sleep(GRACE_SECONDS + 0.1)
            told: list[str] = []
            async with client.start_session() as session:
                try:
                    async with session.start_transaction():
                        await collection.insert_one({"_id": 1}, session=session)
                        session.on_abort(lambda: told.append("aborted"))
                        raise KeyError
                except KeyError:
                    return list(told)

        task = asyncio.ensure_future(swallow_and_go_on())
        await asyncio.sleep(0.2)
        task.cancel()
        assert await task == ["aborted"]
