"""``GridFSBucket``: the files of a bucket. The names and meanings are PyMongo's.

Written by ``python -m tools.synchronous`` from ``wiredrv.gridfs.bucket``: do not edit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from bson.objectid import ObjectId

from wiredrv.client.arguments import FindOptions, expanded
from wiredrv.client.validation import refuse
from wiredrv.concerns import ReadConcern, ReadPreference, WriteConcern
from wiredrv.gridfs.bucket import GridFSBucket as AsyncGridFSBucket
from wiredrv.gridfs.chunks import DEFAULT_CHUNK_SIZE
from wiredrv.sync.base import Synchronous, awaited, session_of
from wiredrv.sync.database import Database
from wiredrv.sync.download import GridOut
from wiredrv.sync.grid_cursor import GridOutCursor
from wiredrv.sync.upload import GridIn
from wiredrv.types import Document

if TYPE_CHECKING:
    from wiredrv.sync.client_session import ClientSession


class GridFSBucket(Synchronous):
    """A bucket: files of any size, in the collections ``<bucket_name>.files`` and ``<bucket_name>.chunks``.

    Creating it sends nothing, and it is immutable. All methods take ``session=``; without it they use the bound
    session, or implicit ones. They can be used in transactions: see the guide. GridFS specification.

    :param db: the database.
    :param bucket_name: what the names of the collections begin with.
    :param chunk_size_bytes: how many bytes each chunk of a new file has, except the last one.
    :param write_concern: what a write waits for; None takes the database's. It must be acknowledged.
    :param read_preference: which members may answer reads; None takes the database's.
    :param read_concern: how durable what is read must be; None takes the database's.
    :param timeout_ms: milliseconds for each call, and for the whole life of each stream; 0 sets no limit, None takes
        the database's.
    :raises ConfigurationError: an option is of the wrong kind, or the write concern is unacknowledged.
    :raises InvalidName: the name cannot be that of collections.
    """

    __slots__ = ()

    _inner: AsyncGridFSBucket

    def __init__(
        self,
        db: Database[Any],
        bucket_name: str = "fs",
        chunk_size_bytes: int = DEFAULT_CHUNK_SIZE,
        write_concern: WriteConcern | None = None,
        read_preference: ReadPreference | None = None,
        read_concern: ReadConcern | None = None,
        *,
        timeout_ms: int | None = None,
    ) -> None:
        if not isinstance(db, Database):
            refuse("db", "a Database of wiredrv.sync, as client['files']", db)
        options = (write_concern, read_preference, read_concern)
        inner = AsyncGridFSBucket(db._inner, bucket_name, chunk_size_bytes, *options, timeout_ms=timeout_ms)
        super().__init__(inner, db)

    @property
    def bucket_name(self) -> str:
        """What the names of the collections begin with."""
        return self._inner.bucket_name

    @property
    def chunk_size_bytes(self) -> int:
        """How many bytes each chunk of a new file has, except the last one."""
        return self._inner.chunk_size_bytes

    def open_upload_stream(
        self,
        filename: str,
        chunk_size_bytes: int | None = None,
        metadata: Document | None = None,
        session: ClientSession | None = None,
        *,
        timeout_ms: int | None = None,
    ) -> GridIn:
        """Open a stream to write a file to. Nothing is sent yet.

        ::

            with bucket.open_upload_stream("report.pdf") as stream:
                stream.write(data)
            print(stream._id)

        :param filename: the file's name. Files of one name are revisions.
        :param chunk_size_bytes: how many bytes each chunk of the file has; None takes the bucket's.
        :param metadata: a document that is stored with the file; None stores none.
        :param session: the session of the whole upload; without it the bound one, or implicit ones.
        :param timeout_ms: milliseconds for the whole upload; 0 sets no limit, None takes the bucket's.
        :returns: the stream, for ``with``.
        :raises ConfigurationError: an argument is of the wrong kind.
        :raises InvalidOperation: the session is another client's or is bound in another thread, or the client is
            closed.
        """
        return GridIn(
            self._threads.call(
                self._inner.open_upload_stream,
                filename,
                chunk_size_bytes,
                metadata,
                None if session is None else session_of(session),
                timeout_ms=timeout_ms,
            ),
            self,
        )

    def open_upload_stream_with_id(
        self,
        file_id: object,
        filename: str,
        chunk_size_bytes: int | None = None,
        metadata: Document | None = None,
        session: ClientSession | None = None,
        *,
        timeout_ms: int | None = None,
    ) -> GridIn:
        """Open a stream to write a file to that has an id of your own. Nothing is sent yet.

        :param file_id: the file's id: any value that can be an ``_id``.
        :param filename: the file's name. Files of one name are revisions.
        :param chunk_size_bytes: how many bytes each chunk of the file has; None takes the bucket's.
        :param metadata: a document that is stored with the file; None stores none.
        :param session: the session of the whole upload; without it the bound one, or implicit ones.
        :param timeout_ms: milliseconds for the whole upload; 0 sets no limit, None takes the bucket's.
        :returns: the stream, for ``with``.
        :raises ConfigurationError: an argument is of the wrong kind.
        :raises InvalidDocument: the id has no BSON form.
        :raises InvalidOperation: the session is another client's or is bound in another thread, or the client is
            closed.
        """
        return GridIn(
            self._threads.call(
                self._inner.open_upload_stream_with_id,
                file_id,
                filename,
                chunk_size_bytes,
                metadata,
                None if session is None else session_of(session),
                timeout_ms=timeout_ms,
            ),
            self,
        )

    def upload_from_stream(
        self,
        filename: str,
        source: object,
        chunk_size_bytes: int | None = None,
        metadata: Document | None = None,
        session: ClientSession | None = None,
        *,
        timeout_ms: int | None = None,
    ) -> ObjectId:
        """Store a file. If reading ``source`` fails, or the call is cancelled, what was stored of it is removed.

        :param filename: the file's name. Files of one name are revisions.
        :param source: bytes; a file object with ``read()``.
            It is not closed.
        :param chunk_size_bytes: how many bytes each chunk of the file has; None takes the bucket's.
        :param metadata: a document that is stored with the file; None stores none.
        :param session: the session of the whole upload; without it the bound one, or implicit ones.
        :param timeout_ms: milliseconds for the whole upload; 0 sets no limit, None takes the bucket's.
        :returns: the file's id.
        :raises ConfigurationError: an argument is of the wrong kind.
        :raises OperationFailure: the server refused; nothing is removed then.
        """
        return self._threads.run(
            self._inner.upload_from_stream(
                filename,
                source,
                chunk_size_bytes,
                metadata,
                None if session is None else session_of(session),
                timeout_ms=timeout_ms,
            )
        )

    def upload_from_stream_with_id(
        self,
        file_id: object,
        filename: str,
        source: object,
        chunk_size_bytes: int | None = None,
        metadata: Document | None = None,
        session: ClientSession | None = None,
        *,
        timeout_ms: int | None = None,
    ) -> None:
        """Store a file that has an id of your own. If reading ``source`` fails, what was stored of it is removed.

        :param file_id: the file's id: any value that can be an ``_id``.
        :param filename: the file's name. Files of one name are revisions.
        :param source: bytes; a file object with ``read()``.
            It is not closed.
        :param chunk_size_bytes: how many bytes each chunk of the file has; None takes the bucket's.
        :param metadata: a document that is stored with the file; None stores none.
        :param session: the session of the whole upload; without it the bound one, or implicit ones.
        :param timeout_ms: milliseconds for the whole upload; 0 sets no limit, None takes the bucket's.
        :raises ConfigurationError: an argument is of the wrong kind.
        :raises FileExists: another file has this id.
        :raises OperationFailure: the server refused; nothing is removed then.
        """
        self._threads.run(
            self._inner.upload_from_stream_with_id(
                file_id,
                filename,
                source,
                chunk_size_bytes,
                metadata,
                None if session is None else session_of(session),
                timeout_ms=timeout_ms,
            )
        )

    def open_download_stream(
        self, file_id: object, session: ClientSession | None = None, *, timeout_ms: int | None = None
    ) -> GridOut:
        """Find a file, and open a stream to read it from. ``with`` closes it.

        :param file_id: the file's id.
        :param session: the session of the whole download; without it the bound one, or implicit ones.
        :param timeout_ms: milliseconds for the whole download; 0 sets no limit, None takes the bucket's.
        :returns: the stream.
        :raises NoFile: there is no such file.
        :raises CorruptGridFile: its document does not say how long it is.
        :raises OperationFailure: the server refused.
        """
        return GridOut(
            self._threads.run(
                awaited(
                    self._inner.open_download_stream(
                        file_id, None if session is None else session_of(session), timeout_ms=timeout_ms
                    )
                )
            ),
            self,
        )

    def open_download_stream_by_name(
        self, filename: str, revision: int = -1, session: ClientSession | None = None, *, timeout_ms: int | None = None
    ) -> GridOut:
        """Find a file by its name, and open a stream to read it from. ``with`` closes it.

        :param filename: the file's name.
        :param revision: which one of that name: 0 is the oldest, 1 the second; -1 the newest, -2 the one before.
        :param session: the session of the whole download; without it the bound one, or implicit ones.
        :param timeout_ms: milliseconds for the whole download; 0 sets no limit, None takes the bucket's.
        :returns: the stream.
        :raises NoFile: there is no file of that name, or it has no such revision.
        :raises ConfigurationError: an argument is of the wrong kind.
        :raises CorruptGridFile: its document does not say how long it is.
        :raises OperationFailure: the server refused.
        """
        return GridOut(
            self._threads.run(
                awaited(
                    self._inner.open_download_stream_by_name(
                        filename, revision, None if session is None else session_of(session), timeout_ms=timeout_ms
                    )
                )
            ),
            self,
        )

    def download_to_stream(
        self,
        file_id: object,
        destination: object,
        session: ClientSession | None = None,
        *,
        timeout_ms: int | None = None,
    ) -> None:
        """Copy a file to a destination.

        :param file_id: the file's id.
        :param destination: a file object with ``write()``. It is not
            closed.
        :param session: the session of the whole download; without it the bound one, or implicit ones.
        :param timeout_ms: milliseconds for the whole download; 0 sets no limit, None takes the bucket's.
        :raises NoFile: there is no such file.
        :raises CorruptGridFile: the chunks are not those that the file must have.
        :raises ConfigurationError: nothing can be written to the destination.
        :raises OperationFailure: the server refused.
        """
        self._threads.run(
            self._inner.download_to_stream(
                file_id, destination, None if session is None else session_of(session), timeout_ms=timeout_ms
            )
        )

    def download_to_stream_by_name(
        self,
        filename: str,
        destination: object,
        revision: int = -1,
        session: ClientSession | None = None,
        *,
        timeout_ms: int | None = None,
    ) -> None:
        """Copy a file to a destination, by its name.

        :param filename: the file's name.
        :param destination: a file object with ``write()``. It is not
            closed.
        :param revision: which one of that name: 0 is the oldest, 1 the second; -1 the newest, -2 the one before.
        :param session: the session of the whole download; without it the bound one, or implicit ones.
        :param timeout_ms: milliseconds for the whole download; 0 sets no limit, None takes the bucket's.
        :raises NoFile: there is no file of that name, or it has no such revision.
        :raises CorruptGridFile: the chunks are not those that the file must have.
        :raises ConfigurationError: an argument is of the wrong kind.
        :raises OperationFailure: the server refused.
        """
        self._threads.run(
            self._inner.download_to_stream_by_name(
                filename, destination, revision, None if session is None else session_of(session), timeout_ms=timeout_ms
            )
        )

    @expanded(FindOptions)
    def find(
        self, filter: Document | None = None, *, session: ClientSession | None = None, **options: Unpack[FindOptions]
    ) -> GridOutCursor:
        """Find files. Nothing is sent before the first one is requested.

        ::

            for file in bucket.find({"metadata.owner": "ann"}).sort("uploadDate", -1):
                print(file.filename, file.length)

        :param filter: a query on the documents of the files, which have the fields ``_id``, ``filename``, ``length``,
            ``chunkSize``, ``uploadDate`` and ``metadata``; None matches everything.
        :param session: the session of the find and of the files that are read; without it the bound one, or implicit
            ones.
        :param options: as of ``Collection.find``: ``sort``, ``limit``, ``skip``, ``batch_size``, ``max_time_ms``,
            ``no_cursor_timeout``, ``allow_disk_use``...
        :returns: the cursor, for ``for`` and its methods. It gives :class:`GridOut` streams.
        :raises ConfigurationError: an argument is of the wrong kind, or leaves out fields that a file needs.
        """
        return GridOutCursor(
            self._inner.find(filter, session=None if session is None else session_of(session), **options), self
        )

    def delete(self, file_id: object, session: ClientSession | None = None, *, timeout_ms: int | None = None) -> None:
        """Delete a file. Chunks without a file are deleted too, where they have this id.

        :param file_id: the file's id.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param timeout_ms: milliseconds for the call; 0 sets no limit, None takes the bucket's.
        :raises NoFile: there is no such file.
        :raises OperationFailure: the server refused. If the file is gone already, delete it once more to delete its
            chunks too.
        """
        self._threads.run(
            self._inner.delete(file_id, None if session is None else session_of(session), timeout_ms=timeout_ms)
        )

    def delete_by_name(
        self, filename: str, session: ClientSession | None = None, *, timeout_ms: int | None = None
    ) -> None:
        """Delete all files of one name.

        :param filename: their name.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param timeout_ms: milliseconds for the call; 0 sets no limit, None takes the bucket's.
        :raises NoFile: there is none.
        :raises CorruptGridFile: the document of one has no ``_id``; nothing is deleted.
        :raises ConfigurationError: the name is not a string.
        :raises OperationFailure: the server refused; some of the files, or of their chunks, may be deleted.
        """
        self._threads.run(
            self._inner.delete_by_name(
                filename, None if session is None else session_of(session), timeout_ms=timeout_ms
            )
        )

    def rename(
        self, file_id: object, new_filename: str, session: ClientSession | None = None, *, timeout_ms: int | None = None
    ) -> None:
        """Give a file another name.

        :param file_id: the file's id.
        :param new_filename: its new name.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param timeout_ms: milliseconds for the call; 0 sets no limit, None takes the bucket's.
        :raises NoFile: there is no such file.
        :raises ConfigurationError: the name is not a string.
        :raises OperationFailure: the server refused.
        """
        self._threads.run(
            self._inner.rename(
                file_id, new_filename, None if session is None else session_of(session), timeout_ms=timeout_ms
            )
        )

    def rename_by_name(
        self, filename: str, new_filename: str, session: ClientSession | None = None, *, timeout_ms: int | None = None
    ) -> None:
        """Give all files of one name another name.

        :param filename: their name.
        :param new_filename: their new name.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param timeout_ms: milliseconds for the call; 0 sets no limit, None takes the bucket's.
        :raises NoFile: there is none.
        :raises ConfigurationError: a name is not a string.
        :raises OperationFailure: the server refused; some of the files may have the new name.
        """
        self._threads.run(
            self._inner.rename_by_name(
                filename, new_filename, None if session is None else session_of(session), timeout_ms=timeout_ms
            )
        )

    def drop(self, session: ClientSession | None = None, *, timeout_ms: int | None = None) -> None:
        """Drop both collections of the bucket, with their indexes.

        :param session: the session to use; without it the bound one, or an implicit one.
        :param timeout_ms: milliseconds for the call; 0 sets no limit, None takes the bucket's.
        :raises OperationFailure: the server refused, as it does in a transaction.
        """
        self._threads.run(self._inner.drop(None if session is None else session_of(session), timeout_ms=timeout_ms))

    def create_indexes(self, session: ClientSession | None = None, *, timeout_ms: int | None = None) -> None:
        """Create the indexes of both collections, if they do not exist.

        The first upload of a bucket does this if there are no files yet. Call it where the first upload would be in a
        transaction, in which no index is created.

        :param session: the session to use; without it the bound one, or an implicit one.
        :param timeout_ms: milliseconds for the call; 0 sets no limit, None takes the bucket's.
        :raises OperationFailure: the server refused.
        """
        self._threads.run(
            self._inner.create_indexes(None if session is None else session_of(session), timeout_ms=timeout_ms)
        )
