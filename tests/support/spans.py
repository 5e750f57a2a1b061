"""Watches the spans of clients with the standard SDK of OpenTelemetry: which were started and ended, and how."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import StatusCode, Tracer

from spec_tests.spans import SpanTree, trees


class SpanWatch(SpanProcessor):
    """A tracer provider of its own, with an exporter in memory. ``open`` are the spans that are not ended."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self.provider = TracerProvider(sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(self)
        self._exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.open: list[str] = []

    def on_start(self, span: Span, parent_context: object = None) -> None:
        self.open.append(span.name)

    def on_end(self, span: ReadableSpan) -> None:
        self.open.remove(span.name)

    def option(self, length: int = 0) -> Any:
        """The client's option ``tracing``."""
        return {"enabled": True, "query_text_max_length": length, "tracer_provider": self.provider}

    @property
    def tracer(self) -> Tracer:
        """A tracer for the spans of the test itself."""
        return self.provider.get_tracer("test")

    @property
    def finished(self) -> tuple[ReadableSpan, ...]:
        """The spans that were exported."""
        return self._exporter.get_finished_spans()

    @property
    def trees(self) -> list[SpanTree]:
        """The same as trees."""
        return trees(self.finished)

    @property
    def outline(self) -> list[Any]:
        """The names of the spans, nested: a name, or a tuple of a name and the outlines below it."""
        return [outline(tree) for tree in self.trees]

    def named(self, name: str) -> list[ReadableSpan]:
        """The spans of one name."""
        return [span for span in self.finished if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """The only span of that name."""
        (span,) = self.named(name)
        return span

    def failed(self) -> list[str]:
        """The names of the spans with an error status, in the order in which they ended."""
        return [span.name for span in self.finished if span.status.status_code is StatusCode.ERROR]

    def clear(self) -> None:
        """Forget the spans so far."""
        self._exporter.clear()

    @contextmanager
    def request(self, name: str) -> Iterator[None]:
        """A span of the application."""
        with self.tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False):
            yield

    def everything(self) -> str:
        """All that was exported, as text."""
        return "\n".join(span.to_json() for span in self.finished)


def outline(tree: SpanTree) -> Any:
    """The names of a tree."""
    return (tree.name, *map(outline, tree.nested)) if tree.nested else tree.name
