"""The batch of a cursor, kept as bytes: cut into its documents once, and decoded in slices as they are read.

Decoding a large batch as a whole fills fresh memory with thousands of documents, most of which are read much later.
Decoded in small slices, a document is often read and dropped before the next slice needs its memory.

Rules kept here:

* The rest of the reply is decoded with the driver's own options, as every reply is: it is the same document with an
  empty batch.
* A batch whose structure is broken is refused as a whole. A document that cannot be decoded is an error of its own, at
  its own place.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, islice
from struct import Struct, error
from typing import Any, NamedTuple

import bson
from bson.codec_options import CodecOptions

from wiredrv.errors import UnreadableReply
from wiredrv.types import Body, PlainDocument, Received
from wiredrv.wire.codec import decode, decode_for_user
from wiredrv.wire.envelope import ARRAY, DOCUMENT, MOST_ELEMENTS, Element, elements
from wiredrv.wire.op_msg import searchable

_BATCH_FIELDS = frozenset({"firstBatch", "nextBatch"})
_EMPTY_ARRAY = b"\x05\x00\x00\x00\x00"
_SMALLEST_DOCUMENT = 5

_INT32 = Struct("<i")


class Encoded(NamedTuple):
    """An encoded document: it goes from ``start`` to ``end`` in ``data``."""

    data: Received
    start: int
    end: int


class Batch:
    """The documents of a batch, encoded. ``len()`` says how many were not taken yet."""

    __slots__ = ("_data", "_ends", "_next", "_options", "_starts")

    def __init__(self, data: Received, starts: Sequence[int], ends: Sequence[int], options: CodecOptions[Any]) -> None:
        self._data = data
        self._starts = starts
        self._ends = ends
        self._options = options
        self._next = 0

    def __len__(self) -> int:
        return len(self._starts) - self._next

    def take(self, most: int) -> list[Any]:
        """Decode the next documents: at most so many, and only those before one that cannot be decoded.

        :raises UnreadableReply: the very next one cannot be decoded.
        """
        try:
            # The parts are freed before: with thousands of them in memory, decoding takes half as long again.
            found = bson.decode_all(b"".join(self._parts(most)), self._options)
        except Exception:  # also what a type decoder of the user's raises
            found = self._one_by_one(self._parts(most))
        self._next += len(found)
        return found

    def take_raw(self) -> bytes:
        """The bytes of all documents that were not taken yet, one after the other."""
        parts = self._parts(len(self))
        self._next += len(parts)
        return b"".join(parts)

    def take_encoded(self) -> list[Encoded]:
        """All documents that were not taken yet, where they are: nothing is copied."""
        span = slice(self._next, None)
        self._next = len(self._starts)
        data = self._data
        return [Encoded(data, start, end) for start, end in zip(self._starts[span], self._ends[span], strict=True)]

    def next_id(self) -> object:
        """The ``_id`` of the next document, as far as it can be read: to say which one cannot be decoded."""
        return decode(self.id_document(0))["_id"]

    def id_document(self, index: int) -> bytes:
        """The document ``{"_id": ...}`` with the ``_id`` of a document, encoded as it is there.

        :param index: which one of those that were not taken yet; -1 is the last one.
        :raises UnreadableReply: it has none that can be read.
        """
        at = self._next + index if index >= 0 else index
        return id_document(bytes(memoryview(self._data)[self._starts[at] : self._ends[at]]))

    @property
    def size(self) -> int:
        """How many bytes the documents have that were not taken yet."""
        return sum(self._ends[self._next :]) - sum(self._starts[self._next :])

    def skip(self, documents: int) -> None:
        """Leave out the next documents."""
        self._next = min(self._next + documents, len(self._starts))

    def without_ids(self) -> Batch:
        """The same documents, of those that were not taken yet, without their ``_id``."""
        parts = [without_id(bytes(part)) for part in self._parts(len(self))]
        ends = list(accumulate(map(len, parts)))
        return Batch(b"".join(parts), [0, *ends[:-1]], ends, self._options)

    def _parts(self, most: int) -> list[memoryview]:
        data, span = memoryview(self._data), slice(self._next, self._next + most)
        return [data[start:end] for start, end in zip(self._starts[span], self._ends[span], strict=True)]

    def _one_by_one(self, parts: Sequence[memoryview]) -> list[Any]:
        found: list[Any] = []
        try:
            for part in parts:
                found.append(decode_for_user(part, self._options))  # what came before is kept
        except UnreadableReply:
            if not found:
                raise
        return found


def id_document(document: bytes) -> bytes:
    """The document ``{"_id": ...}`` with the ``_id`` of an encoded document.

    :raises UnreadableReply: it has none that can be read.
    """
    element = _id_in(document)
    if element is None:
        raise UnreadableReply("the document has no '_id' that can be read")
    size = element.end - element.start + 5
    return _INT32.pack(size) + document[element.start : element.end] + b"\x00"


def without_id(document: bytes) -> bytes:
    """An encoded document without its ``_id``."""
    element = _id_in(document)
    if element is None:
        return document
    size = len(document) - (element.end - element.start)
    return _INT32.pack(size) + document[4 : element.start] + document[element.end :]


def _id_in(document: bytes) -> Element | None:
    for element in islice(elements(document, 0, len(document)), MOST_ELEMENTS):
        if element.name == "_id":
            return element
    return None


def cut(data: Body, options: CodecOptions[Any]) -> PlainDocument | None:
    """Decode a reply except for the documents of its batch, which becomes a :class:`Batch`.

    :param data: the reply, encoded.
    :param options: how its documents will be decoded.
    :returns: the reply; None if it contains no batch.
    :raises UnreadableReply: it cannot be decoded, or contains something other than documents in its batch.
    """
    body, begin = searchable(data)
    cursor = _find(body, begin, len(body), frozenset({"cursor"}), DOCUMENT)
    found = cursor and _find(body, cursor.value, cursor.end, _BATCH_FIELDS, ARRAY)
    if cursor is None or found is None:
        return None
    shorter = found.end - found.value - len(_EMPTY_ARRAY)
    envelope = bytearray(body[begin : found.value])
    envelope += _EMPTY_ARRAY
    envelope += body[found.end :]
    _INT32.pack_into(envelope, 0, len(envelope))
    _INT32.pack_into(envelope, cursor.value - begin, cursor.end - cursor.value - shorter)
    reply = decode(bytes(envelope))
    reply["cursor"][found.name] = Batch(body, *_bounds(body, found), options)
    return reply


def _find(data: Received, start: int, end: int, names: frozenset[str], kind: int) -> Element | None:
    for element in islice(elements(data, start, end), MOST_ELEMENTS):
        if element.name in names and element.kind == kind:
            return element
    return None


def _bounds(data: Received, array: Element) -> tuple[list[int], list[int]]:
    """Where each document of an array begins and ends.

    :raises UnreadableReply: the array is broken, or contains something other than documents.
    """
    starts: list[int] = []
    ends: list[int] = []
    size_at = _INT32.unpack_from
    position, last = array.value + 4, array.end - 1
    while position < last:
        start = data.find(b"\x00", position + 1, last) + 1
        try:
            end = start + size_at(data, start)[0]
        except error:
            end = 0
        if not start or end - start < _SMALLEST_DOCUMENT or end > last or data[position] != DOCUMENT:
            raise UnreadableReply(f"its {array.name} contains something other than documents")
        starts.append(start)
        ends.append(end)
        position = end
    if position != last or data[last]:
        raise UnreadableReply(f"its {array.name} does not end where it should")
    return starts, ends
