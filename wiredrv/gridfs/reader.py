"""Reads windows of consecutive chunks of a file, each with a find that the server answers with a single reply.

Rules kept here:

* The data of chunks is not copied out of a large reply: they are views of it.
* A secondary may lag behind the server that sent the file's document: a chunk that is missing there is looked for on
  the primary before the file is called corrupt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from wiredrv.client.cursors.raw import EncodedCursor
from wiredrv.client.lasting import transaction_of
from wiredrv.client.sessions.blocks import unbound
from wiredrv.concerns import ReadMode
from wiredrv.errors import CorruptGridFile, InvalidOperation
from wiredrv.gridfs.chunks import Chunk, Shape, check_chunks, read_chunk
from wiredrv.gridfs.store import Store, is_equal
from wiredrv.types import Document, PlainDocument
from wiredrv.wire.batch import Batch

if TYPE_CHECKING:
    from wiredrv.client.collection import Collection
    from wiredrv.client.sessions.client_session import ClientSession


class ChunkReader:
    """Reads the chunks of one file.

    :param store: the bucket's collections.
    :param file_id: the file's id.
    :param shape: the chunks that it must have.
    :param session: the session to read in; None for implicit ones.
    """

    __slots__ = ("_begun", "_file_id", "_session", "_shape", "_store", "_transaction")

    def __init__(self, store: Store, file_id: object, shape: Shape, session: ClientSession | None) -> None:
        self._store = store
        self._file_id = file_id
        self._shape = shape
        self._session = session
        self._transaction = transaction_of(session)
        self._begun = False

    async def read(self, first: int, count: int) -> list[Chunk]:
        """Read ``count`` chunks from ``first`` on.

        :raises CorruptGridFile: they are not those that the file must have.
        :raises InvalidOperation: the transaction that the file was opened in has ended.
        """
        if self._transaction and transaction_of(self._session) != self._transaction:
            raise InvalidOperation("this file was opened in a transaction that has ended: read files within it")
        if not self._begun:
            self._begun = True
            # A stream that was opened has begun already; one that a query found begins with its first read.
            self._store = self._store.begin(None)
        chunks = self._store.chunks
        try:
            return check_chunks(self._shape, first, count, await self._find(chunks, first, count))
        except CorruptGridFile:
            if chunks.read_preference.mode is ReadMode.PRIMARY or self._transaction:
                raise
        found = await self._find(self._store.chunks_on_primary(), first, count)
        return check_chunks(self._shape, first, count, found)

    async def _find(self, chunks: Collection[PlainDocument], first: int, count: int) -> Iterator[Document]:
        query: PlainDocument = {"files_id": is_equal(self._file_id)}
        last = first + count == self._shape.chunks
        if first:
            query["n"] = {"$gte": first}
        # With the last chunk one more is asked for, which must not be there.
        limit = count + 1 if last else count
        options = {"sort": [("n", 1)], "limit": limit, "batch_size": limit}
        with unbound():
            batches = await EncodedCursor(chunks, query, self._session, options).to_list()
        return chain.from_iterable(map(self._fields, batches))

    def _fields(self, batch: list[Document] | Batch) -> Iterable[Document]:
        """The chunks of a batch, as far as they are needed."""
        if isinstance(batch, list):
            return batch
        options = self._store.chunks.codec_options
        return (read_chunk(chunk, options) for chunk in batch.take_encoded())
