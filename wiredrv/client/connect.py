"""``wiredrv.connect``: one connection, for embedders."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from types import EllipsisType
from typing import Unpack

from wiredrv.connection.connect import establish
from wiredrv.connection.connection import Connection
from wiredrv.connection.settings import DriverInfo
from wiredrv.net.dial import Dialer
from wiredrv.options.client_options import ClientOptions
from wiredrv.options.one_connection import checked_driver_info, checked_seconds, connection_settings
from wiredrv.wire.compression import usable


@asynccontextmanager
async def connect(
    address: str,
    *,
    port: int | None = None,
    connect_timeout: float | EllipsisType | None = ...,
    socket_timeout: float | EllipsisType | None = ...,
    app_name: str | None = None,
    driver_info: tuple[DriverInfo, ...] = (),
    **options: Unpack[ClientOptions],
) -> AsyncIterator[Connection]:
    """One connection to one server, shaken hands and authenticated: no pool, no monitoring, no retries, no sessions.

    ::

        async with wiredrv.connect("mongodb://ada:secret@localhost:27017/?tls=true") as conn:
            reply = await conn.command("admin", {"ping": 1})

    This driver's own; the specifications are mongodb-handshake, auth, connection-string and uri-options. A
    ``wiredrv.timeout`` block does not apply to it: each command has a ``timeout`` of its own.

    :param address: a connection string with one host; or ``host``, ``host:port``, ``[v6]:port`` or the path of a Unix
        socket that ends in ``.sock``.
    :param port: the port, if the address has none; 27017 by default.
    :param connect_timeout: seconds for connecting, handshake and authentication together; None for no limit. Without
        it ``connectTimeoutMS`` counts, 10 seconds by default.
    :param socket_timeout: seconds for the answer to each command; None for no limit. Without it ``socketTimeoutMS``
        counts, without limit by default.
    :param app_name: sent to the server, which shows it in its logs.
    :param driver_info: libraries built on this driver, sent to the server.
    :param options: options of a :class:`~wiredrv.Client` for TLS, users, the handshake (``server_api``) and
        compression, by the names that they have in a connection string (``tls=True``); they win over it. Those of
        pools, discovery, retries, concerns and codecs have no meaning here and are refused.
    :returns: the connection, for ``async with``, which closes it.
    :raises InvalidURI: the connection string cannot be read.
    :raises ConfigurationError: the address names several hosts; an option is unknown, has a value of the wrong kind,
        contradicts another or has no meaning here; or the server's wire versions are not supported.
    :raises AutoReconnect: the server cannot be reached, or (NetworkTimeout) not in time.
    :raises OperationFailure: the server refused the handshake, or does not accept the user (code 18).
    :raises ProtocolError: what answers does not speak MongoDB's protocol.
    """
    settings = connection_settings(address, {**options, "port": port}, app_name)
    net, handshake = settings.net, settings.connection
    if connect_timeout is not ...:
        net = replace(net, connect_timeout=checked_seconds("connect_timeout", connect_timeout))
    if socket_timeout is not ...:
        net = replace(net, socket_timeout=checked_seconds("socket_timeout", socket_timeout))
    handshake = replace(
        handshake,
        driver_info=(*checked_driver_info(driver_info), *handshake.driver_info),
        compressors=usable(handshake.compressors),
    )
    connection = await establish(settings.topology.seeds[0], Dialer(net), handshake)
    try:
        yield connection
    finally:
        connection.close()
