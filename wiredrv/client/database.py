"""The database: its collections and commands. PyMongo's names, arguments and results.

Specifications: run-command, enumerate-collections, collection-management.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Unpack, overload

from bson.codec_options import CodecOptions

from wiredrv.client import validation as check
from wiredrv.client.absent import did_you_mean, refuse_absent
from wiredrv.client.collection import Collection
from wiredrv.client.collection_base import derived_target
from wiredrv.client.collection_indexes import drop
from wiredrv.client.cursors.command_cursor import CommandCursor
from wiredrv.client.database_commands import DatabaseCommands
from wiredrv.client.database_helpers import DatabaseHelpers
from wiredrv.client.handle import HandleContext
from wiredrv.client.limits import TimeoutMode, limited
from wiredrv.client.schema_arguments import CreateCollectionOptions, ListCollectionNamesOptions, ListCollectionsOptions
from wiredrv.client.signatures import expanded
from wiredrv.concerns import ReadConcern, ReadPreference, WriteConcern
from wiredrv.errors import CollectionExists, OperationFailure
from wiredrv.operations.base import Target, field_of
from wiredrv.operations.collections import Create, ListCollections
from wiredrv.server_facts import ErrorCode
from wiredrv.types import Document, DocumentT, OtherDocumentT, PlainDocument

if TYPE_CHECKING:
    from wiredrv.client.client import Client
    from wiredrv.client.sessions.client_session import ClientSession

_LIST: check.Table = {
    "filter": ("filter", check.document),
    "comment": ("comment", None),
    "name_only": ("nameOnly", check.boolean),
    "authorized_collections": ("authorizedCollections", check.boolean),
    "max_time_ms": ("maxTimeMS", check.whole_number),
    "raw_data": ("rawData", check.flag),
}


class Database(DatabaseCommands[DocumentT], DatabaseHelpers[DocumentT]):
    """A database of a client. Creating it costs nothing and sends nothing; it is immutable.

    Attributes that are not methods, and items, are its collections: ``database.orders``, ``database["orders"]``.

    Whatever sends a command can also raise ConnectionFailure (no server answered, and a retry was not possible or
    failed too), and InvalidOperation (the client is closed, or the session has ended). Specifications: run-command,
    enumerate-collections, collection-management.
    """

    __slots__ = ("_client", "_context", "_target")

    def __init__(self, client: Client[Any], context: HandleContext, target: Target) -> None:
        """Made by the client.

        :param client: the client.
        :param context: how the client's handles work.
        :param target: the database's name and options.
        """
        check.database_name(target.database)
        self._client = client
        self._context = context
        self._target = target

    # --- what it is ---

    @property
    def name(self) -> str:
        """The database's name."""
        return self._target.database

    @property
    def client(self) -> Client[Any]:
        """The client that the database belongs to. Its documents may be of another class."""
        return self._client

    @overload
    def with_options(
        self,
        codec_options: None = None,
        read_preference: ReadPreference | None = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
        *,
        document_class: None = None,
        timeout_ms: int | None = None,
    ) -> Database[DocumentT]: ...

    @overload
    def with_options(
        self,
        codec_options: CodecOptions[OtherDocumentT] | None = None,
        read_preference: ReadPreference | None = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
        *,
        document_class: type[OtherDocumentT] | None = None,
        timeout_ms: int | None = None,
    ) -> Database[OtherDocumentT]: ...

    def with_options(
        self,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: ReadPreference | None = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
        *,
        document_class: type[Any] | None = None,
        timeout_ms: int | None = None,
    ) -> Database[Any]:
        """The same database with other options; those that are None stay the same.

        :param codec_options: how documents become Python objects and back; None takes this database's.
        :param read_preference: which members may answer reads; None takes this database's.
        :param write_concern: what a write waits for; None takes this database's.
        :param read_concern: how durable what is read must be; None takes this database's.
        :param document_class: what documents are given as; it wins over that of ``codec_options``.
        :param timeout_ms: milliseconds for each operation and its retries; 0 sets no limit, None takes the database's.
        :returns: the other database.
        :raises ConfigurationError: an option is of the wrong kind.
        """
        target = derived_target(
            self._target, "", codec_options, read_preference, write_concern, read_concern, document_class, timeout_ms
        )
        return Database(self._client, self._context, target)

    @overload
    def get_collection(
        self,
        name: str,
        codec_options: None = None,
        read_preference: ReadPreference | None = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
        *,
        document_class: None = None,
        timeout_ms: int | None = None,
    ) -> Collection[DocumentT]: ...

    @overload
    def get_collection(
        self,
        name: str,
        codec_options: CodecOptions[OtherDocumentT] | None = None,
        read_preference: ReadPreference | None = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
        *,
        document_class: type[OtherDocumentT] | None = None,
        timeout_ms: int | None = None,
    ) -> Collection[OtherDocumentT]: ...

    def get_collection(
        self,
        name: str,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: ReadPreference | None = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
        *,
        document_class: type[Any] | None = None,
        timeout_ms: int | None = None,
    ) -> Collection[Any]:
        """A collection; options that are None are the database's.

        :param name: its name.
        :param codec_options: how documents become Python objects and back; None takes the database's.
        :param read_preference: which members may answer reads; None takes the database's.
        :param write_concern: what a write waits for; None takes the database's.
        :param read_concern: how durable what is read must be; None takes the database's.
        :param document_class: what documents are given as; it wins over that of ``codec_options``.
        :param timeout_ms: milliseconds for each operation and its retries; 0 sets no limit, None takes the database's.
        :returns: the collection. Nothing is sent.
        :raises InvalidName: the name cannot be a collection's.
        :raises ConfigurationError: an option is of the wrong kind.
        """
        return Collection(
            self,
            name,
            codec_options,
            read_preference,
            write_concern,
            read_concern,
            document_class=document_class,
            timeout_ms=timeout_ms,
        )

    def __getitem__(self, name: str) -> Collection[DocumentT]:
        return Collection(self, name)

    def __getattr__(self, name: str) -> Collection[DocumentT]:
        refuse_absent("Database", name, "use database[{}] for the collection of that name")
        return Collection(self, name)

    # --- its collections ---

    @expanded(ListCollectionsOptions)
    def list_collections(
        self,
        session: ClientSession | None = None,
        filter: Document | None = None,
        comment: object = None,
        *,
        batch_size: int | None = None,
        raw_data: bool | None = None,
        timeout_mode: TimeoutMode | None = None,
        **options: Unpack[ListCollectionsOptions],
    ) -> CommandCursor[dict[str, Any]]:
        """A cursor over the collections' documents, with or without ``await``.

        :param session: the session to use; without it the bound one, or an implicit one.
        :param filter: a query on those documents.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler (server 4.4).
        :param batch_size: how many documents the server sends at a time; None leaves it to the server.
        :param raw_data: whether a time-series collection is accessed as the buckets that it stores (server 8.2).
        :param timeout_mode: what ``timeout_ms`` limits: ``"cursor_lifetime"``, the default, or ``"iteration"``.
        :param options: ``nameOnly``, ``authorizedCollections``, ``max_time_ms``...
        :returns: the cursor.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        given: PlainDocument = {**options, "filter": filter, "comment": comment, "raw_data": raw_data}
        target = limited(self._target, given.pop("timeout_ms", None))
        size = None if batch_size is None else check.whole_number("batch_size", batch_size)
        operation = ListCollections(target, check.wire_options(given, _LIST, strict=False), size)
        # The server applies the comment to getMores by itself (enumerate-collections specification).
        return CommandCursor(self._context, operation, session, batch_size=size, timeout_mode=timeout_mode)

    @expanded(ListCollectionNamesOptions)
    async def list_collection_names(
        self,
        session: ClientSession | None = None,
        filter: Document | None = None,
        comment: object = None,
        **options: Unpack[ListCollectionNamesOptions],
    ) -> list[str]:
        """The names of the collections. Only the names are requested, unless the filter needs more.

        :param session: the session to use; without it the bound one, or an implicit one.
        :param filter: a query on the documents of :meth:`list_collections`.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler (server 4.4).
        :param options: as of :meth:`list_collections`.
        :returns: the names.
        :raises OperationFailure: the server refused the command.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        if filter is None or all(key == "name" for key in check.document("filter", filter)):
            options.pop("name_only", None)
            options["nameOnly"] = True
        cursor = self.list_collections(session, filter, comment, **options)
        return [field_of(found, "name", str) for found in await cursor.to_list()]

    async def list_collection_objects(
        self, session: ClientSession | None = None, filter: Document | None = None, *, timeout_ms: int | None = None
    ) -> list[Collection[DocumentT]]:
        """The collections as objects.

        :param session: the session to use; without it the bound one, or an implicit one.
        :param filter: a query on the documents of :meth:`list_collections`.
        :param timeout_ms: milliseconds for the whole call, its retries included; 0 sets no limit, None takes the
            ``timeoutMS`` of the database or client.
        :returns: the collections, with the database's options.
        :raises OperationFailure: the server refused the command.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        return [self[name] for name in await self.list_collection_names(session, filter, timeout_ms=timeout_ms)]

    @overload
    async def create_collection(
        self,
        name: str,
        codec_options: None = None,
        read_preference: ReadPreference | None = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
        session: ClientSession | None = None,
        check_exists: bool | None = True,
        *,
        document_class: None = None,
        **options: Unpack[CreateCollectionOptions],
    ) -> Collection[DocumentT]: ...

    @overload
    async def create_collection(
        self,
        name: str,
        codec_options: CodecOptions[OtherDocumentT] | None = None,
        read_preference: ReadPreference | None = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
        session: ClientSession | None = None,
        check_exists: bool | None = True,
        *,
        document_class: type[OtherDocumentT] | None = None,
        **options: Unpack[CreateCollectionOptions],
    ) -> Collection[OtherDocumentT]: ...

    @expanded(CreateCollectionOptions)
    async def create_collection(
        self,
        name: str,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: ReadPreference | None = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
        session: ClientSession | None = None,
        check_exists: bool | None = True,
        *,
        document_class: type[Any] | None = None,
        **options: Unpack[CreateCollectionOptions],
    ) -> Collection[Any]:
        """Create a collection or view. A collection is also created by the first write to it.

        :param name: its name.
        :param codec_options: how documents become Python objects and back; None takes the database's.
        :param read_preference: which members may answer reads; None takes the database's.
        :param write_concern: what a write waits for; None takes the database's.
        :param read_concern: how durable what is read must be; None takes the database's.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param check_exists: ignored: the server always checks whether the name is taken.
        :param document_class: what documents are given as; it wins over that of ``codec_options``.
        :param options: those of the create command, under its names (``capped``, ``timeseries``, ``viewOn``...).
        :returns: the collection.
        :raises CollectionInvalid: the name is taken. It is an OperationFailure too, with the server's code 48.
        :raises OperationFailure: the server refused.
        :raises ConfigurationError: an argument is of the wrong kind.
        :raises InvalidName: the name cannot be a collection's.
        """
        collection = self.get_collection(
            name, codec_options, read_preference, write_concern, read_concern, document_class=document_class
        )
        target = limited(collection._target, options.pop("timeout_ms", None))
        operation = Create(target, check.wire_options(options, _CREATE, strict=False))
        try:
            await self._context.executor.execute(operation, self._context.session_state(session))
        except OperationFailure as error:
            if error.code != ErrorCode.NamespaceExists:
                raise
            raise _exists(error) from None
        return collection

    async def drop_collection(
        self,
        name_or_collection: str | Collection[Any],
        session: ClientSession | None = None,
        comment: object = None,
        *,
        timeout_ms: int | None = None,
    ) -> PlainDocument:
        """Drop a collection and return the server's reply. It is not an error if it does not exist.

        :param name_or_collection: its name, or the collection itself.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler (server 4.4).
        :param timeout_ms: milliseconds for the whole call, its retries included; 0 sets no limit, None takes the
            ``timeoutMS`` of the database or client.
        :returns: the server's reply.
        :raises OperationFailure: the server refused.
        :raises InvalidName: the name cannot be a collection's.
        """
        if isinstance(name_or_collection, Collection):
            name = name_or_collection.name
        else:
            name = check.collection_name(name_or_collection)
        target = limited(derived_target(self._target, name), timeout_ms)
        return await drop(self._context, target, session, comment)

    # --- guards ---

    if not TYPE_CHECKING:  # type checkers know without it that a database cannot be called

        def __call__(self, *arguments: object, **options: object) -> NoReturn:
            raise TypeError(
                f"a client has no method {self.name!r}: {self.name!r} is a database, which cannot be called"
                f"{did_you_mean(self.name, self._client)}"
            )

    def __bool__(self) -> NoReturn:
        raise NotImplementedError("a database has no truth value: compare it with None ('database is not None')")

    def __iter__(self) -> NoReturn:
        raise TypeError("a database cannot be iterated: list_collection_names() lists its collections")

    def __contains__(self, name: object) -> NoReturn:
        raise TypeError("'in' does not search a database: list_collection_names() lists its collections")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Database):
            return NotImplemented
        return self._context is other._context and self.name == other.name

    def __hash__(self) -> int:
        return hash((id(self._context), self.name))

    def __repr__(self) -> str:
        return f"Database({self.name!r})"


_CREATE: check.Table = {
    "comment": ("comment", None),
    "collation": ("collation", check.collation_document),
    "max_time_ms": ("maxTimeMS", check.whole_number),
    "pipeline": ("pipeline", lambda name, value: check.pipeline(value, name)),
}


def _exists(error: OperationFailure) -> CollectionExists:
    found = CollectionExists(str(error), error.code, error.details, error.max_wire_version, error.error_labels)
    found.transaction = error.transaction
    return found
