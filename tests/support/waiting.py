"""Waiting for a condition with a deadline, on any backend: what tests do instead of sleeping."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic

import anyio

#: Seconds to wait for a condition by default; the machine may be busy. A condition that holds does not wait.
PATIENCE = 30.0
_INTERVAL = 0.01


async def until(condition: Callable[[], bool], what: str, timeout: float = PATIENCE) -> None:
    """Wait until ``condition`` holds; if it does not in time, fail with ``what``."""

    async def ask() -> bool:
        return condition()

    await until_async(ask, what, timeout)


async def until_async(condition: Callable[[], Awaitable[bool]], what: str, timeout: float = PATIENCE) -> None:
    """Like :func:`until`, for a condition that must be awaited."""
    deadline = monotonic() + timeout
    while not await condition():
        if monotonic() >= deadline:
            raise AssertionError(f"within {timeout:g} s this did not come about: {what}")
        await anyio.sleep(_INTERVAL)
