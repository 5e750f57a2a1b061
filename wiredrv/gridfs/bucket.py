"""``GridFSBucket``: the files of a bucket. The names and meanings are PyMongo's.

GridFS specification.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from bson.objectid import ObjectId

from wiredrv.client.arguments import FindOptions, expanded
from wiredrv.client.database import Database
from wiredrv.client.lasting import kept_session
from wiredrv.client.validation import refuse
from wiredrv.concerns import ReadConcern, ReadPreference, WriteConcern
from wiredrv.errors import NoFile
from wiredrv.gridfs.chunks import DEFAULT_CHUNK_SIZE, check_chunk_size
from wiredrv.gridfs.cursor import GridOutCursor, refuse_partial_files
from wiredrv.gridfs.download import GridOut, OpeningGridOut
from wiredrv.gridfs.files import check_filename, check_metadata, id_of, revision_order
from wiredrv.gridfs.sources import writer
from wiredrv.gridfs.store import Store, is_equal
from wiredrv.gridfs.upload import GridIn
from wiredrv.types import Document

if TYPE_CHECKING:
    from wiredrv.client.sessions.client_session import ClientSession


class GridFSBucket:
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
            refuse("db", "a Database, as client['files']", db)
        self._store = Store(db, bucket_name, write_concern, read_preference, read_concern, timeout_ms)
        self._bucket_name = bucket_name
        self._chunk_size = check_chunk_size(chunk_size_bytes)

    @property
    def bucket_name(self) -> str:
        """What the names of the collections begin with."""
        return self._bucket_name

    @property
    def chunk_size_bytes(self) -> int:
        """How many bytes each chunk of a new file has, except the last one."""
        return self._chunk_size

    # --- uploads ---

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

            async with bucket.open_upload_stream("report.pdf") as stream:
                await stream.write(data)
            print(stream._id)

        :param filename: the file's name. Files of one name are revisions.
        :param chunk_size_bytes: how many bytes each chunk of the file has; None takes the bucket's.
        :param metadata: a document that is stored with the file; None stores none.
        :param session: the session of the whole upload; without it the bound one, or implicit ones.
        :param timeout_ms: milliseconds for the whole upload; 0 sets no limit, None takes the bucket's.
        :returns: the stream, for ``async with``.
        :raises ConfigurationError: an argument is of the wrong kind.
        :raises InvalidOperation: the session is another client's or is bound in another task, or the client is closed.
        """
        return self._upload(ObjectId(), True, filename, chunk_size_bytes, metadata, session, timeout_ms)

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
        :returns: the stream, for ``async with``.
        :raises ConfigurationError: an argument is of the wrong kind.
        :raises InvalidDocument: the id has no BSON form.
        :raises InvalidOperation: the session is another client's or is bound in another task, or the client is closed.
        """
        return self._upload(file_id, False, filename, chunk_size_bytes, metadata, session, timeout_ms)

    async def upload_from_stream(
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
        :param source: bytes; a file object with ``read()``, synchronous or not; or an asynchronous iterator of bytes.
            It is not closed.
        :param chunk_size_bytes: how many bytes each chunk of the file has; None takes the bucket's.
        :param metadata: a document that is stored with the file; None stores none.
        :param session: the session of the whole upload; without it the bound one, or implicit ones.
        :param timeout_ms: milliseconds for the whole upload; 0 sets no limit, None takes the bucket's.
        :returns: the file's id.
        :raises ConfigurationError: an argument is of the wrong kind.
        :raises OperationFailure: the server refused; nothing is removed then.
        """
        file_id = ObjectId()
        async with self._upload(file_id, True, filename, chunk_size_bytes, metadata, session, timeout_ms) as stream:
            await stream.write(source)
        return file_id

    async def upload_from_stream_with_id(
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
        :param source: bytes; a file object with ``read()``, synchronous or not; or an asynchronous iterator of bytes.
            It is not closed.
        :param chunk_size_bytes: how many bytes each chunk of the file has; None takes the bucket's.
        :param metadata: a document that is stored with the file; None stores none.
        :param session: the session of the whole upload; without it the bound one, or implicit ones.
        :param timeout_ms: milliseconds for the whole upload; 0 sets no limit, None takes the bucket's.
        :raises ConfigurationError: an argument is of the wrong kind.
        :raises FileExists: another file has this id.
        :raises OperationFailure: the server refused; nothing is removed then.
        """
        async with self._upload(file_id, False, filename, chunk_size_bytes, metadata, session, timeout_ms) as stream:
            await stream.write(source)

    def _upload(
        self,
        file_id: object,
        generated: bool,
        filename: str,
        chunk_size_bytes: int | None,
        metadata: Document | None,
        session: ClientSession | None,
        timeout_ms: int | None,
    ) -> GridIn:
        return GridIn(
            self._store,
            file_id,
            generated,
            check_filename("filename", filename),
            self._chunk_size if chunk_size_bytes is None else check_chunk_size(chunk_size_bytes),
            check_metadata(metadata),
            kept_session(self._store.client, session),
            timeout_ms,
        )

    # --- downloads ---

    def open_download_stream(
        self, file_id: object, session: ClientSession | None = None, *, timeout_ms: int | None = None
    ) -> OpeningGridOut:
        """Find a file, and open a stream to read it from: with ``await``, or with ``async with``, which closes it.

        :param file_id: the file's id.
        :param session: the session of the whole download; without it the bound one, or implicit ones.
        :param timeout_ms: milliseconds for the whole download; 0 sets no limit, None takes the bucket's.
        :returns: the stream, once it is awaited or entered; that is also when the file is looked for.
        :raises NoFile: there is no such file.
        :raises CorruptGridFile: its document does not say how long it is.
        :raises OperationFailure: the server refused.
        """
        return OpeningGridOut(partial(self._find, file_id, session, timeout_ms))

    def open_download_stream_by_name(
        self, filename: str, revision: int = -1, session: ClientSession | None = None, *, timeout_ms: int | None = None
    ) -> OpeningGridOut:
        """Find a file by its name, and open a stream to read it from: with ``await``, or with ``async with``.

        :param filename: the file's name.
        :param revision: which one of that name: 0 is the oldest, 1 the second; -1 the newest, -2 the one before.
        :param session: the session of the whole download; without it the bound one, or implicit ones.
        :param timeout_ms: milliseconds for the whole download; 0 sets no limit, None takes the bucket's.
        :returns: the stream, once it is awaited or entered; that is also when the file is looked for.
        :raises NoFile: there is no file of that name, or it has no such revision.
        :raises ConfigurationError: an argument is of the wrong kind.
        :raises CorruptGridFile: its document does not say how long it is.
        :raises OperationFailure: the server refused.
        """
        query = {"filename": check_filename("filename", filename)}
        revision_order(revision)
        return OpeningGridOut(partial(self._find_by_name, query, revision, session, timeout_ms))

    async def _find(self, file_id: object, session: ClientSession | None, timeout_ms: int | None) -> GridOut:
        store = self._store.begin(timeout_ms)
        kept = kept_session(store.client, session)
        file = await store.files.find_one({"_id": is_equal(file_id)}, session=kept)
        if file is None:
            raise NoFile(f"there is no file with the id {file_id!r} in the bucket {self._bucket_name!r}")
        return GridOut(store, file, kept)

    async def _find_by_name(
        self, query: Document, revision: int, session: ClientSession | None, timeout_ms: int | None
    ) -> GridOut:
        direction, skip = revision_order(revision)
        store = self._store.begin(timeout_ms)
        kept = kept_session(store.client, session)
        file = await store.files.find_one(query, sort=[("uploadDate", direction)], skip=skip, session=kept)
        if file is not None:
            return GridOut(store, file, kept)
        where = f"in the bucket {self._bucket_name!r}"
        if skip and await store.files.find_one(query, {"_id": 1}, session=kept) is not None:
            raise NoFile(f"the file {query['filename']!r} {where} has no revision {revision}")
        raise NoFile(f"there is no file with the name {query['filename']!r} {where}")

    async def download_to_stream(
        self,
        file_id: object,
        destination: object,
        session: ClientSession | None = None,
        *,
        timeout_ms: int | None = None,
    ) -> None:
        """Copy a file to a destination.

        :param file_id: the file's id.
        :param destination: a file object with ``write()``, synchronous or not, or a stream with ``send()``. It is not
            closed.
        :param session: the session of the whole download; without it the bound one, or implicit ones.
        :param timeout_ms: milliseconds for the whole download; 0 sets no limit, None takes the bucket's.
        :raises NoFile: there is no such file.
        :raises CorruptGridFile: the chunks are not those that the file must have.
        :raises ConfigurationError: nothing can be written to the destination.
        :raises OperationFailure: the server refused.
        """
        write = writer(destination)
        await (await self.open_download_stream(file_id, session, timeout_ms=timeout_ms))._copy(write)

    async def download_to_stream_by_name(
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
        :param destination: a file object with ``write()``, synchronous or not, or a stream with ``send()``. It is not
            closed.
        :param revision: which one of that name: 0 is the oldest, 1 the second; -1 the newest, -2 the one before.
        :param session: the session of the whole download; without it the bound one, or implicit ones.
        :param timeout_ms: milliseconds for the whole download; 0 sets no limit, None takes the bucket's.
        :raises NoFile: there is no file of that name, or it has no such revision.
        :raises CorruptGridFile: the chunks are not those that the file must have.
        :raises ConfigurationError: an argument is of the wrong kind.
        :raises OperationFailure: the server refused.
        """
        write = writer(destination)
        stream = await self.open_download_stream_by_name(filename, revision, session, timeout_ms=timeout_ms)
        await stream._copy(write)

    # --- files ---

    @expanded(FindOptions)
    def find(
        self,
        filter: Document | None = None,
        *,
        session: ClientSession | None = None,
        **options: Unpack[FindOptions],
    ) -> GridOutCursor:
        """Find files. Nothing is sent before the first one is requested.

        ::

            async for file in bucket.find({"metadata.owner": "ann"}).sort("uploadDate", -1):
                print(file.filename, file.length)

        :param filter: a query on the documents of the files, which have the fields ``_id``, ``filename``, ``length``,
            ``chunkSize``, ``uploadDate`` and ``metadata``; None matches everything.
        :param session: the session of the find and of the files that are read; without it the bound one, or implicit
            ones.
        :param options: as of ``Collection.find``: ``sort``, ``limit``, ``skip``, ``batch_size``, ``max_time_ms``,
            ``no_cursor_timeout``, ``allow_disk_use``...
        :returns: the cursor, for ``async for`` and its methods. It gives :class:`GridOut` streams.
        :raises ConfigurationError: an argument is of the wrong kind, or leaves out fields that a file needs.
        """
        refuse_partial_files(options)
        cursor = self._store.files.find(filter, session=session, **options)
        return GridOutCursor(self._store, cursor, session)

    async def delete(
        self, file_id: object, session: ClientSession | None = None, *, timeout_ms: int | None = None
    ) -> None:
        """Delete a file. Chunks without a file are deleted too, where they have this id.

        :param file_id: the file's id.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param timeout_ms: milliseconds for the call; 0 sets no limit, None takes the bucket's.
        :raises NoFile: there is no such file.
        :raises OperationFailure: the server refused. If the file is gone already, delete it once more to delete its
            chunks too.
        """
        store = self._store.begin(timeout_ms)
        kept = kept_session(store.client, session)
        result = await store.files.delete_one({"_id": is_equal(file_id)}, session=kept)
        await store.delete_chunks("files_id", [file_id], kept)
        if not result.deleted_count:
            raise NoFile(f"there is no file with the id {file_id!r} in the bucket {self._bucket_name!r}")

    async def delete_by_name(
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
        store = self._store.begin(timeout_ms)
        kept = kept_session(store.client, session)
        query = {"filename": check_filename("filename", filename)}
        ids = [id_of(file) for file in await store.files.find(query, {"_id": 1}, session=kept).to_list()]
        if not ids:
            raise NoFile(f"there is no file with the name {filename!r} in the bucket {self._bucket_name!r}")
        await store.delete_files(ids, kept)
        await store.delete_chunks("files_id", ids, kept)

    async def rename(
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
        change = {"$set": {"filename": check_filename("new_filename", new_filename)}}
        files = self._store.begin(timeout_ms).files
        result = await files.update_one({"_id": is_equal(file_id)}, change, session=session)
        if not result.matched_count:
            raise NoFile(f"there is no file with the id {file_id!r} in the bucket {self._bucket_name!r}")

    async def rename_by_name(
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
        store = self._store.begin(timeout_ms)
        kept = kept_session(store.client, session)
        query = {"filename": check_filename("filename", filename)}
        change = {"$set": {"filename": check_filename("new_filename", new_filename)}}
        result, repeated = await store.once_more(lambda: store.files.update_many(query, change, session=kept), kept)
        # The first of two attempts may have renamed them all.
        if not result.matched_count and not repeated:
            raise NoFile(f"there is no file with the name {filename!r} in the bucket {self._bucket_name!r}")

    async def drop(self, session: ClientSession | None = None, *, timeout_ms: int | None = None) -> None:
        """Drop both collections of the bucket, with their indexes.

        :param session: the session to use; without it the bound one, or an implicit one.
        :param timeout_ms: milliseconds for the call; 0 sets no limit, None takes the bucket's.
        :raises OperationFailure: the server refused, as it does in a transaction.
        """
        store = self._store.begin(timeout_ms)
        await store.drop(kept_session(store.client, session))

    async def create_indexes(self, session: ClientSession | None = None, *, timeout_ms: int | None = None) -> None:
        """Create the indexes of both collections, if they do not exist.

        The first upload of a bucket does this if there are no files yet. Call it where the first upload would be in a
        transaction, in which no index is created.

        :param session: the session to use; without it the bound one, or an implicit one.
        :param timeout_ms: milliseconds for the call; 0 sets no limit, None takes the bucket's.
        :raises OperationFailure: the server refused.
        """
        store = self._store.begin(timeout_ms)
        await store.create_indexes(kept_session(store.client, session))

    def __repr__(self) -> str:
        return f"GridFSBucket({self._store.files.database!r}, {self._bucket_name!r})"
