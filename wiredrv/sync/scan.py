"""``snapshot.scan()``: a collection that several readers read at one point in time.

Written by ``python -m tools.synchronous`` from ``wiredrv.client.snapshots.scan``: do not edit.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self

from wiredrv.client.snapshots.progress import ScanProgress
from wiredrv.sync.base import Synchronous
from wiredrv.types import DocumentT_co

if TYPE_CHECKING:
    from wiredrv.client.snapshots.scan import Scan as AsyncScan


class Scan(Synchronous, Generic[DocumentT_co]):
    """The documents of a collection at one point in time, in batches. Made by :meth:`Snapshot.scan`.

    ::

        for batch in snap.scan(client.shop.orders, readers=8):
            for order in batch:
                ...

    Readers fetch batches of about 1 MB meanwhile, and each waits while two of its batches were not taken yet. Leaving
    the loop, however that happens, stops them. Used by one thread at a time.

    This driver's own; snapshot-sessions specification for the reads.
    """

    __slots__ = ()

    _inner: AsyncScan[DocumentT_co]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.run(self._inner.__aexit__(exc_type, exc, traceback))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> list[DocumentT_co]:
        try:
            return self._threads.run(self._inner.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def next(self) -> list[DocumentT_co]:
        """The next batch.

        :returns: its documents: one at least.
        :raises StopIteration: there is none: everything was read.
        :raises SnapshotTooOld: the servers have no history of the snapshot's time any longer.
        :raises UnreadableReply: a document cannot be decoded; those before it were given. The scan is closed.
        :raises OperationFailure: the server refused a command.
        :raises ConnectionFailure: no server could be reached in time.
        :raises InvalidOperation: the scan or the client was closed; or another thread waits for a batch; or a
            collection of this kind cannot be read at a snapshot; or it was dropped or renamed before it was read to its
            end.
        :raises ConfigurationError: ``ordered`` is not possible with this collection.
        """
        try:
            return self._threads.run(self._inner.next())
        except StopAsyncIteration:
            raise StopIteration from None

    @property
    def progress(self) -> ScanProgress:
        """How far the scan is."""
        return self._inner.progress

    @property
    def one_reader(self) -> str | None:
        """Why the collection is read by one reader, where its kind asks for that; None before the first batch too."""
        return self._inner.one_reader

    def close(self) -> None:
        """Stop the readers, and close their cursors and sessions. Batches that were not given yet are dropped.

        It may be called twice, and by another thread than the one that waits for a batch: that one gets
        InvalidOperation. Server errors are not raised.
        """
        self._threads.run(self._inner.close())
