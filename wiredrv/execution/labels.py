"""Which labels the driver adds to an error. Pure.

Transactions specification, "Error Reporting and Retrying Transactions"; retryable-writes specification,
"RetryableWriteError Labels". Labels of the server are kept.
"""

from __future__ import annotations

from wiredrv.errors import (
    RETRYABLE_WRITE,
    SYSTEM_OVERLOADED,
    TRANSIENT_TRANSACTION,
    UNKNOWN_COMMIT_RESULT,
    DriverError,
    InvalidOperation,
    OperationFailure,
    OperationTimeout,
    WriteConcernError,
)
from wiredrv.execution.circumstances import Circumstances
from wiredrv.execution.retry import OUT_OF_TIME
from wiredrv.execution.settings import ExecutionSettings
from wiredrv.failures import FailureKind, is_network_error, kind_of, leaves_commit_open
from wiredrv.operations.base import OperationKind
from wiredrv.server_facts import RETRYABLE_WRITE_CODES, SERVER_4_4, UNSATISFIABLE_CONCERN_CODES, ErrorCode
from wiredrv.session.transaction import Outcome

_NO_RETRYABLE_WRITES = (
    "This MongoDB deployment does not support retryable writes. Please add retryWrites=false to your connection string."
)


def add_labels(error: DriverError, where: Circumstances, settings: ExecutionSettings) -> None:
    """Add the labels to ``error`` that its circumstances require."""
    no_reply = is_network_error(error)
    if where.in_transaction and no_reply and where.kind not in (OperationKind.COMMIT, OperationKind.ABORT):
        error.add_error_label(TRANSIENT_TRANSACTION)
    if _is_retryable_write_error(error, no_reply, where, settings):
        error.add_error_label(RETRYABLE_WRITE)
    if where.kind is OperationKind.COMMIT and _commit_is_unknown(error, where.commit_sent):
        error.add_error_label(UNKNOWN_COMMIT_RESULT)


def explain(error: DriverError) -> None:
    """Replace the message of a server that does not accept transaction numbers by the specification's text.

    Retryable-writes specification, "Executing Retryable Write Commands": code 20, "Transaction numbers ...".
    """
    if getattr(error, "code", None) == ErrorCode.IllegalOperation and str(error).startswith("Transaction numbers"):
        error.args = (_NO_RETRYABLE_WRITES,)


def outcome_of_failed_commit(error: DriverError, attempted_before: bool) -> Outcome:
    """The outcome of a transaction whose commit failed.

    It is aborted only if no attempt can have taken effect: the server says so by its label, or refused the only
    attempt. Without a clear answer of the server it is unknown.
    """
    if isinstance(error, WriteConcernError):
        return Outcome.UNKNOWN  # The commit took effect; it is not certain that it is durable.
    if error.has_error_label(TRANSIENT_TRANSACTION):
        return Outcome.ABORTED
    in_doubt = (
        attempted_before
        or error.has_error_label(UNKNOWN_COMMIT_RESULT)
        or error.has_error_label(SYSTEM_OVERLOADED)
        or leaves_commit_open(error)
        # Stopped on the server, perhaps not before it took effect. The specification requires no label for it.
        or getattr(error, "code", None) == ErrorCode.Interrupted
    )
    return Outcome.UNKNOWN if in_doubt else Outcome.ABORTED


def _is_retryable_write_error(
    error: DriverError, no_reply: bool, where: Circumstances, settings: ExecutionSettings
) -> bool:
    if where.kind in (OperationKind.COMMIT, OperationKind.ABORT):
        allowed = True
    else:
        allowed = (
            where.kind is OperationKind.WRITE and where.retryable and settings.retry_writes and not where.in_transaction
        )
    if not allowed:
        return False
    if no_reply:
        # Neither is a network error: there was no server, or no connection.
        return not isinstance(error, OUT_OF_TIME)
    if not 0 < where.wire_version < SERVER_4_4:
        return False  # Newer servers label retryable writes themselves.
    if isinstance(error, WriteConcernError) and where.from_mongos:
        return False
    return getattr(error, "code", None) in RETRYABLE_WRITE_CODES


def _commit_is_unknown(error: DriverError, sent_before: bool) -> bool:
    if isinstance(error, OperationTimeout):
        return sent_before  # Not sent this time either.
    if sent_before and kind_of(error) is FailureKind.REFUSED_HERE:
        # Not sent this time, so nothing new is known. (InvalidOperation: this client is closed.)
        return not isinstance(error, InvalidOperation)
    if leaves_commit_open(error) or error.has_error_label(RETRYABLE_WRITE):
        return True
    if isinstance(error, WriteConcernError):
        return error.code not in UNSATISFIABLE_CONCERN_CODES
    return isinstance(error, OperationFailure) and error.code == ErrorCode.MaxTimeMSExpired
