"""``snapshot.scan()``: a collection that several readers read at one point in time.

Rules kept here:

* Nothing is sent before the first batch is requested.
* Whatever ends a scan (its end, ``break``, an error, a cancellation, the end of the snapshot's block or of the client),
  its readers end too, with their cursors and sessions. They are tasks of the client's background, so that no task
  group stays open across the user's code; they do not refer to the scan, so that it is collected after a ``break``.
* Batches are decoded when they are given: what is read ahead stays encoded.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, NoReturn, Self, TypeVar

from wiredrv import waits
from wiredrv.client.cursors.base import unreadable
from wiredrv.client.misuse import ClosedAtTheEnd
from wiredrv.client.snapshots.failures import continues, longest_pause
from wiredrv.client.snapshots.flow import Chunk, Flow
from wiredrv.client.snapshots.planning import Plan, confirm, plan
from wiredrv.client.snapshots.progress import ScanProgress
from wiredrv.client.snapshots.reader import Reader, Source
from wiredrv.errors import (
    ConfigurationError,
    DriverError,
    InvalidOperation,
    OperationTimeout,
    UnreadableReply,
    is_timeout,
)
from wiredrv.execution import budget
from wiredrv.execution.time_limit import milliseconds
from wiredrv.execution.timeout import in_force_now
from wiredrv.types import Document, DocumentT_co
from wiredrv.wire.batch import Batch

if TYPE_CHECKING:
    from wiredrv.client.core import ClientCore

T = TypeVar("T")

#: Seconds that closing a scan may take. What is left then is done in the background.
_CLOSE_SECONDS = 5.0


class Scan(ClosedAtTheEnd, Generic[DocumentT_co]):
    """The documents of a collection at one point in time, in batches. Made by :meth:`Snapshot.scan`.

    ::

        async for batch in snap.scan(client.shop.orders, readers=8):
            for order in batch:
                ...

    Readers fetch batches of about 1 MB meanwhile, and each waits while two of its batches were not taken yet. Leaving
    the loop, however that happens, stops them. Used by one task at a time.

    This driver's own; snapshot-sessions specification for the reads.
    """

    _written = "snap.scan(...)"

    def __init__(
        self, core: ClientCore, source: Source, readers: int, ordered: bool, projection: Document | None
    ) -> None:
        """Made by the method that returns it.

        :param core: the client's.
        :param source: what is read.
        :param readers: how many readers at most.
        :param ordered: whether the documents are given in the order of ``_id``.
        :param projection: what the user asked for; ``source`` has the ``_id`` besides.
        """
        self._core = core
        self._source = source
        self._readers = readers
        self._ordered = ordered
        self._projection = projection
        self._hides_id = source.hides_id
        self._flow: Flow | None = None
        self._plan: Plan | None = None
        self._batch: Batch | None = None
        self._chunk: Chunk | None = None
        self._progress = ScanProgress()
        self._busy = False
        self._closed = False
        self._complete = False
        self._loop: object = None
        self._process = os.getpid()

    # --- batches ---

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[DocumentT_co]:
        if self._busy:
            raise InvalidOperation("a scan is used by one task at a time, and another task waits for its next batch")
        self._busy = True
        try:
            return await self._next()
        except StopAsyncIteration:
            raise
        except Exception:
            await self.close()
            raise
        finally:
            self._busy = False

    if not TYPE_CHECKING:  # type checkers know without it that a scan has no synchronous iteration

        def __iter__(self) -> NoReturn:
            raise TypeError("a scan is read with `async for`, not with `for`")

    async def next(self) -> list[DocumentT_co]:
        """The next batch.

        :returns: its documents: one at least.
        :raises StopAsyncIteration: there is none: everything was read.
        :raises SnapshotTooOld: the servers have no history of the snapshot's time any longer.
        :raises UnreadableReply: a document cannot be decoded; those before it were given. The scan is closed.
        :raises OperationFailure: the server refused a command.
        :raises ConnectionFailure: no server could be reached in time.
        :raises InvalidOperation: the scan or the client was closed; or another task waits for a batch; or a collection
            of this kind cannot be read at a snapshot; or it was dropped or renamed before it was read to its end.
        :raises ConfigurationError: ``ordered`` is not possible with this collection.
        """
        return await self.__anext__()

    async def _next(self) -> list[DocumentT_co]:
        if self._complete:
            raise StopAsyncIteration
        flow = self._flow or await self._start()
        await waits.checkpoint()
        while True:
            self._refuse_if_unusable(flow)
            if self._batch:
                return self._decoded(self._batch)
            if (chunk := flow.take()) is not None:
                self._chunk = chunk
                self._batch = chunk.batch.without_ids() if self._hides_id else chunk.batch
            elif flow.error is not None:
                raise flow.error
            elif flow.is_over:
                await self._confirmed()
                self._complete = True
                await self.close()
                raise StopAsyncIteration
            else:
                await self._wait(flow)

    async def _start(self) -> Flow:
        self._refuse_if_closed()
        source = self._source
        found = await self._planned()
        self._refuse_if_closed()  # another task may have closed it meanwhile
        if not found.layout.has_index:
            if self._ordered:
                raise ConfigurationError(f"ordered=True is not possible: {found.layout.value}; use find() with a sort")
            self._hides_id = False
            source = replace(source, has_index=False, projection=self._projection)
        self._plan = found
        flow = self._flow = Flow(found.ranges, self._ordered)
        self._loop = waits.running_loop()
        self._core.open_streams.add(self)
        for _ in range(min(self._readers, len(found.ranges))):
            reader = Reader(flow, source)
            flow.entered(reader)
            if not self._core.read_ahead(reader):
                reader.finished()
        return flow

    async def _planned(self) -> Plan:
        """How to read the collection."""
        source = self._source

        async def ask() -> Plan:
            async with source.start_session() as session:
                return await plan(source.collection, session, self._readers, self._ordered)

        return await self._asked(ask)

    async def _confirmed(self) -> None:
        """Refuse to end as if everything was read, where the collection was dropped meanwhile."""
        found = self._plan
        assert found is not None
        await self._asked(lambda: confirm(self._source.collection, found))
        self._refuse_if_closed()  # by another task, meanwhile

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What is asked before and after reading. It is asked again after a failure, as ranges are read again."""
        limited = self._source.collection._target.limit is not None
        failures = 0
        while True:
            try:
                return await ask()
            except DriverError as error:
                failures += 1
                if (limited and is_timeout(error)) or not continues(error, failures):
                    raise
                await waits.sleep(waits.random() * longest_pause(failures))

    async def _wait(self, flow: Flow) -> None:
        """Wait for news of the readers, as long as the time limit of a block around the caller allows."""
        limit = in_force_now(None)
        if limit is None or limit.until is None:
            await flow.wait()
            return
        with waits.move_on_after(limit.until - waits.monotonic()):
            await flow.wait()
            return
        raise OperationTimeout(f"the next batch of the scan did not come within {milliseconds(limit)}")

    def _decoded(self, batch: Batch) -> list[DocumentT_co]:
        size, before = batch.size, len(batch)
        try:
            found: list[DocumentT_co] = batch.take(before)
        except UnreadableReply as error:
            assert self._chunk is not None
            target = self._source.collection._target
            shown = unreadable(batch, error, self._chunk.address, target.namespace)
            raise shown from error.__cause__
        progress = self._progress
        self._progress = replace(
            progress, documents=progress.documents + len(found), bytes=progress.bytes + size - batch.size
        )
        return found

    # --- what is known of it ---

    @property
    def progress(self) -> ScanProgress:
        """How far the scan is."""
        flow, found = self._flow, self._plan
        if flow is None or found is None:
            return self._progress
        total = None if self._source.filter else found.documents
        return replace(self._progress, estimated_total=total, ranges=flow.ranges, ranges_done=flow.ranges_done)

    @property
    def one_reader(self) -> str | None:
        """Why the collection is read by one reader, where its kind asks for that; None before the first batch too."""
        return None if self._plan is None else self._plan.layout.value or None

    # --- the end ---

    async def close(self) -> None:
        """Stop the readers, and close their cursors and sessions. Batches that were not given yet are dropped.

        It may be called twice, and by another task than the one that waits for a batch: that one gets InvalidOperation.
        Server errors are not raised.
        """
        flow = self._begin_to_close()
        if flow is not None:
            try:
                await budget.bounded(flow.end, _CLOSE_SECONDS, self._core.executor.grace)
            finally:
                flow.cancel()

    def _begin_to_close(self) -> Flow | None:
        """Have the readers stop. Returns what to wait for; None if there is nothing."""
        flow = self._flow
        self._closed = True
        self._batch = None
        self._core.open_streams.discard(self)
        if flow is None or not self._is_usable:
            return None
        flow.stop()
        return flow

    @property
    def _is_usable(self) -> bool:
        """Whether its readers are here: not in another event loop, nor in a process that was forked."""
        return self._process == os.getpid() and waits.running_loop() is self._loop

    def _refuse_if_unusable(self, flow: Flow) -> None:
        if not self._is_usable:
            raise InvalidOperation("a scan is read in the event loop and the process in which it was begun: scan again")
        self._refuse_if_closed()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise InvalidOperation("this scan was closed, or its snapshot or client was: call snap.scan() again")

    def __del__(self) -> None:
        # A finalizer runs in any thread and at any time: it only queues the work.
        flow = getattr(self, "_flow", None)
        if flow is not None and not self._closed and self._process == os.getpid():
            self._core.clean_up_later(flow.end_within)

    def __repr__(self) -> str:
        state = "ended" if self._complete else "closed" if self._closed else "open" if self._flow else "not sent yet"
        return f"Scan({self._source.collection._target.namespace}, {state})"
