"""Documents in log messages: truncated Extended JSON; the work is bounded by what is shown."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from bson import Code, Int64, ObjectId, json_util
from bson.binary import Binary, UuidRepresentation
from bson.raw_bson import RawBSONDocument
from hypothesis import given
from hypothesis import strategies as st

from wiredrv.logs.documents import DEFAULT_MAX_LENGTH, max_length, to_text
from wiredrv.wire.codec import encode

OPTIONS = json_util.RELAXED_JSON_OPTIONS.with_options(uuid_representation=UuidRepresentation.STANDARD)

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(max_size=40)
    | st.binary(max_size=40)
    | st.floats(allow_nan=False)
    | st.uuids()
    | st.builds(ObjectId, st.binary(min_size=12, max_size=12))
    | st.builds(Binary, st.binary(max_size=40), st.just(5))
    | st.builds(Code, st.text(max_size=40)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=30,
)


@given(st.dictionaries(st.text(max_size=10), values, max_size=6), st.integers(0, 300))
def test_what_is_shown_is_the_beginning_of_the_whole(document: dict[str, Any], limit: int) -> None:
    whole = json_util.dumps(document, json_options=OPTIONS)
    assert to_text(document, limit) == (whole if len(whole) <= limit else f"{whole[:limit]}...")


@pytest.mark.parametrize(
    "document, text",
    [
        ({}, "{}"),
        ({"n": Int64(2**40), "f": 1.5}, '{"n": 1099511627776, "f": 1.5}'),
        ({"u": uuid.UUID(int=1)}, '{"u": {"$binary": {"base64": "AAAAAAAAAAAAAAAAAAAAAQ==", "subType": "04"}}}'),
        (
            {"d": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)},
            '{"d": {"$date": "2026-01-02T00:00:00Z"}}',
        ),
        (RawBSONDocument(encode({"a": [1]})), '{"a": [1]}'),
    ],
)
def test_documents_are_relaxed_extended_json(document: Mapping[str, Any], text: str) -> None:
    assert to_text(document, 1000) == text


def test_a_type_that_only_the_users_codec_knows_does_not_lose_the_message() -> None:
    class Money:
        def __repr__(self) -> str:
            return "Money(3)"

    assert to_text({"price": Money()}, 1000) == '{"price": "Money(3)"}'


def test_a_document_that_cannot_be_decoded_does_not_lose_the_message() -> None:
    broken = RawBSONDocument(encode({"a": 1}).replace(b"\x10a", b"\x7aa"))
    text = to_text({"ok": 1, "batch": [broken]}, 1000)
    assert text.startswith('{"ok": 1, "batch": ["(cannot be decoded: ')


def test_a_deep_document_is_read_no_deeper_than_is_shown() -> None:
    document: dict[str, Any] = {}
    array: list[Any] = []
    for _ in range(50_000):
        document, array = {"a": document}, [array]
    assert to_text(document, 20) == '{"a": {"a": {"a": {"...'
    assert to_text({"a": array}, 20) == '{"a": [[[[[[[[[[[[[[...'


@pytest.mark.parametrize("limit", range(8, 14))
def test_code_points_are_never_cut_in_two(limit: int) -> None:
    """Command-logging-and-monitoring, prose test 3: the unit is the code point."""
    text = to_text({"k": "\u00fc\u6f22\U0001f600" * 5}, limit)
    assert len(text) == limit + 3
    text.encode("utf-8")


class _Endless(Mapping[str, Any]):
    """A document without end: reading all of it never ends."""

    def __getitem__(self, key: str) -> Any:
        return "value"

    def __iter__(self) -> Iterator[str]:
        number = 0
        while True:
            yield f"key{number}"
            number += 1

    def __len__(self) -> int:
        return 1


def test_no_more_is_converted_than_is_shown() -> None:
    assert len(to_text({"document": _Endless()}, 1000)) == 1003


@pytest.mark.parametrize(
    "value, length",
    [(None, DEFAULT_MAX_LENGTH), ("5", 5), ("0", 0), ("-1", DEFAULT_MAX_LENGTH), ("many", DEFAULT_MAX_LENGTH)],
)
def test_the_length_is_set_by_the_environment_unless_it_is_no_number(value: str | None, length: int) -> None:
    environment = {} if value is None else {"MONGODB_LOG_MAX_DOCUMENT_LENGTH": value}
    assert max_length(environment) == length
