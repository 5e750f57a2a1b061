"""A database: what users hold to reach its collections and to run commands. PyMongo's names, arguments and results.

Specifications: run-command, enumerate-collections, collection-management.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Unpack

from bson.codec_options import DEFAULT_CODEC_OPTIONS, CodecOptions

from wiredrv.client import validation as check
from wiredrv.client.absent import refuse_absent
from wiredrv.client.arguments import AggregateOptions, expanded
from wiredrv.client.collection import Collection
from wiredrv.client.collection_base import derived_target
from wiredrv.client.collection_indexes import drop
from wiredrv.client.collection_reads import aggregate
from wiredrv.client.command_cursor import CommandCursor
from wiredrv.client.constants import CursorType
from wiredrv.client.handle import HandleContext, HandleOptions
from wiredrv.concerns import ReadConcern, ReadPreference, WriteConcern
from wiredrv.errors import CollectionExists, ConfigurationError, NotPrimaryError, OperationFailure
from wiredrv.operations.base import Target, field_of
from wiredrv.operations.collections import Create, ListCollections
from wiredrv.operations.run_command import RunCommand, RunCursorCommand
from wiredrv.server_facts import ErrorCode

if TYPE_CHECKING:
    from wiredrv.client.client_session import ClientSession

_LIST: check.Table = {
    "filter": ("filter", check.document),
    "comment": ("comment", None),
    "name_only": ("nameOnly", check.boolean),
    "authorized_collections": ("authorizedCollections", check.boolean),
    "max_time_ms": ("maxTimeMS", check.whole_number),
    "raw_data": ("rawData", check.flag),
}
_TAILABLE = (CursorType.TAILABLE, CursorType.TAILABLE_AWAIT)


class Database(HandleOptions):
    """One database of a client. It costs nothing to make, sends nothing, and never changes.

    Attributes that are no methods, and items, are its collections: ``database.orders``, ``database["orders"]``.

    :param client: the client.
    :param context: how the client's handles work.
    :param target: the database's name and options.
    """

    __slots__ = ("_client", "_context", "_target")

    def __init__(self, client: Any, context: HandleContext, target: Target) -> None:
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
    def client(self) -> Any:
        """The client that the database belongs to."""
        return self._client

    def with_options(
        self,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: ReadPreference | None = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> Database:
        """The same database with other options; what is None stays as it is."""
        target = derived_target(self._target, "", codec_options, read_preference, write_concern, read_concern)
        return Database(self._client, self._context, target)

    def get_collection(
        self,
        name: str,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: ReadPreference | None = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> Collection:
        """A collection; options that are None are the database's.

        :raises InvalidName: the name cannot be a collection's.
        """
        return Collection(self, name, codec_options, read_preference, write_concern, read_concern)

    def __getitem__(self, name: str) -> Collection:
        return Collection(self, name)

    def __getattr__(self, name: str) -> Collection:
        refuse_absent("Database", name, "a collection of that name is database[{}]")
        return Collection(self, name)

    # --- commands ---

    async def command(
        self,
        command: str | Mapping[str, Any],
        value: Any = 1,
        check: bool = True,
        allowable_errors: Sequence[str | int] | None = None,
        read_preference: ReadPreference | None = None,
        codec_options: CodecOptions[Any] | None = None,
        session: ClientSession | None = None,
        comment: Any = None,
        **fields: Any,
    ) -> Any:
        """Run a command and return the server's reply. It is sent as given and never retried.

        No read or write concern of the database is put on it; in a transaction it takes part. What the driver itself
        puts on commands (``lsid``, ``$db``...) should not be in it: what then happens is not defined.

        :param command: the command as a document, or its name, which ``value`` and ``fields`` complete.
        :param check: whether a failure is raised; else the reply that tells of it is returned.
        :param allowable_errors: codes and messages of failures that are returned as replies all the same.
        :param read_preference: where it goes; None means the primary.
        :param codec_options: how the reply is decoded; None means the driver's own options, not the database's.
        :raises OperationFailure: the server refused or failed it.
        :raises NotPrimaryError: the server is not the member that it needs, or no longer.
        """
        operation = RunCommand(
            self._command_target(read_preference, codec_options), _body(command, value, comment, fields)
        )
        state = self._context.session_state(session)
        try:
            return await self._context.executor.execute(operation, state)
        except (OperationFailure, NotPrimaryError) as error:
            if check and not _is_allowed(error, allowable_errors or ()):
                raise
            return dict(error.details or {})

    #: The specification's name.
    run_command = command

    def cursor_command(
        self,
        command: str | Mapping[str, Any],
        value: Any = 1,
        read_preference: ReadPreference | None = None,
        codec_options: CodecOptions[Any] | None = None,
        session: ClientSession | None = None,
        comment: Any = None,
        max_await_time_ms: int | None = None,
        batch_size: int | None = None,
        cursor_type: int = CursorType.NON_TAILABLE,
        **fields: Any,
    ) -> CommandCursor[dict[str, Any]]:
        """Run a command that answers with a cursor, with or without ``await``. Sent as given, as :meth:`command`.

        :param comment: of the getMores alone. A comment of the command itself belongs into the command.
        :param max_await_time_ms: milliseconds (``maxTimeMS``) of each getMore.
        :param batch_size: documents of each getMore.
        :param cursor_type: what kind of cursor the command opens; the command's own fields must say so too.
        :raises UnreadableReply: the reply holds no cursor.
        """
        if cursor_type and cursor_type not in _TAILABLE:
            raise ConfigurationError(f"cursor_type must be a CursorType other than EXHAUST, not {cursor_type!r}")
        operation = RunCursorCommand(
            self._command_target(read_preference, codec_options), _body(command, value, None, fields)
        )
        return CommandCursor(
            self._context,
            operation,
            session,
            batch_size=None if batch_size is None else check.whole_number("batch_size", batch_size),
            comment=comment,
            max_await_time_ms=None
            if max_await_time_ms is None
            else check.whole_number("max_await_time_ms", max_await_time_ms),
            tailable=bool(cursor_type),
        )

    #: The specification's name.
    run_cursor_command = cursor_command

    def _command_target(
        self, read_preference: ReadPreference | None, codec_options: CodecOptions[Any] | None
    ) -> Target:
        bare = Target(self._target.database)
        if read_preference is None and codec_options is None:
            return bare
        return derived_target(bare, "", codec_options or DEFAULT_CODEC_OPTIONS, read_preference)

    @expanded(AggregateOptions)
    def aggregate(
        self,
        pipeline: Sequence[Mapping[str, Any]],
        session: ClientSession | None = None,
        **options: Unpack[AggregateOptions],
    ) -> CommandCursor[dict[str, Any]]:
        """A cursor over the result of a pipeline that starts without a collection, as ``$currentOp`` or ``$documents``.

        As :meth:`Collection.aggregate`.
        """
        return aggregate(self._context, self._target, pipeline, session, options)

    # --- its collections ---

    def list_collections(
        self,
        session: ClientSession | None = None,
        filter: Mapping[str, Any] | None = None,
        comment: Any = None,
        *,
        batch_size: int | None = None,
        raw_data: bool | None = None,
        **options: Any,
    ) -> CommandCursor[dict[str, Any]]:
        """A cursor over the collections' documents, with or without ``await``.

        :param filter: a query on those documents.
        :param options: ``nameOnly``, ``authorizedCollections``, ``max_time_ms``...
        """
        given = {**options, "filter": filter, "comment": comment, "raw_data": raw_data}
        size = None if batch_size is None else check.whole_number("batch_size", batch_size)
        operation = ListCollections(self._target, check.wire_options(given, _LIST, strict=False), size)
        # Its getMores inherit the comment; put on them, it would be there twice (enumerate-collections specification).
        return CommandCursor(self._context, operation, session, batch_size=size)

    async def list_collection_names(
        self,
        session: ClientSession | None = None,
        filter: Mapping[str, Any] | None = None,
        comment: Any = None,
        **options: Any,
    ) -> list[str]:
        """The names of the collections. The server is asked for more than names only if the filter needs it."""
        if filter is None or all(key == "name" for key in filter):
            options.pop("name_only", None)
            options["nameOnly"] = True
        cursor = self.list_collections(session, filter, comment, **options)
        return [field_of(found, "name", str) for found in await cursor.to_list()]

    async def list_collection_objects(
        self, session: ClientSession | None = None, filter: Mapping[str, Any] | None = None
    ) -> list[Collection]:
        """The collections as objects."""
        return [self[name] for name in await self.list_collection_names(session, filter)]

    async def create_collection(
        self,
        name: str,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: ReadPreference | None = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
        session: ClientSession | None = None,
        check_exists: bool | None = True,
        **options: Any,
    ) -> Collection:
        """Create a collection or view. A collection is also created by the first write to it.

        :param check_exists: ignored, since it costs nothing here: the server says whether the name is taken.
        :param options: those of the create command, under its names (``capped``, ``timeseries``, ``viewOn``...).
        :raises CollectionInvalid: the name is taken. It is an OperationFailure too, with the server's code 48.
        :raises OperationFailure: the server refused.
        """
        collection = Collection(self, name, codec_options, read_preference, write_concern, read_concern)
        operation = Create(collection._target, check.wire_options(options, _CREATE, strict=False))
        try:
            await self._context.executor.execute(operation, self._context.session_state(session))
        except OperationFailure as error:
            if error.code != ErrorCode.NamespaceExists:
                raise
            raise _exists(error) from None
        return collection

    async def drop_collection(
        self, name_or_collection: str | Collection, session: ClientSession | None = None, comment: Any = None
    ) -> dict[str, Any]:
        """Drop a collection and return the server's reply. It is no error if it does not exist.

        :raises OperationFailure: the server refused.
        """
        if isinstance(name_or_collection, Collection):
            name = name_or_collection.name
        else:
            name = check.collection_name(name_or_collection)
        return await drop(self._context, derived_target(self._target, name), session, comment)

    # --- guards ---

    def __call__(self, *arguments: Any, **options: Any) -> NoReturn:
        raise TypeError(f"a client has no method {self.name!r}: it is a database, which cannot be called")

    def __bool__(self) -> NoReturn:
        raise NotImplementedError("a database is neither true nor false: write 'database is not None'")

    def __iter__(self) -> NoReturn:
        raise TypeError("a database cannot be iterated: list_collection_names() names its collections")

    def __contains__(self, name: object) -> NoReturn:
        raise TypeError("'in' does not search a database: list_collection_names() names its collections")

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


def _body(command: Any, value: Any, comment: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The command as one document, its name first."""
    if isinstance(command, str):
        body: dict[str, Any] = {command: value}
    else:
        body = dict(check.document("command", command))
        if not body:
            raise ConfigurationError("command must not be empty: its first key is the command's name")
    if comment is not None:
        fields = {**fields, "comment": comment}
    twice = next((name for name in fields if name in body), None)
    if twice is not None:
        raise ConfigurationError(f"{twice!r} is in the command already: give it there or as a keyword, not both")
    body.update(fields)
    return body


def _is_allowed(error: OperationFailure | NotPrimaryError, allowed: Sequence[str | int]) -> bool:
    message = str((error.details or {}).get("errmsg", ""))
    return error.code in allowed or message in allowed


def _exists(error: OperationFailure) -> CollectionExists:
    found = CollectionExists(str(error), error.code, error.details, error.max_wire_version, error.error_labels)
    found.transaction = error.transaction
    return found
