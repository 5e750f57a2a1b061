"""Cursors whose items are batches as the server sent them: BSON documents one after the other, not decoded.

Find-getMore-killCursors specification. The names are PyMongo's.
"""

from __future__ import annotations

from typing import Any, NoReturn

from wiredrv.client.cursors.base import CursorBase
from wiredrv.client.cursors.command_cursor import CommandCursor
from wiredrv.client.cursors.cursor import Cursor
from wiredrv.errors import InvalidOperation
from wiredrv.wire.batch import Batch


class _RawBatches(CursorBase[Any]):
    """Reads as other cursors do, with a batch in the place of a document."""

    __slots__ = ()

    def _encoded_from(self, whole: bool) -> int:
        return 0

    def _buffer(self, batch: list[Any] | Batch) -> None:
        data = batch.take_raw() if isinstance(batch, Batch) else b""
        super()._buffer([data] if data else [])

    async def __anext__(self) -> bytes:
        batch: bytes = await super().__anext__()
        return batch

    async def next(self) -> bytes:
        """The next batch.

        :returns: its documents as BSON, one after the other; ``bson.decode_all`` reads them. An empty batch is skipped.
        :raises StopAsyncIteration: there is none. A tailable cursor may have one later: see ``alive``.
        :raises OperationFailure: the server refused the command, or has lost the cursor (CursorNotFound).
        :raises InvalidOperation: another task is waiting for the cursor's next batch, or the client is closed.
        """
        return await self.__anext__()

    async def try_next(self) -> bytes | None:
        """The next batch, or None if there is none after at most one command. ``alive`` says whether more may come.

        :returns: its documents as BSON, one after the other, or None.
        :raises OperationFailure: the server refused the command.
        :raises InvalidOperation: another task is waiting for the cursor's next batch, or the client is closed.
        """
        batch: bytes | None = await super().try_next()
        return batch

    async def to_list(self, length: int | None = None) -> list[bytes]:
        """The batches that are left, or at most ``length`` of them.

        :param length: how many batches at most; None takes all.
        :returns: for each batch, its documents as BSON, one after the other.
        :raises ConfigurationError: ``length`` is not a whole number from 1 up.
        :raises OperationFailure: the server refused the command, or has lost the cursor (CursorNotFound).
        :raises InvalidOperation: another task is waiting for the cursor's next batch, or the client is closed.
        """
        return await super().to_list(length)

    def batches(self) -> NoReturn:
        """Not for this cursor: it gives batches already.

        :raises InvalidOperation: always.
        """
        raise InvalidOperation("a raw batch cursor gives batches: iterate over the cursor itself")


class RawBatchCursor(_RawBatches, Cursor[Any]):
    """The batches of a find, as bytes. Made by ``collection.find_raw_batches``; configured like a :class:`Cursor`."""

    __slots__ = ()

    def clone(self) -> RawBatchCursor:
        """A new cursor with the same settings and the same explicit session, not sent yet.

        :returns: the other cursor.
        """
        return self._copy_to(RawBatchCursor(self._collection, self._filter, self._session))


class EncodedCursor(Cursor[Any]):
    """For the driver's own reads. An item is a batch: a list of decoded documents or, of a large reply, a ``Batch``."""

    __slots__ = ()

    def _encoded_from(self, whole: bool) -> int:
        return super()._encoded_from(whole=False)

    def _buffer(self, batch: list[Any] | Batch) -> None:
        super()._buffer([batch])


class RawBatchCommandCursor(_RawBatches, CommandCursor[Any]):
    """The batches of an aggregate, as bytes. Made by ``collection.aggregate_raw_batches``."""

    __slots__ = ()
