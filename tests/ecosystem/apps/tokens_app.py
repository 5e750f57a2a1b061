"""The application of docs/causal-tokens.md, for trio or asyncio: profiles, which are read on secondaries."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import wiredrv
from wiredrv import ReadConcern, ReadPreference, TokenKeys, WriteConcern
from wiredrv.asgi import CausalTokenMiddleware


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    async with wiredrv.Client(os.environ["MONGODB_URI"]) as client:
        yield {"client": client}


def profiles(request: Request) -> wiredrv.Collection:
    client: wiredrv.Client = request.state.client
    return client.site.get_collection(
        "profiles",
        read_preference=ReadPreference.SECONDARY_PREFERRED,
        read_concern=ReadConcern("majority"),
        write_concern=WriteConcern("majority"),
    )


async def rename(request: Request) -> Response:
    change = {"$set": {"name": (await request.json())["name"]}}
    await profiles(request).update_one({"_id": request.path_params["user"]}, change, upsert=True)
    return Response(status_code=204)


async def show(request: Request) -> Response:
    return JSONResponse(await profiles(request).find_one({"_id": request.path_params["user"]}))


app = Starlette(
    routes=[
        Route("/users/{user}", rename, methods=["PUT"]),
        Route("/users/{user}", show),
    ],
    middleware=[
        Middleware(
            CausalTokenMiddleware,
            client=lambda scope: scope["state"]["client"],
            keys=TokenKeys(os.environ["TOKEN_KEY"]),
        )
    ],
    lifespan=lifespan,
)
