"""``GridOutCursor``: the files that match a query, each as a stream that it can be read from.

Written by ``python -m tools.synchronous`` from ``wiredrv.gridfs.cursor``: do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from wiredrv.sync.base import Synchronous
from wiredrv.sync.download import GridOut

if TYPE_CHECKING:
    from wiredrv.gridfs.cursor import GridOutCursor as AsyncGridOutCursor
    from wiredrv.sync.client_session import ClientSession


class GridOutCursor(Synchronous):
    """The files that match a query, as :class:`GridOut` streams. Made by ``bucket.find``.

    No chunk is read before a stream is read. GridFS specification, "Generic Find on Files Collection".
    """

    __slots__ = ()

    _inner: AsyncGridOutCursor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.run(self._inner.__aexit__(exc_type, exc, traceback))

    def sort(self, key_or_list: str | Sequence[tuple[str, int]], direction: int | None = None) -> Self:
        """Sort the files.

        :param key_or_list: a field of the files' documents, or a list of (field, direction) pairs.
        :param direction: ``ASCENDING`` or ``DESCENDING``, where one field is given.
        :returns: the cursor.
        :raises ConfigurationError: these are not such.
        :raises InvalidOperation: a file was requested already.
        """
        self._inner.sort(key_or_list, direction)
        return self

    def limit(self, limit: int) -> Self:
        """Set how many files are found at most.

        :param limit: the number; 0 means all.
        :returns: the cursor.
        :raises ConfigurationError: it is not a whole number.
        :raises InvalidOperation: a file was requested already.
        """
        self._inner.limit(limit)
        return self

    def skip(self, skip: int) -> Self:
        """Set how many of the matching files are left out first.

        :param skip: the number.
        :returns: the cursor.
        :raises ConfigurationError: it is not a whole number.
        :raises InvalidOperation: a file was requested already.
        """
        self._inner.skip(skip)
        return self

    def batch_size(self, batch_size: int) -> Self:
        """Set how many documents the server sends at a time.

        :param batch_size: the number; 0 leaves it to the server.
        :returns: the cursor.
        :raises ConfigurationError: it is not a whole number.
        :raises InvalidOperation: a file was requested already.
        """
        self._inner.batch_size(batch_size)
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> GridOut:
        try:
            return GridOut(self._threads.run(self._inner.__anext__()), self)
        except StopAsyncIteration:
            raise StopIteration from None

    def next(self) -> GridOut:
        """The next file.

        :returns: the file.
        :raises StopIteration: there is none.
        :raises OperationFailure: the server refused the command, or has lost the cursor (CursorNotFound).
        :raises InvalidOperation: another thread is waiting for the cursor's next batch, or the client is closed.
        """
        try:
            return GridOut(self._threads.run(self._inner.next()), self)
        except StopAsyncIteration:
            raise StopIteration from None

    def to_list(self, length: int | None = None) -> list[GridOut]:
        """The files that are left, or at most ``length`` of them.

        :param length: how many at most; None takes all.
        :returns: the files.
        :raises ConfigurationError: ``length`` is not a whole number from 1 up.
        :raises OperationFailure: the server refused the command, or has lost the cursor (CursorNotFound).
        :raises InvalidOperation: another thread is waiting for the cursor's next batch, or the client is closed.
        """
        return [GridOut(found, self) for found in self._threads.run(self._inner.to_list(length))]

    @property
    def alive(self) -> bool:
        """Whether files are left or may still come."""
        return self._inner.alive

    @property
    def session(self) -> ClientSession | None:
        """The session that was passed to ``bucket.find``."""
        return self._owner._session_of(self._inner.session)

    def close(self) -> None:
        """Close the cursor, here and on the server. The files that it gave can still be read.

        It may be called twice. Server errors are not raised.
        """
        self._threads.run(self._inner.close())
