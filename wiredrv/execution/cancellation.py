"""What follows when an operation is cancelled while its command is under way.

Measured on a real server, closing the socket is not enough: cursors whose reply was never read stay open, and an abort
that overtakes the statement it should undo is refused. So a cancelled operation first waits, under a shield and for a
short time, for the reply that is under way; what it opened is closed then. Only when the reply does not come, its
session is killed on the server. A commit that was sent is never followed by an abort: it is sent again.
"""

from __future__ import annotations

import logging
from typing import Any, Protocol, TypeVar

from bson.errors import BSONError

from wiredrv import waits
from wiredrv.connection.connection import Connection
from wiredrv.errors import DriverError
from wiredrv.execution.learning import learn
from wiredrv.execution.run import Run
from wiredrv.operations.base import Kind, Operation
from wiredrv.operations.cursors import kill
from wiredrv.operations.sessions import KillSessions
from wiredrv.session.cluster_time import ClusterClock
from wiredrv.session.state import SessionState
from wiredrv.session.transaction import Outcome
from wiredrv.topology.topology import Server
from wiredrv.types import Reply, ServerCursor
from wiredrv.wire.codec import decode

T = TypeVar("T")

_LOG = logging.getLogger("wiredrv.session")

#: Seconds that a cancelled operation waits for the reply that is under way.
SETTLE_SECONDS = 0.5
#: Seconds that cleaning up after a cancelled operation may take besides.
CLEAN_UP_SECONDS = 3.0

#: What reading a strange reply may raise.
UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, BSONError)


class Executes(Protocol):
    """What cleaning up needs of the executor."""

    async def execute(self, operation: Operation[T], session: SessionState | None = None) -> T:
        """Run an operation to its end."""
        ...

    async def drive(self, run: Run[T]) -> T:
        """Attempt after attempt, with a session that is claimed already."""
        ...


async def settle(
    run: Run[Any], server: Server, connection: Connection, error: BaseException, clock: ClusterClock
) -> None:
    """A command was given up while its reply was under way: wait for that a little, and look at what it says."""
    if isinstance(error, (GeneratorExit, KeyboardInterrupt, SystemExit)):
        return  # The interpreter is being stopped; the connection is closed when it is checked in.
    # Until the reply says otherwise; a second cancellation by asyncio itself can break the shield.
    run.unsettled = connection.address
    with waits.CancelScope(shield=True):
        body = await connection.settle(SETTLE_SECONDS)
    if body is None:
        return
    try:
        _settled(run, server, connection, decode(body), clock)
    except (DriverError, *UNREADABLE):
        # Nonsense tells nothing of what the server did, and must not take the cancellation's place.
        connection.close()


def _settled(run: Run[Any], server: Server, connection: Connection, reply: Reply, clock: ClusterClock) -> None:
    """The reply to a command that was given up came in time: what is to be undone, and what became known."""
    learn(run, reply, clock)
    cursor = reply.get("cursor")
    if isinstance(cursor, dict) and cursor.get("id"):
        pin = run.hold_for_cursor(connection, server.pool.check_in) if connection.service_id is not None else None
        run.orphan = ServerCursor(connection.address, int(cursor["id"]), str(cursor.get("ns", "")), None, pin)
    if run.operation.kind is Kind.COMMIT and run.session is not None:
        if not reply.get("ok") or "writeConcernError" in reply:
            run.session.transaction.commit_failed(Outcome.UNKNOWN)
            return
        run.session.transaction.commit_succeeded()
    run.unsettled = None


async def clean_up(run: Run[Any], executor: Executes) -> None:
    """Undo on the server what a cancelled operation may have left there."""
    with waits.move_on_after(CLEAN_UP_SECONDS, shield=True):
        try:
            if run.operation.kind is Kind.COMMIT:
                await _commit_again(run, executor)
            elif run.orphan is not None and run.in_transaction and run.session is not None:
                # Nothing but an abort follows, and the cursor is killed after that.
                run.session.cursors_left.append(run.orphan)
            elif run.orphan is not None:
                await _kill_cursor(run, run.orphan, executor)
            else:
                await _kill_session(run, executor)
        except DriverError as error:
            _LOG.warning("cleaning up after a cancelled %s failed: %s", run.operation.name, error)


async def _commit_again(run: Run[Any], executor: Executes) -> None:
    """Find out whether a cancelled commit took place: once it was sent, a transaction is never aborted."""
    session = run.session
    assert session is not None
    session.transaction.commit_failed(Outcome.UNKNOWN)
    try:
        await executor.drive(Run(run.operation, session))
    except DriverError:
        # That it is known to be aborted is an answer too.
        if session.transaction.outcome is Outcome.UNKNOWN:
            raise
    finally:
        if session.transaction.outcome is Outcome.UNKNOWN:
            _LOG.warning(
                "commitTransaction was cancelled and its outcome is unknown (session %s, txnNumber %d)",
                session.lsid["id"].hex(),
                session.server_session.txn_number,
            )


async def _kill_cursor(run: Run[Any], orphan: ServerCursor, executor: Executes) -> None:
    try:
        await executor.execute(kill(orphan, run.server_session))
    finally:
        if orphan.pin is not None:
            orphan.pin.release()


async def _kill_session(run: Run[Any], executor: Executes) -> None:
    server_session = run.server_session
    if server_session is None or run.unsettled is None:
        return
    server_session.dirty = True
    if run.session is not None and not run.is_statement:
        # Its other cursors, or its transaction, may be in use: it is killed when it ends.
        run.session.unsettled.add(run.unsettled)
        return
    await executor.execute(KillSessions((server_session.lsid,), run.unsettled))
