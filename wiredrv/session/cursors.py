"""What the transactions of a session mean for its cursors: which can still be read, and how each is killed. Pure.

A cursor belongs to the transaction in which it was opened, or to none: ``opened_in`` is that transaction's ``number``
in its session, 0 for none. Measured on a real mongod and a real mongos:

* A getMore of a cursor that was opened elsewhere is refused, and aborts the transaction that it was sent in.
* killCursors cannot be the first command of a transaction: sent as such, it fails, and the transaction with it.
* For a cursor of an open transaction, a mongos that is sent killCursors without the transaction's fields aborts the
  transaction.
* A mongod keeps the cursors of a transaction that has ended. killCursors without the fields closes them then; with the
  fields it is refused.

Transactions specification, "Command Types Allowed in a Transaction": a cursor must have been created within the
transaction for a getMore to succeed in it.
"""

from __future__ import annotations

from enum import Enum

from wiredrv.errors import InvalidOperation
from wiredrv.session.state import SessionState
from wiredrv.session.transaction import Outcome, TransactionState

_KNOWN = frozenset({Outcome.COMMITTED, Outcome.ABORTED})


class Kill(Enum):
    """How a cursor of a session is killed."""

    #: Without the fields of any transaction.
    OUTSIDE = "outside of transactions"
    #: With the fields of the open transaction, in which it was opened.
    WITHIN = "within its transaction"
    #: Not yet: its transaction is still open, or may be.
    LATER = "when its transaction has ended"


def within(opened_in: int | None, session: SessionState) -> bool:
    """Whether a command goes out as part of the session's transaction.

    :param opened_in: of the cursor that the command is for; None if it is for no cursor.
    """
    return session.transaction.active and (opened_in is None or opened_in == session.transaction.number)


def way_to_kill(opened_in: int, session: SessionState | None) -> Kill:
    """How to kill a cursor that was opened with ``session`` (None: an implicit session, or one that has ended)."""
    if session is None or session.ended or not opened_in or opened_in != session.transaction.number:
        return Kill.OUTSIDE
    transaction = session.transaction
    if transaction.active:
        return Kill.WITHIN
    if transaction.state is TransactionState.COMMITTED and transaction.outcome not in _KNOWN:
        # The commit may not have reached the server: a command that aborts the transaction now would end it.
        return Kill.LATER
    return Kill.OUTSIDE


def is_over(opened_in: int, session: SessionState) -> bool:
    """Whether the transaction that a cursor was opened in has ended, so that nothing more can be read from it."""
    return bool(opened_in) and not within(opened_in, session)


def admit_kill(opened_in: int, session: SessionState) -> None:
    """Refuse a killCursors that may abort a transaction.

    :raises InvalidOperation: the cursor can only be killed later.
    """
    if way_to_kill(opened_in, session) is Kill.LATER:
        raise InvalidOperation("this cursor can be killed once it is known whether its transaction was committed")


def admit_read(opened_in: int, session: SessionState) -> None:
    """Refuse a getMore that the server would refuse: it would also abort the transaction that is open.

    :raises InvalidOperation: the cursor does not belong to the transaction that is open, or its own has ended.
    """
    if is_over(opened_in, session):
        raise InvalidOperation(
            "this cursor was opened in a transaction that has ended, and cannot be read any more: read cursors to "
            "their end (to_list() does) before the transaction is committed"
        )
    if not opened_in and session.transaction.active:
        raise InvalidOperation(
            "this cursor was opened before the transaction that is in progress on its session, and cannot be read "
            "within it: read it when the transaction has ended, or open it with another session or with none"
        )
