"""The conversation of SCRAM-SHA-1 and SCRAM-SHA-256. Pure.

The client proves that it knows the password, and so does the server: a conversation that ends without the server's
signature over this exchange is refused, even if the server says that it is done.

Rules kept here:

* The server's nonce begins with ours, which is new for every conversation; its iteration count is at least 4096 (a
  lower one would be a step towards guessing the password) and bounded (or a server could keep the client busy).
* The signature is compared in constant time.
* No channel binding is offered, no mandatory extension is understood (RFC 5802, sections 5.1 and 6).

Specifications: auth ("SCRAM-SHA-1", "SCRAM-SHA-256"), RFC 5802, RFC 7677.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from wiredrv.connection.auth.conversation import Conversation, refused
from wiredrv.connection.auth.keys import Derivation, ScramKeys
from wiredrv.connection.auth.saslprep import NotPrepared, saslprep
from wiredrv.connection.settings import Credentials
from wiredrv.errors import ConfigurationError, ProtocolError
from wiredrv.types import Document, PlainDocument

LEAST_ITERATIONS = 4096
MOST_ITERATIONS = 10_000_000
_NONCE_BYTES = 24
_GS2_HEADER = "n,,"


def new_nonce() -> str:
    """A nonce: printable, without a comma."""
    return b64encode(secrets.token_bytes(_NONCE_BYTES)).decode()


def scram(mechanism: str, credentials: Credentials, nonce: str) -> Conversation:
    """Authenticate by SCRAM.

    :param mechanism: ``SCRAM-SHA-1`` or ``SCRAM-SHA-256``.
    :param nonce: ours, from :func:`new_nonce`.
    :raises OperationFailure: the server does not prove that it knows the password, or a check of its values fails.
    :raises ProtocolError: a reply cannot be read.
    :raises ConfigurationError: the password has no prepared form.
    """
    digest = _DIGESTS[mechanism]
    client_first = f"n={_escaped(credentials.username or '')},r={nonce}"
    reply = yield {
        "saslStart": 1,
        "mechanism": mechanism,
        "payload": (_GS2_HEADER + client_first).encode(),
        "autoAuthorize": 1,
        "options": {"skipEmptyExchange": True},
    }
    assert isinstance(reply, Mapping)
    server_first = _read_payload(reply)
    challenge = _read_challenge(server_first)
    if reply.get("done"):
        raise refused(mechanism, credentials, "the server says that it is done before it has proved anything")
    _check_challenge(challenge, nonce, mechanism, credentials)

    keys = yield Derivation(digest, _secret(mechanism, credentials), challenge.salt, challenge.iterations)
    assert isinstance(keys, ScramKeys)
    without_proof = f"c={_encoded(_GS2_HEADER.encode())},r={challenge.nonce}"
    auth_message = ",".join((client_first, server_first, without_proof)).encode()
    proof = _proof(keys.client_key, auth_message, digest)
    reply = yield _go_on(reply, f"{without_proof},p={_encoded(proof)}".encode())
    assert isinstance(reply, Mapping)
    expected = hmac.digest(keys.server_key, auth_message, digest)
    if not hmac.compare_digest(_read_signature(_read_payload(reply)), expected):
        raise refused(mechanism, credentials, "the server does not prove that it knows the password")
    if not reply.get("done"):
        # Servers before 4.4 end with an empty exchange.
        reply = yield _go_on(reply, b"")
        assert isinstance(reply, Mapping)
        if not reply.get("done"):
            raise refused(mechanism, credentials, "the server does not end the conversation")


# --- what the client says ---


def _escaped(username: str) -> str:
    return username.replace("=", "=3D").replace(",", "=2C")


def _encoded(data: bytes) -> str:
    return b64encode(data).decode()


def _go_on(reply: Document, payload: bytes) -> PlainDocument:
    conversation = reply.get("conversationId")
    if conversation is None:
        raise ProtocolError("a reply of the authentication has no conversationId")
    return {"saslContinue": 1, "conversationId": conversation, "payload": payload}


def _proof(client_key: bytes, auth_message: bytes, digest: str) -> bytes:
    stored_key = hashlib.new(digest, client_key).digest()
    signature = hmac.digest(stored_key, auth_message, digest)
    return bytes(key ^ sign for key, sign in zip(client_key, signature, strict=True))


def _sha1_secret(credentials: Credentials) -> bytes:
    # The form in which MongoDB stored passwords before SCRAM; MD5 protects nothing here.
    text = f"{credentials.username}:mongo:{credentials.password}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest().encode()


def _sha256_secret(credentials: Credentials) -> bytes:
    try:
        return saslprep(credentials.password or "").encode()
    except NotPrepared as error:
        raise ConfigurationError(f"the password cannot be used with SCRAM-SHA-256: {error}") from None


_DIGESTS = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}
_SECRETS: dict[str, Callable[[Credentials], bytes]] = {"SCRAM-SHA-1": _sha1_secret, "SCRAM-SHA-256": _sha256_secret}


def _secret(mechanism: str, credentials: Credentials) -> bytes:
    return _SECRETS[mechanism](credentials)


# --- what the server says ---


@dataclass(frozen=True, slots=True)
class _Challenge:
    nonce: str
    salt: bytes
    iterations: int


def _read_payload(reply: Document) -> str:
    payload = reply.get("payload")
    if not isinstance(payload, bytes):
        raise ProtocolError("a reply of the authentication has no payload")
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("a payload of the authentication is not UTF-8") from error


def _attributes(payload: str, *names: str) -> list[str]:
    """The values of a payload's first attributes, which must have these names; extensions may follow."""
    parts = payload.split(",")
    if len(parts) < len(names) or any(
        not part.startswith(f"{name}=") for part, name in zip(parts, names, strict=False)
    ):
        raise ProtocolError(f"a payload of the authentication must begin with the attributes {', '.join(names)}")
    return [part[2:] for part in parts[: len(names)]]


def _decoded(value: str) -> bytes:
    try:
        return b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProtocolError("a payload of the authentication holds a value that is not base64") from error


def _read_challenge(payload: str) -> _Challenge:
    if payload.startswith("m="):
        raise ProtocolError("the server requires an extension of SCRAM that this driver does not support")
    nonce, salt, iterations = _attributes(payload, "r", "s", "i")
    if not (iterations.isascii() and iterations.isdigit() and len(iterations) < 20):
        raise ProtocolError("the server's iteration count is not a number")
    return _Challenge(nonce, _decoded(salt), int(iterations))


def _check_challenge(challenge: _Challenge, nonce: str, mechanism: str, credentials: Credentials) -> None:
    if not challenge.nonce.startswith(nonce) or challenge.nonce == nonce:
        raise refused(mechanism, credentials, "the server's nonce does not begin with the client's")
    if not challenge.salt:
        raise refused(mechanism, credentials, "the server's salt is empty")
    if challenge.iterations < LEAST_ITERATIONS:
        raise refused(
            mechanism,
            credentials,
            f"the server asks for {challenge.iterations} iterations; fewer than {LEAST_ITERATIONS} are not safe",
        )
    if challenge.iterations > MOST_ITERATIONS:
        raise refused(
            mechanism,
            credentials,
            f"the server asks for {challenge.iterations} iterations; more than {MOST_ITERATIONS} are refused",
        )


def _read_signature(payload: str) -> bytes:
    if payload.startswith("e="):
        raise ProtocolError("the server ended the authentication with an error instead of its signature")
    (signature,) = _attributes(payload, "v")
    return _decoded(signature)
