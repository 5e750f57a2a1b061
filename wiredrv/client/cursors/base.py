"""The base of all cursors: returns the documents that were fetched.

Rules kept here:

* A large batch stays encoded, and is decoded in slices while its documents are read (``wire.batch``). A document that
  cannot be decoded raises at its own place, and ends the cursor like every other error.
* A loop over documents that are there already passes a checkpoint now and then.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from reprlib import repr as quoted
from typing import TYPE_CHECKING, Generic, NoReturn, Self

from wiredrv import waits
from wiredrv.client.cursors.fetching import FetchingCursor
from wiredrv.errors import ConfigurationError, InvalidOperation, UnreadableReply
from wiredrv.types import Address, DocumentT_co
from wiredrv.wire.batch import Batch
from wiredrv.wire.codec import error_text

if TYPE_CHECKING:
    from wiredrv.client.sessions.client_session import ClientSession

#: How many buffered documents an iteration returns between two checkpoints, and how many are decoded at a time.
DOCUMENTS_PER_CHECKPOINT = 100


class CursorBase(FetchingCursor, Generic[DocumentT_co]):
    """Documents that a server returns in batches. Used by one task at a time."""

    __slots__ = ("__weakref__",)

    _batch: list[DocumentT_co]

    # --- returning documents ---

    def _buffer(self, batch: list[DocumentT_co] | Batch) -> None:
        """Take the documents of a reply."""
        self._position = 0
        if isinstance(batch, list):
            self._batch, self._rest = batch, None
        else:
            self._batch, self._rest = [], batch if len(batch) else None

    async def _decode(self, rest: Batch, most: int = DOCUMENTS_PER_CHECKPOINT) -> None:
        """Decode the next documents of a batch that was kept encoded; those before them were read.

        :raises UnreadableReply: the very next one cannot be decoded. The cursor is closed.
        """
        try:
            self._batch = rest.take(most)
        except UnreadableReply as error:
            self._clear()
            shown = unreadable(rest, error, self._address, self._namespace)
            await self._interrupted(shown)
            raise shown from error.__cause__
        self._position = 0
        if not rest:
            self._rest = None

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
        if self._position and not self._position % DOCUMENTS_PER_CHECKPOINT:
            await waits.checkpoint()
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


def unreadable(rest: Batch, error: UnreadableReply, address: Address | None, namespace: str) -> UnreadableReply:
    """The error for the next document of a batch, which cannot be decoded.

    :param address: the server that sent it.
    """
    which = ""
    with contextlib.suppress(Exception):
        which = f" with the _id {quoted(rest.next_id())}"
    cause = error.__cause__
    text = str(error) if cause is None else error_text(cause)
    found = UnreadableReply(f"{address}: a document{which} of {namespace} cannot be read: {text}")
    found.namespace = namespace
    return found


class _Batches(Generic[DocumentT_co]):
    """An asynchronous iterator over the batches of a cursor. It keeps nothing: the cursor is what is closed."""

    __slots__ = ("_next",)

    def __init__(self, next_batch: Callable[[], Awaitable[list[DocumentT_co]]]) -> None:
        self._next = next_batch

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[DocumentT_co]:
        return await self._next()
