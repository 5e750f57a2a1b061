"""The base of all cursors: sends the first command when a document is requested, fetches batches, returns documents.

Find-getMore-killCursors specification; sessions specification, "Sessions and Cursors".

Rules kept here:

* Nothing is sent before the first document is requested, and nothing is sent twice.
* All getMores use the session of the first command, also when it came from ``bind()``.
* An implicit server session (the lease) is released exactly once: by the executor when the server's cursor is
  exhausted, else by ``closing``.
* A cursor is read within the transaction that it was opened in, and nowhere else (``session.cursors``).
* A large batch stays encoded, and is decoded in slices while its documents are read (``wire.batch``). A document that
  cannot be decoded raises at its own place, and ends the cursor like every other error.
* One task at a time may fetch. An interrupted fetch closes the cursor, here and on the server; a command that was
  refused before it was sent does not change it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from reprlib import repr as quoted
from typing import TYPE_CHECKING, ClassVar, Generic, NoReturn, Self

from wiredrv import waits
from wiredrv.client.cursors.closing import ClosableCursor
from wiredrv.client.limits import CursorKind, cursor_limit, with_limit
from wiredrv.errors import ConfigurationError, InvalidOperation, OperationFailure, UnreadableReply
from wiredrv.execution.timeout import in_force_now
from wiredrv.operations.base import ENCODED_IF_UNREADABLE, Operation, Target
from wiredrv.operations.cursors import CursorReply, GetMore
from wiredrv.server_facts import CURSOR_GONE_CODES
from wiredrv.session.state import SessionState
from wiredrv.types import Address, DocumentT_co, TimeLimit
from wiredrv.wire.batch import Batch
from wiredrv.wire.codec import error_text

if TYPE_CHECKING:
    from wiredrv.client.handle import HandleContext
    from wiredrv.client.sessions.client_session import ClientSession

#: How many buffered documents an iteration returns between two checkpoints, and how many are decoded at a time.
DOCUMENTS_PER_CHECKPOINT = 100
#: The size in bytes from which the batch of a reply stays encoded. Below it, decoding all of it at once is as fast.
ENCODED_FROM = 64 * 1024


class CursorBase(ClosableCursor, Generic[DocumentT_co]):
    """Documents that a server returns in batches. Used by one task at a time."""

    __slots__ = (
        "__weakref__",
        "_batch_size",
        "_comment",
        "_endless",
        "_fetching",
        "_max_await_time_ms",
        "_per_call",
        "_retrieved",
        "_session",
        "_timeout_mode",
    )

    _batch: list[DocumentT_co]
    _get_more_class: ClassVar[type[GetMore]] = GetMore

    def __init__(self, context: HandleContext, target: Target, session: ClientSession | None) -> None:
        super().__init__(context, target)
        self._session = session
        self._batch_size: int | None = None
        self._max_await_time_ms: int | None = None
        self._comment: object = None
        self._timeout_mode: object = None
        self._reset()

    def _reset(self) -> None:
        self._set_unopened()
        self._batch = []
        self._rest = None
        self._position = 0
        self._retrieved = 0
        self._endless = False
        self._fetching = False
        #: Whether the time limit counts anew for each call that returns documents.
        self._per_call = False

    # --- overridden by the kinds of cursors ---

    def _first_operation(self, encoded_from: int) -> Operation[CursorReply]:
        raise NotImplementedError

    def _session_state(self) -> SessionState | None:
        return self._context.session_state(self._session)

    def _next_batch_size(self) -> int | None:
        return self._batch_size

    def _next_max_time_ms(self) -> int | None:
        return self._max_await_time_ms

    def _is_satisfied(self) -> bool:
        """Whether no more documents are needed although the server may have some."""
        return False

    def _excuses(self, error: OperationFailure) -> bool:
        """Whether a failure only means that there are no documents, or no more.

        As in PyMongo, for tailable cursors: their reader checks ``alive``, and opens another one when it is false.
        """
        return self._started and self._is_tailable and error.code in CURSOR_GONE_CODES

    @property
    def _is_tailable(self) -> bool:
        return False

    @property
    def _awaits_data(self) -> bool:
        return False

    def _kind(self, opening: Operation[CursorReply]) -> CursorKind:
        """What matters about the cursor to its time limit."""
        return CursorKind(self._is_tailable, self._awaits_data, opening.traits.has_write_stage)

    # --- sending commands ---

    def _encoded_from(self, whole: bool) -> int:
        """The size in bytes from which a reply's batch stays encoded, unless all of its documents are wanted now."""
        if not self._target.plain:
            return 0
        return ENCODED_IF_UNREADABLE if whole else ENCODED_FROM

    async def _fetch(self, whole: bool = False, limit: TimeLimit | None = None) -> None:
        """Send the first command or a getMore, and take its batch.

        :param whole: whether all of its documents are wanted now.
        :param limit: the time limit of a getMore.
        """
        if self._fetching:
            raise InvalidOperation(
                "a cursor is used by one task at a time, and another task waits for its next batch: "
                "give each task a cursor of its own (clone() makes one), or let them take turns"
            )
        self._fetching = True
        try:
            if self._started:
                reply = await self._context.executor.execute(self._get_more(whole, limit), self._state)
            else:
                self._state = self._session_state()
                operation = self._opening(self._encoded_from(whole))
                reply = await self._context.executor.execute(operation, self._state)
        except BaseException as error:
            excused = isinstance(error, OperationFailure) and self._excuses(error)
            await self._interrupted(error)
            if not excused:
                raise
            self._clear()
            self._unpin()
            return
        finally:
            self._fetching = False
        self._take(reply)
        if self._id and self._is_satisfied():
            await self._end()

    def _opening(self, encoded_from: int) -> Operation[CursorReply]:
        """The first command, which starts the cursor's time limit."""
        operation = self._first_operation(encoded_from)
        limit = in_force_now(operation.target.limit)
        if limit is None and self._timeout_mode is None:
            return operation
        kind = self._kind(operation)
        self._time_limit, self._per_call = cursor_limit(limit, self._timeout_mode, kind, self._next_max_time_ms())
        if self._time_limit is None:
            return operation
        return with_limit(operation, self._time_limit)

    def _started_limit(self) -> TimeLimit | None:
        """The limit of a call that needs a getMore: what is left of the cursor's, or the whole of it again."""
        if self._time_limit is None or not self._per_call or not self._started:
            return self._time_limit
        return self._time_limit.restarted(waits.monotonic())

    def _get_more(self, whole: bool, limit: TimeLimit | None) -> GetMore:
        assert self._address is not None
        return self._get_more_class(
            self._target if limit is None else replace(self._target, limit=replace(limit, of_call=False)),
            self._id,
            self._namespace.partition(".")[2],
            self._address,
            self._lease,
            self._next_batch_size(),
            self._next_max_time_ms(),
            self._comment,
            self._pin,
            self._opened_in,
            self._encoded_from(whole),
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
        self._retrieved += len(reply.batch)
        self._buffer(reply.batch)
        if not reply.id:
            # The executor released the lease when it saw the 0.
            self._lease = None
            self._ended = True
            self._unpin()

    # --- returning documents ---

    def _buffer(self, batch: list[DocumentT_co] | Batch) -> None:
        """Take the documents of a reply."""
        self._position = 0
        if isinstance(batch, list):
            self._batch, self._rest = batch, None
        else:
            self._batch, self._rest = [], batch if len(batch) else None

    def _clear(self) -> None:
        """Drop the buffered documents."""
        self._batch, self._rest = [], None
        self._position = 0

    async def _decode(self, rest: Batch, most: int = DOCUMENTS_PER_CHECKPOINT) -> None:
        """Decode the next documents of a batch that was kept encoded; those before them were read.

        :raises UnreadableReply: the very next one cannot be decoded. The cursor is closed.
        """
        try:
            self._batch = rest.take(most)
        except UnreadableReply as error:
            self._clear()
            shown = self._unreadable(rest, error)
            await self._interrupted(shown)
            raise shown from error.__cause__
        self._position = 0
        if not rest:
            self._rest = None

    def _unreadable(self, rest: Batch, error: UnreadableReply) -> UnreadableReply:
        """The error for a document that cannot be decoded."""
        which = ""
        with contextlib.suppress(Exception):
            which = f" with the _id {quoted(rest.next_id())}"
        cause = error.__cause__
        text = str(error) if cause is None else error_text(cause)
        found = UnreadableReply(f"{self._address}: a document{which} of {self._namespace} cannot be read: {text}")
        found.namespace = self._namespace
        return found

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> DocumentT_co:
        if self._position and not self._position % DOCUMENTS_PER_CHECKPOINT:
            await waits.checkpoint()
        limit = None
        while True:
            position = self._position
            if position < len(self._batch):
                self._position = position + 1
                return self._batch[position]
            if self._rest is not None:
                await self._decode(self._rest)
                continue
            if self._ended:
                raise StopAsyncIteration
            if limit is None and self._time_limit is not None:
                limit = self._started_limit()
            await self._fetch(limit=limit)
            if self._is_tailable and not self._batch and self._rest is None:
                raise StopAsyncIteration

    if not TYPE_CHECKING:  # type checkers know without it that a cursor has no synchronous iteration

        def __iter__(self) -> NoReturn:
            raise TypeError("a cursor is read with `async for`, or with `await cursor.to_list()`, not with `for`")

    async def next(self) -> DocumentT_co:
        """The next document.

        :returns: the document.
        :raises StopAsyncIteration: there is none. A tailable cursor may have one later: see ``alive``.
        :raises UnreadableReply: it cannot be decoded. The cursor is closed.
        :raises OperationFailure: the server refused the command, or has lost the cursor (CursorNotFound).
        :raises InvalidOperation: another task is waiting for the cursor's next batch, or the client is closed.
        """
        return await self.__anext__()

    async def try_next(self) -> DocumentT_co | None:
        """The next document, or None if there is none after at most one command. ``alive`` says whether more may come.

        :returns: the document, or None.
        :raises UnreadableReply: it cannot be decoded. The cursor is closed.
        :raises OperationFailure: the server refused the command.
        :raises InvalidOperation: another task is waiting for the cursor's next batch, or the client is closed.
        """
        if self._position >= len(self._batch) and self._rest is None and not self._ended:
            await self._fetch(limit=self._started_limit())
        if self._position >= len(self._batch) and self._rest is not None:
            await self._decode(self._rest)
        position = self._position
        if position >= len(self._batch):
            return None
        self._position = position + 1
        return self._batch[position]

    async def to_list(self, length: int | None = None) -> list[DocumentT_co]:
        """The documents that are left, or at most ``length`` of them.

        A tailable cursor, or one of a ``$changeStream``, returns the documents up to the first empty batch.

        :param length: how many at most; None takes all.
        :returns: the documents.
        :raises UnreadableReply: one of them cannot be decoded. The cursor is closed.
        :raises ConfigurationError: ``length`` is not a whole number from 1 up.
        :raises OperationFailure: the server refused the command, or has lost the cursor (CursorNotFound).
        :raises InvalidOperation: another task is waiting for the cursor's next batch, or the client is closed.
        """
        if length is not None and (isinstance(length, bool) or not isinstance(length, int) or length < 1):
            raise ConfigurationError(f"length must be a whole number from 1 up or None, not {length!r}")
        found: list[DocumentT_co] = []
        limit = None
        while True:
            stop = None if length is None else self._position + length - len(found)
            found += self._batch[self._position : stop]
            self._position = len(self._batch) if stop is None else min(stop, len(self._batch))
            if length is not None and len(found) >= length:
                return found
            if self._rest is not None:
                await self._decode(self._rest, len(self._rest) if length is None else length - len(found))
                continue
            if self._ended:
                return found
            opening = not self._started
            if limit is None and self._time_limit is not None:
                limit = self._started_limit()
            await self._fetch(length is None, limit)
            # The first batch of a change stream may be empty although there are events.
            empty = not self._batch and self._rest is None
            if empty and (self._is_tailable or (self._endless and not opening)):
                return found

    def batches(self) -> AsyncIterator[list[DocumentT_co]]:
        """The documents as lists, a list for each batch that the server sends.

        ::

            async with collection.find({}, batch_size=500) as cursor:
                async for documents in cursor.batches():
                    await copies.insert_many(documents)

        What was read of the current batch is left out; empty batches are skipped. ``batch_size`` sets how many
        documents the server sends at a time. A tailable cursor ends the loop at the first empty batch.

        :returns: an asynchronous iterator. It raises what :meth:`next` raises: at a document that cannot be decoded,
            after a list of those before it.
        """
        return _Batches(self._next_batch)

    async def _next_batch(self) -> list[DocumentT_co]:
        while True:
            found = self._batch[self._position :]
            self._position = len(self._batch)
            if found:
                return found
            if self._rest is not None:
                await self._decode(self._rest, len(self._rest))
                continue
            if self._ended:
                raise StopAsyncIteration
            await self._fetch(True, self._started_limit())
            if self._is_tailable and not self._batch and self._rest is None:
                raise StopAsyncIteration

    # --- what is known of the cursor ---

    @property
    def alive(self) -> bool:
        """Whether documents are left or may still come."""
        return not self._ended or self._position < len(self._batch) or self._rest is not None

    @property
    def cursor_id(self) -> int | None:
        """The server's id of the cursor: 0 when it is exhausted, None before the first command."""
        return self._id if self._started else None

    @property
    def address(self) -> Address | None:
        """The server that has the cursor; None before the first command."""
        return self._address

    @property
    def session(self) -> ClientSession | None:
        """The session that was passed to the method which created the cursor."""
        return self._session

    @property
    def retrieved(self) -> int:
        """How many documents were received from the server so far."""
        return self._retrieved

    def _check_unstarted(self, what: str) -> None:
        if self._started or self._fetching:
            raise InvalidOperation(f"call {what} before the first document is requested; clone() returns a new cursor")


class _Batches(Generic[DocumentT_co]):
    """An asynchronous iterator over the batches of a cursor. It keeps nothing: the cursor is what is closed."""

    __slots__ = ("_next",)

    def __init__(self, next_batch: Callable[[], Awaitable[list[DocumentT_co]]]) -> None:
        self._next = next_batch

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[DocumentT_co]:
        return await self._next()
