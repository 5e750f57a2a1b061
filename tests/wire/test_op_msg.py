"""OP_MSG: what is sent, what is read, and that no malformed message is accepted or does harm (OP_MSG.md)."""

from __future__ import annotations

import struct
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.messages import body_section, message, sequence_section
from wiredrv.errors import ProtocolError, UnreadableReply
from wiredrv.wire.batch import cut
from wiredrv.wire.checksum import crc32c
from wiredrv.wire.codec import decode, decode_raw
from wiredrv.wire.envelope import decode_tolerantly, pick_envelope
from wiredrv.wire.op_msg import (
    CHECKSUM_PRESENT,
    DEFAULT_MAX_MESSAGE_SIZE,
    EXHAUST_ALLOWED,
    MORE_TO_COME,
    DocumentSequence,
    decode_message,
    encode_message,
    encode_request,
    next_request_id,
    read_header,
)

OK = body_section({"ok": 1})


def with_checksum(*sections: bytes, flags: int = CHECKSUM_PRESENT, wrong: int = 0) -> bytes:
    """A message with a checksum at its end, off by ``wrong``."""
    whole = message(*sections, flags=flags, tail=bytes(4))[:-4]
    return whole + struct.pack("<I", crc32c(whole) ^ wrong)


# --- building ---------------------------------------------------------------------------------------------------------


def test_a_command_is_one_section_of_kind_0() -> None:
    command: dict[str, object] = {"ping": 1, "$db": "admin"}
    assert encode_message(bson.encode(command), 9) == message(body_section(command), request_id=9, response_to=0)


def test_documents_travel_in_sections_of_kind_1_after_the_body() -> None:
    command: dict[str, object] = {"insert": "c", "$db": "d"}
    documents: list[dict[str, object]] = [{"_id": 1}, {"_id": 2}]
    built = encode_message(
        bson.encode(command), 9, [DocumentSequence("documents", [bson.encode(document) for document in documents])]
    )
    sections = (body_section(command), sequence_section(b"documents", documents))
    assert built == message(*sections, request_id=9, response_to=0)


LARGE, SMALL = bson.encode({"t": "x" * 1_000_000}), bson.encode({"t": "x"})


@pytest.mark.parametrize(
    "documents, apart",
    [([SMALL], False), ([SMALL] * 1000, False), ([LARGE], True), ([LARGE, SMALL, LARGE, SMALL], True)],
)
def test_large_documents_are_sent_in_parts_that_are_not_copies(documents: list[bytes], apart: bool) -> None:
    sequences = [DocumentSequence("documents", documents), DocumentSequence("nsInfo", [SMALL])]
    request = encode_request(SMALL, 9, sequences, MORE_TO_COME)
    assert isinstance(request, list) is apart
    if isinstance(request, list):
        assert all(any(part is document for part in request) for document in documents)
    whole = request if isinstance(request, bytes) else b"".join(request)
    assert whole == encode_message(SMALL, 9, sequences, MORE_TO_COME)


def test_the_largest_request_has_fewer_parts_than_a_system_call_takes() -> None:
    document = bytes(66_000)
    count = DEFAULT_MAX_MESSAGE_SIZE // len(document)
    request = encode_request(SMALL, 9, [DocumentSequence("documents", [document] * count)])
    assert isinstance(request, list)
    assert len(request) < 1024


def test_an_unacknowledged_request_says_that_more_may_come() -> None:
    built = encode_message(bson.encode({"insert": "c"}), 9, flags=MORE_TO_COME)
    assert decode_message(built).more_to_come


def test_request_ids_are_positive_different_and_31_bits_long() -> None:
    ids = [next_request_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert all(0 < number < 2**31 for number in ids)


def test_the_request_id_wraps_without_becoming_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    from itertools import count

    from wiredrv.wire import op_msg

    monkeypatch.setattr(op_msg, "_request_ids", count(2**31 - 1))
    assert [next_request_id() for _ in range(3)] == [2**31 - 1, 1, 2]


# --- reading ----------------------------------------------------------------------------------------------------------


def test_the_usual_reply_is_read() -> None:
    read = decode_message(message(OK, request_id=11, response_to=5))
    assert (read.request_id, read.response_to, read.flags, read.sequences) == (11, 5, 0, ())
    assert decode(read.body) == {"ok": 1}


@pytest.mark.parametrize(("size", "copied"), [(10, True), (100_000, False)], ids=["small", "large"])
def test_the_body_of_a_large_reply_is_not_copied(size: int, copied: bool) -> None:
    batch = [{"t": "x" * size}]
    reply = {"cursor": {"id": 0, "firstBatch": batch}, "ok": 1}
    received = message(body_section(reply))
    body = decode_message(received).body
    assert isinstance(body, bytes) if copied else isinstance(body, memoryview) and body.obj is received
    assert bytes(body) == bson.encode(reply)
    found = decode_raw(body)["cursor"]
    assert decode(body) == decode_tolerantly(body) == reply
    assert bson.decode(found["firstBatch"][0].raw) == batch[0]
    assert pick_envelope(body) == {"cursor": {"id": 0}}
    shortened = cut(body, bson.DEFAULT_CODEC_OPTIONS)
    assert shortened is not None
    assert shortened["cursor"]["firstBatch"].take(1) == batch


@pytest.mark.parametrize("body_first", [True, False])
def test_sections_are_read_in_any_order(body_first: bool) -> None:
    sequences = [sequence_section(b"a", [{"_id": 1}, {"_id": 2}]), sequence_section(b"b", [])]
    sections = [OK, *sequences] if body_first else [*sequences, OK]
    read = decode_message(message(*sections))
    assert decode(read.body) == {"ok": 1}
    assert [(found.identifier, len(found.documents)) for found in read.sequences] == [("a", 2), ("b", 0)]
    assert [decode(document) for document in read.sequences[0].documents] == [{"_id": 1}, {"_id": 2}]


def test_a_right_checksum_is_accepted() -> None:
    assert decode(decode_message(with_checksum(OK)).body) == {"ok": 1}


def test_a_checksum_covers_document_sequences() -> None:
    data = with_checksum(OK, sequence_section(b"docs", [{"_id": 1}]))
    assert len(decode_message(data).sequences[0].documents) == 1


def test_a_streamed_reply_may_carry_a_checksum_too() -> None:
    read = decode_message(with_checksum(OK, flags=CHECKSUM_PRESENT | MORE_TO_COME))
    assert read.more_to_come


@pytest.mark.parametrize("bit", range(16, 32))
def test_unknown_optional_flag_bits_are_ignored(bit: int) -> None:
    assert decode(decode_message(message(OK, flags=1 << bit)).body) == {"ok": 1}
    assert EXHAUST_ALLOWED == 1 << 16


@pytest.mark.parametrize("bit", range(2, 16))
def test_unknown_required_flag_bits_are_refused(bit: int) -> None:
    with pytest.raises(ProtocolError, match="flag bits"):
        decode_message(message(OK, flags=1 << bit))


EMPTY_SEQUENCE = sequence_section(b"a", [])

MALFORMED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "too short"),
    "a header alone": (message()[:16], "too short"),
    "no section": (message(), "too short"),
    "another op code": (message(OK, op_code=1), "op code 1"),
    "a compressed message": (message(OK, op_code=2012), "2012"),
    "a declared length that is too long": (message(OK, length=1000), "declares 1000"),
    "a declared length that is too short": (message(OK, length=30), "declares 30"),
    "two bodies": (message(OK, OK), "two sections of kind 0"),
    "no body": (message(sequence_section(b"a", [{"_id": 1}])), "no section of kind 0"),
    "an unknown kind": (message(OK, b"\x02" + bson.encode({})), "unknown kind 2"),
    "a body that is too long": (message(b"\x00" + struct.pack("<i", 500) + bytes(30)), "declares 500"),
    "a body of negative length": (message(b"\x00" + struct.pack("<i", -5) + bytes(30)), "declares -5"),
    "a body too short for a document": (message(b"\x00" + struct.pack("<i", 4) + bytes(0), OK), "too short"),
    "a section cut short": (message(OK, b"\x01\x00"), "cut short"),
    "a sequence without an identifier's end": (message(OK, b"\x01" + struct.pack("<i", 7) + b"abc"), "no end"),
    "an identifier that is no UTF-8": (message(OK, sequence_section(b"\xff\xfe", [])), "UTF-8"),
    "a document that leaves its sequence": (
        message(OK, b"\x01" + struct.pack("<i", 10) + b"a\x00" + struct.pack("<i", 99)),
        "declares 99",
    ),
    "a document of four bytes": (
        message(OK, b"\x01" + struct.pack("<i", 10) + b"a\x00" + struct.pack("<i", 4)),
        "too short",
    ),
    "a wrong checksum": (with_checksum(OK, wrong=1), "checksum"),
    "a checksum and no sections": (with_checksum(flags=CHECKSUM_PRESENT), "no section of kind 0"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_malformed_is_refused_with_a_reason(name: str) -> None:
    data, reason = MALFORMED[name]
    with pytest.raises(ProtocolError, match=reason):
        decode_message(data)


@pytest.mark.parametrize("length", [-1, 0, 15, 48_000_001, 2**31 - 1, -(2**31)])
def test_a_declared_length_out_of_bounds_is_refused_from_the_header_alone(length: int) -> None:
    with pytest.raises(ProtocolError, match=str(length)):
        read_header(struct.pack("<iiii", length, 1, 1, 2013), 48_000_000)


@pytest.mark.parametrize("length", [16, 48_000_000])
def test_the_bounds_of_a_declared_length_are_allowed(length: int) -> None:
    assert read_header(struct.pack("<iiii", length, 1, 2, 2013), 48_000_000) == (length, 1, 2, 2013)


# --- properties -------------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=10)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | texts | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(texts, values, max_size=5)


@given(
    documents,
    st.lists(st.tuples(texts, st.lists(documents, max_size=3)), max_size=3),
    st.integers(1, 2**31 - 1),
    st.sampled_from([0, MORE_TO_COME, EXHAUST_ALLOWED, MORE_TO_COME | EXHAUST_ALLOWED]),
)
def test_what_is_built_is_read_back(
    body: dict[str, Any], sequences: list[tuple[str, list[dict[str, Any]]]], request_id: int, flags: int
) -> None:
    sent = [DocumentSequence(name, tuple(bson.encode(document) for document in held)) for name, held in sequences]
    read = decode_message(encode_message(bson.encode(body), request_id, sent, flags, response_to=4))
    assert (read.request_id, read.response_to, read.flags) == (request_id, 4, flags)
    assert read.body == bson.encode(body)
    assert list(read.sequences) == sent


@given(st.binary(max_size=300))
def test_random_bytes_are_a_message_or_a_protocol_error(data: bytes) -> None:
    _read_or_refuse(data)


@given(st.binary(max_size=120), st.integers(0, 2**32 - 1))
def test_random_bytes_under_a_right_header_are_a_message_or_a_protocol_error(payload: bytes, flags: int) -> None:
    _read_or_refuse(message(payload, flags=flags))


@given(st.data())
def test_any_mutation_of_a_valid_message_is_a_message_or_an_error_of_the_driver(data: st.DataObject) -> None:
    original = data.draw(
        st.sampled_from(
            [
                message(OK),
                message(OK, sequence_section(b"documents", [{"_id": 1}, {"_id": 2, "a": ["b", {"c": 1.5}]}])),
                with_checksum(OK, sequence_section(b"a", [{"x": 1}])),
            ]
        )
    )
    mutated = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from(["change", "insert", "delete", "truncate"]))
        position = data.draw(st.integers(0, max(len(mutated) - 1, 0)))
        if kind == "change" and mutated:
            mutated[position] = data.draw(st.integers(0, 255))
        elif kind == "insert":
            mutated[position:position] = data.draw(st.binary(min_size=1, max_size=5))
        elif kind == "delete":
            del mutated[position : position + data.draw(st.integers(1, 5))]
        else:
            del mutated[position:]
    if data.draw(st.booleans()) and len(mutated) >= 4:
        # Also with a correct header, so that the code after it is reached.
        mutated[:4] = struct.pack("<i", len(mutated))
    _read_or_refuse(bytes(mutated))


def _read_or_refuse(data: bytes) -> None:
    """Either outcome is right, but no other is."""
    try:
        read = decode_message(data)
        decode(read.body)
    except (ProtocolError, UnreadableReply):
        return
    # Everything that was accepted is part of the input.
    assert read.body in data
    assert all(document in data for sequence in read.sequences for document in sequence.documents)
