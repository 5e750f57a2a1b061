"""``GridIn``: the stream that a file is written to.

GridFS specification, "File Upload": a failure of the server is reported at once and nothing is removed after it; an
upload that is aborted is removed.

Rules kept here:

* The document of the file is inserted last, so that nobody finds a file that is not complete.
* An exception or a cancellation in the block of a stream aborts the upload; so does one in the source that is read.
* One task at a time writes.
"""

from __future__ import annotations

import datetime
import warnings
from collections.abc import AsyncIterable, Iterable
from enum import Enum
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from wiredrv import waits
from wiredrv.client.misuse import AsyncBlock
from wiredrv.client.validation import refuse
from wiredrv.errors import BulkWriteError, DriverError, DuplicateKeyError, FileExists, InvalidDocument, InvalidOperation
from wiredrv.gridfs.chunks import MOST_CHUNKS, UPLOAD_BATCH, ChunkDocument, ChunkWriter, Shape
from wiredrv.gridfs.files import check_filename, check_metadata, file_document
from wiredrv.gridfs.sent import Sent
from wiredrv.gridfs.sources import BYTES, Bytes, reader
from wiredrv.gridfs.store import Store
from wiredrv.origin import caller
from wiredrv.server_facts import ErrorCode
from wiredrv.types import Document, PlainDocument
from wiredrv.wire.codec import encode

if TYPE_CHECKING:
    from wiredrv.client.sessions.client_session import ClientSession

#: About how many bytes are read from a source at once.
_READ = 1024 * 1024
#: How many chunks are encoded between two checkpoints, where none is sent meanwhile. With one for each chunk, uploads
#: side by side would all encode first and all wait for the server afterwards.
_PER_CHECKPOINT = 100


class _State(Enum):
    OPEN = "is open"
    CLOSED = "is closed"
    ABORTED = "was aborted"
    INTERRUPTED = "was aborted, because a write was cancelled or refused, or its source failed"
    FAILED = "has failed"


class GridIn(AsyncBlock):
    """A file that is written. Made by ``bucket.open_upload_stream``.

    ``async with`` stores the file at the end of its block, and aborts the upload when the block is left by an exception
    or a cancellation. Without it, call :meth:`close` or :meth:`abort`. Used by one task at a time. GridFS
    specification, "File Upload".
    """

    _written = "bucket.open_upload_stream(...)"
    __slots__ = (
        "__weakref__",
        "_batch",
        "_batch_size",
        "_busy",
        "_chunk_size",
        "_filename",
        "_id",
        "_length",
        "_metadata",
        "_origin",
        "_pending",
        "_sent",
        "_state",
        "_store",
        "_upload_date",
        "_writer",
    )

    def __init__(
        self,
        store: Store,
        file_id: object,
        generated: bool,
        filename: str,
        chunk_size: int,
        metadata: Document | None,
        session: ClientSession | None,
        timeout_ms: int | None,
    ) -> None:
        """Made by the bucket.

        :param store: the bucket's collections.
        :param file_id: the file's id.
        :param generated: whether no other file can have this id.
        :param filename: the file's name.
        :param chunk_size: how many bytes each chunk has, except the last one.
        :param metadata: a document that is stored with the file; None stores none.
        :param session: the session of the upload, given or bound.
        :param timeout_ms: milliseconds for the whole upload; 0 sets no limit, None takes the bucket's.
        :raises ConfigurationError: ``timeout_ms`` is not a whole number from 0 up.
        :raises InvalidDocument: the id has no BSON form.
        """
        fresh = partial(store.begin, timeout_ms)
        self._store = fresh()
        self._state = _State.OPEN
        self._id = file_id
        self._writer = ChunkWriter(encode({"files_id": file_id}, store.chunks.codec_options))
        self._filename = filename
        self._metadata = metadata
        self._chunk_size = chunk_size
        self._length = 0
        self._upload_date: datetime.datetime | None = None
        #: The beginning of the next chunk.
        self._pending = bytearray()
        #: Chunks that are not sent yet.
        self._batch: list[ChunkDocument] = []
        self._batch_size = 0
        self._busy = False
        self._sent = Sent(self._store, fresh, file_id, generated, session)
        self._origin = caller()

    # --- what it is ---

    @property
    def filename(self) -> str:
        """The file's name. It can be changed until the file is stored."""
        return self._filename

    @filename.setter
    def filename(self, value: str) -> None:
        self._refuse_unless_open()
        self._filename = check_filename("filename", value)

    @property
    def name(self) -> str:
        """Another name of :attr:`filename`."""
        return self._filename

    @property
    def metadata(self) -> Document | None:
        """The file's metadata. It can be changed until the file is stored, as to add a digest of the bytes."""
        return self._metadata

    @metadata.setter
    def metadata(self, value: Document | None) -> None:
        self._refuse_unless_open()
        self._metadata = check_metadata(value)

    @property
    def chunk_size(self) -> int:
        """How many bytes each chunk has, except the last one."""
        return self._chunk_size

    @property
    def length(self) -> int:
        """How many bytes were written so far."""
        return self._length

    @property
    def upload_date(self) -> datetime.datetime | None:
        """When the file was stored, in UTC; None before."""
        return self._upload_date

    @property
    def session(self) -> ClientSession | None:
        """The session that the stream was opened with, given or bound; None if it has one of its own."""
        return self._sent.given

    @property
    def closed(self) -> bool:
        """Whether nothing more can be written: the file is stored, or the upload was aborted or has failed."""
        return self._state is not _State.OPEN

    def readable(self) -> bool:
        """False.

        :returns: False.
        """
        return False

    def seekable(self) -> bool:
        """False.

        :returns: False.
        """
        return False

    def writable(self) -> bool:
        """True.

        :returns: True.
        """
        return True

    def writeable(self) -> bool:
        """PyMongo's name of :meth:`writable`.

        :returns: True.
        """
        return True

    if not TYPE_CHECKING:  # type checkers know without it which attributes there are

        def __setattr__(self, name: str, value: object) -> None:
            try:
                super().__setattr__(name, value)
            except AttributeError:
                # PyMongo stores what is assigned to any other name in the file's document.
                raise AttributeError(
                    f"the {name!r} of an upload cannot be set: store it in its metadata, as in "
                    f"stream.metadata = {{{name!r}: ...}}"
                    if name not in type(self).__dict__
                    else f"the {name!r} of an upload cannot be set: only filename and metadata can"
                ) from None

    # --- writing ---

    async def write(self, data: object) -> None:
        """Write bytes. They are sent in large batches, so what is written last is sent by :meth:`close`.

        :param data: bytes; or a source of them, which is read to its end: a file object with ``read()``, synchronous or
            not, or an asynchronous iterator. If reading it fails, the upload is aborted.
        :raises ConfigurationError: ``data`` is anything else.
        :raises FileExists: another file has the stream's id.
        :raises InvalidOperation: the stream is closed, or another task is writing, or its transaction has ended.
        :raises OperationFailure: the server refused the chunks; the upload has failed then, and nothing is removed.
        """
        source = None if isinstance(data, BYTES) else reader(data)
        self._begin()
        try:
            if isinstance(data, BYTES):
                await self._take(data)
            elif source is not None:
                size = self._chunk_size * max(_READ // self._chunk_size, 1)
                while piece := await source(size):
                    await self._take(piece)
        except BaseException as error:
            await self._stop(error)
            raise
        finally:
            self._busy = False

    async def writelines(self, sequence: Iterable[Bytes] | AsyncIterable[Bytes]) -> None:
        """Write several pieces of bytes, one after the other; nothing is added between them.

        :param sequence: the pieces.
        :raises ConfigurationError: one of them is not bytes, or ``sequence`` is not iterable.
        :raises FileExists: another file has the stream's id.
        :raises InvalidOperation: the stream is closed, or another task is writing, or its transaction has ended.
        :raises OperationFailure: the server refused the chunks; the upload has failed then, and nothing is removed.
        """
        if not isinstance(sequence, (AsyncIterable, Iterable)):
            refuse("sequence", "an iterable of bytes", sequence)
        if isinstance(sequence, AsyncIterable):
            async for line in sequence:
                await self.write(line)
        else:
            for line in sequence:
                await self.write(line)

    async def _take(self, data: Bytes) -> None:
        size = self._chunk_size
        if isinstance(data, memoryview) and not data.c_contiguous:
            data = data.tobytes()
        with memoryview(data).cast("B") as view:
            start = 0
            if self._pending:
                start = min(size - len(self._pending), len(view))
                self._pending += view[:start]
                self._length += start
                if len(self._pending) < size:
                    return
                full, self._pending = self._pending, bytearray()
                await self._add(full)
            while len(view) - start >= size:
                self._length += size
                await self._add(view[start : start + size])
                start += size
            self._pending += view[start:]
            self._length += len(view) - start

    async def _add(self, data: bytearray | memoryview) -> None:
        """Add a chunk to the batch, and send the batch if it is full."""
        chunk = self._writer.encode(data)
        self._batch.append(chunk)
        self._batch_size += len(chunk.raw)
        if self._batch_size + len(chunk.raw) > UPLOAD_BATCH or len(self._batch) == MOST_CHUNKS:
            await self._send()
        elif not len(self._batch) % _PER_CHECKPOINT:
            await waits.checkpoint()

    async def _send(self) -> None:
        """Insert the chunks of the batch."""
        self._refuse_if_dropped()
        batch, self._batch, self._batch_size = self._batch, [], 0
        if not batch:
            return
        try:
            session = self._sent.start()
            await self._store.prepare(session)
            self._refuse_if_dropped()
            self._sent.chunks(batch)
            await self._store.chunks.insert_many(batch, session=session)
        except DriverError as error:
            self._failed(error)
            failures = error.details["writeErrors"] if isinstance(error, BulkWriteError) and error.details else ()
            if any(failure.get("code") == ErrorCode.DuplicateKey for failure in failures):
                raise self._exists() from error
            raise

    def _failed(self, error: DriverError) -> None:
        """Something could not be stored. What was refused before it was sent is no failure of a server."""
        if not isinstance(error, (InvalidDocument, InvalidOperation)):
            self._state = _State.FAILED

    def _exists(self) -> FileExists:
        return FileExists(f"a file with the id {self._id!r} exists, or is being uploaded")

    # --- the end ---

    async def close(self) -> None:
        """Send what is left, and store the file. May be called twice; after :meth:`abort` it does nothing.

        :raises FileExists: another file has the stream's id.
        :raises InvalidOperation: a write has failed or was cancelled, so that there is no file to be stored; or another
            task is writing, or the stream's transaction has ended.
        :raises OperationFailure: the server refused; the upload has failed then, and nothing is removed.
        """
        if self._state in (_State.CLOSED, _State.ABORTED):
            return
        self._begin()
        try:
            await self._store_file()
        except BaseException as error:
            await self._stop(error)
            raise
        finally:
            self._busy = False

    async def _store_file(self) -> None:
        if self._pending:
            last, self._pending = self._pending, bytearray()
            self._batch.append(self._writer.encode(last))
        await self._send()
        now = datetime.datetime.now(datetime.UTC)
        # As precise as what is stored.
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        shape = Shape(self._length, self._chunk_size)
        document: PlainDocument = file_document(self._id, shape, now, self._filename, self._metadata)
        try:
            session = self._sent.start()
            await self._store.prepare(session)
            self._refuse_if_dropped()
            self._sent.file(document)
            await self._store.files.insert_one(document, session=session)
        except DriverError as error:
            self._failed(error)
            if isinstance(error, DuplicateKeyError):
                raise self._exists() from error
            raise
        self._refuse_if_dropped()
        self._upload_date = now
        self._state = _State.CLOSED
        await self._sent.end()

    async def abort(self) -> None:
        """Give the upload up and delete the chunks that were sent. May be called twice.

        After a failed write it deletes what the write left.

        :raises InvalidOperation: the file is stored already: ``bucket.delete`` deletes it; or another task is writing.
        :raises DriverError: the chunks could not be deleted.
        """
        if self._state is _State.CLOSED:
            raise InvalidOperation("this upload is complete, so it cannot be aborted: bucket.delete() deletes the file")
        if self._busy and self._state is _State.OPEN:
            raise InvalidOperation("another task is writing to this stream: cancel it, which aborts the upload")
        if self._state in (_State.OPEN, _State.FAILED):
            self._drop(_State.ABORTED)
            await self._sent.remove()

    async def _stop(self, error: BaseException) -> None:
        """A server has failed, or a source; or this was cancelled."""
        if self._state is _State.OPEN:
            self._drop(_State.INTERRUPTED)
            await self._sent.remove_quietly(error)
        elif self._state is _State.FAILED:
            self._drop(_State.FAILED)
            await self._sent.end()

    def _drop(self, state: _State) -> None:
        self._state = state
        self._batch, self._pending = [], bytearray()

    def _begin(self) -> None:
        self._refuse_unless_open()
        if self._busy:
            raise InvalidOperation("another task is writing to this stream: let the tasks take turns")
        self._sent.refuse_elsewhere()
        self._busy = True

    def _refuse_if_dropped(self) -> None:
        """Refuse to send anything more: another task has left the stream's block by an exception meanwhile."""
        if self._state is not _State.OPEN:
            raise InvalidOperation("this upload was aborted by another task: what is left of it is not stored")

    def _refuse_unless_open(self) -> None:
        if self._state is not _State.OPEN:
            raise InvalidOperation(f"this upload {self._state.value}: open another stream")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is None:
            await self.close()
        elif self._state is _State.OPEN:
            self._drop(_State.ABORTED)
            await self._sent.remove_quietly(exc)

    def __del__(self) -> None:
        if getattr(self, "_origin", "") and self._state is _State.OPEN:
            self._sent.remove_later()  # first: a program may turn the warning into an exception
            warnings.warn(
                f"an upload begun at {self._origin} was neither closed nor aborted, so its file is not stored: use "
                f"`{self._store.client._core.block} bucket.open_upload_stream(...)`",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )

    def __repr__(self) -> str:
        return f"<GridIn {self._filename!r}, {self._state.value}>"
