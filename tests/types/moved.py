"""Annotated code for PyMongo, in which nothing but the imports changed. Methods get their options by keyword."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, TypedDict

from bson import ObjectId
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.collation import Collation

from wiredrv import (
    ASCENDING,
    BulkWriteResult,
    CursorType,
    DeleteOne,
    DeleteResult,
    IndexModel,
    InsertManyResult,
    InsertOne,
    InsertOneResult,
    Nearest,
    ReadConcern,
    ReadPreference,
    ReplaceOne,
    ReturnDocument,
    SecondaryPreferred,
    TransactionOptions,
    UpdateOne,
    UpdateResult,
    WriteConcern,
)
from wiredrv import Client as AsyncMongoClient
from wiredrv import ClientSession as AsyncClientSession
from wiredrv import Collection as AsyncCollection
from wiredrv import CommandCursor as AsyncCommandCursor
from wiredrv import Cursor as AsyncCursor
from wiredrv import Database as AsyncDatabase
from wiredrv.errors import BulkWriteError, ConnectionFailure, DuplicateKeyError, OperationFailure, PyMongoError
from wiredrv.events import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent


class Movie(TypedDict):
    _id: ObjectId
    name: str
    year: int


class Slow(CommandListener):
    def started(self, event: CommandStartedEvent) -> None:
        print(event.command_name, event.request_id)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        print(event.command_name, event.reply.get("ok"))

    def failed(self, event: CommandFailedEvent) -> None:
        print(event.failure)


def connect(uri: str) -> AsyncMongoClient[dict[str, Any]]:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        uri,
        port=27017,
        appname="cinema",
        maxPoolSize=50,
        serverSelectionTimeoutMS=5_000,
        retryWrites=True,
        w="majority",
        tz_aware=True,
        uuidRepresentation="standard",
        event_listeners=[Slow()],
    )
    return client


def connect_to_movies(uri: str) -> AsyncMongoClient[Movie]:
    client: AsyncMongoClient[Movie] = AsyncMongoClient(uri)
    return client


def connect_to_raw(uri: str) -> AsyncMongoClient[RawBSONDocument]:
    return AsyncMongoClient(uri, document_class=RawBSONDocument)


def connect_by_position(host: str) -> AsyncMongoClient[RawBSONDocument]:
    return AsyncMongoClient(host, 27017, RawBSONDocument, True, False)


async def where(client: AsyncMongoClient[Any]) -> tuple[tuple[str, int | None] | None, bool, int]:
    nearest = client.get_database("cinema", read_preference=Nearest(tag_sets=[{"dc": "a"}], max_staleness=120))
    assert nearest.read_preference == SecondaryPreferred() or client.topology.primary
    return await client.primary, await client.is_mongos, client.options.pool_options.max_pool_size


def mappings(uri: str) -> AsyncMongoClient[Mapping[str, Any]]:
    client: AsyncMongoClient[Mapping[str, Any]] = AsyncMongoClient(uri)
    return client


def any_documents(client: AsyncMongoClient[Any]) -> AsyncCollection[Movie]:
    database: AsyncDatabase[Movie] = client.cinema
    collection: AsyncCollection[Movie] = client.cinema.movies
    return collection if collection.database == database else database["movies"]


class Repository:
    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._movies: AsyncCollection[dict[str, Any]] = database["movies"]
        self._safe: AsyncCollection[dict[str, Any]] = database.get_collection(
            "movies", read_concern=ReadConcern("majority"), write_concern=WriteConcern("majority", wtimeout=1_000)
        )
        self._near = self._movies.with_options(read_preference=ReadPreference.NEAREST)
        raw: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
        self._raw: AsyncCollection[RawBSONDocument] = self._movies.with_options(codec_options=raw)

    async def prepare(self) -> list[str]:
        await self._movies.create_index([("name", ASCENDING)], unique=True, name="by_name")
        await self._movies.create_index("year", expireAfterSeconds=60, background=True)
        return await self._movies.create_indexes([IndexModel([("year", ASCENDING), ("name", ASCENDING)], sparse=True)])

    async def add(self, name: str, year: int, session: AsyncClientSession | None = None) -> ObjectId | None:
        try:
            result: InsertOneResult = await self._safe.insert_one({"name": name, "year": year}, session=session)
        except DuplicateKeyError as error:
            print(error.code, error.details)
            return None
        inserted: ObjectId = result.inserted_id
        return inserted

    async def add_all(self, movies: Sequence[dict[str, Any]]) -> int:
        try:
            result: InsertManyResult = await self._safe.insert_many(movies, ordered=False)
        except BulkWriteError as error:
            print(error.details["nInserted"])
            return len(error.details["writeErrors"])
        return len(result.inserted_ids)

    async def get(self, name: str) -> dict[str, Any] | None:
        return await self._movies.find_one({"name": name}, {"_id": False}, sort=[("year", -1)])

    async def of(self, year: int) -> list[dict[str, Any]]:
        cursor: AsyncCursor[dict[str, Any]] = self._near.find({"year": year}).sort("name", ASCENDING).limit(10)
        found: list[dict[str, Any]] = []
        async for movie in cursor:
            found.append(movie)
        return found or await cursor.to_list(None)

    async def counted(self) -> list[Mapping[str, Any]]:
        pipeline: Sequence[Mapping[str, Any]] = [{"$group": {"_id": "$year", "n": {"$sum": 1}}}]
        cursor: AsyncCommandCursor[dict[str, Any]] = await self._movies.aggregate(pipeline, allowDiskUse=True)
        return [document async for document in cursor]

    async def rename(self, old: str, new: str) -> str:
        result: UpdateResult = await self._movies.update_one({"name": old}, {"$set": {"name": new}}, upsert=True)
        after = await self._movies.find_one_and_update(
            {"name": new}, {"$inc": {"renamed": 1}}, return_document=ReturnDocument.AFTER
        )
        assert after is not None
        name: str = after["name"]
        return name if result.modified_count else str(result.upserted_id)

    async def remove(self, name: str) -> int:
        result: DeleteResult = await self._movies.delete_many({"name": name})
        return result.deleted_count

    async def change(self) -> int:
        requests: list[InsertOne[dict[str, Any]] | UpdateOne | ReplaceOne[dict[str, Any]] | DeleteOne] = [
            InsertOne({"name": "a"}),
            UpdateOne({"name": "a"}, {"$set": {"year": 1}}),
            ReplaceOne({"name": "a"}, {"name": "b"}),
            DeleteOne({"name": "b"}),
        ]
        result: BulkWriteResult = await self._movies.bulk_write(requests, ordered=True)
        return result.inserted_count + result.deleted_count

    async def describe(self) -> None:
        indexes: AsyncCommandCursor[MutableMapping[str, Any]] = await self._movies.list_indexes()
        async for index in indexes:
            print(index["name"])
        information: MutableMapping[str, Any] = await self._movies.index_information()
        options: MutableMapping[str, Any] = await self._movies.options()
        print(information, options, self._movies.full_name)


async def typed(database: AsyncDatabase[Movie]) -> None:
    movies: AsyncCollection[Movie] = database.movies
    await movies.insert_one({"_id": ObjectId(), "name": "a", "year": 1})
    await movies.insert_one(Movie(_id=ObjectId(), name="a", year=1))
    found = await movies.find_one({"name": "a"})
    if found is not None:
        year: int = found["year"]
        print(year)


async def transfer(client: AsyncMongoClient[dict[str, Any]]) -> None:
    accounts = client.bank.accounts

    async def callback(session: AsyncClientSession) -> bool:
        await accounts.update_one({"_id": "a"}, {"$inc": {"balance": -1}}, session=session)
        result = await accounts.update_one({"_id": "b"}, {"$inc": {"balance": 1}}, session=session)
        return result.matched_count == 1

    async with client.start_session(causal_consistency=True) as session:
        done: bool = await session.with_transaction(
            callback, read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority")
        )
        assert done
        async with await session.start_transaction():
            await callback(session)
    try:
        reply: dict[str, Any] = await client.admin.command("ping")
        raw = await client.admin.command("ping", codec_options=CodecOptions(document_class=RawBSONDocument))
        print(reply["ok"], raw.raw)
    except (ConnectionFailure, OperationFailure) as error:
        print(error.has_error_label("TransientTransactionError"))
    except PyMongoError:
        raise
    information: dict[str, Any] = await client.server_info()
    names: list[str] = await client.list_database_names()
    async for database in await client.list_databases():
        print(database["name"], information["version"], names)
    await client.drop_database("bank")
    await client.close()


async def with_all_options(client: AsyncMongoClient[dict[str, Any]], session: AsyncClientSession) -> None:
    options: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True)
    database = client.get_database(
        "cinema", codec_options=options, read_preference=ReadPreference.PRIMARY, write_concern=WriteConcern(1)
    )
    movies: AsyncCollection[dict[str, Any]] = await database.create_collection(
        "movies", capped=True, size=4096, max=10, validator={"name": {"$type": "string"}}, collation=Collation("en")
    )
    cursor: AsyncCursor[dict[str, Any]] = movies.find(
        filter={"year": 1},
        projection=["name"],
        skip=1,
        limit=2,
        no_cursor_timeout=False,
        cursor_type=CursorType.NON_TAILABLE,
        sort=[("name", ASCENDING)],
        batch_size=10,
        collation=Collation("en"),
        hint="by_name",
        max_time_ms=100,
        comment="c",
        session=session,
        allow_disk_use=True,
        let={"a": 1},
    )
    cursor = cursor.hint([("name", 1)]).comment("c").skip(1).batch_size(5).max_time_ms(100).where("true")
    plan: Mapping[str, Any] = await cursor.explain()
    print(plan, cursor.alive, cursor.cursor_id, await cursor.distinct("name"))
    async with cursor.clone() as copy:
        async for movie in copy:
            print(movie["name"])
    await movies.update_many(
        {"year": {"$lt": 1900}},
        [{"$set": {"old": True}}],
        upsert=False,
        bypass_document_validation=True,
        hint={"year": 1},
        let={"a": 1},
        session=session,
    )
    await movies.update_one({}, {"$set": {"a.$[x]": 1}}, array_filters=[{"x": 1}], collation={"locale": "en"})
    await movies.replace_one({"name": "a"}, {"name": "b"}, upsert=True, comment="c")
    await movies.find_one_and_replace(
        {"name": "a"}, {"name": "b"}, projection={"_id": 0}, sort=[("year", 1)], session=session
    )
    await movies.find_one_and_delete({"name": "a"}, sort=[("year", 1)], maxTimeMS=100)
    counted: int = await movies.count_documents({}, session=session, skip=1, limit=2, maxTimeMS=100, hint="by_name")
    estimated: int = await movies.estimated_document_count(maxTimeMS=100)
    names: list[Any] = await movies.distinct("name", {"year": 1}, session=session, maxTimeMS=100)
    print(counted, estimated, names)
    await movies.drop_index("by_name")
    await movies.drop_indexes()
    await movies.rename("films", dropTarget=True)
    found: list[str] = await database.list_collection_names(filter={"name": {"$regex": "m"}})
    statistics: dict[str, Any] = await database.command("collStats", found[0], scale=1024)
    print(statistics["size"])
    await database.drop_collection("films")


async def in_transactions(client: AsyncMongoClient[dict[str, Any]]) -> None:
    defaults = TransactionOptions(
        read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority"), max_commit_time_ms=1000
    )
    async with client.start_session(default_transaction_options=defaults, snapshot=False) as session:
        async with await session.start_transaction(read_concern=ReadConcern("local"), max_commit_time_ms=1000):
            await client.bank.accounts.insert_one({"_id": 1}, session=session)
        await session.start_transaction()
        if session.in_transaction:
            await session.commit_transaction()
        print(session.session_id, session.cluster_time, session.operation_time, session.has_ended)
