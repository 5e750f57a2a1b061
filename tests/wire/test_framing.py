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
from wiredrv.wire.framing import Framer

ONE = message(body_section({"ok": 1}))
TWO = message(body_section({"ok": 1, "text": "two"}), request_id=8)


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
    received: list[bytes] = []
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


def test_reads_are_bounded_whatever_a_header_promises() -> None:
    framer = Framer()
    assert framer.feed(struct.pack("<iiii", 48_000_000, 1, 1, 2013)) is None
    assert 16 < framer.wanted <= 1 << 20


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
