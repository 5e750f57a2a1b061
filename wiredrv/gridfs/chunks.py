"""The chunks of a file: how many there must be, how long each must be, which to read at once; how one is encoded, and
how it is read without being copied. Pure.

GridFS specification, "Terms", "File Upload" and "File Download".
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from bson.codec_options import CodecOptions
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument

from wiredrv.errors import ConfigurationError, CorruptGridFile, InvalidOperation
from wiredrv.types import Document, PlainDocument
from wiredrv.wire.batch import Encoded
from wiredrv.wire.codec import decode_for_user
from wiredrv.wire.envelope import BINARY, INT32, elements

#: Bytes of a chunk unless another size is chosen: 255 KiB, as the specification has it.
DEFAULT_CHUNK_SIZE = 255 * 1024
#: The largest chunk: its document may have 16 MiB, of which the other fields, the file's id among them, take some.
MAX_CHUNK_SIZE = 16 * 1024 * 1024 - 16 * 1024

# Measured on uploads and downloads of 50 MB: messages of 16 MB took two to three times the processor time of these.
#: Bytes of chunks that one insert carries at most.
UPLOAD_BATCH = 8_000_000
#: Bytes of chunks that one find asks for at most. They fit into a single reply, so that no cursor stays open.
DOWNLOAD_BATCH = 2_000_000
#: How many chunks one insert or one find has at most, however small they are.
MOST_CHUNKS = 10_000

#: The data of a chunk: a view where the reply that it came in was large.
Chunk: TypeAlias = bytes | memoryview

_INT32 = struct.Struct("<i")
#: What is before the bytes of a binary value: their number, and its subtype.
_BINARY_HEAD = struct.Struct("<iB")

#: About what a chunk's document has besides its data and the file's id.
_OVERHEAD = 64
_MAX_N = 2**31 - 1


def check_chunk_size(value: object) -> int:
    """The bytes of a chunk, as the user gave them.

    :raises ConfigurationError: it is not a whole number, or a document could not hold such a chunk.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_CHUNK_SIZE:
        raise ConfigurationError(f"chunk_size_bytes must be a whole number from 1 to {MAX_CHUNK_SIZE}, not {value!r}")
    return value


@dataclass(frozen=True, slots=True)
class Shape:
    """The chunks that a file must have, which follow from its length and the size of its chunks."""

    length: int
    chunk_size: int

    @property
    def chunks(self) -> int:
        """How many there are: none for an empty file."""
        return -(-self.length // self.chunk_size) if self.length else 0

    def size_of(self, n: int) -> int:
        """How many bytes chunk ``n`` has: all but the last one have the same."""
        return min(self.chunk_size, self.length - n * self.chunk_size)

    def at(self, position: int) -> tuple[int, int]:
        """The chunk that holds the byte at ``position``, and where in the chunk that byte is."""
        return divmod(position, self.chunk_size)

    def window(self, first: int, wanted: int, before: int, id_size: int) -> int:
        """How many chunks to read at once from ``first`` on.

        :param first: the number of the next chunk.
        :param wanted: how many bytes the caller needs from there on.
        :param before: how many chunks the read before this one had, if it ended where this one begins; else 0. A
            file that is read from one end to the other is read in windows that grow.
        :param id_size: bytes of the file's id in each chunk.
        """
        needed = max(-(-wanted // self.chunk_size), 2 * before, 1)
        return min(needed, self._most(id_size), self.chunks - first)

    def is_one_window(self, first: int, end: int, id_size: int) -> bool:
        """Whether the chunks from ``first`` up to ``end`` are read at once."""
        return end - first <= self._most(id_size)

    def windows(self, first: int, end: int, id_size: int) -> Iterator[tuple[int, int]]:
        """The windows from chunk ``first`` up to chunk ``end``: the first chunk of each, and how many it has.

        They are counted as they are read: the length of a corrupt file may be any number.
        """
        most = self._most(id_size)
        while first < end:
            yield first, min(most, end - first)
            first += most

    def _most(self, id_size: int) -> int:
        return max(min(DOWNLOAD_BATCH // (self.chunk_size + _OVERHEAD + id_size), MOST_CHUNKS), 1)


def read_chunk(chunk: Encoded, options: CodecOptions[PlainDocument]) -> Document:
    """The fields of an encoded chunk that a download needs, with a view of its data; decoded if it is an unusual one.

    :raises UnreadableReply: it cannot be decoded.
    """
    data = chunk.data
    fields: PlainDocument = {}
    end = chunk.start + 4
    for element in elements(data, chunk.start, chunk.end):
        end = element.end
        if element.name == "n" and element.kind == INT32:
            (fields["n"],) = _INT32.unpack_from(data, element.value)
        elif element.name == "data" and element.kind == BINARY and not data[element.value + 4]:
            fields["data"] = memoryview(data)[element.value + _BINARY_HEAD.size : end]
        elif element.name in ("n", "data"):
            break
    if len(fields) == 2 and end == chunk.end - 1:
        return fields
    return decode_for_user(memoryview(data)[chunk.start : chunk.end], options)


def check_chunks(shape: Shape, first: int, count: int, found: Iterable[Document]) -> list[Chunk]:
    """The data of ``count`` chunks from ``first`` on, if these are what was found, in order, and nothing else.

    :param found: chunks, sorted by their numbers. After the last chunk of the file, an empty one is ignored: older
        drivers wrote some.
    :raises CorruptGridFile: a chunk is missing, has the wrong size, or is more than the file has.
    """
    expected = first
    chunks: list[Chunk] = []
    for document in found:
        n, data = document.get("n"), document.get("data")
        if expected == first + count:
            if data:
                raise CorruptGridFile(f"chunk {n!r} is one too many: the file's length means {shape.chunks} chunks")
            continue
        if n != expected:
            raise CorruptGridFile(f"chunk {expected} is missing: the next one is {n!r}")
        if not isinstance(data, (bytes, memoryview)):
            raise CorruptGridFile(f"chunk {n} holds no binary data, but {type(data).__name__}")
        if len(data) != shape.size_of(expected):
            raise CorruptGridFile(f"chunk {n} has {len(data)} bytes where {shape.size_of(expected)} are expected")
        # A binary value of another subtype than 0 is an object of a class of its own.
        chunks.append(data if type(data) in (bytes, memoryview) else bytes(data))
        expected += 1
    if expected != first + count:
        raise CorruptGridFile(f"chunk {expected} is missing: the file's length means {shape.chunks} chunks")
    return chunks


class ChunkDocument(RawBSONDocument):
    """An encoded chunk whose ``_id`` is known without decoding the chunk."""

    __slots__ = ("_id",)

    def __init__(self, raw: bytes, chunk_id: ObjectId) -> None:
        super().__init__(raw)
        self._id = chunk_id

    def __contains__(self, name: object) -> bool:
        return name == "_id" or super().__contains__(name)

    def __getitem__(self, name: str) -> Any:
        return self._id if name == "_id" else super().__getitem__(name)


class ChunkWriter:
    """Encodes the chunks of one file, in order.

    Their bytes are put together here, and not by the BSON encoder, so that the data of a file is copied once.

    :param encoded_id: the file's id, as the value of ``files_id`` in an encoded document with this field alone.
    """

    __slots__ = ("_after_id", "n")

    def __init__(self, encoded_id: bytes) -> None:
        #: ``files_id`` as an element, and the beginning of the next one.
        self._after_id = encoded_id[4:-1] + b"\x10n\x00"
        #: The number of the next chunk.
        self.n = 0

    def encode(self, *parts: bytes | bytearray | memoryview) -> ChunkDocument:
        """The next chunk.

        :param parts: its data, in pieces.
        :raises InvalidOperation: the number would not fit into 32 bits.
        """
        if self.n > _MAX_N:
            raise InvalidOperation("the file has too many chunks: choose a larger chunk_size_bytes")
        chunk_id = ObjectId()
        size = sum(map(len, parts))
        before = b"\x07_id\x00" + chunk_id.binary + self._after_id
        number_and_data = struct.pack("<i6sib", self.n, b"\x05data\x00", size, 0)
        total = 4 + len(before) + len(number_and_data) + size + 1
        self.n += 1
        return ChunkDocument(b"".join((struct.pack("<i", total), before, number_and_data, *parts, b"\x00")), chunk_id)
