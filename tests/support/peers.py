"""Peers on loopback that behave as a test tells them to: a thread with a blocking socket, for one connection a time."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from wiredrv.types import Address

#: What a peer does with each connection.
Behaviour = Callable[[socket.socket], None]

#: Seconds after which a peer gives a connection up, so that a failing test ends.
PATIENCE = 20.0


@contextmanager
def listening(behaviour: Behaviour, host: str = "127.0.0.1") -> Iterator[Address]:
    """A peer that listens while the block runs. Errors of its sockets end a connection, not the peer."""
    with socket.create_server((host, 0)) as server:
        closing = threading.Event()

        def serve() -> None:
            while not closing.is_set():
                with contextlib.suppress(OSError):
                    connection, _ = server.accept()
                    connection.settimeout(PATIENCE)
                    with connection, contextlib.suppress(OSError):
                        if not closing.is_set():
                            behaviour(connection)

        thread = threading.Thread(target=serve, name="test peer", daemon=True)
        thread.start()
        address = Address(host, server.getsockname()[1])
        try:
            yield address
        finally:
            closing.set()
            # Wake it where it waits for a connection.
            with contextlib.suppress(OSError):
                socket.create_connection((host, address.port or 0), 1).close()
            thread.join(PATIENCE)
            assert not thread.is_alive(), "the peer did not end"
