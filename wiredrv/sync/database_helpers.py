"""Helpers of a database on its collections and documents: validation, references. PyMongo's names.

Written by ``python -m tools.synchronous`` from ``wiredrv.client.database_helpers``: do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from bson.dbref import DBRef

from wiredrv.client import positions
from wiredrv.client.arguments import FindOneOptions, expanded
from wiredrv.sync.base import session_of, wrapped
from wiredrv.sync.collection import Collection
from wiredrv.sync.handle import HandleOptions
from wiredrv.types import Document, DocumentT, PlainDocument

if TYPE_CHECKING:
    from wiredrv.client.database import Database as AsyncDatabase
    from wiredrv.sync.client_session import ClientSession


class DatabaseHelpers(HandleOptions[DocumentT]):
    """Methods of a database that check a collection and follow references."""

    __slots__ = ()

    _inner: AsyncDatabase[DocumentT]

    def __getitem__(self, name: str) -> Collection[DocumentT]:
        return Collection(self._inner.__getitem__(name), self)

    def validate_collection(
        self,
        name_or_collection: str | Collection[DocumentT],
        scandata: bool = False,
        full: bool = False,
        session: ClientSession | None = None,
        background: bool | None = None,
        comment: object = None,
        *,
        timeout_ms: int | None = None,
    ) -> PlainDocument:
        """Have the server check the data and the indexes of a collection, and return its reply.

        The collection is locked meanwhile, unless ``background`` is True. As ``command()`` (run-command specification),
        it is not retried.

        :param name_or_collection: its name, or the collection itself.
        :param scandata: whether to look at more than the structure.
        :param full: whether to look at everything.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param background: whether the collection can be used meanwhile (server 4.4); None leaves it to the server,
            whose default is False.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler (server 4.4).
        :param timeout_ms: milliseconds for the whole call; 0 sets no limit, None takes the ``timeoutMS`` of the
            database or client.
        :returns: the server's reply.
        :raises CollectionInvalid: the collection, or a part of it on one shard, is not valid.
        :raises OperationFailure: the server refused; there may be no such collection.
        :raises ConfigurationError: an argument is of the wrong kind.
        :raises InvalidName: the name cannot be a collection's.
        """
        return self._threads.run(
            self._inner.validate_collection(
                wrapped(name_or_collection),
                scandata,
                full,
                None if session is None else session_of(session),
                background,
                comment,
                timeout_ms=timeout_ms,
            )
        )

    @expanded(FindOneOptions, positions.COMMENT)
    def dereference(
        self,
        dbref: DBRef,
        session: ClientSession | None = None,
        *more: object,
        projection: Document | Sequence[str] | None = None,
        **options: Unpack[FindOneOptions],
    ) -> DocumentT | None:
        """The document that a DBRef points to, or None if there is none. CRUD specification, "Find".

        :param dbref: the reference: to a collection of this database.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param projection: the fields to return, as a mapping or a list of names.
        :param more: options by position, in PyMongo's order: ``comment``.
        :returns: the document, or None.
        :raises ConfigurationError: it is not a DBRef, or names another database.
        :raises OperationFailure: the server refused the command.
        """
        return self._threads.run(
            self._inner.dereference(
                dbref,
                None if session is None else session_of(session),
                *map(wrapped, more),
                projection=projection,
                **options,
            )
        )
