"""Asks one server how it is, for as long as the topology knows it. One task for each server.

Theory of operation: the monitor has a connection of its own, which never authenticates and never gossips cluster
time. Where the server can, it streams: one ``hello`` is sent, and the server answers whenever something changes, and
every ``heartbeatFrequencyMS`` anyhow; a second connection then measures round-trip times. Where it cannot, the
monitor polls: a check every ``heartbeatFrequencyMS``, sooner on request, two of them ``min_heartbeat_frequency``
apart. After a failed check of a server that was known, one more follows at once.

Specification: server-monitoring.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

import anyio

from wiredrv import events
from wiredrv.connection.connect import establish
from wiredrv.connection.connection import Connection
from wiredrv.connection.handshake import LEGACY_HELLO
from wiredrv.connection.settings import ConnectionSettings
from wiredrv.errors import DriverError, command_error
from wiredrv.events import ListenerHub
from wiredrv.net.dial import Dialer
from wiredrv.topology.hello import topology_version_of
from wiredrv.topology.rtt import RoundTripTimes
from wiredrv.topology.settings import TopologySettings
from wiredrv.types import Address, Spawn

#: Takes the outcome of each check: the server's reply, or the error that ended it.
Report = Callable[[Address, Mapping[str, Any] | DriverError, RoundTripTimes], None]


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """What every monitor of a topology is given."""

    topology: TopologySettings
    dialer: Dialer
    connection: ConnectionSettings
    hub: ListenerHub
    #: Whether the process may be frozen between two calls, so that streams would break (server-monitoring, "auto").
    in_faas: bool = False

    @property
    def may_stream(self) -> bool:
        """Whether servers that can stream are asked to."""
        mode = self.topology.server_monitoring_mode
        return mode == "stream" or (mode == "auto" and not self.in_faas)


class Monitor:
    """The monitor of one server."""

    def __init__(self, address: Address, settings: MonitorSettings, report: Report) -> None:
        self._address = address
        self._topology = settings.topology
        self._hub = settings.hub
        self._may_stream = settings.may_stream
        # A monitor's reads are bounded by itself, and it has no user.
        self._dialer = settings.dialer.without_socket_timeout()
        self._connection_settings = replace(
            settings.connection, credentials=None, compressors=(), any_wire_version=True
        )
        self._report = report
        self._connection: Connection | None = None
        self._rtt_connection: Connection | None = None
        self._times = RoundTripTimes()
        self._version: Mapping[str, Any] | None = None
        self._measuring = False
        self._wanted: anyio.Event | None = None
        self._requested = False
        self._cancelled = False
        self._closed = False

    # --- for the topology ---

    def request_check(self) -> None:
        """Ask for a check as soon as the minimum distance allows. A stream needs no asking."""
        self._requested = True
        if self._wanted is not None:
            self._wanted.set()

    def cancel_check(self) -> None:
        """Break off a check that is under way: its server is known to have failed meanwhile."""
        if self._connection is not None and not self._connection.closed:
            self._cancelled = True
            self._connection.close()
        self.request_check()

    def close(self, *, wake: bool = True) -> None:
        """End the monitor's tasks and close its connections; without waking them after a fork."""
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
        known = False
        try:
            while not self.is_closed():
                started = monotonic()
                self._requested = False
                outcome = await self._check()
                if self.is_closed():
                    return
                if isinstance(outcome, DriverError):
                    was_known, known = known, False
                    again = self._lost(outcome) or was_known
                else:
                    known = again = True
                    self._report(self._address, outcome, self._times)
                    if self._streaming:
                        self._measure(spawn)
                    else:
                        again = False
                if not again:
                    await self._pause(started)
        finally:
            self.close()

    # --- checking ---

    @property
    def _streaming(self) -> bool:
        return self._may_stream and self._version is not None

    def _lost(self, error: DriverError) -> bool:
        """A check failed. Returns whether to check again at once."""
        self._times.reset()
        self._version = None
        if self._cancelled:
            # Whoever cancelled has told the topology already, and more than this error says.
            self._cancelled = False
            return True
        self._report(self._address, error, self._times)
        return False

    async def _check(self) -> Mapping[str, Any] | DriverError:
        hub = self._hub
        started = monotonic()
        connection = self._connection
        alive = connection is not None and not connection.closed
        number = connection.id if connection is not None and alive else 0
        awaited = alive and self._streaming
        if hub.heartbeat:
            hub.publish(hub.heartbeat, events.ServerHeartbeatStartedEvent(self._address, awaited, number))
        try:
            reply = await self._ask()
            if not reply.get("ok"):
                raise command_error(reply)
        except DriverError as error:
            if self._connection is not None:
                self._connection.close()
            if hub.heartbeat:
                took = monotonic() - started
                failed = events.ServerHeartbeatFailedEvent(self._address, awaited, number, duration=took, failure=error)
                hub.publish(hub.heartbeat, failed)
            return error
        took = monotonic() - started
        if not awaited:
            self._times.add(took if alive or self._connection is None else self._connection.hello_duration)
        self._version = topology_version_of(reply)
        if hub.heartbeat:
            answered = events.ServerHeartbeatSucceededEvent(self._address, awaited, number, duration=took, reply=reply)
            hub.publish(hub.heartbeat, answered)
        return reply

    async def _ask(self) -> Mapping[str, Any]:
        connection = self._connection
        if connection is None or connection.closed:
            self._cancelled = False
            self._connection = connection = await establish(self._address, self._dialer, self._connection_settings)
            if self._closed:
                connection.close()
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

    async def _pause(self, started: float) -> None:
        """Wait until the next check is due: the whole interval, or the least one when somebody asks."""
        if not self._requested:
            self._wanted = anyio.Event()
            with anyio.move_on_after(max(started + self._topology.heartbeat_frequency - monotonic(), 0)):
                await self._wanted.wait()
            self._wanted = None
        if self._requested and not self.is_closed():
            await anyio.sleep(max(started + self._topology.min_heartbeat_frequency - monotonic(), 0))

    # --- round-trip times beside a stream ---

    def _measure(self, spawn: Spawn) -> None:
        if not self._measuring:
            self._measuring = True
            spawn(self._measure_round_trips)

    async def _measure_round_trips(self) -> None:
        try:
            while not self.is_closed():
                await anyio.sleep(self._topology.heartbeat_frequency)
                try:
                    await self._measure_once()
                except DriverError:
                    # Whether the server lives is for the stream to tell; until it does, what was measured holds.
                    if self._rtt_connection is not None:
                        self._rtt_connection.close()
        finally:
            self._measuring = False
            if self._rtt_connection is not None:
                self._rtt_connection.close()

    async def _measure_once(self) -> None:
        connection = self._rtt_connection
        started = monotonic()
        if connection is None or connection.closed:
            self._rtt_connection = connection = await establish(self._address, self._dialer, self._connection_settings)
            if self._closed:
                connection.close()
            self._times.add(connection.hello_duration)
        else:
            await connection.command("admin", _hello(connection), timeout=self._dialer.settings.connect_timeout)
            self._times.add(monotonic() - started)


def _hello(connection: Connection) -> dict[str, Any]:
    if connection.handshake.hello_ok or connection.api is not None:
        return {"hello": 1, "helloOk": True}
    return {LEGACY_HELLO: 1, "helloOk": True}
