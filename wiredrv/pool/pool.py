"""The shell around ``state``: it makes and closes connections, waits, and tells listeners.

``check_out`` and ``check_in`` are the hot path: with an idle connection at hand neither waits, and no event is built
when nobody listens. Everything else asks :class:`~wiredrv.pool.state.PoolState` what to do and does it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import anyio

from wiredrv import events
from wiredrv.connection.connection import Connection
from wiredrv.errors import InvalidOperation, PoolClearedError, WaitQueueTimeoutError
from wiredrv.events import ListenerHub
from wiredrv.pool.settings import PoolSettings
from wiredrv.pool.state import MayConnect, Phase, PoolState, Waiter
from wiredrv.types import Address

#: Makes a connection: ``connect(connection_id, generation)``.
Connect = Callable[[int, int], Awaitable[Connection]]

#: After how many idle seconds a connection is looked at before it is used: the server may have closed it.
_PROBE_AFTER = 1.0


class Pool:
    """The connections to one server.

    It starts paused: the topology calls :meth:`ready` when the server has answered its monitor, and :meth:`clear`
    when it has failed.
    """

    def __init__(self, address: Address, settings: PoolSettings, connect: Connect, hub: ListenerHub) -> None:
        self.address = address
        self._settings = settings
        self._connect = connect
        self._hub = hub
        self._ids = 0
        self._failure: BaseException | None = None
        self.state: PoolState[Connection] = PoolState(settings)
        if hub.pool:
            hub.publish(hub.pool, events.PoolCreatedEvent(address, _options(settings)))

    @property
    def generation(self) -> int:
        """The pool's generation: how often it was cleared."""
        return self.state.generation

    # --- giving and taking ---

    def try_check_out(self) -> Connection | None:
        """The idle connection used last, if one can be had without waiting and nobody listens to pool events."""
        state = self.state
        if state.waiters or not state.idle or self._hub.pool or state.phase is not Phase.READY:
            return None
        now = monotonic()
        connection = state.idle.pop()
        if state.perished(connection, now) is not None or (
            now - connection.last_used > _PROBE_AFTER and connection.is_stale()
        ):
            state.idle.append(connection)
            return None
        state.in_use.add(connection)
        return connection

    async def check_out(self, deadline: float | None = None) -> Connection:
        """A connection: an idle one, a new one, or one that another operation gives back.

        :param deadline: until when to wait, on the monotonic clock; ``waitQueueTimeoutMS`` applies besides.
        :raises WaitQueueTimeoutError: none became free in time.
        :raises PoolClearedError: the server failed while the operation waited.
        :raises InvalidOperation: the pool is closed.
        :raises AutoReconnect: a connection was to be made and could not be.
        """
        started = monotonic()
        hub = self._hub
        if hub.pool:
            hub.publish(hub.pool, events.ConnectionCheckOutStartedEvent(self.address))
        try:
            connection = await self._obtain(started, deadline)
        except BaseException as error:
            if hub.pool:
                reason = _reason(error)
                duration = monotonic() - started
                hub.publish(hub.pool, events.ConnectionCheckOutFailedEvent(self.address, reason, duration, error))
            raise
        if hub.pool:
            event = events.ConnectionCheckedOutEvent(self.address, connection.id, monotonic() - started)
            hub.publish(hub.pool, event)
        return connection

    async def _obtain(self, started: float, deadline: float | None) -> Connection:
        while True:
            self._refuse_if_unusable()
            grant = self.state.take(monotonic())
            self._close_discarded()
            if grant is None:
                grant = await self._wait(started, deadline)
            if isinstance(grant, MayConnect):
                return await self._make(grant.generation)
            if monotonic() - grant.last_used > _PROBE_AFTER and grant.is_stale():
                self._drop(grant, "error")
                # Its place is free, and who waits already comes first.
                self._serve()
                continue
            return grant

    def _refuse_if_unusable(self) -> None:
        if self.state.phase is Phase.CLOSED:
            raise self._closed_error()
        if self.state.phase is Phase.PAUSED:
            raise self._cleared_error()

    async def _wait(self, started: float, deadline: float | None) -> Connection | MayConnect:
        event = anyio.Event()
        waiter: Waiter[Connection] = Waiter(event.set)
        self.state.waiters.append(waiter)
        limit = self._settings.wait_queue_timeout
        until = started + limit if limit is not None else None
        if deadline is not None and (until is None or deadline < until):
            until = deadline
        served = False
        try:
            with anyio.fail_after(None if until is None else max(until - monotonic(), 0)):
                await event.wait()
            served = True
        except TimeoutError as error:
            raise WaitQueueTimeoutError(
                f"{self.address}: no connection became free within {(monotonic() - started) * 1000:.0f} ms: "
                f"{len(self.state.in_use)} are in use and {self.state.connecting} are being made "
                f"(maxPoolSize={self._settings.max_pool_size}); use fewer at once, or raise maxPoolSize"
            ) from error
        finally:
            if not served:
                self.state.given_up(waiter, monotonic())
                self._serve()
        if isinstance(waiter.grant, BaseException):
            raise waiter.grant
        assert waiter.grant is not None  # the state sets the grant before it wakes
        return waiter.grant

    async def _make(self, generation: int) -> Connection:
        self._ids += 1
        number = self._ids
        hub = self._hub
        started = monotonic()
        if hub.pool:
            hub.publish(hub.pool, events.ConnectionCreatedEvent(self.address, number))
        made = False
        try:
            connection = await self._connect(number, generation)
            made = True
        finally:
            if not made:
                self.state.connect_failed()
                if hub.pool:
                    hub.publish(hub.pool, events.ConnectionClosedEvent(self.address, number, "error"))
                self._serve()
        self.state.connected(connection)
        if self.state.phase is Phase.CLOSED:
            self._drop(connection, "poolClosed")
            raise self._closed_error()
        if hub.pool:
            hub.publish(hub.pool, events.ConnectionReadyEvent(self.address, number, monotonic() - started))
        # One connection fewer is being made now: the next waiter may have leave.
        self._serve()
        return connection

    def check_in(self, connection: Connection) -> None:
        """Take a connection back; a broken or outdated one is closed."""
        hub = self._hub
        if hub.pool:
            hub.publish(hub.pool, events.ConnectionCheckedInEvent(self.address, connection.id))
        state = self.state
        if connection.reply_owed:
            connection.close()
        reason = state.returned(connection, monotonic())
        if reason is not None:
            self._close(connection, reason)
        if state.waiters:
            self._serve()

    # --- the server's state ---

    def ready(self) -> None:
        """The server answers: connections are given out from now on."""
        if self.state.ready():
            if self._hub.pool:
                self._hub.publish(self._hub.pool, events.PoolReadyEvent(self.address))
            self._serve()

    def clear(self, failure: BaseException | None = None, *, service_id: Any = None, interrupt: bool = False) -> None:
        """The server failed: no connection that exists now is used again.

        :param failure: why, for those who wait.
        :param service_id: only the connections to this server behind a load balancer.
        :param interrupt: also close those that are in use; their operations fail at once.
        """
        self._failure = failure
        if self.state.phase is Phase.CLOSED:
            return
        # A pool that was paused before tells nobody, but what is in use is interrupted all the same.
        if self.state.clear(service_id, self._cleared_error) and self._hub.pool:
            event = events.PoolClearedEvent(self.address, service_id, interrupt)
            self._hub.publish(self._hub.pool, event)
        now = monotonic()
        if interrupt:
            for connection in list(self.state.in_use):
                if self.state.perished(connection, now) == "stale":
                    connection.close()
        self.state.prune(now)
        self._close_discarded()

    def close(self) -> None:
        """End the pool and close its idle connections; those in use are closed when they come back."""
        if not self.state.close(self._closed_error):
            return
        self._close_discarded()
        if self._hub.pool:
            self._hub.publish(self._hub.pool, events.PoolClosedEvent(self.address))

    def abandon(self, *, wake: bool = True) -> None:
        """Close every socket without a word, those in use included: after a fork, or when the event loop is gone."""
        in_use = list(self.state.in_use)
        if not wake:
            # Whoever waits belongs to another loop.
            self.state.waiters.clear()
        self.state.close(self._closed_error)
        for connection, _ in self.state.take_discarded():
            connection.close(wake=wake)
        for connection in in_use:
            connection.close(wake=wake)

    # --- helpers ---

    def _serve(self) -> None:
        self.state.serve(monotonic())
        self._close_discarded()

    def _close_discarded(self) -> None:
        if self.state.discarded:
            for connection, reason in self.state.take_discarded():
                self._close(connection, reason)

    def _drop(self, connection: Connection, reason: str) -> None:
        self.state.in_use.discard(connection)
        self._close(connection, reason)

    def _close(self, connection: Connection, reason: str) -> None:
        connection.close()
        if self._hub.pool:
            self._hub.publish(self._hub.pool, events.ConnectionClosedEvent(self.address, connection.id, reason))

    def _cleared_error(self) -> PoolClearedError:
        why = f": {self._failure}" if self._failure is not None else ""
        error = PoolClearedError(f"{self.address}: the connection pool is paused because its server failed{why}")
        error.__cause__ = self._failure
        return error

    def _closed_error(self) -> InvalidOperation:
        return InvalidOperation(f"{self.address}: the connection pool is closed, because its client is")


def _reason(error: BaseException) -> str:
    if isinstance(error, WaitQueueTimeoutError):
        return "timeout"
    if isinstance(error, InvalidOperation):
        return "poolClosed"
    return "connectionError"


def _options(settings: PoolSettings) -> dict[str, Any]:
    """The options that are not the default, under their URI names (CMAP, "PoolCreatedEvent")."""
    default = PoolSettings()
    named = {
        "maxPoolSize": (settings.max_pool_size, default.max_pool_size, 1),
        "minPoolSize": (settings.min_pool_size, default.min_pool_size, 1),
        "maxIdleTimeMS": (settings.max_idle_time, default.max_idle_time, 1000),
        "maxConnecting": (settings.max_connecting, default.max_connecting, 1),
        "waitQueueTimeoutMS": (settings.wait_queue_timeout, default.wait_queue_timeout, 1000),
    }
    return {
        name: round(value * factor)
        for name, (value, standard, factor) in named.items()
        if value != standard and value is not None
    }
