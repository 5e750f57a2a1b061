"""The conversation of MONGODB-AWS, its signature compared with that of Amazon's library, and what providers give."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.aws_double import signed_by_amazon
from wiredrv.connection.auth.aws import authorization, aws, is_valid_host, new_nonce, region_of
from wiredrv.connection.auth.callbacks import AWSCredentials, read_aws_credentials
from wiredrv.connection.auth.conversation import KeysRequest, SigningKeys, advance
from wiredrv.connection.auth.negotiation import speculate
from wiredrv.connection.aws_source import from_variables
from wiredrv.connection.settings import Credentials
from wiredrv.errors import CredentialsError, OperationFailure, ProtocolError

USER = Credentials("MONGODB-AWS", "$external")
KEYS = AWSCredentials("AKIAI44QH8DHBEXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
TEMPORARY = AWSCredentials(KEYS.access_key, KEYS.secret_key, "AQoDYXdzEJr")
NOW = datetime(2019, 11, 7, 0, 26, 7, tzinfo=UTC)
NONCE = bytes(range(32))
SERVER_NONCE = NONCE + bytes(range(100, 132))


def challenge(nonce: object = SERVER_NONCE, host: object = "sts.amazonaws.com", **fields: Any) -> dict[str, Any]:
    payload = bson.encode({"s": nonce, "h": host})
    return {"ok": 1, "conversationId": 3, "done": False, "payload": payload, **fields}


@pytest.mark.parametrize("keys", [KEYS, TEMPORARY])
def test_a_conversation(keys: AWSCredentials) -> None:
    conversation = aws(USER, NONCE)
    first = next(conversation)
    assert isinstance(first, dict)
    assert (first["saslStart"], first["mechanism"]) == (1, "MONGODB-AWS")
    assert bson.decode(first["payload"]) == {"r": NONCE, "p": 110}
    assert advance(conversation, challenge()) == KeysRequest()
    second = advance(conversation, SigningKeys(keys, NOW))
    assert isinstance(second, dict)
    assert (second["saslContinue"], second["conversationId"]) == (1, 3)
    answer = bson.decode(second["payload"])
    assert answer.pop("a") == authorization(keys, "sts.amazonaws.com", SERVER_NONCE, NOW)
    assert answer == {"d": "20191107T002607Z", **({} if keys.token is None else {"t": keys.token})}
    assert advance(conversation, {"ok": 1, "conversationId": 3, "done": True, "payload": b""}) is None


def test_the_header_is_of_the_specifications_form() -> None:
    header = authorization(KEYS, "sts.amazonaws.com", SERVER_NONCE, NOW)
    assert header.startswith(
        "AWS4-HMAC-SHA256 Credential=AKIAI44QH8DHBEXAMPLE/20191107/us-east-1/sts/aws4_request, "
        "SignedHeaders=content-length;content-type;host;x-amz-date;x-mongodb-gs2-cb-flag;x-mongodb-server-nonce, "
        "Signature="
    )


@given(
    secret=st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1),
    token=st.none() | st.text("abcABC019+/=", min_size=1),
    host=st.sampled_from(["sts.amazonaws.com", "sts.eu-west-1.amazonaws.com", "localhost"]),
    nonce=st.binary(min_size=64, max_size=64),
    now=st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)),
)
def test_signatures_are_those_of_amazons_library(
    secret: str, token: str | None, host: str, nonce: bytes, now: datetime
) -> None:
    ours = authorization(AWSCredentials("AKID", secret, token), host, nonce, now)
    assert ours == signed_by_amazon("AKID", secret, token, host, region_of(host), nonce, now)


@pytest.mark.parametrize(
    "host, region",
    [
        ("sts.amazonaws.com", "us-east-1"),
        ("aws.amazonaws.com", "us-east-1"),
        ("sts.us-west-2.amazonaws.com", "us-west-2"),
        ("sts.us-west-2.amazonaws.com.ch", "us-west-2"),
        ("example.com", "com"),
        ("localhost", "us-east-1"),
        ("a" * 255, "us-east-1"),
    ],
)
def test_regions(host: str, region: str) -> None:
    assert is_valid_host(host)
    assert region_of(host) == region


@pytest.mark.parametrize("host", ["sts..com", ".amazonaws.com", "sts.amazonaws.", "", ".", "a" * 256, "\u00fc" * 128])
def test_a_host_that_is_not_valid_is_refused(host: str) -> None:
    conversation = aws(USER, NONCE)
    next(conversation)
    with pytest.raises(OperationFailure, match="does not name a valid host"):
        advance(conversation, challenge(host=host))


@pytest.mark.parametrize("nonce", [b"", NONCE, SERVER_NONCE[:-1], SERVER_NONCE + b"x", bytes(64)])
def test_a_nonce_that_does_not_begin_with_ours_is_refused(nonce: bytes) -> None:
    conversation = aws(USER, NONCE)
    next(conversation)
    with pytest.raises(OperationFailure, match=r"MONGODB-AWS as the AWS credentials' identity .* nonce"):
        advance(conversation, challenge(nonce))


@pytest.mark.parametrize(
    "reply",
    [
        {"ok": 1},
        {"ok": 1, "payload": b"\x05"},
        {"ok": 1, "payload": "text"},
        challenge(1),
        challenge(host=1),
        challenge(done=True),
    ],
)
def test_an_answer_that_cannot_be_read_is_an_error(reply: dict[str, Any]) -> None:
    conversation = aws(USER, NONCE)
    next(conversation)
    with pytest.raises(ProtocolError):
        advance(conversation, reply)


def test_a_server_that_does_not_end_the_conversation_is_refused() -> None:
    conversation = aws(USER, NONCE)
    next(conversation)
    advance(conversation, challenge())
    advance(conversation, SigningKeys(KEYS, NOW))
    with pytest.raises(OperationFailure, match="does not end the conversation"):
        advance(conversation, {"ok": 1, "conversationId": 3, "done": False, "payload": b""})


def test_it_does_not_begin_with_the_handshake_and_each_nonce_is_new() -> None:
    assert speculate(USER) is None
    assert len({new_nonce() for _ in range(10)}) == 10
    assert {len(new_nonce()) for _ in range(10)} == {32}


def test_no_repr_shows_a_secret() -> None:
    shown = repr([AWSCredentials("id", "hush-secret", "hush-token"), SigningKeys(AWSCredentials("id", "hush"), NOW)])
    assert "id" in shown
    assert "hush" not in shown


@pytest.mark.parametrize(
    "found, read",
    [
        (AWSCredentials("id", "s"), AWSCredentials("id", "s")),
        (SimpleNamespace(access_key="id", secret_key="s", token="t", method="x"), AWSCredentials("id", "s", "t")),
        (SimpleNamespace(access_key="id", secret_key="s", token=""), AWSCredentials("id", "s")),
        (SimpleNamespace(access_key="id", secret_key="s"), AWSCredentials("id", "s")),
    ],
)
def test_what_a_provider_may_give(found: object, read: AWSCredentials) -> None:
    assert read_aws_credentials("p", found) == read


@pytest.mark.parametrize(
    "found",
    [
        None,
        ("id", "hush"),
        {"access_key": "id", "secret_key": "hush"},
        SimpleNamespace(access_key="", secret_key="hush"),
        SimpleNamespace(access_key="id", secret_key=b"hush"),
        SimpleNamespace(access_key="id", secret_key="hush", token=b"hush"),
        SimpleNamespace(access_key="id", secret_key="hush\ud800"),
    ],
)
def test_anything_else_is_refused_without_showing_it(found: object) -> None:
    with pytest.raises(CredentialsError) as failure:
        read_aws_credentials("AWS_CREDENTIAL_PROVIDER", found)
    assert "hush" not in repr(failure.value)


def test_credentials_in_environment_variables() -> None:
    both = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "s"}
    assert from_variables({}) is None
    assert from_variables({"AWS_SESSION_TOKEN": "t"}) is None
    assert from_variables(both) == AWSCredentials("id", "s")
    assert from_variables({**both, "AWS_SESSION_TOKEN": ""}) == AWSCredentials("id", "s")
    assert from_variables({**both, "AWS_SESSION_TOKEN": "t"}) == AWSCredentials("id", "s", "t")
    for name in both:
        with pytest.raises(CredentialsError, match=f"{name} is not set"):
            from_variables({key: value for key, value in both.items() if key != name})
