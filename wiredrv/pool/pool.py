"""The shell around ``state``: opens and closes connections, waits, and publishes events.

``check_out`` and ``check_in`` are the hot path: with an idle connection neither waits, and no event is built without a
listener. Everything else follows the decisions of :class:`~wiredrv.pool.state.PoolState`.

Rules kept here (connection-monitoring-and-pooling specification):

* A failure to establish a connection is first reported to the topology, which may clear the pool, and then published as
  a closed connection and a failed check-out.
* One task maintains ``minPoolSize`` and closes connections that were idle too long (:meth:`Pool.upkeep`). It checks the
  pool when something has changed or is due, and opens one connection at a time: the other places are for operations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

from bson.objectid import ObjectId

from wiredrv import events, waits
from wiredrv.connection.connection import Connection
from wiredrv.errors import (
    AutoReconnect,
    DriverError,
    InvalidOperation,
    OperationTimeout,
    PoolClearedError,
    WaitQueueTimeoutError,
)
from wiredrv.listeners import ListenerHub
from wiredrv.pool.settings import PoolSettings
from wiredrv.pool.state import CheckOutWaiter, MayConnect, Phase, PoolState
from wiredrv.types import Address, PlainDocument
from wiredrv.waits import monotonic

#: Opens a connection: ``connect(connection_id, generation, scope)``. The last is the block with the time limit of the
#: operation that waits for it; None if there is no such operation, or it has none.
Connect = Callable[[int, int, waits.CancelScope | None], Awaitable[Connection]]

#: Called when a connection could not be opened: ``failed(error, generation)``.
Failed = Callable[[DriverError, int], None]

#: Idle seconds after which a connection is checked before it is used: the server may have closed it.
_PROBE_AFTER = 1.0
#: Seconds between attempts to fill the pool while the server refuses and the pool stays ready.
_POPULATE_AGAIN = 1.0
#: The shortest sleep of the upkeep, in seconds.
_TICK = 0.001


class Pool:
    """The connections to one server.

    It starts paused: the topology calls :meth:`ready` when the server has answered its monitor, and :meth:`clear`
    when it has failed.
    """

    def __init__(
        self,
        address: Address,
        settings: PoolSettings,
        connect: Connect,
        hub: ListenerHub,
        failed: Failed | None = None,
    ) -> None:
        self.address = address
        self._settings = settings
        self._connect = connect
        self._hub = hub
        self._failed = failed
        self._ids = 0
        self._failure: BaseException | None = None
        self._server_left = False
        # The scopes of connections that are being opened, so that these can be cancelled.
        self._pending: set[waits.CancelScope] = set()
        # Set while the upkeep sleeps.
        self._due: waits.Event | None = None
        self.state: PoolState[Connection] = PoolState(settings)
        if hub.pool:
            hub.publish(hub.pool, events.PoolCreatedEvent(address, _options(settings)))

    @property
    def generation(self) -> int:
        """The pool's generation: how often it was cleared."""
        return self.state.generation

    @property
    def paused(self) -> bool:
        """Whether the server has failed and not answered since: then no connection is checked out."""
        return self.state.phase is Phase.PAUSED

    # --- checking out and in ---

    def try_check_out(self) -> Connection | None:
        """The idle connection used last, if it can be used without waiting and pool events have no listener.

        If this returns None, call :meth:`check_out`.
        """
        if self._hub.pool:
            return None
        now = monotonic()
        connection = self.state.take_idle(now)
        if connection is not None and now - connection.last_used > _PROBE_AFTER and connection.is_stale():
            self._drop_stale(connection)
            return None
        return connection

    async def check_out(self, deadline: float | None = None) -> Connection:
        """A connection: an idle one, a new one, or one that another operation checks in.

        :param deadline: the time until which to wait and to connect, on the monotonic clock; without it,
            ``waitQueueTimeoutMS`` limits the wait (client-side-operations-timeout, "Server Selection").
        :raises WaitQueueTimeoutError: none became free in time.
        :raises OperationTimeout: ``deadline`` passed while a new one was being opened.
        :raises PoolClearedError: the server failed, or left the deployment, while the operation waited.
        :raises InvalidOperation: the pool is closed, because its client is.
        :raises AutoReconnect: a new connection could not be opened.
        """
        started = monotonic()
        hub = self._hub
        if hub.pool:
            hub.publish(hub.pool, events.ConnectionCheckOutStartedEvent(self.address))
        try:
            connection = await self._obtain(started, deadline)
        except BaseException as error:
            if hub.pool:
                reason = _reason(error, self.state.phase is Phase.CLOSED)
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
                connection = await self._make(grant.generation, deadline)
                # One connection fewer is being opened now: the next waiter may open one.
                self._serve()
                return connection
            if monotonic() - grant.last_used > _PROBE_AFTER and grant.is_stale():
                self._drop_stale(grant)
                continue
            return grant

    def _refuse_if_unusable(self) -> None:
        if self.state.phase is Phase.CLOSED:
            raise self._closed_error()
        if self.state.phase is Phase.PAUSED:
            raise self._cleared_error()

    async def _wait(self, started: float, deadline: float | None) -> Connection | MayConnect:
        event = waits.Event()
        waiter: CheckOutWaiter[Connection] = CheckOutWaiter(event.set)
        self.state.waiters.append(waiter)
        limit = self._settings.wait_queue_timeout
        until = started + limit if limit is not None and deadline is None else deadline
        served = False
        try:
            with waits.fail_after(None if until is None else max(until - monotonic(), 0)):
                await event.wait()
            served = True
        except TimeoutError as error:
            raise WaitQueueTimeoutError(
                f"{self.address}: no connection became free within {(monotonic() - started) * 1000:.0f} ms: "
                f"{len(self.state.in_use)} are in use and {self.state.connecting} are being opened "
                f"(maxPoolSize={self._settings.max_pool_size}); use fewer at once, or raise maxPoolSize{self._pins()}"
            ) from error
        finally:
            if not served:
                self.state.given_up(waiter, monotonic())
                self._serve()
        if isinstance(waiter.grant, BaseException):
            raise waiter.grant
        assert waiter.grant is not None  # the state sets the grant before it wakes
        return waiter.grant

    def _pins(self) -> str:
        """Behind a load balancer, what connections are used for (CMAP, "WaitQueueTimeoutError")."""
        users = Counter(connection.pinned_by for connection in self.state.in_use)
        if not users["cursor"] and not users["transaction"]:
            return ""
        return (
            f" (maxPoolSize: {self._settings.max_pool_size}, connections in use by cursors: {users['cursor']}, "
            f"connections in use by transactions: {users['transaction']}, "
            f"connections in use by other operations: {users[None]})"
        )

    async def _make(self, generation: int, deadline: float | None = None) -> Connection:
        """Open a connection, which was granted; it is in use then. The caller serves the waiters."""
        self._ids += 1
        number = self._ids
        hub = self._hub
        started = monotonic()
        services = self.state.service_generations
        if hub.pool:
            hub.publish(hub.pool, events.ConnectionCreatedEvent(self.address, number))
        try:
            connection = await self._establish(number, generation, deadline)
        except BaseException as error:
            ours = isinstance(error, (OperationTimeout, InvalidOperation))  # and not the server's
            if isinstance(error, DriverError) and not ours and self._failed is not None:
                # Behind a load balancer the server's generation counts, once the server is known.
                self._failed(error, generation if error.service_id is None else services.get(error.service_id, 0))
            self.state.connect_failed()
            reason = _reason(error, self.state.phase is Phase.CLOSED)
            self._tell_closed(number, reason if reason == "poolClosed" else "error", error)
            self._serve()
            raise
        self.state.connected(connection)
        if self.state.phase is Phase.CLOSED:
            self._drop(connection, "poolClosed")
            raise self._closed_error()
        if hub.pool:
            hub.publish(hub.pool, events.ConnectionReadyEvent(self.address, number, monotonic() - started))
        self._nudge()
        return connection

    async def _establish(self, number: int, generation: int, deadline: float | None) -> Connection:
        connection = None
        # Two scopes, to distinguish who cancelled it.
        with waits.CancelScope() as scope:
            self._pending.add(scope)
            try:
                with waits.move_on_after(None if deadline is None else deadline - monotonic()) as limit:
                    connection = await self._connect(number, generation, None if deadline is None else limit)
            finally:
                self._pending.discard(scope)
        if scope.cancel_called:
            if connection is not None:
                connection.close()
            if self.state.phase is Phase.CLOSED:
                raise self._closed_error()
            raise PoolClearedError(f"{self.address}: connecting was cancelled because the server's monitor timed out")
        if connection is None:
            # Not an error of the server, whose pool stays as it is.
            raise OperationTimeout(f"{self.address}: the operation's time limit ended while a connection was opened")
        return connection

    def check_in(self, connection: Connection) -> None:
        """Check in a connection; a broken or outdated one is closed."""
        hub = self._hub
        if hub.pool:
            hub.publish(hub.pool, events.ConnectionCheckedInEvent(self.address, connection.id))
        state = self.state
        if connection.is_out_of_step:
            connection.close()
        reason = state.returned(connection, monotonic())
        if reason is not None:
            self._close(connection, reason, connection.failure)
        else:
            # An error refers to the frames that it passed, and their contents; the connection may live for hours.
            connection.failure = None
        if state.waiters:
            self._serve()

    # --- upkeep ---

    @property
    def wants_upkeep(self) -> bool:
        """Whether the settings require a task for the upkeep."""
        return self._settings.min_pool_size > 0 or self._settings.max_idle_time is not None

    async def upkeep(self) -> None:
        """Maintain ``minPoolSize`` connections, and close those that are idle too long, until the pool is closed."""
        state = self.state
        while state.phase is not Phase.CLOSED:
            state.prune(monotonic())
            self._close_discarded()
            grant = state.populate()
            if grant is None:
                await self._rest()
            elif not await self._populate(grant) and state.phase is Phase.READY:
                await waits.sleep(_POPULATE_AGAIN)

    async def _populate(self, grant: MayConnect) -> bool:
        try:
            connection = await self._make(grant.generation)
        except DriverError:
            return False  # the topology knows it already
        reason = self.state.returned(connection, monotonic())
        if reason is not None:
            self._close(connection, reason)
        self._serve()
        return True

    async def _rest(self) -> None:
        """Sleep until something changes, or the next connection has been idle too long."""
        seconds = self.state.idle_seconds_left(monotonic())
        self._due = waits.Event()
        with waits.move_on_after(None if seconds is None else max(seconds, _TICK)):
            await self._due.wait()
        self._due = None

    def _nudge(self) -> None:
        if self._due is not None:
            self._due.set()

    # --- the server's state ---

    def ready(self) -> None:
        """The server answers: connections are checked out from now on."""
        if self.state.ready():
            if self._hub.pool:
                self._hub.publish(self._hub.pool, events.PoolReadyEvent(self.address))
            self._serve()
            self._nudge()

    def clear(
        self, failure: BaseException | None = None, *, service_id: ObjectId | None = None, interrupt: bool = False
    ) -> None:
        """The server failed: no connection that exists now is used again.

        :param failure: the reason, for the waiting operations.
        :param service_id: only the connections to this server behind a load balancer.
        :param interrupt: also close those that are in use or being opened; their operations fail immediately.
        """
        self._failure = failure
        if self.state.phase is Phase.CLOSED:
            return
        # A pool that was paused before publishes no event, but connections in use are interrupted nevertheless.
        hub = self._hub
        if self.state.clear(service_id, self._cleared_error) and (hub.pool or hub.clearing):
            event = events.PoolClearedEvent(self.address, service_id, interrupt)
            hub.publish((*hub.pool, *hub.clearing), event)
        now = monotonic()
        if interrupt:
            for connection in list(self.state.in_use):
                if self.state.perished(connection, now) == "stale":
                    connection.close()
            if service_id is None:
                for scope in self._pending:
                    scope.cancel()
        self.state.prune(now)
        self._close_discarded()

    def close(self, *, server_left: bool = False) -> None:
        """Close the pool and its idle connections; those in use are closed when they are checked in.

        Connections that are being opened are given up: a callback for credentials may take minutes.

        :param server_left: whether that is because the server left the deployment, and not because the client is
            closed: then the operations that wait may be retried on another server.
        """
        self._server_left = server_left
        if not self.state.close(self._closed_error):
            return
        for scope in self._pending:
            scope.cancel()
        self._close_discarded()
        for connection in list(self.state.in_use):
            if connection.pinned_by is not None:
                connection.close()  # no operation uses it: a cursor or a session holds it
        if self._hub.pool:
            self._hub.publish(self._hub.pool, events.PoolClosedEvent(self.address))
        self._nudge()

    def abandon(self, *, wake: bool = True) -> None:
        """Close every socket without events, those in use included: after a fork, or when the event loop is closed."""
        in_use = list(self.state.in_use)
        if not wake:
            # The waiting tasks belong to another loop.
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

    def _drop_stale(self, connection: Connection) -> None:
        gone = AutoReconnect(f"{self.address}: the server closed the connection while it was idle")
        self._drop(connection, "error", gone)
        # Its place is free, and tasks that wait already come first.
        self._serve()

    def _drop(self, connection: Connection, reason: str, error: BaseException | None = None) -> None:
        self.state.in_use.discard(connection)
        self._close(connection, reason, error)

    def _close(self, connection: Connection, reason: str, error: BaseException | None = None) -> None:
        connection.close()
        self._tell_closed(connection.id, reason, error)

    def _tell_closed(self, number: int, reason: str, error: BaseException | None) -> None:
        if self._hub.pool:
            cause = error if reason == "error" else None
            self._hub.publish(self._hub.pool, events.ConnectionClosedEvent(self.address, number, reason, cause))
        self._nudge()

    def _cleared_error(self) -> PoolClearedError:
        why = f": {self._failure}" if self._failure is not None else ""
        error = PoolClearedError(f"{self.address}: the connection pool is paused because its server failed{why}")
        error.__cause__ = self._failure
        return error

    def _closed_error(self) -> DriverError:
        if self._server_left:
            return PoolClearedError(f"{self.address}: the connection pool is closed: the server left the deployment")
        return InvalidOperation(f"{self.address}: the connection pool is closed, because its client is")


def _reason(error: BaseException, closed: bool) -> str:
    if isinstance(error, (WaitQueueTimeoutError, OperationTimeout)):
        return "timeout"
    if closed and isinstance(error, (InvalidOperation, PoolClearedError)):
        return "poolClosed"
    return "connectionError"


def _options(settings: PoolSettings) -> PlainDocument:
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
