"""The search indexes of a collection. PyMongo's names and arguments. Index-management specification.

Written by ``python -m tools.synchronous`` from ``wiredrv.client.collection_search``: do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

from wiredrv.client import positions
from wiredrv.client.arguments import AggregateOptions, expanded
from wiredrv.client.collection_search import SearchIndexModel
from wiredrv.client.schema_arguments import TimeLimit
from wiredrv.sync.base import awaited, session_of, wrapped
from wiredrv.sync.collection_base import CollectionBase
from wiredrv.sync.command_cursor import CommandCursor
from wiredrv.types import Document, DocumentT

if TYPE_CHECKING:
    from wiredrv.sync.client_session import ClientSession


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
        """A cursor over the search indexes' documents (server 7.0).

        :param name: only the index of this name; None lists all.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param more: options by position, in PyMongo's order: ``comment``.
        :param options: those of an aggregate; times in milliseconds.
        :returns: the cursor.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        return CommandCursor(
            self._threads.run(
                awaited(
                    self._inner.list_search_indexes(
                        name, None if session is None else session_of(session), *map(wrapped, more), **options
                    )
                )
            ),
            self,
        )

    @expanded(TimeLimit)
    def create_search_index(
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
        return self._threads.run(
            self._inner.create_search_index(model, None if session is None else session_of(session), comment, **options)
        )

    @expanded(TimeLimit)
    def create_search_indexes(
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
        return self._threads.run(
            self._inner.create_search_indexes(
                models, None if session is None else session_of(session), comment, **options
            )
        )

    @expanded(TimeLimit)
    def update_search_index(
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
        self._threads.run(
            self._inner.update_search_index(
                name, definition, None if session is None else session_of(session), comment, **options
            )
        )

    @expanded(TimeLimit)
    def drop_search_index(
        self, name: str, session: ClientSession | None = None, comment: object = None, **options: Unpack[TimeLimit]
    ) -> None:
        """Drop a search index (server 7.0). It is not an error if the collection does not exist.

        :param name: the index's name.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler.
        :raises OperationFailure: the server refused.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        self._threads.run(
            self._inner.drop_search_index(name, None if session is None else session_of(session), comment, **options)
        )
