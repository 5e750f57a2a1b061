"""The lower bound: a find without a driver, once on an asyncio.Protocol and once on a non-blocking socket.

The requests are encoded before the clock starts and carry nothing that a driver would add (no session, no cluster
time); only the reply is decoded. There are no checks, no timeouts and no retries: what a driver costs above this is
what it does for its users.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from typing import Protocol, Self, cast

import anyio
import bson

from benchmarks.workload import DATABASE, STOCK_SIZE, Document, OpenClient

OP_MSG = 2013
HEADER = struct.Struct("<iiiiiB")
LENGTH = struct.Struct("<i")


def encode_find(collection: str, key: int) -> bytes:
    """A whole OP_MSG that finds one document by ``_id``."""
    command = {"find": collection, "filter": {"_id": key}, "limit": 1, "singleBatch": True, "$db": DATABASE}
    body = bson.encode(command)
    return HEADER.pack(HEADER.size + len(body), key + 1, 0, OP_MSG, 0, 0) + body


def decode_first(reply: bytes | bytearray) -> Document | None:
    """The first document of a find's reply, which is a whole OP_MSG with one body section."""
    answer: Document = bson.decode(reply[HEADER.size :])
    batch: list[Document] = answer["cursor"]["firstBatch"]
    return batch[0] if batch else None


class RawConnection(Protocol):
    async def exchange(self, request: bytes) -> bytes | bytearray:
        """Send one message and return the reply."""


class RawLoop:
    """Pre-encoded requests and the connections that are free at the moment."""

    def __init__(self, collection: str) -> None:
        self.requests = [encode_find(collection, key) for key in range(STOCK_SIZE)]
        self.free: list[RawConnection] = []

    async def find_one(self, key: int) -> Document | None:
        connection = self.free.pop()
        reply = await connection.exchange(self.requests[key])
        self.free.append(connection)
        return decode_first(reply)

    async def insert_one(self, document: Document) -> object:
        raise NotImplementedError("raw loops only find")

    async def transfer(self, giver: int, taker: int) -> int:
        raise NotImplementedError("raw loops only find")


class _ProtocolConnection(asyncio.Protocol):
    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.received = bytearray()
        self.answer: asyncio.Future[bytearray] = self.loop.create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because uvloop's transports do not derive from asyncio's class.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        received = self.received
        received += data
        if len(received) >= 4 and len(received) >= LENGTH.unpack_from(received)[0]:
            self.received = bytearray()
            self.answer.set_result(received)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc or ConnectionError("the server closed the connection"))
            self.answer.exception()

    async def exchange(self, request: bytes) -> bytearray:
        self.answer = self.loop.create_future()
        self.transport.write(request)
        return await self.answer


class RawProtocolLoop(RawLoop):
    @classmethod
    @asynccontextmanager
    async def open(cls, primary: tuple[str, int], collection: str, connections: int) -> AsyncIterator[OpenClient]:
        """Connect to `primary` `connections` times; asyncio only."""
        raw = cls(collection)
        loop = asyncio.get_running_loop()
        with ExitStack() as stack:
            for _ in range(connections):
                transport, connection = await loop.create_connection(_ProtocolConnection, *primary)
                stack.callback(transport.close)
                raw.free.append(connection)
            yield raw


class _SocketConnection:
    def __init__(self, primary: tuple[str, int]) -> None:
        self.socket = socket.create_connection(primary)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)

    async def exchange(self, request: bytes) -> bytes:
        # A find is far smaller than an empty send buffer: it goes out whole, or the assertion ends the measurement.
        assert self.socket.send(request) == len(request)
        received = await self._receive()
        wanted = LENGTH.unpack_from(received)[0]
        while len(received) < wanted:
            received += await self._receive()
        return received

    async def _receive(self) -> bytes:
        await anyio.wait_readable(self.socket)
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        anyio.notify_closing(self.socket)
        self.socket.close()


class RawSocketLoop(RawLoop):
    @classmethod
    @asynccontextmanager
    async def open(cls, primary: tuple[str, int], collection: str, connections: int) -> AsyncIterator[OpenClient]:
        """Connect to `primary` `connections` times; asyncio and trio."""
        raw = cls(collection)
        async with AsyncExitStack() as stack:
            for _ in range(connections):
                raw.free.append(await stack.enter_async_context(_SocketConnection(primary)))
            yield raw
