"""OP_MSG, whole: sections of kind 0 and 1, ``checksumPresent``, ``moreToCome``, ``exhaustAllowed``.

Specification: source/message/OP_MSG.md. Requests are built without a checksum, as the specification lets drivers do;
on replies a checksum is verified. Unknown required flag bits are refused, unknown optional ones ignored.

A request with large documents is built as a list of buffers: the documents are sent as they were encoded, without being
copied into one message first. The body of a large reply is a view of its message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from struct import Struct
from typing import NamedTuple

from wiredrv.errors import ProtocolError
from wiredrv.types import Body, Buffers, Received
from wiredrv.wire.checksum import crc32c

OP_COMPRESSED = 2012
OP_MSG = 2013

HEADER_SIZE = 16
#: What a server accepts before its handshake said otherwise.
DEFAULT_MAX_MESSAGE_SIZE = 48_000_000

CHECKSUM_PRESENT = 1 << 0
MORE_TO_COME = 1 << 1
EXHAUST_ALLOWED = 1 << 16
_KNOWN_REQUIRED = CHECKSUM_PRESENT | MORE_TO_COME
_REQUIRED_BITS = 0xFFFF

_HEADER = Struct("<iiii")
_PREFIX = Struct("<iiiiIB")  # header, flag bits, kind of the first section
_INT32 = Struct("<i")
_UINT32 = Struct("<I")
_SMALLEST_DOCUMENT = 5
#: The mean size from which buffers are sent one by one: below it, copying them costs less. A message of the usual
#: largest size has no more than 732 such buffers, and a system call takes 1,024.
_WORTH_SENDING_APART = 65_536
#: The length from which a received message is not copied: it is received into memory of its size, and its body is a
#: view. Below it, copying costs less.
LARGE_MESSAGE = 65_536

_request_ids = count(1)


class Header(NamedTuple):
    """The first sixteen bytes of every message."""

    length: int
    request_id: int
    response_to: int
    op_code: int


@dataclass(frozen=True, slots=True)
class DocumentSequence:
    """A section of kind 1: documents that belong to the field ``identifier`` of the command, already encoded."""

    identifier: str
    documents: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it was received. ``body`` is the command or reply, still encoded."""

    request_id: int
    response_to: int
    flags: int
    body: Body
    sequences: tuple[DocumentSequence, ...] = ()

    @property
    def more_to_come(self) -> bool:
        """Whether the peer sends further messages (or, on a request, expects no reply)."""
        return bool(self.flags & MORE_TO_COME)


def next_request_id() -> int:
    """A request id: positive, 31 bits, unique within the process until it wraps."""
    return next(_request_ids) & 0x7FFFFFFF or next_request_id()


def encode_message(
    body: bytes,
    request_id: int,
    sequences: Sequence[DocumentSequence] = (),
    flags: int = 0,
    response_to: int = 0,
) -> bytes:
    """Build a message from an encoded command.

    :param body: the command, already BSON.
    :param request_id: the number that the reply has in ``responseTo``.
    :param sequences: document sequences besides the body.
    :param flags: ``MORE_TO_COME`` for an unacknowledged request, ``EXHAUST_ALLOWED`` where the peer may stream.
    """
    if not sequences:
        return _PREFIX.pack(21 + len(body), request_id, response_to, OP_MSG, flags, 0) + body
    buffers = encode_request(body, request_id, sequences, flags, response_to)
    return buffers if isinstance(buffers, bytes) else b"".join(buffers)


def encode_request(
    body: bytes, request_id: int, sequences: Sequence[DocumentSequence], flags: int = 0, response_to: int = 0
) -> Buffers:
    """Like :func:`encode_message`, but as a list of buffers if the documents are large: these are not copied."""
    parts = [b"", body]
    length = _PREFIX.size + len(body)
    for sequence in sequences:
        name = sequence.identifier.encode() + b"\x00"
        size = 4 + len(name) + sum(map(len, sequence.documents))
        parts.append(b"\x01" + _INT32.pack(size) + name)
        parts += sequence.documents
        length += 1 + size
    parts[0] = _PREFIX.pack(length, request_id, response_to, OP_MSG, flags, 0)
    return parts if length >= len(parts) * _WORTH_SENDING_APART else b"".join(parts)


def read_header(data: bytes | bytearray | memoryview, max_message_size: int) -> Header:
    """Read and check a header before anything else of the message.

    :raises ProtocolError: the declared length is under 16 or over ``max_message_size``.
    """
    header = Header(*_HEADER.unpack_from(data))
    if bytes(data[:7]) == b"HTTP/1.":
        raise ProtocolError("an HTTP server answered, not a MongoDB server: check the host and the port")
    if not HEADER_SIZE <= header.length <= max_message_size:
        raise ProtocolError(
            f"the peer declared a message of {header.length} bytes; it must be from {HEADER_SIZE} to {max_message_size}"
        )
    return header


def decode_message(data: Received) -> Message:
    """Parse a whole message.

    :raises ProtocolError: it is not an OP_MSG, is truncated, or its checksum is wrong.
    """
    if len(data) < HEADER_SIZE + 5:
        raise ProtocolError(f"a message of {len(data)} bytes is too short for OP_MSG")
    length, request_id, response_to, op_code, flags, kind = _PREFIX.unpack_from(data)
    if op_code != OP_MSG:
        raise ProtocolError(f"expected OP_MSG ({OP_MSG}), got op code {op_code}")
    if length != len(data):
        raise ProtocolError(f"the header declares {length} bytes, the message has {len(data)}")
    if flags == 0 and kind == 0 and len(data) > 25:
        # The shape of nearly every reply: one body, nothing else.
        (body_length,) = _INT32.unpack_from(data, 21)
        if body_length == length - 21:
            body = data[21:] if length < LARGE_MESSAGE else memoryview(data)[21:]
            return Message(request_id, response_to, 0, body)
    data = bytes(data)
    if flags & _REQUIRED_BITS & ~_KNOWN_REQUIRED:
        raise ProtocolError(f"the peer set flag bits that this driver does not know: {flags:#x}")
    end = length
    if flags & CHECKSUM_PRESENT:
        end -= 4
        _verify_checksum(data, end)
    body, sequences = _sections(data, end)
    return Message(request_id, response_to, flags, body, sequences)


def searchable(body: Body) -> tuple[Received, int]:
    """Bytes that can be searched, which a view cannot, and where the body begins there; it goes to their end.

    :param body: that of a message. If it is a view, it must go to the end of what it is a view of.
    """
    if isinstance(body, memoryview):
        whole = body.obj
        assert isinstance(whole, (bytes, bytearray))
        return whole, len(whole) - len(body)
    return body, 0


def _verify_checksum(data: bytes, end: int) -> None:
    if end < HEADER_SIZE + 4:
        raise ProtocolError("the message is too short for the checksum that it announces")
    (declared,) = _UINT32.unpack_from(data, end)
    actual = crc32c(memoryview(data)[:end])
    if declared != actual:
        raise ProtocolError(f"the message's checksum is {actual:#010x}, it declares {declared:#010x}")


def _sections(data: bytes, end: int) -> tuple[bytes, tuple[DocumentSequence, ...]]:
    body: bytes | None = None
    sequences: list[DocumentSequence] = []
    position = HEADER_SIZE + 4
    while position < end:
        kind = data[position]
        start = position + 1
        size = _declared_size(data, start, end)
        if kind == 0:
            if body is not None:
                raise ProtocolError("the message holds two sections of kind 0; exactly one is allowed")
            if size < _SMALLEST_DOCUMENT:
                raise ProtocolError(f"a body of {size} bytes is too short for a document")
            body = data[start : start + size]
        elif kind == 1:
            sequences.append(_sequence(data, start, start + size))
        else:
            raise ProtocolError(f"the message holds a section of the unknown kind {kind}")
        position = start + size
    if body is None:
        raise ProtocolError("the message holds no section of kind 0; exactly one is required")
    return body, tuple(sequences)


def _declared_size(data: bytes, start: int, end: int) -> int:
    """The size at ``start``, which must fit before ``end``."""
    if start + 4 > end:
        raise ProtocolError("a section is cut short")
    size: int = _INT32.unpack_from(data, start)[0]
    if size < 4 or start + size > end:
        raise ProtocolError(f"a section declares {size} bytes where {end - start} are left")
    return size


def _sequence(data: bytes, start: int, end: int) -> DocumentSequence:
    terminator = data.find(b"\x00", start + 4, end)
    if terminator < 0:
        raise ProtocolError("a document sequence's identifier has no end")
    try:
        identifier = data[start + 4 : terminator].decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("a document sequence's identifier is not UTF-8") from error
    documents: list[bytes] = []
    position = terminator + 1
    while position < end:
        size = _declared_size(data, position, end)
        if size < _SMALLEST_DOCUMENT:
            raise ProtocolError(f"a document of {size} bytes is too short")
        documents.append(data[position : position + size])
        position += size
    return DocumentSequence(identifier, tuple(documents))
