"""Checks one server for as long as it is part of the topology. One task for each server.

Theory of operation: the monitor has a connection of its own, which never authenticates and never gossips cluster
time. If the server supports it, it streams: one ``hello`` is sent, and the server answers whenever something changes,
and at least every ``heartbeatFrequencyMS``; a second connection then measures round-trip times. Otherwise the monitor
polls: a check every ``heartbeatFrequencyMS``, sooner on request, two of them ``min_heartbeat_frequency`` apart. After a
failed check of a known server, another one follows immediately; the topology decides this, since it has the description
from before. There is a limit: a server that sends replies without end, or breaks every stream, is checked a hundred
times a second at most, so that operations get to run; the rest waits in the socket.

Specification: server-monitoring.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from bson.objectid import ObjectId

from wiredrv import waits
from wiredrv.connection.connect import establish
from wiredrv.connection.connection import Connection
from wiredrv.connection.handshake import LEGACY_HELLO
from wiredrv.connection.settings import ConnectionSettings
from wiredrv.errors import AutoReconnect, DriverError
from wiredrv.listeners import ListenerHub
from wiredrv.net.dial import Dialer
from wiredrv.server_errors import command_error
from wiredrv.topology.heartbeat import Heartbeat
from wiredrv.topology.hello import topology_version_of
from wiredrv.topology.rtt import RoundTripTimes
from wiredrv.topology.settings import TopologySettings
from wiredrv.types import Address, Document, PlainDocument, Spawn
from wiredrv.waits import monotonic

#: Seconds between two outcomes that follow each other immediately. Too short to delay the discovery of an election.
LEAST_DISTANCE = 0.01

#: Takes the outcome of each check: the server's reply, or the error that ended it. Returns whether the next check
#: follows immediately.
Report = Callable[[Address, Document | DriverError, RoundTripTimes], bool]


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """The settings of every monitor of a topology."""

    topology: TopologySettings
    dialer: Dialer
    connection: ConnectionSettings
    hub: ListenerHub
    #: Whether the process may be frozen between two calls, so that streams would break (server-monitoring, "auto").
    in_faas: bool = False

    @property
    def may_stream(self) -> bool:
        """Whether streaming is used with servers that support it."""
        mode = self.topology.server_monitoring_mode
        return mode == "stream" or (mode == "auto" and not self.in_faas)


class Monitor:
    """The monitor of one server."""

    def __init__(
        self, address: Address, settings: MonitorSettings, report: Report, topology_id: ObjectId | None = None
    ) -> None:
        self._address = address
        self._topology = settings.topology
        self._topology_id = topology_id
        self._hub = settings.hub
        self._may_stream = settings.may_stream
        # A monitor limits its own reads, and it does not authenticate.
        self._dialer = settings.dialer.without_socket_timeout()
        self._connection_settings = replace(
            settings.connection, credentials=None, compressors=(), any_wire_version=True
        )
        self._report = report
        self._connection: Connection | None = None
        self._connections = 0
        self._rtt_connection: Connection | None = None
        self._times = RoundTripTimes()
        self._version: Document | None = None
        self._last_outcome = float("-inf")
        self._measuring = False
        self._heartbeat: Heartbeat | None = None
        self._scope: waits.CancelScope | None = None
        self._wanted: waits.Event | None = None
        self._requested = False
        self._closed = False

    # --- for the topology ---

    def request_check(self) -> None:
        """Request a check as soon as the minimum interval allows. A stream needs no request."""
        self._requested = True
        if self._wanted is not None:
            self._wanted.set()

    def cancel_check(self) -> None:
        """Cancel a check in progress: its server is known to have failed meanwhile."""
        if self._scope is not None:
            self._scope.cancel()
        elif self._connection is not None:
            self._connection.close()

    def close(self) -> None:
        """End the monitor's tasks and close its connections. A check in progress fails."""
        self.abandon()
        if self._heartbeat is not None:
            self._heartbeat.failed(AutoReconnect(f"{self._address}: the server is no longer monitored"))

    def abandon(self, *, wake: bool = True) -> None:
        """As :meth:`close`, without events; after a fork also without waking the monitor's tasks."""
        self._closed = True
        for connection in (self._connection, self._rtt_connection):
            if connection is not None:
                connection.close(wake=wake)
        if wake:
            self.request_check()

    def is_closed(self) -> bool:
        """Whether the monitor was ended."""
        return self._closed

    async def run(self, spawn: Spawn) -> None:
        """Check until closed."""
        try:
            while not self.is_closed():
                outcome = await self._check()
                if self.is_closed():
                    return
                at_once = False
                if outcome is not None:
                    # This answers the requests so far. Operations that still find no server request another check.
                    self._requested = False
                    at_once = self._report(self._address, outcome, self._times)
                if self._streaming:
                    self._measure(spawn)
                    at_once = True
                if at_once:
                    await self._keep_distance()
                else:
                    await self._pause()
        finally:
            self.close()

    # --- checking ---

    @property
    def _streaming(self) -> bool:
        return self._may_stream and self._version is not None

    async def _check(self) -> Document | DriverError | None:
        """Check the server once. None: the check was cancelled, because the topology already knows that the server
        failed.
        """
        connection = self._connection
        alive = connection is not None and not connection.closed
        if connection is None or not alive:
            self._connections += 1
        server_id = connection.handshake.server_connection_id if connection is not None and alive else None
        awaited = alive and self._streaming
        heartbeat = self._heartbeat = Heartbeat(
            self._hub, self._address, self._topology_id, awaited, self._connections, server_id
        )
        reply: Document | None = None
        failure: DriverError | None = None
        scope = self._scope = waits.CancelScope()
        try:
            with scope:
                reply = await self._ask()
        except DriverError as error:
            failure = error
        finally:
            self._scope = None
        if reply is None or scope.cancel_called:
            return self._failed(heartbeat, None if scope.cancel_called else failure)
        self._succeeded(heartbeat, reply, awaited, new=not alive)
        return reply

    def _failed(self, heartbeat: Heartbeat, error: DriverError | None) -> DriverError | None:
        if self._connection is not None:
            self._connection.close()
        self._times.reset()
        self._version = None
        heartbeat.failed(
            error or AutoReconnect(f"{self._address}: the check was cancelled because an operation failed")
        )
        return error

    def _succeeded(self, heartbeat: Heartbeat, reply: Document, awaited: bool, *, new: bool) -> None:
        connection = self._connection
        assert connection is not None  # it has answered
        duration = connection.hello_duration if new else monotonic() - heartbeat.started
        if not awaited:
            self._times.add(duration)
        self._version = topology_version_of(reply)
        heartbeat.succeeded(reply, duration, connection.handshake.server_connection_id)

    async def _ask(self) -> Document:
        reply = await self._answer()
        if reply.get("ok") != 1:
            raise command_error(reply)
        return reply

    async def _answer(self) -> Document:
        connection = self._connection
        if connection is None or connection.closed:
            self._connection = connection = await self._connect(self._connections)
            return connection.handshake.reply
        timeout = self._dialer.settings.connect_timeout
        if not self._streaming:
            return await connection.command("admin", _hello(connection), timeout=timeout)
        patience = None if timeout is None else timeout + self._topology.heartbeat_frequency
        if connection.more_to_come:
            return await connection.next_reply(timeout=patience)
        command = {
            **_hello(connection),
            "topologyVersion": self._version,
            "maxAwaitTimeMS": round(self._topology.heartbeat_frequency * 1000),
        }
        return await connection.stream("admin", command, timeout=patience)

    async def _connect(self, number: int = 0) -> Connection:
        connection = await establish(self._address, self._dialer, self._connection_settings, connection_id=number)
        if self._closed:
            connection.close()
        return connection

    async def _pause(self) -> None:
        """Wait until the next check is due: the whole interval, or the minimum one if a check is requested."""
        ended = monotonic()
        if not self._requested:
            self._wanted = waits.Event()
            with waits.move_on_after(self._topology.heartbeat_frequency):
                await self._wanted.wait()
            self._wanted = None
        if self._requested and not self.is_closed():
            await waits.sleep(max(ended + self._topology.min_heartbeat_frequency - monotonic(), 0))
        self._requested = False

    async def _keep_distance(self) -> None:
        """Pause after each outcome, so that a server that answers without end does not occupy the event loop."""
        early = self._last_outcome + LEAST_DISTANCE - monotonic()
        if early > 0:
            await waits.sleep(early)
        self._last_outcome = monotonic()

    # --- round-trip times beside a stream ---

    def _measure(self, spawn: Spawn) -> None:
        if not self._measuring:
            self._measuring = True
            spawn(self._measure_round_trips)

    async def _measure_round_trips(self) -> None:
        try:
            while not self.is_closed():
                try:
                    await self._measure_once()
                except DriverError:
                    # The stream decides whether the server is available; until then the last measurements stay.
                    if self._rtt_connection is not None:
                        self._rtt_connection.close()
                await waits.sleep(self._topology.heartbeat_frequency)
        finally:
            self._measuring = False
            if self._rtt_connection is not None:
                self._rtt_connection.close()

    async def _measure_once(self) -> None:
        connection = self._rtt_connection
        started = monotonic()
        if connection is None or connection.closed:
            self._rtt_connection = connection = await self._connect()
            self._times.add(connection.hello_duration)
        else:
            await connection.command("admin", _hello(connection), timeout=self._dialer.settings.connect_timeout)
            self._times.add(monotonic() - started)


def _hello(connection: Connection) -> PlainDocument:
    if connection.handshake.hello_ok or connection.api is not None:
        return {"hello": 1, "helloOk": True}
    return {LEGACY_HELLO: 1, "helloOk": True}
