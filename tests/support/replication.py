"""Secondaries that lag: replication stops for a while, and they still answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import anyio

import wiredrv
from wiredrv.connection.connection import Connection
from wiredrv.local import ReplicaSet


@asynccontextmanager
async def replication_stopped(replica_set: ReplicaSet) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """No secondary applies what the primary writes, until the block is left, or what it gives is called."""
    async with AsyncExitStack() as stack:
        connections: list[Connection] = []

        async def go_on() -> None:
            for connection in connections:
                await connection.command("admin", {"configureFailPoint": "rsSyncApplyStop", "mode": "off"})

        for server in replica_set.secondaries():
            connections.append(await stack.enter_async_context(wiredrv.connect(str(server.address))))
        try:
            for connection in connections:
                stop = {"configureFailPoint": "rsSyncApplyStop", "mode": "alwaysOn"}
                reply = await connection.command("admin", stop)
                wait = {"waitForFailPoint": "rsSyncApplyStop", "timesEntered": reply["count"] + 1, "maxTimeMS": 20_000}
                await connection.command("admin", wait)
            yield go_on
        finally:
            with anyio.CancelScope(shield=True):
                await go_on()
                # A member that still pauses when the fail point is set again does not enter it once more.
                await anyio.sleep(0.3)
