"""``with_transaction``: run a callback in a transaction and commit it, with retries where these are safe.

Convenient transactions specification. The decisions (how long to wait, whether there is time, whether an error may be
retried) are pure; the loop at the end performs them.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from inspect import isawaitable
from typing import TYPE_CHECKING, NoReturn, TypeVar

from wiredrv import waits
from wiredrv.client.limits import limit_of
from wiredrv.errors import (
    TRANSIENT_TRANSACTION,
    UNKNOWN_COMMIT_RESULT,
    ConfigurationError,
    DriverError,
    InvalidOperation,
    OperationFailure,
    TransactionLimitExceeded,
    TransactionTimeoutError,
)
from wiredrv.execution.retry import growing_pause
from wiredrv.execution.timeout import in_force_now
from wiredrv.server_facts import ErrorCode
from wiredrv.session.notes import note_transaction
from wiredrv.session.options import TransactionOptions
from wiredrv.waits import monotonic

if TYPE_CHECKING:
    from wiredrv.client.sessions.client_session import ClientSession

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long and how often ``with_transaction`` tries. The defaults are the specification's.

    :param timeout: seconds after which no further attempt is started.
    :param max_attempts: how many attempts there may be; None for no limit besides ``timeout``.
    :param jitter: returns a number from 0 to 1 (exclusive), by which each backoff is multiplied;
        None takes random ones.
    :param on_retry: called before each retry with the number of the coming attempt and the error of the last one.
    :raises ConfigurationError: ``timeout`` is negative, or ``max_attempts`` is less than 1.
    """

    timeout: float = 120.0
    max_attempts: int | None = None
    jitter: Callable[[], float] | None = None
    on_retry: Callable[[int, BaseException], object] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.timeout, (int, float)) or not self.timeout >= 0:
            raise ConfigurationError(f"timeout must be a number of seconds from 0 up, not {self.timeout!r}")
        if self.max_attempts is not None and (not isinstance(self.max_attempts, int) or self.max_attempts < 1):
            raise ConfigurationError(f"max_attempts must be a whole number from 1 up, not {self.max_attempts!r}")


DEFAULT_POLICY = RetryPolicy()


def backoff(attempt: int, jitter: float) -> float:
    """Seconds to wait after ``attempt`` failed attempts."""
    return jitter * growing_pause(attempt)


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The original errors: those in an exception group, and the cause of an error that wraps another.

    An error that has labels is an original one, whatever its cause; so is PyMongo's, in a callback that uses both.
    """
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    elif not hasattr(error, "has_error_label") and error.__cause__ is not None:
        yield from leaves(error.__cause__)
    else:
        yield error


def has_label(error: BaseException, label: str, cancelled: type[BaseException]) -> bool:
    """Whether an error has a label; a group has it if all of its errors except cancellations do."""
    found = [leaf for leaf in leaves(error) if not isinstance(leaf, cancelled)]
    return bool(found) and all(_labelled(leaf, label) for leaf in found)


def _labelled(error: BaseException, label: str) -> bool:
    ask = getattr(error, "has_error_label", None)
    return ask is not None and bool(ask(label))


def _common_labels(error: BaseException) -> set[str]:
    """The labels that all original errors have; another driver's errors are asked for the two of transactions."""
    found = [leaf for leaf in leaves(error) if hasattr(leaf, "has_error_label")]
    own = [leaf.error_labels for leaf in found if isinstance(leaf, DriverError)]
    asked = {TRANSIENT_TRANSACTION, UNKNOWN_COMMIT_RESULT}.union(*own)
    return {label for label in asked if found and all(_labelled(leaf, label) for leaf in found)}


def commit_may_be_retried(error: DriverError) -> bool:
    """Whether a failed commit is to be sent again by the loop: its result is unknown, and not for lack of time."""
    expired = isinstance(error, OperationFailure) and error.code == ErrorCode.MaxTimeMSExpired
    return error.has_error_label(UNKNOWN_COMMIT_RESULT) and not expired


def out_of_time(error: BaseException, timeout: float, *, limited: bool = False) -> BaseException:
    """The error to raise when there is no time for a retry: a timeout with the last error as its cause, and its labels.

    An error that is a timeout already is raised as it is, and so is a group that contains a cancellation.

    :param limited: whether the time is that of a time limit, not of the policy.
    """
    if not isinstance(error, Exception) or (isinstance(error, DriverError) and error.timeout):
        return error
    found = [leaf for leaf in leaves(error) if isinstance(leaf, DriverError)]
    labels = _common_labels(error)
    kind = TransactionLimitExceeded if limited else TransactionTimeoutError
    raised = kind(f"the transaction did not succeed within {timeout:g} s; the last failure: {error}", labels)
    raised.transaction = next((leaf.transaction for leaf in found if leaf.transaction is not None), None)
    raised.__cause__ = error
    return raised


def give_up(error: BaseException, session: ClientSession, timeout: float) -> NoReturn:
    """Raise what :func:`out_of_time` says."""
    raise out_of_time(error, timeout, limited=session._state.limit is not None)


async def run_in_transaction(
    session: ClientSession,
    callback: Callable[[ClientSession], Awaitable[T]] | None,
    options: TransactionOptions,
    policy: RetryPolicy,
    timeout_ms: int | None,
) -> T:
    """``ClientSession.with_transaction``: with a time limit, all that the callback does with the session has it."""
    if callback is None or not callable(callback):
        raise ConfigurationError(f"with_transaction takes an asynchronous function of the session, not {callback!r}")
    state = session._state
    if state.limit is not None:
        raise InvalidOperation("with_transaction was called in the callback of another one with the same session")
    state.limit = in_force_now(state.default_limit if timeout_ms is None else limit_of(timeout_ms))
    if state.limit is not None:
        policy = replace(policy, timeout=state.limit.seconds)
    try:
        return await _loop(session, callback, options, policy)
    finally:
        state.limit = None


async def _loop(
    session: ClientSession,
    callback: Callable[[ClientSession], Awaitable[T]],
    options: TransactionOptions,
    policy: RetryPolicy,
) -> T:
    limit = session._state.limit
    # Of a limit that began before, in a `with wiredrv.timeout(...)`, only the rest is left.
    started = monotonic() if limit is None or limit.until in (None, math.inf) else limit.until - limit.seconds
    attempt = 0
    last: BaseException | None = None
    while True:
        if last is not None:
            await _pause(session, policy, attempt, last, started)
            await session._ending.until_free()
        attempt += 1
        session._start(options, attempt)
        try:
            result = await _called(callback, session)
        except BaseException as error:
            final = not _whole_retry(error, policy, attempt)
            if final:
                note_transaction(error, session._state)
            await session._ending.abort_quietly()
            if final:
                raise
            if monotonic() - started >= policy.timeout:
                give_up(error, session, policy.timeout)
            last = error
            continue
        if not session.in_transaction:
            return result  # The callback ended the transaction itself.
        retry = await _commit(session, policy, started, attempt)
        if retry is None:
            return result
        last = retry


async def _called(callback: Callable[[ClientSession], Awaitable[T]], session: ClientSession) -> T:
    result = waits.user(callback, session)
    if not isawaitable(result):
        raise ConfigurationError(
            f"with_transaction takes an asynchronous function (async def), and {callback!r} returned "
            f"{type(result).__name__}, which cannot be awaited"
        )
    return await result


async def _pause(
    session: ClientSession, policy: RetryPolicy, attempt: int, last: BaseException, started: float
) -> None:
    seconds = _backoff_after(last, attempt, policy)
    if monotonic() - started + seconds >= policy.timeout:
        give_up(last, session, policy.timeout)
    if policy.on_retry is not None:
        waits.user(policy.on_retry, attempt + 1, last)
    await waits.sleep(seconds)


def _backoff_after(error: BaseException, failures: int, policy: RetryPolicy) -> float:
    """Seconds to wait. A ``jitter`` that fails ends the retries with ``error``, which says what is known."""
    try:
        jitter = waits.random() if policy.jitter is None else waits.user(policy.jitter)
        if not 0 <= jitter < math.inf:
            raise ConfigurationError(f"RetryPolicy.jitter must return a number from 0 to 1, not {jitter!r}")
    except Exception as fault:
        raise error from fault
    return backoff(failures, jitter)


def _whole_retry(error: BaseException, policy: RetryPolicy, attempt: int) -> bool:
    if policy.max_attempts is not None and attempt >= policy.max_attempts:
        return False
    return has_label(error, TRANSIENT_TRANSACTION, waits.cancelled())


async def _commit(session: ClientSession, policy: RetryPolicy, started: float, attempt: int) -> DriverError | None:
    """Commit until the result is known. Returns the error for which the whole transaction is to be tried again.

    The specification does not require a pause between two commits. Without one, a server that answers immediately but
    never clearly would receive thousands in a second.
    """
    failures, pause = 0, 0.0
    while True:
        try:
            await session._ending.commit_block(pause)
            return None
        except DriverError as error:
            if commit_may_be_retried(error):
                failures += 1
                pause = _backoff_after(error, failures, policy)
                if monotonic() - started + pause >= policy.timeout:
                    give_up(error, session, policy.timeout)
                continue
            if _whole_retry(error, policy, attempt):
                return error
            raise
