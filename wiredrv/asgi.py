"""An ASGI middleware: each request reads what the requests before it from the same browser have written and read.

It needs no framework, and is loaded only by programs that import it::

    from wiredrv.asgi import CausalTokenMiddleware

    app = CausalTokenMiddleware(app, client=client, keys=wiredrv.TokenKeys(os.environ["TOKEN_KEY"]))

The browser keeps a causal token in a cookie. What comes back is not believed: it must be signed, and its time is
confirmed by the deployment (``wiredrv.session.after``).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

from bson.timestamp import Timestamp

from wiredrv.client.client import Client
from wiredrv.client.sessions.client_session import ClientSession
from wiredrv.errors import ConfigurationError
from wiredrv.session.tokens import TokenKeys, read_causal_token, write_causal_token

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = Scope
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

#: How many tokens of a request are looked at: a browser sends one.
_MOST_TOKENS = 4
#: How many tokens a process remembers to have replaced.
_MOST_REPLACED = 4096

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[ -:<-~]*")


class StartsSessions(Protocol):
    """A :class:`wiredrv.Client`, whatever the class of its documents is. This driver's own: no specification has it."""

    def start_session(self, *, after: str | Sequence[str | None] | None, token_keys: TokenKeys | None) -> ClientSession:
        """Start a session.

        :param after: as of :meth:`wiredrv.Client.start_session`.
        :param token_keys: likewise.
        :returns: the session.
        """
        ...


class CausalTokenMiddleware:
    """Binds a causally consistent session for each HTTP request, and keeps its token in a cookie of the browser.

    The session continues from the token that the request brings, and is in ``scope["state"]["causal_session"]`` too
    (``request.state.causal_session`` in Starlette and FastAPI). The token goes out with the beginning of the response:
    what is written after that, in a streamed body or a background task, is in the token of the next response. No token
    goes out with a response that a framework sends outside of the middleware, for an exception that left it. WebSockets
    and the lifespan are passed on as they are.

    Transactions of ``client.transaction()`` in a request belong to its token too. Other sessions do not, and calls of
    another client are refused within a binding: run these in ``with wiredrv.unbound():``.

    A token that was altered, is signed with another key, or cannot be confirmed, is treated as absent, with a
    CausalTokenIgnoredEvent. No token makes a request wait longer than ``Client.start_session`` says.

    This driver's own: no specification has it.

    :param app: the application.
    :param client: the client; or a function that takes a request's scope and returns it, for a client that the lifespan
        opens (``lambda scope: scope["state"]["client"]``).
    :param keys: sign the tokens that go out, and check those that come back.
    :param cookie: the cookie's name; None for no cookie.
    :param header: the name of a header in requests and responses, for programs that keep no cookies; None for none.
    :param max_age: seconds for which the browser keeps the cookie: longer than secondaries usually lag.
    :param path: the cookie's ``Path``.
    :param domain: the cookie's ``Domain``; None for the host alone.
    :param secure: whether the browser sends the cookie over HTTPS only.
    :param same_site: the cookie's ``SameSite``. The cookie is always ``HttpOnly``.
    :param inherit: whether tasks that the application starts for the request take part in its session, in turns, until
        the application has returned; without it they are refused (``session.bind``).
    :raises ConfigurationError: there are no keys, or an argument is of the wrong kind.
    """

    def __init__(
        self,
        app: ASGIApp,
        client: StartsSessions | Callable[[Scope], StartsSessions],
        keys: TokenKeys,
        *,
        cookie: str | None = "causal_token",
        header: str | None = None,
        max_age: int = 3600,
        path: str = "/",
        domain: str | None = None,
        secure: bool = True,
        same_site: Literal["lax", "strict", "none"] = "lax",
        inherit: bool = True,
    ) -> None:
        if not isinstance(keys, TokenKeys):
            raise ConfigurationError(
                "a causal token that comes back from a browser must be signed: give keys=wiredrv.TokenKeys(secret)"
            )
        if not isinstance(client, Client) and not callable(client):
            raise ConfigurationError(
                "client must be a wiredrv.Client, or a function that returns one for a request's scope, not "
                f"{type(client).__name__}"
            )
        if cookie is None and header is None:
            raise ConfigurationError("give the name of a cookie, or of a header: the token needs a way to the browser")
        for what, name in (("cookie", cookie), ("header", header)):
            if name is not None and (not isinstance(name, str) or _NAME.fullmatch(name) is None):
                raise ConfigurationError(f"{what} must be the name of a {what}, not {name!r}")
        self._app = app
        self._keys = keys
        self._cookie = cookie
        self._header = None if header is None else header.lower().encode()
        self._attributes = _attributes(max_age, path, domain, secure, same_site)
        self._inherit = inherit
        self._replaced = Replaced()

        def start(scope: Scope, after: list[str]) -> ClientSession:
            opened = client(scope) if callable(client) else client
            if not isinstance(opened, Client):
                raise ConfigurationError(
                    f"the function given as client must return a wiredrv.Client, not {type(opened).__name__}"
                )
            return opened.start_session(after=after, token_keys=keys)

        self._start = start

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a connection, as ASGI defines it.

        :param scope: what it is.
        :param receive: gives its next message.
        :param send: takes a message for it.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        async with (
            self._start(scope, self._brought(scope["headers"])) as session,
            session.bind(end_session=False, inherit=self._inherit),
        ):
            state = {**scope.get("state", {}), "causal_session": session}
            await self._app({**scope, "state": state}, receive, self._sending(session, send))

    def _brought(self, headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
        """The tokens that a request brings."""
        found: list[str] = []
        for name, value in headers:
            text = value.decode("latin-1")
            if name == b"cookie" and self._cookie is not None:
                pairs = (part.strip().partition("=") for part in text.split(";"))
                found += [given for key, _, given in pairs if key == self._cookie]
            elif name == self._header:
                found += [part.strip() for part in text.split(",")]
        return found[:_MOST_TOKENS]

    def _sending(self, session: ClientSession, send: Send) -> Send:
        brought = session.causal_token

        async def send_with_token(message: Message) -> None:
            if message["type"] == "http.response.start":
                token = self._replaced.by(brought, session.causal_token)
                if token is not None and token != brought:
                    added = self._headers(self._keys.sign(token))
                    message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        return send_with_token

    def _headers(self, token: str) -> list[tuple[bytes, bytes]]:
        headers: list[tuple[bytes, bytes]] = []
        if self._cookie is not None:
            headers.append((b"set-cookie", f"{self._cookie}={token}{self._attributes}".encode()))
        if self._header is not None:
            headers.append((self._header, token.encode()))
        return headers


class Replaced:
    """The tokens that this process has replaced in browsers, by which: bounded.

    A browser has one cookie, and keeps that of the response that came last. Two requests at once bring the same token.
    If the one that ends later has the older time, its response would take back the newer one: so it gets the time of
    the other response. Times of different browsers may be the same; a time that is later than necessary does no harm.
    Times of different deployments have nothing to do with one another (``client`` may be a function).
    """

    def __init__(self, most: int = _MOST_REPLACED) -> None:
        self._most = most
        self._by: OrderedDict[tuple[bytes, Timestamp], Timestamp] = OrderedDict()

    def by(self, brought: str | None, own: str | None) -> str | None:
        """The token to send.

        :param brought: what the request brought, as the session gave it at its beginning.
        :param own: what the session gives at the end.
        """
        if brought is None or own is None:
            return own
        before, mine = read_causal_token(brought), read_causal_token(own)
        if mine.operation_time < before.operation_time:
            return own  # what was brought was refused
        latest = before.operation_time
        for _ in range(self._most):
            following = self._by.get((mine.deployment, latest))
            if following is None:
                break
            latest = following
        if mine.operation_time < latest:
            return write_causal_token(latest, mine.cluster_time, mine.deployment)
        if mine.operation_time > before.operation_time:
            key = (mine.deployment, before.operation_time)
            self._by[key] = mine.operation_time
            self._by.move_to_end(key)
            if len(self._by) > self._most:
                self._by.popitem(last=False)
        return own


def _attributes(max_age: int, path: str, domain: str | None, secure: bool, same_site: str) -> str:
    if isinstance(max_age, bool) or not isinstance(max_age, int) or max_age < 1:
        raise ConfigurationError(f"max_age must be a number of seconds from 1 up, not {max_age!r}")
    for what, value in (("path", path), ("domain", domain)):
        if value is not None and (not isinstance(value, str) or _VALUE.fullmatch(value) is None):
            raise ConfigurationError(f"{what} must be the {what} of a cookie, not {value!r}")
    if same_site not in ("lax", "strict", "none"):
        raise ConfigurationError(f"same_site must be 'lax', 'strict' or 'none', not {same_site!r}")
    if same_site == "none" and not secure:
        raise ConfigurationError("browsers refuse a cookie with SameSite=None that is not Secure: set secure=True")
    parts = [f"; Max-Age={max_age}; Path={path}; HttpOnly; SameSite={same_site.capitalize()}"]
    parts += [f"; Domain={domain}"] if domain is not None else []
    parts += ["; Secure"] if secure else []
    return "".join(parts)
