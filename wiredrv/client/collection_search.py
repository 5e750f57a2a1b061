"""The search indexes of a collection. PyMongo's names and arguments. Index-management specification.

They need Atlas, or a deployment with MongoDB's search process, since server 7.0. Creating, changing and dropping return
before it is done: ``list_search_indexes`` shows the status.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from bson.codec_options import DEFAULT_CODEC_OPTIONS

from wiredrv.client import arguments, positions
from wiredrv.client import validation as check
from wiredrv.client.arguments import AggregateOptions, expanded
from wiredrv.client.collection_base import CollectionBase
from wiredrv.client.collection_reads import aggregate
from wiredrv.client.cursors.command_cursor import CommandCursor
from wiredrv.client.limits import limited
from wiredrv.client.positions import by_position
from wiredrv.client.schema_arguments import TimeLimit
from wiredrv.compat import objects
from wiredrv.concerns import ReadPreference
from wiredrv.errors import ConfigurationError, OperationFailure
from wiredrv.operations.base import Target
from wiredrv.operations.search_indexes import CreateSearchIndexes, DropSearchIndex, UpdateSearchIndex
from wiredrv.server_facts import ErrorCode
from wiredrv.types import Document, DocumentT, PlainDocument

if TYPE_CHECKING:
    from wiredrv.client.sessions.client_session import ClientSession


class SearchIndexModel:
    """A search index to create. Index-management specification, "Search Indexes".

    :param definition: what is indexed, and how.
    :param name: its name; the server calls it ``"default"`` without one.
    :param type: ``"search"`` or ``"vectorSearch"``; None leaves it to the server, whose default is ``"search"``.
    :param options: further fields, which are sent as they are.
    :raises ConfigurationError: an argument is of the wrong kind.
    """

    __slots__ = ("_document",)

    def __init__(
        self, definition: Document, name: str | None = None, type: str | None = None, **options: object
    ) -> None:
        document: PlainDocument = {} if name is None else {"name": _text("name", name)}
        document["definition"] = check.document("definition", definition)
        if type is not None:
            document["type"] = _text("type", type)
        self._document = {**document, **options}

    @property
    def document(self) -> PlainDocument:
        """The index as the createSearchIndexes command takes it."""
        return self._document

    def __repr__(self) -> str:
        return f"SearchIndexModel({self._document!r})"


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        check.refuse(name, "a string", value)
    return value


class CollectionSearchIndexes(CollectionBase[DocumentT]):
    """Methods on search indexes. Index-management specification, "Search Indexes"."""

    __slots__ = ()

    @expanded(AggregateOptions, positions.COMMENT)
    def list_search_indexes(
        self,
        name: str | None = None,
        session: ClientSession | None = None,
        *more: object,
        **options: Unpack[AggregateOptions],
    ) -> CommandCursor[dict[str, Any]]:
        """A cursor over the search indexes' documents, with or without ``await`` (server 7.0).

        :param name: only the index of this name; None lists all.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param more: options by position, in PyMongo's order: ``comment``.
        :param options: those of an aggregate; times in milliseconds.
        :returns: the cursor.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        if more:
            session, options = by_position(self.list_search_indexes, positions.COMMENT, more, session, options)
        stage = {} if name is None else {"name": _text("name", name)}
        target = replace(self._target, codec_options=DEFAULT_CODEC_OPTIONS, read_preference=ReadPreference.PRIMARY)
        return aggregate(self._context, target, [{"$listSearchIndexes": stage}], session, options, CommandCursor)

    @expanded(TimeLimit)
    async def create_search_index(
        self,
        model: SearchIndexModel | Document,
        session: ClientSession | None = None,
        comment: object = None,
        **options: Unpack[TimeLimit],
    ) -> str:
        """Have a search index built, and return its name (server 7.0).

        :param model: the index, or a mapping with a ``definition``, and perhaps a ``name`` and a ``type``.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler.
        :returns: the index's name.
        :raises OperationFailure: the server refused; servers without search do.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        return (await self._create_search_indexes([_model("model", model)], session, comment, options))[0]

    @expanded(TimeLimit)
    async def create_search_indexes(
        self,
        models: Sequence[SearchIndexModel],
        session: ClientSession | None = None,
        comment: object = None,
        **options: Unpack[TimeLimit],
    ) -> list[str]:
        """Have search indexes built with one command, and return their names (server 7.0).

        :param models: the indexes.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler.
        :returns: the indexes' names.
        :raises OperationFailure: the server refused; servers without search do, and all if there are no models.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        if not isinstance(models, (list, tuple)):
            check.refuse("models", "a list of SearchIndexModel objects", models)
        found = [_model("each of models", model) for model in models]
        return await self._create_search_indexes(found, session, comment, options)

    async def _create_search_indexes(
        self, models: Sequence[SearchIndexModel], session: ClientSession | None, comment: object, options: Document
    ) -> list[str]:
        target, fields = self._of_search(comment, options)
        operation = CreateSearchIndexes(target, [model.document for model in models], fields)
        return await self._context.executor.execute(operation, self._context.session_state(session))

    @expanded(TimeLimit)
    async def update_search_index(
        self,
        name: str,
        definition: Document,
        session: ClientSession | None = None,
        comment: object = None,
        **options: Unpack[TimeLimit],
    ) -> None:
        """Have a search index built again by another definition (server 7.0).

        :param name: the index's name.
        :param definition: what is indexed, and how.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler.
        :raises OperationFailure: the server refused; there may be no such index.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        target, fields = self._of_search(comment, options)
        operation = UpdateSearchIndex(target, _text("name", name), check.document("definition", definition), fields)
        await self._context.executor.execute(operation, self._context.session_state(session))

    @expanded(TimeLimit)
    async def drop_search_index(
        self,
        name: str,
        session: ClientSession | None = None,
        comment: object = None,
        **options: Unpack[TimeLimit],
    ) -> None:
        """Drop a search index (server 7.0). It is not an error if the collection does not exist.

        :param name: the index's name.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler.
        :raises OperationFailure: the server refused.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        target, fields = self._of_search(comment, options)
        operation = DropSearchIndex(target, _text("name", name), fields)
        try:
            await self._context.executor.execute(operation, self._context.session_state(session))
        except OperationFailure as error:
            if error.code != ErrorCode.NamespaceNotFound:
                raise

    def _of_search(self, comment: object, options: Document) -> tuple[Target, PlainDocument]:
        """The target and the fields of a command on search indexes."""
        given: PlainDocument = {**options, "comment": comment}
        target = limited(self._target, given.pop("timeout_ms", None))
        return target, check.wire_options(given, arguments.COMMON, strict=False)


def _model(name: str, model: object) -> SearchIndexModel:
    if isinstance(model, SearchIndexModel):
        return model
    found = model if isinstance(model, Mapping) else objects.search_index_document(model)
    if found is None:
        check.refuse(name, "a SearchIndexModel object", model)
    if "definition" not in found:
        raise ConfigurationError(f"{name} has no 'definition': {model!r}")
    return SearchIndexModel(**found)
