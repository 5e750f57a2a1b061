"""The fail points of one router double: when they trigger, and what they do. Pure.

``count`` is how many commands it has affected since the router started, as a server counts them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.router_errors import TIME_LIMIT_EXCEEDED, failure, labels_for
from wiredrv.server_facts import RESUMABLE_CODES

_MESSAGE = "Failing command due to 'failCommand' failpoint"


@dataclass(frozen=True)
class Strike:
    """What happens to one command. It is delayed first; then one of the others may apply."""

    wait: float = 0.0
    close: bool = False
    reply: dict[str, Any] | None = None
    write_concern_error: Mapping[str, Any] | None = None
    labels: tuple[str, ...] = ()


class _FailPoint:
    """What is configured of a fail point."""

    def __init__(self) -> None:
        self.count = 0
        self._data: Mapping[str, Any] = {}
        self._left: float = 0  # how often it still triggers
        self._skips = 0

    def configure(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Apply a ``configureFailPoint`` command."""
        mode = command.get("mode")
        self._data, self._left, self._skips = command.get("data") or {}, 0, 0
        if mode == "alwaysOn":
            self._left = float("inf")
        elif isinstance(mode, Mapping) and "times" in mode:
            self._left = mode["times"]
        elif isinstance(mode, Mapping) and "skip" in mode:
            self._left, self._skips = float("inf"), mode["skip"]
        elif mode != "off":
            return failure(2, f"the router double knows no fail point mode {mode!r}")
        return {"count": self.count, "ok": 1.0}

    def _triggers(self) -> bool:
        if self._skips > 0:
            self._skips -= 1
            return False
        self._left -= 1
        self.count += 1
        return True


class FailGetMore(_FailPoint):
    """A router's ``failGetMoreAfterCursorCheckout``: a getMore of a cursor that the router has fails with a code."""

    def meet(self, is_change_stream: bool) -> dict[str, Any] | None:
        """What the router answers to such a getMore; None lets it pass."""
        if self._left <= 0 or not self._triggers():
            return None
        code = int(self._data["errorCode"])
        labels = ["ResumableChangeStreamError"] if is_change_stream and code in RESUMABLE_CODES else []
        return failure(code, "Hit the 'failGetMoreAfterCursorCheckout' failpoint", labels)


class FailCommand(_FailPoint):
    """A router's ``failCommand``."""

    def meet(self, command: Mapping[str, Any], app_name: str | None) -> Strike | None:
        """What happens to this command, or None."""
        data = self._data
        if self._left <= 0 or not _is_meant(data, command, app_name) or not self._triggers():
            return None
        wait = data.get("blockTimeMS", 0) / 1000 if data.get("blockConnection") else 0.0
        limit = _time_limit(command)
        if wait > limit:
            return Strike(limit, reply=failure(TIME_LIMIT_EXCEEDED, "operation exceeded time limit"))
        if data.get("closeConnection"):
            return Strike(wait, close=True)
        if "errorCode" in data:
            return Strike(wait, reply=_error(data, command))
        return Strike(
            wait, write_concern_error=data.get("writeConcernError"), labels=tuple(data.get("errorLabels", ()))
        )


def _time_limit(command: Mapping[str, Any]) -> float:
    """The seconds that a command may take. For a getMore, ``maxTimeMS`` limits the wait for new documents."""
    limit = command.get("maxTimeMS")
    return limit / 1000 if limit and "getMore" not in command else float("inf")


def _is_meant(data: Mapping[str, Any], command: Mapping[str, Any], app_name: str | None) -> bool:
    name = next(iter(command)).lower()
    if name not in {str(one).lower() for one in data.get("failCommands", ())}:
        return False
    if "appName" in data and data["appName"] != app_name:
        return False
    namespace = f"{command.get('$db')}.{command[next(iter(command))]}"
    return "namespace" not in data or data["namespace"] == namespace


def _error(data: Mapping[str, Any], command: Mapping[str, Any]) -> dict[str, Any]:
    code = int(data["errorCode"])
    labels = data["errorLabels"] if "errorLabels" in data else labels_for(command, code)
    reply = failure(code, _MESSAGE, labels)
    reply.update(data.get("errorExtraInfo") or {})
    return reply
