"""The auth specification's prose tests of MONGODB-AWS, against a double of a server, which checks real signatures.

Amazon's services are doubles too: botocore asks them at addresses of this machine.
"""

from __future__ import annotations

import http.server
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import wiredrv
from tests.support.aws_double import AWSDouble
from wiredrv import AWSCredentials
from wiredrv.connection import aws_source
from wiredrv.errors import ConfigurationError, CredentialsError, OperationFailure

pytestmark = pytest.mark.anyio

KEYS = {
    "AKIAREGULAR": ("hush-regular", None),
    "AKIALAMBDA": ("hush-lambda", "hush-token"),
    "AKIAECS": ("hush-ecs", "hush-ecs-token"),
    "AKIAEC2": ("hush-ec2", "hush-ec2-token"),
    "AKIAWEB": ("hush-web", "hush-web-token"),
    "AKIAPROFILE": ("hush-profile", None),
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials of this machine, and none kept from another test."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(aws_source, "_cache", aws_source._Cache())


@pytest.fixture
def server() -> AWSDouble:
    return AWSDouble(KEYS)


@pytest.fixture
def uri(server: AWSDouble) -> Iterator[str]:
    with server.serving() as uri:
        yield uri


async def find(uri: str, **options: Any) -> None:
    async with wiredrv.Client(uri, **options) as client:
        assert await client.shop.orders.find({}).to_list() == []


def is_kept() -> bool:
    """Whether something that botocore found is kept."""
    return aws_source._cache.found is not None


def set_variables(monkeypatch: pytest.MonkeyPatch, access: str, secret: str, token: str | None = None) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", access)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    if token is None:
        monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    else:
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)


def unset_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)


# --- the environment's variables ---


@pytest.mark.parametrize("access", ["AKIAREGULAR", "AKIALAMBDA"], ids=["regular", "assume role, lambda"])
async def test_credentials_in_the_environment_variables(
    monkeypatch: pytest.MonkeyPatch, uri: str, server: AWSDouble, access: str
) -> None:
    set_variables(monkeypatch, access, *KEYS[access])
    await find(uri)
    assert server.used == [access]
    assert not is_kept()  # these are never kept


async def test_the_variables_are_read_for_each_authentication(
    monkeypatch: pytest.MonkeyPatch, uri: str, server: AWSDouble
) -> None:
    async with wiredrv.Client(uri) as client:
        set_variables(monkeypatch, "AKIAREGULAR", "guessed")
        with pytest.raises(OperationFailure, match="MONGODB-AWS as the AWS credentials' identity") as failure:
            await client.shop.orders.find({}).to_list()
        assert failure.value.code == 18
        set_variables(monkeypatch, "AKIAREGULAR", "hush-regular")
        await client.shop.orders.find({}).to_list()


# --- a provider of the user ---


@pytest.mark.parametrize("kind", ["object", "asynchronous", "synchronous", "botocore's"])
async def test_a_provider_is_asked_before_the_environment(
    monkeypatch: pytest.MonkeyPatch, uri: str, server: AWSDouble, kind: str
) -> None:
    set_variables(monkeypatch, "AKIAREGULAR", "hush-regular")
    calls = 0

    def give(found: object = AWSCredentials("AKIALAMBDA", "hush-lambda", "hush-token")) -> object:
        nonlocal calls
        calls += 1
        return found

    async def give_later() -> object:
        return give()

    class Provider:
        def load(self) -> object:
            from botocore.credentials import Credentials

            found = Credentials("AKIALAMBDA", "hush-lambda", "hush-token")
            return give(found) if kind == "botocore's" else give()

    providers: dict[str, object] = {"asynchronous": give_later, "synchronous": give}
    await find(uri, authMechanismProperties={"AWS_CREDENTIAL_PROVIDER": providers.get(kind, Provider())})
    assert calls == 1
    assert server.used == ["AKIALAMBDA"]


async def test_a_provider_that_fails_or_gives_nothing_fails_the_operation(uri: str) -> None:
    def refuse() -> object:
        raise PermissionError("hush")

    for provider, words in ((refuse, "raised PermissionError"), (lambda: None, "must return AWSCredentials")):
        with pytest.raises(CredentialsError, match=f"AWS_CREDENTIAL_PROVIDER {words}") as failure:
            await find(uri, authMechanismProperties={"AWS_CREDENTIAL_PROVIDER": provider})
        assert "hush" not in repr(failure.value)


# --- what botocore finds ---


class FakeAmazon(http.server.BaseHTTPRequestHandler):
    """Stands in for the services that give credentials: the endpoints of ECS and EC2, and the STS."""

    asked: list[str] = []
    access = "AKIAECS"

    def _found(self) -> dict[str, Any]:
        secret, token = KEYS.get(self.access, ("wrong", "wrong"))
        expires = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        found = {"AccessKeyId": self.access, "SecretAccessKey": secret, "Token": token, "Expiration": expires}
        return {"Code": "Success", "LastUpdated": expires, "Type": "AWS-HMAC", **found}

    def do_GET(self) -> None:
        self.asked.append(f"GET {self.path}")
        role = "/latest/meta-data/iam/security-credentials/"
        body = "a-role" if self.path == role else json.dumps(self._found())
        self._answer(body)

    def do_PUT(self) -> None:
        self.asked.append(f"PUT {self.path}")
        self._answer("a-session")

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.asked.append(f"POST {asked}")
        found = self._found()
        self._answer(
            '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            "<AssumeRoleWithWebIdentityResult><Credentials>"
            f"<AccessKeyId>{found['AccessKeyId']}</AccessKeyId>"
            f"<SecretAccessKey>{found['SecretAccessKey']}</SecretAccessKey>"
            f"<SessionToken>{found['Token']}</SessionToken><Expiration>{found['Expiration']}</Expiration>"
            "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
            "text/xml",
        )

    def _answer(self, body: str, kind: str = "application/json") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def fake_amazon(monkeypatch: pytest.MonkeyPatch, access: str) -> Iterator[tuple[str, list[str]]]:
    monkeypatch.setattr(FakeAmazon, "access", access)
    monkeypatch.setattr(FakeAmazon, "asked", [])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), FakeAmazon) as service:
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{service.server_address[1]}", FakeAmazon.asked
        service.shutdown()
        thread.join()


async def test_an_ecs_task(monkeypatch: pytest.MonkeyPatch, uri: str, server: AWSDouble) -> None:
    with fake_amazon(monkeypatch, "AKIAECS") as (url, asked):
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/task")
        await find(uri)
        assert asked == ["GET /task"]
    assert server.used == ["AKIAECS"]


async def test_an_ec2_instance(monkeypatch: pytest.MonkeyPatch, uri: str, server: AWSDouble) -> None:
    with fake_amazon(monkeypatch, "AKIAEC2") as (url, asked):
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
        await find(uri)
        assert asked[0] == "PUT /latest/api/token"  # the second version of the service
    assert server.used == ["AKIAEC2"]


@pytest.mark.parametrize("session", [None, "app1"])
async def test_a_web_identity(
    monkeypatch: pytest.MonkeyPatch, uri: str, server: AWSDouble, tmp_path: Path, session: str | None
) -> None:
    (tmp_path / "token").write_text("a-web-token")
    with fake_amazon(monkeypatch, "AKIAWEB") as (url, asked):
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/test")
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        if session is not None:
            monkeypatch.setenv("AWS_ROLE_SESSION_NAME", session)
        await find(uri)
        assert "WebIdentityToken=a-web-token" in asked[0]
        assert session is None or f"RoleSessionName={session}" in asked[0]
    assert server.used == ["AKIAWEB"]


async def test_a_profile(uri: str, server: AWSDouble, tmp_path: Path) -> None:
    profile = "[default]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = hush-profile\n"
    (tmp_path / "credentials").write_text(profile)
    await find(uri)
    assert server.used == ["AKIAPROFILE"]


async def test_without_any_credentials_the_error_says_where_they_were_looked_for(uri: str) -> None:
    with pytest.raises(CredentialsError, match=r"AWS_ACCESS_KEY_ID .* are not set, and botocore finds none"):
        await find(uri)


async def test_without_botocore_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    with pytest.raises(CredentialsError, match=r"install botocore \(the extra wiredrv\[aws\]\)"):
        await find(uri)


# --- what is kept ---


async def test_what_botocore_found_is_kept_and_dropped_when_it_is_refused(
    monkeypatch: pytest.MonkeyPatch, uri: str, server: AWSDouble
) -> None:
    """Mongodb-aws.md, "Cached Credentials", steps 1 to 12."""
    with fake_amazon(monkeypatch, "AKIAECS") as (url, asked):
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/task")
        await find(uri)
        found: Any = aws_source._cache.found
        assert found is not None
        await find(uri)
        assert asked == ["GET /task"]
        # They expire within a minute: they are fetched again.
        found._expiry_time = datetime.now(UTC) + timedelta(minutes=1)
        await find(uri)
        assert asked == ["GET /task"] * 2
        found._frozen_credentials = found._frozen_credentials._replace(access_key="poisoned")
        with pytest.raises(OperationFailure):
            await find(uri)
        assert not is_kept()
        await find(uri)
        assert is_kept()


async def test_what_is_kept_comes_before_variables_that_were_set_later(
    monkeypatch: pytest.MonkeyPatch, uri: str, server: AWSDouble
) -> None:
    """The same, the second list."""
    with fake_amazon(monkeypatch, "AKIAECS") as (url, _):
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/task")
        set_variables(monkeypatch, "AKIAECS", *KEYS["AKIAECS"])
        await find(uri)
        assert not is_kept()
        set_variables(monkeypatch, "AKIAECS", "guessed")
        with pytest.raises(OperationFailure):
            await find(uri)
        unset_variables(monkeypatch)
        await find(uri)
        assert is_kept()
        set_variables(monkeypatch, "AKIAECS", "guessed")
        await find(uri)
        unset_variables(monkeypatch)


# --- what users see ---


@pytest.mark.parametrize(
    "uri_of_user, properties",
    [
        ("mongodb://AKIA@localhost/", None),
        ("mongodb://AKIA:hush@localhost/", None),
        ("mongodb://localhost/", {"AWS_SESSION_TOKEN": "hush"}),
    ],
)
async def test_credentials_in_the_options_are_refused(uri_of_user: str, properties: Any) -> None:
    with pytest.raises(ConfigurationError, match="set the environment variables") as failure:
        wiredrv.Client(uri_of_user, authMechanism="MONGODB-AWS", authMechanismProperties=properties)
    assert "hush" not in repr(failure.value)


async def test_no_log_shows_a_secret(
    monkeypatch: pytest.MonkeyPatch, uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "wiredrv")
    set_variables(monkeypatch, "AKIALAMBDA", *KEYS["AKIALAMBDA"])
    await find(uri)
    set_variables(monkeypatch, "AKIAREGULAR", "hush, guessed")
    with pytest.raises(OperationFailure) as failure:
        await find(uri)
    assert caplog.records
    assert "hush" not in f"{caplog.text} {failure.value!r} {vars(failure.value)}"
