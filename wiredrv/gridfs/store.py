"""The two collections of a bucket, and what its calls and streams do with them in common.

GridFS specification, "Indexes"; retryable-writes specification for what is not retried by itself: updates and deletes
of many documents. Those of GridFS have the same effect when they are carried out twice, so they are sent once more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from bson.codec_options import TypeRegistry
from bson.regex import Regex

from wiredrv.client.collection import Collection
from wiredrv.client.database import Database
from wiredrv.client.lasting import retries_writes, time_limit, within
from wiredrv.concerns import ReadConcern, ReadPreference, WriteConcern
from wiredrv.errors import AutoReconnect, ConfigurationError, OperationFailure, ServerSelectionTimeoutError
from wiredrv.gridfs.files import CHUNKS_INDEX, FILES_INDEX, has_index
from wiredrv.server_facts import RETRYABLE_WRITE_CODES
from wiredrv.types import PlainDocument

if TYPE_CHECKING:
    from wiredrv.client.client import Client
    from wiredrv.client.sessions.client_session import ClientSession

T = TypeVar("T")

#: How many ids one filter names at most.
_MOST_IDS = 10_000
_PRIMARY = ReadPreference("primary")


class _Indexes:
    """Whether the indexes are known to exist: for a bucket, and for all of its streams."""

    __slots__ = ("exist",)

    def __init__(self) -> None:
        self.exist = False


class Store:
    """The collections of one bucket.

    :raises ConfigurationError: writes would not be acknowledged, or an option is of the wrong kind.
    """

    def __init__(
        self,
        database: Database[Any],
        name: str,
        write_concern: WriteConcern | None,
        read_preference: ReadPreference | None,
        read_concern: ReadConcern | None,
        timeout_ms: int | None,
    ) -> None:
        if not isinstance(name, str):
            raise ConfigurationError(f"bucket_name must be a string, not {name!r}")
        # A user's types are for the user's documents: the driver reads and compares the values of these itself.
        codec = database.codec_options.with_options(document_class=dict, type_registry=TypeRegistry())
        options = (codec, read_preference, write_concern, read_concern)
        self.files: Collection[PlainDocument] = database.get_collection(
            f"{name}.files", *options, timeout_ms=timeout_ms
        )
        self.chunks: Collection[PlainDocument] = database.get_collection(
            f"{name}.chunks", *options, timeout_ms=timeout_ms
        )
        if not self.files.write_concern.acknowledged:
            raise ConfigurationError(
                "GridFS needs an acknowledged write concern: give the bucket write_concern=WriteConcern(w=1) or more"
            )
        self._indexes = _Indexes()

    @property
    def client(self) -> Client[Any]:
        """The client."""
        return self.files.database.client

    def begin(self, timeout_ms: int | None) -> Store:
        """The same collections for a call or a stream that begins now: all of its commands have one time limit.

        :param timeout_ms: milliseconds; 0 for no limit, None for the bucket's.
        :raises ConfigurationError: it is not a whole number from 0 up.
        """
        limit = time_limit(self.files, timeout_ms)
        if limit is None:
            return self
        begun = copy(self)
        begun.files, begun.chunks = within(self.files, limit), within(self.chunks, limit)
        return begun

    def chunks_on_primary(self) -> Collection[PlainDocument]:
        """The collection of the chunks, read on the primary."""
        return self.chunks.with_options(read_preference=_PRIMARY)

    # --- indexes ---

    async def prepare(self, session: ClientSession | None) -> None:
        """Before a file is written: create the indexes, if there are no files yet.

        Not in a transaction, where servers do not list indexes and create some only on new collections.
        """
        if self._indexes.exist or (session is not None and session.in_transaction):
            return
        files = self.files.with_options(read_preference=_PRIMARY)
        if await files.find_one({}, {"_id": 1}, session=session) is None:
            await self.create_indexes(session)
        self._indexes.exist = True

    async def create_indexes(self, session: ClientSession | None) -> None:
        """Create those indexes that do not exist."""
        for collection, keys, unique in ((self.files, FILES_INDEX, False), (self.chunks, CHUNKS_INDEX, True)):
            if not has_index(await collection.list_indexes(session=session).to_list(), keys):
                options: Any = {"unique": True} if unique else {}
                await collection.create_index(keys, session=session, **options)
        self._indexes.exist = True

    async def drop(self, session: ClientSession | None) -> None:
        """Drop both collections: first that of the files, so that no file is found whose chunks are gone."""
        await self.files.drop(session=session)
        await self.chunks.drop(session=session)
        self._indexes.exist = False

    # --- writes of many documents ---

    async def delete_chunks(self, field: str, ids: Sequence[object], session: ClientSession | None) -> None:
        """Delete the chunks in which ``field`` is one of ``ids``."""
        for some in _slices(ids):
            found = {field: {"$in": some} if len(some) > 1 else is_equal(some[0])}
            await self.once_more(partial(self.chunks.delete_many, found, session=session), session)

    async def delete_files(self, ids: Sequence[object], session: ClientSession | None) -> None:
        """Delete the documents of files."""
        for some in _slices(ids):
            await self.once_more(partial(self.files.delete_many, {"_id": {"$in": some}}, session=session), session)

    async def once_more(self, send: Callable[[], Awaitable[T]], session: ClientSession | None) -> tuple[T, bool]:
        """Await ``send()``; once more if no server answered it, or the primary has changed.

        Not in a transaction, which is then started over as a whole.

        :returns: the result, and whether it was sent twice: then the first may have had an effect already.
        """
        try:
            return await send(), False
        except (AutoReconnect, OperationFailure) as error:
            if not self._may_help(error, session):
                raise
            return await send(), True

    def _may_help(self, error: AutoReconnect | OperationFailure, session: ClientSession | None) -> bool:
        if not retries_writes(self.client) or (session is not None and session.in_transaction):
            return False
        if error.timeout:
            return False
        if isinstance(error, OperationFailure):
            return error.code in RETRYABLE_WRITE_CODES
        return not isinstance(error, ServerSelectionTimeoutError)


def is_equal(value: object) -> object:
    """A condition for a field that has this very value, also where the value itself would be read as a condition."""
    return {"$eq": value} if isinstance(value, (Mapping, Regex)) else value


def _slices(ids: Sequence[object]) -> list[Sequence[object]]:
    return [ids[start : start + _MOST_IDS] for start in range(0, len(ids), _MOST_IDS)]
