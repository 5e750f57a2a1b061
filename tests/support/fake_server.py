"""A fake server: it performs the handshake as configured and answers every command with the test's function.

For behaviour that no real server available here has: no sessions, an older or newer version, a rare reply. It uses
threads, accepts any number of connections, and does not support streaming monitoring: monitors poll it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any, Self

import bson

from wiredrv.types import Address
from wiredrv.wire.framing import Framer
from wiredrv.wire.op_msg import decode_message, encode_message

#: Gets a command, returns the reply.
Answer = Callable[[dict[str, Any]], Mapping[str, Any]]

_PATIENCE = 20.0
_HELLOS = frozenset({"hello", "isMaster", "ismaster"})


def without_sessions() -> dict[str, Any]:
    """The hello of a standalone that supports no sessions: without ``logicalSessionTimeoutMinutes``."""
    return {
        "ok": 1.0,
        "helloOk": True,
        "ismaster": True,
        "isWritablePrimary": True,
        "minWireVersion": 0,
        "maxWireVersion": 17,
        "maxBsonObjectSize": 16 * 1024 * 1024,
        "maxMessageSizeBytes": 48_000_000,
        "maxWriteBatchSize": 100_000,
    }


def with_sessions() -> dict[str, Any]:
    """The hello of a standalone that supports sessions."""
    return {**without_sessions(), "logicalSessionTimeoutMinutes": 30}


def fine(command: dict[str, Any]) -> Mapping[str, Any]:
    """Reply ``ok: 1``; a command that returns a cursor gets an empty one."""
    name = next(iter(command))
    if name in ("find", "aggregate"):
        return {"ok": 1, "cursor": {"id": 0, "ns": f"{command['$db']}.{command[name]}", "firstBatch": []}}
    if name == "insert":
        return {"ok": 1, "n": len(command.get("documents", ()))}
    return {"ok": 1}


class FakeServer:
    """Listens while its block runs. ``commands`` are those that were not handshakes, ``handshakes`` the others."""

    def __init__(self, hello: Mapping[str, Any], answer: Answer = fine, host: str = "127.0.0.1") -> None:
        self._host = host
        self.hello = dict(hello)
        self.commands: list[dict[str, Any]] = []
        self.handshakes: list[dict[str, Any]] = []
        self._answer = answer
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._closing = False

    @property
    def address(self) -> Address:
        """The address that it listens on."""
        return Address(self._host, self._listener.getsockname()[1])

    @property
    def uri(self) -> str:
        """The URI of a direct connection to this server."""
        return f"mongodb://{self.address}/?directConnection=true"

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        with contextlib.suppress(OSError):
            socket.create_connection(self.address, 1).close()  # wakes the thread that waits for a connection
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_PATIENCE)
        assert not any(thread.is_alive() for thread in self._threads), "the fake server did not end"

    def _spawn(self, function: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=function, args=arguments, name="fake server", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            self._spawn(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        framer = Framer()
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                message = framer.feed(data)
                while message is not None:
                    self._reply(connection, bytes(message))
                    message = framer.next()

    def _reply(self, connection: socket.socket, data: bytes) -> None:
        message = decode_message(data)
        command: dict[str, Any] = bson.decode(message.body)
        for sequence in message.sequences:
            command[sequence.identifier] = [bson.decode(document) for document in sequence.documents]
        if next(iter(command)) in _HELLOS:
            self.handshakes.append(command)
            reply: Mapping[str, Any] = self.hello
        else:
            self.commands.append(command)
            reply = self._answer(command)
        if not message.more_to_come:
            connection.sendall(encode_message(bson.encode(reply), 1, response_to=message.request_id))
