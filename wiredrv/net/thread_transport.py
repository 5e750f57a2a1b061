"""The socket transport of synchronous clients: a wait blocks the thread, with the client unlocked.

Rules kept here:

* What listeners are to be told before a command is sent is delivered first.
* A thread that waits for the socket closes it itself. Another thread that closes the transport meanwhile shuts the
  stream down, which ends that wait: a descriptor that is closed during a wait may belong to another socket by then.
"""

from __future__ import annotations

import socket

from wiredrv.net.transport import SocketTransport, fill
from wiredrv.types import Address, Buffers, ReceiveBuffer
from wiredrv.waits.thread_call import current, shut_down, socket_waiter

#: How many bytes of a large message are received at a time.
_MOST_COPIED = 262_144


class ThreadSocketTransport(SocketTransport):
    """A :class:`SocketTransport` whose waits block the calling thread."""

    __slots__ = ("_is_waited_for", "_until_readable")

    def __init__(self, sock: socket.socket, address: Address) -> None:
        super().__init__(sock, address)
        self._until_readable = socket_waiter(sock)
        self._is_waited_for = False

    async def send(self, data: Buffers) -> None:
        current().deliver_now()
        if self._closed:
            raise self.broken(OSError())
        await super().send(data)

    async def _send_rest(self, rest: list[memoryview]) -> None:
        self._is_waited_for = True
        try:
            await super()._send_rest(rest)
        finally:
            self._wait_is_over()

    async def receive(self, max_bytes: int) -> bytes:
        while True:
            self._is_waited_for = True
            try:
                current().wait(self._until_readable, self._wake)
            except (OSError, ValueError) as error:
                raise self.broken(error) from error
            finally:
                self._wait_is_over()
            try:
                return self._socket.recv(max_bytes)
            except BlockingIOError:
                continue
            except OSError as error:
                raise self.broken(error) from error

    async def receive_into(self, buffer: ReceiveBuffer) -> bool:
        return await fill(buffer, self.receive, _MOST_COPIED)

    def _wake(self) -> None:
        shut_down(self._socket)

    def _wait_is_over(self) -> None:
        self._is_waited_for = False
        if self._closed:
            self._socket.close()

    def close(self, *, wake: bool = True) -> None:
        if not self._closed:
            self._closed = True
            if self._is_waited_for and wake:
                shut_down(self._socket)
            else:
                self._socket.close()
