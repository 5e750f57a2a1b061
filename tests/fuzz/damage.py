"""Damage: what happens to a correct reply on its way to the client. Pure.

Four levels: the values of the document, its BSON, the message around it, the stream that carries it. In addition, the
server's own refusals, which are correct replies of another kind.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from struct import Struct
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion

from tests.fuzz import values
from tests.fuzz.bson_bytes import broken
from tests.fuzz.chance import Chance
from wiredrv.wire.checksum import crc32c
from wiredrv.wire.compression import Compressor, available
from wiredrv.wire.op_msg import CHECKSUM_PRESENT, DocumentSequence, encode_message

_HEADER = Struct("<iiii")
_ENVELOPE = Struct("<iiiiiiB")
_INT32 = Struct("<i")
_OP_COMPRESSED = 2012
_OP_MSG = 2013
_OP_CODES = (0, -1, 1, 2004, 2010, 2011, 2012, 2013, 2014, 2**31 - 1)
_BOMB = 20_000_000
#: A client may understand a reply although a date or a string in it is wrong.
_TOLERANT = CodecOptions[dict[str, Any]](
    datetime_conversion=DatetimeConversion.DATETIME_AUTO, unicode_decode_error_handler="replace"
)


class Then(Enum):
    """What the peer does after the bytes of a delivery."""

    GO_ON = "go on"
    CLOSE = "close"
    SAY_NOTHING = "say nothing"


@dataclass(frozen=True)
class Envelope:
    """What belongs around a reply: the ids, the flag bits, and whether it is compressed."""

    number: int
    response_to: int
    flags: int = 0
    compressor: str | None = None


@dataclass(frozen=True)
class Delivery:
    """What is sent in place of a reply.

    :param pieces: the bytes, in the pieces in which they arrive.
    :param told: what a client that understands the reply reads in it; None if it cannot be understood.
    :param sure: whether ``told`` is beyond doubt: randomly changed bytes may still make sense.
    """

    what: str
    pieces: tuple[bytes, ...]
    then: Then = Then.GO_ON
    told: Mapping[str, Any] | None = None
    sure: bool = True


def message(body: bytes, envelope: Envelope) -> bytes:
    """A whole, correct message."""
    plain = encode_message(body, envelope.number, flags=envelope.flags, response_to=envelope.response_to)
    if envelope.compressor is None:
        return plain
    return Compressor(envelope.compressor).compress(plain, "x", 2**31 - 1)


def sound(document: Mapping[str, Any], envelope: Envelope) -> Delivery:
    """The correct reply."""
    return Delivery("sound", (message(bson.encode(document), envelope),), told=document)


_DEPTHS = {"values": 0.42, "refusal": 0.13, "bson": 0.13, "message": 0.17, "stream": 0.15}


def damaged(document: dict[str, Any], envelope: Envelope, chance: Chance) -> Delivery:
    """The damaged reply."""
    depth = chance.weighted(_DEPTHS)
    if depth == "values":
        body = bson.encode(values.mutated(document, chance))
        return _plain("values", body, envelope)
    if depth == "refusal":
        return _plain("refusal", bson.encode(refusal(document, chance)), envelope)
    if depth == "bson":
        body = broken(bson.encode(document), chance)
        return _plain("bson", body, envelope)
    if depth == "message":
        return chance.choice(_MESSAGES)(bson.encode(document), envelope, chance)
    return chance.choice(_STREAMS)(message(bson.encode(document), envelope), envelope, chance)


def refusal(document: Mapping[str, Any], chance: Chance) -> dict[str, Any]:
    """The reply of a server that refuses or fails a command, or carries it out and reports a problem."""
    if chance.maybe(0.25):
        entry = {"code": values.code(chance), "codeName": "Name", "errmsg": "a concern's error"}
        return {**document, "writeConcernError": entry, "errorLabels": values.labels(chance)}
    if chance.maybe(0.2):
        return {**document, "n": 0, "writeErrors": [{"index": 0, "code": 11000, "errmsg": "E11000", "keyValue": {}}]}
    kept = {name: document[name] for name in ("$clusterTime", "operationTime", "topologyVersion") if name in document}
    told: dict[str, Any] = {"ok": 0.0, "errmsg": "refused", "code": values.code(chance), "codeName": "Name", **kept}
    if chance.maybe(0.5):
        told["errorLabels"] = values.labels(chance)
    return told


def _plain(what: str, body: bytes, envelope: Envelope) -> Delivery:
    try:
        told: Mapping[str, Any] | None = bson.decode(body, _TOLERANT)
    except Exception:
        told = None
    return Delivery(what, (message(body, envelope),), told=told)


# --- the message ---


def _op_code(body: bytes, envelope: Envelope, chance: Chance) -> Delivery:
    data = bytearray(message(body, envelope))
    (right,) = _INT32.unpack_from(data, 12)
    _INT32.pack_into(data, 12, chance.choice([code for code in _OP_CODES if code != right]))
    return Delivery("op code", (bytes(data),))


def _response_to(body: bytes, envelope: Envelope, chance: Chance) -> Delivery:
    data = bytearray(message(body, envelope))
    right = envelope.response_to
    _INT32.pack_into(data, 8, chance.choice((0, -right, right + 1, right - 1, 2**31 - 1)))
    return Delivery("responseTo", (bytes(data),))


def _flags(body: bytes, envelope: Envelope, chance: Chance) -> Delivery:
    flags = chance.choice((1 << 1, 1 << 16, 1 << 2, 1 << 15, 1 << 17, 1 << 31, 0xFFFF, 1 << 1 | 1 << 16))
    number = chance.choice((envelope.number, 0, -1, envelope.response_to))
    data = encode_message(body, number, flags=flags, response_to=envelope.response_to)
    return Delivery(f"flags {flags:#x}", (data,), told=_told(body), sure=False)


def _checksum(body: bytes, envelope: Envelope, chance: Chance) -> Delivery:
    plain = bytearray(encode_message(body, envelope.number, flags=CHECKSUM_PRESENT, response_to=envelope.response_to))
    right = chance.maybe(0.5)
    if right or chance.maybe(0.7):
        _INT32.pack_into(plain, 0, len(plain) + 4)
        plain += Struct("<I").pack(crc32c(memoryview(plain)) ^ (0 if right else 1))
    return Delivery("checksum", (bytes(plain),), told=_told(body) if right else None)


def _sections(body: bytes, envelope: Envelope, chance: Chance) -> Delivery:
    kind = chance.randrange(5)
    sequence = DocumentSequence("documents", [body, body])
    whole = encode_message(body, envelope.number, [sequence], response_to=envelope.response_to)
    if kind == 0:
        return Delivery("a sequence beside the body", (whole,), told=_told(body))
    data = bytearray(whole)
    if kind == 1:
        _INT32.pack_into(data, 21 + len(body) + 1, chance.choice((0, -1, 3, 4, 2**31 - 1, len(body))))
    elif kind == 2:
        data[20] = chance.choice((1, 2, 255))
    elif kind == 3:
        data = bytearray(encode_message(body + b"\0" + body, envelope.number, response_to=envelope.response_to))
    else:
        data = bytearray(_HEADER.pack(20, envelope.number, envelope.response_to, _OP_MSG) + bytes(4))
    return Delivery("sections", (bytes(data),))


def _header_length(body: bytes, envelope: Envelope, chance: Chance) -> Delivery:
    data = bytearray(message(body, envelope))
    lie = chance.choice((0, -1, 4, 15, 16, 17, 20, 25, 48_000_001, 2**31 - 1, -(2**31), len(data) - 1, len(data) + 1))
    _INT32.pack_into(data, 0, lie)
    # A client that was promised more waits for it; usually the connection is closed soon.
    return Delivery(f"length {lie}", (bytes(data),), chance.choice((Then.CLOSE, Then.CLOSE, Then.SAY_NOTHING)))


def _compressed(body: bytes, envelope: Envelope, chance: Chance) -> Delivery:
    plain = encode_message(body, envelope.number, response_to=envelope.response_to)
    names = [name for name in ("zlib", "zstd", "snappy") if available(name)]
    data = bytearray(Compressor(chance.choice(names)).compress(plain, "x", 2**31 - 1))
    kind = chance.randrange(8)
    if kind == 0:
        return Delivery("compressed", (bytes(data),), told=_told(body), sure=False)
    size = len(plain) - 16
    if kind == 1:
        _INT32.pack_into(data, 20, chance.choice((0, -1, size - 1, size + 1, 48_000_000, 47_999_984, 2**31 - 1)))
    elif kind == 2:
        _INT32.pack_into(data, 16, chance.choice((0, 1, 2012, 2004, -1)))
    elif kind == 3:
        data[24] = chance.choice((0, 1, 2, 3, 4, 77, 255))
    elif kind == 4 and len(data) > 26:
        data[chance.randrange(25, len(data))] ^= 1 << chance.randrange(8)
    elif kind == 5:
        data = data[: chance.randrange(17, len(data))]
        _INT32.pack_into(data, 0, len(data))
    elif kind == 6:
        inner = bytes(data)
        data = bytearray(_envelope(zlib.compress(inner[16:]), len(inner) - 16, 2, envelope, _OP_COMPRESSED))
    else:
        bomb = zlib.compress(bytes(_BOMB)) if chance.maybe(0.05) else zlib.compress(bytes(100_000))
        data = bytearray(_envelope(bomb, chance.choice((size, 100_000, _BOMB, 47_999_984)), 2, envelope, _OP_MSG))
    return Delivery("compressed wrongly", (bytes(data),), told=_told(body), sure=False)


def _envelope(payload: bytes, size: int, compressor: int, envelope: Envelope, op_code: int) -> bytes:
    length = _ENVELOPE.size + len(payload)
    head = _ENVELOPE.pack(length, envelope.number, envelope.response_to, _OP_COMPRESSED, op_code, size, compressor)
    return head + payload


def _two_replies(body: bytes, envelope: Envelope, chance: Chance) -> Delivery:
    """A second reply after the correct one. If it answers the next command, both are in one segment: what
    is sent later cannot be distinguished from the reply to that command."""
    together = chance.maybe(0.7)
    later = envelope.response_to + (chance.choice((0, 1, 1, 2)) if together else 0)
    first, second = message(body, envelope), encode_message(body, envelope.number + 1, response_to=later)
    return Delivery("two replies", (first + second,) if together else (first, second), told=_told(body), sure=False)


def _random_bytes(body: bytes, envelope: Envelope, chance: Chance) -> Delivery:
    data = bytearray(message(body, envelope))
    for _ in range(chance.randint(1, 6)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return Delivery(
        "random bytes", (bytes(data),), chance.choice((Then.GO_ON, Then.CLOSE)), told=_told(body), sure=False
    )


def _told(body: bytes) -> Mapping[str, Any]:
    return bson.decode(body)


_MESSAGES: tuple[Callable[[bytes, Envelope, Chance], Delivery], ...] = (
    _op_code,
    _response_to,
    _flags,
    _checksum,
    _sections,
    _header_length,
    _compressed,
    _compressed,
    _two_replies,
    _random_bytes,
)


# --- the stream ---


def _cut(data: bytes, envelope: Envelope, chance: Chance) -> Delivery:
    then = Then.SAY_NOTHING if chance.maybe(0.15) else Then.CLOSE
    return Delivery("cut short", (data[: chance.randrange(len(data))],), then)


def _closed(data: bytes, envelope: Envelope, chance: Chance) -> Delivery:
    return Delivery("closed", (), Then.CLOSE)


def _silent(data: bytes, envelope: Envelope, chance: Chance) -> Delivery:
    return Delivery("no reply", (), Then.SAY_NOTHING)


def _bytewise(data: bytes, envelope: Envelope, chance: Chance) -> Delivery:
    head = tuple(data[at : at + 1] for at in range(min(len(data), 60)))
    return Delivery("byte by byte", (*head, data[60:]) if data[60:] else head, told=None, sure=False)


def _noise(data: bytes, envelope: Envelope, chance: Chance) -> Delivery:
    noise = chance.choice((b"HTTP/1.1 400 Bad Request\r\n\r\n" * 3, bytes(64), b"\xff" * 64, chance.randbytes(80)))
    return Delivery("noise", (noise,), Then.CLOSE)


def _followed(data: bytes, envelope: Envelope, chance: Chance) -> Delivery:
    rest = chance.randbytes(chance.randint(1, 40))
    return Delivery("followed by noise", (data + rest,), chance.choice((Then.GO_ON, Then.CLOSE)), told=None, sure=False)


def _closed_after(data: bytes, envelope: Envelope, chance: Chance) -> Delivery:
    return Delivery("closed after it", (data,), Then.CLOSE, told=None, sure=False)


_STREAMS: tuple[Callable[[bytes, Envelope, Chance], Delivery], ...] = (
    _cut,
    _cut,
    _closed,
    _silent,
    _bytewise,
    _noise,
    _followed,
    _closed_after,
)
