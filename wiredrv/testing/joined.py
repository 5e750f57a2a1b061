"""The states of the one transaction that a test with ``rollback`` runs in, and of the sessions that join it.

Rules kept here:

* There are no savepoints: what ends a part of the transaction ends the whole. A statement that the server refused, one
  that was cancelled, and an abort by the code under test make it *lost*. The first cause is kept.
* Everything after that is refused with that cause; nothing runs outside of the transaction instead.
* A session that joins has a transaction of its own, of which nothing is ever sent: its commit succeeds at once, as that
  of an empty transaction does.
* The abort of a joined transaction in which nothing was written changes nothing, and loses nothing.
"""

from __future__ import annotations

import sys

from bson.timestamp import Timestamp

from wiredrv.errors import TRANSIENT_TRANSACTION, DriverError, InvalidOperation, OperationFailure, is_timeout
from wiredrv.operations.base import Operation
from wiredrv.origin import caller
from wiredrv.server_facts import ErrorCode
from wiredrv.session.cluster_time import ClusterTime
from wiredrv.session.kept_error import KeptError
from wiredrv.session.options import SessionOptions, TransactionOptions
from wiredrv.session.server_session import ServerSession
from wiredrv.session.state import SessionState
from wiredrv.session.transaction import Transaction
from wiredrv.session.turns import Purpose, Turn, Turns, ended
from wiredrv.testing.permitted import READS, Place, judge

_ADVICE = (
    "this test runs in one transaction (the `rollback` fixture): use the `database` fixture for it, a database of its "
    "own in which everything behaves as in production"
)


class RollbackError(InvalidOperation):
    """A call cannot be made in a test that runs in one transaction, with the fixture ``rollback``.

    The message says why. Where the transaction was lost before, ``__cause__`` is what ended it. It has no error labels:
    nothing of it can be retried.
    """


class SharedTransaction(Transaction):
    """The transaction of the test."""

    __slots__ = ("_is_left", "_lost", "turns", "writes")

    def __init__(self) -> None:
        super().__init__()
        self._is_left = False
        #: Why no statement can follow, and the error that is the cause.
        self._lost: tuple[str, KeptError | None] | None = None
        #: For each statement called that may write: whether it was sent, or will be.
        self.writes: list[bool] = []
        self.turns = SharedTurns(self)

    def lose(self, why: str, statement: str, error: BaseException | None) -> None:
        """No statement can follow any more.

        :param why: how the refusals of later calls begin.
        :param statement: the command, or the call, that is the reason.
        :param error: the cause; None if there is none.
        """
        if self._lost is None and self.active:
            self._lost = why, None if error is None else KeptError(error)
            super().doom(statement, error)

    def command_sent(self) -> None:
        super().command_sent()
        self.turns.sent()

    def doom(self, statement: str, error: BaseException | None = None) -> None:
        how = "was cancelled" if error is None else "was not answered in time" if is_timeout(error) else "failed"
        self.lose(f"{statement!r} {how}, and it is not known whether it took effect", statement, error)

    def leave_block(self) -> None:
        self._is_left = True
        super().doom("the end of the test")

    def refuse_if_over(self) -> None:
        """Refuse what would not be part of the transaction.

        :raises RollbackError: it is lost, or was ended.
        """
        if self._is_left:
            raise RollbackError("the test that this call belongs to has ended, and its transaction was aborted")
        if self._lost is not None:
            raise self._refusal(*self._lost)
        if not self.active:
            raise RollbackError(
                f"the client was closed, which aborted the transaction, and {_ADVICE}, or close the client at its end"
            )

    def refuse_if_doomed(self) -> None:
        self.refuse_if_over()
        super().refuse_if_doomed()

    @staticmethod
    def _refusal(why: str, kept: KeptError | None) -> RollbackError:
        error = RollbackError(
            f"{why}. MongoDB has no savepoints, so nothing more can be done in the transaction, and {_ADVICE}"
        )
        error.__cause__ = None if kept is None else kept.get()
        return error

    def does_not_permit(self, why: str) -> InvalidOperation:
        return RollbackError(f"{why}; {_ADVICE}")


class SharedTurns(Turns):
    """The turns of the operations in the transaction of the test: those of all tasks, sessions and threads."""

    __slots__ = ("_shared", "_unsent")

    def __init__(self, shared: SharedTransaction) -> None:
        super().__init__(shared)
        self._shared = shared
        #: Where in the list of writes those are that were not sent yet.
        self._unsent: dict[Turn, int] = {}

    def enter(self, command: str, purpose: Purpose, task: object) -> Turn:
        turn = super().enter(command, purpose, task)
        if purpose is Purpose.STATEMENT and command not in READS:
            self._unsent[turn] = len(self._shared.writes)
            self._shared.writes.append(True)
        return turn

    def sent(self) -> None:
        """The statement that has the turn is being sent."""
        if self.current is not None:
            self._unsent.pop(self.current, None)

    def leave(self, turn: Turn) -> None:
        # Refused before it was sent, as one whose document cannot be encoded.
        if (index := self._unsent.pop(turn, None)) is not None:
            self._shared.writes[index] = False
        super().leave(turn)

    def failed(self, turn: Turn, error: BaseException) -> None:
        if turn.purpose is Purpose.STATEMENT and ends_transaction(error):
            self._shared.lose(f"{turn.command!r} failed, which aborted the transaction", turn.command, error)
            _explain(error)
        super().failed(turn, error)

    def _admit(self, turn: Turn) -> None:
        if turn.purpose is Purpose.STATEMENT:
            try:
                self._shared.refuse_if_doomed()
            except InvalidOperation as refusal:
                turn.refusal = refusal
                if turn.wake is not None:
                    turn.wake()
                return
        super()._admit(turn)


class SharedState(SessionState):
    """The session of the test's transaction."""

    chooses = True

    __slots__ = ("shared",)

    def __init__(self, server_session: ServerSession, owner: object) -> None:
        super().__init__(SessionOptions(), server_session, owner)
        self.transaction = self.shared = SharedTransaction()
        self.turns = self.shared.turns

    def admit(self, operation: object) -> SessionState | None:
        """This session for what can be part of the transaction; None for what concerns no documents.

        :raises RollbackError: it is neither.
        """
        assert isinstance(operation, Operation)
        place = judge(operation)
        if isinstance(place, str):
            raise self.shared.does_not_permit(place)
        return self if place is Place.WITHIN else None

    def join(self, state: SessionState | None) -> SessionState:
        """The session that a call runs in, whichever it names: this one.

        :param state: the session that it names; None for none.
        :raises RollbackError: the transaction is over, or the session was started before it.
        :raises InvalidOperation: the session that the call names has ended.
        """
        if state is not None and state is not self:
            if state.ended:
                raise InvalidOperation(ended(state.origin))
            if not isinstance(state, JoinedState):
                raise RollbackError(
                    f"the session that was started at {state.origin} is older than the transaction of the test: start "
                    "it in the test, or in a fixture that requests `rollback`"
                )
            state.joining()
        self.shared.refuse_if_doomed()
        return self


class JoinedTransaction(Transaction):
    """A transaction of the code under test: a part of the test's, of which nothing is sent."""

    __slots__ = ("_shared", "_writes_before")

    def __init__(self, shared: SharedTransaction) -> None:
        super().__init__()
        self._shared = shared
        self._writes_before = 0

    def start(self, options: TransactionOptions, now: float, attempt: int) -> None:
        self._shared.refuse_if_over()
        super().start(options, now, attempt)
        self._writes_before = len(self._shared.writes)

    def refuse_if_doomed(self) -> None:
        if self.active:
            self._shared.refuse_if_over()
        super().refuse_if_doomed()

    def does_not_permit(self, why: str) -> InvalidOperation:
        return self._shared.does_not_permit(why)

    def abort(self) -> bool:
        wrote = self.active and any(self._shared.writes[self._writes_before :])
        sent = super().abort()
        if wrote:
            where = caller()
            reason = sys.exception()
            self._shared.lose(
                f"the code under test aborted its own transaction, at {where}, after it had written",
                "abortTransaction",
                reason or RollbackError(f"the transaction was aborted at {where}"),
            )
        return sent


class _JoinedTurns(Turns):
    """The turns of a session that joins: only its commits and aborts have any."""

    __slots__ = ()

    def enter(self, command: str, purpose: Purpose, task: object) -> Turn:
        if purpose is Purpose.STATEMENT and not self.closed:
            raise RollbackError(f"{command!r} was called with a session of a test that has ended")
        return super().enter(command, purpose, task)


class JoinedState(SessionState):
    """A session that the code under test started: its operations run in the session of the test."""

    __slots__ = ("_test",)

    def __init__(self, test: SharedState, options: SessionOptions, server_session: ServerSession) -> None:
        self._test = test
        super().__init__(options, server_session, test.owner)
        self.transaction = JoinedTransaction(test.shared)
        self.turns = _JoinedTurns(self.transaction, options.overlap)

    def joining(self) -> None:
        """One of its operations is called.

        :raises InvalidOperation: its transaction is being aborted.
        """
        if self.transaction.doomed:
            self.transaction.refuse_if_doomed()
        if not self.transaction.active:
            self.transaction.command_sent()

    # What the operations learn is learned by the session that they run in.

    @property
    def operation_time(self) -> Timestamp | None:
        return self._test.operation_time

    @operation_time.setter
    def operation_time(self, value: Timestamp | None) -> None:
        if value is not None:
            self._test.operation_time = value

    @property
    def cluster_time(self) -> ClusterTime | None:
        return self._test.cluster_time

    @cluster_time.setter
    def cluster_time(self, value: ClusterTime | None) -> None:
        if value is not None:
            self._test.cluster_time = value


def ends_transaction(error: BaseException) -> bool:
    """Whether the server has aborted the transaction of a statement that failed, or may have."""
    if not isinstance(error, DriverError):
        return False
    return isinstance(error, OperationFailure) or error.has_error_label(TRANSIENT_TRANSACTION)


def _explain(error: BaseException) -> None:
    """Say below the error's traceback what it means for the test."""
    code = getattr(error, "code", None)
    if code == ErrorCode.OperationNotSupportedInTransaction:
        what = "MongoDB does not permit this in a transaction (indexes and collections can be made before it)"
    else:
        what = "with this error the transaction is aborted, and every later call is refused"
    error.add_note(f"wiredrv: {what}; {_ADVICE}")
