"""What the fixtures ``stepdown`` and ``kill_primary`` give: a call, which coroutines await."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio.to_thread

from wiredrv.types import Address

#: In a coroutine, the call returns what is awaited; in a plain function it returns where the former primary listens.
Disturb = Callable[[], Address | Awaitable[Address]]


def disturb(action: Callable[[], Address], *, awaited: bool) -> Disturb:
    """The call for a test.

    :param action: what blocks until it is done.
    :param awaited: whether the test is a coroutine.
    """
    if not awaited:
        return action

    async def call() -> Address:
        return await anyio.to_thread.run_sync(action)

    return call
