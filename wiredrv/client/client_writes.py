"""The write of a client: bulks over several collections. PyMongo's names and arguments. CRUD specification."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from wiredrv.client import validation as check
from wiredrv.client.collection_base import derived_target
from wiredrv.client.core import ClientCore
from wiredrv.client.handle import HandleOptions
from wiredrv.client.limits import limited
from wiredrv.client.requests import WriteRequest, add_ids, write_request
from wiredrv.concerns import WriteConcern
from wiredrv.errors import ConfigurationError, InvalidOperation
from wiredrv.operations.base import Target
from wiredrv.operations.results import ClientBulkWriteResult
from wiredrv.types import Document, DocumentT

if TYPE_CHECKING:
    from wiredrv.client.sessions.client_session import ClientSession

_OPTIONS: check.Table = {
    "bypass_document_validation": ("bypassDocumentValidation", check.boolean),
    "comment": ("comment", None),
    "let": ("let", check.document),
    "raw_data": ("rawData", check.flag),
}


class ClientWrites(HandleOptions[DocumentT]):
    """The methods of a client that write."""

    _core: ClientCore

    async def bulk_write(
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

            await client.bulk_write(
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
        if isinstance(models, Mapping) or not isinstance(models, Iterable):
            check.refuse("models", "a list of InsertOne, UpdateOne... objects", models)
        # A call that is refused leaves the documents of its models as they are.
        check.boolean("ordered", ordered)
        check.boolean("verbose_results", verbose_results)
        given = {"bypass_document_validation": bypass_document_validation, "comment": comment, "let": let}
        options = check.wire_options({**given, "raw_data": raw_data}, _OPTIONS, self.bulk_write)
        state = self._core.session_state(session)
        in_transaction = state is not None and state.transaction.active
        if state is not None and in_transaction and write_concern is not None:
            raise state.transaction.does_not_permit(
                "Cannot set write concern after starting a transaction: it is an option of the transaction"
            )
        own = limited(self._target, timeout_ms)
        target = _admin(derived_target(own, "", None, None, write_concern, None, None))
        if not in_transaction and not target.write_concern.acknowledged:
            _refuse_unacknowledged(ordered, verbose_results, state is not None)
        models = [write_request("each model", model) for model in models]
        for model in models:
            if model.namespace is None:
                raise ConfigurationError(
                    f"each model needs a namespace, as {type(model).__name__}(..., namespace='shop.orders')"
                )
        if not models:
            raise ConfigurationError("models must not be empty")
        from wiredrv.client.client_bulk import ClientBulk  # most programs never use it

        add_ids(models)
        bulk = ClientBulk(self._core, target, ordered, verbose_results, options)
        return await bulk.send([model.client_write() for model in models], state)


def _admin(target: Target) -> Target:
    """The admin database with a handle's options; the results of single writes are dicts."""
    return replace(target, database="admin", codec_options=target.codec_options.with_options(document_class=dict))


def _refuse_unacknowledged(ordered: bool, verbose: bool, in_session: bool) -> None:
    """Refuse what an unacknowledged bulk cannot have. The texts are the specification's."""
    if verbose:
        raise InvalidOperation("Cannot request unacknowledged write concern and verbose results")
    if ordered:
        raise InvalidOperation("Cannot request unacknowledged write concern and ordered writes")
    if in_session:
        raise ConfigurationError("an explicit session cannot be used with an unacknowledged write concern (w=0)")
