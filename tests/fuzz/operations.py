"""The plain operations: every public call that sends a command, as a function of a scene. Each returns what the call
returned. They are used alone and, by ``sessions``, in sessions, in transactions and concurrently with others.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count as count_up
from typing import Any

from bson.dbref import DBRef

import wiredrv
from tests.fuzz.chance import Chance
from tests.fuzz.options import CODECS
from wiredrv import (
    ClientSession,
    Collection,
    CursorType,
    DeleteMany,
    DeleteOne,
    GridFSBucket,
    IndexModel,
    InsertOne,
    ReadPreference,
    ReplaceOne,
    ReturnDocument,
    SearchIndexModel,
    UpdateMany,
    UpdateOne,
    WriteConcern,
)


@dataclass
class Transaction:
    """The outcome of a transaction: the hooks that the driver called, and the error that its commit raised."""

    session_id: bytes
    number: int
    told: list[str] = field(default_factory=list)
    error: BaseException | None = None


@dataclass
class Scene:
    """What an operation works with."""

    client: wiredrv.Client
    collection: Collection
    chance: Chance
    session: ClientSession | None = None
    transactions: list[Transaction] = field(default_factory=list)
    #: Inspects each value that a call returned, also within a block.
    inspect: Callable[[Any], None] = lambda value: None
    #: Collects replies that belong to other questions.
    mixed_up: list[str] = field(default_factory=list)
    tokens: Iterator[int] = field(default_factory=count_up)

    @property
    def database(self) -> wiredrv.Database:
        return self.collection.database

    def within(self, session: ClientSession | None) -> Scene:
        """The same scene in a session."""
        return replace(self, session=session)

    def question(self) -> str:
        """A text that the reply repeats."""
        return f"question {next(self.tokens)}"

    def compare(self, question: str, found: list[Any]) -> None:
        """Record documents that answer another question. A damaged question is not counted as another one."""
        for document in found:
            token = document.get("token") if type(document) is dict else None
            if isinstance(token, str) and token.startswith("question ") and token != question:
                self.mixed_up.append(f"{token} was answered to {question}")


Call = Callable[[Scene], Awaitable[Any]]


# --- reads ---


async def find(scene: Scene) -> Any:
    chance = scene.chance
    question = scene.question()
    cursor = scene.collection.find({"token": question}, session=scene.session, batch_size=chance.choice((0, 1, 2)))
    found = await cursor.to_list(chance.choice((None, None, 1, 2)))
    scene.compare(question, found)
    return found


async def find_iterated(scene: Scene) -> Any:
    found = []
    async with scene.collection.find({}, session=scene.session) as cursor:
        async for document in cursor:
            found.append(document)
            if len(found) > 12:
                break
        scene.inspect(cursor)
    return found


async def find_left(scene: Scene) -> Any:
    """A cursor that is dropped while it is open."""
    cursor = scene.collection.find({}, session=scene.session, limit=scene.chance.choice((0, 3)), sort=[("a", 1)])
    return await cursor.try_next()


async def find_closed(scene: Scene) -> Any:
    cursor = scene.collection.find({}, session=scene.session)
    with suppress(StopAsyncIteration):
        await cursor.next()
    await cursor.close()
    return cursor.alive


async def find_streamed(scene: Scene) -> Any:
    kind = CursorType.EXHAUST
    async with scene.collection.find({}, session=scene.session, batch_size=1, cursor_type=kind) as cursor:
        return await cursor.to_list(scene.chance.choice((None, 1, 2)))


async def find_in_batches(scene: Scene) -> Any:
    async with scene.collection.find({}, session=scene.session, batch_size=2) as cursor:
        return [batch async for batch in cursor.batches()]


async def scan(scene: Scene) -> Any:
    chance = scene.chance
    readers, ordered, size = chance.choice((1, 2, 4)), chance.maybe(0.5), chance.choice((None, 1, 2))
    projection = chance.choice((None, {"_id": 0}))
    async with scene.client.snapshot() as snap:
        scene.inspect(snap.token)
        found = snap.scan(scene.collection, None, projection, readers=readers, ordered=ordered, batch_size=size)
        if chance.maybe(0.2):
            return await anext(found, None)
        async with found:
            documents = [document async for batch in found for document in batch]
            scene.inspect(found.progress)
            return documents


async def find_ahead(scene: Scene) -> Any:
    async with scene.collection.find({}, session=scene.session, batch_size=1, prefetch=True) as cursor:
        found = await cursor.to_list(scene.chance.choice((None, 1, 2)))
        scene.inspect(cursor)
    return found


async def find_raw_batches(scene: Scene) -> Any:
    return await scene.collection.find_raw_batches({}, session=scene.session).to_list()


async def aggregate_raw_batches(scene: Scene) -> Any:
    cursor = scene.collection.aggregate_raw_batches([{"$match": {}}], session=scene.session, batch_size=2)
    return [batch async for batch in await cursor]


async def find_tailed(scene: Scene) -> Any:
    kind = scene.chance.choice((CursorType.TAILABLE, CursorType.TAILABLE_AWAIT))
    async with scene.collection.find({}, session=scene.session, cursor_type=kind, max_await_time_ms=5) as cursor:
        return [await cursor.try_next() for _ in range(3)]


async def find_rewound(scene: Scene) -> Any:
    cursor = scene.collection.find({}, session=scene.session).limit(2)
    first = await cursor.to_list()
    return first, await cursor.clone().to_list()


async def find_distinct(scene: Scene) -> Any:
    return await scene.collection.find({"a": 1}, session=scene.session).distinct("a")


async def explain(scene: Scene) -> Any:
    return await scene.collection.find({"a": 1}, session=scene.session).explain()


async def find_one(scene: Scene) -> Any:
    question = scene.question()
    found = await scene.collection.find_one({"token": question}, session=scene.session)
    scene.compare(question, [found])
    return found


async def aggregate(scene: Scene) -> Any:
    cursor = scene.collection.aggregate(
        [{"$match": {}}], session=scene.session, batch_size=scene.chance.choice((0, 1, 2))
    )
    return await cursor.to_list()


async def aggregate_out(scene: Scene) -> Any:
    stage = scene.chance.choice(({"$out": "o"}, {"$merge": {"into": "o"}}))
    return await (await scene.collection.aggregate([stage], session=scene.session)).to_list()


async def database_aggregate(scene: Scene) -> Any:
    cursor = await scene.client.admin.aggregate([{"$currentOp": {}}], session=scene.session)
    return [document async for document in cursor]


async def watch(scene: Scene) -> Any:
    """Events of a change stream, until one is refused, or there were enough."""
    chance = scene.chance
    handle: Any = chance.choice((scene.collection, scene.database, scene.client))
    async with handle.watch(session=scene.session, batch_size=chance.choice((None, 2)), max_await_time_ms=5) as stream:
        found = [await stream.try_next() for _ in range(4)]
        scene.inspect(stream.resume_token)
        return found


async def count_documents(scene: Scene) -> Any:
    return await scene.collection.count_documents({"a": 1}, session=scene.session)


async def estimated_document_count(scene: Scene) -> Any:
    return await scene.collection.estimated_document_count()


async def count(scene: Scene) -> Any:
    return await scene.collection.count({"a": 1}, session=scene.session)


async def distinct(scene: Scene) -> Any:
    return await scene.collection.distinct("a", {"b": 1}, session=scene.session)


async def map_reduce(scene: Scene) -> Any:
    return await scene.collection.map_reduce("f", "g", session=scene.session)


# --- writes ---


async def insert_one(scene: Scene) -> Any:
    return await scene.collection.insert_one({"a": 1}, session=scene.session)


async def insert_many(scene: Scene) -> Any:
    chance = scene.chance
    documents = [{"a": number, "b": "x" * chance.choice((1, 1_000))} for number in range(chance.choice((1, 3, 40)))]
    return await scene.collection.insert_many(documents, chance.maybe(0.7), session=scene.session)


async def update_one(scene: Scene) -> Any:
    return await scene.collection.update_one(
        {"a": 1}, {"$set": {"b": 1}}, upsert=scene.chance.maybe(0.5), session=scene.session
    )


async def update_many(scene: Scene) -> Any:
    return await scene.collection.update_many({"a": 1}, {"$set": {"b": 1}}, session=scene.session)


async def replace_one(scene: Scene) -> Any:
    return await scene.collection.replace_one({"a": 1}, {"b": 1}, upsert=scene.chance.maybe(0.5), session=scene.session)


async def delete_one(scene: Scene) -> Any:
    return await scene.collection.delete_one({"a": 1}, session=scene.session)


async def delete_many(scene: Scene) -> Any:
    return await scene.collection.delete_many({"a": 1}, session=scene.session)


async def find_one_and_delete(scene: Scene) -> Any:
    return await scene.collection.find_one_and_delete({"a": 1}, session=scene.session)


async def find_one_and_replace(scene: Scene) -> Any:
    return await scene.collection.find_one_and_replace(
        {"a": 1}, {"b": 1}, return_document=ReturnDocument.AFTER, session=scene.session
    )


async def find_one_and_update(scene: Scene) -> Any:
    return await scene.collection.find_one_and_update({"a": 1}, {"$set": {"b": 1}}, upsert=True, session=scene.session)


async def bulk_write(scene: Scene) -> Any:
    requests = [
        InsertOne({"a": 1}),
        InsertOne({"a": 2}),
        UpdateOne({"a": 1}, {"$set": {"b": 1}}, upsert=True),
        UpdateMany({"a": 1}, {"$set": {"b": 1}}),
        ReplaceOne({"a": 1}, {"b": 1}),
        DeleteOne({"a": 1}),
        DeleteMany({"a": 1}),
    ]
    chosen = scene.chance.sample(requests, scene.chance.randint(1, 7))
    return await scene.collection.bulk_write(chosen, ordered=scene.chance.maybe(0.6), session=scene.session)


async def client_bulk_write(scene: Scene) -> Any:
    models = [
        InsertOne({"a": 1}, namespace="db.c"),
        UpdateOne({"a": 1}, {"$set": {"b": 1}}, upsert=True, namespace="other.d"),
        DeleteOne({"a": 1}, namespace="db.c"),
        DeleteMany({"a": 1}, namespace="other.d"),
    ]
    chosen = scene.chance.sample(models, scene.chance.randint(1, 4))
    ordered, verbose = scene.chance.maybe(0.6), scene.chance.maybe(0.7)
    return await scene.client.bulk_write(chosen, scene.session, ordered, verbose)


async def unacknowledged(scene: Scene) -> Any:
    collection = scene.collection.with_options(write_concern=WriteConcern(w=0))
    if scene.chance.maybe(0.5):
        return await collection.insert_one({"a": 1})
    return await collection.bulk_write([InsertOne({"a": 1}), DeleteOne({"a": 1})], ordered=scene.chance.maybe(0.5))


# --- indexes, collections, databases ---


async def validate_collection(scene: Scene) -> Any:
    return await scene.collection.database.validate_collection("c", session=scene.session)


async def dereference(scene: Scene) -> Any:
    return await scene.collection.database.dereference(DBRef("c", 1), session=scene.session)


async def search_indexes(scene: Scene) -> Any:
    collection, session = scene.collection, scene.session
    name = await collection.create_search_index(SearchIndexModel({"mappings": {}}), session)
    await collection.update_search_index(name, {"mappings": {"dynamic": True}}, session)
    await collection.drop_search_index(name, session)
    return await collection.list_search_indexes(session=session).to_list()


async def create_index(scene: Scene) -> Any:
    return await scene.collection.create_index([("a", 1)], session=scene.session)


async def create_indexes(scene: Scene) -> Any:
    return await scene.collection.create_indexes([IndexModel("a"), IndexModel([("b", -1)])], session=scene.session)


async def drop_index(scene: Scene) -> Any:
    return await scene.collection.drop_index("a_1", session=scene.session)


async def drop_indexes(scene: Scene) -> Any:
    return await scene.collection.drop_indexes(session=scene.session)


async def list_indexes(scene: Scene) -> Any:
    return await scene.collection.list_indexes(session=scene.session).to_list()


async def list_index_names(scene: Scene) -> Any:
    return await scene.collection.list_index_names(session=scene.session)


async def index_information(scene: Scene) -> Any:
    return await scene.collection.index_information(session=scene.session)


async def drop_collection(scene: Scene) -> Any:
    if scene.chance.maybe(0.5):
        return await scene.collection.drop(session=scene.session)
    return await scene.database.drop_collection("c", session=scene.session)


async def rename(scene: Scene) -> Any:
    return await scene.collection.rename("other", session=scene.session)


async def collection_options(scene: Scene) -> Any:
    return await scene.collection.options(session=scene.session)


async def create_collection(scene: Scene) -> Any:
    return (await scene.database.create_collection("new", session=scene.session)).name


async def list_collections(scene: Scene) -> Any:
    return await scene.database.list_collections(session=scene.session).to_list()


async def list_collection_names(scene: Scene) -> Any:
    return await scene.database.list_collection_names(session=scene.session)


async def list_collection_objects(scene: Scene) -> Any:
    return [collection.name for collection in await scene.database.list_collection_objects(session=scene.session)]


async def command(scene: Scene) -> Any:
    chance = scene.chance
    preference = chance.choice((None, ReadPreference.NEAREST)) if scene.session is None else None
    codec = chance.choice((None, None, *CODECS[2:]))
    return await scene.database.command(
        "ping", check=chance.maybe(0.8), read_preference=preference, codec_options=codec, session=scene.session
    )


async def cursor_command(scene: Scene) -> Any:
    name = scene.chance.choice(("find", "listCollections", "ping"))
    value = "c" if name == "find" else 1
    cursor = await scene.database.cursor_command(name, value, session=scene.session, batch_size=2)
    return await cursor.to_list()


async def list_databases(scene: Scene) -> Any:
    return await scene.client.list_databases(session=scene.session).to_list()


async def list_database_names(scene: Scene) -> Any:
    return await scene.client.list_database_names(session=scene.session)


async def list_database_objects(scene: Scene) -> Any:
    return [database.name for database in await scene.client.list_database_objects(session=scene.session)]


async def drop_database(scene: Scene) -> Any:
    return await scene.client.drop_database("db", session=scene.session)


async def server_info(scene: Scene) -> Any:
    return await scene.client.server_info(session=scene.session)


async def supports_transactions(scene: Scene) -> Any:
    return await scene.client.supports_transactions()


# --- files ---


def _bucket(scene: Scene) -> GridFSBucket:
    return GridFSBucket(scene.database, chunk_size_bytes=scene.chance.choice((1, 4, 1_000)))


async def upload(scene: Scene) -> Any:
    source: Any = scene.chance.choice((b"", b"0123456789", io.BytesIO(b"line\n" * 3)))
    if scene.chance.maybe(0.5):
        return await _bucket(scene).upload_from_stream("f", source, session=scene.session)
    return await _bucket(scene).upload_from_stream_with_id(7, "f", source, metadata={"a": 1}, session=scene.session)


async def upload_in_pieces(scene: Scene) -> Any:
    async with _bucket(scene).open_upload_stream("f", session=scene.session) as stream:
        for _ in range(scene.chance.randint(1, 3)):
            await stream.write(b"piece")
        if scene.chance.maybe(0.2):
            await stream.abort()
        scene.inspect(stream)
        return stream._id


async def download(scene: Scene) -> Any:
    async with _bucket(scene).open_download_stream(1, scene.session) as stream:
        scene.inspect((stream, stream.filename, stream.upload_date, stream.metadata, stream.length))
        first = await stream.read(scene.chance.choice((0, 1, 5, -1)))
        await stream.seek(scene.chance.choice((0, 4, 9, 50)))
        return first, await stream.readline(), await stream.readchunk(), await stream.read()


async def download_by_name(scene: Scene) -> Any:
    bucket, target = _bucket(scene), io.BytesIO()
    revision = scene.chance.choice((-1, 0, 2))
    if scene.chance.maybe(0.5):
        await bucket.download_to_stream_by_name("f", target, revision, scene.session)
    else:
        await bucket.download_to_stream(1, target, scene.session)
    return target.getvalue()


async def find_files(scene: Scene) -> Any:
    files = await _bucket(scene).find({}, session=scene.session, batch_size=2).to_list(scene.chance.choice((None, 1)))
    return [await file.read() for file in files[:2]]


async def change_files(scene: Scene) -> Any:
    bucket, session = _bucket(scene), scene.session
    match scene.chance.choice(("rename", "rename_by_name", "delete", "delete_by_name")):
        case "rename":
            return await bucket.rename(1, "g", session)
        case "rename_by_name":
            return await bucket.rename_by_name("f", "g", session)
        case "delete":
            return await bucket.delete(1, session)
        case _:
            return await bucket.delete_by_name("f", session)


async def change_bucket(scene: Scene) -> Any:
    bucket = _bucket(scene)
    return await (bucket.drop if scene.chance.maybe(0.5) else bucket.create_indexes)(scene.session)


#: The operations that a transaction may contain.
TRANSACTIONAL: tuple[Call, ...] = (
    find,
    find_iterated,
    find_left,
    find_closed,
    find_one,
    aggregate,
    count_documents,
    distinct,
    insert_one,
    insert_many,
    update_one,
    update_many,
    replace_one,
    delete_one,
    delete_many,
    find_one_and_delete,
    find_one_and_replace,
    find_one_and_update,
    bulk_write,
    client_bulk_write,
    command,
    upload,
    upload_in_pieces,
    download,
    download_by_name,
    find_files,
    change_files,
)
PLAIN: tuple[Call, ...] = (
    *TRANSACTIONAL,
    find_tailed,
    find_rewound,
    find_distinct,
    explain,
    aggregate_out,
    aggregate_raw_batches,
    find_ahead,
    scan,
    find_in_batches,
    find_streamed,
    find_raw_batches,
    database_aggregate,
    watch,
    estimated_document_count,
    count,
    map_reduce,
    unacknowledged,
    validate_collection,
    dereference,
    search_indexes,
    create_index,
    create_indexes,
    drop_index,
    drop_indexes,
    list_indexes,
    list_index_names,
    index_information,
    drop_collection,
    rename,
    collection_options,
    create_collection,
    list_collections,
    list_collection_names,
    list_collection_objects,
    cursor_command,
    list_databases,
    list_database_names,
    list_database_objects,
    drop_database,
    server_info,
    supports_transactions,
    change_bucket,
)
