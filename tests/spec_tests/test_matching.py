"""The matching rules, on tables. Unified test format specification, "Evaluating Matches"."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp

from spec_tests.errors import RunnerError
from spec_tests.matching import MISSING, Matcher, bson_type, same_document, same_value

_LSID = {"id": Binary(b"0123456789abcdef", 4)}
_ID = ObjectId()


class _Entities:
    def value(self, name: str) -> Any:
        values = {"id": _ID, "document": {"x": 1}, "operator": {"$$type": "int"}}
        if name not in values:
            raise RunnerError(name)
        return values[name]

    def lsid(self, name: str) -> Any:
        if name != "session0":
            raise RunnerError(name)
        return _LSID


MATCHER = Matcher(_Entities())
EXISTS, ABSENT = {"$$exists": True}, {"$$exists": False}

MATCHES: list[tuple[Any, Any]] = [
    # scalars and flexible numbers
    (1, 1),
    (1, 1.0),
    (1.0, Int64(1)),
    (Int64(1), 1),
    ("a", "a"),
    (None, None),
    (True, True),
    (Decimal128("1"), Decimal128("1")),
    (_ID, _ID),
    (b"x", b"x"),
    # documents: order does not matter, the root may have extra keys
    ({"x": 1, "y": 1}, {"y": 1, "x": 1}),
    ({"x": 1}, {"x": 1, "y": 1}),
    ({}, {"x": 1}),
    ({"x": {"y": 1}}, {"x": {"y": 1.0}, "z": 1}),
    # arrays
    ([], []),
    ([1, {"x": 1}], [1.0, {"x": 1}]),
    ([[1]], [[1]]),
    # $$exists
    ({"x": EXISTS}, {"x": None}),
    ({"x": ABSENT}, {"y": 1}),
    ({"x": {"y": ABSENT}}, {"x": {}}),
    # $$type
    ({"$$type": "int"}, 1),
    ({"$$type": ["int", "long"]}, Int64(1)),
    ({"$$type": "number"}, 1.5),
    ({"$$type": "number"}, Decimal128("1")),
    ({"x": {"$$type": "array"}}, {"x": []}),
    ({"x": {"$$type": "null"}}, {"x": None}),
    # $$matchesEntity does not change which documents are root documents
    ({"$$matchesEntity": "id"}, _ID),
    ({"$$matchesEntity": "document"}, {"x": 1, "y": 1}),
    ({"a": {"$$matchesEntity": "document"}}, {"a": {"x": 1}}),
    ({"$$matchesEntity": "operator"}, 5),
    # $$matchesHexBytes
    ({"$$matchesHexBytes": "12aB"}, b"\x12\xab"),
    ({"$$matchesHexBytes": ""}, b""),
    # $$unsetOrMatches does not change which documents are root documents
    ({"x": {"$$unsetOrMatches": 1}}, {}),
    ({"x": {"$$unsetOrMatches": 1}}, {"x": 1}),
    ({"$$unsetOrMatches": {"x": 1}}, MISSING),
    ({"$$unsetOrMatches": {"x": 1}}, {"x": 1, "y": 1}),
    ({"x": {"$$unsetOrMatches": EXISTS}}, {"x": 1}),
    # $$sessionLsid
    ({"lsid": {"$$sessionLsid": "session0"}}, {"lsid": dict(_LSID)}),
    ({"lsid": {"$$sessionLsid": "session0"}}, {"lsid": str(_LSID["id"].as_uuid())}),  # an attribute of a span
    # $$lte
    ({"$$lte": 1}, 1.0),
    ({"$$lte": 1}, 0.0),
    ({"$$lte": 5}, Int64(5)),
    # $$matchAsDocument, $$matchAsRoot
    ({"$$matchAsDocument": {"x": 1}}, '{"x": {"$numberDouble": "1"}}'),
    ({"$$matchAsDocument": {"$$matchAsRoot": {"x": 1}}}, '{"x": 1, "y": 2}'),
    ({"a": {"$$matchAsRoot": {"x": 1}}}, {"a": {"x": 1, "y": 2}}),
    # a query operator is an ordinary key, and so is an operator beside another key
    ({"x": {"$gt": 1}}, {"x": {"$gt": 1}}),
    ({"x": {"$$exists": True, "y": 1}}, {"x": {"$$exists": True, "y": 1}}),
]

MISMATCHES: list[tuple[Any, Any, str]] = [
    (1, 2, ""),
    (1, 1.5, ""),
    (1, True, ""),
    (True, 1, ""),
    (1, Decimal128("1"), ""),
    (1, "1", ""),
    (None, MISSING, ""),
    (1, None, ""),
    (b"x", "x", ""),
    ({"x": 1, "y": 1}, {"x": 1}, "y"),
    ({"x": {"y": 1}}, {"x": {"y": 1, "z": 1}}, "x"),
    ({"x": {"y": {"z": 1}}}, {"x": {"y": {"z": 2}}}, "x.y.z"),
    ({"x": 1}, 1, ""),
    ({"x": 1}, [1], ""),
    ([1], [1, 2], ""),
    ([1, 2], [2, 1], "[0]"),
    ([{"x": 1}], [{"x": 1, "y": 1}], "[0]"),
    ([1], 1, ""),
    ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, "a[0].b"),
    ({"x": EXISTS}, {}, "x"),
    ({"x": ABSENT}, {"x": None}, "x"),
    ({"x": {"$$type": "int"}}, {}, "x"),
    ({"$$type": "int"}, 2**40, ""),
    ({"$$type": "string"}, 1, ""),
    ({"$$type": ["int", "long"]}, 1.0, ""),
    ({"$$type": "number"}, "1", ""),
    ({"$$matchesEntity": "id"}, ObjectId(), ""),
    ({"a": {"$$matchesEntity": "document"}}, {"a": {"x": 1, "y": 1}}, "a"),
    ({"$$matchesHexBytes": "12"}, b"\x13", ""),
    ({"$$matchesHexBytes": "12"}, 12, ""),
    ({"x": {"$$unsetOrMatches": 1}}, {"x": 2}, "x"),
    ({"x": {"$$unsetOrMatches": 1}}, {"x": None}, "x"),
    ({"x": {"$$unsetOrMatches": {"y": 1}}}, {"x": {"y": 1, "z": 1}}, "x"),
    ({"lsid": {"$$sessionLsid": "session0"}}, {"lsid": {"id": 1}}, "lsid"),
    ({"lsid": {"$$sessionLsid": "session0"}}, {"lsid": "another"}, "lsid"),
    ({"lsid": {"$$sessionLsid": "session0"}}, {}, "lsid"),
    ({"$$lte": 1}, 1.1, ""),
    ({"$$lte": 1}, "0", ""),
    ({"$$lte": 1}, False, ""),
    ({"$$lte": 1}, MISSING, ""),
    ({"$$matchAsDocument": {"x": 1}}, '{"x": 1, "y": 2}', ""),
    ({"$$matchAsDocument": {"x": 1}}, "1", ""),
    ({"$$matchAsDocument": {"x": 1}}, '{"x" }', ""),
    ({"$$matchAsDocument": {}}, {}, ""),
    ({"a": {"$$matchAsRoot": {"x": 1}}}, {"a": {"y": 2}}, "a.x"),
]


@pytest.mark.parametrize("expected, actual", MATCHES)
def test_a_match(expected: Any, actual: Any) -> None:
    assert MATCHER.match(expected, actual) is None


@pytest.mark.parametrize("expected, actual, path", MISMATCHES)
def test_a_mismatch_names_its_key_path(expected: Any, actual: Any, path: str) -> None:
    found = MATCHER.match(expected, actual)
    assert found is not None
    assert found.path == path
    assert found.message


@pytest.mark.parametrize(
    "expected",
    [
        {"$$exists": 1},
        {"$$type": "integer"},
        {"$$type": []},
        {"$$type": 1},
        {"$$matchesEntity": "nobody"},
        {"$$matchesEntity": 1},
        {"$$matchesHexBytes": "1"},
        {"$$matchesHexBytes": "zz"},
        {"$$matchesHexBytes": 12},
        {"$$sessionLsid": "nobody"},
        {"$$sessionLsid": 1},
        {"$$lte": "1"},
        {"$$lte": True},
        {"$$gte": 1},
    ],
)
def test_a_malformed_operator_is_the_tests_own_fault(expected: Any) -> None:
    with pytest.raises(RunnerError):
        MATCHER.match(expected, 1)


def test_rows_of_an_iterable_are_root_documents_and_elements_of_an_array_are_not() -> None:
    expected, actual = [{"x": 1}], [{"x": 1, "y": 1}]
    assert MATCHER.match_rows(expected, actual) is None
    found = MATCHER.match(expected, actual)
    assert found is not None
    assert found.path == "[0]"


def test_the_number_of_rows_must_fit() -> None:
    assert MATCHER.match_rows([{}], [{}, {}]) is not None
    assert MATCHER.match_rows([], []) is None


def test_rows_may_be_expected_by_an_operator() -> None:
    assert MATCHER.match_rows({"$$type": "array"}, [{}]) is None


@pytest.mark.parametrize(
    "value, name",
    [
        (1.0, "double"),
        ("", "string"),
        ({}, "object"),
        ([], "array"),
        (b"", "binData"),
        (Binary(b"", 4), "binData"),
        (_ID, "objectId"),
        (True, "bool"),
        (datetime.datetime(2026, 1, 1), "date"),
        (None, "null"),
        (Regex("a"), "regex"),
        (Code("a"), "javascript"),
        (Code("a", {}), "javascriptWithScope"),
        (1, "int"),
        (-(2**31), "int"),
        (2**31, "long"),
        (Int64(1), "long"),
        (Timestamp(1, 1), "timestamp"),
        (Decimal128("1"), "decimal"),
        (MinKey(), "minKey"),
        (MaxKey(), "maxKey"),
    ],
)
def test_the_types_of_bson_have_the_query_languages_names(value: Any, name: str) -> None:
    assert bson_type(value) == name


def test_what_is_no_bson_value_has_no_type() -> None:
    with pytest.raises(RunnerError):
        bson_type(object())


@pytest.mark.parametrize(
    "one, other, same",
    [
        ({"a": [1, {"b": 1}]}, {"a": [1.0, {"b": 1}]}, True),
        ({"a": 1}, {"a": 1, "b": 1}, False),
        ([1], [1, 1], False),
        (Code("a", {"x": 1}), Code("a", {"x": 1}), True),
        (Code("a", {"x": 1}), Code("a", {"x": 2}), False),
        ("a", Code("a"), False),
    ],
)
def test_values_are_the_same_whatever_the_kind_of_their_numbers(one: Any, other: Any, same: bool) -> None:
    assert same_value(one, other) is same


@pytest.mark.parametrize(
    "one, other, same",
    [
        ([{"_id": 1, "x": 1}], [{"x": 1, "_id": 1}], True),
        ([{"x": 1}], [{"x": Int64(1)}], True),
        ([{"x": 1}], [{"x": 1.0}], False),
        ([{"x": 1}], [{"x": 1, "y": 1}], False),
        ([], [{"x": 1}], False),
    ],
)
def test_outcomes_must_be_the_same_documents_but_for_the_order_of_keys(one: Any, other: Any, same: bool) -> None:
    assert same_document(one, other) is same
