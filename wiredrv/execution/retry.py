"""Whether a failed attempt is followed by another. Pure: (failure, history, circumstances) -> retry or raise.

The branches are in the order of the unified pseudo-code of the client-backpressure specification ("Interaction with
Other Retry Policies"), which combines its own policy with those of retryable reads and retryable writes.

One thing is this driver's own. With a time limit, an operation is retried as often as there is time for
(client-side-operations-timeout, "Retryability"), and both specifications do without a pause unless a server is
overloaded: they rely on connections being made one after another, and on the server's own queues. Neither holds for a
server that answers immediately, and again and again, with an error that leaves it selectable (codes 134 and 262):
measured, one operation sent it 2,700 commands in a second, and with ``timeoutMS=0`` there was no end. So the first
retry follows immediately, as without a limit, and from the third attempt on there is a short pause that grows: that of
``with_transaction`` (transactions-convenient-api). It never takes more than half of the time that is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wiredrv.errors import (
    NO_WRITES_PERFORMED,
    RETRYABLE,
    RETRYABLE_WRITE,
    SYSTEM_OVERLOADED,
    DriverError,
    NotPrimaryError,
    OperationFailure,
    OperationTimeout,
    PoolClearedError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
)
from wiredrv.execution.circumstances import Circumstances
from wiredrv.execution.settings import ExecutionSettings
from wiredrv.failures import is_network_error, leaves_commit_open
from wiredrv.operations.base import OperationKind
from wiredrv.server_facts import RETRYABLE_READ_CODES

#: Timeouts before anything was sent: another attempt would have no time either.
OUT_OF_TIME = (ServerSelectionTimeoutError, WaitQueueTimeoutError, OperationTimeout)

#: Seconds; client-backpressure specification, "Overload retry policy".
BASE_BACKOFF = 0.1
MAX_BACKOFF = 10.0

#: Seconds; of the pauses of ``with_transaction``, and of those between the many attempts that a time limit allows.
_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.5
_PAUSE_GROWTH = 1.5


@dataclass(slots=True)
class History:
    """The failures of one operation so far.

    ``error`` is the one that its caller would get, and ``earlier`` the one that it would have got without the last one.
    """

    failures: int = 0
    overloaded: bool = False
    error: DriverError | None = None
    earlier: DriverError | None = None
    deprioritized: list[Any] = field(default_factory=list)

    def add(self, error: DriverError, sent: bool = True) -> None:
        """Count a failure and choose which one to show (retryable-writes specification, on multiple errors).

        :param sent: whether the attempt's command was sent; otherwise the error is one of the client's side, and shown
            only if there is no other.
        """
        self.failures += 1
        self.overloaded = self.overloaded or error.has_error_label(SYSTEM_OVERLOADED)
        self.earlier = self.error
        if self.error is None or (sent and not error.has_error_label(NO_WRITES_PERFORMED)):
            self.error = error


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again: after at most ``backoff`` seconds (times a random number), on another server if ``elsewhere`` is
    set.
    """

    backoff: float = 0.0
    deprioritize: bool = False


def decide(error: DriverError, history: History, where: Circumstances, settings: ExecutionSettings) -> Retry | None:
    """The decision after a failure that ``history`` already counts: a retry, or None for raising ``history.error``."""
    if error.timeout and where.seconds_left <= 0:
        return None
    if where.waits_for_server and isinstance(error, PoolClearedError) and not where.in_transaction:
        # Nothing was sent, and no other server can answer: selection waits until this one is back.
        return Retry()
    overload = error.has_error_label(SYSTEM_OVERLOADED)
    if not (
        _overload_retry(error, where, settings)
        or _read_retry(error, where, settings)
        or _write_retry(error, where, settings)
        or _commit_retry(error, where)
    ):
        return None
    if history.overloaded:
        allowed: float = settings.max_adaptive_retries
    else:
        allowed = float("inf") if where.has_deadline else 1
    if history.failures > allowed:
        return None
    backoff = 0.0
    if overload:
        backoff = _backoff(error, history.failures)
        if backoff >= where.seconds_left:
            return None
    elif history.failures > 1 and not history.overloaded:
        backoff = min(growing_pause(history.failures - 1), max(where.seconds_left, 0.0) / 2)
    # Elsewhere than on a sharded cluster only overload may move a retry to another server, and only where allowed.
    deprioritize = where.sharded or (overload and settings.enable_overload_retargeting)
    return Retry(backoff, deprioritize)


def never_sent(error: DriverError) -> bool:
    """Whether the failure says that nothing was sent: no server, no connection."""
    return isinstance(error, (ServerSelectionTimeoutError, PoolClearedError, WaitQueueTimeoutError, OperationTimeout))


def _overload_retry(error: DriverError, where: Circumstances, settings: ExecutionSettings) -> bool:
    if not (error.has_error_label(SYSTEM_OVERLOADED) and error.has_error_label(RETRYABLE)):
        return False
    match where.kind:
        case OperationKind.READ | OperationKind.HOUSEKEEPING:
            return settings.retry_reads
        case OperationKind.WRITE:
            return settings.retry_writes
        case OperationKind.COMMAND:
            return settings.retry_reads and settings.retry_writes
        case OperationKind.COMMIT | OperationKind.ABORT:
            return True


def _read_retry(error: DriverError, where: Circumstances, settings: ExecutionSettings) -> bool:
    if where.kind is not OperationKind.READ or not where.retryable or where.in_transaction or not settings.retry_reads:
        return False
    if isinstance(error, NotPrimaryError):
        return True
    if is_network_error(error):
        return not isinstance(error, OUT_OF_TIME)
    return isinstance(error, OperationFailure) and error.code in RETRYABLE_READ_CODES


def _write_retry(error: DriverError, where: Circumstances, settings: ExecutionSettings) -> bool:
    if not where.retryable or not error.has_error_label(RETRYABLE_WRITE):
        return False
    if isinstance(error, OUT_OF_TIME):
        return False
    if where.kind in (OperationKind.COMMIT, OperationKind.ABORT):
        return True
    return where.kind is OperationKind.WRITE and settings.retry_writes and not where.in_transaction


def _commit_retry(error: DriverError, where: Circumstances) -> bool:
    """A commit whose answer was not clear is sent again; if there was no answer, the label decides."""
    return where.kind is OperationKind.COMMIT and leaves_commit_open(error) and not is_network_error(error)


def growing_pause(retries: int) -> float:
    """The most seconds to wait before a further attempt (transactions-convenient-api)."""
    # The longest pause is soon reached; a larger exponent would only overflow.
    return min(_FIRST_PAUSE * _PAUSE_GROWTH ** min(retries, 32), _LONGEST_PAUSE)


def _backoff(error: DriverError, failures: int) -> float:
    base = BASE_BACKOFF
    details = getattr(error, "details", None)
    if isinstance(details, Mapping):
        given = details.get("baseBackoffMS")
        if isinstance(given, (int, float)) and not isinstance(given, bool) and given > 0:
            base = given / 1000
    return float(min(MAX_BACKOFF, base * 2**failures))
