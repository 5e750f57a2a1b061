"""The cursor of ``find``: configured by chaining, sent when the first document is requested. PyMongo's names.

Find-getMore-killCursors specification, "Behavior of Limit, skip and batchSize"; CRUD specification, "Find".
"""

from __future__ import annotations

import math
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Self, TypeVar

from bson.code import Code

from wiredrv.client import validation as check
from wiredrv.client.arguments import FIND
from wiredrv.client.constants import CursorType
from wiredrv.client.cursors.base import CursorBase
from wiredrv.client.cursors.flags import FLAGS, OF_TYPE, WAITING, cursor_type, query_flags, refuse_limit_of_exhaust
from wiredrv.client.limits import limited
from wiredrv.client.validation import Collation, Keys
from wiredrv.errors import ConfigurationError
from wiredrv.operations.base import Operation
from wiredrv.operations.cursors import CursorReply
from wiredrv.operations.find import Find
from wiredrv.operations.run_command import RunCommand
from wiredrv.types import Document, DocumentT_co, PlainDocument

if TYPE_CHECKING:
    from wiredrv.client.collection import Collection
    from wiredrv.client.sessions.client_session import ClientSession

AnyCursor = TypeVar("AnyCursor", bound="Cursor[Any]")

#: Options of ``find`` that are not simply a field of the command.
_OWN_OPTIONS = frozenset(
    {"limit", "batch_size", "max_await_time_ms", "cursor_type", "prefetch", "timeout_ms", "timeout_mode"}
)
#: The options that the distinct command shares with find.
_OF_DISTINCT = ("collation", "hint", "maxTimeMS", "comment", "rawData")


class Cursor(CursorBase[DocumentT_co]):
    """The documents of a collection that match a filter. Made by ``collection.find``.

    Specifications: CRUD ("Read"), find_getmore_killcursors_commands.
    """

    __slots__ = ("_collection", "_cursor_type", "_filter", "_limit", "_options")

    def __init__(
        self,
        collection: Collection[DocumentT_co],
        filter: Document | None = None,
        session: ClientSession | None = None,
        options: Document | None = None,
    ) -> None:
        self._collection = collection
        self._filter: Document = {} if filter is None else check.document("filter", filter)
        self._limit = 0
        self._cursor_type: int = CursorType.NON_TAILABLE
        self._options: PlainDocument = {}
        super().__init__(collection._context, collection._target, session)
        self._prefetch = collection._context.prefetch
        if options:
            self._set_up(options)

    def _set_up(self, options: Document) -> None:
        fields = {name: value for name, value in options.items() if name not in _OWN_OPTIONS}
        self._options = check.wire_options(fields, FIND, self._collection.find)
        self._comment = self._options.get("comment")
        if options.get("limit") is not None:
            self._limit = check.any_integer("limit", options["limit"])
        if options.get("batch_size") is not None:
            self._batch_size = check.any_integer("batch_size", options["batch_size"])
        if options.get("max_await_time_ms") is not None:
            self._max_await_time_ms = check.whole_number("max_await_time_ms", options["max_await_time_ms"])
        self._target = limited(self._target, options.get("timeout_ms"))
        self._timeout_mode = options.get("timeout_mode")
        if options.get("prefetch") is not None:
            self._prefetch = check.boolean("prefetch", options["prefetch"])
        if options.get("cursor_type", CursorType.NON_TAILABLE) != CursorType.NON_TAILABLE:
            self._set_type(cursor_type(options["cursor_type"]))

    # --- the commands ---

    def _first_operation(self, encoded_from: int) -> Operation[CursorReply]:
        options = self._options
        if self._limit or self._batch_size or self._prefetch:
            options = {**options, **self._sizes()}
        if self._cursor_type & CursorType.TAILABLE_AWAIT:
            options = {**options, **{name: True for bit, name in WAITING.items() if self._cursor_type & bit}}
        if self._exhaust and self._state is not None and self._state.transaction.active:
            raise self._state.transaction.does_not_permit(
                "an exhaust cursor cannot be used in a transaction, whose statements follow one another: leave out "
                "cursor_type=CursorType.EXHAUST, the documents are the same"
            )
        return Find(self._target, self._filter, options, encoded_from)

    def _sizes(self) -> PlainDocument:
        """``limit``, ``batchSize`` and ``singleBatch`` as the find command takes them: never negative, never 0."""
        limit, batch_size = self._limit, self._wanted_batch_size or 0
        single_batch = limit < 0 or batch_size < 0
        limit, batch_size = abs(limit), abs(batch_size)
        if single_batch and limit:
            batch_size = limit
        elif limit and batch_size == limit:
            # With a batch as large as the limit the server would leave an exhausted cursor open.
            batch_size += 1
        sizes: PlainDocument = {}
        if limit:
            sizes["limit"] = limit
        if batch_size:
            sizes["batchSize"] = batch_size
        if single_batch:
            sizes["singleBatch"] = True
        return sizes

    def _next_batch_size(self) -> int | None:
        wanted = self._wanted_batch_size or 0
        if self._limit > 0:
            left = self._limit - self._retrieved
            return min(wanted, left) if wanted else left
        return wanted or None

    def _next_max_time_ms(self) -> int | None:
        return self._max_await_time_ms if self._cursor_type == CursorType.TAILABLE_AWAIT else None

    def _is_satisfied(self) -> bool:
        if self._limit < 0 or (self._batch_size or 0) < 0:
            return True
        return 0 < self._limit <= self._retrieved

    @property
    def _is_tailable(self) -> bool:
        return bool(self._cursor_type & CursorType.TAILABLE)

    @property
    def _awaits_data(self) -> bool:
        return self._cursor_type == CursorType.TAILABLE_AWAIT

    # --- setting up ---

    def _option(self, name: str, value: object) -> Self:
        self._check_unstarted(name)
        wire, checker = FIND[name]
        checked = value if checker is None or value is None else checker(name, value)
        if checked is None:
            self._options.pop(wire, None)
        else:
            self._options[wire] = checked
        return self

    def sort(self, key_or_list: Keys, direction: int | str | None = None) -> Self:
        """Sort by a field (``sort("a", -1)``), a list of pairs or a mapping. Replaces an earlier order.

        :param key_or_list: a field's name, a list of (field, direction) pairs, or a mapping.
        :param direction: with a single field: ``ASCENDING`` (1, the default), ``DESCENDING`` (-1) or another kind of
            order.
        :returns: this cursor.
        :raises ConfigurationError: it is none of these.
        :raises InvalidOperation: the first document was requested already.
        """
        self._check_unstarted("sort")
        self._options["sort"] = check.sort_document("sort", key_or_list, direction)
        return self

    def limit(self, limit: int) -> Self:
        """Take at most so many documents.

        :param limit: how many; 0 for all; a negative number for one batch of at most so many.
        :returns: this cursor.
        :raises InvalidOperation: the first document was requested already.
        :raises ConfigurationError: the value is of the wrong kind.
        """
        self._check_unstarted("limit")
        limit = check.any_integer("limit", limit)
        refuse_limit_of_exhaust(self._cursor_type, limit)
        self._limit = limit
        return self

    def _set_type(self, kind: int) -> None:
        refuse_limit_of_exhaust(kind, self._limit)
        self._cursor_type = kind
        self._exhaust = bool(kind & CursorType.EXHAUST)

    def add_option(self, mask: int) -> Self:
        """Set options by the bits of the old query flags, as PyMongo does; the arguments of ``find`` say the same.

        :param mask: the sum of: 2 tailable, 8 oplog replay, 16 no cursor timeout, 32 await data, 64 exhaust, 128 allow
            partial results; 4 (secondary ok) is ignored, since the read preference says it.
        :returns: this cursor.
        :raises InvalidOperation: the first document was requested already.
        :raises ConfigurationError: another bit is set, or it cannot be combined with the cursor's limit.
        """
        self._check_unstarted("add_option")
        mask = query_flags(mask)
        self._set_type(self._cursor_type | mask & OF_TYPE)
        self._options.update({name: True for bit, name in FLAGS.items() if mask & bit})
        return self

    def remove_option(self, mask: int) -> Self:
        """Unset options by the bits of the old query flags.

        :param mask: the sum of the bits, as :meth:`add_option` takes them.
        :returns: this cursor.
        :raises InvalidOperation: the first document was requested already.
        :raises ConfigurationError: another bit is set.
        """
        self._check_unstarted("remove_option")
        mask = query_flags(mask)
        self._set_type(self._cursor_type & ~mask)
        for bit, name in FLAGS.items():
            if mask & bit:
                self._options.pop(name, None)
        return self

    def skip(self, skip: int) -> Self:
        """Skip this many documents at the beginning.

        :param skip: how many.
        :returns: this cursor.
        :raises InvalidOperation: the first document was requested already.
        :raises ConfigurationError: the value is of the wrong kind.
        """
        return self._option("skip", skip)

    def batch_size(self, batch_size: int) -> Self:
        """Set how many documents the server sends at a time. It may be changed between batches.

        :param batch_size: how many; 0 leaves it to the server.
        :returns: this cursor.
        :raises ConfigurationError: it is not a whole number from 0 up.
        """
        self._batch_size = check.whole_number("batch_size", batch_size)
        return self

    def hint(self, index: Keys | None) -> Self:
        """Use a certain index.

        :param index: its name or its keys; None removes the hint.
        :returns: this cursor.
        :raises InvalidOperation: the first document was requested already.
        :raises ConfigurationError: the value is of the wrong kind.
        """
        return self._option("hint", index)

    def max_time_ms(self, max_time_ms: int | None) -> Self:
        """Limit the time that the find may run on the server.

        :param max_time_ms: milliseconds; None sets no limit.
        :returns: this cursor.
        :raises InvalidOperation: the first document was requested already.
        :raises ConfigurationError: the value is of the wrong kind.
        """
        return self._option("max_time_ms", max_time_ms)

    def max_await_time_ms(self, max_await_time_ms: int | None) -> Self:
        """Limit the time that the server waits for more documents; only for ``CursorType.TAILABLE_AWAIT``.

        :param max_await_time_ms: milliseconds of each getMore; None leaves it to the server.
        :returns: this cursor.
        :raises InvalidOperation: the first document was requested already.
        :raises ConfigurationError: the value is of the wrong kind.
        """
        self._check_unstarted("max_await_time_ms")
        if max_await_time_ms is not None:
            check.whole_number("max_await_time_ms", max_await_time_ms)
        self._max_await_time_ms = max_await_time_ms
        return self

    def comment(self, comment: object) -> Self:
        """Set a comment for the server's logs and profiler, on the find and every getMore.

        :param comment: any value that BSON can carry; before server 4.4 a string.
        :returns: this cursor.
        :raises InvalidOperation: the first document was requested already.
        """
        self._comment = comment
        return self._option("comment", comment)

    def collation(self, collation: Collation | None) -> Self:
        """Set how strings are compared.

        :param collation: a mapping or a ``Collation``; None takes the collection's.
        :returns: this cursor.
        :raises InvalidOperation: the first document was requested already.
        :raises ConfigurationError: the value is of the wrong kind.
        """
        return self._option("collation", collation)

    def min(self, spec: Keys) -> Self:
        """Set the inclusive lower bound of the index keys; needs a hint.

        :param spec: for each field of the index, the least value.
        :returns: this cursor.
        :raises InvalidOperation: the first document was requested already.
        :raises ConfigurationError: the value is of the wrong kind.
        """
        return self._option("min", spec)

    def max(self, spec: Keys) -> Self:
        """Set the exclusive upper bound of the index keys; needs a hint.

        :param spec: for each field of the index, the value below which keys must be.
        :returns: this cursor.
        :raises InvalidOperation: the first document was requested already.
        :raises ConfigurationError: the value is of the wrong kind.
        """
        return self._option("max", spec)

    def allow_disk_use(self, allow_disk_use: bool) -> Self:
        """Set whether the server may sort on disk (server 4.4).

        :param allow_disk_use: whether it may.
        :returns: this cursor.
        :raises InvalidOperation: the first document was requested already.
        :raises ConfigurationError: the value is of the wrong kind.
        """
        return self._option("allow_disk_use", allow_disk_use)

    def where(self, code: str | Code) -> Self:
        """Keep only documents for which a JavaScript expression is true.

        :param code: the expression, as a string or a bson ``Code``.
        :returns: this cursor.
        :raises ConfigurationError: it is neither.
        :raises InvalidOperation: the first document was requested already.
        """
        self._check_unstarted("where")
        if not isinstance(code, str):
            raise ConfigurationError(f"where takes a JavaScript expression as a string or Code, not {code!r}")
        self._filter = {**self._filter, "$where": code if isinstance(code, Code) else Code(code)}
        return self

    # --- copies, and other commands ---

    @property
    def collection(self) -> Collection[DocumentT_co]:
        """The collection that is queried."""
        return self._collection

    def clone(self) -> Cursor[DocumentT_co]:
        """A new cursor with the same settings and the same explicit session, not sent yet.

        :returns: the other cursor.
        """
        return self._copy_to(Cursor(self._collection, self._filter, self._session))

    def _copy_to(self, copy: AnyCursor) -> AnyCursor:
        copy._limit = self._limit
        copy._set_type(self._cursor_type)
        copy._options = dict(self._options)
        copy._batch_size = self._batch_size
        copy._max_await_time_ms = self._max_await_time_ms
        copy._target = self._target
        copy._timeout_mode = self._timeout_mode
        copy._comment = self._comment
        copy._prefetch = self._prefetch
        return copy

    def __copy__(self) -> Cursor[DocumentT_co]:
        return self.clone()

    def __deepcopy__(self, memo: dict[int, object]) -> Cursor[DocumentT_co]:
        # The settings are copied; the collection and the session are shared.
        copy = self.clone()
        copy._filter = deepcopy(self._filter, memo)
        copy._options = deepcopy(copy._options, memo)
        copy._comment = deepcopy(self._comment, memo)
        return copy

    def rewind(self) -> Self:
        """Start again: the next document is the first. A cursor that is open on the server is killed.

        :returns: this cursor.
        :raises InvalidOperation: another task waits for a document of it.
        """
        if self._fetching:
            self._check_unstarted("rewind")
        if self._id:
            self._abandon()
        self._reset()
        return self

    async def explain(self) -> Document:
        """The server's plan for the query. It opens no cursor.

        The query is run for it. The cursor's ``max_time_ms`` limits the explain command, and a time limit
        (``timeout_ms``) the whole call.

        :returns: the server's plan.
        :raises OperationFailure: the server refused the command, or stopped it (ExecutionTimeout).
        """
        options = dict(self._options)
        # The server would ignore it within the command that is explained.
        limit = {name: options.pop(name) for name in ("maxTimeMS",) if name in options}
        find = {"find": self._target.collection, "filter": self._filter, **options, **self._sizes()}
        operation = RunCommand(self._target, {"explain": find, **limit})
        plan: Document = await self._context.executor.execute(operation, self._context.session_state(self._session))
        return plan

    async def distinct(self, key: str) -> list[Any]:
        """The distinct values of a field among the documents that match.

        The cursor's collation, hint (server 7.1), time limit and comment apply to the distinct command too; the command
        has no order, limit, skip or projection.

        :param key: the field's name; dots lead into sub-documents.
        :returns: the values, in no certain order.
        :raises OperationFailure: the server refused the command.
        """
        options = {name: self._options[name] for name in _OF_DISTINCT if name in self._options}
        limit = self._target.limit
        if limit is not None and limit.of_call:
            options["timeout_ms"] = 0 if limit.seconds == math.inf else round(limit.seconds * 1000)
        return await self._collection.distinct(key, self._filter, session=self._session, **options)

    def __repr__(self) -> str:
        state = "not sent yet" if not self._started else "open" if self._id else "ended"
        return f"{type(self).__name__}({self._target.namespace}, {state})"
