"""``with wiredrv.timeout``: nesting, tasks, generators. And what follows an abort that ran out of time."""

from __future__ import annotations

import contextvars
import math
from typing import Any, cast

import anyio
import pytest

import wiredrv
from tests.support.pauses import recorded_pauses
from wiredrv.client.limits import limit_of
from wiredrv.client.sessions import late_abort as module
from wiredrv.client.sessions.late_abort import PAUSES, late_abort
from wiredrv.errors import ConfigurationError, DriverError, NetworkTimeout, OperationFailure
from wiredrv.execution.executor import Executor
from wiredrv.execution.timeout import current, in_force_now
from wiredrv.operations.transactions import AbortAgain
from wiredrv.session.options import SessionOptions, TransactionOptions
from wiredrv.session.server_session import ServerSessionPool
from wiredrv.session.state import SessionState
from wiredrv.types import Address, TimeLimit

pytestmark = pytest.mark.anyio

ADDRESS = Address("localhost", 27017)


def _seconds() -> float | None:
    limit = current()
    return None if limit is None else limit.seconds


async def test_an_inner_block_can_only_shorten() -> None:
    assert _seconds() is None
    with wiredrv.timeout(5):
        with wiredrv.timeout(3):
            assert _seconds() == 3
        with wiredrv.timeout(10):
            assert _seconds() == 5
        with wiredrv.timeout(0):
            assert _seconds() == 5
        with wiredrv.timeout(None):
            assert _seconds() == 5
        assert _seconds() == 5
    assert _seconds() is None


async def test_a_limit_that_no_clock_can_tell_is_none() -> None:
    huge = 10**400
    with wiredrv.timeout(huge):
        assert _seconds() == math.inf
    assert limit_of(huge).seconds == math.inf
    assert limit_of(2**40).seconds == 2**40 / 1000


async def test_a_block_of_zero_seconds_has_no_limit() -> None:
    with wiredrv.timeout(0):
        assert _seconds() == math.inf
        found = in_force_now(TimeLimit(2.0))
        assert found is not None
        assert found.until == math.inf


@pytest.mark.parametrize("seconds", [-1, "5", True, math.nan])
async def test_a_block_takes_seconds(seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match="number of seconds"), wiredrv.timeout(seconds):
        pass


async def test_a_task_is_free_of_a_block_that_was_left() -> None:
    found: list[float | None] = []
    left = anyio.Event()

    async def child() -> None:
        found.append(_seconds())
        await left.wait()
        found.append(_seconds())

    async with anyio.create_task_group() as group:
        with wiredrv.timeout(5):
            group.start_soon(child)
            await anyio.wait_all_tasks_blocked()
        left.set()
    assert found == [5, None]


async def test_a_block_may_be_left_in_another_context() -> None:
    """As when an asynchronous generator is closed by the event loop."""
    block = wiredrv.timeout(5)
    block.__enter__()
    contextvars.copy_context().run(block.__exit__, None, None, None)
    assert _seconds() is None


# --- after an abort that failed ---


class _Executor:
    """Answers aborts from a script."""

    def __init__(self, *answers: DriverError | None) -> None:
        self.answers = list(answers)
        self.sent: list[AbortAgain] = []
        #: The limits of the blocks around them.
        self.limits: list[TimeLimit | None] = []

    async def execute(self, operation: AbortAgain) -> None:
        self.sent.append(operation)
        self.limits.append(current())
        answer = self.answers.pop(0)
        if answer is not None:
            raise answer


def _state(lost: bool) -> SessionState:
    state = SessionState(SessionOptions(), ServerSessionPool().acquire(0.0, 30), object())
    state.transaction.start(TransactionOptions(), 0.0, 1)
    state.server_session.next_txn_number()
    state.transaction.command_sent()
    if lost:
        state.transaction.answer_lost("insert", ADDRESS, NetworkTimeout("late"))
    return state


NONE_THERE = OperationFailure("no such transaction", 251)


@pytest.mark.parametrize(
    "lost, first, answers, sent",
    [
        (False, OperationFailure("refused", 251), (), 0),
        (False, NetworkTimeout("late"), (None,), 1),
        (False, NetworkTimeout("late"), (NONE_THERE,), 1),
        (False, NetworkTimeout("late"), (NetworkTimeout("late"), None), 2),
        (True, NONE_THERE, (NONE_THERE, NONE_THERE, None), 3),
        (True, NONE_THERE, (NONE_THERE,) * 4, 4),
        (True, NONE_THERE, (OperationFailure("committed", 256),), 1),
    ],
)
async def test_the_aborts_that_follow(
    monkeypatch: pytest.MonkeyPatch, lost: bool, first: DriverError, answers: tuple[DriverError | None, ...], sent: int
) -> None:
    pauses = recorded_pauses(monkeypatch, module)
    monkeypatch.setattr(module, "PAUSES", tuple(pause / 100 for pause in PAUSES))
    executor = _Executor(*answers)
    state = _state(lost)
    work = late_abort(cast(Executor, executor), state, first)
    assert (work is None) == (sent == 0)
    if work is not None:
        with wiredrv.timeout(0.05):
            await work(5.0)
    assert set(executor.limits) <= {None}
    assert len(executor.sent) == len(pauses) == sent
    for abort in executor.sent:
        assert (abort.lsid, abort.txn_number, abort.server) == (state.lsid, 1, ADDRESS if lost else None)
