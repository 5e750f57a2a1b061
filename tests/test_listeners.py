"""Events reach the listener classes: there is a method for each of them."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from wiredrv import events
from wiredrv.listeners import ListenerHub

_LISTENERS = (
    events.CommandListener,
    events.ConnectionPoolListener,
    events.ServerHeartbeatListener,
    events.ServerListener,
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
        for family in (hub.command, hub.pool, hub.topology, hub.heartbeat):
            hub.publish(family, object.__new__(kind))
    return calls


@pytest.mark.parametrize("kind", _KINDS, ids=lambda kind: kind.__name__)
def test_an_event_is_heard_by_one_method_that_has_its_name(kind: type[Any]) -> None:
    (name,) = _heard(kind)
    words = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__.removesuffix("Event")).lower().replace("opening", "opened")
    assert words.endswith(name)


def test_selections_are_heard_by_none() -> None:
    assert _heard(events.ServerSelectionEvent) == []
