"""The log message for each event: structured data, under the specifications' names. Pure.

Rules kept here:

* One function for each kind of event, in one table; an event that is not in it is not logged.
* A key whose value is not known is left out ("Omitting Null Values from Log Messages").
* Contents of sensitive commands were removed before the event was built.

Specifications: command-logging-and-monitoring ("Log Messages"), connection-monitoring-and-pooling ("Connection Pool
Logging"), server-discovery-and-monitoring's logging part ("Log Messages"), server-selection ("Logging").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from bson.objectid import ObjectId

from wiredrv import events
from wiredrv.errors import DriverError, ServerSelectionTimeoutError
from wiredrv.logs.documents import to_text
from wiredrv.types import Address, Document, PlainDocument

Data: TypeAlias = PlainDocument

_CLOSED_BECAUSE = {
    "stale": "Connection became stale because the pool was cleared",
    "idle": "Connection has been available but unused for longer than the configured max idle time",
    "error": "An error occurred while using the connection",
    "poolClosed": "Connection pool was closed",
}
_CHECK_OUT_FAILED_BECAUSE = {
    "timeout": "Wait queue timeout elapsed without a connection becoming available",
    "connectionError": "An error occurred while trying to establish a new connection",
    "poolClosed": "Connection pool was closed",
}
_SELECTION = {
    "started": "Server selection started",
    "waiting": "Waiting for suitable server to become available",
    "succeeded": "Server selection succeeded",
    "failed": "Server selection failed",
}


@dataclass(frozen=True, slots=True)
class LogMessage:
    """A message: ``data`` under the specifications' keys, ``message`` first. As text, one line."""

    data: Document

    def __str__(self) -> str:
        rest = " ".join(f"{key}={value}" for key, value in self.data.items() if key != "message")
        return f"{self.data['message']}: {rest}" if rest else str(self.data["message"])


def describe(event: object, limit: int) -> LogMessage | None:
    """The message of an event; None for one that is not logged.

    :param limit: how many characters of a document may be shown.
    """
    maker = _MAKERS.get(type(event))
    if maker is None:
        return None
    return LogMessage({key: value for key, value in maker(event, limit).items() if value is not None})


# --- commands ---


def _command_started(event: events.CommandStartedEvent, limit: int) -> Data:
    return {"message": "Command started", **_command(event), "command": to_text(event.command, limit)}


def _command_succeeded(event: events.CommandSucceededEvent, limit: int) -> Data:
    data = {"message": "Command succeeded", **_command(event), "durationMS": _milliseconds(event.duration)}
    return {**data, "reply": to_text(event.reply, limit)}


def _command_failed(event: events.CommandFailedEvent, limit: int) -> Data:
    data = {"message": "Command failed", **_command(event), "durationMS": _milliseconds(event.duration)}
    return {**data, "failure": _failure(event.failure, limit)}


def _command(event: events.CommandEvent) -> Data:
    return {
        "commandName": event.command_name,
        "databaseName": event.database_name,
        "requestId": event.request_id,
        "operationId": event.operation_id,
        "driverConnectionId": event.connection_id,
        **_server(event.address),
        "serverConnectionId": event.server_connection_id,
        "serviceId": _hex(event.service_id),
    }


# --- connections ---


def _pool(message: str) -> Callable[[Any, int], Data]:
    """The message of a pool event without further data."""
    return lambda event, limit: {"message": message, **_server(event.address)}


def _connection(message: str) -> Callable[[Any, int], Data]:
    """The message of an event of one connection."""

    def make(event: Any, limit: int) -> Data:
        data = {"message": message, **_server(event.address), "driverConnectionId": event.connection_id}
        return {**data, "durationMS": _milliseconds(getattr(event, "duration", None))}

    return make


def _pool_created(event: events.PoolCreatedEvent, limit: int) -> Data:
    return {"message": "Connection pool created", **_server(event.address), **event.options}


def _pool_cleared(event: events.PoolClearedEvent, limit: int) -> Data:
    return {"message": "Connection pool cleared", **_server(event.address), "serviceId": _hex(event.service_id)}


def _connection_closed(event: events.ConnectionClosedEvent, limit: int) -> Data:
    return {
        "message": "Connection closed",
        **_server(event.address),
        "driverConnectionId": event.connection_id,
        "reason": _CLOSED_BECAUSE[event.reason],
        "error": _failure(event.error, limit),
    }


def _check_out_failed(event: events.ConnectionCheckOutFailedEvent, limit: int) -> Data:
    return {
        "message": "Connection checkout failed",
        **_server(event.address),
        "reason": _CHECK_OUT_FAILED_BECAUSE[event.reason],
        "error": _failure(event.error, limit) if event.reason == "connectionError" else None,
        "durationMS": _milliseconds(event.duration),
    }


# --- the topology ---


def _topology(message: str) -> Callable[[Any, int], Data]:
    """The message of a topology event, or of one of a server, without further data."""

    def make(event: Any, limit: int) -> Data:
        server = _server(event.address) if isinstance(event, events.ServerEvent) else {}
        return {"message": message, "topologyId": str(event.topology_id), **server}

    return make


def _description_changed(event: events.TopologyDescriptionChangedEvent, limit: int) -> Data:
    return {
        "message": "Topology description changed",
        "topologyId": str(event.topology_id),
        "previousDescription": str(event.previous_description),
        "newDescription": str(event.new_description),
    }


def _heartbeat(message: str, event: events.HeartbeatEvent) -> Data:
    return {
        "message": message,
        "topologyId": str(event.topology_id),
        **_server(event.address),
        "driverConnectionId": event.connection_id,
        "serverConnectionId": event.server_connection_id,
        "awaited": event.awaited,
    }


def _heartbeat_started(event: events.ServerHeartbeatStartedEvent, limit: int) -> Data:
    return _heartbeat("Server heartbeat started", event)


def _heartbeat_succeeded(event: events.ServerHeartbeatSucceededEvent, limit: int) -> Data:
    data = {**_heartbeat("Server heartbeat succeeded", event), "durationMS": _milliseconds(event.duration)}
    return {**data, "reply": to_text(event.reply, limit)}


def _heartbeat_failed(event: events.ServerHeartbeatFailedEvent, limit: int) -> Data:
    data = {**_heartbeat("Server heartbeat failed", event), "durationMS": _milliseconds(event.duration)}
    return {**data, "failure": _failure(event.failure, limit)}


# --- sessions ---


def _token_ignored(event: events.CausalTokenIgnoredEvent, limit: int) -> Data:
    data = {"message": "Causal token ignored", "reason": event.reason, "explanation": event.message}
    return {**data, "lsid": to_text(event.lsid, limit)}


# --- server selection ---


def _selection(event: events.ServerSelectionEvent, limit: int) -> Data:
    # The error's own text describes the topology, which the message contains already.
    failure = _failure(event.failure, limit)
    if isinstance(event.failure, ServerSelectionTimeoutError):
        failure = "ServerSelectionTimeoutError: no server was suitable in time"
    remaining = event.remaining
    return {
        "message": _SELECTION[event.step],
        "selector": event.selector,
        "operation": event.operation,
        "operationId": event.operation_id or None,
        "topologyDescription": str(event.topology_description),
        **(_server(event.address) if event.address is not None else {}),
        "remainingTimeMS": round(remaining * 1000) if remaining is not None else None,
        "failure": failure,
    }


# --- values ---


def _server(address: Address) -> Data:
    return {"serverHost": address.host, "serverPort": address.port}


def _milliseconds(seconds: float | None) -> float | None:
    return round(seconds * 1000, 3) if seconds is not None else None


def _hex(service_id: ObjectId | None) -> str | None:
    return str(service_id) if service_id is not None else None


def _failure(error: BaseException | None, limit: int) -> str | None:
    """An error with its details; a server's whole reply is cut off like any document."""
    if error is None:
        return None
    parts = [f"{type(error).__name__}: {error}"]
    if isinstance(error, DriverError) and error.error_labels:
        parts.append(f"labels: {', '.join(sorted(error.error_labels))}")
    details = getattr(error, "details", None)
    if isinstance(details, Mapping) and details:
        parts.append(f"reply: {to_text(details, limit)}")
    return "; ".join(parts)


_MAKERS: Mapping[type, Callable[[Any, int], Data]] = {
    events.CommandStartedEvent: _command_started,
    events.CommandSucceededEvent: _command_succeeded,
    events.CommandFailedEvent: _command_failed,
    events.PoolCreatedEvent: _pool_created,
    events.PoolReadyEvent: _pool("Connection pool ready"),
    events.PoolClearedEvent: _pool_cleared,
    events.PoolClosedEvent: _pool("Connection pool closed"),
    events.ConnectionCreatedEvent: _connection("Connection created"),
    events.ConnectionReadyEvent: _connection("Connection ready"),
    events.ConnectionClosedEvent: _connection_closed,
    events.ConnectionCheckOutStartedEvent: _pool("Connection checkout started"),
    events.ConnectionCheckOutFailedEvent: _check_out_failed,
    events.ConnectionCheckedOutEvent: _connection("Connection checked out"),
    events.ConnectionCheckedInEvent: _connection("Connection checked in"),
    events.TopologyOpenedEvent: _topology("Starting topology monitoring"),
    events.TopologyDescriptionChangedEvent: _description_changed,
    events.TopologyClosedEvent: _topology("Stopped topology monitoring"),
    events.ServerOpeningEvent: _topology("Starting server monitoring"),
    events.ServerClosedEvent: _topology("Stopped server monitoring"),
    events.ServerHeartbeatStartedEvent: _heartbeat_started,
    events.ServerHeartbeatSucceededEvent: _heartbeat_succeeded,
    events.ServerHeartbeatFailedEvent: _heartbeat_failed,
    events.ServerSelectionEvent: _selection,
    events.CausalTokenIgnoredEvent: _token_ignored,
}
