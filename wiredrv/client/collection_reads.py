"""The reads of a collection: find, aggregate, counts, distinct. PyMongo's names and arguments. CRUD specification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast

from wiredrv.client import arguments, positions
from wiredrv.client import validation as check
from wiredrv.client.arguments import (
    NO_OPTIONS,
    AggregateOptions,
    CommonOptions,
    CountOptions,
    DistinctOptions,
    FindOneOptions,
    FindOptions,
    expanded,
)
from wiredrv.client.collection_base import CollectionBase
from wiredrv.client.cursors.command_cursor import CommandCursor
from wiredrv.client.cursors.cursor import Cursor
from wiredrv.client.cursors.raw import RawBatchCommandCursor, RawBatchCursor
from wiredrv.client.limits import limited
from wiredrv.client.positions import by_position
from wiredrv.client.schema_arguments import MapReduceOptions
from wiredrv.errors import ConfigurationError
from wiredrv.operations.aggregate import Aggregate, CountDocuments, writes
from wiredrv.operations.base import Target
from wiredrv.operations.count import Count
from wiredrv.operations.distinct import Distinct
from wiredrv.operations.find import FindOne
from wiredrv.operations.map_reduce import MapReduce
from wiredrv.types import Document, DocumentT, Pipeline, PlainDocument

if TYPE_CHECKING:
    from wiredrv.client.collection import Collection
    from wiredrv.client.handle import HandleContext
    from wiredrv.client.sessions.client_session import ClientSession

AggregateCursor = TypeVar("AggregateCursor", bound=CommandCursor[Any])

_COUNT_SIZES = frozenset({"skip", "limit"})
_AGGREGATE_CURSOR = {
    "cursor": ("cursor", check.cursor_document),
    "batch_size": ("batch_size", check.whole_number),
    "batchSize": ("batch_size", check.whole_number),
    "max_await_time_ms": ("max_await_time_ms", check.whole_number),
    "maxAwaitTimeMS": ("max_await_time_ms", check.whole_number),
    "prefetch": ("prefetch", check.boolean),
}


class CollectionReads(CollectionBase[DocumentT]):
    """Methods that read. All but one take ``session=``; without it they use the bound session, or an implicit one.

    Specifications: CRUD ("Read"), retryable-reads: find, distinct, the counts, and aggregate without ``$out`` and
    ``$merge`` are sent once more if the connection breaks or the server changes its state. map_reduce, and the getMores
    of cursors, are not.
    """

    __slots__ = ()

    @expanded(FindOptions, positions.FIND)
    def find(
        self,
        filter: Document | None = None,
        projection: Document | Sequence[str] | None = None,
        *more: object,
        session: ClientSession | None = None,
        **options: Unpack[FindOptions],
    ) -> Cursor[DocumentT]:
        """A cursor over the documents that match. Nothing is sent before the first document is requested.

        :param filter: the query; None matches everything.
        :param projection: the fields to return, as a mapping or a list of names.
        :param session: the session of the find and of its getMores.
        :param more: options by position, in PyMongo's order: ``skip``, ``limit``, ``no_cursor_timeout``,
            ``cursor_type``, ``sort``, ``allow_partial_results``, ``oplog_replay``, ``batch_size``, ``collation``,
            ``hint``, ``max_scan``, ``max_time_ms``, ``max``, ``min``, ``return_key``, ``show_record_id``, ``snapshot``,
            ``comment``, ``session``, ``allow_disk_use``, ``let``.
        :param options: as the methods of :class:`Cursor` of the same names.
        :returns: the cursor, for ``async for`` and its methods.
        :raises ConfigurationError: an argument is of the wrong kind. A wrong session is refused at the first read, with
            an InvalidOperation.
        """
        if more:
            session, options = by_position(self.find, positions.FIND, more, session, options)
        given: PlainDocument = dict(options)
        if projection is not None:
            given["projection"] = projection
        return Cursor(cast("Collection[DocumentT]", self), filter, session, given)

    @expanded(FindOneOptions, positions.FIND)
    async def find_one(
        self,
        filter: object = None,
        projection: Document | Sequence[str] | None = None,
        *more: object,
        session: ClientSession | None = None,
        **options: Unpack[FindOneOptions],
    ) -> DocumentT | None:
        """The first document that matches, or None.

        :param filter: the query, or any other value, which is taken as an ``_id``; None matches everything.
        :param projection: the fields to return, as a mapping or a list of names.
        :param session: the session to read in.
        :param more: options by position, in PyMongo's order: ``skip``, ``limit``, ``no_cursor_timeout``,
            ``cursor_type``, ``sort``, ``allow_partial_results``, ``oplog_replay``, ``batch_size``, ``collation``,
            ``hint``, ``max_scan``, ``max_time_ms``, ``max``, ``min``, ``return_key``, ``show_record_id``, ``snapshot``,
            ``comment``, ``session``, ``allow_disk_use``, ``let``.
        :param options: as the methods of :class:`Cursor` of the same names.
        :returns: the document, or None.
        :raises ConfigurationError: an argument is of the wrong kind.
        :raises OperationFailure: the server refused the query.
        """
        if more:
            session, options = by_position(self.find_one, positions.FIND, more, session, options)
        if type(filter) is not dict and not isinstance(filter, Mapping):
            filter = {} if filter is None else {"_id": filter}
        target, fields = self._target, NO_OPTIONS
        if options or projection is not None:
            given: PlainDocument = {"projection": projection, **options}
            target = limited(target, given.pop("timeout_ms", None))
            fields = check.wire_options(given, arguments.FIND, self.find_one)
        context = self._context
        operation: FindOne[DocumentT] = FindOne(target, filter, fields)
        return await context.executor.execute(operation, context.session_state(session))

    @expanded(AggregateOptions, positions.AGGREGATE)
    def aggregate(
        self,
        pipeline: Pipeline,
        session: ClientSession | None = None,
        *more: object,
        **options: Unpack[AggregateOptions],
    ) -> CommandCursor[DocumentT]:
        """A cursor over the result of a pipeline; with ``await`` the command is sent immediately, else when iterated.

        A pipeline that ends in ``$out`` or ``$merge`` must be awaited or iterated to take effect. It goes to the
        primary unless all servers are 5.0 or later.

        :param pipeline: the stages.
        :param session: the session of the aggregate and of its getMores.
        :param more: options by position, in PyMongo's order: ``let``, ``comment``.
        :param options: those of the command; times in milliseconds.
        :returns: the cursor, with or without ``await``.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        if more:
            session, options = by_position(self.aggregate, positions.AGGREGATE, more, session, options)
        return aggregate(self._context, self._target, pipeline, session, options, CommandCursor)

    @expanded(FindOptions, positions.FIND)
    def find_raw_batches(
        self,
        filter: Document | None = None,
        projection: Document | Sequence[str] | None = None,
        *more: object,
        session: ClientSession | None = None,
        **options: Unpack[FindOptions],
    ) -> RawBatchCursor:
        """As :meth:`find`, with a cursor over the batches as bytes: for what reads BSON itself, or hands it on.

        ::

            async for batch in collection.find_raw_batches({}, batch_size=1000):
                table = read_bson(batch)

        :param filter: the query; None matches everything.
        :param projection: the fields to return, as a mapping or a list of names.
        :param session: the session of the find and of its getMores.
        :param more: options by position, in PyMongo's order: ``skip``, ``limit``, ``no_cursor_timeout``,
            ``cursor_type``, ``sort``, ``allow_partial_results``, ``oplog_replay``, ``batch_size``, ``collation``,
            ``hint``, ``max_scan``, ``max_time_ms``, ``max``, ``min``, ``return_key``, ``show_record_id``, ``snapshot``,
            ``comment``, ``session``, ``allow_disk_use``, ``let``.
        :param options: as the methods of :class:`Cursor` of the same names.
        :returns: the cursor. Each item is a batch: BSON documents one after the other, never none.
        :raises ConfigurationError: an argument is of the wrong kind. A wrong session is refused at the first read, with
            an InvalidOperation.
        """
        if more:
            session, options = by_position(self.find_raw_batches, positions.FIND, more, session, options)
        given: PlainDocument = dict(options)
        if projection is not None:
            given["projection"] = projection
        return RawBatchCursor(cast("Collection[Any]", self), filter, session, given)

    @expanded(AggregateOptions, positions.COMMENT)
    def aggregate_raw_batches(
        self,
        pipeline: Pipeline,
        session: ClientSession | None = None,
        *more: object,
        **options: Unpack[AggregateOptions],
    ) -> RawBatchCommandCursor:
        """As :meth:`aggregate`, with a cursor over the batches as bytes.

        :param pipeline: the stages.
        :param session: the session of the aggregate and of its getMores.
        :param more: options by position, in PyMongo's order: ``comment``.
        :param options: those of the command; times in milliseconds.
        :returns: the cursor, with or without ``await``. Each item is a batch: BSON documents one after the other, never
            none.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        if more:
            session, options = by_position(self.aggregate_raw_batches, positions.COMMENT, more, session, options)
        return aggregate(self._context, self._target, pipeline, session, options, RawBatchCommandCursor)

    @expanded(CountOptions, positions.COMMENT)
    async def count_documents(
        self,
        filter: Document,
        session: ClientSession | None = None,
        *more: object,
        **options: Unpack[CountOptions],
    ) -> int:
        """How many documents match, counted by an aggregate: exact, also in transactions and on sharded clusters.

        ``$where``, ``$near`` and ``$nearSphere`` cannot be used in the filter (``$expr``, ``$geoWithin`` can).

        :param filter: the query; ``{}`` counts everything.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param more: options by position, in PyMongo's order: ``comment``.
        :returns: the number.
        :raises ConfigurationError: an argument is of the wrong kind.
        :raises OperationFailure: the server refused the query.
        """
        if more:
            session, options = by_position(self.count_documents, positions.COMMENT, more, session, options)
        given: PlainDocument = dict(options)
        sizes = {name: given.pop(name) for name in _COUNT_SIZES if given.get(name) is not None}
        for name, value in sizes.items():
            check.whole_number(name, value)
        operation = CountDocuments(
            limited(self._target, given.pop("timeout_ms", None)),
            check.document("filter", filter),
            check.wire_options(given, arguments.COUNT, strict=False),
            sizes.get("skip"),
            sizes.get("limit"),
        )
        return await self._context.executor.execute(operation, self._context.session_state(session))

    @expanded(CommonOptions, positions.COMMENT)
    async def estimated_document_count(self, *more: object, **options: Unpack[CommonOptions]) -> int:
        """How many documents the collection's metadata says there are.

        It takes no session (CRUD specification), not even a bound one: inside a bound transaction it counts outside.

        It is the ``count`` command, which the Stable API lacks in servers 5.0.0 to 5.0.8 and 5.1.0 to 5.3.1.

        :param more: options by position, in PyMongo's order: ``comment``.
        :returns: the number; not exact after an unclean shutdown, and on sharded clusters.
        :raises OperationFailure: the server refused.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        if more:
            _, options = by_position(self.estimated_document_count, positions.COMMENT, more, None, options)
        given: PlainDocument = {**options}
        target = limited(self._target, given.pop("timeout_ms", None))
        fields = check.wire_options(given, arguments.COMMON, self.estimated_document_count)
        return await self._context.executor.execute(Count(target, fields), self._context.ambient_state())

    @expanded(CountOptions)
    async def count(
        self,
        filter: Document | None = None,
        session: ClientSession | None = None,
        **options: Unpack[CountOptions],
    ) -> int:
        """The legacy count command: not exact on sharded clusters, refused in transactions.

        Use :meth:`count_documents` or :meth:`estimated_document_count`.

        :param filter: the query; None counts everything.
        :param session: the session to use; without it the bound one, or an implicit one.
        :returns: the number.
        :raises ConfigurationError: an argument is of the wrong kind; nothing was sent.
        :raises OperationFailure: the server refused the command.
        """
        _refuse_query(options)
        given: PlainDocument = {**options, "query": filter}
        target = limited(self._target, given.pop("timeout_ms", None))
        fields = check.wire_options(given, arguments.COUNT, strict=False)
        return await self._context.executor.execute(Count(target, fields), self._context.session_state(session))

    @expanded(DistinctOptions, positions.DISTINCT)
    async def distinct(
        self,
        key: str,
        filter: Document | None = None,
        session: ClientSession | None = None,
        *more: object,
        **options: Unpack[DistinctOptions],
    ) -> list[Any]:
        """The distinct values of a field among the documents that match.

        :param key: the field's name; dots lead into sub-documents.
        :param filter: the query; None matches everything.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param more: options by position, in PyMongo's order: ``comment``, ``hint``.
        :returns: the values, in no certain order.
        :raises ConfigurationError: an argument is of the wrong kind.
        :raises OperationFailure: the server refused the query.
        """
        if more:
            session, options = by_position(self.distinct, positions.DISTINCT, more, session, options)
        if not isinstance(key, str):
            check.refuse("key", "a field's name", key)
        if filter is not None:
            _refuse_query(options)
        given: PlainDocument = {**options}
        target = limited(self._target, given.pop("timeout_ms", None))
        fields = check.wire_options(given, arguments.DISTINCT, strict=False)
        if filter is not None:
            fields["query"] = check.document("filter", filter)
        operation = Distinct(target, key, fields)
        return await self._context.executor.execute(operation, self._context.session_state(session))

    @expanded(MapReduceOptions)
    async def map_reduce(
        self,
        map: str,
        reduce: str,
        out: Document | None = None,
        session: ClientSession | None = None,
        **options: Unpack[MapReduceOptions],
    ) -> list[Any]:
        """The legacy mapReduce command, with its results inline. Use :meth:`aggregate`.

        :param map: the map function, in JavaScript.
        :param reduce: the reduce function, in JavaScript.
        :param out: ``{"inline": 1}`` or None; results in a collection are not supported.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param options: those of the command, under its names (``query``, ``sort``, ``limit``, ``finalize``,
            ``scope``...), and ``max_time_ms`` (milliseconds).
        :returns: the results.
        :raises ConfigurationError: ``out`` is anything else.
        :raises OperationFailure: the server refused the command.
        """
        if out not in (None, {"inline": 1}):
            check.refuse("out", "{'inline': 1}: an aggregate with $merge writes to a collection", out)
        given: PlainDocument = {**options}
        target = limited(self._target, given.pop("timeout_ms", None))
        operation = MapReduce(target, map, reduce, check.wire_options(given, arguments.COMMON, strict=False))
        return await self._context.executor.execute(operation, self._context.session_state(session))


def _refuse_query(options: Document) -> None:
    if options.get("query") is not None:
        raise ConfigurationError("query= and filter are two names of one argument: give filter alone")


def aggregate(
    context: HandleContext,
    target: Target,
    pipeline: Pipeline,
    session: ClientSession | None,
    options: Document,
    kind: type[AggregateCursor],
) -> AggregateCursor:
    """The cursor of an aggregate on a collection or a database."""
    stages = check.pipeline(pipeline)
    cursor = check.wire_options({n: v for n, v in options.items() if n in _AGGREGATE_CURSOR}, _AGGREGATE_CURSOR)
    rest = {n: v for n, v in options.items() if n not in _AGGREGATE_CURSOR}
    target, mode = limited(target, rest.pop("timeout_ms", None)), rest.pop("timeout_mode", None)
    fields = check.wire_options(rest, arguments.AGGREGATE, strict=False)
    cursor.setdefault("prefetch", context.prefetch)
    first_batch = cursor.pop("cursor", {}).get("batchSize")
    operation = Aggregate(target, stages, fields, cursor.get("batch_size", first_batch))
    must_run = "an aggregate with $out or $merge" if writes(stages) else None
    comment = fields.get("comment")
    return kind(context, operation, session, comment=comment, must_run=must_run, timeout_mode=mode, **cursor)
