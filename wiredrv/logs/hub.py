"""The hub of a client's events, with the log among its listeners while logging is enabled.

Theory of operation: a component's listener is in the hub only while its logger is enabled, so that sending a command
has no overhead otherwise. Python gives no notice when a logger's level changes; the levels are checked when the client
opens and after every check of a server (:meth:`LoggingHub.refresh`), so that a level which is changed while a client is
open takes effect within ``heartbeatFrequencyMS``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from wiredrv.listeners import Caller, EventListener, Listener, ListenerHub

if TYPE_CHECKING:
    from wiredrv.logs.messages import LogMessage

#: Takes one message: its component, its level as Python's ``logging`` numbers them, and the message.
Sink: TypeAlias = "Callable[[str, int, LogMessage], None]"

#: For each of the hub's families: the component that logs its events, and the level.
FAMILIES: Mapping[str, tuple[str, int]] = {
    "command": ("command", logging.DEBUG),
    "pool": ("connection", logging.DEBUG),
    "topology": ("topology", logging.DEBUG),
    "heartbeat": ("topology", logging.DEBUG),
    "session": ("session", logging.INFO),
    "selection": ("serverSelection", logging.DEBUG),
    "waiting": ("serverSelection", logging.INFO),
}
_LOGGERS = {family: logging.getLogger(f"wiredrv.{component}") for family, (component, _) in FAMILIES.items()}


class LoggingHub(ListenerHub):
    """A hub with the log as a listener of each family."""

    __slots__ = ("_attached",)

    def __init__(self, listeners: Iterable[EventListener] = (), call: Caller | None = None) -> None:
        super().__init__(listeners, call)
        self._attached: dict[str, Listener] = {}

    def refresh(self) -> None:
        """Check the loggers' levels again."""
        for family, (_, level) in FAMILIES.items():
            wanted = _LOGGERS[family].isEnabledFor(level)
            if wanted and family not in self._attached:
                self._attached[family] = self.observe(family, _to_python)
            elif not wanted and family in self._attached:
                self.detach(family, self._attached.pop(family))

    def observe(self, family: str, sink: Sink, limit: int | None = None) -> Listener:
        """Have ``sink`` receive the messages of a family's events. Returns the listener, which is in the hub now.

        :param limit: how many characters of a document may be shown; None takes it from the environment.
        """
        # Not imported while logging is not enabled.
        from wiredrv.logs.documents import max_length
        from wiredrv.logs.messages import describe

        component, level = FAMILIES[family]
        length = max_length(os.environ) if limit is None else limit

        def deliver(event: object) -> None:
            message = describe(event, length)
            if message is not None:
                sink(component, level, message)

        self.attach(family, deliver)
        return deliver


def _to_python(component: str, level: int, message: LogMessage) -> None:
    logging.getLogger(f"wiredrv.{component}").log(level, message)
