"""Peers on loopback that behave as a test specifies: blocking sockets, a thread for each connection."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from wiredrv.types import Address
from wiredrv.wire.codec import decode, encode
from wiredrv.wire.compression import decompress
from wiredrv.wire.framing import Framer
from wiredrv.wire.op_msg import DEFAULT_MAX_MESSAGE_SIZE, decode_message, encode_message

#: What a peer does with each connection.
Behaviour = Callable[[socket.socket], None]
#: How a peer that speaks MongoDB's protocol answers a command; None closes the connection.
Answers = Callable[[dict[str, Any]], Mapping[str, Any] | None]

#: Seconds after which a peer abandons a connection, so that a failing test ends.
PATIENCE = 20.0

#: The hello of a standalone server of version 6.0.
HELLO = {"ok": 1, "helloOk": True, "isWritablePrimary": True, "minWireVersion": 0, "maxWireVersion": 17}


@contextmanager
def listening(behaviour: Behaviour, host: str = "127.0.0.1") -> Iterator[Address]:
    """A peer that listens while the block runs. Socket errors end a connection, not the peer."""
    threads: list[threading.Thread] = []
    closing = threading.Event()

    def behave(connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        with connection, contextlib.suppress(OSError):
            behaviour(connection)

    def serve(server: socket.socket) -> None:
        while not closing.is_set():
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                if closing.is_set():
                    connection.close()
                    return
                threads.append(threading.Thread(target=behave, args=(connection,), daemon=True))
                threads[-1].start()

    with socket.create_server((host, 0)) as server:
        address = Address(host, server.getsockname()[1])
        acceptor = threading.Thread(target=serve, args=(server,), daemon=True)
        acceptor.start()
        try:
            yield address
        finally:
            closing.set()
            # Wake the thread that waits for a connection.
            with contextlib.suppress(OSError):
                socket.create_connection((host, address.port or 0), 1).close()
            for thread in (acceptor, *threads):
                thread.join(PATIENCE)
                assert not thread.is_alive(), "the peer did not end"


def answering(answers: Answers) -> Behaviour:
    """A behaviour that speaks OP_MSG: it answers each command with what ``answers`` returns."""

    def behave(connection: socket.socket) -> None:
        framer = Framer()
        while data := connection.recv(65_536):
            message = framer.feed(data)
            while message is not None:
                request = decode_message(decompress(message, DEFAULT_MAX_MESSAGE_SIZE))
                reply = answers(decode(request.body))
                if reply is None:
                    return
                connection.sendall(encode_message(encode(reply), 1, response_to=request.request_id))
                message = framer.next()

    return behave
