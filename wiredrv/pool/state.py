"""The decisions of a pool: which operation gets which connection, when to open one, which to discard. Pure.

Theory of operation: every change (a connection is checked in, one was opened, one failed, the pool was cleared) is
reported to :class:`PoolState`, which then serves its waiters in order and returns only grants: a connection, permission
to open one, or an error. The shell turns grants into I/O. A waiter that was cancelled returns its grant, and the same
decision is made again.

Rules kept here (connection-monitoring-and-pooling specification):

* Connections are used last in, first out, so that those of a past peak become idle and can be closed.
* Waiters are served in the order in which they came.
* No more than ``max_pool_size`` connections exist and no more than ``max_connecting`` are being opened.
* A connection of an older generation than the pool's is never checked out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Protocol, TypeVar

from bson.objectid import ObjectId

from wiredrv.pool.settings import PoolSettings


class Phase(Enum):
    """The phase of a pool: whether connections are checked out."""

    PAUSED = "paused"
    READY = "ready"
    CLOSED = "closed"


class Pooled(Protocol):
    """The part of a connection that the decisions depend on."""

    generation: int
    last_used: float
    closed: bool
    #: Which server behind a load balancer it leads to; None elsewhere.
    service_id: ObjectId | None


C = TypeVar("C", bound=Pooled)


@dataclass(frozen=True, slots=True)
class MayConnect:
    """Permission to open one connection of this generation."""

    generation: int


class CheckOutWaiter(Generic[C]):
    """A task that waits for a connection. ``wake`` is called once, when ``grant`` is set."""

    __slots__ = ("grant", "wake")

    def __init__(self, wake: Callable[[], None]) -> None:
        self.wake = wake
        self.grant: C | MayConnect | BaseException | None = None


class PoolState(Generic[C]):
    """The bookkeeping of one pool."""

    __slots__ = (
        "_max_connecting",
        "_max_idle_time",
        "_max_size",
        "_min_size",
        "_service_generations",
        "connecting",
        "discarded",
        "generation",
        "idle",
        "in_use",
        "phase",
        "waiters",
    )

    def __init__(self, settings: PoolSettings) -> None:
        self._max_size = settings.max_pool_size or float("inf")
        self._min_size = settings.min_pool_size
        self._max_connecting = settings.max_connecting
        self._max_idle_time = settings.max_idle_time
        self._service_generations: dict[ObjectId, int] = {}
        self.phase = Phase.PAUSED
        self.generation = 0
        self.idle: list[C] = []
        self.in_use: set[C] = set()
        self.connecting = 0
        self.waiters: deque[CheckOutWaiter[C]] = deque()
        # Connections that a decision discarded, with the reason, for the shell to close.
        self.discarded: list[tuple[C, str]] = []

    @property
    def total(self) -> int:
        """How many connections exist or are being opened."""
        return len(self.idle) + len(self.in_use) + self.connecting

    # --- decisions ---

    def take(self, now: float) -> C | MayConnect | None:
        """A grant for a new caller, or None if it must wait. It never overtakes tasks that wait already."""
        return None if self.waiters else self._next(now)

    def take_idle(self, now: float) -> C | None:
        """The idle connection that was used last, unless other tasks wait already, or it may not be used any longer."""
        if not self.idle or self.waiters or self.phase is not Phase.READY:
            return None
        connection = self.idle[-1]
        if self.perished(connection, now) is not None:
            return None
        self.idle.pop()
        self.in_use.add(connection)
        return connection

    def _next(self, now: float) -> C | MayConnect | None:
        if self.phase is not Phase.READY:
            return None
        while self.idle:
            connection = self.idle.pop()
            reason = self.perished(connection, now)
            if reason is None:
                self.in_use.add(connection)
                return connection
            self.discarded.append((connection, reason))
        if self.connecting < self._max_connecting and self.total < self._max_size:
            # Last: an interrupt between two of these steps leaves no place taken.
            permission = MayConnect(self.generation)
            self.connecting += 1
            return permission
        return None

    def populate(self) -> MayConnect | None:
        """Permission to open one of the connections missing from ``min_pool_size``; None if none is missing, or not
        now.
        """
        ready = self.phase is Phase.READY and self.connecting < self._max_connecting
        if not ready or self.total >= self._min_size:
            return None
        permission = MayConnect(self.generation)
        self.connecting += 1
        return permission

    def perished(self, connection: C, now: float) -> str | None:
        """Why an idle connection may not be used any longer: ``stale``, ``idle``, ``error``; None when it may."""
        if connection.closed:
            return "error"
        service_id = connection.service_id
        if connection.generation < (self.generation if service_id is None else self.generation_of(service_id)):
            return "stale"
        if self._max_idle_time is not None and now - connection.last_used > self._max_idle_time:
            return "idle"
        return None

    def generation_of(self, service_id: ObjectId | None) -> int:
        """The current generation: of the pool, or of one server behind a load balancer."""
        return self.generation if service_id is None else self._service_generations.get(service_id, 0)

    @property
    def service_generations(self) -> dict[ObjectId, int]:
        """The current generations of the servers behind a load balancer."""
        return dict(self._service_generations)

    # --- changes ---

    def connected(self, connection: C) -> None:
        """A connection that was granted is open; the task that opened it uses it."""
        self.connecting -= 1
        if connection.service_id is not None:
            # Which service it leads to, and so whose generation counts, is known only now.
            connection.generation = self.generation_of(connection.service_id)
        self.in_use.add(connection)

    def connect_failed(self) -> None:
        """A connection could not be opened."""
        self.connecting -= 1

    def returned(self, connection: C, now: float) -> str | None:
        """A connection is checked in. Returns why it must be closed, or None if it is kept."""
        self.in_use.discard(connection)
        if self.phase is Phase.CLOSED:
            return "poolClosed"
        connection.last_used = now
        reason = self.perished(connection, now)
        if reason is None:
            self.idle.append(connection)
        return reason

    def given_up(self, waiter: CheckOutWaiter[C], now: float) -> None:
        """A waiter was cancelled or timed out: its grant goes to the next."""
        if waiter.grant is None:
            self.waiters.remove(waiter)
        elif isinstance(waiter.grant, MayConnect):
            self.connecting -= 1
        elif not isinstance(waiter.grant, BaseException):
            reason = self.returned(waiter.grant, now)
            if reason is not None:
                self.discarded.append((waiter.grant, reason))

    def serve(self, now: float) -> None:
        """Grant what can be granted to the waiters, in order."""
        while self.waiters:
            grant = self._next(now)
            if grant is None:
                return
            waiter = self.waiters.popleft()
            waiter.grant = grant
            waiter.wake()

    # --- the server's state ---

    def ready(self) -> bool:
        """The server answers. Returns whether that changed anything."""
        if self.phase is not Phase.PAUSED:
            return False
        self.phase = Phase.READY
        return True

    def clear(self, service_id: ObjectId | None, failure: Callable[[], BaseException]) -> bool:
        """The server failed: existing connections are of an old generation now, and the waiters get an error.

        Behind a load balancer only one server's connections are affected. Returns whether the pool was ready before.
        """
        if self.phase is Phase.CLOSED:
            return False
        if service_id is not None:
            self._service_generations[service_id] = self._service_generations.get(service_id, 0) + 1
            return True
        was_ready = self.phase is Phase.READY
        self.generation += 1
        self.phase = Phase.PAUSED
        self._dismiss(failure)
        return was_ready

    def close(self, failure: Callable[[], BaseException]) -> bool:
        """Close the pool. Returns False if it was closed before."""
        if self.phase is Phase.CLOSED:
            return False
        self.phase = Phase.CLOSED
        self.discarded.extend((connection, "poolClosed") for connection in self.idle)
        self.idle.clear()
        self._dismiss(failure)
        return True

    def prune(self, now: float) -> None:
        """Discard idle connections that may not be used any longer."""
        kept: list[C] = []
        for connection in self.idle:
            reason = self.perished(connection, now)
            if reason is None:
                kept.append(connection)
            else:
                self.discarded.append((connection, reason))
        self.idle[:] = kept

    def idle_seconds_left(self, now: float) -> float | None:
        """Seconds until the next idle connection exceeds its limit; None if none will."""
        if self._max_idle_time is None:
            return None
        # The first idle connection has been idle longest.
        since = self.idle[0].last_used if self.idle else now
        return max(since + self._max_idle_time - now, 0.0)

    def take_discarded(self) -> list[tuple[C, str]]:
        """The connections to close, with the reasons; the list is empty afterwards."""
        discarded, self.discarded = self.discarded, []
        return discarded

    def _dismiss(self, failure: Callable[[], BaseException]) -> None:
        while self.waiters:
            waiter = self.waiters.popleft()
            waiter.grant = failure()
            waiter.wake()
