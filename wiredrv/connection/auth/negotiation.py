"""The choice of the mechanism, and its part of the handshake. Pure.

Theory of operation: the first command of a conversation is sent with the ``hello`` (speculative authentication), which
saves a round trip if the server supports it. If no mechanism is configured, the ``hello`` requests the user's
mechanisms too, and the speculation is SCRAM-SHA-256.

Specifications: auth ("Mechanism Negotiation via Handshake", "Default Authentication Methods"), mongodb-handshake.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wiredrv.connection.auth.conversation import Conversation, Step, advance
from wiredrv.connection.auth.mechanisms import begin, begin_with_handshake
from wiredrv.connection.settings import Credentials
from wiredrv.types import Document, PlainDocument

if TYPE_CHECKING:
    from wiredrv.connection.auth.oidc import Tokens

_PREFERRED = "SCRAM-SHA-256"
_FALLBACK = "SCRAM-SHA-1"


@dataclass(frozen=True, slots=True)
class Speculation:
    """A conversation that was started with the handshake."""

    mechanism: str
    conversation: Conversation
    first: Document


def speculate(credentials: Credentials, tokens: Tokens | None = None) -> Speculation | None:
    """Start a conversation speculatively; None if its first command must not be sent with the handshake.

    :param tokens: for MONGODB-OIDC: those of the client and the connection.
    """
    mechanism = credentials.mechanism or _PREFERRED
    conversation = begin_with_handshake(mechanism, credentials, tokens)
    if conversation is None:
        return None
    first = next(conversation)
    assert isinstance(first, dict)  # every mechanism begins with a command
    return Speculation(mechanism, conversation, first)


def hello_fields(credentials: Credentials, speculation: Speculation | None) -> PlainDocument:
    """The fields of the handshake for authentication."""
    fields: PlainDocument = {}
    if credentials.mechanism is None:
        # The user's name without SASLprep: the server expects it so.
        fields["saslSupportedMechs"] = f"{credentials.source}.{credentials.username}"
    if speculation is not None:
        fields["speculativeAuthenticate"] = {**speculation.first, "db": credentials.source}
    return fields


def choose_mechanism(credentials: Credentials, hello: Document) -> str:
    """The mechanism to use, by the server's answer to the handshake."""
    if credentials.mechanism is not None:
        return credentials.mechanism
    offered = hello.get("saslSupportedMechs")
    return _PREFERRED if isinstance(offered, (list, tuple)) and _PREFERRED in offered else _FALLBACK


def take_up(
    credentials: Credentials, speculation: Speculation | None, hello: Document, tokens: Tokens | None = None
) -> tuple[str, Conversation, Step | None]:
    """After the handshake: the mechanism, its conversation, and the next step; None if authentication is done
    already.
    """
    mechanism = choose_mechanism(credentials, hello)
    answer = hello.get("speculativeAuthenticate")
    if speculation is not None and speculation.mechanism == mechanism and isinstance(answer, Mapping):
        return mechanism, speculation.conversation, advance(speculation.conversation, answer)
    conversation = begin(mechanism, credentials, tokens)
    return mechanism, conversation, next(conversation)
