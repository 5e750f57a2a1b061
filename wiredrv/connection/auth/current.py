"""Puts the user that the callback ``credentials`` gave into the credentials that the options describe. Pure."""

from __future__ import annotations

from dataclasses import replace

from wiredrv.connection.settings import ClientCredentials, Credentials
from wiredrv.errors import CredentialsError


def with_user(options: Credentials, given: ClientCredentials) -> Credentials | None:
    """The credentials to authenticate with; None if the options name no mechanism and the callback no user.

    :param options: mechanism, source and properties.
    :raises CredentialsError: the mechanism needs a part that the callback does not give, or does not take one.
    """
    mechanism, username, password = options.mechanism, given.username, given.password
    if mechanism in ("MONGODB-OIDC", "MONGODB-AWS"):
        if username is not None or password is not None:
            raise CredentialsError(f"credentials gives a user or a password, which {mechanism} does not take from it")
        return options
    if mechanism == "MONGODB-X509":
        if password is not None:
            raise CredentialsError("credentials gives a password, which MONGODB-X509 does not take")
        return replace(options, username=username)
    if mechanism is None and username is None and password is None:
        return None
    if not username or password is None:
        raise CredentialsError(
            f"credentials must give a user name and a password for {mechanism or 'the default mechanism'}"
        )
    return replace(options, username=username, password=password)
