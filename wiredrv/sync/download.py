"""``GridOut``: the stream that a file is read from.

Written by ``python -m tools.synchronous`` from ``wiredrv.gridfs.download``: do not edit.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from wiredrv.sync.base import Synchronous
from wiredrv.types import Document

if TYPE_CHECKING:
    from wiredrv.gridfs.download import GridOut as AsyncGridOut
    from wiredrv.sync.client_session import ClientSession


class GridOut(Synchronous):
    """A stored file that is read. Made by ``bucket.open_download_stream`` and its like, and by ``bucket.find``.

    The fields of the file's document that have no property here are attributes too. Used by one thread at a time.
    GridFS specification, "File Download".
    """

    __slots__ = ()

    _inner: AsyncGridOut

    def __enter__(self) -> Self:
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_inner"):
            raise AttributeError(name)
        return getattr(self._inner, name)

    def chunks(self) -> Iterator[bytes]:
        """The rest of the file, chunk by chunk: what a web framework sends as a streaming response.

        :returns: an iterator of bytes.
        :raises CorruptGridFile: the chunks are not those that the file must have.
        :raises InvalidOperation: it is closed, or another thread is reading, or its transaction has ended.
        :raises OperationFailure: the server refused.
        """
        while chunk := self.readchunk():
            yield chunk

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.run(self._inner.__aexit__(exc_type, exc, traceback))

    @property
    def filename(self) -> str | None:
        """The file's name; None if it has none."""
        return self._inner.filename

    @property
    def name(self) -> str | None:
        """Another name of :attr:`filename`."""
        return self._inner.name

    @property
    def length(self) -> int:
        """How many bytes the file has."""
        return self._inner.length

    @property
    def chunk_size(self) -> int:
        """How many bytes each of its chunks has, except the last one."""
        return self._inner.chunk_size

    @property
    def upload_date(self) -> datetime.datetime | None:
        """When the file was stored."""
        return self._inner.upload_date

    @property
    def metadata(self) -> Document | None:
        """The metadata that it was stored with; None if there are none."""
        return self._inner.metadata

    @property
    def content_type(self) -> str | None:
        """The deprecated field ``contentType``; None if it has none."""
        return self._inner.content_type

    @property
    def aliases(self) -> list[str] | None:
        """The deprecated field ``aliases``; None if it has none."""
        return self._inner.aliases

    @property
    def md5(self) -> str | None:
        """The deprecated field ``md5``; None if it has none."""
        return self._inner.md5

    @property
    def session(self) -> ClientSession | None:
        """The session that it is read in, given or bound; None for implicit ones."""
        return self._owner._session_of(self._inner.session)

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._inner.closed

    def readable(self) -> bool:
        """True.

        :returns: True.
        """
        return self._inner.readable()

    def seekable(self) -> bool:
        """True.

        :returns: True.
        """
        return self._inner.seekable()

    def writable(self) -> bool:
        """False.

        :returns: False.
        """
        return self._inner.writable()

    def read(self, size: int | None = -1) -> bytes:
        """Read from the current position on.

        :param size: how many bytes at most; a negative number, or None, reads to the end.
        :returns: the bytes: as many as were asked for, unless the file ends before; none at its end.
        :raises ConfigurationError: ``size`` is not a whole number.
        :raises CorruptGridFile: the chunks are not those that the file must have.
        :raises InvalidOperation: it is closed, or another thread is reading, or its transaction has ended.
        :raises OperationFailure: the server refused.
        """
        return self._threads.run(self._inner.read(size))

    def readchunk(self) -> bytes:
        """Read the rest of the chunk at the current position: the way to copy a file with little memory.

        :returns: the bytes; none at the end of the file.
        :raises CorruptGridFile: the chunks are not those that the file must have.
        :raises InvalidOperation: it is closed, or another thread is reading, or its transaction has ended.
        :raises OperationFailure: the server refused.
        """
        return self._threads.run(self._inner.readchunk())

    def readline(self, size: int | None = -1) -> bytes:
        """Read to the end of the line.

        :param size: how many bytes at most; a negative number, or None, sets no limit.
        :returns: the line with its ``\n``, which the last line of a file may lack; nothing at the end of the file.
        :raises ConfigurationError: ``size`` is not a whole number.
        :raises CorruptGridFile: the chunks are not those that the file must have.
        :raises InvalidOperation: it is closed, or another thread is reading, or its transaction has ended.
        :raises OperationFailure: the server refused.
        """
        return self._threads.run(self._inner.readline(size))

    def readlines(self, size: int | None = -1) -> list[bytes]:
        """Read the lines that are left.

        :param size: stop after the line with which they have this many bytes; a number below 1, or None, reads all.
        :returns: the lines, each with its ``\n``.
        :raises ConfigurationError: ``size`` is not a whole number.
        :raises CorruptGridFile: the chunks are not those that the file must have.
        :raises InvalidOperation: it is closed, or another thread is reading, or its transaction has ended.
        :raises OperationFailure: the server refused.
        """
        return self._threads.run(self._inner.readlines(size))

    def __iter__(self) -> Self:
        """The lines of the file, as with Python's files; :meth:`chunks` gives its chunks."""
        return self

    def __next__(self) -> bytes:
        try:
            return self._threads.run(self._inner.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def tell(self) -> int:
        """The current position.

        :returns: bytes from the beginning.
        """
        return self._inner.tell()

    def seek(self, pos: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position. Nothing is sent; the next read reads the chunks from there on.

        :param pos: bytes from the place that ``whence`` names. A position behind the end is allowed: there is nothing
            to read there.
        :param whence: ``os.SEEK_SET`` (the beginning), ``os.SEEK_CUR`` (the current position) or ``os.SEEK_END``.
        :returns: the position, in bytes from the beginning.
        :raises ConfigurationError: ``pos`` is not a whole number, the position is before the beginning, or ``whence``
            is none of these.
        :raises InvalidOperation: it is closed.
        """
        return self._threads.run(self._inner.seek(pos, whence))

    def close(self) -> None:
        """Release what was read. May be called twice. Nothing is sent, and errors are not raised."""
        self._threads.run(self._inner.close())
