"""The documents of files: what can be read from them, what is written; revisions; indexes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64

from wiredrv.errors import ConfigurationError, CorruptGridFile
from wiredrv.gridfs.chunks import Shape
from wiredrv.gridfs.files import (
    CHUNKS_INDEX,
    FILES_INDEX,
    check_filename,
    check_metadata,
    file_document,
    has_index,
    id_of,
    revision_order,
    shape_of,
)


@pytest.mark.parametrize(
    "indexes, expected",
    [
        ([], False),
        ([{"key": {"_id": 1}}], False),
        ([{"key": {"_id": 1}}, {"key": {"files_id": 1, "n": 1}}], True),
        ([{"key": {"files_id": 1.0, "n": Int64(1)}}], True),
        ([{"key": {"n": 1, "files_id": 1}}], False),
        ([{"key": {"files_id": 1}}], False),
        ([{"key": {"files_id": 1, "n": -1}}], False),
        ([{"key": {"files_id": 1, "n": 1, "x": 1}}], False),
        ([{}], False),
    ],
)
def test_indexes_are_compared_by_the_values_of_their_numbers(indexes: list[Mapping[str, Any]], expected: bool) -> None:
    assert has_index(indexes, CHUNKS_INDEX) is expected


def test_the_indexes_are_those_of_the_specification() -> None:
    assert list(FILES_INDEX.items()) == [("filename", 1), ("uploadDate", 1)]
    assert list(CHUNKS_INDEX.items()) == [("files_id", 1), ("n", 1)]


@pytest.mark.parametrize(
    "file, expected",
    [
        ({"length": 10, "chunkSize": 4}, Shape(10, 4)),
        ({"length": Int64(10), "chunkSize": 4.0}, Shape(10, 4)),
        ({"length": Decimal128("10"), "chunkSize": Decimal128("4.0")}, Shape(10, 4)),
        ({"length": Int64(2**63 - 1), "chunkSize": 1}, Shape(2**63 - 1, 1)),
        ({"length": 0, "chunkSize": 4}, Shape(0, 4)),
        ({"length": 0}, Shape(0, 1)),
        ({"length": 0, "chunkSize": 0}, Shape(0, 1)),
    ],
)
def test_length_and_chunk_size_may_be_numbers_of_any_type(file: dict[str, Any], expected: Shape) -> None:
    assert shape_of(file) == expected


@pytest.mark.parametrize(
    "file",
    [
        {"length": -1, "chunkSize": 4},
        {"length": 1.5, "chunkSize": 4},
        {"length": float("nan"), "chunkSize": 4},
        {"length": float("inf"), "chunkSize": 4},
        {"length": Decimal128("NaN"), "chunkSize": 4},
        {"length": "10", "chunkSize": 4},
        {"length": None, "chunkSize": 4},
        {"length": True, "chunkSize": 4},
        {"length": 2.0**63, "chunkSize": 4},
        {"length": Decimal128("1E+6144"), "chunkSize": 4},
        {"length": {}, "chunkSize": 4},
        {"length": 10, "chunkSize": 0},
        {"length": 10, "chunkSize": -4},
        {"length": 10},
        {"chunkSize": 4},
        {},
    ],
)
def test_a_length_that_no_file_has_is_a_corrupt_file(file: dict[str, Any]) -> None:
    with pytest.raises(CorruptGridFile, match=r"the file 7 has the '(length|chunkSize)'"):
        shape_of({"_id": 7, **file})


def test_a_file_without_an_id_is_corrupt() -> None:
    assert id_of({"_id": None}) is None
    with pytest.raises(CorruptGridFile, match="without its _id"):
        id_of({"filename": "a"})


def test_a_file_document_has_the_types_of_the_specification() -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    document = file_document(1, Shape(10, 4), now, "a", None)
    assert document == {"_id": 1, "filename": "a", "chunkSize": 4, "length": 10, "uploadDate": now}
    encoded = bson.encode(document)
    assert b"\x12length\x00" in encoded  # 64 bits
    assert b"\x10chunkSize\x00" in encoded  # 32 bits
    assert file_document(1, Shape(10, 4), now, "a", {})["metadata"] == {}


@pytest.mark.parametrize(
    "revision, expected", [(0, (1, 0)), (1, (1, 1)), (2, (1, 2)), (-1, (-1, 0)), (-2, (-1, 1)), (-10, (-1, 9))]
)
def test_revisions_are_counted_from_either_end(revision: int, expected: tuple[int, int]) -> None:
    assert revision_order(revision) == expected


@pytest.mark.parametrize("revision", [None, "1", 1.0, True])
def test_other_revisions_are_refused(revision: object) -> None:
    with pytest.raises(ConfigurationError, match="revision must be a whole number"):
        revision_order(revision)


def test_names_and_metadata_are_checked() -> None:
    assert check_filename("filename", "") == ""
    with pytest.raises(ConfigurationError, match="filename must be a string, not 3"):
        check_filename("filename", 3)
    assert check_metadata(None) is None
    with pytest.raises(ConfigurationError, match="metadata must be a mapping"):
        check_metadata([("a", 1)])
