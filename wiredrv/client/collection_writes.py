"""The writes of a collection. PyMongo's names and arguments. CRUD specification.

Retried once after a network error or a failover, with the same transaction number, are: insert_one, insert_many,
update_one, replace_one, delete_one, the find_one_and_... methods, and those batches of bulk_write that contain neither
UpdateMany nor DeleteMany. update_many and delete_many are not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from bson.raw_bson import RawBSONDocument

from wiredrv.client import arguments, positions
from wiredrv.client import validation as check
from wiredrv.client.arguments import (
    DELETE_STATEMENT,
    NO_OPTIONS,
    UPDATE_STATEMENT,
    DeleteOptions,
    FindAndModifyOptions,
    FindAndReplaceOptions,
    FindAndUpdateOptions,
    ReplaceOptions,
    UpdateManyOptions,
    UpdateOptions,
    WriteOptions,
    expanded,
    write_fields,
)
from wiredrv.client.bulk import Bulk
from wiredrv.client.collection_base import CollectionBase
from wiredrv.client.limits import limited
from wiredrv.client.object_ids import object_ids
from wiredrv.client.positions import by_position
from wiredrv.client.requests import WriteRequest, add_ids, with_id, write_request
from wiredrv.errors import ConfigurationError
from wiredrv.operations.delete import Delete
from wiredrv.operations.find_and_modify import FindAndModify
from wiredrv.operations.insert import Insert
from wiredrv.operations.results import (
    BulkWriteResult,
    DeleteResult,
    InsertManyResult,
    InsertOneResult,
    UpdateResult,
)
from wiredrv.operations.update import Update
from wiredrv.operations.write_batch import StatementGroup
from wiredrv.types import Document, DocumentT, Pipeline, PlainDocument

if TYPE_CHECKING:
    from wiredrv.client.sessions.client_session import ClientSession


#: Options of the find_one_and_... methods for which None does not mean "not given", as in the other methods.
_NEVER_NONE = ("upsert", "return_document")


class CollectionWrites(CollectionBase[DocumentT]):
    """Methods that write. All take ``session=``; without it they use the bound session, or an implicit one.

    Specifications: CRUD ("Write", "Bulk Write", "Find And Modify"), retryable-writes: writes of one document each, and
    bulks of them, are sent once more if the connection breaks or the primary changes; the server applies them once.
    """

    __slots__ = ()

    # --- inserts ---

    @expanded(WriteOptions, positions.INSERT)
    async def insert_one(
        self,
        document: DocumentT | RawBSONDocument,
        *more: object,
        session: ClientSession | None = None,
        **options: Unpack[WriteOptions],
    ) -> InsertOneResult:
        """Insert a document. One without an ``_id`` is given an ObjectId, which is set on ``document`` too.

        :param document: the document.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param more: options by position, in PyMongo's order: ``bypass_document_validation``, ``session``, ``comment``.
        :returns: the result: the ``_id``, and whether the write was acknowledged.
        :raises ConfigurationError: it is not a mapping, or an option is of the wrong kind.
        :raises InvalidDocument: it cannot be encoded, or (DocumentTooLarge) is too large.
        :raises DuplicateKeyError: a unique index has its key already.
        :raises WriteError: the server refused the document.
        :raises WriteConcernError: it was inserted, but not acknowledged as asked.
        """
        if more:
            session, options = by_position(self.insert_one, positions.INSERT, more, session, options)
        target, fields = self._target, NO_OPTIONS
        if options:
            target = limited(target, options.pop("timeout_ms", None))
            fields = check.wire_options(options, arguments.INSERT_COMMAND, self.insert_one)
        sent, inserted_id = with_id(document)
        context = self._context
        operation = Insert(target, sent, inserted_id, fields)
        return await context.executor.execute(operation, context.session_state(session))

    @expanded(WriteOptions, positions.INSERT)
    async def insert_many(
        self,
        documents: Iterable[DocumentT | RawBSONDocument],
        ordered: bool = True,
        *more: object,
        session: ClientSession | None = None,
        **options: Unpack[WriteOptions],
    ) -> InsertManyResult:
        """Insert documents, in as many commands as they need.

        :param documents: the documents. One without an ``_id`` is given an ObjectId, which is set on it too.
        :param ordered: whether the first failure stops the rest; else all are tried.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param more: options by position, in PyMongo's order: ``bypass_document_validation``, ``session``, ``comment``.
        :returns: the result: every ``_id``, in the order of ``documents``.
        :raises BulkWriteError: at least one was not inserted, or not acknowledged as asked.
        :raises ConfigurationError: ``documents`` is empty or not an iterable of mappings.
        """
        if more:
            session, options = by_position(self.insert_many, positions.INSERT, more, session, options)
        if isinstance(documents, Mapping) or not isinstance(documents, Iterable):
            check.refuse("documents", "a list of mappings", documents)
        # A call that is refused leaves the documents as they are.
        check.boolean("ordered", ordered)
        target = limited(self._target, options.pop("timeout_ms", None))
        fields = check.wire_options(options, arguments.INSERT_COMMAND, self.insert_many) if options else NO_OPTIONS
        state = self._context.session_state(session)
        sent: list[Document] = []
        ids: list[Any] = []
        new_ids = object_ids()
        for document in documents:
            body: Document
            if type(document) is dict and "_id" not in document:  # as with_id, for the usual document
                inserted_id = document["_id"] = next(new_ids)
                body = document
            else:
                body, inserted_id = with_id(document)
            sent.append(body)
            ids.append(inserted_id)
        if not sent:
            raise ConfigurationError("documents must not be empty")
        bulk = Bulk(self._context, target, ordered, fields)
        group = StatementGroup("insert", sent, range(len(sent)))
        result = await bulk.send_groups([group], state, "insert")
        return InsertManyResult(ids, result.acknowledged)

    # --- updates ---

    @expanded(UpdateOptions, positions.UPDATE_ONE)
    async def update_one(
        self,
        filter: Document,
        update: Document | Pipeline,
        upsert: bool = False,
        *more: object,
        session: ClientSession | None = None,
        **options: Unpack[UpdateOptions],
    ) -> UpdateResult:
        """Apply update operators, or a pipeline, to the first document that matches.

        :param filter: the query; ``{}`` matches every document.
        :param update: operators as ``$set``, or a pipeline of stages (server 4.2).
        :param upsert: whether a document is inserted if none matches.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param more: options by position, in PyMongo's order: ``bypass_document_validation``, ``collation``,
            ``array_filters``, ``hint``, ``session``, ``let``, ``sort``, ``comment``.
        :returns: the result: what matched, what changed, what was upserted.
        :raises ConfigurationError: an argument is of the wrong kind; nothing was sent.
        :raises WriteError: the server refused the update; as DuplicateKeyError where a unique index has its key
            already.
        :raises WriteConcernError: it was applied, but not acknowledged as asked.
        """
        if more:
            session, options = by_position(self.update_one, positions.UPDATE_ONE, more, session, options)
        statement: PlainDocument = {"q": check.document("filter", filter), "u": check.update_document(update)}
        return await self._update(statement, upsert, session, options, self.update_one)

    @expanded(UpdateManyOptions, positions.UPDATE_MANY)
    async def update_many(
        self,
        filter: Document,
        update: Document | Pipeline,
        upsert: bool = False,
        *more: object,
        session: ClientSession | None = None,
        **options: Unpack[UpdateManyOptions],
    ) -> UpdateResult:
        """Apply update operators, or a pipeline, to all documents that match. It is not retried after a network error.

        :param filter: the query; ``{}`` matches every document.
        :param update: operators as ``$set``, or a pipeline of stages (server 4.2).
        :param upsert: whether a document is inserted if none matches.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param more: options by position, in PyMongo's order: ``array_filters``, ``bypass_document_validation``,
            ``collation``, ``hint``, ``session``, ``let``, ``comment``.
        :returns: the result: what matched, what changed, what was upserted.
        :raises ConfigurationError: an argument is of the wrong kind; nothing was sent.
        :raises WriteError: the server refused the update; documents before the failing one are changed.
        :raises WriteConcernError: it was applied, but not acknowledged as asked.
        """
        if more:
            session, options = by_position(self.update_many, positions.UPDATE_MANY, more, session, options)
        statement: PlainDocument = {
            "q": check.document("filter", filter),
            "u": check.update_document(update),
            "multi": True,
        }
        return await self._update(statement, upsert, session, options, self.update_many)

    @expanded(ReplaceOptions, positions.REPLACE_ONE)
    async def replace_one(
        self,
        filter: Document,
        replacement: Document,
        upsert: bool = False,
        *more: object,
        session: ClientSession | None = None,
        **options: Unpack[ReplaceOptions],
    ) -> UpdateResult:
        """Replace the first document that matches.

        :param filter: the query; ``{}`` matches every document.
        :param replacement: the new document, without operators. The old ``_id`` stays.
        :param upsert: whether a document is inserted if none matches.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param more: options by position, in PyMongo's order: ``bypass_document_validation``, ``collation``, ``hint``,
            ``session``, ``let``, ``sort``, ``comment``.
        :returns: the result: what matched, what changed, what was upserted.
        :raises ConfigurationError: an argument is of the wrong kind; nothing was sent.
        :raises WriteError: the server refused the update; as DuplicateKeyError where a unique index has its key
            already.
        :raises WriteConcernError: it was applied, but not acknowledged as asked.
        """
        if more:
            session, options = by_position(self.replace_one, positions.REPLACE_ONE, more, session, options)
        statement: PlainDocument = {
            "q": check.document("filter", filter),
            "u": check.replacement_document(replacement),
        }
        return await self._update(statement, upsert, session, options, self.replace_one)

    async def _update(
        self,
        statement: PlainDocument,
        upsert: bool,
        session: ClientSession | None,
        options: Document,
        method: Callable[..., object],
    ) -> UpdateResult:
        if upsert is not False and check.boolean("upsert", upsert):
            statement["upsert"] = True
        target, fields = self._target, NO_OPTIONS
        if options:
            given: PlainDocument = {**options}
            target = limited(target, given.pop("timeout_ms", None))
            own, fields = write_fields(given, UPDATE_STATEMENT, method)
            statement.update(own)
        context = self._context
        return await context.executor.execute(Update(target, statement, fields), context.session_state(session))

    # --- deletes ---

    @expanded(DeleteOptions, positions.DELETE)
    async def delete_one(
        self, filter: Document, *more: object, session: ClientSession | None = None, **options: Unpack[DeleteOptions]
    ) -> DeleteResult:
        """Delete the first document that matches.

        :param filter: the query; ``{}`` matches every document.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param more: options by position, in PyMongo's order: ``collation``, ``hint``, ``session``, ``let``,
            ``comment``.
        :returns: the result: how many documents were deleted.
        :raises ConfigurationError: an argument is of the wrong kind.
        :raises WriteError: the server refused.
        :raises WriteConcernError: it was deleted, but not acknowledged as asked.
        """
        if more:
            session, options = by_position(self.delete_one, positions.DELETE, more, session, options)
        statement: PlainDocument = {"q": check.document("filter", filter), "limit": 1}
        return await self._delete(statement, session, options, self.delete_one)

    @expanded(DeleteOptions, positions.DELETE)
    async def delete_many(
        self, filter: Document, *more: object, session: ClientSession | None = None, **options: Unpack[DeleteOptions]
    ) -> DeleteResult:
        """Delete all documents that match; ``{}`` deletes everything. It is not retried after a network error.

        :param filter: the query; ``{}`` matches every document.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param more: options by position, in PyMongo's order: ``collation``, ``hint``, ``session``, ``let``,
            ``comment``.
        :returns: the result: how many documents were deleted.
        :raises ConfigurationError: an argument is of the wrong kind; nothing was sent.
        :raises WriteError: the server refused; some documents may be deleted.
        :raises WriteConcernError: they were deleted, but not acknowledged as asked.
        """
        if more:
            session, options = by_position(self.delete_many, positions.DELETE, more, session, options)
        statement: PlainDocument = {"q": check.document("filter", filter), "limit": 0}
        return await self._delete(statement, session, options, self.delete_many)

    async def _delete(
        self,
        statement: PlainDocument,
        session: ClientSession | None,
        options: Document,
        method: Callable[..., object],
    ) -> DeleteResult:
        target, fields = self._target, NO_OPTIONS
        if options:
            given: PlainDocument = {**options}
            target = limited(target, given.pop("timeout_ms", None))
            own, fields = write_fields(given, DELETE_STATEMENT, method)
            statement.update(own)
        context = self._context
        return await context.executor.execute(Delete(target, statement, fields), context.session_state(session))

    # --- one document, changed and returned ---

    @expanded(FindAndModifyOptions, positions.FIND_AND_DELETE)
    async def find_one_and_delete(
        self,
        filter: Document,
        *more: object,
        session: ClientSession | None = None,
        **options: Unpack[FindAndModifyOptions],
    ) -> DocumentT | None:
        """Delete a document and return it, or None if none matches.

        :param filter: the query; ``{}`` matches every document.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param more: options by position, in PyMongo's order: ``projection``, ``sort``, ``hint``, ``session``, ``let``,
            ``comment``.
        :returns: the document, or None.
        :raises ConfigurationError: an argument is of the wrong kind.
        :raises OperationFailure: the server refused.
        """
        if more:
            session, options = by_position(self.find_one_and_delete, positions.FIND_AND_DELETE, more, session, options)
        return await self._find_and_modify(filter, {"remove": True}, session, options, self.find_one_and_delete)

    @expanded(FindAndReplaceOptions, positions.FIND_AND_REPLACE)
    async def find_one_and_replace(
        self,
        filter: Document,
        replacement: Document,
        *more: object,
        session: ClientSession | None = None,
        **options: Unpack[FindAndReplaceOptions],
    ) -> DocumentT | None:
        """Replace the first document that matches and return it.

        :param filter: the query; ``{}`` matches every document.
        :param replacement: the new document, without operators. The old ``_id`` stays.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param more: options by position, in PyMongo's order: ``projection``, ``sort``, ``upsert``, ``return_document``,
            ``hint``, ``session``, ``let``, ``comment``.
        :returns: the document as it was, or as it is with ``return_document=ReturnDocument.AFTER``. None if none
            matches, and if one was upserted and the document before the change was asked for.
        :raises ConfigurationError: an argument is of the wrong kind; nothing was sent.
        :raises OperationFailure: the server refused the command.
        """
        if more:
            session, options = by_position(
                self.find_one_and_replace, positions.FIND_AND_REPLACE, more, session, options
            )
        change = {"update": check.replacement_document(replacement)}
        return await self._find_and_modify(filter, change, session, options, self.find_one_and_replace)

    @expanded(FindAndUpdateOptions, positions.FIND_AND_UPDATE)
    async def find_one_and_update(
        self,
        filter: Document,
        update: Document | Pipeline,
        *more: object,
        session: ClientSession | None = None,
        **options: Unpack[FindAndUpdateOptions],
    ) -> DocumentT | None:
        """Update the first document that matches and return it.

        :param filter: the query; ``{}`` matches every document.
        :param update: operators as ``$set``, or a pipeline of stages (server 4.2).
        :param session: the session to use; without it the bound one, or an implicit one.
        :param more: options by position, in PyMongo's order: ``projection``, ``sort``, ``upsert``, ``return_document``,
            ``array_filters``, ``hint``, ``session``, ``let``, ``comment``.
        :returns: the document as it was, or as it is with ``return_document=ReturnDocument.AFTER``. None if none
            matches, and if one was upserted and the document before the change was asked for.
        :raises ConfigurationError: an argument is of the wrong kind; nothing was sent.
        :raises OperationFailure: the server refused the command.
        """
        if more:
            session, options = by_position(self.find_one_and_update, positions.FIND_AND_UPDATE, more, session, options)
        change = {"update": check.update_document(update)}
        return await self._find_and_modify(filter, change, session, options, self.find_one_and_update)

    async def _find_and_modify(
        self,
        filter: Document,
        change: Document,
        session: ClientSession | None,
        options: Document,
        method: Callable[..., object],
    ) -> DocumentT | None:
        for name in _NEVER_NONE:
            if name in options:
                check.boolean(name, options[name])
        target, fields = self._target, NO_OPTIONS
        if options:
            given: PlainDocument = {**options}
            target = limited(target, given.pop("timeout_ms", None))
            fields = check.wire_options(given, arguments.FIND_AND_MODIFY, method)
        context = self._context
        operation: FindAndModify[DocumentT] = FindAndModify(target, check.document("filter", filter), change, fields)
        return await context.executor.execute(operation, context.session_state(session))

    # --- many of all kinds ---

    @expanded(WriteOptions, positions.BULK_WRITE)
    async def bulk_write(
        self,
        requests: Sequence[WriteRequest[DocumentT]],
        ordered: bool = True,
        *more: object,
        session: ClientSession | None = None,
        let: Document | None = None,
        **options: Unpack[WriteOptions],
    ) -> BulkWriteResult:
        """Send InsertOne, UpdateOne, UpdateMany, ReplaceOne, DeleteOne and DeleteMany requests, in few commands.

        :param requests: the requests.
        :param ordered: whether they are carried out in order, up to the first failure; else all are tried.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param let: variables for the filters and updates (server 5.0).
        :param more: options by position, in PyMongo's order: ``bypass_document_validation``, ``session``, ``comment``,
            ``let``.
        :returns: the result: the counts of all requests together.
        :raises BulkWriteError: at least one failed, or was not acknowledged as asked.
        :raises ConfigurationError: ``requests`` is empty or holds anything else.
        """
        if more:
            session, options = by_position(self.bulk_write, positions.BULK_WRITE, more, session, options)
        if isinstance(requests, Mapping) or not isinstance(requests, Iterable):
            check.refuse("requests", "a list of InsertOne, UpdateOne... requests", requests)
        # A call that is refused leaves the documents of its requests as they are.
        check.boolean("ordered", ordered)
        target = limited(self._target, options.pop("timeout_ms", None))
        fields = check.wire_options({**options, "let": let}, arguments.WRITE_COMMAND, self.bulk_write)
        state = self._context.session_state(session)
        given = [
            request if isinstance(request, WriteRequest) else write_request("each request", request)
            for request in requests
        ]
        own = self.full_name
        for request in given:
            if request.namespace is not None and request.namespace != own:
                raise ConfigurationError(
                    f"a request for {request.namespace} cannot be sent to {own}: client.bulk_write takes requests for "
                    "several collections"
                )
        if not given:
            raise ConfigurationError("requests must not be empty")
        add_ids(given)
        bulk = Bulk(self._context, target, ordered, fields)
        return await bulk.send([request.statement() for request in given], state)
