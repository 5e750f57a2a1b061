"""Closing a cursor: killing it on the server, and releasing its session and connection.

Rules kept here:

* However a cursor ends, it is closed on the server too, unless the server has closed it, or cannot be reached.
* An implicit server session (the lease) and, behind a load balancer, a connection (the pin) are released once.
* Killing a cursor does not affect any transaction: ``session.cursors`` decides how and when it is done.
* A caller that is cancelled waits only as long as :mod:`wiredrv.execution.budget` allows; the rest is done in the
  background.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from wiredrv import waits
from wiredrv.client.limits import limit_of
from wiredrv.client.misuse import ClosedAtTheEnd
from wiredrv.errors import (
    AutoReconnect,
    ConnectionFailure,
    DriverError,
    InvalidOperation,
    NetworkTimeout,
    OperationFailure,
    OperationTimeout,
    is_timeout,
)
from wiredrv.execution.retry import never_sent
from wiredrv.execution.timeout import in_force_now
from wiredrv.operations.base import OperationKind, Target
from wiredrv.operations.cursors import KillCursors, kill
from wiredrv.server_facts import CURSOR_GONE_CODES
from wiredrv.session.cursors import Kill, is_over, way_to_kill
from wiredrv.session.state import SessionState
from wiredrv.types import Address, Pin, ServerCursor, TimeLimit
from wiredrv.wire.batch import Batch

if TYPE_CHECKING:
    from wiredrv.client.cursors.prefetch import Ahead
    from wiredrv.client.handle import HandleContext

#: How many seconds a killCursors may take: the server drops an abandoned cursor by itself, later.
KILL_DEADLINE = 5.0


class ClosableCursor(ClosedAtTheEnd):
    """The part of a cursor that closes it. ``_id`` is its id on the server, 0 when it is not open there."""

    _written = "cursor"
    __slots__ = (
        "_address",
        "_ahead",
        "_batch",
        "_context",
        "_ended",
        "_id",
        "_killed",
        "_lease",
        "_namespace",
        "_opened_in",
        "_pin",
        "_position",
        "_rest",
        "_started",
        "_state",
        "_target",
        "_time_limit",
    )

    _batch: list[Any]
    _position: int
    _rest: Batch | None

    def __init__(self, context: HandleContext, target: Target) -> None:
        self._context = context
        self._target = target

    def _set_unopened(self) -> None:
        """Nothing is open on a server, and nothing was sent."""
        self._state: SessionState | None = None
        self._id = 0
        self._namespace = ""
        self._opened_in = 0
        self._address: Address | None = None
        self._lease: Any = None
        self._pin: Pin | None = None
        #: The time limit of the cursor, once its first command was sent; None if it has none.
        self._time_limit: TimeLimit | None = None
        #: The next batch, where it is read ahead.
        self._ahead: Ahead | None = None
        #: Set once the background has killed it on the server, after its time limit ended.
        self._killed: waits.Event | None = None
        self._started = False
        self._ended = False

    # --- after a failure ---

    async def _interrupted(self, error: BaseException) -> None:
        """A fetch failed or was cancelled: close the cursor on the server, unless it can still be read."""
        if isinstance(error, InvalidOperation) and not self._is_over:
            return
        # A failed getMore leaves the connection pinned until the cursor is closed (load-balancers, "Cursors").
        pin = self._pin if isinstance(error, Exception) else None
        if pin is not None and pin.for_stream:
            pin = None
        if pin is not None:
            pin.hold()
        try:
            await self._drop_after(error)
        finally:
            self._pin = pin

    async def _drop_after(self, error: BaseException) -> None:
        if not self._started:
            self._started = self._ended = True
        elif isinstance(error, OperationFailure) and error.code in CURSOR_GONE_CODES:
            self._forget()
        elif isinstance(error, (GeneratorExit, KeyboardInterrupt, SystemExit)):
            self._abandon()  # It is not possible to wait any more.
        elif is_timeout(error) and self._is_limited(error):
            # The caller gets control back now; closing the cursor waits until it is killed.
            self._killed = waits.Event()
            self._abandon()
        elif isinstance(error, AutoReconnect) and self._opened_in and self._pin is None:
            # Its transaction is aborted next, but the server keeps the cursor.
            self._abandon()
        elif isinstance(error, AutoReconnect) and not never_sent(error):
            self._forget()
        elif isinstance(error, ConnectionFailure):
            self._abandon()
        else:
            await self._end()

    def _is_limited(self, error: BaseException) -> bool:
        """Whether a time limit was in force: the cursor's own, or that of a block around its reader."""
        limited = self._time_limit is not None or isinstance(error, OperationTimeout)
        return limited or in_force_now(None) is not None

    # --- closing ---

    async def close(self, timeout_ms: int | None = None) -> None:
        """Close the cursor, here and on the server. Buffered documents are dropped.

        It may be called twice. Server errors are not raised: a server that is not reached closes idle cursors itself.

        :param timeout_ms: milliseconds that this may take; 0 sets no limit. None takes the whole time limit of the
            cursor, even if the cursor has used it up.
        :raises ConfigurationError: it is not a whole number from 0 up.
        """
        if timeout_ms is not None:
            self._time_limit = limit_of(timeout_ms)
        self._batch, self._rest = [], None
        self._position = 0
        self._started = True
        try:
            await self._end()
            if self._killed is not None:
                limit = in_force_now(self._time_limit, OperationKind.HOUSEKEEPING)
                with waits.move_on_after(KILL_DEADLINE if limit is None else min(KILL_DEADLINE, limit.seconds)):
                    await self._killed.wait()
        finally:
            self._unpin()

    async def _end(self) -> None:
        """Kill the server's cursor, if there is one, and release its resources. Buffered documents stay.

        In a task that is cancelled, the background does that, if it takes longer than the caller may wait.
        """
        cursor_id, address, lease = self._id, self._address, self._lease
        self._ended = True
        self._id = 0
        self._lease = None
        if self._pin is not None and self._pin.for_stream:
            # Closes the connection, unless the stream is over: the server would send the whole rest there.
            self._unpin()
        if not cursor_id or address is None:
            return
        pin, self._pin = self._pin, None
        ahead, self._ahead = self._ahead, None
        killing = kill(ServerCursor(address, cursor_id, self._namespace, lease, pin, self._time_limit), self._opened_in)
        executor = self._context.executor

        def give_back() -> None:
            if pin is not None:
                pin.release()
            if lease is not None and (ahead is None or not ahead.exhausted):
                executor.release(lease)

        async def kill_it() -> None:
            await self._kill(killing)

        finish = kill_it if ahead is None else partial(ahead.end, kill_it)

        async def work(seconds: float) -> None:
            try:
                with waits.shield(seconds):
                    await finish()
            finally:
                give_back()

        if waits.is_cancelling():
            await executor.clean_up(work)
            return
        try:
            with waits.move_on_after(KILL_DEADLINE):
                await finish()
        except BaseException as error:
            if isinstance(error, waits.cancelled()):
                await executor.clean_up(work)
            else:
                give_back()
            raise
        give_back()

    async def _kill(self, killing: KillCursors) -> None:
        state = self._state
        try:
            await self._context.executor.execute(killing, None if state is None or state.ended else state)
        except Exception as error:
            if self._can_be_killed_later(error):
                self._pin = killing.pin.hold() if killing.pin is not None else None
                self._orphan(killing.server, killing.cursor_ids[0], None)

    def _can_be_killed_later(self, error: Exception) -> bool:
        """Whether another killCursors makes sense after one that failed. Otherwise the server closes unused cursors.

        Refused by the driver: the session has ended meanwhile, or a transaction would be disturbed. Refused by the
        server, within a transaction: the transaction has ended there, and the cursor is still open. Not sent: the
        server failed, and may be back soon. Out of time: the server stops a command whose connection is closed.
        """
        if isinstance(error, OperationFailure):
            return self._opened_in != 0
        if isinstance(error, (InvalidOperation, NetworkTimeout)):
            return True
        return isinstance(error, DriverError) and never_sent(error)

    def _forget(self) -> None:
        """The server's cursor is gone, or out of reach."""
        lease, self._lease = self._lease, None
        self._ended = True
        self._id = 0
        self._unpin()
        if lease is not None:
            self._context.executor.release(lease)

    def _unpin(self) -> None:
        """Release the connection that the cursor is pinned to behind a load balancer."""
        pin, self._pin = self._pin, None
        if pin is not None:
            pin.release()

    def _orphan(self, address: Address, cursor_id: int, lease: Any) -> None:
        """Have the server's cursor killed in the background, as soon as that does not affect a transaction."""
        pin, self._pin = self._pin, None
        ahead, self._ahead = self._ahead, None
        done = None if self._killed is None else self._killed.set
        cursor = ServerCursor(address, cursor_id, self._namespace, lease, pin, self._time_limit, done)
        state = self._state
        if state is not None and way_to_kill(self._opened_in, state) is not Kill.OUTSIDE:
            self._killed = None  # It is killed after its transaction.
            state.leave_cursor(cursor)
        else:
            self._context.orphan_cursor(cursor, ahead)

    @property
    def _is_over(self) -> bool:
        """Whether the cursor's transaction has ended: nothing more can be read from it."""
        return self._state is not None and is_over(self._opened_in, self._state)

    def _abandon(self) -> None:
        """Have the server's cursor killed in the background."""
        cursor_id, address, lease = self._id, self._address, self._lease
        self._ended = True
        self._id = 0
        self._lease = None
        if address is not None:
            self._orphan(address, cursor_id, lease)

    def __del__(self) -> None:
        # A finalizer runs in any thread and at any time: it only queues the work.
        if getattr(self, "_id", 0) or getattr(self, "_pin", None) is not None:
            self._abandon()
