"""The chunks of a file: how many there must be, which are read at once, what is refused, how one is encoded."""

from __future__ import annotations

from itertools import islice
from typing import Any

import bson
import pytest
from bson.binary import Binary
from bson.codec_options import CodecOptions
from bson.objectid import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from wiredrv.errors import ConfigurationError, CorruptGridFile, InvalidOperation, UnreadableReply
from wiredrv.gridfs import chunks
from wiredrv.gridfs.chunks import ChunkWriter, Shape, check_chunk_size, check_chunks, read_chunk
from wiredrv.types import Document
from wiredrv.wire.batch import Encoded


@pytest.mark.parametrize(
    "length, chunk_size, expected",
    [
        (0, 4, 0),
        (1, 4, 1),
        (3, 4, 1),
        (4, 4, 1),
        (5, 4, 2),
        (8, 4, 2),
        (9, 4, 3),
        (261_120, 261_120, 1),
        (261_121, 261_120, 2),
        (2**40, 1, 2**40),
    ],
)
def test_the_number_of_chunks_follows_from_the_length(length: int, chunk_size: int, expected: int) -> None:
    assert Shape(length, chunk_size).chunks == expected


@given(length=st.integers(1, 10_000), chunk_size=st.integers(1, 300))
def test_the_sizes_of_the_chunks_add_up_to_the_length(length: int, chunk_size: int) -> None:
    shape = Shape(length, chunk_size)
    sizes = [shape.size_of(n) for n in range(shape.chunks)]
    assert sum(sizes) == length
    assert set(sizes[:-1]) <= {chunk_size}
    assert 1 <= sizes[-1] <= chunk_size


@given(length=st.integers(1, 10_000), chunk_size=st.integers(1, 300), data=st.data())
def test_a_position_is_in_the_chunk_that_holds_it(length: int, chunk_size: int, data: st.DataObject) -> None:
    shape = Shape(length, chunk_size)
    position = data.draw(st.integers(0, length - 1))
    n, offset = shape.at(position)
    assert 0 <= n < shape.chunks
    assert 0 <= offset < shape.size_of(n)
    assert n * chunk_size + offset == position


@pytest.mark.parametrize(
    "first, wanted, before, expected",
    [
        (0, 1, 0, 1),  # the first read takes what it needs
        (0, 1000, 0, 1),
        (0, 1001, 0, 2),
        (1, 1, 1, 2),  # what follows the window before takes twice as many
        (3, 1, 2, 4),
        (7, 1, 4, 8),
        (15, 1, 8, 16),
        (50, 1, 0, 1),  # after a seek it begins anew
        (0, 10**9, 0, 17),  # never more than fit into one message...
        (31, 1, 16, 17),
        (95, 1, 16, 5),  # ...and never more than there are
    ],
)
def test_windows_grow_while_a_file_is_read_on(
    monkeypatch: pytest.MonkeyPatch, first: int, wanted: int, before: int, expected: int
) -> None:
    monkeypatch.setattr(chunks, "DOWNLOAD_BATCH", 20_000)
    assert Shape(100_000, 1000).window(first, wanted, before, 100) == expected


@given(length=st.integers(1, 10_000), chunk_size=st.integers(1, 300), batch=st.integers(1, 5000), data=st.data())
def test_windows_cover_every_chunk_once(length: int, chunk_size: int, batch: int, data: st.DataObject) -> None:
    shape = Shape(length, chunk_size)
    first = data.draw(st.integers(0, shape.chunks - 1))
    end = data.draw(st.integers(first + 1, shape.chunks))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "DOWNLOAD_BATCH", batch)
        windows = list(shape.windows(first, end, 12))
        assert shape.is_one_window(first, end, 12) is (len(windows) == 1)
    assert [n for start, count in windows for n in range(start, start + count)] == list(range(first, end))


def test_a_chunk_that_is_larger_than_a_batch_is_a_window_of_its_own() -> None:
    assert list(Shape(10**8, 10**7).windows(0, 10, 12)) == [(n, 1) for n in range(10)]


def test_the_windows_of_a_corrupt_file_take_no_memory() -> None:
    shape = Shape(2**63 - 1, 1)
    assert not shape.is_one_window(0, shape.chunks, 12)
    windows = shape.windows(0, shape.chunks, 12)
    assert list(islice(windows, 2)) == [(0, chunks.MOST_CHUNKS), (chunks.MOST_CHUNKS, chunks.MOST_CHUNKS)]


@pytest.mark.parametrize("value", [1, 4, 261_120, chunks.MAX_CHUNK_SIZE])
def test_a_chunk_has_at_least_a_byte_and_fits_into_a_document(value: int) -> None:
    assert check_chunk_size(value) == value


@pytest.mark.parametrize("value", [0, -1, chunks.MAX_CHUNK_SIZE + 1, 4.0, "4", None, True])
def test_other_sizes_are_refused(value: object) -> None:
    with pytest.raises(ConfigurationError, match="chunk_size_bytes must be a whole number from 1 to"):
        check_chunk_size(value)


SHAPE = Shape(10, 4)

# --- what was found, encoded ------------------------------------------------------------------------------------------


def _read(document: Document, around: int = 0) -> Document:
    data = b"\x05" * around + bson.encode(document) + b"\x05" * around
    encoded = Encoded(bytearray(data), around, len(data) - around)
    return read_chunk(encoded, CodecOptions(document_class=dict))


IDS = st.one_of(st.integers(0, 9), st.text(max_size=5), st.builds(ObjectId), st.dictionaries(st.just("n"), st.text()))


@given(
    document=st.permutations(["_id", "files_id", "n", "data", "data2", "N"]).flatmap(
        lambda names: st.fixed_dictionaries(
            {name: {"n": st.integers(0, 2**31 - 1), "data": st.binary()}.get(name, IDS) for name in names}
        )
    ),
    around=st.integers(0, 30),
)
def test_an_encoded_chunk_is_read_as_it_is_decoded(document: dict[str, Any], around: int) -> None:
    read = _read(document, around)
    assert {name: read[name] for name in ("n", "data")} == {name: document[name] for name in ("n", "data")}
    assert isinstance(read["data"], memoryview)


@pytest.mark.parametrize(
    "document",
    [
        {"n": 1.0, "data": b"aaaa"},
        {"n": bson.Int64(1), "data": b"aaaa"},
        {"n": 1, "data": Binary(b"aaaa", 2)},
        {"n": 1, "data": Binary(b"aaaa", 128)},
        {"n": 1, "data": "aaaa"},
        {"n": "1", "data": None},
        {"data": b"aaaa"},
        {"n": 1},
        {},
        {"n": {"data": b"", "n": 2}, "data": b"x"},
    ],
)
def test_an_unusual_chunk_is_decoded(document: dict[str, Any]) -> None:
    read = _read({"_id": 1, **document})
    assert read == {"_id": 1, **document}


@pytest.mark.parametrize("position", [4, 5, 6, 11, 12])
def test_a_chunk_whose_structure_is_broken_is_refused(position: int) -> None:
    data = bytearray(bson.encode({"n": 1, "data": b"aaaa"}))
    data[position] ^= 0x7F
    with pytest.raises((UnreadableReply, CorruptGridFile)):
        check_chunks(Shape(4, 4), 0, 1, [read_chunk(Encoded(data, 0, len(data)), CodecOptions(document_class=dict))])


def test_views_of_chunks_are_checked_as_their_bytes_are() -> None:
    found = [_read({"n": n, "data": data}) for n, data in enumerate([b"aaaa", b"bbbb", b"cc"])]
    assert check_chunks(SHAPE, 0, 3, found) == [b"aaaa", b"bbbb", b"cc"]
    with pytest.raises(CorruptGridFile, match="chunk 1 has 2 bytes where 4 are expected"):
        check_chunks(SHAPE, 0, 3, [found[0], {**found[2], "n": 1}])


# --- what was found -------------------------------------------------------------------------------------------------


def _chunk(n: Any, data: object) -> dict[str, Any]:
    return {"_id": ObjectId(), "files_id": 1, "n": n, "data": data}


WHOLE = [_chunk(0, b"aaaa"), _chunk(1, b"bbbb"), _chunk(2, b"cc")]


@pytest.mark.parametrize(
    "first, count, found, expected",
    [
        (0, 3, WHOLE, [b"aaaa", b"bbbb", b"cc"]),
        (1, 2, WHOLE[1:], [b"bbbb", b"cc"]),
        (0, 2, WHOLE[:2], [b"aaaa", b"bbbb"]),
        (1, 1, WHOLE[1:2], [b"bbbb"]),
        (0, 1, [_chunk(0.0, b"aaaa")], [b"aaaa"]),  # numbers are compared by value
        (0, 1, [_chunk(bson.Int64(0), Binary(b"aaaa", 2))], [b"aaaa"]),
        (0, 3, [*WHOLE, _chunk(3, b"")], [b"aaaa", b"bbbb", b"cc"]),  # older drivers wrote empty chunks at the end
    ],
)
def test_chunks_that_follow_one_another_are_the_file(
    first: int, count: int, found: list[dict[str, Any]], expected: list[bytes]
) -> None:
    assert check_chunks(SHAPE, first, count, found) == expected


@pytest.mark.parametrize(
    "first, count, found, message",
    [
        (0, 3, [], "chunk 0 is missing"),
        (0, 3, WHOLE[1:], "chunk 0 is missing: the next one is 1"),
        (0, 3, [WHOLE[0], WHOLE[2]], "chunk 1 is missing: the next one is 2"),
        (0, 3, WHOLE[:2], "chunk 2 is missing: the file's length means 3 chunks"),
        (1, 2, WHOLE[2:], "chunk 1 is missing"),
        (0, 3, [WHOLE[0], WHOLE[0], WHOLE[2]], "chunk 1 is missing: the next one is 0"),
        (0, 3, [*WHOLE, _chunk(3, b"x")], "chunk 3 is one too many: the file's length means 3 chunks"),
        (0, 3, [WHOLE[0], _chunk(1, b"bbb"), WHOLE[2]], "chunk 1 has 3 bytes where 4 are expected"),
        (0, 3, [WHOLE[0], _chunk(1, b"bbbbb"), WHOLE[2]], "chunk 1 has 5 bytes where 4 are expected"),
        (0, 3, [*WHOLE[:2], _chunk(2, b"c")], "chunk 2 has 1 bytes where 2 are expected"),
        (0, 3, [*WHOLE[:2], _chunk(2, b"cccc")], "chunk 2 has 4 bytes where 2 are expected"),
        (0, 1, [_chunk(0, "aaaa")], "chunk 0 holds no binary data, but str"),
        (0, 1, [_chunk(0, None)], "chunk 0 holds no binary data, but NoneType"),
        (0, 1, [{"data": b"aaaa"}], "chunk 0 is missing: the next one is None"),
    ],
)
def test_other_chunks_are_a_corrupt_file(first: int, count: int, found: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(CorruptGridFile, match=message):
        check_chunks(SHAPE, first, count, found)


# --- encoding -------------------------------------------------------------------------------------------------------


@given(
    file_id=st.one_of(st.integers(0, 100), st.text(max_size=5), st.binary(max_size=5), st.just({"a": {"b": 1}})),
    parts=st.lists(st.lists(st.binary(max_size=9), min_size=1, max_size=3), max_size=4),
)
def test_chunks_are_encoded_as_bson_encodes_them(file_id: object, parts: list[list[bytes]]) -> None:
    writer = ChunkWriter(bson.encode({"files_id": file_id}))
    for n, pieces in enumerate(parts):
        chunk = writer.encode(*(memoryview(piece) for piece in pieces))
        data = b"".join(pieces)
        assert chunk.raw == bson.encode({"_id": chunk["_id"], "files_id": file_id, "n": n, "data": data})
        assert "_id" in chunk
        assert "other" not in chunk
        assert dict(chunk)["data"] == data
        assert bson.decode(chunk.raw)["files_id"] == bson.decode(bson.encode({"x": file_id}))["x"]


def test_the_number_of_a_chunk_has_32_bits() -> None:
    writer = ChunkWriter(bson.encode({"files_id": 1}))
    writer.n = 2**31 - 1
    assert writer.encode(b"x")["n"] == 2**31 - 1
    with pytest.raises(InvalidOperation, match="too many chunks: choose a larger chunk_size_bytes"):
        writer.encode(b"x")
