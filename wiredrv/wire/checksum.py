"""CRC-32C (Castagnoli), the checksum of OP_MSG.

Implemented here because the standard library has only CRC-32. A server sends a checksum only to clients that send one,
which this driver never does, so the speed of a table is enough.
"""

from __future__ import annotations

_POLYNOMIAL = 0x82F63B78


def _entry(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ _POLYNOMIAL if value & 1 else value >> 1
    return value


_TABLE = tuple(_entry(value) for value in range(256))


def crc32c(data: bytes | memoryview) -> int:
    """The CRC-32C of ``data`` as an unsigned 32-bit number."""
    crc = 0xFFFFFFFF
    table = _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF
