"""Listeners that derive from PyMongo's classes get PyMongo's events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bson
import pytest
from bson.objectid import ObjectId
from pymongo import monitoring
from pymongo.hello import Hello

from wiredrv import events
from wiredrv.compat.listeners import _MAKERS, failure_document, translation
from wiredrv.description import ServerDescription, ServerType, TopologyDescription, TopologyType
from wiredrv.errors import AutoReconnect, ConfigurationError, NotPrimaryError, OperationFailure
from wiredrv.events import CausalTokenIgnoredEvent
from wiredrv.listeners import _METHODS, ListenerHub
from wiredrv.types import Address

ADDRESS = Address("localhost", 27017)
HERE = ("localhost", 27017)
ID = ObjectId()
COMMAND: dict[str, Any] = {
    "command_name": "find",
    "database_name": "shop",
    "request_id": 7,
    "operation_id": 8,
    "address": ADDRESS,
    "connection_id": 3,
    "server_connection_id": 12,
    "service_id": ID,
}
HELLO = {"ok": 1.0, "isWritablePrimary": True, "setName": "rs", "hosts": ["localhost:27017"], "maxWireVersion": 21}
SERVER = ServerDescription(ADDRESS, ServerType.RS_PRIMARY, round_trip_time=0.01, set_name="rs", hello=HELLO)
TOPOLOGY = TopologyDescription(TopologyType.REPLICA_SET_WITH_PRIMARY, {ADDRESS: SERVER}, "rs", 1, ID)

OF_COMMAND = {
    "command_name": "find",
    "database_name": "shop",
    "request_id": 7,
    "operation_id": 8,
    "connection_id": HERE,
    "server_connection_id": 12,
    "service_id": ID,
}
REFUSED = OperationFailure("no", 5, {"ok": 0, "code": 5, "errmsg": "no"})

#: For each of this driver's events: the event of PyMongo's that is made of it, as a dict of its fields.
EVENTS: list[tuple[Any, Mapping[str, Any]]] = [
    (
        events.CommandStartedEvent(**COMMAND, command={"find": "orders", "$db": "shop"}),
        {**OF_COMMAND, "command": {"find": "orders", "$db": "shop"}},
    ),
    (
        events.CommandSucceededEvent(**COMMAND, reply={"ok": 1.0}, duration=0.0015),
        {**OF_COMMAND, "reply": {"ok": 1.0}, "duration_micros": 1500},
    ),
    (
        events.CommandFailedEvent(**COMMAND, failure=REFUSED, duration=1.5),
        {**OF_COMMAND, "failure": REFUSED.details, "duration_micros": 1_500_000},
    ),
    (events.PoolCreatedEvent(ADDRESS, {"maxPoolSize": 5}), {"address": HERE, "options": {"maxPoolSize": 5}}),
    (events.PoolReadyEvent(ADDRESS), {"address": HERE}),
    (events.PoolClearedEvent(ADDRESS, ID, True), {"address": HERE, "service_id": ID, "interrupt_connections": True}),
    (events.PoolClosedEvent(ADDRESS), {"address": HERE}),
    (events.ConnectionCreatedEvent(ADDRESS, 3), {"address": HERE, "connection_id": 3}),
    (events.ConnectionReadyEvent(ADDRESS, 3, 0.5), {"address": HERE, "connection_id": 3, "duration": 0.5}),
    (
        events.ConnectionClosedEvent(ADDRESS, 3, "idle"),
        {"address": HERE, "connection_id": 3, "reason": monitoring.ConnectionClosedReason.IDLE},
    ),
    (events.ConnectionCheckOutStartedEvent(ADDRESS), {"address": HERE}),
    (
        events.ConnectionCheckOutFailedEvent(ADDRESS, "timeout", 0.5),
        {"address": HERE, "reason": monitoring.ConnectionCheckOutFailedReason.TIMEOUT, "duration": 0.5},
    ),
    (events.ConnectionCheckedOutEvent(ADDRESS, 3, 0.5), {"address": HERE, "connection_id": 3, "duration": 0.5}),
    (events.ConnectionCheckedInEvent(ADDRESS, 3), {"address": HERE, "connection_id": 3}),
    (events.TopologyOpenedEvent(ID), {"topology_id": ID}),
    (events.TopologyDescriptionChangedEvent(ID, TopologyDescription(), TOPOLOGY), {"topology_id": ID}),
    (events.TopologyClosedEvent(ID), {"topology_id": ID}),
    (events.ServerOpeningEvent(ID, ADDRESS), {"topology_id": ID, "server_address": HERE}),
    (
        events.ServerDescriptionChangedEvent(ID, ADDRESS, ServerDescription(ADDRESS), SERVER),
        {"topology_id": ID, "server_address": HERE},
    ),
    (events.ServerClosedEvent(ID, ADDRESS), {"topology_id": ID, "server_address": HERE}),
    (events.ServerHeartbeatStartedEvent(ADDRESS, True), {"connection_id": HERE, "awaited": True}),
    (
        events.ServerHeartbeatSucceededEvent(ADDRESS, True, duration=0.5, reply=HELLO),
        {"connection_id": HERE, "awaited": True, "duration": 0.5},
    ),
    (
        events.ServerHeartbeatFailedEvent(ADDRESS, duration=0.5, failure=REFUSED),
        {"connection_id": HERE, "awaited": False, "duration": 0.5, "reply": REFUSED},
    ),
]


class Everything(monitoring.ConnectionPoolListener, monitoring.TopologyListener):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def _hear(self, event: Any) -> None:
        self.heard.append(event)

    opened = description_changed = closed = _hear
    pool_created = pool_ready = pool_cleared = pool_closed = _hear
    connection_created = connection_ready = connection_closed = _hear
    connection_check_out_started = connection_check_out_failed = _hear
    connection_checked_out = connection_checked_in = _hear


class Commands(monitoring.CommandListener):
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def started(self, event: Any) -> None:
        self.heard.append(event)

    succeeded = failed = started


class Heartbeats(monitoring.ServerHeartbeatListener):
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def started(self, event: Any) -> None:
        self.heard.append(event)

    succeeded = failed = started


class Servers(monitoring.ServerListener):
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def opened(self, event: Any) -> None:
        self.heard.append(event)

    description_changed = closed = opened


def _publish(hub: ListenerHub, event: object) -> None:
    family = next(family for family, methods in _METHODS.values() if type(event) in methods)
    hub.publish(getattr(hub, family), event)


@pytest.mark.parametrize("event, fields", EVENTS, ids=[type(event).__name__ for event, _ in EVENTS])
def test_each_event_is_pymongos_with_its_fields(event: Any, fields: Mapping[str, Any]) -> None:
    listeners: list[Any] = [Everything(), Commands(), Heartbeats(), Servers()]
    _publish(ListenerHub(listeners), event)
    (made,) = [made for listener in listeners for made in listener.heard]
    assert type(made) is getattr(monitoring, type(event).__name__)
    assert {name: getattr(made, name) for name in fields} == fields
    repr(made)


def test_every_event_has_its_counterpart() -> None:
    heard = {event for _, methods in _METHODS.values() for event in methods}
    heard.remove(CausalTokenIgnoredEvent)  # PyMongo has no such tokens
    assert set(_MAKERS) == heard
    assert {type(event) for event, _ in EVENTS} == heard


def test_descriptions_are_pymongos_too() -> None:
    servers: Any = Servers()
    everything: Any = Everything()
    hub = ListenerHub([servers, everything])
    _publish(hub, events.ServerDescriptionChangedEvent(ID, ADDRESS, ServerDescription(ADDRESS), SERVER))
    (server,) = servers.heard
    assert server.previous_description.server_type_name == "Unknown"
    assert server.new_description.server_type_name == "RSPrimary"
    assert server.new_description.round_trip_time == 0.01
    assert server.new_description.replica_set_name == "rs"
    _publish(hub, events.TopologyDescriptionChangedEvent(ID, TopologyDescription(), TOPOLOGY))
    (changed,) = everything.heard
    assert changed.previous_description.topology_type_name == "Unknown"
    description = changed.new_description
    assert description.topology_type_name == "ReplicaSetWithPrimary"
    assert description.server_descriptions()[HERE].is_writable
    assert description.has_writable_server()
    assert description.has_readable_server()
    repr(description)


def test_the_answer_of_a_heartbeat_is_a_hello() -> None:
    heartbeats: Any = Heartbeats()
    _publish(ListenerHub([heartbeats]), events.ServerHeartbeatSucceededEvent(ADDRESS, reply=HELLO, duration=0.1))
    (event,) = heartbeats.heard
    assert isinstance(event.reply, Hello)
    assert event.reply.document == HELLO
    assert event.reply.is_writable


@pytest.mark.parametrize("name", ["saslStart", "hello", "authenticate"])
def test_a_command_with_credentials_stays_empty(name: str) -> None:
    commands: Any = Commands()
    hub = ListenerHub([commands])
    redacted = {**COMMAND, "command_name": name}
    _publish(hub, events.CommandStartedEvent(**redacted))
    _publish(hub, events.CommandSucceededEvent(**redacted))
    assert [(event.command_name, getattr(event, "command", {})) for event in commands.heard] == [(name, {})] * 2


@pytest.mark.parametrize(
    "error, expected",
    [
        (REFUSED, {"ok": 0, "code": 5, "errmsg": "no"}),
        (NotPrimaryError("no", {"code": 10107}), {"code": 10107}),
        (AutoReconnect("the connection broke"), {"errmsg": "the connection broke", "errtype": "AutoReconnect"}),
        (ValueError("x"), {"errmsg": "x", "errtype": "ValueError"}),
    ],
)
def test_a_failure_is_a_document(error: BaseException, expected: Mapping[str, Any]) -> None:
    assert failure_document(error) == expected
    bson.encode(failure_document(error))


def test_listeners_of_both_drivers_hear_their_own_events() -> None:
    class Ours(events.CommandListener):
        def started(self, event: events.CommandStartedEvent) -> None:
            heard.append(event)

    heard: list[Any] = []
    commands: Any = Commands()
    event = EVENTS[0][0]
    _publish(ListenerHub([Ours(), commands, heard.append]), event)
    assert heard == [event, event]
    assert type(commands.heard[0]) is monitoring.CommandStartedEvent


def test_a_class_that_only_looks_like_pymongos_is_none() -> None:
    class CommandListener:
        def started(self, event: object) -> None: ...

    assert translation(CommandListener(), events.CommandListener) is None
    with pytest.raises(ConfigurationError, match="is not an event listener"):
        ListenerHub([CommandListener()])  # type: ignore[list-item]  # bad input is the point
