"""Who authenticates, by which mechanism: what each mechanism takes, and what is refused. (SCRAM's are in the data.)"""

from __future__ import annotations

from typing import Any

import pytest

from wiredrv.connection.auth.callbacks import OIDCCallback, OIDCCallbackContext, OIDCCallbackResult
from wiredrv.connection.settings import Credentials
from wiredrv.errors import ConfigurationError
from wiredrv.options.uri import parse_client_settings


class Callback(OIDCCallback):
    def fetch(self, context: OIDCCallbackContext) -> OIDCCallbackResult:
        return OIDCCallbackResult("a")


class PyMongosCallback:
    """As a class that was derived from PyMongo's."""

    def fetch(self, context: Any) -> Any: ...


async def function(context: OIDCCallbackContext) -> OIDCCallbackResult:
    return OIDCCallbackResult("a")


CALLBACK = Callback()
HERE = "mongodb://localhost/"


def credentials(mechanism: str, uri: str = "mongodb://localhost/", **options: Any) -> Credentials | None:
    return parse_client_settings(uri, {"authMechanism": mechanism, **options}).connection.credentials


@pytest.mark.parametrize("mechanism", ["GSSAPI", "MONGODB-CR"])
def test_a_mechanism_that_is_not_supported_is_refused_with_a_sentence(mechanism: str) -> None:
    with pytest.raises(ConfigurationError, match=f"does not support {mechanism}, by design: .*; it supports SCRAM"):
        credentials(mechanism, "mongodb://u:p@localhost/")


def test_an_unknown_mechanism_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"must be one of SCRAM-SHA-256, .*, not 'MADE-UP'"):
        credentials("MADE-UP")


@pytest.mark.parametrize("callback", [CALLBACK, PyMongosCallback(), function])
@pytest.mark.parametrize("name", ["OIDC_CALLBACK", "OIDC_HUMAN_CALLBACK", "oidc_callback"])
def test_a_callback_for_tokens_is_an_object_or_a_function(name: str, callback: object) -> None:
    found = credentials("MONGODB-OIDC", authMechanismProperties={name: callback})
    assert found == Credentials("MONGODB-OIDC", "$external", None, None, {name.upper(): callback})


def test_the_user_of_a_callback_may_have_a_name() -> None:
    found = credentials(
        "MONGODB-OIDC",
        "mongodb://ann@localhost/shop",
        authMechanismProperties={"OIDC_HUMAN_CALLBACK": CALLBACK, "ALLOWED_HOSTS": ["*.example.com"]},
    )
    assert found is not None
    assert (found.username, found.source) == ("ann", "$external")


@pytest.mark.parametrize(
    "properties",
    [
        "ENVIRONMENT:test",
        "environment:k8s",
        "ENVIRONMENT:gcp,TOKEN_RESOURCE:mongodb://cluster",
        {"ENVIRONMENT": "azure", "TOKEN_RESOURCE": "a,b"},
    ],
)
def test_an_environment_may_be_in_the_string_or_a_keyword(properties: object) -> None:
    found = credentials("MONGODB-OIDC", authMechanismProperties=properties)
    assert found is not None
    assert "ENVIRONMENT" in found.properties


@pytest.mark.parametrize(
    "properties, uri, words",
    [
        (None, HERE, "none is given"),
        ({}, HERE, "none is given"),
        ({"OIDC_CALLBACK": None}, HERE, "none is given"),
        (
            {"OIDC_CALLBACK": CALLBACK, "ENVIRONMENT": "test"},
            HERE,
            "ENVIRONMENT and OIDC_CALLBACK excl",
        ),
        (
            {"OIDC_CALLBACK": CALLBACK, "OIDC_HUMAN_CALLBACK": CALLBACK},
            HERE,
            "OIDC_CALLBACK and OIDC_HUMAN_CALLBACK exclude one another",
        ),
        ({"OIDC_CALLBACK": "hush-hush"}, HERE, "OIDC_CALLBACK must be an object with a method fetch"),
        ("OIDC_CALLBACK:hush-hush", HERE, "given as a keyword argument, not a str"),
        ({"ENVIRONMENT": "mars"}, HERE, "ENVIRONMENT must be one of azure, gcp, k8s"),
        ({"ENVIRONMENT": "azure"}, HERE, "ENVIRONMENT:azure needs TOKEN_RESOURCE"),
        ({"ENVIRONMENT": "gcp", "TOKEN_RESOURCE": ""}, HERE, "ENVIRONMENT:gcp needs TOKEN_RESOURCE"),
        ({"ENVIRONMENT": "k8s", "TOKEN_RESOURCE": "a"}, HERE, "TOKEN_RESOURCE has a meaning with"),
        (
            {"OIDC_CALLBACK": CALLBACK, "TOKEN_RESOURCE": "a"},
            HERE,
            "TOKEN_RESOURCE has a meaning with",
        ),
        ({"ENVIRONMENT": "k8s"}, "mongodb://ann@localhost/", "ENVIRONMENT:k8s takes no user name"),
        ({"ENVIRONMENT": "azure", "ALLOWED_HOSTS": []}, HERE, "needs TOKEN_RESOURCE|ALLOWED_HOSTS"),
        ({"OIDC_CALLBACK": CALLBACK, "ALLOWED_HOSTS": []}, HERE, "with OIDC_HUMAN_CALLBACK only"),
        (
            {"OIDC_HUMAN_CALLBACK": CALLBACK, "ALLOWED_HOSTS": "a"},
            HERE,
            "must be a list of host names",
        ),
        (
            {"OIDC_HUMAN_CALLBACK": CALLBACK, "ALLOWED_HOSTS": [1]},
            HERE,
            "must be a list of host names",
        ),
        ({"OIDC_CALLBACK": CALLBACK, "SERVICE_NAME": "s"}, HERE, "takes no SERVICE_NAME"),
        ({"OIDC_CALLBACK": CALLBACK}, "mongodb://ann:hush-hush@localhost/", "takes no password"),
        ({"OIDC_CALLBACK": CALLBACK}, "mongodb://localhost/?authSource=admin", r"needs authSource=\$external"),
    ],
)
def test_what_does_not_go_together_is_refused(properties: object, uri: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as failure:
        credentials("MONGODB-OIDC", uri, authMechanismProperties=properties)
    assert "hush" not in f"{failure.value!r} {failure.value.__cause__!r} {failure.value.__context__!r}"


@pytest.mark.parametrize("provider", [None, CALLBACK.fetch, type("Provider", (), {"load": lambda self: None})()])
def test_aws_credentials_are_from_the_environment_or_a_provider(provider: object) -> None:
    properties = {} if provider is None else {"AWS_CREDENTIAL_PROVIDER": provider}
    found = credentials("MONGODB-AWS", authMechanismProperties=properties)
    assert found == Credentials("MONGODB-AWS", "$external", None, None, properties)


@pytest.mark.parametrize(
    "properties, words",
    [
        ("AWS_CREDENTIAL_PROVIDER:hush-hush", "given as a keyword argument, not a str"),
        ({"AWS_CREDENTIAL_PROVIDER": 1}, "must be a function, or an object with a method load"),
        ({"AWS_SESSION_TOKEN": "hush-hush"}, "takes no user name, password or AWS_SESSION_TOKEN"),
        ({"ENVIRONMENT": "test"}, "takes no ENVIRONMENT in authMechanismProperties"),
    ],
)
def test_what_aws_credentials_do_not_take_is_refused(properties: object, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as failure:
        credentials("MONGODB-AWS", authMechanismProperties=properties)
    assert "hush" not in f"{failure.value!r} {failure.value.__cause__!r} {failure.value.__context__!r}"


@pytest.mark.parametrize("mechanism", [None, "SCRAM-SHA-256", "PLAIN", "MONGODB-X509"])
def test_other_mechanisms_take_no_properties(mechanism: str) -> None:
    options = {} if mechanism == "MONGODB-X509" else {"username": "u", "password": "p"}
    with pytest.raises(ConfigurationError, match="takes no authMechanismProperties"):
        credentials(mechanism, authMechanismProperties={"OIDC_CALLBACK": CALLBACK}, **options)
