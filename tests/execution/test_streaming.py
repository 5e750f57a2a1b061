"""Streamed replies, against a scripted server: who sends what, and what happens to the connection.

OP_MSG specification, "moreToCome On Responses", "exhaustAllowed".
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import bson
import pytest

from tests.support.fake_server import FakeServer, with_sessions
from tests.support.waiting import until
from wiredrv import Client, CursorType, _introspect
from wiredrv.errors import AutoReconnect
from wiredrv.wire.op_msg import EXHAUST_ALLOWED, MORE_TO_COME, decode_message, encode_message

pytestmark = pytest.mark.anyio


class Streamer(FakeServer):
    """Answers each getMore that allows it with several replies: ``streams`` has their numbers of documents."""

    def __init__(self, streams: Sequence[Sequence[int]]) -> None:
        super().__init__(with_sessions())
        self.streams = list(streams)
        self.allowed: list[bool] = []
        self._ids = 100
        self._next = 0

    @property
    def names(self) -> list[str]:
        """The commands that read."""
        return [name for name in map(next, map(iter, self.commands)) if name in ("find", "getMore")]

    def _reply(self, connection: socket.socket, data: bytes) -> None:
        message = decode_message(data)
        command = bson.decode(message.body)
        if "find" in command:
            self.commands.append(command)
            self._send(connection, "firstBatch", 1, message.request_id, more=False)
        elif "getMore" in command:
            self.commands.append(command)
            self.allowed.append(bool(message.flags & EXHAUST_ALLOWED))
            stream = self.streams.pop(0)
            answers = message.request_id
            for place, count in enumerate(stream, 1):
                answers = self._send(connection, "nextBatch", count, answers, more=place < len(stream))
        else:
            super()._reply(connection, data)

    def _send(self, connection: socket.socket, field: str, count: int, answers: int, more: bool) -> int:
        self._ids += 1
        documents = [{"n": self._next + number} for number in range(count)]
        self._next += count
        cursor = {field: documents, "id": 9 if self.streams or more else 0, "ns": "shop.orders"}
        if count < 0:
            connection.shutdown(socket.SHUT_RDWR)
            return 0
        body = bson.encode({"cursor": cursor, "ok": 1})
        connection.sendall(encode_message(body, self._ids, (), MORE_TO_COME if more else 0, answers))
        return self._ids


@contextmanager
def server(streams: Sequence[Sequence[int]]) -> Iterator[Streamer]:
    """The only member of a replica set."""
    with Streamer(streams) as streamer:
        streamer.hello.update(setName="rs", hosts=[str(streamer.address)], me=str(streamer.address))
        yield streamer


async def read(streamer: Streamer) -> list[int]:
    async with Client(f"mongodb://{streamer.address}/?replicaSet=rs") as client:
        try:
            cursor = client.shop.orders.find({}, cursor_type=CursorType.EXHAUST)
            return [document["n"] async for document in cursor]
        finally:
            await until(lambda: _introspect.checked_out(client) == 0, "no connection checked out")


async def test_one_request_is_answered_by_many_replies() -> None:
    with server([[2, 3, 1]]) as streamer:
        assert await read(streamer) == [0, 1, 2, 3, 4, 5, 6]
        assert streamer.names == ["find", "getMore"]
        assert streamer.allowed == [True]


async def test_a_stream_that_ends_before_the_cursor_is_followed_by_a_getmore() -> None:
    with server([[2, 1], [1], [1, 0, 2]]) as streamer:
        assert await read(streamer) == list(range(8))
        assert streamer.names == ["find", *["getMore"] * 3]
        assert streamer.allowed == [True] * 3


async def test_a_stream_that_breaks() -> None:
    with server([[2, 1, -1], [1]]) as streamer, pytest.raises(AutoReconnect):
        await read(streamer)
