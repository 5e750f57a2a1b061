"""Everything that a client reports to its listeners, in order, with queries for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from tests.support.waiting import PATIENCE, until

E = TypeVar("E")


class EventLog:
    """A listener that keeps every event."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def __call__(self, event: Any) -> None:
        self.events.append(event)

    def of(self, kind: type[E], **fields: Any) -> list[E]:
        """The events of one class whose fields have these values."""
        return [
            event
            for event in self.events
            if isinstance(event, kind) and all(getattr(event, name) == value for name, value in fields.items())
        ]

    async def wait_for(self, kind: type[E], count: int = 1, timeout: float = PATIENCE, **fields: Any) -> E:
        """Wait until there are ``count`` such events; returns the last of them."""
        await until(lambda: len(self.of(kind, **fields)) >= count, f"{count} {kind.__name__} {fields or ''}", timeout)
        return self.of(kind, **fields)[count - 1]

    async def wait_until(self, condition: Callable[[Any], bool], what: str, timeout: float = PATIENCE) -> Any:
        """Wait until there is an event that satisfies a condition; returns the first."""
        await until(lambda: any(map(condition, self.events)), what, timeout)
        return next(filter(condition, self.events))

    def clear(self) -> None:
        """Forget all events so far."""
        self.events.clear()
