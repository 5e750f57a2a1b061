"""One command to one server, blocking: all that starting and watching a server needs.

Kept apart from the driver's connections on purpose: the servers are supervised from plain threads too, and a test
that breaks the driver must not break the servers under it.
"""

from __future__ import annotations

import socket

from wiredrv.errors import ConnectionFailure, ProtocolError
from wiredrv.server_errors import command_error
from wiredrv.types import Address, Document, PlainDocument, Received
from wiredrv.wire.codec import decode, encode
from wiredrv.wire.framing import READ_SIZE, Framer
from wiredrv.wire.op_msg import decode_message, encode_message, next_request_id


def ask(address: Address, command: Document, timeout: float = 1.0) -> PlainDocument:
    """Send ``command`` to the ``admin`` database of the server on a new connection and return its reply.

    :param timeout: seconds for each of connecting, sending and receiving.
    :raises ConnectionFailure: the server cannot be reached, or does not answer in time.
    :raises DriverError: the server answered with an error.
    """
    message = encode_message(encode({**command, "$db": "admin"}), next_request_id())
    try:
        with socket.create_connection((address.host, address.port or 0), timeout) as connection:
            connection.sendall(message)
            reply = decode(decode_message(_receive(connection)).body)
    except (OSError, ProtocolError) as error:
        raise ConnectionFailure(f"{address} does not answer {next(iter(command))!r}: {error}") from error
    if reply.get("ok") != 1:
        raise command_error(reply)
    return reply


def _receive(connection: socket.socket) -> Received:
    framer = Framer()
    while data := connection.recv(READ_SIZE):
        message = framer.feed(data)
        if message is not None:
            return message
    raise ProtocolError("the connection was closed before the reply was whole")
