"""An ASGI application on a real server (hypercorn), in the event loop of the test: asyncio or trio."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import httpx
import hypercorn.asyncio
import hypercorn.trio
import sniffio
from hypercorn.config import Config

from tests.support.waiting import PATIENCE
from wiredrv import events

_SERVERS: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
    "asyncio": hypercorn.asyncio.serve,
    "trio": hypercorn.trio.serve,
}


@asynccontextmanager
async def serving(app: Any, graceful: float = PATIENCE) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the application, and give a client of it. The lifespan begins and ends with the block.

    :param graceful: seconds that requests in progress have at the end of the block, before they are cancelled.
    """
    serve = _SERVERS[sniffio.current_async_library()]
    config = Config()
    config.loglevel = "CRITICAL"
    config.graceful_timeout = graceful
    stop = anyio.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        # The server closes what it is given.
        config.bind = [f"fd://{os.dup(listener.fileno())}"]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(serve, app, config, shutdown_trigger=stop.wait))
            try:
                http = httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=PATIENCE, trust_env=False)
                async with http:
                    yield http
            finally:
                stop.set()


class Order(events.CommandListener):
    """In one list: the commands that a client sent, their ends, and when an application sent its responses.

    ``send commitTransaction``, ``commitTransaction succeeded``, ``response``: what came before what.
    """

    def __init__(self) -> None:
        self.log: list[str] = []
        self.commands: list[events.CommandStartedEvent] = []

    def started(self, event: events.CommandStartedEvent) -> None:
        self.commands.append(event)
        self.log.append(f"send {event.command_name}")

    def succeeded(self, event: events.CommandSucceededEvent) -> None:
        self.log.append(f"{event.command_name} succeeded")

    def failed(self, event: events.CommandFailedEvent) -> None:
        self.log.append(f"{event.command_name} failed")

    def clear(self) -> None:
        """Forget everything so far."""
        self.log.clear()
        self.commands.clear()

    def sent(self, name: str) -> list[Any]:
        """The commands with this name."""
        return [event.command for event in self.commands if event.command_name == name]

    def around(self, app: Any) -> Callable[[Any, Any, Any], Awaitable[None]]:
        """The application, with its responses in the log."""

        async def logged(scope: Any, receive: Any, send: Any) -> None:
            async def logging(message: Any) -> None:
                if message["type"] == "http.response.start":
                    self.log.append("response")
                await send(message)

            await app(scope, receive, logging)

        return logged
