"""The memory that a large message is received into: filled in any steps, never much larger than what has arrived."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiredrv import types
from wiredrv.types import ReceiveBuffer


@given(
    length=st.integers(2, 70_000),
    beginning=st.integers(0, 69_999),
    steps=st.lists(st.tuples(st.booleans(), st.integers(1, 9_000)), min_size=1),
    first=st.integers(1, 5_000),
)
def test_a_buffer_has_what_was_received_in_any_steps(
    length: int, beginning: int, steps: list[tuple[bool, int]], first: int
) -> None:
    sent = (bytes(range(251)) * 300)[:length]
    beginning = min(beginning, length - 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(types, "_FIRST_MEMORY", first)
        buffer = ReceiveBuffer(length, sent[:beginning])
        turn = 0
        while buffer.missing:
            assert buffer.received == length - buffer.missing
            put, size = steps[turn % len(steps)]
            turn += 1
            piece = sent[buffer.received : buffer.received + size]
            if put:
                buffer.put(piece)
                continue
            space = buffer.space()
            assert 0 < len(space) <= buffer.missing
            count = min(len(space), len(piece))
            space[:count] = piece[:count]
            del space
            buffer.add(count)
    assert buffer.message() == sent


def test_more_than_is_missing_is_refused() -> None:
    buffer = ReceiveBuffer(4, b"abc")
    with pytest.raises(ValueError, match="2 bytes where 1 are missing"):
        buffer.put(b"de")
    buffer.put(b"d")
    assert buffer.message() == b"abcd"


@pytest.mark.parametrize("length", [(1 << 22) - 1, 1 << 22, (1 << 22) + 1, 16_800_000, 48_000_000])
def test_memory_grows_with_what_arrives(length: int) -> None:
    tracemalloc.start()
    try:
        buffer = ReceiveBuffer(length, b"")
        while buffer.missing:
            assert tracemalloc.get_traced_memory()[0] < max(2 * buffer.received, 1 << 22) + 20_000
            buffer.add(min(1 << 20, len(buffer.space())))
        assert len(buffer.message()) == length
        # Memory that is rounded up to what can be doubled.
        assert tracemalloc.get_traced_memory()[1] < length + 20_000
    finally:
        tracemalloc.stop()
