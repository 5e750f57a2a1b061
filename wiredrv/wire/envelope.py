"""The parts that can be read of a reply that cannot be decoded: enough to close its cursor, and to raise a refusal.

A document whose structure is intact, but with values that Python cannot represent, is decoded with substitutes. From
one whose structure is broken, the cursor's id and namespace are extracted, element by element, up to the first invalid
byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from struct import Struct

import bson
from bson.codec_options import CodecOptions, DatetimeConversion

from wiredrv.types import PlainDocument

#: Substitutes for what Python cannot represent: U+FFFD for bytes that are not UTF-8, DatetimeMS for far dates.
TOLERANT: CodecOptions[PlainDocument] = CodecOptions(
    unicode_decode_error_handler="replace", datetime_conversion=DatetimeConversion.DATETIME_AUTO
)

_FIELDS = frozenset({"cursor"})
_CURSOR_FIELDS = frozenset({"id", "ns"})

#: How many elements are read: no reply has as many, and random bytes may have millions.
_MOST_ELEMENTS = 200

_INT32 = Struct("<i")
_DOCUMENT = 0x03
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


def decode_tolerantly(data: bytes) -> PlainDocument | None:
    """Decode a document with substitutes for what Python cannot represent; None if its structure is broken."""
    try:
        return bson.decode(data, TOLERANT)
    except Exception:
        return None


def pick_envelope(data: bytes) -> PlainDocument:
    """The cursor of a reply whose structure is broken, as ``{"cursor": {"id": ..., "ns": ...}}``: as far as it can be
    read.
    """
    return _pick(data, _FIELDS)


def _pick(data: bytes, names: frozenset[str]) -> PlainDocument:
    found: PlainDocument = {}
    for name, kind, element in islice(_elements(data), _MOST_ELEMENTS):
        if name not in names:
            continue
        if name == "cursor" and kind == _DOCUMENT:
            found[name] = _pick(element[len(name) + 2 :], _CURSOR_FIELDS)
            continue
        value = decode_tolerantly(_INT32.pack(len(element) + 5) + element + b"\x00")
        if isinstance(value, Mapping):
            found.update(value)
    return found


def _elements(data: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Name, type and bytes of each element, up to the first invalid one."""
    position = 4
    while position < len(data) and data[position] != 0:
        start = position
        kind = data[start]
        terminator = data.find(b"\x00", start + 1)
        if terminator < 0:
            return
        size = _size(data, terminator + 1, kind)
        position = terminator + 1 + size
        if size < 0 or position > len(data):
            return
        yield data[start + 1 : terminator].decode("utf-8", "replace"), kind, data[start:position]


def _size(data: bytes, start: int, kind: int) -> int:
    """How many bytes a value takes; negative if that is not known."""
    if kind in _FIXED:
        return _FIXED[kind]
    if kind == 0x0B:  # a regular expression: two strings that end in NUL
        pattern = data.find(b"\x00", start)
        options = data.find(b"\x00", pattern + 1) if pattern >= 0 else -1
        return options + 1 - start if options >= 0 else -1
    if kind not in _COUNTED or start + 4 > len(data):
        return -1
    counted: int = _INT32.unpack_from(data, start)[0]
    return counted + _COUNTED[kind] if counted >= 0 else -1
