"""The shell of the topology: the current description, the servers' pools and monitors, and the waiting operations.

Every update (a monitor's reply, a monitor's failure, an operation's error) is handled in the same way: the pure update
makes a new description, :meth:`Topology._become` compares it with the old one, opens and closes servers, publishes
events and wakes the waiting operations. Selection is answered from a cache until the description changes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from copy import copy

from bson import ObjectId

from wiredrv import events, waits
from wiredrv.concerns import ReadMode, ReadPreference
from wiredrv.connection.connection import Connection
from wiredrv.description import ServerDescription, ServerType, TopologyDescription, TopologyType
from wiredrv.errors import (
    AutoReconnect,
    ConfigurationError,
    DriverError,
    InvalidOperation,
    ServerSelectionTimeoutError,
)
from wiredrv.pool.pool import Pool
from wiredrv.pool.settings import PoolSettings
from wiredrv.server_facts import MAX_WIRE_VERSION
from wiredrv.topology import selection
from wiredrv.topology.changes import changes, makes_pool_ready
from wiredrv.topology.hello import server_description_from_hello
from wiredrv.topology.monitor import Monitor, MonitorSettings
from wiredrv.topology.reactions import Failure, Reaction, on_error, on_failed_check
from wiredrv.topology.rtt import RoundTripTimes
from wiredrv.topology.selection_log import SelectionLog
from wiredrv.topology.update import apply, initial_description, load_balancer_description
from wiredrv.types import Address, Document, Spawn
from wiredrv.waits import monotonic

#: Opens a connection for a pool: ``connect(address, connection_id, generation, scope)``.
ConnectTo = Callable[[Address, int, int, waits.CancelScope | None], Awaitable[Connection]]


class TopologyServer:
    """A server as the executor sees it. ``operations`` counts those that are in flight there."""

    __slots__ = ("address", "description", "monitor", "operations", "pool")

    def __init__(self, description: ServerDescription, pool: Pool, monitor: Monitor | None) -> None:
        self.address = description.address
        self.description = description
        self.pool = pool
        self.monitor = monitor
        self.operations = 0


class Topology:
    """The deployment, as one client sees it."""

    def __init__(self, settings: MonitorSettings, pool_settings: PoolSettings, connect: ConnectTo) -> None:
        self._monitor_settings = settings
        self._settings = settings.topology
        #: Seconds for one send or receive of an operation without a time limit; None for any length.
        self.socket_timeout = settings.dialer.settings.socket_timeout
        self._hub = settings.hub
        self._pool_settings = pool_settings
        self._connect = connect
        self._spawn: Spawn | None = None
        self._servers: dict[Address, TopologyServer] = {}
        # Created when the topology is opened: an event belongs to its loop.
        self._changed: waits.Event | None = None
        self._writable: tuple[TopologyServer, ...] = ()
        self._selected: dict[ReadPreference, tuple[TopologyServer, ...]] = {}
        self.id = ObjectId()
        self.description = TopologyDescription()

    # --- life ---

    def open(self, spawn: Spawn) -> None:
        """Start to monitor the deployment; ``spawn`` starts the monitors."""
        self._spawn = spawn
        self._changed = waits.Event()
        hub = self._hub
        hub.refresh()
        if hub.topology:
            hub.publish(hub.topology, events.TopologyOpenedEvent(self.id))
        self._become(initial_description(self._settings))
        if self._settings.load_balanced:
            for address in self._settings.seeds:
                self._become(apply(self.description, load_balancer_description(address), self._settings))

    def close(self) -> None:
        """Stop monitoring and close all pools."""
        if self._spawn is None:
            return
        self._spawn = None
        hub = self._hub
        previous = self.description
        self.description = TopologyDescription(topology_type=TopologyType.UNKNOWN)
        for server in self._servers.values():
            self._close_server(server)
        self._servers.clear()
        self._forget_selections()
        if hub.topology:
            changed = events.TopologyDescriptionChangedEvent(self.id, previous, self.description)
            hub.publish(hub.topology, changed)
            hub.publish(hub.topology, events.TopologyClosedEvent(self.id))
        if self._changed is not None:
            self._changed.set()

    def abandon(self, *, wake: bool = True) -> None:
        """Drop every socket without events: after a fork, or when the event loop is closed."""
        self._spawn = None
        for server in self._servers.values():
            server.pool.abandon(wake=wake)
            if server.monitor is not None:
                server.monitor.abandon(wake=wake)
        self._servers.clear()
        self._forget_selections()
        self.description = TopologyDescription()

    @property
    def servers(self) -> Mapping[Address, TopologyServer]:
        """The servers that are monitored now."""
        return self._servers

    @property
    def is_open(self) -> bool:
        """Whether the deployment is monitored."""
        return self._spawn is not None

    @property
    def is_sharded(self) -> bool:
        """Whether the servers are routers of a sharded cluster."""
        return self.description.topology_type is TopologyType.SHARDED

    @property
    def oldest_wire_version(self) -> int:
        """The lowest of the wire versions of the data-bearing servers.

        A load balancer's is not known: the routers behind it are 5.0 or later.
        """
        spoken = [
            server.max_wire_version
            for server in self.description.servers.values()
            if server.is_data_bearing and server.server_type is not ServerType.LOAD_BALANCER
        ]
        return min(spoken, default=MAX_WIRE_VERSION)

    @property
    def has_readable_server(self) -> bool:
        """Whether there is a server that could answer a read."""
        return self.description.has_readable_server()

    # --- selection ---

    def pick(self, read_preference: ReadPreference | None) -> TopologyServer | None:
        """A suitable server without waiting, or None. None for ``read_preference`` means a writable one."""
        candidates = self._writable
        if read_preference is not None and (read_preference.mode is not ReadMode.PRIMARY or not candidates):
            candidates = self._selected.get(read_preference, ())
        if len(candidates) == 1:
            return candidates[0]
        return self._least_busy(candidates) if candidates else None

    async def select(
        self,
        read_preference: ReadPreference | None,
        operation: str,
        deadline: float | None = None,
        deprioritized: Collection[Address] = (),
        operation_id: int = 0,
    ) -> TopologyServer:
        """A suitable server; waits until there is one.

        :param read_preference: a read preference, or None for a writable server.
        :param operation: the operation's name, for the message.
        :param deadline: the time until which to wait, on the monotonic clock; ``serverSelectionTimeoutMS`` applies too.
        :param deprioritized: servers to avoid while there are others.
        :param operation_id: identifies the log messages of one operation.
        :raises ServerSelectionTimeoutError: none was suitable in time.
        :raises ConfigurationError: a server's wire versions are not supported, or the read preference cannot be used.
        """
        limit = self.selection_limit(deadline)
        telling = SelectionLog(self._hub, read_preference, operation, operation_id)
        telling.started(self.description)
        try:
            server = await self._wait_for_server(read_preference, operation, limit, deprioritized, telling)
        except DriverError as error:
            telling.failed(self.description, error)
            raise
        telling.succeeded(self.description, server.address)
        return server

    async def _wait_for_server(
        self,
        read_preference: ReadPreference | None,
        operation: str,
        limit: float,
        deprioritized: Collection[Address],
        telling: SelectionLog,
    ) -> TopologyServer:
        allowed = max(limit - monotonic(), 0.0)
        while True:
            server = self._select_now(read_preference, deprioritized)
            if server is not None:
                return server
            left = limit - monotonic()
            if left <= 0:
                raise self._selection_failed(read_preference, operation, allowed)
            telling.waiting(self.description, left)
            for known in self._servers.values():
                if known.monitor is not None:
                    known.monitor.request_check()
            await self._wait_for_news(left)

    @property
    def has_connections_in_use(self) -> bool:
        """Whether an operation has a connection to some server."""
        return any(server.pool.state.in_use for server in self._servers.values())

    def selection_limit(self, deadline: float | None) -> float:
        """The time until which a selection that begins now may wait, on the monotonic clock."""
        limit = monotonic() + self._settings.server_selection_timeout
        return limit if deadline is None or limit < deadline else deadline

    async def select_address(self, address: Address, limit: float) -> TopologyServer:
        """The only server that can answer; waits until it does if it failed.

        :param limit: the time until which to wait, on the monotonic clock.
        :raises AutoReconnect: it is no longer part of the deployment.
        :raises ServerSelectionTimeoutError: it did not answer in time.
        """
        allowed = max(limit - monotonic(), 0.0)
        while True:
            self._refuse_if_closed()
            server = self.server(address)
            if server is None:
                raise AutoReconnect(f"{address}: the server is no longer part of the deployment")
            if not server.pool.paused:
                return server
            left = limit - monotonic()
            if left <= 0:
                raise ServerSelectionTimeoutError(
                    f"{address}: the server, which has the cursor, failed and did not answer again within "
                    f"{allowed:.3g} s",
                    self.description,
                )
            if server.monitor is not None:
                server.monitor.request_check()
            await self._wait_for_news(left)

    def _refuse_if_closed(self) -> None:
        if self._spawn is None:
            raise InvalidOperation("the client is closed; open it again before it is used")

    async def _wait_for_news(self, seconds: float) -> None:
        changed = self._changed
        assert changed is not None  # an open topology has one
        with waits.move_on_after(seconds):
            await changed.wait()

    def server(self, address: Address) -> TopologyServer | None:
        """The server at an address, if it is still monitored."""
        return self._servers.get(address)

    def _select_now(
        self, read_preference: ReadPreference | None, deprioritized: Collection[Address]
    ) -> TopologyServer | None:
        self._refuse_if_closed()
        description = self.description
        if description.compatibility_error is not None:
            raise ConfigurationError(description.compatibility_error)
        if not deprioritized:
            server = self.pick(read_preference)
            if server is not None:
                return server
        found = selection.candidates(
            description,
            read_preference,
            local_threshold=self._settings.local_threshold,
            heartbeat_frequency=self._settings.heartbeat_frequency,
            deprioritized=deprioritized,
        )
        candidates = tuple(self._servers[server.address] for server in found)
        if not candidates:
            return None
        # The cache is not used while selections are logged, since it would bypass the log.
        if not deprioritized and not self._hub.selection:
            if read_preference is None:
                self._writable = candidates
            else:
                self._selected[read_preference] = candidates
        return self._least_busy(candidates)

    def _least_busy(self, candidates: tuple[TopologyServer, ...]) -> TopologyServer:
        counts = {server.address: server.operations for server in candidates}
        chosen = selection.choose([server.description for server in candidates], counts)
        return self._servers[chosen.address]

    def _selection_failed(
        self, read_preference: ReadPreference | None, operation: str, waited: float
    ) -> ServerSelectionTimeoutError:
        settings = self._settings
        text = selection.describe_failure(self.description, read_preference, settings.heartbeat_frequency, waited)
        return ServerSelectionTimeoutError(f"{operation}: {text}", self.description)

    def _forget_selections(self) -> None:
        self._writable = ()
        self._selected.clear()

    # --- news ---

    def report(self, address: Address, outcome: Document | DriverError, times: RoundTripTimes) -> bool:
        """Apply the outcome of a monitor's check. Returns whether another is to follow immediately."""
        server = self._servers.get(address)
        if server is None or self._spawn is None:
            return False
        self._hub.refresh()
        if not isinstance(outcome, DriverError):
            try:
                self._answered(server, outcome, times)
                return False
            except DriverError as error:  # the reply is not valid
                outcome = error
        reaction = on_failed_check(server.description, outcome)
        self._react(server, reaction, outcome)
        return reaction.request_check

    def _answered(self, server: TopologyServer, hello: Document, times: RoundTripTimes) -> None:
        description = server_description_from_hello(server.address, hello, times.average, monotonic(), times.least)
        new = apply(self.description, description, self._settings)
        # The pool is ready before its server can be selected. A reply that is outdated by an error meanwhile changes
        # nothing, and says nothing about the pool (SDAM, "Replacing the TopologyDescription").
        if new is not self.description and makes_pool_ready(description, new.topology_type):
            server.pool.ready()
        self._become(new)

    def take_over(self, description: TopologyDescription) -> None:
        """Make a description the current one, as the SRV poller does."""
        if self._spawn is not None:
            self._hub.refresh()
            self._become(description)

    def on_error(
        self, server: TopologyServer, error: DriverError, connection: Connection | None, generation: int
    ) -> None:
        """React to an operation's error.

        :param connection: the connection that it happened on; None when none could be established.
        :param generation: the connection's generation, or the pool's when connecting began.
        """
        # A copy is kept: an error's traceback refers to the frames of the operation, and so to a cursor that may hold
        # this connection and would never be collected.
        error = copy(error)
        if connection is not None:
            connection.failure = error
        if self._spawn is None or self._servers.get(server.address) is not server:
            return
        service_id = connection.service_id if connection is not None else error.service_id
        failure = Failure(server.address, error, generation, connection is not None, service_id)
        reaction = on_error(failure, self.description, server.pool.state.generation_of(service_id))
        self._react(server, reaction, error, service_id)
        if server.monitor is not None:
            if reaction.cancel_check:
                server.monitor.cancel_check()
            if reaction.request_check:
                server.monitor.request_check()

    def _react(
        self, server: TopologyServer, reaction: Reaction, error: DriverError, service_id: ObjectId | None = None
    ) -> None:
        if reaction.server is not None:
            self._become(apply(self.description, reaction.server, self._settings))
        if reaction.clear_pool:
            server.pool.clear(error, service_id=service_id, interrupt=reaction.interrupt_in_use)

    def _become(self, new: TopologyDescription) -> None:
        """Make ``new`` the current description and do everything that follows from it."""
        old = self.description
        self.description = new
        difference = changes(old, new)
        hub = self._hub
        if hub.topology:
            for before, after in difference.changed:
                event = events.ServerDescriptionChangedEvent(self.id, before.address, before, after)
                hub.publish(hub.topology, event)
        for address in difference.closed:
            self._close_server(self._servers.pop(address), left=True)
        if hub.topology and difference.topology_changed:
            hub.publish(hub.topology, events.TopologyDescriptionChangedEvent(self.id, old, new))
        for address in difference.opened:
            self._open_server(new.servers[address])
        for address, description in new.servers.items():
            self._servers[address].description = description
        self._forget_selections()
        changed, self._changed = self._changed, waits.Event()
        if changed is not None:
            changed.set()

    def _open_server(self, description: ServerDescription) -> None:
        address = description.address
        hub = self._hub
        if hub.topology:
            hub.publish(hub.topology, events.ServerOpeningEvent(self.id, address))

        def connect(number: int, generation: int, scope: waits.CancelScope | None) -> Awaitable[Connection]:
            return self._connect(address, number, generation, scope)

        def failed(error: DriverError, generation: int) -> None:
            self.on_error(server, error, None, generation)

        pool = Pool(address, self._pool_settings, connect, hub, failed)
        monitor: Monitor | None = None
        if self.description.topology_type is TopologyType.LOAD_BALANCED:
            pool.ready()
        else:
            monitor = Monitor(address, self._monitor_settings, self.report, self.id)
        server = self._servers[address] = TopologyServer(description, pool, monitor)
        if self._spawn is None:
            return
        if monitor is not None:
            self._spawn(monitor.run, self._spawn)
        if pool.wants_upkeep:
            self._spawn(pool.upkeep)

    def _close_server(self, server: TopologyServer, *, left: bool = False) -> None:
        if server.monitor is not None:
            server.monitor.close()
        server.pool.close(server_left=left)
        if self._hub.topology:
            self._hub.publish(self._hub.topology, events.ServerClosedEvent(self.id, server.address))
