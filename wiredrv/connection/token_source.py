"""Gets the access tokens of a client: from its cache, or by one call at a time of the callback or the environment.

Rules kept here:

* There is one call at a time, and at least 100 ms between the beginnings of two. Conversations on other connections
  go on meanwhile: nothing waits but requests for a token.
* A person has five minutes, which count neither as time of connecting nor for the operation that waits. A program has
  a minute, or what is left of ``connectTimeoutMS`` and ``timeoutMS`` if an operation with a time limit waits.
* A call whose connection is given up is cancelled, and the next request calls again. A synchronous callback cannot be
  cancelled: its thread goes on, and the next call waits in a thread of its own until that has ended.

Specification: auth ("OIDC Callback", "Credential Caching").
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from math import inf
from pathlib import Path

from wiredrv import waits
from wiredrv.connection.ask import ask, is_asynchronous
from wiredrv.connection.auth.callbacks import (
    CALLBACK_VERSION,
    OIDCCallbackContext,
    OIDCCallbackResult,
    read_token,
)
from wiredrv.connection.auth.conversation import Token, TokenRequest
from wiredrv.connection.auth.environments import metadata_request, read_metadata, read_token_text, token_file
from wiredrv.connection.auth.oidc import TokenCache, Tokens
from wiredrv.connection.settings import Credentials
from wiredrv.errors import CredentialsError
from wiredrv.net import metadata
from wiredrv.waits import monotonic

MACHINE_SECONDS = 60.0
HUMAN_SECONDS = 300.0
#: Seconds between the beginnings of two calls.
LEAST_DISTANCE = 0.1


class TokenSource:
    """The tokens of one client, and what gives them."""

    def __init__(self, credentials: Credentials) -> None:
        self.cache = TokenCache()
        self._username = credentials.username
        properties = credentials.properties
        human = properties.get("OIDC_HUMAN_CALLBACK")
        #: Whether the callback asks a person.
        self.asks_a_person = human is not None
        self._seconds = MACHINE_SECONDS if human is None else HUMAN_SECONDS
        self._name = "OIDC_CALLBACK" if human is None else "OIDC_HUMAN_CALLBACK"
        self._fetch: Callable[[OIDCCallbackContext], object]
        if "ENVIRONMENT" in properties:
            self._name = f"ENVIRONMENT:{properties['ENVIRONMENT']}"
            self._fetch = _Environment(properties["ENVIRONMENT"], properties.get("TOKEN_RESOURCE", ""))
        else:
            callback = human if human is not None else properties["OIDC_CALLBACK"]
            fetch = getattr(callback, "fetch", callback)
            self._fetch = fetch if is_asynchronous(fetch) else partial(self._alone, fetch)
        self._one = threading.Lock()
        self._busy: waits.Event | None = None
        self._last_call = float("-inf")

    def for_connection(self) -> Tokens:
        """The tokens as a conversation on a new connection needs them."""
        return Tokens(self.cache)

    async def answer(self, request: TokenRequest, most: float = inf) -> Token:
        """The client's access token, or a new one.

        :param most: seconds that this may take, if that is less than the callback's own limit.
        :raises CredentialsError: the callback raised, gave no token, or not in time.
        """
        until = monotonic() + most
        while self._busy is not None:
            await self._busy.wait()
        if self.cache.access_token is not None:
            return Token(self.cache.access_token, True)
        busy = self._busy = waits.Event()
        try:
            early = self._last_call + LEAST_DISTANCE - monotonic()
            if early > 0:
                await waits.sleep(early)
            self._last_call = monotonic()
            result = await self._call(request, max(min(self._seconds, until - monotonic()), 0.0))
        finally:
            self._busy = None
            busy.set()
        self.cache.access_token = result.access_token
        self.cache.refresh_token = result.refresh_token
        self.cache.idp_info = request.idp_info
        return Token(result.access_token, False)

    async def _call(self, request: TokenRequest, most: float) -> OIDCCallbackResult:
        # What the caller has left is shorter, if it has a time limit.
        seconds = max(min(most, waits.seconds_left()), 0.0)
        context = OIDCCallbackContext(
            seconds, self._username, CALLBACK_VERSION, request.refresh_token, request.idp_info
        )
        return read_token(self._name, await ask(self._name, self._fetch, context, seconds=most))

    def _alone(self, fetch: Callable[[OIDCCallbackContext], object], context: OIDCCallbackContext) -> object:
        """Call a synchronous callback, in a thread, when no other thread is in it any longer."""
        if not self._one.acquire(timeout=context.timeout_seconds):
            raise CredentialsError(f"{self._name} has not returned from an earlier call, which was given up")
        try:
            return fetch(context)
        finally:
            self._one.release()


class _Environment:
    """A callback for the value of ENVIRONMENT. Blocking."""

    def __init__(self, environment: str, resource: str) -> None:
        self._environment = environment
        self._resource = resource

    def __call__(self, context: OIDCCallbackContext) -> OIDCCallbackResult:
        path = token_file(self._environment, os.environ)
        if path is not None:
            return OIDCCallbackResult(read_token_text(f"{path!r}", Path(path).read_bytes()))
        request = metadata_request(self._environment, self._resource, context.username)
        status, body = metadata.get(request.host, request.target, request.headers, context.timeout_seconds)
        return OIDCCallbackResult(read_metadata(self._environment, status, body))
