"""The callback ``credentials``: what it may give, how it is combined with the options, and when files are read anew."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.certificates import Authority
from wiredrv.connection.auth.callbacks import read_client_credentials
from wiredrv.connection.auth.current import with_user
from wiredrv.connection.rotation import current_credentials, current_tls
from wiredrv.connection.settings import ClientCredentials, ConnectionSettings, Credentials
from wiredrv.errors import ConfigurationError, CredentialsError
from wiredrv.net.dial import TLSContexts
from wiredrv.net.settings import NetSettings, TLSSettings
from wiredrv.options.uri import parse_client_settings


def given(username: str | None = None, password: str | None = None, **files: str) -> ClientCredentials:
    return ClientCredentials(username=username, password=password, **files)


def options(mechanism: str | None = None) -> Credentials:
    return Credentials(mechanism, "shop", None, None, {"a": 1})


@pytest.mark.parametrize("mechanism", [None, "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"])
def test_a_user_with_a_password_is_put_into_the_options(mechanism: str | None) -> None:
    found = with_user(options(mechanism), given("ann", ""))
    assert found == Credentials(mechanism, "shop", "ann", "", {"a": 1})


@pytest.mark.parametrize(
    "mechanism, current, username",
    [
        ("MONGODB-X509", given(), None),
        ("MONGODB-X509", given("CN=ann"), "CN=ann"),
        ("MONGODB-OIDC", given(tls_ca_file="/ca"), None),
        ("MONGODB-AWS", given(), None),
    ],
)
def test_other_mechanisms_need_no_user(mechanism: str, current: ClientCredentials, username: str | None) -> None:
    assert with_user(options(mechanism), current) == Credentials(mechanism, "shop", username, None, {"a": 1})


def test_without_mechanism_and_user_there_is_no_authentication() -> None:
    assert with_user(options(), given(tls_certificate_key_file="/file")) is None


@pytest.mark.parametrize(
    "mechanism, current, words",
    [
        (None, given("ann"), "must give a user name and a password for the default mechanism"),
        (None, given(None, "hush"), "must give a user name"),
        (None, given("", "hush"), "must give a user name"),
        ("PLAIN", given(), "must give a user name and a password for PLAIN"),
        ("MONGODB-X509", given("CN=ann", "hush"), "a password, which MONGODB-X509 does not take"),
        ("MONGODB-OIDC", given("ann"), "which MONGODB-OIDC does not take from it"),
        ("MONGODB-AWS", given("id", "hush"), "which MONGODB-AWS does not take from it"),
    ],
)
def test_what_does_not_fit_the_mechanism_is_refused(
    mechanism: str | None, current: ClientCredentials, words: str
) -> None:
    with pytest.raises(CredentialsError, match=words) as failure:
        with_user(options(mechanism), current)
    assert "hush" not in repr(failure.value)


@pytest.mark.parametrize("result", [None, ("ann", "hush"), SimpleNamespace(username="ann", password="hush")])
def test_anything_else_than_client_credentials_is_refused(result: object) -> None:
    with pytest.raises(CredentialsError, match=r"credentials must return wiredrv\.ClientCredentials") as failure:
        read_client_credentials(result)
    assert "hush" not in repr(failure.value)


def test_every_part_is_a_string() -> None:
    wrong: Any = ClientCredentials(username="ann", password=b"hush")  # type: ignore[arg-type]  # a mistake is the point
    with pytest.raises(CredentialsError, match="password must be a string or None, not a bytes") as failure:
        read_client_credentials(wrong)
    assert "hush" not in f"{failure.value!r} {wrong!r}"
    with pytest.raises(CredentialsError, match="password cannot be encoded as UTF-8"):
        read_client_credentials(ClientCredentials(username="ann", password="hush\ud800"))


# --- the options ---


@pytest.mark.parametrize(
    "uri, keywords, words",
    [
        ("mongodb://ann:hush@localhost/", {}, "leave username and password out"),
        ("mongodb://localhost/", {"username": "ann"}, "leave username and password out"),
        ("mongodb://localhost/", {"password": "hush"}, "leave username and password out"),
        ("mongodb://localhost/", {"credentials": "hush"}, "credentials must be a function"),
        ("mongodb://localhost/?authMechanism=SCRAM-SHA-1&authMechanismProperties=A:b", {}, "takes no authMech"),
    ],
)
def test_options_that_do_not_go_with_the_callback(uri: str, keywords: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as failure:
        parse_client_settings(uri, {"credentials": given, **keywords})
    assert "hush" not in f"{failure.value!r} {failure.value.__context__!r}"


def test_the_options_say_mechanism_and_source() -> None:
    found = parse_client_settings("mongodb://localhost/shop", {"credentials": given}).connection
    assert found.credentials == Credentials(None, "shop")
    assert found.credentials_callback is given


# --- asking ---


@pytest.mark.anyio
async def test_it_is_not_asked_by_connections_that_need_nothing_from_it() -> None:
    """Those of monitors, without TLS."""

    def refuse() -> ClientCredentials:
        raise AssertionError

    assert await current_credentials(ConnectionSettings(credentials_callback=refuse), NetSettings()) is None
    assert await current_credentials(ConnectionSettings(), NetSettings(tls=TLSSettings())) is None


@pytest.mark.anyio
async def test_files_for_tls_need_tls() -> None:
    settings = ConnectionSettings(credentials=options(), credentials_callback=lambda: given(tls_ca_file="/ca"))
    with pytest.raises(CredentialsError, match="files for TLS, which is off: give tls=true"):
        await current_credentials(settings, NetSettings())


@pytest.mark.parametrize(
    "current, tls",
    [
        (given("ann", "p"), None),
        (given(tls_ca_file="/new"), TLSSettings("/new", "/file", "hush", True)),
        (given(tls_certificate_key_file="/new"), TLSSettings("/ca", "/new", None, True)),
        (
            given(tls_certificate_key_file="/new", tls_certificate_key_file_password="p", tls_ca_file="/newer"),
            TLSSettings("/newer", "/new", "p", True),
        ),
    ],
)
def test_files_replace_those_of_the_options(current: ClientCredentials, tls: TLSSettings | None) -> None:
    assert current_tls(TLSSettings("/ca", "/file", "hush", True), current) == tls
    assert current_tls(None, current) is None


# --- files ---


@pytest.mark.anyio
async def test_a_context_is_made_anew_only_if_something_changed(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    ann, bob = authority.issue("ann"), authority.issue("bob")
    contexts = TLSContexts(TLSSettings())
    file = tmp_path / "current.pem"
    settings = TLSSettings(authority.ca_file, str(file))
    shutil.copy(ann.file, file)
    first = await contexts.of(settings)
    assert first is not contexts.first
    assert await contexts.of(settings) is first
    shutil.copy(bob.file, file)  # in place
    os.utime(file, ns=(1, 1))
    second = await contexts.of(settings)
    assert second is not first
    shutil.copy(ann.file, tmp_path / "new.pem")
    os.replace(tmp_path / "new.pem", file)
    third = await contexts.of(settings)
    assert third is not second
    assert await contexts.of(TLSSettings(authority.ca_file, ann.file)) is not third
    file.unlink()
    with pytest.raises(ConfigurationError, match=r"tlsCertificateKeyFile: .* cannot be read"):
        await contexts.of(settings)
