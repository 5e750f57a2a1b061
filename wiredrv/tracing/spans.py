"""Spans of opentelemetry-api: those of operations, of commands (made from their events), and of transactions.

The span of an operation is the current one while the operation runs. So command spans, the user's listeners and log
records find it, and so does the clean-up after a cancellation, whose task gets a copy of the caller's context. Tasks
that the client starts for itself have an empty context: what they send belongs to no request, and starts traces of its
own.

OpenTelemetry specification, "Instrumenting Driver Operations" and "Instrumenting Server Commands".
"""

from __future__ import annotations

import logging
import traceback
from contextvars import Token
from dataclasses import dataclass
from types import TracebackType

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, TracerProvider

from wiredrv._version import __version__
from wiredrv.events import CommandEvent, CommandFailedEvent, CommandStartedEvent, CommandSucceededEvent
from wiredrv.operations.base import OperationKind
from wiredrv.session.state import SessionState
from wiredrv.session.transaction import Outcome
from wiredrv.tracing.attributes import SYSTEM, TRANSACTION, SpanText, command_text, opened_cursor, query_text
from wiredrv.tracing.failures import description, exception_attributes, is_expected, refused_writes, status_code
from wiredrv.tracing.transactions import Change, belongs, change, failure
from wiredrv.waits import time_ns

_LOG = logging.getLogger("wiredrv.tracing")

#: Under these keys a context says that instrumentation is suppressed: ``suppress_instrumentation()`` of
#: opentelemetry-instrumentation sets the first, and exporters of the SDK set the second.
_SUPPRESSED = "suppress_instrumentation"
_EXPORTING = getattr(contexts, "_SUPPRESS_INSTRUMENTATION_KEY", _SUPPRESSED)

#: In the context of a call that sends several commands: its tracer.
_CALL = contexts.create_key("wiredrv-call")


def make_tracer(provider: TracerProvider | None) -> Tracer:
    """The driver's tracer: of this provider, or of the one that the program has set."""
    return trace.get_tracer("wiredrv", __version__, provider)


def in_call(tracer: Tracer) -> bool:
    """Whether a call that sends several commands is running here, which has the operation's span."""
    return contexts.get_value(_CALL) is tracer


def is_suppressed() -> bool:
    """Whether nothing is traced here: the application said so, or an exporter is at work, whose spans would be
    endless.
    """
    return bool(contexts.get_value(_SUPPRESSED) or contexts.get_value(_EXPORTING))


def _record(span: Span, error: BaseException, stack: str = "", *, hidden: bool = False) -> None:
    """Record an error as attributes, as the specification has it, and as the event that tracing systems look for."""
    if span.is_recording():
        attributes = exception_attributes(error, stack, hidden=hidden)
        span.set_attributes(attributes)
        span.add_event("exception", attributes)
        span.set_status(StatusCode.ERROR, description(error, hidden=hidden))


class OperationSpan:
    """The span of an operation, for ``with``.

    :param tracer: the client's.
    :param text: its name and attributes.
    :param parent: the span of the transaction that the operation is part of; None takes the current span.
    :param hidden: whether errors may hold a credential.
    :param is_call: whether the operations inside get no span of their own.
    """

    __slots__ = ("_context", "_hidden", "_is_call", "_parent", "_span", "_text", "_token", "_tracer")

    def __init__(
        self,
        tracer: Tracer,
        text: SpanText,
        parent: Span | None = None,
        *,
        hidden: bool = False,
        is_call: bool = False,
    ) -> None:
        self._tracer = tracer
        self._text = text
        self._parent = parent
        self._hidden = hidden
        self._is_call = is_call
        self._span: Span | None = None
        self._context: Context | None = None
        self._token: Token[Context] | None = None

    def __enter__(self) -> None:
        try:
            here = contexts.get_current()
            if self._parent is not None:
                here = trace.set_span_in_context(self._parent, here)
            name, attributes = self._text
            span = self._span = self._tracer.start_span(name, here, SpanKind.CLIENT, attributes)
            inside = trace.set_span_in_context(span, here)
            self._context = contexts.set_value(_CALL, self._tracer, inside) if self._is_call else inside
            self._token = contexts.attach(self._context)
        except Exception:
            _LOG.exception("an operation could not be traced")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, places: TracebackType | None
    ) -> None:
        try:
            # A coroutine that is collected is closed in another context, where there is nothing to restore.
            foreign = isinstance(error, GeneratorExit) and contexts.get_current() is not self._context
            if self._token is not None and not foreign:
                contexts.detach(self._token)
            if self._span is not None:
                self._end(self._span, error)
        except Exception:
            _LOG.exception("the span of an operation could not be ended")

    def _end(self, span: Span, error: BaseException | None) -> None:
        try:
            if error is not None and not is_expected(self._text.attributes["db.operation.name"], error):
                _record(span, error, hidden=self._hidden)
        finally:
            span.end()


class CommandSpans:
    """A listener that makes a span of each command. Those with credentials, whose events are empty, get none.

    :param text_length: the characters of ``db.query.text``; 0 leaves it out.
    """

    def __init__(self, tracer: Tracer, text_length: int) -> None:
        self._tracer = tracer
        self._text_length = text_length
        self._open: dict[int, Span] = {}

    def __call__(self, event: object) -> None:
        """Start or end a span. Called in the context of the command's operation."""
        if isinstance(event, CommandStartedEvent):
            if event.command and not is_suppressed():
                self._start(event)
        elif isinstance(event, CommandEvent):
            span = self._open.pop(event.request_id, None)
            if span is not None:
                try:
                    _finish(span, event)
                finally:
                    span.end()

    def _start(self, event: CommandStartedEvent) -> None:
        name, attributes = command_text(event)
        span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
        if self._text_length and span.is_recording():
            span.set_attribute("db.query.text", query_text(event.command, self._text_length))
        self._open[event.request_id] = span


def _finish(span: Span, event: CommandEvent) -> None:
    if not span.is_recording():
        return
    if isinstance(event, CommandSucceededEvent):
        span.set_attributes(opened_cursor(event.reply) | refused_writes(event.reply))
    elif isinstance(event, CommandFailedEvent):
        error = event.failure
        span.set_attributes(status_code(error))
        # The error of a reply is not raised yet, so it does not know where it comes from.
        stack = "" if error.__traceback__ is not None else "".join(traceback.format_stack())
        _record(span, error, stack)


@dataclass(slots=True)
class _Traced:
    """The span of a transaction; ``paused`` says when a commit with an unknown result ended, and that it is unknown."""

    number: int
    span: Span
    is_open: bool = True
    paused: tuple[str, int] | None = None

    def end(self, reason: str = "", when: int | None = None) -> None:
        """End the span: with an error if there is a reason, and now or at a time before."""
        self.is_open = False
        if reason:
            self.span.set_status(StatusCode.ERROR, reason)
        self.span.end(when)

    def end_as_left(self, reason: str) -> None:
        """End the span of a transaction that nothing more becomes known of."""
        self.end(*(self.paused or (reason,)))


class TransactionSpans:
    """The spans of the transactions of a client's sessions."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def of(self, session: SessionState | None, kind: OperationKind) -> Span | None:
        """The span that an operation of this kind is a part of. It may have ended, if a commit is sent again."""
        if session is None or not belongs(session, kind):
            return None
        traced = session.traced
        return traced.span if isinstance(traced, _Traced) and traced.number == session.transaction.number else None

    def changed(self, session: SessionState) -> None:
        """Something happened to a transaction, or to its session. Never raises."""
        try:
            self._follow(session)
        except Exception:
            _LOG.exception("a transaction could not be traced")

    def _follow(self, session: SessionState) -> None:
        traced = session.traced if isinstance(session.traced, _Traced) else None
        match change(session, traced.number if traced else 0, traced is not None and traced.is_open):
            case Change.START:
                if traced is not None and traced.is_open:
                    traced.end_as_left("the session went on to another transaction")
                if is_suppressed():
                    session.traced = None
                    return
                span = self._tracer.start_span(TRANSACTION, kind=SpanKind.CLIENT, attributes=dict(SYSTEM))
                session.traced = _Traced(session.transaction.number, span)
            case Change.PAUSE if traced is not None:
                traced.paused = (failure(session), time_ns())
            case Change.END if traced is not None:
                if session.transaction.outcome is Outcome.UNKNOWN:
                    traced.end_as_left(failure(session))
                else:
                    traced.end(failure(session))
