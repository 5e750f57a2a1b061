"""How a transaction ends: by a commit, by an abort, or by the abort of a block that is left by an error.

Rules kept here:

* The transaction's state changes when the turn comes, not at the call.
* After a commit was sent, no abort is sent.
* If an abort is cancelled before its command is sent, the background sends it in the same turn.
* If the time limit of an abort ends before its turn comes, the background sends it when the turn comes.
* If a commit runs out of time after it was sent, the background sends it again (``late_commit``).

Transactions specification, "ClientSession changes".
"""

from __future__ import annotations

import logging
import math

from wiredrv import waits
from wiredrv.client.core import ClientCore
from wiredrv.client.limits import limit_of
from wiredrv.errors import ConfigurationError, DriverError, InvalidOperation, OperationTimeout
from wiredrv.execution import budget
from wiredrv.execution.timeout import in_force_now
from wiredrv.failures import FailureKind, kind_of
from wiredrv.operations.base import OperationKind, Target
from wiredrv.operations.transactions import CommitTransaction
from wiredrv.session.pinning import PinEvent
from wiredrv.session.state import SessionState
from wiredrv.session.transaction import Outcome
from wiredrv.session.turns import Purpose, Turn
from wiredrv.types import TimeLimit

_LOG = logging.getLogger("wiredrv.session")

#: Seconds that the abort may take when a block was left by an error.
_ABORT_SECONDS = 5.0


class TransactionEnding:
    """Ends the transactions of one session."""

    __slots__ = ("_core", "_late", "_sessions", "_state")

    def __init__(self, core: ClientCore, state: SessionState) -> None:
        self._core = core
        self._sessions = core.started_sessions
        self._state = state
        # Set when the background has sent the last commit again; None if it need not.
        self._late: waits.Event | None = None

    async def commit(self, pause: float = 0.0, timeout_ms: int | None = None) -> None:
        """Commit, when the turn comes.

        :param pause: seconds to wait, in that turn, before the commit is sent again.
        :param timeout_ms: the time limit of the call; None takes that of the ``with_transaction``, or the session's.
        :raises OperationTimeout: the time limit ended before the turn came. The transaction is as it was.
        :raises InvalidOperation: there is nothing to commit, or the transaction is abort-only, and has been aborted
            now.
        :raises DriverError: the commit failed.
        """
        self._core.refuse_if_closed()
        limit = in_force_now(self._limit(timeout_ms))
        turn = self._core.executor.enter(self._state, "commitTransaction", Purpose.ENDING)
        try:
            await self._core.executor.turn_comes(self._state, turn, limit)
            await self._commit_in(turn, pause, limit)
        finally:
            self._leave(turn)

    def _limit(self, timeout_ms: int | None) -> TimeLimit | None:
        state = self._state
        if timeout_ms is None:
            return state.limit or state.default_limit
        if state.limit is not None:
            raise ConfigurationError(
                "timeout_ms cannot be given in the callback of with_transaction, which has a time limit as a whole"
            )
        return limit_of(timeout_ms)

    async def _commit_in(self, turn: Turn, pause: float, limit: TimeLimit | None) -> None:
        state = self._state
        transaction = state.transaction
        try:
            transaction.refuse_if_doomed()
        except InvalidOperation:
            await self._abort_in(turn)
            raise
        if not transaction.commit():
            return
        options = transaction.options
        concern = options.write_concern or self._core.settings.write_concern
        commit = CommitTransaction(Target("admin", write_concern=concern, limit=limit), options.max_commit_time_ms)
        try:
            await self._core.executor.execute_in(turn, commit, state, lambda: self._sessions.conclude(state), pause)
        except DriverError as error:
            if kind_of(error) is FailureKind.REFUSED_HERE or isinstance(error, OperationTimeout):
                transaction.withdraw_commit()  # the client was closed meanwhile, or there was no time to send it
            if limit is not None and error.timeout and transaction.outcome is Outcome.UNKNOWN:
                self._late = self._sessions.commit_later(state, commit)
            raise
        except BaseException as error:
            if not isinstance(error, (Exception, GeneratorExit)) and transaction.withdraw_commit():
                await self._clean_up(turn)
            raise

    async def until_resolved(self, limit: TimeLimit | None) -> None:
        """Wait a short time for the background, if it sends the last commit again.

        :param limit: the time limit of the call that ends the session; None takes the session's.
        """
        limit = in_force_now(limit or self._state.default_limit, OperationKind.ABORT)
        late, self._late = self._late, None
        # After a fork, the parent's background sends it, and nobody tells this process when that is done.
        if late is not None and not late.is_set() and waits.running_loop() is self._core.executor.loop:
            seconds = budget.GRACE_SECONDS if limit is None else min(budget.GRACE_SECONDS, limit.seconds)
            await budget.bounded(late.wait, seconds, self._core.executor.grace)

    async def commit_block(self, pause: float = 0.0) -> None:
        """Commit at the end of a block. If the commit does not get its turn, the transaction is aborted."""
        try:
            await self.commit(pause)
        except BaseException as error:
            if self._state.transaction.active and not isinstance(error, GeneratorExit):
                await self.abort_quietly()
            raise

    async def until_free(self) -> None:
        """Wait until the clean-up after the session's other operations is done.

        :raises OperationTimeout: the time limit of the ``with_transaction`` ended before.
        """
        state = self._state
        if state.turns.current is not None:
            turn = self._core.executor.enter(state, "startTransaction", Purpose.HOUSEKEEPING)
            try:
                await self._core.executor.turn_comes(state, turn, state.limit)
            finally:
                state.turns.leave(turn)

    async def abort(self, timeout_ms: int | None = None) -> None:
        """Abort, when the turn comes. Server errors are not raised.

        :param timeout_ms: the time limit of the call; None takes that of the ``with_transaction``, or the session's.
        :raises InvalidOperation: there is nothing to abort.
        """
        state = self._state
        limit = self._limit(timeout_ms)
        turn = self._core.executor.enter(state, "abortTransaction", Purpose.ENDING)
        try:
            try:
                await self._core.executor.turn_comes(state, turn, in_force_now(limit, OperationKind.ABORT))
            except OperationTimeout:
                await self.abort_quietly(limit, wait=False)
                return
            if not state.transaction.active:
                state.transaction.abort()  # raises an error that says why
            await self._abort_in(turn, limit)
        finally:
            self._leave(turn)

    async def abort_quietly(self, limit: TimeLimit | None = None, *, wait: bool = True) -> None:
        """Abort a transaction whose block failed. No error may hide the failure, and a cancellation may not stop the
        abort.

        :param limit: its time limit; None takes that of the ``with_transaction``, or the session's, as a whole again.
        :param wait: whether to wait for it; otherwise the background aborts the transaction.
        """
        state = self._state
        if not state.transaction.open_on_server or state.turns.cleaning_up:
            return
        # From now on no operation and no commit is accepted, however long the abort has to wait for its turn.
        state.transaction.leave_block()
        state.turns.refuse_waiting("waited for its turn in a transaction whose block was left by an error")
        try:
            turn = self._core.executor.enter(state, "abortTransaction", Purpose.CLEAN_UP)
        except InvalidOperation as error:
            _LOG.warning("a transaction could not be aborted: %s", error)
            return
        try:
            if waits.is_cancelling():
                await self._clean_up(turn)
            elif not wait:
                await self._clean_up(turn, wait=False)
            else:
                await self._abort_in_time(turn, limit)
        except BaseException as error:
            if not isinstance(error, (Exception, GeneratorExit)) and not turn.handed_over:
                await self._clean_up(turn)
            raise
        finally:
            self._leave(turn)

    async def _abort_in_time(self, turn: Turn, limit: TimeLimit | None) -> None:
        limit = limit or self._limit(None)
        with waits.move_on_after(_ABORT_SECONDS) as scope:
            try:
                await self._core.executor.turn_comes(self._state, turn, in_force_now(limit, OperationKind.ABORT))
            except OperationTimeout:
                await self._clean_up(turn, wait=False)
                return
            await self._abort_in(turn, limit)
        if scope.cancelled_caught and not turn.handed_over:
            _LOG.warning("a transaction could not be aborted within %.1f s; the background continues", _ABORT_SECONDS)
            await self._clean_up(turn)

    async def _abort_in(self, turn: Turn, limit: TimeLimit | None = None) -> None:
        """Abort in a turn that was taken. If this is cancelled before the command is sent, the background sends it."""
        transaction = self._state.transaction
        try:
            await self._sessions.abort_in(turn, self._state, limit)
        except BaseException as error:
            cancelled = not isinstance(error, (Exception, GeneratorExit))
            if cancelled and transaction.abort_owed and not turn.handed_over:
                await self._clean_up(turn)
            raise
        finally:
            if not transaction.active and not turn.handed_over:
                self._state.on_pin_event(PinEvent.ABORTED)

    async def _clean_up(self, turn: Turn, *, wait: bool = True) -> None:
        """Have the background abort the transaction, in a turn that was taken or is waited for.

        :param wait: whether to wait for it, as long as the caller's budget allows.
        """
        state = self._state
        executor = self._core.executor
        state.turns.hand_over(turn)
        state.server_session.settling += 1

        async def turn_comes() -> None:
            await executor.turn_comes(state, turn)

        async def abort() -> None:
            await self._sessions.abort_in(turn, state)

        async def work(seconds: float) -> None:
            try:
                # However long the statement in flight takes: an abort that overtakes it is refused.
                await waits.run_shielded(turn_comes, math.inf)
                if not await waits.run_shielded(abort, seconds):
                    _LOG.warning("a transaction could not be aborted within %.1f s", seconds)
            except InvalidOperation as error:
                _LOG.warning("a transaction could not be aborted: %s", error)
            finally:
                if not state.transaction.active:
                    state.on_pin_event(PinEvent.ABORTED)
                executor.session_settled(state.server_session)
                state.turns.leave(turn)
                self._sessions.conclude(state)

        await executor.clean_up(work, wait=wait)

    def _leave(self, turn: Turn) -> None:
        if not turn.handed_over:
            self._state.turns.leave(turn)
        self._sessions.conclude(self._state)
