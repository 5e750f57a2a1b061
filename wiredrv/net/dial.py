"""Connects to servers: resolves the name, opens the socket, starts TLS if it is configured.

Rules kept here:

* Errors of the operating system become :class:`~wiredrv.errors.AutoReconnect` or
  :class:`~wiredrv.errors.NetworkTimeout`, with the server's address in the message.
* A cancellation leaves no socket open.
* What is expensive to create (the TLS context) or worth keeping (TLS sessions) belongs to the :class:`Dialer`; a client
  has one.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from wiredrv import waits
from wiredrv.errors import AutoReconnect, NetworkTimeout
from wiredrv.net.asyncio_transport import socket_transport
from wiredrv.net.settings import NetSettings, TLSSettings
from wiredrv.net.tls import TLSContext, start_tls
from wiredrv.net.transport import SocketTransport, Transport, reason
from wiredrv.types import Address


class HostNotResolved(AutoReconnect):
    """DNS has no such host: never a sign of an overloaded server."""


class TLSContexts:
    """The TLS contexts of a client: that of its options and, if its files are given anew for each connection, the last
    one of these.

    :raises ConfigurationError: a file that the options name cannot be used.
    """

    __slots__ = ("_last", "first")

    def __init__(self, settings: TLSSettings) -> None:
        #: The context of the client's options.
        self.first = TLSContext(settings)
        self._last: tuple[object, TLSContext] | None = None

    async def of(self, settings: TLSSettings) -> TLSContext:
        """The context of these settings. It is made anew if they, or the files that they name, have changed.

        :raises ConfigurationError: a file that they name cannot be used.
        """
        state, context = await waits.to_thread(partial(self._renewed, settings))
        self._last = state, context
        return context

    def _renewed(self, settings: TLSSettings) -> tuple[object, TLSContext]:
        state = (settings, *map(_state_of, (settings.ca_file, settings.certificate_key_file)))
        last = self._last
        # A new context has no sessions to resume: the server sees the new certificate.
        return last if last is not None and last[0] == state else (state, TLSContext(settings))


def _state_of(file: str | None) -> tuple[int, int, int] | None:
    """What changes when a file is written or replaced."""
    if file is None:
        return None
    try:
        found = os.stat(file)
    except OSError:
        return None  # The context says what is wrong with it.
    return found.st_mtime_ns, found.st_size, found.st_ino


class Dialer:
    """Opens transports according to ``settings``.

    :param contexts: those of another dialer of the same client; None creates them if the settings require TLS.
    :raises ConfigurationError: a file that the TLS options name cannot be used.
    """

    __slots__ = ("_contexts", "settings")

    def __init__(self, settings: NetSettings, contexts: TLSContexts | None = None) -> None:
        self.settings = settings
        self._contexts = contexts
        if contexts is None and settings.tls is not None:
            self._contexts = TLSContexts(settings.tls)

    def without_socket_timeout(self) -> Dialer:
        """A dialer that shares everything with this one, for callers that limit every read themselves."""
        return Dialer(replace(self.settings, socket_timeout=None), self._contexts)

    async def open(self, address: Address, tls: TLSSettings | None = None) -> Transport:
        """Connect to a server over TCP or, for an address without a port, a Unix socket.

        The caller limits the time; a cancellation leaves no socket open.

        :param tls: the settings of TLS for this connection; None for those of ``settings``.
        :raises ConfigurationError: a file that they name cannot be used.
        :raises AutoReconnect: no address that the name resolves to accepted the connection, or (TLSRefused) the two
            sides did not agree on TLS.
        """
        if self._contexts is None:
            return await _open_socket(address)
        context = self._contexts.first if tls is None else await self._contexts.of(tls)
        return await start_tls(await _open_socket(address), context)


async def _open_socket(address: Address) -> SocketTransport:
    failure: AutoReconnect | None = None
    for family, target in await resolve(address):
        try:
            return await open_target(family, target, address)
        except AutoReconnect as error:
            failure = failure or error
    raise failure or AutoReconnect(f"{address}: the host name resolves to no address")


#: Where a socket is connected to: a host's address and a port, or the path of a Unix socket.
Target: TypeAlias = str | tuple[str, int]


async def resolve(address: Address) -> Sequence[tuple[socket.AddressFamily, Target]]:
    """What a server's address stands for: the targets of its host name, in the order in which they are tried.

    :raises HostNotResolved: it stands for none.
    """
    host, port = address
    if port is None:
        return [(socket.AF_UNIX, host)]
    for family in (socket.AF_INET, socket.AF_INET6):
        # A literal address needs no look-up, which would cost a thread.
        with contextlib.suppress(OSError, ValueError):
            socket.inet_pton(family, host)
            return [(family, (host, port))]
    try:
        return await waits.addresses_of(host, port)
    except OSError as error:
        raise HostNotResolved(f"{host}:{port}: the host name cannot be resolved: {reason(error)}") from error
    except ValueError as error:  # not encodable as a host name, or with a NUL in it
        raise HostNotResolved(f"{host}:{port}: the host name is not valid: {reason(error)}") from error


async def open_target(family: socket.AddressFamily, target: Target, address: Address) -> SocketTransport:
    """Connect to one target.

    :param address: the server's, for messages and for the name that TLS checks.
    :raises AutoReconnect: it does not accept the connection, or (NetworkTimeout) the system gave up.
    """
    return socket_transport(await _connect(family, target, address), address)


async def _connect(family: socket.AddressFamily, target: Target, address: Address) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    connected = False
    try:
        sock.setblocking(False)
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _keep_alive(sock)
        with contextlib.suppress(BlockingIOError):
            sock.connect(target)
        await waits.writable(sock)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        connected = True
        return sock
    except TimeoutError as error:
        raise NetworkTimeout(f"{address}: connecting timed out: {reason(error)}") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        raise AutoReconnect(f"{address}: cannot connect: {reason(error)}") from error
    finally:
        if not connected:
            sock.close()


def _keep_alive(sock: socket.socket) -> None:
    """Have the kernel detect a peer that vanished; values (120 s idle, then 9 probes, 10 s apart)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 120), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 9)):
        option = getattr(socket, name, None)
        if option is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
