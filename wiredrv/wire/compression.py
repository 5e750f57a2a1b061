"""OP_COMPRESSED: compressing messages with zlib, zstd or snappy, and decompressing them.

Rules kept here:

* A declared size is checked before memory is allocated for it: the uncompressed size is bounded by
  ``maxMessageSizeBytes``, inflating stops one byte after that size, and a message that inflates to any other size, or
  is not whole, is refused (:class:`~wiredrv.errors.ProtocolError`).
* Commands with secrets are never compressed: the compressed size would reveal something about them.
* A compressor whose module is missing is left out with a warning; zlib is always available. zstd is the standard
  library's (Python 3.14), else the distribution ``zstandard``; snappy is ``python-snappy``.

Specification: compression ("OP_COMPRESSED").
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from struct import Struct
from threading import local
from types import ModuleType
from typing import Any

from wiredrv.errors import ConfigurationWarning, ProtocolError
from wiredrv.origin import warn
from wiredrv.server_facts import HELLO_COMMANDS, SENSITIVE_COMMANDS
from wiredrv.types import Received
from wiredrv.wire.op_msg import HEADER_SIZE, OP_COMPRESSED, OP_MSG

#: Commands that must be sent uncompressed, in lower case (compression, "Messages not allowed to be compressed").
NEVER_COMPRESSED = SENSITIVE_COMMANDS | HELLO_COMMANDS

_IDS = {"snappy": 1, "zlib": 2, "zstd": 3}
_NOOP = 0
_DISTRIBUTIONS = {"snappy": "python-snappy", "zstd": "zstandard"}

_HEADER = Struct("<iiii")
_ENVELOPE = Struct("<iiiiiiB")  # header; op code, size and compressor of what is inside
_OP_CODE = Struct("<i")


def available(name: str) -> bool:
    """Whether the module of a compressor is installed."""
    return name in _IDS and _codec(name) is not None


def usable(names: Iterable[str]) -> tuple[str, ...]:
    """Those of ``names`` that are available; the others are left out with a warning."""
    kept = []
    for name in names:
        if available(name):
            kept.append(name)
        else:
            distribution = _DISTRIBUTIONS.get(name)
            remedy = f"install {distribution} (the extra wiredrv[{name}])" if distribution else "no such compressor"
            warn(f"compressors: {name!r} left out: {remedy}", ConfigurationWarning)
    return tuple(kept)


def negotiate(ours: Sequence[str], theirs: object, zlib_level: int = -1) -> Compressor | None:
    """The compressor to use: the first of ours that the server lists, or None.

    :param theirs: the field ``compression`` of the server's answer, whatever it is.
    """
    if not isinstance(theirs, (list, tuple)):
        return None
    name = next((name for name in ours if name in theirs and available(name)), None)
    return None if name is None else Compressor(name, zlib_level)


class Compressor:
    """Compresses requests with one of the algorithms.

    :param name: ``zlib``, ``zstd`` or ``snappy``, which must be :func:`available`.
    :param zlib_level: from -1 (zlib's default) to 9; the others have none.
    """

    __slots__ = ("_compress", "_id", "name")

    def __init__(self, name: str, zlib_level: int = -1) -> None:
        codec = _codec(name)
        assert codec is not None  # unavailable names are left out before the negotiation
        self.name = name
        self._id = _IDS[name]
        self._compress = codec.compressor(zlib_level)

    def compress(self, message: bytes, command_name: str, max_message_size: int) -> bytes:
        """The message to send: compressed, or unchanged if the command must not be.

        :param message: a whole OP_MSG.
        :param command_name: the command's name, in any case.
        :param max_message_size: a message that would become larger than this is not compressed.
        """
        if command_name.lower() in NEVER_COMPRESSED:
            return message
        _, request_id, response_to, op_code = _HEADER.unpack_from(message)
        payload = self._compress(message[HEADER_SIZE:])
        length = _ENVELOPE.size + len(payload)
        if length > max_message_size:
            return message
        size = len(message) - HEADER_SIZE
        head = _ENVELOPE.pack(length, request_id, response_to, OP_COMPRESSED, op_code, size, self._id)
        return head + payload


def is_compressed(message: Received) -> bool:
    """Whether a whole message is an OP_COMPRESSED."""
    return len(message) >= HEADER_SIZE and _OP_CODE.unpack_from(message, 12)[0] == OP_COMPRESSED


def decompress(message: Received, max_message_size: int) -> Received:
    """Decompress a message; one that is not compressed is returned as it is.

    :param message: a whole message, of no more than ``max_message_size`` bytes.
    :raises ProtocolError: it declares too large a size, an unknown compressor or op code, is damaged, or inflates to
        another size than it declares.
    """
    if not is_compressed(message):
        return message
    if len(message) < _ENVELOPE.size:
        raise ProtocolError(f"a compressed message of {len(message)} bytes is cut short")
    _, request_id, response_to, _, op_code, size, number = _ENVELOPE.unpack_from(message)
    if op_code != OP_MSG:
        raise ProtocolError(f"a compressed message contains op code {op_code}, expected OP_MSG ({OP_MSG})")
    if not 0 <= size <= max_message_size - HEADER_SIZE:
        raise ProtocolError(
            f"the peer declared {size} uncompressed bytes; a message may have up to {max_message_size - HEADER_SIZE}"
        )
    content = _inflate(number, bytes(memoryview(message)[_ENVELOPE.size :]), size)
    if len(content) != size:
        raise ProtocolError(f"a compressed message does not inflate to the {size} bytes that it declares")
    return _HEADER.pack(HEADER_SIZE + size, request_id, response_to, op_code) + content


def _inflate(number: int, data: bytes, size: int) -> bytes:
    if number == _NOOP:
        return data
    name = next((name for name, known in _IDS.items() if known == number), None)
    codec = _codec(name) if name is not None else None
    if codec is None:
        raise ProtocolError(f"the peer compressed a message with {name or f'the unknown compressor {number}'}")
    try:
        return codec.inflate(data, size)
    except ProtocolError:
        raise
    except Exception as error:  # each library has an error class of its own, and some have several
        raise ProtocolError(f"a message compressed with {name} is damaged: {error}") from error


# --- the libraries ---


@dataclass(frozen=True, slots=True)
class _Codec:
    """One library. ``inflate(data, size)`` allocates little more than ``size`` bytes."""

    compressor: Callable[[int], Callable[[bytes], bytes]]
    inflate: Callable[[bytes, int], bytes]


def _zlib_compressor(level: int) -> Callable[[bytes], bytes]:
    def compress(data: bytes) -> bytes:
        return zlib.compress(data, level)

    return compress


def _zlib_inflate(data: bytes, size: int) -> bytes:
    inflater = zlib.decompressobj()
    content = inflater.decompress(data, size + 1)
    if len(content) <= size:
        _refuse_unless_whole(inflater.eof, inflater.unused_data)
    return content


def _refuse_unless_whole(ended: bool, rest: bytes) -> None:
    if not ended:
        raise ProtocolError("a compressed message is cut short")
    if rest:
        raise ProtocolError(f"a compressed message is followed by {len(rest)} bytes that do not belong to it")


def _standard_zstd(module: Any) -> _Codec:
    """zstd of the standard library."""

    def inflate(data: bytes, size: int) -> bytes:
        inflater = module.ZstdDecompressor()
        content: bytes = inflater.decompress(data, size + 1)
        if len(content) <= size:
            _refuse_unless_whole(inflater.eof, inflater.unused_data)
        return content

    return _Codec(lambda level: module.compress, inflate)


def _installed_zstd(module: Any) -> _Codec:
    """zstd of the distribution ``zstandard``. A decompressor is expensive to create, and serves one thread at a
    time.
    """
    here = local()

    def inflate(data: bytes, size: int) -> bytes:
        inflater = getattr(here, "inflater", None)
        if inflater is None:
            inflater = here.inflater = module.ZstdDecompressor()
        told = module.frame_content_size(data)
        if told == -1:
            with inflater.stream_reader(data) as reader:
                return bytes(reader.read(size + 1))
        # The library allocates memory according to the size in the content.
        if told != size:
            raise ProtocolError(f"a compressed message does not inflate to the {size} bytes that it declares")
        return bytes(inflater.decompress(data, allow_extra_data=False))

    return _Codec(lambda level: module.ZstdCompressor().compress, inflate)


def _snappy(module: Any) -> _Codec:
    def inflate(data: bytes, size: int) -> bytes:
        # The content begins with its own size, according to which the library allocates memory.
        if _varint(data) != size:
            raise ProtocolError(f"a compressed message does not inflate to the {size} bytes that it declares")
        return bytes(module.uncompress(data))

    return _Codec(lambda level: lambda data: bytes(module.compress(data)), inflate)


def _varint(data: bytes) -> int:
    value = 0
    for position, byte in enumerate(data[:5]):
        value |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            return value
    raise ProtocolError("a message compressed with snappy does not declare its size")


def _module(name: str) -> ModuleType | None:
    try:
        return import_module(name)
    except ImportError:
        return None


def _find(name: str) -> _Codec | None:
    if name == "zlib":
        return _Codec(_zlib_compressor, _zlib_inflate)
    if name == "zstd":
        if (module := _module("compression.zstd")) is not None:
            return _standard_zstd(module)
        return _installed_zstd(module) if (module := _module("zstandard")) is not None else None
    return _snappy(module) if (module := _module("snappy")) is not None else None


_codecs: dict[str, _Codec | None] = {}


def _codec(name: str) -> _Codec | None:
    """The library of a compressor, imported when it is first needed; None if it is missing."""
    if name not in _codecs:
        _codecs[name] = _find(name)
    return _codecs[name]
