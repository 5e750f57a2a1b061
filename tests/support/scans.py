"""What tests of scans share: small collections that are split into many ranges, and ids of every type."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from bson import Binary, Code, DBRef, Decimal128, Int64, ObjectId, Timestamp
from bson.max_key import MaxKey
from bson.min_key import MinKey

from wiredrv.client.snapshots import ranges

#: An ``_id`` of each type, and those at the borders of types, in the order of an index. (Servers refuse arrays,
#: expressions and undefined.)
IDS: tuple[Any, ...] = (
    MinKey(),
    None,
    float("nan"),
    float("-inf"),
    -1,
    0,
    1.5,
    Decimal128("7.25"),
    Int64(55),
    2**40,
    float("inf"),
    "",
    "Z",
    "a",
    "é",
    {},
    {"a": MinKey()},
    {"a": 1},
    {"a": 1, "b": None},
    DBRef("x", 1),
    {"b": MaxKey()},
    b"",
    Binary(b"x", 5),
    Binary(b"yy", 128),
    Binary(b"\0" * 16, 4),
    ObjectId("0" * 24),
    ObjectId("f" * 24),
    False,
    True,
    datetime.datetime(1900, 1, 1),
    datetime.datetime(2100, 1, 1),
    Timestamp(0, 1),
    Timestamp(2**31, 1),
    Code("f"),
    Code("f", {"a": 1}),
    MaxKey(),
)


@contextmanager
def many_ranges() -> Iterator[None]:
    """Split collections as if each document were a thousand."""
    with mock.patch.object(ranges, "_LEAST_DOCUMENTS", 1):
        yield
