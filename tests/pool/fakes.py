"""Fake connections, a fake that establishes them, and a recording listener: for tests of the pool's shell."""

from __future__ import annotations

from typing import Any, cast

import anyio
import anyio.lowlevel

from wiredrv.connection.connection import Connection
from wiredrv.listeners import ListenerHub
from wiredrv.pool.pool import Failed, Pool
from wiredrv.pool.settings import PoolSettings
from wiredrv.types import Address

ADDRESS = Address("pool.example", 27017)


class FakeConnection:
    """Stands in for a connection; there is no socket behind it."""

    def __init__(self, number: int, generation: int) -> None:
        self.id = number
        self.generation = generation
        self.last_used = 0.0
        self.closed = False
        self.is_out_of_step = False
        self.service_id = None
        self.pinned_by: str | None = None
        self.failure: BaseException | None = None
        self.stale = False

    def close(self, *, wake: bool = True) -> None:
        self.closed = True

    def is_stale(self) -> bool:
        return self.stale or self.closed


class Maker:
    """Establishes fake connections: at once, or (``held``) when the test releases it, or with a failure."""

    def __init__(self) -> None:
        self.held = False
        self.failure: Exception | None = None
        self.made: list[FakeConnection] = []
        self.begun = 0
        self._gate: list[anyio.Event] = []

    async def __call__(self, number: int, generation: int, scope: object) -> Connection:
        self.begun += 1
        if self.held:
            gate = anyio.Event()
            self._gate.append(gate)
            await gate.wait()
        else:
            await anyio.lowlevel.checkpoint()
        if self.failure is not None:
            raise self.failure
        made = FakeConnection(number, generation)
        self.made.append(made)
        return cast(Connection, made)

    def let_go(self) -> None:
        self.held = False
        for gate in self._gate:
            gate.set()


class Recorder:
    """A listener that records what it receives."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __call__(self, event: Any) -> None:
        self.seen.append(event)

    def names(self) -> list[str]:
        return [type(event).__name__.removesuffix("Event") for event in self.seen]


def make_pool(maker: Maker, *listeners: Any, ready: bool = True, failed: Failed | None = None, **options: Any) -> Pool:
    """A pool of fake connections; ``options`` are fields of its settings."""
    pool = Pool(ADDRESS, PoolSettings(**options), maker, ListenerHub(listeners), failed)
    if ready:
        pool.ready()
    return pool
