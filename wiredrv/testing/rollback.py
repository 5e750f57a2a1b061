"""One transaction for all that a client does in a block, or a test, which is aborted at the end.

The client has an ambient session meanwhile (``client.sessions.ambient``). Sessions that the code under test starts join
it (``joined``); what cannot be part of a transaction is refused (``permitted``).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

from wiredrv import waits
from wiredrv.client.client import Client
from wiredrv.client.limits import limit_of
from wiredrv.client.sessions.client_session import ClientSession
from wiredrv.client.sessions.with_transaction import DEFAULT_POLICY, RetryPolicy, has_label
from wiredrv.concerns import ReadConcern, ReadPreference, WriteConcern
from wiredrv.errors import TRANSIENT_TRANSACTION, ConfigurationError, DriverError
from wiredrv.execution.timeout import timeout
from wiredrv.operations.sessions import KillSessions
from wiredrv.session.options import SessionOptions, TransactionOptions
from wiredrv.session.state import SessionState
from wiredrv.sync import Client as SyncClient
from wiredrv.testing.joined import JoinedState, RollbackError, SharedState

T = TypeVar("T")
#: Seconds for stopping what still runs at the end.
_STOP_SECONDS = 2.0
#: Clients with any class of documents.
AnyClient: TypeAlias = Client[Any]
AnySyncClient: TypeAlias = SyncClient[Any]

#: Read concern local, since collections can only be created with it.
_OPTIONS = TransactionOptions(ReadConcern("local"), WriteConcern(w=1), ReadPreference.PRIMARY)


class JoinedSession(ClientSession):
    """A session that the code under test started: its transactions are part of the test's."""

    def __init__(self, client: AnyClient, options: SessionOptions, test: SharedState, runs_on_commit: bool) -> None:
        core = client._core
        super().__init__(client, core, options, JoinedState(test, options, core.executor.acquire()))
        self._runs_on_commit = runs_on_commit

    def on_commit(self, function: Callable[[], object]) -> None:
        """Call ``function`` at the commit, if the test asked for that: nothing is committed in the end.

        :param function: a plain function without arguments.
        :raises InvalidOperation: no transaction is in progress.
        :raises ConfigurationError: it is not such a function.
        """
        if self._runs_on_commit:
            super().on_commit(function)
        else:
            self._check_hook(function)

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
        """Run ``callback`` as a part of the test's transaction, once: what failed cannot be retried.

        :param callback: an asynchronous function that takes the session.
        :param read_concern: checked, and not used: the transaction has begun.
        :param write_concern: likewise.
        :param read_preference: likewise.
        :param max_commit_time_ms: likewise.
        :param coro: Motor's name of ``callback``.
        :param retry: likewise.
        :param timeout_ms: milliseconds for all of it, the calls in ``callback`` included.
        :returns: what the callback returned.
        :raises RollbackError: it failed with an error for which the transaction would be tried again.
        :raises BaseException: what the callback raised.
        """
        once = replace(retry, max_attempts=1) if isinstance(retry, RetryPolicy) else retry
        options = (read_concern, write_concern, read_preference, max_commit_time_ms)
        limit = self._state.default_limit if timeout_ms is None else limit_of(timeout_ms)
        try:
            # The calls run in another session than this one, whose limit they would have.
            with timeout(None if limit is None else 0 if limit.seconds == math.inf else limit.seconds):
                return await super().with_transaction(callback, *options, coro=coro, retry=once, timeout_ms=timeout_ms)
        except Exception as error:
            if isinstance(error, RollbackError) or not has_label(error, TRANSIENT_TRANSACTION, waits.cancelled()):
                raise
            raise self._state.transaction.does_not_permit(
                "with_transaction cannot try again after this error, since the transaction of the test, which it has "
                "joined, is lost as a whole"
            ) from error


class Rollback:
    """The ambient session of a client: begun when this is made, until :meth:`end`.

    :param client: the client, whose operations all run in one transaction from now on.
    :param on_commit: whether the ``on_commit`` hooks of joined transactions are called.
    :raises RollbackError: the client's operations run in such a transaction already.
    """

    def __init__(self, client: AnyClient, on_commit: bool) -> None:
        core = self._core = client._core
        if core.ambient is not None:
            raise RollbackError("the operations of this client run in a transaction that is rolled back already")
        self._on_commit = on_commit
        self._state = SharedState(core.executor.acquire(), core.executor)
        self._session = ClientSession(client, core, self._state.options, self._state)
        self._session._start(_OPTIONS, 1)
        core.ambient = self

    @property
    def session(self) -> ClientSession:
        """The session of the transaction, for objects that keep one."""
        return self._session

    def join(self, state: SessionState | None) -> SessionState:
        """The session that a call runs in: that of the transaction."""
        return self._state.join(state)

    def start_session(self, client: AnyClient, options: SessionOptions) -> ClientSession:
        """A session that joins the transaction.

        :raises RollbackError: it is to read a snapshot.
        """
        if options.snapshot:
            raise self._state.shared.does_not_permit("a snapshot session cannot take part in a transaction")
        return JoinedSession(client, options, self._state, self._on_commit)

    async def end(self) -> None:
        """Abort the transaction, and close what it has left open on the server.

        What tasks of the test call meanwhile is refused, and not done outside of the transaction.
        """
        state = self._state
        server = state.record().server
        try:
            if server is not None:
                # Cursors outlive their transaction.
                state.note_server_to_kill(server)
                if state.turns.busy:
                    await self._stop(KillSessions((state.lsid,), server))
        finally:
            try:
                await self._session.end_session()
            finally:
                self._core.ambient = None

    async def _stop(self, kill: KillSessions) -> None:
        """Stop what a task that the test has left still does: the abort would wait for it."""
        with waits.move_on_after(_STOP_SECONDS), contextlib.suppress(DriverError):
            await self._core.executor.execute(kill)


class rolled_back:
    """A block in which all operations of a client run in one transaction, which is aborted at its end.

    ::

        async with rolled_back(client):
            await place_order(client)  # its transactions join the block's

    The fixture ``rollback`` does this for a test. Used with ``async with``, or with ``with`` for a client of
    ``wiredrv.sync``.

    :param client: the client; other clients are not affected, and do not see what is written.
    :param on_commit: whether the ``on_commit`` hooks of joined transactions are called, when they would be committed.
    :raises ConfigurationError: it is not a client.
    """

    def __init__(self, client: AnyClient | AnySyncClient, *, on_commit: bool = False) -> None:
        if not isinstance(client, (Client, SyncClient)):
            raise ConfigurationError(f"rolled_back() takes a client, not {type(client).__name__}")
        self._client = client
        self._on_commit = on_commit
        self._rollback: Rollback | None = None

    async def __aenter__(self) -> Self:
        if not isinstance(self._client, Client):
            raise TypeError("use `with rolled_back(client)`, not `async with`: it is a client of wiredrv.sync")
        self._rollback = Rollback(self._client, self._on_commit)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._rollback is not None:
            await self._rollback.end()

    def __enter__(self) -> Self:
        if not isinstance(self._client, SyncClient):
            raise TypeError("use `async with rolled_back(client)`, not `with`: leaving the block waits for the server")
        self._rollback = self._client._threads.call(Rollback, self._client._inner, self._on_commit)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._rollback is not None and isinstance(self._client, SyncClient):
            self._client._threads.run(self._rollback.end())
