"""The user of a connection string and of keyword options: who authenticates, by which mechanism and where. Pure.

Rules kept here:

* An option, or a property of a mechanism, that the mechanism does not use is refused: it would be ignored otherwise.
* Mechanisms that this driver does not support are refused (``refused.py``).

Specification: auth ("MongoCredential", "Connection String Options").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from wiredrv.connection.settings import Credentials, is_encodable
from wiredrv.errors import ConfigurationError
from wiredrv.options.refused import refuse_mechanism
from wiredrv.options.settings import Given

_EXTERNAL = "$external"
_SPOKEN = ("SCRAM-SHA-256", "SCRAM-SHA-1", "MONGODB-X509", "PLAIN", "MONGODB-OIDC", "MONGODB-AWS")


def credentials_of(given: Given) -> Credentials | None:
    """Determine the credentials; None if the options do not ask for authentication.

    :raises ConfigurationError: a part is missing, or does not belong to the mechanism, or the mechanism is refused.
    """
    options = given.options
    username = options.get("username", given.username)
    password = options.get("password", given.password)
    for name, value in (("username", username), ("password", password)):
        if value is not None and not is_encodable(value):
            raise ConfigurationError(f"{name} contains a surrogate, which cannot be encoded as UTF-8")
    mechanism, source = options.get("authMechanism"), options.get("authSource")
    if source == "":
        raise ConfigurationError("authSource is empty: name the database that knows the user, or leave it out")
    rotated = "credentials" in options
    if rotated and (username is not None or password is not None):
        raise ConfigurationError(
            "credentials gives the user and the password of each connection: leave username and password out, in the "
            "connection string too"
        )
    if mechanism is not None:
        refuse_mechanism(mechanism, _SPOKEN)
    if username is None and mechanism is None and not rotated:
        if password is not None:
            raise ConfigurationError("a password is given, but no user name")
        # authSource alone, or a database in the connection string, does not ask for authentication.
        return None
    # The case of their names does not matter (auth, "Naming").
    properties = {name.upper(): value for name, value in (options.get("authMechanismProperties") or {}).items()}
    if mechanism in _EXTERNALS:
        if source not in (None, _EXTERNAL):
            raise ConfigurationError(f"{mechanism} needs authSource=$external, or none")
        return _EXTERNALS[mechanism](username, password, properties)
    name = mechanism or "authentication"
    _refuse_properties(mechanism or "the default mechanism", properties)
    default = given.database or (_EXTERNAL if mechanism == "PLAIN" else "admin")
    if rotated:
        return Credentials(mechanism, source or default)
    if username is None or username == "":
        raise ConfigurationError(f"{name} needs a user name: mongodb://user:password@host, or username=")
    if password is None:
        raise ConfigurationError(f"{name} needs a password: mongodb://user:password@host, or password=")
    return Credentials(mechanism, source or default, username, password)


def _refuse_properties(mechanism: str, properties: Mapping[str, Any], *known: str) -> None:
    unknown = sorted(set(properties) - set(known))
    if unknown and known:
        raise ConfigurationError(
            f"{mechanism} takes no {', '.join(unknown)} in authMechanismProperties; it takes {', '.join(known)}"
        )
    if unknown:
        raise ConfigurationError(f"{mechanism} takes no authMechanismProperties")


def _x509(username: str | None, password: str | None, properties: Mapping[str, Any]) -> Credentials:
    _refuse_properties("MONGODB-X509", properties)
    if password is not None:
        raise ConfigurationError("MONGODB-X509 takes no password: the client certificate proves who the user is")
    return Credentials("MONGODB-X509", _EXTERNAL, username)


# --- MONGODB-OIDC ---

_CALLBACKS = ("OIDC_CALLBACK", "OIDC_HUMAN_CALLBACK")
_SOURCES = ("ENVIRONMENT", *_CALLBACKS)


def _oidc(username: str | None, password: str | None, properties: Mapping[str, Any]) -> Credentials:
    _refuse_properties("MONGODB-OIDC", properties, *_SOURCES, "TOKEN_RESOURCE", "ALLOWED_HOSTS")
    if password is not None:
        raise ConfigurationError("MONGODB-OIDC takes no password: an access token proves who the user is")
    sources = [name for name in _SOURCES if properties.get(name) is not None]
    if len(sources) != 1:
        given = f"{' and '.join(sources)} exclude one another" if sources else "none is given"
        raise ConfigurationError(
            f"MONGODB-OIDC gets access tokens from one of {', '.join(_SOURCES)} in authMechanismProperties; {given}"
        )
    _check_environment(username, properties)
    for name in _CALLBACKS:
        callback = properties.get(name)
        if callback is not None and not callable(getattr(callback, "fetch", callback)):
            raise ConfigurationError(
                f"{name} must be an object with a method fetch, as wiredrv.OIDCCallback describes it, or a function, "
                f"given as a keyword argument, not a {type(callback).__name__}"
            )
    _check_allowed_hosts(properties)
    return Credentials("MONGODB-OIDC", _EXTERNAL, username, None, properties)


def _check_environment(username: str | None, properties: Mapping[str, Any]) -> None:
    from wiredrv.connection.auth.environments import ENVIRONMENTS, WITH_RESOURCE, WITH_USERNAME

    environment, resource = properties.get("ENVIRONMENT"), properties.get("TOKEN_RESOURCE")
    if environment is not None and environment not in ENVIRONMENTS:
        raise ConfigurationError(f"ENVIRONMENT must be one of {', '.join(ENVIRONMENTS[1:])}")
    needs_resource = environment in WITH_RESOURCE
    if needs_resource and (not isinstance(resource, str) or not resource):
        raise ConfigurationError(f"ENVIRONMENT:{environment} needs TOKEN_RESOURCE, the audience of the token")
    if resource is not None and not needs_resource:
        raise ConfigurationError("TOKEN_RESOURCE has a meaning with ENVIRONMENT:azure and ENVIRONMENT:gcp only")
    if username is not None and environment is not None and environment not in WITH_USERNAME:
        raise ConfigurationError(f"ENVIRONMENT:{environment} takes no user name: the token says who the user is")


def _check_allowed_hosts(properties: Mapping[str, Any]) -> None:
    if "ALLOWED_HOSTS" not in properties:
        return
    hosts = properties["ALLOWED_HOSTS"]
    if "OIDC_HUMAN_CALLBACK" not in properties:
        raise ConfigurationError("ALLOWED_HOSTS has a meaning with OIDC_HUMAN_CALLBACK only")
    if not isinstance(hosts, (list, tuple)) or not all(isinstance(host, str) for host in hosts):
        raise ConfigurationError("ALLOWED_HOSTS must be a list of host names, given as a keyword argument")


# --- MONGODB-AWS ---

_PROVIDER = "AWS_CREDENTIAL_PROVIDER"


def _aws(username: str | None, password: str | None, properties: Mapping[str, Any]) -> Credentials:
    if username is not None or password is not None or "AWS_SESSION_TOKEN" in properties:
        raise ConfigurationError(
            "MONGODB-AWS takes no user name, password or AWS_SESSION_TOKEN from the options: set the environment "
            "variables AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or give an "
            "AWS_CREDENTIAL_PROVIDER in authMechanismProperties"
        )
    _refuse_properties("MONGODB-AWS", properties, _PROVIDER)
    provider = properties.get(_PROVIDER)
    if provider is not None and not callable(getattr(provider, "load", provider)):
        raise ConfigurationError(
            f"{_PROVIDER} must be a function, or an object with a method load as botocore's providers have it, given "
            f"as a keyword argument, not a {type(provider).__name__}"
        )
    return Credentials("MONGODB-AWS", _EXTERNAL, None, None, properties)


_External = Callable[[str | None, str | None, Mapping[str, Any]], Credentials]
#: The mechanisms whose users are known outside of the server.
_EXTERNALS: Mapping[str | None, _External] = {"MONGODB-X509": _x509, "MONGODB-OIDC": _oidc, "MONGODB-AWS": _aws}
