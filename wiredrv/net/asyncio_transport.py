"""The socket transport on asyncio: the socket stays registered with the loop while the connection lives.

A separate wait for each reply registers the socket before the wait and removes it afterwards: two system calls, and as
many turns through the selector, for every reply. Here the loop's own callback reads the bytes as they come; a round
trip is then one send, one wait of the loop and one receive. On trio, whose own wait costs no more than this, the plain
transport is used.

Rules kept here:

* Bytes are read only while a task waits for them, or has waited and not yet run again. Anything else that arrives
  (usually the end of the stream) stays in the kernel for :meth:`is_readable` to see, and the socket is removed from the
  loop.
* A receive that is cancelled loses nothing: bytes that came meanwhile are kept for the next one.
* A task that waits for a large message is woken once: when its buffer is full, or the stream has ended.
"""

from __future__ import annotations

import contextlib
import socket

from wiredrv.net.transport import SocketTransport
from wiredrv.types import Address, ReceiveBuffer
from wiredrv.waits import ReaderLoop, Waiter, backend, reader_loop

#: How many bytes may be buffered here for a task that does not get to run.
_MOST_KEPT = 1 << 20


class AsyncioSocketTransport(SocketTransport):
    """A :class:`SocketTransport` whose receives are served by the loop's callback."""

    __slots__ = ("_arrived", "_buffer", "_failure", "_loop", "_registered", "_waiter", "_wanted")

    def __init__(self, sock: socket.socket, address: Address, loop: ReaderLoop) -> None:
        super().__init__(sock, address)
        self._loop = loop
        self._registered = False
        self._waiter: Waiter | None = None
        self._wanted = 0
        self._arrived: bytes | None = None
        #: What the task waits for instead of a few bytes.
        self._buffer: ReceiveBuffer | None = None
        self._failure: OSError | None = None

    async def receive(self, max_bytes: int) -> bytes:
        if self._arrived is None and self._failure is None:
            waiter = self._waiter = self._loop.create_future()
            self._wanted = max_bytes
            if not self._registered:
                self._register()
            try:
                await waiter
            finally:
                self._waiter = None
        arrived, self._arrived = self._arrived, None
        if arrived is None:
            failure = self._failure or OSError("the connection was closed")
            raise self.broken(failure) from failure
        return arrived

    async def receive_into(self, buffer: ReceiveBuffer) -> bool:
        arrived, self._arrived = self._arrived, None
        if arrived is not None:  # for a receive that was cancelled
            self._arrived = arrived[buffer.missing :] or None
            buffer.put(arrived[: buffer.missing])
        if buffer.missing and self._failure is None:
            waiter = self._waiter = self._loop.create_future()
            self._buffer = buffer
            if not self._registered:
                self._register()
            try:
                await waiter
            finally:
                self._waiter = self._buffer = None
        if buffer.missing and self._failure is not None:
            raise self.broken(self._failure) from self._failure
        return not buffer.missing

    def _register(self) -> None:
        try:
            self._loop.add_reader(self._socket, self._on_readable)
        except (OSError, ValueError) as error:
            raise self.broken(error) from error
        self._registered = True

    def _unregister(self) -> None:
        if self._registered:
            self._registered = False
            self._loop.remove_reader(self._socket)

    def _on_readable(self) -> None:
        waiter = self._waiter
        if waiter is None or (self._arrived is not None and len(self._arrived) >= _MOST_KEPT):
            self._unregister()
            return
        if self._buffer is not None:
            self._fill(self._buffer, waiter)
            return
        try:
            data = self._socket.recv(self._wanted)
        except BlockingIOError:
            return
        except OSError as error:
            self._failure = error
            self._unregister()
        else:
            if not data and self._arrived:
                # The next receive reports the end; it stays readable.
                self._unregister()
                return
            self._arrived = data if self._arrived is None else self._arrived + data
        if not waiter.done():
            waiter.set_result(None)

    def _fill(self, buffer: ReceiveBuffer, waiter: Waiter) -> None:
        """Receive into a buffer, and wake its task if there is nothing more to wait for."""
        if waiter.done():
            self._unregister()  # before the task runs, as when no task waits
            return
        try:
            count = self._socket.recv_into(buffer.space())
        except BlockingIOError:
            return
        except OSError as error:
            self._failure = error
            self._unregister()
        else:
            buffer.add(count)
            if count and buffer.missing:
                return
        waiter.set_result(None)

    def receive_nowait(self, max_bytes: int) -> bytes | None:
        arrived, self._arrived = self._arrived, None
        return super().receive_nowait(max_bytes) if arrived is None else arrived

    def close(self, *, wake: bool = True) -> None:
        if self._closed:
            return
        if wake:
            with contextlib.suppress(RuntimeError):  # the loop is closed: no task waits
                self._unregister()
                if self._waiter is not None and not self._waiter.done():
                    self._failure = OSError("the connection was closed")
                    self._waiter.set_result(None)
        super().close(wake=wake)

    def is_readable(self) -> bool:
        return self._arrived is not None or super().is_readable()


def socket_transport(sock: socket.socket, address: Address) -> SocketTransport:
    """The transport for the running event loop, or for a synchronous call."""
    if backend() == "threads":
        from wiredrv.net.thread_transport import ThreadSocketTransport

        return ThreadSocketTransport(sock, address)
    loop = reader_loop()
    return SocketTransport(sock, address) if loop is None else AsyncioSocketTransport(sock, address, loop)
