"""The hub that delivers events to listeners.

Rules kept here:

* No event is built without a listener: callers check a family's tuple (``if hub.command:``) before they build one.
* A listener is called synchronously, in the task in which the event happened; its exceptions are reported through the
  ``wiredrv.events`` logger and change no outcome.

The log messages for events are in ``logs``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from wiredrv.compat.listeners import Translation, translation
from wiredrv.errors import ConfigurationError
from wiredrv.events import (
    CausalTokenIgnoredEvent,
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
    SessionListener,
    TopologyClosedEvent,
    TopologyDescriptionChangedEvent,
    TopologyListener,
    TopologyOpenedEvent,
)

_LOG = logging.getLogger("wiredrv.events")

Listener: TypeAlias = Callable[[Any], object]
#: What a client takes as a listener: an object of one of the listener classes, or a callable that takes any event.
EventListener: TypeAlias = (
    CommandListener
    | ConnectionPoolListener
    | ServerListener
    | ServerHeartbeatListener
    | SessionListener
    | TopologyListener
    | Listener
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
    SessionListener: ("session", {CausalTokenIgnoredEvent: "causal_token_ignored"}),
}
_FAMILIES = ("command", "pool", "topology", "heartbeat", "session")
#: For the log and for recordings alone.
_UNHEARD = ("selection", "waiting", "clearing")
#: Held while a hub's listeners change, which any thread may do.
_changes = threading.Lock()


def after_fork() -> None:
    """In a new process: another thread of the old one may have held the lock."""
    global _changes
    _changes = threading.Lock()


class ListenerHub:
    """Delivers events to listeners, by family: ``command``, ``pool``, ``topology`` (and servers), ``heartbeat``,
    ``session``.

    A listener is an object of one or more of the listener classes of ``wiredrv.events``; or of PyMongo's, and then gets
    PyMongo's events; or any callable, which gets every event. Three more families have no listeners of users:
    ``selection``, and ``waiting`` for its step of that name, are for the log; ``clearing``, the pool's events of that
    name, is for recordings, since a listener of the whole pool would cost each operation three events.

    :param call: calls a listener with an event; the client gives ``waits.user``.
    :raises ConfigurationError: a listener is neither.
    """

    __slots__ = (*_FAMILIES, *_UNHEARD, "_call")

    command: tuple[Listener, ...]
    pool: tuple[Listener, ...]
    topology: tuple[Listener, ...]
    heartbeat: tuple[Listener, ...]
    session: tuple[Listener, ...]
    selection: tuple[Listener, ...]
    waiting: tuple[Listener, ...]
    clearing: tuple[Listener, ...]

    def __init__(self, listeners: Iterable[EventListener] = (), call: Caller | None = None) -> None:
        self._call = call or _directly
        if not isinstance(listeners, Iterable):
            raise ConfigurationError(f"event_listeners takes a list of listeners, not {listeners!r}")
        for family in (*_FAMILIES, *_UNHEARD):
            setattr(self, family, ())
        for listener in listeners:
            self.add(listener)

    def add(self, listener: EventListener) -> Callable[[], None]:
        """Add a listener, at any time and in any thread.

        :returns: a function that removes it; further calls of it do nothing.
        :raises ConfigurationError: it is not a listener.
        """
        added = _by_family(listener)
        for family, own in added.items():
            self.attach(family, own)

        def remove() -> None:
            while added:
                self.detach(*added.popitem())

        return remove

    def attach(self, family: str, listener: Listener) -> None:
        """Add a listener of one family."""
        with _changes:
            setattr(self, family, (*getattr(self, family), listener))

    def detach(self, family: str, listener: Listener) -> None:
        """Remove a listener of one family, if it is there."""
        with _changes:
            left = list(getattr(self, family))
            for place, other in enumerate(left):
                if other is listener:
                    del left[place]
                    break
            setattr(self, family, tuple(left))

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


def _by_family(listener: EventListener) -> dict[str, Listener]:
    """What to call for the events of each family.

    :raises ConfigurationError: it is not a listener.
    """
    found: dict[str, dict[type, Listener]] = {}
    for kind, (family, methods) in _METHODS.items():
        translate = None if isinstance(listener, kind) else translation(listener, kind)
        if translate is None and not isinstance(listener, kind):
            continue
        for event, name in methods.items():
            found.setdefault(family, {})[event] = _translated(getattr(listener, name), translate)
    if found:
        return {family: _dispatch(methods) for family, methods in found.items()}
    if not callable(listener):
        raise ConfigurationError(
            f"{listener!r} is not an event listener: pass a callable that takes the event, or an object of a "
            f"class derived from {', '.join(kind.__name__ for kind in _METHODS)}"
        )
    return dict.fromkeys(_FAMILIES, listener)


def _translated(method: Listener, translate: Translation | None) -> Listener:
    return method if translate is None else lambda event: method(translate(event))


def _dispatch(methods: Mapping[type, Listener]) -> Listener:
    def deliver(event: object) -> None:
        method = methods.get(type(event))
        if method is not None:
            method(event)

    return deliver
