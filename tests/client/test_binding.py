"""Which session a call uses: the one that it names, the one that is bound in its task, or none."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

import wiredrv
from tests.support.fake_server import FakeServer, with_sessions
from tests.support.waiting import until
from wiredrv.errors import InvalidOperation

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def scene() -> AsyncIterator[tuple[wiredrv.Client, FakeServer]]:
    with FakeServer(with_sessions()) as server:
        async with wiredrv.Client(server.uri) as client:
            yield client, server


def last_lsid(server: FakeServer) -> Any:
    return server.commands[-1]["lsid"]["id"]


def id_of(session: wiredrv.ClientSession) -> Any:
    return session.session_id["id"]


async def test_a_call_in_the_block_uses_the_bound_session_and_one_behind_it_does_not() -> None:
    async with scene() as (client, server), client.start_session() as session:
        async with session.bind(end_session=False) as bound:
            assert bound is session
            await client.db.c.find_one({})
            assert last_lsid(server) == id_of(session)
        await client.db.c.find_one({})
        assert last_lsid(server) != id_of(session)


async def test_an_explicit_session_wins() -> None:
    async with scene() as (client, server), client.start_session() as named, client.start_session() as s, s.bind():
        await client.db.c.find_one({}, session=named)
        assert last_lsid(server) == id_of(named)


async def test_an_inner_block_restores_the_outer_one_also_after_an_error() -> None:
    async with scene() as (client, server), client.start_session() as outer, outer.bind():
        inner = client.start_session()

        async def leave_by_an_error() -> None:
            async with inner.bind():
                await client.db.c.find_one({})
                assert last_lsid(server) == inner._state.lsid["id"]
                raise KeyError("left")

        with pytest.raises(KeyError):
            await leave_by_an_error()
        assert inner.has_ended
        await client.db.c.find_one({})
        assert last_lsid(server) == id_of(outer)


async def test_unbound_calls_use_sessions_of_their_own() -> None:
    async with scene() as (client, server), client.start_session() as session, session.bind():
        with wiredrv.unbound():
            await client.db.c.find_one({})
            assert last_lsid(server) != id_of(session)
        await client.db.c.find_one({})
        assert last_lsid(server) == id_of(session)


async def test_the_block_ends_the_session_only_when_asked_to() -> None:
    async with scene() as (client, _):
        for end in (True, False):
            session = client.start_session()
            async with session.bind(end_session=end):
                await client.db.command("ping")
            assert session.has_ended is end
            await session.end_session()


async def test_another_client_refuses_the_bound_session() -> None:
    async with scene() as (client, _), scene() as (other, server), client.start_session() as session, session.bind():
        with pytest.raises(InvalidOperation, match="another client"):
            await other.db.c.find_one({})
        with wiredrv.unbound():
            await other.db.c.find_one({})
        assert [next(iter(command)) for command in server.commands] == ["find"], "nothing of the refused call was sent"


async def test_a_child_task_that_inherits_the_binding_is_told_how_to_take_it_over() -> None:
    failures: list[str] = []
    async with scene() as (client, server), client.start_session() as session, session.bind(end_session=False):

        async def child() -> None:
            try:
                await client.db.c.find_one({})
            except InvalidOperation as error:
                failures.append(str(error))

        async with anyio.create_task_group() as group:
            group.start_soon(child)
        assert server.commands == []
        assert len(failures) == 1
        for hint in ("session.bind(end_session=False)", "wiredrv.unbound()", "asyncio.wait_for"):
            assert hint in failures[0]

        async def heir() -> None:
            async with session.bind(end_session=False):
                await client.db.c.find_one({})

        async with anyio.create_task_group() as group:
            group.start_soon(heir)
        assert last_lsid(server) == id_of(session)
        # The parent's binding is unchanged.
        await client.db.c.find_one({})
        assert last_lsid(server) == id_of(session)


async def test_a_child_task_may_run_calls_without_the_binding() -> None:
    async with scene() as (client, server), client.start_session() as session, session.bind():

        async def child() -> None:
            with wiredrv.unbound():
                await client.db.c.find_one({})

        async with anyio.create_task_group() as group:
            group.start_soon(child)
        assert last_lsid(server) != id_of(session)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    "in_a_task",
    [
        asyncio.gather,
        # Before Python 3.12 wait_for itself made a task of a coroutine.
        lambda call: asyncio.wait_for(asyncio.ensure_future(call), 5),
        asyncio.shield,
        lambda call: asyncio.create_task(call),
    ],
    ids=["gather", "wait_for", "shield", "create_task"],
)
async def test_asyncios_own_ways_to_make_a_task_are_refused_too(in_a_task: Any, anyio_backend: str) -> None:
    async with scene() as (client, server), client.start_session() as session, session.bind():

        async def call() -> None:
            await client.db.c.find_one({})

        with pytest.raises(InvalidOperation, match="inherited a session"):
            await in_a_task(call())
        assert server.commands == []


async def test_a_client_that_opens_inside_a_block_does_not_hand_the_binding_to_its_own_tasks() -> None:
    with FakeServer(with_sessions(), _open_cursors) as server:
        client = wiredrv.Client(server.uri)
        try:
            async with client.start_session() as session, session.bind():
                cursor = client.db.c.find({})
                assert await cursor.next() == {"_id": 1}
                # Dropped while it is open: a background task kills it, which has no binding that could get it refused.
                del cursor
                gc.collect()
                await until(lambda: "killCursors" in server.commands[-1], "the cursor is killed")
        finally:
            await client.close()


def _open_cursors(command: dict[str, Any]) -> dict[str, Any]:
    if "find" not in command:
        return {"ok": 1}
    return {"ok": 1, "cursor": {"id": 5, "ns": "db.c", "firstBatch": [{"_id": 1}]}}


async def test_a_bound_session_that_has_ended_is_refused() -> None:
    async with scene() as (client, _):
        session = client.start_session()
        async with session.bind():
            await session.end_session()
            with pytest.raises(InvalidOperation, match="ended session"):
                await client.db.c.find_one({})


async def test_binding_an_ended_session_is_refused() -> None:
    async with scene() as (client, _):
        session = client.start_session()
        await session.end_session()
        with pytest.raises(InvalidOperation, match="ended session"):
            async with session.bind():
                pytest.fail("it was bound")
