"""How sessions and clients live and end, on the replica set: left open, forked, in successive event loops, in an
event loop that is shutting down."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import threading
import warnings
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any

import anyio
import anyio.to_thread
import pytest

import wiredrv
from tests.support.commands import DATABASE, CommandLog, fresh_collection, watched
from tests.support.waiting import until
from wiredrv.errors import DuplicateKeyError, InvalidOperation
from wiredrv.local import ReplicaSet

BACKENDS = ["asyncio", "trio"]


def _line() -> int:
    """The caller's line number."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def _open_transactions(replica_set: ReplicaSet) -> int:
    status = replica_set.primary().ask({"serverStatus": 1})
    return int(status["transactions"]["currentOpen"])


def _drop(kept: list[Any]) -> None:
    """Empty the list, which holds the last reference."""
    kept.clear()
    gc.collect()


async def _use(client: wiredrv.Client) -> None:
    assert (await client.admin.command("ping"))["ok"] == 1


# --- left open --------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("start", ["start_session", "awaited", "bound"])
async def test_a_session_that_was_not_ended_warns_with_where_it_was_started(
    replica_set: ReplicaSet, start: str
) -> None:
    async with wiredrv.Client(replica_set.uri) as client:
        await _use(client)
        if start == "awaited":
            session, line = await client.start_session(), _line()
        else:
            session, line = client.start_session(), _line()
        if start == "bound":
            async with session.bind(end_session=False):
                await _use(client)
        else:
            await client.admin.command("ping", session=session)
        kept = [session]
        del session
        with pytest.warns(ResourceWarning, match="never ended") as caught:
            _drop(kept)
        (warning,) = caught
        assert f"{__file__}:{line}" in str(warning.message)
        assert "async with client.start_session()" in str(warning.message)


@pytest.mark.anyio
async def test_sessions_that_were_ended_do_not_warn(replica_set: ReplicaSet) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with wiredrv.Client(replica_set.uri) as client:
            async with client.start_session() as by_block:
                await client.admin.command("ping", session=by_block)
            async with client.start_session().bind() as by_binding:
                await client.admin.command("ping")
            async with client.transaction() as by_transaction:
                pass
            by_hand = client.start_session()
            await by_hand.end_session()
            del by_block, by_binding, by_transaction, by_hand
        del client
        gc.collect()


@pytest.mark.anyio
async def test_a_session_whose_transaction_failed_is_collected(replica_set: ReplicaSet) -> None:
    """The failure's traceback refers to the session, so nothing that the client keeps may refer to the failure."""
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, "lifetime", 1)

        async def fail() -> weakref.ref[object]:
            async with client.start_session() as session:
                session.start_transaction()
                session.on_abort(lambda: None)
                with pytest.raises(DuplicateKeyError):
                    await collection.insert_one({"_id": 0}, session=session)
            return weakref.ref(session)

        session = await fail()
        gc.collect()
        assert session() is None
        assert len(client._core.started_sessions) == 0


@pytest.mark.anyio
async def test_a_client_that_was_not_closed_warns_with_where_it_was_made(replica_set: ReplicaSet) -> None:
    before = len(anyio.get_running_tasks())
    client, line = wiredrv.Client(replica_set.uri), _line()
    await _use(client)
    kept = [client]
    del client
    with pytest.warns(ResourceWarning, match="never closed") as caught:
        _drop(kept)
    (warning,) = caught
    assert f"{__file__}:{line}" in str(warning.message)
    await until(lambda: len(anyio.get_running_tasks()) <= before, "its background tasks end")


@pytest.mark.anyio
async def test_a_session_keeps_its_client_alive(replica_set: ReplicaSet) -> None:
    """A client is not collected while one of its sessions is still referenced."""
    session = wiredrv.Client(replica_set.uri).start_session()
    gc.collect()
    assert (await session.client.admin.command("ping", session=session))["ok"] == 1
    client = session.client
    await session.end_session()
    await client.close()


# --- after closing ----------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_session_can_be_ended_after_its_client_was_closed(replica_set: ReplicaSet) -> None:
    client = wiredrv.Client(replica_set.uri)
    await _use(client)
    session = client.start_session()
    await client.admin.command("ping", session=session)
    await client.close()
    await session.end_session()
    assert session.has_ended
    assert not client._core.was_opened


@pytest.mark.anyio
async def test_a_client_that_is_closed_tells_the_server_of_its_sessions(replica_set: ReplicaSet) -> None:
    log = CommandLog()
    async with wiredrv.Client(replica_set.uri, event_listeners=[log]) as client, client.start_session() as session:
        await client.admin.command("ping", session=session)
        used = session.session_id
    assert log.names[-1] == "endSessions"
    assert used in log.sent("endSessions")[0]["endSessions"]


@pytest.mark.anyio
async def test_a_closed_client_can_be_opened_again_with_new_sessions(replica_set: ReplicaSet) -> None:
    log = CommandLog()
    client = wiredrv.Client(replica_set.uri, event_listeners=[log])
    ids: list[set[bytes | None]] = []
    for _ in range(2):
        log.clear()
        async with client:
            await _use(client)
            ids.append(set(log.lsids("ping")))
    assert ids[0].isdisjoint(ids[1])


# --- other event loops ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", BACKENDS)
@pytest.mark.parametrize("second", BACKENDS)
@pytest.mark.parametrize("closed", [True, False], ids=["closed", "left open"])
def test_a_client_works_in_one_event_loop_after_another(
    replica_set: ReplicaSet, first: str, second: str, closed: bool
) -> None:
    """It shares neither connections nor sessions with the previous loop."""
    log = CommandLog()
    client = wiredrv.Client(replica_set.uri, event_listeners=[log])

    async def use() -> wiredrv.ClientSession:
        await _use(client)
        async with client.start_session() as session:
            await client.admin.command("ping", session=session)
        return session

    async def use_and_close() -> None:
        async with client:
            await use()

    anyio.run(use_and_close if closed else use, backend=first)
    connections = {event.server_connection_id for event in log.started_events}
    ids = set(log.lsids())
    log.clear()
    anyio.run(use_and_close, backend=second)
    assert {event.server_connection_id for event in log.started_events}.isdisjoint(connections)
    assert set(log.lsids("ping")).isdisjoint(ids)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_session_of_an_event_loop_that_is_gone_is_refused(replica_set: ReplicaSet, backend: str) -> None:
    client = wiredrv.Client(replica_set.uri)

    async def start() -> wiredrv.ClientSession:
        session = client.start_session()
        await client.admin.command("ping", session=session)
        return session

    session = anyio.run(start, backend=backend)

    async def use() -> None:
        await _use(client)
        with pytest.raises(InvalidOperation, match="an event loop that is closed"):
            await client.admin.command("ping", session=session)
        used = session.session_id
        await session.end_session()
        async with client.start_session() as another:
            assert another.session_id != used
        await client.close()

    anyio.run(use, backend=backend)


class _LoopInAThread:
    """An event loop that runs in a thread of its own until it is stopped."""

    def __init__(self, backend: str, setup: Callable[[], Awaitable[object]], end: Callable[[], Awaitable[object]]):
        self.ready: Future[None] = Future()
        self._finish = threading.Event()
        self._setup, self._end = setup, end
        self._thread = threading.Thread(target=anyio.run, args=(self._main,), kwargs={"backend": backend})

    async def _main(self) -> None:
        try:
            await self._setup()
            self.ready.set_result(None)
        except BaseException as error:
            self.ready.set_exception(error)
            raise
        await anyio.to_thread.run_sync(self._finish.wait)
        await self._end()

    def __enter__(self) -> _LoopInAThread:
        self._thread.start()
        self.ready.result(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._finish.set()
        self._thread.join(20)
        assert not self._thread.is_alive()


@pytest.mark.parametrize("first", BACKENDS)
@pytest.mark.parametrize("second", BACKENDS)
def test_a_client_cannot_be_used_in_two_live_event_loops(replica_set: ReplicaSet, first: str, second: str) -> None:
    client = wiredrv.Client(replica_set.uri)

    async def refused() -> None:
        with pytest.raises(InvalidOperation, match="open in another event loop"):
            await _use(client)
        with pytest.raises(InvalidOperation, match="open in another event loop"):
            async with client:
                pass

    with _LoopInAThread(first, lambda: _use(client), client.close):
        anyio.run(refused, backend=second)
    # Once closed there, it can be used here.
    anyio.run(_use_and_close, client, backend=second)


async def _use_and_close(client: wiredrv.Client) -> None:
    async with client:
        await _use(client)


# --- forks ------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.anyio
async def test_a_forked_child_shares_neither_connections_nor_sessions(
    replica_set: ReplicaSet, anyio_backend_name: str
) -> None:
    """Sessions specification, "Server Session Pool": a forked client may not share a session with its parent.

    The child runs its own event loop, in a new thread, since its main one was forked inside a loop.
    """
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, "forked", 1)
        await collection.find_one({})
        session = client.start_session()
        await collection.find_one({}, session=session)
        connections = {event.server_connection_id for event in log.started_events}
        ids = set(log.lsids())
        log.clear()

        async def use_in_child() -> bool:
            async with client:
                assert await collection.find_one({"_id": 0}) == {"_id": 0}
                async with client.transaction():
                    await collection.insert_one({"_id": "child"})
                with pytest.raises(InvalidOperation, match="before a fork"):
                    await collection.find_one({}, session=session)
            own_connections = {event.server_connection_id for event in log.started_events}
            return own_connections.isdisjoint(connections) and ids.isdisjoint(log.lsids())

        child = os.fork()
        if child == 0:  # pragma: no cover
            os._exit(exit_code(use_in_child, anyio_backend_name))
        status = await anyio.to_thread.run_sync(lambda: os.waitpid(child, 0)[1])
        assert os.waitstatus_to_exitcode(status) == 0
        # The parent continues with its own.
        assert await collection.find_one({"_id": "child"}, session=session) == {"_id": "child"}
        assert {event.server_connection_id for event in log.started_events} <= connections
        await session.end_session()


def exit_code(function: Callable[[], Awaitable[bool]], backend: str) -> int:
    results: list[int] = []

    def run() -> None:
        try:
            results.append(0 if anyio.run(function, backend=backend) else 2)
        except BaseException:
            results.append(3)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    return results[0] if results else 4


# --- an event loop that is shutting down ------------------------------------------------------------------------------


def test_asyncio_run_that_ends_under_a_transaction_leaves_nothing_behind(replica_set: ReplicaSet) -> None:
    """``asyncio.run`` cancels every task at once, including the client's background: abort, endSessions and close,
    which the user's blocks then call, still work."""
    log = CommandLog()
    before = _open_transactions(replica_set)
    held: list[Any] = []

    async def worker(inside: asyncio.Event) -> None:
        async with wiredrv.Client(replica_set.uri, event_listeners=[log]) as client:
            collection = await fresh_collection(client, "torn_down")
            held.append(client)
            async with client.start_session() as session:
                held.append(session)
                try:
                    async with session.start_transaction():
                        await collection.insert_one({"_id": 1}, session=session)
                        inside.set()
                        await anyio.sleep_forever()
                finally:
                    with anyio.CancelScope(shield=True):
                        assert await collection.count_documents({}) == 0

    async def main() -> None:
        inside = asyncio.Event()
        task = asyncio.create_task(worker(inside))
        await inside.wait()
        assert not task.done()

    asyncio.run(main())
    client, session = held
    assert session.has_ended
    assert not client._core.was_opened
    assert log.names[-3:] == ["abortTransaction", "aggregate", "endSessions"]
    assert _open_transactions(replica_set) <= before


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_interrupted_program_aborts_and_closes(replica_set: ReplicaSet, backend: str) -> None:
    """As with Ctrl-C: the exception propagates through the user's blocks, and each one cleans up."""
    log = CommandLog()
    before = _open_transactions(replica_set)

    async def main() -> None:
        async with wiredrv.Client(replica_set.uri, event_listeners=[log]) as client:
            collection = await fresh_collection(client, "torn_down")
            async with client.transaction():
                await collection.insert_one({"_id": 1})
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        anyio.run(main, backend=backend)
    assert log.names[-2:] == ["abortTransaction", "endSessions"]
    assert _open_transactions(replica_set) <= before


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_client_that_is_left_open_lets_the_event_loop_end(replica_set: ReplicaSet, backend: str) -> None:
    clients: list[Any] = []

    async def main() -> None:
        client = wiredrv.Client(replica_set.uri)
        clients.append(client)
        await client[DATABASE].torn_down.find_one({})

    anyio.run(main, backend=backend)
    with pytest.warns(ResourceWarning, match="never closed"):
        _drop(clients)
