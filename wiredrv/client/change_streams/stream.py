"""A change stream: the events of a collection, a database or a deployment, resumed where it is interrupted.

Change-streams specification. The decisions are made in pure modules: ``position`` (which token is cached, and which
option resumes), ``failures`` (which errors are resumable) and ``plan`` (the command).

Rules kept here:

* An event is given once, and none is left out, whatever fails between two events: the position changes only when an
  event, or an empty batch, is taken.
* A failed getMore is followed by one aggregate; if that fails, its error is raised.
* All commands use the session of the first one, also when it came from ``bind()``.
* A cancelled call leaves no cursor on the server, and the stream where it was: the next call opens it again there.
* A stream is used by one task at a time; any task may close it.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self

from wiredrv import waits
from wiredrv.client.change_streams.cursor import StreamCursor
from wiredrv.client.change_streams.failures import (
    Fate,
    fate_after_aggregate,
    fate_after_get_more,
    longest_pause,
)
from wiredrv.client.change_streams.plan import Plan
from wiredrv.client.change_streams.position import Position
from wiredrv.client.cursors.base import DOCUMENTS_PER_CHECKPOINT
from wiredrv.client.misuse import AsyncBlock
from wiredrv.errors import DriverError, InvalidOperation, UnreadableReply, is_timeout
from wiredrv.execution.timeout import in_force_now
from wiredrv.origin import caller
from wiredrv.session.state import SessionState
from wiredrv.types import Document, DocumentT_co, PlainDocument, TimeLimit
from wiredrv.wire.codec import decode_document, decode_raw, sound_document

if TYPE_CHECKING:
    from bson.codec_options import CodecOptions

    from wiredrv.client.handle import HandleContext
    from wiredrv.client.sessions.client_session import ClientSession


class ChangeStream(AsyncBlock, Generic[DocumentT_co]):
    """Events, in the order in which the changes were made. Made by the ``watch()`` of a client, database or collection.

    ::

        async with orders.watch([{"$match": {"operationType": "insert"}}]) as stream:
            async for event in stream:
                print(event["fullDocument"])

    ``async with`` and ``await`` open the stream, and it reports what is changed from then on; otherwise the first
    call that asks for an event opens it. It ends by itself after an event of the type ``invalidate``, when the
    collection or database is dropped or renamed.

    After a broken connection, a failover, or another resumable error, the stream is resumed by itself, once for each
    failure: no event is lost, and none is given twice. If it cannot be resumed, the error is raised. After an error of
    the network, a time limit or a cancellation the stream is still alive, and the next call tries to resume it. After
    any other error of the server it is closed; ``watch(resume_after=stream.resume_token)`` opens one that continues
    there.

    To store the resume token, read :attr:`resume_token` after each event, and after each None of :meth:`try_next`: it
    advances while nothing happens too, which keeps it from becoming too old for the server's oplog.

    Change-streams specification. Replica sets and sharded clusters have change streams; a standalone refuses them.
    """

    _written = "collection.watch(...)"
    __slots__ = (
        "__weakref__",
        "_busy",
        "_closed",
        "_codec_options",
        "_context",
        "_cursor",
        "_given",
        "_origin",
        "_plan",
        "_position",
        "_resumes",
        "_scope",
        "_session",
        "_state",
        "_used",
    )

    def __init__(
        self,
        context: HandleContext,
        plan: Plan,
        codec_options: CodecOptions[DocumentT_co],
        session: ClientSession | None,
    ) -> None:
        """Created by the methods that return it.

        :param context: how the client's handles work.
        :param plan: what the stream was asked for.
        :param codec_options: how events become Python objects.
        :param session: the session of all its commands; None takes the bound one, or an implicit one.
        """
        self._context = context
        self._plan = plan
        self._codec_options = codec_options
        self._session = session
        self._origin = caller()
        self._position = Position.of(plan.beginning)
        self._state: SessionState | None = None
        self._cursor: StreamCursor | None = None
        #: How often it was resumed since the last getMore that succeeded.
        self._resumes = 0
        #: How many events were given.
        self._given = 0
        self._closed = False
        #: Whether it was tried to open it.
        self._used = False
        #: While a call is in progress: set at its end, and what cancels it.
        self._busy: waits.Event | None = None
        self._scope: waits.CancelScope | None = None

    # --- opening ---

    def __await__(self) -> Generator[Any, Any, Self]:
        return self._opened().__await__()

    async def __aenter__(self) -> Self:
        return await self._opened()

    async def _opened(self) -> Self:
        if self._closed:
            raise InvalidOperation(
                "this change stream is closed: call watch() again, with resume_after=stream.resume_token to continue "
                "where it was (start_after= after an 'invalidate' event)"
            )
        if not self._position.opened:
            await self._advance(in_force_now(self._plan.target.limit))
        return self

    # --- events ---

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> DocumentT_co:
        if self._given and not self._given % DOCUMENTS_PER_CHECKPOINT:
            await waits.checkpoint()
        limit = None
        while True:
            event = await self._buffered()
            if event is not None:
                return event
            if self._closed:
                raise StopAsyncIteration
            if limit is None:
                limit = in_force_now(self._plan.target.limit)
            await self._advance(limit)

    if not TYPE_CHECKING:  # type checkers know without it that a stream has no synchronous iteration

        def __iter__(self) -> NoReturn:
            raise TypeError("a change stream is read with `async for`, not with `for`")

    async def next(self) -> DocumentT_co:
        """The next event; waits until there is one.

        :returns: the event.
        :raises StopAsyncIteration: the stream is closed, or has ended with an ``invalidate`` event.
        :raises OperationFailure: the server refused to open the stream, or failed in a way that is not resumable.
        :raises ConnectionFailure: the connection broke, and the stream could not be resumed. The next call tries again.
        :raises InvalidOperation: an event has no resume token; another task waits for an event; a transaction is in
            progress in the session; or the client is closed.
        """
        return await self.__anext__()

    async def try_next(self) -> DocumentT_co | None:
        """The next event, or None if there is none after at most one getMore. ``alive`` says whether more may come.

        The getMore waits for an event for as long as ``max_await_time_ms`` says, a second by default. After a None,
        :attr:`resume_token` may have advanced.

        :returns: the event, or None.
        :raises OperationFailure: the server refused to open the stream, or failed in a way that is not resumable.
        :raises ConnectionFailure: the connection broke, and the stream could not be resumed. The next call tries again.
        :raises InvalidOperation: an event has no resume token; another task waits for an event; a transaction is in
            progress in the session; or the client is closed.
        """
        if self._closed:
            return None
        if self._given and not self._given % DOCUMENTS_PER_CHECKPOINT:
            await waits.checkpoint()
        if self._cursor is None or self._cursor.is_drained:
            limit = in_force_now(self._plan.target.limit)
            if self._cursor is None:
                await self._advance(limit)
            if self._cursor is not None and self._cursor.is_drained:
                await self._advance(limit)
        return await self._buffered()

    async def _buffered(self) -> DocumentT_co | None:
        """The next event that was received already, and move the position behind it."""
        cursor = self._cursor
        if cursor is None:
            return None
        try:
            found = cursor.take()
            if found is None:
                found = await cursor.decode()
                if found is None:
                    return None
            plain = self._plan.target.plain
            token = _token_in(found if plain else decode_raw(found.raw))
            event: DocumentT_co = found if plain else decode_document(found, self._codec_options)
        except (UnreadableReply, InvalidOperation):
            await self.close()
            raise
        last = cursor.is_drained
        self._position = self._position.after_document(token, cursor.batch_token if last else None)
        self._given += 1
        if last and not cursor.is_open:
            self._end()
        return event

    # --- commands ---

    async def _advance(self, limit: TimeLimit | None) -> None:
        """Send the next command, and resume if it fails; afterwards there may be events.

        :param limit: the time limit of the call, which has started; its commands share it.
        """
        if self._busy is not None:
            raise InvalidOperation(
                "a change stream is used by one task at a time, and another task waits for its next event: give each "
                "task a stream of its own, or hand the events on"
            )
        self._used = True
        self._context.open_streams.add(self)
        self._busy = done = waits.Event()
        try:
            with waits.CancelScope() as self._scope:
                await (self._open(limit) if self._cursor is None else self._more(self._cursor, limit))
        finally:
            self._busy = self._scope = None
            done.set()

    async def _open(self, limit: TimeLimit | None) -> None:
        """Open the stream at its position, for the first time or again."""
        if not self._position.opened:
            self._state = self._context.session_state(self._session)
        _refuse_transaction(self._state)
        plan = self._plan
        if limit is not None:
            plan = replace(plan, target=replace(plan.target, limit=limit))
        cursor = StreamCursor(self._context, plan, self._position, self._state)
        try:
            await cursor.fetch(limit)
        except DriverError as error:
            if fate_after_aggregate(error) is Fate.ENDED:
                self._end()
            raise
        self._cursor = cursor
        empty = cursor.is_drained
        self._position = self._position.after_opening(empty, cursor.batch_token, cursor.operation_time)
        if empty and not cursor.is_open:
            self._end()

    async def _more(self, cursor: StreamCursor, limit: TimeLimit | None) -> None:
        """Ask for the next batch. If that fails in a resumable way, open the stream again."""
        try:
            await cursor.fetch(limit)
        except BaseException as error:
            if not cursor.is_open:
                self._cursor = None
                await cursor.close()  # Behind a load balancer, the cursor has its connection until then.
            fate = fate_after_get_more(error) if isinstance(error, DriverError) else Fate.INTERRUPTED
            if limit is not None and is_timeout(error):
                fate = Fate.INTERRUPTED  # There is no time left to resume it: the next call does.
            if fate is Fate.RESUMED and not self._closed:
                await self._pause(limit)
                await self._open(limit)
                return
            if fate is Fate.ENDED:
                self._end()
            raise
        self._resumes = 0
        if cursor.is_drained:
            self._position = self._position.after_empty_batch(cursor.batch_token)
            if not cursor.is_open:
                self._end()

    async def _pause(self, limit: TimeLimit | None) -> None:
        """Wait before another resume, where several had no effect."""
        self._resumes += 1
        seconds = waits.random() * longest_pause(self._resumes)
        if limit is not None and limit.until is not None:
            seconds = min(seconds, limit.until - waits.monotonic())
        if seconds > 0:
            await waits.sleep(seconds)

    # --- closing ---

    async def close(self, timeout_ms: int | None = None) -> None:
        """Close the stream, here and on the server. Events that were not given yet are dropped.

        It may be called twice, and by another task than the one that waits for an event: that wait ends then. Server
        errors are not raised.

        :param timeout_ms: milliseconds that this may take; 0 sets no limit. None takes the whole time limit of the
            stream, even if a call has used it up.
        :raises ConfigurationError: it is not a whole number from 0 up.
        """
        self._end(keep_cursor=True)
        busy, scope = self._busy, self._scope
        if busy is not None and scope is not None:
            scope.cancel()
            await busy.wait()
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            await cursor.close(timeout_ms)

    def _end(self, *, keep_cursor: bool = False) -> None:
        self._closed = self._used = True
        if not keep_cursor:
            self._cursor = None
        self._context.open_streams.discard(self)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        if not getattr(self, "_used", True):
            warnings.warn(
                f"a change stream made at {self._origin} was neither awaited nor iterated: nothing was watched",
                RuntimeWarning,
                stacklevel=2,
            )
        elif getattr(self, "_cursor", None) is not None:
            assert self._cursor is not None
            self._cursor.abandon()  # first: a program may turn the warning into an exception
            warnings.warn(
                f"a change stream made at {self._origin} was never closed: use `async with collection.watch(...)`",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )

    # --- what is known of it ---

    @property
    def resume_token(self) -> Document | None:
        """The token with which ``watch(resume_after=...)`` continues after the event that was given last.

        It advances with each event, and with each getMore that finds none. None before the first reply of the server,
        if the stream was given no token.
        """
        token = self._position.token
        return None if token is None else dict(token)

    @property
    def alive(self) -> bool:
        """Whether events may still come: the stream was not closed, and has not ended."""
        return not self._closed

    @property
    def session(self) -> ClientSession | None:
        """The session that was passed to ``watch()``."""
        return self._session

    def __copy__(self) -> NoReturn:
        raise TypeError("a change stream cannot be copied: call watch() again")

    def __deepcopy__(self, memo: object) -> NoReturn:
        self.__copy__()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._position.opened else "not opened yet"
        return f"ChangeStream({self._plan.target.namespace.rstrip('.')}, {state})"


def _token_in(event: Document) -> PlainDocument:
    """The resume token of an event.

    :raises InvalidOperation: it has none.
    """
    token = event.get("_id")
    found = dict(token) if type(token) is dict else sound_document(token)
    if found is None:
        raise InvalidOperation(
            "Cannot provide resume functionality when the resume token is missing: a stage of the pipeline removes the "
            "_id of the events; leave it in, or use aggregate() for a stream that cannot be resumed"
        )
    return found


def _refuse_transaction(state: SessionState | None) -> None:
    """Refuse a change stream in a transaction: the server would, and would abort the transaction.

    :raises InvalidOperation: a transaction is in progress in the session.
    """
    if state is not None and state.transaction.active:
        raise state.transaction.does_not_permit(
            "a change stream cannot be opened in a transaction: open it before the transaction begins, with another "
            "session, or in `with wiredrv.unbound():`"
        )
