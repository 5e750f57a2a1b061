"""Every method that takes ``session=``, as a call that tests can make: with a session, without one, or in a binding.

Each call can be repeated. ``Call.first`` is the command that it sends first.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from bson.dbref import DBRef
from bson.objectid import ObjectId

import wiredrv
from tests.support.commands import DATABASE, fresh_collection
from wiredrv.errors import OperationFailure

DOCUMENTS = 5
#: The id of the file in the bucket.
FILE = 1


class Sort(Enum):
    """How the causal-consistency and snapshot specifications classify a call."""

    READ = "read"
    WRITE = "write"
    #: A generic command, or one that is neither a read nor a write.
    OTHER = "other"


class Place:
    """Where calls are made: a collection with documents, beside which they may create and drop others."""

    def __init__(self, client: wiredrv.Client, collection: wiredrv.Collection) -> None:
        self.client = client
        self.database = client[DATABASE]
        self.collection = collection
        self.scratch = client[DATABASE]["calls_scratch"]

    @property
    def bucket(self) -> wiredrv.GridFSBucket:
        """A bucket that does not know yet whether its indexes exist, with the file :data:`FILE`."""
        return wiredrv.GridFSBucket(self.database, "calls_files", chunk_size_bytes=4)

    def with_concern(self, read_concern: wiredrv.ReadConcern) -> Place:
        """The same place, read with another read concern."""
        place = Place(self.client, self.collection.with_options(read_concern=read_concern))
        place.database = self.database.with_options(read_concern=read_concern)
        return place


async def make_place(client: wiredrv.Client) -> Place:
    """A place whose collections exist."""
    place = Place(client, await fresh_collection(client, "calls", DOCUMENTS))
    await fresh_collection(client, "calls_scratch")
    await fresh_collection(client, "calls_files.files")
    await fresh_collection(client, "calls_files.chunks")
    await place.bucket.upload_from_stream_with_id(FILE, "kept", b"0123456789")
    return place


#: Takes the place and ``{"session": …}`` or nothing.
Function = Callable[[Place, dict[str, Any]], Awaitable[object]]


@dataclass(frozen=True)
class Call:
    """One method. ``level``: whether its command takes a read concern with a level."""

    name: str
    first: str
    sort: Sort
    run: Function
    level: bool = False


async def _bulk_write(place: Place, options: dict[str, Any]) -> object:
    requests = [
        wiredrv.InsertOne({"a": 1}),
        wiredrv.UpdateOne({"a": 1}, {"$set": {"b": 1}}),
        wiredrv.DeleteOne({"a": 2}),
    ]
    return await place.scratch.bulk_write(requests, **options)


async def _find(place: Place, options: dict[str, Any]) -> object:
    return await place.collection.find({}, batch_size=2, **options).to_list()


async def _find_and_close(place: Place, options: dict[str, Any]) -> object:
    async with place.collection.find({}, batch_size=2, **options) as cursor:
        return await cursor.next()


async def _aggregate(place: Place, options: dict[str, Any]) -> object:
    cursor = await place.collection.aggregate([{"$sort": {"_id": 1}}], batch_size=2, **options)
    return await cursor.to_list()


async def _batches(place: Place, options: dict[str, Any]) -> object:
    return [batch async for batch in place.collection.find({}, batch_size=2, **options).batches()]


async def _find_raw_batches(place: Place, options: dict[str, Any]) -> object:
    return await place.collection.find_raw_batches({}, batch_size=2, **options).to_list()


async def _aggregate_raw_batches(place: Place, options: dict[str, Any]) -> object:
    cursor = await place.collection.aggregate_raw_batches([{"$sort": {"_id": 1}}], batch_size=2, **options)
    return await cursor.to_list()


async def _aggregate_out(place: Place, options: dict[str, Any]) -> object:
    return await place.collection.aggregate([{"$match": {"_id": 0}}, {"$out": "calls_out"}], **options)


async def _database_aggregate(place: Place, options: dict[str, Any]) -> object:
    return await place.client.admin.aggregate([{"$listLocalSessions": {}}, {"$limit": 1}], **options).to_list()


async def _create_index(place: Place, options: dict[str, Any]) -> object:
    return await place.scratch.create_index("indexed", **options)


async def _create_indexes(place: Place, options: dict[str, Any]) -> object:
    return await place.scratch.create_indexes([wiredrv.IndexModel("indexed")], **options)


async def _drop_index(place: Place, options: dict[str, Any]) -> None:
    await place.scratch.create_index("dropped", **options)
    await place.scratch.drop_index("dropped_1", **options)


async def _drop(place: Place, options: dict[str, Any]) -> None:
    await place.database["calls_dropped"].drop(**options)


async def _drop_collection(place: Place, options: dict[str, Any]) -> object:
    return await place.database.drop_collection("calls_dropped", **options)


async def _create_collection(place: Place, options: dict[str, Any]) -> object:
    await place.database["calls_created"].drop(**options)
    return await place.database.create_collection("calls_created", **options)


async def _rename(place: Place, options: dict[str, Any]) -> object:
    await place.database["calls_renamed"].insert_one({}, **options)
    return await place.database["calls_renamed"].rename("calls_new_name", dropTarget=True, **options)


async def _drop_database(place: Place, options: dict[str, Any]) -> None:
    await place.client.drop_database("wiredrv_sessions_dropped", **options)


async def _list_databases(place: Place, options: dict[str, Any]) -> object:
    return await place.client.list_databases(nameOnly=True, **options).to_list()


async def _cursor_command(place: Place, options: dict[str, Any]) -> object:
    command = {"find": "calls", "batchSize": 2}
    return await place.database.cursor_command(command, batch_size=2, **options).to_list()


async def _watch(place: Place, options: dict[str, Any]) -> object:
    async with place.collection.watch(max_await_time_ms=1, **options) as stream:
        return await stream.try_next()


async def _upload(place: Place, options: dict[str, Any]) -> object:
    async with place.bucket.open_upload_stream("uploaded", **options) as stream:
        await stream.write(b"01234")
        await stream.write(b"56789")
    return stream._id


async def _upload_with_id(place: Place, options: dict[str, Any]) -> None:
    async with place.bucket.open_upload_stream_with_id(ObjectId(), "uploaded", **options) as stream:
        await stream.write(b"0123456789")


async def _download(place: Place, options: dict[str, Any]) -> bytes:
    async with place.bucket.open_download_stream(FILE, **options) as stream:
        return await stream.read(5) + await stream.read()


async def _download_by_name(place: Place, options: dict[str, Any]) -> list[bytes]:
    stream = await place.bucket.open_download_stream_by_name("kept", **options)
    return [chunk async for chunk in stream.chunks()]


async def _find_files(place: Place, options: dict[str, Any]) -> list[bytes]:
    return [await file.read() async for file in place.bucket.find({"_id": FILE}, **options)]


async def _delete_file(place: Place, options: dict[str, Any]) -> None:
    await place.bucket.delete(await _upload(place, options), **options)


async def _delete_files(place: Place, options: dict[str, Any]) -> None:
    await _upload(place, options)
    await place.bucket.delete_by_name("uploaded", **options)


async def _drop_bucket(place: Place, options: dict[str, Any]) -> None:
    await wiredrv.GridFSBucket(place.database, "calls_dropped").drop(**options)


def _refused(call: Function) -> Function:
    """A call that the server refuses: it has no search."""

    async def refused(place: Place, options: dict[str, Any]) -> None:
        with contextlib.suppress(OperationFailure):
            await call(place, options)

    return refused


def _search(method: str, *arguments: Any) -> Call:
    """A call of a method on search indexes."""
    first = {"create_search_index": "createSearchIndexes"}.get(method) or "".join(
        part if at == 0 else part.title() for at, part in enumerate(method.split("_"))
    )
    return Call(method, first, Sort.OTHER, _refused(lambda p, o: getattr(p.collection, method)(*arguments, **o)))


_R, _W, _O = Sort.READ, Sort.WRITE, Sort.OTHER
_MAP = "function() { emit(1, 1); }"
_REDUCE = "function(key, values) { return Array.sum(values); }"

CALLS: tuple[Call, ...] = (
    # writes
    Call("insert_one", "insert", _W, lambda p, o: p.scratch.insert_one({"a": 1}, **o)),
    Call("insert_many", "insert", _W, lambda p, o: p.scratch.insert_many([{"a": 1}, {"a": 2}], **o)),
    Call("update_one", "update", _W, lambda p, o: p.scratch.update_one({"a": 1}, {"$inc": {"b": 1}}, **o)),
    Call("update_many", "update", _W, lambda p, o: p.scratch.update_many({"a": 1}, {"$inc": {"b": 1}}, **o)),
    Call("replace_one", "update", _W, lambda p, o: p.scratch.replace_one({"a": 1}, {"a": 1}, **o)),
    Call("delete_one", "delete", _W, lambda p, o: p.scratch.delete_one({"a": 1}, **o)),
    Call("delete_many", "delete", _W, lambda p, o: p.scratch.delete_many({"a": 9}, **o)),
    Call("find_one_and_delete", "findAndModify", _W, lambda p, o: p.scratch.find_one_and_delete({"a": 1}, **o)),
    Call("find_one_and_replace", "findAndModify", _W, lambda p, o: p.scratch.find_one_and_replace({"a": 1}, {}, **o)),
    Call(
        "find_one_and_update",
        "findAndModify",
        _W,
        lambda p, o: p.scratch.find_one_and_update({"a": 1}, {"$inc": {"b": 1}}, **o),
    ),
    Call("bulk_write", "insert", _W, _bulk_write),
    # reads
    Call("find", "find", _R, _find, level=True),
    Call("find in a block", "find", _R, _find_and_close, level=True),
    Call("find_one", "find", _R, lambda p, o: p.collection.find_one({"_id": 1}, **o), level=True),
    Call("aggregate", "aggregate", _R, _aggregate, level=True),
    Call("batches", "find", _R, _batches, level=True),
    Call("find_raw_batches", "find", _R, _find_raw_batches, level=True),
    Call("aggregate_raw_batches", "aggregate", _R, _aggregate_raw_batches, level=True),
    Call("count_documents", "aggregate", _R, lambda p, o: p.collection.count_documents({}, **o), level=True),
    Call("count", "count", _R, lambda p, o: p.collection.count({}, **o), level=True),
    Call("distinct", "distinct", _R, lambda p, o: p.collection.distinct("_id", **o), level=True),
    Call("dereference", "find", _R, lambda p, o: p.database.dereference(DBRef("calls", 1), **o), level=True),
    # neither, or not according to all specifications
    Call("validate_collection", "validate", _O, lambda p, o: p.database.validate_collection("calls", **o)),
    Call("watch", "aggregate", _O, _watch),
    Call("map_reduce", "mapReduce", _O, lambda p, o: p.collection.map_reduce(_MAP, _REDUCE, **o)),
    Call("aggregate with $out", "aggregate", _O, _aggregate_out, level=True),
    Call("database.aggregate", "aggregate", _O, _database_aggregate),
    Call("create_index", "createIndexes", _O, _create_index),
    Call("create_indexes", "createIndexes", _O, _create_indexes),
    Call("drop_index", "createIndexes", _O, _drop_index),
    _search("create_search_index", {"definition": {}}),
    _search("create_search_indexes", [wiredrv.SearchIndexModel({})]),
    _search("update_search_index", "default", {}),
    _search("drop_search_index", "default"),
    Call(
        "list_search_indexes", "aggregate", _O, _refused(lambda p, o: p.collection.list_search_indexes(**o).to_list())
    ),
    Call("drop_indexes", "dropIndexes", _O, lambda p, o: p.scratch.drop_indexes(**o)),
    Call("list_indexes", "listIndexes", _O, lambda p, o: p.collection.list_indexes(**o).to_list()),
    Call("list_index_names", "listIndexes", _O, lambda p, o: p.collection.list_index_names(**o)),
    Call("index_information", "listIndexes", _O, lambda p, o: p.collection.index_information(**o)),
    Call("options", "listCollections", _O, lambda p, o: p.collection.options(**o)),
    Call("drop", "drop", _O, _drop),
    Call("rename", "insert", _O, _rename),
    Call("create_collection", "drop", _O, _create_collection),
    Call("drop_collection", "drop", _O, _drop_collection),
    Call("list_collections", "listCollections", _O, lambda p, o: p.database.list_collections(**o).to_list()),
    Call("list_collection_names", "listCollections", _O, lambda p, o: p.database.list_collection_names(**o)),
    Call("list_collection_objects", "listCollections", _O, lambda p, o: p.database.list_collection_objects(**o)),
    Call("command", "ping", _O, lambda p, o: p.database.command("ping", **o)),
    Call("cursor_command", "find", _O, _cursor_command),
    Call("list_databases", "listDatabases", _O, _list_databases),
    Call("list_database_names", "listDatabases", _O, lambda p, o: p.client.list_database_names(**o)),
    Call("list_database_objects", "listDatabases", _O, lambda p, o: p.client.list_database_objects(**o)),
    Call("drop_database", "dropDatabase", _O, _drop_database),
    Call("server_info", "buildInfo", _O, lambda p, o: p.client.server_info(**o)),
    # GridFS: each sends several commands, an upload first asks whether there are files
    Call("bucket.upload_from_stream", "find", _O, lambda p, o: p.bucket.upload_from_stream("f", b"01234", **o)),
    Call(
        "bucket.upload_from_stream_with_id",
        "find",
        _O,
        lambda p, o: p.bucket.upload_from_stream_with_id(ObjectId(), "f", io.BytesIO(b"01234"), **o),
    ),
    Call("bucket.open_upload_stream", "find", _O, _upload),
    Call("bucket.open_upload_stream_with_id", "find", _O, _upload_with_id),
    Call("bucket.open_download_stream", "find", _O, _download),
    Call("bucket.open_download_stream_by_name", "find", _O, _download_by_name),
    Call("bucket.download_to_stream", "find", _O, lambda p, o: p.bucket.download_to_stream(FILE, io.BytesIO(), **o)),
    Call(
        "bucket.download_to_stream_by_name",
        "find",
        _O,
        lambda p, o: p.bucket.download_to_stream_by_name("kept", io.BytesIO(), **o),
    ),
    Call("bucket.find", "find", _O, _find_files),
    Call("bucket.rename", "update", _O, lambda p, o: p.bucket.rename(FILE, "kept", **o)),
    Call("bucket.rename_by_name", "update", _O, lambda p, o: p.bucket.rename_by_name("kept", "kept", **o)),
    Call("bucket.delete", "find", _O, _delete_file),
    Call("bucket.delete_by_name", "find", _O, _delete_files),
    Call("bucket.create_indexes", "listIndexes", _O, lambda p, o: p.bucket.create_indexes(**o)),
    Call("bucket.drop", "drop", _O, _drop_bucket),
)

READS = tuple(call for call in CALLS if call.sort is Sort.READ)
WRITES = tuple(call for call in CALLS if call.sort is Sort.WRITE)
