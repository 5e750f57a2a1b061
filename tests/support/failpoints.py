"""The servers' fail points (test commands): delay or fail a command or close its connection; disabled afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio

import wiredrv
from wiredrv.connection.connection import Connection
from wiredrv.types import Address


class FailPoint:
    """A fail point that is enabled."""

    def __init__(self, connection: Connection, entered: int) -> None:
        self._connection = connection
        self._entered = entered

    async def wait_until_entered(self, times: int = 1) -> None:
        """Wait until commands have hit the fail point ``times`` times since it was enabled."""
        command = {"waitForFailPoint": "failCommand", "timesEntered": self._entered + times, "maxTimeMS": 10_000}
        await self._connection.command("admin", command)


@asynccontextmanager
async def fail_command(
    address: Address,
    *commands: str,
    times: int = 1,
    block_ms: int = 0,
    app_name: str | None = None,
    data: Mapping[str, Any] | None = None,
) -> AsyncIterator[FailPoint]:
    """Make a server's ``failCommand`` apply to the next ``times`` commands named in ``commands``.

    :param block_ms: milliseconds for which it delays each command before it runs.
    :param app_name: only for clients of this name.
    :param data: further fields of the fail point's ``data``, such as ``errorCode`` or ``closeConnection``.
    """
    what: dict[str, Any] = {"failCommands": list(commands), **(data or {})}
    if block_ms:
        what |= {"blockConnection": True, "blockTimeMS": block_ms}
    if app_name is not None:
        what["appName"] = app_name
    async with wiredrv.connect(str(address)) as connection:
        configured = await connection.command(
            "admin", {"configureFailPoint": "failCommand", "mode": {"times": times}, "data": what}
        )
        try:
            yield FailPoint(connection, int(configured["count"]))
        finally:
            with anyio.move_on_after(5, shield=True):
                if connection.closed:
                    async with wiredrv.connect(str(address)) as another:
                        await another.command("admin", {"configureFailPoint": "failCommand", "mode": "off"})
                else:
                    await connection.command("admin", {"configureFailPoint": "failCommand", "mode": "off"})
