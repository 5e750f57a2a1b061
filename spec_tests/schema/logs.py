"""Models of the log messages and tracing spans that a test expects.

Unified test format specification, "expectedLogMessagesForClient" and "expectTracingMessages".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spec_tests.errors import SchemaError
from spec_tests.schema.reader import Fields

LOG_COMPONENTS = ("command", "topology", "serverSelection", "connection")
#: From the most severe to the most verbose.
LOG_LEVELS = ("emergency", "alert", "critical", "error", "warning", "notice", "info", "debug", "trace")


@dataclass(frozen=True, slots=True)
class ExpectedLogMessage:
    """One log message."""

    level: str
    component: str
    data: Mapping[str, Any]
    failure_is_redacted: bool | None = None

    @classmethod
    def read(cls, value: Any, path: str) -> ExpectedLogMessage:
        fields = Fields(value, path)
        fields.require("level", "component")
        model = cls(
            fields.choice("level", LOG_LEVELS) or "",
            fields.choice("component", LOG_COMPONENTS) or "",
            fields.document("data"),
            fields.flag("failureIsRedacted"),
        )
        fields.done()
        return model


@dataclass(frozen=True, slots=True)
class ExpectedLogMessages:
    """The log messages expected of one client, in their order."""

    client: str
    messages: tuple[ExpectedLogMessage, ...]
    ignore_messages: tuple[ExpectedLogMessage, ...] = ()
    ignore_extra_messages: bool = False

    @classmethod
    def read(cls, value: Any, path: str) -> ExpectedLogMessages:
        fields = Fields(value, path)
        fields.require("messages")
        model = cls(
            fields.text("client"),
            fields.array("messages", ExpectedLogMessage.read),
            fields.array("ignoreMessages", ExpectedLogMessage.read),
            bool(fields.flag("ignoreExtraMessages")),
        )
        fields.done()
        return model


@dataclass(frozen=True, slots=True)
class ExpectedSpan:
    """One tracing span with the spans inside it."""

    name: str
    attributes: Mapping[str, Any]
    nested: tuple[ExpectedSpan, ...] = ()

    @classmethod
    def read(cls, value: Any, path: str) -> ExpectedSpan:
        fields = Fields(value, path)
        model = cls(
            fields.text("name"), fields.document("attributes"), fields.array("nested", ExpectedSpan.read, min_items=1)
        )
        fields.done()
        return model


@dataclass(frozen=True, slots=True)
class ExpectedSpans:
    """The tracing spans expected of one client."""

    client: str
    spans: tuple[ExpectedSpan, ...]
    ignore_extra_spans: bool = False

    @classmethod
    def read(cls, value: Any, path: str) -> ExpectedSpans:
        fields = Fields(value, path)
        if not fields.has("spans"):
            raise SchemaError(path, "lacks the required key 'spans'")
        model = cls(
            fields.text("client"),
            fields.array("spans", ExpectedSpan.read, min_items=1),
            bool(fields.flag("ignoreExtraSpans")),
        )
        fields.done()
        return model
