"""Bad input is refused before anything is sent, with a message that says what was expected."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import bson
import pytest
from bson.min_key import MinKey
from bson.raw_bson import RawBSONDocument
from bson.son import SON

from wiredrv.client import validation as check
from wiredrv.errors import ConfigurationError, InvalidName

RAW = RawBSONDocument(bson.encode({"$set": {"a": 1}}))


@pytest.mark.parametrize("value", [{}, {"a": 1}, SON([("a", 1)]), OrderedDict(a=1), MappingProxyType({"a": 1}), RAW])
def test_any_mapping_is_a_document_and_is_not_copied(value: Any) -> None:
    assert check.document("filter", value) is value


@pytest.mark.parametrize("value", [None, 1, "a", [("a", 1)], {"a"}])
def test_anything_else_is_no_document(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="filter must be a mapping"):
        check.document("filter", value)


@pytest.mark.parametrize("value", [{"$set": {"a": 1}}, [{"$set": {"a": 1}}], RAW])
def test_updates(value: Any) -> None:
    assert check.update_document(value) == value


def test_a_pipeline_that_is_a_tuple_is_sent_as_a_list() -> None:
    assert check.update_document(({"$set": {"a": 1}},)) == [{"$set": {"a": 1}}]


@pytest.mark.parametrize(
    "value, message",
    [
        ({}, "must not be empty"),
        ([], "must not be empty"),
        ((), "must not be empty"),
        ({"a": 1}, "must start with an operator"),
        ([1], "each stage of update must be a mapping"),
        ("x", "must be a mapping"),
    ],
)
def test_no_updates(value: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        check.update_document(value)


def test_update_that_is_a_whole_document_names_the_method_for_it() -> None:
    with pytest.raises(ConfigurationError, match="replace_one"):
        check.update_document({"a": 1})


@pytest.mark.parametrize("value", [{}, {"a": 1}, {"_id": 1}, RAW])
def test_replacements(value: Any) -> None:
    assert check.replacement_document(value) is value


@pytest.mark.parametrize("value", [{"$set": {"a": 1}}, [], None])
def test_no_replacements(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="replacement"):
        check.replacement_document(value)


@pytest.mark.parametrize(
    "value, expected",
    [
        ("a", {"a": 1}),
        ([("a", -1), ("b", 1)], {"a": -1, "b": 1}),
        ([["a", -1]], {"a": -1}),
        (("a", "b"), {"a": 1, "b": 1}),
        (["a", ("b", "text")], {"a": 1, "b": "text"}),
        ({"a": -1}, {"a": -1}),
        ({"score": {"$meta": "textScore"}}, {"score": {"$meta": "textScore"}}),
        (SON([("b", 1), ("a", 1)]), {"b": 1, "a": 1}),
    ],
)
def test_orders(value: Any, expected: dict[str, Any]) -> None:
    found = check.sort_document("sort", value)
    assert list(found.items()) == list(expected.items())


def test_direction_of_a_single_field() -> None:
    assert check.sort_document("sort", "a", -1) == {"a": -1}
    with pytest.raises(ConfigurationError, match="direction"):
        check.sort_document("sort", [("a", 1)], -1)


@pytest.mark.parametrize(
    "value", [1, None, [], {}, [1], [("a",)], [("a", 1, 2)], [(1, 1)], [("a", None)], [("a", 1.5)]]
)
def test_no_orders(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="sort"):
        check.sort_document("sort", value)


def test_empty_order_as_an_argument_is_none() -> None:
    assert check.sort_option("sort", []) is None
    assert check.sort_option("sort", {}) is None


def test_hints() -> None:
    assert check.hint_value("hint", "a_1") == "a_1"
    assert check.hint_value("hint", [("a", 1)]) == {"a": 1}
    assert check.hint_value("hint", {"a": 1}) == {"a": 1}
    with pytest.raises(ConfigurationError, match="hint"):
        check.hint_value("hint", 5)


@pytest.mark.parametrize(
    "value, expected",
    [
        ({"a": 0}, {"a": 0}),
        (["a", "b"], {"a": 1, "b": 1}),
        (("a",), {"a": 1}),
        ([], {}),
    ],
)
def test_projections(value: Any, expected: dict[str, Any]) -> None:
    assert check.projection_document("projection", value) == expected


@pytest.mark.parametrize("value", ["a", 1, [1], b"a"])
def test_no_projections(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="projection must be"):
        check.projection_document("projection", value)


class HasDocument:
    document = {"locale": "en"}


def test_collations() -> None:
    assert check.collation_document("collation", {"locale": "en"}) == {"locale": "en"}
    assert check.collation_document("collation", HasDocument()) == {"locale": "en"}
    with pytest.raises(ConfigurationError, match="collation"):
        check.collation_document("collation", "en")


@pytest.mark.parametrize(
    "checker, value",
    [
        (check.whole_number, -1),
        (check.whole_number, True),
        (check.whole_number, 1.0),
        (check.whole_number, "1"),
        (check.any_integer, 1.5),
        (check.any_integer, False),
        (check.boolean, 1),
        (check.flag, "yes"),
        (check.pipeline, {"$match": {}}),
        (check.pipeline, ["$match"]),
    ],
)
def test_values_of_the_wrong_kind(checker: Callable[..., Any], value: Any) -> None:
    with pytest.raises(ConfigurationError):
        checker(value) if checker is check.pipeline else checker("option", value)


@pytest.mark.parametrize("name", ["a", "a-b", "a_b", "$external", "ä"])
def test_database_names(name: str) -> None:
    assert check.database_name(name) == name


@pytest.mark.parametrize("name", ["", "a.b", "a b", "a$b", "a/b", "a\\b", 'a"b', "a\x00b"])
def test_no_database_names(name: str) -> None:
    with pytest.raises(InvalidName):
        check.database_name(name)


@pytest.mark.parametrize("name", ["a", "a.b", "$cmd", "$cmd.aggregate", "oplog.$main", "system.js", "a b"])
def test_collection_names(name: str) -> None:
    assert check.collection_name(name) == name


@pytest.mark.parametrize("name", ["", ".a", "a.", "a..b", "a$b", "$a", "a\x00b"])
def test_no_collection_names(name: str) -> None:
    with pytest.raises(InvalidName):
        check.collection_name(name)


@pytest.mark.parametrize("checker", [check.database_name, check.collection_name])
def test_names_are_strings(checker: Callable[[Any], Any]) -> None:
    with pytest.raises(ConfigurationError, match="string"):
        checker(5)


TABLE: check.Table = {"max_time_ms": ("maxTimeMS", check.whole_number), "comment": ("comment", None)}


def test_options_take_pythons_and_the_wires_names() -> None:
    assert check.wire_options({"max_time_ms": 5}, TABLE) == {"maxTimeMS": 5}
    assert check.wire_options({"maxTimeMS": 5}, TABLE) == {"maxTimeMS": 5}


def test_options_that_are_none_are_left_out() -> None:
    assert check.wire_options({"max_time_ms": None, "comment": None}, TABLE) == {}
    assert check.wire_options({"newOption": None}, TABLE, strict=False) == {}


def test_unknown_options_are_refused_with_the_known_ones_or_left_to_the_server() -> None:
    with pytest.raises(ConfigurationError, match=r"'max_time'; did you mean max_time_ms\? The options are comment"):
        check.wire_options({"max_time": 5}, TABLE)
    with pytest.raises(ConfigurationError, match="'other'; the options are comment, max_time_ms"):
        check.wire_options({"other": 5}, TABLE)
    with pytest.raises(ConfigurationError, match="'max_time'"):
        check.wire_options({"max_time": None}, TABLE)
    assert check.wire_options({"newOption": 5}, TABLE, strict=False) == {"newOption": 5}


def test_messages_are_short_whatever_was_given() -> None:
    with pytest.raises(ConfigurationError) as caught:
        check.document("filter", ["x" * 100_000])
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("value", [MinKey(), 1.5, None, b"x", [1], {"a": 1}, True, "a"])
def test_a_bound_of_an_index_has_any_value(value: Any) -> None:
    assert check.index_bound("min", {"a": value}) == {"a": value}
    assert check.index_bound("min", [("a", value), ("b", 2)]) == {"a": value, "b": 2}
    raw = RawBSONDocument(bson.encode({"a": value}))
    assert check.index_bound("min", raw) is raw


@pytest.mark.parametrize("value", [{}, [], [(1, 2)], 7, [("a", 1, 2)]])
def test_what_is_no_bound(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="min"):
        check.index_bound("min", value)
