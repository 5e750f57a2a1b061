"""CRC-32C compared with published test vectors, and with a plain bit-by-bit division."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiredrv.wire.checksum import crc32c


@pytest.mark.parametrize(
    "data, expected",
    [
        (b"", 0x00000000),
        (b"a", 0xC1D04330),
        (b"123456789", 0xE3069283),
        # RFC 3720, appendix B.4 (iSCSI).
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_published_vectors(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


def _by_bits(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        for position in range(8):
            bit = (register ^ (byte >> position)) & 1
            register >>= 1
            if bit:
                register ^= 0x82F63B78
    return register ^ 0xFFFFFFFF


@given(st.binary(max_size=200))
def test_it_is_the_division_by_the_castagnoli_polynomial(data: bytes) -> None:
    assert crc32c(data) == _by_bits(data)
    assert crc32c(memoryview(data)) == crc32c(data)


@given(st.binary(min_size=1, max_size=100), st.data())
def test_a_flipped_bit_changes_it(data: bytes, draw: st.DataObject) -> None:
    position = draw.draw(st.integers(0, len(data) - 1))
    bit = draw.draw(st.integers(0, 7))
    flipped = bytearray(data)
    flipped[position] ^= 1 << bit
    assert crc32c(bytes(flipped)) != crc32c(data)
