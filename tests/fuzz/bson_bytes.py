"""Wrong BSON: walks through an encoded document and damages single elements in their bytes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct
from typing import NamedTuple

from tests.fuzz.chance import Chance

_INT32 = Struct("<i")
_INT64 = Struct("<q")

_DOCUMENTS = frozenset({0x03, 0x04})
_WITH_LENGTH = frozenset({0x02, 0x0D, 0x0E})  # string, code, symbol
_FIXED = {0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16, 0xFF: 0, 0x7F: 0}


class Element(NamedTuple):
    """The position of an element: the byte of its type, its name, its value from ``start`` to ``end``."""

    at: int
    kind: int
    name: int
    start: int
    end: int


def elements(data: bytes | bytearray) -> Iterator[Element]:
    """All elements of a valid document, including sub-documents and arrays, except those of unusual types."""
    stack = [(4, len(data) - 1)]
    while stack:
        at, end = stack.pop()
        while at < end:
            kind = data[at]
            start = data.index(0, at + 1) + 1
            size = _size(data, kind, start)
            yield Element(at, kind, at + 1, start, start + size)
            if kind in _DOCUMENTS and len(stack) < 50:
                stack.append((start + 4, start + size - 1))
            at = start + size


def _size(data: bytes | bytearray, kind: int, start: int) -> int:
    if kind in _FIXED:
        return _FIXED[kind]
    (declared,) = _INT32.unpack_from(data, start) if kind != 0x0B else (0,)
    if kind in _DOCUMENTS or kind == 0x0F:
        return int(declared)
    if kind in _WITH_LENGTH:
        return 4 + int(declared)
    if kind == 0x05:
        return 5 + int(declared)
    if kind == 0x0C:
        return 4 + int(declared) + 12
    # A regular expression: two C strings.
    return data.index(0, data.index(0, start) + 1) + 1 - start


def broken(document: bytes, chance: Chance) -> bytes:
    """The document with one to three wrong bytes, lengths, types or names; its own length usually stays correct."""
    data = bytearray(document)
    for _ in range(chance.choice((1, 1, 2, 3))):
        found = list(elements(document))
        element = chance.choice(found) if found else None
        if element is None or element.end > len(data) - 1 or chance.maybe(0.2):
            _anywhere(data, chance)
        else:
            chance.choice(_DAMAGES)(data, element, chance)
    if len(data) >= 4 and chance.maybe(0.9):
        data[:4] = _INT32.pack(len(data))
    return bytes(data)


def _anywhere(data: bytearray, chance: Chance) -> None:
    at = chance.randrange(4, max(len(data), 5))
    kind = chance.randrange(4)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << chance.randrange(8)
    elif kind == 1 and at < len(data):
        data[at] = chance.randrange(256)
    elif kind == 2:
        data[at:at] = chance.randbytes(chance.randint(1, 4))
    else:
        del data[at : at + chance.randint(1, 4)]


def _type(data: bytearray, element: Element, chance: Chance) -> None:
    data[element.at] = chance.choice((*_FIXED, *_WITH_LENGTH, *_DOCUMENTS, 0x05, 0x0B, 0x0C, 0x0F, 0x00, 0x20, 0x80))


def _length(data: bytearray, element: Element, chance: Chance) -> None:
    if element.end - element.start >= 4:
        (length,) = _INT32.unpack_from(data, element.start)
        lie = chance.choice((0, 1, -1, 4, 5, 2**31 - 1, -(2**31), length + 1, length - 1, length + 100))
        _INT32.pack_into(data, element.start, max(min(lie, 2**31 - 1), -(2**31)))


def _text(data: bytearray, element: Element, chance: Chance) -> None:
    """Not UTF-8, or a NUL where none is allowed."""
    first = element.start + 4 if element.kind in _WITH_LENGTH else element.name
    last = element.end - 1 if element.kind in _WITH_LENGTH else element.start - 1
    if last > first:
        data[chance.randrange(first, last)] = chance.choice((0xFF, 0xC3, 0x80, 0x00, 0xED))


def _number(data: bytearray, element: Element, chance: Chance) -> None:
    size = element.end - element.start
    pattern = chance.choice((b"\x00", b"\xff", b"\x7f", b"\x80"))
    if 0 < size <= 16:
        data[element.start : element.end] = pattern * (size - 1) + chance.choice((b"\x7f", b"\x80", b"\x00", b"\xff"))


def _date(data: bytearray, element: Element, chance: Chance) -> None:
    """A date that no datetime can hold."""
    if element.end - element.start == 8:
        data[element.at] = 0x09
        milliseconds = chance.choice((2**63 - 1, -(2**63), 253_402_300_800_000, -62_135_596_800_001))
        _INT64.pack_into(data, element.start, milliseconds)


def _terminator(data: bytearray, element: Element, chance: Chance) -> None:
    data[element.end - 1] = chance.choice((1, 0xFF))


_DAMAGES: tuple[Callable[[bytearray, Element, Chance], None], ...] = (
    _type,
    _length,
    _text,
    _number,
    _date,
    _terminator,
)
