"""The reads of a collection: find, aggregate, counts, distinct. PyMongo's names and arguments. CRUD

Written by ``python -m tools.synchronous`` from ``wiredrv.client.collection_reads``: do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

from wiredrv.client import positions
from wiredrv.client.arguments import (
    AggregateOptions,
    CommonOptions,
    CountOptions,
    DistinctOptions,
    FindOneOptions,
    FindOptions,
    expanded,
)
from wiredrv.client.schema_arguments import MapReduceOptions
from wiredrv.sync.base import awaited, session_of, wrapped
from wiredrv.sync.collection_base import CollectionBase
from wiredrv.sync.command_cursor import CommandCursor
from wiredrv.sync.cursor import Cursor
from wiredrv.sync.raw import RawBatchCommandCursor, RawBatchCursor
from wiredrv.types import Document, DocumentT, Pipeline

if TYPE_CHECKING:
    from wiredrv.sync.client_session import ClientSession


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
        :returns: the cursor, for ``for`` and its methods.
        :raises ConfigurationError: an argument is of the wrong kind. A wrong session is refused at the first read, with
            an InvalidOperation.
        """
        return Cursor(
            self._inner.find(
                filter,
                projection,
                *map(wrapped, more),
                session=None if session is None else session_of(session),
                **options,
            ),
            self,
        )

    @expanded(FindOneOptions, positions.FIND)
    def find_one(
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
        return self._threads.run(
            self._inner.find_one(
                filter,
                projection,
                *map(wrapped, more),
                session=None if session is None else session_of(session),
                **options,
            )
        )

    @expanded(AggregateOptions, positions.AGGREGATE)
    def aggregate(
        self,
        pipeline: Pipeline,
        session: ClientSession | None = None,
        *more: object,
        **options: Unpack[AggregateOptions],
    ) -> CommandCursor[DocumentT]:
        """A cursor over the result of a pipeline. The command is sent immediately.

        A pipeline that ends in ``$out`` or ``$merge`` goes to the
        primary unless all servers are 5.0 or later.

        :param pipeline: the stages.
        :param session: the session of the aggregate and of its getMores.
        :param more: options by position, in PyMongo's order: ``let``, ``comment``.
        :param options: those of the command; times in milliseconds.
        :returns: the cursor.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        return CommandCursor(
            self._threads.run(
                awaited(
                    self._inner.aggregate(
                        pipeline, None if session is None else session_of(session), *map(wrapped, more), **options
                    )
                )
            ),
            self,
        )

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

            for batch in collection.find_raw_batches({}, batch_size=1000):
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
        return RawBatchCursor(
            self._inner.find_raw_batches(
                filter,
                projection,
                *map(wrapped, more),
                session=None if session is None else session_of(session),
                **options,
            ),
            self,
        )

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
        :returns: the cursor. Each item is a batch: BSON documents one after the other, never
            none.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        return RawBatchCommandCursor(
            self._threads.run(
                awaited(
                    self._inner.aggregate_raw_batches(
                        pipeline, None if session is None else session_of(session), *map(wrapped, more), **options
                    )
                )
            ),
            self,
        )

    @expanded(CountOptions, positions.COMMENT)
    def count_documents(
        self, filter: Document, session: ClientSession | None = None, *more: object, **options: Unpack[CountOptions]
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
        return self._threads.run(
            self._inner.count_documents(
                filter, None if session is None else session_of(session), *map(wrapped, more), **options
            )
        )

    @expanded(CommonOptions, positions.COMMENT)
    def estimated_document_count(self, *more: object, **options: Unpack[CommonOptions]) -> int:
        """How many documents the collection's metadata says there are.

        It takes no session (CRUD specification), not even a bound one: inside a bound transaction it counts outside.

        It is the ``count`` command, which the Stable API lacks in servers 5.0.0 to 5.0.8 and 5.1.0 to 5.3.1.

        :param more: options by position, in PyMongo's order: ``comment``.
        :returns: the number; not exact after an unclean shutdown, and on sharded clusters.
        :raises OperationFailure: the server refused.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        return self._threads.run(self._inner.estimated_document_count(*map(wrapped, more), **options))

    @expanded(CountOptions)
    def count(
        self, filter: Document | None = None, session: ClientSession | None = None, **options: Unpack[CountOptions]
    ) -> int:
        """The legacy count command: not exact on sharded clusters, refused in transactions.

        Use :meth:`count_documents` or :meth:`estimated_document_count`.

        :param filter: the query; None counts everything.
        :param session: the session to use; without it the bound one, or an implicit one.
        :returns: the number.
        :raises ConfigurationError: an argument is of the wrong kind; nothing was sent.
        :raises OperationFailure: the server refused the command.
        """
        return self._threads.run(self._inner.count(filter, None if session is None else session_of(session), **options))

    @expanded(DistinctOptions, positions.DISTINCT)
    def distinct(
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
        return self._threads.run(
            self._inner.distinct(
                key, filter, None if session is None else session_of(session), *map(wrapped, more), **options
            )
        )

    @expanded(MapReduceOptions)
    def map_reduce(
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
        return self._threads.run(
            self._inner.map_reduce(map, reduce, out, None if session is None else session_of(session), **options)
        )
