"""The hub that delivers events to listeners.

Rules kept here:

* No event is built without a listener: callers check a family's tuple (``if hub.command:``) before they build one.
* A listener is called synchronously, in the task in which the event happened; its exceptions are reported through the
  ``wiredrv.events`` logger and change no outcome.

The log messages for events are in ``logs``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from wiredrv.compat.listeners import Translation, translation
from wiredrv.errors import ConfigurationError
from wiredrv.events import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
    ConnectionCheckedInEvent,
    ConnectionCheckedOutEvent,
    ConnectionCheckOutFailedEvent,
    ConnectionCheckOutStartedEvent,
    ConnectionClosedEvent,
    ConnectionCreatedEvent,
    ConnectionPoolListener,
    ConnectionReadyEvent,
    PoolClearedEvent,
    PoolClosedEvent,
    PoolCreatedEvent,
    PoolReadyEvent,
    ServerClosedEvent,
    ServerDescriptionChangedEvent,
    ServerHeartbeatFailedEvent,
    ServerHeartbeatListener,
    ServerHeartbeatStartedEvent,
    ServerHeartbeatSucceededEvent,
    ServerListener,
    ServerOpeningEvent,
    TopologyClosedEvent,
    TopologyDescriptionChangedEvent,
    TopologyListener,
    TopologyOpenedEvent,
)

_LOG = logging.getLogger("wiredrv.events")

Listener: TypeAlias = Callable[[Any], object]
#: What a client takes as a listener: an object of one of the listener classes, or a callable that takes any event.
EventListener: TypeAlias = (
    CommandListener | ConnectionPoolListener | ServerListener | ServerHeartbeatListener | TopologyListener | Listener
)
#: Calls a listener with an event.
Caller: TypeAlias = Callable[[Listener, Any], object]

# For each listener class: the hub's family, and the method for each event.
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
#: For the log alone.
_UNHEARD = ("selection", "waiting")


class ListenerHub:
    """Delivers events to listeners, by family: ``command``, ``pool``, ``topology`` (and servers), ``heartbeat``.

    A listener is an object of one or more of the listener classes of ``wiredrv.events``; or of PyMongo's, and then gets
    PyMongo's events; or any callable, which gets every event. Two more families are for the log alone: ``selection``,
    and ``waiting`` for its step of that name.

    :param call: calls a listener with an event; the client gives ``waits.user``.
    :raises ConfigurationError: a listener is neither.
    """

    __slots__ = (*_FAMILIES, *_UNHEARD, "_call")

    command: tuple[Listener, ...]
    pool: tuple[Listener, ...]
    topology: tuple[Listener, ...]
    heartbeat: tuple[Listener, ...]
    selection: tuple[Listener, ...]
    waiting: tuple[Listener, ...]

    def __init__(self, listeners: Iterable[EventListener] = (), call: Caller | None = None) -> None:
        self._call = call or _directly
        if not isinstance(listeners, Iterable):
            raise ConfigurationError(f"event_listeners takes a list of listeners, not {listeners!r}")
        families: dict[str, list[Listener]] = {family: [] for family in _FAMILIES}
        for listener in listeners:
            known = False
            for kind, (family, methods) in _METHODS.items():
                translate = None if isinstance(listener, kind) else translation(listener, kind)
                if translate is None and not isinstance(listener, kind):
                    continue
                known = True
                chosen = {event: getattr(listener, name) for event, name in methods.items()}
                families[family].append(_dispatch(chosen, translate))
            if known:
                continue
            if not callable(listener):
                raise ConfigurationError(
                    f"{listener!r} is not an event listener: pass a callable that takes the event, or an object of a "
                    f"class derived from {', '.join(kind.__name__ for kind in _METHODS)}"
                )
            for listeners in families.values():
                listeners.append(listener)
        self.selection = self.waiting = ()
        for family, listeners in families.items():
            setattr(self, family, tuple(listeners))

    def refresh(self) -> None:
        """Update the listeners. Called when a client opens and after every check of a server; does nothing here."""

    def publish(self, listeners: tuple[Listener, ...], event: object) -> None:
        """Call each of a family's listeners. Check ``if hub.<family>:`` first."""
        for listener in listeners:
            try:
                self._call(listener, event)
            except Exception:
                _LOG.exception("an event listener failed on %s", type(event).__name__)


def _directly(listener: Listener, event: object) -> object:
    return listener(event)


def _dispatch(methods: Mapping[type, Listener], translate: Translation | None) -> Listener:
    def deliver(event: object) -> None:
        method = methods.get(type(event))
        if method is not None:
            method(event if translate is None else translate(event))

    return deliver
