"""The Starlette application of docs/web.md, for trio or asyncio: a counter, and a session for each request."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

import wiredrv
from wiredrv import ReturnDocument
from wiredrv.errors import DuplicateKeyError


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    async with wiredrv.Client(os.environ["MONGODB_URI"]) as client:
        yield {"client": client}


class OneSession:
    """Binds a session for each request: what it reads is causally consistent, on secondaries too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        async with scope["state"]["client"].start_session() as session, session.bind(end_session=False):
            scope["state"]["session"] = session
            await self.app(scope, receive, send)


async def count(request: Request) -> Response:
    votes = request.state.client.polls.votes
    found = await votes.find_one({"_id": request.path_params["name"]})
    return JSONResponse(found or {"_id": request.path_params["name"], "votes": 0})


async def vote(request: Request) -> Response:
    polls, session = request.state.client.polls, request.state.session
    voter = (await request.json())["voter"]

    async def once(session: wiredrv.ClientSession) -> dict[str, Any]:
        await polls.voters.insert_one({"_id": voter})
        poll: dict[str, Any] = await polls.votes.find_one_and_update(
            {"_id": request.path_params["name"]},
            {"$inc": {"votes": 1}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return poll

    try:
        with anyio.fail_after(5):
            return JSONResponse(await session.with_transaction(once))
    except DuplicateKeyError:
        return JSONResponse({"detail": "voted already"}, 409)
    except TimeoutError:
        return JSONResponse({"detail": "try again later"}, 503)


app = Starlette(
    routes=[
        Route("/polls/{name}", count),
        Route("/polls/{name}", vote, methods=["POST"]),
    ],
    middleware=[Middleware(OneSession)],
    lifespan=lifespan,
)
