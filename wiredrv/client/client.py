"""The client: an application creates one and keeps it for as long as it runs."""

from __future__ import annotations

import warnings
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, Unpack, overload

from bson.codec_options import CodecOptions, TypeRegistry
from bson.timestamp import Timestamp

from wiredrv import waits
from wiredrv.client import validation as check
from wiredrv.client.absent import refuse_absent
from wiredrv.client.client_deployment import ClientDeployment
from wiredrv.client.client_writes import ClientWrites
from wiredrv.client.closing import Closing
from wiredrv.client.collection_base import derived_target
from wiredrv.client.core import ClientCore
from wiredrv.client.database import Database
from wiredrv.client.effective import EffectiveOptions
from wiredrv.client.limits import limited
from wiredrv.client.misuse import AsyncBlock
from wiredrv.client.sessions.client_session import ClientSession
from wiredrv.client.sessions.client_transaction import ClientTransaction
from wiredrv.compat.objects import of_kind
from wiredrv.concerns import ReadConcern, ReadPreference, WriteConcern
from wiredrv.connection.settings import DriverInfo
from wiredrv.description import ServerType
from wiredrv.errors import ConfigurationError
from wiredrv.execution.timeout import in_force_now
from wiredrv.listeners import EventListener
from wiredrv.logs.hub import LoggingHub
from wiredrv.operations.base import Target
from wiredrv.operations.databases import DropDatabase
from wiredrv.options.client_options import ClientOptions
from wiredrv.options.uri import parse_client_settings
from wiredrv.origin import caller
from wiredrv.session.options import SessionOptions, TransactionOptions
from wiredrv.types import Document, DocumentT, OtherDocumentT, PlainDocument, TimeLimit

if TYPE_CHECKING:
    from wiredrv.client.snapshots.snapshot import Snapshot
    from wiredrv.session.tokens import TokenKeys


class Client(ClientDeployment[DocumentT], ClientWrites[DocumentT], AsyncBlock):
    """A client of one deployment: a replica set, a sharded cluster or a single server.

    ::

        async with wiredrv.Client("mongodb://localhost:27017/?replicaSet=rs0") as client:
            await client.shop.orders.insert_one({"sku": "abc"})

    ``async with`` opens and closes the client. The first operation also opens it, if it is new or its event loop is
    closed. Creating a client sends nothing and starts nothing. It can be open in one event loop at a time. Operations
    of a closed client raise InvalidOperation; ``async with`` or :meth:`open` opens it again, also in another event
    loop.

    Specifications: connection-string, uri-options, server-discovery-and-monitoring, server-selection, sessions.

    :param host: a connection string; or a host, ``host:port``, or several hosts; None for this machine.
    :param port: the port of the hosts that are given without one; 27017 by default.
    :param document_class: what documents are given as: a class of mutable mappings (``dict`` if it is None), a
        TypedDict, or ``RawBSONDocument``. Databases and collections take it over.
    :param tz_aware: whether datetimes have a time zone; False by default.
    :param connect: for code that was written for PyMongo. It has no effect: making a client never connects, and the
        first operation does.
    :param type_registry: bson's codecs for the application's own types.
    :param uri: another name of ``host``.
    :param event_listeners: objects of the listener classes in :mod:`wiredrv.events`, or of PyMongo's, or callables that
        take any event.
    :param io_loop: for code that was written for Motor. It has no effect: a client belongs to the event loop in which
        it is opened.
    :param options: options by the names that they have in a connection string (``maxPoolSize=20``); they win over it.
        ``help("wiredrv.options.client_options.ClientOptions")`` describes them all, and so does the reference.
    :raises InvalidURI: the connection string cannot be read.
    :raises ConfigurationError: an option is unknown, has a value of the wrong kind, or contradicts another.
    """

    _written = "wiredrv.Client(...)"

    def __init__(
        self,
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        document_class: type[DocumentT] | None = None,
        tz_aware: bool | None = None,
        connect: bool | None = None,
        type_registry: TypeRegistry | None = None,
        *,
        uri: str | Sequence[str] | None = None,
        event_listeners: Iterable[EventListener] = (),
        io_loop: object = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        if uri is not None and host is not None:
            raise ConfigurationError("host and uri are two names of one argument: give one of them")
        if connect is not None:
            check.boolean("connect", connect)
        own = {"port": port, "document_class": document_class, "tz_aware": tz_aware, "type_registry": type_registry}
        settings = parse_client_settings(host if uri is None else uri, {**own, **options})
        self._origin = caller()
        self._context = self._core = ClientCore(settings, LoggingHub(event_listeners, waits.deliver))
        self._target = Target(
            "admin",
            read_preference=settings.read_preference,
            read_concern=settings.read_concern,
            write_concern=settings.write_concern,
            codec_options=settings.codec_options,
            limit=None if settings.execution.timeout is None else TimeLimit(settings.execution.timeout),
        )

    # --- life ---

    async def open(self) -> Self:
        """Start to monitor the deployment, also after a close. Does not wait for a server; the first operation does.

        :returns: the client.
        :raises InvalidOperation: the client is open in another event loop.
        """
        await self._core.open()
        return self

    def close(self) -> Coroutine[Any, Any, None]:
        """End the pooled sessions on the server, close all connections, stop all tasks. Server errors are not raised.

        It begins with the call, and ``await`` waits until it is done; without ``await``, it is done in the background.
        Outside of the client's event loop, the connections are dropped, and nothing is sent.

        It may be called twice. Afterwards, operations on the client or on anything created by it raise InvalidOperation
        until :meth:`open` or ``async with`` opens the client again.

        :returns: what waits until the client is closed.
        """
        return Closing(self._core)

    #: PyMongo's name, for ``contextlib.aclosing``.
    aclose = close

    async def aconnect(self) -> None:
        """Open the client: :meth:`open` under PyMongo's name.

        :raises InvalidOperation: the client is open in another event loop, or was closed.
        """
        await self._core.ensure_open()

    async def __aenter__(self) -> Self:
        try:
            return await self.open()
        except BaseException as error:
            if not isinstance(error, Exception):
                # Cancelled: there will be no __aexit__.
                await self.close()
            raise

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        core = getattr(self, "_core", None)
        if core is not None and core.was_opened:
            core.abandon(finalizing=True)  # first: a program may turn the warning into an exception
            warnings.warn(
                f"a client made at {self._origin} was never closed: use `{core.block} {core.package}.Client(...)`",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )

    @property
    def options(self) -> EffectiveOptions:
        """The options that are in force, under PyMongo's names: those that were given, and the defaults."""
        return EffectiveOptions(self._core.settings, self._core.metadata)

    # --- handles ---

    def __getitem__(self, name: str) -> Database[DocumentT]:
        """The database called ``name``.

        :param name: the database's name.
        :returns: the database, with the client's options.
        :raises InvalidName: the server would refuse the name.
        """
        return self.get_database(name)

    def __getattr__(self, name: str) -> Database[DocumentT]:
        refuse_absent("Client", name, "use client[{}] for the database of that name")
        return self.get_database(name)

    @overload
    def get_database(
        self,
        name: str | None = None,
        codec_options: None = None,
        read_preference: ReadPreference | None = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
        *,
        document_class: None = None,
        timeout_ms: int | None = None,
    ) -> Database[DocumentT]: ...

    @overload
    def get_database(
        self,
        name: str | None = None,
        codec_options: CodecOptions[OtherDocumentT] | None = None,
        read_preference: ReadPreference | None = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
        *,
        document_class: type[OtherDocumentT] | None = None,
        timeout_ms: int | None = None,
    ) -> Database[OtherDocumentT]: ...

    def get_database(
        self,
        name: str | None = None,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: ReadPreference | None = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
        *,
        document_class: type[Any] | None = None,
        timeout_ms: int | None = None,
    ) -> Database[Any]:
        """A database with options of its own; those that are None are the client's.

        :param name: its name; None takes that of the connection string.
        :param codec_options: how documents become Python objects and back; None takes the client's.
        :param read_preference: which members may answer reads; None takes the client's.
        :param write_concern: what a write waits for; None takes the client's.
        :param read_concern: how durable what is read must be; None takes the client's.
        :param document_class: what documents are given as; it wins over that of ``codec_options``.
        :param timeout_ms: milliseconds for each operation and its retries; 0 sets no limit, None takes the client's.
        :returns: the database. Nothing is sent.
        :raises ConfigurationError: neither gives a name.
        :raises InvalidName: the server would refuse the name.
        """
        name = name if name is not None else self._core.settings.default_database
        if name is None:
            raise ConfigurationError("no database name: pass one, or add one to the connection string")
        target = derived_target(
            self._target, "", codec_options, read_preference, write_concern, read_concern, document_class, timeout_ms
        )
        return Database(self, self._core, replace(target, database=name))

    @overload
    def get_default_database(
        self,
        default: str | None = None,
        codec_options: None = None,
        read_preference: ReadPreference | None = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
        *,
        document_class: None = None,
        timeout_ms: int | None = None,
    ) -> Database[DocumentT]: ...

    @overload
    def get_default_database(
        self,
        default: str | None = None,
        codec_options: CodecOptions[OtherDocumentT] | None = None,
        read_preference: ReadPreference | None = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
        *,
        document_class: type[OtherDocumentT] | None = None,
        timeout_ms: int | None = None,
    ) -> Database[OtherDocumentT]: ...

    def get_default_database(
        self,
        default: str | None = None,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: ReadPreference | None = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
        *,
        document_class: type[Any] | None = None,
        timeout_ms: int | None = None,
    ) -> Database[Any]:
        """The database that the connection string names, else ``default``.

        :param default: the name to use if the connection string has none.
        :param codec_options: how documents become Python objects and back; None takes the client's.
        :param read_preference: which members may answer reads; None takes the client's.
        :param write_concern: what a write waits for; None takes the client's.
        :param read_concern: how durable what is read must be; None takes the client's.
        :param document_class: what documents are given as; it wins over that of ``codec_options``.
        :param timeout_ms: milliseconds for each operation and its retries; 0 sets no limit, None takes the client's.
        :returns: the database. Nothing is sent.
        :raises ConfigurationError: neither gives a name.
        :raises InvalidName: the server would refuse the name.
        """
        name = self._core.settings.default_database or default
        options = (codec_options, read_preference, write_concern, read_concern)
        return self.get_database(name, *options, document_class=document_class, timeout_ms=timeout_ms)

    # --- sessions ---

    def start_session(
        self,
        causal_consistency: bool | None = None,
        default_transaction_options: TransactionOptions | None = None,
        snapshot: bool | None = False,
        snapshot_time: Timestamp | None = None,
        *,
        overlap: Literal["wait", "refuse"] = "wait",
        default_timeout_ms: int | None = None,
        after: str | Sequence[str | None] | None = None,
        token_keys: TokenKeys | None = None,
        invalid_token: Literal["ignore", "refuse"] = "ignore",
    ) -> ClientSession:
        """Start a session. Nothing is sent; ``await client.start_session()`` returns the same.

        :param causal_consistency: each operation sees what the session did before; True unless ``snapshot``.
        :param default_transaction_options: for the session's transactions.
        :param snapshot: all reads of the session see one point in time (server 5.0 and later), also on secondaries.
        :param snapshot_time: which one, for instance another session's ``snapshot_time``; needs ``snapshot``.
        :param overlap: what an operation does while another one runs with the session: ``"wait"`` for its turn, in the
            order of the calls, or ``"refuse"`` with InvalidOperation, to find the places where that happens.
        :param default_timeout_ms: milliseconds for each commit_transaction, abort_transaction, with_transaction and
            end_session; 0 sets no limit, None takes the client's ``timeoutMS``.
        :param after: the ``causal_token`` of another session, also of another process; or several, of which the latest
            counts and those that are None do not. What this session reads is as it was then, or later. Where the time
            is later than what the client knows, the first operation asks the primary first, for 5 seconds at most; and
            until one has succeeded, a read from secondaries, or with read concern ``majority``, that has no time limit
            waits for them for 30 seconds at most.
        :param token_keys: accept only tokens that one of these keys has signed: for those that were not always in the
            hands of those who trust each other.
        :param invalid_token: what happens with a token that was altered, is older than 30 days, of another deployment
            or later than this one's time, or whose time cannot be confirmed: ``"ignore"`` treats it as absent and
            publishes a CausalTokenIgnoredEvent; ``"refuse"`` raises InvalidToken, here or in the first operation.
        :returns: the session, for ``async with``.
        :raises ConfigurationError: the options contradict each other, or one is of the wrong kind.
        :raises InvalidToken: a token cannot be used, and ``invalid_token`` is ``"refuse"``.
        """
        options = SessionOptions(
            causal_consistency,
            default_transaction_options,
            snapshot or False,
            snapshot_time,
            overlap,
            default_timeout_ms,
            after,
            token_keys,
            invalid_token,
        )
        ambient = self._core.ambient
        return ClientSession(self, self._core, options) if ambient is None else ambient.start_session(self, options)

    def transaction(
        self,
        read_concern: ReadConcern | None = None,
        write_concern: WriteConcern | None = None,
        read_preference: ReadPreference | None = None,
        max_commit_time_ms: int | None = None,
        *,
        join: bool = False,
        inherit: bool = False,
    ) -> ClientTransaction:
        """A session with a transaction, bound for the block, in one step.

        ::

            async with client.transaction() as session:
                await orders.insert_one({"sku": "abc"})

        The end of the block commits; an exception or a cancellation aborts. Both end the session.

        :param read_concern: of the transaction; None takes the client's.
        :param write_concern: of commit and abort; None takes the client's.
        :param read_preference: of reads, which must be primary; None takes the client's.
        :param max_commit_time_ms: milliseconds that one commit may take on the server; None sets no limit.
        :param join: inside a bound transaction of this client, take part in that one, which then commits. Without it, a
            transaction inside another is refused.
        :param inherit: whether tasks that are started in the block may take part, in turns, until the block is left;
            after that they are refused. For frameworks that run an endpoint in a child task of the middleware.
        :returns: the transaction, for ``async with``, which gives the session.
        :raises InvalidOperation: a transaction is bound here already, and ``join`` is False.
        :raises ConfigurationError: the write concern is unacknowledged, or an option is of the wrong kind.
        """
        options = TransactionOptions(read_concern, write_concern, read_preference, max_commit_time_ms)
        return ClientTransaction(self, options, join, inherit, caller())

    def snapshot(
        self,
        token: str | None = None,
        *,
        at: Timestamp | None = None,
        token_keys: TokenKeys | None = None,
        read_preference: ReadPreference | None = None,
        timeout_ms: int | None = None,
    ) -> Snapshot:
        """One moment of the deployment, for many readers: sessions, scans, other processes. Nothing is sent yet.

        ::

            async with client.snapshot() as snap:
                async for batch in snap.scan(client.shop.orders, readers=8):
                    ...

        Entering it asks a server for the time: the latest one that a majority of the members has. All that was written
        before with the write concern "majority" is part of it.

        :param token: the ``token`` of another snapshot, perhaps in another process, to read its time.
        :param at: the ``time`` of another snapshot, or the ``snapshot_time`` of a session.
        :param token_keys: accept only a token that was signed with one of these keys.
        :param read_preference: which member is asked for the time; None takes the client's. A secondary may name an
            earlier time than the primary.
        :param timeout_ms: milliseconds that entering it may take; 0 sets no limit, None takes the client's
            ``timeoutMS``.
        :returns: the snapshot, for ``async with``. Entering it raises InvalidToken, or InvalidOperation for ``at``, if
            the deployment has not reached that time; and ConfigurationError if it has none (a standalone, or server
            versions before 5.0).
        :raises ConfigurationError: an argument is of the wrong kind, or contradicts another.
        :raises InvalidToken: the token cannot be read, or is not signed with one of the keys.
        """
        from wiredrv.client.snapshots.snapshot import Snapshot

        return Snapshot(self, token, at, token_keys, read_preference, timeout_ms)

    async def supports_transactions(self, *, timeout_ms: int | None = None) -> bool:
        """Whether the deployment can run transactions: a replica set or a sharded cluster can, a standalone cannot.

        :param timeout_ms: milliseconds that this may take; 0 sets no limit, None takes the client's ``timeoutMS``.
        :returns: whether it can.
        :raises ServerSelectionTimeoutError: no server could be reached.
        """
        limit = in_force_now(limited(self._target, timeout_ms).limit)
        await self._core.executor.open_within(limit, "supports_transactions")
        deadline = None if limit is None else limit.until
        server = await self._core.topology.select(ReadPreference.NEAREST, "supports_transactions", deadline)
        return server.description.server_type is not ServerType.STANDALONE and server.description.supports_sessions

    # --- the deployment ---

    async def list_database_objects(
        self,
        session: ClientSession | None = None,
        comment: object = None,
        *,
        filter: Document | None = None,
        authorizedDatabases: bool | None = None,
        timeout_ms: int | None = None,
    ) -> list[Database[DocumentT]]:
        """The deployment's databases as handles. Like :meth:`list_database_names`.

        :param session: the session to use; without it the bound one, or an implicit one.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler (server 4.4).
        :param filter: a query on the documents that :meth:`list_databases` gives.
        :param authorizedDatabases: whether only those are listed that the user may access; None leaves it to the
            server.
        :param timeout_ms: milliseconds for the whole call, its retries included; 0 sets no limit, None takes the
            ``timeoutMS`` of the client.
        :returns: the databases, with the client's options.
        :raises OperationFailure: the server refused the command.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        names = await self.list_database_names(
            session, comment, filter=filter, authorizedDatabases=authorizedDatabases, timeout_ms=timeout_ms
        )
        return [self[name] for name in names]

    async def drop_database(
        self,
        name_or_database: str | Database[Any],
        session: ClientSession | None = None,
        comment: object = None,
        *,
        timeout_ms: int | None = None,
    ) -> None:
        """Drop a database with all its collections.

        :param name_or_database: its name, or the database itself.
        :param session: the session to use; without it the bound one, or an implicit one.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler (server 4.4).
        :param timeout_ms: milliseconds for the whole call, its retries included; 0 sets no limit, None takes the
            ``timeoutMS`` of the client.
        :raises OperationFailure: the server refused the command.
        """
        database = name_or_database if isinstance(name_or_database, Database) else self[name_or_database]
        drop = DropDatabase(limited(database._target, timeout_ms), {} if comment is None else {"comment": comment})
        await self._core.executor.execute(drop, self._core.session_state(session))

    async def server_info(
        self, session: ClientSession | None = None, *, timeout_ms: int | None = None
    ) -> PlainDocument:
        """The reply to ``buildInfo``: the server's version, among others.

        :param session: the session to use; without it the bound one, or an implicit one.
        :param timeout_ms: milliseconds for the whole call, its retries included; 0 sets no limit, None takes the
            ``timeoutMS`` of the client.
        :returns: the reply of ``buildInfo``.
        :raises OperationFailure: the server refused the command.
        """
        return await self["admin"].command("buildInfo", session=session, timeout_ms=timeout_ms)

    def append_metadata(self, driver_info: DriverInfo) -> None:
        """Add a library that is built on this driver to the metadata that new connections send to servers.

        :param driver_info: its name, version and platform.
        :raises ConfigurationError: it is not a DriverInfo.
        """
        self._core.append_metadata(of_kind("driver_info", driver_info, DriverInfo))

    def __bool__(self) -> bool:
        """Always true, as with PyMongo: for code that checks whether it was given a client."""
        return True

    def __iter__(self) -> NoReturn:
        raise TypeError("a client cannot be iterated: list_database_names() lists its databases")

    def __contains__(self, name: object) -> NoReturn:
        raise TypeError("'in' does not search a client: list_database_names() lists its databases")

    def __repr__(self) -> str:
        topology = self._core.settings.topology
        if topology.srv_host is not None:
            return f"Client({'mongodb+srv://' + topology.srv_host!r})"
        hosts = ",".join(str(seed) for seed in topology.seeds)
        return f"Client({hosts!r})"
