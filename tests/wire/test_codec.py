"""The codec: errors of the BSON library become ours, in both directions."""

from __future__ import annotations

import datetime
from typing import Any

import bson
import pytest
from bson.codec_options import CodecOptions
from hypothesis import given
from hypothesis import strategies as st

from wiredrv.errors import DriverError, InvalidDocument, UnreadableReply
from wiredrv.wire.codec import decode, decode_raw, encode, is_default


class Stranger:
    """A type that BSON cannot represent."""


def _inside_itself() -> dict[str, Any]:
    document: dict[str, Any] = {}
    document["self"] = document
    return document


@pytest.mark.parametrize(
    "document, says",
    [
        ({"a": Stranger()}, "cannot encode object"),
        ({1: "a"}, "only string keys"),
        ({"a\x00b": 1}, "null"),
        ({"a": 2**63}, "64 bits"),
        ({"a": -(2**63) - 1}, "64 bits"),
        ({"a": "\ud800"}, "cannot be encoded"),
        (_inside_itself(), "nested too deeply|contains itself|recursion"),
        ([1, 2], "cannot be encoded"),
        (None, "cannot be encoded"),
    ],
    ids=["type", "key", "null byte", "too large", "too small", "surrogate", "circle", "list", "None"],
)
def test_what_bson_cannot_hold_is_an_invalid_document(document: Any, says: str) -> None:
    with pytest.raises(InvalidDocument, match=f"(?i){says}") as caught:
        encode(document)
    assert isinstance(caught.value, DriverError)
    assert isinstance(caught.value, bson.errors.InvalidDocument)


@pytest.mark.parametrize("read", [decode, decode_raw], ids=["decoded", "raw"])
@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", b"\x05\x00\x00\x00\x01", b"\x04\x00\x00\x00", bson.encode({"a": 1})[:-1], bson.encode({}) + b"\x00"],
)
def test_what_is_not_a_document_is_unreadable(read: Any, data: bytes) -> None:
    with pytest.raises(UnreadableReply, match="cannot be read"):
        read(data)


@given(st.binary(max_size=100))
def test_random_bytes_are_a_document_or_unreadable(data: bytes) -> None:
    _read_or_refuse(data)


@given(st.binary(max_size=60), st.data())
def test_mutated_documents_are_documents_or_unreadable(noise: bytes, data: st.DataObject) -> None:
    valid = bytearray(
        bson.encode(
            {
                "s": "text",
                "d": datetime.datetime(2026, 1, 1),
                "o": bson.ObjectId(b"123456789012"),
                "n": {"l": [1, 2.5, None, True]},
                "u": bson.Binary(b"1234567890123456", 4),
                "r": bson.Regex("a.b", "i"),
                "c": bson.Code("x", {"y": 1}),
                "t": bson.Timestamp(1, 2),
                "x": bson.Decimal128("1.5"),
            }
        )
    )
    position = data.draw(st.integers(4, len(valid) - 2))
    end = min(position + len(noise), len(valid) - 1)
    valid[position:end] = noise[: end - position]
    _read_or_refuse(bytes(valid))


def _read_or_refuse(data: bytes) -> None:
    """Any other exception fails the test."""
    try:
        document = decode(data)
    except UnreadableReply:
        return
    assert isinstance(document, dict)


def test_default_options_are_recognised_by_value() -> None:
    assert is_default(CodecOptions())
    assert not is_default(CodecOptions(tz_aware=True))
