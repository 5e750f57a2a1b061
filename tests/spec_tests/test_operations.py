"""The table of operations: arguments become keywords, and what the driver lacks is found by inspecting it."""

from __future__ import annotations

from typing import Any

import pytest

import wiredrv
from spec_tests import seam
from spec_tests.errors import RunnerError, Unsupported
from spec_tests.operations import TABLE, find_operation
from spec_tests.operations.base import bind, pairs, snake
from spec_tests.operations.models import cursor_type, return_document, write_models


def _explicit(filter: Any, *, max_time_ms: int = 0, name_or_collection: str = "") -> None: ...
def _open(pipeline: Any, session: Any = None, **options: Any) -> None: ...


@pytest.mark.parametrize(
    "function, arguments, renames, expected",
    [
        (_explicit, {"filter": 1, "maxTimeMS": 2}, {}, {"filter": 1, "max_time_ms": 2}),
        (_explicit, {"collection": "c"}, {"collection": "name_or_collection name"}, {"name_or_collection": "c"}),
        (_open, {"pipeline": [], "allowDiskUse": True}, {}, {"pipeline": [], "allowDiskUse": True}),
        (_open, {"session": 1}, {}, {"session": 1}),
    ],
)
def test_arguments_become_the_keywords_that_the_method_has(
    function: Any, arguments: Any, renames: Any, expected: Any
) -> None:
    assert bind(function, arguments, renames) == expected


@pytest.mark.parametrize(
    "function, argument", [(_explicit, "hint"), (_open, "timeoutMS"), (_open, "rawData"), (_explicit, "session")]
)
def test_an_argument_that_the_method_lacks_makes_the_test_unsupported(function: Any, argument: str) -> None:
    with pytest.raises(Unsupported) as caught:
        bind(function, {argument: 1}, {})
    assert caught.value.kind == f"argument {argument}"


def test_options_may_be_taken_in_the_drivers_spelling() -> None:
    assert bind(_open, {"maxAwaitTimeMS": 1}, {}, snake_options=True) == {"max_await_time_ms": 1}


@pytest.mark.parametrize(
    "name, expected", [("maxTimeMS", "max_time_ms"), ("filter", "filter"), ("arrayFilters", "array_filters")]
)
def test_names_in_snake_case(name: str, expected: str) -> None:
    assert snake(name) == expected


def test_a_method_is_looked_for_on_the_class_not_on_the_object() -> None:
    database = wiredrv.Client("mongodb://localhost")["db"]
    with pytest.raises(Unsupported, match="no such method"):
        seam.method(database, "no_such_method")
    assert seam.method(database, "no_such_method", "command") == database.command


def test_unknown_operations_and_arguments_are_the_files_fault() -> None:
    with pytest.raises(RunnerError, match="unsupportedOperation"):
        find_operation("client", "unsupportedOperation")
    insert = find_operation("collection", "insertOne")
    with pytest.raises(RunnerError, match="foo"):
        insert.check("insertOne", {"document": {}, "foo": 1})
    with pytest.raises(RunnerError, match="document"):
        insert.check("insertOne", {})
    insert.check("insertOne", {"document": {}, "session": "s"})


@pytest.mark.parametrize("name", ["find", "createFindCursor", "deleteOne", "countDocuments"])
def test_a_filter_is_required(name: str) -> None:
    with pytest.raises(RunnerError, match="filter"):
        find_operation("collection", name).check(name, {})


def test_every_kind_of_entity_has_operations() -> None:
    assert set(TABLE) == {"client", "database", "collection", "session", "cursor", "bucket", "testRunner"}
    assert all(TABLE.values())


def test_write_models_are_built_by_their_names() -> None:
    models = write_models(
        [
            {"insertOne": {"document": {"x": 1}}},
            {"updateMany": {"filter": {}, "update": {"$set": {"x": 1}}, "arrayFilters": []}},
            {"deleteOne": {"filter": {}, "hint": {"_id": 1}}},
        ]
    )
    assert [type(model).__name__ for model in models] == ["InsertOne", "UpdateMany", "DeleteOne"]


@pytest.mark.parametrize(
    "requests",
    [{}, [1], [{}], [{"insertOne": {}, "deleteOne": {}}], [{"upsert": {}}], [{"insertOne": {"documents": []}}]],
)
def test_malformed_write_models_are_the_files_fault(requests: Any) -> None:
    with pytest.raises(RunnerError):
        write_models(requests)


def test_enumerations_are_read_in_any_case_and_refused_otherwise() -> None:
    assert return_document("after") == wiredrv.ReturnDocument.AFTER
    assert return_document("Before") == wiredrv.ReturnDocument.BEFORE
    assert cursor_type("tailableAwait") == wiredrv.CursorType.TAILABLE_AWAIT
    with pytest.raises(RunnerError):
        return_document("invalid")
    with pytest.raises(RunnerError):
        cursor_type("invalid")


def test_documents_of_keys_become_pairs() -> None:
    assert pairs({"a": 1, "b": -1}) == [("a", 1), ("b", -1)]
    assert pairs("a_1") == "a_1"


@pytest.mark.parametrize(
    "build, value",
    [
        (seam.read_concern, {"mode": 1}),
        (seam.write_concern, {"wtimeout": 1}),
        (seam.read_preference, {"mode": "primary", "tags": 1}),
    ],
)
def test_common_options_with_unknown_keys_are_the_files_fault(build: Any, value: Any) -> None:
    with pytest.raises(RunnerError):
        build(value)


def test_common_options_become_the_drivers_values() -> None:
    assert seam.write_concern({"w": 2, "journal": True, "wtimeoutMS": 5}) == wiredrv.WriteConcern(2, 5, True)
    assert seam.read_concern({"level": "majority"}) == wiredrv.ReadConcern("majority")
    preference = seam.read_preference({"mode": "Nearest", "tagSets": [{"a": "b"}], "maxStalenessSeconds": 90})
    assert preference == wiredrv.ReadPreference("nearest", [{"a": "b"}], 90)
