"""What the fixtures ``stepdown`` and ``kill_primary`` give: a call, which coroutines await."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import anyio.to_thread

from wiredrv.types import Address

#: In a coroutine: awaited, the call returns where the former primary listens.
ChangePrimary: TypeAlias = Callable[[], Awaitable[Address]]
#: In a plain function: the call blocks, and returns where the former primary listens.
SyncChangePrimary: TypeAlias = Callable[[], Address]


def awaited(action: SyncChangePrimary) -> ChangePrimary:
    """The same for a coroutine: it does not hold up the event loop."""

    async def call() -> Address:
        return await anyio.to_thread.run_sync(action)

    return call
