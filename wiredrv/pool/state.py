"""What a pool decides: who gets which connection, when to make one, which to throw away. Pure.

Theory of operation: every change (a connection comes back, one was made, one failed, the pool was cleared) is told to
:class:`PoolState`, which then serves its waiters in order and returns nothing but grants: a connection, leave to make
one, or an error. The shell turns grants into I/O. A waiter that was cancelled gives back what it was granted, and the
same decision runs again.

Rules kept here (connection-monitoring-and-pooling specification):

* Connections are used last in, first out, so that those of a past peak grow idle and can be closed.
* Waiters are served in the order in which they came.
* No more than ``max_pool_size`` connections exist and no more than ``max_connecting`` are being made.
* A connection of an older generation than the pool's is never given out.
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
    """Whether a pool gives out connections."""

    PAUSED = "paused"
    READY = "ready"
    CLOSED = "closed"


class Pooled(Protocol):
    """What the decisions need to know of a connection."""

    generation: int
    last_used: float
    closed: bool
    #: Which server behind a load balancer it leads to; None elsewhere.
    service_id: ObjectId | None


C = TypeVar("C", bound=Pooled)


@dataclass(frozen=True, slots=True)
class MayConnect:
    """Leave to make one connection of this generation."""

    generation: int


class CheckOutWaiter(Generic[C]):
    """Somebody who waits for a connection. ``wake`` is called once, when ``grant`` is set."""

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
        # Connections that a decision threw away, with the reason, for the shell to close.
        self.discarded: list[tuple[C, str]] = []

    @property
    def total(self) -> int:
        """How many connections exist or are being made."""
        return len(self.idle) + len(self.in_use) + self.connecting

    # --- asking ---

    def take(self, now: float) -> C | MayConnect | None:
        """What somebody who asks now gets at once; None: they must wait. Nobody passes those who wait already."""
        return None if self.waiters else self._next(now)

    def take_idle(self, now: float) -> C | None:
        """The idle connection that was used last, unless others wait already, or it may not be used any longer."""
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
            self.connecting += 1
            return MayConnect(self.generation)
        return None

    def populate(self) -> MayConnect | None:
        """Leave to make one connection of those that ``min_pool_size`` lacks; None: none is lacking, or not now."""
        ready = self.phase is Phase.READY and self.connecting < self._max_connecting
        if not ready or self.total >= self._min_size:
            return None
        self.connecting += 1
        return MayConnect(self.generation)

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
        """The generations of the servers behind a load balancer, as they are now."""
        return dict(self._service_generations)

    # --- telling ---

    def connected(self, connection: C) -> None:
        """A connection was made with the leave that was given; who made it uses it."""
        self.connecting -= 1
        if connection.service_id is not None:
            # Which service it leads to, and so whose generation counts, is known only now.
            connection.generation = self.generation_of(connection.service_id)
        self.in_use.add(connection)

    def connect_failed(self) -> None:
        """A connection could not be made."""
        self.connecting -= 1

    def returned(self, connection: C, now: float) -> str | None:
        """A connection comes back. Returns why it must be closed, or None when it is kept."""
        self.in_use.discard(connection)
        if self.phase is Phase.CLOSED:
            return "poolClosed"
        connection.last_used = now
        reason = self.perished(connection, now)
        if reason is None:
            self.idle.append(connection)
        return reason

    def given_up(self, waiter: CheckOutWaiter[C], now: float) -> None:
        """A waiter was cancelled or its time was up: what it was granted goes to the next."""
        if waiter.grant is None:
            self.waiters.remove(waiter)
        elif isinstance(waiter.grant, MayConnect):
            self.connecting -= 1
        elif not isinstance(waiter.grant, BaseException):
            reason = self.returned(waiter.grant, now)
            if reason is not None:
                self.discarded.append((waiter.grant, reason))

    def serve(self, now: float) -> None:
        """Grant what can be granted to those who wait, in order."""
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
        """The server failed: what exists is of an old generation now, and whoever waits gets an error.

        Behind a load balancer only one server's connections grow old. Returns whether the pool was ready before.
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
        """The pool ends. Returns False when it had ended before."""
        if self.phase is Phase.CLOSED:
            return False
        self.phase = Phase.CLOSED
        self.discarded.extend((connection, "poolClosed") for connection in self.idle)
        self.idle.clear()
        self._dismiss(failure)
        return True

    def prune(self, now: float) -> None:
        """Throw away idle connections that have perished."""
        kept: list[C] = []
        for connection in self.idle:
            reason = self.perished(connection, now)
            if reason is None:
                kept.append(connection)
            else:
                self.discarded.append((connection, reason))
        self.idle[:] = kept

    def idle_seconds_left(self, now: float) -> float | None:
        """How long no idle connection can have idled too long; None: for ever."""
        if self._max_idle_time is None:
            return None
        # Those that idle are in the order in which they came back. One that comes back later has the whole time.
        since = self.idle[0].last_used if self.idle else now
        return max(since + self._max_idle_time - now, 0.0)

    def take_discarded(self) -> list[tuple[C, str]]:
        """What is to be closed, with the reasons; the list starts anew."""
        discarded, self.discarded = self.discarded, []
        return discarded

    def _dismiss(self, failure: Callable[[], BaseException]) -> None:
        while self.waiters:
            waiter = self.waiters.popleft()
            waiter.grant = failure()
            waiter.wake()
