"""How what was kept becomes text."""

from __future__ import annotations

import math
import re
import uuid
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson.binary import Binary
from bson.code import Code
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp

from wiredrv.logs.documents import to_text
from wiredrv.timeline.entries import failure_of, text_of

DOCUMENT: dict[str, Any] = {
    "double": 1.5,
    "text": 'ü "\n',
    "nested": {"list": [1, None, True, {"a": []}]},
    "binary": Binary(b"abc", 5),
    "uuid": Binary.from_uuid(uuid.UUID(int=7)),
    "id": ObjectId("0" * 24),
    "date": datetime(2026, 11, 22, tzinfo=UTC),
    "pattern": Regex("^a", "i"),
    "compiled": re.compile("a"),
    "long": Int64(2**40),
    "decimal": Decimal128("1.50"),
    "time": Timestamp(7, 1),
    "largest": MaxKey(),
    "bytes": b"\x00\x01",
}


@pytest.mark.parametrize("length", [10, 100, 10_000])
def test_a_document_is_written_as_in_the_log(length: int) -> None:
    decoded: dict[str, Any] = bson.decode(bson.encode(DOCUMENT))
    assert text_of(decoded, length) == to_text(decoded, length)


def test_numbers_that_json_does_not_have_are_written_as_in_the_log() -> None:
    document = {"a": math.nan, "b": math.inf}
    assert text_of(document, 1000) == to_text(document, 1000)
    assert "NaN" in text_of(document, 1000)


def test_code_is_a_text() -> None:
    assert text_of({"a": Code("f()")}, 1000) == '{"a": "f()"}'


def test_an_error_that_cannot_be_described_is_recorded() -> None:
    class Odd(Exception):
        """A user's own."""

        code = "E1"

        def __str__(self) -> str:
            raise RuntimeError

    assert (failure_of(Odd()).type, failure_of(Odd()).message, failure_of(Odd()).code) == ("Odd", "", None)


def test_the_text_of_an_error_is_bounded() -> None:
    assert len(failure_of(ValueError("x" * 10_000)).message) == 2003
