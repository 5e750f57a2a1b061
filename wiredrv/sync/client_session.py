"""ClientSession: a session as applications see it.

Written by ``python -m tools.synchronous`` from ``wiredrv.client.sessions.client_session``: do not edit.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from bson.timestamp import Timestamp

from wiredrv.client.sessions.with_transaction import DEFAULT_POLICY, RetryPolicy
from wiredrv.concerns import ReadConcern, ReadPreference, WriteConcern
from wiredrv.session.options import SessionOptions
from wiredrv.sync.base import Synchronous, callback_of
from wiredrv.sync.blocks import SessionBinding, TransactionContext
from wiredrv.types import Document

if TYPE_CHECKING:
    from wiredrv.client.sessions.client_session import ClientSession as AsyncClientSession
    from wiredrv.sync.client import Client

T = TypeVar("T")


class ClientSession(Synchronous):
    """A session. Get one from :meth:`Client.start_session`; end it with ``with`` or :meth:`end_session`.

    Specifications: sessions, causal-consistency, snapshot-sessions, transactions, transactions-convenient-api. Binding
    and hooks are this driver's own.
    """

    __slots__ = ()

    _inner: AsyncClientSession

    def __init__(self, inner: AsyncClientSession, parent: Client[Any]) -> None:
        super().__init__(inner, parent)
        parent._sessions[id(inner)] = self

    def with_transaction(
        self,
        callback: Callable[[ClientSession], T],
        read_concern: ReadConcern | None = None,
        write_concern: WriteConcern | None = None,
        read_preference: ReadPreference | None = None,
        max_commit_time_ms: int | None = None,
        *,
        retry: RetryPolicy = DEFAULT_POLICY,
        timeout_ms: int | None = None,
    ) -> T:
        """Run ``callback`` in a transaction, commit, and try again where that is safe.

        The callback may run several times: what it does outside of the transaction is repeated. It must not suppress
        the errors of its operations, or the loop cannot react to them. Between attempts there is a pause that grows,
        with jitter; the first one is 5 ms, the longest 500 ms.

        :param callback: a function that takes the session.
        :param read_concern: of the transaction; else the session's default, else the client's.
        :param write_concern: of commit and abort; likewise.
        :param read_preference: of reads, which must be primary; likewise.
        :param max_commit_time_ms: milliseconds that one commit may take on the server.
        :param retry: how long and how often to try; by default for 120 seconds.
        :param timeout_ms: milliseconds for all of it, its retries and the calls with this session in ``callback``
            included; 0 sets no limit, None takes the session's ``default_timeout_ms``. It takes the place of
            ``retry.timeout``. In ``callback``, a call with this session cannot have a ``timeout_ms`` of its own. An
            abort has the whole time again, so that all may take twice as long.
        :returns: what the callback returned.
        :raises TransactionTimeoutError: time is up; ``__cause__`` is the last failure. Of a time limit, it is a
            TransactionLimitExceeded.
        :raises BaseException: what the callback raised, unless it has the label TransientTransactionError.
        :raises ConfigurationError: ``callback`` cannot be called, or an option is of the wrong kind.
        """
        return self._threads.run(
            self._inner.with_transaction(
                callback_of(callback, self),
                read_concern,
                write_concern,
                read_preference,
                max_commit_time_ms,
                retry=retry,
                timeout_ms=timeout_ms,
            )
        )

    def __enter__(self) -> Self:
        return self

    def __copy__(self) -> Self:
        raise TypeError("a session cannot be copied: its server session must have one owner")

    @property
    def client(self) -> Client[Any]:
        """The client that started this session."""
        return cast("Client[Any]", self._parent)

    @property
    def options(self) -> SessionOptions:
        """The options that this session was started with."""
        return self._inner.options

    @property
    def session_id(self) -> Document:
        """The ``lsid`` document of this session.

        :raises InvalidOperation: the session has ended.
        """
        return self._inner.session_id

    @property
    def cluster_time(self) -> Document | None:
        """The latest cluster time that this session has seen."""
        return self._inner.cluster_time

    @property
    def operation_time(self) -> Timestamp | None:
        """The operation time of the last operation of this session."""
        return self._inner.operation_time

    @property
    def causal_token(self) -> str | None:
        """What another session continues from: a short, URL-safe text, for ``start_session(after=token)``.

        It stands for everything that this session has done and seen until now, and contains the operation time, the
        cluster time if servers sign it, and a hash that names the deployment. None before the session has an operation
        time: before its first operation, unless it was started after a token itself, and always with a standalone.

        Between processes that trust each other it is passed on as it is; sign one that leaves them, as to a browser,
        with :class:`wiredrv.TokenKeys`. This driver's own: no specification has it.
        """
        return self._inner.causal_token

    @property
    def snapshot_time(self) -> Timestamp | None:
        """The time of the snapshot that the session reads, once it is known; None without ``snapshot=True``."""
        return self._inner.snapshot_time

    @property
    def has_ended(self) -> bool:
        """Whether this session has ended."""
        return self._inner.has_ended

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is started and neither committed nor aborted."""
        return self._inner.in_transaction

    @property
    def attempt(self) -> int:
        """Which attempt of ``with_transaction`` the current transaction is, counted from 1."""
        return self._inner.attempt

    def advance_cluster_time(self, cluster_time: Document) -> None:
        """Adopt another session's cluster time, if it is later. The client's own is not changed.

        :param cluster_time: what another session's ``cluster_time`` gave.
        :raises ConfigurationError: it is not a cluster time.
        """
        self._threads.call(self._inner.advance_cluster_time, cluster_time)

    def advance_operation_time(self, operation_time: Timestamp) -> None:
        """Adopt another session's operation time, if it is later, so that what it did is visible to this session.

        :param operation_time: what another session's ``operation_time`` gave.
        :raises ConfigurationError: it is not a Timestamp.
        """
        self._threads.call(self._inner.advance_operation_time, operation_time)

    def start_transaction(
        self,
        read_concern: ReadConcern | None = None,
        write_concern: WriteConcern | None = None,
        read_preference: ReadPreference | None = None,
        max_commit_time_ms: int | None = None,
    ) -> TransactionContext:
        """Start a transaction (server 4.0 on replica sets, 4.2 on sharded clusters). Nothing is sent yet.

        ``with session.start_transaction():`` commits at the end of the block, and aborts when it is left by an
        exception.

        :param read_concern: of the transaction; else the session's default, else the client's.
        :param write_concern: of commit and abort; likewise.
        :param read_preference: of reads, which must be primary; likewise.
        :param max_commit_time_ms: milliseconds that one commit may take on the server.
        :returns: the transaction, for ``with``. Code that commits or aborts by itself need not keep it.
        :raises InvalidOperation: a transaction is in progress, or the session has ended, or reads a snapshot.
        :raises ConfigurationError: the write concern is unacknowledged, or an option is of the wrong kind.
        """
        return TransactionContext(
            self._threads.call(
                self._inner.start_transaction, read_concern, write_concern, read_preference, max_commit_time_ms
            ),
            self,
        )

    def commit_transaction(self, *, timeout_ms: int | None = None) -> None:
        """Commit the transaction. After an error with the label UnknownTransactionCommitResult it may be called again.

        :param timeout_ms: milliseconds for the commit, its retries included; 0 sets no limit, None takes the session's
            ``default_timeout_ms``. A commit that runs out of time after it was sent has an unknown outcome; the
            background sends it once more, and calls the hooks when the outcome is known.
        :raises InvalidOperation: no transaction was started, or it was aborted; or a statement of it was cancelled,
            and it is aborted now; or the client is closed.
        :raises DriverError: the commit failed; its labels say whether it may be repeated.
        """
        self._threads.run(self._inner.commit_transaction(timeout_ms=timeout_ms))

    def abort_transaction(self, *, timeout_ms: int | None = None) -> None:
        """Abort the transaction. Server errors are not raised: the server then ends the transaction by itself.

        :param timeout_ms: milliseconds for the abort, its retries included; 0 sets no limit, None takes the session's
            ``default_timeout_ms``.
        :raises InvalidOperation: no transaction was started, or it was committed or aborted already.
        """
        self._threads.run(self._inner.abort_transaction(timeout_ms=timeout_ms))

    def on_commit(self, function: Callable[[], object]) -> None:
        """Call ``function`` once the current attempt is committed. An exception in it changes no outcome.

        :param function: a function without arguments.
        :raises InvalidOperation: no transaction is in progress.
        :raises ConfigurationError: it is not such a function.
        """
        self._threads.call(self._inner.on_commit, function)

    def on_abort(self, function: Callable[[], object]) -> None:
        """Call ``function`` once the current attempt is aborted. Like :meth:`on_commit`.

        :param function: a plain function without arguments.
        :raises InvalidOperation: no transaction is in progress.
        :raises ConfigurationError: it is not such a function.
        """
        self._threads.call(self._inner.on_abort, function)

    def on_unknown(self, function: Callable[[], object]) -> None:
        """Call ``function`` when a commit of the current attempt was sent and its outcome is unknown.

        Like :meth:`on_commit`. If the outcome becomes known later, because the commit is sent again, its hooks are
        called.

        :param function: a plain function without arguments.
        :raises InvalidOperation: no transaction is in progress.
        :raises ConfigurationError: it is not such a function.
        """
        self._threads.call(self._inner.on_unknown, function)

    def bind(self, end_session: bool = True, *, inherit: bool = False) -> SessionBinding:
        """Use this session for every operation in the block that is given none.

        ::

            with client.start_session() as s, s.bind():
                orders.insert_one({"sku": "abc"})

        Nested blocks restore the outer binding; ``session=`` takes precedence. A thread with a copy of the context,
        which inherits the binding is refused, unless ``inherit`` is True; :func:`wiredrv.unbound` runs calls without
        it.

        :param end_session: whether the session ends with the block.
        :param inherit: whether threads that are started in the block may use the session too, in turns, until the block
            is left; after that they are refused.
        :returns: the binding, for ``with``, which gives the session.
        """
        return SessionBinding(self._threads.call(self._inner.bind, end_session, inherit=inherit), self)

    def end_session(self, *, timeout_ms: int | None = None) -> None:
        """End the session, aborting a transaction in progress. May be called twice. Server errors are not raised.

        If the client was closed before, nothing is sent: closing it aborted the transactions of its sessions. If the
        background is sending a commit that ran out of time once more, this waits for it, for half a second at most.

        :param timeout_ms: milliseconds for the abort, its retries included; 0 sets no limit, None takes the session's
            ``default_timeout_ms``.
        :raises ConfigurationError: it is not a whole number from 0 up.
        """
        self._threads.run(self._inner.end_session(timeout_ms=timeout_ms))

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.run(self._inner.__aexit__(exc_type, exc, traceback))
