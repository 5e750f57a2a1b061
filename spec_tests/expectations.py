"""Whether what was observed is what a test expects: events and log messages against their models. Pure.

Unified test format specification, "expectedEvent", "expectedLogMessage", "Executing a Test".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from spec_tests.capture import LogMessage, Observed
from spec_tests.matching import MISSING, Matcher, Mismatch, join
from spec_tests.schema import ExpectedEvent, ExpectedEvents, ExpectedLogMessage, ExpectedLogMessages

_EMPTY_ID = ObjectId(b"\0" * 12)
_ATTRIBUTES = {
    "command": "command",
    "reply": "reply",
    "commandName": "command_name",
    "databaseName": "database_name",
    "reason": "reason",
    "awaited": "awaited",
    "interruptInUseConnections": "interrupt_in_use_connections",
}


def check_event(expected: ExpectedEvent, observed: Observed, matcher: Matcher, path: str = "") -> Mismatch | None:
    """Compare one event."""
    if expected.name != observed.name:
        message = f"expected {expected.name}, not {observed.name}{_command_of(observed)}"
        return Mismatch(path, message, expected.document, observed.document)
    for key, wanted in expected.assertions.items():
        found = _check_assertion(key, wanted, observed.event, matcher, join(join(path, expected.name), key))
        if found is not None:
            return found
    return None


def check_events(
    expected: ExpectedEvents, observed: Sequence[Observed], matcher: Matcher, path: str = ""
) -> Mismatch | None:
    """Compare the events of one family and client, in their order."""
    for index, event in enumerate(expected.events):
        where = f"{path}.events[{index}]"
        if index >= len(observed):
            message = f"expected {len(expected.events)} event(s) and observed {len(observed)}: {event.name} is missing"
            return Mismatch(where, message, event.document, MISSING)
        found = check_event(event, observed[index], matcher, where)
        if found is not None:
            return found
    extra = observed[len(expected.events) :]
    if extra and not expected.ignore_extra_events:
        names = ", ".join(f"{event.name}{_command_of(event)}" for event in extra)
        message = f"expected {len(expected.events)} event(s) and observed {len(observed)}; extra: {names}"
        return Mismatch(f"{path}.events", message, len(expected.events), [event.document for event in extra])
    return None


def _check_assertion(key: str, wanted: Any, event: Any, matcher: Matcher, path: str) -> Mismatch | None:
    if key == "hasServiceId":
        service = getattr(event, "service_id", None)
        return _flag(wanted, service is not None and service != _EMPTY_ID, f"service id {service}", path)
    if key == "hasServerConnectionId":
        number = getattr(event, "server_connection_id", None)
        has = isinstance(number, int) and number > 0
        return _flag(wanted, has, f"server connection id {number}", path)
    if key in ("previousDescription", "newDescription"):
        return matcher.match(wanted, _description(event, key), path)
    actual = getattr(event, _ATTRIBUTES[key], MISSING)
    return matcher.match(wanted, actual, path, root=True)


def _flag(wanted: bool, actual: bool, what: str, path: str) -> Mismatch | None:
    if wanted is actual:
        return None
    return Mismatch(path, f"expected {wanted}, with {what}", wanted, actual)


def _description(event: Any, key: str) -> Mapping[str, Any]:
    description = event.previous_description if key == "previousDescription" else event.new_description
    kind = getattr(description, "server_type", None) or description.topology_type
    return {"type": kind.value}


def _command_of(observed: Observed) -> str:
    name = getattr(observed.event, "command_name", None)
    return f" ({name})" if name else ""


def check_messages(
    expected: ExpectedLogMessages, observed: Sequence[LogMessage], matcher: Matcher, path: str = ""
) -> Mismatch | None:
    """Compare the log messages of one client, except those to be ignored."""
    kept = [
        message
        for message in observed
        if all(_check_message(ignored, message, matcher, "") is not None for ignored in expected.ignore_messages)
    ]
    for index, wanted in enumerate(expected.messages):
        where = f"{path}.messages[{index}]"
        if index >= len(kept):
            text = f"expected {len(expected.messages)} message(s) and observed {len(kept)}"
            return Mismatch(where, text, dict(wanted.data), MISSING)
        found = _check_message(wanted, kept[index], matcher, where)
        if found is not None:
            return found
    if len(kept) > len(expected.messages) and not expected.ignore_extra_messages:
        text = f"expected {len(expected.messages)} message(s) and observed {len(kept)}"
        extra = [dict(message.data) for message in kept[len(expected.messages) :]]
        return Mismatch(f"{path}.messages", text, len(expected.messages), extra)
    return None


def _check_message(expected: ExpectedLogMessage, actual: LogMessage, matcher: Matcher, path: str) -> Mismatch | None:
    for key, wanted, have in (
        ("level", expected.level, actual.level),
        ("component", expected.component, actual.component),
    ):
        if wanted != have:
            return Mismatch(join(path, key), f"expected {wanted}, not {have}", wanted, have)
    if expected.failure_is_redacted is not None:
        failure = actual.data.get("failure")
        if failure is None:
            return Mismatch(join(path, "failureIsRedacted"), "there is no failure", True, MISSING)
        redacted = _is_redacted(failure)
        if redacted is not expected.failure_is_redacted:
            state = "redacted" if redacted else "in clear"
            return Mismatch(join(path, "failureIsRedacted"), f"the failure is {state}", not redacted, failure)
    return matcher.match(expected.data, actual.data, join(path, "data"), root=True)


def _is_redacted(failure: Any) -> bool:
    # A redacted failure keeps code, code name and labels, and no message.
    if isinstance(failure, Mapping):
        return "errmsg" not in failure
    return "redacted" in str(failure).lower()
