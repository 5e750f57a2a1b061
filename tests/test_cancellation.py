"""Cancelling any operation at any await leaves nothing behind, and the client usable.

The harness runs each operation again and again, and cancels it at its first await, its second, and so on, until it has
no more. After each time it checks the servers for open cursors and transactions, the client for connections that
are checked out, and the event loop for its tasks. A second half does the same while a server delays the statement,
so that no reply arrives in time.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import anyio
import pytest

import wiredrv
from tests.support.failpoints import FailPoint, fail_command
from tests.support.leaks import LeakWatch
from tests.support.steps import Steps, cancelled_at
from tests.support.waiting import until
from wiredrv import _introspect
from wiredrv.description import ServerType
from wiredrv.local import ReplicaSet
from wiredrv.types import Address

pytestmark = pytest.mark.anyio

_DATABASE = "wiredrv_cancellation"
_DOCUMENTS = 7
#: More awaits than any of the operations has; reaching this number means that one never ends.
_MOST_AWAITS = 60


class Scene:
    """A client with a collection to work on."""

    def __init__(self, client: wiredrv.Client) -> None:
        self.client = client
        self.collection = client[_DATABASE]["documents"]
        self.scratch = client[_DATABASE]["scratch"]


Run = Callable[[Scene, Any], Awaitable[object]]


# --- the operations, each with the session that it is given (None for an implicit one) --------------------------------


async def insert_one(scene: Scene, session: Any) -> object:
    return await scene.scratch.insert_one({"x": 1}, session=session)


async def insert_many(scene: Scene, session: Any) -> object:
    return await scene.scratch.insert_many([{"x": number} for number in range(5)], session=session)


async def bulk_write(scene: Scene, session: Any) -> object:
    requests = [
        wiredrv.InsertOne({"x": 1}),
        wiredrv.UpdateOne({"x": 1}, {"$inc": {"y": 1}}),
        wiredrv.DeleteOne({"x": 2}),
    ]
    return await scene.scratch.bulk_write(requests, session=session)


async def update_one(scene: Scene, session: Any) -> object:
    return await scene.collection.update_one({"_id": 1}, {"$inc": {"y": 1}}, session=session)


async def find_one_and_update(scene: Scene, session: Any) -> object:
    return await scene.collection.find_one_and_update({"_id": 1}, {"$inc": {"y": 1}}, session=session)


async def find_one(scene: Scene, session: Any) -> object:
    return await scene.collection.find_one({"_id": 1}, session=session)


async def find_in_batches(scene: Scene, session: Any) -> object:
    return [found["_id"] async for found in scene.collection.find({}, batch_size=2, session=session)]


async def find_and_close(scene: Scene, session: Any) -> object:
    cursor = scene.collection.find({}, batch_size=2, session=session)
    first = await cursor.next()
    await cursor.close()
    return first


async def find_in_a_block(scene: Scene, session: Any) -> object:
    async with scene.collection.find({}, batch_size=2, session=session) as cursor:
        return await cursor.next()


async def aggregate(scene: Scene, session: Any) -> object:
    cursor = await scene.collection.aggregate([{"$sort": {"_id": 1}}], batch_size=2, session=session)
    return await cursor.to_list()


async def watch(scene: Scene, session: Any) -> object:
    async with scene.scratch.watch(session=session, max_await_time_ms=100) as stream:
        await scene.scratch.insert_one({"x": 1})
        return await stream.next()


async def distinct(scene: Scene, session: Any) -> object:
    return await scene.collection.distinct("_id", session=session)


async def run_command(scene: Scene, session: Any) -> object:
    return await scene.client[_DATABASE].command("ping", session=session)


OPERATIONS: tuple[Run, ...] = (
    insert_one,
    insert_many,
    bulk_write,
    update_one,
    find_one_and_update,
    find_one,
    find_in_batches,
    find_and_close,
    find_in_a_block,
    aggregate,
    watch,
    distinct,
    run_command,
)


# --- operations with sessions and transactions of their own -----------------------------------------------------------


async def transaction_that_commits(scene: Scene, session: Any) -> object:
    async with scene.client.start_session() as own, own.start_transaction():
        await scene.scratch.insert_one({"x": 1}, session=own)
        await scene.collection.find_one({"_id": 1}, session=own)
    return None


async def transaction_that_reads_in_batches(scene: Scene, session: Any) -> object:
    async with scene.client.start_session() as own, own.start_transaction():
        return [found["_id"] async for found in scene.collection.find({}, batch_size=2, session=own)]


async def commit_by_hand(scene: Scene, session: Any) -> object:
    async with scene.client.start_session() as own:
        own.start_transaction()
        await scene.scratch.insert_one({"x": 1}, session=own)
        await own.commit_transaction()
    return None


async def abort_by_hand(scene: Scene, session: Any) -> object:
    async with scene.client.start_session() as own:
        own.start_transaction()
        await scene.scratch.insert_one({"x": 1}, session=own)
        await own.abort_transaction()
    return None


async def with_transaction(scene: Scene, session: Any) -> object:
    async def work(own: wiredrv.ClientSession) -> None:
        await scene.scratch.insert_one({"x": 1}, session=own)
        await scene.collection.update_one({"_id": 2}, {"$inc": {"y": 1}}, session=own)

    async with scene.client.start_session() as own:
        await own.with_transaction(work)
    return None


async def transaction_in_one_step(scene: Scene, session: Any) -> object:
    async with scene.client.transaction():
        await scene.scratch.insert_one({"x": 1})
        return [found["_id"] async for found in scene.collection.find({}, batch_size=2)]


async def snapshot_reads(scene: Scene, session: Any) -> object:
    async with scene.client.start_session(snapshot=True) as own:
        await scene.collection.find_one({"_id": 1}, session=own)
        return [found["_id"] async for found in scene.collection.find({}, batch_size=2, session=own)]


async def causal_session(scene: Scene, session: Any) -> object:
    async with scene.client.start_session() as own:
        await scene.scratch.insert_one({"x": 1}, session=own)
        return await scene.collection.find_one({"_id": 1}, session=own)


async def client_of_its_own(scene: Scene, session: Any) -> object:
    settings = scene.client._core.settings.topology
    uri = f"mongodb://{','.join(str(seed) for seed in settings.seeds)}/?replicaSet={settings.set_name}"
    async with wiredrv.Client(uri) as own:
        return await own[_DATABASE]["documents"].find_one({"_id": 1})


COMPOSED: tuple[Run, ...] = (
    transaction_that_commits,
    transaction_that_reads_in_batches,
    commit_by_hand,
    abort_by_hand,
    with_transaction,
    transaction_in_one_step,
    snapshot_reads,
    causal_session,
    client_of_its_own,
)


# --- the harness ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def scene_on(deployment: ReplicaSet, **options: Any) -> AsyncIterator[tuple[Scene, LeakWatch]]:
    async with wiredrv.Client(deployment.uri, **options) as client:
        scene = Scene(client)
        await until(lambda: _all_known(client, len(deployment.members)), "every member is known")
        await scene.collection.delete_many({})
        await scene.collection.insert_many([{"_id": number} for number in range(_DOCUMENTS)])
        await scene.scratch.insert_one({"x": 0})
        watch = LeakWatch(deployment, client, f"{_DATABASE}.")
        await watch.remember()
        yield scene, watch


def _all_known(client: wiredrv.Client, members: int) -> bool:
    kinds = [server.server_type for server in client.topology_description.servers.values()]
    return kinds.count(ServerType.RS_PRIMARY) == 1 and kinds.count(ServerType.RS_SECONDARY) == members - 1


async def cancel_everywhere(scene: Scene, watch: LeakWatch, run: Callable[[], Any], name: str) -> int:
    """Cancel ``run()`` at each of its awaits; returns how many it has."""
    for step in range(1, _MOST_AWAITS):
        outcome = await cancelled_at(step, run)
        await watch.check(f"{name}, cancelled at await {step}")
        if outcome.awaits < step:
            return outcome.awaits
    raise AssertionError(f"{name} had more than {_MOST_AWAITS} awaits")


@pytest.mark.parametrize("explicit", [False, True], ids=["implicit", "explicit"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda run: run.__name__)
async def test_an_operation_cancelled_at_any_await_leaves_nothing_behind(
    replica_set: ReplicaSet, operation: Run, explicit: bool
) -> None:
    async with scene_on(replica_set) as (scene, watch):

        async def run() -> object:
            if not explicit:
                return await operation(scene, None)
            async with scene.client.start_session() as session:
                return await operation(scene, session)

        awaits = await cancel_everywhere(scene, watch, run, operation.__name__)
        assert awaits >= 1
        # Every implicit session was returned, and none was returned twice.
        idle = [bytes(server_session.lsid["id"]) for server_session in scene.client._core.executor.sessions._idle]
        assert len(idle) == len(set(idle))


@pytest.mark.parametrize("operation", COMPOSED, ids=lambda run: run.__name__)
async def test_a_session_cancelled_at_any_await_leaves_nothing_behind(replica_set: ReplicaSet, operation: Run) -> None:
    async with scene_on(replica_set) as (scene, watch):
        awaits = await cancel_everywhere(scene, watch, lambda: operation(scene, None), operation.__name__)
        assert awaits >= 1


async def test_opening_and_closing_a_client_cancelled_at_any_await_ends_its_tasks(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as (scene, watch):

        async def run() -> None:
            async with wiredrv.Client(replica_set.uri) as own:
                await own.admin.command("ping")

        assert await cancel_everywhere(scene, watch, run, "async with Client") >= 2


async def test_a_cancelled_wait_for_a_connection_of_a_commit_leaves_no_open_transaction(
    replica_set: ReplicaSet,
) -> None:
    async with scene_on(replica_set, maxPoolSize=1) as (scene, watch), scene.client.start_session() as session:
        session.start_transaction()
        await scene.scratch.insert_one({"x": 1}, session=session)
        async with _pool_taken(scene):
            with anyio.move_on_after(0.05):
                await session.commit_transaction()
        await session.end_session()
        await watch.check("commit, cancelled while it waited for a connection")


async def test_a_cancelled_wait_for_a_connection_of_an_abort_leaves_no_open_transaction(
    replica_set: ReplicaSet,
) -> None:
    async with scene_on(replica_set, maxPoolSize=1) as (scene, watch), scene.client.start_session() as session:
        session.start_transaction()
        await scene.scratch.insert_one({"x": 1}, session=session)
        async with _pool_taken(scene):
            with anyio.move_on_after(0.05):
                await session.abort_transaction()
        await session.end_session()
        await watch.check("abort, cancelled while it waited for a connection")


async def test_a_session_that_nobody_ended_leaves_no_open_transaction(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as (scene, watch):
        held = [scene.client.start_session()]
        held[0].start_transaction()
        await scene.scratch.insert_one({"x": 1}, session=held[0])
        with pytest.warns(ResourceWarning, match="never ended"):
            _drop(held)
        await watch.check("a session that was never ended")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_warning_that_is_made_an_error_keeps_no_transaction_open(replica_set: ReplicaSet) -> None:
    """``python -W error``: an exception from a finalizer is ignored, and the code after it does not run."""
    async with scene_on(replica_set) as (scene, watch):
        held = [scene.client.start_session()]
        held[0].start_transaction()
        await scene.scratch.insert_one({"x": 1}, session=held[0])
        with warnings.catch_warnings():
            warnings.simplefilter("error", ResourceWarning)
            _drop(held)
        await watch.check("a session that was never ended, whose warning was an error")


def _drop(held: list[wiredrv.ClientSession]) -> None:
    held.clear()
    gc.collect()


@asynccontextmanager
async def _pool_taken(scene: Scene) -> AsyncIterator[None]:
    """Hold the only connection to the primary, and return it soon after the block ends or the shield waits."""
    server = next(
        server
        for server in scene.client._core.topology.servers.values()
        if server.description.server_type is ServerType.RS_PRIMARY
    )
    connection = await server.pool.check_out()

    async def give_back_later() -> None:
        # The cancellation arrives after 50 ms; a clean-up under a shield waits for this.
        await anyio.sleep(0.2)
        server.pool.check_in(connection)

    async with anyio.create_task_group() as group:
        group.start_soon(give_back_later)
        yield


# --- asyncio's own cancellation, which no shield of anyio's holds back ------------------------------------------------


async def _cancelled_natively(steps: frozenset[int], run: Callable[[], Any]) -> int:
    """Run in a task that is cancelled (``Task.cancel``) at each of these awaits; returns how many it had."""
    counted: Steps[object]

    async def body() -> object:
        nonlocal counted
        counted = Steps(run(), lambda number: task.cancel() if number in steps else None)
        return await counted

    task = asyncio.ensure_future(body())
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return counted.count


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize(
    "operation",
    [find_in_batches, transaction_that_commits, transaction_that_reads_in_batches, with_transaction, snapshot_reads],
    ids=lambda run: run.__name__,
)
async def test_a_task_that_is_cancelled_by_asyncio_itself_leaves_nothing_behind(
    replica_set: ReplicaSet, operation: Run, twice: bool, anyio_backend: str
) -> None:
    async with scene_on(replica_set) as (scene, watch):
        for step in range(1, _MOST_AWAITS):
            # The second one arrives during the clean-up after the first.
            steps = frozenset({step, step + 1} if twice else {step})
            awaits = await _cancelled_natively(steps, lambda: operation(scene, None))
            await _end_what_a_broken_shield_left(scene, watch, f"{operation.__name__}, at await {step}", twice)
            if awaits < step:
                return
        raise AssertionError("it never came to its end")


async def _end_what_a_broken_shield_left(scene: Scene, watch: LeakWatch, when: str, twice: bool) -> None:
    """Cancelled twice, a clean-up is cut short: the client must work and hold nothing; the server may take longer."""
    if not twice:
        await watch.check(when)
        return
    await until(lambda: _introspect.checked_out(scene.client) == 0, f"{when}: nothing is checked out")
    assert (await scene.client.admin.command("ping"))["ok"] == 1


# --- a storm ----------------------------------------------------------------------------------------------------------

_STORM_SECONDS = 4.0
_STORM_TASKS = 20


@pytest.mark.slow
async def test_a_storm_of_cancellations_leaves_nothing_behind(replica_set: ReplicaSet) -> None:
    """Many tasks at once, each cancelled after a random time: orders that no list of awaits covers."""
    chance = random.Random(4711)
    runs = (find_in_batches, snapshot_reads, transaction_that_commits, transaction_that_reads_in_batches, insert_one)
    cancelled = finished = 0
    async with scene_on(replica_set, maxPoolSize=8) as (scene, watch):
        stop = monotonic() + _STORM_SECONDS
        patience = stop + 30

        async def worker() -> None:
            nonlocal cancelled, finished
            # On a busy machine the test continues until it has enough of both.
            while monotonic() < stop or (min(cancelled, finished) <= 50 and monotonic() < patience):
                # If the machine is so busy that hardly anything ends in time, the tasks are cancelled later.
                longest = 0.03 if finished * 4 >= cancelled else 0.6
                with anyio.move_on_after(chance.random() * longest) as scope:
                    # Concurrent transactions conflict, as they do in any application.
                    with contextlib.suppress(wiredrv.errors.OperationFailure):
                        await chance.choice(runs)(scene, None)
                    finished += 1
                cancelled += scope.cancelled_caught

        async with anyio.create_task_group() as group:
            for _ in range(_STORM_TASKS):
                group.start_soon(worker)
        assert cancelled > 50
        assert finished > 50
        await watch.check(f"a storm with {cancelled} cancellations")
        idle = [bytes(server_session.lsid["id"]) for server_session in scene.client._core.executor.sessions._idle]
        assert len(idle) == len(set(idle)), "a server session was given back twice"


# --- while the server delays the statement ----------------------------------------------------------------------------

HELD: tuple[tuple[Run, str], ...] = (
    (find_in_batches, "find"),
    (find_in_batches, "getMore"),
    (find_one, "find"),
    (aggregate, "aggregate"),
    (insert_one, "insert"),
    (insert_many, "insert"),
    (update_one, "update"),
)
HELD_COMPOSED: tuple[tuple[Run, str], ...] = (
    (transaction_that_commits, "insert"),
    (transaction_that_commits, "find"),
    (transaction_that_commits, "commitTransaction"),
    (transaction_that_reads_in_batches, "getMore"),
    (abort_by_hand, "abortTransaction"),
    (with_transaction, "update"),
    (with_transaction, "commitTransaction"),
    (transaction_in_one_step, "insert"),
    (snapshot_reads, "find"),
    (snapshot_reads, "getMore"),
)
#: Longer than a cancelled operation waits for its reply.
_HELD_MS = 900


@pytest.mark.parametrize("explicit", [False, True], ids=["implicit", "explicit"])
@pytest.mark.parametrize("operation, command", HELD, ids=lambda value: getattr(value, "__name__", value))
async def test_an_operation_cancelled_while_the_server_holds_it_leaves_nothing_behind(
    replica_set: ReplicaSet, operation: Run, command: str, explicit: bool
) -> None:
    async with scene_on(replica_set, appName="held") as (scene, watch):

        async def run() -> object:
            if not explicit:
                return await operation(scene, None)
            async with scene.client.start_session() as session:
                return await operation(scene, session)

        await _cancel_held(scene, watch, run, command)


@pytest.mark.parametrize("operation, command", HELD_COMPOSED, ids=lambda value: getattr(value, "__name__", value))
async def test_a_session_cancelled_while_the_server_holds_it_leaves_nothing_behind(
    replica_set: ReplicaSet, operation: Run, command: str
) -> None:
    async with scene_on(replica_set, appName="held") as (scene, watch):
        await _cancel_held(scene, watch, lambda: operation(scene, None), command)


async def _cancel_held(scene: Scene, watch: LeakWatch, run: Callable[[], Any], command: str) -> None:
    primary = scene.client.topology.primary
    assert primary is not None
    async with fail_command(primary, command, block_ms=_HELD_MS, app_name="held") as failpoint:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:

                async def cancel_when_held() -> None:
                    await failpoint.wait_until_entered()
                    scope.cancel()

                group.start_soon(cancel_when_held)
                await run()
                group.cancel_scope.cancel()
        assert scope.cancelled_caught, f"{command} was never held"
    await watch.check(f"cancelled while {command} was held")


async def test_a_commit_cancelled_while_the_server_holds_it_is_committed_and_never_aborted(
    replica_set: ReplicaSet,
) -> None:
    outcomes: list[str] = []
    async with scene_on(replica_set, appName="held") as (scene, watch):
        primary = scene.client.topology.primary
        assert primary is not None
        await scene.scratch.delete_many({})
        async with scene.client.start_session() as session:
            session.start_transaction()
            session.on_commit(lambda: outcomes.append("committed"))
            session.on_abort(lambda: outcomes.append("aborted"))
            await scene.scratch.insert_one({"_id": "kept"}, session=session)
            async with fail_command(primary, "commitTransaction", block_ms=_HELD_MS, app_name="held") as failpoint:
                with anyio.CancelScope() as scope:
                    async with anyio.create_task_group() as group:

                        async def cancel_when_held() -> None:
                            await failpoint.wait_until_entered()
                            scope.cancel()

                        group.start_soon(cancel_when_held)
                        await session.commit_transaction()
                assert scope.cancelled_caught
        await watch.check("commit, cancelled while it was held")
        assert outcomes == ["committed"]
        assert await scene.scratch.find_one({"_id": "kept"}) is not None


@pytest.mark.filterwarnings("ignore:a session started at:ResourceWarning")
@pytest.mark.parametrize("how", ["ended", "collected"])
async def test_what_was_left_on_several_servers_is_killed_with_its_session(replica_set: ReplicaSet, how: str) -> None:
    async with scene_on(replica_set, appName="held") as (scene, watch):
        session = scene.client.start_session()
        for mode in ("primary", "secondary"):
            reads = scene.collection.with_options(read_preference=wiredrv.ReadPreference(mode))

            async def read(reads: Any = reads, session: wiredrv.ClientSession = session) -> object:
                return await reads.find({}, batch_size=2, session=session).next()

            await _cancel_held_anywhere(scene, read)
        assert len(session._state.servers_to_kill) == 2
        if how == "ended":
            await session.end_session()
        del session, read
        gc.collect()
        await watch.check("finds of one session, cancelled on two servers")


async def _cancel_held_anywhere(scene: Scene, run: Callable[[], Any]) -> None:
    """Cancel a find while the server that received it delays it."""
    async with contextlib.AsyncExitStack() as stack:
        failpoints = [
            await stack.enter_async_context(fail_command(address, "find", block_ms=_HELD_MS, app_name="held"))
            for address in scene.client.topology_description.servers
        ]
        async with anyio.create_task_group() as group:
            finished = anyio.Event()

            async def cancelled() -> None:
                with anyio.CancelScope() as scope:
                    for failpoint in failpoints:
                        group.start_soon(cancel_when_held, failpoint, scope)
                    await run()
                assert scope.cancelled_caught, "the find was never held"
                finished.set()

            async def cancel_when_held(failpoint: FailPoint, scope: anyio.CancelScope) -> None:
                await failpoint.wait_until_entered()
                scope.cancel()

            group.start_soon(cancelled)
            await finished.wait()
            group.cancel_scope.cancel()


async def test_a_connection_whose_reply_came_after_the_cancellation_is_used_again(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as (scene, watch):
        primary = Address(*scene.client.topology.primary or ("", 0))
        pool = scene.client._core.topology.servers[primary].pool
        before = {connection.id for connection in pool.state.idle}
        outcome = await cancelled_at(1, lambda: scene.collection.find_one({"_id": 1}))
        assert outcome.cancelled
        assert {connection.id for connection in pool.state.idle} == before
        assert _introspect.checked_out(scene.client) == 0
        await watch.check("find_one, cancelled")
