"""The client: an application creates one and keeps it for as long as it runs.

Written by ``python -m tools.synchronous`` from ``wiredrv.client.client``: do not edit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, Unpack, overload
from weakref import WeakValueDictionary

from bson.codec_options import CodecOptions, TypeRegistry
from bson.timestamp import Timestamp

from wiredrv.client.client import Client as AsyncClient
from wiredrv.client.effective import EffectiveOptions
from wiredrv.concerns import ReadConcern, ReadPreference, WriteConcern
from wiredrv.connection.settings import DriverInfo
from wiredrv.listeners import EventListener
from wiredrv.options.client_options import ClientOptions
from wiredrv.session.options import TransactionOptions
from wiredrv.session.tokens import TokenKeys
from wiredrv.sync.base import new_threads, session_of, wrapped
from wiredrv.sync.client_deployment import ClientDeployment
from wiredrv.sync.client_session import ClientSession
from wiredrv.sync.client_transaction import ClientTransaction
from wiredrv.sync.client_writes import ClientWrites
from wiredrv.sync.database import Database
from wiredrv.sync.ending import clean_up_at_exit
from wiredrv.sync.repair import repair
from wiredrv.sync.snapshot import Snapshot
from wiredrv.types import Document, DocumentT, OtherDocumentT, PlainDocument

if TYPE_CHECKING:
    from wiredrv.client.sessions.client_session import ClientSession as AsyncClientSession


class Client(ClientDeployment[DocumentT], ClientWrites[DocumentT]):
    """A client of one deployment: a replica set, a sharded cluster or a single server.

    ::

        with wiredrv.sync.Client("mongodb://localhost:27017/?replicaSet=rs0") as client:
            client.shop.orders.insert_one({"sku": "abc"})

    ``with`` opens and closes the client. The first operation also opens it, if it is new. Creating a client sends
    nothing and starts nothing. Any number of threads may use it at a time. Operations of a closed client raise
    InvalidOperation; ``with`` or :meth:`open` opens it again.

    Specifications: connection-string, uri-options, server-discovery-and-monitoring, server-selection, sessions.

    :param host: a connection string; or a host, ``host:port``, or several hosts; None for this machine.
    :param port: the port of the hosts that are given without one; 27017 by default.
    :param document_class: what documents are given as: a class of mutable mappings (``dict`` if it is None), a
        TypedDict, or ``RawBSONDocument``. Databases and collections take it over.
    :param tz_aware: whether datetimes have a time zone; False by default.
    :param connect: it has no effect: making a client never connects, and the
        first operation does.
    :param type_registry: bson's codecs for the application's own types.
    :param uri: another name of ``host``.
    :param event_listeners: objects of the listener classes in :mod:`wiredrv.events`, or of PyMongo's, or callables that
        take any event.
    :param options: options by the names that they have in a connection string (``maxPoolSize=20``); they win over it.
        ``help("wiredrv.options.client_options.ClientOptions")`` describes them all, and so does the reference.
    :raises InvalidURI: the connection string cannot be read.
    :raises ConfigurationError: an option is unknown, has a value of the wrong kind, or contradicts another.
    """

    __slots__ = ("_sessions",)

    _inner: AsyncClient[DocumentT]

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
        **options: Unpack[ClientOptions],
    ) -> None:
        self._threads = new_threads()
        self._inner = self._threads.call(
            lambda: AsyncClient(
                host,
                port,
                document_class,
                tz_aware,
                connect,
                type_registry,
                uri=uri,
                event_listeners=event_listeners,
                **options,
            )
        )
        self._sessions: WeakValueDictionary[int, ClientSession] = WeakValueDictionary()
        self._inner._core.block, self._inner._core.package = "with", "wiredrv.sync"
        clean_up_at_exit(self._inner._core, self._threads)
        self._threads.repair = partial(repair, self._inner._core)

    @property
    def _owner(self) -> Self:
        return self

    def _session_of(self, inner: AsyncClientSession | None) -> ClientSession | None:
        """The session of this face that wraps another."""
        if inner is None:
            return None
        found = self._sessions.get(id(inner))
        if found is None or found._inner is not inner:
            found = self._sessions[id(inner)] = ClientSession(inner, self)
        return found

    def __enter__(self) -> Self:
        self._threads.run(self._inner.__aenter__())
        return self

    def close(self) -> None:
        """End the pooled sessions on the server, close all connections, stop all threads. Server errors are not raised.

        It may be called twice. Afterwards, operations on the client or on anything created by it raise InvalidOperation
        until :meth:`open` or ``with`` opens the client again.
        """
        self._threads.run(self._inner._core.close())

    def open(self) -> Self:
        """Start to monitor the deployment, also after a close. Does not wait for a server; the first operation does.

        :returns: the client.
        :raises InvalidOperation: the client was closed meanwhile.
        """
        self._threads.run(self._inner.open())
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.run(self._inner.__aexit__(exc_type, exc, traceback))

    @property
    def options(self) -> EffectiveOptions:
        """The options that are in force, under PyMongo's names: those that were given, and the defaults."""
        return self._inner.options

    def __getitem__(self, name: str) -> Database[DocumentT]:
        """The database called ``name``.

        :param name: the database's name.
        :returns: the database, with the client's options.
        :raises InvalidName: the server would refuse the name.
        """
        return Database(self._inner.__getitem__(name), self)

    def __getattr__(self, name: str) -> Database[DocumentT]:
        if name == "_inner":
            raise AttributeError(name)
        return Database(self._inner.__getattr__(name), self)

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
        return Database(
            self._inner.get_database(
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
        return Database(
            self._inner.get_default_database(
                default,
                codec_options,
                read_preference,
                write_concern,
                read_concern,
                document_class=document_class,
                timeout_ms=timeout_ms,
            ),
            self,
        )

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
        """Start a session. Nothing is sent.

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
        :returns: the session, for ``with``.
        :raises ConfigurationError: the options contradict each other, or one is of the wrong kind.
        :raises InvalidToken: a token cannot be used, and ``invalid_token`` is ``"refuse"``.
        """
        return ClientSession(
            self._threads.call(
                self._inner.start_session,
                causal_consistency,
                default_transaction_options,
                snapshot,
                snapshot_time,
                overlap=overlap,
                default_timeout_ms=default_timeout_ms,
                after=after,
                token_keys=token_keys,
                invalid_token=invalid_token,
            ),
            self,
        )

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

            with client.transaction() as session:
                orders.insert_one({"sku": "abc"})

        The end of the block commits; an exception aborts. Both end the session.

        :param read_concern: of the transaction; None takes the client's.
        :param write_concern: of commit and abort; None takes the client's.
        :param read_preference: of reads, which must be primary; None takes the client's.
        :param max_commit_time_ms: milliseconds that one commit may take on the server; None sets no limit.
        :param join: inside a bound transaction of this client, take part in that one, which then commits. Without it, a
            transaction inside another is refused.
        :param inherit: whether threads that are started in the block may take part, in turns, until the block is left;
            after that they are refused. For frameworks that run an endpoint in another thread than the middleware.
        :returns: the transaction, for ``with``, which gives the session.
        :raises InvalidOperation: a transaction is bound here already, and ``join`` is False.
        :raises ConfigurationError: the write concern is unacknowledged, or an option is of the wrong kind.
        """
        return ClientTransaction(
            self._threads.call(
                self._inner.transaction,
                read_concern,
                write_concern,
                read_preference,
                max_commit_time_ms,
                join=join,
                inherit=inherit,
            ),
            self,
        )

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

            with client.snapshot() as snap:
                for batch in snap.scan(client.shop.orders, readers=8):
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
        :returns: the snapshot, for ``with``. Entering it raises InvalidToken, or InvalidOperation for ``at``, if
            the deployment has not reached that time; and ConfigurationError if it has none (a standalone, or server
            versions before 5.0).
        :raises ConfigurationError: an argument is of the wrong kind, or contradicts another.
        :raises InvalidToken: the token cannot be read, or is not signed with one of the keys.
        """
        return Snapshot(
            self._inner.snapshot(
                token, at=at, token_keys=token_keys, read_preference=read_preference, timeout_ms=timeout_ms
            ),
            self,
        )

    def supports_transactions(self, *, timeout_ms: int | None = None) -> bool:
        """Whether the deployment can run transactions: a replica set or a sharded cluster can, a standalone cannot.

        :param timeout_ms: milliseconds that this may take; 0 sets no limit, None takes the client's ``timeoutMS``.
        :returns: whether it can.
        :raises ServerSelectionTimeoutError: no server could be reached.
        """
        return self._threads.run(self._inner.supports_transactions(timeout_ms=timeout_ms))

    def list_database_objects(
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
        return [
            Database(found, self)
            for found in self._threads.run(
                self._inner.list_database_objects(
                    None if session is None else session_of(session),
                    comment,
                    filter=filter,
                    authorizedDatabases=authorizedDatabases,
                    timeout_ms=timeout_ms,
                )
            )
        ]

    def drop_database(
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
        self._threads.run(
            self._inner.drop_database(
                wrapped(name_or_database),
                None if session is None else session_of(session),
                comment,
                timeout_ms=timeout_ms,
            )
        )

    def server_info(self, session: ClientSession | None = None, *, timeout_ms: int | None = None) -> PlainDocument:
        """The reply to ``buildInfo``: the server's version, among others.

        :param session: the session to use; without it the bound one, or an implicit one.
        :param timeout_ms: milliseconds for the whole call, its retries included; 0 sets no limit, None takes the
            ``timeoutMS`` of the client.
        :returns: the reply of ``buildInfo``.
        :raises OperationFailure: the server refused the command.
        """
        return self._threads.run(
            self._inner.server_info(None if session is None else session_of(session), timeout_ms=timeout_ms)
        )

    def append_metadata(self, driver_info: DriverInfo) -> None:
        """Add a library that is built on this driver to the metadata that new connections send to servers.

        :param driver_info: its name, version and platform.
        :raises ConfigurationError: it is not a DriverInfo.
        """
        self._threads.call(self._inner.append_metadata, driver_info)

    def __bool__(self) -> bool:
        """Always true, as with PyMongo: for code that checks whether it was given a client."""
        return self._inner.__bool__()

    def __iter__(self) -> NoReturn:
        self._inner.__iter__()

    def __contains__(self, name: object) -> NoReturn:
        self._inner.__contains__(name)
