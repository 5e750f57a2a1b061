"""A byte stream to a server: the ``Transport`` protocol and its one implementation over a socket.

Theory of operation: the socket is non-blocking. A send goes straight to the kernel and waits only when the kernel's
buffer is full; a receive waits until there is something to read, so every round trip passes a checkpoint. This costs
half of what a stream object with its own buffers costs.

Rules kept here:

* Errors of the operating system and of anyio become :class:`~wiredrv.errors.AutoReconnect` or
  :class:`~wiredrv.errors.NetworkTimeout`, with the server's address in the message.
* ``close`` is synchronous, may be called twice, in any task, and also when the event loop is gone. It wakes whoever
  waits on the socket first: a task that waits on a closed descriptor would wait for ever.
* A message that was sent in part leaves the stream unusable: :meth:`SocketTransport.send` closes it then.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Protocol

import anyio

from wiredrv.errors import AutoReconnect, ConfigurationError, NetworkTimeout
from wiredrv.net.settings import NetSettings
from wiredrv.types import Address


class HostNotResolved(AutoReconnect):
    """DNS knows no such host: never a sign of an overloaded server."""


class Transport(Protocol):
    """What a connection needs of a byte stream. Tests replay bytes and inject faults behind it."""

    async def send(self, data: bytes) -> None:
        """Send all of ``data``. If that fails or is cancelled half-way, the transport is closed."""
        ...

    async def receive(self, max_bytes: int) -> bytes:
        """Wait for some bytes, at most ``max_bytes``; empty when the peer closed the stream."""
        ...

    def close(self, *, wake: bool = True) -> None:
        """Close the stream and wake whoever waits on it (not after a fork: the waiters are the parent's)."""
        ...

    def is_readable(self) -> bool:
        """Whether bytes, or the end of the stream, wait to be read. An idle connection must answer no."""
        ...


class SocketTransport:
    """A transport over a connected, non-blocking socket."""

    __slots__ = ("_address", "_closed", "_socket")

    def __init__(self, sock: socket.socket, address: Address) -> None:
        self._socket = sock
        self._address = address
        self._closed = False

    async def send(self, data: bytes) -> None:
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise self._broken(error) from error
        if sent < len(data):
            await self._send_rest(memoryview(data)[sent:])

    async def _send_rest(self, rest: memoryview) -> None:
        complete = False
        try:
            while rest:
                await anyio.wait_writable(self._socket)
                with contextlib.suppress(BlockingIOError):
                    rest = rest[self._socket.send(rest) :]
            complete = True
        except (OSError, ValueError, anyio.ClosedResourceError, anyio.BusyResourceError) as error:
            raise self._broken(error) from error
        finally:
            if not complete:
                self.close()

    async def receive(self, max_bytes: int) -> bytes:
        while True:
            try:
                await anyio.wait_readable(self._socket)
                return self._socket.recv(max_bytes)
            except BlockingIOError:
                continue
            except (OSError, ValueError, anyio.ClosedResourceError, anyio.BusyResourceError) as error:
                raise self._broken(error) from error

    def close(self, *, wake: bool = True) -> None:
        if self._closed:
            return
        self._closed = True
        if wake:
            # Outside a running loop nobody can be waiting, and anyio has no backend to ask.
            with contextlib.suppress(Exception):
                anyio.notify_closing(self._socket)
        self._socket.close()

    def is_readable(self) -> bool:
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def _broken(self, error: BaseException) -> AutoReconnect:
        if self._closed:
            return AutoReconnect(f"{self._address}: the connection was closed by this client while it was in use")
        return AutoReconnect(f"{self._address}: the connection broke: {_reason(error)}")


async def open_transport(address: Address, settings: NetSettings) -> Transport:
    """Connect to a server over TCP or, for an address without a port, a Unix socket.

    The caller bounds the time; being cancelled leaves no socket open.

    :raises AutoReconnect: no address that the name resolves to accepted the connection.
    :raises ConfigurationError: TLS is asked for, which this version does not speak.
    """
    if settings.tls is not None:
        raise ConfigurationError("tls=true: this version does not speak TLS yet; connect without it")
    if address.port is None:
        return SocketTransport(await _connect(socket.AF_UNIX, address.host, address), address)
    failure: AutoReconnect | None = None
    for family, target in await _resolve(address.host, address.port):
        try:
            return SocketTransport(await _connect(family, target, address), address)
        except AutoReconnect as error:
            failure = failure or error
    raise failure or AutoReconnect(f"{address}: the host name resolves to no address")


async def _resolve(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    for family in (socket.AF_INET, socket.AF_INET6):
        # A literal address needs no look-up, which would cost a thread.
        with contextlib.suppress(OSError):
            socket.inet_pton(family, host)
            return [(family, (host, port))]
    try:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise HostNotResolved(f"{host}:{port}: the host name cannot be resolved: {_reason(error)}") from error
    except UnicodeError as error:
        raise HostNotResolved(f"{host}:{port}: the host name is not valid: {_reason(error)}") from error
    return [(family, (str(sockaddr[0]), port)) for family, _type, _protocol, _name, sockaddr in found]


async def _connect(family: socket.AddressFamily, target: str | tuple[str, int], address: Address) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    connected = False
    try:
        sock.setblocking(False)
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _keep_alive(sock)
        with contextlib.suppress(BlockingIOError):
            sock.connect(target)
        await anyio.wait_writable(sock)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        connected = True
        return sock
    except TimeoutError as error:
        raise NetworkTimeout(f"{address}: connecting timed out: {_reason(error)}") from error
    except OSError as error:
        raise AutoReconnect(f"{address}: cannot connect: {_reason(error)}") from error
    finally:
        if not connected:
            sock.close()


def _keep_alive(sock: socket.socket) -> None:
    """Ask the kernel to notice a peer that vanished; values (120 s idle, then 9 probes, 10 s apart)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 120), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 9)):
        option = getattr(socket, name, None)
        if option is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return str(text) if text else type(error).__name__
