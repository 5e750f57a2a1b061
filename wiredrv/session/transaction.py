"""The states of a transaction and the one table that says how they follow one another.

Only this module writes a transaction's state. The diagram in ``docs/transactions.md`` is generated from the table.

Transactions specification, "ClientSession changes". The specification's five states are six here: a commit of a
transaction in which nothing was done sends nothing, and neither does its repetition, which has to be remembered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from wiredrv.errors import InvalidOperation
from wiredrv.session.options import TransactionOptions
from wiredrv.types import Address


class TransactionState(Enum):
    """Where a session stands in its transaction."""

    NONE = "no transaction"
    STARTING = "starting transaction"
    IN_PROGRESS = "transaction in progress"
    COMMITTED = "transaction committed"
    COMMITTED_EMPTY = "empty transaction committed"
    ABORTED = "transaction aborted"


class TransactionEvent(Enum):
    """What happens to a transaction."""

    START = "start_transaction"
    COMMAND = "a command is sent"
    OVERLOADED = "the first command was shed by an overloaded server"
    COMMIT = "commit_transaction"
    WITHDRAW = "the commit was cancelled before it was sent"
    ABORT = "abort_transaction"


class Outcome(Enum):
    """What became of a transaction."""

    COMMITTED = "committed"
    ABORTED = "aborted"
    #: A commit was sent and nobody knows whether it took place.
    UNKNOWN = "unknown"


_ALREADY = "Transaction already in progress: commit or abort it before the next one is started on this session"
_NOT_STARTED = "No transaction started: call start_transaction first"

_S = TransactionState
_E = TransactionEvent

#: (state, event) -> the next state, or the message of the error that is raised instead.
TRANSITIONS: dict[tuple[TransactionState, TransactionEvent], TransactionState | str] = {
    (_S.NONE, _E.START): _S.STARTING,
    (_S.STARTING, _E.START): _ALREADY,
    (_S.IN_PROGRESS, _E.START): _ALREADY,
    (_S.COMMITTED, _E.START): _S.STARTING,
    (_S.COMMITTED_EMPTY, _E.START): _S.STARTING,
    (_S.ABORTED, _E.START): _S.STARTING,
    (_S.NONE, _E.COMMAND): _S.NONE,
    (_S.STARTING, _E.COMMAND): _S.IN_PROGRESS,
    (_S.IN_PROGRESS, _E.COMMAND): _S.IN_PROGRESS,
    (_S.COMMITTED, _E.COMMAND): _S.NONE,
    (_S.COMMITTED_EMPTY, _E.COMMAND): _S.NONE,
    (_S.ABORTED, _E.COMMAND): _S.NONE,
    (_S.IN_PROGRESS, _E.OVERLOADED): _S.STARTING,
    (_S.NONE, _E.COMMIT): _NOT_STARTED,
    (_S.STARTING, _E.COMMIT): _S.COMMITTED_EMPTY,
    (_S.IN_PROGRESS, _E.COMMIT): _S.COMMITTED,
    (_S.COMMITTED, _E.COMMIT): _S.COMMITTED,
    (_S.COMMITTED_EMPTY, _E.COMMIT): _S.COMMITTED_EMPTY,
    (_S.ABORTED, _E.COMMIT): "Cannot call commitTransaction after calling abortTransaction",
    (_S.COMMITTED, _E.WITHDRAW): _S.IN_PROGRESS,
    (_S.NONE, _E.ABORT): _NOT_STARTED,
    (_S.STARTING, _E.ABORT): _S.ABORTED,
    (_S.IN_PROGRESS, _E.ABORT): _S.ABORTED,
    (_S.COMMITTED, _E.ABORT): "Cannot call abortTransaction after calling commitTransaction",
    (_S.COMMITTED_EMPTY, _E.ABORT): "Cannot call abortTransaction after calling commitTransaction",
    (_S.ABORTED, _E.ABORT): "Cannot call abortTransaction twice",
}


def transition(state: TransactionState, event: TransactionEvent) -> TransactionState:
    """The state that follows.

    :raises InvalidOperation: the event does not fit the state; the state stays as it is.
    """
    outcome = TRANSITIONS.get((state, event))
    if isinstance(outcome, TransactionState):
        return outcome
    raise InvalidOperation(outcome or f"{event.value!r} cannot happen in the state {state.value!r}")


class SentCommand(NamedTuple):
    """A command of a transaction: when it was sent (seconds since the transaction started) and how long it took."""

    name: str
    address: Address
    started: float
    duration: float
    outcome: str


@dataclass(frozen=True, slots=True)
class TransactionRecord:
    """What is known of a transaction that failed: carried by its error as ``error.transaction``.

    ``attempt`` counts from 1 within ``with_transaction``; ``cause`` is the first error that the transaction met.
    """

    attempt: int
    txn_number: int
    server: Address | None
    commands: tuple[SentCommand, ...]
    cause: BaseException | None

    def __str__(self) -> str:
        where = f" on {self.server}" if self.server is not None else ""
        lines = [f"transaction {self.txn_number}{where}, attempt {self.attempt}"]
        lines += [
            f"  {sent.started * 1000:8.1f} ms  {sent.name} -> {sent.address}: {sent.outcome} "
            f"({sent.duration * 1000:.1f} ms)"
            for sent in self.commands
        ]
        if self.cause is not None:
            lines.append(f"  first failure: {type(self.cause).__name__}: {self.cause}")
        return "\n".join(lines)


class Transaction:
    """A session's current, or last, transaction. ``recovery_token`` is a mongos' for finding the outcome elsewhere."""

    __slots__ = (
        "_sent",
        "attempt",
        "cause",
        "commit_attempted",
        "doomed_by",
        "ending_sent",
        "options",
        "outcome",
        "recovery_token",
        "started_at",
        "state",
    )

    def __init__(self) -> None:
        self.state = TransactionState.NONE
        self.options = TransactionOptions()
        self.recovery_token: Mapping[str, Any] | None = None
        self.attempt = 1
        self.started_at = 0.0
        self.cause: BaseException | None = None
        # Whether a commit failed with anything but an overload error: the next one asks for a majority.
        self.commit_attempted = False
        # Whether a commit or an abort went out: after that, what became of it is for the server to say.
        self.ending_sent = False
        self.outcome: Outcome | None = None
        # The statement that was cancelled: whether it took place is for nobody to guess, so nothing may follow it.
        self.doomed_by: str | None = None
        self._sent: list[SentCommand] = []

    @property
    def active(self) -> bool:
        """Whether commands belong to the transaction: it was started and neither committed nor aborted."""
        return self.state is TransactionState.STARTING or self.state is TransactionState.IN_PROGRESS

    @property
    def committed(self) -> bool:
        """Whether a commit was called, of a transaction with or without commands."""
        return self.state is TransactionState.COMMITTED or self.state is TransactionState.COMMITTED_EMPTY

    def start(self, options: TransactionOptions, now: float, attempt: int) -> None:
        """Begin a new transaction; what is known of the last one is dropped."""
        self.state = transition(self.state, TransactionEvent.START)
        self.options = options
        self.recovery_token = None
        self.commit_attempted = False
        self.ending_sent = False
        self.started_at = now
        self.attempt = attempt
        self.cause = None
        self.outcome = None
        self.doomed_by = None
        self._sent = []

    def command_sent(self) -> None:
        """A command with this session is on its way."""
        state = self.state
        if state is TransactionState.NONE or state is TransactionState.IN_PROGRESS:
            return
        self.state = transition(state, TransactionEvent.COMMAND)
        if self.state is TransactionState.NONE:
            self.recovery_token = None

    def first_command_shed(self) -> None:
        """The first command met an overloaded server, which did nothing: the next one is the first again."""
        self.state = transition(self.state, TransactionEvent.OVERLOADED)

    def commit(self) -> bool:
        """Enter the committed state; return whether a command must be sent."""
        self.state = transition(self.state, TransactionEvent.COMMIT)
        if self.state is TransactionState.COMMITTED_EMPTY:
            self.outcome = Outcome.COMMITTED
        return self.state is TransactionState.COMMITTED

    def withdraw_commit(self) -> bool:
        """Go back to the transaction in progress if its commit was given up before it was sent; return whether so."""
        if self.ending_sent or self.state is not TransactionState.COMMITTED:
            return False
        self.state = transition(self.state, TransactionEvent.WITHDRAW)
        return True

    def abort(self) -> bool:
        """Enter the aborted state; return whether a command must be sent."""
        started = self.state is TransactionState.IN_PROGRESS
        self.state = transition(self.state, TransactionEvent.ABORT)
        self.outcome = Outcome.ABORTED
        return started

    def refuse_if_doomed(self) -> None:
        """Refuse what would go on after a statement that was cancelled.

        :raises InvalidOperation: one was; the transaction can only be aborted.
        """
        if self.doomed_by is not None and self.active:
            raise InvalidOperation(
                f"{self.doomed_by!r} was cancelled in this transaction, which therefore can only be aborted: whether "
                "the statement took place depends on the moment. Let the cancellation leave the transaction's block, "
                "or put the time limit around the whole of it"
            )

    def note(self, sent: SentCommand) -> None:
        """Keep a command for the record that a failure will carry."""
        self._sent.append(sent)

    def record(self, txn_number: int, server: Address | None) -> TransactionRecord:
        """What is known so far. ``server`` is the pinned one; without a pin it is that of the last command."""
        if server is None and self._sent:
            server = self._sent[-1].address
        return TransactionRecord(self.attempt, txn_number, server, tuple(self._sent), self.cause)
