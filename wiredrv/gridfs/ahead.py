"""Fetching one thing after another, with some of them fetched ahead while those before are being used."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

from wiredrv import waits

T = TypeVar("T")
K = TypeVar("K")


class _Slot(Generic[T]):
    """What one task fetches, and another takes."""

    __slots__ = ("_done", "_error", "_value")

    def __init__(self) -> None:
        self._done = waits.Event()
        self._error: Exception | None = None
        self._value: list[T] = []

    async def fill(self, fetch: Callable[[], Awaitable[T]]) -> None:
        """Fetch it."""
        try:
            self._value.append(await fetch())
        except Exception as error:
            self._error = error
        self._done.set()

    async def take(self) -> T:
        """Wait for it; raise what fetching it raised."""
        await self._done.wait()
        if self._error is not None:
            raise self._error
        return self._value.pop()


async def in_order(
    fetch: Callable[[K], Awaitable[T]], keys: Iterable[K], use: Callable[[T], Awaitable[object]], ahead: int
) -> None:
    """Fetch something for each key, and use it, in the order of the keys.

    What the two raise is raised as it is, not in a group; what is being fetched is then cancelled.

    :param fetch: called in a task of its own.
    :param use: awaited in the caller's task.
    :param ahead: how many are fetched while one is used.
    """
    failure: BaseException | None = None
    async with waits.create_task_group() as group:
        slots: deque[_Slot[T]] = deque()

        def start(key: K) -> None:
            slots.append(_Slot())
            group.start_soon(slots[-1].fill, lambda: fetch(key))

        try:
            for key in keys:
                start(key)
                if len(slots) > ahead:
                    await use(await slots.popleft().take())
            while slots:
                await use(await slots.popleft().take())
        except BaseException as error:
            if isinstance(error, (waits.cancelled(), GeneratorExit)):
                raise
            failure = error
            group.cancel_scope.cancel()
    if failure is not None:
        raise failure
