"""The command that each operation builds, and the traits that it declares."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
from typing import Any

import pytest
from bson.code import Code
from bson.int64 import Int64

from tests.operations.values import ADDRESS, ORDERS, SERVER_4_2, SERVER_6_0, SERVER_8_2, SHOP, UNACKNOWLEDGED
from wiredrv import operations as package
from wiredrv.concerns import ReadPreference
from wiredrv.connection.handshake import declare_api
from wiredrv.errors import ConfigurationError
from wiredrv.execution import decorate as decorate_module
from wiredrv.execution.run import Run
from wiredrv.operations.aggregate import Aggregate, CountDocuments
from wiredrv.operations.base import DRIVER_FIELDS, Operation, OperationKind, Target
from wiredrv.operations.change_stream import OpenChangeStream
from wiredrv.operations.client_bulk import ClientBulkBatch, ClientWrite
from wiredrv.operations.collections import Create, Drop, ListCollections, Rename, Validate
from wiredrv.operations.count import Count
from wiredrv.operations.cursors import GetMore, KillCursors
from wiredrv.operations.databases import DropDatabase, ListDatabases
from wiredrv.operations.delete import Delete
from wiredrv.operations.distinct import Distinct
from wiredrv.operations.find import Find, FindOne
from wiredrv.operations.find_and_modify import FindAndModify
from wiredrv.operations.indexes import CreateIndexes, DropIndexes, ListIndexes
from wiredrv.operations.insert import Insert
from wiredrv.operations.map_reduce import MapReduce
from wiredrv.operations.run_command import RunCommand, RunCursorCommand
from wiredrv.operations.search_indexes import CreateSearchIndexes, DropSearchIndex, UpdateSearchIndex
from wiredrv.operations.update import Update
from wiredrv.operations.write_batch import Statement, StatementGroup, WriteBatch

MATCH = {"$match": {"a": 1}}
OUT = {"$out": "other"}
MERGE = {"$merge": {"into": "other"}}
ONE = {"q": {"a": 1}, "u": {"$set": {"b": 2}}}
MANY = {**ONE, "multi": True}

#: An operation and the command that it builds, without what is added to it elsewhere.
COMMANDS: list[tuple[Operation[Any], dict[str, Any]]] = [
    (Insert(ORDERS, {"_id": 1}, 1, {}), {"insert": "orders", "ordered": True}),
    (Insert(ORDERS, {"_id": 1}, 1, {"comment": "c"}), {"insert": "orders", "ordered": True, "comment": "c"}),
    (Update(ORDERS, ONE, {}), {"update": "orders", "ordered": True, "updates": [ONE]}),
    (
        Update(ORDERS, MANY, {"let": {"x": 1}}),
        {"update": "orders", "ordered": True, "updates": [MANY], "let": {"x": 1}},
    ),
    (
        Delete(ORDERS, {"q": {}, "limit": 0}, {}),
        {"delete": "orders", "ordered": True, "deletes": [{"q": {}, "limit": 0}]},
    ),
    (
        FindAndModify(ORDERS, {"a": 1}, {"remove": True}, {}),
        {"findAndModify": "orders", "query": {"a": 1}, "remove": True},
    ),
    (Find(ORDERS, {"a": 1}, {"limit": 3}), {"find": "orders", "filter": {"a": 1}, "limit": 3}),
    (FindOne(ORDERS, {}, {}), {"find": "orders", "filter": {}, "limit": 1, "singleBatch": True}),
    (
        FindOne(ORDERS, {}, {"sort": {"a": 1}}),
        {"find": "orders", "filter": {}, "limit": 1, "singleBatch": True, "sort": {"a": 1}},
    ),
    (Aggregate(ORDERS, [MATCH], {}), {"aggregate": "orders", "pipeline": [MATCH], "cursor": {}}),
    (
        Aggregate(ORDERS, [MATCH], {"allowDiskUse": True}, 5),
        {"aggregate": "orders", "pipeline": [MATCH], "cursor": {"batchSize": 5}, "allowDiskUse": True},
    ),
    (Aggregate(SHOP, [{"$currentOp": {}}], {}), {"aggregate": 1, "pipeline": [{"$currentOp": {}}], "cursor": {}}),
    (
        CountDocuments(ORDERS, {"a": 1}, {}),
        {
            "aggregate": "orders",
            "pipeline": [MATCH, {"$group": {"_id": 1, "n": {"$sum": 1}}}],
            "cursor": {},
        },
    ),
    (
        CountDocuments(ORDERS, {"a": 1}, {"hint": "a_1"}, 2, 3),
        {
            "aggregate": "orders",
            "pipeline": [MATCH, {"$skip": 2}, {"$limit": 3}, {"$group": {"_id": 1, "n": {"$sum": 1}}}],
            "cursor": {},
            "hint": "a_1",
        },
    ),
    (Count(ORDERS, {"comment": 1}), {"count": "orders", "comment": 1}),
    (
        Distinct(ORDERS, "a", {"query": {"b": 1}}),
        {"distinct": "orders", "key": "a", "query": {"b": 1}},
    ),
    (RunCommand(SHOP, {"ping": 1, "x": 2}), {"ping": 1, "x": 2}),
    (RunCursorCommand(SHOP, {"listIndexes": "orders"}), {"listIndexes": "orders"}),
    (ListDatabases(Target("admin"), {"nameOnly": True}), {"listDatabases": 1, "nameOnly": True}),
    (DropDatabase(SHOP, {}), {"dropDatabase": 1}),
    (ListCollections(SHOP, {}), {"listCollections": 1, "cursor": {}}),
    (
        ListCollections(SHOP, {"filter": {"name": "a"}}, 2),
        {"listCollections": 1, "cursor": {"batchSize": 2}, "filter": {"name": "a"}},
    ),
    (Create(ORDERS, {"capped": True, "size": 9}), {"create": "orders", "capped": True, "size": 9}),
    (Drop(ORDERS, {}), {"drop": "orders"}),
    (
        Rename(Target("admin"), "shop.a", "shop.b", {"dropTarget": True}),
        {"renameCollection": "shop.a", "to": "shop.b", "dropTarget": True},
    ),
    (
        CreateIndexes(ORDERS, [{"key": {"a": 1}, "name": "a_1"}], {"commitQuorum": 1}),
        {"createIndexes": "orders", "indexes": [{"key": {"a": 1}, "name": "a_1"}], "commitQuorum": 1},
    ),
    (ListIndexes(ORDERS, {}, 4), {"listIndexes": "orders", "cursor": {"batchSize": 4}}),
    (DropIndexes(ORDERS, "*", {}), {"dropIndexes": "orders", "index": "*"}),
    (
        CreateSearchIndexes(ORDERS, [{"definition": {"mappings": {}}}], {"comment": "c"}),
        {"createSearchIndexes": "orders", "indexes": [{"definition": {"mappings": {}}}], "comment": "c"},
    ),
    (
        UpdateSearchIndex(ORDERS, "a", {"mappings": {}}, {}),
        {"updateSearchIndex": "orders", "name": "a", "definition": {"mappings": {}}},
    ),
    (DropSearchIndex(ORDERS, "a", {}), {"dropSearchIndex": "orders", "name": "a"}),
    (Validate(ORDERS, {"full": True}), {"validate": "orders", "full": True}),
    (
        OpenChangeStream(ORDERS, {"fullDocument": "updateLookup"}, [MATCH], {}, 2),
        {
            "aggregate": "orders",
            "pipeline": [{"$changeStream": {"fullDocument": "updateLookup"}}, MATCH],
            "cursor": {"batchSize": 2},
        },
    ),
    (
        MapReduce(ORDERS, "f", "g", {}),
        {"mapReduce": "orders", "map": Code("f"), "reduce": Code("g"), "out": {"inline": 1}},
    ),
    (
        GetMore(ORDERS, 7, "orders", ADDRESS, None, 3, 500, "c"),
        {"getMore": Int64(7), "collection": "orders", "batchSize": 3, "maxTimeMS": 500, "comment": "c"},
    ),
    (KillCursors(ORDERS, "orders", (7,), ADDRESS), {"killCursors": "orders", "cursors": [Int64(7)]}),
]


@pytest.mark.parametrize("operation, expected", COMMANDS, ids=lambda value: getattr(value, "name", ""))
def test_command_begins_with_its_name_and_holds_what_was_given(
    operation: Operation[Any], expected: dict[str, Any]
) -> None:
    command = operation.command(SERVER_6_0)
    assert command == expected
    assert next(iter(command)) == operation.name


@pytest.mark.parametrize("operation, expected", COMMANDS, ids=lambda value: getattr(value, "name", ""))
def test_command_is_built_anew_for_every_attempt(operation: Operation[Any], expected: dict[str, Any]) -> None:
    operation.command(SERVER_6_0)["lsid"] = {"id": 1}
    assert operation.command(SERVER_6_0) == expected


# --- options ---

#: Every operation that takes options.
OPTIONED: list[Any] = [
    *(operation for operation, _ in COMMANDS if hasattr(operation, "options")),
    *(
        WriteBatch(ORDERS, StatementGroup(name, [{"limit": 1}], [0]), 0, True, {})
        for name in ("insert", "update", "delete")
    ),
    ClientBulkBatch(Target("admin"), [ClientWrite("shop.orders", Statement("insert", {}))], 0, True, False, {}),
]


def _label(operation: Any) -> str:
    return type(operation).__name__


def test_every_operation_that_takes_options_is_held_to_what_follows() -> None:
    names = [found.name for found in pkgutil.iter_modules(package.__path__, "wiredrv.operations.")]
    values = [value for name in names for value in vars(importlib.import_module(name)).values()]
    operations = [value for value in values if isinstance(value, type) and issubclass(value, Operation)]
    classes = {each for each in operations if "options" in getattr(each, "__dataclass_fields__", ())}
    assert classes == {type(operation) for operation in OPTIONED}


def _with_option(operation: Any, name: str) -> Operation[Any]:
    replaced: Operation[Any] = dataclasses.replace(operation, options={name: "other"})
    return replaced


@pytest.mark.parametrize("operation", OPTIONED, ids=_label)
def test_no_option_replaces_a_field_of_the_command(operation: Any) -> None:
    plain = dataclasses.replace(operation, options={})
    fields = plain.command(SERVER_8_2)
    assert fields
    for name in fields:
        with pytest.raises(ConfigurationError, match=f"^'{name}' cannot be an option of a call that sends"):
            _with_option(operation, name).command(SERVER_8_2)


@pytest.mark.parametrize("operation", OPTIONED, ids=_label)
@pytest.mark.parametrize("name", sorted(DRIVER_FIELDS))
def test_no_option_is_what_the_driver_puts_on_commands(operation: Any, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^'{re.escape(name)}' cannot be an option"):
        _with_option(operation, name).command(SERVER_8_2)


@pytest.mark.parametrize("operation", OPTIONED, ids=_label)
def test_every_other_option_is_sent(operation: Any) -> None:
    command = _with_option(operation, "commentary").command(SERVER_8_2)
    assert command["commentary"] == "other"


def test_the_fields_of_the_driver_are_those_that_decorate_puts_on() -> None:
    """Compares the list with the source, so that a field that ``decorate`` adds in future is refused here too."""
    source = inspect.getsource(decorate_module) + inspect.getsource(declare_api)
    assert set(re.findall(r'command\["([^"]+)"\] =', source)) - {"maxTimeMS"} == DRIVER_FIELDS


R, W, C = OperationKind.READ, OperationKind.WRITE, OperationKind.COMMAND
BATCH_OF_ONE = WriteBatch(ORDERS, StatementGroup("update", [ONE], [0]), 0, True, {})
CLIENT_WRITES = [ClientWrite("shop.orders", Statement("update", body)) for body in (ONE, MANY)]
CLIENT_BATCH = ClientBulkBatch(Target("admin"), CLIENT_WRITES[:1], 0, True, False, {})
CLIENT_BATCH_WITH_MULTI = ClientBulkBatch(Target("admin"), CLIENT_WRITES, 0, True, False, {})
BATCH_WITH_MULTI = WriteBatch(ORDERS, StatementGroup("update", [ONE, MANY], [0, 1]), 0, True, {})

#: kind, retryable, takes readConcern, takes afterClusterTime, takes writeConcern, may leave a cursor.
#: Sources: retryable-reads and retryable-writes ("Supported ... Operations"), read-write-concern ("Read Concern",
#: "afterClusterTime", "Other commands that write").
TRAITS: list[tuple[Operation[Any], OperationKind, bool, bool, bool, bool, bool]] = [
    (Insert(ORDERS, {}, 1, {}), W, True, False, True, True, False),
    (Insert(UNACKNOWLEDGED, {}, 1, {}), W, False, False, True, True, False),
    (Update(ORDERS, ONE, {}), W, True, False, True, True, False),
    (Update(ORDERS, MANY, {}), W, False, False, True, True, False),
    (Update(UNACKNOWLEDGED, ONE, {}), W, False, False, True, True, False),
    (Delete(ORDERS, {"q": {}, "limit": 1}, {}), W, True, False, True, True, False),
    (Delete(ORDERS, {"q": {}, "limit": 0}, {}), W, False, False, True, True, False),
    (FindAndModify(ORDERS, {}, {}, {}), W, True, False, True, True, False),
    (FindAndModify(UNACKNOWLEDGED, {}, {}, {}), W, False, False, True, True, False),
    (BATCH_OF_ONE, W, True, False, True, True, False),
    (BATCH_WITH_MULTI, W, False, False, True, True, False),
    (CLIENT_BATCH, W, True, False, True, True, True),
    (CLIENT_BATCH_WITH_MULTI, W, False, False, True, True, True),
    (Find(ORDERS, {}, {}), R, True, True, True, False, True),
    (FindOne(ORDERS, {}, {}), R, True, True, True, False, False),
    (Aggregate(ORDERS, [MATCH], {}), R, True, True, True, False, True),
    (Aggregate(ORDERS, [], {}), R, True, True, True, False, True),
    (Aggregate(ORDERS, [MATCH, OUT], {}), R, False, True, True, True, True),
    (Aggregate(ORDERS, [MATCH, MERGE], {}), R, False, True, True, True, True),
    (CountDocuments(ORDERS, {}, {}), R, True, True, True, False, False),
    (Count(ORDERS, {}), R, True, True, True, False, False),
    (Distinct(ORDERS, "a", {}), R, True, True, True, False, False),
    (MapReduce(ORDERS, "f", "g", {}), R, False, True, False, False, False),
    (RunCommand(SHOP, {"insert": "orders"}), C, False, False, False, False, False),
    (RunCursorCommand(SHOP, {"find": "orders"}), C, False, False, False, False, True),
    (CreateSearchIndexes(ORDERS, [], {}), W, False, False, False, False, False),
    (UpdateSearchIndex(ORDERS, "a", {}, {}), W, False, False, False, False, False),
    (DropSearchIndex(ORDERS, "a", {}), W, False, False, False, False, False),
    (Aggregate(ORDERS, [{"$listSearchIndexes": {}}], {}), R, True, False, False, False, True),
    (Validate(ORDERS, {}), C, False, False, False, False, False),
    (ListDatabases(SHOP, {}), R, True, False, False, False, False),
    (ListCollections(SHOP, {}), R, True, False, False, False, True),
    (ListIndexes(ORDERS, {}), R, True, False, False, False, True),
    (Create(ORDERS, {}), W, False, False, True, True, False),
    (CreateIndexes(ORDERS, [], {}), W, False, False, True, True, False),
    (Drop(ORDERS, {}), W, False, False, True, True, False),
    (DropIndexes(ORDERS, "*", {}), W, False, False, True, True, False),
    (DropDatabase(SHOP, {}), W, False, False, True, True, False),
    (Rename(SHOP, "a", "b", {}), W, False, False, False, True, False),
    (GetMore(ORDERS, 1, "orders", ADDRESS), R, False, False, False, False, True),
    (KillCursors(ORDERS, "orders", (1,), ADDRESS), OperationKind.HOUSEKEEPING, False, False, False, False, False),
]


@pytest.mark.parametrize(
    "operation, kind, retryable, read_concern, cluster_time, write_concern, cursor",
    TRAITS,
    ids=lambda value: getattr(value, "name", "") if isinstance(value, Operation) else "",
)
def test_traits(
    operation: Operation[Any],
    kind: OperationKind,
    retryable: bool,
    read_concern: bool,
    cluster_time: bool,
    write_concern: bool,
    cursor: bool,
) -> None:
    traits = operation.traits
    assert traits.kind is kind
    assert Run(operation, None).retryable is retryable
    assert traits.accepts_read_concern is read_concern
    assert traits.accepts_cluster_time is cluster_time
    assert traits.accepts_write_concern is write_concern
    assert traits.opens_cursor is cursor


SECONDARY = Target("shop", "orders", read_preference=ReadPreference.SECONDARY)


@pytest.mark.parametrize(
    "operation, goes_to",
    [
        (Find(SECONDARY, {}, {}), ReadPreference.SECONDARY),
        (Aggregate(SECONDARY, [OUT], {}), ReadPreference.SECONDARY),
        (ListCollections(SECONDARY, {}), ReadPreference.PRIMARY),
        (ListIndexes(SECONDARY, {}), ReadPreference.PRIMARY),
        (ListDatabases(SECONDARY, {}), ReadPreference.PRIMARY),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_enumerations_go_to_the_primary(operation: Operation[Any], goes_to: ReadPreference) -> None:
    assert Run(operation, None).read_preference == goes_to


def test_pipeline_that_writes_needs_servers_of_5_0_for_any_but_the_primary() -> None:
    assert Aggregate(SECONDARY, [OUT], {}).traits.secondaries_since == 13
    assert Aggregate(SECONDARY, [MERGE], {}).traits.secondaries_since == 13
    assert Aggregate(SECONDARY, [MATCH], {}).traits.secondaries_since == 0


def test_pipeline_that_writes_carries_no_batch_size() -> None:
    assert Aggregate(ORDERS, [OUT], {}, 0).command(SERVER_6_0)["cursor"] == {}
    assert Aggregate(ORDERS, [MATCH], {}, 0).command(SERVER_6_0)["cursor"] == {"batchSize": 0}


@pytest.mark.parametrize(
    "operation",
    [
        Find(ORDERS, {}, {"rawData": True}),
        Aggregate(ORDERS, [], {"rawData": True}),
        Update(ORDERS, ONE, {"rawData": True}),
        FindAndModify(ORDERS, {}, {}, {"rawData": True}),
        Count(ORDERS, {"rawData": True}),
    ],
    ids=lambda operation: operation.name,
)
def test_raw_data_is_only_sent_to_servers_that_know_it(operation: Operation[Any]) -> None:
    assert "rawData" not in operation.command(SERVER_6_0)
    assert operation.command(SERVER_8_2)["rawData"] is True


HINTED = {**ONE, "hint": "a_1"}


@pytest.mark.parametrize(
    "operation",
    [
        Update(UNACKNOWLEDGED, HINTED, {}),
        Delete(UNACKNOWLEDGED, {"q": {}, "limit": 1, "hint": "a_1"}, {}),
        FindAndModify(UNACKNOWLEDGED, {}, {}, {"hint": "a_1"}),
        WriteBatch(UNACKNOWLEDGED, StatementGroup("update", [ONE, HINTED], [0, 1]), 0, True, {}),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_hint_that_an_old_server_would_ignore_unseen_is_refused(operation: Operation[Any]) -> None:
    # CRUD specification, "hint": unacknowledged writes and servers before 4.4.
    with pytest.raises(ConfigurationError, match=r"4\.4"):
        operation.command(SERVER_4_2)
    assert operation.command(SERVER_6_0)


SORTED = {**ONE, "sort": {"a": 1}}


@pytest.mark.parametrize(
    "operation",
    [
        Update(UNACKNOWLEDGED, SORTED, {}),
        WriteBatch(UNACKNOWLEDGED, StatementGroup("update", [ONE, SORTED], [0, 1]), 0, True, {}),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_sort_that_a_server_would_refuse_unheard_is_refused(operation: Operation[Any]) -> None:
    # Before server 8.0; it would go unnoticed that the write was not done.
    with pytest.raises(ConfigurationError, match=r"8\.0"):
        operation.command(SERVER_6_0)
    assert operation.command(dataclasses.replace(SERVER_6_0, max_wire_version=25))


def test_sort_of_an_acknowledged_update_or_of_a_find_and_modify_is_the_servers_to_judge() -> None:
    assert Update(ORDERS, SORTED, {}).command(SERVER_6_0)["updates"] == [SORTED]
    assert FindAndModify(UNACKNOWLEDGED, {}, {}, {"sort": {"a": 1}}).command(SERVER_6_0)["sort"] == {"a": 1}


def test_hint_on_an_acknowledged_write_is_the_servers_to_judge() -> None:
    assert Update(ORDERS, HINTED, {}).command(SERVER_4_2)["updates"] == [HINTED]


def test_commit_quorum_needs_4_4() -> None:
    operation = CreateIndexes(ORDERS, [{"key": {"a": 1}, "name": "a_1"}], {"commitQuorum": "majority"})
    with pytest.raises(ConfigurationError, match="commitQuorum"):
        operation.command(SERVER_4_2)


def test_get_more_carries_a_comment_only_where_servers_take_it() -> None:
    get_more = GetMore(ORDERS, 7, "orders", ADDRESS, comment="c")
    assert "comment" not in get_more.command(SERVER_4_2)
    assert get_more.command(SERVER_6_0)["comment"] == "c"


def test_user_command_is_not_changed() -> None:
    body = {"ping": 1}
    RunCommand(SHOP, body).command(SERVER_6_0)["$db"] = "shop"
    assert body == {"ping": 1}
