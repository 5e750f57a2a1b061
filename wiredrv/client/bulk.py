"""Sending a bulk: one batch after another, each an operation of its own; then one result, or one error.

CRUD specification, "Bulk Write". What fits into a batch and how replies add up is decided in
:mod:`wiredrv.operations.write_batch`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wiredrv.errors import BulkWriteError, DriverError
from wiredrv.operations.base import Target
from wiredrv.operations.results import BulkWriteResult
from wiredrv.operations.write_batch import BulkTotals, Run, Statement, WriteBatch, runs
from wiredrv.wire.op_msg import next_request_id

if TYPE_CHECKING:
    from wiredrv.client.handle import HandleContext
    from wiredrv.session.state import SessionState


@dataclass(frozen=True, slots=True)
class Bulk:
    """Statements with what is common to all of their batches."""

    context: HandleContext
    target: Target
    ordered: bool
    options: Mapping[str, Any]

    async def send(self, statements: Sequence[Statement], session: SessionState | None) -> BulkWriteResult:
        """Send statements of any kind.

        :raises BulkWriteError: statements or write concerns failed.
        :raises DriverError: a batch could not be sent or was refused whole; ``partial_result`` tells of those before.
        """
        return await self.send_runs(runs(statements, self.ordered), session)

    async def send_runs(self, parts: Sequence[Run], session: SessionState | None) -> BulkWriteResult:
        """As :meth:`send`, of statements grouped already."""
        totals = BulkTotals(self.target.write_concern.acknowledged)
        first_failure: BulkWriteError | None = None
        operation_id = next_request_id()
        for run in parts:
            start = 0
            while start < len(run.bodies) and not (self.ordered and totals.has_write_errors):
                batch = WriteBatch(self.target, run, start, self.ordered, self.options, operation_id)
                try:
                    reply: Mapping[str, Any] = await self.context.executor.execute(batch, session)
                except BulkWriteError as failure:
                    first_failure = first_failure or failure
                    reply = failure.details or {}
                except DriverError as error:
                    error.partial_result = totals.result()
                    raise
                totals.add(run, start, reply)
                start += batch.taken
        if first_failure is not None:
            raise _summary(totals, first_failure)
        return totals.result()


def _summary(totals: BulkTotals, first: BulkWriteError) -> BulkWriteError:
    """The error of the whole bulk, with the labels of the first batch that failed."""
    error = BulkWriteError(totals.finish(), first.error_labels)
    error.transaction = first.transaction
    error.max_wire_version = first.max_wire_version
    error.partial_result = totals.result()
    return error
