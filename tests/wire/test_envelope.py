"""What can be read from a reply that cannot be decoded."""

from __future__ import annotations

from time import process_time
from typing import Any

import bson
import pytest
from bson.binary import Binary
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.regex import Regex
from bson.timestamp import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from wiredrv.wire.envelope import decode_tolerantly, pick_envelope

CURSOR = {"id": bson.Int64(7), "ns": "db.c"}
#: A value of each type that a document can hold.
VALUES: dict[str, Any] = {
    "double": 1.5,
    "string": "x",
    "document": {"a": 1},
    "array": [1, {"b": 2}],
    "binary": Binary(b"abc", 0),
    "old binary": Binary(b"abc", 2),
    "id": bson.ObjectId(),
    "boolean": True,
    "date": DatetimeMS(10**15),
    "null": None,
    "regex": Regex("a.*", "i"),
    "reference": bson.DBRef("c", 1),
    "code": Code("f"),
    "scoped code": Code("f", {"a": 1}),
    "int32": 1,
    "timestamp": Timestamp(1, 2),
    "int64": bson.Int64(1),
    "decimal": Decimal128("1.5"),
    "least": MinKey(),
    "most": MaxKey(),
}


@pytest.mark.parametrize("name", VALUES)
def test_the_cursor_is_found_behind_values_of_every_type(name: str) -> None:
    data = bson.encode({"before": VALUES[name], "cursor": {"before": VALUES[name], **CURSOR}, "ok": 1})
    assert pick_envelope(data) == {"cursor": CURSOR}


def test_the_cursor_is_found_before_what_is_broken() -> None:
    data = bytearray(bson.encode({"cursor": {**CURSOR, "firstBatch": [{"a": 1}]}, "ok": 1}))
    position = data.index(b"\x10a\x00")
    data[position] = 0x42  # not a BSON type
    assert decode_tolerantly(bytes(data)) is None
    assert pick_envelope(bytes(data)) == {"cursor": CURSOR}


def test_a_broken_batch_before_the_cursors_id_is_stepped_over() -> None:
    """MongoDB sends the batch first."""
    data = bytearray(bson.encode({"cursor": {"firstBatch": [{"a": 1}], **CURSOR}, "ok": 1}))
    data[data.index(b"\x10a\x00")] = 0x42
    assert pick_envelope(bytes(data)) == {"cursor": CURSOR}


def test_what_python_cannot_represent_is_replaced() -> None:
    data = bson.encode({"far": DatetimeMS(10**15), "text": "abcd", "ok": 1}).replace(b"abcd", b"ab\xff\xfe")
    assert decode_tolerantly(data) == {"far": DatetimeMS(10**15), "text": "ab��", "ok": 1}


def test_millions_of_elements_take_no_time() -> None:
    body = bytearray(b"\x00\x00\x00\x00" + b"\x0a\x00" * 10_000_000)
    started = process_time()
    assert pick_envelope(bytes(body)) == {}
    assert process_time() - started < 1


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=60))
def test_nothing_is_found_in_noise_and_nothing_is_raised(data: bytes) -> None:
    assert set(pick_envelope(data)) <= {"cursor"}
    decode_tolerantly(data)


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_mutated_replies_raise_nothing(data: st.DataObject) -> None:
    body = bytearray(bson.encode({"cursor": {"firstBatch": [VALUES], **CURSOR}, **VALUES, "ok": 1}))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    pick_envelope(bytes(body))
    decode_tolerantly(bytes(body))
