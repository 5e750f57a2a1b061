"""Gets AWS credentials: from the user's provider, the environment variables, or Amazon's library.

Rules kept here:

* The order is the specification's: the provider; the environment variables, which are read for each authentication;
  then what botocore finds (the extra ``aws``): a web identity, profiles, the endpoints of ECS and EC2.
* What botocore found is kept for the whole process, since these services limit how often they are asked; botocore
  refreshes it in time. From then on it is used even if environment variables are set. It is dropped when the server
  does not accept it.
* Nothing waits for another request: two connections may ask at the same time, and the last answer is kept.

Specification: auth ("Obtaining Credentials").
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

from wiredrv.connection.ask import ask
from wiredrv.connection.auth.callbacks import AWSCredentials, read_aws_credentials
from wiredrv.connection.auth.conversation import SigningKeys
from wiredrv.connection.settings import Credentials
from wiredrv.errors import CredentialsError

#: Seconds that a provider, or a service, may take (auth, "ECS endpoint").
SECONDS = 10.0
_PROVIDER = "AWS_CREDENTIAL_PROVIDER"


class _Refreshing(Protocol):
    """What botocore gives: credentials that it refreshes, when they are read, before they expire."""

    def get_frozen_credentials(self) -> object: ...


class _Cache:
    """What botocore found, for the whole process."""

    found: _Refreshing | None = None


_cache = _Cache()


class AWSSource:
    """What gives the credentials of one client."""

    def __init__(self, credentials: Credentials) -> None:
        provider = credentials.properties.get(_PROVIDER)
        self._provider: Callable[[], object] | None = None
        if provider is not None:
            self._provider = getattr(provider, "load", provider)

    async def answer(self) -> SigningKeys:
        """The credentials to sign with now.

        :raises CredentialsError: there are none.
        """
        return SigningKeys(await self._credentials(), datetime.now(UTC))

    def refused(self) -> None:
        """The authentication failed: the credentials that are kept may be the reason."""
        if self._provider is None:
            _cache.found = None

    async def _credentials(self) -> AWSCredentials:
        if self._provider is not None:
            return await _frozen(_PROVIDER, await ask(_PROVIDER, self._provider, seconds=SECONDS))
        found = _cache.found
        if found is None:
            variables = from_variables(os.environ)
            if variables is not None:
                return variables
            found = await _found_by_botocore()
            _cache.found = found
        return await _frozen("botocore", found)


def from_variables(variables: Mapping[str, str]) -> AWSCredentials | None:
    """The credentials in the environment variables; None if they are not set.

    :raises CredentialsError: one of two is missing.
    """
    access, secret = variables.get("AWS_ACCESS_KEY_ID"), variables.get("AWS_SECRET_ACCESS_KEY")
    if not access and not secret:
        return None
    if not access or not secret:
        missing = "AWS_SECRET_ACCESS_KEY" if access else "AWS_ACCESS_KEY_ID"
        raise CredentialsError(f"the environment variable {missing} is not set, although the other one of the two is")
    return AWSCredentials(access, secret, variables.get("AWS_SESSION_TOKEN") or None)


async def _frozen(name: str, found: object) -> AWSCredentials:
    """The credentials at this moment, of an object that refreshes them when it is read, or of one that has them."""
    freeze = getattr(found, "get_frozen_credentials", None)
    return read_aws_credentials(name, found if freeze is None else await ask(name, freeze, seconds=SECONDS))


async def _found_by_botocore() -> _Refreshing:
    try:
        from botocore.session import Session
    except ImportError as error:
        raise CredentialsError(
            "MONGODB-AWS found neither AWS_CREDENTIAL_PROVIDER in authMechanismProperties nor the environment "
            "variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; for profiles, web identities, ECS and EC2, install "
            "botocore (the extra wiredrv[aws])"
        ) from error
    found: _Refreshing | None = await ask("botocore", lambda: Session().get_credentials(), seconds=SECONDS)  # type: ignore[assignment]
    if found is None:
        raise CredentialsError(
            "MONGODB-AWS found no credentials: there is no AWS_CREDENTIAL_PROVIDER in authMechanismProperties, the "
            "environment variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, and botocore finds none"
        )
    return found
