"""The parts that can be read of a reply that cannot be decoded: enough to close its cursor, and to raise a refusal.

A document whose structure is intact, but with values that Python cannot represent, is decoded with substitutes. From
one whose structure is broken, the cursor's id and namespace are extracted, element by element, up to the first invalid
byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from struct import Struct
from typing import NamedTuple

import bson
from bson.codec_options import CodecOptions, DatetimeConversion

from wiredrv.types import Body, PlainDocument, Received

#: Substitutes for what Python cannot represent: U+FFFD for bytes that are not UTF-8, DatetimeMS for far dates.
TOLERANT: CodecOptions[PlainDocument] = CodecOptions(
    unicode_decode_error_handler="replace", datetime_conversion=DatetimeConversion.DATETIME_AUTO
)

_FIELDS = frozenset({"cursor"})
_CURSOR_FIELDS = frozenset({"id", "ns"})

#: How many elements are read: no reply has as many, and random bytes may have millions.
MOST_ELEMENTS = 200

_INT32 = Struct("<i")
DOCUMENT = 0x03
ARRAY = 0x04
BINARY = 0x05
INT32 = 0x10
#: By the byte of an element's type: how many bytes its value takes,
_FIXED = {
    0x01: 8,
    0x06: 0,
    0x07: 12,
    0x08: 1,
    0x09: 8,
    0x0A: 0,
    0x10: 4,
    0x11: 8,
    0x12: 8,
    0x13: 16,
    0x7F: 0,
    0xFF: 0,
}
#: or how many besides those that the number at its beginning counts.
_COUNTED = {0x02: 4, 0x03: 0, 0x04: 0, 0x05: 5, 0x0C: 16, 0x0D: 4, 0x0E: 4, 0x0F: 0}


def decode_tolerantly(data: Body) -> PlainDocument | None:
    """Decode a document with substitutes for what Python cannot represent; None if its structure is broken."""
    try:
        return bson.decode(data, TOLERANT)
    except Exception:
        return None


def pick_envelope(data: Body) -> PlainDocument:
    """The cursor of a reply whose structure is broken, as ``{"cursor": {"id": ..., "ns": ...}}``: as far as it can be
    read.
    """
    return _pick(bytes(data), _FIELDS)


def _pick(data: bytes, names: frozenset[str]) -> PlainDocument:
    found: PlainDocument = {}
    for element in islice(elements(data, 0, len(data)), MOST_ELEMENTS):
        name = element.name
        if name not in names:
            continue
        if name == "cursor" and element.kind == DOCUMENT:
            found[name] = _pick(data[element.value : element.end], _CURSOR_FIELDS)
            continue
        size = element.end - element.start + 5
        value = decode_tolerantly(_INT32.pack(size) + data[element.start : element.end] + b"\x00")
        if isinstance(value, Mapping):
            found.update(value)
    return found


class Element(NamedTuple):
    """Where an element of a document is: ``start`` of its type's byte, ``value``, and ``end`` are offsets."""

    name: str
    kind: int
    start: int
    value: int
    end: int


def elements(data: Received, start: int, end: int) -> Iterator[Element]:
    """The elements of the document from ``start`` to ``end``, up to the first invalid one."""
    position = start + 4
    while position < end and data[position] != 0:
        begin = position
        kind = data[begin]
        terminator = data.find(b"\x00", begin + 1, end)
        if terminator < 0:
            return
        size = _size(data, terminator + 1, end, kind)
        position = terminator + 1 + size
        if size < 0 or position > end:
            return
        name = data[begin + 1 : terminator].decode("utf-8", "replace")
        yield Element(name, kind, begin, terminator + 1, position)


def _size(data: Received, start: int, end: int, kind: int) -> int:
    """How many bytes a value takes; negative if that is not known."""
    if kind in _FIXED:
        return _FIXED[kind]
    if kind == 0x0B:  # a regular expression: two strings that end in NUL
        pattern = data.find(b"\x00", start, end)
        options = data.find(b"\x00", pattern + 1, end) if pattern >= 0 else -1
        return options + 1 - start if options >= 0 else -1
    if kind not in _COUNTED or start + 4 > end:
        return -1
    counted: int = _INT32.unpack_from(data, start)[0]
    return counted + _COUNTED[kind] if counted >= 0 else -1
