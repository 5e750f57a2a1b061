"""The writes of a collection. PyMongo's names and arguments. CRUD specification.

Written by ``python -m tools.synchronous`` from ``wiredrv.client.collection_writes``: do not edit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Unpack

from bson.raw_bson import RawBSONDocument

from wiredrv.client import positions
from wiredrv.client.arguments import (
    DeleteOptions,
    FindAndModifyOptions,
    FindAndReplaceOptions,
    FindAndUpdateOptions,
    ReplaceOptions,
    UpdateManyOptions,
    UpdateOptions,
    WriteOptions,
    expanded,
)
from wiredrv.client.requests import WriteRequest
from wiredrv.operations.results import BulkWriteResult, DeleteResult, InsertManyResult, InsertOneResult, UpdateResult
from wiredrv.sync.base import session_of, wrapped
from wiredrv.sync.collection_base import CollectionBase
from wiredrv.types import Document, DocumentT, Pipeline

if TYPE_CHECKING:
    from wiredrv.sync.client_session import ClientSession


class CollectionWrites(CollectionBase[DocumentT]):
    """Methods that write. All take ``session=``; without it they use the bound session, or an implicit one.

    Specifications: CRUD ("Write", "Bulk Write", "Find And Modify"), retryable-writes: writes of one document each, and
    bulks of them, are sent once more if the connection breaks or the primary changes; the server applies them once.
    """

    __slots__ = ()

    @expanded(WriteOptions, positions.INSERT)
    def insert_one(
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
        return self._threads.run(
            self._inner.insert_one(
                document, *map(wrapped, more), session=None if session is None else session_of(session), **options
            )
        )

    @expanded(WriteOptions, positions.INSERT)
    def insert_many(
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
        return self._threads.run(
            self._inner.insert_many(
                documents,
                ordered,
                *map(wrapped, more),
                session=None if session is None else session_of(session),
                **options,
            )
        )

    @expanded(UpdateOptions, positions.UPDATE_ONE)
    def update_one(
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
        return self._threads.run(
            self._inner.update_one(
                filter,
                update,
                upsert,
                *map(wrapped, more),
                session=None if session is None else session_of(session),
                **options,
            )
        )

    @expanded(UpdateManyOptions, positions.UPDATE_MANY)
    def update_many(
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
        return self._threads.run(
            self._inner.update_many(
                filter,
                update,
                upsert,
                *map(wrapped, more),
                session=None if session is None else session_of(session),
                **options,
            )
        )

    @expanded(ReplaceOptions, positions.REPLACE_ONE)
    def replace_one(
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
        return self._threads.run(
            self._inner.replace_one(
                filter,
                replacement,
                upsert,
                *map(wrapped, more),
                session=None if session is None else session_of(session),
                **options,
            )
        )

    @expanded(DeleteOptions, positions.DELETE)
    def delete_one(
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
        return self._threads.run(
            self._inner.delete_one(
                filter, *map(wrapped, more), session=None if session is None else session_of(session), **options
            )
        )

    @expanded(DeleteOptions, positions.DELETE)
    def delete_many(
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
        return self._threads.run(
            self._inner.delete_many(
                filter, *map(wrapped, more), session=None if session is None else session_of(session), **options
            )
        )

    @expanded(FindAndModifyOptions, positions.FIND_AND_DELETE)
    def find_one_and_delete(
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
        return self._threads.run(
            self._inner.find_one_and_delete(
                filter, *map(wrapped, more), session=None if session is None else session_of(session), **options
            )
        )

    @expanded(FindAndReplaceOptions, positions.FIND_AND_REPLACE)
    def find_one_and_replace(
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
        return self._threads.run(
            self._inner.find_one_and_replace(
                filter,
                replacement,
                *map(wrapped, more),
                session=None if session is None else session_of(session),
                **options,
            )
        )

    @expanded(FindAndUpdateOptions, positions.FIND_AND_UPDATE)
    def find_one_and_update(
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
        return self._threads.run(
            self._inner.find_one_and_update(
                filter, update, *map(wrapped, more), session=None if session is None else session_of(session), **options
            )
        )

    @expanded(WriteOptions, positions.BULK_WRITE)
    def bulk_write(
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
        return self._threads.run(
            self._inner.bulk_write(
                requests,
                ordered,
                *map(wrapped, more),
                session=None if session is None else session_of(session),
                let=let,
                **options,
            )
        )
