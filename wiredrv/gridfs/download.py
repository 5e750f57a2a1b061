"""``GridOut``: the stream that a file is read from.

GridFS specification, "File Download" and "Partial File Retrieval".

Rules kept here:

* Chunks are read with a find for each window of consecutive chunks (``reader``). So a download keeps no cursor open,
  however slowly it is read, and each of its commands can be retried.
* Only the chunks that are asked for are read; the windows grow while a file is read from one end to the other.
* The data of a chunk is copied once, into what the caller gets.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager
from io import BytesIO
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from wiredrv.client.misuse import AsyncBlock, ClosedAtTheEnd
from wiredrv.errors import ConfigurationError, InvalidOperation
from wiredrv.gridfs.ahead import in_order
from wiredrv.gridfs.chunks import Chunk
from wiredrv.gridfs.files import shape_of
from wiredrv.gridfs.reader import ChunkReader
from wiredrv.gridfs.store import Store
from wiredrv.types import Document

if TYPE_CHECKING:
    from wiredrv.client.sessions.client_session import ClientSession

#: About how many bytes a file's id has in a chunk, where it is not an ObjectId.
_ID_SIZE = 128
#: How many windows are read ahead where a file is read to its end, each on a connection of its own. More of them took
#: more processor time in measurements.
_AHEAD = 1
#: How many bytes are allocated for a result before anything is read: the length of a corrupt file may be any number.
_MOST_ALLOCATED = 1 << 30


class OpeningGridOut(AsyncBlock):
    """What ``open_download_stream`` and ``open_download_stream_by_name`` return: a stream that is about to be opened.

    ``await`` opens it; ``async with`` opens it and closes it at the end of the block. GridFS specification, "File
    Download".
    """

    _written = "bucket.open_download_stream(...)"

    def __init__(self, open_stream: Callable[[], Awaitable[GridOut]]) -> None:
        """Made by the bucket.

        :param open_stream: finds the file.
        """
        self._open = open_stream
        self._stream: GridOut | None = None

    def __await__(self) -> Generator[Any, Any, GridOut]:
        return self._open().__await__()

    async def __aenter__(self) -> GridOut:
        self._stream = await self._open()
        return self._stream

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._stream is not None:
            await self._stream.close()


class GridOut(ClosedAtTheEnd):
    """A stored file that is read. Made by ``bucket.open_download_stream`` and its like, and by ``bucket.find``.

    The fields of the file's document that have no property here are attributes too. Used by one task at a time. GridFS
    specification, "File Download".
    """

    _written = "await bucket.open_download_stream(...)"

    def __init__(self, store: Store, file: Document, session: ClientSession | None) -> None:
        """Made by the bucket.

        :param store: the bucket's collections.
        :param file: the file's document.
        :param session: the session that it was found in, given or bound.
        :raises CorruptGridFile: the document does not say how long the file is.
        """
        self._file = file
        self._shape = shape_of(file)
        self._session = session
        self._reader = ChunkReader(store, file.get("_id"), self._shape, session)
        self._position = 0
        #: Chunks that were read, and the number of the first.
        self._window: list[Chunk] = []
        self._first = 0
        self._busy = False
        self._closed = False

    # --- what it is ---

    @property
    def filename(self) -> str | None:
        """The file's name; None if it has none."""
        return self._file.get("filename")

    @property
    def name(self) -> str | None:
        """Another name of :attr:`filename`."""
        return self.filename

    @property
    def length(self) -> int:
        """How many bytes the file has."""
        return self._shape.length

    @property
    def chunk_size(self) -> int:
        """How many bytes each of its chunks has, except the last one."""
        return self._shape.chunk_size

    @property
    def upload_date(self) -> datetime.datetime | None:
        """When the file was stored."""
        return self._file.get("uploadDate")

    @property
    def metadata(self) -> Document | None:
        """The metadata that it was stored with; None if there are none."""
        return self._file.get("metadata")

    @property
    def content_type(self) -> str | None:
        """The deprecated field ``contentType``; None if it has none."""
        return self._file.get("contentType")

    @property
    def aliases(self) -> list[str] | None:
        """The deprecated field ``aliases``; None if it has none."""
        return self._file.get("aliases")

    @property
    def md5(self) -> str | None:
        """The deprecated field ``md5``; None if it has none."""
        return self._file.get("md5")

    @property
    def session(self) -> ClientSession | None:
        """The session that it is read in, given or bound; None for implicit ones."""
        return self._session

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def __getattr__(self, name: str) -> Any:
        file: Document = self.__dict__.get("_file", {})
        if name in file:
            return file[name]
        raise AttributeError(f"this file has no attribute, and its document no field, {name!r}")

    def readable(self) -> bool:
        """True.

        :returns: True.
        """
        return True

    def seekable(self) -> bool:
        """True.

        :returns: True.
        """
        return True

    def writable(self) -> bool:
        """False.

        :returns: False.
        """
        return False

    # --- reading ---

    async def read(self, size: int | None = -1) -> bytes:
        """Read from the current position on.

        :param size: how many bytes at most; a negative number, or None, reads to the end.
        :returns: the bytes: as many as were asked for, unless the file ends before; none at its end.
        :raises ConfigurationError: ``size`` is not a whole number.
        :raises CorruptGridFile: the chunks are not those that the file must have.
        :raises InvalidOperation: it is closed, or another task is reading, or its transaction has ended.
        :raises OperationFailure: the server refused.
        """
        self._refuse_if_closed()
        wanted = self._within(size)
        if (part := self._at_hand(wanted)) is not None:
            self._position += wanted
            return part
        # No other reference to these bytes exists: they are filled in place, and returned without a copy.
        found = BytesIO(bytes(min(wanted, _MOST_ALLOCATED)))

        async def keep(part: Chunk) -> None:
            found.write(part)

        end = self._position + wanted
        await self._each(end, keep)
        self._position = end
        return found.getvalue()

    async def readchunk(self) -> bytes:
        """Read the rest of the chunk at the current position: the way to copy a file with little memory.

        :returns: the bytes; none at the end of the file.
        :raises CorruptGridFile: the chunks are not those that the file must have.
        :raises InvalidOperation: it is closed, or another task is reading, or its transaction has ended.
        :raises OperationFailure: the server refused.
        """
        self._refuse_if_closed()
        if self._position >= self._shape.length:
            return b""
        part = await self._part(self._position, self._shape.chunk_size)
        self._position += len(part)
        return bytes(part)

    async def readline(self, size: int | None = -1) -> bytes:
        """Read to the end of the line.

        :param size: how many bytes at most; a negative number, or None, sets no limit.
        :returns: the line with its ``\\n``, which the last line of a file may lack; nothing at the end of the file.
        :raises ConfigurationError: ``size`` is not a whole number.
        :raises CorruptGridFile: the chunks are not those that the file must have.
        :raises InvalidOperation: it is closed, or another task is reading, or its transaction has ended.
        :raises OperationFailure: the server refused.
        """
        self._refuse_if_closed()
        wanted = self._within(size)
        position, parts = self._position, []
        while wanted:
            n, offset = self._shape.at(position)
            # One chunk at a time: where the line ends is not known before.
            chunk = await self._chunk(n, 1)
            if not isinstance(chunk, bytes):  # a view cannot be searched
                chunk = self._window[n - self._first] = bytes(chunk)
            end = chunk.find(b"\n", offset, offset + wanted) + 1
            part = chunk[offset : end or offset + wanted]
            parts.append(part)
            position += len(part)
            wanted = 0 if end else wanted - len(part)
        self._position = position
        return b"".join(parts)

    async def readlines(self, size: int | None = -1) -> list[bytes]:
        """Read the lines that are left.

        :param size: stop after the line with which they have this many bytes; a number below 1, or None, reads all.
        :returns: the lines, each with its ``\\n``.
        :raises ConfigurationError: ``size`` is not a whole number.
        :raises CorruptGridFile: the chunks are not those that the file must have.
        :raises InvalidOperation: it is closed, or another task is reading, or its transaction has ended.
        :raises OperationFailure: the server refused.
        """
        stop = _number("size", size)
        lines: list[bytes] = []
        read = 0
        while line := await self.readline():
            lines.append(line)
            read += len(line)
            if 0 < stop <= read:
                break
        return lines

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The rest of the file, chunk by chunk: what a web framework sends as a streaming response.

        :returns: an asynchronous iterator of bytes.
        :raises CorruptGridFile: the chunks are not those that the file must have.
        :raises InvalidOperation: it is closed, or another task is reading, or its transaction has ended.
        :raises OperationFailure: the server refused.
        """
        while chunk := await self.readchunk():
            yield chunk

    def __aiter__(self) -> Self:
        """The lines of the file, as with Python's files; :meth:`chunks` gives its chunks."""
        return self

    if not TYPE_CHECKING:  # type checkers know without it that a stream has no synchronous iteration

        def __iter__(self) -> NoReturn:
            raise TypeError("a file is read with `async for`, or with `await file.read()`, not with `for`")

    async def __anext__(self) -> bytes:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line

    def tell(self) -> int:
        """The current position.

        :returns: bytes from the beginning.
        """
        return self._position

    async def seek(self, pos: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position. Nothing is sent; the next read reads the chunks from there on.

        :param pos: bytes from the place that ``whence`` names. A position behind the end is allowed: there is nothing
            to read there.
        :param whence: ``os.SEEK_SET`` (the beginning), ``os.SEEK_CUR`` (the current position) or ``os.SEEK_END``.
        :returns: the position, in bytes from the beginning.
        :raises ConfigurationError: ``pos`` is not a whole number, the position is before the beginning, or ``whence``
            is none of these.
        :raises InvalidOperation: it is closed.
        """
        self._refuse_if_closed()
        bases = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._shape.length}
        if not isinstance(whence, int) or whence not in bases:
            raise ConfigurationError(f"whence must be os.SEEK_SET, os.SEEK_CUR or os.SEEK_END, not {whence!r}")
        if isinstance(pos, bool) or not isinstance(pos, int):
            raise ConfigurationError(f"pos must be a whole number of bytes, not {pos!r}")
        if bases[whence] + pos < 0:
            raise ConfigurationError(f"the position {bases[whence] + pos} is before the beginning of the file")
        self._position = bases[whence] + pos
        return self._position

    async def _copy(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Write the rest of the file somewhere."""

        async def write_part(part: Chunk) -> None:
            await write(bytes(part))
            self._position += len(part)

        await self._each(self._shape.length, write_part)

    async def _each(self, end: int, use: Callable[[Chunk], Awaitable[None]]) -> None:
        """Use the bytes from the current position up to ``end``, chunk by chunk, with further windows read ahead.

        Not in a session that was given: its operations take turns, and belong to one task.
        """
        start = self._position
        while start < end:
            n = self._shape.at(start)[0]
            if not self._has(n):
                chunks = (n, self._shape.at(end - 1)[0] + 1, _ID_SIZE)
                if self._session is None and not self._shape.is_one_window(*chunks):
                    await self._each_ahead(self._shape.windows(*chunks), start, end, use)
                    return
            part = await self._part(start, end - start)
            await use(part)
            start += len(part)

    async def _each_ahead(
        self,
        windows: Iterable[tuple[int, int]],
        start: int,
        end: int,
        use: Callable[[Chunk], Awaitable[None]],
    ) -> None:
        """Like :meth:`_each`, in ``windows``."""

        async def read(window: tuple[int, int]) -> tuple[int, list[Chunk]]:
            return window[0], await self._reader.read(*window)

        async def use_window(found: tuple[int, list[Chunk]]) -> None:
            nonlocal start
            self._first, self._window = found
            while start < end and self._has(self._shape.at(start)[0]):
                part = await self._part(start, end - start)
                await use(part)
                start += len(part)

        with self._alone():
            await in_order(read, windows, use_window, _AHEAD)

    def _within(self, size: int | None) -> int:
        """How many bytes to read where ``size`` are asked for."""
        left = max(self._shape.length - self._position, 0)
        wanted = _number("size", size)
        return left if wanted < 0 else min(wanted, left)

    async def _part(self, position: int, wanted: int) -> Chunk:
        """Bytes from ``position`` to the end of its chunk, at most ``wanted``."""
        n, offset = self._shape.at(position)
        chunk = await self._chunk(n, offset + wanted)
        if not offset and len(chunk) <= wanted:
            return chunk
        return memoryview(chunk)[offset : offset + wanted]

    async def _chunk(self, n: int, wanted: int) -> Chunk:
        """A chunk, from the window that is there, or from a new one.

        :param wanted: how many bytes are needed from its beginning on, in this and further chunks.
        """
        if not self._has(n):
            before = len(self._window) if self._first + len(self._window) == n else 0
            with self._alone():
                window = await self._reader.read(n, self._shape.window(n, wanted, before, _ID_SIZE))
            self._window, self._first = window, n
        return self._window[n - self._first]

    def _at_hand(self, wanted: int) -> bytes | None:
        """The next bytes, where they are in one chunk that was read: for programs that read a little at a time."""
        n, offset = self._shape.at(self._position)
        if not self._has(n) or offset + wanted > len(chunk := self._window[n - self._first]):
            return None
        return bytes(memoryview(chunk)[offset : offset + wanted])

    def _has(self, n: int) -> bool:
        """Whether the window that is there has chunk ``n``."""
        return 0 <= n - self._first < len(self._window)

    @contextmanager
    def _alone(self) -> Generator[None, None, None]:
        """Read something, unless another task does."""
        self._refuse_if_closed()
        if self._busy:
            raise InvalidOperation("another task is reading this file: let the tasks take turns, or open it twice")
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    # --- the end ---

    async def close(self) -> None:
        """Release what was read. May be called twice. Nothing is sent, and errors are not raised."""
        self._closed = True
        self._window = []

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise InvalidOperation("this file was closed: open it again with open_download_stream()")

    def __repr__(self) -> str:
        return f"<GridOut {self.filename!r}, {self._shape.length} bytes>"


def _number(name: str, value: object) -> int:
    """How much to read at most, as the user gave it; None is -1.

    :raises ConfigurationError: it is not a whole number.
    """
    if value is None:
        return -1
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(f"{name} must be a whole number of bytes, or None for all, not {value!r}")
    return value
