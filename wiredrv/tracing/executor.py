"""The executor of a traced client: each operation within its span.

A call that sends several commands (a bulk) is one operation with one span. The attempts of an operation, and what is
sent to clean up after it, are commands below its span; a further batch of a cursor is an operation of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from wiredrv import waits
from wiredrv.connection.settings import ServerApi
from wiredrv.execution.exchange import hides
from wiredrv.execution.executor import CleanUp, Executor
from wiredrv.execution.settings import ExecutionSettings
from wiredrv.listeners import ListenerHub
from wiredrv.operations.base import Operation, OperationKind, Target
from wiredrv.session.state import SessionState
from wiredrv.session.turns import Turn
from wiredrv.topology.topology import Topology
from wiredrv.tracing.attributes import call_text, operation_text
from wiredrv.tracing.spans import CommandSpans, OperationSpan, TransactionSpans, in_call, is_suppressed, make_tracer

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

T = TypeVar("T")


class TracedExecutor(Executor):
    """An executor that makes spans.

    :param tracing: the tracer provider, None for the program's own; and how many characters of ``db.query.text`` a
        command span has.
    :param hub: also gets the listener that makes the spans of commands, before the user's.
    """

    def __init__(
        self,
        tracing: tuple[TracerProvider | None, int],
        topology: Topology,
        settings: ExecutionSettings,
        hub: ListenerHub,
        api: ServerApi | None,
        ensure_open: Callable[[], Awaitable[None]],
        in_background: Callable[[CleanUp], waits.Event | None] = lambda work: None,
        unfinished: Callable[[], int] = lambda: 0,
    ) -> None:
        super().__init__(topology, settings, hub, api, ensure_open, in_background, unfinished)
        provider, text_length = tracing
        self._tracer = make_tracer(provider)
        self._transactions = TransactionSpans(self._tracer)
        hub.command = (CommandSpans(self._tracer, text_length), *hub.command)

    async def execute(self, operation: Operation[T], session: SessionState | None = None) -> T:
        if in_call(self._tracer) or is_suppressed():
            return await super().execute(operation, session)
        with self._span(operation, session):
            return await super().execute(operation, session)

    async def execute_in(
        self,
        turn: Turn,
        operation: Operation[T],
        session: SessionState,
        on_settled: Callable[[], None] | None = None,
        pause: float = 0.0,
    ) -> T:
        if in_call(self._tracer) or is_suppressed():
            return await super().execute_in(turn, operation, session, on_settled, pause)
        with self._span(operation, session):
            return await super().execute_in(turn, operation, session, on_settled, pause)

    @contextlib.asynccontextmanager
    async def one_turn(
        self, session: SessionState | None, command: str, call: tuple[str, Target]
    ) -> AsyncIterator[Turn | None]:
        if is_suppressed():
            async with super().one_turn(session, command, call) as turn:
                yield turn
            return
        name, target = call
        parent = self._transactions.of(session, OperationKind.WRITE)
        text = call_text(name, target.database, target.collection)
        with OperationSpan(self._tracer, text, parent, is_call=True):
            async with super().one_turn(session, command, call) as turn:
                yield turn

    def session_changed(self, session: SessionState) -> None:
        super().session_changed(session)
        self._transactions.changed(session)

    def _span(self, operation: Operation[T], session: SessionState | None) -> OperationSpan:
        parent = self._transactions.of(session, operation.traits.kind)
        return OperationSpan(self._tracer, operation_text(operation), parent, hidden=hides(operation))
