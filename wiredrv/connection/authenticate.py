"""Runs an authentication's conversation on a connection. The decisions are in ``wiredrv.connection.auth``.

The caller limits the time and closes the connection if this fails. Nothing here is published to listeners, and no error
contains a password, a proof or a key.
"""

from __future__ import annotations

from wiredrv import waits
from wiredrv.connection.auth.conversation import advance, denied
from wiredrv.connection.auth.keys import Derivation, KeyCache, ScramKeys
from wiredrv.connection.auth.negotiation import Speculation, take_up
from wiredrv.connection.connection import Connection
from wiredrv.connection.settings import Credentials
from wiredrv.types import Document

_cache = KeyCache()


async def authenticate(
    connection: Connection, credentials: Credentials, speculation: Speculation | None, hello: Document
) -> None:
    """Authenticate a connection whose handshake is done.

    :param speculation: the conversation that was started with the handshake.
    :param hello: the server's answer to the handshake.
    :raises OperationFailure: the server does not accept the user (code 18), or does not prove its identity.
    :raises ConfigurationError: the password cannot be used with the mechanism.
    :raises ProtocolError: a reply cannot be read.
    :raises AutoReconnect: the connection broke, or the server is shutting down.
    """
    mechanism, conversation, step = take_up(credentials, speculation, hello)
    while step is not None:
        if isinstance(step, Derivation):
            step = advance(conversation, await _derive(step))
            continue
        reply = await connection.ask(credentials.source, step)
        if not reply.get("ok"):
            raise denied(mechanism, credentials, reply, connection.handshake.limits.max_wire_version)
        step = advance(conversation, reply)


async def _derive(request: Derivation) -> ScramKeys:
    keys = _cache.get(request)
    if keys is None:
        # Thousands of hashes would block the event loop; a thread that is no longer waited for does no harm.
        keys = await waits.to_thread(request.derive)
        _cache.put(request, keys)
    return keys
