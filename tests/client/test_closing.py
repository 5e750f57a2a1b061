"""``client.close()`` begins with the call, and can be awaited, run as a task, or left alone, as with Motor."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
import warnings
from collections.abc import Iterator

import anyio
import pytest

import wiredrv
from tests.support.fake_server import FakeServer, with_sessions
from tests.support.waiting import until
from wiredrv.errors import InvalidOperation


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(with_sessions()) as listening:
        yield listening


def _ended(server: FakeServer) -> int:
    return len([command for command in server.commands if "endSessions" in command])


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
        gc.collect()


@pytest.mark.anyio
async def test_without_await_it_is_done_in_the_background(server: FakeServer) -> None:
    with _no_warnings():
        client = wiredrv.Client(server.uri)
        await client.shop.orders.find_one({})
        client.close()  # type: ignore[unused-coroutine]  # left alone, as with Motor
        with pytest.raises(InvalidOperation, match="after close"):
            await client.shop.orders.find_one({})
        await until(lambda: _ended(server) == 1 and not client._core.was_opened, "the client is closed")
        await until(lambda: client._core._background is None, "its tasks have ended")
        await client.close()
        assert _ended(server) == 1


@pytest.mark.anyio
async def test_what_was_left_alone_can_be_awaited_by_another_call(server: FakeServer) -> None:
    client = wiredrv.Client(server.uri)
    await client.shop.orders.find_one({})
    client.close()  # type: ignore[unused-coroutine]  # left alone, as with Motor
    await client.close()
    assert client._core._background is None
    async with client:
        await client.shop.orders.find_one({})
    assert _ended(server) == 2


@pytest.mark.anyio
async def test_it_can_be_started_as_a_task(server: FakeServer) -> None:
    client = wiredrv.Client(server.uri)
    await client.shop.orders.find_one({})
    async with anyio.create_task_group() as group:
        group.start_soon(client.close)
    assert _ended(server) == 1
    async with contextlib.aclosing(wiredrv.Client(server.uri)) as other:
        await other.aconnect()
        await other.shop.orders.find_one({})
    assert _ended(server) == 2


def test_it_can_be_a_task_of_asyncios(server: FakeServer) -> None:
    async def main() -> None:
        client = wiredrv.Client(server.uri)
        await client.shop.orders.find_one({})
        closing = asyncio.create_task(client.close())
        await closing
        assert client._core._background is None

    with _no_warnings():
        asyncio.run(main())
    assert _ended(server) == 1


def test_a_loop_that_is_run_by_hand_runs_it(server: FakeServer) -> None:
    with _no_warnings(), contextlib.closing(asyncio.new_event_loop()) as loop:
        client = wiredrv.Client(server.uri)
        loop.run_until_complete(client.shop.orders.find_one({}))
        loop.run_until_complete(client.close())
        assert _ended(server) == 1
        with pytest.raises(InvalidOperation):
            loop.run_until_complete(client.shop.orders.find_one({}))


def test_the_end_of_the_loop_ends_what_was_left_alone(server: FakeServer) -> None:
    async def main() -> wiredrv.Client:
        client = wiredrv.Client(server.uri)
        await client.shop.orders.find_one({})
        client.close()  # type: ignore[unused-coroutine]  # left alone, as with Motor
        return client

    with _no_warnings():
        client = asyncio.run(main())
        assert not client._core.was_opened
        del client


def test_after_the_loop_it_drops_the_connections(server: FakeServer) -> None:
    client = wiredrv.Client(server.uri)

    async def main() -> None:
        await client.shop.orders.find_one({})

    asyncio.run(main())
    with _no_warnings():
        client.close()  # type: ignore[unused-coroutine]  # left alone, as with Motor
        assert not client._core.was_opened
        assert client._core._background is None


def test_a_client_that_was_never_opened_is_closed_by_the_call() -> None:
    with _no_warnings():
        client = wiredrv.Client()
        client.close()  # type: ignore[unused-coroutine]  # left alone, as with Motor
        with pytest.raises(InvalidOperation, match="after close"):
            asyncio.run(_used(client))


async def _used(client: wiredrv.Client) -> object:
    return await client.shop.orders.find_one({})


def test_a_program_that_ends_with_it_ends_quietly(server: FakeServer) -> None:
    program = (
        "import asyncio, wiredrv\n"
        "async def main():\n"
        f"    client = wiredrv.Client({server.uri!r})\n"
        "    await client.shop.orders.find_one({})\n"
        "    client.close()\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
