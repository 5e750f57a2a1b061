"""A conversation is a generator that yields steps and is sent their results. Pure.

It yields a command for the credentials' source database and is sent the reply, or a
:class:`~wiredrv.connection.auth.keys.Derivation` and is sent the keys. It ends when the user is authenticated, and
raises otherwise. A reply with ``ok: 0`` never reaches it: :func:`denied` makes the error.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias

from wiredrv.connection.auth.keys import Derivation, ScramKeys
from wiredrv.connection.settings import Credentials
from wiredrv.errors import DriverError, OperationFailure
from wiredrv.server_errors import handshake_error
from wiredrv.types import Document, PlainDocument

#: The next step of a conversation.
Step: TypeAlias = PlainDocument | Derivation
#: The result of a step.
StepResult: TypeAlias = Document | ScramKeys
Conversation: TypeAlias = Generator[Step, StepResult, None]


def advance(conversation: Conversation, outcome: StepResult) -> Step | None:
    """Send a conversation the result of its last step. Returns the next one, or None once the user is authenticated."""
    try:
        return conversation.send(outcome)
    except StopIteration:
        return None


def _describe(mechanism: str, credentials: Credentials) -> str:
    """Mechanism, user and source, for an error's message."""
    user = "the client certificate's subject" if credentials.username is None else f"user {credentials.username!r}"
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
