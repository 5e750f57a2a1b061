"""``session.bind()`` and ``wiredrv.unbound()``: which session an operation uses when it names none."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

import wiredrv
from tests.support.commands import CommandLog, fresh_collection, watched
from tests.support.session_calls import CALLS, make_place
from wiredrv.errors import InvalidOperation
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

Find = Callable[[], Awaitable[object]]


@asynccontextmanager
async def _scene(replica_set: ReplicaSet) -> AsyncIterator[tuple[wiredrv.Client, wiredrv.Collection, CommandLog]]:
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, "bind", 5)
        log.clear()
        yield client, collection, log


def _id(session: wiredrv.ClientSession) -> bytes:
    return bytes(session.session_id["id"])


# --- which operations -------------------------------------------------------------------------------------------------


async def test_every_operation_in_the_block_uses_the_session(replica_set: ReplicaSet) -> None:
    """Bulks, cursors with their getMores and killCursors, helpers that send several commands: all operations."""
    async with watched(replica_set) as (client, log):
        place = await make_place(client)
        async with client.start_session() as session, session.bind():
            bound = _id(session)
            for call in CALLS:
                log.clear()
                await call.run(place, {})
                assert log.names[0] == call.first, call.name
                assert set(log.lsids()) == {bound}, call.name
            log.clear()
            await place.collection.estimated_document_count()
            assert bound not in log.lsids("count"), "the one read that takes no session"


@pytest.mark.parametrize("ordered", [True, False])
async def test_every_batch_of_a_bulk_uses_the_session(replica_set: ReplicaSet, ordered: bool) -> None:
    async with _scene(replica_set) as (client, collection, log):
        large = [{"x": "a" * 9_000_000} for _ in range(6)]
        async with client.start_session() as session, session.bind():
            bound = _id(session)
            await collection.insert_many(large, ordered=ordered)
            assert len(log.sent("insert")) > 1
            requests = [
                wiredrv.InsertOne({"_id": 10}),
                wiredrv.UpdateOne({"_id": 10}, {"$set": {"a": 1}}),
                wiredrv.InsertOne({"_id": 11}),
                wiredrv.DeleteMany({}),
            ]
            await collection.bulk_write(requests, ordered=ordered)
            assert set(log.lsids()) == {bound}


async def test_a_transaction_of_a_bound_session_holds_all_that_is_done(replica_set: ReplicaSet) -> None:
    """The mistake that binding prevents: an operation without ``session=`` silently runs outside of the transaction."""
    async with _scene(replica_set) as (client, collection, log):
        async with client.start_session() as session, session.bind(), session.start_transaction():
            await collection.insert_one({"_id": "one"})
            await collection.update_one({"_id": 0}, {"$set": {"a": 1}})
            await collection.insert_many([{"_id": "two"}, {"_id": "three"}])
            assert len(await collection.find({}, batch_size=2).to_list()) == 8
            with wiredrv.unbound():
                assert await collection.count_documents({}) == 5
        inside = [command for command in log.sent() if command.get("autocommit") is False]
        sent = [next(iter(command)) for command in inside]
        assert sent == ["insert", "update", "insert", "find"] + ["getMore"] * 4 + ["commitTransaction"]


async def test_a_cursor_keeps_the_session_with_which_it_began(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log), client.start_session() as session:
        outside = collection.find({}, batch_size=2)
        await outside.next()
        implicit = log.lsids("find")[0]
        async with session.bind(end_session=False):
            inside = collection.find({}, batch_size=2)
            await inside.next()
            unsent = collection.find({}, batch_size=2)
            log.clear()
            await outside.to_list()
            assert set(log.lsids("getMore")) == {implicit}
        log.clear()
        await inside.to_list()
        assert set(log.lsids("getMore")) == {_id(session)}
        # What was not sent in the block does not use its binding.
        log.clear()
        await unsent.to_list()
        assert _id(session) not in log.lsids()


async def test_a_cursor_of_a_session_that_has_ended_says_so(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, _):
        async with client.start_session() as session, session.bind():
            cursor = collection.find({}, batch_size=2)
            await cursor.next()
        await cursor.next()
        with pytest.raises(InvalidOperation, match="Cannot use ended session"):
            await cursor.next()
        await cursor.close()


async def test_an_explicit_session_wins(replica_set: ReplicaSet) -> None:
    async with (
        _scene(replica_set) as (client, collection, log),
        client.start_session() as other,
        client.start_session() as session,
        session.bind(),
    ):
        await collection.find_one({})
        await collection.find_one({}, session=other)
        assert log.lsids("find") == [_id(session), _id(other)]


# --- nesting ----------------------------------------------------------------------------------------------------------


async def test_nested_blocks_restore_the_outer_binding(replica_set: ReplicaSet) -> None:
    async with (
        _scene(replica_set) as (client, collection, log),
        client.start_session() as outer,
        client.start_session() as inner,
    ):
        ids = [_id(outer), _id(inner), _id(outer), _id(inner), _id(outer)]
        async with outer.bind(end_session=False):
            await collection.find_one({})
            for _ in range(2):
                async with inner.bind(end_session=False):
                    await collection.find_one({})
                await collection.find_one({})
        assert log.lsids() == ids
        await collection.find_one({})
        assert log.lsids()[-1] not in ids


async def test_an_exception_restores_the_outer_binding_too(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log), client.start_session() as outer, outer.bind():
        inner = client.start_session()

        async def fails() -> None:
            async with inner.bind():
                raise ValueError("the block's own")

        with pytest.raises(ValueError, match="the block's own"):
            await fails()
        assert inner.has_ended
        await collection.find_one({})
        assert log.lsids() == [_id(outer)]


async def test_unbound_runs_calls_outside_and_restores(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):
        async with client.start_session() as session, session.bind():
            with wiredrv.unbound():
                await collection.find_one({})
                await collection.find_one({}, session=session)
                async with session.bind(end_session=False):
                    await collection.find_one({})
                await collection.find_one({})
            await collection.find_one({})
            bound = _id(session)
        assert [lsid == bound for lsid in log.lsids()] == [False, True, True, False, True]
        assert None not in log.lsids()


async def test_unbound_without_a_binding_does_nothing(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (_, collection, log):
        with wiredrv.unbound():
            await collection.find_one({})
        assert len(log.names) == 1


@pytest.mark.parametrize("ends", [True, False])
async def test_the_block_ends_the_session_unless_told_not_to(replica_set: ReplicaSet, ends: bool) -> None:
    async with _scene(replica_set) as (client, _, _log):
        session = client.start_session()
        async with session.bind(end_session=ends) as given:
            assert given is session
        assert session.has_ended is ends
        await session.end_session()


async def test_binding_ends_the_session_by_default(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, _):
        async with client.start_session().bind() as session:
            await collection.find_one({})
        assert session.has_ended


async def test_a_session_can_be_bound_again(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log), client.start_session() as session:
        for _ in range(2):
            async with session.bind(end_session=False):
                await collection.find_one({})
        assert log.lsids() == [_id(session)] * 2


async def test_an_ended_session_cannot_be_bound(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, _, _log):
        session = client.start_session()
        await session.end_session()
        with pytest.raises(InvalidOperation, match="Cannot use ended session"):
            await session.bind().__aenter__()


# --- other clients ----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:an aggregate with")  # it was refused, so it was not sent
async def test_only_the_client_that_made_the_session_accepts_it(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _), watched(replica_set) as (other, log):
        place = await make_place(other)
        async with client.start_session() as session, session.bind():
            log.clear()
            for call in CALLS:
                with pytest.raises(InvalidOperation, match="the bound session belongs to another client"):
                    await call.run(place, {})
            assert log.names == []
            with wiredrv.unbound():
                await place.collection.find_one({})
            async with other.start_session() as own:
                await place.collection.find_one({}, session=own)
            assert log.names == ["find", "find"]


# --- other tasks ------------------------------------------------------------------------------------------------------


async def _refused(find: Find) -> None:
    """``find`` must be refused with a message that says what to do."""
    with pytest.raises(InvalidOperation) as caught:
        await find()
    for part in (
        "inherited a session that is bound in task",
        "session.bind(end_session=False)",
        "wiredrv.unbound()",
        "asyncio.timeout()",
        "anyio.fail_after()",
    ):
        assert part in str(caught.value)


async def _gather(find: Find) -> None:
    await asyncio.gather(_refused(find), _refused(find))


async def _wait_for(find: Find) -> None:
    # Since 3.12 wait_for awaits in the calling task, unless it is given a task.
    await asyncio.wait_for(asyncio.ensure_future(_refused(find)), 10)


async def _shield(find: Find) -> None:
    await asyncio.shield(_refused(find))


async def _create_task(find: Find) -> None:
    await asyncio.create_task(_refused(find))


async def _asyncio_task_group(find: Find) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_refused(find))


async def _wait(find: Find) -> None:
    done, _ = await asyncio.wait([asyncio.create_task(_refused(find))])
    for task in done:
        await task


async def _anyio_task_group(find: Find) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(_refused, find)


async def _from_a_thread(find: Find) -> None:
    await anyio.to_thread.run_sync(anyio.from_thread.run, _refused, find)


async def _nursery(find: Find) -> None:
    import trio

    async with trio.open_nursery() as nursery:
        nursery.start_soon(_refused, find)


async def _nursery_start(find: Find) -> None:
    import trio

    async def child(task_status: trio.TaskStatus[None]) -> None:
        await _refused(find)
        task_status.started()

    async with trio.open_nursery() as nursery:
        await nursery.start(child)


ON_ASYNCIO = [_gather, _wait_for, _shield, _create_task, _asyncio_task_group, _wait, _from_a_thread, _anyio_task_group]
ON_TRIO = [_nursery, _nursery_start, _anyio_task_group]
CHILDREN = [
    pytest.param(backend, spawn, id=f"{backend}-{spawn.__name__.strip('_')}")
    for backend, spawns in (("asyncio", ON_ASYNCIO), ("trio", ON_TRIO))
    for spawn in spawns
]


@pytest.mark.parametrize("anyio_backend, spawn", CHILDREN)
async def test_a_child_task_that_inherits_the_binding_is_refused(
    replica_set: ReplicaSet, spawn: Callable[[Find], Awaitable[None]]
) -> None:
    async with _scene(replica_set) as (client, collection, log), client.start_session() as session, session.bind():
        await spawn(lambda: collection.find_one({}))
        assert log.names == []
        await collection.find_one({})
        assert log.lsids() == [_id(session)]


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_trio_runs_what_a_thread_asks_for_in_the_task_that_waits_for_the_thread(replica_set: ReplicaSet) -> None:
    """So the binding holds there: no other task can use the session meanwhile."""
    async with _scene(replica_set) as (client, collection, log), client.start_session() as session, session.bind():

        async def find() -> None:
            await collection.find_one({})

        await anyio.to_thread.run_sync(lambda: anyio.from_thread.run(find))
        assert log.lsids() == [_id(session)]


async def test_the_refusal_names_both_tasks(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, _):
        messages: list[str] = []

        async def parent() -> None:
            async with client.start_session() as session, session.bind(), anyio.create_task_group() as group:
                group.start_soon(child, name="the child")

        async def child() -> None:
            with pytest.raises(InvalidOperation) as caught:
                await collection.find_one({})
            messages.append(str(caught.value))

        async with anyio.create_task_group() as group:
            group.start_soon(parent, name="the parent")
        assert "'the child'" in messages[0]
        assert "'the parent'" in messages[0]


async def test_a_child_task_takes_the_session_over_as_the_refusal_says(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log), client.start_session() as session, session.bind():

        async def child() -> None:
            async with session.bind(end_session=False):
                await collection.find_one({})

        async with anyio.create_task_group() as group:
            group.start_soon(child)
        await collection.find_one({})
        assert log.lsids() == [_id(session)] * 2


async def test_a_child_task_may_run_unbound_or_name_a_session(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log), client.start_session() as session, session.bind():

        async def child() -> None:
            with wiredrv.unbound():
                await collection.find_one({})
            await collection.find_one({}, session=session)

        async with anyio.create_task_group() as group:
            group.start_soon(child)
        assert log.lsids()[0] not in (None, _id(session))
        assert log.lsids()[1] == _id(session)


async def test_deadlines_that_make_no_task_keep_the_binding(replica_set: ReplicaSet, anyio_backend_name: str) -> None:
    async with _scene(replica_set) as (client, collection, log), client.start_session() as session, session.bind():
        with anyio.fail_after(10):
            await collection.find_one({})
        if anyio_backend_name == "asyncio":
            async with asyncio.timeout(10):
                await collection.find_one({})
        assert set(log.lsids()) == {_id(session)}


async def test_a_client_that_is_opened_in_the_block_hands_nothing_on(replica_set: ReplicaSet) -> None:
    """A client's background starts with an empty context: its tasks do not inherit the binding."""
    async with _scene(replica_set) as (_client, _, _log), wiredrv.Client(replica_set.uri) as maker:
        async with maker.start_session() as session, session.bind():
            lazily = wiredrv.Client(replica_set.uri)
            with wiredrv.unbound():
                await lazily.admin.command("ping")
            await maker.admin.command("ping")
        await lazily.admin.command("ping")
        await lazily.close()


def test_binding_is_documented_with_its_default() -> None:
    assert inspect.signature(wiredrv.ClientSession.bind).parameters["end_session"].default is True
