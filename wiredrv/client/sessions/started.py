"""The sessions that a client started: how they end, and what is cleaned up after them.

Specifications: sessions ("Ending a session", "endSessions"), transactions ("endSession"), load-balancers ("Cursors").
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from wiredrv import waits
from wiredrv.client.sessions.hooks import Hooks
from wiredrv.client.sessions.late_abort import late_abort
from wiredrv.client.sessions.late_commit import late_commit
from wiredrv.concerns import WriteConcern
from wiredrv.errors import DriverError, InvalidOperation, is_timeout
from wiredrv.execution.executor import CleanUp, Executor
from wiredrv.execution.timeout import in_force_now, leave_blocks
from wiredrv.operations.base import Target
from wiredrv.operations.cursors import kill
from wiredrv.operations.sessions import ADMIN, END_SESSIONS_BATCH, EndSessions, KillSessions
from wiredrv.operations.transactions import AbortTransaction, CommitTransaction
from wiredrv.session.server_session import ServerSession
from wiredrv.session.state import SessionState
from wiredrv.session.transaction import Outcome
from wiredrv.session.turns import Purpose, Turn
from wiredrv.types import Document, ServerCursor, TimeLimit

if TYPE_CHECKING:
    from wiredrv.client.cursors.prefetch import Ahead


class StartedSessions:
    """The sessions of one client that are still referenced.

    :param executor: carries operations out.
    :param write_concern: the client's: for the abort of a transaction that has none of its own.
    :param is_open: whether the client is open, in the event loop of the caller.
    :param in_background: has the client's background do some work; None if there is none.
    :param post: has the client's event loop call a function soon; may be called in any thread.
    """

    __slots__ = ("_executor", "_hooks", "_in_background", "_is_open", "_post", "_write_concern")

    def __init__(
        self,
        executor: Executor,
        write_concern: WriteConcern,
        is_open: Callable[[], bool],
        in_background: Callable[[CleanUp], waits.Event | None],
        post: Callable[[Callable[[], None]], None],
    ) -> None:
        self._executor = executor
        self._write_concern = write_concern
        self._is_open = is_open
        self._in_background = in_background
        self._post = post
        #: The sessions that were started, with what waits for the outcome of their transactions.
        self._hooks: weakref.WeakKeyDictionary[SessionState, Hooks] = weakref.WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self._hooks)

    def find(self, lsid: Document) -> SessionState | None:
        """The session with this id, if the application has started one that has not ended."""
        return next((state for state in list(self._hooks) if not state.ended and state.lsid == lsid), None)

    def open_transactions(self) -> list[SessionState]:
        """The sessions with a transaction in progress, except those of an event loop that is closed."""
        epoch = self._executor.sessions.epoch
        known = [state for state in list(self._hooks) if state.server_session.epoch == epoch]
        return [state for state in known if state.transaction.open_on_server]

    async def abort(self, state: SessionState) -> None:
        """Abort a session's transaction, whatever its state. Server errors are ignored."""
        turn = self._executor.enter(state, "abortTransaction", Purpose.CLEAN_UP)
        try:
            await self._executor.turn_comes(state, turn)
            await self.abort_in(turn, state)
        finally:
            if not turn.handed_over:
                state.turns.leave(turn)
            self.conclude(state)

    async def abort_in(self, turn: Turn, state: SessionState, limit: TimeLimit | None = None) -> None:
        """Abort the transaction in a turn that was taken, if it is in progress, or an abort is still unanswered.

        :param limit: the time limit; None takes that of the ``with_transaction`` or the session, as a whole again.
        """
        transaction = state.transaction
        if transaction.active:
            transaction.abort()
        if transaction.abort_owed:
            concern = transaction.options.write_concern or self._write_concern
            abort = AbortTransaction(
                Target("admin", write_concern=concern, limit=limit or state.limit or state.default_limit)
            )
            try:
                await self._executor.execute_in(turn, abort, state)
            except DriverError as error:
                later = late_abort(self._executor, state, error)
                if later is not None:
                    self._in_background(later)

    def commit_later(self, state: SessionState, commit: CommitTransaction) -> waits.Event | None:
        """Have the background send a commit that ran out of time again.

        :returns: an event that is set at the end; None if there is no background any longer.
        """
        done = self._in_background(late_commit(self._executor, state, commit, partial(self.conclude, state)))
        if done is not None:
            state.server_session.settling += 1
        return done

    def add(self, state: SessionState, hooks: Hooks) -> None:
        """A session was started. It is tracked by a weak reference."""
        self._hooks[state] = hooks

    def ended(self, state: SessionState) -> None:
        """A session was ended, and no operation of it is in flight any longer."""
        self._executor.session_changed(state)
        self.orphan_cursors_left(state)
        if state.transaction.open_on_server:
            state.server_session.dirty = True  # it may not be reused
        self._executor.release(state.server_session)

    def end(self, state: SessionState) -> CleanUp | None:
        """End a session whose transaction is over, or is aborted elsewhere.

        :returns: a function that kills the cursors which cancelled operations of the session may have left on servers;
            its server session is not reused before that. None if there are none, or if the client is closed.
        """
        kills = [KillSessions((state.lsid,), address) for address in state.servers_to_kill] if self._is_open() else []
        if kills:
            state.server_session.settling += 1
        state.end(lambda: self.ended(state))
        return partial(self._kill, kills, state.server_session) if kills else None

    async def _kill(self, kills: list[KillSessions], server_session: ServerSession, seconds: float) -> None:
        async def kill_one(kill: KillSessions) -> None:
            with contextlib.suppress(DriverError):
                await self._executor.execute(kill)

        try:
            with waits.shield(seconds):
                async with waits.create_task_group() as group:
                    for kill in kills:
                        group.start_soon(kill_one, kill)
        finally:
            self._executor.session_settled(server_session)

    def conclude(self, state: SessionState) -> None:
        """The outcome of a transaction may be known now: call its hooks, and kill the cursors that had to wait for
        it.
        """
        self._executor.session_changed(state)
        outcome = state.transaction.outcome
        if outcome is not None and outcome is not Outcome.UNKNOWN:
            self.orphan_cursors_left(state)
        hooks = self._hooks.get(state)
        if hooks is not None:
            hooks.run(outcome)

    def orphan_cursor(self, cursor: ServerCursor, ahead: Ahead | None = None) -> None:
        """Kill, in the background, a server cursor whose Cursor object is gone; release its session and connection.

        May be called by a finalizer, in any thread.
        """
        self._post(lambda: self._clean_up_cursor(cursor, ahead))

    def _clean_up_cursor(self, cursor: ServerCursor, ahead: Ahead | None) -> None:
        if cursor.pin is not None and cursor.pin.for_stream:
            cursor.pin.release()
            cursor = cursor._replace(pin=None)

        async def kill_it() -> None:
            limited = in_force_now(cursor.limit) is not None
            try:
                await self._executor.execute(kill(cursor))
            except DriverError as error:
                if not limited or cursor.pin is not None or not is_timeout(error):
                    raise
                # The time limit that was refreshed for this is over, and nobody waits any longer.
                if cursor.done is not None:
                    cursor.done()
                leave_blocks()
                await self._executor.execute(kill(cursor._replace(limit=None)))

        async def work(seconds: float) -> None:
            try:
                if cursor.id and self._is_open():
                    with waits.shield(seconds), contextlib.suppress(DriverError):
                        if cursor.pin is None:
                            await self._executor.topology.select_address(cursor.address, waits.monotonic() + seconds)
                        await (kill_it() if ahead is None else ahead.end(kill_it))
            finally:
                if cursor.pin is not None:
                    cursor.pin.release()
                if cursor.lease is not None and (ahead is None or not ahead.exhausted):
                    self._executor.release(cursor.lease)
                if cursor.done is not None:
                    cursor.done()

        if self._in_background(work) is None:
            if cursor.pin is not None:
                cursor.pin.release()
            if cursor.done is not None:
                cursor.done()

    def orphan_cursors_left(self, state: SessionState) -> None:
        """Kill, in the background, the cursors that could not be killed before their transaction had ended."""
        for cursor in state.take_cursors_left():
            self.orphan_cursor(cursor)

    def orphan_session(self, state: SessionState, hooks: Hooks) -> None:
        """End, in the background, a session whose ClientSession object is gone: its transaction, its cursors, its pin.

        May be called by a finalizer, in any thread.

        :param hooks: those of its transaction. Before the finalizers of a cycle run, Python clears the weak references
            to its objects, so the session may be tracked no longer.
        """
        self._post(lambda: self._clean_up_session(state, hooks))

    def _clean_up_session(self, state: SessionState, hooks: Hooks) -> None:
        self.add(state, hooks)

        async def work(seconds: float) -> None:
            limit = waits.monotonic() + seconds
            try:
                with waits.shield(seconds), contextlib.suppress(InvalidOperation):
                    await self.abort(state)
            finally:
                rest = self.end(state)
            if rest is not None:
                await rest(max(limit - waits.monotonic(), 0.0))

        if self._in_background(work) is None:
            state.end(lambda: self.ended(state))

    async def abort_all(self) -> None:
        """Abort the open transactions concurrently. A statement in flight is stopped on the server."""
        async with waits.create_task_group() as group:
            for state in self.open_transactions():
                state.turns.refuse_waiting("waited for its turn while the client was closed")
                if not state.turns.cleaning_up:
                    group.start_soon(self._stop, state)

    async def _stop(self, state: SessionState) -> None:
        with contextlib.suppress(DriverError):
            server = state.pin or self._executor.topology.pick(None)
            if state.turns.busy and server is not None:
                await self._executor.execute(KillSessions((state.lsid,), server.address))
            await self.abort(state)

    async def end_pooled(self) -> None:
        """Sessions specification: endSessions once, when the client is closed; errors do not matter."""
        ids = self._executor.sessions.drain()
        for start in range(0, len(ids), END_SESSIONS_BATCH):
            topology = self._executor.topology
            if topology.pick(ADMIN.read_preference) is None and not topology.has_readable_server:
                return
            try:
                await self._executor.execute(EndSessions(tuple(ids[start : start + END_SESSIONS_BATCH])))
            except DriverError:
                return
