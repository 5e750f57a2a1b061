"""Cleaning up after an operation that was cancelled while its command was in flight, in a background task.

Measured on a real server, closing the socket is not enough: cursors whose reply was never read stay open, and an abort
that overtakes the statement it should undo is refused. So the driver waits a short time for the reply, and closes what
it opened. If no reply comes, the session is killed on the server. A commit that was sent is never followed by an abort:
it is sent again.

The settlement owns everything that the operation held: its connection, its session's turn and pin, its server session.
The caller waits for it only as long as :mod:`wiredrv.execution.budget` allows.
"""

from __future__ import annotations

import logging
from typing import Protocol, TypeVar

from wiredrv import waits
from wiredrv.connection.connection import Connection
from wiredrv.errors import DriverError
from wiredrv.execution.learning import learn
from wiredrv.execution.reading import cursor_in
from wiredrv.execution.run import Run
from wiredrv.operations.base import OperationKind
from wiredrv.operations.cursors import kill
from wiredrv.operations.sessions import KillSessions
from wiredrv.session.cluster_time import ClusterClock
from wiredrv.session.server_session import ServerSession
from wiredrv.session.transaction import Outcome
from wiredrv.topology.topology import TopologyServer
from wiredrv.types import Body, ServerCursor
from wiredrv.wire.envelope import decode_tolerantly, pick_envelope

T = TypeVar("T")

_LOG = logging.getLogger("wiredrv.session")

#: Seconds to wait for the reply of a cancelled operation.
REPLY_SECONDS = 0.5


class SettlementExecutor(Protocol):
    """The part of the executor that a settlement uses."""

    clock: ClusterClock

    async def drive(self, run: Run[T]) -> T:
        """Make the attempts of an operation, in a turn that was taken before."""
        ...

    def release(self, session: ServerSession) -> None:
        """Give a server session back."""
        ...

    def settled(self, run: Run[object]) -> None:
        """Release the turn and the server session of a run whose clean-up is done."""
        ...


class Settlement:
    """The clean-up after one run. Called by a background task, with the seconds that it may take.

    ``connection`` is the one with the outstanding reply; None if a commit was cancelled between two attempts.
    """

    __slots__ = ("_connection", "_executor", "_run", "_server")

    def __init__(
        self,
        run: Run[object],
        executor: SettlementExecutor,
        server: TopologyServer | None = None,
        connection: Connection | None = None,
    ) -> None:
        self._run = run
        self._executor = executor
        self._server = server
        self._connection = connection
        if connection is not None:
            # Unless the reply says otherwise.
            run.server_to_kill = connection.address

    def owns(self, connection: Connection) -> bool:
        """Whether it is going to read, or to close, a connection."""
        return connection is self._connection

    async def __call__(self, seconds: float) -> None:
        run = self._run
        name = run.operation.name
        try:
            if not await waits.run_shielded(self._settle, seconds):
                _LOG.warning("a cancelled %s was not settled within %.1f s", name, seconds)
        except DriverError as error:
            _LOG.warning("cleaning up after %s failed: %s", name, error)
        finally:
            try:
                self.drop()
                if run.traits.kind is OperationKind.COMMIT:
                    _tell_of_doubt(run)
                elif run.traits.kind is OperationKind.ABORT and run.session is not None:
                    run.session.transaction.abort_answered()
            finally:
                self._executor.settled(run)

    def drop(self) -> None:
        """Close the connection, if it is still held, and check it in."""
        if self._connection is not None:
            self._connection.close()
            self._give_back()

    def _give_back(self) -> None:
        connection, self._connection = self._connection, None
        assert connection is not None
        assert self._server is not None
        self._server.operations -= 1
        if self._run.held is None:
            self._server.pool.check_in(connection)

    async def _settle(self) -> None:
        """The steps of the clean-up. Each may be started again."""
        connection = self._connection
        if connection is not None:
            body = await connection.settle(REPLY_SECONDS)
            if body is not None:
                self._look_at(connection, body)
            self._give_back()
        run = self._run
        if run.traits.kind is OperationKind.COMMIT:
            await self._commit_again()
        elif run.orphan is not None and run.in_transaction and run.session is not None:
            # Only an abort follows, and the cursor is killed after that.
            run.session.leave_cursor(run.orphan)
            run.orphan = None
        elif run.orphan is not None:
            await self._kill_cursor(run.orphan)
        else:
            await self._kill_session()

    def _look_at(self, connection: Connection, body: Body) -> None:
        try:
            self._learn(connection, body)
        except Exception:
            # An unreadable reply does not show what the server did.
            connection.close()

    def _learn(self, connection: Connection, body: Body) -> None:
        """Update the session from the reply, which came in time, and note what is to be undone."""
        run = self._run
        reply = decode_tolerantly(body)
        cursor = cursor_in(pick_envelope(body) if reply is None else reply, run.operation)
        if cursor is not None and run.traits.kind is not OperationKind.COMMIT:
            pin = None
            if connection.service_id is not None and self._server is not None:
                pin = run.hold_for_cursor(connection, self._server.pool.check_in)
            run.orphan = ServerCursor(connection.address, *cursor, None, pin)
        if reply is not None:
            learn(run, reply, self._executor.clock)
        if run.traits.kind is OperationKind.COMMIT and run.session is not None:
            if reply is None or reply.get("ok") != 1 or "writeConcernError" in reply:
                return
            run.session.transaction.commit_succeeded()
        if reply is not None or run.orphan is not None:
            run.server_to_kill = None

    async def _commit_again(self) -> None:
        """Find out whether a cancelled commit took effect: once it was sent, the transaction is never aborted."""
        session = self._run.session
        if session is None or session.transaction.outcome is not Outcome.UNKNOWN:
            return
        try:
            await self._drive(Run(self._run.operation, session))
        except DriverError:
            # An error that says that it was aborted is an answer too.
            if session.transaction.outcome is Outcome.UNKNOWN:
                raise

    async def _kill_cursor(self, orphan: ServerCursor) -> None:
        run = self._run
        try:
            await self._drive(Run(kill(orphan._replace(lease=run.server_session)), None))
        finally:
            if orphan.pin is not None:
                run.orphan = orphan._replace(pin=None)
                orphan.pin.release()

    async def _kill_session(self) -> None:
        run = self._run
        server_session = run.server_session
        if server_session is None or run.server_to_kill is None:
            return
        server_session.dirty = True
        if run.session is not None and not run.is_statement and not run.session.ended:
            # Its other cursors, or its transaction, may be in use: it is killed when it ends.
            run.session.note_server_to_kill(run.server_to_kill)
            return
        await self._drive(Run(KillSessions((server_session.lsid,), run.server_to_kill), None))

    async def _drive(self, run: Run[T]) -> T:
        try:
            return await self._executor.drive(run)
        finally:
            if run.settlement is not None:
                run.settlement.drop()
            elif run.implicit and run.server_session is not None:
                self._executor.release(run.server_session)


def _tell_of_doubt(run: Run[object]) -> None:
    session = run.session
    if session is not None and session.transaction.outcome is Outcome.UNKNOWN:
        _LOG.warning(
            "commitTransaction was cancelled and its outcome is unknown (session %s, txnNumber %d)",
            session.lsid["id"].hex(),
            session.server_session.txn_number,
        )
