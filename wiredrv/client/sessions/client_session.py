"""ClientSession: a session as applications see it.

Names are PyMongo's. Operations of one session take turns, in any task. A session cannot be used after a fork.

Specifications: sessions, causal-consistency, snapshot-sessions, transactions.
"""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable, Generator
from inspect import iscoroutinefunction
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from bson.timestamp import Timestamp

from wiredrv.client.limits import limit_of
from wiredrv.client.misuse import AsyncBlock
from wiredrv.client.sessions.blocks import SessionBinding, TransactionContext
from wiredrv.client.sessions.ending import TransactionEnding
from wiredrv.client.sessions.hooks import Hooks
from wiredrv.client.sessions.with_transaction import DEFAULT_POLICY, RetryPolicy, run_in_transaction
from wiredrv.concerns import ReadConcern, ReadPreference, WriteConcern
from wiredrv.errors import ConfigurationError, InvalidOperation
from wiredrv.origin import caller
from wiredrv.session.cluster_time import check_cluster_time
from wiredrv.session.notes import note_transaction
from wiredrv.session.options import SessionOptions, TransactionOptions
from wiredrv.session.pinning import PinEvent
from wiredrv.session.state import SessionState
from wiredrv.session.transaction import Outcome
from wiredrv.session.turns import ended
from wiredrv.types import Document
from wiredrv.waits import monotonic

if TYPE_CHECKING:
    from wiredrv.client.client import Client
    from wiredrv.client.core import ClientCore

T = TypeVar("T")


class ClientSession(AsyncBlock):
    """A session. Get one from :meth:`Client.start_session`; end it with ``async with`` or :meth:`end_session`.

    ``await client.start_session()`` works too: awaiting a session returns the session.

    Specifications: sessions, causal-consistency, snapshot-sessions, transactions, transactions-convenient-api. Binding
    and hooks are this driver's own.
    """

    _written = "client.start_session()"

    def __init__(
        self, client: Client[Any], core: ClientCore, options: SessionOptions, state: SessionState | None = None
    ) -> None:
        self._client = client
        self._core = core
        self._hooks = Hooks()
        if options.after:
            from wiredrv.client.sessions.continuing import refuse_unreadable  # most sessions have no tokens

            refuse_unreadable(options)
        self._state = SessionState(options, core.executor.acquire(), core.executor) if state is None else state
        self._state.default_limit = client._target.limit
        if options.default_timeout_ms is not None:
            self._state.default_limit = limit_of(options.default_timeout_ms)
        self._ending = TransactionEnding(core, self._state)
        core.started_sessions.add(self._state, self._hooks)
        self._state.origin = caller()
        core.executor.session_changed(self._state)
        if options.after:
            from wiredrv.client.sessions.continuing import start_after

            start_after(core, self._state, options)

    # --- what it is ---

    @property
    def client(self) -> Client[Any]:
        """The client that started this session."""
        return self._client

    @property
    def options(self) -> SessionOptions:
        """The options that this session was started with."""
        return self._state.options

    @property
    def session_id(self) -> Document:
        """The ``lsid`` document of this session.

        :raises InvalidOperation: the session has ended.
        """
        self._refuse_if_ended()
        return self._state.lsid

    @property
    def cluster_time(self) -> Document | None:
        """The latest cluster time that this session has seen."""
        return self._state.cluster_time

    @property
    def operation_time(self) -> Timestamp | None:
        """The operation time of the last operation of this session."""
        return self._state.operation_time

    @property
    def causal_token(self) -> str | None:
        """What another session continues from: a short, URL-safe text, for ``start_session(after=token)``.

        It stands for everything that this session has done and seen until now, and contains the operation time, the
        cluster time if servers sign it, and a hash that names the deployment. None before the session has an operation
        time: before its first operation, unless it was started after a token itself, and always with a standalone.

        Between processes that trust each other it is passed on as it is; sign one that leaves them, as to a browser,
        with :class:`wiredrv.TokenKeys`. This driver's own: no specification has it.
        """
        from wiredrv.client.sessions.continuing import causal_token

        return causal_token(self._core, self._state)

    @property
    def snapshot_time(self) -> Timestamp | None:
        """The time of the snapshot that the session reads, once it is known; None without ``snapshot=True``."""
        return self._state.snapshot_time

    @property
    def has_ended(self) -> bool:
        """Whether this session has ended."""
        return self._state.ended

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is started and neither committed nor aborted."""
        return self._state.transaction.active

    @property
    def attempt(self) -> int:
        """Which attempt of ``with_transaction`` the current transaction is, counted from 1."""
        return self._state.transaction.attempt

    # --- time ---

    def advance_cluster_time(self, cluster_time: Document) -> None:
        """Adopt another session's cluster time, if it is later. The client's own is not changed.

        :param cluster_time: what another session's ``cluster_time`` gave.
        :raises ConfigurationError: it is not a cluster time.
        """
        self._state.advance_cluster_time(check_cluster_time(cluster_time))

    def advance_operation_time(self, operation_time: Timestamp) -> None:
        """Adopt another session's operation time, if it is later, so that what it did is visible to this session.

        :param operation_time: what another session's ``operation_time`` gave.
        :raises ConfigurationError: it is not a Timestamp.
        """
        if not isinstance(operation_time, Timestamp):
            raise ConfigurationError(f"an operation time must be a bson Timestamp, not {operation_time!r}")
        self._state.advance_operation_time(operation_time)

    # --- transactions ---

    def start_transaction(
        self,
        read_concern: ReadConcern | None = None,
        write_concern: WriteConcern | None = None,
        read_preference: ReadPreference | None = None,
        max_commit_time_ms: int | None = None,
    ) -> TransactionContext:
        """Start a transaction (server 4.0 on replica sets, 4.2 on sharded clusters). Nothing is sent yet.

        ``async with session.start_transaction():`` commits at the end of the block, and aborts when it is left by an
        exception or a cancellation.

        :param read_concern: of the transaction; else the session's default, else the client's.
        :param write_concern: of commit and abort; likewise.
        :param read_preference: of reads, which must be primary; likewise.
        :param max_commit_time_ms: milliseconds that one commit may take on the server.
        :returns: the transaction, for ``async with``. Code that commits or aborts by itself need not keep it.
        :raises InvalidOperation: a transaction is in progress, or the session has ended, or reads a snapshot.
        :raises ConfigurationError: the write concern is unacknowledged, or an option is of the wrong kind.
        """
        self._start(TransactionOptions(read_concern, write_concern, read_preference, max_commit_time_ms), 1)
        return TransactionContext(self)

    def _start(self, options: TransactionOptions, attempt: int) -> None:
        self._refuse_if_ended()
        state = self._state
        current = state.turns.current
        if current is not None:
            raise InvalidOperation(
                f"start_transaction was called while {current.command!r} is still running with the session: await the "
                "session's operations before the next transaction"
            )
        if state.options.snapshot:
            raise InvalidOperation(
                "Transactions are not supported in snapshot sessions: start a session without snapshot"
            )
        settings = self._core.settings
        inherited = TransactionOptions(
            settings.read_concern,
            # An unacknowledged default is refused where it would be used, by an error about transactions.
            settings.write_concern if settings.write_concern.acknowledged else None,
            settings.read_preference,
        )
        chosen = options.over(state.options.default_transaction_options)
        if chosen.write_concern is None and not settings.write_concern.acknowledged:
            raise ConfigurationError(
                "transactions do not support unacknowledged write concerns, and the client's default is one: "
                f"{settings.write_concern!r}; give write_concern=WriteConcern(w=1) or more"
            )
        state.transaction.start(chosen.over(inherited), monotonic(), attempt)
        state.on_pin_event(PinEvent.NEW_TRANSACTION)
        state.server_session.next_txn_number()
        self._core.executor.session_changed(state)
        self._core.started_sessions.orphan_cursors_left(state)
        self._hooks.clear()

    async def commit_transaction(self, *, timeout_ms: int | None = None) -> None:
        """Commit the transaction. After an error with the label UnknownTransactionCommitResult it may be called again.

        :param timeout_ms: milliseconds for the commit, its retries included; 0 sets no limit, None takes the session's
            ``default_timeout_ms``. A commit that runs out of time after it was sent has an unknown outcome; the
            background sends it once more, and calls the hooks when the outcome is known.
        :raises InvalidOperation: no transaction was started, or it was aborted; or a statement of it was cancelled,
            and it is aborted now; or the client is closed.
        :raises DriverError: the commit failed; its labels say whether it may be repeated.
        """
        await self._ending.commit(timeout_ms=timeout_ms)

    async def abort_transaction(self, *, timeout_ms: int | None = None) -> None:
        """Abort the transaction. Server errors are not raised: the server then ends the transaction by itself.

        :param timeout_ms: milliseconds for the abort, its retries included; 0 sets no limit, None takes the session's
            ``default_timeout_ms``.
        :raises InvalidOperation: no transaction was started, or it was committed or aborted already.
        """
        await self._ending.abort(timeout_ms)

    async def with_transaction(
        self,
        callback: Callable[[ClientSession], Awaitable[T]] | None = None,
        read_concern: ReadConcern | None = None,
        write_concern: WriteConcern | None = None,
        read_preference: ReadPreference | None = None,
        max_commit_time_ms: int | None = None,
        *,
        coro: Callable[[ClientSession], Awaitable[T]] | None = None,
        retry: RetryPolicy = DEFAULT_POLICY,
        timeout_ms: int | None = None,
    ) -> T:
        """Run ``callback`` in a transaction, commit, and try again where that is safe.

        The callback may run several times: what it does outside of the transaction is repeated. It must not suppress
        the errors of its operations, or the loop cannot react to them. Between attempts there is a pause that grows,
        with jitter; the first one is 5 ms, the longest 500 ms.

        :param callback: an asynchronous function that takes the session.
        :param read_concern: of the transaction; else the session's default, else the client's.
        :param write_concern: of commit and abort; likewise.
        :param read_preference: of reads, which must be primary; likewise.
        :param max_commit_time_ms: milliseconds that one commit may take on the server.
        :param coro: Motor's name of ``callback``.
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
        options = TransactionOptions(read_concern, write_concern, read_preference, max_commit_time_ms)
        if coro is not None and callback is not None:
            raise ConfigurationError("callback and coro are two names of one argument: give one of them")
        chosen = callback if coro is None else coro
        try:
            return await run_in_transaction(self, chosen, options, retry, timeout_ms)
        except Exception as error:
            note_transaction(error, self._state)
            raise

    def on_commit(self, function: Callable[[], object]) -> None:
        """Call ``function`` once the current attempt is committed. An exception in it changes no outcome.

        :param function: a plain function without arguments; a coroutine function is refused, since it would never be
            awaited.
        :raises InvalidOperation: no transaction is in progress.
        :raises ConfigurationError: it is not such a function.
        """
        self._hook(Outcome.COMMITTED, function)

    def on_abort(self, function: Callable[[], object]) -> None:
        """Call ``function`` once the current attempt is aborted. Like :meth:`on_commit`.

        :param function: a plain function without arguments.
        :raises InvalidOperation: no transaction is in progress.
        :raises ConfigurationError: it is not such a function.
        """
        self._hook(Outcome.ABORTED, function)

    def on_unknown(self, function: Callable[[], object]) -> None:
        """Call ``function`` when a commit of the current attempt was sent and its outcome is unknown.

        Like :meth:`on_commit`. If the outcome becomes known later, because the commit is sent again, its hooks are
        called.

        :param function: a plain function without arguments.
        :raises InvalidOperation: no transaction is in progress.
        :raises ConfigurationError: it is not such a function.
        """
        self._hook(Outcome.UNKNOWN, function)

    # --- binding ---

    def bind(self, end_session: bool = True, *, inherit: bool = False) -> SessionBinding:
        """Use this session for every operation in the block that is given none.

        ::

            async with client.start_session() as s, s.bind():
                await orders.insert_one({"sku": "abc"})

        Nested blocks restore the outer binding; ``session=`` takes precedence. A child task that inherits the binding
        is refused, unless ``inherit`` is True; :func:`wiredrv.unbound` runs calls without it.

        :param end_session: whether the session ends with the block.
        :param inherit: whether tasks that are started in the block may use the session too, in turns, until the block
            is left; after that they are refused.
        :returns: the binding, for ``async with``, which gives the session.
        """
        return SessionBinding(self, end_session, inherit, caller())

    # --- the end ---

    async def end_session(self, *, timeout_ms: int | None = None) -> None:
        """End the session, aborting a transaction in progress. May be called twice. Server errors are not raised.

        If the client was closed before, nothing is sent: closing it aborted the transactions of its sessions. If the
        background is sending a commit that ran out of time once more, this waits for it, for half a second at most.

        :param timeout_ms: milliseconds for the abort, its retries included; 0 sets no limit, None takes the session's
            ``default_timeout_ms``.
        :raises ConfigurationError: it is not a whole number from 0 up.
        """
        state = self._state
        if state.ended:
            return
        limit = None if timeout_ms is None else limit_of(timeout_ms)
        try:
            if state.transaction.open_on_server:
                await self._ending.abort_quietly(limit)
            else:
                await self._ending.until_resolved(limit)
        finally:
            if not state.ended:
                await self._finish()

    async def _finish(self) -> None:
        rest = self._core.started_sessions.end(self._state)
        if rest is not None:
            await self._core.executor.clean_up(rest)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is not None:
            note_transaction(exc, self._state)
        await self.end_session()

    def __await__(self) -> Generator[Any, Any, Self]:
        yield from ()
        return self

    def __copy__(self) -> Self:
        raise TypeError("a session cannot be copied: its server session must have one owner")

    def __del__(self) -> None:
        state = getattr(self, "_state", None)
        if state is not None and not state.ended:
            # First: a program may turn the warning into an exception.
            self._core.started_sessions.orphan_session(state, self._hooks)
            warnings.warn(
                f"a session started at {state.origin} was never ended: use `{self._core.block} client.start_session()`",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )

    def __repr__(self) -> str:
        state = self._state
        what = "ended" if state.ended else state.transaction.state.value
        return f"<ClientSession {state.lsid['id'].hex()}, {what}>"

    # --- helpers ---

    def _refuse_if_ended(self) -> None:
        if self._state.ended:
            raise InvalidOperation(ended(self._state.origin))

    def _hook(self, outcome: Outcome, function: Callable[[], object]) -> None:
        self._check_hook(function)
        self._hooks.add(outcome, function)

    def _check_hook(self, function: Callable[[], object]) -> None:
        if not callable(function) or iscoroutinefunction(function):
            raise ConfigurationError(f"a hook is a plain function (def) without arguments, not {function!r}")
        if not self.in_transaction:
            raise InvalidOperation("a hook belongs to a transaction: call it after start_transaction")
