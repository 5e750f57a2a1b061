"""Executes every operation of a client.

The attempts are in ``attempts``; around them, the client is opened if necessary, an operation of a session waits for
its turn, and the clean-up after a cancellation is passed to the background.

Cancellation is safe at any await: it leaves no connection checked out, no cursor and no
transaction open on the server, and no session in use (``cancellation``).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from wiredrv import waits
from wiredrv.connection.settings import ServerApi
from wiredrv.errors import (
    InvalidOperation,
    OperationTimeout,
)
from wiredrv.execution import budget, recording
from wiredrv.execution.attempts import Attempts
from wiredrv.execution.cancellation import Settlement
from wiredrv.execution.run import Run
from wiredrv.execution.settings import ExecutionSettings
from wiredrv.execution.time_limit import in_force, milliseconds
from wiredrv.execution.timeout import current as current_block
from wiredrv.execution.timeout import use
from wiredrv.listeners import ListenerHub
from wiredrv.operations.base import Operation, OperationKind, Target
from wiredrv.session.cursors import admit_kill, admit_read
from wiredrv.session.server_session import ServerSession
from wiredrv.session.state import SessionState
from wiredrv.session.transaction import Outcome
from wiredrv.session.turns import Purpose, Turn, task_name
from wiredrv.topology.topology import Topology
from wiredrv.types import Address, ServerCursor, TimeLimit
from wiredrv.waits import monotonic

if TYPE_CHECKING:
    from wiredrv.execution.confirmation import Asking

T = TypeVar("T")

_LOG = logging.getLogger("wiredrv.session")

#: Purposes of operations. (Constants, since access to a member of an enum costs a call.)
_STATEMENT, _HOUSEKEEPING = Purpose.STATEMENT, OperationKind.HOUSEKEEPING

#: Cleans up; the argument is how many seconds that may take.
CleanUp = Callable[[float], Awaitable[None]]


class Executor(Attempts):
    """Executes the operations of one client.

    :param ensure_open: opens the client where it is not.
    :param in_background: starts cleaning up in the background; returns an event that is set at the end, or None if the
        background has ended.
    :param unfinished: the number of clean-ups in progress.
    """

    def __init__(
        self,
        topology: Topology,
        settings: ExecutionSettings,
        hub: ListenerHub,
        api: ServerApi | None,
        ensure_open: Callable[[], Awaitable[None]],
        in_background: Callable[[CleanUp], waits.Event | None] = lambda work: None,
        unfinished: Callable[[], int] = lambda: 0,
    ) -> None:
        super().__init__(topology, settings, hub, api)
        #: What identifies the event loop that the client is open in; None while it is closed.
        self.loop: object = None
        #: The question to the primary about causal tokens that is under way.
        self.asking: Asking | None = None
        self._ensure_open = ensure_open
        self._in_background = in_background
        self.grace = budget.Grace(unfinished)
        self.number = next(recording.numbers)
        recording.admit(self)

    async def execute(self, operation: Operation[T], session: SessionState | None = None) -> T:
        """Execute an operation, with the retries that the specifications allow.

        :param operation: what to do.
        :param session: the explicit session, or None for an implicit one.
        :raises DriverError: the error of the last attempt, or the one before it if that says more.
        """
        if budget.running:
            budget.begin_operation()
        if session is not None and session.chooses:
            session = session.admit(operation)
        limit = operation.target.limit
        if limit is not None or use.begun or (session is not None and session.limit is not None):
            limit = _limit(limit, session, operation.traits.kind)
        turn: Turn | None = None
        if session is not None:
            # Before any wait: from now on the call has its place in the queue, and in its transaction.
            purpose = Purpose.HOUSEKEEPING if operation.traits.kind is _HOUSEKEEPING else _STATEMENT
            turn = self.enter(session, operation.name, purpose)
            if not turn.granted:
                await self.turn_comes(session, turn, limit)
        run: Run[T] | None = None
        try:
            if waits.running_loop() is not self.loop:
                await self._open_for(session, operation.name, limit)
            run = Run(operation, session)
            run.turn = turn
            if limit is not None:
                run.limit_to(limit)
            if session is not None and operation.opened_in is not None:
                admit = admit_kill if operation.traits.kind is _HOUSEKEEPING else admit_read
                admit(operation.opened_in, session)
            if session is not None and session.after is not None:
                return await self._drive_after(run, limit)
            return await self.drive(run)
        except BaseException as error:
            if turn is not None and session is not None:
                session.turns.failed(turn, error)
            if run is not None:
                if not isinstance(error, Exception):
                    await self._cancelled(run, error)
                elif run.orphan is not None:
                    await self._leave_orphan(run, run.orphan)
            raise
        finally:
            if run is not None and run.handed_over:
                pass  # the background finishes it
            elif turn is not None and session is not None:
                session.turns.leave(turn)
            elif run is not None and run.implicit and not run.kept and run.server_session is not None:
                self.release(run.server_session)

    async def _open_for(self, session: SessionState | None, command: str, limit: TimeLimit | None) -> None:
        await self.open_within(limit, command)
        if session is not None:
            self._refuse_if_foreign(session)

    async def open_within(self, limit: TimeLimit | None, command: str) -> None:
        """Open the client. When the operation's time limit ends, that continues, and the next operation waits for it.

        :raises OperationTimeout: the time limit ended before.
        """
        with waits.move_on_after(None if limit is None or limit.until is None else limit.until - monotonic()) as scope:
            await self._ensure_open()
        if scope.cancelled_caught and limit is not None:
            raise OperationTimeout(
                f"{command!r} was not sent: its time limit of {milliseconds(limit)} went to opening the client"
            )

    def enter(self, session: SessionState, command: str, purpose: Purpose) -> Turn:
        """Take the session's turn, or a place in its queue: then await :meth:`turn_comes`.

        A caller that executes several steps in one turn releases it with ``session.turns.leave``.

        :raises InvalidOperation: the session, or its transaction, cannot be used for the operation.
        """
        if session.owner is not self or session.server_session.epoch != self.sessions.epoch:
            self._refuse_if_foreign(session)
        if purpose is _STATEMENT and session.transaction.doomed_by is not None:
            session.transaction.refuse_if_doomed()
        return session.turns.enter(command, purpose, waits.current_task())

    def _refuse_if_foreign(self, session: SessionState) -> None:
        if session.owner is not self:
            raise InvalidOperation("a session can only be used with the client that started it")
        if session.server_session.epoch != self.sessions.epoch:
            raise InvalidOperation(
                "this session was started before a fork, or in an event loop that is closed: start a new one"
            )

    async def turn_comes(self, session: SessionState, turn: Turn, limit: TimeLimit | None = None) -> None:
        """Wait behind the session's other operations, unless the turn has come.

        :param limit: the time limit of the operation, which has started.
        :raises InvalidOperation: an operation before it ended the transaction, or the session.
        :raises OperationTimeout: the time limit ended before.
        """
        if turn.granted:
            return
        current = session.turns.current
        if current is not None and _LOG.isEnabledFor(logging.DEBUG):
            names = task_name(turn.task), turn.command, task_name(current.task), current.command
            _LOG.debug("task %r waits with %s for its turn: task %r runs %s with the same session", *names)
        event = waits.Event()
        turn.wake = event.set
        try:
            with waits.move_on_after(None if limit is None or limit.until is None else limit.until - monotonic()):
                await event.wait()
            if not turn.granted and turn.refusal is None:
                raise _no_turn(turn, current, limit)
        except BaseException as error:
            session.turns.failed(turn, error)
            if turn.purpose is not Purpose.CLEAN_UP:  # the background continues to wait, in the same place
                session.turns.leave(turn)
            raise
        if turn.refusal is not None:
            raise turn.refusal

    def _finish(self, run: Run[object]) -> None:
        if run.session is not None and run.turn is not None:
            run.session.turns.leave(run.turn)
        elif run.implicit and not run.kept and run.server_session is not None:
            self.release(run.server_session)

    async def execute_in(
        self,
        turn: Turn,
        operation: Operation[T],
        session: SessionState,
        on_settled: Callable[[], None] | None = None,
        pause: float = 0.0,
    ) -> T:
        """Like :meth:`execute`, in a turn that was taken before. Afterwards the caller has the turn again, unless it is
        ``handed_over``.

        :param on_settled: called when the background has settled the operation after a cancellation.
        :param pause: seconds to wait first. If the commit was sent before, a cancellation meanwhile counts as one of
            the commit.
        """
        limit = operation.target.limit
        if limit is not None or use.begun or session.limit is not None:
            limit = _limit(limit, session, operation.traits.kind)
        if waits.running_loop() is not self.loop:
            await self._open_for(session, operation.name, limit)
        run = Run(operation, session)
        run.turn = turn
        if limit is not None:
            run.limit_to(limit)
        run.on_settled = on_settled
        try:
            if pause:
                await waits.sleep(pause)
            if session.after is not None:
                return await self._drive_after(run, limit)
            return await self.drive(run)
        except BaseException as error:
            if not isinstance(error, Exception):
                await self._cancelled(run, error)
            raise

    async def _drive_after(self, run: Run[T], limit: TimeLimit | None) -> T:
        # Not imported for sessions without tokens.
        from wiredrv.execution.confirmation import drive_after

        return await drive_after(self, run, limit)

    @contextlib.asynccontextmanager
    async def one_turn(
        self, session: SessionState | None, command: str, call: tuple[str, Target]
    ) -> AsyncIterator[Turn | None]:
        """One turn for a call that sends several commands with :meth:`execute_in`, as a bulk does.

        :param command: the name of the first one.
        :param call: what the whole call is, for those who trace it: its name, and what it is made on. The time limit
            of its target has started.
        :raises OperationTimeout: it ended before the turn came.
        :raises InvalidOperation: the session, or its transaction, cannot be used for it.
        """
        if session is None:
            yield None
            return
        limit = _limit(call[1].limit, session, OperationKind.COMMAND)
        turn = self.enter(session, command, _STATEMENT)
        await self.turn_comes(session, turn, limit)
        try:
            yield turn
        except BaseException as error:
            session.turns.failed(turn, error)
            raise
        finally:
            if not turn.handed_over:
                session.turns.leave(turn)

    def session_changed(self, session: SessionState) -> None:
        """A session has started or ended, or a transaction of it: for those who trace or record it."""
        if self.recorder is not None:
            self.recorder.session_changed(session)

    # --- after a cancellation ---

    async def _cancelled(self, run: Run[object], error: BaseException) -> None:
        """Have the background clean up after the command in flight, and wait for that as long as the budget allows."""
        if self.recorder is not None:
            self.recorder.cancelled(run, error)
        session = run.session
        if run.traits.kind is OperationKind.COMMIT and session is not None and session.transaction.ending_sent:
            session.transaction.commit_failed(Outcome.UNKNOWN)
            run.settlement = run.settlement or Settlement(run, self)
        settlement = run.settlement
        if settlement is None:
            return
        if isinstance(error, GeneratorExit):
            settlement.drop()  # It is not possible to wait here.
            if run.server_session is not None:
                run.server_session.dirty = True
            if session is not None and run.server_to_kill is not None:
                session.note_server_to_kill(run.server_to_kill)
            return
        self._hand_over(run)
        await self.clean_up(settlement, wait=not isinstance(error, (KeyboardInterrupt, SystemExit)))

    async def _leave_orphan(self, run: Run[object], orphan: ServerCursor) -> None:
        """Have the background kill the cursor that an unreadable reply opened; in a transaction, after its end."""
        if run.in_transaction and run.session is not None:
            run.session.leave_cursor(orphan)
            return
        self._hand_over(run)
        await self.clean_up(Settlement(run, self), wait=False)

    @staticmethod
    def _hand_over(run: Run[object]) -> None:
        """The run, its turn and its server session belong to the background from now on."""
        run.handed_over = True
        if run.server_session is not None:
            run.server_session.settling += 1
        if run.session is not None and run.turn is not None:
            run.session.turns.hand_over(run.turn)

    async def clean_up(self, work: CleanUp, *, wait: bool = True) -> None:
        """Clean up in the background, and wait for it as long as the caller's budget allows.

        :param work: called with the seconds that it may take.
        """
        left = self.grace.seconds_left()
        done = self._in_background(work)
        if done is None:
            # The event loop is ending, or the client is closed: the clean-up is done here, or not at all.
            await work(left)
        elif wait:
            with waits.shield(left):
                await done.wait()

    def has_waiters(self, address: Address) -> bool:
        """Whether operations wait for a connection to a server."""
        server = self.topology.server(address)
        return server is not None and bool(server.pool.state.waiters)

    def session_settled(self, session: ServerSession) -> None:
        """A clean-up in a server session is done: the session may go back to the pool."""
        self.sessions.settled(session, monotonic(), self.topology.description.logical_session_timeout_minutes)

    def settled(self, run: Run[object]) -> None:
        """Release the turn and the server session of a run after which the background has cleaned up."""
        if run.server_session is not None:
            self.session_settled(run.server_session)
        self._finish(run)
        if run.on_settled is not None:
            run.on_settled()


def _limit(own: TimeLimit | None, session: SessionState | None, kind: OperationKind) -> TimeLimit | None:
    """The time limit of an operation, which begins now; None if it has none.

    :param own: that of its target.
    """
    around = None if session is None else session.limit
    return in_force(own, around, current_block() if use.begun else None, kind, monotonic())


def _no_turn(turn: Turn, current: Turn | None, limit: TimeLimit | None) -> OperationTimeout:
    assert limit is not None
    before = "" if current is None else f", behind {current.command!r}"
    return OperationTimeout(
        f"{turn.command!r} was not sent: its time limit of {milliseconds(limit)} went to waiting for its turn in the "
        f"session{before}"
    )
