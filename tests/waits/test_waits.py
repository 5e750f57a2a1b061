"""What ``waits`` adds to anyio: tasks of their own, other loops' threads, and whether a cancellation is under way."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import anyio
import anyio.lowlevel
import pytest

from tests.support.waiting import until
from wiredrv import waits

pytestmark = pytest.mark.anyio

_variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


async def test_a_spawned_task_inherits_nothing_and_says_when_it_is_over() -> None:
    seen: list[str] = []
    over = anyio.Event()

    async def task(word: str) -> None:
        seen.append(f"{word} {_variable.get()}")

    _variable.set("bound")
    keep = waits.spawn(task, "with", name="a task", done=over.set)
    with anyio.fail_after(5):
        await over.wait()
    assert seen == ["with unset"]
    assert keep is not None


async def test_another_thread_can_have_a_loop_call_a_function() -> None:
    loop = waits.running_loop()
    called: list[int] = []
    answers: list[bool] = []
    here = threading.get_ident()

    def elsewhere() -> None:
        answers.append(waits.call_soon(loop, lambda: called.append(threading.get_ident())))

    await anyio.to_thread.run_sync(elsewhere)
    await until(lambda: bool(called), "the loop called it")
    assert (called, answers) == ([here], [True])


def test_a_loop_that_is_gone_says_so() -> None:
    async def take() -> object:
        return waits.running_loop()

    for backend in ("asyncio", "trio"):
        assert waits.call_soon(anyio.run(take, backend=backend), lambda: None) is False


async def test_no_cancellation_is_under_way_in_a_task_that_runs() -> None:
    assert not waits.is_cancelling()
    with anyio.move_on_after(60):
        await anyio.lowlevel.checkpoint()
        assert not waits.is_cancelling()


async def test_a_scope_that_was_cancelled_is_seen_also_under_a_shield_inside_it() -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        assert waits.is_cancelling()
        try:
            await anyio.sleep(1)
        finally:
            assert waits.is_cancelling()
    assert not waits.is_cancelling()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_asyncios_own_cancellation_is_seen_until_it_is_dealt_with() -> None:
    seen: list[bool] = []

    async def task() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append(waits.is_cancelling())
            current = asyncio.current_task()
            assert current is not None
            current.uncancel()
        seen.append(waits.is_cancelling())

    running = asyncio.ensure_future(task())
    await asyncio.sleep(0)
    running.cancel()
    await running
    assert seen == [True, False]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_asyncios_deadline_is_a_cancellation_while_its_block_is_left() -> None:
    seen: list[bool] = []

    async def limited() -> None:
        async with asyncio.timeout(0.01):
            try:
                await asyncio.sleep(60)
            finally:
                seen.append(waits.is_cancelling())

    with pytest.raises(TimeoutError):
        await limited()
    seen.append(waits.is_cancelling())
    assert seen == [True, False]


async def test_a_running_task_is_known(anyio_backend_name: str) -> None:
    assert waits.current_task() is not None
    assert waits.backend() == anyio_backend_name
