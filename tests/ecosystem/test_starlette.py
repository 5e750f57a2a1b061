"""Starlette on trio, and on asyncio: sessions that middleware binds, and in which tasks its binding is in force."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio
import httpx
import pytest
import sniffio
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

import wiredrv
from tests.ecosystem.apps import starlette_app as polls
from tests.ecosystem.serving import Order, serving
from wiredrv.errors import InvalidOperation
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

Endpoint = Callable[[Request], Awaitable[Response]]
CallNext = Callable[[Request], Awaitable[Response]]
#: So that fail points apply to these applications alone.
APP_NAME = "starlette"


async def _empty(replica_set: ReplicaSet) -> None:
    async with wiredrv.Client(replica_set.uri) as client:
        for name in ("votes", "voters"):
            await client.polls[name].delete_many({})


# --- the application ---


async def test_a_vote_counts_once(named_replica_set: ReplicaSet) -> None:
    await _empty(named_replica_set)
    async with serving(polls.app) as http:
        assert (await http.get("/polls/tea")).json() == {"_id": "tea", "votes": 0}
        assert (await http.post("/polls/tea", json={"voter": "ada"})).json() == {"_id": "tea", "votes": 1}
        again = await http.post("/polls/tea", json={"voter": "ada"})
        assert (again.status_code, again.json()) == (409, {"detail": "voted already"})
        assert (await http.get("/polls/tea")).json() == {"_id": "tea", "votes": 1}


async def test_requests_at_once_have_a_session_each(named_replica_set: ReplicaSet) -> None:
    await _empty(named_replica_set)
    async with serving(polls.app) as http, anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(_vote, http, f"voter {number}")
    async with wiredrv.Client(named_replica_set.uri) as client:
        assert await client.polls.votes.find_one() == {"_id": "tea", "votes": 10}


async def _vote(http: httpx.AsyncClient, voter: str) -> None:
    response = await http.post("/polls/tea", json={"voter": voter})
    assert response.status_code == 200, response.text


async def test_a_server_that_stops_leaves_no_transaction_open(named_replica_set: ReplicaSet) -> None:
    """A request that is cancelled when the server stops: its transaction is aborted before the client is closed."""
    if sys.version_info >= (3, 12) and sniffio.current_async_library() == "asyncio":
        pytest.skip("hypercorn waits for connections before it cancels requests; they do not end on Python 3.12")
    begun = anyio.Event()

    async def never_ends(request: Request) -> Response:
        async with request.state.client.transaction():
            await request.state.client.polls.votes.insert_one({})
            begun.set()
            await anyio.sleep_forever()
        raise AssertionError

    order = Order()
    app = Starlette(routes=[Route("/", never_ends)], lifespan=_lifespan(named_replica_set, order))

    async def visit(http: httpx.AsyncClient) -> None:
        with pytest.raises(httpx.HTTPError):
            await http.get("/")

    async with anyio.create_task_group() as tasks, serving(app, graceful=0) as http:
        tasks.start_soon(visit, http)
        await begun.wait()
    assert "abortTransaction succeeded" in order.log


def _lifespan(
    replica_set: ReplicaSet, order: Order
) -> Callable[[Starlette], AbstractAsyncContextManager[dict[str, wiredrv.Client]]]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, wiredrv.Client]]:
        async with wiredrv.Client(replica_set.uri, event_listeners=[order], appName=APP_NAME) as client:
            yield {"client": client}

    return lifespan


# --- bindings that middleware makes ---
#
# Each application answers with what its endpoint met: "bound", or the first words of the error.


async def _visit(replica_set: ReplicaSet, endpoint: Endpoint, *middleware: Middleware) -> tuple[str, Order]:
    order = Order()
    app = Starlette(routes=[Route("/", endpoint)], middleware=list(middleware), lifespan=_lifespan(replica_set, order))
    async with serving(app) as http:
        response = await http.get("/")
    return response.text, order


async def _find(request: Request) -> str:
    try:
        await request.state.client.polls.votes.find_one()
    except InvalidOperation as error:
        return "refused: left" if "its block was left" in str(error) else "refused: another task"
    return "found"


async def endpoint(request: Request) -> Response:
    return PlainTextResponse(await _find(request))


async def plain_middleware(request: Request, call_next: CallNext) -> Response:
    async with request.state.client.transaction():
        return await call_next(request)


async def inheriting_middleware(request: Request, call_next: CallNext) -> Response:
    async with request.state.client.transaction(inherit=True):
        return await call_next(request)


async def test_an_asgi_middleware_binds_for_the_endpoint(named_replica_set: ReplicaSet) -> None:
    text, order = await _visit(named_replica_set, endpoint, Middleware(polls.OneSession))
    assert text == "found"
    assert order.sent("find")


async def test_an_asgi_middleware_binds_for_background_tasks_and_not_for_a_streamed_body(
    named_replica_set: ReplicaSet,
) -> None:
    met: list[str] = []

    async def later(request: Request) -> None:
        met.append(await _find(request))

    async def streaming(request: Request) -> Response:
        async def body() -> AsyncIterator[str]:
            await later(request)
            yield ""

        return StreamingResponse(body(), background=BackgroundTask(later, request))

    await _visit(named_replica_set, streaming, Middleware(polls.OneSession))
    assert met == ["refused: another task", "found"]


async def test_the_endpoint_is_another_task_than_the_function_of_a_base_http_middleware(
    named_replica_set: ReplicaSet,
) -> None:
    text, order = await _visit(named_replica_set, endpoint, Middleware(BaseHTTPMiddleware, dispatch=plain_middleware))
    assert text == "refused: another task"
    assert not order.sent("find")


async def test_a_base_http_middleware_can_let_the_endpoint_inherit(named_replica_set: ReplicaSet) -> None:
    text, order = await _visit(
        named_replica_set, endpoint, Middleware(BaseHTTPMiddleware, dispatch=inheriting_middleware)
    )
    assert text == "found"
    assert order.sent("find")[0]["autocommit"] is False
    assert "commitTransaction succeeded" in order.log


async def test_what_runs_after_the_response_began_is_refused_in_an_inherited_binding(
    named_replica_set: ReplicaSet,
) -> None:
    """``call_next`` returns when the response begins: its body, and background tasks, come after the block."""
    met: list[str] = []
    left = anyio.Event()

    async def middleware(request: Request, call_next: CallNext) -> Response:
        response = await inheriting_middleware(request, call_next)
        left.set()
        return response

    async def later(request: Request) -> None:
        await left.wait()
        met.append(await _find(request))
        with wiredrv.unbound():
            met.append(await _find(request))

    async def with_background(request: Request) -> Response:
        met.append(await _find(request))
        return PlainTextResponse("", background=BackgroundTask(later, request))

    async def streaming(request: Request) -> Response:
        async def body() -> AsyncIterator[str]:
            await later(request)
            yield ""

        met.append(await _find(request))
        return StreamingResponse(body())

    for late_endpoint in (with_background, streaming):
        met.clear()
        left = anyio.Event()
        _, order = await _visit(named_replica_set, late_endpoint, Middleware(BaseHTTPMiddleware, dispatch=middleware))
        assert met == ["found", "refused: left", "found"]
        inside, outside = order.sent("find")
        assert inside["autocommit"] is False
        assert "autocommit" not in outside


async def test_a_streamed_response_is_outside_of_the_binding_of_its_endpoint(named_replica_set: ReplicaSet) -> None:
    met: list[str] = []

    async def streaming(request: Request) -> Response:
        async def body() -> AsyncIterator[str]:
            met.append(await _find(request))
            yield ""

        async with request.state.client.transaction():
            return StreamingResponse(body())

    _, order = await _visit(named_replica_set, streaming)
    assert met == ["found"]
    assert "autocommit" not in order.sent("find")[0]
