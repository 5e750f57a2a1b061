"""``GridOutCursor``: the files that match a query, each as a stream that it can be read from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn, Self

from wiredrv.client.cursors.cursor import Cursor
from wiredrv.client.lasting import kept_session
from wiredrv.client.misuse import ClosedAtTheEnd
from wiredrv.errors import ConfigurationError
from wiredrv.gridfs.download import GridOut
from wiredrv.gridfs.store import Store
from wiredrv.types import Document, PlainDocument

if TYPE_CHECKING:
    from wiredrv.client.sessions.client_session import ClientSession


class GridOutCursor(ClosedAtTheEnd):
    """The files that match a query, as :class:`GridOut` streams. Made by ``bucket.find``.

    No chunk is read before a stream is read. GridFS specification, "Generic Find on Files Collection".
    """

    _written = "bucket.find(...)"

    def __init__(self, store: Store, cursor: Cursor[PlainDocument], session: ClientSession | None) -> None:
        """Made by the bucket.

        :param store: the bucket's collections.
        :param cursor: the cursor over the files' documents.
        :param session: the session that was passed to ``bucket.find``.
        """
        self._store = store
        self._cursor = cursor
        self._session = session

    # --- before the first file is requested ---

    def sort(self, key_or_list: str | Sequence[tuple[str, int]], direction: int | None = None) -> Self:
        """Sort the files.

        :param key_or_list: a field of the files' documents, or a list of (field, direction) pairs.
        :param direction: ``ASCENDING`` or ``DESCENDING``, where one field is given.
        :returns: the cursor.
        :raises ConfigurationError: these are not such.
        :raises InvalidOperation: a file was requested already.
        """
        self._cursor.sort(key_or_list, direction)
        return self

    def limit(self, limit: int) -> Self:
        """Set how many files are found at most.

        :param limit: the number; 0 means all.
        :returns: the cursor.
        :raises ConfigurationError: it is not a whole number.
        :raises InvalidOperation: a file was requested already.
        """
        self._cursor.limit(limit)
        return self

    def skip(self, skip: int) -> Self:
        """Set how many of the matching files are left out first.

        :param skip: the number.
        :returns: the cursor.
        :raises ConfigurationError: it is not a whole number.
        :raises InvalidOperation: a file was requested already.
        """
        self._cursor.skip(skip)
        return self

    def batch_size(self, batch_size: int) -> Self:
        """Set how many documents the server sends at a time.

        :param batch_size: the number; 0 leaves it to the server.
        :returns: the cursor.
        :raises ConfigurationError: it is not a whole number.
        :raises InvalidOperation: a file was requested already.
        """
        self._cursor.batch_size(batch_size)
        return self

    # --- the files ---

    def __aiter__(self) -> Self:
        return self

    if not TYPE_CHECKING:  # type checkers know without it which attributes there are

        def __iter__(self) -> NoReturn:
            raise TypeError("files are found with `async for`, or with `await cursor.to_list()`, not with `for`")

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(
                f"a cursor of files has no {name!r}: max_time_ms, comment, hint and the like are options of "
                "bucket.find()"
            )

    async def __anext__(self) -> GridOut:
        return self._stream(await self._cursor.__anext__())

    async def next(self) -> GridOut:
        """The next file.

        :returns: the file.
        :raises StopAsyncIteration: there is none.
        :raises OperationFailure: the server refused the command, or has lost the cursor (CursorNotFound).
        :raises InvalidOperation: another task is waiting for the cursor's next batch, or the client is closed.
        """
        return await self.__anext__()

    async def to_list(self, length: int | None = None) -> list[GridOut]:
        """The files that are left, or at most ``length`` of them.

        :param length: how many at most; None takes all.
        :returns: the files.
        :raises ConfigurationError: ``length`` is not a whole number from 1 up.
        :raises OperationFailure: the server refused the command, or has lost the cursor (CursorNotFound).
        :raises InvalidOperation: another task is waiting for the cursor's next batch, or the client is closed.
        """
        return [self._stream(file) for file in await self._cursor.to_list(length)]

    def _stream(self, file: PlainDocument) -> GridOut:
        return GridOut(self._store, file, kept_session(self._store.client, self._session))

    # --- the end ---

    @property
    def alive(self) -> bool:
        """Whether files are left or may still come."""
        return self._cursor.alive

    @property
    def session(self) -> ClientSession | None:
        """The session that was passed to ``bucket.find``."""
        return self._session

    async def close(self) -> None:
        """Close the cursor, here and on the server. The files that it gave can still be read.

        It may be called twice. Server errors are not raised.
        """
        await self._cursor.close()


def refuse_partial_files(options: Document) -> None:
    """Refuse options of ``find`` with which the documents of files would lack their length or id.

    :raises ConfigurationError: there is one.
    """
    for name in ("projection", "return_key"):
        if options.get(name):
            raise ConfigurationError(
                f"bucket.find() takes no {name}, since a file cannot be read without its whole document: for parts "
                "of the documents query their collection, as in database['fs.files'].find(...)"
            )
