"""The events of one check of a server: started once, and ended once, whatever happens.

Server-discovery-and-monitoring's logging part, "Heartbeats": each start has its success or failure. A monitor that is
closed ends its check here, before the topology publishes that it is closed.
"""

from __future__ import annotations

from typing import Any

from bson.objectid import ObjectId

from wiredrv import events
from wiredrv.listeners import ListenerHub
from wiredrv.types import Address, Document
from wiredrv.waits import monotonic


class Heartbeat:
    """A check in progress. The listeners at its start get its end too."""

    __slots__ = (
        "_address",
        "_awaited",
        "_connection_id",
        "_hub",
        "_listeners",
        "_server_id",
        "_topology_id",
        "started",
    )

    def __init__(
        self,
        hub: ListenerHub,
        address: Address,
        topology_id: ObjectId | None,
        awaited: bool,
        connection_id: int,
        server_id: int | None,
    ) -> None:
        self.started = monotonic()
        self._hub = hub
        self._listeners = hub.heartbeat
        self._address = address
        self._topology_id = topology_id
        self._awaited = awaited
        self._connection_id = connection_id
        self._server_id = server_id
        if self._listeners:
            hub.publish(self._listeners, events.ServerHeartbeatStartedEvent(*self._common()))

    def succeeded(self, reply: Document, duration: float, server_id: int | None) -> None:
        """The server answered, after ``duration`` seconds."""
        if self._listeners:
            self._server_id = server_id
            event = events.ServerHeartbeatSucceededEvent(*self._common(), duration=duration, reply=reply)
            self._hub.publish(self._listeners, event)
        self._listeners = ()

    def failed(self, error: BaseException) -> None:
        """The server did not answer, or with an error. Does nothing when the check has ended."""
        if self._listeners:
            duration = monotonic() - self.started
            event = events.ServerHeartbeatFailedEvent(*self._common(), duration=duration, failure=error)
            self._hub.publish(self._listeners, event)
        self._listeners = ()

    def _common(self) -> tuple[Address, bool, int, int | None, Any]:
        return self._address, self._awaited, self._connection_id, self._server_id, self._topology_id
