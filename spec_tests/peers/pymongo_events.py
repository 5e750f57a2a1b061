"""PyMongo's events as those of this project, which the runner compares with what a test expects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pymongo import monitoring
from pymongo.server_description import ServerDescription as TheirServer
from pymongo.topology_description import TopologyDescription as TheirTopology

from wiredrv import events
from wiredrv.description import ServerDescription, ServerType, TopologyDescription, TopologyType
from wiredrv.types import Address

Listener = Callable[[Any], object]


def address_of(pair: Any) -> Address:
    """An address of PyMongo's: host and port."""
    return Address(pair[0], pair[1] or 27017)


def topology_of(theirs: TheirTopology) -> TopologyDescription:
    """What the runner asks of a topology description: its type, and type and address of each server."""
    servers = {address_of(address): server_of(server) for address, server in theirs.server_descriptions().items()}
    return TopologyDescription(TopologyType(theirs.topology_type_name), servers)


def server_of(theirs: TheirServer) -> ServerDescription:
    """The address and the type of a server."""
    return ServerDescription(address_of(theirs.address), ServerType(theirs.server_type_name))


def translators(listeners: list[Listener]) -> list[Any]:
    """Listeners of PyMongo's that hand each event on to listeners of this project's.

    There are three, since PyMongo's listeners for commands, heartbeats and servers have methods of the same names.
    """
    return [_Commands(listeners), _Heartbeats(listeners), _Others(listeners)]


class _Translator:
    def __init__(self, listeners: list[Listener]) -> None:
        self._listeners = listeners

    def _tell(self, event: object) -> None:
        for listener in self._listeners:
            listener(event)


class _Commands(_Translator, monitoring.CommandListener):
    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self._tell(events.CommandStartedEvent(**_command(event), command=event.command))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        seconds = event.duration_micros / 1e6
        self._tell(events.CommandSucceededEvent(**_command(event), reply=event.reply, duration=seconds))

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        failure = Exception(event.failure)
        self._tell(events.CommandFailedEvent(**_command(event), failure=failure, duration=event.duration_micros / 1e6))


class _Others(_Translator, monitoring.ConnectionPoolListener, monitoring.ServerListener, monitoring.TopologyListener):
    def pool_created(self, event: monitoring.PoolCreatedEvent) -> None:
        self._tell(events.PoolCreatedEvent(address_of(event.address)))

    def pool_ready(self, event: monitoring.PoolReadyEvent) -> None:
        self._tell(events.PoolReadyEvent(address_of(event.address)))

    def pool_cleared(self, event: monitoring.PoolClearedEvent) -> None:
        interrupt = bool(event.interrupt_connections)
        self._tell(events.PoolClearedEvent(address_of(event.address), event.service_id, interrupt))

    def pool_closed(self, event: monitoring.PoolClosedEvent) -> None:
        self._tell(events.PoolClosedEvent(address_of(event.address)))

    def connection_created(self, event: monitoring.ConnectionCreatedEvent) -> None:
        self._tell(events.ConnectionCreatedEvent(address_of(event.address), event.connection_id))

    def connection_ready(self, event: monitoring.ConnectionReadyEvent) -> None:
        self._tell(events.ConnectionReadyEvent(address_of(event.address), event.connection_id, event.duration or 0.0))

    def connection_closed(self, event: monitoring.ConnectionClosedEvent) -> None:
        self._tell(events.ConnectionClosedEvent(address_of(event.address), event.connection_id, event.reason))

    def connection_check_out_started(self, event: monitoring.ConnectionCheckOutStartedEvent) -> None:
        self._tell(events.ConnectionCheckOutStartedEvent(address_of(event.address)))

    def connection_check_out_failed(self, event: monitoring.ConnectionCheckOutFailedEvent) -> None:
        self._tell(events.ConnectionCheckOutFailedEvent(address_of(event.address), event.reason, event.duration or 0.0))

    def connection_checked_out(self, event: monitoring.ConnectionCheckedOutEvent) -> None:
        self._tell(
            events.ConnectionCheckedOutEvent(address_of(event.address), event.connection_id, event.duration or 0.0)
        )

    def connection_checked_in(self, event: monitoring.ConnectionCheckedInEvent) -> None:
        self._tell(events.ConnectionCheckedInEvent(address_of(event.address), event.connection_id))

    def opened(self, event: monitoring.TopologyOpenedEvent | monitoring.ServerOpeningEvent) -> None:
        if isinstance(event, monitoring.ServerOpeningEvent):
            self._tell(events.ServerOpeningEvent(event.topology_id, address_of(event.server_address)))
        else:
            self._tell(events.TopologyOpenedEvent(event.topology_id))

    def description_changed(
        self, event: monitoring.TopologyDescriptionChangedEvent | monitoring.ServerDescriptionChangedEvent
    ) -> None:
        if isinstance(event, monitoring.ServerDescriptionChangedEvent):
            before, after = server_of(event.previous_description), server_of(event.new_description)
            address = address_of(event.server_address)
            self._tell(events.ServerDescriptionChangedEvent(event.topology_id, address, before, after))
        else:
            earlier, now = topology_of(event.previous_description), topology_of(event.new_description)
            self._tell(events.TopologyDescriptionChangedEvent(event.topology_id, earlier, now))

    def closed(self, event: monitoring.TopologyClosedEvent | monitoring.ServerClosedEvent) -> None:
        if isinstance(event, monitoring.ServerClosedEvent):
            self._tell(events.ServerClosedEvent(event.topology_id, address_of(event.server_address)))
        else:
            self._tell(events.TopologyClosedEvent(event.topology_id))


class _Heartbeats(_Translator, monitoring.ServerHeartbeatListener):
    def started(self, event: monitoring.ServerHeartbeatStartedEvent) -> None:
        self._tell(events.ServerHeartbeatStartedEvent(address_of(event.connection_id), bool(event.awaited)))

    def succeeded(self, event: monitoring.ServerHeartbeatSucceededEvent) -> None:
        self._tell(
            events.ServerHeartbeatSucceededEvent(
                address_of(event.connection_id), bool(event.awaited), duration=event.duration
            )
        )

    def failed(self, event: monitoring.ServerHeartbeatFailedEvent) -> None:
        self._tell(
            events.ServerHeartbeatFailedEvent(
                address_of(event.connection_id), bool(event.awaited), duration=event.duration, failure=event.reply
            )
        )


def _command(event: Any) -> Mapping[str, Any]:
    """The fields that all events of commands have."""
    return {
        "command_name": event.command_name,
        "database_name": event.database_name,
        "request_id": event.request_id,
        "operation_id": event.operation_id or 0,
        "address": address_of(event.connection_id),
        "connection_id": 0,
        "server_connection_id": event.server_connection_id,
        "service_id": event.service_id,
    }
