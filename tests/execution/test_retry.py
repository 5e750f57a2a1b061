"""Whether a failed attempt is followed by another: the table of the unified pseudo-code (client-backpressure), of
retryable reads and of retryable writes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiredrv.errors import (
    NO_WRITES_PERFORMED,
    RETRYABLE,
    RETRYABLE_WRITE,
    SYSTEM_OVERLOADED,
    AutoReconnect,
    ConfigurationError,
    CursorNotFound,
    DocumentTooLarge,
    DriverError,
    InvalidOperation,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PoolClearedError,
    ProtocolError,
    ServerSelectionTimeoutError,
    UnreadableReply,
    WaitQueueTimeoutError,
)
from wiredrv.execution.circumstances import Circumstances
from wiredrv.execution.retry import (
    BASE_BACKOFF,
    MAX_BACKOFF,
    History,
    Retry,
    decide,
    never_sent,
)
from wiredrv.execution.settings import ExecutionSettings
from wiredrv.operations.base import OperationKind
from wiredrv.server_facts import RETRYABLE_READ_CODES

DEFAULT = ExecutionSettings()


#: Failures before a command is sent.
NEVER_SENT = (
    ServerSelectionTimeoutError,
    PoolClearedError,
    WaitQueueTimeoutError,
    ConfigurationError,
    DocumentTooLarge,
)


def labelled(error: DriverError, *labels: str) -> DriverError:
    for label in labels:
        error.add_error_label(label)
    return error


def overloaded(**details: Any) -> DriverError:
    return labelled(OperationFailure("shed", 462, details), SYSTEM_OVERLOADED, RETRYABLE)


def after(*errors: DriverError) -> History:
    history = History()
    for error in errors:
        history.add(error, sent=not isinstance(error, NEVER_SENT))
    return history


def decided(
    error: DriverError, where: Circumstances, settings: ExecutionSettings = DEFAULT, *before: DriverError
) -> Retry | None:
    return decide(error, after(*before, error), where, settings)


READ = Circumstances(OperationKind.READ, retryable=True, in_transaction=False)
WRITE = Circumstances(OperationKind.WRITE, retryable=True, in_transaction=False)
GET_MORE = Circumstances(OperationKind.READ, retryable=False, in_transaction=False, waits_for_server=True)
IN_GET_MORE = Circumstances(OperationKind.READ, retryable=False, in_transaction=True, waits_for_server=True)
UPDATE_MANY = Circumstances(OperationKind.WRITE, retryable=False, in_transaction=False)
COMMAND = Circumstances(OperationKind.COMMAND, retryable=False, in_transaction=False)
IN_READ = Circumstances(OperationKind.READ, retryable=True, in_transaction=True)
IN_WRITE = Circumstances(OperationKind.WRITE, retryable=True, in_transaction=True)
COMMIT = Circumstances(OperationKind.COMMIT, retryable=True, in_transaction=True)
ABORT = Circumstances(OperationKind.ABORT, retryable=True, in_transaction=True)
KILL = Circumstances(OperationKind.HOUSEKEEPING, retryable=False, in_transaction=False)

EVERYTHING: dict[str, Circumstances] = {
    "read": READ,
    "write": WRITE,
    "getMore": GET_MORE,
    "updateMany": UPDATE_MANY,
    "runCommand": COMMAND,
    "read in a transaction": IN_READ,
    "getMore in a transaction": IN_GET_MORE,
    "write in a transaction": IN_WRITE,
    "commit": COMMIT,
    "abort": ABORT,
    "killCursors": KILL,
}

#: error: which operations of EVERYTHING are retried after it as their first error.
FIRST_ERRORS: dict[str, tuple[DriverError, set[str]]] = {
    "the network": (AutoReconnect("x"), {"read"}),
    "the network, labelled": (labelled(AutoReconnect("x"), RETRYABLE_WRITE), {"read", "write", "commit", "abort"}),
    "a timeout": (NetworkTimeout("x"), {"read"}),
    "a cleared pool": (
        labelled(PoolClearedError("x"), RETRYABLE_WRITE),
        {"read", "write", "commit", "abort", "getMore"},
    ),
    "a broken stream": (ProtocolError("x"), {"read"}),
    "a broken stream, labelled": (labelled(ProtocolError("x"), RETRYABLE_WRITE), {"read", "write", "commit", "abort"}),
    "an unreadable reply": (UnreadableReply("x"), {"commit"}),
    "a refusal without a code": (OperationFailure("x"), {"commit"}),
    "not primary": (NotPrimaryError("x", {"code": 10107}), {"read"}),
    "not primary, labelled": (
        labelled(NotPrimaryError("x", {"code": 10107}), RETRYABLE_WRITE),
        {"read", "write", "commit", "abort"},
    ),
    "no server": (labelled(ServerSelectionTimeoutError("x"), RETRYABLE_WRITE), set()),
    "no connection became free": (labelled(WaitQueueTimeoutError("x"), RETRYABLE_WRITE), set()),
    "another server error": (OperationFailure("x", 11000), set()),
    "a cursor that is gone": (CursorNotFound("x", 43), set()),
    "a mistake of the caller": (InvalidOperation("x"), set()),
    "overload": (overloaded(), set(EVERYTHING)),
    "overload that is not retryable": (labelled(OperationFailure("x", 462), SYSTEM_OVERLOADED), set()),
    "retryable without overload": (labelled(OperationFailure("x", 1), RETRYABLE), set()),
}


@pytest.mark.parametrize("operation", EVERYTHING)
@pytest.mark.parametrize("name", FIRST_ERRORS)
def test_the_first_error(name: str, operation: str) -> None:
    error, retried = FIRST_ERRORS[name]
    assert (decided(error, EVERYTHING[operation]) is not None) == (operation in retried)


def test_a_get_more_that_was_not_sent_waits_for_its_server_as_often_as_that_fails() -> None:
    cleared = PoolClearedError("x")
    assert decided(cleared, GET_MORE, ExecutionSettings(retry_reads=False), *[cleared] * 5) == Retry()
    assert decided(AutoReconnect("x"), GET_MORE, DEFAULT, cleared) is None, "it may have been sent"


@pytest.mark.parametrize("code", sorted(RETRYABLE_READ_CODES))
def test_the_codes_of_retryable_reads(code: int) -> None:
    assert decided(OperationFailure("x", code), READ) == Retry()
    assert decided(OperationFailure("x", code), WRITE) is None, "a write goes by its label"


@pytest.mark.parametrize(
    "settings, operation, error, retried",
    [
        ({"retry_reads": False}, "read", AutoReconnect("x"), False),
        ({"retry_writes": False}, "read", AutoReconnect("x"), True),
        ({"retry_writes": False}, "write", labelled(AutoReconnect("x"), RETRYABLE_WRITE), False),
        ({"retry_writes": False}, "commit", labelled(AutoReconnect("x"), RETRYABLE_WRITE), True),
        ({"retry_writes": False}, "abort", labelled(AutoReconnect("x"), RETRYABLE_WRITE), True),
        ({"retry_reads": False}, "read", overloaded(), False),
        ({"retry_reads": False}, "write", overloaded(), True),
        ({"retry_writes": False}, "write", overloaded(), False),
        ({"retry_writes": False}, "read", overloaded(), True),
        ({"retry_writes": False}, "updateMany", overloaded(), False),
        ({"retry_reads": False}, "getMore", overloaded(), False),
        ({"retry_reads": False}, "killCursors", overloaded(), False),
        ({"retry_writes": False}, "killCursors", overloaded(), True),
        ({"retry_reads": False}, "runCommand", overloaded(), False),
        ({"retry_writes": False}, "runCommand", overloaded(), False),
        ({"retry_reads": False, "retry_writes": False}, "commit", overloaded(), True),
        ({"max_adaptive_retries": 0}, "read", overloaded(), False),
    ],
)
def test_what_a_client_switched_off(
    settings: dict[str, Any], operation: str, error: DriverError, retried: bool
) -> None:
    assert (decided(error, EVERYTHING[operation], ExecutionSettings(**settings)) is not None) == retried


# --- how often --------------------------------------------------------------------------------------------------------


def test_without_overload_there_is_one_retry() -> None:
    assert decided(AutoReconnect("1"), READ) is not None
    assert decided(AutoReconnect("2"), READ, DEFAULT, AutoReconnect("1")) is None


def test_with_a_deadline_there_are_as_many_as_there_is_time_for() -> None:
    timed = Circumstances(OperationKind.READ, True, False, has_deadline=True)
    assert decided(AutoReconnect("x"), timed, DEFAULT, *[AutoReconnect("x") for _ in range(50)]) is not None


@pytest.mark.parametrize("has_deadline", [False, True])
@pytest.mark.parametrize("allowed", [0, 1, 2, 5])
def test_once_there_was_overload_its_limit_counts_for_every_retry(allowed: int, has_deadline: bool) -> None:
    settings = ExecutionSettings(max_adaptive_retries=allowed)
    where = Circumstances(OperationKind.READ, True, False, has_deadline=has_deadline)
    for failures in range(1, 8):
        before = [overloaded() for _ in range(failures - 1)]
        assert (decided(overloaded(), where, settings, *before) is not None) == (failures <= allowed)
        if before:
            assert (decided(AutoReconnect("x"), where, settings, *before) is not None) == (failures <= allowed)


def test_an_overload_after_another_error_raises_the_limit() -> None:
    assert decided(overloaded(), READ, DEFAULT, AutoReconnect("1")) is not None
    assert decided(AutoReconnect("3"), READ, DEFAULT, AutoReconnect("1"), overloaded()) is None


# --- how long to wait, and where to go --------------------------------------------------------------------------------


def test_only_overload_is_followed_by_a_pause() -> None:
    assert decided(AutoReconnect("x"), READ) == Retry(backoff=0.0)
    assert decided(AutoReconnect("x"), READ, ExecutionSettings(max_adaptive_retries=9), overloaded()) == Retry(0.0)


@pytest.mark.parametrize(
    "failures, left, seconds",
    [
        (1, 60, 0.0),
        (2, 60, 0.0075),
        (3, 60, 0.01125),
        (10, 60, 0.192),
        (30, 60, 0.5),
        (10**6, math.inf, 0.5),
        (30, 0.2, 0.1),
        (30, 0.0, 0.0),
    ],
)
def test_with_a_deadline_there_is_a_pause_from_the_third_attempt_on(failures: int, left: float, seconds: float) -> None:
    """A server that refuses at once would receive thousands of commands in a second."""
    timed = Circumstances(OperationKind.READ, True, False, has_deadline=True, seconds_left=left)
    refusal = OperationFailure("x", 262)
    retry = decide(refusal, History(failures=failures, error=refusal), timed, DEFAULT)
    assert retry is not None
    assert retry.backoff == pytest.approx(seconds, abs=0.001)


def test_once_there_was_overload_only_overload_is_followed_by_a_pause() -> None:
    timed = Circumstances(OperationKind.READ, True, False, has_deadline=True)
    settings = ExecutionSettings(max_adaptive_retries=9)
    assert decided(AutoReconnect("x"), timed, settings, overloaded(), AutoReconnect("x")) == Retry(0.0)


@pytest.mark.parametrize("failures, seconds", [(1, 0.2), (2, 0.4), (3, 0.8), (6, 6.4), (7, 10.0), (40, 10.0)])
def test_the_pause_doubles_up_to_its_limit(failures: int, seconds: float) -> None:
    settings = ExecutionSettings(max_adaptive_retries=100)
    retry = decided(overloaded(), READ, settings, *[overloaded() for _ in range(failures - 1)])
    assert retry is not None
    assert retry.backoff == pytest.approx(seconds)
    assert seconds == min(MAX_BACKOFF, BASE_BACKOFF * 2**failures)


@pytest.mark.parametrize(
    "given_ms, seconds", [(50, 0.1), (50.0, 0.1), (1, 0.002), (0, 0.2), (-5, 0.2), ("50", 0.2), (True, 0.2), (1e9, 10)]
)
def test_a_server_may_set_the_base_of_the_pause(given_ms: Any, seconds: float) -> None:
    retry = decided(overloaded(baseBackoffMS=given_ms), READ)
    assert retry is not None
    assert retry.backoff == pytest.approx(seconds)


@pytest.mark.parametrize(
    "sharded, error, retargeting, elsewhere",
    [
        (True, AutoReconnect("x"), False, True),
        (False, AutoReconnect("x"), False, False),
        (False, AutoReconnect("x"), True, False),
        (False, overloaded(), False, False),
        (False, overloaded(), True, True),
    ],
)
def test_where_a_retry_avoids_the_server_that_failed(
    sharded: bool, error: DriverError, retargeting: bool, elsewhere: bool
) -> None:
    settings = ExecutionSettings(enable_overload_retargeting=retargeting)
    retry = decided(error, Circumstances(OperationKind.READ, True, False, sharded), settings)
    assert retry is not None
    assert retry.deprioritize is elsewhere


# --- which error is shown (retryable-writes, "Handling Multiple Errors") ---------------------------------------------


def no_writes(text: str) -> DriverError:
    return labelled(OperationFailure(text, 91), RETRYABLE_WRITE, NO_WRITES_PERFORMED)


@pytest.mark.parametrize(
    "errors, shown",
    [
        ([AutoReconnect("1"), AutoReconnect("2")], 1),
        ([AutoReconnect("1"), no_writes("2")], 0),
        ([no_writes("1"), AutoReconnect("2")], 1),
        ([no_writes("1"), no_writes("2")], 0),
        ([AutoReconnect("1"), no_writes("2"), AutoReconnect("3")], 2),
        ([AutoReconnect("1"), AutoReconnect("2"), no_writes("3")], 1),
        ([AutoReconnect("1"), ServerSelectionTimeoutError("2")], 0),
        ([AutoReconnect("1"), PoolClearedError("2")], 0),
        ([AutoReconnect("1"), WaitQueueTimeoutError("2")], 0),
        ([PoolClearedError("1"), ServerSelectionTimeoutError("2")], 0),
        ([AutoReconnect("1"), ConfigurationError("no sessions there")], 0),
        ([AutoReconnect("1"), DocumentTooLarge("too large there")], 0),
        ([no_writes("1"), ConfigurationError("2")], 0),
        ([PoolClearedError("1"), AutoReconnect("2"), ConfigurationError("3")], 1),
    ],
)
def test_the_error_that_tells_of_an_attempted_write_is_shown(errors: list[DriverError], shown: int) -> None:
    assert after(*errors).error is errors[shown]


def test_a_connection_that_could_not_be_made_hides_no_earlier_error() -> None:
    sent, refused = AutoReconnect("the reply was lost"), AutoReconnect("connection refused")
    history = History()
    history.add(sent, sent=True)
    history.add(refused, sent=False)
    assert history.error is sent
    assert history.earlier is sent
    only = History()
    only.add(refused, sent=False)
    assert only.error is refused


def test_the_error_before_the_last_one_is_kept_too() -> None:
    first, last = AutoReconnect("the reply was lost"), NetworkTimeout("no answer")
    history = History()
    history.add(first)
    history.add(last)
    assert (history.error, history.earlier) == (last, first)


def test_errors_before_anything_was_sent() -> None:
    kinds = (ServerSelectionTimeoutError, PoolClearedError, WaitQueueTimeoutError)
    assert all(never_sent(kind("x")) for kind in kinds)
    assert not never_sent(AutoReconnect("x"))


# --- against the pseudo-code ------------------------------------------------------------------------------------------


def _pseudo_code(
    errors: list[DriverError], where: Circumstances, settings: ExecutionSettings, is_csot: bool
) -> list[bool]:
    """The loop of the specification, written as it is there: after each error, whether another attempt follows."""
    decisions: list[bool] = []
    attempt = 0
    allowed: float = float("inf") if is_csot else 1
    for error in errors:
        retryable_read = where.kind is OperationKind.READ and where.retryable and isinstance(error, AutoReconnect)
        retryable_write = (
            where.kind is OperationKind.WRITE and where.retryable and error.has_error_label(RETRYABLE_WRITE)
        )
        is_overload = error.has_error_label(SYSTEM_OVERLOADED)
        again = retryable_read or retryable_write or (is_overload and error.has_error_label(RETRYABLE))
        if again:
            attempt += 1
            if is_overload:
                allowed = settings.max_adaptive_retries
            again = attempt <= allowed
        decisions.append(again)
        if not again:
            break
    return decisions


@given(
    st.lists(st.sampled_from(["network", "labelled", "overload", "overload+write", "other"]), min_size=1, max_size=8),
    st.sampled_from([READ, WRITE, GET_MORE, UPDATE_MANY]),
    st.integers(0, 4),
    st.booleans(),
)
def test_any_run_of_errors_is_decided_as_the_pseudo_code_does(
    names: list[str], where: Circumstances, adaptive: int, is_csot: bool
) -> None:
    make: dict[str, Callable[[], DriverError]] = {
        "network": lambda: AutoReconnect("x"),
        "labelled": lambda: labelled(AutoReconnect("x"), RETRYABLE_WRITE),
        "overload": overloaded,
        "overload+write": lambda: labelled(overloaded(), RETRYABLE_WRITE),
        "other": lambda: OperationFailure("x", 1),
    }
    errors = [make[name]() for name in names]
    settings = ExecutionSettings(max_adaptive_retries=adaptive)
    timed = Circumstances(where.kind, where.retryable, False, has_deadline=is_csot)
    history = History()
    decisions: list[bool] = []
    for error in errors:
        history.add(error)
        decisions.append(decide(error, history, timed, settings) is not None)
        if not decisions[-1]:
            break
    assert decisions == _pseudo_code(errors, timed, settings, is_csot)


def test_every_kind_is_decided_for() -> None:
    covered = {where.kind for where in EVERYTHING.values()}
    assert covered == set(OperationKind)
    for where, (error, _) in itertools.product(EVERYTHING.values(), FIRST_ERRORS.values()):
        decided(error, where)
