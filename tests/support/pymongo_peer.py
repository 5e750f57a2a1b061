"""PyMongo Async on the same server, for tests that compare with it call by call.

It supports asyncio only, so it runs in a thread of its own, whatever event loop the test runs on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio.to_thread
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandListener, CommandStartedEvent

#: What a test does with PyMongo's client.
Use = Callable[[Any], Awaitable[Any]]


class Sent(CommandListener):
    """The commands that PyMongo sent, without the fields that every command has."""

    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.commands.append(plain(event.command))

    def succeeded(self, event: Any) -> None:
        """Nothing to record."""

    def failed(self, event: Any) -> None:
        """Nothing to record."""


#: Fields that sessions, cluster times and the handshake add to commands.
_COMMON = frozenset({"lsid", "$clusterTime", "$db", "$readPreference", "txnNumber", "apiVersion"})


def plain(command: Any) -> dict[str, Any]:
    """A command without the fields that any command may have."""
    return {name: value for name, value in command.items() if name not in _COMMON}


async def with_pymongo(uri: str, use: Use, **options: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Call ``use`` with a PyMongo client: its result (or what it raised), and the commands that were sent."""
    sent = Sent()

    async def run() -> tuple[Any, list[dict[str, Any]]]:
        async with AsyncMongoClient(uri, event_listeners=[sent], **options) as client:
            try:
                return await use(client), list(sent.commands)
            except Exception as error:
                return error, list(sent.commands)

    return await anyio.to_thread.run_sync(lambda: asyncio.run(run()))
