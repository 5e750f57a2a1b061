"""Sending a bulk of the client: one bulkWrite after another, in one turn of the session; then one result or one error.

CRUD specification, "Bulk Write" of clients. What fits into a batch and how replies add up is decided in
:mod:`wiredrv.operations.client_bulk`.

Rules kept here:

* The cursor over the results of a batch is read to its end before the next batch, in the session, or with the
  connection, of its command. It is closed on the server, however the bulk ends.
* What fails as a whole ends the bulk, whether it is ordered or not. The error is raised as it is if nothing is known of
  the writes before it, else as the ``error`` of a ClientBulkWriteException.
* A failed write concern does not end the bulk, unless the server is stepping down and the retry failed too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, MutableSet, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from wiredrv.client.cursors.base import CursorBase
from wiredrv.errors import DriverError, WriteConcernError
from wiredrv.execution.timeout import in_force_now
from wiredrv.operations.base import Operation, Target
from wiredrv.operations.client_bulk import ClientBulkBatch, ClientBulkTotals, ClientWrite
from wiredrv.operations.cursors import CursorReply
from wiredrv.operations.results import ClientBulkWriteResult
from wiredrv.types import Address, Document, PlainDocument, ServerCursor
from wiredrv.wire.op_msg import next_request_id

if TYPE_CHECKING:
    from wiredrv.client.cursors.prefetch import Ahead
    from wiredrv.client.handle import HandleContext
    from wiredrv.client.sessions.client_session import ClientSession
    from wiredrv.session.state import SessionState
    from wiredrv.session.turns import Turn

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ClientBulk:
    """What is common to all batches of a bulk. ``target`` is the admin database, with the bulk's write concern."""

    context: HandleContext
    target: Target
    ordered: bool
    verbose: bool
    options: Document

    async def send(self, writes: Sequence[ClientWrite], session: SessionState | None) -> ClientBulkWriteResult:
        """Send the writes.

        :raises ClientBulkWriteException: writes or write concerns failed, or an error ended the bulk early.
        :raises DriverError: the bulk failed before anything was known of its writes.
        """
        limit = in_force_now(self.target.limit)
        timed = self if limit is None else replace(self, target=replace(self.target, limit=limit))
        async with self.context.executor.one_turn(session, "bulkWrite", ("bulkWrite", timed.target)) as turn:
            sending = _Sending(timed, writes, session, turn)
            await sending.send()
            return sending.outcome()


@dataclass(slots=True)
class _Sending:
    """One bulk in progress."""

    bulk: ClientBulk
    writes: Sequence[ClientWrite]
    session: SessionState | None
    turn: Turn | None
    totals: ClientBulkTotals = field(init=False)
    in_turn: _InTurn = field(init=False)
    answered: bool = False
    operation_id: int = field(default_factory=next_request_id)

    def __post_init__(self) -> None:
        self.totals = ClientBulkTotals(self.writes, self.bulk.ordered, self.bulk.verbose)
        self.in_turn = _InTurn(self.bulk.context, self.turn)

    async def send(self) -> None:
        """Send the batches, up to the failure that ends the bulk."""
        bulk = self.bulk
        start = 0
        while start < len(self.writes):
            operation_id = self.operation_id
            batch = ClientBulkBatch(
                bulk.target, self.writes, start, bulk.ordered, bulk.verbose, bulk.options, operation_id
            )
            try:
                if not await self._send_batch(batch):
                    return
            except DriverError as error:
                if self.totals.any_successful or self.totals.failed:
                    raise self._failure(error) from error
                raise
            start += batch.taken

    async def _send_batch(self, batch: ClientBulkBatch) -> bool:
        """Send a batch and read its results; return whether another one may follow."""
        try:
            reply = await self.in_turn.execute(batch, self.session)
        except BaseException as error:
            answer = batch.answers.pop() if isinstance(error, WriteConcernError) and batch.answers else None
            self._abandon(batch.answers)
            if answer is None:
                raise
            self._last(batch, answer)
            return False
        self._abandon(batch.answers[:-1])
        if not reply.reply:
            return True
        self.answered = True
        self.totals.add(batch, reply.reply)
        results = _Results(self.in_turn, batch, self.session, reply)
        try:
            async for entry in results:
                if self.totals.record(batch, entry) and batch.ordered:
                    return False
        finally:
            await results.leave()
        return True

    def _abandon(self, answers: Sequence[CursorReply]) -> None:
        """Have cursors that are not read killed in the background, as soon as their server can be reached."""
        for answer in answers:
            if answer.id:
                self.bulk.context.orphan_cursor(ServerCursor(answer.address, answer.id, answer.namespace, None, None))

    def _last(self, batch: ClientBulkBatch, reply: CursorReply) -> None:
        """Take what is known of a batch whose server steps down or shuts down, after a retry that failed too."""
        self.answered = True
        self.totals.add(batch, reply.reply)
        assert isinstance(reply.batch, list)  # it is never kept encoded
        for entry in reply.batch:
            self.totals.record(batch, entry)
        self._abandon([reply])

    def outcome(self) -> ClientBulkWriteResult:
        """The result of the whole.

        :raises ClientBulkWriteException: a write or a write concern failed.
        """
        if self.totals.failed:
            raise self._failure(None)
        return self.totals.result() if self.answered else ClientBulkWriteResult({}, False, False)

    def _failure(self, error: DriverError | None) -> DriverError:
        failure = self.totals.failure(error)
        session = self.session
        if session is not None and session.transaction.active:
            # The reply said ok: that a write failed was only read from the cursor.
            session.transaction.note_failure(failure)
            failure.transaction = session.record()
        return failure


class _Results(CursorBase[PlainDocument]):
    """The results of the writes of a batch. Its command was sent already."""

    __slots__ = ()

    def __init__(
        self, context: _InTurn, batch: ClientBulkBatch, state: SessionState | None, reply: CursorReply
    ) -> None:
        super().__init__(context, batch.target, None)
        self._comment = batch.options.get("comment")
        self._time_limit = batch.target.limit
        self._state = state
        self._take(reply)

    async def leave(self) -> None:
        """Close it. After the end of the bulk's time limit, the background does that, and the caller does not wait."""
        self._killed = None
        await self.close()


class _InTurn:
    """The client as the cursor of a bulk uses it: its commands are part of the turn that the bulk has.

    After a cancellation the background may have taken the turn over: then they wait for it like any other.
    """

    __slots__ = ("_context", "_turn")

    def __init__(self, context: HandleContext, turn: Turn | None) -> None:
        self._context = context
        self._turn = turn

    @property
    def executor(self) -> _InTurn:
        return self

    async def execute(self, operation: Operation[T], session: SessionState | None = None) -> T:
        executor, turn = self._context.executor, self._turn
        if turn is None or session is None or turn.handed_over:
            return await executor.execute(operation, session)
        return await executor.execute_in(turn, operation, session)

    @property
    def open_streams(self) -> MutableSet[Any]:
        return self._context.open_streams

    def one_turn(
        self, session: SessionState | None, command: str, call: tuple[str, Target]
    ) -> contextlib.AbstractAsyncContextManager[Turn | None]:
        return self._context.executor.one_turn(session, command, call)

    async def execute_in(self, turn: Turn, operation: Operation[T], session: SessionState) -> T:
        return await self._context.executor.execute_in(turn, operation, session)

    async def clean_up(self, work: Callable[[float], Awaitable[None]]) -> None:
        await self._context.executor.clean_up(work)

    def release(self, lease: Any) -> None:
        self._context.executor.release(lease)

    def session_state(self, session: ClientSession | None) -> SessionState | None:
        return self._context.session_state(session)

    def ambient_state(self) -> SessionState | None:
        return self._context.ambient_state()

    def session_settled(self, session: Any) -> None:
        self._context.executor.session_settled(session)

    def has_waiters(self, address: Address) -> bool:
        return self._context.executor.has_waiters(address)

    def orphan_cursor(self, cursor: ServerCursor, ahead: Ahead | None = None) -> None:
        self._context.orphan_cursor(cursor, ahead)

    @property
    def prefetch(self) -> bool:
        return False

    def read_ahead(self, ahead: Ahead) -> bool:
        return False  # the bulk waits for each batch
