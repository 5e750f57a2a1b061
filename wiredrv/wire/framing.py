"""Splits a stream of bytes into messages.

A message's declared length is checked as soon as its first sixteen bytes are there, before memory is allocated for it.
The usual reply arrives in one piece and is returned as the same object, without a copy. Of a large one the transport
receives all but the beginning into the memory that is returned in the end (:class:`~wiredrv.types.ReceiveBuffer`).
"""

from __future__ import annotations

from struct import Struct

from wiredrv.errors import ProtocolError
from wiredrv.types import ReceiveBuffer, Received
from wiredrv.wire.op_msg import DEFAULT_MAX_MESSAGE_SIZE, HEADER_SIZE, LARGE_MESSAGE, read_header

_LENGTH = Struct("<i")

#: How many bytes to request at once, where no large message is incomplete.
READ_SIZE = 65_536


class Framer:
    """The received part of the next message. ``max_message_size`` is set once the handshake negotiated it."""

    __slots__ = ("buffer", "max_message_size", "pending")

    def __init__(self, max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE) -> None:
        self.max_message_size = max_message_size
        #: The bytes that were received and not returned: the beginning of a message, or more. Always the same object.
        self.pending = bytearray()
        #: Where the rest of a large message belongs, of which ``pending`` then has the header; else None. What is
        #: received there is not fed, but followed by :meth:`filled`.
        self.buffer: ReceiveBuffer | None = None

    def feed(self, data: bytes) -> Received | None:
        """Add what was received; return the next whole message, or None while it is incomplete.

        :raises ProtocolError: a declared length is out of bounds.
        """
        if self.buffer is not None:
            missing = self.buffer.missing
            self.buffer.put(memoryview(data)[:missing])
            message = self.filled()
            self.pending += data[missing:]
            return message
        if not self.pending and len(data) >= HEADER_SIZE:
            (length,) = _LENGTH.unpack_from(data)
            if length == len(data) <= self.max_message_size:
                return data
        self.pending += data
        return self.next()

    def filled(self) -> bytearray | None:
        """The message in ``buffer``, if it is whole now."""
        if self.buffer is None or self.buffer.missing:
            return None
        message = self.buffer.message()
        self.buffer = None
        self.pending.clear()
        return message

    def next(self) -> Received | None:
        """The next whole message among what has arrived already, or None."""
        pending = self.pending
        if self.buffer is not None or len(pending) < HEADER_SIZE:
            return None
        length = read_header(pending, self.max_message_size).length
        if len(pending) < length:
            if length >= LARGE_MESSAGE:
                self.buffer = ReceiveBuffer(length, pending)
                del pending[HEADER_SIZE:]
            return None
        message = bytes(memoryview(pending)[:length])
        del pending[:length]
        return message

    def end(self) -> None:
        """The stream ended.

        :raises ProtocolError: it ended inside a message.
        """
        if self.pending:
            received = len(self.pending) if self.buffer is None else self.buffer.received
            raise ProtocolError(f"the peer closed the connection after {received} bytes of a message")
