"""How the client reaches the deployment: in memory, or through a socket pair and the driver's own socket transport.

The peer computes its answer while the client sends, so there are no tasks and no threads on its side.
"""

from __future__ import annotations

import contextlib
import socket
from dataclasses import replace

import anyio
import anyio.lowlevel

from tests.fuzz.deployment import Deployment, Peer
from wiredrv.errors import AutoReconnect
from wiredrv.net.asyncio_transport import socket_transport
from wiredrv.net.dial import Dialer
from wiredrv.net.settings import NetSettings, TLSSettings
from wiredrv.net.transport import Transport, fill
from wiredrv.types import Address, Buffers, ReceiveBuffer

#: Seconds until a piece of a reply arrives. Some time must pass, or a loop with a time limit would never reach it.
LATENCY = 0.001


class MemoryTransport:
    """A byte stream to a peer without a socket."""

    def __init__(self, peer: Peer, address: Address) -> None:
        self._peer = peer
        self._address = address
        self._closing = anyio.Event()
        self._closed = False

    async def send(self, data: Buffers) -> None:
        if self._closed or self._peer.closed:
            self.close()
            raise AutoReconnect(f"{self._address}: the connection broke: Broken pipe")
        self._peer.feed(data if isinstance(data, bytes) else b"".join(data))

    async def receive(self, max_bytes: int) -> bytes:
        peer = self._peer
        while True:
            if self._closed:
                raise AutoReconnect(f"{self._address}: the connection was closed by this client while it was in use")
            if peer.outgoing:
                await anyio.sleep(LATENCY)
                if peer.outgoing and not self._closed:
                    return peer.take(max_bytes)
            elif peer.closed:
                await anyio.lowlevel.checkpoint()
                return b""
            else:
                with anyio.move_on_after(peer.pause):
                    await self._closing.wait()
                    continue
                peer.push()

    async def receive_into(self, buffer: ReceiveBuffer) -> bool:
        return await fill(buffer, self.receive, 1 << 20)

    def close(self, *, wake: bool = True) -> None:
        if not self._closed:
            self._closed = True
            with contextlib.suppress(RuntimeError):  # no event loop runs: no task waits
                self._closing.set()

    def is_readable(self) -> bool:
        return bool(self._peer.outgoing) or self._peer.closed


class PumpedTransport:
    """The driver's own transport over one end of a socket pair; the peer's end is read and written in between."""

    def __init__(self, peer: Peer, address: Address) -> None:
        ours, self._far = socket.socketpair()
        ours.setblocking(False)
        self._far.setblocking(False)
        self._inner = socket_transport(ours, address)
        self._peer = peer
        self._closed = False
        self._under_way = 0

    async def send(self, data: Buffers) -> None:
        await self._inner.send(data)
        with contextlib.suppress(BlockingIOError, OSError):
            while sent := self._far.recv(1 << 20):
                self._peer.feed(sent)
        self._pump()

    async def receive(self, max_bytes: int) -> bytes:
        self._pump()
        peer = self._peer
        if not self._under_way and not peer.closed and peer.pause is not None:
            await anyio.sleep(peer.pause)
            peer.push()
            self._pump()
        await anyio.sleep(LATENCY)
        data = await self._inner.receive(max_bytes)
        self._under_way -= len(data)
        return data

    async def receive_into(self, buffer: ReceiveBuffer) -> bool:
        return await fill(buffer, self.receive, 1 << 20)

    def _pump(self) -> None:
        """Pass on what the peer sent: all of it in one segment, as a network may."""
        with contextlib.suppress(OSError):
            while self._peer.outgoing:
                piece = self._peer.take(1 << 16)
                self._far.send(piece)
                self._under_way += len(piece)
            if self._peer.closed:
                self._far.shutdown(socket.SHUT_RDWR)

    def close(self, *, wake: bool = True) -> None:
        if not self._closed:
            self._closed = True
            self._inner.close(wake=wake)
            self._far.close()

    def is_readable(self) -> bool:
        self._pump()
        return self._inner.is_readable()


class FuzzDialer(Dialer):
    """Connects to the members of the deployment; the driver's own dialer gets the rest, which does not exist."""

    __slots__ = ("_deployment",)

    def __init__(self, settings: NetSettings, deployment: Deployment) -> None:
        super().__init__(settings)
        self._deployment = deployment

    def without_socket_timeout(self) -> FuzzDialer:
        return FuzzDialer(replace(self.settings, socket_timeout=None), self._deployment)

    async def open(self, address: Address, tls: TLSSettings | None = None) -> Transport:
        if address not in self._deployment.members:
            return await super().open(address)
        await anyio.sleep(LATENCY)
        peer = self._deployment.accept(address)
        if peer is None:
            raise AutoReconnect(f"{address}: cannot connect: Connection refused")
        return PumpedTransport(peer, address) if self._deployment.sockets else MemoryTransport(peer, address)
