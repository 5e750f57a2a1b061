"""The log messages about one selection of a server (server-selection specification, "Logging")."""

from __future__ import annotations

from typing import Any

from wiredrv.concerns import ReadPreference
from wiredrv.description import TopologyDescription
from wiredrv.errors import DriverError
from wiredrv.events import ServerSelectionEvent
from wiredrv.listeners import ListenerHub
from wiredrv.types import Address


class SelectionLog:
    """Logs the steps of one selection, if that is enabled. Waiting is logged once."""

    __slots__ = ("_hub", "_operation", "_operation_id", "_read_preference", "_waiting")

    def __init__(
        self, hub: ListenerHub, read_preference: ReadPreference | None, operation: str, operation_id: int
    ) -> None:
        self._hub = hub
        self._read_preference = read_preference
        self._operation = operation
        self._operation_id = operation_id
        self._waiting = False

    def started(self, topology: TopologyDescription) -> None:
        """Selection begins."""
        if self._hub.selection:
            self._hub.publish(self._hub.selection, self._event("started", topology))

    def waiting(self, topology: TopologyDescription, remaining: float) -> None:
        """No server is suitable now; the operation waits for up to ``remaining`` seconds."""
        if self._hub.waiting and not self._waiting:
            self._hub.publish(self._hub.waiting, self._event("waiting", topology, remaining=remaining))
        self._waiting = True

    def succeeded(self, topology: TopologyDescription, address: Address) -> None:
        """A server was chosen."""
        if self._hub.selection:
            self._hub.publish(self._hub.selection, self._event("succeeded", topology, address=address))

    def failed(self, topology: TopologyDescription, error: DriverError) -> None:
        """No server was suitable in time, or none ever can be."""
        if self._hub.selection:
            self._hub.publish(self._hub.selection, self._event("failed", topology, failure=error))

    def _event(self, step: str, topology: TopologyDescription, **more: Any) -> ServerSelectionEvent:
        selector = (
            "writable server" if self._read_preference is None else f"read preference {self._read_preference.document}"
        )
        return ServerSelectionEvent(step, selector, self._operation, self._operation_id, topology, **more)
