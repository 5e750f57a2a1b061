"""The state of one operation through its attempts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from wiredrv.concerns import ReadPreference
from wiredrv.errors import ConfigurationError, DriverError, OperationTimeout
from wiredrv.execution.pins import ConnectionPin
from wiredrv.execution.retry import History
from wiredrv.execution.time_limit import Phase, TimeSpent
from wiredrv.failures import FailureKind, kind_of
from wiredrv.operations.base import Operation, OperationKind
from wiredrv.session.cursors import within
from wiredrv.session.server_session import ServerSession
from wiredrv.session.state import SessionState
from wiredrv.session.transaction import TransactionState
from wiredrv.session.turns import Turn
from wiredrv.types import Address, ServerCursor, TimeLimit
from wiredrv.wire.op_msg import DocumentSequence, next_request_id

T_co = TypeVar("T_co", covariant=True)

_ENDINGS = frozenset({OperationKind.COMMIT, OperationKind.ABORT})


class Settles(Protocol):
    """The clean-up after a cancelled operation. ``drop`` gives up: its connection is closed and checked in."""

    async def __call__(self, seconds: float) -> None: ...

    def drop(self) -> None: ...


class Sent(Protocol):
    """Notes a command that is being sent."""

    def going_out(self, run: Run[object], now: float, body: bytes, sequences: Sequence[DocumentSequence]) -> None: ...


class Run(Generic[T_co]):
    """An operation with its session.

    ``server_session`` is the explicit session's, the cursor's lease, or the implicit one that was acquired after the
    first checkout (``implicit``), which is kept for the retries, and beyond the operation where a cursor needs it
    (``kept``).

    ``deadline`` is the time on the monotonic clock at which the operation's time limit ends (``math.inf`` for a limit
    of any length, None if there is no limit), ``spent`` what the time was used for, and ``round_trip`` the seconds that
    a round trip to the selected server takes at least.

    ``select_until`` is the time on the monotonic clock until which an operation waits for the only server that can
    answer.

    ``held`` is the connection behind a load balancer that this attempt uses and does not check in: a session or a
    cursor is pinned to it.

    ``started`` is when the command of this attempt was sent, 0.0 until then. ``asked_for_server`` and
    ``asked_for_connection`` are when it began to wait for these, 0.0 if it did not wait. ``entry`` notes what is sent,
    while something is recorded.

    ``turn`` is the operation's turn in its session. After a cancellation, ``settlement`` is what remains to be done;
    a background task does it (``handed_over``), and calls ``on_settled``. ``server_to_kill`` is the server that may
    still be running the command, and ``orphan`` a cursor that the caller never learns of.
    """

    # Defaults that most operations never change: class attributes, and not set in every instance.
    deadline: float | None = None
    spent: TimeSpent | None = None
    round_trip = 0.0
    select_until: float | None = None
    history: History | None = None
    operation_id = 0
    txn_number = 0
    started = 0.0
    asked_for_server = 0.0
    asked_for_connection = 0.0
    entry: Sent | None = None
    implicit = False
    kept = False
    first_of_transaction = False
    held: ConnectionPin[Any] | None = None
    turn: Turn | None = None
    settlement: Settles | None = None
    handed_over = False
    on_settled: Callable[[], None] | None = None
    server_to_kill: Address | None = None
    orphan: ServerCursor | None = None

    def __init__(self, operation: Operation[T_co], session: SessionState | None) -> None:
        self.operation = operation
        self.traits = traits = operation.traits
        #: Its read preference, if it reads.
        self.read_preference = ReadPreference.PRIMARY if traits.reads_primary else operation.target.read_preference
        self.session = session
        self.server_session: ServerSession | None
        if session is None:
            self.server_session = operation.lease
            self.in_transaction = False
        else:
            self.server_session = session.server_session
            if operation.opened_in is not None:
                self.in_transaction = within(operation.opened_in, session)
            else:
                # A commit or abort belongs to its transaction although that is no longer active.
                self.in_transaction = session.transaction.active or traits.kind in _ENDINGS
        self.acknowledged = (
            self.in_transaction or not traits.accepts_write_concern or operation.target.write_concern.acknowledged
        )

    def limit_to(self, limit: TimeLimit) -> None:
        """Set the operation's time limit, which has started."""
        self.deadline = limit.until
        self.spent = TimeSpent(limit)

    def seconds_left(self, now: float) -> float:
        """The seconds that the server may use for the command, which is about to be sent.

        :raises OperationTimeout: not even a round trip fits into the time that is left.
        """
        assert self.deadline is not None
        left = self.deadline - now
        if left > self.round_trip:
            return left - self.round_trip
        if left <= 0:
            raise OperationTimeout(f"{self.operation.name!r} was not sent: its time limit was used up before")
        raise OperationTimeout(
            f"{self.operation.name!r} was not sent: {left * 1000:.1f} ms are left of its time limit, and a round trip "
            f"takes {self.round_trip * 1000:.1f} ms at least"
        )

    @property
    def is_statement(self) -> bool:
        """Whether the result of the operation matters to the transaction that it is part of."""
        return self.in_transaction and self.traits.kind is not OperationKind.HOUSEKEEPING

    @property
    def retryable(self) -> bool:
        """Whether the retryable reads or writes specification allows a retry of this very command."""
        return self.acknowledged and self.traits.retryable and not self.operation.touches_many

    def hold_for_cursor(
        self, connection: Any, give_back: Callable[[Any], None], *, for_stream: bool = False
    ) -> ConnectionPin[Any]:
        """A cursor's pin: behind a load balancer, the transaction's, if the cursor is in one; else its own."""
        if self.held is not None:
            return self.held.hold()
        self.held = ConnectionPin(connection, give_back, "cursor", for_stream=for_stream)
        return self.held

    def identify(self) -> int:
        """The operation's id, by which its events and log messages belong together, its retries included."""
        if not self.operation_id:
            self.operation_id = self.operation.operation_id or next_request_id()
        return self.operation_id

    def sending(self, now: float, body: bytes, sequences: Sequence[DocumentSequence]) -> None:
        """The command is encoded and being sent: the session is in use, and its transaction is in progress.

        Housekeeping does not change the transaction's state: killCursors is not a statement, and a commit can be
        repeated after it.

        :param now: the time on the monotonic clock.
        :param body: the command, encoded.
        :param sequences: the documents that are sent besides it.
        """
        self.started = now
        if self.entry is not None:
            self.entry.going_out(self, now, body, sequences)
        if self.spent is not None:
            self.spent.enter(Phase.SERVER, now)
        if self.server_session is not None:
            self.server_session.last_use = now
        session = self.session
        if session is None or self.traits.kind is OperationKind.HOUSEKEEPING:
            return
        if self.traits.kind in _ENDINGS:
            session.transaction.ending_went_out()
        else:
            self.first_of_transaction = session.transaction.state is TransactionState.STARTING
            session.transaction.command_sent()

    def was_refused(self, error: DriverError) -> bool:
        """Whether a statement, or the first commit, was refused before it was sent: the transaction is as it was."""
        if self.started or not (kind_of(error) is FailureKind.REFUSED_HERE or isinstance(error, OperationTimeout)):
            return False
        return self.traits.kind is not OperationKind.ABORT and not self.commit_sent

    @property
    def commit_sent(self) -> bool:
        """Whether this is a commit that was sent before, in this call or an earlier one."""
        session = self.session
        return self.traits.kind is OperationKind.COMMIT and session is not None and session.transaction.ending_sent

    def failed(self, error: DriverError) -> History:
        """Count a failure."""
        if self.history is None:
            self.history = History()
        self.history.add(error, sent=self.started != 0.0)
        if self.is_statement and self.session is not None and not self.was_refused(error):
            self.session.transaction.note_failure(error)
        return self.history


def refuse_retry_without_number(run: Run[object], address: Address) -> None:
    """Refuse to send a retryable write again to a server that could not distinguish it from a second one.

    The caller gets the error before it (retryable-writes, "Executing Retryable Write Commands"). If only overload came
    before, which means that nothing was done, the write may be sent there without a number.

    :raises ConfigurationError: this is such a retry.
    """
    history = run.history
    if history is None or not run.retryable:
        return
    if run.txn_number or not history.overloaded:
        raise ConfigurationError(f"{address}: the server selected for a retry does not support retryable writes")
