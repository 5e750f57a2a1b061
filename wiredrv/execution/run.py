"""One operation on its way: what the executor must remember from one attempt to the next."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from wiredrv.errors import DriverError
from wiredrv.execution.retry import History
from wiredrv.operations.base import Kind, Operation
from wiredrv.session.server_session import ServerSession
from wiredrv.session.state import SessionState
from wiredrv.types import Address

T = TypeVar("T")


class Run(Generic[T]):
    """An operation with its session.

    ``server_session`` is the explicit session's, the cursor's lease, or the implicit one that was acquired after the
    first checkout and is kept for the retries. ``unsettled`` is the server that may still be at work on a command
    whose reply was given up.
    """

    __slots__ = (
        "deadline",
        "history",
        "implicit",
        "in_transaction",
        "kept",
        "operation",
        "operation_id",
        "server_session",
        "session",
        "txn_number",
        "unsettled",
    )

    def __init__(self, operation: Operation[T], session: SessionState | None) -> None:
        self.operation = operation
        self.session = session
        self.deadline: float | None = None
        self.history: History | None = None
        self.operation_id = 0
        self.txn_number = 0
        self.unsettled: Address | None = None
        # Whether a cursor keeps the implicit session beyond this operation.
        self.kept = False
        self.implicit = False
        if session is None:
            self.server_session: ServerSession | None = operation.lease
            self.in_transaction = False
        else:
            self.server_session = session.server_session
            # A commit or abort belongs to its transaction although that is no longer active.
            self.in_transaction = session.transaction.active or operation.kind in _ENDINGS

    def failed(self, error: DriverError) -> History:
        """Count a failure."""
        if self.history is None:
            self.history = History()
        self.history.add(error)
        if self.in_transaction and self.session is not None and self.session.transaction.cause is None:
            self.session.transaction.cause = error
        return self.history

    @property
    def info(self) -> dict[str, Any]:
        """What the operation is, for messages."""
        return {"operation": self.operation.name, "database": self.operation.target.database}


_ENDINGS = frozenset({Kind.COMMIT, Kind.ABORT})
