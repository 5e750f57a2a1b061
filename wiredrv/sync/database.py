"""The database: its collections and commands. PyMongo's names, arguments and results.

Written by ``python -m tools.synchronous`` from ``wiredrv.client.database``: do not edit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Unpack, cast, overload

from bson.codec_options import CodecOptions

from wiredrv.client.limits import TimeoutMode
from wiredrv.client.schema_arguments import CreateCollectionOptions, ListCollectionNamesOptions, ListCollectionsOptions
from wiredrv.client.signatures import expanded
from wiredrv.concerns import ReadConcern, ReadPreference, WriteConcern
from wiredrv.sync.base import awaited, session_of, wrapped
from wiredrv.sync.collection import Collection
from wiredrv.sync.command_cursor import CommandCursor
from wiredrv.sync.database_commands import DatabaseCommands
from wiredrv.sync.database_helpers import DatabaseHelpers
from wiredrv.types import Document, DocumentT, OtherDocumentT, PlainDocument

if TYPE_CHECKING:
    from wiredrv.client.database import Database as AsyncDatabase
    from wiredrv.sync.client import Client
    from wiredrv.sync.client_session import ClientSession


class Database(DatabaseCommands[DocumentT], DatabaseHelpers[DocumentT]):
    """A database of a client. Creating it costs nothing and sends nothing; it is immutable.

    Attributes that are not methods, and items, are its collections: ``database.orders``, ``database["orders"]``.

    Whatever sends a command can also raise ConnectionFailure (no server answered, and a retry was not possible or
    failed too), and InvalidOperation (the client is closed, or the session has ended). Specifications: run-command,
    enumerate-collections, collection-management.
    """

    __slots__ = ()

    _inner: AsyncDatabase[DocumentT]

    if not TYPE_CHECKING:  # type checkers know without it that a database cannot be called

        def __call__(self, *arguments: object, **options: object) -> NoReturn:
            self._inner(*arguments, **options)

    @property
    def name(self) -> str:
        """The database's name."""
        return self._inner.name

    @property
    def client(self) -> Client[Any]:
        """The client that the database belongs to. Its documents may be of another class."""
        return cast("Client[Any]", self._parent)

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
        return Database(
            self._inner.with_options(
                codec_options,
                read_preference,
                write_concern,
                read_concern,
                document_class=document_class,
                timeout_ms=timeout_ms,
            ),
            self._parent,
        )

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
            self._inner.get_collection(
                name,
                codec_options,
                read_preference,
                write_concern,
                read_concern,
                document_class=document_class,
                timeout_ms=timeout_ms,
            ),
            self,
        )

    def __getitem__(self, name: str) -> Collection[DocumentT]:
        return Collection(self._inner.__getitem__(name), self)

    def __getattr__(self, name: str) -> Collection[DocumentT]:
        if name == "_inner":
            raise AttributeError(name)
        return Collection(self._inner.__getattr__(name), self)

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
        """A cursor over the collections' documents.

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
        return CommandCursor(
            self._threads.run(
                awaited(
                    self._inner.list_collections(
                        None if session is None else session_of(session),
                        filter,
                        comment,
                        batch_size=batch_size,
                        raw_data=raw_data,
                        timeout_mode=timeout_mode,
                        **options,
                    )
                )
            ),
            self,
        )

    @expanded(ListCollectionNamesOptions)
    def list_collection_names(
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
        return self._threads.run(
            self._inner.list_collection_names(
                None if session is None else session_of(session), filter, comment, **options
            )
        )

    def list_collection_objects(
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
        return [
            Collection(found, self)
            for found in self._threads.run(
                self._inner.list_collection_objects(
                    None if session is None else session_of(session), filter, timeout_ms=timeout_ms
                )
            )
        ]

    @overload
    def create_collection(
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
    def create_collection(
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
    def create_collection(
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
        return Collection(
            self._threads.run(
                self._inner.create_collection(
                    name,
                    codec_options,
                    read_preference,
                    write_concern,
                    read_concern,
                    None if session is None else session_of(session),
                    check_exists,
                    document_class=document_class,
                    **options,
                )
            ),
            self,
        )

    def drop_collection(
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
        return self._threads.run(
            self._inner.drop_collection(
                wrapped(name_or_collection),
                None if session is None else session_of(session),
                comment,
                timeout_ms=timeout_ms,
            )
        )

    def __bool__(self) -> NoReturn:
        self._inner.__bool__()

    def __iter__(self) -> NoReturn:
        self._inner.__iter__()

    def __contains__(self, name: object) -> NoReturn:
        self._inner.__contains__(name)
