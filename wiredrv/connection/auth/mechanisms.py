"""The mechanisms by name, and the conversations of those that consist of one command. Pure.

Specification: auth ("MONGODB-X509", "PLAIN"), RFC 4616.
"""

from __future__ import annotations

from collections.abc import Mapping

from wiredrv.connection.auth.conversation import Conversation, refused
from wiredrv.connection.auth.scram import new_nonce, scram
from wiredrv.connection.settings import Credentials
from wiredrv.errors import ConfigurationError
from wiredrv.types import PlainDocument


def begin(mechanism: str, credentials: Credentials) -> Conversation:
    """A new conversation.

    :raises ConfigurationError: this driver does not support the mechanism.
    """
    if mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-1"):
        return scram(mechanism, credentials, new_nonce())
    if mechanism == "MONGODB-X509":
        return x509(credentials)
    if mechanism == "PLAIN":
        return plain(credentials)
    raise ConfigurationError(f"this driver does not support the authentication mechanism {mechanism!r}")


def x509(credentials: Credentials) -> Conversation:
    """Authenticate as the subject of the client certificate that TLS has proved already."""
    command: PlainDocument = {"authenticate": 1, "mechanism": "MONGODB-X509"}
    if credentials.username is not None:
        command["user"] = credentials.username
    yield command


def plain(credentials: Credentials) -> Conversation:
    """Authenticate by sending the password in clear text, which the server checks with a directory (LDAP)."""
    payload = f"\x00{credentials.username}\x00{credentials.password}".encode()
    reply = yield {"saslStart": 1, "mechanism": "PLAIN", "payload": payload, "autoAuthorize": 1}
    assert isinstance(reply, Mapping)
    if not reply.get("done"):
        raise refused("PLAIN", credentials, "the server does not end the conversation")
