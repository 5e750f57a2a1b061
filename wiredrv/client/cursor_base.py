"""What all cursors do: send the first command when asked for a document, fetch batches, close what they opened.

Find-getMore-killCursors specification; sessions specification, "Sessions and Cursors".

Rules kept here:

* Nothing is sent before the first document is asked for, and nothing is sent twice.
* The session of the first command is that of all getMores, also when it came from ``bind()``.
* An implicit server session (the lease) is given back exactly once: by the executor when a getMore says that the
  server has no more, else here.
* What its session's transaction means for a cursor is decided in ``session.cursors``: it is read within the transaction
  that it was opened in and nowhere else, and killing it disturbs no transaction.
* One task at a time may fetch. Whatever interrupts a fetch leaves the cursor closed, here and on the server; what was
  refused before it was sent leaves it as it was.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from wiredrv import waits
from wiredrv.errors import (
    AutoReconnect,
    ConfigurationError,
    ConnectionFailure,
    DriverError,
    InvalidOperation,
    OperationFailure,
)
from wiredrv.execution.retry import never_sent
from wiredrv.operations.base import Operation, Target
from wiredrv.operations.cursors import CursorReply, GetMore, KillCursors
from wiredrv.session.cursors import Kill, is_over, way_to_kill
from wiredrv.session.state import SessionState
from wiredrv.types import Address, Pin, ServerCursor

if TYPE_CHECKING:
    from wiredrv.client.client_session import ClientSession
    from wiredrv.client.handle import HandleContext

T = TypeVar("T")

#: How many buffered documents an iteration hands out before it lets other tasks run, and can be cancelled.
DOCUMENTS_PER_CHECKPOINT = 100
#: How many seconds a killCursors may take: the server drops an abandoned cursor by itself, later.
KILL_DEADLINE = 5.0

#: Codes after which the server has no such cursor any longer: CursorNotFound, CappedPositionLost (the collection has
#: overwritten what was to be read next), QueryPlanKilled, CursorKilled.
_CURSOR_GONE = frozenset({43, 136, 175, 237})


class CursorBase(Generic[T]):
    """Documents that a server hands out in batches. Used by one task at a time."""

    __slots__ = (
        "__weakref__",
        "_address",
        "_batch",
        "_batch_size",
        "_comment",
        "_context",
        "_ended",
        "_endless",
        "_fetching",
        "_id",
        "_lease",
        "_max_await_time_ms",
        "_namespace",
        "_opened_in",
        "_pin",
        "_position",
        "_retrieved",
        "_session",
        "_started",
        "_state",
        "_target",
    )

    def __init__(self, context: HandleContext, target: Target, session: ClientSession | None) -> None:
        self._context = context
        self._target = target
        self._session = session
        self._batch_size: int | None = None
        self._max_await_time_ms: int | None = None
        self._comment: Any = None
        self._reset()

    def _reset(self) -> None:
        self._state: SessionState | None = None
        self._batch: list[T] = []
        self._position = 0
        self._retrieved = 0
        self._id = 0
        self._namespace = ""
        self._opened_in = 0
        self._address: Address | None = None
        self._lease: Any = None
        self._pin: Pin | None = None
        self._started = False
        self._ended = False
        self._endless = False
        self._fetching = False

    # --- what the kinds of cursors differ in ---

    def _first_operation(self) -> Operation[CursorReply]:
        raise NotImplementedError

    def _next_batch_size(self) -> int | None:
        return self._batch_size

    def _next_max_time_ms(self) -> int | None:
        return self._max_await_time_ms

    def _is_satisfied(self) -> bool:
        """Whether no more documents are wanted although the server may have some."""
        return False

    def _excuses(self, error: OperationFailure) -> bool:
        """Whether a failure only means that there is nothing, or nothing more.

        PyMongo's meaning for tailable cursors: their reader looks at ``alive``, and opens another one when it is false.
        """
        return self._started and self._is_tailable and error.code in _CURSOR_GONE

    @property
    def _is_tailable(self) -> bool:
        return False

    # --- asking the server ---

    async def _fetch(self) -> None:
        """Send the first command or a getMore, and take over its batch."""
        if self._fetching:
            raise InvalidOperation(
                "a cursor is used by one task at a time, and another task waits for its next batch: "
                "give each task a cursor of its own (clone() makes one), or let them take turns"
            )
        self._fetching = True
        try:
            if self._started:
                reply = await self._context.executor.execute(self._get_more(), self._state)
            else:
                self._state = self._context.session_state(self._session)
                reply = await self._context.executor.execute(self._first_operation(), self._state)
        except BaseException as error:
            excused = isinstance(error, OperationFailure) and self._excuses(error)
            await self._interrupted(error)
            if not excused:
                raise
            self._batch = []
            self._position = 0
            self._unpin()
            return
        finally:
            self._fetching = False
        self._take(reply)
        if self._id and self._is_satisfied():
            await self._end()

    def _get_more(self) -> GetMore:
        assert self._address is not None
        return GetMore(
            self._target,
            self._id,
            self._namespace.partition(".")[2],
            self._address,
            self._lease,
            self._next_batch_size(),
            self._next_max_time_ms(),
            self._comment,
            self._pin,
            self._opened_in,
        )

    def _take(self, reply: CursorReply) -> None:
        if not self._started:
            self._started = True
            self._address = reply.address
            self._lease = reply.lease
            self._pin = reply.pin
            self._opened_in = reply.opened_in
            self._endless = reply.is_change_stream
        self._id = reply.id
        self._namespace = reply.namespace or self._namespace
        self._batch = reply.batch
        self._position = 0
        self._retrieved += len(reply.batch)
        if not reply.id:
            # The executor gave the lease back when it saw the 0.
            self._lease = None
            self._ended = True
            self._unpin()

    async def _interrupted(self, error: BaseException) -> None:
        """A fetch failed or was cancelled: leave nothing open that this cursor opened."""
        if isinstance(error, InvalidOperation) and not self._is_over:
            return
        # A failed getMore leaves the connection pinned until the cursor is closed (load-balancers, "Cursors").
        pin = self._pin if isinstance(error, Exception) else None
        if pin is not None:
            pin.hold()
        await self._drop_after(error)
        self._pin = pin

    async def _drop_after(self, error: BaseException) -> None:
        if not self._started:
            self._started = self._ended = True
        elif isinstance(error, OperationFailure) and error.code in _CURSOR_GONE:
            self._forget()
        elif isinstance(error, (GeneratorExit, KeyboardInterrupt, SystemExit)):
            self._abandon()  # Nothing can be waited for any longer.
        elif isinstance(error, AutoReconnect) and self._opened_in and self._pin is None:
            # Its transaction is aborted next; the server keeps the cursor beyond that.
            self._abandon()
        elif isinstance(error, AutoReconnect) and not never_sent(error):
            self._forget()
        elif isinstance(error, ConnectionFailure):
            self._abandon()
        else:
            await self._end()

    # --- closing ---

    async def close(self) -> None:
        """Close the cursor, here and on the server. What was fetched and not yet handed out is dropped.

        May be called twice. A failure to reach the server is no error: it closes idle cursors by itself.
        """
        self._batch = []
        self._position = 0
        self._started = True
        try:
            await self._end()
        finally:
            self._unpin()

    async def _end(self) -> None:
        """Kill the server's cursor, if there is one, and give back what was kept for it. Buffered documents stay.

        In a task that is cancelled, the background does that, if it takes longer than the caller can be kept.
        """
        cursor_id, address, lease = self._id, self._address, self._lease
        self._ended = True
        self._id = 0
        self._lease = None
        if not cursor_id or address is None:
            return
        pin, self._pin = self._pin, None
        collection = self._namespace.partition(".")[2]
        kill = KillCursors(self._target, collection, (cursor_id,), address, lease, pin, self._opened_in)
        executor = self._context.executor

        def give_back() -> None:
            if pin is not None:
                pin.release()
            if lease is not None:
                executor.release(lease)

        async def work(seconds: float) -> None:
            try:
                with waits.shield(seconds):
                    await self._kill(kill)
            finally:
                give_back()

        if waits.is_cancelling():
            await executor.see_to(work)
            return
        try:
            with waits.move_on_after(KILL_DEADLINE):
                await self._kill(kill)
        except BaseException as error:
            if isinstance(error, waits.cancelled()):
                await executor.see_to(work)
            else:
                give_back()
            raise
        give_back()

    async def _kill(self, kill: KillCursors) -> None:
        state = self._state
        try:
            await self._context.executor.execute(kill, None if state is None or state.ended else state)
        except Exception as error:
            if self._can_be_killed_later(error):
                self._pin = kill.pin.hold() if kill.pin is not None else None
                self._orphan(kill.server, kill.cursor_ids[0], None)

    def _can_be_killed_later(self, error: Exception) -> bool:
        """Whether another killCursors makes sense after one that failed. Otherwise the server closes what is not used.

        Refused by the driver: the session has ended meanwhile, or a transaction would be disturbed. Refused by the
        server, within a transaction: there that has ended, and left the cursor open. Not sent: the server failed, and
        may be back soon.
        """
        if isinstance(error, OperationFailure):
            return self._opened_in != 0
        return isinstance(error, InvalidOperation) or (isinstance(error, DriverError) and never_sent(error))

    def _forget(self) -> None:
        """The server's cursor is gone, or out of reach."""
        lease, self._lease = self._lease, None
        self._ended = True
        self._id = 0
        self._unpin()
        if lease is not None:
            self._context.executor.release(lease)

    def _unpin(self) -> None:
        """Give back the connection that the cursor kept behind a load balancer."""
        pin, self._pin = self._pin, None
        if pin is not None:
            pin.release()

    def _orphan(self, address: Address, cursor_id: int, lease: Any) -> None:
        """Have the server's cursor killed in the background, as soon as that disturbs no transaction."""
        pin, self._pin = self._pin, None
        cursor = ServerCursor(address, cursor_id, self._namespace, lease, pin)
        state = self._state
        if state is not None and way_to_kill(self._opened_in, state) is not Kill.OUTSIDE:
            state.cursors_left.append(cursor)
        else:
            self._context.orphan_cursor(cursor)

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
        # In any thread, and in the middle of anything: the client only takes a note of it.
        if getattr(self, "_id", 0) or getattr(self, "_pin", None) is not None:
            self._abandon()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # --- handing out documents ---

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._position and not self._position % DOCUMENTS_PER_CHECKPOINT:
            await waits.checkpoint()
        while True:
            position = self._position
            if position < len(self._batch):
                self._position = position + 1
                return self._batch[position]
            if self._ended:
                raise StopAsyncIteration
            await self._fetch()
            if not self._batch and self._is_tailable:
                raise StopAsyncIteration

    async def next(self) -> T:
        """The next document.

        :raises StopAsyncIteration: there is none. A tailable cursor may have one later: see ``alive``.
        """
        return await self.__anext__()

    async def try_next(self) -> T | None:
        """The next document, or None if none is there after at most one command. ``alive`` tells whether more may come.

        :raises OperationFailure: the server refused the command.
        """
        if self._position >= len(self._batch) and not self._ended:
            await self._fetch()
        position = self._position
        if position >= len(self._batch):
            return None
        self._position = position + 1
        return self._batch[position]

    async def to_list(self, length: int | None = None) -> list[T]:
        """The documents that are left, or at most ``length`` of them.

        A tailable cursor, and that of a ``$changeStream``, give those that are there: up to the first empty batch.

        :raises ConfigurationError: ``length`` is no whole number from 1 up.
        """
        if length is not None and (isinstance(length, bool) or not isinstance(length, int) or length < 1):
            raise ConfigurationError(f"length must be a whole number from 1 up or None, not {length!r}")
        found: list[T] = []
        while True:
            stop = None if length is None else self._position + length - len(found)
            found += self._batch[self._position : stop]
            self._position = len(self._batch) if stop is None else min(stop, len(self._batch))
            if self._ended or (length is not None and len(found) >= length):
                return found
            opening = not self._started
            await self._fetch()
            # The first batch of a change stream may be empty although there are events.
            if not self._batch and (self._is_tailable or (self._endless and not opening)):
                return found

    # --- what is known of the cursor ---

    @property
    def alive(self) -> bool:
        """Whether documents are left or may still come."""
        return not self._ended or self._position < len(self._batch)

    @property
    def cursor_id(self) -> int | None:
        """The server's number of the cursor: 0 when the server has no more, None before the first command."""
        return self._id if self._started else None

    @property
    def address(self) -> Address | None:
        """The server that has the cursor; None before the first command."""
        return self._address

    @property
    def session(self) -> ClientSession | None:
        """The session that was given to the method which made the cursor."""
        return self._session

    @property
    def retrieved(self) -> int:
        """How many documents came from the server so far."""
        return self._retrieved

    def _check_unstarted(self, what: str) -> None:
        if self._started or self._fetching:
            raise InvalidOperation(f"{what} belongs before the first document is asked for; clone() gives a new cursor")
