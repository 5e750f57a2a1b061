"""The indexes of a collection, and the collection as a whole: drop, rename, options. PyMongo's names and arguments.

Index-management and enumerate-collections specifications.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from wiredrv.client import arguments, positions
from wiredrv.client import validation as check
from wiredrv.client.arguments import CommonOptions, expanded
from wiredrv.client.collection_base import CollectionBase
from wiredrv.client.constants import TEXT
from wiredrv.client.cursors.command_cursor import CommandCursor
from wiredrv.client.limits import TimeoutMode, limited
from wiredrv.client.positions import by_position
from wiredrv.client.requests import IndexModel, index_document, index_name
from wiredrv.client.schema_arguments import CreateIndexesOptions, CreateIndexOptions, RenameOptions
from wiredrv.client.validation import Keys
from wiredrv.compat import objects
from wiredrv.errors import ConfigurationError, OperationFailure
from wiredrv.operations.base import Target, document_in, field_of
from wiredrv.operations.collections import Drop, ListCollections, Rename
from wiredrv.operations.failures import raise_concern_failure
from wiredrv.operations.indexes import CreateIndexes, DropIndexes, ListIndexes
from wiredrv.server_facts import ErrorCode
from wiredrv.types import Document, DocumentT, PlainDocument
from wiredrv.wire.codec import sound_document

if TYPE_CHECKING:
    from wiredrv.client.handle import HandleContext
    from wiredrv.client.sessions.client_session import ClientSession

#: Options of ``create_index`` that belong to the command and not to the index.
_COMMAND_OPTIONS = frozenset({"timeout_ms", "max_time_ms", "maxTimeMS", "commit_quorum", "commitQuorum"})
_CREATE_INDEXES: check.Table = {**arguments.COMMON, "commit_quorum": ("commitQuorum", None)}


class CollectionIndexes(CollectionBase[DocumentT]):
    """Methods on indexes and on the collection itself.

    Specifications: index-management, enumerate-indexes, collection-management.
    """

    __slots__ = ()

    @expanded(CreateIndexOptions)
    async def create_index(
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
        index = index_document(keys, {name: value for name, value in options.items() if name not in _COMMAND_OPTIONS})
        command = {name: value for name, value in options.items() if name in _COMMAND_OPTIONS}
        names = await self._create_indexes([index], session, {**command, "comment": comment, "raw_data": raw_data})
        return names[0]

    @expanded(CreateIndexesOptions)
    async def create_indexes(
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
        if not isinstance(indexes, (list, tuple)):
            check.refuse("indexes", "a list of IndexModel objects", indexes)
        documents = [_document(index) for index in indexes]
        if not documents:
            raise ConfigurationError("indexes must not be empty")
        given = {**options, "comment": comment, "raw_data": raw_data}
        return await self._create_indexes(documents, session, given)

    async def _create_indexes(
        self, indexes: Sequence[Document], session: ClientSession | None, given: PlainDocument
    ) -> list[str]:
        target = limited(self._target, given.pop("timeout_ms", None))
        fields = check.wire_options(given, _CREATE_INDEXES, strict=False)
        operation = CreateIndexes(target, indexes, fields)
        return await self._context.executor.execute(operation, self._context.session_state(session))

    @expanded(CommonOptions, positions.COMMENT)
    async def drop_index(
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
        if more:
            session, options = by_position(self.drop_index, positions.COMMENT, more, session, options)
        if index_or_name == "*":
            raise ConfigurationError("drop_index drops one index: drop_indexes() drops them all")
        index: str | Document
        if isinstance(index_or_name, str):
            index = index_or_name
        else:
            index = check.sort_document("index_or_name", index_or_name)
            if TEXT in index.values():
                index = index_name(index)
        await self._drop_indexes(index, session, options)

    @expanded(CommonOptions, positions.COMMENT)
    async def drop_indexes(
        self, session: ClientSession | None = None, *more: object, **options: Unpack[CommonOptions]
    ) -> None:
        """Drop all indexes but that of ``_id``. It is not an error if the collection does not exist.

        :param session: the session to use; without it the bound one, or an implicit one.
        :param more: options by position, in PyMongo's order: ``comment``.
        :raises OperationFailure: the server refused the command.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        if more:
            session, options = by_position(self.drop_indexes, positions.COMMENT, more, session, options)
        await self._drop_indexes("*", session, options)

    async def _drop_indexes(self, index: str | Document, session: ClientSession | None, options: Document) -> None:
        given: PlainDocument = {**options}
        target = limited(self._target, given.pop("timeout_ms", None))
        operation = DropIndexes(target, index, check.wire_options(given, arguments.COMMON, strict=False))
        try:
            await self._context.executor.execute(operation, self._context.session_state(session))
        except OperationFailure as error:
            if error.code != ErrorCode.NamespaceNotFound:
                raise
            raise_concern_failure(error.details or {})

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
        """A cursor over the indexes' documents, with or without ``await``; empty if there is no collection.

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
        given = {"comment": comment, "max_time_ms": max_time_ms, "raw_data": raw_data}
        size = None if batch_size is None else check.whole_number("batch_size", batch_size)
        target = limited(self._target, timeout_ms)
        operation = ListIndexes(target, check.wire_options(given, arguments.COMMON), size)
        return CommandCursor(
            self._context,
            operation,
            session,
            batch_size=size,
            comment=comment,
            excused=True,
            timeout_mode=timeout_mode,
        )

    async def list_index_names(
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
        cursor = self.list_indexes(session, comment, timeout_ms=timeout_ms)
        return [field_of(index, "name", str) for index in await cursor.to_list()]

    async def index_information(
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
        found: dict[str, PlainDocument] = {}
        async for index in self.list_indexes(session, comment, timeout_ms=timeout_ms):
            name = field_of(index, "name", str)
            found[name] = {**index, "key": list(document_in(index, "key").items())}
            del found[name]["name"]
        return found

    # --- the collection as a whole ---

    async def drop(
        self, session: ClientSession | None = None, comment: object = None, *, timeout_ms: int | None = None
    ) -> None:
        """Drop the collection with its indexes. It is not an error if it does not exist.

        :param session: the session to use; without it the bound one, or an implicit one.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler (server 4.4).
        :param timeout_ms: milliseconds for the whole call, its retries included; 0 sets no limit, None takes the
            ``timeoutMS`` of the collection, database or client.
        :raises OperationFailure: the server refused.
        """
        await drop(self._context, limited(self._target, timeout_ms), session, comment)

    @expanded(RenameOptions)
    async def rename(
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
        new = f"{self._target.database}.{check.collection_name(new_name)}"
        given: PlainDocument = {**options, "comment": comment}
        admin = Target("admin", write_concern=self.write_concern, limit=self._target.limit)
        target = limited(admin, given.pop("timeout_ms", None))
        fields = check.wire_options(given, arguments.COMMON, strict=False)
        operation = Rename(target, self.full_name, new, fields)
        return dict(await self._context.executor.execute(operation, self._context.session_state(session)))

    async def options(
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
        fields: PlainDocument = {"filter": {"name": self.name}}
        if comment is not None:
            fields["comment"] = comment
        target = replace(limited(self._target, timeout_ms), collection="")
        cursor: CommandCursor[PlainDocument] = CommandCursor(
            self._context, ListCollections(target, fields, None), session
        )
        found = [sound_document(document) for document in await cursor.to_list()]
        if not found or (found[0] is not None and "options" not in found[0]):
            return {}
        return dict(document_in(found[0], "options"))


def _document(index: object) -> Document:
    """The document of an index's model, this driver's or PyMongo's."""
    document = objects.index_document(index)
    if document is None:
        check.refuse("each of indexes", "an IndexModel object", index)
    return document


async def drop(
    context: HandleContext, target: Target, session: ClientSession | None, comment: object = None
) -> PlainDocument:
    """Drop a collection and return the server's reply, also if there was none."""
    operation = Drop(target, {} if comment is None else {"comment": comment})
    try:
        reply = await context.executor.execute(operation, context.session_state(session))
        return dict(reply)
    except OperationFailure as error:
        if error.code != ErrorCode.NamespaceNotFound:
            raise
        # That there was nothing to drop is not a failure; that this may not be durable is one.
        raise_concern_failure(error.details or {})
        return dict(error.details or {})
