"""A reader of a scan: a task of the client's background, with a session and one cursor at a time.

Rules kept here:

* A document is given once and none is left out, whatever fails: a range is continued from the ``_id`` that was read
  last, at the same time, perhaps at another member.
* However a reader ends, its cursor is closed, on the server too, and its session is ended.
* It holds no reference to its scan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from wiredrv import waits
from wiredrv.client.cursors.cursor import Cursor
from wiredrv.client.snapshots.failures import continues, longest_pause
from wiredrv.client.snapshots.flow import Chunk, Flow, Stopped
from wiredrv.client.snapshots.ranges import Range, Step, first_step, step_after_end, step_after_failure
from wiredrv.errors import DriverError, is_timeout
from wiredrv.execution.timeout import leave_blocks
from wiredrv.operations.cursors import RangeGetMore
from wiredrv.types import Document
from wiredrv.wire.batch import Batch

if TYPE_CHECKING:
    from wiredrv.client.collection import Collection
    from wiredrv.client.sessions.client_session import ClientSession

#: About how many bytes the batches have, after the first one of a reader.
BATCH_BYTES = 1024 * 1024


#: Whatever its documents are given as.
AnyCollection: TypeAlias = "Collection[Any]"


class _BatchCursor(Cursor[Any]):
    """A cursor whose items are batches, not decoded."""

    __slots__ = ()

    _get_more_class = RangeGetMore

    def _encoded_from(self, whole: bool) -> int:
        return 0

    def _buffer(self, batch: list[Any] | Batch) -> None:
        super()._buffer([batch] if isinstance(batch, Batch) and len(batch) else [])


@dataclass(frozen=True)
class Source:
    """What all readers of a scan read.

    :param collection: the collection, with the read preference and time limit of the scan.
    :param filter: which documents.
    :param projection: which fields, the ``_id`` among them if there is an index; None for all.
    :param hides_id: whether the ``_id`` is left out of what is given.
    :param options: further fields of the finds, under their names on the wire.
    :param batch_size: how many documents are in a batch; None chooses by their size.
    :param start_session: starts a session that reads the snapshot.
    :param has_index: whether there is an index on ``_id``, so that a range can be continued.
    """

    collection: AnyCollection
    filter: Document
    projection: Document | None
    hides_id: bool
    options: Document
    batch_size: int | None
    start_session: Callable[[], ClientSession]
    has_index: bool = True


class Reader:
    """Reads one range after the other.

    :param flow: where the ranges come from and the batches go.
    :param source: what is read.
    """

    def __init__(self, flow: Flow, source: Source) -> None:
        self.unread = 0
        self._flow = flow
        self._source = source
        self._scope: waits.CancelScope | None = None
        self._is_cancelled = False
        #: How many documents to ask for; None until the size of some is known.
        self._batch_size = source.batch_size
        #: The ``_id`` that was read last of the present range, and how often reading failed since.
        self._last: bytes | None = None
        self._failures = 0

    # --- the task ---

    async def run(self) -> None:
        """Read ranges until there are none: in a task of the client's background."""
        # The time limit of a block belongs to the calls in it.
        leave_blocks()
        with waits.CancelScope() as self._scope:
            if self._is_cancelled:
                return
            try:
                async with self._source.start_session() as session:
                    while (part := self._flow.claim()) is not None:
                        await self._read(part, session)
                        self._flow.finished(part)
            except Stopped:
                pass
            except Exception as error:
                self._flow.fail(error)

    def finished(self) -> None:
        """The task has ended, or will never run."""
        self._flow.left(self)

    def cancel(self) -> None:
        """Stop it. The executor cleans up after what it was doing."""
        self._is_cancelled = True
        if self._scope is not None:
            self._scope.cancel()

    # --- reading ---

    async def _read(self, part: Range, session: ClientSession) -> None:
        self._last, self._failures = None, 0
        left: Step | None = first_step(part)
        while left is not None:
            step = left
            try:
                await self._read_step(part, step, session)
                left = step_after_end(step, self._last) if self._source.has_index else None
            except DriverError as error:
                self._failures += 1
                if not self._may_continue(error):
                    raise
                await waits.sleep(waits.random() * longest_pause(self._failures))
                left = step_after_failure(step, self._last)

    def _may_continue(self, error: DriverError) -> bool:
        if not self._source.has_index and self._last is not None:
            return False
        limited = self._source.collection._target.limit is not None
        return not (limited and is_timeout(error)) and continues(error, self._failures)

    async def _read_step(self, part: Range, step: Step, session: ClientSession) -> None:
        source = self._source
        cursor = _BatchCursor(source.collection, step.filter(source.filter), session)
        cursor._options.update(source.options)
        if source.projection is not None:
            cursor._options["projection"] = source.projection
        cursor._comment = source.options.get("comment")
        if source.has_index:
            cursor._options.update(step.bounds())
        if source.collection._target.limit is not None:
            cursor._timeout_mode = "iteration"
        cursor._batch_size = self._batch_size
        async with cursor:
            async for batch in cursor:
                if step.after is not None and batch.id_document(0) == step.after:
                    batch.skip(1)
                    step = step._replace(after=None)
                if len(batch):
                    await self._hand_over(part, batch, cursor)

    async def _hand_over(self, part: Range, batch: Batch, cursor: _BatchCursor) -> None:
        if self._source.has_index:
            self._last = batch.id_document(-1)
        else:
            self._last = b""  # Something was read: it cannot be continued.
        self._failures = 0
        if self._source.batch_size is None:
            self._batch_size = cursor._batch_size = max(1, BATCH_BYTES * len(batch) // batch.size)
        await self._flow.put(part, Chunk(batch, cursor.address, self))
