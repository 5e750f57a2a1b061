"""Splits a stream of bytes into messages.

A message's declared length is checked as soon as its first sixteen bytes are there, before memory is allocated for it.
The usual reply arrives in one piece and is returned as the same object, without a copy.
"""

from __future__ import annotations

from struct import Struct

from wiredrv.errors import ProtocolError
from wiredrv.wire.op_msg import DEFAULT_MAX_MESSAGE_SIZE, HEADER_SIZE, read_header

_LENGTH = Struct("<i")
_READ_AHEAD = 65_536
_LARGEST_READ = 1 << 20


class Framer:
    """The received part of the next message. ``max_message_size`` is set once the handshake negotiated it."""

    __slots__ = ("_missing", "_pieces", "max_message_size", "pending", "wanted")

    def __init__(self, max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE) -> None:
        self.max_message_size = max_message_size
        #: The bytes that were received and not returned: the beginning of a message, or more. Always the same object.
        self.pending = bytearray()
        #: How many bytes a read should request.
        self.wanted = _READ_AHEAD
        #: What was received of the message that begins in ``pending``, besides that, and how much is missing.
        self._pieces: list[bytes] = []
        self._missing = 0

    def feed(self, data: bytes) -> bytes | None:
        """Add what was received; return the next whole message, or None while it is incomplete.

        :raises ProtocolError: a declared length is out of bounds.
        """
        if self._missing:
            return self._continue(data)
        if not self.pending and len(data) >= HEADER_SIZE:
            (length,) = _LENGTH.unpack_from(data)
            if length == len(data) <= self.max_message_size:
                return data
        self.pending += data
        return self.next()

    def _continue(self, data: bytes) -> bytes | None:
        """Add to a message whose length is known. Its pieces are joined once, when it is complete."""
        missing = self._missing
        if len(data) < missing:
            self._pieces.append(data)
            self._expect(missing - len(data))
            return None
        message = b"".join((self.pending, *self._pieces, memoryview(data)[:missing]))
        self._pieces.clear()
        self._missing = 0
        self.wanted = _READ_AHEAD
        self.pending[:] = data[missing:]
        return message

    def _expect(self, missing: int) -> None:
        self._missing = missing
        self.wanted = min(max(missing, _READ_AHEAD), _LARGEST_READ)

    def next(self) -> bytes | None:
        """The next whole message among what has arrived already, or None."""
        buffer = self.pending
        if self._missing:
            return None
        self.wanted = _READ_AHEAD
        if len(buffer) < HEADER_SIZE:
            return None
        length = read_header(buffer, self.max_message_size).length
        if len(buffer) < length:
            self._expect(length - len(buffer))
            return None
        message = bytes(buffer[:length])
        del buffer[:length]
        return message

    def end(self) -> None:
        """The stream ended.

        :raises ProtocolError: it ended inside a message.
        """
        if self.pending:
            received = len(self.pending) + sum(map(len, self._pieces))
            raise ProtocolError(f"the peer closed the connection after {received} bytes of a message")
