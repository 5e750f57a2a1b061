"""Writes and reads of collections and databases on a real replica set, on both backends."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import bson
import pytest
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from bson.objectid import ObjectId

import wiredrv
from tests.support.commands import APP_NAME, DATABASE, fresh_collection, primary_of, watched
from tests.support.event_log import EventLog
from tests.support.failpoints import fail_command
from tests.support.fake_server import FakeServer, with_sessions
from tests.support.waiting import until_async
from wiredrv import DeleteMany, DeleteOne, IndexModel, InsertOne, ReplaceOne, ReturnDocument, UpdateMany, UpdateOne
from wiredrv.errors import (
    AutoReconnect,
    BulkWriteError,
    CollectionInvalid,
    DocumentTooLarge,
    DuplicateKeyError,
    InvalidDocument,
    InvalidOperation,
    OperationFailure,
    WriteConcernError,
    WriteError,
)
from wiredrv.events import CommandStartedEvent
from wiredrv.local import ReplicaSet, Standalone

pytestmark = pytest.mark.anyio

NAME = "crud"


# --- one document ---


async def test_insert_find_update_replace_delete(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        orders = await fresh_collection(client, NAME)
        document: dict[str, Any] = {"sku": "a", "quantity": 1}
        inserted = await orders.insert_one(document)
        assert isinstance(inserted.inserted_id, ObjectId)
        assert document["_id"] == inserted.inserted_id
        assert await orders.find_one(inserted.inserted_id) == document
        assert await orders.find_one({"sku": "a"}, {"_id": 0, "quantity": 1}) == {"quantity": 1}
        updated = await orders.update_one({"sku": "a"}, {"$inc": {"quantity": 2}})
        assert (updated.matched_count, updated.modified_count, updated.upserted_id) == (1, 1, None)
        replaced = await orders.replace_one({"sku": "b"}, {"sku": "b"}, upsert=True)
        assert (replaced.matched_count, replaced.did_upsert) == (0, True)
        assert await orders.find_one(replaced.upserted_id) == {"_id": replaced.upserted_id, "sku": "b"}
        assert (await orders.delete_one({"sku": "a"})).deleted_count == 1
        assert await orders.find_one({"sku": "a"}) is None


async def test_id_is_stored_first(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME)
        log.clear()
        await orders.insert_one({"a": 1})
        await orders.insert_many([{"a": 1}, {"a": 2}])
        for command in log.sent("insert"):
            assert all(next(iter(document)) == "_id" for document in command["documents"])


async def test_many_documents(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        orders = await fresh_collection(client, NAME)
        inserted = await orders.insert_many({"_id": number, "even": number % 2 == 0} for number in range(1000))
        assert inserted.inserted_ids == list(range(1000))
        assert await orders.count_documents({}) == 1000
        assert await orders.count_documents({"even": True}, skip=10, limit=100) == 100
        updated = await orders.update_many({"even": True}, {"$set": {"half": 1}})
        assert (updated.matched_count, updated.modified_count) == (500, 500)
        assert sorted(await orders.distinct("even")) == [False, True]
        assert await orders.distinct("_id", {"_id": {"$lt": 3}}) == [0, 1, 2]
        assert (await orders.delete_many({"even": False})).deleted_count == 500
        assert await orders.estimated_document_count() == 500
        assert await orders.count({"even": True}) == 500


async def test_find_one_and_change(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        orders = await fresh_collection(client, NAME, documents=3)
        assert await orders.find_one_and_update({"_id": 1}, {"$set": {"a": 1}}) == {"_id": 1}
        after = await orders.find_one_and_update(
            {"_id": 1}, {"$inc": {"a": 1}}, return_document=ReturnDocument.AFTER, projection={"_id": 0}
        )
        assert after == {"a": 2}
        assert await orders.find_one_and_replace({"_id": 9}, {"b": 1}, upsert=True) is None
        assert await orders.find_one_and_delete({}, sort=[("_id", -1)]) == {"_id": 9, "b": 1}
        assert await orders.find_one_and_delete({"_id": 99}) is None


async def test_updates_by_pipeline_and_array_filters(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        orders = await fresh_collection(client, NAME)
        await orders.insert_one({"_id": 1, "a": 2, "list": [1, 5, 9]})
        await orders.update_one({"_id": 1}, [{"$set": {"b": {"$add": ["$a", "$$extra"]}}}], let={"extra": 3})
        await orders.update_one({"_id": 1}, {"$set": {"list.$[big]": 0}}, array_filters=[{"big": {"$gt": 4}}])
        assert await orders.find_one(1) == {"_id": 1, "a": 2, "b": 5, "list": [1, 0, 0]}


# --- failures ---


async def test_duplicate_key(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        orders = await fresh_collection(client, NAME, documents=1)
        with pytest.raises(DuplicateKeyError) as caught:
            await orders.insert_one({"_id": 0})
        assert caught.value.code == 11000
        assert caught.value.details is not None
        assert caught.value.details["keyValue"] == {"_id": 0}


async def test_write_errors(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        orders = await fresh_collection(client, NAME, documents=1)
        with pytest.raises(WriteError) as caught:
            await orders.update_one({"_id": 0}, {"$set": {"_id": 1}})
        assert caught.value.code == 66
        with pytest.raises(WriteError):
            await orders.delete_one({"$nonsense": 1})


async def test_write_concern_that_cannot_be_met(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        orders = await fresh_collection(client, NAME)
        strict = orders.with_options(write_concern=wiredrv.WriteConcern(w=9, wtimeout=100))
        with pytest.raises(WriteConcernError) as caught:
            await strict.insert_one({"_id": 1})
        assert caught.value.code == 100
        # The write took place anyway.
        assert await orders.find_one(1) == {"_id": 1}
        with pytest.raises(BulkWriteError) as bulk:
            await strict.insert_many([{"_id": 2}, {"_id": 3}])
        assert bulk.value.details is not None
        assert bulk.value.details["nInserted"] == 2
        assert len(bulk.value.details["writeConcernErrors"]) == 1


async def test_what_a_server_says_of_a_write_concern_is_in_the_error(replica_set: ReplicaSet) -> None:
    """CRUD prose test 1."""
    told = {"writeConcern": {"w": 2, "wtimeout": 0, "provenance": "clientSupplied"}}
    entry = {
        "code": 100,
        "codeName": "UnsatisfiableWriteConcern",
        "errmsg": "Not enough data-bearing nodes",
        "errInfo": told,
    }
    async with watched(replica_set) as (client, _):
        orders = await fresh_collection(client, NAME)
        async with fail_command(primary_of(client), "insert", data={"writeConcernError": entry}):
            with pytest.raises(WriteConcernError) as caught:
                await orders.insert_one({"x": 1})
        assert caught.value.details is not None
        assert caught.value.details["errInfo"] == told


async def test_what_a_server_says_of_a_write_is_in_the_error(replica_set: ReplicaSet) -> None:
    """CRUD prose test 2."""
    async with watched(replica_set) as (client, log):
        await client[DATABASE].drop_collection("crud_validated")
        orders = await client[DATABASE].create_collection("crud_validated", validator={"x": {"$type": "string"}})
        log.clear()
        with pytest.raises(WriteError) as caught:
            await orders.insert_one({"x": 1})
        assert caught.value.code == 121
        assert caught.value.details is not None
        (answered,) = log.succeeded_events
        assert caught.value.details["errInfo"] == answered.reply["writeErrors"][0]["errInfo"]


async def test_documents_that_cannot_be_sent(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME)
        log.clear()
        with pytest.raises(InvalidDocument):
            await orders.insert_one({"a": object()})
        with pytest.raises(InvalidDocument):
            await orders.find_one({"a": 1 << 70})
        with pytest.raises(DocumentTooLarge):
            await orders.insert_many([{"a": "x" * 16_800_000}])
        with pytest.raises(DocumentTooLarge):
            await orders.insert_one({"a": "x" * 16_800_000})
        careless = orders.with_options(write_concern=wiredrv.WriteConcern(w=0))
        with pytest.raises(DocumentTooLarge):
            await careless.insert_one({"a": "x" * 16_777_216})
        assert log.names == []
        # And everything still works.
        await orders.insert_one({"_id": 1})


async def test_unacknowledged_writes_reach_the_server(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME)
        careless = orders.with_options(write_concern=wiredrv.WriteConcern(w=0))
        log.clear()
        results = [
            await careless.insert_one({"_id": 1}),
            await careless.insert_many([{"_id": 2}, {"_id": 3}]),
            await careless.update_one({"_id": 2}, {"$set": {"a": 1}}),
            await careless.delete_one({"_id": 3}),
            await careless.bulk_write([InsertOne({"_id": 4})]),
        ]
        assert [result.acknowledged for result in results] == [False] * 5
        with pytest.raises(InvalidOperation):
            _ = results[2].matched_count  # type: ignore[attr-defined]  # an UpdateResult
        for command in log.sent():
            assert "lsid" not in command
            assert "txnNumber" not in command

        async def arrived() -> bool:
            return await orders.find().sort("_id").to_list() == [{"_id": 1}, {"_id": 2, "a": 1}, {"_id": 4}]

        await until_async(arrived, "the unacknowledged writes")


# --- bulks ---


async def test_bulk_write_of_all_kinds(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME, documents=4)
        log.clear()
        result = await orders.bulk_write(
            [
                InsertOne({"_id": 10}),
                InsertOne({"_id": 11}),
                UpdateOne({"_id": 0}, {"$set": {"a": 1}}),
                ReplaceOne({"_id": 1}, {"b": 1}),
                UpdateOne({"_id": 77}, {"$set": {"c": 1}}, upsert=True),
                UpdateMany({"_id": {"$gte": 10}}, {"$set": {"d": 1}}),
                DeleteOne({"_id": 2}),
                DeleteMany({"_id": {"$lt": 2}}),
            ]
        )
        assert (result.inserted_count, result.matched_count, result.modified_count) == (2, 5, 5)
        assert (result.deleted_count, result.upserted_count, result.upserted_ids) == (3, 1, {4: 77})
        assert log.names == ["insert", "update", "delete"]
        # The batches with a multi statement are not retryable, the other one is.
        assert ["txnNumber" in command for command in log.sent()] == [True, False, False]


async def test_failures_of_a_bulk_bear_the_users_indexes(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        orders = await fresh_collection(client, NAME, documents=2)
        requests = [
            InsertOne({"_id": 5}),
            InsertOne({"_id": 0}),
            UpdateOne({"_id": 1}, {"$set": {"a": 1}}),
            InsertOne({"_id": 1}),
            InsertOne({"_id": 6}),
        ]
        with pytest.raises(BulkWriteError) as ordered:
            await orders.bulk_write(requests)
        with pytest.raises(BulkWriteError) as unordered:
            await orders.bulk_write(requests[1:], ordered=False)
        for caught, inserted, modified, indexes in ((ordered, 1, 0, [1]), (unordered, 1, 1, [0, 2])):
            details = caught.value.details
            assert details is not None
            assert (details["nInserted"], details["nModified"]) == (inserted, modified)
            assert [error["index"] for error in details["writeErrors"]] == indexes
        assert ordered.value.details is not None
        assert ordered.value.details["writeErrors"][0]["op"] == {"_id": 0}


async def test_bulk_larger_than_a_message_travels_in_several(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME)
        log.clear()
        await orders.insert_many([{"_id": number, "text": "x" * 9_000_000} for number in range(7)])
        assert [len(command["documents"]) for command in log.sent("insert")] == [5, 2]
        assert await orders.count_documents({}) == 7
        await orders.delete_many({})


async def test_bulk_is_retried_batch_by_batch(replica_set: ReplicaSet) -> None:
    # Retryable-writes specification: each batch has a transaction number of its own, also used by its retry.
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME)
        log.clear()
        data = {"closeConnection": True}
        async with fail_command(primary_of(client), "update", app_name=APP_NAME, data=data):
            result = await orders.bulk_write(
                [InsertOne({"_id": 1}), UpdateOne({"_id": 1}, {"$inc": {"a": 1}}), InsertOne({"_id": 2})]
            )
        assert (result.inserted_count, result.modified_count) == (2, 1)
        assert log.names == ["insert", "update", "update", "insert"]
        numbers = [command["txnNumber"] for command in log.sent()]
        assert numbers[1] == numbers[2]
        assert await orders.find_one(1) == {"_id": 1, "a": 1}


async def test_bulk_that_breaks_off_tells_what_was_done(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        orders = await fresh_collection(client, NAME)
        data = {"closeConnection": True}
        async with fail_command(primary_of(client), "delete", times=2, app_name=APP_NAME, data=data):
            with pytest.raises(AutoReconnect) as caught:
                await orders.bulk_write([InsertOne({"_id": 1}), DeleteOne({"_id": 1})])
        assert caught.value.partial_result.inserted_count == 1


async def test_write_concern_error_that_can_be_retried_is(replica_set: ReplicaSet) -> None:
    # Retryable-writes specification: labels of a reply that is otherwise a success.
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME)
        log.clear()
        data = {
            "writeConcernError": {"code": 91, "errmsg": "shutting down", "errorLabels": ["RetryableWriteError"]},
            "errorLabels": ["RetryableWriteError"],
        }
        async with fail_command(primary_of(client), "insert", times=2, app_name=APP_NAME, data=data):
            with pytest.raises(BulkWriteError) as caught:
                await orders.insert_many([{"_id": 1}])
        assert caught.value.has_error_label("RetryableWriteError")
        assert log.names == ["insert", "insert"]
        assert await orders.count_documents({}) == 1


# --- codec options ---


async def test_users_codec_options_work_on_every_path(replica_set: ReplicaSet) -> None:
    options: CodecOptions[dict[str, Any]] = CodecOptions(uuid_representation=UuidRepresentation.STANDARD, tz_aware=True)
    one, two, three = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    async with watched(replica_set) as (client, _):
        orders = (await fresh_collection(client, NAME)).with_options(codec_options=options)
        await orders.insert_one({"_id": one})
        await orders.insert_many([{"_id": two}])
        upserted = await orders.update_one({"_id": three}, {"$set": {"a": 1}}, upsert=True)
        assert upserted.upserted_id == three
        assert await orders.find_one(one) == {"_id": one}
        assert {document["_id"] async for document in orders.find({}, batch_size=1)} == {one, two, three}
        assert set(await orders.distinct("_id")) == {one, two, three}
        assert [document["_id"] async for document in orders.aggregate([{"$match": {"_id": two}}])] == [two]
        assert await orders.find_one_and_delete({"_id": two}) == {"_id": two}
        assert await orders.count_documents({"_id": one}) == 1
        with pytest.raises(DuplicateKeyError):
            await orders.insert_one({"_id": one})
        written = await orders.bulk_write([UpdateOne({"_id": two}, {"$set": {"a": 1}}, upsert=True)])
        assert written.upserted_ids == {0: two}
        reply = await client[DATABASE].command("find", NAME, filter={"_id": one}, codec_options=options)
        assert reply["cursor"]["firstBatch"] == [{"_id": one}]


async def test_raw_documents_go_in_and_out(replica_set: ReplicaSet) -> None:
    options = CodecOptions(document_class=bson.raw_bson.RawBSONDocument)
    async with watched(replica_set) as (client, _):
        orders = (await fresh_collection(client, NAME)).with_options(codec_options=options)
        raw = bson.raw_bson.RawBSONDocument(bson.encode({"_id": 1, "a": {"b": 2}}))
        await orders.insert_one(raw)
        found = await orders.find_one(1)
        assert found is not None
        assert found.raw == raw.raw
        assert [document.raw async for document in orders.find()] == [raw.raw]


# --- aggregates that write ---


async def test_out_and_merge(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME, documents=3)
        copy = client[DATABASE].crud_copy
        log.clear()
        majority = orders.with_options(write_concern=wiredrv.WriteConcern(w="majority"))
        assert await (await majority.aggregate([{"$out": "crud_copy"}], batch_size=5)).to_list() == []
        assert await copy.count_documents({}) == 3
        await orders.aggregate([{"$set": {"a": 1}}, {"$merge": "crud_copy"}])
        assert await copy.count_documents({"a": 1}) == 3
        first, second = log.sent("aggregate")[0], log.sent("aggregate")[2]
        assert first["writeConcern"] == {"w": "majority"}
        assert first["cursor"] == {}
        assert "writeConcern" not in second
        await copy.drop()


# --- collections, indexes, databases, commands ---


async def test_collections_are_created_listed_renamed_and_dropped(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        database = client["wiredrv_crud_collections"]
        logs = await database.create_collection("logs", capped=True, size=4096)
        assert (await logs.options())["capped"] is True
        with pytest.raises(CollectionInvalid, match="already exists"):
            await database.create_collection("logs", capped=True, size=8192)
        assert await database.list_collection_names() == ["logs"]
        assert [found["type"] async for found in database.list_collections()] == ["collection"]
        assert [found.name for found in await database.list_collection_objects()] == ["logs"]
        await logs.rename("journal")
        assert await database.list_collection_names(filter={"name": {"$regex": "^j"}}) == ["journal"]
        await database.journal.drop()
        await database.journal.drop()
        assert await database.list_collection_names() == []


async def test_indexes_are_created_listed_and_dropped(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        orders = await fresh_collection(client, "crud_indexes")
        await orders.drop_indexes()
        assert await orders.create_index([("a", 1), ("b", -1)], unique=True) == "a_1_b_-1"
        assert await orders.create_indexes([IndexModel("c"), IndexModel("d", name="mine")]) == ["c_1", "mine"]
        assert await orders.list_index_names() == ["_id_", "a_1_b_-1", "c_1", "mine"]
        information = await orders.index_information()
        assert information["a_1_b_-1"]["key"] == [("a", 1), ("b", -1)]
        assert information["a_1_b_-1"]["unique"] is True
        await orders.drop_index("mine")
        await orders.drop_index([("c", 1)])
        with pytest.raises(OperationFailure):
            await orders.drop_index("mine")
        await orders.drop_indexes()
        assert await orders.list_index_names() == ["_id_"]
        assert await client[DATABASE].no_such_collection.list_index_names() == []


@pytest.mark.parametrize("configuration", ["standalone", "primary", "secondary"])
async def test_each_index_is_listed_once(replica_set: ReplicaSet, standalone: Standalone, configuration: str) -> None:
    """Index-management, the prose tests ported from enumerate-indexes; without a router."""
    deployment = standalone if configuration == "standalone" else replica_set
    async with watched(deployment) as (client, _):
        options: Any = {} if configuration == "standalone" else {"write_concern": wiredrv.WriteConcern(w=3)}
        orders = client[DATABASE].get_collection("crud_indexes", **options)
        await orders.drop()
        await orders.create_indexes([IndexModel("a"), IndexModel([("a", 1), ("b", -1)]), IndexModel("c", unique=True)])
        await orders.insert_one({"a": 1, "b": 2, "c": 3})
        names = ["_id_", "a_1", "a_1_b_-1", "c_1"]
        if configuration == "secondary":
            member = (await client.admin.command("hello"))["hosts"]
            primary = str(primary_of(client))
            uri = f"mongodb://{next(host for host in member if host != primary)}/?directConnection=true"
            async with wiredrv.Client(uri) as direct:
                listed = await direct[DATABASE].crud_indexes.list_indexes().to_list()
                assert await direct[DATABASE].crud_indexes.list_index_names() == names
        else:
            listed = await orders.list_indexes().to_list()
            assert await orders.list_index_names() == names
        assert [each["name"] for each in listed] == names
        assert [each["name"] for each in listed if each.get("unique")] == ["c_1"]


async def test_databases_are_listed_and_dropped(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        await client["wiredrv_crud_gone"].a.insert_one({})
        assert "wiredrv_crud_gone" in await client.list_database_names()
        await client.drop_database("wiredrv_crud_gone")
        assert "wiredrv_crud_gone" not in await client.list_database_names()


async def test_commands(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        orders = await fresh_collection(client, NAME, documents=5)
        database = client[DATABASE]
        assert (await database.command("ping"))["ok"] == 1
        assert (await database.run_command({"count": NAME}))["n"] == 5
        with pytest.raises(OperationFailure) as caught:
            await database.command("nonsense")
        assert caught.value.code_name == "CommandNotFound"
        assert (await database.command("nonsense", check=False))["ok"] == 0
        cursor = database.cursor_command({"find": NAME, "batchSize": 2}, batch_size=2)
        assert len(await cursor.to_list()) == 5
        assert (await orders.find({"_id": 1}).explain())["queryPlanner"]["namespace"] == orders.full_name


async def test_a_time_limit_of_explain_is_that_of_its_command(replica_set: ReplicaSet) -> None:
    """CRUD prose test 14. A maxTimeMS within the command that is explained would have no effect."""
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, NAME)
        log.clear()
        await orders.find({"name": "john doe"}, max_time_ms=2000).explain()
        await orders.find({"name": "john doe"}).max_time_ms(2000).explain()
        for sent in log.sent("explain"):
            assert sent["maxTimeMS"] == 2000
            assert "maxTimeMS" not in sent["explain"]
        log.clear()
        await orders.find({"name": "john doe"}, max_time_ms=2000, timeout_ms=60_000).explain()
        (sent,) = log.sent("explain")
        assert 2000 < sent["maxTimeMS"] <= 60_000


async def test_legacy_map_reduce(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        orders = await fresh_collection(client, NAME, documents=4)
        found = await orders.map_reduce(
            "function() { emit(this._id % 2, 1) }", "function(key, values) { return Array.sum(values) }"
        )
        assert sorted(found, key=lambda entry: entry["_id"]) == [{"_id": 0, "value": 2}, {"_id": 1, "value": 2}]


async def test_many_tasks_share_a_collection(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        orders = await fresh_collection(client, NAME, documents=1)

        async def count_up() -> None:
            for _ in range(10):
                await orders.update_one({"_id": 0}, {"$inc": {"n": 1}})

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(count_up)
        assert await orders.find_one(0) == {"_id": 0, "n": 100}


@pytest.mark.parametrize("method", ["insert_one", "insert_many", "bulk_write"])
@pytest.mark.parametrize("document", [{"a": 1}, {"a": 1, "_id": 5}], ids=["generated", "given last"])
async def test_the_id_is_the_first_field_of_what_is_sent(method: str, document: dict[str, Any]) -> None:
    """CRUD prose test 16: of the message itself, and of the event."""
    document = dict(document)
    log = EventLog()
    with FakeServer(with_sessions()) as server:
        async with wiredrv.Client(f"mongodb://{server.address}", event_listeners=[log]) as client:
            orders = client.shop.orders
            calls: dict[str, Callable[[], Awaitable[object]]] = {
                "insert_one": lambda: orders.insert_one(document),
                "insert_many": lambda: orders.insert_many([document]),
                "bulk_write": lambda: orders.bulk_write([wiredrv.InsertOne(document)]),
            }
            await calls[method]()
        (sent,) = [command for command in server.commands if "insert" in command]
        (event,) = log.of(CommandStartedEvent, command_name="insert")
    assert list(sent["documents"][0]) == list(event.command["documents"][0]) == ["_id", "a"]
    assert sent["documents"][0] == event.command["documents"][0] == document
