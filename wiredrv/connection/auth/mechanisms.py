"""The mechanisms by name, and the conversations of those that consist of one command. Pure.

The modules of mechanisms that few programs use are imported when one of them begins.

Specification: auth ("MONGODB-X509", "PLAIN"), RFC 4616.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from wiredrv.connection.auth.conversation import Conversation, refused
from wiredrv.connection.auth.scram import new_nonce, scram
from wiredrv.connection.settings import Credentials
from wiredrv.errors import ConfigurationError
from wiredrv.types import PlainDocument

if TYPE_CHECKING:
    from wiredrv.connection.auth.oidc import Tokens


#: A hello never contains the password itself, and the specification has no speculation for AWS.
_NOT_SPECULATIVE = frozenset({"PLAIN", "MONGODB-AWS"})


def begin(mechanism: str, credentials: Credentials, tokens: Tokens | None = None) -> Conversation:
    """A new conversation.

    :param tokens: for MONGODB-OIDC: those of the client and the connection.
    :raises ConfigurationError: this driver does not support the mechanism.
    """
    if mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-1"):
        return scram(mechanism, credentials, new_nonce())
    if mechanism == "MONGODB-X509":
        return x509(credentials)
    if mechanism == "PLAIN":
        return plain(credentials)
    if tokens is not None:
        from wiredrv.connection.auth.oidc import oidc

        return oidc(credentials, tokens)
    if mechanism == "MONGODB-AWS":
        from wiredrv.connection.auth.aws import aws
        from wiredrv.connection.auth.aws import new_nonce as new_aws_nonce

        return aws(credentials, new_aws_nonce())
    raise ConfigurationError(f"this driver does not support the authentication mechanism {mechanism!r}")


def begin_with_handshake(mechanism: str, credentials: Credentials, tokens: Tokens | None = None) -> Conversation | None:
    """A conversation whose first command is sent with the ``hello``; None if there is none for the mechanism, or none
    yet.
    """
    if mechanism in _NOT_SPECULATIVE:
        return None
    if tokens is not None:
        from wiredrv.connection.auth.oidc import speculative

        return speculative(credentials, tokens)
    return begin(mechanism, credentials)


def begin_again(mechanism: str, credentials: Credentials, tokens: Tokens | None = None) -> Conversation:
    """A conversation on a connection that was authenticated before (auth, "Reauthentication")."""
    if tokens is not None:
        from wiredrv.connection.auth.oidc import again

        return again(credentials, tokens)
    return begin(mechanism, credentials)


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
