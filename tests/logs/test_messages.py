"""What is logged for each event, as a table (the "Log Messages" of the four specifications that define some)."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from bson import ObjectId

from wiredrv import events
from wiredrv.description import ServerDescription, ServerType, TopologyDescription, TopologyType
from wiredrv.errors import AutoReconnect, OperationFailure, ServerSelectionTimeoutError
from wiredrv.logs.messages import describe
from wiredrv.types import Address

HERE = Address("db.example", 27018)
SOCKET = Address("/tmp/mongodb.sock", None)
TOPOLOGY = ObjectId(b"topology-id.")
SERVICE = ObjectId(b"service-id..")
WHERE = {"serverHost": "db.example", "serverPort": 27018}
COMMAND = {"commandName": "find", "databaseName": "shop", "requestId": 7, "operationId": 5, "driverConnectionId": 3}
REFUSED = OperationFailure("no", 13, {"ok": 0, "errmsg": "no", "code": 13}, error_labels=["B", "A"])
UNKNOWN = TopologyDescription()
SINGLE = TopologyDescription(TopologyType.SINGLE, {HERE: ServerDescription(HERE, ServerType.STANDALONE)})


def _command(kind: Any, **more: Any) -> Any:
    return kind("find", "shop", 7, 5, HERE, 3, **more)


def _selection(step: str, **more: Any) -> events.ServerSelectionEvent:
    return events.ServerSelectionEvent(step, "writable server", "insert", 9, SINGLE, **more)


SELECTION = {
    "selector": "writable server",
    "operation": "insert",
    "operationId": 9,
    "topologyDescription": "Single [db.example:27018: Standalone]",
}
BEAT = {**WHERE, "topologyId": str(TOPOLOGY), "driverConnectionId": 2, "awaited": True}

CASES: list[tuple[Any, dict[str, Any]]] = [
    (
        _command(events.CommandStartedEvent, command={"find": "orders"}, service_id=SERVICE, server_connection_id=4),
        {
            "message": "Command started",
            **COMMAND,
            **WHERE,
            "serverConnectionId": 4,
            "serviceId": str(SERVICE),
            "command": '{"find": "orders"}',
        },
    ),
    (
        _command(events.CommandSucceededEvent, reply={"ok": 1}, duration=0.0125),
        {"message": "Command succeeded", **COMMAND, **WHERE, "durationMS": 12.5, "reply": '{"ok": 1}'},
    ),
    (
        _command(events.CommandFailedEvent, failure=REFUSED, duration=0.001),
        {
            "message": "Command failed",
            **COMMAND,
            **WHERE,
            "durationMS": 1.0,
            "failure": 'OperationFailure: no; labels: A, B; reply: {"ok": 0, "errmsg": "no", "code": 13}',
        },
    ),
    (events.PoolCreatedEvent(SOCKET, {}), {"message": "Connection pool created", "serverHost": "/tmp/mongodb.sock"}),
    (
        events.PoolCreatedEvent(HERE, {"maxPoolSize": 5}),
        {"message": "Connection pool created", **WHERE, "maxPoolSize": 5},
    ),
    (events.PoolReadyEvent(HERE), {"message": "Connection pool ready", **WHERE}),
    (
        events.PoolClearedEvent(HERE, SERVICE),
        {"message": "Connection pool cleared", **WHERE, "serviceId": str(SERVICE)},
    ),
    (events.PoolClosedEvent(HERE), {"message": "Connection pool closed", **WHERE}),
    (events.ConnectionCreatedEvent(HERE, 3), {"message": "Connection created", **WHERE, "driverConnectionId": 3}),
    (
        events.ConnectionReadyEvent(HERE, 3, 0.5),
        {"message": "Connection ready", **WHERE, "driverConnectionId": 3, "durationMS": 500.0},
    ),
    (
        events.ConnectionClosedEvent(HERE, 3, "stale"),
        {
            "message": "Connection closed",
            **WHERE,
            "driverConnectionId": 3,
            "reason": "Connection became stale because the pool was cleared",
        },
    ),
    (
        events.ConnectionClosedEvent(HERE, 3, "idle"),
        {
            "message": "Connection closed",
            **WHERE,
            "driverConnectionId": 3,
            "reason": "Connection has been available but unused for longer than the configured max idle time",
        },
    ),
    (
        events.ConnectionClosedEvent(HERE, 3, "error", AutoReconnect("reset")),
        {
            "message": "Connection closed",
            **WHERE,
            "driverConnectionId": 3,
            "reason": "An error occurred while using the connection",
            "error": "AutoReconnect: reset",
        },
    ),
    (
        events.ConnectionClosedEvent(HERE, 3, "poolClosed"),
        {"message": "Connection closed", **WHERE, "driverConnectionId": 3, "reason": "Connection pool was closed"},
    ),
    (events.ConnectionCheckOutStartedEvent(HERE), {"message": "Connection checkout started", **WHERE}),
    (
        events.ConnectionCheckOutFailedEvent(HERE, "timeout", 0.25, AutoReconnect("late")),
        {
            "message": "Connection checkout failed",
            **WHERE,
            "reason": "Wait queue timeout elapsed without a connection becoming available",
            "durationMS": 250.0,
        },
    ),
    (
        events.ConnectionCheckOutFailedEvent(HERE, "connectionError", 0.25, AutoReconnect("reset")),
        {
            "message": "Connection checkout failed",
            **WHERE,
            "reason": "An error occurred while trying to establish a new connection",
            "error": "AutoReconnect: reset",
            "durationMS": 250.0,
        },
    ),
    (
        events.ConnectionCheckedOutEvent(HERE, 3, 0.002),
        {"message": "Connection checked out", **WHERE, "driverConnectionId": 3, "durationMS": 2.0},
    ),
    (events.ConnectionCheckedInEvent(HERE, 3), {"message": "Connection checked in", **WHERE, "driverConnectionId": 3}),
    (events.TopologyOpenedEvent(TOPOLOGY), {"message": "Starting topology monitoring", "topologyId": str(TOPOLOGY)}),
    (events.TopologyClosedEvent(TOPOLOGY), {"message": "Stopped topology monitoring", "topologyId": str(TOPOLOGY)}),
    (
        events.ServerOpeningEvent(TOPOLOGY, HERE),
        {"message": "Starting server monitoring", "topologyId": str(TOPOLOGY), **WHERE},
    ),
    (
        events.ServerClosedEvent(TOPOLOGY, HERE),
        {"message": "Stopped server monitoring", "topologyId": str(TOPOLOGY), **WHERE},
    ),
    (
        events.TopologyDescriptionChangedEvent(TOPOLOGY, UNKNOWN, SINGLE),
        {
            "message": "Topology description changed",
            "topologyId": str(TOPOLOGY),
            "previousDescription": "Unknown [no servers]",
            "newDescription": "Single [db.example:27018: Standalone]",
        },
    ),
    (
        events.ServerHeartbeatStartedEvent(HERE, True, 2, None, TOPOLOGY),
        {"message": "Server heartbeat started", **BEAT},
    ),
    (
        events.ServerHeartbeatSucceededEvent(HERE, True, 2, 44, TOPOLOGY, duration=0.003, reply={"ok": 1}),
        {
            "message": "Server heartbeat succeeded",
            **BEAT,
            "serverConnectionId": 44,
            "durationMS": 3.0,
            "reply": '{"ok": 1}',
        },
    ),
    (
        events.ServerHeartbeatFailedEvent(HERE, True, 2, 44, TOPOLOGY, duration=0.003, failure=AutoReconnect("reset")),
        {
            "message": "Server heartbeat failed",
            **BEAT,
            "serverConnectionId": 44,
            "durationMS": 3.0,
            "failure": "AutoReconnect: reset",
        },
    ),
    (_selection("started"), {"message": "Server selection started", **SELECTION}),
    (
        _selection("waiting", remaining=29.5),
        {"message": "Waiting for suitable server to become available", **SELECTION, "remainingTimeMS": 29500},
    ),
    (_selection("succeeded", address=HERE), {"message": "Server selection succeeded", **SELECTION, **WHERE}),
    (
        _selection("failed", failure=ServerSelectionTimeoutError("none; the topology is …", SINGLE)),
        {
            "message": "Server selection failed",
            **SELECTION,
            "failure": "ServerSelectionTimeoutError: no server was suitable in time",
        },
    ),
    (
        events.CausalTokenIgnoredEvent({"id": 7}, "foreign", "it is of another deployment"),
        {
            "message": "Causal token ignored",
            "reason": "foreign",
            "explanation": "it is of another deployment",
            "lsid": '{"id": 7}',
        },
    ),
]


@pytest.mark.parametrize(
    "event, data", CASES, ids=[f"{type(event).__name__}-{n}" for n, (event, _) in enumerate(CASES)]
)
def test_messages(event: Any, data: dict[str, Any]) -> None:
    message = describe(event, 1000)
    assert message is not None
    assert message.data == data
    assert next(iter(message.data)) == "message"


def test_every_event_is_logged_but_the_one_whose_news_another_tells() -> None:
    """A changed server is reported by the changed topology (SDAM logging and monitoring, "Log Messages")."""
    kinds = {
        kind
        for _, kind in inspect.getmembers(events, inspect.isclass)
        if kind.__name__.endswith("Event") and not kind.__subclasses__()
    }
    assert kinds - {type(event) for event, _ in CASES} == {events.ServerDescriptionChangedEvent}
    assert describe(events.ServerDescriptionChangedEvent(TOPOLOGY, HERE), 1000) is None


def test_documents_are_cut_off_also_in_failures() -> None:
    failed = describe(_command(events.CommandFailedEvent, failure=REFUSED), 5)
    assert failed is not None
    assert failed.data["failure"].endswith('reply: {"ok"...')


def test_a_message_as_text_is_one_line() -> None:
    message = describe(events.ConnectionCreatedEvent(HERE, 3), 1000)
    assert str(message) == "Connection created: serverHost=db.example serverPort=27018 driverConnectionId=3"
