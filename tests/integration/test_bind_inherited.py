"""Bindings and tasks that inherit them: what ``inherit=True`` allows, and until when; bindings that outlive a block."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import pytest

import wiredrv
from tests.support.commands import CommandLog, fresh_collection, watched
from tests.support.waiting import until
from wiredrv.errors import InvalidOperation
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

LEFT = "and its block was left"


@asynccontextmanager
async def _scene(replica_set: ReplicaSet) -> AsyncIterator[tuple[wiredrv.Client, wiredrv.Collection, CommandLog]]:
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, "inherited", 3)
        log.clear()
        yield client, collection, log


def _id(session: wiredrv.ClientSession) -> bytes:
    return bytes(session.session_id["id"])


async def _in_a_child(work: Callable[[], Awaitable[Any]]) -> Any:
    """Run ``work`` in a task of its own, like a framework's middleware that runs an endpoint, and wait for it."""
    results: list[Any] = []

    async def child() -> None:
        results.append(await work())

    async with anyio.create_task_group() as group:
        group.start_soon(child)
    return results[0]


class Later:
    """A child task that waits for a signal, and then keeps the error that it met, if any."""

    def __init__(self, work: Callable[[], Awaitable[Any]]) -> None:
        self._go = anyio.Event()
        self._work = work
        self.done = anyio.Event()
        self.error: BaseException | None = None

    async def run(self) -> None:
        await self._go.wait()
        try:
            await self._work()
        except InvalidOperation as error:
            self.error = error
        self.done.set()

    async def go(self) -> None:
        self._go.set()
        await self.done.wait()


# --- inherit=True -----------------------------------------------------------------------------------------------------


async def test_a_child_task_takes_part_in_an_inherited_binding(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log), client.start_session() as session:
        async with session.bind(inherit=True, end_session=False):
            await _in_a_child(lambda: collection.find_one({}))
            await _in_a_child(lambda: _in_a_child(lambda: collection.find_one({})))
            await collection.find_one({})
        assert log.lsids("find") == [_id(session)] * 3


async def test_a_child_task_takes_part_in_an_inherited_transaction(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):
        async with client.transaction(inherit=True) as session:
            bound = _id(session)
            await _in_a_child(lambda: collection.insert_one({"_id": "child"}))
            assert await collection.count_documents({}) == 4
            with wiredrv.unbound():
                assert await _in_a_child(lambda: collection.count_documents({})) == 3
        assert await collection.count_documents({}) == 4
        inside = ["insert", "aggregate", "commitTransaction"]
        assert [next(iter(each)) for each in log.sent() if "autocommit" in each] == inside
        assert [lsid == bound for lsid in log.lsids()][:4] == [True, True, False, True]


@pytest.mark.parametrize("how", ["client.transaction", "bind"])
async def test_a_cursor_of_a_child_says_which_session_ended_and_what_to_do(replica_set: ReplicaSet, how: str) -> None:
    """The child still reads after the block has ended: the cursor has no binding, it belongs to its session."""
    async with _scene(replica_set) as (client, collection, _log):
        cursors: list[Any] = []

        async def endpoint() -> None:
            cursors.append(collection.find({}, batch_size=2))
            await cursors[0].next()

        session = client.start_session() if how == "bind" else None
        block = client.transaction(inherit=True) if session is None else session.bind(inherit=True)
        async with block:
            await _in_a_child(endpoint)
        with pytest.raises(InvalidOperation, match="Cannot use ended session: the one that was started at") as caught:
            await cursors[0].to_list()
        for part in (f"at {__file__}:", "read cursors to their end", "wait for that task"):
            assert part in str(caught.value)


async def test_an_error_of_the_child_aborts_the_transaction(replica_set: ReplicaSet) -> None:
    async def endpoint() -> None:
        await collection.insert_one({"_id": "child"})
        raise ValueError("the endpoint's own")

    async def middleware() -> None:
        async with client.transaction(inherit=True):
            await _in_a_child(endpoint)

    async with _scene(replica_set) as (client, collection, log):
        with pytest.raises(ExceptionGroup) as caught:
            await middleware()
        assert caught.group_contains(ValueError, match="the endpoint's own")
        assert log.names == ["insert", "abortTransaction"]
        assert await collection.count_documents({}) == 3


async def test_children_that_run_at_once_take_turns(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):
        async with client.transaction(inherit=True) as session:
            bound = _id(session)
            async with anyio.create_task_group() as group:
                for number in range(10, 20):
                    group.start_soon(partial(collection.insert_one, {"_id": number}))
            assert await collection.count_documents({}) == 13
        assert log.names == ["insert"] * 10 + ["aggregate", "commitTransaction"]
        assert set(log.lsids()) == {bound}
        assert await collection.count_documents({}) == 13


async def test_what_a_child_called_before_the_block_was_left_is_committed_with_it(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log), anyio.create_task_group() as group:
        async with client.transaction(inherit=True):
            await collection.insert_one({"_id": "parent"})
            for number in range(10, 13):
                group.start_soon(partial(collection.insert_one, {"_id": number}))
            await until(lambda: log.names.count("insert") > 1, "the children have called")
        assert log.names == ["insert"] * 4 + ["commitTransaction"]
        assert await collection.count_documents({}) == 7


@pytest.mark.parametrize("how", ["bind", "transaction"])
async def test_once_the_block_is_left_whoever_inherited_it_is_refused(replica_set: ReplicaSet, how: str) -> None:
    """It would run outside of the transaction that it was started in."""
    async with _scene(replica_set) as (client, collection, log), anyio.create_task_group() as group:
        late = Later(lambda: collection.insert_one({"_id": "late"}))
        if how == "bind":
            async with client.start_session() as session, session.bind(inherit=True, end_session=False):
                group.start_soon(late.run)
        else:
            async with client.transaction(inherit=True):
                group.start_soon(late.run)
                await collection.find_one({})
        log.clear()
        await late.go()
        assert LEFT in str(late.error)
        assert f"inherit=True at {__file__}:" in str(late.error)
        assert log.names == []
        # The task that made the binding is as free as before.
        await collection.find_one({})
        await _in_a_child(lambda: collection.find_one({}))


async def test_nobody_begins_anything_in_an_inherited_transaction_while_it_is_committed(
    replica_set: ReplicaSet,
) -> None:
    async with _scene(replica_set) as (client, collection, log), anyio.create_task_group() as group:
        late = Later(lambda: collection.insert_one({"_id": "late"}))

        async def go() -> None:
            await until(lambda: "commitTransaction" in log.names, "the commit is on its way")
            await late.go()

        async with client.transaction(inherit=True):
            await collection.insert_one({"_id": "in time"})
            group.start_soon(late.run)
            with wiredrv.unbound():
                group.start_soon(go)
        await late.done.wait()
        assert LEFT in str(late.error)
        assert await collection.count_documents({"_id": "late"}) == 0


async def test_a_child_may_bind_another_session_and_is_back_in_the_inherited_one_after_that(
    replica_set: ReplicaSet,
) -> None:
    async with (
        _scene(replica_set) as (client, collection, log),
        client.start_session() as shared,
        client.start_session() as own,
    ):

        async def child() -> None:
            await collection.find_one({})
            async with own.bind(end_session=False):
                await collection.find_one({})
            with wiredrv.unbound():
                await collection.find_one({})
            await collection.find_one({})

        async with shared.bind(inherit=True, end_session=False):
            await _in_a_child(child)
        used = [{_id(shared): "shared", _id(own): "own"}.get(lsid or b"", "none") for lsid in log.lsids("find")]
        assert used == ["shared", "own", "none", "shared"]


async def test_a_child_joins_an_inherited_transaction_and_is_refused_another(replica_set: ReplicaSet) -> None:
    async def joins() -> bool:
        async with client.transaction(join=True) as joined:
            await collection.insert_one({"_id": "joined"})
            return joined is session

    async def opens_another() -> None:
        with pytest.raises(InvalidOperation, match="is bound here: end it first"):
            await client.transaction().__aenter__()

    async with _scene(replica_set) as (client, collection, log):
        async with client.transaction(inherit=True) as session:
            assert await _in_a_child(joins)
            await _in_a_child(opens_another)
            assert log.names == ["insert"], "who joined commits nothing"
        assert log.names == ["insert", "commitTransaction"]


async def test_who_joins_may_let_its_own_children_take_part(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log), anyio.create_task_group() as group:
        late = Later(lambda: collection.insert_one({"_id": "late"}))
        async with client.transaction() as session:
            async with client.transaction(join=True, inherit=True) as joined:
                assert joined is session
                await _in_a_child(lambda: collection.insert_one({"_id": "child"}))
                group.start_soon(late.run)
            assert not session.has_ended
            await late.go()
            assert LEFT in str(late.error)
            with pytest.raises(ExceptionGroup):
                await _in_a_child(lambda: collection.find_one({}))
            await collection.insert_one({"_id": "parent"})
        assert log.names == ["insert", "insert", "commitTransaction"]


async def test_without_inherit_the_refusal_names_it_and_the_place_of_the_binding(replica_set: ReplicaSet) -> None:
    async def child() -> str:
        with pytest.raises(InvalidOperation) as caught:
            await collection.find_one({})
        return str(caught.value)

    async with _scene(replica_set) as (client, collection, log):
        async with client.start_session() as session, session.bind():
            of_a_session = await _in_a_child(child)
        async with client.transaction():
            of_a_transaction = await _in_a_child(child)
        for message in (of_a_session, of_a_transaction):
            assert "session.bind(inherit=True)" in message
            assert "client.transaction(inherit=True)" in message
            assert f"at {__file__}:" in message
        assert log.names == []


@pytest.mark.parametrize("anyio_backend", ["asyncio"], scope="module")
async def test_asyncios_tasks_inherit_too(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):
        async with client.transaction(inherit=True) as session:
            bound = _id(session)
            await asyncio.create_task(collection.insert_one({"_id": 10}))
            await asyncio.wait_for(collection.insert_one({"_id": 11}), 10)
        assert log.lsids() == [bound] * 3


# --- bindings that outlive their block --------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Async generator")  # trio warns about exactly this
@pytest.mark.parametrize("how", ["bind", "transaction", "unbound"])
async def test_a_generator_that_is_left_early_leaves_no_binding_behind(replica_set: ReplicaSet, how: str) -> None:
    """Python closes it later, in another context than the code that iterated."""
    closed: list[str] = []

    async def numbers(session: wiredrv.ClientSession) -> AsyncIterator[int]:
        try:
            if how == "unbound":
                with wiredrv.unbound():
                    yield 1
            elif how == "bind":
                async with session.bind():
                    yield 1
            else:
                async with client.transaction():
                    await collection.insert_one({"_id": "gone"})
                    yield 1
        finally:
            closed.append(how)

    async def leave_early(session: wiredrv.ClientSession) -> None:
        async for _ in numbers(session):
            break

    async with _scene(replica_set) as (client, collection, log):
        outer, inner = client.start_session(), client.start_session()
        async with outer.bind(end_session=False):
            await leave_early(inner)
            gc.collect()
            await until(lambda: closed == [how], "the generator is closed")
            log.clear()
            await collection.find_one({})
            assert log.lsids() == [_id(outer)], "the binding around it is in force again"
        await leave_early(client.start_session() if how == "bind" else inner)
        gc.collect()
        await until(lambda: closed == [how, how], "the generator is closed")
        log.clear()
        assert await collection.count_documents({}) == 3
        assert _id(outer) not in log.lsids()
        await outer.end_session()
        await inner.end_session()


async def test_blocks_that_are_left_in_another_order_disturb_each_other_not(replica_set: ReplicaSet) -> None:
    async with (
        _scene(replica_set) as (client, collection, log),
        client.start_session() as first,
        client.start_session() as second,
    ):
        one, other = first.bind(end_session=False), second.bind(end_session=False)
        await one.__aenter__()
        await other.__aenter__()
        await one.__aexit__(None, None, None)
        await collection.find_one({})
        assert log.lsids() == [_id(second)], "its block is still open"
        await other.__aexit__(None, None, None)
        await collection.find_one({})
        assert log.lsids()[1] not in (_id(first), _id(second)), "both are left"


async def test_a_session_that_ends_inside_its_block_says_where_it_was_bound(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):
        session = client.start_session()
        async with session.bind():
            await session.end_session()
            with pytest.raises(
                InvalidOperation, match="Cannot use ended session: the one that is bound here"
            ) as caught:
                await collection.find_one({})
            assert f"at {__file__}:" in str(caught.value)
            assert log.names == []
            with wiredrv.unbound():
                await collection.find_one({})
        await collection.find_one({})


def test_unbound_can_stand_around_an_event_loop(replica_set: ReplicaSet) -> None:
    async def main() -> Any:
        async with wiredrv.Client(replica_set.uri) as client:
            return await client.admin.command("ping")

    for backend in ("asyncio", "trio"):
        with wiredrv.unbound():
            assert anyio.run(main, backend=backend)["ok"] == 1
