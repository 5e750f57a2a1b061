"""Helpers of databases and collections: validate_collection, dereference, search indexes, and kinds of collections.

The real server 6.0 has no search: what it refuses is tested on it, and what a server with search answers on a fake one.
Of the prose tests of search indexes (index-management, "Search Index Management Helpers"), which need an Atlas cluster,
case 5 is here as it is; the others wait until a search engine has built an index: what their calls send is tested here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from bson.dbref import DBRef
from bson.raw_bson import RawBSONDocument

from tests.support.commands import DATABASE, fresh_collection, watched
from tests.support.fake_server import FakeServer, fine, with_sessions
from wiredrv import Client, Collection, ReadConcern, SearchIndexModel, WriteConcern
from wiredrv.errors import (
    CollectionInvalid,
    ConfigurationError,
    InvalidName,
    OperationFailure,
    UnreadableReply,
    WriteError,
)
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def answering(answer: Callable[[dict[str, Any]], Mapping[str, Any]]) -> AsyncIterator[tuple[Client, FakeServer]]:
    """A client of a fake server that is a replica set of its own."""
    with FakeServer(with_sessions(), lambda command: {**fine(command), **answer(command)}) as server:
        server.hello.update(setName="rs", hosts=[str(server.address)], me=str(server.address), maxWireVersion=21)
        async with Client(f"mongodb://{server.address}/?replicaSet=rs") as client:
            yield client, server


# --- validate_collection ---


async def test_a_valid_collection_gives_the_reply(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, "validated", 3)
        log.clear()
        reply = await client[DATABASE].validate_collection("validated", full=True, comment="c")
        assert (reply["valid"], reply["nrecords"]) == (True, 3)
        (sent,) = log.sent()
        assert {name: sent[name] for name in ("validate", "scandata", "full", "comment")} == {
            "validate": "validated",
            "scandata": False,
            "full": True,
            "comment": "c",
        }
        assert (await client[DATABASE].validate_collection(collection, background=True))["valid"]
        assert log.sent()[-1]["background"] is True


async def test_a_collection_that_does_not_exist_is_refused_by_the_server(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        with pytest.raises(OperationFailure) as caught:
            await client[DATABASE].validate_collection("there_is_none")
        assert caught.value.code == 26


INVALID: list[tuple[dict[str, Any], bool]] = [
    ({"valid": True}, True),
    ({"valid": False, "errors": ["index a_1 is inconsistent"]}, False),
    ({}, False),
    ({"raw": {"one": {"valid": True}, "two": {"valid": True}}}, True),
    ({"raw": {"one": {"valid": True}, "two": {"valid": False}}, "valid": True}, False),
    ({"raw": {"one": 5}}, False),
]


@pytest.mark.parametrize("reply, valid", INVALID)
async def test_a_collection_that_is_not_valid_on_any_shard_is_an_error(reply: dict[str, Any], valid: bool) -> None:
    async with answering(lambda command: reply if "validate" in command else {}) as (client, _):
        if valid:
            assert (await client.shop.validate_collection("orders"))["ok"] == 1
            return
        with pytest.raises(CollectionInvalid, match=r"shop\.orders is not valid"):
            await client.shop.validate_collection("orders")


BAD_VALIDATIONS: list[tuple[Any, dict[str, Any], type[Exception]]] = [
    (5, {}, ConfigurationError),
    ("a..b", {}, InvalidName),
    ("orders", {"full": 1}, ConfigurationError),
    ("orders", {"background": "yes"}, ConfigurationError),
]


@pytest.mark.parametrize("name, options, error", BAD_VALIDATIONS)
async def test_bad_arguments_of_a_validation_are_refused(name: Any, options: Any, error: type[Exception]) -> None:
    async with answering(lambda command: {}) as (client, server):
        with pytest.raises(error):
            await client.shop.validate_collection(name, **options)
        assert server.commands == []


# --- dereference ---


async def test_a_reference_leads_to_its_document(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, "referred")
        database = client[DATABASE]
        await collection.insert_many([{"_id": 1, "a": 1, "b": 1}, {"_id": "x", "to": DBRef("referred", 1)}])
        found = await collection.find_one("x")
        assert found is not None
        assert await database.dereference(found["to"]) == {"_id": 1, "a": 1, "b": 1}
        assert await database.dereference(found["to"], projection={"a": 1}, comment="c") == {"_id": 1, "a": 1}
        assert await database.dereference(DBRef("referred", 2)) is None
        assert await database.dereference(DBRef("referred", 1, DATABASE)) == {"_id": 1, "a": 1, "b": 1}
        raw = await client.get_database(DATABASE, document_class=RawBSONDocument).dereference(DBRef("referred", 1))
        assert isinstance(raw, RawBSONDocument)


@pytest.mark.parametrize("reference", [DBRef("orders", 1, "other"), {"$ref": "orders", "$id": 1}, None])
async def test_what_is_no_reference_to_this_database_is_refused(reference: Any) -> None:
    async with answering(lambda command: {}) as (client, server):
        with pytest.raises(ConfigurationError):
            await client.shop.dereference(reference)
        assert server.commands == []


# --- search indexes ---

DEFINITION = {"mappings": {"dynamic": True}}
Search = Callable[[Collection], Awaitable[Any]]


async def _listed(collection: Collection) -> list[dict[str, Any]]:
    return await collection.list_search_indexes("movies", batch_size=5, comment="c").to_list()


SEARCHES: dict[str, tuple[Search, dict[str, Any], Any]] = {
    "create one": (
        lambda c: c.create_search_index(SearchIndexModel(DEFINITION, "movies", "vectorSearch", extra=1)),
        {
            "createSearchIndexes": "orders",
            "indexes": [{"name": "movies", "definition": DEFINITION, "type": "vectorSearch", "extra": 1}],
        },
        "index 0",
    ),
    "create one, as a mapping": (
        lambda c: c.create_search_index({"definition": DEFINITION}, maxTimeMS=5),
        {"createSearchIndexes": "orders", "indexes": [{"definition": DEFINITION}], "maxTimeMS": 5},
        "index 0",
    ),
    "create several": (
        lambda c: c.create_search_indexes([SearchIndexModel(DEFINITION), SearchIndexModel(DEFINITION)], comment="c"),
        {"createSearchIndexes": "orders", "indexes": [{"definition": DEFINITION}] * 2, "comment": "c"},
        ["index 0", "index 1"],
    ),
    "update": (
        lambda c: c.update_search_index("movies", DEFINITION),
        {"updateSearchIndex": "orders", "name": "movies", "definition": DEFINITION},
        None,
    ),
    "drop": (
        lambda c: c.drop_search_index("movies", comment="c"),
        {"dropSearchIndex": "orders", "name": "movies", "comment": "c"},
        None,
    ),
    "list": (
        _listed,
        {
            "aggregate": "orders",
            "pipeline": [{"$listSearchIndexes": {"name": "movies"}}],
            "cursor": {"batchSize": 5},
            "comment": "c",
        },
        [{"name": "movies", "status": "READY"}],
    ),
}


def with_search(command: dict[str, Any]) -> Mapping[str, Any]:
    """What a server with search answers."""
    if "createSearchIndexes" in command:
        return {"indexesCreated": [{"id": str(n), "name": f"index {n}"} for n in range(len(command["indexes"]))]}
    if "aggregate" in command:
        batch = [{"name": "movies", "status": "READY"}]
        return {"cursor": {"id": 0, "ns": "shop.orders", "firstBatch": batch}}
    return {}


@pytest.mark.parametrize("name", SEARCHES)
async def test_a_helper_sends_its_command_without_any_concern(name: str) -> None:
    """Index-management, "Where are read concern and write concern?"; also in a causally consistent session."""
    call, expected, result = SEARCHES[name]
    async with answering(with_search) as (client, server):
        options: Any = {"read_concern": ReadConcern("majority"), "write_concern": WriteConcern(w="majority")}
        orders = client.shop.get_collection("orders", **options)
        async with client.start_session() as session, session.bind():
            await orders.find_one({})
            server.commands.clear()
            assert await call(orders) == result
        sent = next(command for command in server.commands if next(iter(command)) == next(iter(expected)))
        own = {key: sent[key] for key in sent if key not in ("lsid", "$clusterTime", "$db", "$readPreference")}
        assert own == expected


@pytest.mark.parametrize("name", SEARCHES)
async def test_a_server_without_search_refuses(replica_set: ReplicaSet, name: str) -> None:
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, "orders", 1)
        with pytest.raises(OperationFailure) as caught:
            await SEARCHES[name][0](collection)
        assert caught.value.code in (59, 40324)  # CommandNotFound, an unknown stage


async def test_dropping_from_a_collection_that_does_not_exist_is_no_error() -> None:
    """Index-management, "NamespaceNotFound Errors", and its prose test of search indexes, case 5."""
    refusal = {"ok": 0, "code": 26, "errmsg": "ns not found"}
    async with answering(lambda command: refusal if "dropSearchIndex" in command else {}) as (client, _):
        await client.shop.orders.drop_search_index("movies")
    refusal = {"ok": 0, "code": 27, "errmsg": "index not found"}
    async with answering(lambda command: refusal if "dropSearchIndex" in command else {}) as (client, _):
        with pytest.raises(OperationFailure):
            await client.shop.orders.drop_search_index("movies")


@pytest.mark.parametrize("created", [None, 5, [], [{"id": "1"}], [{"name": 5}]])
async def test_a_reply_that_names_no_index_is_unreadable(created: Any) -> None:
    async with answering(lambda command: {"indexesCreated": created}) as (client, _):
        with pytest.raises(UnreadableReply):
            await client.shop.orders.create_search_index(SearchIndexModel(DEFINITION))


BAD_SEARCHES: list[Search] = [
    lambda c: c.create_search_index(5),  # type: ignore[arg-type]  # bad input is the point
    lambda c: c.create_search_index({"name": "movies"}),
    lambda c: c.create_search_indexes(SearchIndexModel(DEFINITION)),  # type: ignore[arg-type]  # as above
    lambda c: c.create_search_indexes([5]),  # type: ignore[list-item]  # as above
    lambda c: c.create_search_index(SearchIndexModel(5)),  # type: ignore[arg-type]  # as above
    lambda c: c.create_search_index(SearchIndexModel(DEFINITION, name=5)),  # type: ignore[arg-type]  # as above
    lambda c: c.create_search_index(SearchIndexModel(DEFINITION, type=5)),  # type: ignore[arg-type]  # as above
    lambda c: c.update_search_index(5, DEFINITION),  # type: ignore[arg-type]  # as above
    lambda c: c.update_search_index("movies", 5),  # type: ignore[arg-type]  # as above
    lambda c: c.drop_search_index(None),  # type: ignore[arg-type]  # as above
    lambda c: c.list_search_indexes(5).to_list(),  # type: ignore[arg-type]  # as above
]


@pytest.mark.parametrize("call", BAD_SEARCHES)
async def test_bad_arguments_on_search_indexes_are_refused(call: Search) -> None:
    async with answering(with_search) as (client, server):
        with pytest.raises(ConfigurationError):
            await call(client.shop.orders)
        assert server.commands == []


# --- kinds of collections ---

KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "capped": ({"capped": True, "size": 4096, "max": 2}, {"capped": True, "size": 4096, "max": 2}),
    "clustered": (
        {"clusteredIndex": {"key": {"_id": 1}, "unique": True, "name": "by id"}, "expireAfterSeconds": 3600},
        {"clusteredIndex": {"v": 2, "key": {"_id": 1}, "unique": True, "name": "by id"}, "expireAfterSeconds": 3600},
    ),
    "time series": (
        {"timeseries": {"timeField": "at", "metaField": "m", "granularity": "hours"}, "expireAfterSeconds": 60},
        {
            "timeseries": {
                "timeField": "at",
                "metaField": "m",
                "granularity": "hours",
                "bucketMaxSpanSeconds": 2592000,
            },
            "expireAfterSeconds": 60,
        },
    ),
    "view": (
        {"viewOn": "kinds_source", "pipeline": [{"$match": {"a": 1}}], "collation": {"locale": "en"}},
        {"viewOn": "kinds_source", "pipeline": [{"$match": {"a": 1}}]},
    ),
    "validated": (
        {"validator": {"a": {"$type": "int"}}, "validationLevel": "moderate", "validationAction": "error"},
        {"validator": {"a": {"$type": "int"}}, "validationLevel": "moderate", "validationAction": "error"},
    ),
    "with images": (
        {"changeStreamPreAndPostImages": {"enabled": True}},
        {"changeStreamPreAndPostImages": {"enabled": True}},
    ),
    "stored otherwise": (
        {
            "storageEngine": {"wiredTiger": {"configString": "block_compressor=zlib"}},
            "indexOptionDefaults": {"storageEngine": {"wiredTiger": {"configString": "prefix_compression=false"}}},
        },
        {
            "storageEngine": {"wiredTiger": {"configString": "block_compressor=zlib"}},
            "indexOptionDefaults": {"storageEngine": {"wiredTiger": {"configString": "prefix_compression=false"}}},
        },
    ),
    "collated": ({"collation": {"locale": "de", "strength": 1}, "comment": "c", "max_time_ms": 60_000}, {}),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_collection_is_created_with_the_options_of_the_command(replica_set: ReplicaSet, kind: str) -> None:
    options, expected = KINDS[kind]
    async with watched(replica_set) as (client, _):
        database = client[DATABASE]
        await database.drop_collection("kinds")
        created = await database.create_collection("kinds", **options)
        found = await created.options()
        assert {name: found.get(name) for name in expected} == expected
        if "collation" in options:
            assert found["collation"]["locale"] == options["collation"]["locale"]
        await database.drop_collection("kinds")


async def test_kinds_of_collections_do_what_they_are_for(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        database = client[DATABASE]
        for name in ("kinds", "kinds_source", "kinds_series"):
            await database.drop_collection(name)
        capped = await database.create_collection("kinds", capped=True, size=4096, max=2)
        await capped.insert_many([{"_id": 1}, {"_id": 2}, {"_id": 3}])
        assert [each["_id"] for each in await capped.find({}).to_list()] == [2, 3]
        await capped.drop()

        await database.kinds_source.insert_many([{"_id": 1, "a": 1}, {"_id": 2, "a": 2}])
        view = await database.create_collection("kinds", viewOn="kinds_source", pipeline=[{"$match": {"a": 1}}])
        assert await view.find({}).to_list() == [{"_id": 1, "a": 1}]
        with pytest.raises(OperationFailure):
            await view.insert_one({})
        await view.drop()

        series = await database.create_collection("kinds_series", timeseries={"timeField": "at"})
        await series.insert_one({"at": datetime(2026, 1, 1, tzinfo=UTC), "value": 5})
        assert [each["value"] for each in await series.find({}).to_list()] == [5]
        await series.drop()

        validated = await database.create_collection("kinds", validator={"a": {"$type": "int"}})
        with pytest.raises(WriteError) as caught:
            await validated.insert_one({"a": "x"})
        assert caught.value.code == 121
        await validated.insert_one({"a": "x"}, bypass_document_validation=True)
        await validated.drop()


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"viewOn": "a", "pipeline": {"$match": {}}}, "pipeline must be a list of stages"),
    ({"collation": "de"}, "collation must be a mapping"),
    ({"max_time_ms": -1}, "max_time_ms must be a whole number"),
]


@pytest.mark.parametrize("options, text", MISTAKES)
async def test_mistakes_in_the_options_of_a_collection_are_refused(options: dict[str, Any], text: str) -> None:
    async with answering(lambda command: {}) as (client, server):
        with pytest.raises(ConfigurationError, match=text):
            await client.shop.create_collection("kinds", **options)
        assert server.commands == []


async def test_the_server_refuses_options_that_do_not_fit(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        with pytest.raises(OperationFailure):
            await client[DATABASE].create_collection("kinds", capped=True)
