"""The options of ``wiredrv.connect``: which count, and why the others are refused."""

from __future__ import annotations

from typing import Any

import pytest

from wiredrv.connection.settings import DriverInfo
from wiredrv.errors import ConfigurationError, InvalidURI
from wiredrv.options.one_connection import (
    checked_driver_info,
    checked_seconds,
    connection_settings,
    reason_to_refuse,
)
from wiredrv.options.table import OPTIONS
from wiredrv.types import Address

#: The options that mean something for one connection. (Those of proxies are refused with a reason of their own.)
TAKEN = {
    "connectTimeoutMS",
    "socketTimeoutMS",
    "tls",
    "tlsCAFile",
    "tlsCertificateKeyFile",
    "tlsCertificateKeyFilePassword",
    "tlsInsecure",
    "tlsAllowInvalidCertificates",
    "tlsAllowInvalidHostnames",
    "tlsDisableOCSPEndpointCheck",
    "tlsDisableCertificateRevocationCheck",
    "appName",
    "compressors",
    "zlibCompressionLevel",
    "server_api",
    "driver",
    "username",
    "password",
    "credentials",
    "authMechanism",
    "authMechanismProperties",
    "authSource",
    "loadBalanced",
    "proxyHost",
    "proxyPort",
    "proxyUsername",
    "proxyPassword",
}


def test_every_option_is_taken_or_refused_for_a_reason() -> None:
    assert {option.name for option in OPTIONS if reason_to_refuse(option) is None} == TAKEN


@pytest.mark.parametrize(
    "address, seed",
    [
        ("db.example.com", Address("db.example.com")),
        ("[::1]:27018", Address("::1", 27018)),
        ("/tmp/mongodb-27017.sock", Address("/tmp/mongodb-27017.sock", None)),
        ("mongodb://db.example.com:27018/", Address("db.example.com", 27018)),
        ("mongodb://%2Ftmp%2Fmongodb-27017.sock", Address("/tmp/mongodb-27017.sock", None)),
        ("mongodb://localhost/?directConnection=true", Address("localhost")),
    ],
)
def test_an_address_or_a_connection_string_names_one_server(address: str, seed: Address) -> None:
    assert connection_settings(address, {}).topology.seeds == (seed,)


def test_users_and_tls_are_those_of_a_client() -> None:
    settings = connection_settings("mongodb://ada:secret@localhost/shop?tls=true", {"authMechanism": "SCRAM-SHA-256"})
    credentials = settings.connection.credentials
    assert credentials is not None
    assert (credentials.username, credentials.password, credentials.source) == ("ada", "secret", "shop")
    assert credentials.mechanism == "SCRAM-SHA-256"
    assert settings.net.tls is not None


@pytest.mark.parametrize(
    "address, options, words",
    [
        ("mongodb://a,b/", {}, "give one host"),
        ("a,b", {}, "give one host"),
        ("mongodb+srv://db.example.com/", {}, r"mongodb\+srv:// string may stand for many"),
        ("mongodb://localhost/?maxPoolSize=3", {}, "no maxPoolSize: one connection has no pool"),
        ("mongodb://localhost/?replicaSet=rs", {}, "no replicaSet: one connection leads to one server"),
        ("mongodb://localhost/?directConnection=false", {}, "no directConnection"),
        ("localhost", {"retryWrites": True}, "no retryWrites: commands are sent once, as they are given"),
        ("mongodb://localhost/?timeoutMS=3", {}, "no timeoutMS"),
        ("localhost", {"w": "majority"}, "no w: .* put the read or write concern into the command"),
        ("localhost", {"read_preference": "secondary"}, r"no readPreference: .* put \$readPreference"),
        ("localhost", {"tz_aware": True}, "no tz_aware: replies are plain dicts"),
        ("localhost", {"serverSelectionTryOnce": False}, "no serverSelectionTryOnce"),
        ("localhost", {"proxyHost": "p"}, "does not support SOCKS5 proxies"),
        ("localhost", {"maxPoolsize": 3}, "no maxPoolSize"),
        ("localhost", {"tlss": True}, "unknown option 'tlss'"),
        ("localhost", {"appName": "one", "appname": "two"}, "given under two names"),
        ("mongodb://ada@localhost/", {}, "needs a password"),
        ("localhost", {"username": "a\ud800", "password": "b"}, "username contains a surrogate"),
        (b"localhost", {}, "is a string, as 'localhost:27017', not b'localhost'"),
        (None, {}, "is a string, as 'localhost:27017', not None"),
    ],
)
def test_what_has_no_meaning_for_one_connection_is_refused_with_the_reason(
    address: object, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        connection_settings(address, options)


def test_a_string_that_is_no_connection_string_is_refused() -> None:
    with pytest.raises(InvalidURI, match="must begin with mongodb://"):
        connection_settings("http://localhost", {})


def test_no_refusal_shows_a_password() -> None:
    with pytest.raises(ConfigurationError) as failure:
        connection_settings("mongodb://ada:hush-hush@localhost/?maxPoolSize=3", {})
    assert "hush" not in f"{failure.value!r} {failure.value.__cause__!r} {failure.value.__context__!r}"


@pytest.mark.parametrize("options, app_name", [({"appname": "a"}, None), ({"appName": "a"}, None), ({}, "a")])
def test_the_name_of_the_application_has_three_spellings(options: dict[str, Any], app_name: str | None) -> None:
    assert connection_settings("localhost", options, app_name).connection.app_name == "a"


@pytest.mark.parametrize("spelling", ["appname", "appName"])
def test_two_names_of_the_application_are_refused(spelling: str) -> None:
    with pytest.raises(ConfigurationError, match=f"app_name and {spelling} are two names of one option"):
        connection_settings("localhost", {spelling: "a"}, "b")


def test_seconds_are_positive_or_none() -> None:
    assert [checked_seconds("connect_timeout", value) for value in (None, 1, 0.5)] == [None, 1, 0.5]
    for value in (0, -1, "1", True, float("inf"), float("nan"), ...):
        with pytest.raises(ConfigurationError, match="connect_timeout must be a number of seconds above 0, or None"):
            checked_seconds("connect_timeout", value)


def test_driver_infos_are_in_a_tuple() -> None:
    info = DriverInfo("a")
    assert checked_driver_info((info,)) == (info,)
    for value in (5, info, (5,), ("a",), None):
        with pytest.raises(ConfigurationError, match="driver_info must be a tuple of DriverInfo objects"):
            checked_driver_info(value)
