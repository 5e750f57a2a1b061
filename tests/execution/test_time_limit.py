"""The table of time limits: which one applies, and what an error says about the time. Pure."""

from __future__ import annotations

import math

import pytest

from wiredrv.client.limits import CursorKind, cursor_limit, limit_of
from wiredrv.errors import (
    ConfigurationError,
    DriverError,
    NetworkTimeout,
    NotPrimaryError,
    OperationTimeout,
    ServerSelectionTimeoutError,
)
from wiredrv.execution.circumstances import Circumstances
from wiredrv.execution.retry import History, Retry, decide
from wiredrv.execution.settings import ExecutionSettings
from wiredrv.execution.time_limit import Phase, TimeSpent, in_force, timed_out
from wiredrv.failures import FailureKind, consequences, kind_of
from wiredrv.operations.base import OperationKind
from wiredrv.types import TimeLimit

NOW = 100.0
READ, COMMIT, ABORT, HOUSEKEEPING = (
    OperationKind.READ,
    OperationKind.COMMIT,
    OperationKind.ABORT,
    OperationKind.HOUSEKEEPING,
)

HANDLE = TimeLimit(5.0)
CALL = TimeLimit(2.0, of_call=True)
LONG_CALL = TimeLimit(50.0, of_call=True)
#: A cursor's, three seconds of which are left.
RUNNING = TimeLimit(10.0, until=NOW + 3)
#: Of a with_transaction, one second of which is left.
SESSION = TimeLimit(20.0, until=NOW + 1)
#: Of a ``with wiredrv.timeout(30)`` that has nine seconds left, of one that is over, and of one without a limit.
BLOCK = TimeLimit(30.0, until=NOW + 9)
OVER = TimeLimit(30.0, until=NOW - 1)
ENDLESS = TimeLimit(math.inf, until=math.inf)


@pytest.mark.parametrize(
    "own, session, block, kind, seconds",
    [
        pytest.param(None, None, None, READ, None, id="no limit"),
        pytest.param(HANDLE, None, None, READ, 5, id="of the handle"),
        pytest.param(CALL, None, None, READ, 2, id="of the call"),
        pytest.param(RUNNING, None, None, READ, 3, id="one that has begun goes on"),
        pytest.param(None, None, BLOCK, READ, 9, id="of the block"),
        pytest.param(HANDLE, None, BLOCK, READ, 9, id="a block takes the place of the handle's"),
        pytest.param(HANDLE, None, ENDLESS, READ, math.inf, id="also one without a limit"),
        pytest.param(CALL, None, BLOCK, READ, 2, id="a call's in a longer block"),
        pytest.param(LONG_CALL, None, BLOCK, READ, 9, id="a block is not made longer by a call's"),
        pytest.param(RUNNING, None, BLOCK, READ, 3, id="a cursor's in a longer block"),
        pytest.param(RUNNING, None, OVER, READ, -1, id="a block that is over"),
        pytest.param(HANDLE, SESSION, None, READ, 1, id="a with_transaction's before the handle's"),
        pytest.param(None, SESSION, BLOCK, READ, 1, id="a with_transaction's in a longer block"),
        pytest.param(None, SESSION, OVER, READ, -1, id="a block within a with_transaction"),
        pytest.param(CALL, SESSION, None, COMMIT, 2, id="a commit has been given its own"),
        pytest.param(RUNNING, None, None, ABORT, 10, id="an abort has the whole limit again"),
        pytest.param(RUNNING, SESSION, OVER, HOUSEKEEPING, 10, id="killCursors has the whole limit again"),
        pytest.param(None, None, OVER, ABORT, 30, id="an abort has the whole block again"),
    ],
)
def test_the_limit_that_applies(
    own: TimeLimit | None,
    session: TimeLimit | None,
    block: TimeLimit | None,
    kind: OperationKind,
    seconds: float | None,
) -> None:
    found = in_force(own, session, block, kind, NOW)
    assert (None if found is None or found.until is None else found.until - NOW) == seconds


def test_a_call_in_the_callback_of_with_transaction_cannot_have_a_limit() -> None:
    with pytest.raises(ConfigurationError, match="callback of with_transaction"):
        in_force(CALL, SESSION, None, READ, NOW)


def test_what_is_not_told_to_the_server_stays_so_in_a_block_and_a_transaction() -> None:
    hidden = TimeLimit(5.0, on_server=False)
    for session, block in ((None, BLOCK), (SESSION, None), (SESSION, BLOCK)):
        found = in_force(hidden, session, block, READ, NOW)
        assert found is not None
        assert not found.on_server


def test_an_error_says_what_the_time_was_spent_on() -> None:
    spent = TimeSpent(TimeLimit(0.5, until=NOW + 0.5))
    spent.enter(Phase.SELECTION, NOW + 0.1)
    spent.enter(Phase.CHECK_OUT, NOW + 0.15)
    spent.enter(Phase.SERVER, NOW + 0.15)
    spent.enter(Phase.SELECTION, NOW + 0.25)
    spent.enter(Phase.SERVER, NOW + 0.3)
    first, last = DriverError("broken"), NetworkTimeout("no answer")
    last.__cause__ = TimeoutError()
    raised = timed_out(last, first, spent, NOW + 0.5)
    assert raised is last
    assert raised.__cause__ is first
    assert str(raised) == (
        "no answer; the attempt before failed with DriverError: broken; the time limit of 500 ms went to what came "
        "before (100 ms), server selection (100 ms) and the server (300 ms, 2 attempts)"
    )


def test_an_error_that_is_no_timeout_stays_as_it_is() -> None:
    spent = TimeSpent(TimeLimit(0.5, until=NOW + 0.5))
    error = DriverError("refused")
    assert timed_out(error, error, spent, NOW) is error
    assert str(error) == "refused"


def test_nothing_is_said_about_a_limit_of_any_length() -> None:
    error = ServerSelectionTimeoutError("no server")
    timed_out(error, error, TimeSpent(ENDLESS), NOW)
    assert str(error) == "no server"


# --- retries ---


def _where(kind: OperationKind, left: float) -> Circumstances:
    return Circumstances(kind, retryable=True, in_transaction=False, has_deadline=True, seconds_left=left)


def _after(failures: int) -> History:
    history = History()
    for _ in range(failures):
        history.add(NetworkTimeout("late"))
    return history


def test_retries_go_on_while_there_is_time() -> None:
    error = NetworkTimeout("connecting took too long")
    assert decide(error, _after(1), _where(READ, 0.1), ExecutionSettings()) == Retry()
    assert decide(error, _after(50), _where(READ, 0.1), ExecutionSettings()) == Retry(backoff=0.05)
    assert decide(error, _after(1), _where(READ, -0.1), ExecutionSettings()) is None


def test_a_failure_after_the_time_is_followed_by_the_timeout() -> None:
    """The next attempt sends nothing and raises the timeout, whose cause is this failure ("Retryability")."""
    error = NotPrimaryError("stepped down")
    history = History()
    history.add(error)
    assert decide(error, history, _where(READ, -0.1), ExecutionSettings()) == Retry()


def test_a_pause_that_does_not_fit_into_the_time_is_not_begun() -> None:
    error = DriverError("busy", ["SystemOverloadedError", "RetryableError"])
    history = History()
    history.add(error)
    assert decide(error, history, _where(READ, 10), ExecutionSettings()) is not None
    assert decide(error, history, _where(READ, 0.1), ExecutionSettings()) is None


@pytest.mark.parametrize("kind", [READ, OperationKind.WRITE, COMMIT, ABORT])
def test_a_command_for_which_there_is_no_time_is_not_tried_again(kind: OperationKind) -> None:
    error = OperationTimeout("no time")
    assert decide(error, _after(1), _where(kind, 0.01), ExecutionSettings()) is None


def test_a_command_that_was_not_sent_says_nothing_about_its_server() -> None:
    assert kind_of(OperationTimeout()) is FailureKind.NO_CONNECTION
    assert consequences(OperationTimeout()).keeps_connection


# --- cursors ---

PLAIN, TAILABLE, AWAIT, WRITING = CursorKind(), CursorKind(True), CursorKind(True, True), CursorKind(writes=True)


@pytest.mark.parametrize(
    "mode, kind, per_call, on_server",
    [
        (None, PLAIN, False, True),
        ("cursor_lifetime", PLAIN, False, True),
        ("iteration", PLAIN, True, False),
        (None, TAILABLE, True, False),
        ("iteration", TAILABLE, True, False),
        (None, AWAIT, True, True),
        ("iteration", AWAIT, True, True),
        (None, WRITING, False, True),
    ],
)
def test_the_limit_of_a_cursor(mode: str | None, kind: CursorKind, per_call: bool, on_server: bool) -> None:
    limit, iterates = cursor_limit(HANDLE, mode, kind, None)
    assert limit is not None
    assert (iterates, limit.on_server) == (per_call, on_server)


@pytest.mark.parametrize(
    "limit, mode, kind, max_await, text",
    [
        (None, "iteration", PLAIN, None, "needs a time limit"),
        (HANDLE, "always", PLAIN, None, "must be 'cursor_lifetime' or 'iteration'"),
        (HANDLE, "cursor_lifetime", TAILABLE, None, "has no end"),
        (HANDLE, "iteration", WRITING, None, "return nothing"),
        (HANDLE, None, AWAIT, 5000, "must be less than the time limit"),
    ],
)
def test_modes_that_are_refused(
    limit: TimeLimit | None, mode: str, kind: CursorKind, max_await: int | None, text: str
) -> None:
    with pytest.raises(ConfigurationError, match=text):
        cursor_limit(limit, mode, kind, max_await)


def test_a_getmore_may_wait_as_long_as_it_likes_without_a_limit() -> None:
    limit, _ = cursor_limit(limit_of(0), None, AWAIT, 5000)
    assert limit is not None
    assert limit.seconds == math.inf


@pytest.mark.parametrize("value", [-1, 1.5, "5", True])
def test_a_limit_is_a_whole_number_of_milliseconds(value: object) -> None:
    with pytest.raises(ConfigurationError, match="timeout_ms must be a whole number"):
        limit_of(value)
