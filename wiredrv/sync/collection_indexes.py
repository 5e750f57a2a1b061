"""The indexes of a collection, and the collection as a whole: drop, rename, options. PyMongo's names and arguments.

Written by ``python -m tools.synchronous`` from ``wiredrv.client.collection_indexes``: do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

from wiredrv.client import positions
from wiredrv.client.arguments import CommonOptions, expanded
from wiredrv.client.limits import TimeoutMode
from wiredrv.client.requests import IndexModel
from wiredrv.client.schema_arguments import CreateIndexesOptions, CreateIndexOptions, RenameOptions
from wiredrv.client.validation import Keys
from wiredrv.sync.base import awaited, session_of, wrapped
from wiredrv.sync.collection_base import CollectionBase
from wiredrv.sync.command_cursor import CommandCursor
from wiredrv.types import DocumentT, PlainDocument

if TYPE_CHECKING:
    from wiredrv.sync.client_session import ClientSession


class CollectionIndexes(CollectionBase[DocumentT]):
    """Methods on indexes and on the collection itself.

    Specifications: index-management, enumerate-indexes, collection-management.
    """

    __slots__ = ()

    @expanded(CreateIndexOptions)
    def create_index(
        self,
        keys: Keys,
        session: ClientSession | None = None,
        comment: object = None,
        *,
        raw_data: bool | None = None,
        **options: Unpack[CreateIndexOptions],
    ) -> str:
        """Create an index and return its name. It is not an error if the same index exists.

        :param keys: a field's name, a list of (field, direction) pairs, or a mapping.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler (server 4.4).
        :param raw_data: whether a time-series collection is accessed as the buckets that it stores (server 8.2).
        :param options: the index's own (``name``, ``unique``, ``expireAfterSeconds``...), and ``commitQuorum`` (server
            4.4) and ``max_time_ms`` (milliseconds) of the command.
        :returns: the index's name.
        :raises ConfigurationError: ``keys`` is none of these.
        :raises OperationFailure: the server refused.
        """
        return self._threads.run(
            self._inner.create_index(
                keys, None if session is None else session_of(session), comment, raw_data=raw_data, **options
            )
        )

    @expanded(CreateIndexesOptions)
    def create_indexes(
        self,
        indexes: Sequence[IndexModel],
        session: ClientSession | None = None,
        comment: object = None,
        *,
        raw_data: bool | None = None,
        **options: Unpack[CreateIndexesOptions],
    ) -> list[str]:
        """Create indexes with one command and return their names.

        :param indexes: what to create.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler (server 4.4).
        :param raw_data: whether a time-series collection is accessed as the buckets that it stores (server 8.2).
        :param options: ``commitQuorum`` (server 4.4), ``max_time_ms`` (milliseconds).
        :returns: the indexes' names, in the order of ``indexes``.
        :raises ConfigurationError: ``indexes`` is empty or holds anything but IndexModel objects.
        :raises OperationFailure: the server refused.
        """
        return self._threads.run(
            self._inner.create_indexes(
                indexes, None if session is None else session_of(session), comment, raw_data=raw_data, **options
            )
        )

    @expanded(CommonOptions, positions.COMMENT)
    def drop_index(
        self, index_or_name: Keys, session: ClientSession | None = None, *more: object, **options: Unpack[CommonOptions]
    ) -> None:
        """Drop one index, by its name or its keys (a list of pairs or a mapping), whatever name it has then.

        A text index is found by the name that it gets by default, since servers do not find it by its keys.

        :param index_or_name: its name, or its keys.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param more: options by position, in PyMongo's order: ``comment``.
        :raises ConfigurationError: the name is ``"*"``; :meth:`drop_indexes` drops all.
        :raises OperationFailure: no such index exists.
        """
        self._threads.run(
            self._inner.drop_index(
                index_or_name, None if session is None else session_of(session), *map(wrapped, more), **options
            )
        )

    @expanded(CommonOptions, positions.COMMENT)
    def drop_indexes(
        self, session: ClientSession | None = None, *more: object, **options: Unpack[CommonOptions]
    ) -> None:
        """Drop all indexes but that of ``_id``. It is not an error if the collection does not exist.

        :param session: the session to use; without it the bound one, or an implicit one.
        :param more: options by position, in PyMongo's order: ``comment``.
        :raises OperationFailure: the server refused the command.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        self._threads.run(
            self._inner.drop_indexes(None if session is None else session_of(session), *map(wrapped, more), **options)
        )

    def list_indexes(
        self,
        session: ClientSession | None = None,
        comment: object = None,
        *,
        batch_size: int | None = None,
        max_time_ms: int | None = None,
        raw_data: bool | None = None,
        timeout_ms: int | None = None,
        timeout_mode: TimeoutMode | None = None,
    ) -> CommandCursor[dict[str, Any]]:
        """A cursor over the indexes' documents; empty if there is no collection.

        :param session: the session to use; without it the bound one, or an implicit one.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler (server 4.4).
        :param batch_size: how many documents the server sends at a time; None leaves it to the server.
        :param max_time_ms: milliseconds that the command may run on the server; None sets no limit.
        :param raw_data: whether a time-series collection is accessed as the buckets that it stores (server 8.2).
        :param timeout_ms: milliseconds for the whole call, its retries included; 0 sets no limit, None takes the
            ``timeoutMS`` of the collection, database or client.
        :param timeout_mode: what ``timeout_ms`` limits: ``"cursor_lifetime"``, the default, or ``"iteration"``.
        :returns: the cursor.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        return CommandCursor(
            self._threads.run(
                awaited(
                    self._inner.list_indexes(
                        None if session is None else session_of(session),
                        comment,
                        batch_size=batch_size,
                        max_time_ms=max_time_ms,
                        raw_data=raw_data,
                        timeout_ms=timeout_ms,
                        timeout_mode=timeout_mode,
                    )
                )
            ),
            self,
        )

    def list_index_names(
        self, session: ClientSession | None = None, comment: object = None, *, timeout_ms: int | None = None
    ) -> list[str]:
        """The names of all indexes.

        :param session: the session to use; without it the bound one, or an implicit one.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler (server 4.4).
        :param timeout_ms: milliseconds for the whole call, its retries included; 0 sets no limit, None takes the
            ``timeoutMS`` of the collection, database or client.
        :returns: the names.
        :raises OperationFailure: the server refused the command.
        """
        return self._threads.run(
            self._inner.list_index_names(
                None if session is None else session_of(session), comment, timeout_ms=timeout_ms
            )
        )

    def index_information(
        self, session: ClientSession | None = None, comment: object = None, *, timeout_ms: int | None = None
    ) -> dict[str, PlainDocument]:
        """All indexes by name; their ``key`` is a list of (field, direction) pairs.

        :param session: the session to use; without it the bound one, or an implicit one.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler (server 4.4).
        :param timeout_ms: milliseconds for the whole call, its retries included; 0 sets no limit, None takes the
            ``timeoutMS`` of the collection, database or client.
        :returns: for each index's name, its other fields.
        :raises OperationFailure: the server refused the command.
        """
        return self._threads.run(
            self._inner.index_information(
                None if session is None else session_of(session), comment, timeout_ms=timeout_ms
            )
        )

    def drop(
        self, session: ClientSession | None = None, comment: object = None, *, timeout_ms: int | None = None
    ) -> None:
        """Drop the collection with its indexes. It is not an error if it does not exist.

        :param session: the session to use; without it the bound one, or an implicit one.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler (server 4.4).
        :param timeout_ms: milliseconds for the whole call, its retries included; 0 sets no limit, None takes the
            ``timeoutMS`` of the collection, database or client.
        :raises OperationFailure: the server refused.
        """
        self._threads.run(
            self._inner.drop(None if session is None else session_of(session), comment, timeout_ms=timeout_ms)
        )

    @expanded(RenameOptions)
    def rename(
        self,
        new_name: str,
        session: ClientSession | None = None,
        comment: object = None,
        **options: Unpack[RenameOptions],
    ) -> PlainDocument:
        """Rename the collection within its database, and return the server's reply.

        :param new_name: the name within the same database.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler (server 4.4).
        :param options: ``dropTarget=True`` replaces a collection that has the name.
        :returns: the server's reply.
        :raises InvalidName: the name cannot be a collection's.
        :raises OperationFailure: the server refused.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        return self._threads.run(
            self._inner.rename(new_name, None if session is None else session_of(session), comment, **options)
        )

    def options(
        self, session: ClientSession | None = None, comment: object = None, *, timeout_ms: int | None = None
    ) -> PlainDocument:
        """The options that the collection was created with; empty if it does not exist.

        :param session: the session to use; without it the bound one, or an implicit one.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler (server 4.4).
        :param timeout_ms: milliseconds for the whole call, its retries included; 0 sets no limit, None takes the
            ``timeoutMS`` of the collection, database or client.
        :returns: the options, under the names of the create command.
        :raises OperationFailure: the server refused the command.
        """
        return self._threads.run(
            self._inner.options(None if session is None else session_of(session), comment, timeout_ms=timeout_ms)
        )
