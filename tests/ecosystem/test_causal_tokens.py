"""The ASGI middleware on real servers: what one request wrote the next reads, in another process, on a secondary."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
import sniffio
from bson.timestamp import Timestamp
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

import wiredrv
from tests.ecosystem.apps import tokens_app as site
from tests.ecosystem.serving import serving
from tests.support.event_log import EventLog
from tests.support.replication import replication_stopped
from wiredrv import ReadPreference, TokenKeys, WriteConcern, events
from wiredrv.asgi import CausalTokenMiddleware
from wiredrv.errors import InvalidOperation
from wiredrv.local import ReplicaSet
from wiredrv.session.tokens import UNKNOWN_DEPLOYMENT, deployment_label, read_causal_token, write_causal_token

pytestmark = pytest.mark.anyio

Endpoint = Callable[[Request], Awaitable[Response]]
KEYS = TokenKeys("a key of the application's, for tokens")


class Site:
    """An application with the middleware, and a client of its own, as a process has: its endpoints are the test's."""

    def __init__(self, client: wiredrv.Client, *endpoints: Endpoint, **options: Any) -> None:
        self.client = client
        inside = options.pop("inside", [])
        middleware = Middleware(CausalTokenMiddleware, client=client, keys=KEYS, secure=False, **options)
        routes = [Route(f"/{endpoint.__name__}", endpoint) for endpoint in endpoints]
        self.app = Starlette(routes=routes, middleware=[middleware, *inside])


@asynccontextmanager
async def process(
    replica_set: ReplicaSet, *endpoints: Callable[[wiredrv.Client], Endpoint], **options: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, EventLog]]:
    """A process with an application, on a real HTTP server."""
    heard = EventLog()
    async with wiredrv.Client(replica_set.uri, event_listeners=[heard]) as client:
        made = [endpoint(client) for endpoint in endpoints]
        async with serving(Site(client, *made, **options).app) as http:
            yield http, heard


def finds(heard: EventLog) -> list[Any]:
    return [event.command for event in heard.of(events.CommandStartedEvent, command_name="find")]


def write(client: wiredrv.Client) -> Endpoint:
    notes = client.site.notes.with_options(write_concern=WriteConcern(1))

    async def write(request: Request) -> Response:
        await notes.update_one({"_id": 1}, {"$set": {"text": request.query_params["text"]}}, upsert=True)
        return PlainTextResponse("written")

    return write


def read(client: wiredrv.Client) -> Endpoint:
    notes = client.site.get_collection("notes", read_preference=ReadPreference.SECONDARY)

    async def read(request: Request) -> Response:
        found = await notes.find_one({"_id": 1})
        return PlainTextResponse("nothing" if found is None else found["text"])

    return read


def idle(client: wiredrv.Client) -> Endpoint:
    async def idle(request: Request) -> Response:
        assert not request.state.causal_session.has_ended
        return PlainTextResponse("idle")

    return idle


# --- over processes ---


async def test_a_request_reads_on_a_secondary_what_another_process_wrote_for_the_user(replica_set: ReplicaSet) -> None:
    async with process(replica_set, write) as (one, _), process(replica_set, read) as (two, heard):
        async with wiredrv.Client(replica_set.uri) as client:
            everywhere = client.site.notes.with_options(write_concern=WriteConcern(3))
            await everywhere.replace_one({"_id": 1}, {"text": "old"}, upsert=True)
        async with replication_stopped(replica_set) as stopped:
            assert (await one.get("/write", params={"text": "new"})).text == "written"
            # Somebody else gets what the secondary has.
            assert (await two.get("/read")).text == "old"
            two.cookies = one.cookies
            found: list[str] = []

            async def read_again() -> None:
                found.append((await two.get("/read")).text)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read_again)
                await anyio.sleep(0.3)
                too_early = list(found)
                await stopped()
        assert not too_early
        assert found == ["new"]
        assert not heard.of(events.CausalTokenIgnoredEvent)


async def test_the_application_of_the_page(named_replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(site.app) as http:
        renamed = await http.put("/users/ada", json={"name": "Ada"})
        assert renamed.status_code == 204
        assert renamed.headers["set-cookie"].endswith("; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax; Secure")
        cookie = {"cookie": f"causal_token={http.cookies['causal_token']}"}
        assert (await http.get("/users/ada", headers=cookie)).json() == {"_id": "ada", "name": "Ada"}


async def test_it_works_without_a_framework_and_without_a_server(replica_set: ReplicaSet) -> None:
    if sniffio.current_async_library() != "asyncio":
        pytest.skip("httpx calls applications within asyncio only")

    async with wiredrv.Client(replica_set.uri) as client:

        async def bare(scope: Any, receive: Any, send: Any) -> None:
            assert scope["state"]["causal_session"] is not None
            await client.site.notes.find_one({})
            await send({"type": "http.response.start", "status": 204})
            await send({"type": "http.response.body"})

        app: Any = CausalTokenMiddleware(bare, client, KEYS, header="X-Causal-Token")
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
            answer = await http.get("/")
            token = answer.headers["x-causal-token"]
            assert read_causal_token(token, KEYS).verified
            assert answer.headers["set-cookie"].startswith(f"causal_token={token}; Max-Age=")


# --- what goes out, and when ---


async def test_a_request_that_does_nothing_sends_no_cookie(replica_set: ReplicaSet) -> None:
    async with process(replica_set, write, idle) as (http, heard):
        assert "set-cookie" not in (await http.get("/idle")).headers
        await http.get("/write", params={"text": "x"})
        assert "causal_token" in http.cookies
        assert "set-cookie" not in (await http.get("/idle")).headers
        assert "set-cookie" not in (await http.get("/nowhere")).headers
    assert not heard.of(events.CausalTokenIgnoredEvent)


async def test_a_forged_cookie_does_no_harm(replica_set: ReplicaSet) -> None:
    async with process(replica_set, write, read) as (http, heard):
        await http.get("/write", params={"text": "x"})
        token = http.cookies["causal_token"]
        label = read_causal_token(token).deployment
        most = Timestamp(2**32 - 1, 1)
        forged = [
            write_causal_token(most, None, label),
            write_causal_token(most, None, label, TokenKeys("the key of somebody else, who tries.")),
            KEYS.sign(write_causal_token(most, None, UNKNOWN_DEPLOYMENT)),  # even with the key
            token.swapcase(),
            "x" * 4000,
            '"; Path=/',
            "%00",
        ]
        reasons = ["signature", "signature", "unconfirmed", "malformed", "malformed", "malformed", "malformed"]
        for text, reason in zip(forged, reasons, strict=True):
            heard.clear()
            http.cookies.clear()
            answer = await http.get("/read", headers={"cookie": f"causal_token={text}"})
            assert answer.status_code == 200
            assert {event.reason for event in heard.of(events.CausalTokenIgnoredEvent)} == {reason}
            (find,) = finds(heard)
            assert "afterClusterTime" not in find.get("readConcern", {})
            # What goes out is real again.
            assert read_causal_token(http.cookies["causal_token"], KEYS).operation_time < most


async def test_two_tabs_keep_the_later_of_their_tokens(replica_set: ReplicaSet) -> None:
    """The one that began first, and found an earlier time, answers last: browsers keep what comes last."""
    found, written = anyio.Event(), anyio.Event()

    def slow(client: wiredrv.Client) -> Endpoint:
        async def slow(request: Request) -> Response:
            await client.site.notes.find_one({})
            found.set()
            await written.wait()
            return PlainTextResponse("slow")

        return slow

    async with process(replica_set, write, slow) as (http, _):
        await http.get("/write", params={"text": "first"})
        times: dict[str, Timestamp] = {}
        cookie = {"cookie": f"causal_token={http.cookies['causal_token']}"}

        async def visit(path: str) -> None:
            answer = await http.get(path, headers=cookie)
            token = answer.headers["set-cookie"].partition("=")[2].partition(";")[0]
            times[path] = read_causal_token(token, KEYS).operation_time

        async with anyio.create_task_group() as tabs:
            tabs.start_soon(visit, "/slow")
            await found.wait()
            await visit("/write?text=second")
            written.set()
        assert times["/slow"] == times["/write?text=second"]


async def test_what_comes_after_the_beginning_of_the_response_is_in_the_session_and_not_in_its_token(
    replica_set: ReplicaSet,
) -> None:
    done = anyio.Event()

    def stream(client: wiredrv.Client) -> Endpoint:
        async def later() -> None:
            await client.site.notes.find_one({"in": "the background"})
            done.set()

        async def stream(request: Request) -> Response:
            async def body() -> AsyncIterator[str]:
                await client.site.notes.find_one({"in": "the body"})
                yield "streamed"

            return StreamingResponse(body(), background=BackgroundTask(later))

        return stream

    async with process(replica_set, write, stream) as (http, heard):
        assert (await http.get("/stream")).text == "streamed"
        await done.wait()
        assert "causal_token" not in http.cookies
        one, two = finds(heard)
        assert one["lsid"] == two["lsid"]
        assert "afterClusterTime" in two["readConcern"]


@pytest.mark.parametrize("inherit", [True, False])
async def test_an_endpoint_in_a_child_task_takes_part_if_it_inherits(replica_set: ReplicaSet, inherit: bool) -> None:
    async def dispatch(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)  # which runs the endpoint in a child task
        return response

    def child(client: wiredrv.Client) -> Endpoint:
        async def child(request: Request) -> Response:
            try:
                await client.site.notes.find_one({})
            except InvalidOperation as error:
                return PlainTextResponse(str(error), 500)
            return PlainTextResponse("found")

        return child

    inside = [Middleware(BaseHTTPMiddleware, dispatch=dispatch)]
    async with process(replica_set, child, inside=inside, inherit=inherit) as (http, _):
        answer = await http.get("/child")
        assert (answer.status_code, "causal_token" in http.cookies) == ((200, True) if inherit else (500, False))


async def test_an_exception_ends_the_session_and_the_next_request_is_served(replica_set: ReplicaSet) -> None:
    sessions: list[wiredrv.ClientSession] = []

    def fail(client: wiredrv.Client) -> Endpoint:
        async def fail(request: Request) -> Response:
            sessions.append(request.state.causal_session)
            await client.site.notes.find_one({})
            raise ZeroDivisionError

        return fail

    async with process(replica_set, fail, idle) as (http, _):
        assert (await http.get("/fail")).status_code == 500
        assert "causal_token" not in http.cookies
        assert sessions[0].has_ended
        assert (await http.get("/idle")).status_code == 200


async def test_a_transaction_of_a_request_is_in_its_token(replica_set: ReplicaSet) -> None:
    def transact(client: wiredrv.Client) -> Endpoint:
        async def transact(request: Request) -> Response:
            async with client.transaction():
                await client.site.notes.update_one({"_id": 1}, {"$inc": {"n": 1}})
            return PlainTextResponse("committed")

        return transact

    async with process(replica_set, transact, read) as (http, heard):
        assert (await http.get("/transact")).status_code == 200
        (commit,) = heard.of(events.CommandSucceededEvent, command_name="commitTransaction")
        time = read_causal_token(http.cookies["causal_token"], KEYS).operation_time
        assert time == commit.reply["operationTime"]
        await http.get("/read")
        assert finds(heard)[0]["readConcern"] == {"afterClusterTime": time}


async def test_requests_at_once_have_a_session_each_and_give_all_back(replica_set: ReplicaSet) -> None:
    async with AsyncExitStack() as stack:
        http, heard = await stack.enter_async_context(process(replica_set, read, write))
        await http.get("/write", params={"text": "x"})
        label = deployment_label(await _described(replica_set))
        assert read_causal_token(http.cookies["causal_token"]).deployment == label
        heard.clear()
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(http.get, "/read")
        overlapping = {bytes(find["lsid"]["id"]) for find in finds(heard)}
        assert 1 <= len(overlapping) <= 8
        assert all("afterClusterTime" in find["readConcern"] for find in finds(heard))


async def _described(replica_set: ReplicaSet) -> Any:
    async with wiredrv.Client(replica_set.uri) as client:
        await client.admin.command("ping")
        return client.topology_description
