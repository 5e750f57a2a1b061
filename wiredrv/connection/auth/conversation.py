"""A conversation is a generator that yields steps and is sent their results. Pure.

It yields a command for the credentials' source database and is sent the reply; or it yields a request for what the
shell has to obtain (a :class:`~wiredrv.connection.auth.keys.Derivation`, a :class:`TokenRequest`, a
:class:`KeysRequest`) and is sent the result. It ends when the user is authenticated, and raises otherwise. Of a reply
with ``ok: 0``, :func:`denied` makes an error, which is raised in the conversation: one that knows what to do about it
goes on.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from wiredrv.connection.auth.keys import Derivation, ScramKeys
from wiredrv.connection.settings import Credentials
from wiredrv.errors import DriverError, OperationFailure
from wiredrv.server_errors import handshake_error
from wiredrv.types import Document, PlainDocument

if TYPE_CHECKING:  # loaded where it is used
    from datetime import datetime

    from wiredrv.connection.auth.callbacks import AWSCredentials, OIDCIdPInfo


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A conversation's request for an access token: the client's, if it has one by then, or else a new one.

    :param refresh_token: for a human callback.
    :param idp_info: for a human callback: the identity provider.
    """

    refresh_token: str | None = field(default=None, repr=False)
    idp_info: OIDCIdPInfo | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """An access token; ``cached``: whether it is one that the client already had."""

    value: str = field(repr=False)
    cached: bool


@dataclass(frozen=True, slots=True)
class KeysRequest:
    """A conversation's request for AWS credentials, to sign with at once."""


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """AWS credentials, and the time at which they were given."""

    credentials: AWSCredentials
    now: datetime


#: What a conversation requests of the shell.
Request: TypeAlias = Derivation | TokenRequest | KeysRequest
#: The next step of a conversation.
Step: TypeAlias = PlainDocument | Request
#: The result of a step.
StepResult: TypeAlias = Document | ScramKeys | Token | SigningKeys
Conversation: TypeAlias = Generator[Step, StepResult, None]


#: Who authenticates, if the credentials have no name.
_UNNAMED = {"MONGODB-OIDC": "the token's subject", "MONGODB-AWS": "the AWS credentials' identity"}


def advance(conversation: Conversation, outcome: StepResult) -> Step | None:
    """Send a conversation the result of its last step. Returns the next one, or None once the user is authenticated."""
    try:
        return conversation.send(outcome)
    except StopIteration:
        return None


def object_to(conversation: Conversation, error: DriverError) -> Step | None:
    """Raise the error for a refused command in a conversation. Returns what it does next, if it knows what to do.

    :raises DriverError: the error, if it does not.
    """
    try:
        return conversation.throw(error)
    except StopIteration:
        return None


def _describe(mechanism: str, credentials: Credentials) -> str:
    """Mechanism, user and source, for an error's message."""
    if credentials.username is not None:
        user = f"user {credentials.username!r}"
    else:
        user = _UNNAMED.get(mechanism, "the client certificate's subject")
    return f"{mechanism} as {user} of {credentials.source!r}"


def refused(mechanism: str, credentials: Credentials, why: str) -> OperationFailure:
    """The error for a server that cannot be trusted."""
    return OperationFailure(f"authentication failed ({_describe(mechanism, credentials)}): {why}")


def denied(mechanism: str, credentials: Credentials, reply: Document, wire_version: int) -> DriverError:
    """The error for an ``ok: 0``: a wrong password is code 18; a server that is shutting down says so too."""
    error = handshake_error(reply, wire_version)
    if not isinstance(error, OperationFailure):
        return error
    message = f"authentication failed ({_describe(mechanism, credentials)}): {error}"
    return OperationFailure(message, error.code, reply, wire_version, error.error_labels)
