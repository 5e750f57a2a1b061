"""The conversations of MONGODB-OIDC, the allowed hosts, what callbacks give, and tokens from environments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bson
import pytest

from wiredrv.connection.auth.callbacks import (
    OIDCCallbackContext,
    OIDCCallbackResult,
    OIDCIdPInfo,
    read_token,
)
from wiredrv.connection.auth.conversation import Token, TokenRequest, advance, denied, object_to
from wiredrv.connection.auth.environments import metadata_request, read_metadata, read_token_text, token_file
from wiredrv.connection.auth.negotiation import hello_fields, speculate, take_up
from wiredrv.connection.auth.oidc import TokenCache, Tokens, again, check_host, is_allowed, oidc
from wiredrv.connection.settings import Credentials
from wiredrv.errors import ConfigurationError, CredentialsError, DriverError, OperationFailure, ProtocolError
from wiredrv.types import Address

MACHINE = Credentials("MONGODB-OIDC", "$external", None, None, {"OIDC_CALLBACK": print})
HUMAN = Credentials("MONGODB-OIDC", "$external", "ann", None, {"OIDC_HUMAN_CALLBACK": print})
PROVIDER = {"issuer": "https://issuer", "clientId": "abcd", "requestScopes": ["a", "b"]}
IDP = OIDCIdPInfo("https://issuer", "abcd", ["a", "b"])
DONE = {"ok": 1, "conversationId": 1, "done": True, "payload": b""}
TOLD = {"ok": 1, "conversationId": 7, "done": False, "payload": bson.encode(PROVIDER)}
NO = {"ok": 0, "code": 18, "codeName": "AuthenticationFailed", "errmsg": "no"}
BUSY = {"ok": 0, "code": 20, "codeName": "IllegalOperation", "errmsg": "not now"}


class Played:
    """A conversation, played with the answers of a server and of a callback; it notes the steps."""

    def __init__(self, conversation: Any, answers: Sequence[object], tokens: Tokens) -> None:
        self.steps: list[str] = []
        self.requests: list[TokenRequest] = []
        self.commands: list[dict[str, Any]] = []
        self.error: DriverError | None = None
        left = list(answers)
        try:
            step = next(conversation, None)
            while step is not None:
                answer = left.pop(0)
                if isinstance(step, TokenRequest):
                    self.requests.append(step)
                    self.steps.append("token?")
                    assert isinstance(answer, Token)
                    tokens.client.access_token = answer.value  # as the shell does
                    step = advance(conversation, answer)
                    continue
                self.commands.append(step)
                self.steps.append(_shown(step))
                assert isinstance(answer, dict)
                if answer["ok"]:
                    step = advance(conversation, answer)
                else:
                    step = object_to(conversation, denied("MONGODB-OIDC", MACHINE, answer, 21))
        except DriverError as error:
            self.error = error
        assert not left, f"not asked for: {left}"


def _shown(command: dict[str, Any]) -> str:
    payload = bson.decode(command["payload"])
    return f"{next(iter(command))} {payload.get('jwt') or payload}"


def cached(token: str) -> Token:
    return Token(token, True)


def new(token: str) -> Token:
    return Token(token, False)


@pytest.mark.parametrize(
    "cache, answers, steps, code, left",
    [
        # A token that the client has is presented; one that is refused is dropped, and a new one presented once.
        ("old", [cached("old"), DONE], ["token?", "saslStart old"], None, "old"),
        (
            "old",
            [cached("old"), NO, new("new"), DONE],
            ["token?", "saslStart old", "token?", "saslStart new"],
            None,
            "new",
        ),
        ("old", [cached("old"), NO, new("new"), NO], ["token?", "saslStart old", "token?", "saslStart new"], 18, "new"),
        # Any other error ends it, and the token stays.
        ("old", [cached("old"), BUSY], ["token?", "saslStart old"], 20, "old"),
        # A new token that is refused is an error at once.
        (None, [new("new"), DONE], ["token?", "saslStart new"], None, "new"),
        (None, [new("new"), NO], ["token?", "saslStart new"], 18, "new"),
        (None, [new("new"), BUSY], ["token?", "saslStart new"], 20, "new"),
    ],
)
def test_a_machines_token(
    cache: str | None, answers: list[Any], steps: list[str], code: int | None, left: str | None
) -> None:
    tokens = Tokens(TokenCache(cache))
    played = Played(oidc(MACHINE, tokens), answers, tokens)
    assert played.steps == steps
    assert getattr(played.error, "code", None) == code
    assert tokens.client.access_token == left
    if code is None:
        assert tokens.own == left
    assert all(command["mechanism"] == "MONGODB-OIDC" for command in played.commands)


ASKED = "saslStart {'n': 'ann'}"


@pytest.mark.parametrize(
    "cache, answers, steps, code, left",
    [
        # The access token that the client has; then, with the refresh token, a new one; then the whole way.
        (TokenCache("old"), [DONE], ["saslStart old"], None, ("old", None)),
        (TokenCache("old"), [BUSY], ["saslStart old"], 20, ("old", None)),
        (TokenCache(), [TOLD, new("a"), DONE], [ASKED, "token?", "saslContinue a"], None, ("a", None)),
        (TokenCache(), [TOLD, new("a"), NO], [ASKED, "token?", "saslContinue a"], 18, ("a", None)),
        (
            TokenCache("old"),
            [NO, TOLD, new("a"), DONE],
            ["saslStart old", ASKED, "token?", "saslContinue a"],
            None,
            ("a", None),
        ),
        (TokenCache(None, "r", IDP), [new("a"), DONE], ["token?", "saslStart a"], None, ("a", "r")),
        (TokenCache(None, "r", IDP), [new("a"), BUSY], ["token?", "saslStart a"], 20, ("a", "r")),
        (
            TokenCache("old", "r", IDP),
            [NO, new("a"), NO, TOLD, new("b"), DONE],
            ["saslStart old", "token?", "saslStart a", ASKED, "token?", "saslContinue b"],
            None,
            ("b", None),
        ),
    ],
)
def test_a_humans_token(
    cache: TokenCache, answers: list[Any], steps: list[str], code: int | None, left: tuple[str | None, str | None]
) -> None:
    tokens = Tokens(cache)
    played = Played(oidc(HUMAN, tokens), answers, tokens)
    assert played.steps == steps
    assert getattr(played.error, "code", None) == code
    assert (cache.access_token, cache.refresh_token) == left
    for step, request in zip([step for step in steps if step == "token?"], played.requests, strict=True):
        assert request.idp_info == IDP, step


def test_the_refresh_token_is_not_passed_on_the_whole_way() -> None:
    tokens = Tokens(TokenCache(None, "r", IDP))
    played = Played(oidc(HUMAN, tokens), [new("a"), NO, TOLD, new("b"), DONE], tokens)
    assert [request.refresh_token for request in played.requests] == ["r", None]
    assert played.commands[-1]["conversationId"] == 7


def test_without_a_name_none_is_sent() -> None:
    nobody = Credentials("MONGODB-OIDC", "$external", None, None, {"OIDC_HUMAN_CALLBACK": print})
    tokens = Tokens(TokenCache())
    assert Played(oidc(nobody, tokens), [TOLD, new("a"), DONE], tokens).steps[0] == "saslStart {}"


def test_a_machines_identity_provider_has_no_client_id() -> None:
    told = {**TOLD, "payload": bson.encode({"issuer": "https://issuer"})}
    tokens = Tokens(TokenCache())
    played = Played(oidc(HUMAN, tokens), [told, new("a"), DONE], tokens)
    assert played.requests[0].idp_info == OIDCIdPInfo("https://issuer", None, None)


@pytest.mark.parametrize(
    "payload",
    [None, b"", b"\x05", bson.encode({}), bson.encode({"issuer": 1}), bson.encode({"issuer": "i", "clientId": 1})],
)
def test_an_answer_that_describes_no_identity_provider_is_an_error(payload: object) -> None:
    tokens = Tokens(TokenCache())
    played = Played(oidc(HUMAN, tokens), [{**TOLD, "payload": payload}], tokens)
    assert isinstance(played.error, ProtocolError)


def test_a_server_that_does_not_end_the_conversation_is_refused() -> None:
    tokens = Tokens(TokenCache())
    played = Played(oidc(MACHINE, tokens), [new("a"), {**DONE, "done": False}], tokens)
    assert isinstance(played.error, OperationFailure)
    assert "MONGODB-OIDC as the token's subject of '$external'" in str(played.error)
    assert "the server does not end the conversation" in str(played.error)


@pytest.mark.parametrize("own, left", [("old", None), ("older", "old")])
def test_authenticating_again_drops_the_connections_token_from_the_client(own: str, left: str | None) -> None:
    tokens = Tokens(TokenCache("old"), own)
    conversation = again(MACHINE, tokens)
    assert isinstance(next(conversation), TokenRequest)
    assert tokens.client.access_token == left
    assert tokens.own is None


# --- with the handshake ---


def test_a_handshake_has_the_clients_token_if_there_is_one() -> None:
    assert speculate(MACHINE, Tokens(TokenCache())) is None
    tokens = Tokens(TokenCache("old"))
    speculation = speculate(MACHINE, tokens)
    assert speculation is not None
    fields = hello_fields(MACHINE, speculation)
    assert fields["speculativeAuthenticate"]["db"] == "$external"
    assert bson.decode(fields["speculativeAuthenticate"]["payload"]) == {"jwt": "old"}
    assert tokens.own == "old"


def test_the_handshakes_answer_ends_the_conversation() -> None:
    tokens = Tokens(TokenCache("old"))
    hello = {"speculativeAuthenticate": {"conversationId": 1, "done": True, "payload": b""}}
    assert take_up(MACHINE, speculate(MACHINE, tokens), hello, tokens)[2] is None
    assert tokens.own == "old"


@pytest.mark.parametrize("answer", [None, {"done": False, "conversationId": 1, "payload": b""}])
def test_what_the_handshake_did_not_answer_starts_anew_and_drops_nothing(answer: object) -> None:
    tokens = Tokens(TokenCache("old"))
    hello = {} if answer is None else {"speculativeAuthenticate": answer}
    _, _, step = take_up(MACHINE, speculate(MACHINE, tokens), hello, tokens)
    assert step == TokenRequest()
    assert tokens.client.access_token == "old"


# --- hosts ---


@pytest.mark.parametrize(
    "host, patterns, allowed",
    [
        ("localhost", ["localhost"], True),
        ("LOCALHOST", ["localhost"], True),
        ("a.example.com", ["*.example.com"], True),
        ("a.b.example.com", ["*.Example.com"], True),
        ("example.com", ["*.example.com"], False),
        ("evilexample.com", ["*.example.com"], False),
        ("example.com.evil", ["*.example.com", "example.com"], False),
        ("a.example.com", ["a*.example.com"], False),
        ("::1", ["::1"], True),
        ("localhost", [], False),
        ("localhost", ["*"], False),
    ],
)
def test_allowed_hosts(host: str, patterns: list[str], allowed: bool) -> None:
    assert is_allowed(host, patterns) is allowed


def test_a_humans_token_goes_to_the_usual_hosts_only_and_a_machines_anywhere() -> None:
    for host in (
        "localhost",
        "127.0.0.1",
        "::1",
        "a.mongodb.net",
        "a.mongodb-qa.net",
        "a.mongodb-dev.net",
        "a.mongo.com",
    ):
        check_host(Address(host), HUMAN)
    elsewhere = Address("db.example.com")
    check_host(elsewhere, MACHINE)
    with pytest.raises(ConfigurationError, match="not among the ALLOWED_HOSTS"):
        check_host(elsewhere, HUMAN)
    allowing = {**HUMAN.properties, "ALLOWED_HOSTS": ["db.example.com"]}
    check_host(elsewhere, Credentials("MONGODB-OIDC", "$external", None, None, allowing))


# --- what callbacks give ---


class PyMongosResult:
    """As PyMongo's class has it."""

    def __init__(self, access_token: object, expires_in_seconds: object = None, refresh_token: object = None) -> None:
        self.access_token = access_token
        self.expires_in_seconds = expires_in_seconds
        self.refresh_token = refresh_token


@pytest.mark.parametrize(
    "result, read",
    [
        (OIDCCallbackResult("a"), OIDCCallbackResult("a")),
        (OIDCCallbackResult("a", 3.5, "r"), OIDCCallbackResult("a", 3.5, "r")),
        (PyMongosResult("a", 0, "r"), OIDCCallbackResult("a", 0, "r")),
    ],
)
def test_what_a_callback_may_give(result: object, read: OIDCCallbackResult) -> None:
    assert read_token("OIDC_CALLBACK", result) == read


@pytest.mark.parametrize(
    "result",
    [
        None,
        "hush-hush",
        {"access_token": "hush-hush"},
        PyMongosResult(b"hush-hush"),
        PyMongosResult(""),
        PyMongosResult("hush-hush", -1),
        PyMongosResult("hush-hush", "3"),
        PyMongosResult("hush-hush", True),
        PyMongosResult("hush-hush", None, b"hush-hush"),
        PyMongosResult("hush-hush\ud800"),
    ],
)
def test_anything_else_is_refused_without_showing_it(result: object) -> None:
    with pytest.raises(CredentialsError, match="OIDC_CALLBACK") as failure:
        read_token("OIDC_CALLBACK", result)
    assert "hush" not in repr(failure.value)


def test_no_repr_shows_a_token() -> None:
    secret = "hush-hush"
    values = [
        OIDCCallbackResult(secret, 1, secret),
        OIDCCallbackContext(1.0, "ann", 1, secret, IDP),
        Token(secret, True),
        TokenRequest(secret),
        TokenCache(secret, secret),
        Tokens(TokenCache(secret), secret),
        Credentials("MONGODB-OIDC", "$external", None, None, {"OIDC_CALLBACK": secret}),
    ]
    assert secret not in repr(values)


# --- environments ---


def test_where_the_token_of_an_environment_is() -> None:
    assert token_file("test", {"OIDC_TOKEN_FILE": "/t"}) == "/t"
    assert token_file("k8s", {}) == "/var/run/secrets/kubernetes.io/serviceaccount/token"
    assert token_file("k8s", {"AWS_WEB_IDENTITY_TOKEN_FILE": "/aws"}) == "/aws"
    assert token_file("k8s", {"AWS_WEB_IDENTITY_TOKEN_FILE": "/aws", "AZURE_FEDERATED_TOKEN_FILE": "/az"}) == "/az"
    assert token_file("azure", {}) is None
    assert token_file("gcp", {}) is None
    with pytest.raises(CredentialsError, match="OIDC_TOKEN_FILE"):
        token_file("test", {})


def test_what_metadata_services_are_asked() -> None:
    azure = metadata_request("azure", "api://a b&c", "the/id")
    path = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=api%3A%2F%2Fa%20b%26c&client_id=the%2Fid"
    assert (azure.host, azure.target) == ("169.254.169.254", path)
    assert azure.headers == {"Accept": "application/json", "Metadata": "true"}
    assert metadata_request("azure", "a", None).target == path.partition("&")[0] + "&resource=a"
    gcp = metadata_request("gcp", "mongodb://cluster", None)
    path = "/computeMetadata/v1/instance/service-accounts/default/identity?audience=mongodb%3A%2F%2Fcluster"
    assert (gcp.host, gcp.target, gcp.headers) == ("metadata", path, {"Metadata-Flavor": "Google"})


def test_what_metadata_services_answer() -> None:
    assert read_metadata("azure", 200, b'{"access_token": "abc", "expires_in": "3599"}') == "abc"
    assert read_metadata("gcp", 200, b"abc\n") == "abc"
    assert read_token_text("f", b" abc \n") == "abc"
    with pytest.raises(CredentialsError, match=r"ENVIRONMENT:azure: .* status 400: \{\"error\": \"no such id\"\}"):
        read_metadata("azure", 400, b'{"error": "no such id"}')
    for environment, body in (("azure", b"abc"), ("azure", b"[]"), ("azure", b'{"access_token": 1}'), ("gcp", b"")):
        with pytest.raises(CredentialsError, match=r"access_token|no access token"):
            read_metadata(environment, 200, body)
    with pytest.raises(CredentialsError, match="no access token"):
        read_token_text("f", b"\xff")
