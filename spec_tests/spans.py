"""The tracing spans of a client, collected with the standard SDK of OpenTelemetry, as trees.

Unified test format specification, "observeTracingMessages".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bson.int64 import Int64
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

#: Characters of ``db.query.text``: tests read commands whole.
_WHOLE_COMMANDS = 100_000


@dataclass(slots=True)
class SpanTree:
    """A finished span with the spans below it, in the order in which they started."""

    name: str
    attributes: Mapping[str, Any]
    nested: list[SpanTree] = field(default_factory=list)


class SpanLog:
    """Collects the spans of one client."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._provider = TracerProvider(shutdown_on_exit=False)
        self._provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def option(self, command_payload: bool) -> dict[str, Any]:
        """The client's option ``tracing``."""
        length = _WHOLE_COMMANDS if command_payload else 0
        return {"enabled": True, "query_text_max_length": length, "tracer_provider": self._provider}

    @property
    def trees(self) -> list[SpanTree]:
        """The outermost spans."""
        return trees(self._exporter.get_finished_spans())


def trees(finished: Sequence[ReadableSpan]) -> list[SpanTree]:
    """Join spans to trees. A span whose parent is not among them is an outermost one."""
    outermost: list[SpanTree] = []
    by_id: dict[int, SpanTree] = {}
    for span in sorted(finished, key=lambda span: span.start_time or 0):
        tree = SpanTree(span.name, {name: _plain(value) for name, value in (span.attributes or {}).items()})
        above = by_id.get(span.parent.span_id) if span.parent is not None else None
        (outermost if above is None else above.nested).append(tree)
        if span.context is not None:
            by_id[span.context.span_id] = tree
    return outermost


def _plain(value: Any) -> Any:
    # Whole numbers of OpenTelemetry have 64 bits, and the tests ask for their BSON type.
    return Int64(value) if isinstance(value, int) and not isinstance(value, bool) else value
