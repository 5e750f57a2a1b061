"""Cases that would silently give other data, or less safety, than the same call in PyMongo.

Where a test says so, PyMongo makes the same call on the same server, and the commands or the data are compared.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pymongo
import pytest

import wiredrv
from tests.support.commands import DATABASE, CommandLog, fresh_collection, watched
from tests.support.pymongo_peer import plain, with_pymongo
from tests.support.waiting import until_async
from wiredrv.errors import (
    BulkDocumentTooLarge,
    BulkWriteError,
    ConfigurationError,
    DocumentTooLarge,
    OperationFailure,
    WriteConcernError,
    WriteError,
)
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

COLLECTION = "silent"
PEOPLE = [
    {"_id": 1, "name": "Ada", "city": "Oslo"},
    {"_id": 2, "name": "ada", "city": "Rome"},
    {"_id": 3, "name": "Bob", "city": "oslo"},
]


@asynccontextmanager
async def _people(replica_set: ReplicaSet) -> AsyncIterator[tuple[wiredrv.Client, wiredrv.Collection, CommandLog]]:
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, COLLECTION)
        await collection.insert_many(PEOPLE)
        log.clear()
        yield client, collection, log


# --- options never override the arguments of a call -------------------------------------------------------------------

#: A call with an option that has the name of a field which the call's other arguments set.
REPLACING: dict[str, Callable[[wiredrv.Collection], Awaitable[object]]] = {
    "aggregate": lambda c: c.aggregate([], aggregate="other").to_list(),  # type: ignore[call-arg]
    "aggregate cursor": lambda c: c.aggregate([], cursor={"batchSize": 1, "id": 5}).to_list(),
    "aggregate cursor, batch size": lambda c: c.aggregate([], cursor={"batchSize": "1"}).to_list(),
    "aggregate lsid": lambda c: c.aggregate([], lsid={"id": 1}).to_list(),  # type: ignore[call-arg]
    "aggregate autocommit": lambda c: c.aggregate([], autocommit=False).to_list(),  # type: ignore[call-arg]
    "aggregate readConcern": lambda c: c.aggregate([], readConcern={"level": "majority"}).to_list(),  # type: ignore[call-arg]
    "database aggregate": lambda c: c.database.aggregate([{"$documents": []}], aggregate="c").to_list(),  # type: ignore[call-arg]
    "count_documents": lambda c: c.count_documents({}, pipeline=[{"$count": "n"}]),  # type: ignore[call-arg]
    "count": lambda c: c.count({}, count="other"),  # type: ignore[call-arg]
    "count query": lambda c: c.count({"name": "Ada"}, query={}),  # type: ignore[call-arg]
    "distinct": lambda c: c.distinct("name", distinct="other"),  # type: ignore[call-arg]
    "distinct query": lambda c: c.distinct("name", {"city": "Oslo"}, query={}),  # type: ignore[call-arg]
    "create_index": lambda c: c.create_index("name", key={"city": 1}),  # type: ignore[call-arg]  # refusing it is the point
    "drop_indexes": lambda c: c.drop_indexes(index="name_1"),  # type: ignore[call-arg]
    "rename": lambda c: c.rename("renamed", to="other.place"),  # type: ignore[call-arg]  # refusing it is the point
    "map_reduce": lambda c: c.map_reduce("function() {}", "function() {}", mapReduce="other"),  # type: ignore[call-arg]  # refusing it is the point
    "list_collections": lambda c: c.database.list_collections(listCollections=2).to_list(),  # type: ignore[call-arg]  # refusing it is the point
    "create_collection": lambda c: c.database.create_collection("made", create="other"),  # type: ignore[call-overload]  # refusing it is the point
    "list_databases": lambda c: c.database.client.list_databases(listDatabases=2).to_list(),  # type: ignore[call-arg]  # refusing it is the point
    "find_one_and_delete": lambda c: c.find_one_and_delete({}, remove=False),  # type: ignore[call-arg]
    "find_one_and_update": lambda c: c.find_one_and_update({}, {"$set": {"a": 1}}, query={}),  # type: ignore[call-arg]
    "update_one": lambda c: c.update_one({}, {"$set": {"a": 1}}, updates=[]),  # type: ignore[call-arg]
    "insert_one": lambda c: c.insert_one({}, documents=[]),  # type: ignore[call-arg]
    "delete_one": lambda c: c.delete_one({}, limit=0),  # type: ignore[call-arg]
    "bulk_write": lambda c: c.bulk_write([wiredrv.InsertOne({})], insert="other"),  # type: ignore[call-arg]
    "command": lambda c: c.database.command({"ping": 1}, ping=2),
    "command comment": lambda c: c.database.command({"ping": 1, "comment": "a"}, comment="b"),
    "cursor_command": lambda c: c.database.cursor_command({"find": "a"}, find="b").to_list(),
    "one option, two names": lambda c: c.aggregate([], max_time_ms=9000, maxTimeMS=1).to_list(),
}


@pytest.mark.parametrize("name", REPLACING)
async def test_an_option_that_would_replace_a_commands_field_is_refused_before_anything_is_sent(
    replica_set: ReplicaSet, name: str
) -> None:
    async with _people(replica_set) as (_, collection, log):
        with pytest.raises(ConfigurationError):
            await REPLACING[name](collection)
        assert log.names == []


async def test_cursor_options_that_have_a_place_of_their_own_still_get_there(replica_set: ReplicaSet) -> None:
    async with _people(replica_set) as (_, collection, log):
        cursor = await collection.aggregate([{"$match": {}}], batch_size=1, comment="c", let={"x": 1})
        assert len(await cursor.to_list()) == 3
        (sent,) = log.sent("aggregate")
        assert (sent["aggregate"], sent["cursor"], sent["comment"]) == (COLLECTION, {"batchSize": 1}, "c")


@pytest.mark.parametrize(
    "options",
    [
        {"cursor": {}},
        {"cursor": {"batchSize": 2}},
        {"cursor": {"batchSize": 0}},
        {"cursor": {"batchSize": 2}, "batchSize": 3},
        {"cursor": {"batchSize": 2}, "batchSize": 0},
    ],
    ids=str,
)
async def test_the_cursor_of_an_aggregate_is_the_size_of_its_first_batch(
    replica_set: ReplicaSet, options: dict[str, Any]
) -> None:
    async def use(client: Any) -> int:
        cursor = await client[DATABASE][COLLECTION].aggregate([{"$match": {}}], **copy.deepcopy(options))
        return len(await cursor.to_list())

    async with _people(replica_set) as (client, collection, log):
        await collection.insert_many([{} for _ in range(7)])
        log.clear()
        theirs, sent = await with_pymongo(replica_set.uri, use)
        assert await use(client) == theirs == len(PEOPLE) + 7
        for name, field in (("aggregate", "cursor"), ("getMore", "batchSize")):
            ours = [command.get(field) for command in log.sent(name)]
            assert ours == [command.get(field) for command in sent if name in command]


# --- cursor.distinct --------------------------------------------------------------------------------------------------

SECOND = {"locale": "en", "strength": 2}


async def test_distinct_of_a_cursor_keeps_what_the_cursor_was_given(replica_set: ReplicaSet) -> None:
    async def use(client: Any) -> Any:
        cursor = client[DATABASE][COLLECTION].find({"city": {"$ne": "Rome"}}).collation(SECOND)
        return await cursor.max_time_ms(9000).comment("why").distinct("city")

    async with _people(replica_set) as (_, collection, log):
        theirs, sent = await with_pymongo(replica_set.uri, use)
        cursor = collection.find({"city": {"$ne": "Rome"}}).collation(SECOND)
        ours = await cursor.max_time_ms(9000).comment("why").distinct("city")
        assert ours == theirs == ["Oslo"]
        assert [plain(command) for command in log.sent("distinct")] == sent
        assert sent[0]["collation"] == SECOND


async def test_distinct_of_a_cursor_sends_its_hint(replica_set: ReplicaSet) -> None:
    """Servers before 7.1 refuse it, which proves more than another index would."""
    async with _people(replica_set) as (_, collection, log):
        with contextlib.suppress(OperationFailure):
            await collection.find({}).hint("_id_").distinct("city")
        assert log.sent("distinct")[0]["hint"] == "_id_"


# --- projections ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("projection", [[], (), {}, ["name"], {"name": 1}, {"name": 0}, None], ids=repr)
async def test_a_projection_means_what_it_means_to_pymongo(replica_set: ReplicaSet, projection: Any) -> None:
    async def use(client: Any) -> Any:
        collection = client[DATABASE][COLLECTION]
        one = await collection.find_one({"_id": 1}, projection)
        many = await collection.find({}, projection).sort("_id").to_list()
        changed = await collection.find_one_and_update({"_id": 1}, {"$set": {"name": "Ada"}}, projection=projection)
        return one, many, changed

    async with _people(replica_set) as (client, _, _log):
        theirs, _ = await with_pymongo(replica_set.uri, use)
        assert await use(client) == theirs
        if projection is not None and not projection:
            assert theirs[0] == PEOPLE[0]


# --- ordered unacknowledged writes ------------------------------------------------------------------------------------


def _requests(driver: Any, case: str) -> list[Any]:
    insert, update, delete = driver.InsertOne, driver.UpdateOne, driver.DeleteOne
    return {
        "first fails": [insert({"_id": 1}), update({"_id": 2}, {"$set": {"new": 1}}), delete({"_id": 3})],
        "middle fails": [delete({"_id": 3}), insert({"_id": 1}), update({"_id": 2}, {"$set": {"new": 1}})],
        "none fails": [delete({"_id": 3}), insert({"_id": 4}), update({"_id": 2}, {"$set": {"new": 1}})],
        "last fails": [delete({"_id": 3}), insert({"_id": 4}), insert({"_id": 1}), insert({"_id": 5})],
    }[case]


LEFT = {
    "first fails": PEOPLE,
    "middle fails": PEOPLE[:2],
    "none fails": [PEOPLE[0], {**PEOPLE[1], "new": 1}, {"_id": 4}],
    "last fails": [*PEOPLE[:2], {"_id": 4}],
}


#: What is sent: each batch but the last is acknowledged, so that the next is not sent after a failure.
SENT = {
    "first fails": ["insert"],
    "middle fails": ["delete", "insert"],
    "none fails": ["delete", "insert", "update"],
    "last fails": ["delete", "insert"],
}
CONCERNS: dict[str, list[Any]] = {
    "first fails": [None],
    "middle fails": [None, None],
    "none fails": [None, None, {"w": 0}],
    "last fails": [None, {"w": 0}],
}


@pytest.mark.parametrize("case", LEFT)
@pytest.mark.parametrize("driver", ["PyMongo", "wiredrv"])
async def test_an_ordered_bulk_without_acknowledgement_stops_at_the_first_failure(
    replica_set: ReplicaSet, driver: str, case: str
) -> None:
    async def use(client: Any) -> Any:
        module = pymongo if driver == "PyMongo" else wiredrv
        collection = client[DATABASE][COLLECTION].with_options(write_concern=module.WriteConcern(w=0))
        result = await collection.bulk_write(_requests(module, case))
        return result.acknowledged

    async with _people(replica_set) as (client, collection, log):
        acknowledged = (await with_pymongo(replica_set.uri, use))[0] if driver == "PyMongo" else await use(client)
        assert acknowledged is False
        if driver == "wiredrv":
            assert log.names == SENT[case]
            assert [command.get("writeConcern") for command in log.sent()] == CONCERNS[case]

        async def arrived() -> bool:
            return await collection.find({}).sort("_id").to_list() == LEFT[case]

        await until_async(arrived, f"{case}: {LEFT[case]} is what is left")


# --- documents that are too large -------------------------------------------------------------------------------------

MEBIBYTE = 1024 * 1024
#: Sizes that servers check themselves, that they can no longer read, and that no message can hold.
SIZES = {"a little": 16 * MEBIBYTE, "much": 17 * MEBIBYTE, "more than a message": 50 * MEBIBYTE}


def _large(size: str) -> list[dict[str, Any]]:
    return [{"_id": 1}, {"_id": 2}, {"_id": 3, "x": "a" * SIZES[size]}, {"_id": 4}, {"_id": 5}]


@asynccontextmanager
async def _empty(replica_set: ReplicaSet) -> AsyncIterator[tuple[wiredrv.Client, wiredrv.Collection, CommandLog]]:
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, COLLECTION)
        log.clear()
        yield client, collection, log


async def _left(collection: wiredrv.Collection) -> list[Any]:
    return [found["_id"] for found in await collection.find({}, {"_id": 1}).sort("_id").to_list()]


@pytest.mark.parametrize("ordered, left", [(True, [1, 2]), (False, [1, 2, 4, 5])], ids=["ordered", "unordered"])
@pytest.mark.parametrize("method", ["insert_many", "bulk_write"])
@pytest.mark.parametrize("size", SIZES)
async def test_a_document_that_is_too_large_fails_alone(
    replica_set: ReplicaSet, method: str, size: str, ordered: bool, left: list[int]
) -> None:
    """What comes before it is written, also the rest if the bulk is unordered; insert_one reports the same error."""
    async with _empty(replica_set) as (_, collection, _log):
        documents = _large(size)

        async def bulk_write() -> object:
            return await collection.bulk_write([wiredrv.InsertOne(each) for each in documents], ordered)

        with pytest.raises(BulkWriteError) as caught:
            await (collection.insert_many(documents, ordered) if method == "insert_many" else bulk_write())
        error = caught.value
        assert await _left(collection) == left
        assert error.details is not None
        assert error.details["nInserted"] == error.partial_result.inserted_count == len(left)
        (failure,) = error.details["writeErrors"]
        assert failure["index"] == 2
        assert failure["op"] is documents[2]
        with pytest.raises((DocumentTooLarge, WriteError)) as alone:
            await collection.insert_one(documents[2])
        assert isinstance(alone.value, DocumentTooLarge) is isinstance(error, DocumentTooLarge) is (size != "a little")
        if isinstance(alone.value, WriteError):
            assert failure["code"] == alone.value.code == 2
        else:
            assert failure["code"] == 10334
            assert isinstance(error, BulkDocumentTooLarge)
            assert isinstance(error.__cause__, DocumentTooLarge)


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_document_that_a_server_can_still_read_ends_as_with_pymongo(
    replica_set: ReplicaSet, ordered: bool
) -> None:
    async def use(client: Any) -> Any:
        await client[DATABASE][COLLECTION].insert_many(_large("a little"), ordered)

    async with _empty(replica_set) as (client, collection, _):
        theirs, _commands = await with_pymongo(replica_set.uri, use)
        left = await _left(collection)
        await collection.delete_many({})
        with pytest.raises(BulkWriteError) as ours:
            await use(client)
        assert isinstance(theirs, pymongo.errors.BulkWriteError)
        assert await _left(collection) == left
        assert ours.value.details == theirs.details


async def test_several_failures_of_both_kinds_are_all_told(replica_set: ReplicaSet) -> None:
    async with _empty(replica_set) as (_, collection, _log):
        huge = "a" * SIZES["much"]
        documents: list[dict[str, Any]] = [{"_id": 1}, {"x": huge}, {"_id": 1}, {"x": huge}, {"_id": 2}]
        with pytest.raises(BulkDocumentTooLarge) as caught:
            await collection.insert_many(documents, ordered=False)
        assert caught.value.details is not None
        failures = [(failure["index"], failure["code"]) for failure in caught.value.details["writeErrors"]]
        assert failures == [(1, 10334), (2, 11000), (3, 10334)]
        assert caught.value.code == 65
        assert await _left(collection) == [1, 2]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("ordered", [True, False])
async def test_a_document_that_is_too_large_is_told_of_although_nobody_waits_for_answers(
    replica_set: ReplicaSet, ordered: bool, size: str
) -> None:
    async with _empty(replica_set) as (_, collection, _log):
        careless = collection.with_options(write_concern=wiredrv.WriteConcern(w=0))
        with pytest.raises(DocumentTooLarge):
            await careless.insert_one(_large(size)[2])
        with pytest.raises(BulkDocumentTooLarge) as caught:
            await careless.insert_many(_large(size), ordered)
        assert not caught.value.partial_result.acknowledged

        async def arrived() -> bool:
            return await _left(collection) == ([1, 2] if ordered else [1, 2, 4, 5])

        await until_async(arrived, "what could be sent was written")


async def test_a_document_that_is_too_large_leaves_its_transaction_as_it_was(replica_set: ReplicaSet) -> None:
    async with _empty(replica_set) as (client, collection, log):
        async with client.transaction():
            with pytest.raises(BulkDocumentTooLarge):
                await collection.insert_many(_large("much"))
            await collection.insert_one({"_id": 9})
        assert log.names == ["insert", "insert", "commitTransaction"]
        assert await _left(collection) == [1, 2, 9]


async def test_a_bulk_that_nobody_answers_takes_no_session_before_anything_is_sent(replica_set: ReplicaSet) -> None:
    async with _people(replica_set) as (client, collection, log):
        careless = collection.with_options(write_concern=wiredrv.WriteConcern(w=0))
        async with client.start_session() as session:
            with pytest.raises(ConfigurationError, match="unacknowledged"):
                await careless.bulk_write(_requests(wiredrv, "none fails"), session=session)
        assert log.names == []


# --- dropping, indexes, counts, names ---------------------------------------------------------------------------------

#: A write concern that no set of three members can satisfy.
IMPOSSIBLE = {"w": 9, "wtimeout": 100}


@pytest.mark.parametrize("exists", [True, False], ids=["there is one", "there is none"])
@pytest.mark.parametrize("method", ["drop", "drop_collection", "drop_indexes", "drop_index"])
async def test_dropping_tells_of_a_write_concern_that_was_not_met(
    replica_set: ReplicaSet, method: str, exists: bool
) -> None:
    async def call(client: Any, driver: Any) -> None:
        concern = driver.WriteConcern(**IMPOSSIBLE)
        collection = client[DATABASE].get_collection(COLLECTION, write_concern=concern)
        if method == "drop_collection":
            await client.get_database(DATABASE, write_concern=concern).drop_collection(COLLECTION)
        elif method == "drop_index":
            await collection.drop_index("name_1")
        else:
            await getattr(collection, method)()

    async def prepare(collection: wiredrv.Collection) -> None:
        if exists:
            await collection.create_index("name")
        else:
            await collection.drop()

    async with _people(replica_set) as (client, collection, _):
        await prepare(collection)
        theirs, _sent = await with_pymongo(replica_set.uri, lambda peer: call(peer, pymongo))
        await prepare(collection)
        assert isinstance(theirs, pymongo.errors.WriteConcernError), theirs
        with pytest.raises(WriteConcernError) as ours:
            await call(client, wiredrv)
        assert ours.value.code == theirs.code


async def test_an_index_is_dropped_by_its_keys_whatever_its_name(replica_set: ReplicaSet) -> None:
    async with _people(replica_set) as (_, collection, _log):
        await collection.drop_indexes()
        await collection.create_index([("name", 1), ("city", -1)], name="mine")
        await collection.create_index([("city", "text")])
        assert await collection.list_index_names() == ["_id_", "mine", "city_text"]
        await collection.drop_index([("name", 1), ("city", -1)])
        await collection.drop_index([("city", "text")])
        assert await collection.list_index_names() == ["_id_"]
        with pytest.raises(OperationFailure, match="can't find index"):
            await collection.drop_index({"name": 1})


async def test_the_estimated_count_never_takes_the_bound_session(replica_set: ReplicaSet) -> None:
    """CRUD specification, "Estimated Document Count": it takes no session, and servers refuse it in transactions."""
    async with _people(replica_set) as (client, collection, log):
        async with client.start_session() as session, session.bind():
            bound = bytes(session.session_id["id"])
            assert await collection.estimated_document_count() == 3
        async with client.transaction():
            await collection.insert_one({"_id": 4})
            await collection.estimated_document_count()
        assert bound not in log.lsids("count")
        assert all("autocommit" not in command for command in log.sent("count"))


async def test_names_of_databases_can_be_filtered(replica_set: ReplicaSet) -> None:
    async with _people(replica_set) as (client, _, log):
        assert await client.list_database_names(filter={"name": {"$in": [DATABASE, "none"]}}) == [DATABASE]
        assert await client.list_database_names(filter={"name": "none"}) == []
        assert DATABASE in await client.list_database_names(authorizedDatabases=True)
        assert DATABASE in await client.list_database_names(filter={"empty": False})
        assert [each.name for each in await client.list_database_objects(filter={"name": DATABASE})] == [DATABASE]
        sent = [plain(command) for command in log.sent("listDatabases")]
        assert sent == [
            {"listDatabases": 1, "nameOnly": True, "filter": {"name": {"$in": [DATABASE, "none"]}}},
            {"listDatabases": 1, "nameOnly": True, "filter": {"name": "none"}},
            {"listDatabases": 1, "nameOnly": True, "authorizedDatabases": True},
            {"listDatabases": 1, "filter": {"empty": False}},
            {"listDatabases": 1, "nameOnly": True, "filter": {"name": DATABASE}},
        ]
        with pytest.raises(ConfigurationError, match="filter must be a mapping"):
            await client.list_database_names(filter="a")  # type: ignore[arg-type]
