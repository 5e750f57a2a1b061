"""The events of the driver, and the classes that listeners derive from. The hub that calls them is in ``listeners``.

Durations are seconds (floats). Commands and replies of authentication are redacted before an event is built
(command-logging-and-monitoring specification, "Security").

Specifications: command-logging-and-monitoring, connection-monitoring-and-pooling ("Events"),
server-discovery-and-monitoring ("SDAM Monitoring").
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bson.objectid import ObjectId
from bson.timestamp import Timestamp

from wiredrv.description import ServerDescription, TopologyDescription
from wiredrv.types import Address, Document

# --- commands -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CommandEvent:
    """What all three command events have in common. Specification: command-logging-and-monitoring, "Events API".

    :param command_name: the command's name, as ``find``.
    :param database_name: the database that it is sent to.
    :param request_id: joins the events of one message.
    :param operation_id: joins the events of one operation, with its retries.
    :param address: the server.
    :param connection_id: the driver's number of the connection.
    :param server_connection_id: the server's number of the connection, as in its log; None if it did not send it.
    :param service_id: the server behind a load balancer; None without one.
    """

    command_name: str
    database_name: str
    request_id: int
    operation_id: int
    address: Address
    connection_id: int
    server_connection_id: int | None = None
    service_id: ObjectId | None = None


@dataclass(frozen=True, slots=True)
class CommandStartedEvent(CommandEvent):
    """A command is about to be sent.

    :param command: the command as it is sent; empty if it holds credentials.
    """

    command: Document = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CommandSucceededEvent(CommandEvent):
    """A command was answered with ``ok: 1``.

    :param reply: the server's reply; empty if it may hold credentials.
    :param duration: seconds from sending the command to its reply.
    """

    reply: Document = field(default_factory=dict)
    duration: float = 0.0


@dataclass(frozen=True, slots=True)
class CommandFailedEvent(CommandEvent):
    """A command was answered with ``ok: 0``, or not at all.

    :param failure: the error.
    :param duration: seconds from sending the command to its failure.
    """

    failure: BaseException = field(default_factory=Exception)
    duration: float = 0.0


# --- connection pools -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PoolEvent:
    """What all pool events have in common. Specification: connection-monitoring-and-pooling, "Events".

    :param address: the server that the pool's connections lead to.
    """

    address: Address


@dataclass(frozen=True, slots=True)
class PoolCreatedEvent(PoolEvent):
    """A pool was created.

    :param options: the options that were set and are not the default, under their URI names.
    """

    options: Document = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PoolReadyEvent(PoolEvent):
    """A pool is ready: it gives out connections, perhaps again."""


@dataclass(frozen=True, slots=True)
class PoolClearedEvent(PoolEvent):
    """A pool dropped its connections because its server failed.

    :param service_id: whose connections were dropped, behind a load balancer; None without one.
    :param interrupt_in_use_connections: whether connections in use are closed too.
    """

    service_id: ObjectId | None = None
    interrupt_in_use_connections: bool = False


@dataclass(frozen=True, slots=True)
class PoolClosedEvent(PoolEvent):
    """A pool is closed for good."""


@dataclass(frozen=True, slots=True)
class ConnectionCreatedEvent(PoolEvent):
    """A connection object exists; it is not connected yet.

    :param connection_id: the driver's number of the connection.
    """

    connection_id: int = 0


@dataclass(frozen=True, slots=True)
class ConnectionReadyEvent(PoolEvent):
    """A connection has completed its handshake and authentication.

    :param connection_id: the driver's number of the connection.
    :param duration: seconds from its creation until it was ready.
    """

    connection_id: int = 0
    duration: float = 0.0


@dataclass(frozen=True, slots=True)
class ConnectionClosedEvent(PoolEvent):
    """A connection was closed.

    :param connection_id: the driver's number of the connection.
    :param reason: ``stale``, ``idle``, ``error`` or ``poolClosed``.
    :param error: the error, if that was the reason.
    """

    connection_id: int = 0
    reason: str = "error"
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class ConnectionCheckOutStartedEvent(PoolEvent):
    """An operation asks for a connection."""


@dataclass(frozen=True, slots=True)
class ConnectionCheckOutFailedEvent(PoolEvent):
    """An operation got no connection.

    :param reason: ``poolClosed``, ``timeout`` or ``connectionError``.
    :param duration: seconds that the operation waited.
    :param error: the error, if there was one.
    """

    reason: str = "connectionError"
    duration: float = 0.0
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class ConnectionCheckedOutEvent(PoolEvent):
    """An operation has a connection.

    :param connection_id: the driver's number of the connection.
    :param duration: seconds that the operation waited.
    """

    connection_id: int = 0
    duration: float = 0.0


@dataclass(frozen=True, slots=True)
class ConnectionCheckedInEvent(PoolEvent):
    """A connection is back in its pool.

    :param connection_id: the driver's number of the connection.
    """

    connection_id: int = 0


# --- topology and servers -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TopologyEvent:
    """What all topology events have in common. Specification: server-discovery-and-monitoring, "SDAM Monitoring".

    :param topology_id: one for each client.
    """

    topology_id: ObjectId | None


@dataclass(frozen=True, slots=True)
class TopologyOpenedEvent(TopologyEvent):
    """A client began to monitor its deployment."""


@dataclass(frozen=True, slots=True)
class TopologyDescriptionChangedEvent(TopologyEvent):
    """What is known of the deployment changed.

    :param previous_description: what was known before.
    :param new_description: what is known now.
    """

    previous_description: TopologyDescription = field(default_factory=TopologyDescription)
    new_description: TopologyDescription = field(default_factory=TopologyDescription)


@dataclass(frozen=True, slots=True)
class TopologyClosedEvent(TopologyEvent):
    """A client no longer monitors its deployment."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """What all server events have in common. Specification: server-discovery-and-monitoring, "SDAM Monitoring".

    :param topology_id: one for each client.
    :param address: the server.
    """

    topology_id: ObjectId | None
    address: Address


@dataclass(frozen=True, slots=True)
class ServerOpeningEvent(ServerEvent):
    """A server was added to those that the client monitors."""


@dataclass(frozen=True, slots=True)
class ServerDescriptionChangedEvent(ServerEvent):
    """What is known of one server changed.

    :param previous_description: what was known before.
    :param new_description: what is known now.
    """

    previous_description: ServerDescription = field(default_factory=lambda: ServerDescription(Address("")))
    new_description: ServerDescription = field(default_factory=lambda: ServerDescription(Address("")))


@dataclass(frozen=True, slots=True)
class ServerClosedEvent(ServerEvent):
    """A server was removed from those that the client monitors."""


@dataclass(frozen=True, slots=True)
class HeartbeatEvent:
    """What all heartbeat events have in common. Specification: server-discovery-and-monitoring, "SDAM Monitoring".

    :param address: the server.
    :param awaited: whether the server answers only when something changed or the heartbeat's interval has passed
        (streaming).
    :param connection_id: the number of the monitor's connection.
    :param server_connection_id: the server's number of the connection, once known.
    :param topology_id: one for each client.
    """

    address: Address
    awaited: bool = False
    connection_id: int = 0
    server_connection_id: int | None = None
    topology_id: ObjectId | None = None


@dataclass(frozen=True, slots=True)
class ServerHeartbeatStartedEvent(HeartbeatEvent):
    """A monitor checks its server."""


@dataclass(frozen=True, slots=True)
class ServerHeartbeatSucceededEvent(HeartbeatEvent):
    """The server answered the monitor.

    :param duration: seconds from the question to the answer; for a streamed answer, since the one before.
    :param reply: the server's answer.
    """

    duration: float = 0.0
    reply: Document = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServerHeartbeatFailedEvent(HeartbeatEvent):
    """The server did not answer the monitor, or with an error.

    :param duration: seconds until the check failed.
    :param failure: the error.
    """

    duration: float = 0.0
    failure: BaseException = field(default_factory=Exception)


# --- sessions ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CausalTokenIgnoredEvent:
    """A causal token that a session was started after is treated as absent. This driver's own: no specification has it.

    :param lsid: the session's id.
    :param reason: why, as ``reason`` of :class:`wiredrv.errors.InvalidToken`.
    :param message: the same as a sentence. It does not contain the token.
    :param operation_time: the token's operation time; None if the token could not be read.
    """

    lsid: Document
    reason: str
    message: str
    operation_time: Timestamp | None = None


@dataclass(frozen=True, slots=True)
class ServerSelectionEvent:
    """A step of choosing a server, for the log alone: no specification has such an event, and listeners do not receive
    it.

    ``step`` is ``started``, ``waiting`` (``remaining``: for how many seconds at most), ``succeeded`` (``address``: what
    was chosen) or ``failed`` (``failure``).
    """

    step: str
    selector: str
    operation: str
    operation_id: int
    topology_description: TopologyDescription
    address: Address | None = None
    remaining: float | None = None
    failure: BaseException | None = None


# --- listeners ------------------------------------------------------------------------------------------------------


class CommandListener:
    """Listens to events of commands. Override the methods that you need; their names are PyMongo's.

    Command-logging-and-monitoring specification.
    """

    def started(self, event: CommandStartedEvent) -> None:
        """A command is about to be sent.

        :param event: what happened, and to which command.
        """

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """A command succeeded.

        :param event: what happened, and to which command.
        """

    def failed(self, event: CommandFailedEvent) -> None:
        """A command failed.

        :param event: what happened, and to which command.
        """


class ConnectionPoolListener:
    """Listens to events of connection pools. Override the methods that you need; their names are PyMongo's.

    Connection-monitoring-and-pooling specification.
    """

    def pool_created(self, event: PoolCreatedEvent) -> None:
        """A pool was created.

        :param event: what happened, and to which pool.
        """

    def pool_ready(self, event: PoolReadyEvent) -> None:
        """A pool is ready: it gives out connections, perhaps again.

        :param event: what happened, and to which pool.
        """

    def pool_cleared(self, event: PoolClearedEvent) -> None:
        """A pool dropped its connections because its server failed.

        :param event: what happened, and to which pool.
        """

    def pool_closed(self, event: PoolClosedEvent) -> None:
        """A pool was closed for good.

        :param event: what happened, and to which pool.
        """

    def connection_created(self, event: ConnectionCreatedEvent) -> None:
        """A connection object exists; it is not connected yet.

        :param event: what happened, and to which pool.
        """

    def connection_ready(self, event: ConnectionReadyEvent) -> None:
        """A connection can be used.

        :param event: what happened, and to which pool.
        """

    def connection_closed(self, event: ConnectionClosedEvent) -> None:
        """A connection was closed.

        :param event: what happened, and to which pool.
        """

    def connection_check_out_started(self, event: ConnectionCheckOutStartedEvent) -> None:
        """An operation asks for a connection.

        :param event: what happened, and to which pool.
        """

    def connection_check_out_failed(self, event: ConnectionCheckOutFailedEvent) -> None:
        """An operation got no connection.

        :param event: what happened, and to which pool.
        """

    def connection_checked_out(self, event: ConnectionCheckedOutEvent) -> None:
        """An operation has a connection.

        :param event: what happened, and to which pool.
        """

    def connection_checked_in(self, event: ConnectionCheckedInEvent) -> None:
        """A connection is back in its pool.

        :param event: what happened, and to which pool.
        """


class TopologyListener:
    """Listens to events of the deployment as a whole. Override the methods that you need; their names are PyMongo's.

    Server-discovery-and-monitoring specification.
    """

    def opened(self, event: TopologyOpenedEvent) -> None:
        """A client began to monitor its deployment.

        :param event: what happened, and to which topology.
        """

    def description_changed(self, event: TopologyDescriptionChangedEvent) -> None:
        """What is known of the deployment changed.

        :param event: what happened, and to which topology.
        """

    def closed(self, event: TopologyClosedEvent) -> None:
        """A client no longer monitors its deployment.

        :param event: what happened, and to which topology.
        """


class ServerListener:
    """Listens to events of single servers. Override the methods that you need; their names are PyMongo's.

    Server-discovery-and-monitoring specification.
    """

    def opened(self, event: ServerOpeningEvent) -> None:
        """A server was added to those that the client monitors.

        :param event: what happened, and to which server.
        """

    def description_changed(self, event: ServerDescriptionChangedEvent) -> None:
        """What is known of one server changed.

        :param event: what happened, and to which server.
        """

    def closed(self, event: ServerClosedEvent) -> None:
        """A server was removed from those that the client monitors.

        :param event: what happened, and to which server.
        """


class ServerHeartbeatListener:
    """Listens to events of the monitors' checks. Override the methods that you need; their names are PyMongo's.

    Server-discovery-and-monitoring specification.
    """

    def started(self, event: ServerHeartbeatStartedEvent) -> None:
        """A check of a server begins.

        :param event: what happened, and to which server.
        """

    def succeeded(self, event: ServerHeartbeatSucceededEvent) -> None:
        """The server answered the check.

        :param event: what happened, and to which server.
        """

    def failed(self, event: ServerHeartbeatFailedEvent) -> None:
        """The server did not answer the check, or answered with an error.

        :param event: what happened, and to which server.
        """


class SessionListener:
    """Listens to events of sessions. Override the methods that you need. This driver's own: no specification has it."""

    def causal_token_ignored(self, event: CausalTokenIgnoredEvent) -> None:
        """A causal token is treated as absent: what follows need not see what it stands for.

        :param event: which session's, and why.
        """
