"""What the driver tells its listeners: frozen events, listener classes, and the hub that carries one to the other.

Rules kept here:

* Nothing is built for a listener that is not there: callers test a family's tuple (``if hub.command:``) before they
  build an event.
* A listener is called synchronously, in the task in which the thing happened; one that raises is reported through
  the ``wiredrv.events`` logger and changes no outcome.
* Durations are seconds (floats). Commands and replies of authentication are redacted before an event is built
  (command-logging-and-monitoring specification, "Security").

Specifications: command-logging-and-monitoring, connection-monitoring-and-pooling ("Events"),
server-discovery-and-monitoring ("SDAM Monitoring"). What the log makes of events is in ``logs``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from wiredrv.description import ServerDescription, TopologyDescription
from wiredrv.errors import ConfigurationError
from wiredrv.types import Address

_LOG = logging.getLogger("wiredrv.events")


# --- commands -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CommandEvent:
    """What all three command events have in common.

    ``request_id`` joins the events of one message, ``operation_id`` those of one operation with its retries;
    ``connection_id`` is the driver's number of the connection, ``server_connection_id`` the server's.
    """

    command_name: str
    database_name: str
    request_id: int
    operation_id: int
    address: Address
    connection_id: int
    server_connection_id: int | None = None
    service_id: Any = None


@dataclass(frozen=True, slots=True)
class CommandStartedEvent(CommandEvent):
    """A command is about to be sent."""

    command: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CommandSucceededEvent(CommandEvent):
    """A command was answered with ``ok: 1``."""

    reply: Mapping[str, Any] = field(default_factory=dict)
    duration: float = 0.0


@dataclass(frozen=True, slots=True)
class CommandFailedEvent(CommandEvent):
    """A command was answered with ``ok: 0``, or not at all. ``failure`` is the error."""

    failure: BaseException = field(default_factory=Exception)
    duration: float = 0.0


# --- connection pools -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PoolEvent:
    """What all pool events have in common: the server's address."""

    address: Address


@dataclass(frozen=True, slots=True)
class PoolCreatedEvent(PoolEvent):
    """A pool exists. ``options`` are those that were set and are not the default, under their URI names."""

    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PoolReadyEvent(PoolEvent):
    """A pool gives out connections (again)."""


@dataclass(frozen=True, slots=True)
class PoolClearedEvent(PoolEvent):
    """A pool dropped its connections because its server failed."""

    service_id: Any = None
    interrupt_in_use_connections: bool = False


@dataclass(frozen=True, slots=True)
class PoolClosedEvent(PoolEvent):
    """A pool is closed for good."""


@dataclass(frozen=True, slots=True)
class ConnectionCreatedEvent(PoolEvent):
    """A connection object exists; it is not connected yet."""

    connection_id: int = 0


@dataclass(frozen=True, slots=True)
class ConnectionReadyEvent(PoolEvent):
    """A connection is handshaken and authenticated."""

    connection_id: int = 0
    duration: float = 0.0


@dataclass(frozen=True, slots=True)
class ConnectionClosedEvent(PoolEvent):
    """A connection is closed. ``reason`` is ``stale``, ``idle``, ``error`` (then ``error`` is it) or ``poolClosed``."""

    connection_id: int = 0
    reason: str = "error"
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class ConnectionCheckOutStartedEvent(PoolEvent):
    """An operation asks for a connection."""


@dataclass(frozen=True, slots=True)
class ConnectionCheckOutFailedEvent(PoolEvent):
    """An operation got no connection. ``reason`` is ``poolClosed``, ``timeout`` or ``connectionError``."""

    reason: str = "connectionError"
    duration: float = 0.0
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class ConnectionCheckedOutEvent(PoolEvent):
    """An operation has a connection."""

    connection_id: int = 0
    duration: float = 0.0


@dataclass(frozen=True, slots=True)
class ConnectionCheckedInEvent(PoolEvent):
    """A connection is back in its pool."""

    connection_id: int = 0


# --- topology and servers -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TopologyEvent:
    """What all topology events have in common: which topology (one for each client)."""

    topology_id: Any


@dataclass(frozen=True, slots=True)
class TopologyOpenedEvent(TopologyEvent):
    """A client began to watch its deployment."""


@dataclass(frozen=True, slots=True)
class TopologyDescriptionChangedEvent(TopologyEvent):
    """What is known of the deployment changed."""

    previous_description: TopologyDescription = field(default_factory=TopologyDescription)
    new_description: TopologyDescription = field(default_factory=TopologyDescription)


@dataclass(frozen=True, slots=True)
class TopologyClosedEvent(TopologyEvent):
    """A client watches its deployment no longer."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """What all server events have in common."""

    topology_id: Any
    address: Address


@dataclass(frozen=True, slots=True)
class ServerOpeningEvent(ServerEvent):
    """A server joined what the client watches."""


@dataclass(frozen=True, slots=True)
class ServerDescriptionChangedEvent(ServerEvent):
    """What is known of one server changed."""

    previous_description: ServerDescription = field(default_factory=lambda: ServerDescription(Address("")))
    new_description: ServerDescription = field(default_factory=lambda: ServerDescription(Address("")))


@dataclass(frozen=True, slots=True)
class ServerClosedEvent(ServerEvent):
    """A server left what the client watches."""


@dataclass(frozen=True, slots=True)
class HeartbeatEvent:
    """What all heartbeat events have in common. ``awaited``: the check waits for a change on the server.

    ``connection_id`` numbers the monitor's connections; ``server_connection_id`` is the server's number, once known.
    """

    address: Address
    awaited: bool = False
    connection_id: int = 0
    server_connection_id: int | None = None
    topology_id: Any = None


@dataclass(frozen=True, slots=True)
class ServerHeartbeatStartedEvent(HeartbeatEvent):
    """A monitor asks its server how it is."""


@dataclass(frozen=True, slots=True)
class ServerHeartbeatSucceededEvent(HeartbeatEvent):
    """The server answered the monitor."""

    duration: float = 0.0
    reply: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServerHeartbeatFailedEvent(HeartbeatEvent):
    """The server did not answer the monitor, or with an error."""

    duration: float = 0.0
    failure: BaseException = field(default_factory=Exception)


@dataclass(frozen=True, slots=True)
class ServerSelectionEvent:
    """A step of choosing a server, for the log alone: no specification has such an event, and no listener hears it.

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

Listener: TypeAlias = Callable[[Any], object]
#: Calls a listener with an event.
Caller: TypeAlias = Callable[[Listener, Any], object]


class CommandListener:
    """Overrides what it wants to hear of commands. Method names are PyMongo's."""

    def started(self, event: CommandStartedEvent) -> None:
        """A command is about to be sent."""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """A command succeeded."""

    def failed(self, event: CommandFailedEvent) -> None:
        """A command failed."""


class ConnectionPoolListener:
    """Overrides what it wants to hear of pools. Method names are PyMongo's."""

    def pool_created(self, event: PoolCreatedEvent) -> None: ...
    def pool_ready(self, event: PoolReadyEvent) -> None: ...
    def pool_cleared(self, event: PoolClearedEvent) -> None: ...
    def pool_closed(self, event: PoolClosedEvent) -> None: ...
    def connection_created(self, event: ConnectionCreatedEvent) -> None: ...
    def connection_ready(self, event: ConnectionReadyEvent) -> None: ...
    def connection_closed(self, event: ConnectionClosedEvent) -> None: ...
    def connection_check_out_started(self, event: ConnectionCheckOutStartedEvent) -> None: ...
    def connection_check_out_failed(self, event: ConnectionCheckOutFailedEvent) -> None: ...
    def connection_checked_out(self, event: ConnectionCheckedOutEvent) -> None: ...
    def connection_checked_in(self, event: ConnectionCheckedInEvent) -> None: ...


class TopologyListener:
    """Overrides what it wants to hear of the deployment as a whole. Method names are PyMongo's."""

    def opened(self, event: TopologyOpenedEvent) -> None: ...
    def description_changed(self, event: TopologyDescriptionChangedEvent) -> None: ...
    def closed(self, event: TopologyClosedEvent) -> None: ...


class ServerListener:
    """Overrides what it wants to hear of single servers. Method names are PyMongo's."""

    def opened(self, event: ServerOpeningEvent) -> None: ...
    def description_changed(self, event: ServerDescriptionChangedEvent) -> None: ...
    def closed(self, event: ServerClosedEvent) -> None: ...


class ServerHeartbeatListener:
    """Overrides what it wants to hear of the monitors' checks. Method names are PyMongo's."""

    def started(self, event: ServerHeartbeatStartedEvent) -> None: ...
    def succeeded(self, event: ServerHeartbeatSucceededEvent) -> None: ...
    def failed(self, event: ServerHeartbeatFailedEvent) -> None: ...


# For each listener class: the hub's family and which method hears which event.
_METHODS: dict[type, tuple[str, dict[type, str]]] = {
    CommandListener: (
        "command",
        {
            CommandStartedEvent: "started",
            CommandSucceededEvent: "succeeded",
            CommandFailedEvent: "failed",
        },
    ),
    ConnectionPoolListener: (
        "pool",
        {
            PoolCreatedEvent: "pool_created",
            PoolReadyEvent: "pool_ready",
            PoolClearedEvent: "pool_cleared",
            PoolClosedEvent: "pool_closed",
            ConnectionCreatedEvent: "connection_created",
            ConnectionReadyEvent: "connection_ready",
            ConnectionClosedEvent: "connection_closed",
            ConnectionCheckOutStartedEvent: "connection_check_out_started",
            ConnectionCheckOutFailedEvent: "connection_check_out_failed",
            ConnectionCheckedOutEvent: "connection_checked_out",
            ConnectionCheckedInEvent: "connection_checked_in",
        },
    ),
    TopologyListener: (
        "topology",
        {
            TopologyOpenedEvent: "opened",
            TopologyDescriptionChangedEvent: "description_changed",
            TopologyClosedEvent: "closed",
        },
    ),
    ServerListener: (
        "topology",
        {
            ServerOpeningEvent: "opened",
            ServerDescriptionChangedEvent: "description_changed",
            ServerClosedEvent: "closed",
        },
    ),
    ServerHeartbeatListener: (
        "heartbeat",
        {
            ServerHeartbeatStartedEvent: "started",
            ServerHeartbeatSucceededEvent: "succeeded",
            ServerHeartbeatFailedEvent: "failed",
        },
    ),
}
_FAMILIES = ("command", "pool", "topology", "heartbeat")
#: Heard by the log alone.
_UNHEARD = ("selection", "waiting")


class ListenerHub:
    """Carries events to listeners, by family: ``command``, ``pool``, ``topology`` (and servers), ``heartbeat``.

    A listener is an object of one or more of the listener classes above, or any callable, which hears every event.
    Two more families are for the log alone: ``selection``, and ``waiting`` for its step of that name.

    :param call: calls a listener with an event; the client gives ``waits.user``.
    :raises ConfigurationError: something given is neither.
    """

    __slots__ = (*_FAMILIES, *_UNHEARD, "_call")

    command: tuple[Listener, ...]
    pool: tuple[Listener, ...]
    topology: tuple[Listener, ...]
    heartbeat: tuple[Listener, ...]
    selection: tuple[Listener, ...]
    waiting: tuple[Listener, ...]

    def __init__(self, listeners: Iterable[Any] = (), call: Caller | None = None) -> None:
        self._call = call or _directly
        if not isinstance(listeners, Iterable):
            raise ConfigurationError(f"event_listeners takes a list of listeners, not {listeners!r}")
        families: dict[str, list[Listener]] = {family: [] for family in _FAMILIES}
        for listener in listeners:
            classes = [known for known in _METHODS if isinstance(listener, known)]
            for known in classes:
                family, methods = _METHODS[known]
                families[family].append(_dispatch({event: getattr(listener, name) for event, name in methods.items()}))
            if classes:
                continue
            if not callable(listener):
                raise ConfigurationError(
                    f"{listener!r} is no event listener: give a callable that takes the event, or an object of a "
                    f"class derived from {', '.join(known.__name__ for known in _METHODS)}"
                )
            for listeners in families.values():
                listeners.append(listener)
        self.selection = self.waiting = ()
        for family, listeners in families.items():
            setattr(self, family, tuple(listeners))

    def refresh(self) -> None:
        """Find out anew who listens. Called when a client opens and after every check of a server; here, nothing."""

    def publish(self, listeners: tuple[Listener, ...], event: object) -> None:
        """Call each of a family's listeners. Use it behind ``if hub.<family>:`` only."""
        for listener in listeners:
            try:
                self._call(listener, event)
            except Exception:
                _LOG.exception("an event listener failed on %s", type(event).__name__)


def _directly(listener: Listener, event: Any) -> object:
    return listener(event)


def _dispatch(methods: Mapping[type, Listener]) -> Listener:
    def hear(event: object) -> None:
        method = methods.get(type(event))
        if method is not None:
            method(event)

    return hear
