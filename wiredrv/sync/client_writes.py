"""The write of a client: bulks over several collections. PyMongo's names and arguments. CRUD specification.

Written by ``python -m tools.synchronous`` from ``wiredrv.client.client_writes``: do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wiredrv.client.requests import WriteRequest
from wiredrv.concerns import WriteConcern
from wiredrv.operations.results import ClientBulkWriteResult
from wiredrv.sync.base import session_of
from wiredrv.sync.handle import HandleOptions
from wiredrv.types import Document, DocumentT

if TYPE_CHECKING:
    from wiredrv.client.client import Client as AsyncClient
    from wiredrv.sync.client_session import ClientSession


class ClientWrites(HandleOptions[DocumentT]):
    """The methods of a client that write."""

    __slots__ = ()

    _inner: AsyncClient[DocumentT]

    def bulk_write(
        self,
        models: Sequence[WriteRequest[DocumentT]],
        session: ClientSession | None = None,
        ordered: bool = True,
        verbose_results: bool = False,
        bypass_document_validation: bool | None = None,
        comment: object = None,
        let: Document | None = None,
        write_concern: WriteConcern | None = None,
        *,
        raw_data: bool | None = None,
        timeout_ms: int | None = None,
    ) -> ClientBulkWriteResult:
        """Write to several collections, of several databases, in few commands (server 8.0).

        ::

            client.bulk_write(
                [
                    InsertOne({"sku": "abc"}, namespace="shop.orders"),
                    UpdateOne({"sku": "abc"}, {"$inc": {"left": -1}}, namespace="shop.stock"),
                ]
            )

        CRUD specification, "Bulk Write" of clients. A command is sent once more if the connection breaks or the primary
        changes, unless it contains UpdateMany or DeleteMany; the server applies it once.

        :param models: InsertOne, UpdateOne, UpdateMany, ReplaceOne, DeleteOne and DeleteMany objects, each with a
            ``namespace``.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param ordered: whether they are carried out in order, up to the first failure; else all are tried.
        :param verbose_results: whether the result has that of each single write too.
        :param bypass_document_validation: whether the collections' validation rules are ignored; None leaves it to the
            server, whose default is False.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler.
        :param let: variables for the filters and updates.
        :param write_concern: what the writes wait for; None takes the client's, or that of the transaction.
        :param raw_data: whether time-series collections are accessed as the buckets that they store (server 8.2).
        :param timeout_ms: milliseconds for the whole call, its retries included; 0 sets no limit, None takes the
            client's ``timeoutMS``, or that of the session.
        :returns: the result: the counts of all writes together.
        :raises ClientBulkWriteException: a write failed, or was not acknowledged as asked, or an error ended the bulk
            after some of its results were known; ``partial_result`` says what was written.
        :raises InvalidOperation: the server is older than 8.0; or the write concern is unacknowledged (``w=0``), and
            the bulk is ordered or verbose; or a write concern was given in a transaction.
        :raises ConfigurationError: ``models`` is empty, holds anything else, or a model has no namespace.
        :raises InvalidDocument: a model cannot be encoded, or (DocumentTooLarge) is too large.
        """
        return self._threads.run(
            self._inner.bulk_write(
                models,
                None if session is None else session_of(session),
                ordered,
                verbose_results,
                bypass_document_validation,
                comment,
                let,
                write_concern,
                raw_data=raw_data,
                timeout_ms=timeout_ms,
            )
        )
