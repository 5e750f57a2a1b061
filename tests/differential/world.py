"""The data that every scenario starts from: small, with one of each kind of value that calls treat differently."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bson import Binary, Decimal128, Int64, ObjectId, Regex, Timestamp

Document = dict[str, Any]


def fixed_id(number: int) -> ObjectId:
    """An ObjectId that no driver generates, so that it keeps its value in comparisons."""
    return ObjectId(f"{number:024x}")


def is_fixed(value: ObjectId) -> bool:
    """Whether it is one of those, and not generated."""
    return value.binary[:8] == bytes(8)


@dataclass(frozen=True)
class Starting:
    """A collection: its documents, indexes other than that of ``_id``, and the options that it is created with."""

    documents: tuple[Document, ...] = ()
    indexes: tuple[Document, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


_WHEN = datetime.datetime(2024, 2, 29, 12, 30, 15, 123000)

_PEOPLE: tuple[Document, ...] = (
    {"_id": 0, "n": 5, "s": "ada", "tags": ["a", "b"], "sub": {"x": 1, "y": [1, 2]}, "u": 0},
    {"_id": 1, "n": 3, "s": "Bob", "tags": [], "sub": {"x": 2}, "u": 1},
    {"_id": 2, "n": 3.5, "s": "eve", "tags": ["b", "c"], "sub": {"x": 3, "y": []}, "u": 2},
    {"_id": 3, "n": Int64(7), "s": "ADA", "u": 3, "d": _WHEN},
    {"_id": 4, "n": Decimal128("9.5"), "s": "zoë", "u": 4, "tags": ["c"]},
    # With arrays in the indexed fields, the indexes are multikey from the start, and remain so.
    {"_id": 5, "n": [2, 8], "u": 5, "list": [{"k": 1, "v": 1}, {"k": 2, "v": 2}, {"k": 1, "v": 3}]},
    {"_id": 6, "s": ["no", "n"], "u": 6, "b": b"bytes", "r": Regex("^a", re.IGNORECASE), "t": Timestamp(5, 6)},
    {"_id": 7, "n": None, "u": 7, "bin": Binary(b"\x00\x01", 5), "o": fixed_id(1)},
)

#: The files of a bucket: two revisions of one, an empty one, one that lacks a chunk.
_FILES: tuple[Document, ...] = (
    {"_id": 0, "filename": "a", "chunkSize": 4, "length": Int64(10), "uploadDate": _WHEN},
    {"_id": 1, "filename": "a", "chunkSize": 4, "length": Int64(0), "uploadDate": _WHEN.replace(year=2028)},
    {"_id": 2, "filename": "b", "chunkSize": 261120, "length": Int64(9), "uploadDate": _WHEN, "metadata": {"k": 1}},
    {"_id": 3, "filename": "torn", "chunkSize": 4, "length": Int64(9), "uploadDate": _WHEN},
)
_CHUNKS: tuple[Document, ...] = tuple(
    {"_id": fixed_id(100 + number), "files_id": file, "n": n, "data": data}
    for number, (file, n, data) in enumerate(
        ((0, 0, b"01\n3"), (0, 1, b"45\n7"), (0, 2, b"89"), (2, 0, b"one\ntwo\n3"), (3, 0, b"0123"), (3, 2, b"8"))
    )
)

#: Every scenario finds exactly these in its database.
STARTING_DATA: Mapping[str, Starting] = {
    "people": Starting(
        _PEOPLE,
        (
            {"name": "u_1", "key": {"u": 1}, "unique": True},
            {"name": "n_1_s_-1", "key": {"n": 1, "s": -1}},
        ),
    ),
    "many": Starting(tuple({"_id": number, "n": number % 7} for number in range(120))),
    "empty": Starting(),
    "checked": Starting(
        ({"_id": 0, "n": 1},), (), {"validator": {"n": {"$type": "number"}}, "collation": {"locale": "en"}}
    ),
    "capped": Starting(tuple({"_id": number} for number in range(3)), (), {"capped": True, "size": 4096, "max": 5}),
    "fs.files": Starting(_FILES, ({"name": "filename_1_uploadDate_1", "key": {"filename": 1, "uploadDate": 1}},)),
    "fs.chunks": Starting(_CHUNKS, ({"name": "files_id_1_n_1", "key": {"files_id": 1, "n": 1}, "unique": True},)),
    "view": Starting((), (), {"viewOn": "people", "pipeline": [{"$match": {"n": {"$gt": 2}}}]}),
}
