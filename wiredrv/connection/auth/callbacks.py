"""What callbacks of users are given and give back. Values; pure.

The names and fields are PyMongo's, and objects of PyMongo's classes are accepted too: what counts are their attributes.

Specification: auth ("OIDC Callback", "OIDC Human Callback", "Custom Credential Providers").
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from dataclasses import dataclass, field

from wiredrv.connection.settings import ClientCredentials, is_encodable
from wiredrv.errors import CredentialsError

#: The version of the callbacks' interface that they are told (auth, "OIDC Callback").
CALLBACK_VERSION = 1


@dataclass(frozen=True, slots=True)
class OIDCIdPInfo:
    """What the server says of the identity provider. Auth specification, "OIDC Human Callback".

    :param issuer: the URL of the authentication server.
    :param clientId: the id of this client there; None where the provider is meant for machines.
    :param requestScopes: scopes to request besides.
    """

    issuer: str
    clientId: str | None = None
    requestScopes: list[str] | None = None


@dataclass(frozen=True, slots=True)
class OIDCCallbackContext:
    """What a callback for tokens is given. Auth specification, "OIDC Callback".

    :param timeout_seconds: how many seconds it may take; it is cancelled then.
    :param username: the user's name in the connection string, or None.
    :param version: the version of this interface: 1.
    :param refresh_token: for a human callback: the refresh token that it gave last, if there is one.
    :param idp_info: for a human callback: the identity provider.
    """

    timeout_seconds: float
    username: str | None
    version: int
    refresh_token: str | None = field(default=None, repr=False)
    idp_info: OIDCIdPInfo | None = None


@dataclass(frozen=True, slots=True)
class OIDCCallbackResult:
    """What a callback for tokens gives. Tokens are never shown. Auth specification, "OIDC Callback".

    :param access_token: the access token, a JSON web token. The driver does not look into it.
    :param expires_in_seconds: for how many seconds it is valid; None if that is not known. The driver uses a token
        until the server refuses it.
    :param refresh_token: from a human callback: with this it can get the next access token without the human.
    """

    access_token: str = field(repr=False)
    expires_in_seconds: float | None = None
    refresh_token: str | None = field(default=None, repr=False)


class OIDCCallback(ABC):
    """A source of access tokens, for ``OIDC_CALLBACK`` or ``OIDC_HUMAN_CALLBACK``. Auth specification, "OIDC Callback".

    An asynchronous ``fetch`` is awaited; a synchronous one runs in a thread. There is one call at a time for each
    client. A function that takes the context is accepted as well.
    """

    @abstractmethod
    def fetch(self, context: OIDCCallbackContext) -> OIDCCallbackResult | Awaitable[OIDCCallbackResult]:
        """Get an access token.

        :param context: how long it may take, and for whom the token is.
        :returns: the token.
        """


def read_token(callback: str, result: object) -> OIDCCallbackResult:
    """Check what a callback for tokens gave.

    :param callback: what gave it, for the message.
    :raises CredentialsError: it is of the wrong form. No message shows a value: it may be a token.
    """
    token = getattr(result, "access_token", None)
    refresh = getattr(result, "refresh_token", None)
    expires = getattr(result, "expires_in_seconds", None)
    if not isinstance(token, str) or not token:
        raise CredentialsError(
            f"{callback} must return an OIDCCallbackResult with an access_token that is a string, "
            f"not a {type(result).__name__}"
        )
    if not is_encodable(token):
        raise CredentialsError(f"{callback}: access_token cannot be encoded as UTF-8")
    if refresh is not None and not isinstance(refresh, str):
        raise CredentialsError(f"{callback}: refresh_token must be a string or None, not a {type(refresh).__name__}")
    if expires is not None and (isinstance(expires, bool) or not isinstance(expires, (int, float)) or expires < 0):
        raise CredentialsError(f"{callback}: expires_in_seconds must be a number that is not negative, or None")
    return OIDCCallbackResult(token, expires, refresh)


@dataclass(frozen=True, slots=True)
class AWSCredentials:
    """Credentials of AWS, for ``AWS_CREDENTIAL_PROVIDER``. Auth specification, "Custom Credential Providers".

    The names are botocore's, whose objects are accepted as well.

    :param access_key: the id of the access key.
    :param secret_key: the secret key; never shown.
    :param token: the session token of temporary credentials; never shown.
    """

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


def read_aws_credentials(provider: str, found: object) -> AWSCredentials:
    """Check what a provider gave.

    :param provider: what gave it, for the message.
    :raises CredentialsError: it is of the wrong form. No message shows a value.
    """
    access, secret = getattr(found, "access_key", None), getattr(found, "secret_key", None)
    token = getattr(found, "token", None)
    if not isinstance(access, str) or not access or not isinstance(secret, str) or not secret:
        raise CredentialsError(
            f"{provider} must return AWSCredentials, or botocore's Credentials, with access_key and secret_key, "
            f"not a {type(found).__name__}"
        )
    if token is not None and not isinstance(token, str):
        raise CredentialsError(f"{provider}: token must be a string or None, not a {type(token).__name__}")
    if not is_encodable(f"{access}{secret}{token or ''}"):
        raise CredentialsError(f"{provider}: a part of the credentials cannot be encoded as UTF-8")
    return AWSCredentials(access, secret, token or None)


def read_client_credentials(given: object) -> ClientCredentials:
    """Check what the callback ``credentials`` gave.

    :raises CredentialsError: it is of the wrong form. No message shows a value.
    """
    if not isinstance(given, ClientCredentials):
        raise CredentialsError(f"credentials must return wiredrv.ClientCredentials, not a {type(given).__name__}")
    for name in ClientCredentials.__slots__:
        value = getattr(given, name)
        if value is not None and not isinstance(value, str):
            raise CredentialsError(f"credentials: {name} must be a string or None, not a {type(value).__name__}")
        if value is not None and not is_encodable(value):
            raise CredentialsError(f"credentials: {name} cannot be encoded as UTF-8")
    return given
