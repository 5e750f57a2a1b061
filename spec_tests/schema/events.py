"""Models of the events that a test expects. Unified test format specification, "expectedEvent"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spec_tests.errors import SchemaError
from spec_tests.schema.reader import Fields, read_document
from wiredrv.description import ServerType, TopologyType

# For each event of the format: its family, and its assertions with the type that each must have.
_COMMAND = {"commandName": str, "databaseName": str, "hasServiceId": bool, "hasServerConnectionId": bool}
_DESCRIPTIONS = {"previousDescription": dict, "newDescription": dict}
EVENT_FIELDS: Mapping[str, tuple[str, Mapping[str, type]]] = {
    "commandStartedEvent": ("command", {"command": dict, **_COMMAND}),
    "commandSucceededEvent": ("command", {"reply": dict, **_COMMAND}),
    "commandFailedEvent": ("command", _COMMAND),
    "poolCreatedEvent": ("cmap", {}),
    "poolReadyEvent": ("cmap", {}),
    "poolClearedEvent": ("cmap", {"hasServiceId": bool, "interruptInUseConnections": bool}),
    "poolClosedEvent": ("cmap", {}),
    "connectionCreatedEvent": ("cmap", {}),
    "connectionReadyEvent": ("cmap", {}),
    "connectionClosedEvent": ("cmap", {"reason": str}),
    "connectionCheckOutStartedEvent": ("cmap", {}),
    "connectionCheckOutFailedEvent": ("cmap", {"reason": str}),
    "connectionCheckedOutEvent": ("cmap", {}),
    "connectionCheckedInEvent": ("cmap", {}),
    "serverDescriptionChangedEvent": ("sdam", _DESCRIPTIONS),
    "topologyDescriptionChangedEvent": ("sdam", _DESCRIPTIONS),
    "serverHeartbeatStartedEvent": ("sdam", {"awaited": bool}),
    "serverHeartbeatSucceededEvent": ("sdam", {"awaited": bool}),
    "serverHeartbeatFailedEvent": ("sdam", {"awaited": bool}),
    "topologyOpeningEvent": ("sdam", {}),
    "topologyClosedEvent": ("sdam", {}),
}
OBSERVABLE_EVENTS = frozenset(EVENT_FIELDS)
FAMILIES = ("command", "cmap", "sdam")
# The deprecated `storeEventsAsEntities` capitalises its event names, and has no heartbeat events.
STORABLE_EVENTS = frozenset(name[0].upper() + name[1:] for name in EVENT_FIELDS if "Heartbeat" not in name)
SERVER_TYPES = frozenset(kind.value for kind in ServerType)
TOPOLOGY_TYPES = frozenset(kind.value for kind in TopologyType)


@dataclass(frozen=True, slots=True)
class ExpectedEvent:
    """One event: its name, its family, and what is asserted of it."""

    name: str
    family: str
    assertions: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, value: Any, path: str) -> ExpectedEvent:
        document = read_document(value, path)
        if len(document) != 1:
            raise SchemaError(path, f"must have exactly one key, the event's name, and has {len(document)}")
        ((name, body),) = document.items()
        if name not in EVENT_FIELDS:
            raise SchemaError(path, f"{name!r} is no event")
        family, known = EVENT_FIELDS[name]
        assertions = read_document(body, f"{path}.{name}")
        for key, asserted in assertions.items():
            _check_assertion(name, key, asserted, known, f"{path}.{name}")
        return cls(name, family, assertions)

    @property
    def document(self) -> dict[str, Any]:
        """The event as it is written in the file."""
        return {self.name: dict(self.assertions)}


def _check_assertion(name: str, key: str, value: Any, known: Mapping[str, type], path: str) -> None:
    if key not in known:
        raise SchemaError(path, f"{name} has no assertion {key!r}")
    if not isinstance(value, known[key]):
        raise SchemaError(f"{path}.{key}", f"must be of type {known[key].__name__}")
    if key in _DESCRIPTIONS:
        fields = Fields(value, f"{path}.{key}")
        fields.choice("type", SERVER_TYPES if name.startswith("server") else TOPOLOGY_TYPES)
        fields.done()


@dataclass(frozen=True, slots=True)
class ExpectedEvents:
    """The events expected of one client, in their order."""

    client: str
    events: tuple[ExpectedEvent, ...]
    event_type: str = "command"
    ignore_extra_events: bool = False

    @classmethod
    def read(cls, value: Any, path: str) -> ExpectedEvents:
        fields = Fields(value, path)
        fields.require("events")
        family = fields.choice("eventType", FAMILIES) or "command"
        events = fields.array("events", ExpectedEvent.read)
        model = cls(fields.text("client"), events, family, bool(fields.flag("ignoreExtraEvents")))
        fields.done()
        for index, event in enumerate(events):
            if event.family != family:
                raise SchemaError(f"{path}.events[{index}]", f"{event.name} is no {family} event")
        return model
