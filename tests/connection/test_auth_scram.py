"""The SCRAM conversation: the test vectors of the RFCs and of the specification, and servers that cheat."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.scram_server import MECHANISMS, ScramServer
from wiredrv.connection.auth.conversation import Conversation, Step, advance
from wiredrv.connection.auth.keys import Derivation, KeyCache, ScramKeys
from wiredrv.connection.auth.saslprep import NotPrepared, saslprep
from wiredrv.connection.auth.scram import MOST_ITERATIONS, new_nonce, scram
from wiredrv.connection.settings import Credentials
from wiredrv.errors import ConfigurationError, DriverError, OperationFailure, ProtocolError

USER = Credentials(source="admin", username="user", password="pencil")

#: (mechanism, client nonce, server first, client final, server final).
SPECIFICATION = [
    (
        "SCRAM-SHA-1",
        "fyko+d2lbbFgONRv9qkxdawL",
        "r=fyko+d2lbbFgONRv9qkxdawLHo+Vgk7qvUOKUwuWLIWg4l/9SraGMHEE,s=rQ9ZY3MntBeuP3E1TDVC4w==,i=10000",
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawLHo+Vgk7qvUOKUwuWLIWg4l/9SraGMHEE,p=MC2T8BvbmWRckDw8oWl5IVghwCY=",
        "v=UMWeI25JD1yNYZRMpZ4VHvhZ9e0=",
    ),
    (
        # Also the vector of RFC 7677, section 3.
        "SCRAM-SHA-256",
        "rOprNGfwEbeRWgbNEkqO",
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ),
]


def answer(payload: str | bytes, *, done: bool = False) -> dict[str, Any]:
    data = payload.encode() if isinstance(payload, str) else payload
    return {"conversationId": 1, "payload": data, "done": done, "ok": 1}


def go_on(conversation: Conversation, reply: Mapping[str, Any]) -> Step | None:
    """Process a reply; derive the keys if the conversation needs them."""
    step = advance(conversation, reply)
    return advance(conversation, step.derive()) if isinstance(step, Derivation) else step


def command(step: Step | None) -> dict[str, Any]:
    assert isinstance(step, dict)
    return step


@pytest.mark.parametrize("mechanism, nonce, server_first, client_final, server_final", SPECIFICATION)
def test_the_vectors_of_the_specification(
    mechanism: str, nonce: str, server_first: str, client_final: str, server_final: str
) -> None:
    conversation = scram(mechanism, USER, nonce)
    start = command(next(conversation))
    assert start == {
        "saslStart": 1,
        "mechanism": mechanism,
        "payload": f"n,,n=user,r={nonce}".encode(),
        "autoAuthorize": 1,
        "options": {"skipEmptyExchange": True},
    }
    proof = command(go_on(conversation, answer(server_first)))
    assert proof == {"saslContinue": 1, "conversationId": 1, "payload": client_final.encode()}
    assert advance(conversation, answer(server_final, done=True)) is None


def test_the_arithmetic_is_that_of_rfc_5802_section_5() -> None:
    keys = Derivation("sha1", b"pencil", b64decode("QSXCR+Q6sek8bf92"), 4096).derive()
    nonce = "fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j"
    message = f"n=user,r=fyko+d2lbbFgONRv9qkxdawL,r={nonce},s=QSXCR+Q6sek8bf92,i=4096,c=biws,r={nonce}".encode()
    assert b64encode(hmac.digest(keys.server_key, message, "sha1")) == b"rmF9pqV8S7suAoZWja4dJRkFsKQ="
    stored = hashlib.sha1(keys.client_key).digest()
    proof = bytes(a ^ b for a, b in zip(keys.client_key, hmac.digest(stored, message, "sha1"), strict=True))
    assert b64encode(proof) == b"v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="


@pytest.mark.parametrize("mechanism, nonce, server_first, client_final, server_final", SPECIFICATION)
def test_older_servers_end_with_an_exchange_of_nothing(
    mechanism: str, nonce: str, server_first: str, client_final: str, server_final: str
) -> None:
    conversation = scram(mechanism, USER, nonce)
    next(conversation)
    go_on(conversation, answer(server_first))
    last = command(advance(conversation, answer(server_final)))
    assert last == {"saslContinue": 1, "conversationId": 1, "payload": b""}
    assert advance(conversation, answer("", done=True)) is None


def stored_secret(mechanism: str, username: str, password: str) -> bytes:
    """The secret from which a server derives its keys."""
    if mechanism == "SCRAM-SHA-1":
        return hashlib.md5(f"{username}:mongo:{password}".encode()).hexdigest().encode()
    return saslprep(password).encode()


names = st.text(min_size=1).filter(lambda text: all(not 0xD800 <= ord(c) < 0xE000 for c in text))


@given(username=names, password=names, mechanism=st.sampled_from(sorted(MECHANISMS)))
def test_any_name_and_password_convince_a_server_that_knows_them(username: str, password: str, mechanism: str) -> None:
    conversation = scram(mechanism, Credentials(username=username, password=password), new_nonce())
    start = command(next(conversation))["payload"].decode()
    escaped = start.removeprefix("n,,n=").rpartition(",r=")[0]
    assert "," not in escaped
    assert escaped.replace("=2C", ",").replace("=3D", "=") == username
    try:
        secret = stored_secret(mechanism, username, password)
    except NotPrepared:
        with pytest.raises(ConfigurationError) as failure:
            go_on(conversation, answer(ScramServer(mechanism, b"").first(start.encode())))
        assert str(failure.value).startswith("the password cannot be used with SCRAM-SHA-256: it ")
        return
    server = ScramServer(mechanism, secret)
    proof = command(go_on(conversation, answer(server.first(start.encode()))))
    assert advance(conversation, answer(server.final(proof["payload"]), done=True)) is None


def test_the_password_of_sha_256_is_prepared_and_the_name_is_not() -> None:
    prepared = Credentials(username="\u2168", password="I\u00adV")
    conversation = scram("SCRAM-SHA-256", prepared, "nonce")
    start = command(next(conversation))["payload"]
    assert start == "n,,n=\u2168,r=nonce".encode()
    server = ScramServer("SCRAM-SHA-256", b"IV")
    proof = command(go_on(conversation, answer(server.first(start))))
    assert advance(conversation, answer(server.final(proof["payload"]), done=True)) is None


def test_the_password_of_sha_1_is_digested_as_it_is() -> None:
    unprepared = Credentials(username="IX", password="I\u00adX\u0007")
    conversation = scram("SCRAM-SHA-1", unprepared, "nonce")
    start = command(next(conversation))["payload"]
    secret = hashlib.md5("IX:mongo:I\u00adX\u0007".encode()).hexdigest().encode()
    server = ScramServer("SCRAM-SHA-1", secret)
    proof = command(go_on(conversation, answer(server.first(start))))
    assert advance(conversation, answer(server.final(proof["payload"]), done=True)) is None


def test_a_password_without_a_prepared_form_is_a_configuration_error_that_does_not_show_it() -> None:
    conversation = scram("SCRAM-SHA-256", Credentials(username="u", password="bell\u0007"), "nonce")
    start = command(next(conversation))["payload"]
    with pytest.raises(ConfigurationError, match="password cannot be used with SCRAM-SHA-256") as failure:
        go_on(conversation, answer(ScramServer("SCRAM-SHA-256", b"").first(start)))
    assert "bell" not in repr(failure.value)
    assert failure.value.__suppress_context__


# Servers that cheat


def first_of(payload: str, mechanism: str = "SCRAM-SHA-256", *, done: bool = False) -> Step | None:
    conversation = scram(mechanism, USER, "nonce")
    next(conversation)
    return go_on(conversation, answer(payload, done=done))


SALT = "W22ZaJ0SNY7soEsUEjb6gQ=="


@pytest.mark.parametrize("mechanism", sorted(MECHANISMS))
@pytest.mark.parametrize(
    "payload, why",
    [
        (f"r=other,s={SALT},i=4096", "nonce does not begin with"),
        (f"r=nonce,s={SALT},i=4096", "nonce does not begin with"),
        (f"r=nonc,s={SALT},i=4096", "nonce does not begin with"),
        (f"r=nonceS,s={SALT},i=4095", "asks for 4095 iterations; fewer than 4096"),
        (f"r=nonceS,s={SALT},i=0", "asks for 0 iterations"),
        (f"r=nonceS,s={SALT},i={MOST_ITERATIONS + 1}", "more than 10000000 are refused"),
        ("r=nonceS,s=,i=4096", "salt is empty"),
    ],
)
def test_a_challenge_that_is_not_safe_is_refused(mechanism: str, payload: str, why: str) -> None:
    with pytest.raises(OperationFailure, match=why) as failure:
        first_of(payload, mechanism)
    assert f"authentication failed ({mechanism} as user 'user' of 'admin')" in str(failure.value)
    assert "pencil" not in str(failure.value)


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "r=nonceS",
        f"r=nonceS,s={SALT}",
        f"s={SALT},r=nonceS,i=4096",
        f"r=nonceS,i=4096,s={SALT}",
        "r=nonceS,s=not base64,i=4096",
        "r=nonceS,s=W22,i=4096",
        f"r=nonceS,s={SALT},i=",
        f"r=nonceS,s={SALT},i=many",
        f"r=nonceS,s={SALT},i=-5000",
        f"r=nonceS,s={SALT},i=4e3",
        f"r=nonceS,s={SALT},i={'9' * 5000}",
        f"r=nonceS,s={SALT},i=\u0664\u0664\u0664\u0664",
        f"m=extension,r=nonceS,s={SALT},i=4096",
        "e=other-error",
    ],
)
def test_a_challenge_that_cannot_be_read_is_a_protocol_error(payload: str) -> None:
    with pytest.raises(ProtocolError):
        first_of(payload)


def test_extensions_after_the_challenge_are_ignored() -> None:
    assert command(first_of(f"r=nonceS,s={SALT},i=4096,x=new"))["saslContinue"] == 1


def test_a_server_that_says_it_is_done_before_any_proof_is_refused() -> None:
    with pytest.raises(OperationFailure, match="done before it has proved anything"):
        first_of(f"r=nonceS,s={SALT},i=4096", done=True)


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize(
    "payload, error, why",
    [
        ("v=" + b64encode(bytes(32)).decode(), OperationFailure, "does not prove that it knows the password"),
        ("v=", OperationFailure, "does not prove"),
        ("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G0=", OperationFailure, "does not prove"),
        ("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95A==", OperationFailure, "does not prove"),
        ("", ProtocolError, "attributes v"),
        ("v=%%%", ProtocolError, "base64"),
        ("e=invalid-proof", ProtocolError, "error instead of its signature"),
        (b"\xff", ProtocolError, "UTF-8"),
    ],
)
def test_a_wrong_signature_is_refused(payload: str | bytes, error: type[DriverError], why: str, done: bool) -> None:
    mechanism, nonce, server_first, _, _ = SPECIFICATION[1]
    conversation = scram(mechanism, USER, nonce)
    next(conversation)
    go_on(conversation, answer(server_first))
    with pytest.raises(error, match=why):
        advance(conversation, answer(payload, done=done))


def test_a_server_that_never_ends_is_refused() -> None:
    mechanism, nonce, server_first, _, server_final = SPECIFICATION[1]
    conversation = scram(mechanism, USER, nonce)
    next(conversation)
    go_on(conversation, answer(server_first))
    advance(conversation, answer(server_final))
    with pytest.raises(OperationFailure, match="does not end"):
        advance(conversation, answer(""))


@pytest.mark.parametrize("payload", [None, 5, "text", {"r": "nonce"}])
def test_a_reply_without_a_payload_is_a_protocol_error(payload: object) -> None:
    conversation = scram("SCRAM-SHA-256", USER, "nonce")
    next(conversation)
    with pytest.raises(ProtocolError, match="no payload"):
        advance(conversation, {"conversationId": 1, "payload": payload})


def test_a_reply_without_a_conversation_id_is_a_protocol_error() -> None:
    conversation = scram("SCRAM-SHA-256", USER, "nonce")
    next(conversation)
    with pytest.raises(ProtocolError, match="conversationId"):
        go_on(conversation, {"payload": f"r=nonceS,s={SALT},i=4096".encode()})


@given(first=st.binary(max_size=80), final=st.binary(max_size=80), cut=st.integers(0, 200))
def test_rubbish_ends_in_our_errors(first: bytes, final: bytes, cut: int) -> None:
    mechanism, nonce, server_first, _, _ = SPECIFICATION[1]
    conversation = scram(mechanism, USER, nonce)
    next(conversation)
    with pytest.raises((ProtocolError, OperationFailure)):
        go_on(conversation, answer(first))
    conversation = scram(mechanism, USER, nonce)
    next(conversation)
    if cut < len(server_first) - 1:
        with pytest.raises((ProtocolError, OperationFailure)):
            go_on(conversation, answer(server_first[:cut]))
        return
    go_on(conversation, answer(server_first))
    with pytest.raises((ProtocolError, OperationFailure)):
        advance(conversation, answer(final, done=True))


# Nonces and keys


def test_nonces_are_long_printable_and_new_every_time() -> None:
    nonces = {new_nonce() for _ in range(1000)}
    assert len(nonces) == 1000
    assert all(len(nonce) >= 32 and nonce.isascii() and nonce.isprintable() and "," not in nonce for nonce in nonces)


def request(password: bytes = b"secret", salt: bytes = b"salt", iterations: int = 4096) -> Derivation:
    return Derivation("sha256", password, salt, iterations)


def test_keys_are_remembered_for_the_same_password_salt_count_and_mechanism_only() -> None:
    cache = KeyCache()
    keys = ScramKeys(b"client", b"server")
    cache.put(request(), keys)
    assert cache.get(request()) is keys
    others = [
        request(b"other"),
        request(salt=b"pepper"),
        request(iterations=4097),
        Derivation("sha1", b"secret", b"salt", 4096),
    ]
    assert [cache.get(other) for other in others] == [None] * 4
    # The boundary between salt and password must matter.
    assert cache.get(request(b"tsecret", b"sal")) is None


def test_the_memory_is_bounded_and_forgets_the_oldest() -> None:
    cache = KeyCache(limit=3)
    keys = ScramKeys(b"client", b"server")
    for number in range(3):
        cache.put(request(iterations=5000 + number), keys)
    assert cache.get(request(iterations=5000)) is keys
    cache.put(request(iterations=6000), keys)
    kept = [cache.get(request(iterations=count)) is not None for count in (5000, 5001, 5002, 6000)]
    assert kept == [True, False, True, True]


def test_no_repr_shows_a_secret() -> None:
    shown = f"{request()!r} {ScramKeys(b'client key', b'server key')!r} {KeyCache()!r} {USER!r}"
    for secret in ("secret", "client key", "server key", "pencil"):
        assert secret not in shown
