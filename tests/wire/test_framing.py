"""The framer: a stream of bytes, however it is split, yields its messages; a wrong length allocates no memory."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.messages import body_section, message
from wiredrv.errors import ProtocolError
from wiredrv.types import Received
from wiredrv.wire.framing import READ_SIZE, Framer
from wiredrv.wire.op_msg import LARGE_MESSAGE

ONE = message(body_section({"ok": 1}))
TWO = message(body_section({"ok": 1, "text": "two"}), request_id=8)


def sized(length: int) -> bytes:
    """A message of so many bytes."""
    data = bytes(range(251)) * (length // 251 + 1)
    return message(body_section({"data": data[: length - len(message(body_section({"data": b""})))]}))


def test_a_message_in_one_piece_leaves_uncopied() -> None:
    framer = Framer()
    assert framer.feed(ONE) is ONE
    assert not framer.pending


def test_a_message_byte_by_byte_is_whole_at_the_last_byte() -> None:
    framer = Framer()
    for position in range(len(ONE) - 1):
        assert framer.feed(ONE[position : position + 1]) is None
    assert framer.feed(ONE[-1:]) == ONE
    assert not framer.pending


def test_what_follows_a_message_waits_for_its_turn() -> None:
    framer = Framer()
    assert framer.feed(ONE + TWO + ONE[:5]) == ONE
    assert framer.next() == TWO
    assert framer.next() is None
    assert framer.pending
    assert framer.feed(ONE[5:]) == ONE


@given(st.lists(st.sampled_from([ONE, TWO]), max_size=6), st.lists(st.integers(1, 40), min_size=1))
def test_any_cut_of_a_stream_gives_the_same_messages(sent: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(sent)
    framer = Framer()
    received: list[Received] = []
    position = turn = 0
    while position < len(stream):
        size = cuts[turn % len(cuts)]
        turn += 1
        found = framer.feed(stream[position : position + size])
        position += size
        while found is not None:
            received.append(found)
            found = framer.next()
    assert received == sent
    framer.end()


@pytest.mark.parametrize("length", [0, 15, -1, 1001, 2**31 - 1])
def test_a_length_out_of_bounds_is_refused_once_the_header_is_there(length: int) -> None:
    header = struct.pack("<iiii", length, 1, 1, 2013)
    framer = Framer(max_message_size=1000)
    assert framer.feed(header[:15]) is None
    with pytest.raises(ProtocolError, match=str(length)):
        framer.feed(header[15:])


def test_a_whole_message_over_the_negotiated_size_is_refused() -> None:
    framer = Framer(max_message_size=len(ONE) - 1)
    with pytest.raises(ProtocolError, match="declared"):
        framer.feed(ONE)


def test_a_huge_declared_length_takes_no_memory_before_it_is_refused() -> None:
    framer = Framer()
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            framer.feed(struct.pack("<iiii", 2**31 - 1, 1, 1, 2013))
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_an_http_server_is_recognized() -> None:
    with pytest.raises(ProtocolError, match="an HTTP server answered, not a MongoDB server"):
        Framer().feed(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def test_memory_is_bounded_whatever_a_header_promises() -> None:
    framer = Framer()
    tracemalloc.start()
    try:
        assert framer.feed(struct.pack("<iiii", 48_000_000, 1, 1, 2013)) is None
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
        for _ in range(60):
            assert framer.feed(bytes(100_000)) is None
        # Twice what has arrived, and half of that while the memory is doubled.
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


LENGTHS = [LARGE_MESSAGE + more for more in (-1, 0, 1, READ_SIZE - 1, READ_SIZE, READ_SIZE + 1)]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("first", [1, 15, 16, 17, 40, READ_SIZE - 1, READ_SIZE])
def test_a_large_message_is_received_into_memory_of_its_size(length: int, first: int) -> None:
    sent = sized(length)
    first = min(first, length - 1)
    framer = Framer()
    for start in range(0, first, 16):
        assert framer.feed(sent[start : min(start + 16, first)]) is None
    received: Received | None = None
    position = first
    while received is None:
        if framer.buffer is None:
            received = framer.feed(sent[position : position + READ_SIZE])
            position += READ_SIZE
            continue
        assert framer.pending, "a message is incomplete"
        position = length - framer.buffer.missing
        piece = sent[position : position + 1000]
        framer.buffer.space()[: len(piece)] = piece
        framer.buffer.add(len(piece))
        assert framer.next() is None
        received = framer.filled()
    assert received == sent
    assert framer.buffer is None
    assert not framer.pending
    assert framer.feed(ONE) is ONE


@pytest.mark.parametrize("length", [*LENGTHS, 9_000_000])
def test_what_is_fed_of_a_large_message_and_after_it_is_not_lost(length: int) -> None:
    sent = sized(length)
    framer = Framer()
    assert framer.feed(sent[:50_000]) is None
    assert framer.feed(sent[50_000:60_000]) is None
    assert framer.feed(sent[60_000:] + TWO + ONE[:20]) == sent
    assert framer.next() == TWO
    assert framer.next() is None
    assert framer.feed(ONE[20:]) == ONE


def test_an_end_inside_a_large_message_says_how_much_had_arrived() -> None:
    framer = Framer()
    assert framer.feed(sized(1_000_000)[:300_000]) is None
    with pytest.raises(ProtocolError, match="after 300000 bytes"):
        framer.end()


def test_an_end_between_messages_is_no_error() -> None:
    framer = Framer()
    assert framer.feed(ONE) == ONE
    framer.end()


@pytest.mark.parametrize("received", [1, 16, len(ONE) - 1])
def test_an_end_inside_a_message_is_an_error(received: int) -> None:
    framer = Framer()
    assert framer.feed(ONE[:received]) is None
    with pytest.raises(ProtocolError, match=f"after {received} bytes"):
        framer.end()


@given(st.lists(st.binary(max_size=64), max_size=20))
def test_random_bytes_are_messages_or_a_protocol_error(chunks: list[bytes]) -> None:
    framer = Framer()
    with contextlib.suppress(ProtocolError):
        for chunk in chunks:
            found = framer.feed(chunk)
            while found is not None:
                assert len(found) >= 16
                found = framer.next()
