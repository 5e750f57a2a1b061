"""A proxy in front of a real server that records all commands of its clients, also handshakes and monitors' hellos.

It forwards everything unchanged. It uses threads.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import bson

from wiredrv.types import Address
from wiredrv.wire.framing import Framer
from wiredrv.wire.op_msg import decode_message

_PATIENCE = 20.0


@dataclass(frozen=True)
class Sent:
    """A command and the number of the connection that it came over."""

    connection: int
    command: Mapping[str, Any]


class RecordingProxy:
    """Listens in front of the server at ``upstream`` while its block runs."""

    def __init__(self, upstream: Address) -> None:
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._log: list[Sent] = []
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._accepted = 0
        self._closing = False

    @property
    def address(self) -> Address:
        """The address that it listens on."""
        return Address("127.0.0.1", self._listener.getsockname()[1])

    @property
    def uri(self) -> str:
        """The URI of a direct connection to the server behind this proxy."""
        return f"mongodb://{self.address}/?directConnection=true"

    @property
    def sent(self) -> list[Mapping[str, Any]]:
        """All commands so far."""
        return [sent.command for sent in self._log]

    def connection_of_last(self, name: str) -> int:
        """The number of the connection that carried the last command called ``name``."""
        return next(sent.connection for sent in reversed(self._log) if next(iter(sent.command)) == name)

    def handshake_of_last(self, name: str) -> Mapping[str, Any]:
        """The first command of that connection."""
        connection = self.connection_of_last(name)
        return next(sent.command for sent in self._log if sent.connection == connection)

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        with contextlib.suppress(OSError):
            socket.create_connection(self.address, 1).close()  # wakes the thread that waits for a connection
        self._listener.close()
        for one in self._sockets:
            _end(one)
        for thread in self._threads:
            thread.join(_PATIENCE)
        for one in self._sockets:
            one.close()
        assert not any(thread.is_alive() for thread in self._threads), "the proxy did not end"

    def _spawn(self, function: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=function, args=arguments, name="recording proxy", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._upstream)
            except OSError:
                return
            self._accepted += 1
            self._sockets += [client, server]
            self._spawn(self._pump, client, server, self._recorder(self._accepted))
            self._spawn(self._pump, server, client, lambda data: None)

    def _recorder(self, connection: int) -> Callable[[bytes], None]:
        framer = Framer()

        def record(data: bytes) -> None:
            message = framer.feed(data)
            while message is not None:
                self._log.append(Sent(connection, bson.decode(decode_message(message).body)))
                message = framer.next()

        return record

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket, see: Callable[[bytes], None]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                see(data)
                sink.sendall(data)
        _end(source)
        _end(sink)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
