"""The pool's shell: waiting in the queue, cancellation at each point, clearing and closing while operations wait.

There are no sockets here: the pool holds what ``tests.pool.fakes`` makes.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import cast

import anyio
import anyio.lowlevel
import pytest
from bson.objectid import ObjectId

from tests.pool.fakes import ADDRESS, FakeConnection, Maker, Recorder, make_pool
from tests.support.waiting import until
from wiredrv.connection.connection import Connection
from wiredrv.errors import (
    AutoReconnect,
    DriverError,
    InvalidOperation,
    OperationFailure,
    OperationTimeout,
    PoolClearedError,
    WaitQueueTimeoutError,
)
from wiredrv.pool.pool import Pool

pytestmark = pytest.mark.anyio


async def in_line(pool: Pool, count: int) -> None:
    await until(lambda: len(pool.state.waiters) == count, f"{count} operations wait")


def nothing_is_lost(pool: Pool) -> None:
    assert (len(pool.state.in_use), pool.state.connecting, len(pool.state.waiters)) == (0, 0, 0)


async def test_an_idle_connection_is_had_without_waiting() -> None:
    pool = make_pool(Maker())
    assert pool.try_check_out() is None
    connection = await pool.check_out()
    pool.check_in(connection)
    assert pool.try_check_out() is connection
    pool.check_in(connection)
    assert await pool.check_out() is connection


async def test_a_connection_that_goes_on_keeps_no_error_and_with_it_no_frames_of_its_users() -> None:
    pool = make_pool(Maker())
    connection = await pool.check_out()
    connection.failure = AutoReconnect("of a command")
    pool.check_in(connection)
    assert connection.failure is None


async def test_waiters_are_served_in_the_order_in_which_they_came() -> None:
    pool = make_pool(Maker(), max_pool_size=1)
    held = await pool.check_out()
    served: list[int] = []

    async def use(number: int) -> None:
        connection = await pool.check_out()
        served.append(number)
        await anyio.lowlevel.checkpoint()
        pool.check_in(connection)

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(use, number)
            await in_line(pool, number + 1)
        pool.check_in(held)
    assert served == [0, 1, 2, 3, 4]
    nothing_is_lost(pool)


async def test_waiting_too_long_says_how_the_pool_stands() -> None:
    pool = make_pool(Maker(), max_pool_size=1, wait_queue_timeout=0.02)
    held = await pool.check_out()
    with pytest.raises(WaitQueueTimeoutError, match=r"1 are in use and 0 are being opened \(maxPoolSize=1\)") as caught:
        await pool.check_out()
    assert caught.value.timeout
    assert str(ADDRESS) in str(caught.value)
    pool.check_in(held)
    nothing_is_lost(pool)
    assert await pool.check_out() is held


async def test_an_operations_own_deadline_bounds_the_wait_too() -> None:
    pool = make_pool(Maker(), max_pool_size=1, wait_queue_timeout=30.0)
    await pool.check_out()
    with anyio.fail_after(5), pytest.raises(WaitQueueTimeoutError):
        await pool.check_out(deadline=monotonic() + 0.02)


async def test_an_operations_own_deadline_replaces_the_wait_queue_timeout() -> None:
    """Client-side-operations-timeout specification, "Unit Tests"."""
    pool = make_pool(Maker(), max_pool_size=1, wait_queue_timeout=0.01)
    held = await pool.check_out()
    got: list[Connection] = []

    async def wait() -> None:
        got.append(await pool.check_out(deadline=monotonic() + 30))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await in_line(pool, 1)
        await anyio.sleep(0.1)
        pool.check_in(held)
    assert got == [held]


async def test_an_operations_own_deadline_bounds_the_making_of_its_connection() -> None:
    """The topology is not told: that the operation had little time says nothing about the server."""
    told: list[DriverError] = []
    maker = Maker()
    maker.held = True
    pool = make_pool(maker, max_pool_size=1, failed=lambda error, _: told.append(error))
    with anyio.fail_after(5), pytest.raises(OperationTimeout, match="while a connection was opened"):
        await pool.check_out(deadline=monotonic() + 0.02)
    nothing_is_lost(pool)
    assert told == []
    maker.let_go()
    assert await pool.check_out() is not None


async def test_a_deadline_that_has_passed_fails_without_waiting_for_ever() -> None:
    pool = make_pool(Maker(), max_pool_size=1)
    await pool.check_out()
    with anyio.fail_after(5), pytest.raises(WaitQueueTimeoutError):
        await pool.check_out(deadline=monotonic() - 1)


async def test_a_cancelled_waiter_leaves_the_line() -> None:
    pool = make_pool(Maker(), max_pool_size=1)
    held = await pool.check_out()
    got: list[Connection] = []

    async def behind() -> None:
        got.append(await pool.check_out())

    async with anyio.create_task_group() as group:
        scope = anyio.CancelScope()

        async def cancelled() -> None:
            with scope:
                await pool.check_out()

        group.start_soon(cancelled)
        await in_line(pool, 1)
        group.start_soon(behind)
        await in_line(pool, 2)
        scope.cancel()
        await in_line(pool, 1)
        pool.check_in(held)
    assert got == [held]


async def test_a_waiter_that_is_cancelled_when_its_turn_has_come_passes_the_connection_on() -> None:
    pool = make_pool(Maker(), max_pool_size=1)
    held = await pool.check_out()
    got: list[Connection] = []

    async def behind() -> None:
        got.append(await pool.check_out())

    async with anyio.create_task_group() as group:
        scope = anyio.CancelScope()

        async def cancelled() -> None:
            with scope:
                await pool.check_out()
                pytest.fail("the cancellation came first")

        group.start_soon(cancelled)
        await in_line(pool, 1)
        group.start_soon(behind)
        await in_line(pool, 2)
        # There is no await between the two: the waiter has its grant and its cancellation before it runs again.
        scope.cancel()
        pool.check_in(held)
    assert got == [held]
    pool.check_in(held)
    nothing_is_lost(pool)


async def test_a_cancelled_connection_attempt_gives_its_leave_to_the_next() -> None:
    maker = Maker()
    maker.held = True
    pool = make_pool(maker, max_connecting=1)
    got: list[Connection] = []

    async def behind() -> None:
        got.append(await pool.check_out())

    async with anyio.create_task_group() as group:
        scope = anyio.CancelScope()

        async def cancelled() -> None:
            with scope:
                await pool.check_out()

        group.start_soon(cancelled)
        await until(lambda: maker.begun == 1, "a connection is being made")
        group.start_soon(behind)
        await in_line(pool, 1)
        maker.held = False
        scope.cancel()
    assert len(got) == 1
    pool.check_in(got[0])
    nothing_is_lost(pool)


async def test_a_failed_connection_attempt_lets_the_next_try() -> None:
    maker = Maker()
    maker.failure = AutoReconnect("refused")
    pool = make_pool(maker, max_connecting=1)
    failures: list[Exception] = []

    async def use() -> None:
        try:
            pool.check_in(await pool.check_out())
        except AutoReconnect as error:
            failures.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(use)
    assert len(failures) == 4
    assert maker.begun == 4
    nothing_is_lost(pool)


async def test_no_more_than_max_connecting_are_made_at_a_time_and_a_returned_one_serves_first() -> None:
    maker = Maker()
    pool = make_pool(maker, max_connecting=2)
    first = await pool.check_out()
    maker.held = True
    got: list[Connection] = []

    async def use() -> None:
        got.append(await pool.check_out())

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(use)
        await in_line(pool, 1)
        assert maker.begun == 3, "one before, two now"
        pool.check_in(first)
        await until(lambda: got == [first], "the returned connection went to the one who waits")
        maker.let_go()
    assert len(got) == 3


@pytest.mark.parametrize("ends", ["clear", "close"])
async def test_who_waits_when_the_pool_is_cleared_or_closed_fails_at_once(ends: str) -> None:
    pool = make_pool(Maker(), max_pool_size=1)
    held = await pool.check_out()
    failures: list[Exception] = []

    async def use() -> None:
        try:
            await pool.check_out()
        except (PoolClearedError, InvalidOperation) as error:
            failures.append(error)

    why = AutoReconnect("the server is gone")
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(use)
            await in_line(pool, 3)
            if ends == "clear":
                pool.clear(why)
            else:
                pool.close()
    kind = PoolClearedError if ends == "clear" else InvalidOperation
    assert [type(failure) for failure in failures] == [kind] * 3
    if ends == "clear":
        assert "the server is gone" in str(failures[0])
        assert failures[0].__cause__ is why
    pool.check_in(held)
    assert cast(FakeConnection, held).closed
    nothing_is_lost(pool)


async def test_a_paused_pool_refuses_and_a_ready_one_gives_again() -> None:
    pool = make_pool(Maker(), ready=False)
    with pytest.raises(PoolClearedError, match="paused"):
        await pool.check_out()
    pool.ready()
    first = await pool.check_out()
    pool.check_in(first)
    pool.clear()
    assert cast(FakeConnection, first).closed, "idle connections of a cleared pool are closed"
    assert pool.try_check_out() is None
    with pytest.raises(PoolClearedError):
        await pool.check_out()
    pool.ready()
    assert (await pool.check_out()).generation == 1


@pytest.mark.parametrize("paused_before", [False, True])
async def test_clearing_can_interrupt_what_is_in_use(paused_before: bool) -> None:
    pool = make_pool(Maker())
    held = await pool.check_out()
    if paused_before:
        pool.clear()
        assert not cast(FakeConnection, held).closed
    pool.clear(AutoReconnect("no answer"), interrupt=True)
    assert cast(FakeConnection, held).closed
    pool.check_in(held)
    nothing_is_lost(pool)


@pytest.mark.parametrize("made", [False, True])
async def test_a_connection_that_is_made_while_the_pool_is_closed_is_not_given_out(made: bool) -> None:
    """However long it would take: the pool does not wait for it."""
    maker = Maker()
    maker.held = True
    pool = make_pool(maker)

    async with anyio.create_task_group() as group:

        async def use() -> None:
            with pytest.raises(InvalidOperation, match="closed"):
                await pool.check_out()

        group.start_soon(use)
        await until(lambda: maker.begun == 1, "a connection is being made")
        if made:
            maker.let_go()
        pool.close()
    assert all(connection.closed for connection in maker.made)
    nothing_is_lost(pool)


async def test_operations_that_wait_for_a_server_that_leaves_the_deployment_may_go_to_another() -> None:
    maker, errors = Maker(), []
    maker.held = True
    pool = make_pool(maker, max_pool_size=1)

    async def use() -> None:
        with pytest.raises(PoolClearedError, match="the server left the deployment") as caught:
            await pool.check_out()
        errors.append(caught.value)

    async with anyio.create_task_group() as group:
        group.start_soon(use)  # opens a connection
        await until(lambda: maker.begun == 1, "a connection is being made")
        group.start_soon(use)  # waits for one
        await until(lambda: len(pool.state.waiters) == 1, "the other one waits")
        pool.close(server_left=True)
    await use()
    assert len(errors) == 3
    nothing_is_lost(pool)


async def test_an_idle_connection_that_the_server_closed_is_not_given_out() -> None:
    maker = Maker()
    pool = make_pool(maker)
    first = await pool.check_out()
    pool.check_in(first)
    cast(FakeConnection, first).stale = True
    first.last_used -= 10
    assert pool.try_check_out() is None
    second = await pool.check_out()
    assert second is not first
    assert cast(FakeConnection, first).closed
    pool.check_in(second)
    nothing_is_lost(pool)


async def test_a_connection_with_a_reply_still_to_come_is_closed_when_it_comes_back() -> None:
    pool = make_pool(Maker())
    connection = await pool.check_out()
    cast(FakeConnection, connection).is_out_of_step = True
    pool.check_in(connection)
    assert cast(FakeConnection, connection).closed
    assert pool.state.idle == []


async def test_abandoning_closes_everything_and_wakes_nobody_of_another_loop() -> None:
    pool = make_pool(Maker())
    held, idle = await pool.check_out(), await pool.check_out()
    pool.check_in(idle)
    pool.abandon(wake=False)
    assert cast(FakeConnection, held).closed
    assert cast(FakeConnection, idle).closed


# --- events (CMAP, "Events") ------------------------------------------------------------------------------------------


async def test_the_events_of_a_connections_life() -> None:
    recorder = Recorder()
    pool = make_pool(Maker(), recorder, max_pool_size=7)
    pool.check_in(await pool.check_out())
    pool.clear()
    pool.clear()
    pool.close()
    pool.close()
    assert recorder.names() == [
        "PoolCreated",
        "PoolReady",
        "ConnectionCheckOutStarted",
        "ConnectionCreated",
        "ConnectionReady",
        "ConnectionCheckedOut",
        "ConnectionCheckedIn",
        "PoolCleared",
        "ConnectionClosed",
        "PoolClosed",
    ]
    assert recorder.seen[0].options == {"maxPoolSize": 7}
    assert recorder.seen[-2].reason == "stale"


@pytest.mark.parametrize(
    "break_it, reason",
    [
        (lambda pool, maker: setattr(maker, "failure", AutoReconnect("refused")), "connectionError"),
        (lambda pool, maker: pool.close(), "poolClosed"),
        (lambda pool, maker: pool.clear(), "connectionError"),
    ],
    ids=["connecting fails", "closed", "cleared"],
)
async def test_a_failed_check_out_is_told_with_its_reason(
    break_it: Callable[[Pool, Maker], object], reason: str
) -> None:
    recorder, maker = Recorder(), Maker()
    pool = make_pool(maker, recorder)
    break_it(pool, maker)
    with pytest.raises((AutoReconnect, InvalidOperation)):
        await pool.check_out()
    assert recorder.names()[-1] == "ConnectionCheckOutFailed"
    assert recorder.seen[-1].reason == reason


async def test_a_check_out_that_timed_out_is_told_as_such() -> None:
    recorder = Recorder()
    pool = make_pool(Maker(), recorder, max_pool_size=1, wait_queue_timeout=0.01)
    await pool.check_out()
    with pytest.raises(WaitQueueTimeoutError):
        await pool.check_out()
    assert (recorder.names()[-1], recorder.seen[-1].reason) == ("ConnectionCheckOutFailed", "timeout")


async def test_a_cancelled_check_out_is_told_too() -> None:
    recorder, maker = Recorder(), Maker()
    maker.held = True
    pool = make_pool(maker, recorder)
    with anyio.move_on_after(0.01):
        await pool.check_out()
    assert recorder.names()[-2:] == ["ConnectionClosed", "ConnectionCheckOutFailed"]
    nothing_is_lost(pool)


async def test_failures_behind_a_load_balancer_are_told_with_their_servers_generation() -> None:
    # Load-balancers, "Initial Handshake Errors": two that were under way together report one failure, not two.
    maker = Maker()
    maker.held = True
    refused = OperationFailure("not this user", 18)
    refused.service_id = server = ObjectId()
    maker.failure = refused
    told: list[int] = []

    def failed(error: DriverError, generation: int) -> None:
        told.append(generation)
        if generation >= pool.state.generation_of(error.service_id):
            pool.clear(error, service_id=error.service_id)

    async def connect() -> None:
        with pytest.raises(OperationFailure):
            await pool.check_out()

    pool = make_pool(maker, failed=failed)
    async with anyio.create_task_group() as group:
        group.start_soon(connect)
        group.start_soon(connect)
        await until(lambda: maker.begun == 2, "both are being connected")
        maker.let_go()
    assert told == [0, 0]
    assert pool.state.generation_of(server) == 1, "the second failure was of the generation before"
    await connect()
    assert told == [0, 0, 1]
    assert pool.state.generation_of(server) == 2
    assert pool.state.generation_of(ObjectId()) == 0
    assert pool.generation == 0
