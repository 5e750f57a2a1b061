"""The cursor of ``find``: configured by chaining, sent when the first document is requested. PyMongo's names.

Written by ``python -m tools.synchronous`` from ``wiredrv.client.cursors.cursor``: do not edit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, cast

from bson.code import Code

from wiredrv.client.validation import Collation, Keys
from wiredrv.sync.cursor_base import CursorBase
from wiredrv.types import Document, DocumentT_co

if TYPE_CHECKING:
    from wiredrv.client.cursors.cursor import Cursor as AsyncCursor
    from wiredrv.sync.collection import Collection


class Cursor(CursorBase[DocumentT_co]):
    """The documents of a collection that match a filter. Made by ``collection.find``.

    Specifications: CRUD ("Read"), find_getmore_killcursors_commands.
    """

    __slots__ = ()

    _inner: AsyncCursor[DocumentT_co]

    @property
    def collection(self) -> Collection[DocumentT_co]:
        """The collection that is queried."""
        return cast("Collection[DocumentT_co]", self._parent)

    def __copy__(self) -> Cursor[DocumentT_co]:
        return self.clone()

    def __deepcopy__(self, memo: dict[int, object]) -> Cursor[DocumentT_co]:
        return Cursor(self._inner.__deepcopy__(memo), self._parent)

    def sort(self, key_or_list: Keys, direction: int | str | None = None) -> Self:
        """Sort by a field (``sort("a", -1)``), a list of pairs or a mapping. Replaces an earlier order.

        :param key_or_list: a field's name, a list of (field, direction) pairs, or a mapping.
        :param direction: with a single field: ``ASCENDING`` (1, the default), ``DESCENDING`` (-1) or another kind of
            order.
        :returns: this cursor.
        :raises ConfigurationError: it is none of these.
        :raises InvalidOperation: the first document was requested already.
        """
        self._inner.sort(key_or_list, direction)
        return self

    def limit(self, limit: int) -> Self:
        """Take at most so many documents.

        :param limit: how many; 0 for all; a negative number for one batch of at most so many.
        :returns: this cursor.
        :raises InvalidOperation: the first document was requested already.
        :raises ConfigurationError: the value is of the wrong kind.
        """
        self._inner.limit(limit)
        return self

    def add_option(self, mask: int) -> Self:
        """Set options by the bits of the old query flags, as PyMongo does; the arguments of ``find`` say the same.

        :param mask: the sum of: 2 tailable, 8 oplog replay, 16 no cursor timeout, 32 data, 64 exhaust, 128 allow
            partial results; 4 (secondary ok) is ignored, since the read preference says it.
        :returns: this cursor.
        :raises InvalidOperation: the first document was requested already.
        :raises ConfigurationError: another bit is set, or it cannot be combined with the cursor's limit.
        """
        self._inner.add_option(mask)
        return self

    def remove_option(self, mask: int) -> Self:
        """Unset options by the bits of the old query flags.

        :param mask: the sum of the bits, as :meth:`add_option` takes them.
        :returns: this cursor.
        :raises InvalidOperation: the first document was requested already.
        :raises ConfigurationError: another bit is set.
        """
        self._inner.remove_option(mask)
        return self

    def skip(self, skip: int) -> Self:
        """Skip this many documents at the beginning.

        :param skip: how many.
        :returns: this cursor.
        :raises InvalidOperation: the first document was requested already.
        :raises ConfigurationError: the value is of the wrong kind.
        """
        self._inner.skip(skip)
        return self

    def batch_size(self, batch_size: int) -> Self:
        """Set how many documents the server sends at a time. It may be changed between batches.

        :param batch_size: how many; 0 leaves it to the server.
        :returns: this cursor.
        :raises ConfigurationError: it is not a whole number from 0 up.
        """
        self._inner.batch_size(batch_size)
        return self

    def hint(self, index: Keys | None) -> Self:
        """Use a certain index.

        :param index: its name or its keys; None removes the hint.
        :returns: this cursor.
        :raises InvalidOperation: the first document was requested already.
        :raises ConfigurationError: the value is of the wrong kind.
        """
        self._inner.hint(index)
        return self

    def max_time_ms(self, max_time_ms: int | None) -> Self:
        """Limit the time that the find may run on the server.

        :param max_time_ms: milliseconds; None sets no limit.
        :returns: this cursor.
        :raises InvalidOperation: the first document was requested already.
        :raises ConfigurationError: the value is of the wrong kind.
        """
        self._inner.max_time_ms(max_time_ms)
        return self

    def max_await_time_ms(self, max_await_time_ms: int | None) -> Self:
        """Limit the time that the server waits for more documents; only for ``CursorType.TAILABLE_AWAIT``.

        :param max_await_time_ms: milliseconds of each getMore; None leaves it to the server.
        :returns: this cursor.
        :raises InvalidOperation: the first document was requested already.
        :raises ConfigurationError: the value is of the wrong kind.
        """
        self._inner.max_await_time_ms(max_await_time_ms)
        return self

    def comment(self, comment: object) -> Self:
        """Set a comment for the server's logs and profiler, on the find and every getMore.

        :param comment: any value that BSON can carry; before server 4.4 a string.
        :returns: this cursor.
        :raises InvalidOperation: the first document was requested already.
        """
        self._inner.comment(comment)
        return self

    def collation(self, collation: Collation | None) -> Self:
        """Set how strings are compared.

        :param collation: a mapping or a ``Collation``; None takes the collection's.
        :returns: this cursor.
        :raises InvalidOperation: the first document was requested already.
        :raises ConfigurationError: the value is of the wrong kind.
        """
        self._inner.collation(collation)
        return self

    def min(self, spec: Keys) -> Self:
        """Set the inclusive lower bound of the index keys; needs a hint.

        :param spec: for each field of the index, the least value.
        :returns: this cursor.
        :raises InvalidOperation: the first document was requested already.
        :raises ConfigurationError: the value is of the wrong kind.
        """
        self._inner.min(spec)
        return self

    def max(self, spec: Keys) -> Self:
        """Set the exclusive upper bound of the index keys; needs a hint.

        :param spec: for each field of the index, the value below which keys must be.
        :returns: this cursor.
        :raises InvalidOperation: the first document was requested already.
        :raises ConfigurationError: the value is of the wrong kind.
        """
        self._inner.max(spec)
        return self

    def allow_disk_use(self, allow_disk_use: bool) -> Self:
        """Set whether the server may sort on disk (server 4.4).

        :param allow_disk_use: whether it may.
        :returns: this cursor.
        :raises InvalidOperation: the first document was requested already.
        :raises ConfigurationError: the value is of the wrong kind.
        """
        self._inner.allow_disk_use(allow_disk_use)
        return self

    def where(self, code: str | Code) -> Self:
        """Keep only documents for which a JavaScript expression is true.

        :param code: the expression, as a string or a bson ``Code``.
        :returns: this cursor.
        :raises ConfigurationError: it is neither.
        :raises InvalidOperation: the first document was requested already.
        """
        self._inner.where(code)
        return self

    def clone(self) -> Cursor[DocumentT_co]:
        """A new cursor with the same settings and the same explicit session, not sent yet.

        :returns: the other cursor.
        """
        return Cursor(self._inner.clone(), self._parent)

    def rewind(self) -> Self:
        """Start again: the next document is the first. A cursor that is open on the server is killed.

        :returns: this cursor.
        :raises InvalidOperation: another thread waits for a document of it.
        """
        self._threads.call(self._inner.rewind)
        return self

    def explain(self) -> Document:
        """The server's plan for the query. It opens no cursor.

        The query is run for it. The cursor's ``max_time_ms`` limits the explain command, and a time limit
        (``timeout_ms``) the whole call.

        :returns: the server's plan.
        :raises OperationFailure: the server refused the command, or stopped it (ExecutionTimeout).
        """
        return self._threads.run(self._inner.explain())

    def distinct(self, key: str) -> list[Any]:
        """The distinct values of a field among the documents that match.

        The cursor's collation, hint (server 7.1), time limit and comment apply to the distinct command too; the command
        has no order, limit, skip or projection.

        :param key: the field's name; dots lead into sub-documents.
        :returns: the values, in no certain order.
        :raises OperationFailure: the server refused the command.
        """
        return self._threads.run(self._inner.distinct(key))
