"""Which mechanism to speak, and the part of it that travels with the handshake. Pure.

Theory of operation: the first command of a conversation goes along with the ``hello`` (speculative authentication),
which saves a round trip where the server takes it up. Without a mechanism given, the ``hello`` asks for the user's
mechanisms too, and the guess is SCRAM-SHA-256.

Specifications: auth ("Mechanism Negotiation via Handshake", "Default Authentication Methods"), mongodb-handshake.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wiredrv.connection.auth.conversation import Conversation, Step, advance
from wiredrv.connection.auth.mechanisms import begin
from wiredrv.connection.settings import Credentials
from wiredrv.types import Document, PlainDocument

_PREFERRED = "SCRAM-SHA-256"
_FALLBACK = "SCRAM-SHA-1"
#: The password itself never travels with a hello.
_NOT_SPECULATIVE = frozenset({"PLAIN"})


@dataclass(frozen=True, slots=True)
class Speculation:
    """A conversation that was begun with the handshake."""

    mechanism: str
    conversation: Conversation
    first: Document


def speculate(credentials: Credentials) -> Speculation | None:
    """Begin a conversation by guess; None where its first command must not travel with the handshake."""
    mechanism = credentials.mechanism or _PREFERRED
    if mechanism in _NOT_SPECULATIVE:
        return None
    conversation = begin(mechanism, credentials)
    first = next(conversation)
    assert isinstance(first, dict)  # every mechanism begins with a command
    return Speculation(mechanism, conversation, first)


def hello_fields(credentials: Credentials, speculation: Speculation | None) -> PlainDocument:
    """What the handshake says of authentication."""
    fields: PlainDocument = {}
    if credentials.mechanism is None:
        # The user's name as it was given: the server looks for it so.
        fields["saslSupportedMechs"] = f"{credentials.source}.{credentials.username}"
    if speculation is not None:
        fields["speculativeAuthenticate"] = {**speculation.first, "db": credentials.source}
    return fields


def choose_mechanism(credentials: Credentials, hello: Document) -> str:
    """The mechanism to speak, by the server's answer to the handshake."""
    if credentials.mechanism is not None:
        return credentials.mechanism
    offered = hello.get("saslSupportedMechs")
    return _PREFERRED if isinstance(offered, (list, tuple)) and _PREFERRED in offered else _FALLBACK


def take_up(
    credentials: Credentials, speculation: Speculation | None, hello: Document
) -> tuple[str, Conversation, Step | None]:
    """After the handshake: the mechanism, its conversation, and the next step; None when all is done already."""
    mechanism = choose_mechanism(credentials, hello)
    answer = hello.get("speculativeAuthenticate")
    if speculation is not None and speculation.mechanism == mechanism and isinstance(answer, Mapping):
        return mechanism, speculation.conversation, advance(speculation.conversation, answer)
    conversation = begin(mechanism, credentials)
    return mechanism, conversation, next(conversation)
