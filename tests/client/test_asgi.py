"""The ASGI middleware without a server: its arguments, what it reads from requests, and what replaced what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bson.timestamp import Timestamp

import wiredrv
from wiredrv import TokenKeys
from wiredrv.asgi import CausalTokenMiddleware, Replaced
from wiredrv.errors import ConfigurationError
from wiredrv.session.tokens import read_causal_token, write_causal_token

KEYS = TokenKeys("a key of the application's, for tokens")


async def app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError


def client(scope: Any) -> Any:
    raise AssertionError


@pytest.mark.parametrize("keys", [None, "secret" * 8, b"secret" * 8, [KEYS]])
def test_it_refuses_to_start_without_keys(keys: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be signed") as refused:
        CausalTokenMiddleware(app, client, keys)
    assert "secret" * 2 not in str(refused.value)
    with pytest.raises(TypeError):
        CausalTokenMiddleware(app, client)  # type: ignore[call-arg]  # that is what is tested


@pytest.mark.parametrize(
    "options",
    [
        {"client": "mongodb://localhost"},
        {"cookie": None},
        {"cookie": ""},
        {"cookie": "a b"},
        {"cookie": "a;b"},
        {"cookie": "a=b"},
        {"cookie": b"a"},
        {"header": "a:b"},
        {"header": "a\nb"},
        {"max_age": 0},
        {"max_age": True},
        {"max_age": 1.5},
        {"path": "/; Secure"},
        {"path": "/\r\nX: y"},
        {"path": None, "domain": "a;b"},
        {"domain": 7},
        {"same_site": "Lax"},
        {"same_site": "none", "secure": False},
    ],
)
def test_other_arguments_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        CausalTokenMiddleware(**{"app": app, "client": client, "keys": KEYS, "path": "/", **options})


@pytest.mark.parametrize(
    "options, attributes",
    [
        ({}, "; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax; Secure"),
        (
            {"max_age": 60, "path": "/api", "domain": "example.org", "secure": False, "same_site": "strict"},
            "; Max-Age=60; Path=/api; HttpOnly; SameSite=Strict; Domain=example.org",
        ),
        ({"same_site": "none"}, "; Max-Age=3600; Path=/; HttpOnly; SameSite=None; Secure"),
    ],
)
def test_the_cookie_has_the_attributes_that_were_chosen(options: dict[str, Any], attributes: str) -> None:
    middleware = CausalTokenMiddleware(app, client, KEYS, header="X-Causal-Token", **options)
    assert middleware._headers("t") == [
        (b"set-cookie", f"causal_token=t{attributes}".encode()),
        (b"x-causal-token", b"t"),
    ]


@pytest.mark.parametrize(
    "headers, tokens",
    [
        ([], []),
        ([(b"cookie", b"causal_token=abc")], ["abc"]),
        ([(b"cookie", b"a=b; causal_token=abc;c=d")], ["abc"]),
        ([(b"cookie", b"causal_token=a; causal_token=b"), (b"cookie", b"causal_token=c")], ["a", "b", "c"]),
        ([(b"cookie", b"other_causal_token=abc; causal_tokens=x; causal_token")], [""]),
        ([(b"cookie", b"causal_token=\xff\x00\xe4")], ["\xff\x00\xe4"]),
        ([(b"x-causal-token", b"a, b"), (b"cookie", b"causal_token=c")], ["a", "b", "c"]),
        ([(b"x-causal-token", b"," * 10_000)], [""] * 4),
        ([(b"cookie", b"causal_token=x;" * 10_000)], ["x"] * 4),
        ([(b"cookie", b"=;;==;" * 100)], []),
    ],
)
def test_a_few_tokens_of_a_request_are_read(headers: list[tuple[bytes, bytes]], tokens: list[str]) -> None:
    middleware = CausalTokenMiddleware(app, client, KEYS, header="X-Causal-Token")
    assert middleware._brought(headers) == tokens


@pytest.mark.parametrize("kind", ["websocket", "lifespan", "something new"])
def test_what_is_not_http_is_passed_on(kind: str) -> None:
    seen: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    call = CausalTokenMiddleware(inner, client, KEYS)({"type": kind}, 1, 2)  # type: ignore[arg-type]  # only passed on
    with pytest.raises(StopIteration):
        call.send(None)
    assert seen == [({"type": kind}, 1, 2)]


def test_a_client_is_not_connected_by_the_middleware() -> None:
    CausalTokenMiddleware(app, wiredrv.Client("mongodb://nowhere.invalid"), KEYS)


@pytest.mark.parametrize("given", [None, "mongodb://localhost", object])
def test_a_function_that_gives_no_client_is_refused(given: Any) -> None:
    middleware = CausalTokenMiddleware(app, lambda scope: given, KEYS)
    call = middleware({"type": "http", "headers": []}, 1, 2)  # type: ignore[arg-type]  # not used
    with pytest.raises(ConfigurationError, match=f"not {type(given).__name__}"):
        call.send(None)


# --- two requests at once ---


def token(second: int) -> str:
    return write_causal_token(Timestamp(second, 1), None, b"replica!")


def second(text: str | None) -> int | None:
    return None if text is None else read_causal_token(text).operation_time.time


#: What a request brought, what its session had at the end, and what goes out.
Step = tuple[int | None, int | None, int | None]


@pytest.mark.parametrize(
    "steps",
    [
        [(None, None, None)],
        [(None, 1, 1)],
        [(1, 1, 1), (1, 2, 2), (2, 3, 3)],
        [(1, 5, 5), (1, 3, 5)],  # two tabs: the later response has the older time
        [(1, 3, 3), (1, 5, 5), (1, 4, 5), (3, 4, 4)],
        [(1, 5, 5), (5, 6, 6), (1, 3, 6)],  # and meanwhile the first went on
        [(1, 5, 5), (1, 1, 5)],  # it did nothing
        [(9, 2, 2), (9, 3, 3)],  # what was brought was refused
        [(1, 5, 5), (7, 8, 8), (1, None, None)],
    ],
)
def test_a_response_does_not_take_back_a_newer_token(steps: list[Step]) -> None:
    replaced = Replaced()
    as_token: Callable[[int | None], str | None] = lambda at: None if at is None else token(at)  # noqa: E731
    for brought, own, out in steps:
        assert second(replaced.by(as_token(brought), as_token(own))) == out


def test_times_of_different_deployments_are_not_mixed() -> None:
    replaced = Replaced()
    one, other = (
        [write_causal_token(Timestamp(at, 1), None, label) for at in (1, 5, 3)] for label in (b"replica1", b"replica2")
    )
    assert replaced.by(one[0], one[1]) == one[1]
    assert replaced.by(other[0], other[2]) == other[2]
    assert replaced.by(one[0], one[2]) == one[1]


def test_what_is_remembered_is_bounded() -> None:
    replaced = Replaced(most=10)
    for at in range(1, 1000):
        replaced.by(token(at), token(at + 1))
    assert len(replaced._by) == 10
    assert second(replaced.by(token(995), token(996))) == 1000
    assert second(replaced.by(token(5), token(6))) == 6
