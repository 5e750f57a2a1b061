"""OP_COMPRESSED: round trips, what must not be compressed, and what a hostile peer may try."""

from __future__ import annotations

import struct
import tracemalloc
import warnings
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiredrv.errors import ConfigurationWarning, ProtocolError
from wiredrv.wire import compression
from wiredrv.wire.compression import NEVER_COMPRESSED, Compressor, decompress, is_compressed, negotiate, usable
from wiredrv.wire.op_msg import DEFAULT_MAX_MESSAGE_SIZE, OP_COMPRESSED, OP_MSG, decode_message, encode_message

NAMES = ("zlib", "zstd", "snappy")
IDS = {"snappy": 1, "zlib": 2, "zstd": 3}
LIMIT = 1_000_000
BODY = b"\x10\x00\x00\x00\x02a\x00\x04\x00\x00\x00abc\x00\x00"


def envelope(payload: bytes, *, size: int, number: int, op_code: int = OP_MSG, request_id: int = 7) -> bytes:
    """A compressed message made by hand, valid or not."""
    head = struct.pack("<iiiiiiB", 25 + len(payload), request_id, 3, OP_COMPRESSED, op_code, size, number)
    return head + payload


def compressed(name: str, content: bytes) -> bytes:
    """The content as a compressor writes it."""
    message = struct.pack("<iiii", 16 + len(content), 1, 0, OP_MSG) + content
    return Compressor(name).compress(message, "insert", 2**31 - 1)[25:]


# Round trips


@pytest.mark.parametrize("name", NAMES)
@given(body=st.binary(max_size=3000))
def test_a_message_comes_back_as_it_was(name: str, body: bytes) -> None:
    message = encode_message(BODY + body, 5, response_to=9)
    packed = Compressor(name).compress(message, "find", LIMIT)
    assert is_compressed(packed)
    assert decompress(packed, LIMIT) == message


@pytest.mark.parametrize("name", NAMES)
def test_the_envelope_is_the_specifications(name: str) -> None:
    message = encode_message(BODY * 100, 77)
    packed = Compressor(name).compress(message, "insert", LIMIT)
    length, request_id, response_to, op_code, inner, size, number = struct.unpack_from("<iiiiiiB", packed)
    assert (length, request_id, response_to, op_code) == (len(packed), 77, 0, OP_COMPRESSED)
    assert (inner, size, number) == (OP_MSG, len(message) - 16, IDS[name])
    assert len(packed) < len(message)


def test_the_level_of_zlib_is_the_one_given() -> None:
    message = encode_message(bytes(range(256)) * 100, 1)
    sizes = [len(Compressor("zlib", level).compress(message, "insert", LIMIT)) for level in (0, 1, 9, -1)]
    stored, fast, best, default = sizes
    assert stored > len(message)
    assert best <= default <= fast < stored


def test_a_message_that_is_not_compressed_is_returned_as_it_is() -> None:
    message = encode_message(BODY, 1)
    assert decompress(message, LIMIT) is message
    assert decompress(b"short", LIMIT) == b"short"


def test_content_that_was_not_compressed_at_all_is_understood() -> None:
    content = encode_message(BODY, 1)[16:]
    message = decompress(envelope(content, size=len(content), number=0), LIMIT)
    assert decode_message(message).body == BODY
    assert decode_message(message).response_to == 3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("command", [*sorted(NEVER_COMPRESSED), "saslStart", "isMaster", "copydbgetnonce"])
def test_commands_with_secrets_travel_as_they_are(name: str, command: str) -> None:
    message = encode_message(BODY * 100, 1)
    assert Compressor(name).compress(message, command, LIMIT) is message


def test_what_must_not_be_compressed_is_the_specifications_list() -> None:
    assert {name.lower() for name in NEVER_COMPRESSED} == NEVER_COMPRESSED
    listed = "hello isMaster saslStart saslContinue getnonce authenticate createUser updateUser copydbSaslStart"
    assert {name.lower() for name in [*listed.split(), "copydbgetnonce", "copydb"]} == NEVER_COMPRESSED


@pytest.mark.parametrize("name", NAMES)
def test_a_message_that_compressing_makes_too_large_travels_as_it_is(name: str) -> None:
    message = encode_message(bytes(struct.pack("<I", i * 2654435761 % 2**32)[0] for i in range(500)), 1)
    packed = Compressor(name).compress(message, "insert", LIMIT)
    assert Compressor(name).compress(message, "insert", len(packed)) == packed
    assert Compressor(name).compress(message, "insert", len(packed) - 1) is message


# Negotiation


@pytest.mark.parametrize(
    "ours, theirs, chosen",
    [
        ((), ["zlib"], None),
        (("zlib",), None, None),
        (("zlib",), [], None),
        (("zlib",), ["snappy"], None),
        (("zlib",), "zlib", None),
        (("zlib",), {"zlib": 1}, None),
        (("zlib", "snappy"), ["snappy", "zlib"], "zlib"),
        (("snappy", "zlib"), ["zlib", "snappy"], "snappy"),
        (("zstd", "zlib"), ["zlib"], "zlib"),
        (("zlib",), [5, None, "zlib"], "zlib"),
    ],
)
def test_the_first_of_ours_that_the_server_lists_is_chosen(
    ours: tuple[str, ...], theirs: object, chosen: str | None
) -> None:
    compressor = negotiate(ours, theirs)
    assert (compressor.name if compressor is not None else None) == chosen


def test_a_compressor_whose_module_is_missing_is_left_out_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(compression._codecs, "snappy", None)
    with pytest.warns(ConfigurationWarning, match=r"'snappy' left out: install python-snappy .*wiredrv\[snappy\]"):
        assert usable(("snappy", "zlib")) == ("zlib",)
    chosen = negotiate(("snappy", "zlib"), ["snappy", "zlib"])
    assert chosen is not None
    assert chosen.name == "zlib"
    with pytest.raises(ProtocolError, match="compressed a message with snappy"):
        decompress(envelope(b"", size=0, number=1), LIMIT)


def test_compressors_that_are_there_are_kept_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert usable(NAMES) == NAMES


def test_modules_are_looked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_module", lambda name: None)
    assert compression._find("zstd") is None
    assert compression._find("snappy") is None
    assert compression._find("zlib") is not None


def test_zstd_of_the_standard_library_is_preferred() -> None:
    zstd = pytest.importorskip("compression.zstd", reason="the standard library has zstd since Python 3.14")
    codec = compression._standard_zstd(zstd)
    data = b"again and " * 100
    packed = codec.compressor(-1)(data)
    assert codec.inflate(packed, len(data)) == data
    with pytest.raises(ProtocolError, match="cut short"):
        codec.inflate(packed[:-1], len(data))
    with pytest.raises(ProtocolError, match="do not belong"):
        codec.inflate(packed + b"!", len(data))


def test_zstd_content_that_does_not_tell_its_size_is_understood_and_bounded() -> None:
    zstandard = pytest.importorskip("zstandard", reason="zstd is the standard library's here")
    packer = zstandard.ZstdCompressor(write_content_size=False)
    data = bytes(1000) + b"end"
    payload = packer.compress(data)
    assert decompress(envelope(payload, size=len(data), number=3), LIMIT)[16:] == data
    for size in (len(data) - 1, len(data) + 1, 0):
        with pytest.raises(ProtocolError, match="does not inflate"):
            decompress(envelope(payload, size=size, number=3), LIMIT)


# Hostile peers


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("off", [-1, 1, -50, 1000])
def test_a_size_other_than_the_declared_one_is_refused(name: str, off: int) -> None:
    content = b"\x00" * 100
    packed = envelope(compressed(name, content), size=100 + off, number=IDS[name])
    with pytest.raises(ProtocolError, match=r"does not inflate to the \d+ bytes|cut short"):
        decompress(packed, LIMIT)


def test_uncompressed_content_of_another_size_is_refused() -> None:
    with pytest.raises(ProtocolError, match="does not inflate to the 3 bytes"):
        decompress(envelope(b"four", size=3, number=0), LIMIT)


@pytest.mark.parametrize("size", [-1, -(2**31), LIMIT - 15, 2**31 - 1])
def test_a_declared_size_out_of_bounds_is_refused_before_inflating(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_inflate", lambda *_: pytest.fail("nothing may be inflated"))
    with pytest.raises(ProtocolError, match=f"declared {size} uncompressed bytes"):
        decompress(envelope(b"", size=size, number=2), LIMIT)


def test_the_largest_size_that_a_message_may_have_is_accepted() -> None:
    content = bytes(LIMIT - 16)
    assert len(decompress(envelope(compressed("zlib", content), size=LIMIT - 16, number=2), LIMIT)) == LIMIT


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("declared", [100, DEFAULT_MAX_MESSAGE_SIZE - 16])
def test_a_bomb_takes_little_more_memory_than_it_declares(name: str, declared: int) -> None:
    bomb = envelope(compressed(name, bytes(100_000_000)), size=declared, number=IDS[name])
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            decompress(bomb, DEFAULT_MAX_MESSAGE_SIZE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * declared + len(bomb) * 2 + 1_000_000


@pytest.mark.parametrize("name", NAMES)
def test_a_message_that_is_cut_short_is_refused(name: str) -> None:
    content = bytes(range(256)) * 4
    payload = compressed(name, content)
    for cut in range(len(payload)):
        with pytest.raises(ProtocolError):
            decompress(envelope(payload[:cut], size=len(content), number=IDS[name]), LIMIT)
    whole = envelope(payload, size=len(content), number=IDS[name])
    for cut in range(16, 25):
        with pytest.raises(ProtocolError, match="cut short"):
            decompress(whole[:cut], LIMIT)


def test_bytes_after_the_compressed_content_are_refused() -> None:
    with pytest.raises(ProtocolError, match="3 bytes that do not belong"):
        decompress(envelope(zlib.compress(b"content") + b"etc", size=7, number=2), LIMIT)
    for name in ("zstd", "snappy"):
        with pytest.raises(ProtocolError, match=r"damaged|do not belong"):
            decompress(envelope(compressed(name, b"content") + b"etc", size=7, number=IDS[name]), LIMIT)


@pytest.mark.parametrize("number", [4, 5, 255])
def test_an_unknown_compressor_is_refused(number: int) -> None:
    with pytest.raises(ProtocolError, match=f"unknown compressor {number}"):
        decompress(envelope(b"", size=0, number=number), LIMIT)


@pytest.mark.parametrize("op_code", [1, 2004, OP_COMPRESSED, 0, -1])
def test_another_op_code_inside_is_refused(op_code: int) -> None:
    with pytest.raises(ProtocolError, match=f"contains op code {op_code}"):
        decompress(envelope(b"", size=0, number=2, op_code=op_code), LIMIT)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_mutated_messages_end_in_our_errors_or_in_a_message_of_the_declared_size(
    name: str, data: st.DataObject
) -> None:
    message = encode_message(BODY + data.draw(st.binary(max_size=300)), 5)
    packed = bytearray(Compressor(name).compress(message, "insert", LIMIT))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(16, len(packed) - 1))] = data.draw(st.integers(0, 255))
    try:
        result = decompress(bytes(packed), LIMIT)
    except ProtocolError:
        return
    declared = struct.unpack_from("<i", packed, 20)[0]
    assert len(result) == 16 + declared


@given(payload=st.binary(max_size=200), size=st.integers(-10, 500), number=st.integers(0, 5))
def test_rubbish_ends_in_our_errors(payload: bytes, size: int, number: int) -> None:
    try:
        result = decompress(envelope(payload, size=size, number=number), LIMIT)
    except ProtocolError:
        return
    assert len(result) == 16 + size
