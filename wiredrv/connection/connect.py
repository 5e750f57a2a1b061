"""Make a connection: open the transport, shake hands. Also the public ``wiredrv.connect`` for embedders."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import anyio

from wiredrv.connection.connection import Connection
from wiredrv.connection.handshake import hello_command, read_handshake
from wiredrv.connection.metadata import client_metadata
from wiredrv.connection.settings import ConnectionSettings, DriverInfo, ServerApi
from wiredrv.errors import RETRYABLE, SYSTEM_OVERLOADED, AutoReconnect, ConfigurationError, NetworkTimeout
from wiredrv.net.settings import NetSettings
from wiredrv.net.transport import HostNotResolved, open_transport
from wiredrv.types import Address
from wiredrv.wire.codec import decode, encode
from wiredrv.wire.op_msg import encode_message, next_request_id

#: A server that refuses or drops new connections may be overloaded (CMAP, "Backpressure-enabled").
_OVERLOAD = (SYSTEM_OVERLOADED, RETRYABLE)


async def establish(
    address: Address,
    net: NetSettings,
    settings: ConnectionSettings,
    *,
    connection_id: int = 0,
    generation: int = 0,
    metadata: Mapping[str, Any] | None = None,
) -> Connection:
    """Open a transport to ``address`` and shake hands, all within ``net.connect_timeout``.

    :param metadata: the handshake's ``client`` document; None builds it from ``settings``.
    :raises AutoReconnect: the server cannot be reached, or (NetworkTimeout) not in time; such an error bears the
        labels of an overloaded server, unless it was the name that could not be resolved.
    :raises ConfigurationError: the server's wire versions do not meet ours.
    :raises ProtocolError: what answered is no MongoDB server.
    """
    if settings.credentials is not None:
        raise ConfigurationError("this version does not authenticate yet: connect without a user name and password")
    if metadata is None:
        metadata = client_metadata(settings.app_name, settings.driver_info, os.environ)
    try:
        with anyio.fail_after(net.connect_timeout):
            transport = await open_transport(address, net)
            connection = Connection(transport, address, connection_id, generation)
            await _shake_hands(connection, settings, metadata)
    except TimeoutError as error:
        milliseconds = (net.connect_timeout or 0) * 1000
        message = f"{address}: no connection within connectTimeoutMS ({milliseconds:.0f} ms)"
        raise NetworkTimeout(message, error_labels=_OVERLOAD) from error
    except HostNotResolved:
        raise
    except AutoReconnect as error:
        for label in _OVERLOAD:
            error.add_error_label(label)
        raise
    connection.api = settings.server_api
    connection.socket_timeout = net.socket_timeout
    return connection


async def _shake_hands(connection: Connection, settings: ConnectionSettings, metadata: Mapping[str, Any]) -> None:
    shaken = False
    try:
        request_id = next_request_id()
        command = hello_command(settings, metadata)
        started = monotonic()
        reply = decode(await connection.round_trip(encode_message(encode(command), request_id), request_id))
        connection.hello_duration = monotonic() - started
        connection.accept(read_handshake(connection.address, reply, settings))
        shaken = True
    finally:
        if not shaken:
            connection.close()


@asynccontextmanager
async def connect(
    address: str,
    *,
    connect_timeout: float | None = 10.0,
    socket_timeout: float | None = None,
    app_name: str | None = None,
    server_api: ServerApi | None = None,
    driver_info: tuple[DriverInfo, ...] = (),
) -> AsyncIterator[Connection]:
    """One handshaken connection to one server, for embedders: no pool, no monitoring, no retries, no sessions.

    ::

        async with wiredrv.connect("localhost:27017") as conn:
            reply = await conn.command("admin", {"ping": 1})

    :param address: ``host``, ``host:port``, ``[v6]:port`` or the path of a Unix socket that ends in ``.sock``.
    :param connect_timeout: seconds for connecting and the handshake together; None for no limit.
    :param socket_timeout: seconds for the answer to each command; None for no limit.
    :param app_name: sent to the server, which shows it in its logs.
    :param server_api: the Stable API version that every command declares.
    :param driver_info: libraries built on this driver, named to the server.
    :raises ConfigurationError: the address cannot be read, or the server's wire versions do not meet ours.
    :raises AutoReconnect: the server cannot be reached, or (NetworkTimeout) not in time.
    """
    try:
        where = Address.parse(address)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    connection = await establish(
        where,
        NetSettings(connect_timeout=connect_timeout, socket_timeout=socket_timeout),
        ConnectionSettings(app_name=app_name, server_api=server_api, driver_info=driver_info),
    )
    try:
        yield connection
    finally:
        connection.close()
