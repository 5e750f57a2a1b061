"""``GridIn``: the stream that a file is written to.

Written by ``python -m tools.synchronous`` from ``wiredrv.gridfs.upload``: do not edit.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from wiredrv.gridfs.sources import Bytes
from wiredrv.sync.base import Synchronous
from wiredrv.types import Document

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from wiredrv.gridfs.upload import GridIn as AsyncGridIn
    from wiredrv.sync.client_session import ClientSession


class GridIn(Synchronous):
    """A file that is written. Made by ``bucket.open_upload_stream``.

    ``with`` stores the file at the end of its block, and aborts the upload when the block is left by an exception
    or a cancellation. Without it, call :meth:`close` or :meth:`abort`. Used by one thread at a time. GridFS
    specification, "File Upload".
    """

    __slots__ = ()

    _inner: AsyncGridIn

    def __enter__(self) -> Self:
        return self

    @property
    def filename(self) -> str:
        """The file's name. It can be changed until the file is stored."""
        return self._inner.filename

    @filename.setter
    def filename(self, value: str) -> None:
        self._inner.filename = value

    @property
    def name(self) -> str:
        """Another name of :attr:`filename`."""
        return self._inner.name

    @property
    def metadata(self) -> Document | None:
        """The file's metadata. It can be changed until the file is stored, as to add a digest of the bytes."""
        return self._inner.metadata

    @metadata.setter
    def metadata(self, value: Document | None) -> None:
        self._inner.metadata = value

    @property
    def chunk_size(self) -> int:
        """How many bytes each chunk has, except the last one."""
        return self._inner.chunk_size

    @property
    def length(self) -> int:
        """How many bytes were written so far."""
        return self._inner.length

    @property
    def upload_date(self) -> datetime.datetime | None:
        """When the file was stored, in UTC; None before."""
        return self._inner.upload_date

    @property
    def session(self) -> ClientSession | None:
        """The session that the stream was opened with, given or bound; None if it has one of its own."""
        return self._owner._session_of(self._inner.session)

    @property
    def closed(self) -> bool:
        """Whether nothing more can be written: the file is stored, or the upload was aborted or has failed."""
        return self._inner.closed

    def readable(self) -> bool:
        """False.

        :returns: False.
        """
        return self._inner.readable()

    def seekable(self) -> bool:
        """False.

        :returns: False.
        """
        return self._inner.seekable()

    def writable(self) -> bool:
        """True.

        :returns: True.
        """
        return self._inner.writable()

    def writeable(self) -> bool:
        """PyMongo's name of :meth:`writable`.

        :returns: True.
        """
        return self._inner.writeable()

    def write(self, data: object) -> None:
        """Write bytes. They are sent in large batches, so what is written last is sent by :meth:`close`.

        :param data: bytes; or a source of them, which is read to its end: a file object with ``read()``, synchronous or
            not, or an iterator. If reading it fails, the upload is aborted.
        :raises ConfigurationError: ``data`` is anything else.
        :raises FileExists: another file has the stream's id.
        :raises InvalidOperation: the stream is closed, or another thread is writing, or its transaction has ended.
        :raises OperationFailure: the server refused the chunks; the upload has failed then, and nothing is removed.
        """
        self._threads.run(self._inner.write(data))

    def writelines(self, sequence: Iterable[Bytes] | AsyncIterable[Bytes]) -> None:
        """Write several pieces of bytes, one after the other; nothing is added between them.

        :param sequence: the pieces.
        :raises ConfigurationError: one of them is not bytes, or ``sequence`` is not iterable.
        :raises FileExists: another file has the stream's id.
        :raises InvalidOperation: the stream is closed, or another thread is writing, or its transaction has ended.
        :raises OperationFailure: the server refused the chunks; the upload has failed then, and nothing is removed.
        """
        self._threads.run(self._inner.writelines(sequence))

    def close(self) -> None:
        """Send what is left, and store the file. May be called twice; after :meth:`abort` it does nothing.

        :raises FileExists: another file has the stream's id.
        :raises InvalidOperation: a write has failed or was cancelled, so that there is no file to be stored; or another
            thread is writing, or the stream's transaction has ended.
        :raises OperationFailure: the server refused; the upload has failed then, and nothing is removed.
        """
        self._threads.run(self._inner.close())

    def abort(self) -> None:
        """Give the upload up and delete the chunks that were sent. May be called twice.

        After a failed write it deletes what the write left.

        :raises InvalidOperation: the file is stored already: ``bucket.delete`` deletes it; or another thread is
            writing.
        :raises DriverError: the chunks could not be deleted.
        """
        self._threads.run(self._inner.abort())

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.run(self._inner.__aexit__(exc_type, exc, traceback))
