"""A byte stream to a server: the ``Transport`` protocol and its implementation over a plain socket.

Theory of operation: the socket is non-blocking. A send goes straight to the kernel and waits only when the kernel's
buffer is full; a receive waits until there is something to read, so every round trip passes a checkpoint. This costs
half of what a stream object with its own buffers costs.

Rules kept here:

* Errors of the operating system and of waiting for a socket become :class:`~wiredrv.errors.AutoReconnect`, with the
  server's address in the message.
* ``close`` is synchronous, may be called twice, in any task, and also when the event loop is closed. It wakes the tasks
  that wait on the socket first: a task that waits on a closed descriptor would wait for ever.
* A message that was sent in part leaves the stream unusable: :meth:`SocketTransport.send` closes it then.
* A message in several buffers is sent with one system call, without being copied into one piece first.
* A large message is received into memory of its size. What has arrived is there, also after a cancellation.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Protocol

from wiredrv import waits
from wiredrv.errors import AutoReconnect
from wiredrv.types import Address, Buffers, ReceiveBuffer

#: Whether the system can send several buffers at once (Windows cannot), and how many (POSIX systems, IOV_MAX).
_GATHERS = hasattr(socket.socket, "sendmsg")
_MOST_GATHERED = 1024


class Transport(Protocol):
    """The byte stream of a connection. Tests replay bytes and inject faults behind it."""

    async def send(self, data: Buffers) -> None:
        """Send all of ``data``, in one piece or several. A failure or a cancellation midway closes the transport."""
        ...

    async def receive(self, max_bytes: int) -> bytes:
        """Wait for some bytes, at most ``max_bytes``; empty when the peer closed the stream."""
        ...

    async def receive_into(self, buffer: ReceiveBuffer) -> bool:
        """Wait until a buffer is full; False when the peer closed the stream before."""
        ...

    def close(self, *, wake: bool = True) -> None:
        """Close the stream and wake the tasks that wait on it (not after a fork: these are the parent's)."""
        ...

    def is_readable(self) -> bool:
        """Whether bytes, or the end of the stream, wait to be read. False for a healthy idle connection."""
        ...


class SocketTransport:
    """A transport over a connected, non-blocking socket."""

    __slots__ = ("_address", "_closed", "_socket")

    def __init__(self, sock: socket.socket, address: Address) -> None:
        self._socket = sock
        self._address = address
        self._closed = False

    @property
    def address(self) -> Address:
        """The server's address."""
        return self._address

    @property
    def closed(self) -> bool:
        """Whether this side closed the stream."""
        return self._closed

    async def send(self, data: Buffers) -> None:
        if not isinstance(data, bytes):
            await self._send_gathered(data)
            return
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise self.broken(error) from error
        if sent < len(data):
            await self._send_rest([memoryview(data)[sent:]])

    async def _send_gathered(self, buffers: list[bytes]) -> None:
        rest: list[memoryview] = [memoryview(buffer) for buffer in buffers]
        try:
            rest = unsent(rest, self._write(rest))
        except BlockingIOError:
            pass
        except OSError as error:
            raise self.broken(error) from error
        if rest:
            await self._send_rest(rest)

    def _write(self, buffers: list[memoryview]) -> int:
        """Give the kernel as much as it takes; returns how many bytes that were."""
        if _GATHERS and len(buffers) > 1:
            return self._socket.sendmsg(buffers[:_MOST_GATHERED])
        return self._socket.send(buffers[0])

    async def _send_rest(self, rest: list[memoryview]) -> None:
        complete = False
        try:
            while rest:
                await waits.writable(self._socket)
                with contextlib.suppress(BlockingIOError):
                    rest = unsent(rest, self._write(rest))
            complete = True
        except (OSError, ValueError, *waits.SOCKET_ERRORS) as error:
            raise self.broken(error) from error
        finally:
            if not complete:
                self.close()

    async def receive(self, max_bytes: int) -> bytes:
        while True:
            try:
                await waits.readable(self._socket)
                return self._socket.recv(max_bytes)
            except BlockingIOError:
                continue
            except (OSError, ValueError, *waits.SOCKET_ERRORS) as error:
                raise self.broken(error) from error

    async def receive_into(self, buffer: ReceiveBuffer) -> bool:
        while buffer.missing:
            try:
                await waits.readable(self._socket)
                count = self._socket.recv_into(buffer.space())
            except BlockingIOError:
                continue
            except (OSError, ValueError, *waits.SOCKET_ERRORS) as error:
                raise self.broken(error) from error
            if not count:
                return False
            buffer.add(count)
        return True

    def receive_nowait(self, max_bytes: int) -> bytes | None:
        """The bytes that have arrived; None if there are none, empty at the end of the stream or if it broke."""
        try:
            return self._socket.recv(max_bytes)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def send_nowait(self, data: bytes) -> None:
        """Send data before closing; it is dropped if it cannot be sent immediately."""
        with contextlib.suppress(OSError):
            self._socket.send(data)

    def close(self, *, wake: bool = True) -> None:
        if self._closed:
            return
        self._closed = True
        if wake:
            # Outside a running loop no task can be waiting, and waking one is an error.
            with contextlib.suppress(Exception):
                waits.notify_closing(self._socket)
        self._socket.close()

    def is_readable(self) -> bool:
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def broken(self, error: BaseException) -> AutoReconnect:
        """The error to raise for one of the operating system, or of waiting for a socket."""
        if self._closed:
            return AutoReconnect(f"{self._address}: the connection was closed by this client while it was in use")
        return AutoReconnect(f"{self._address}: the connection broke: {reason(error)}")


async def fill(buffer: ReceiveBuffer, receive: Callable[[int], Awaitable[bytes]], most: int) -> bool:
    """Copy what ``receive`` returns into a buffer, until that is full; False if the stream ended before.

    :param receive: as :meth:`Transport.receive`.
    :param most: how many bytes to request at once.
    """
    while buffer.missing:
        data = await receive(min(buffer.missing, most))
        if not data:
            return False
        buffer.put(data)
    return True


def unsent(buffers: list[memoryview], sent: int) -> list[memoryview]:
    """What is left of buffers whose first ``sent`` bytes were sent."""
    for position, buffer in enumerate(buffers):
        if sent < len(buffer):
            return [buffer[sent:], *buffers[position + 1 :]]
        sent -= len(buffer)
    return []


def reason(error: BaseException) -> str:
    """The message of an error of the operating system, without its number."""
    text = getattr(error, "strerror", None) or str(error)
    return str(text) if text else type(error).__name__
