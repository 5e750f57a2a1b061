"""Databases and collections over a fake executor: what their methods send, how they are named, what they refuse."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, cast

import bson
import pytest
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from tests.client.fakes import LIMITS, FakeContext, FakeSessionState, batch
from wiredrv.client.collection import Collection
from wiredrv.client.constants import ReturnDocument
from wiredrv.client.requests import DeleteMany, IndexModel, InsertOne, UpdateOne
from wiredrv.concerns import ReadConcern, ReadPreference, WriteConcern
from wiredrv.errors import (
    AutoReconnect,
    BulkWriteError,
    CollectionInvalid,
    ConfigurationError,
    InvalidName,
    OperationFailure,
    UnreadableReply,
)
from wiredrv.operations.results import BulkWriteResult, InsertManyResult

pytestmark = pytest.mark.anyio

SET = {"$set": {"a": 1}}

#: A call and the command that it must build.
CALLS: list[tuple[Callable[[Collection], Awaitable[Any]], dict[str, Any]]] = [
    (lambda c: c.find_one(), {"find": "orders", "filter": {}, "limit": 1, "singleBatch": True}),
    (lambda c: c.find_one(7), {"find": "orders", "filter": {"_id": 7}, "limit": 1, "singleBatch": True}),
    (
        lambda c: c.find_one({"a": 1}, ["b"], sort=[("c", -1)], max_time_ms=5),
        {
            "find": "orders",
            "filter": {"a": 1},
            "limit": 1,
            "singleBatch": True,
            "projection": {"b": 1},
            "sort": {"c": -1},
            "maxTimeMS": 5,
        },
    ),
    (
        lambda c: c.insert_one({"_id": 1}, comment="c", bypass_document_validation=True),
        {
            "insert": "orders",
            "ordered": True,
            "documents": [{"_id": 1}],
            "comment": "c",
            "bypassDocumentValidation": True,
        },
    ),
    (
        lambda c: c.update_one({"a": 1}, SET, upsert=True, hint="a_1", array_filters=[{"x": 1}], let={"v": 1}),
        {
            "update": "orders",
            "ordered": True,
            "updates": [{"q": {"a": 1}, "u": SET, "upsert": True, "hint": "a_1", "arrayFilters": [{"x": 1}]}],
            "let": {"v": 1},
        },
    ),
    (
        lambda c: c.update_many({}, [SET]),
        {"update": "orders", "ordered": True, "updates": [{"q": {}, "u": [SET], "multi": True}]},
    ),
    (
        lambda c: c.replace_one({"_id": 1}, {"b": 1}, sort={"a": 1}),
        {"update": "orders", "ordered": True, "updates": [{"q": {"_id": 1}, "u": {"b": 1}, "sort": {"a": 1}}]},
    ),
    (
        lambda c: c.delete_one({"a": 1}, collation={"locale": "en"}),
        {"delete": "orders", "ordered": True, "deletes": [{"q": {"a": 1}, "limit": 1, "collation": {"locale": "en"}}]},
    ),
    (
        lambda c: c.delete_many({}, comment=1),
        {"delete": "orders", "ordered": True, "deletes": [{"q": {}, "limit": 0}], "comment": 1},
    ),
    (
        lambda c: c.find_one_and_delete({"a": 1}, sort=[("b", 1)], projection={"a": 1}),
        {"findAndModify": "orders", "query": {"a": 1}, "remove": True, "sort": {"b": 1}, "fields": {"a": 1}},
    ),
    (
        lambda c: c.find_one_and_update({}, SET, return_document=ReturnDocument.AFTER, upsert=True),
        {"findAndModify": "orders", "query": {}, "update": SET, "new": True, "upsert": True},
    ),
    (
        lambda c: c.find_one_and_replace({}, {"b": 1}, return_document=ReturnDocument.BEFORE, max_time_ms=5),
        {"findAndModify": "orders", "query": {}, "update": {"b": 1}, "maxTimeMS": 5},
    ),
    (lambda c: c.estimated_document_count(max_time_ms=9), {"count": "orders", "maxTimeMS": 9}),
    (lambda c: c.count({"a": 1}, limit=2), {"count": "orders", "limit": 2, "query": {"a": 1}}),
    (lambda c: c.distinct("a", {"b": 1}), {"distinct": "orders", "key": "a", "query": {"b": 1}}),
    (
        lambda c: c.count_documents({"a": 1}, skip=1, limit=2, hint="a_1"),
        {
            "aggregate": "orders",
            "pipeline": [
                {"$match": {"a": 1}},
                {"$skip": 1},
                {"$limit": 2},
                {"$group": {"_id": 1, "n": {"$sum": 1}}},
            ],
            "cursor": {},
            "hint": "a_1",
        },
    ),
    (
        lambda c: c.create_index([("a", -1)], unique=True, comment="c", max_time_ms=4, commitQuorum=2),
        {
            "createIndexes": "orders",
            "indexes": [{"name": "a_-1", "key": {"a": -1}, "unique": True}],
            "comment": "c",
            "maxTimeMS": 4,
            "commitQuorum": 2,
        },
    ),
    (
        lambda c: c.create_indexes([IndexModel("a"), IndexModel("b")]),
        {"createIndexes": "orders", "indexes": [{"name": "a_1", "key": {"a": 1}}, {"name": "b_1", "key": {"b": 1}}]},
    ),
    (lambda c: c.drop_index([("a", 1)]), {"dropIndexes": "orders", "index": {"a": 1}}),
    (lambda c: c.drop_index({"a": 1, "b": -1}), {"dropIndexes": "orders", "index": {"a": 1, "b": -1}}),
    (lambda c: c.drop_index([("a", "text")]), {"dropIndexes": "orders", "index": "a_text"}),
    (lambda c: c.drop_index("a_1"), {"dropIndexes": "orders", "index": "a_1"}),
    (lambda c: c.drop_indexes(comment="c"), {"dropIndexes": "orders", "index": "*", "comment": "c"}),
    (lambda c: c.drop(), {"drop": "orders"}),
    (
        lambda c: c.rename("sales", dropTarget=True),
        {"renameCollection": "shop.orders", "to": "shop.sales", "dropTarget": True},
    ),
    (lambda c: c.database.command("ping"), {"ping": 1}),
    (lambda c: c.database.command("count", "orders", query={}), {"count": "orders", "query": {}}),
    (lambda c: c.database.run_command({"ping": 1, "x": 2}, comment="c"), {"ping": 1, "x": 2, "comment": "c"}),
    (
        lambda c: c.database.create_collection("logs", capped=True, size=99),
        {"create": "logs", "capped": True, "size": 99},
    ),
    (lambda c: c.database.drop_collection("logs"), {"drop": "logs"}),
    (lambda c: c.database.drop_collection(c), {"drop": "orders"}),
    (
        lambda c: c.map_reduce("f", "g", {"inline": 1}),
        {"mapReduce": "orders", "map": bson.code.Code("f"), "reduce": bson.code.Code("g"), "out": {"inline": 1}},
    ),
]


@pytest.mark.parametrize("call, expected", CALLS, ids=[next(iter(expected)) for _, expected in CALLS])
async def test_method_builds_its_command(
    call: Callable[[Collection], Awaitable[Any]], expected: dict[str, Any]
) -> None:
    context = FakeContext([["a_1"] if "createIndexes" in expected else {}])
    await call(context.database.orders)
    assert context.executor.commands == [expected]


def _collection_methods() -> list[str]:
    methods = [
        name
        for name, method in inspect.getmembers(Collection, inspect.isfunction)
        if not name.startswith("_") and name not in ("with_options", "estimated_document_count")
    ]
    assert len(methods) > 25
    return methods


@pytest.mark.parametrize("name", _collection_methods())
def test_every_method_but_one_takes_a_session(name: str) -> None:
    parameter = inspect.signature(getattr(Collection, name)).parameters["session"]
    assert parameter.default is None


def test_estimated_document_count_takes_no_session() -> None:
    assert "session" not in inspect.signature(Collection.estimated_document_count).parameters


def test_signatures_show_the_options() -> None:
    assert "array_filters" in inspect.signature(Collection.update_one).parameters
    assert "array_filters" not in inspect.signature(Collection.replace_one).parameters
    assert "cursor_type" in inspect.signature(Collection.find).parameters
    assert "cursor_type" not in inspect.signature(Collection.find_one).parameters


async def test_session_of_the_call_wins_over_the_bound_one() -> None:
    context = FakeContext([{}, {}])
    context.bound, given = FakeSessionState(), FakeSessionState()
    orders = context.database.orders
    await orders.update_one({}, SET)
    await orders.update_one({}, SET, session=given)  # type: ignore[arg-type]  # the fake context takes its states
    assert context.executor.states == [context.bound, given]


REFUSED: list[Callable[[Collection], Awaitable[Any]]] = [
    lambda c: c.insert_one([]),  # type: ignore[arg-type]  # bad input is the point
    lambda c: c.insert_many([]),
    lambda c: c.insert_many({"a": 1}),  # type: ignore[dict-item]  # bad input is the point
    lambda c: c.insert_many([{"a": 1}, 2]),  # type: ignore[list-item]  # bad input is the point
    lambda c: c.update_one({}, {"a": 1}),
    lambda c: c.update_one("x", SET),  # type: ignore[arg-type]  # bad input is the point
    lambda c: c.update_one({}, SET, upsert="yes"),  # type: ignore[arg-type]  # bad input is the point
    lambda c: c.replace_one({}, SET),
    lambda c: c.delete_many(None),  # type: ignore[arg-type]  # bad input is the point
    lambda c: c.find_one_and_update({}, {}),
    lambda c: c.find_one_and_update({}, SET, return_document=None),  # type: ignore[arg-type]  # bad input is the point
    lambda c: c.find_one_and_replace({}, {}, upsert=None),  # type: ignore[arg-type]  # bad input is the point
    lambda c: c.count_documents(None),  # type: ignore[arg-type]  # bad input is the point
    lambda c: c.distinct(5),  # type: ignore[arg-type]  # bad input is the point
    lambda c: c.bulk_write([]),
    lambda c: c.update_one({}, SET, ""),  # type: ignore[arg-type]  # bad input is the point
    lambda c: c.replace_one({}, {}, upsert=None),  # type: ignore[arg-type]  # bad input is the point
    lambda c: c.find({}, batch_size="").to_list(),  # type: ignore[arg-type]  # bad input is the point
    lambda c: c.find({}, limit=[]).to_list(),  # type: ignore[arg-type]  # bad input is the point
    lambda c: c.find({}, cursor_type="").to_list(),  # type: ignore[arg-type]  # bad input is the point
    lambda c: c.bulk_write([{"insert_one": {}}]),  # type: ignore[list-item]  # bad input is the point
    lambda c: c.create_index([]),
    lambda c: c.create_indexes([]),
    lambda c: c.create_indexes(["a"]),  # type: ignore[list-item]  # bad input is the point
    lambda c: c.drop_index("*"),
    lambda c: c.find_one({}, sesion=None),  # type: ignore[call-arg]  # bad input is the point
    lambda c: c.find_one({}, limit=5),  # type: ignore[call-arg]  # bad input is the point
    lambda c: c.find_one({}, max_time_ms="5"),  # type: ignore[arg-type]  # bad input is the point
    lambda c: c.map_reduce("f", "g", {"replace": "x"}),
    lambda c: c.database.command({}),
    lambda c: c.database.cursor_command("find", "orders", max_await_time_ms=1.5).to_list(),  # type: ignore[call-overload]
    lambda c: c.database.command(5),  # type: ignore[call-overload]  # bad input is the point
]


@pytest.mark.parametrize("call", REFUSED)
async def test_bad_input_is_refused_and_nothing_is_sent(call: Callable[[Collection], Awaitable[Any]]) -> None:
    context = FakeContext()
    with pytest.raises(ConfigurationError):
        await call(context.database.orders)
    assert context.executor.operations == []


@pytest.mark.parametrize(
    "call",
    [
        lambda collection, document: collection.insert_one(document, sesion=1),
        lambda collection, document: collection.insert_one(document, let={"v": 1}),
        lambda collection, document: collection.insert_many([document], sesion=1),
        lambda collection, document: collection.insert_many([document], ordered=0),
        lambda collection, document: collection.bulk_write([InsertOne(document)], sesion=1),
        lambda collection, document: collection.bulk_write([InsertOne(document)], ordered=0),
    ],
)
async def test_a_call_that_is_refused_for_its_options_leaves_the_documents_as_they_are(
    call: Callable[[Any, dict[str, Any]], Awaitable[Any]],
) -> None:
    context = FakeContext()
    document = {"a": 1}
    with pytest.raises(ConfigurationError):
        await call(context.database.orders, document)
    assert document == {"a": 1}
    assert context.executor.operations == []


@pytest.mark.parametrize("pipeline", [{"$match": {}}, "x", [1]])
def test_pipelines_are_refused_when_the_cursor_is_made(pipeline: Any) -> None:
    with pytest.raises(ConfigurationError):
        FakeContext().database.orders.aggregate(pipeline)


# --- bulks ---


async def test_insert_many_sends_what_fits_and_returns_all_ids() -> None:
    context = FakeContext([{"n": 5}, {"n": 5}, {"n": 2}])
    result = await context.database.orders.insert_many([{"_id": i} for i in range(12)])
    assert isinstance(result, InsertManyResult)
    assert result.inserted_ids == list(range(12))
    assert context.executor.names == ["insert"] * 3
    sent = [bson.decode(d)["_id"] for o in context.executor.operations for d in o.sequences(LIMITS)[0].documents]
    assert sent == list(range(12))


async def test_insert_many_takes_any_iterable() -> None:
    context = FakeContext([{"n": 3}])
    result = await context.database.orders.insert_many({"_id": i} for i in range(3))
    assert result.inserted_ids == [0, 1, 2]


def failed(*indexes: int, n: int = 0, labels: tuple[str, ...] = ()) -> BulkWriteError:
    """The error of a batch in which these statements failed."""
    errors = [{"index": index, "code": 11000, "errmsg": f"duplicate {index}"} for index in indexes]
    return BulkWriteError({"n": n, "writeErrors": errors, "writeConcernErrors": []}, labels)


async def test_ordered_bulk_stops_at_the_first_failure() -> None:
    context = FakeContext([{"n": 5}, failed(1, n=1, labels=("First",))])
    with pytest.raises(BulkWriteError) as caught:
        await context.database.orders.insert_many([{"_id": i} for i in range(12)])
    assert len(context.executor.operations) == 2
    details = caught.value.details
    assert details is not None
    assert details["nInserted"] == 6
    assert [(error["index"], error["op"]) for error in details["writeErrors"]] == [(6, {"_id": 6})]
    assert caught.value.error_labels == {"First"}
    assert caught.value.partial_result.inserted_count == 6


async def test_unordered_bulk_goes_on_and_keeps_the_first_labels() -> None:
    context = FakeContext([failed(0, n=4, labels=("First",)), failed(2, n=4, labels=("Second",)), {"n": 2}])
    with pytest.raises(BulkWriteError) as caught:
        await context.database.orders.insert_many([{"_id": i} for i in range(12)], ordered=False)
    details = caught.value.details
    assert details is not None
    assert details["nInserted"] == 10
    assert [error["index"] for error in details["writeErrors"]] == [0, 7]
    assert caught.value.error_labels == {"First"}


async def test_bulk_that_breaks_off_tells_what_was_done() -> None:
    # CRUD specification, "BulkWriteException": the result of what was done before the error.
    context = FakeContext([{"n": 1}, AutoReconnect("broken")])
    with pytest.raises(AutoReconnect) as caught:
        await context.database.orders.bulk_write([InsertOne({}), UpdateOne({}, SET), DeleteMany({})])
    partial = caught.value.partial_result
    assert isinstance(partial, BulkWriteResult)
    assert (partial.inserted_count, partial.matched_count) == (1, 0)


async def test_bulk_write_of_all_kinds() -> None:
    context = FakeContext([{"n": 1}, {"n": 1, "nModified": 1}, {"n": 4}])
    result = await context.database.orders.bulk_write(
        [InsertOne({}), UpdateOne({}, SET), DeleteMany({})], comment="c", let={"v": 1}
    )
    assert (result.inserted_count, result.modified_count, result.deleted_count) == (1, 1, 4)
    assert all(command["comment"] == "c" for command in context.executor.commands)
    variables = {next(iter(command)): command.get("let") for command in context.executor.commands}
    assert variables == {"insert": None, "update": {"v": 1}, "delete": {"v": 1}}


# --- failures that are not raised ---

NOT_FOUND = OperationFailure("ns not found", 26, {"ok": 0, "code": 26})


async def test_dropping_what_does_not_exist_is_no_failure() -> None:
    context = FakeContext([NOT_FOUND, NOT_FOUND, NOT_FOUND])
    await context.database.orders.drop()
    await context.database.orders.drop_indexes()
    assert await context.database.drop_collection("orders") == {"ok": 0, "code": 26}


async def test_dropping_an_index_that_does_not_exist_is_a_failure() -> None:
    context = FakeContext([OperationFailure("index not found", 27)])
    with pytest.raises(OperationFailure):
        await context.database.orders.drop_index("a_1")


async def test_creating_what_exists_is_both_errors() -> None:
    context = FakeContext([OperationFailure("exists", 48, {"code": 48}), OperationFailure("bad", 2)])
    with pytest.raises(CollectionInvalid) as caught:
        await context.database.create_collection("orders")
    assert isinstance(caught.value, OperationFailure)
    assert caught.value.code == 48
    with pytest.raises(OperationFailure, match="bad"):
        await context.database.create_collection("orders")


async def test_command_can_return_its_failure() -> None:
    failure = OperationFailure("bad", 2, {"ok": 0, "code": 2, "errmsg": "bad"})
    context = FakeContext([failure] * 4)
    database = context.database
    assert (await database.command("x", check=False))["ok"] == 0
    assert (await database.command("x", allowable_errors=[2]))["ok"] == 0
    assert (await database.command("x", allowable_errors=["bad"]))["ok"] == 0
    with pytest.raises(OperationFailure):
        await database.command("x", allowable_errors=[3, "worse"])
    for wrong in (2, "bad"):
        with pytest.raises(ConfigurationError, match="allowable_errors must be a list of codes and messages"):
            await database.command("x", allowable_errors=cast(Any, wrong))


async def test_command_takes_nothing_from_the_database_but_its_name() -> None:
    # Run-command specification: no inherited read preference, read concern or write concern.
    context = FakeContext([{}, {}])
    database = context.database.with_options(
        read_preference=ReadPreference.SECONDARY, write_concern=WriteConcern(1), read_concern=ReadConcern("local")
    )
    await database.command("ping")
    await database.command("ping", read_preference=ReadPreference.NEAREST)
    first, second = (operation.target for operation in context.executor.operations)
    assert first.read_preference == ReadPreference.PRIMARY
    assert first.read_concern.is_server_default
    assert first.write_concern.is_server_default
    assert second.read_preference == ReadPreference.NEAREST


async def test_names_of_collections_ask_for_no_more_than_names() -> None:
    # Enumerate-collections specification, "Getting Collection Names".
    context = FakeContext([batch({"name": "a"}), batch({"name": "b"}), batch()])
    database = context.database
    assert await database.list_collection_names() == ["a"]
    assert await database.list_collection_names(filter={"name": "b"}) == ["b"]
    await database.list_collection_names(filter={"options.capped": True})
    with pytest.raises(ConfigurationError, match="filter must be a mapping"):
        await database.list_collection_names(filter=cast(Any, 5))
    assert ["nameOnly" in command for command in context.executor.commands] == [True, True, False]


async def test_index_information() -> None:
    context = FakeContext([batch({"v": 2, "key": {"_id": 1}, "name": "_id_"}, {"v": 2, "key": {"a": -1}, "name": "x"})])
    found = await context.database.orders.index_information()
    assert found == {"_id_": {"v": 2, "key": [("_id", 1)]}, "x": {"v": 2, "key": [("a", -1)]}}


async def test_options_of_a_collection() -> None:
    context = FakeContext([batch({"name": "orders", "options": {"capped": True}}), batch()])
    assert await context.database.orders.options() == {"capped": True}
    assert await context.database.orders.options() == {}


async def test_options_of_a_collection_in_a_raw_reply_that_is_broken() -> None:
    broken = RawBSONDocument(bson.encode({"name": "orders", "b": 1}).replace(b"\x10b", b"\x7ab"))
    with pytest.raises(UnreadableReply, match="options"):
        await FakeContext([batch(broken)]).database.orders.options()


# --- names and options of handles ---


def test_collections_by_attribute_and_by_item() -> None:
    database = FakeContext().database
    for collection in (
        database.orders.archive.old,
        database["orders.archive.old"],
        database["orders"]["archive"].old,
        database.get_collection("orders").archive["old"],
    ):
        assert collection.full_name == "shop.orders.archive.old"
        assert collection.name == "orders.archive.old"
        assert collection.database is database
        assert collection == database.orders.archive.old
        assert hash(collection) == hash(database.orders.archive.old)
    assert database.orders != database.stock


def test_names_with_an_underscore_at_the_front_are_no_attributes() -> None:
    database = FakeContext().database
    with pytest.raises(AttributeError, match=r"database\['_x'\]"):
        _ = database._x
    with pytest.raises(AttributeError, match=r"collection\['_x'\]"):
        _ = database.orders._x
    assert database["_x"].name == "_x"


def test_impossible_names() -> None:
    database = FakeContext().database
    with pytest.raises(InvalidName):
        _ = database["a..b"]
    with pytest.raises(InvalidName):
        _ = database.orders["x."]


def test_options_are_inherited_and_can_be_replaced() -> None:
    options: CodecOptions[Any] = CodecOptions(tz_aware=True)
    database = FakeContext().database.with_options(read_concern=ReadConcern("majority"), codec_options=options)
    orders = database.get_collection("orders", write_concern=WriteConcern("majority"))
    secondary = orders.with_options(read_preference=ReadPreference.SECONDARY)
    assert secondary.read_concern == ReadConcern("majority")
    assert secondary.write_concern == WriteConcern("majority")
    assert secondary.read_preference == ReadPreference.SECONDARY
    assert secondary.codec_options is options
    assert orders.read_preference == ReadPreference.PRIMARY
    assert secondary.archive.read_preference == ReadPreference.SECONDARY
    assert database.write_concern == WriteConcern()


@pytest.mark.parametrize(
    "options",
    [{"read_concern": "majority"}, {"write_concern": 1}, {"read_preference": "secondary"}, {"codec_options": {}}],
)
def test_options_of_the_wrong_kind(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        FakeContext().database.with_options(**options)
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        FakeContext().database.orders.with_options(**options)


# --- guards against common mistakes ---


def test_handles_have_no_truth() -> None:
    database = FakeContext().database
    for handle in (database, database.orders):
        with pytest.raises(NotImplementedError, match="is not None"):
            bool(handle)


def test_calling_a_method_that_does_not_exist_says_so() -> None:
    database = FakeContext().database
    with pytest.raises(TypeError, match="collection 'orders' has no method 'insertOne'"):
        database.orders.insertOne({})  # type: ignore[operator]  # a checker says so too
    with pytest.raises(TypeError, match="database has no method 'listCollections'"):
        database.listCollections()  # type: ignore[operator]  # a checker says so too


def test_iterating_a_handle_says_what_to_iterate() -> None:
    database = FakeContext().database
    with pytest.raises(TypeError, match="find"):
        iter(database.orders)
    with pytest.raises(TypeError, match="find"):
        aiter(database.orders)
    with pytest.raises(TypeError, match="list_collection_names"):
        iter(database)


def test_representations_name_the_handle() -> None:
    database = FakeContext().database
    assert repr(database) == "Database('shop')"
    assert repr(database.orders) == "Collection('shop.orders')"
    assert "shop.orders" in repr(database.orders.find())
    assert "not sent yet" in repr(database.orders.aggregate([]))
