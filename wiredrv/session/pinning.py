"""When a session is pinned to one mongos (or one connection behind a load balancer), and when it is unpinned. Pure.

Transactions specification, "Mongos Pinning"; load-balancers specification, "Connection Pooling". The table in
``docs/transactions.md`` is generated from the one below.
"""

from __future__ import annotations

from enum import Enum


class PinEvent(Enum):
    """What can happen to a session that may be pinned."""

    FIRST_COMMAND_SELECTED = "a server was selected for the first command of a transaction"
    FIRST_COMMAND_REFUSED = "that command was refused before it was sent"
    COMMIT_SUCCEEDED = "commitTransaction succeeded"
    COMMIT_UNKNOWN = "commitTransaction failed with UnknownTransactionCommitResult"
    TRANSIENT_ERROR = "a command of the transaction failed with TransientTransactionError"
    ABORTED = "abortTransaction was called, whatever came of it"
    NEW_TRANSACTION = "a new transaction was started"
    OPERATION_OUTSIDE = "an operation outside a transaction"
    SESSION_ENDED = "the session was ended"


class PinEffect(Enum):
    """What an event does to the pin."""

    PIN = "pins"
    KEEP = "keeps"
    UNPIN = "unpins"


EFFECTS: dict[PinEvent, PinEffect] = {
    PinEvent.FIRST_COMMAND_SELECTED: PinEffect.PIN,
    PinEvent.FIRST_COMMAND_REFUSED: PinEffect.UNPIN,
    PinEvent.COMMIT_SUCCEEDED: PinEffect.KEEP,
    PinEvent.COMMIT_UNKNOWN: PinEffect.UNPIN,
    PinEvent.TRANSIENT_ERROR: PinEffect.UNPIN,
    PinEvent.ABORTED: PinEffect.UNPIN,
    PinEvent.NEW_TRANSACTION: PinEffect.UNPIN,
    PinEvent.OPERATION_OUTSIDE: PinEffect.UNPIN,
    PinEvent.SESSION_ENDED: PinEffect.UNPIN,
}
