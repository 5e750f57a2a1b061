"""A hostile server: a fake one that misbehaves on purpose, on loopback. No MongoDB server is behind it.

It performs the handshake as a standalone would (unless the misbehaviour concerns the handshake) and misbehaves at the
commands that a test names: it sends nothing, one byte at a time, half a reply, garbage, a reply to another request, a
message of two gigabytes.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from time import sleep
from typing import Any

import bson

from tests.support.fake_server import FakeServer, with_sessions
from wiredrv.wire.op_msg import EXHAUST_ALLOWED, MORE_TO_COME, decode_message, encode_message

#: Does something with a connection, given the id of the request and the correct reply.
Misbehaviour = Callable[[socket.socket, int, bytes], None]

_HELLOS = frozenset({"hello", "isMaster", "ismaster"})


def say_nothing(connection: socket.socket, request_id: int, reply: bytes) -> None:
    """Accept the command and never answer."""


def byte_by_byte(connection: socket.socket, request_id: int, reply: bytes) -> None:
    """Answer correctly, one byte at a time."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for position in range(len(reply)):
        connection.sendall(reply[position : position + 1])
        sleep(0)  # lets the other side read it


def close(connection: socket.socket, request_id: int, reply: bytes) -> None:
    """Close instead of answering."""
    connection.shutdown(socket.SHUT_RDWR)


def close_in_mid_reply(connection: socket.socket, request_id: int, reply: bytes) -> None:
    """Send half of the answer and close."""
    connection.sendall(reply[: len(reply) // 2])
    connection.shutdown(socket.SHUT_RDWR)


def noise(connection: socket.socket, request_id: int, reply: bytes) -> None:
    """Send something that is not a message at all: another protocol's greeting."""
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" * 2)


def answer_another_request(connection: socket.socket, request_id: int, reply: bytes) -> None:
    """Answer, but with the id of a request that was never sent."""
    connection.sendall(reply[:8] + struct.pack("<i", request_id + 1000) + reply[12:])


def promise_two_gigabytes(connection: socket.socket, request_id: int, reply: bytes) -> None:
    """Declare the longest message that a header can express, and send a little of it."""
    connection.sendall(struct.pack("<iiii", 2**31 - 1, 1, request_id, 2013) + bytes(100))


def promise_too_little(connection: socket.socket, request_id: int, reply: bytes) -> None:
    """Declare a message shorter than its own header."""
    connection.sendall(struct.pack("<iiii", 8, 1, request_id, 2013))


def break_the_document(connection: socket.socket, request_id: int, reply: bytes) -> None:
    """Send a message with valid sections and an invalid document."""
    connection.sendall(encode_message(b"\x0d\x00\x00\x00\x42ok\x00\x01\x02\x03\x04\x00", 1, response_to=request_id))


def answer_twice(connection: socket.socket, request_id: int, reply: bytes) -> None:
    """Answer correctly, and a second time in the same segment."""
    connection.sendall(reply + reply)


def another_op_code(connection: socket.socket, request_id: int, reply: bytes) -> None:
    """Answer with an op code other than OP_MSG."""
    connection.sendall(reply[:12] + struct.pack("<i", 4242) + reply[16:])


def saying(document: Mapping[str, Any]) -> Misbehaviour:
    """Answer with a document that is valid BSON but makes no sense."""
    return saying_bytes(bson.encode(document))


def saying_bytes(body: bytes) -> Misbehaviour:
    """Answer with a document that need not be valid BSON."""

    def answer(connection: socket.socket, request_id: int, reply: bytes) -> None:
        connection.sendall(encode_message(body, 1, response_to=request_id))

    return answer


class HostileServer(FakeServer):
    """A fake server that misbehaves at some commands, the first ``times`` of each; it answers others normally.

    :param misbehaviour: by the command's name; ``hello`` means every handshake.
    """

    def __init__(
        self,
        misbehaviour: Mapping[str, Misbehaviour],
        hello: Mapping[str, Any] | None = None,
        times: float = float("inf"),
    ) -> None:
        super().__init__(hello or with_sessions())
        self._misbehaviour = misbehaviour
        self._left = dict.fromkeys(misbehaviour, times)
        self._lock = threading.Lock()

    def _reply(self, connection: socket.socket, data: bytes) -> None:
        message = decode_message(data)
        command: dict[str, Any] = bson.decode(message.body)
        name = next(iter(command))
        known = "hello" if name in _HELLOS else name
        if not self._misbehaves(known):
            super()._reply(connection, data)
            return
        (self.handshakes if known == "hello" else self.commands).append(command)
        right = self.hello if known == "hello" else self._answer(command)
        reply = encode_message(bson.encode(right), 1, response_to=message.request_id)
        with contextlib.suppress(OSError):
            self._misbehaviour[known](connection, message.request_id, reply)

    def _misbehaves(self, name: str) -> bool:
        with self._lock:
            left = self._left.get(name, 0)
            if left <= 0:
                return False
            self._left[name] = left - 1
            return True


class EndlessHellos(FakeServer):
    """A fake member that answers the first streamed hello with an endless stream, as fast as the client reads it."""

    def __init__(self) -> None:
        version = {"processId": bson.ObjectId(), "counter": bson.Int64(0)}
        super().__init__({**with_sessions(), "setName": "rs", "topologyVersion": version})
        self._stop = threading.Event()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        super().__exit__()

    def _reply(self, connection: socket.socket, data: bytes) -> None:
        message = decode_message(data)
        if not message.flags & EXHAUST_ALLOWED:
            super()._reply(connection, data)
            return
        number, answers = 1, message.request_id
        while not self._stop.is_set():
            version = {**self.hello["topologyVersion"], "counter": bson.Int64(number)}
            body = bson.encode({**self.hello, "topologyVersion": version})
            connection.sendall(encode_message(body, number, flags=MORE_TO_COME, response_to=answers))
            number, answers = number + 1, number
