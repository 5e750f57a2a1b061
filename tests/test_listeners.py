"""Events reach the listener classes: there is a method for each of them."""

from __future__ import annotations

import inspect
import re
import threading
from typing import Any

import pytest

from wiredrv import events
from wiredrv.errors import ConfigurationError
from wiredrv.listeners import ListenerHub
from wiredrv.types import Address

_LISTENERS = (
    events.CommandListener,
    events.ConnectionPoolListener,
    events.ServerHeartbeatListener,
    events.ServerListener,
    events.SessionListener,
    events.TopologyListener,
)
#: The events that users receive; selections are only logged.
_KINDS = [
    kind
    for _, kind in inspect.getmembers(events, inspect.isclass)
    if kind.__name__.endswith("Event") and not kind.__subclasses__() and kind is not events.ServerSelectionEvent
]


def _heard(kind: type[Any]) -> list[str]:
    """The methods that are called with an event of this kind, if one listener has the methods of all classes."""
    calls: list[str] = []

    def method(name: str) -> Any:
        return lambda self, event: calls.append(name)

    names = {name for each in _LISTENERS for name in vars(each) if not name.startswith("_")}
    for base in _LISTENERS:
        listener = type("Listener", (base,), {name: method(name) for name in names if hasattr(base, name)})()
        hub = ListenerHub([listener])
        for family in (hub.command, hub.pool, hub.topology, hub.heartbeat, hub.session):
            hub.publish(family, object.__new__(kind))
    return calls


@pytest.mark.parametrize("kind", _KINDS, ids=lambda kind: kind.__name__)
def test_an_event_is_heard_by_one_method_that_has_its_name(kind: type[Any]) -> None:
    (name,) = _heard(kind)
    words = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__.removesuffix("Event")).lower().replace("opening", "opened")
    assert words.endswith(name)


def test_selections_are_heard_by_none() -> None:
    assert _heard(events.ServerSelectionEvent) == []


class _Commands(events.CommandListener):
    def __init__(self) -> None:
        self.heard: list[object] = []

    def started(self, event: events.CommandStartedEvent) -> None:
        self.heard.append(event)


def _publish(hub: ListenerHub) -> None:
    event = events.CommandStartedEvent("ping", "admin", 1, 1, Address("localhost"), 1)
    hub.publish(hub.command, event)


def test_a_listener_can_be_added_and_removed_while_the_client_is_used() -> None:
    before, listener = _Commands(), _Commands()
    hub = ListenerHub([before])
    remove = hub.add(listener)
    _publish(hub)
    remove()
    remove()
    _publish(hub)
    assert (len(before.heard), len(listener.heard)) == (2, 1)


def test_a_callable_that_was_added_twice_is_removed_once() -> None:
    heard: list[object] = []
    hub = ListenerHub([heard.append])
    listener = hub.command[0]
    remove = hub.add(listener)
    _publish(hub)
    assert len(heard) == 2
    remove()
    remove()
    _publish(hub)
    assert len(heard) == 3
    assert all(len(family) == 1 for family in (hub.command, hub.pool, hub.topology, hub.heartbeat))


def test_a_listener_that_is_none_is_refused_and_not_added() -> None:
    hub = ListenerHub()
    with pytest.raises(ConfigurationError, match="not an event listener"):
        hub.add(5)  # type: ignore[arg-type]  # a mistake is the point
    assert hub.command == hub.pool == ()


def test_threads_may_add_and_remove_at_the_same_time() -> None:
    hub = ListenerHub()

    def change() -> None:
        for _ in range(2_000):
            hub.add(lambda event: None)()

    threads = [threading.Thread(target=change) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hub.command == ()
