"""Cursors whose items are batches as the server sent them: BSON documents one after the other, not decoded.

Written by ``python -m tools.synchronous`` from ``wiredrv.client.cursors.raw``: do not edit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from wiredrv.sync.command_cursor import CommandCursor
from wiredrv.sync.cursor import Cursor
from wiredrv.sync.cursor_base import CursorBase

if TYPE_CHECKING:
    from wiredrv.client.cursors.raw import RawBatchCommandCursor as AsyncRawBatchCommandCursor
    from wiredrv.client.cursors.raw import RawBatchCursor as AsyncRawBatchCursor
    from wiredrv.client.cursors.raw import _RawBatches as AsyncRawBatches


class _RawBatches(CursorBase[Any]):
    """Reads as other cursors do, with a batch in the place of a document."""

    __slots__ = ()

    _inner: AsyncRawBatches

    def __next__(self) -> bytes:
        batch: bytes = super().__next__()
        return batch

    def batches(self) -> NoReturn:
        """Not for this cursor: it gives batches already.

        :raises InvalidOperation: always.
        """
        self._inner.batches()

    def next(self) -> bytes:
        """The next batch.

        :returns: its documents as BSON, one after the other; ``bson.decode_all`` reads them. An empty batch is skipped.
        :raises StopIteration: there is none. A tailable cursor may have one later: see ``alive``.
        :raises OperationFailure: the server refused the command, or has lost the cursor (CursorNotFound).
        :raises InvalidOperation: another thread is waiting for the cursor's next batch, or the client is closed.
        """
        try:
            return self._threads.run(self._inner.next())
        except StopAsyncIteration:
            raise StopIteration from None

    def try_next(self) -> bytes | None:
        """The next batch, or None if there is none after at most one command. ``alive`` says whether more may come.

        :returns: its documents as BSON, one after the other, or None.
        :raises OperationFailure: the server refused the command.
        :raises InvalidOperation: another thread is waiting for the cursor's next batch, or the client is closed.
        """
        return self._threads.run(self._inner.try_next())

    def to_list(self, length: int | None = None) -> list[bytes]:
        """The batches that are left, or at most ``length`` of them.

        :param length: how many batches at most; None takes all.
        :returns: for each batch, its documents as BSON, one after the other.
        :raises ConfigurationError: ``length`` is not a whole number from 1 up.
        :raises OperationFailure: the server refused the command, or has lost the cursor (CursorNotFound).
        :raises InvalidOperation: another thread is waiting for the cursor's next batch, or the client is closed.
        """
        return self._threads.run(self._inner.to_list(length))


class RawBatchCursor(_RawBatches, Cursor[Any]):
    """The batches of a find, as bytes. Made by ``collection.find_raw_batches``; configured like a
    :class:`Cursor`."""

    __slots__ = ()

    _inner: AsyncRawBatchCursor

    def clone(self) -> RawBatchCursor:
        """A new cursor with the same settings and the same explicit session, not sent yet.

        :returns: the other cursor.
        """
        return RawBatchCursor(self._inner.clone(), self._parent)


class RawBatchCommandCursor(_RawBatches, CommandCursor[Any]):
    """The batches of an aggregate, as bytes. Made by ``collection.aggregate_raw_batches``."""

    __slots__ = ()

    _inner: AsyncRawBatchCommandCursor
