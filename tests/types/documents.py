"""The class of the documents, from the client to what its methods return."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any, TypedDict, assert_type

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from bson.son import SON

from wiredrv import (
    ChangeStream,
    Client,
    ClientCredentials,
    ClientSession,
    Collection,
    CommandCursor,
    Cursor,
    Database,
    DeleteOne,
    IndexModel,
    InsertOne,
    ReplaceOne,
    ReturnDocument,
    UpdateMany,
)
from wiredrv.description import TopologyDescription
from wiredrv.errors import OperationFailure, ServerSelectionTimeoutError
from wiredrv.events import CommandListener
from wiredrv.types import TransactionRecord


class Order(TypedDict):
    sku: str
    quantity: int


ORDER = Order(sku="abc", quantity=1)

Plain = dict[str, Any]


async def given_now() -> ClientCredentials:
    return ClientCredentials(username="ann", password="secret")


# --- which documents a client has ---


def clients() -> None:
    client = Client()
    assert_type(client, Client[Plain])
    assert_type(Client("mongodb://localhost", maxPoolSize=20), Client[Plain])
    assert_type(Client(document_class=RawBSONDocument), Client[RawBSONDocument])
    assert_type(Client(document_class=Order), Client[Order])
    assert_type(Client(document_class=SON), Client[SON[Any, Any]])
    assert_type(Client(event_listeners=[print, CommandListener()]), Client[Plain])
    assert_type(Client(credentials=given_now), Client[Plain])
    assert_type(Client(credentials=lambda: ClientCredentials(username="ann")), Client[Plain])
    annotated: Client[Order] = Client()
    assert_type(annotated.shop.orders, Collection[Order])


def what_is_not_annotated_has_plain_documents(client: Client, database: Database, collection: Collection) -> None:
    assert_type(client, Client[Plain])
    assert_type(database, Database[Plain])
    assert_type(collection, Collection[Plain])


async def blocks() -> None:
    async with Client(document_class=Order) as client:
        assert_type(client, Client[Order])
    assert_type(await Client(document_class=Order).open(), Client[Order])


# --- handles ---


def handles(client: Client[Order]) -> None:
    assert_type(client.shop, Database[Order])
    assert_type(client["shop"], Database[Order])
    assert_type(client.get_database("shop"), Database[Order])
    assert_type(client.get_default_database(), Database[Order])
    assert_type(client.shop.orders, Collection[Order])
    assert_type(client.shop["orders"], Collection[Order])
    assert_type(client.shop.orders.of_today, Collection[Order])
    assert_type(client.shop.get_collection("orders"), Collection[Order])
    assert_type(client.shop.with_options(), Database[Order])
    assert_type(client.shop.orders.with_options(), Collection[Order])
    assert_type(client.codec_options, CodecOptions[Order])
    assert_type(client.shop.client, Client[Any])
    assert_type(client.shop.orders.database, Database[Any])


def handles_of_other_documents(client: Client) -> None:
    raw = CodecOptions(document_class=RawBSONDocument)
    assert_type(client.get_database("shop", document_class=Order), Database[Order])
    assert_type(client.get_database("shop", codec_options=raw), Database[RawBSONDocument])
    assert_type(client.get_default_database(document_class=Order), Database[Order])
    assert_type(client.shop.with_options(document_class=Order), Database[Order])
    assert_type(client.shop.with_options(codec_options=raw), Database[RawBSONDocument])
    assert_type(client.shop.get_collection("orders", document_class=Order), Collection[Order])
    assert_type(client.shop.get_collection("orders", raw), Collection[RawBSONDocument])
    assert_type(client.shop.orders.with_options(document_class=Order), Collection[Order])
    assert_type(client.shop.orders.with_options(codec_options=raw), Collection[RawBSONDocument])
    assert_type(client.shop.orders.with_options(document_class=SON), Collection[SON[Any, Any]])


async def created(database: Database[Order]) -> None:
    assert_type(await database.create_collection("orders", capped=True, size=4096), Collection[Order])
    assert_type(await database.create_collection("raw", document_class=RawBSONDocument), Collection[RawBSONDocument])
    assert_type(await database.list_collection_objects(), list[Collection[Order]])


# --- what methods return ---


async def reads(orders: Collection[Order]) -> None:
    assert_type(await orders.find_one(), Order | None)
    assert_type(await orders.find_one({"sku": "abc"}, ["sku"], sort="sku"), Order | None)
    assert_type(orders.find(), Cursor[Order])
    assert_type(orders.find({}).sort("sku").limit(3), Cursor[Order])
    assert_type(orders.find().collection, Collection[Order])
    assert_type(orders.find().clone(), Cursor[Order])
    assert_type(await orders.find().to_list(), list[Order])
    assert_type(await orders.find().explain(), Mapping[str, Any])
    assert_type(await orders.find().next(), Order)
    assert_type(await orders.find().try_next(), Order | None)
    async for order in orders.find():
        assert_type(order["quantity"], int)
    async with orders.find() as cursor:
        assert_type(cursor, Cursor[Order])
    assert_type(orders.aggregate([{"$match": {}}]), CommandCursor[Order])
    assert_type(await orders.aggregate([]), CommandCursor[Order])
    assert_type(orders.watch(), ChangeStream[Order])
    assert_type(await orders.watch([], "updateLookup", batch_size=5), ChangeStream[Order])
    assert_type(await orders.distinct("sku"), list[Any])
    assert_type(await orders.count_documents({}), int)


async def watched(client: Client, database: Database[RawBSONDocument], orders: Collection[Order]) -> None:
    assert_type(client.watch(), ChangeStream[Plain])
    assert_type(database.watch(), ChangeStream[RawBSONDocument])
    async with client.watch() as stream:
        assert_type(await stream.next(), Plain)
        assert_type(await stream.try_next(), Plain | None)
        assert_type(stream.resume_token, Mapping[str, Any] | None)
        async for event in stream:
            assert_type(event, Plain)
    async with await orders.with_options(document_class=Plain).watch() as plain:
        assert_type(await plain.next(), Plain)


async def changed_and_returned(orders: Collection[Order]) -> None:
    assert_type(await orders.find_one_and_delete({}), Order | None)
    after = await orders.find_one_and_update({}, {"$set": {}}, return_document=ReturnDocument.AFTER)
    assert_type(after, Order | None)
    assert_type(await orders.find_one_and_replace({}, ORDER), Order | None)


async def plain_documents(collection: Collection) -> None:
    assert_type(await collection.find_one(), Plain | None)
    async for document in collection.find():
        assert_type(document, Plain)


async def raw_documents(collection: Collection[RawBSONDocument]) -> None:
    found = await collection.find_one()
    assert found is not None
    assert_type(found, RawBSONDocument)


def what_gives_documents_gives_mappings_too(cursor: Cursor[Plain]) -> Cursor[Mapping[str, Any]]:
    return cursor


async def commands(database: Database[Order]) -> None:
    assert_type(await database.command("ping"), Plain)
    assert_type(await database.run_command({"ping": 1}), Plain)
    raw = CodecOptions(document_class=RawBSONDocument)
    assert_type(await database.command("ping", codec_options=raw), RawBSONDocument)
    assert_type(database.cursor_command("find", "orders"), CommandCursor[Plain])
    assert_type(database.cursor_command("find", "orders", codec_options=raw), CommandCursor[RawBSONDocument])
    assert_type(database.aggregate([{"$documents": []}]), CommandCursor[Order])


async def lists(client: Client, database: Database, collection: Collection) -> None:
    assert_type(await client.list_databases(), CommandCursor[Plain])
    assert_type(await database.list_collections(), CommandCursor[Plain])
    assert_type(await collection.list_indexes(), CommandCursor[Plain])
    assert_type(await client.list_database_objects(), list[Database[Plain]])
    assert_type(await client.server_info(), Plain)
    documents: CommandCursor[MutableMapping[str, Any]] = await collection.list_indexes()
    await documents.close()


# --- writes ---


async def writes(orders: Collection[Order]) -> None:
    await orders.insert_one({"sku": "abc", "quantity": 1})
    await orders.insert_one(RawBSONDocument(b""))
    await orders.insert_many([ORDER, RawBSONDocument(b"")])
    await orders.bulk_write([InsertOne({"sku": "abc", "quantity": 1}), DeleteOne({}), ReplaceOne({}, ORDER)])
    requests = [InsertOne(ORDER), InsertOne(ORDER)]
    assert_type(requests, list[InsertOne[Order]])
    await orders.bulk_write(requests)
    mixed: list[InsertOne[Order] | UpdateMany] = [InsertOne(ORDER), UpdateMany({}, {"$set": {"quantity": 2}})]
    await orders.bulk_write(mixed)


async def plain_writes(collection: Collection) -> None:
    await collection.insert_one({"a": 1})
    await collection.insert_many([{"a": 1}, {"b": "c"}])
    await collection.bulk_write([InsertOne({"a": 1}), DeleteOne({}), UpdateMany({}, {"$set": {"b": 1}})])
    requests: list[InsertOne | DeleteOne] = [InsertOne({"a": 1}), DeleteOne({})]
    await collection.bulk_write(requests)


async def schemas(client: Client, database: Database, collection: Collection) -> None:
    assert_type(await collection.create_index("a", unique=True, expireAfterSeconds=60, commitQuorum=1), str)
    model = IndexModel([("a", 1)], name="of_a", partialFilterExpression={"b": 1})
    assert_type(await collection.create_indexes([model], max_time_ms=1000), list[str])
    assert_type(await collection.rename("b", dropTarget=True), Plain)
    assert_type(await collection.index_information(), dict[str, Plain])
    assert_type(await collection.map_reduce("f", "g", query={}, limit=3), list[Any])
    assert_type(await database.list_collection_names(nameOnly=True), list[str])
    assert_type(database.list_collections(filter={}, authorizedCollections=True), CommandCursor[Plain])
    assert_type(client.list_databases(filter={"name": "a"}, nameOnly=True), CommandCursor[Plain])
    view = await database.create_collection("v", viewOn="a", pipeline=[{"$match": {}}])
    assert_type(view, Collection[Plain])


# --- errors ---


def errors(error: OperationFailure) -> None:
    assert_type(error.transaction, TransactionRecord | None)
    assert_type(error.code, int | None)


def selection(error: ServerSelectionTimeoutError) -> None:
    assert_type(error.topology_description, TopologyDescription | None)


# --- sessions ---


async def sessions(client: Client[Order]) -> None:
    async with client.start_session() as session:
        assert_type(session, ClientSession)
        assert_type(session.client, Client[Any])

        async def callback(session: ClientSession) -> int:
            return await client.shop.orders.count_documents({}, session=session)

        assert_type(await session.with_transaction(callback), int)
    async with client.transaction() as session:
        assert_type(await client.shop.orders.find_one(session=session), Order | None)
