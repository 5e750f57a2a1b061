"""What the runner observes of a client: its events, its structured log messages, and the commands on the wire.

Rules kept here:

* A listener only appends and counts; it never raises and never awaits.
* ``EventLog.events`` holds what the test asked to observe; the trace holds every command, for the report.

Unified test format specification, "observeEvents", "ignoreCommandMonitoringEvents", "observeSensitiveCommands".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio

from spec_tests.schema import ClientEntity
from spec_tests.schema.events import EVENT_FIELDS
from wiredrv import events
from wiredrv.description import TopologyDescription
from wiredrv.errors import DriverError, OperationFailure
from wiredrv.types import Address

# Command logging and monitoring specification, "Security". Written out here instead of imported, since the driver's own
# list is under test.
SENSITIVE_COMMANDS = frozenset(
    {
        "authenticate",
        "saslstart",
        "saslcontinue",
        "getnonce",
        "createuser",
        "updateuser",
        "copydbgetnonce",
        "copydbsaslstart",
        "copydb",
    }
)
_HELLO = frozenset({"hello", "ismaster"})


@dataclass(frozen=True, slots=True)
class Observed:
    """One event under the format's name for it."""

    name: str
    event: Any

    @property
    def family(self) -> str:
        return EVENT_FIELDS[self.name][0]

    @property
    def document(self) -> dict[str, Any]:
        """The event as a report shows it."""
        return {self.name: describe(self.event)}


@dataclass(frozen=True, slots=True)
class LogMessage:
    """One structured log message of the driver."""

    component: str
    level: str
    data: Mapping[str, Any]


@dataclass(slots=True)
class Trace:
    """Every command of every client of a test, in the order in which the driver published them."""

    started: float = field(default_factory=time.perf_counter)
    lines: list[tuple[float, str, Any]] = field(default_factory=list)

    def add(self, client: str, event: Any) -> None:
        self.lines.append((time.perf_counter() - self.started, client, event))


def spec_name(event: object) -> str | None:
    """The format's name for an event of the driver, or None if the format has no such event."""
    name = type(event).__name__
    if name == "TopologyOpenedEvent":
        return "topologyOpeningEvent"
    name = name[0].lower() + name[1:]
    return name if name in EVENT_FIELDS else None


def describe(event: Any) -> dict[str, Any]:
    """An event's fields as plain values."""
    if isinstance(event, (events.CommandStartedEvent, events.CommandSucceededEvent, events.CommandFailedEvent)):
        body: dict[str, Any] = {"commandName": event.command_name, "databaseName": event.database_name}
        if isinstance(event, events.CommandStartedEvent):
            body["command"] = event.command
        elif isinstance(event, events.CommandSucceededEvent):
            body["reply"] = event.reply
        else:
            body["failure"] = f"{type(event.failure).__name__}: {event.failure}"
            if isinstance(event.failure, DriverError) and event.failure.error_labels:
                body["errorLabels"] = sorted(event.failure.error_labels)
            if isinstance(event.failure, OperationFailure):
                body["code"] = event.failure.code
        return {**body, "address": str(event.address), "connectionId": event.connection_id}
    names = [name for cls in type(event).__mro__ for name in getattr(cls, "__slots__", ())]
    return {name: _plain(getattr(event, name)) for name in names}


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str, type(None), Mapping)) else str(value)


class EventLog:
    """The listener of one client entity."""

    def __init__(self, model: ClientEntity, trace: Trace) -> None:
        self.client = model.id
        self.events: list[Observed] = []
        self.messages: list[LogMessage] = []
        self.checked_out = 0
        self.listening = True
        self.topology = TopologyDescription()
        self.ready_connections: dict[Address, int] = {}
        self._wanted = frozenset(model.observe_events)
        self._ignored = frozenset(name.lower() for name in model.ignore_command_monitoring_events)
        self._sensitive = model.observe_sensitive_commands
        self._hidden: set[int] = set()
        self._trace = trace
        self._changed: anyio.Event | None = None

    def __call__(self, event: Any) -> None:
        """Receive one event: the client calls this as its listener."""
        self._count(event)
        if self.listening and isinstance(event, events.CommandEvent):
            self._trace.add(self.client, event)
        name = spec_name(event)
        if self.listening and name in self._wanted and name is not None and not self._is_ignored(event):
            self.events.append(Observed(name, event))
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def hear_log(self, component: str, level: str, data: Mapping[str, Any]) -> None:
        """Receive one structured log message."""
        if self.listening:
            self.messages.append(LogMessage(component, level, data))

    def of_family(self, family: str) -> list[Observed]:
        """The observed events of one family: ``command``, ``cmap`` or ``sdam``."""
        return [observed for observed in self.events if observed.family == family]

    def forget(self) -> None:
        """Drop the events of pools and servers observed so far (``awaitMinPoolSizeMS``)."""
        self.events = [observed for observed in self.events if observed.family == "command"]
        self.messages.clear()

    async def wait_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until ``condition`` holds, checking it after every event; return whether it did in time."""
        with anyio.move_on_after(seconds):
            while not condition():
                if self._changed is None:
                    self._changed = anyio.Event()
                await self._changed.wait()
        return condition()

    def _count(self, event: Any) -> None:
        if isinstance(event, events.ConnectionCheckedOutEvent):
            self.checked_out += 1
        elif isinstance(event, events.ConnectionCheckedInEvent):
            self.checked_out -= 1
        elif isinstance(event, events.ConnectionReadyEvent):
            self.ready_connections[event.address] = self.ready_connections.get(event.address, 0) + 1
        elif isinstance(event, events.ConnectionClosedEvent):
            self.ready_connections[event.address] = self.ready_connections.get(event.address, 0) - 1
        elif isinstance(event, events.TopologyDescriptionChangedEvent):
            self.topology = event.new_description

    def _is_ignored(self, event: Any) -> bool:
        if not isinstance(event, events.CommandEvent):
            return False
        name = event.command_name.lower()
        if name == "configurefailpoint" or name in self._ignored:
            return True
        return not self._sensitive and (name in SENSITIVE_COMMANDS or self._is_hidden_hello(name, event))

    def _is_hidden_hello(self, name: str, event: events.CommandEvent) -> bool:
        # A hello with speculative authentication is recognised by its redacted (empty) body.
        if name not in _HELLO:
            return False
        if isinstance(event, events.CommandStartedEvent):
            if not event.command:
                self._hidden.add(event.request_id)
            return not event.command
        return event.request_id in self._hidden
