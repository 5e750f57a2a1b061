"""Sending a bulk: one batch after another, in one turn of the session; then one result, or one error.

CRUD specification, "Bulk Write". What fits into a batch and how replies add up is decided in
:mod:`wiredrv.operations.write_batch`.

Rules kept here:

* An ordered bulk sends no more after a failure, also with ``w=0``: then all of its batches but the last are
  acknowledged nevertheless, and their replies only decide whether the next one is sent.
* Nothing is lost silently: a statement that is too large to be sent is a failure, whatever the write concern.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wiredrv.errors import (
    RETRYABLE_WRITE,
    BulkDocumentTooLarge,
    BulkWriteError,
    ConfigurationError,
    DriverError,
    OperationFailure,
)
from wiredrv.execution.timeout import in_force_now
from wiredrv.operations.base import Target
from wiredrv.operations.results import BulkWriteResult
from wiredrv.operations.write_batch import (
    BulkTotals,
    Statement,
    StatementGroup,
    StatementTooLarge,
    WriteBatch,
    group_statements,
)
from wiredrv.types import Document
from wiredrv.wire.op_msg import next_request_id

if TYPE_CHECKING:
    from wiredrv.client.handle import HandleContext
    from wiredrv.session.state import SessionState
    from wiredrv.session.turns import Turn


@dataclass(frozen=True, slots=True)
class Bulk:
    """Statements with what is common to all of their batches."""

    context: HandleContext
    target: Target
    ordered: bool
    options: Document

    async def send(self, statements: Sequence[Statement], session: SessionState | None) -> BulkWriteResult:
        """Send statements of any kind.

        :raises BulkWriteError: statements or write concerns failed.
        :raises DriverError: a batch could not be sent or was refused whole; ``partial_result`` has the result of those
            before.
        """
        return await self.send_groups(group_statements(statements, self.ordered), session, "bulkWrite")

    async def send_groups(
        self, parts: Sequence[StatementGroup], session: SessionState | None, call: str
    ) -> BulkWriteResult:
        """Like :meth:`send`, for statements that are already grouped.

        :param call: the name of the operation, for those who trace it.
        """
        in_transaction = session is not None and session.transaction.active
        unheard = not in_transaction and not self.target.write_concern.acknowledged
        if unheard and session is not None:
            raise ConfigurationError("an explicit session cannot be used with an unacknowledged write concern (w=0)")
        limit = in_force_now(self.target.limit)
        timed = self if limit is None else replace(self, target=replace(self.target, limit=limit))
        async with self.context.executor.one_turn(session, parts[0].command, (call, timed.target)) as turn:
            sending = _Sending(timed, session, turn, unheard)
            for group in parts:
                if not await sending.send(group, group is parts[-1]):
                    break
            return sending.outcome()


@dataclass(slots=True)
class _Sending:
    """One bulk in progress. ``unheard``: the results of its statements are not to be reported (``w=0``)."""

    bulk: Bulk
    session: SessionState | None
    turn: Turn | None
    unheard: bool
    totals: BulkTotals = field(init=False)
    operation_id: int = field(default_factory=next_request_id)
    first_failure: BulkWriteError | None = None
    refused: StatementTooLarge | None = None

    def __post_init__(self) -> None:
        self.totals = BulkTotals(self.bulk.target.write_concern.acknowledged)

    async def send(self, group: StatementGroup, last: bool) -> bool:
        """Send the batches of a group; return whether another group may follow."""
        start = 0
        while start < len(group.bodies):
            try:
                batch = self._batch(group, start, last)
                reply = await self._reply(batch)
            except StatementTooLarge as error:
                self.totals.refuse(group, start, str(error))
                self.refused = self.refused or error
                start += 1
            except DriverError as error:
                error.partial_result = self.totals.result()
                raise
            else:
                if reply is None:
                    return False
                self.totals.add(group, start, reply)
                start += batch.taken
            if self.bulk.ordered and self.totals.has_write_errors:
                return False
            if self.first_failure is not None and self.first_failure.has_error_label(RETRYABLE_WRITE):
                return False  # the server steps down or shuts down, and the retry failed too
        return True

    def _batch(self, group: StatementGroup, start: int, last: bool) -> WriteBatch:
        bulk = self.bulk
        batch = WriteBatch(bulk.target, group, start, bulk.ordered, bulk.options, self.operation_id)
        if self.unheard and bulk.ordered and not (start + batch.taken == len(group.bodies) and last):
            return batch.answered()
        return batch

    async def _reply(self, batch: WriteBatch) -> Document | None:
        """The reply to a batch, empty for an unacknowledged one; None if an unacknowledged bulk ends with it."""
        if self.unheard:
            try:
                await self._execute(batch)
            except OperationFailure:
                return None
            return {}
        try:
            return await self._execute(batch)
        except BulkWriteError as failure:
            self.first_failure = self.first_failure or failure
            return failure.details or {}

    async def _execute(self, batch: WriteBatch) -> Document:
        executor = self.bulk.context.executor
        if self.turn is None or self.session is None:
            return await executor.execute(batch, None)
        return await executor.execute_in(self.turn, batch, self.session)

    def outcome(self) -> BulkWriteResult:
        """The result of the whole.

        :raises BulkWriteError: something failed; it has the labels of the first batch that did.
        """
        first, totals = self.first_failure, self.totals
        if first is None and self.refused is None:
            return totals.result()
        kind = BulkWriteError if self.refused is None else BulkDocumentTooLarge
        error = kind(totals.finish(), first.error_labels if first is not None else ())
        if first is not None:
            error.transaction = first.transaction
            error.max_wire_version = first.max_wire_version
        error.partial_result = totals.result()
        error.__cause__ = self.refused
        raise error
