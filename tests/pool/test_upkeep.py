"""What a pool does in the background: keep ``minPoolSize``, close idle connections, cancel connection attempts.

Connection-monitoring-and-pooling specification, "Background Thread" and "Populating the Pool with a Connection".
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest

from tests.pool.fakes import FakeConnection, Maker, Recorder, make_pool
from tests.support.waiting import until
from wiredrv.connection.connection import Connection
from wiredrv.errors import AutoReconnect, DriverError, PoolClearedError
from wiredrv.pool import pool as pool_module
from wiredrv.pool.pool import Pool

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def kept(pool: Pool) -> AsyncIterator[None]:
    """Run the pool's upkeep; it must end by itself once the pool is closed."""
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(pool.upkeep)
            yield
            pool.close()


@pytest.mark.parametrize("options, wanted", [({}, False), ({"min_pool_size": 1}, True), ({"max_idle_time": 5.0}, True)])
async def test_a_pool_that_asks_for_nothing_needs_no_upkeep(options: dict[str, Any], wanted: bool) -> None:
    assert make_pool(Maker(), **options).wants_upkeep is wanted


async def test_a_pool_is_filled_once_it_is_ready_and_not_before() -> None:
    maker = Maker()
    pool = make_pool(maker, ready=False, min_pool_size=3)
    async with kept(pool):
        await anyio.lowlevel.checkpoint()
        assert maker.begun == 0
        pool.ready()
        await until(lambda: len(pool.state.idle) == 3, "three connections idle")
    assert all(connection.closed for connection in maker.made)
    assert maker.begun == 3


async def test_a_connection_that_breaks_is_replaced() -> None:
    maker = Maker()
    pool = make_pool(maker, min_pool_size=2)
    async with kept(pool):
        await until(lambda: len(pool.state.idle) == 2, "two connections idle")
        broken = await pool.check_out()
        broken.close()
        pool.check_in(broken)
        await until(lambda: maker.begun == 3 and len(pool.state.idle) == 2, "two connections idle again")


async def test_connections_of_a_cleared_pool_are_replaced_when_it_is_ready_again() -> None:
    maker = Maker()
    pool = make_pool(maker, min_pool_size=1)
    async with kept(pool):
        await until(lambda: len(pool.state.idle) == 1, "a connection idles")
        pool.clear()
        assert maker.made[0].closed
        assert pool.state.idle == []
        pool.ready()
        await until(lambda: len(pool.state.idle) == 1, "another connection idles")
        assert pool.state.idle[0].generation == 1


async def test_operations_count_towards_the_least_size() -> None:
    maker = Maker()
    pool = make_pool(maker, ready=False, min_pool_size=2)
    async with kept(pool):
        maker.held = True
        pool.ready()
        await until(lambda: maker.begun == 1, "the first connection is being made")
        async with anyio.create_task_group() as group:
            used: list[Connection] = []

            async def use() -> None:
                used.append(await pool.check_out())

            group.start_soon(use)
            await until(lambda: maker.begun == 2, "an operation makes the other")
            maker.let_go()
        await until(lambda: pool.state.connecting == 0, "all are made")
        assert pool.state.total == 2


async def test_a_connection_made_beforehand_serves_who_waits_already() -> None:
    maker = Maker()
    maker.held = True
    pool = make_pool(maker, min_pool_size=1, max_connecting=1)
    async with kept(pool):
        await until(lambda: maker.begun == 1, "a connection is being made")
        async with anyio.create_task_group() as group:
            group.start_soon(pool.check_out)
            await until(lambda: len(pool.state.waiters) == 1, "an operation waits")
            maker.let_go()
        assert maker.begun == 1
        assert len(pool.state.in_use) == 1


async def test_a_connection_that_idles_too_long_is_closed_and_those_that_are_used_are_not() -> None:
    recorder, maker = Recorder(), Maker()
    pool = make_pool(maker, recorder, max_idle_time=0.05)
    async with kept(pool):
        held, idle = await pool.check_out(), await pool.check_out()
        pool.check_in(idle)
        await until(lambda: cast(FakeConnection, idle).closed, "the idle connection is closed")
        assert not cast(FakeConnection, held).closed
        closed = recorder.seen[-1]
        assert (closed.connection_id, closed.reason, closed.error) == (idle.id, "idle", None)
        pool.check_in(held)


async def test_the_topology_hears_of_a_failure_before_listeners_do() -> None:
    recorder, maker = Recorder(), Maker()
    maker.failure = AutoReconnect("refused")
    told: list[tuple[DriverError, int]] = []

    def failed(error: DriverError, generation: int) -> None:
        told.append((error, generation))
        pool.clear(error)

    pool = make_pool(maker, recorder, failed=failed, min_pool_size=1)
    async with kept(pool):
        await until(lambda: bool(told), "the failure is told")
        names = ["PoolCreated", "PoolReady", "ConnectionCreated", "PoolCleared", "ConnectionClosed"]
        assert recorder.names() == names
        assert recorder.seen[-1].error is maker.failure
        assert told == [(maker.failure, 0)]
        # The pool is paused now; it tries again when the server has replied.
        maker.failure = None
        pool.ready()
        await until(lambda: len(pool.state.idle) == 1, "a connection idles")


async def test_while_the_server_refuses_connections_one_is_tried_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_POPULATE_AGAIN", 0.05)
    maker = Maker()
    maker.failure = AutoReconnect("overloaded")
    pool = make_pool(maker, failed=lambda error, generation: None, min_pool_size=2)
    async with kept(pool):
        await until(lambda: maker.begun >= 2, "it is tried again")
        assert pool.state.connecting <= 1
        maker.failure = None
        await until(lambda: len(pool.state.idle) == 2, "two connections idle")


async def test_interrupting_breaks_off_what_is_being_connected() -> None:
    recorder, maker = Recorder(), Maker()
    maker.held = True
    pool = make_pool(maker, recorder)
    errors: list[DriverError] = []

    async def use() -> None:
        try:
            await pool.check_out()
        except DriverError as error:
            errors.append(error)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(use)
            await until(lambda: maker.begun == 1, "a connection is being made")
            pool.clear(AutoReconnect("no answer"), interrupt=True)
    assert [type(error) for error in errors] == [PoolClearedError]
    assert recorder.names()[-3:] == ["PoolCleared", "ConnectionClosed", "ConnectionCheckOutFailed"]
    assert pool.state.total == 0


async def test_clearing_without_interruption_lets_connecting_go_on() -> None:
    maker = Maker()
    maker.held = True
    pool = make_pool(maker)
    got: list[Connection] = []

    async def use() -> None:
        got.append(await pool.check_out())

    async with anyio.create_task_group() as group:
        group.start_soon(use)
        await until(lambda: maker.begun == 1, "a connection is being made")
        pool.clear(AutoReconnect("no answer"))
        maker.let_go()
    pool.check_in(got[0])
    assert cast(FakeConnection, got[0]).closed, "it is of an older generation"


async def test_a_broken_connection_is_told_with_the_error_that_broke_it() -> None:
    recorder = Recorder()
    pool = make_pool(Maker(), recorder)
    connection = await pool.check_out()
    connection.failure = AutoReconnect("reset")
    connection.close()
    pool.check_in(connection)
    assert (recorder.seen[-1].reason, recorder.seen[-1].error) == ("error", connection.failure)
