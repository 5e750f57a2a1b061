"""Which mechanism is used, what the handshake says about it, and the mechanisms with a single command."""

from __future__ import annotations

from typing import Any

import pytest

from wiredrv.connection.auth.conversation import advance, denied
from wiredrv.connection.auth.mechanisms import begin
from wiredrv.connection.auth.negotiation import choose_mechanism, hello_fields, speculate, take_up
from wiredrv.connection.handshake import hello_command
from wiredrv.connection.settings import ConnectionSettings, Credentials
from wiredrv.errors import ConfigurationError, NotPrimaryError, OperationFailure

ANY = Credentials(None, "shop", "ann", "secret")
SHA_1 = Credentials("SCRAM-SHA-1", "shop", "ann", "secret")
SHA_256 = Credentials("SCRAM-SHA-256", "shop", "ann", "secret")
X509 = Credentials("MONGODB-X509", "$external")
PLAIN = Credentials("PLAIN", "$external", "ann", "secret")


@pytest.mark.parametrize(
    "credentials, offered, chosen",
    [
        (ANY, ["SCRAM-SHA-1", "SCRAM-SHA-256"], "SCRAM-SHA-256"),
        (ANY, ["SCRAM-SHA-256"], "SCRAM-SHA-256"),
        (ANY, ["SCRAM-SHA-1"], "SCRAM-SHA-1"),
        (ANY, ["PLAIN", "NEW-ONE"], "SCRAM-SHA-1"),
        (ANY, [], "SCRAM-SHA-1"),
        (ANY, None, "SCRAM-SHA-1"),
        (ANY, "SCRAM-SHA-256", "SCRAM-SHA-1"),
        (SHA_1, ["SCRAM-SHA-256"], "SCRAM-SHA-1"),
        (PLAIN, ["SCRAM-SHA-256"], "PLAIN"),
        (X509, None, "MONGODB-X509"),
    ],
)
def test_the_default_mechanism_follows_the_servers_list_and_a_given_one_is_honoured(
    credentials: Credentials, offered: object, chosen: str
) -> None:
    hello = {} if offered is None else {"saslSupportedMechs": offered}
    assert choose_mechanism(credentials, hello) == chosen


def hello_of(credentials: Credentials) -> dict[str, Any]:
    settings = ConnectionSettings(credentials=credentials)
    return hello_command(settings, {}, speculate(credentials))


def test_without_a_mechanism_the_handshake_asks_for_the_users_own_and_guesses() -> None:
    hello = hello_of(ANY)
    assert hello["saslSupportedMechs"] == "shop.ann"
    assert hello["speculativeAuthenticate"]["mechanism"] == "SCRAM-SHA-256"
    assert hello["speculativeAuthenticate"]["db"] == "shop"
    assert hello["speculativeAuthenticate"]["saslStart"] == 1


def test_the_name_is_asked_for_as_it_was_given() -> None:
    assert hello_of(Credentials(None, "a", "\u2168,=", "p"))["saslSupportedMechs"] == "a.\u2168,="


@pytest.mark.parametrize("credentials", [SHA_1, SHA_256])
def test_a_given_mechanism_is_begun_with_the_handshake_and_not_negotiated(credentials: Credentials) -> None:
    hello = hello_of(credentials)
    assert "saslSupportedMechs" not in hello
    assert hello["speculativeAuthenticate"]["mechanism"] == credentials.mechanism


def test_x509_begins_with_the_handshake() -> None:
    expected = {"authenticate": 1, "mechanism": "MONGODB-X509", "db": "$external"}
    assert hello_of(X509)["speculativeAuthenticate"] == expected
    named = Credentials("MONGODB-X509", "$external", "CN=ann")
    assert hello_of(named)["speculativeAuthenticate"] == {**expected, "user": "CN=ann"}


def test_a_password_in_the_clear_never_travels_with_the_handshake() -> None:
    assert speculate(PLAIN) is None
    assert hello_fields(PLAIN, None) == {}
    assert b"secret" not in repr(hello_of(PLAIN)).encode()


def test_without_credentials_the_handshake_says_nothing_of_authentication() -> None:
    hello = hello_command(ConnectionSettings(), {})
    assert hello.keys().isdisjoint({"saslSupportedMechs", "speculativeAuthenticate"})


def test_a_speculation_that_the_server_takes_up_is_gone_on_with() -> None:
    speculation = speculate(ANY)
    assert speculation is not None
    nonce = speculation.first["payload"].decode().rpartition("r=")[2]
    reply = {"conversationId": 4, "done": False, "payload": f"r={nonce}S,s=c2FsdHk=,i=5000".encode()}
    hello = {"saslSupportedMechs": ["SCRAM-SHA-256"], "speculativeAuthenticate": reply}
    mechanism, conversation, step = take_up(ANY, speculation, hello)
    assert (mechanism, conversation) == ("SCRAM-SHA-256", speculation.conversation)
    assert not isinstance(step, dict)  # it already needs keys


@pytest.mark.parametrize(
    "hello, mechanism",
    [
        ({"saslSupportedMechs": ["SCRAM-SHA-256"]}, "SCRAM-SHA-256"),
        ({"saslSupportedMechs": ["SCRAM-SHA-1"]}, "SCRAM-SHA-1"),
        # The reply to a speculation that turned out wrong is ignored.
        ({"saslSupportedMechs": ["SCRAM-SHA-1"], "speculativeAuthenticate": {"payload": b""}}, "SCRAM-SHA-1"),
        ({"saslSupportedMechs": ["SCRAM-SHA-256"], "speculativeAuthenticate": None}, "SCRAM-SHA-256"),
    ],
)
def test_otherwise_a_new_conversation_with_a_new_nonce_is_begun(hello: dict[str, Any], mechanism: str) -> None:
    speculation = speculate(ANY)
    assert speculation is not None
    chosen, conversation, step = take_up(ANY, speculation, hello)
    assert chosen == mechanism
    assert conversation is not speculation.conversation
    assert isinstance(step, dict)
    assert step["mechanism"] == mechanism
    assert step["payload"] != speculation.first["payload"]


def test_x509_is_done_when_the_handshake_answers_it() -> None:
    speculation = speculate(X509)
    hello = {"speculativeAuthenticate": {"dbname": "$external", "user": "CN=ann"}}
    _, _, step = take_up(X509, speculation, hello)
    assert step is None


def test_plain_sends_name_and_password_once() -> None:
    conversation = begin("PLAIN", Credentials("PLAIN", "$external", "user", "pencil"))
    step = next(conversation)
    payload = b"\x00user\x00pencil"
    assert step == {"saslStart": 1, "mechanism": "PLAIN", "payload": payload, "autoAuthorize": 1}
    assert advance(conversation, {"conversationId": 1, "payload": b"", "done": True}) is None


def test_plain_must_be_done_after_one_reply() -> None:
    conversation = begin("PLAIN", PLAIN)
    next(conversation)
    with pytest.raises(OperationFailure, match=r"PLAIN as user 'ann' of '\$external'.*does not end"):
        advance(conversation, {"conversationId": 1, "payload": b"", "done": False})


def test_an_unknown_mechanism_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"does not support.*'GSSAPI'"):
        begin("GSSAPI", ANY)


def test_a_denial_names_mechanism_user_and_source_and_no_secret() -> None:
    reply = {"ok": 0, "code": 18, "codeName": "AuthenticationFailed", "errmsg": "Authentication failed."}
    error = denied("SCRAM-SHA-256", ANY, reply, 17)
    assert isinstance(error, OperationFailure)
    assert (error.code, error.details, error.max_wire_version) == (18, reply, 17)
    said = "(SCRAM-SHA-256 as user 'ann' of 'shop'): Authentication failed. (code 18, AuthenticationFailed)"
    assert str(error) == f"authentication failed {said}"
    assert "as the client certificate's subject of '$external'" in str(denied("MONGODB-X509", X509, reply, 17))


def test_a_server_that_is_shutting_down_says_so_instead() -> None:
    error = denied("SCRAM-SHA-256", ANY, {"ok": 0, "code": 91, "errmsg": "shutting down"}, 17)
    assert isinstance(error, NotPrimaryError)


def test_the_handshake_offers_the_compressors_in_their_order() -> None:
    settings = ConnectionSettings(compressors=("zstd", "zlib"))
    assert hello_command(settings, {})["compression"] == ["zstd", "zlib"]
    assert hello_command(ConnectionSettings(), {})["compression"] == []
