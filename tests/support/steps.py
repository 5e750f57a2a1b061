"""Run a coroutine await by await, and cancel it at the k-th: the heart of the cancellation tests.

A coroutine that suspends yields to the event loop. :class:`Steps` stands between the two, counts these yields, and
cancels a scope just before the requested one, so that the cancellation arrives at exactly that await. It does
not depend on what is awaited, so it misses no checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import anyio

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """The result of a coroutine: its awaits, whether the cancellation ended it, and its value if it did not."""

    awaits: int
    cancelled: bool
    value: T | None = None


class Steps(Generic[T]):
    """An awaitable that runs a coroutine and calls ``at_step`` with the number of each await, before it suspends."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], at_step: Callable[[int], object]) -> None:
        self._coroutine = coroutine
        self._at_step = at_step
        self.count = 0

    def __await__(self) -> Generator[Any, Any, T]:
        inner = self._coroutine.__await__()
        send = _sender(inner, None)
        while True:
            try:
                wanted = send()
            except StopIteration as stop:
                result: T = stop.value
                return result
            self.count += 1
            self._at_step(self.count)
            try:
                answer = yield wanted
            except BaseException as error:
                send = _thrower(inner, error)
            else:
                send = _sender(inner, answer)


def _sender(inner: Any, answer: Any) -> Callable[[], Any]:
    return lambda: inner.send(answer)


def _thrower(inner: Any, error: BaseException) -> Callable[[], Any]:
    return lambda: inner.throw(error)


async def cancelled_at(step: int, function: Callable[[], Coroutine[Any, Any, T]]) -> Outcome[T]:
    """Run ``function()`` and cancel it at its ``step``-th await, counted from 1; one that has fewer runs to its end."""
    value: T | None = None
    with anyio.CancelScope() as scope:
        steps = Steps(function(), lambda number: scope.cancel() if number == step else None)
        value = await steps
    return Outcome(steps.count, scope.cancelled_caught, value)
