"""The base of all cursors: returns the documents that were fetched.

Written by ``python -m tools.synchronous`` from ``wiredrv.client.cursors.base``: do not edit.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self

from wiredrv.sync.base import Synchronous, awaited
from wiredrv.types import Address, DocumentT_co

if TYPE_CHECKING:
    from wiredrv.client.cursors.base import CursorBase as AsyncCursorBase
    from wiredrv.sync.client_session import ClientSession


class CursorBase(Synchronous, Generic[DocumentT_co]):
    """Documents that a server returns in batches. Used by one thread at a time."""

    __slots__ = ()

    _inner: AsyncCursorBase[DocumentT_co]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.run(self._inner.__aexit__(exc_type, exc, traceback))

    def close(self, timeout_ms: int | None = None) -> None:
        """Close the cursor, here and on the server. Its documents that were not read yet are dropped.

        It may be called twice. Server errors are not raised.

        :param timeout_ms: milliseconds that this may take; 0 sets no limit. None takes the whole time limit of the
            cursor, even if a call has used it up.
        :raises ConfigurationError: it is not a whole number from 0 up.
        """
        self._threads.run(self._inner.close(timeout_ms))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> DocumentT_co:
        inner = self._inner
        position = inner._position
        if position < len(inner._batch):  # no other thread reads this cursor, so that this needs no lock
            inner._position = position + 1
            return inner._batch[position]
        try:
            return self._threads.run(inner.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def batches(self) -> Iterator[list[DocumentT_co]]:
        """The documents as lists, a list for each batch that the server sends.

        ::

            with collection.find({}, batch_size=500) as cursor:
                for documents in cursor.batches():
                    copies.insert_many(documents)

        What was read of the current batch is left out; empty batches are skipped. ``batch_size`` sets how many
        documents the server sends at a time. A tailable cursor ends the loop at the first empty batch.

        :returns: an iterator. It raises what :meth:`next` raises: at a document that cannot be decoded, after a list of
            those before it.
        """
        batches = self._inner.batches()
        while True:
            try:
                found = self._threads.run(awaited(anext(batches)))
            except StopAsyncIteration:
                return
            yield found

    def next(self) -> DocumentT_co:
        """The next document.

        :returns: the document.
        :raises StopIteration: there is none. A tailable cursor may have one later: see ``alive``.
        :raises UnreadableReply: it cannot be decoded. The cursor is closed.
        :raises OperationFailure: the server refused the command, or has lost the cursor (CursorNotFound).
        :raises InvalidOperation: another thread is waiting for the cursor's next batch, or the client is closed.
        """
        try:
            return self._threads.run(self._inner.next())
        except StopAsyncIteration:
            raise StopIteration from None

    def try_next(self) -> DocumentT_co | None:
        """The next document, or None if there is none after at most one command. ``alive`` says whether more may come.

        :returns: the document, or None.
        :raises UnreadableReply: it cannot be decoded. The cursor is closed.
        :raises OperationFailure: the server refused the command.
        :raises InvalidOperation: another thread is waiting for the cursor's next batch, or the client is closed.
        """
        return self._threads.run(self._inner.try_next())

    def to_list(self, length: int | None = None) -> list[DocumentT_co]:
        """The documents that are left, or at most ``length`` of them.

        A tailable cursor, or one of a ``$changeStream``, returns the documents up to the first empty batch.

        :param length: how many at most; None takes all.
        :returns: the documents.
        :raises UnreadableReply: one of them cannot be decoded. The cursor is closed.
        :raises ConfigurationError: ``length`` is not a whole number from 1 up.
        :raises OperationFailure: the server refused the command, or has lost the cursor (CursorNotFound).
        :raises InvalidOperation: another thread is waiting for the cursor's next batch, or the client is closed.
        """
        return self._threads.run(self._inner.to_list(length))

    @property
    def alive(self) -> bool:
        """Whether documents are left or may still come."""
        return self._inner.alive

    @property
    def cursor_id(self) -> int | None:
        """The server's id of the cursor: 0 when it is exhausted, None before the first command."""
        return self._inner.cursor_id

    @property
    def address(self) -> Address | None:
        """The server that has the cursor; None before the first command."""
        return self._inner.address

    @property
    def session(self) -> ClientSession | None:
        """The session that was passed to the method which created the cursor."""
        return self._owner._session_of(self._inner.session)

    @property
    def retrieved(self) -> int:
        """How many documents were received from the server so far."""
        return self._inner.retrieved
