"""When the span of a transaction starts and ends. Pure.

The span ends when the commit or the abort has ended. If the result of a commit is unknown, it may be sent again, by the
user or by ``with_transaction``; so the time of the commit is kept, and the span is ended when the result is known, or
when the session goes on without it.

OpenTelemetry specification, "Transactions" and "withTransaction".
"""

from __future__ import annotations

from enum import Enum

from wiredrv.operations.base import OperationKind
from wiredrv.session.state import SessionState
from wiredrv.session.transaction import Outcome

_ENDINGS = frozenset({OperationKind.COMMIT, OperationKind.ABORT})


class Change(Enum):
    """What follows for the span of a session's transaction."""

    #: Nothing.
    NONE = "none"
    #: A new one starts; one that is not ended yet ends as it was left.
    START = "start"
    #: It ends.
    END = "end"
    #: The transaction is over as far as the driver knows; the span ends now unless the commit is sent again.
    PAUSE = "pause"


def change(session: SessionState, traced: int, is_open: bool) -> Change:
    """What follows, after something happened to a session or its transaction.

    :param traced: the number of the transaction that has, or had, a span; 0 for none.
    :param is_open: whether that span is not ended yet.
    """
    transaction = session.transaction
    if session.ended:
        return Change.END if is_open else Change.NONE
    if transaction.active and traced != transaction.number:
        return Change.START
    if not is_open or transaction.active or transaction.outcome is None:
        return Change.NONE
    return Change.PAUSE if transaction.outcome is Outcome.UNKNOWN else Change.END


def failure(session: SessionState) -> str:
    """Why a transaction that is over counts as failed; empty if it does not. A requested abort does not."""
    transaction = session.transaction
    if transaction.outcome is Outcome.COMMITTED:
        return ""
    if transaction.outcome is Outcome.UNKNOWN:
        return "it is not known whether the transaction was committed"
    if transaction.committed:
        return "the commit failed"
    if transaction.doomed_by is not None:
        return "aborted after an error or a cancellation"
    return "" if transaction.outcome is Outcome.ABORTED else "the transaction was abandoned"


def belongs(session: SessionState | None, kind: OperationKind) -> bool:
    """Whether an operation is part of its session's transaction."""
    return session is not None and (session.transaction.active or kind in _ENDINGS)
