"""The states of a transaction, and one table of all transitions.

Only this module changes a transaction: its state, its outcome, whether its commit or abort was sent, why it is
abort-only, its first failure, its recovery token. Other modules report events. The diagram in ``docs/transactions.md``
is generated from the table.

Transactions specification, "ClientSession changes". The specification's five states are six here: the commit of an
empty transaction sends nothing, and neither does a repeated commit, so this state has to be kept.
"""

from __future__ import annotations

from enum import Enum

from wiredrv.errors import DriverError, InvalidOperation, is_timeout
from wiredrv.session.kept_error import KeptError
from wiredrv.session.options import TransactionOptions
from wiredrv.types import Address, Document, RecordedTimeline, SentCommand, TransactionRecord


class TransactionState(Enum):
    """The state of a session's transaction."""

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
    WITHDRAW = "the commit was cancelled, or refused here, before it was sent"
    ABORT = "abort_transaction"
    DOOM = "a statement was cancelled, or not answered in time"
    ENDING_SENT = "the commit or the abort is sent"
    COMMIT_SUCCEEDED = "the commit succeeded"
    COMMIT_FAILED = "the commit failed, or its reply was abandoned"
    OUTCOME_LEARNED = "the background, which sent the commit again, learned the outcome"
    ABORT_ANSWERED = "the abort was answered, or is not sent again"
    FAILURE = "a command of the transaction failed"
    RECOVERY_TOKEN = "a router sent a recovery token"


class Outcome(Enum):
    """The outcome of a transaction."""

    COMMITTED = "committed"
    ABORTED = "aborted"
    #: A commit was sent and it is not known whether it took effect.
    UNKNOWN = "unknown"


_ALREADY = "Transaction already in progress: commit or abort it before the next one is started on this session"
_NOT_STARTED = "No transaction started: call start_transaction first"

#: Instead of a statement, if a transaction is abort-only because its block was left.
_BLOCK = "the end of the block"
#: How many commands the record of a transaction keeps from its beginning, and at least how many from its end.
_KEPT_FIRST = 100
_KEPT_LAST = 1000

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
    (_S.STARTING, _E.DOOM): _S.STARTING,
    (_S.IN_PROGRESS, _E.DOOM): _S.IN_PROGRESS,
    (_S.COMMITTED, _E.ENDING_SENT): _S.COMMITTED,
    (_S.ABORTED, _E.ENDING_SENT): _S.ABORTED,
    (_S.COMMITTED, _E.COMMIT_SUCCEEDED): _S.COMMITTED,
    (_S.COMMITTED, _E.COMMIT_FAILED): _S.COMMITTED,
    (_S.NONE, _E.OUTCOME_LEARNED): _S.NONE,
    (_S.COMMITTED, _E.OUTCOME_LEARNED): _S.COMMITTED,
    (_S.ABORTED, _E.ABORT_ANSWERED): _S.ABORTED,
    (_S.STARTING, _E.FAILURE): _S.STARTING,
    (_S.IN_PROGRESS, _E.FAILURE): _S.IN_PROGRESS,
    (_S.COMMITTED, _E.FAILURE): _S.COMMITTED,
    (_S.ABORTED, _E.FAILURE): _S.ABORTED,
    (_S.IN_PROGRESS, _E.RECOVERY_TOKEN): _S.IN_PROGRESS,
    (_S.COMMITTED, _E.RECOVERY_TOKEN): _S.COMMITTED,
    (_S.ABORTED, _E.RECOVERY_TOKEN): _S.ABORTED,
}


def transition(state: TransactionState, event: TransactionEvent) -> TransactionState:
    """The state that follows.

    :raises InvalidOperation: the event does not fit the state; the state stays as it is.
    """
    outcome = TRANSITIONS.get((state, event))
    if isinstance(outcome, TransactionState):
        return outcome
    raise InvalidOperation(outcome or f"{event.value!r} cannot happen in the state {state.value!r}")


class Transaction:
    """A session's current, or last, transaction. ``recovery_token`` lets another mongos find the outcome."""

    __slots__ = (
        "_cause",
        "_doom",
        "_left_out",
        "_sent",
        "abort_owed",
        "attempt",
        "commit_attempted",
        "doomed_by",
        "ending_sent",
        "lost_on",
        "number",
        "options",
        "outcome",
        "recovery_token",
        "started_at",
        "state",
    )

    def __init__(self) -> None:
        self.state = TransactionState.NONE
        self.options = TransactionOptions()
        self.recovery_token: Document | None = None
        self.attempt = 1
        self.started_at = 0.0
        self._cause: KeptError | None = None
        # Whether a commit failed with anything but an overload error: the next one uses write concern majority.
        self.commit_attempted = False
        # Whether a commit or an abort was sent: after that, only the server knows the outcome.
        self.ending_sent = False
        self.outcome: Outcome | None = None
        # Whether the transaction was aborted here and the server has not answered yet.
        self.abort_owed = False
        # How many transactions the session has started: identifies the current one.
        self.number = 0
        # The statement after which the transaction can only be aborted, and the error that it failed with.
        self.doomed_by: str | None = None
        self._doom: KeptError | None = None
        # The server that may still be running a statement whose answer nobody waits for.
        self.lost_on: Address | None = None
        self._sent: list[SentCommand] = []
        self._left_out = 0

    @property
    def active(self) -> bool:
        """Whether the transaction was started and neither committed nor aborted, so that commands belong to it."""
        return self.state is TransactionState.STARTING or self.state is TransactionState.IN_PROGRESS

    @property
    def committed(self) -> bool:
        """Whether a commit was called, of a transaction with or without commands."""
        return self.state is TransactionState.COMMITTED or self.state is TransactionState.COMMITTED_EMPTY

    def start(self, options: TransactionOptions, now: float, attempt: int) -> None:
        """Begin a new transaction. Everything about the last one is dropped."""
        self.state = transition(self.state, TransactionEvent.START)
        self.options = options
        self.recovery_token = None
        self.commit_attempted = False
        self.ending_sent = False
        self.started_at = now
        self.attempt = attempt
        self._cause = None
        self.outcome = None
        self.abort_owed = False
        self.number += 1
        self.doomed_by = None
        self._doom = None
        self.lost_on = None
        self._sent = []
        self._left_out = 0

    def command_sent(self) -> None:
        """A command with this session is being sent."""
        state = self.state
        if state is TransactionState.NONE or state is TransactionState.IN_PROGRESS:
            return
        self.state = transition(state, TransactionEvent.COMMAND)
        if self.state is TransactionState.NONE:
            self.recovery_token = None

    def first_command_shed(self) -> None:
        """An overloaded server rejected the first command without executing it: the next one is the first again."""
        self.state = transition(self.state, TransactionEvent.OVERLOADED)

    def commit(self) -> bool:
        """Enter the committed state; return whether a command must be sent."""
        self.state = transition(self.state, TransactionEvent.COMMIT)
        if self.state is TransactionState.COMMITTED_EMPTY:
            self.outcome = Outcome.COMMITTED
        return self.state is TransactionState.COMMITTED

    def ending_went_out(self) -> None:
        """The commit or the abort is being sent: from now on only the server knows the outcome."""
        self.state = transition(self.state, TransactionEvent.ENDING_SENT)
        self.ending_sent = True

    def abort_answered(self) -> None:
        """The server answered the abort, or no further attempt follows."""
        self.state = transition(self.state, TransactionEvent.ABORT_ANSWERED)
        self.abort_owed = False

    def commit_succeeded(self) -> None:
        """The server confirmed the commit."""
        self.state = transition(self.state, TransactionEvent.COMMIT_SUCCEEDED)
        self.commit_attempted = True
        self.outcome = Outcome.COMMITTED

    def commit_failed(self, outcome: Outcome, *, attempted: bool = True) -> None:
        """A commit failed, or its reply was abandoned.

        :param outcome: what that says about the transaction.
        :param attempted: whether the server may have executed it; then the next commit uses write concern majority.
        """
        self.state = transition(self.state, TransactionEvent.COMMIT_FAILED)
        self.commit_attempted = self.commit_attempted or attempted
        self.outcome = outcome

    def outcome_learned(self, number: int, outcome: Outcome) -> bool:
        """The background learned the outcome of a commit; return whether that is news.

        :param number: of its transaction: a later one of the session is not affected.
        """
        if number != self.number or self.outcome is not Outcome.UNKNOWN:
            return False
        self.state = transition(self.state, TransactionEvent.OUTCOME_LEARNED)
        self.outcome = outcome
        return True

    def withdraw_commit(self) -> bool:
        """Return to the transaction in progress if its commit was abandoned before it was sent; return whether so."""
        if self.ending_sent or self.state is not TransactionState.COMMITTED:
            return False
        self.state = transition(self.state, TransactionEvent.WITHDRAW)
        return True

    def abort(self) -> bool:
        """Enter the aborted state; return whether a command must be sent."""
        started = self.state is TransactionState.IN_PROGRESS
        self.state = transition(self.state, TransactionEvent.ABORT)
        self.outcome = Outcome.ABORTED
        self.abort_owed = started
        return started

    def doom(self, statement: str, error: BaseException | None = None) -> None:
        """Mark the transaction abort-only: it is not known whether a statement of it took effect. Ignored once it
        ended.

        :param statement: the name of the command.
        :param error: what it failed with: no answer came in time, or a commit was waiting for it. None if it was
            cancelled.
        """
        if self.active and self.doomed_by is None:
            self.state = transition(self.state, TransactionEvent.DOOM)
            self.doomed_by = statement
            self._doom = None if error is None else KeptError(error)

    def answer_lost(self, statement: str, address: Address, error: BaseException) -> None:
        """A statement was not answered in time: the transaction is abort-only, and the server may be running it."""
        self.doom(statement, error)
        self.lost_on = address

    def leave_block(self) -> None:
        """The transaction's block was left by an error: only an abort may follow."""
        self.doom(_BLOCK)

    @property
    def cause(self) -> BaseException | None:
        """The first error that the transaction met."""
        return None if self._cause is None else self._cause.get()

    @property
    def open_on_server(self) -> bool:
        """Whether the server may still have the transaction open: no commit and no abort has succeeded."""
        return self.active or self.abort_owed

    @property
    def doomed(self) -> bool:
        """Whether the transaction can only be aborted."""
        return self.doomed_by is not None and self.active

    def refuse_if_doomed(self) -> None:
        """Refuse to continue a transaction that can only be aborted.

        :raises InvalidOperation: with the labels of the failure that caused it, if it was one.
        """
        if not self.doomed:
            return
        if self.doomed_by == _BLOCK:
            raise InvalidOperation("the block of this transaction was left by an error, so it is being aborted")
        if self._doom is None:
            raise InvalidOperation(
                f"{self.doomed_by!r} was cancelled in this transaction, which therefore can only be aborted: whether "
                "the statement took effect is not known. Let the cancellation leave the transaction's block, "
                "or put the time limit around the whole of it"
            )
        failure = self._doom.get()
        labels = failure.error_labels if isinstance(failure, DriverError) else ()
        if is_timeout(failure):
            raise InvalidOperation(
                f"{self.doomed_by!r} was not answered in time in this transaction, which therefore can only be "
                "aborted: whether the statement took effect is not known",
                labels,
            ) from failure
        raise InvalidOperation(
            f"{self.doomed_by!r}, which was called before the commit and not awaited, failed; the transaction can "
            "therefore only be aborted: await each statement before the commit",
            labels,
        ) from failure

    def does_not_permit(self, why: str) -> InvalidOperation:
        """The error for an operation that cannot be part of a transaction."""
        return InvalidOperation(why)

    def note_failure(self, error: BaseException) -> None:
        """Keep the first error in the transaction."""
        self.state = transition(self.state, TransactionEvent.FAILURE)
        if self._cause is None:
            self._cause = KeptError(error)

    def learn_recovery_token(self, token: Document) -> None:
        """Keep the latest token of the router, by which another router can find the outcome."""
        self.state = transition(self.state, TransactionEvent.RECOVERY_TOKEN)
        self.recovery_token = token

    def note(self, sent: SentCommand) -> None:
        """Keep a command for the record of a failure; of very many, the first and the last ones."""
        self._sent.append(sent)
        if len(self._sent) == _KEPT_FIRST + 2 * _KEPT_LAST:
            del self._sent[_KEPT_FIRST:-_KEPT_LAST]
            self._left_out += _KEPT_LAST

    def record(
        self, session_id: str, txn_number: int, server: Address | None, timeline: RecordedTimeline | None = None
    ) -> TransactionRecord:
        """What is known so far. ``server`` is the pinned one; without a pin it is that of the last command."""
        if server is None and self._sent:
            server = self._sent[-1].address
        commands = tuple(self._sent)
        return TransactionRecord(
            self.attempt, txn_number, server, commands, self.cause, session_id, self._left_out, timeline
        )
