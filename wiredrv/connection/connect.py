"""Open a connection: the transport, the handshake, the authentication."""

from __future__ import annotations

import os
from dataclasses import replace
from math import inf

from wiredrv import waits
from wiredrv.connection.authenticate import Allowance, Authenticator, Login
from wiredrv.connection.connection import Connection
from wiredrv.connection.handshake import hello_command, read_handshake
from wiredrv.connection.metadata import client_metadata
from wiredrv.connection.settings import ClientCredentials, ConnectionSettings
from wiredrv.errors import (
    RETRYABLE,
    SYSTEM_OVERLOADED,
    AutoReconnect,
    DriverError,
    NetworkTimeout,
    NotPrimaryError,
    ProtocolError,
    UnreadableReply,
)
from wiredrv.net.dial import Dialer, HostNotResolved
from wiredrv.net.settings import NetSettings, TLSSettings
from wiredrv.net.tls import TLSRefused
from wiredrv.types import Address, Document
from wiredrv.waits import monotonic
from wiredrv.wire.codec import decode, encode
from wiredrv.wire.compression import negotiate
from wiredrv.wire.op_msg import encode_message, next_request_id

#: A server that refuses or drops new connections may be overloaded (CMAP, "Backpressure-enabled").
_OVERLOAD = (SYSTEM_OVERLOADED, RETRYABLE)
#: Errors that are never due to overload.
_NO_OVERLOAD = (HostNotResolved, TLSRefused, NotPrimaryError)


async def establish(
    address: Address,
    dialer: Dialer,
    settings: ConnectionSettings,
    *,
    connection_id: int = 0,
    generation: int = 0,
    metadata: Document | None = None,
    authenticator: Authenticator | None = None,
    operation: waits.CancelScope | None = None,
    command_timeout: float | None = None,
) -> Connection:
    """Open a transport to ``address``, shake hands and authenticate, all within ``connect_timeout`` of the dialer.

    :param metadata: the handshake's ``client`` document; None builds it from ``settings``.
    :param authenticator: that of the client; None makes one, if ``settings`` have credentials.
    :param operation: the block with the time limit of the operation that waits for the connection; None if there is no
        such operation, or it has none.
    :param command_timeout: seconds for each command of the authentication; ``connect_timeout`` then counts until the
        handshake is done. (client-side-operations-timeout, "Background Connection Pooling", names the handshake's
        command too; its unified tests, as "command is not sent if RTT is greater than timeoutMS", need connections
        whose handshake takes longer than ``timeoutMS``.)
    :raises AutoReconnect: the server cannot be reached, or (NetworkTimeout) not in time. Before the answer to the
        handshake such an error has the labels of an overloaded server, unless there is another known cause: the host
        name, or (TLSRefused) a certificate.
    :raises OperationFailure: the server does not accept the user (code 18).
    :raises CredentialsError: a callback gave no credentials.
    :raises ConfigurationError: the server's wire versions are not supported.
    :raises ProtocolError: a program that is not a MongoDB server answered.
    """
    if metadata is None:
        metadata = client_metadata(settings.app_name, settings.driver_info, os.environ)
    if authenticator is None and settings.credentials is not None:
        authenticator = Authenticator(settings.credentials)
    timeout = dialer.settings.connect_timeout
    # The time that this takes does not count.
    current, tls = await _current(settings, dialer.settings)
    connection: Connection | None = None
    shaken = ready = False
    try:
        with waits.fail_after(timeout) as limit:
            login = authenticator.begin(address, timeout, current) if authenticator is not None else None
            connection = Connection(await dialer.open(address, tls), address, connection_id, generation)
            hello = await _shake_hands(connection, settings, metadata, login)
            shaken = True
            if command_timeout is not None:
                limit.deadline = inf
            # An arbiter has no users.
            if login is not None and not hello.get("arbiterOnly"):
                await login.finish(connection, hello, Allowance(limit, operation, command_timeout))
        ready = True
    except (TimeoutError, DriverError) as error:
        failure = (
            _timeout(address, timeout, connection is not None, shaken)
            if isinstance(error, TimeoutError)
            else _failure(error, address, shaken)
        )
        if connection is not None and shaken:
            failure.service_id = connection.service_id
        if failure is error:
            raise
        raise failure from error
    finally:
        if connection is not None and not ready:
            connection.close()
    connection.socket_timeout = dialer.settings.socket_timeout
    return connection


async def _current(
    settings: ConnectionSettings, net: NetSettings
) -> tuple[ClientCredentials | None, TLSSettings | None]:
    """What the callback ``credentials`` gives for this connection, and the settings of TLS that follow from it."""
    if settings.credentials_callback is None:
        return None, None
    from wiredrv.connection.rotation import current_credentials, current_tls

    current = await current_credentials(settings, net)
    return current, None if current is None else current_tls(net.tls, current)


def _timeout(address: Address, timeout: float | None, connected: bool, shaken: bool) -> NetworkTimeout:
    """The error for a connection that was not ready in time. It says how far it came."""
    limit = f"within connectTimeoutMS ({(timeout or 0) * 1000:.0f} ms)"
    if shaken:
        return NetworkTimeout(f"{address}: connected, but the authentication was not done {limit}")
    if connected:
        message = f"{address}: connected, but no answer to the handshake {limit}: is this a MongoDB server?"
    else:
        message = f"{address}: no connection {limit}"
    return NetworkTimeout(message, error_labels=_OVERLOAD)


def _failure(error: DriverError, address: Address, shaken: bool) -> DriverError:
    """The error for a connection that could not be established."""
    if isinstance(error, UnreadableReply):
        # Without a readable handshake, the peer cannot be treated as a MongoDB server.
        return ProtocolError(f"{address}: {error}")
    if isinstance(error, AutoReconnect) and not shaken and not isinstance(error, _NO_OVERLOAD):
        for label in _OVERLOAD:
            error.add_error_label(label)
    return error


async def _shake_hands(
    connection: Connection,
    settings: ConnectionSettings,
    metadata: Document,
    login: Login | None,
) -> Document:
    if login is None:
        command = hello_command(replace(settings, credentials=None), metadata)
    else:
        command = hello_command(replace(settings, credentials=login.credentials), metadata, login.speculation)
    connection.accepts_compressed = bool(settings.compressors)
    request_id = next_request_id()
    started = monotonic()
    hello = decode(await connection.round_trip(encode_message(encode(command), request_id), request_id))
    connection.hello_duration = monotonic() - started
    # Replies to the authentication are not shown.
    shown = {name: value for name, value in hello.items() if name != "speculativeAuthenticate"}
    connection.accept(read_handshake(connection.address, shown, settings))
    connection.api = settings.server_api
    connection.compressor = negotiate(settings.compressors, hello.get("compression"), settings.zlib_compression_level)
    return hello
