"""The conversations of MONGODB-OIDC: access tokens from a callback, of a machine or of a human. Pure.

Theory of operation: a client keeps the last access token (:class:`TokenCache`), and each connection the one that it
authenticated with (:class:`Tokens`). A conversation presents the client's token. If the server does not accept it
(code 18), the token is dropped and a new one requested, by yielding a :class:`TokenRequest`, which the shell answers
with one call of the callback at a time. Any other error ends the conversation, and keeps the token.

Rules kept here:

* Only the token that was refused is dropped: another connection may have put a newer one into the cache.
* A conversation begins with the handshake (speculatively) only if there is a token. If the handshake does not answer
  it, nothing follows from that.
* With a human callback, no token is sent to a host that is not on the list of allowed hosts.

Specification: auth ("MONGODB-OIDC").
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field

import bson

from wiredrv.connection.auth.callbacks import OIDCIdPInfo
from wiredrv.connection.auth.conversation import Conversation, Step, StepResult, Token, TokenRequest, refused
from wiredrv.connection.settings import Credentials
from wiredrv.errors import ConfigurationError, OperationFailure, ProtocolError
from wiredrv.server_facts import ErrorCode
from wiredrv.types import Address, Document, PlainDocument

MECHANISM = "MONGODB-OIDC"


@dataclass(slots=True)
class TokenCache:
    """What a client keeps between two authentications (auth, "Client Cache"). Tokens are never shown."""

    access_token: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    idp_info: OIDCIdPInfo | None = None

    def invalidate(self, access_token: str | None) -> None:
        """Drop an access token, unless there is another one by now."""
        if self.access_token == access_token:
            self.access_token = None


@dataclass(slots=True)
class Tokens:
    """The client's tokens, and the one that a connection authenticated with (auth, "Connection Cache")."""

    client: TokenCache
    own: str | None = field(default=None, repr=False)


def speculative(credentials: Credentials, tokens: Tokens) -> Conversation | None:
    """The conversation that begins with the handshake; None if the client has no token."""
    token = tokens.client.access_token
    return None if token is None else _speculative(credentials, tokens, token)


def _speculative(credentials: Credentials, tokens: Tokens, token: str) -> Conversation:
    tokens.own = token
    reply = yield _start({"jwt": token})
    if isinstance(reply, Mapping) and reply.get("done"):
        return
    tokens.own = None
    yield from oidc(credentials, tokens)


def again(credentials: Credentials, tokens: Tokens) -> Conversation:
    """Authenticate a connection whose token the server no longer accepts (auth, "Reauthentication")."""
    tokens.client.invalidate(tokens.own)
    tokens.own = None
    yield from oidc(credentials, tokens)


def oidc(credentials: Credentials, tokens: Tokens) -> Conversation:
    """Authenticate with a token of the client's, or with a new one."""
    if "OIDC_HUMAN_CALLBACK" in credentials.properties:
        yield from _human(credentials, tokens)
    else:
        yield from _machine(credentials, tokens)


def _machine(credentials: Credentials, tokens: Tokens) -> Conversation:
    token = yield from _request(TokenRequest())
    if token.cached:
        if (yield from _is_accepted(credentials, tokens, token.value)):
            return
        token = yield from _request(TokenRequest())
    yield from _present(credentials, tokens, token.value)


def _human(credentials: Credentials, tokens: Tokens) -> Conversation:
    client = tokens.client
    if client.access_token is not None and (yield from _is_accepted(credentials, tokens, client.access_token)):
        return
    if client.refresh_token is not None:
        token = yield from _request(TokenRequest(client.refresh_token, client.idp_info))
        if (yield from _is_accepted(credentials, tokens, token.value)):
            return
        client.refresh_token = None
    principal = {} if credentials.username is None else {"n": credentials.username}
    reply = yield _start(principal)
    assert isinstance(reply, Mapping)
    provider = _read_provider(reply)
    token = yield from _request(TokenRequest(None, provider))
    tokens.own = token.value
    payload = bson.encode({"jwt": token.value})
    conversation = reply.get("conversationId")
    reply = yield {"saslContinue": 1, "conversationId": conversation, "payload": payload}
    _check_done(credentials, reply)


def _request(request: TokenRequest) -> Generator[Step, StepResult, Token]:
    token = yield request
    assert isinstance(token, Token)
    return token


def _is_accepted(credentials: Credentials, tokens: Tokens, token: str) -> Generator[Step, StepResult, bool]:
    """Present a token. If the server does not accept it, drop it, and return False."""
    try:
        yield from _present(credentials, tokens, token)
    except OperationFailure as error:
        if error.code != ErrorCode.AuthenticationFailed:
            raise
        tokens.client.invalidate(token)
        tokens.own = None
        return False
    return True


def _present(credentials: Credentials, tokens: Tokens, token: str) -> Generator[Step, StepResult, None]:
    tokens.own = token
    reply = yield _start({"jwt": token})
    _check_done(credentials, reply)


def _check_done(credentials: Credentials, reply: StepResult) -> None:
    if not isinstance(reply, Mapping) or not reply.get("done"):
        raise refused(MECHANISM, credentials, "the server does not end the conversation")


def _start(payload: Document) -> PlainDocument:
    return {"saslStart": 1, "mechanism": MECHANISM, "payload": bson.encode(payload)}


def _read_provider(reply: Document) -> OIDCIdPInfo:
    """What the server says of the identity provider."""
    payload = reply.get("payload")
    try:
        told = bson.decode(payload) if isinstance(payload, bytes) else {}
    except bson.errors.InvalidBSON as error:
        raise ProtocolError("the server's answer about the identity provider is not BSON") from error
    issuer, client_id, scopes = told.get("issuer"), told.get("clientId"), told.get("requestScopes")
    if not isinstance(issuer, str) or not isinstance(client_id, str | None) or not isinstance(scopes, list | None):
        raise ProtocolError("the server's answer does not describe an identity provider")
    return OIDCIdPInfo(issuer, client_id, None if scopes is None else [str(scope) for scope in scopes])


# --- allowed hosts ---

#: Where a human's token may be sent, unless the user says otherwise (auth, "ALLOWED_HOSTS").
ALLOWED_HOSTS = (
    "*.mongodb.net",
    "*.mongodb-qa.net",
    "*.mongodb-dev.net",
    "*.mongodbgov.net",
    "localhost",
    "127.0.0.1",
    "::1",
    "*.mongo.com",
)


def is_allowed(host: str, patterns: Iterable[str]) -> bool:
    """Whether a host is on the list. ``*.example.com`` stands for all hosts below ``example.com``."""
    name = host.lower()
    return any(
        name.endswith(pattern[1:].lower()) if pattern.startswith("*.") else name == pattern.lower()
        for pattern in patterns
    )


def check_host(address: Address, credentials: Credentials) -> None:
    """Refuse to authenticate by a human callback to a host that is not on the list.

    :raises ConfigurationError: it is not.
    """
    if "OIDC_HUMAN_CALLBACK" not in credentials.properties:
        return
    patterns = credentials.properties.get("ALLOWED_HOSTS", ALLOWED_HOSTS)
    if not is_allowed(address.host, patterns):
        raise ConfigurationError(
            f"{address}: MONGODB-OIDC with OIDC_HUMAN_CALLBACK is refused for this host, which is not among the "
            f"ALLOWED_HOSTS {list(patterns)}: a person's token would be sent there; if it is yours, add it to the "
            "ALLOWED_HOSTS of authMechanismProperties"
        )
