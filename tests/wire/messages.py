"""Messages written out by hand, from the layout in the OP_MSG specification, not with the code under test."""

from __future__ import annotations

import struct

import bson

OP_MSG = 2013


def body_section(document: dict[str, object]) -> bytes:
    """A section of kind 0."""
    return b"\x00" + bson.encode(document)


def sequence_section(identifier: bytes, documents: list[dict[str, object]]) -> bytes:
    """A section of kind 1."""
    payload = b"".join(bson.encode(document) for document in documents)
    return b"\x01" + struct.pack("<i", 4 + len(identifier) + 1 + len(payload)) + identifier + b"\x00" + payload


def message(
    *sections: bytes,
    request_id: int = 7,
    response_to: int = 3,
    flags: int = 0,
    op_code: int = OP_MSG,
    length: int | None = None,
    tail: bytes = b"",
) -> bytes:
    """A whole message; ``length`` overrides the one that the header declares."""
    payload = struct.pack("<I", flags) + b"".join(sections) + tail
    actual = 16 + len(payload)
    return struct.pack("<iiii", actual if length is None else length, request_id, response_to, op_code) + payload
