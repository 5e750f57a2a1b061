"""Helpers of a database on its collections and documents: validation, references. PyMongo's names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from reprlib import repr as shown
from typing import TYPE_CHECKING, Unpack

from bson.codec_options import DEFAULT_CODEC_OPTIONS
from bson.dbref import DBRef

from wiredrv.client import positions
from wiredrv.client import validation as check
from wiredrv.client.arguments import FindOneOptions, expanded
from wiredrv.client.collection import Collection
from wiredrv.client.handle import HandleContext, HandleOptions
from wiredrv.client.limits import limited
from wiredrv.client.positions import by_position
from wiredrv.errors import CollectionInvalid, ConfigurationError
from wiredrv.operations.collections import Validate, is_valid
from wiredrv.types import Document, DocumentT, PlainDocument

if TYPE_CHECKING:
    from wiredrv.client.sessions.client_session import ClientSession

_VALIDATE: check.Table = {
    "scandata": ("scandata", check.boolean),
    "full": ("full", check.boolean),
    "background": ("background", check.boolean),
    "comment": ("comment", None),
}


class DatabaseHelpers(HandleOptions[DocumentT]):
    """Methods of a database that check a collection and follow references."""

    __slots__ = ()

    _context: HandleContext

    def __getitem__(self, name: str) -> Collection[DocumentT]:
        raise NotImplementedError

    async def validate_collection(
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
        given = {"scandata": scandata, "full": full, "background": background, "comment": comment}
        fields = check.wire_options(given, _VALIDATE)
        if isinstance(name_or_collection, Collection):
            name = name_or_collection.name
        else:
            name = check.collection_name(name_or_collection)
        own = replace(self._target, collection=name, codec_options=DEFAULT_CODEC_OPTIONS)
        operation = Validate(limited(own, timeout_ms), fields)
        reply = dict(await self._context.executor.execute(operation, self._context.session_state(session)))
        if not is_valid(reply):
            raise CollectionInvalid(f"{own.namespace} is not valid: {shown(reply.get('errors') or reply)}")
        return reply

    @expanded(FindOneOptions, positions.COMMENT)
    async def dereference(
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
        if more:
            session, options = by_position(self.dereference, positions.COMMENT, more, session, options)
        if not isinstance(dbref, DBRef):
            check.refuse("dbref", "a bson DBRef", dbref)
        if dbref.database is not None and dbref.database != self._target.database:
            raise ConfigurationError(
                f"the reference is to the database {dbref.database!r}, and this one is {self._target.database!r}: "
                f"call client[{dbref.database!r}].dereference()"
            )
        return await self[dbref.collection].find_one({"_id": dbref.id}, projection, session=session, **options)
