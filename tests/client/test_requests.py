"""Requests of bulk writes, index models, and generated ids."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import bson
import pytest
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from bson.son import SON

from wiredrv.client.requests import (
    DeleteMany,
    DeleteOne,
    IndexModel,
    InsertOne,
    ReplaceOne,
    UpdateMany,
    UpdateOne,
    WriteRequest,
    with_id,
)
from wiredrv.errors import ConfigurationError
from wiredrv.wire.codec import encode

SET = {"$set": {"a": 1}}


@pytest.mark.parametrize(
    "request_, command, body",
    [
        (InsertOne({"_id": 1}), "insert", {"_id": 1}),
        (DeleteOne({"a": 1}), "delete", {"q": {"a": 1}, "limit": 1}),
        (DeleteMany({"a": 1}, hint="a_1"), "delete", {"q": {"a": 1}, "limit": 0, "hint": "a_1"}),
        (
            DeleteOne({}, collation={"locale": "en"}),
            "delete",
            {"q": {}, "limit": 1, "collation": {"locale": "en"}},
        ),
        (UpdateOne({}, SET), "update", {"q": {}, "u": SET, "multi": False}),
        (UpdateMany({}, SET, upsert=True), "update", {"q": {}, "u": SET, "multi": True, "upsert": True}),
        (UpdateOne({}, [SET], upsert=False), "update", {"q": {}, "u": [SET], "multi": False, "upsert": False}),
        (
            UpdateOne({}, SET, array_filters=[{"x": 1}], hint=[("a", 1)], sort="b"),
            "update",
            {"q": {}, "u": SET, "multi": False, "arrayFilters": [{"x": 1}], "hint": {"a": 1}, "sort": {"b": 1}},
        ),
        (ReplaceOne({}, {"a": 2}), "update", {"q": {}, "u": {"a": 2}, "multi": False}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, WriteRequest) else "",
)
def test_statements(request_: WriteRequest, command: str, body: dict[str, Any]) -> None:
    statement = request_.statement()
    assert (statement.command, statement.body) == (command, body)


@pytest.mark.parametrize(
    "make",
    [
        lambda: InsertOne([]),  # type: ignore[arg-type]  # bad input is the point
        lambda: UpdateOne({}, {"a": 1}),
        lambda: UpdateMany({}, {}),
        lambda: ReplaceOne({}, SET),
        lambda: DeleteOne("x"),  # type: ignore[arg-type]  # bad input is the point
        lambda: UpdateOne({}, SET, upsert=1),  # type: ignore[arg-type]  # bad input is the point
        lambda: UpdateOne({}, SET, array_filters={"a": 1}),  # type: ignore[arg-type]  # bad input is the point
    ],
)
def test_bad_requests_are_refused_when_they_are_made(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError):
        make()


def test_requests_compare_and_show_what_they_hold() -> None:
    assert InsertOne({"a": 1}) == InsertOne({"a": 1})
    assert InsertOne({"a": 1}) != InsertOne({"a": 2})
    assert DeleteOne({}) != DeleteMany({})
    assert "'a': 1" in repr(InsertOne({"a": 1}))


# --- ids ---


def test_generated_id_is_first_on_the_wire_and_set_on_the_callers_document() -> None:
    # CRUD specification, "Generated identifiers".
    document: dict[str, Any] = {"a": 1}
    sent, generated = with_id(document)
    assert isinstance(generated, ObjectId)
    assert sent is document, "a large document is not copied"
    assert document == {"a": 1, "_id": generated}
    assert list(bson.decode(encode(sent))) == ["_id", "a"]


@pytest.mark.parametrize("given", [{"_id": None}, {"a": 1, "_id": 5}])
def test_given_id_is_kept_and_nothing_is_copied(given: dict[str, Any]) -> None:
    sent, found = with_id(given)
    assert sent is given
    assert found == given["_id"]


def test_other_mappings() -> None:
    changeable = SON([("a", 1)])
    sent, generated = with_id(changeable)
    assert sent is changeable
    assert changeable["_id"] == generated
    frozen = MappingProxyType({"a": 1})
    sent, generated = with_id(frozen)
    assert sent == {"_id": generated, "a": 1}
    raw = RawBSONDocument(bson.encode({"a": 1}))
    assert with_id(raw) == (raw, None)


# --- indexes ---


@pytest.mark.parametrize(
    "keys, options, expected",
    [
        ("a", {}, {"name": "a_1", "key": {"a": 1}}),
        ([("a", 1), ("b", -1)], {}, {"name": "a_1_b_-1", "key": {"a": 1, "b": -1}}),
        ([("t", "text")], {}, {"name": "t_text", "key": {"t": "text"}}),
        ({"a": 1}, {"name": "mine", "unique": True}, {"name": "mine", "key": {"a": 1}, "unique": True}),
        ("a", {"name": ""}, {"name": "", "key": {"a": 1}}),  # left to the server to refuse
        ("a", {"expireAfterSeconds": 5, "sparse": None}, {"name": "a_1", "key": {"a": 1}, "expireAfterSeconds": 5}),
    ],
)
def test_index_models(keys: Any, options: dict[str, Any], expected: dict[str, Any]) -> None:
    assert IndexModel(keys, **options).document == expected


def test_index_without_keys_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least one field"):
        IndexModel([])
