"""Events for listeners that derive from PyMongo's classes (``pymongo.monitoring``), as objects of PyMongo's. Pure.

Rules kept here:

* Nothing is imported: a listener that derives from PyMongo's class shows that its module is loaded, and where.
* An event has PyMongo's fields: ``duration_micros``, ``failure`` as a document, the server's address as
  ``connection_id``. :data:`_MAKERS` is the one list of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import ModuleType, SimpleNamespace
from typing import Any, TypeAlias

from bson.objectid import ObjectId

from wiredrv import events
from wiredrv.description import ServerDescription, TopologyDescription
from wiredrv.types import Address, Document, PlainDocument

#: Makes PyMongo's event of this driver's.
Translation: TypeAlias = Callable[[Any], object]

_MONITORING = "pymongo.monitoring"


def translation(listener: object, kind: type) -> Translation | None:
    """What makes the events for a listener that derives from PyMongo's class of the same name; None if it does not.

    :param kind: one of the listener classes of ``wiredrv.events``.
    """
    for base in type(listener).__mro__:
        if base.__module__ == _MONITORING and base.__name__ == kind.__name__:
            theirs = sys.modules[base.__module__]
            return lambda event: _MAKERS[type(event)](theirs, event)
    return None


# --- commands ---


def _of_command(event: events.CommandEvent) -> PlainDocument:
    return {
        "database_name": event.database_name,
        "request_id": event.request_id,
        "connection_id": _plain(event.address),
        "operation_id": event.operation_id,
        "service_id": event.service_id,
        "server_connection_id": event.server_connection_id,
    }


def _started(theirs: ModuleType, event: events.CommandStartedEvent) -> object:
    # PyMongo's event needs the command's name, and empties a command that may hold credentials by itself.
    command = event.command or {event.command_name: 1, "speculativeAuthenticate": {}}
    return theirs.CommandStartedEvent(command, **_of_command(event))


def _succeeded(theirs: ModuleType, event: events.CommandSucceededEvent) -> object:
    return theirs.CommandSucceededEvent(
        timedelta(seconds=event.duration), event.reply, event.command_name, **_of_command(event)
    )


def _failed(theirs: ModuleType, event: events.CommandFailedEvent) -> object:
    return theirs.CommandFailedEvent(
        timedelta(seconds=event.duration), failure_document(event.failure), event.command_name, **_of_command(event)
    )


def failure_document(error: BaseException) -> Document:
    """A failure as PyMongo shows it: the server's reply, or a document that names the error."""
    details = getattr(error, "details", None)
    if isinstance(details, Mapping) and details:
        return details
    return {"errmsg": str(error), "errtype": type(error).__name__}


# --- pools ---


def _of_address(name: str) -> Callable[[ModuleType, Any], object]:
    return lambda theirs, event: getattr(theirs, name)(_plain(event.address))


def _of_connection(name: str, *fields: str) -> Callable[[ModuleType, Any], object]:
    return lambda theirs, event: getattr(theirs, name)(
        _plain(event.address), event.connection_id, *(getattr(event, field) for field in fields)
    )


# --- servers and heartbeats ---


def server_description(description: ServerDescription) -> Any:
    """PyMongo's description of a server."""
    hello = sys.modules["pymongo.hello"].Hello(dict(description.hello)) if description.hello else None
    return sys.modules["pymongo.server_description"].ServerDescription(
        _plain(description.address),
        hello,
        description.round_trip_time,
        description.error,
        description.min_round_trip_time,
    )


def topology_description(description: TopologyDescription, topology_id: ObjectId | None) -> Any:
    """PyMongo's description of a deployment."""
    # What it asks of its client's settings, for a repr and to tell which servers a read can go to: the defaults.
    settings = SimpleNamespace(
        _topology_id=topology_id,
        local_threshold_ms=15,
        server_selector=None,
        heartbeat_frequency=10,
        srv_max_hosts=0,
        replica_set_name=description.set_name,
    )
    theirs = sys.modules["pymongo.topology_description"]
    servers = {_plain(address): server_description(server) for address, server in description.servers.items()}
    return theirs.TopologyDescription(
        getattr(theirs.TOPOLOGY_TYPE, description.topology_type.value),
        servers,
        description.set_name,
        description.max_set_version,
        description.max_election_id,
        settings,
    )


def _of_server(name: str) -> Callable[[ModuleType, Any], object]:
    return lambda theirs, event: getattr(theirs, name)(_plain(event.address), event.topology_id)


def _of_topology(name: str) -> Callable[[ModuleType, Any], object]:
    return lambda theirs, event: getattr(theirs, name)(event.topology_id)


def _server_changed(theirs: ModuleType, event: events.ServerDescriptionChangedEvent) -> object:
    return theirs.ServerDescriptionChangedEvent(
        server_description(event.previous_description),
        server_description(event.new_description),
        _plain(event.address),
        event.topology_id,
    )


def _topology_changed(theirs: ModuleType, event: events.TopologyDescriptionChangedEvent) -> object:
    return theirs.TopologyDescriptionChangedEvent(
        topology_description(event.previous_description, event.topology_id),
        topology_description(event.new_description, event.topology_id),
        event.topology_id,
    )


def _heartbeat_succeeded(theirs: ModuleType, event: events.ServerHeartbeatSucceededEvent) -> object:
    hello = sys.modules["pymongo.hello"].Hello(dict(event.reply), event.awaited)
    return theirs.ServerHeartbeatSucceededEvent(event.duration, hello, _plain(event.address), event.awaited)


def _plain(address: Address) -> tuple[str, int | None]:
    return (address.host, address.port)


#: This driver's events, and what makes PyMongo's.
_MAKERS: Mapping[type, Callable[[ModuleType, Any], object]] = {
    events.CommandStartedEvent: _started,
    events.CommandSucceededEvent: _succeeded,
    events.CommandFailedEvent: _failed,
    events.PoolCreatedEvent: lambda theirs, event: theirs.PoolCreatedEvent(_plain(event.address), dict(event.options)),
    events.PoolReadyEvent: _of_address("PoolReadyEvent"),
    events.PoolClearedEvent: lambda theirs, event: theirs.PoolClearedEvent(
        _plain(event.address), event.service_id, event.interrupt_in_use_connections
    ),
    events.PoolClosedEvent: _of_address("PoolClosedEvent"),
    events.ConnectionCreatedEvent: _of_connection("ConnectionCreatedEvent"),
    events.ConnectionReadyEvent: _of_connection("ConnectionReadyEvent", "duration"),
    events.ConnectionClosedEvent: _of_connection("ConnectionClosedEvent", "reason"),
    events.ConnectionCheckOutStartedEvent: _of_address("ConnectionCheckOutStartedEvent"),
    events.ConnectionCheckOutFailedEvent: lambda theirs, event: theirs.ConnectionCheckOutFailedEvent(
        _plain(event.address), event.reason, event.duration
    ),
    events.ConnectionCheckedOutEvent: _of_connection("ConnectionCheckedOutEvent", "duration"),
    events.ConnectionCheckedInEvent: _of_connection("ConnectionCheckedInEvent"),
    events.ServerOpeningEvent: _of_server("ServerOpeningEvent"),
    events.ServerDescriptionChangedEvent: _server_changed,
    events.ServerClosedEvent: _of_server("ServerClosedEvent"),
    events.TopologyOpenedEvent: _of_topology("TopologyOpenedEvent"),
    events.TopologyDescriptionChangedEvent: _topology_changed,
    events.TopologyClosedEvent: _of_topology("TopologyClosedEvent"),
    events.ServerHeartbeatStartedEvent: lambda theirs, event: theirs.ServerHeartbeatStartedEvent(
        _plain(event.address), event.awaited
    ),
    events.ServerHeartbeatSucceededEvent: _heartbeat_succeeded,
    events.ServerHeartbeatFailedEvent: lambda theirs, event: theirs.ServerHeartbeatFailedEvent(
        event.duration, event.failure, _plain(event.address), event.awaited
    ),
}
