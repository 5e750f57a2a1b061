"""One session serves one operation at a time: errors name both overlapping tasks, and taking turns is allowed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

import wiredrv
from tests.support.commands import APP_NAME, CommandLog, fresh_collection, primary_of, watched
from tests.support.failpoints import fail_command
from tests.support.session_calls import CALLS, make_place
from tests.support.waiting import until
from wiredrv.errors import InvalidOperation
from wiredrv.local import ReplicaSet
from wiredrv.session.turns import Purpose

pytestmark = pytest.mark.anyio

#: Milliseconds for which the first task's command is delayed.
_HELD = 400


@asynccontextmanager
async def _busy_session(
    replica_set: ReplicaSet, *, transaction: bool = False
) -> AsyncIterator[tuple[wiredrv.ClientSession, wiredrv.Collection, CommandLog]]:
    """A session whose ``find`` is delayed by the server, in a task called "the reader"."""
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, "guard", 3)
        async with client.start_session(overlap="refuse") as session:
            if transaction:
                session.start_transaction()
                await collection.insert_one({"_id": "t"}, session=session)
            address = primary_of(client)

            async def read() -> None:
                assert await collection.find_one({"_id": 1}, session=session) == {"_id": 1}

            async with (
                fail_command(address, "find", block_ms=_HELD, app_name=APP_NAME) as fail_point,
                anyio.create_task_group() as group,
            ):
                group.start_soon(read, name="the reader")
                await fail_point.wait_until_entered()
                log.clear()
                yield session, collection, log
            if session.in_transaction:
                await session.abort_transaction()


@asynccontextmanager
async def _idle_session(replica_set: ReplicaSet) -> AsyncIterator[tuple[wiredrv.ClientSession, wiredrv.Collection]]:
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, "guard", 3)
        async with client.start_session(overlap="refuse") as session:
            yield session, collection


async def _in_task(name: str, function: Callable[[], Awaitable[object]]) -> InvalidOperation:
    """The error with which ``function`` is refused in a task of that name."""
    caught: list[InvalidOperation] = []

    async def run() -> None:
        with pytest.raises(InvalidOperation) as refused:
            await function()
        caught.append(refused.value)

    async with anyio.create_task_group() as group:
        group.start_soon(run, name=name)
    return caught[0]


async def test_an_overlapping_operation_is_refused_with_both_tasks_and_commands(replica_set: ReplicaSet) -> None:
    async with _busy_session(replica_set) as (session, collection, log):
        error = await _in_task("the writer", lambda: collection.insert_one({}, session=session))
        for part in ("'the writer'", "'insert'", "'the reader'", "'find'", "a session of its own"):
            assert part in str(error)
        assert log.names == []


@pytest.mark.filterwarnings("ignore:an aggregate with")  # it was refused, so it was not sent
async def test_every_method_is_guarded(replica_set: ReplicaSet) -> None:
    """Without a server that delays anything: the test claims the session itself."""
    async with watched(replica_set) as (client, log):
        place = await make_place(client)
        async with client.start_session(overlap="refuse") as session:
            log.clear()
            turn = session._state.turns.enter("find", Purpose.STATEMENT, "the reader")
            for call in CALLS:
                with pytest.raises(InvalidOperation, match="task 'the reader' still runs 'find'"):
                    await call.run(place, {"session": session})
            session._state.turns.leave(turn)
            assert log.names == []
            await place.collection.find_one({}, session=session)


ENDINGS: list[tuple[str, str, Callable[[wiredrv.ClientSession], Awaitable[Any]]]] = [
    ("commit", "commitTransaction", lambda session: session.commit_transaction()),
    ("abort", "abortTransaction", lambda session: session.abort_transaction()),
]


@pytest.mark.parametrize("name, command, ending", ENDINGS, ids=[row[0] for row in ENDINGS])
async def test_a_transaction_cannot_be_ended_while_one_of_its_operations_runs(
    replica_set: ReplicaSet, name: str, command: str, ending: Callable[[wiredrv.ClientSession], Awaitable[Any]]
) -> None:
    """The refused call leaves the transaction as it was."""
    async with _busy_session(replica_set, transaction=True) as (session, _, log):
        error = await _in_task("the one who ends", lambda: ending(session))
        for part in ("'the one who ends'", f"'{command}'", "'the reader'", "'find'"):
            assert part in str(error)
        assert session.in_transaction
        assert log.names == []
        await until(lambda: not session._state.turns.busy, "the reader is done")
        await ending(session)
        assert log.names == [command]


async def test_a_session_that_is_ended_while_an_operation_runs_is_used_by_nobody_else(
    replica_set: ReplicaSet,
) -> None:
    async with _busy_session(replica_set) as (session, _collection, _):
        used = session.session_id
        await session.end_session()
        assert session.has_ended
        async with session.client.start_session() as another:
            assert another.session_id != used
            await until(lambda: not session._state.turns.busy, "the reader is done")
            async with session.client.start_session() as later:
                assert later.session_id == used


async def test_tasks_may_take_turns(replica_set: ReplicaSet) -> None:
    """Handing over a session is allowed: the sessions specification forbids checks of the thread, and taking turns
    corrupts nothing."""
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, "guard")
        turn = [anyio.Event(), anyio.Event(), anyio.Event()]
        turn[0].set()
        async with client.start_session(overlap="refuse") as session:

            async def first() -> None:
                await turn[0].wait()
                session.start_transaction()
                await collection.insert_one({"_id": 1}, session=session)
                turn[1].set()
                await turn[2].wait()
                await session.commit_transaction()

            async def second() -> None:
                await turn[1].wait()
                await collection.insert_one({"_id": 2}, session=session)
                turn[2].set()

            log.clear()
            async with anyio.create_task_group() as group:
                group.start_soon(first)
                group.start_soon(second)
        assert log.names == ["insert", "insert", "commitTransaction"]
        assert len(set(log.lsids())) == 1
        assert await collection.distinct("_id") == [1, 2]


async def test_a_cursor_may_be_handed_to_another_task(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _log):
        collection = await fresh_collection(client, "guard", 4)
        async with client.start_session(overlap="refuse") as session:
            cursor = collection.find({}, batch_size=2, session=session)
            found = [await cursor.next()]

            async def rest() -> None:
                found.extend(await cursor.to_list())

            async with anyio.create_task_group() as group:
                group.start_soon(rest)
        assert [document["_id"] for document in found] == [0, 1, 2, 3]


async def test_a_get_more_counts_as_an_operation_of_the_session(replica_set: ReplicaSet) -> None:
    async with _idle_session(replica_set) as (session, collection):
        cursor = collection.find({}, batch_size=2, session=session)
        await cursor.next()
        turn = session._state.turns.enter("insert", Purpose.STATEMENT, "the writer")
        await cursor.next()  # is already in the batch
        with pytest.raises(InvalidOperation, match=r"starts 'getMore' while task 'the writer' still runs 'insert'"):
            await cursor.next()
        session._state.turns.leave(turn)
        # A call refused before anything was sent leaves the cursor as it was.
        assert (await cursor.next())["_id"] == 2
        await cursor.close()


async def test_implicit_sessions_are_as_many_as_there_are_tasks(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, "guard", 1)
        address = primary_of(client)
        log.clear()
        async with (
            fail_command(address, "find", times=2, block_ms=_HELD, app_name=APP_NAME),
            anyio.create_task_group() as group,
        ):
            group.start_soon(collection.find_one, {})
            group.start_soon(collection.find_one, {})
        assert len(set(log.lsids())) == 2


async def test_a_session_is_free_again_after_an_operation_that_failed_or_was_cancelled(
    replica_set: ReplicaSet,
) -> None:
    async with _idle_session(replica_set) as (session, collection):
        with pytest.raises(wiredrv.DriverError):
            await collection.find_one({"$nonsense": 1}, session=session)
        assert not session._state.turns.busy
        with anyio.CancelScope() as scope:
            scope.cancel()
            await collection.find_one({}, session=session)
        assert not session._state.turns.busy
        assert await collection.find_one({"_id": 1}, session=session) == {"_id": 1}
