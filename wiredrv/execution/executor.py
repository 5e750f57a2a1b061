"""The only loop: every operation of a client takes this way.

Select, check out, decorate, send, learn, parse; on a failure: label, tell the topology, decide, perhaps try again.
What is decided is decided in pure modules (``decorate``, ``labels``, ``retry``); here it is done. The usual operation,
with a known server and an idle connection, passes one await: that for the reply.

Cancellation is an ordinary event: it may come at any await, and leaves no connection checked out, no cursor and no
transaction open on the server, and no session in use. Measured on a real server, closing the socket is not enough:
cursors whose reply was never read stay open, and an abort that overtakes the statement it should undo is refused. So a
cancelled operation first waits, under a shield and for a short time, for the reply that is under way; what it opened is
closed then. Only when the reply does not come, its session is killed on the server.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, TypeVar, cast

import anyio
from bson.errors import BSONError

from wiredrv.concerns import ReadMode, ReadPreference
from wiredrv.connection.connection import Connection
from wiredrv.connection.settings import ServerApi
from wiredrv.errors import (
    NOT_PRIMARY_CODES,
    RECOVERING_CODES,
    RETRYABLE_WRITE,
    SYSTEM_OVERLOADED,
    TRANSIENT_TRANSACTION,
    UNKNOWN_COMMIT_RESULT,
    AutoReconnect,
    ConfigurationError,
    DriverError,
    InvalidOperation,
    NotPrimaryError,
    ProtocolError,
    command_error,
    write_concern_error,
)
from wiredrv.events import ListenerHub
from wiredrv.execution.decorate import Surroundings, decorate
from wiredrv.execution.exchange import exchange
from wiredrv.execution.labels import Circumstances, add_labels, explain, is_network_error, outcome_of_failed_commit
from wiredrv.execution.pins import ConnectionPin, RouterPin
from wiredrv.execution.retry import Retry, Traits, decide
from wiredrv.execution.run import Orphan, Run
from wiredrv.execution.settings import ExecutionSettings
from wiredrv.execution.tasks import current_task
from wiredrv.operations.base import Kind, Operation, Target
from wiredrv.operations.cursors import CursorReply, KillCursors
from wiredrv.operations.sessions import KillSessions
from wiredrv.session.cluster_time import ClusterClock
from wiredrv.session.pinning import PinEvent
from wiredrv.session.server_session import ServerSession, ServerSessionPool
from wiredrv.session.state import SessionState
from wiredrv.session.transaction import Outcome, SentCommand, TransactionState
from wiredrv.topology.topology import Server, Topology
from wiredrv.types import Address, Pin, Reply
from wiredrv.wire.codec import decode

T = TypeVar("T")

_LOG = logging.getLogger("wiredrv.session")

#: Seconds that a cancelled operation waits for the reply that is under way.
SETTLE_SECONDS = 0.5
#: Seconds that cleaning up after a cancelled operation may take besides.
CLEAN_UP_SECONDS = 3.0

_STATE_CHANGE_CODES = NOT_PRIMARY_CODES | RECOVERING_CODES
#: What reading a reply of a strange form may raise.
_UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, BSONError)
_TO_WRITABLE = frozenset({Kind.WRITE, Kind.COMMIT, Kind.ABORT})


class Executor:
    """Executes the operations of one client. ``ensure_open`` opens the client when it is not open here and now."""

    def __init__(
        self,
        topology: Topology,
        settings: ExecutionSettings,
        hub: ListenerHub,
        api: ServerApi | None,
        is_open: Callable[[], bool],
        ensure_open: Callable[[], Awaitable[None]],
    ) -> None:
        self.topology = topology
        self.sessions = ServerSessionPool()
        self.clock = ClusterClock()
        self._settings = settings
        self._hub = hub
        self._api = api
        self._is_open = is_open
        self._ensure_open = ensure_open

    # --- sessions ---

    def acquire(self) -> ServerSession:
        """A server session from the pool, or a new one."""
        return self.sessions.acquire(monotonic(), self.topology.description.logical_session_timeout_minutes)

    def release(self, session: ServerSession) -> None:
        """Give a server session back."""
        self.sessions.release(session, monotonic(), self.topology.description.logical_session_timeout_minutes)

    # --- the loop ---

    async def execute(self, operation: Operation[T], session: SessionState | None = None) -> T:
        """Run an operation to its end, with the retries that the specifications allow.

        :param operation: what to do.
        :param session: the explicit session, or None for an implicit one.
        :raises DriverError: what the last attempt met, or the error before it where that tells more.
        """
        if not self._is_open():
            await self._ensure_open()
        if session is not None:
            self._claim(session, operation)
        run = Run(operation, session)
        try:
            return await self._drive(run)
        except BaseException:
            if run.unsettled is not None or run.orphan is not None:
                await self._clean_up(run)
            raise
        finally:
            if session is not None:
                session.finish()
            elif run.implicit and not run.kept and run.server_session is not None:
                self.release(run.server_session)

    def _claim(self, session: SessionState, operation: Operation[Any]) -> None:
        if session.owner is not self:
            raise InvalidOperation("a session can only be used with the client that started it")
        if session.server_session.epoch != self.sessions.epoch:
            raise InvalidOperation(
                "this session was started before the process forked, or in an event loop that is gone: start a new one"
            )
        session.begin(operation.name, current_task())

    async def _drive(self, run: Run[T]) -> T:
        while True:
            try:
                return await self._attempt(run)
            except _AttemptFailed as failed:
                retry, error = failed.retry, failed.error
            run.held = None
            if retry is None:
                raise error
            if retry.backoff:
                await anyio.sleep(random.random() * retry.backoff)

    async def _attempt(self, run: Run[T]) -> T:
        server: Server | None = None
        connection: Connection | None = None
        generation = 0
        try:
            server = self._pick(run) or await self._select(run)
            pool = server.pool
            generation = pool.generation
            if run.held is not None:
                connection = run.held.connection
            else:
                connection = pool.try_check_out() or await pool.check_out(run.deadline)
            server.operations += 1
            reply = await self._send(run, server, connection)
            result = self._read(run, server, connection, reply)
            if run.operation.opens_cursor and connection.service_id is not None:
                self._pin_cursor(run, server, connection, cast(CursorReply, result))
        except DriverError as error:
            if isinstance(error, ProtocolError) and connection is not None:
                connection.close()
            # The topology hears of it, and may clear the pool, before the connection is given back.
            raise self._failure(run, error, server, connection, generation) from None
        finally:
            if connection is not None and server is not None:
                server.operations -= 1
                if run.held is None:
                    server.pool.check_in(connection)
        if run.operation.opens_cursor:
            self._keep_or_end_lease(run, cast(CursorReply, result))
        if run.in_transaction:
            self._transaction_advanced(run, connection.address)
        return result

    # --- select ---

    def _pick(self, run: Run[Any]) -> Server | None:
        """A server that can be had at once: the usual case."""
        operation = run.operation
        session = run.session
        if session is not None and session.pin is not None:
            if run.in_transaction:
                self._wanted(run)  # refuses another read preference than primary
                return self._only_server(run, session.pin.address, session.pin)
            session.on_pin_event(PinEvent.OPERATION_OUTSIDE)
        if operation.server is not None:
            return self._only_server(run, operation.server, operation.pin)
        if run.history is not None and run.history.deprioritized:
            return None
        return self.topology.pick(self._wanted(run))

    def _only_server(self, run: Run[Any], address: Address, pin: Pin | None) -> Server:
        """The server where a transaction or a cursor is, and behind a load balancer its connection.

        :raises AutoReconnect: it left the deployment, or the connection is broken.
        """
        server = self.topology.server(address)
        if server is None:
            raise AutoReconnect(f"{address}: the server is no longer part of the deployment")
        if isinstance(pin, ConnectionPin):
            if pin.connection.closed:
                raise AutoReconnect(f"{address}: the connection that a transaction or a cursor was pinned to is closed")
            run.held = pin
        return server

    async def _select(self, run: Run[Any]) -> Server:
        avoided = run.history.deprioritized if run.history is not None else ()
        name = run.operation.name
        return await self.topology.select(self._wanted(run), name, run.deadline, avoided, run.identify())

    def _wanted(self, run: Run[Any]) -> ReadPreference | None:
        """The read preference of an operation; None for what needs a writable server."""
        operation = run.operation
        if run.session is not None and run.in_transaction:
            return _transaction_preference(run, run.session)
        if operation.kind in _TO_WRITABLE:
            return None
        if operation.secondaries_since and self.topology.oldest_wire_version < operation.secondaries_since:
            return ReadPreference.PRIMARY
        return operation.read_preference

    # --- decorate and send ---

    async def _send(self, run: Run[Any], server: Server, connection: Connection) -> Reply:
        operation = run.operation
        handshake = connection.handshake
        session = run.session
        if run.acknowledged and operation.uses_session:
            if run.server_session is None and handshake.supports_sessions:
                run.server_session = self.acquire()
                run.implicit = True
            if session is not None and not handshake.supports_sessions:
                raise ConfigurationError(
                    "Sessions are not supported by this MongoDB deployment: "
                    "they need a replica set or a sharded cluster"
                )
            if self._settings.retry_writes and operation.kind is Kind.WRITE and not run.in_transaction:
                self._number_write(run, connection)
        elif session is not None and not run.acknowledged:
            raise ConfigurationError("an explicit session cannot be used with an unacknowledged write concern (w=0)")
        command = operation.command(handshake.limits)
        direct = self.topology.is_direct
        decorate(command, run, Surroundings(handshake, direct, self._api, self.clock.latest))
        if run.in_transaction and handshake.is_mongos and session is not None:
            self._pin_session(run, session, server, connection)
        try:
            return await exchange(connection, command, run, self._hub)
        except BaseException as error:
            if not isinstance(error, Exception):
                await self._settle(run, server, connection, error)
            raise

    # --- pins ---

    @staticmethod
    def _pin_session(run: Run[Any], session: SessionState, server: Server, connection: Connection) -> None:
        """Pin a session to the router, or the connection, that gets the first command of its transaction."""
        if session.pin is not None or session.transaction.state is not TransactionState.STARTING:
            return
        pin: Pin = RouterPin(server.address)
        if connection.service_id is not None:
            pin = run.held = ConnectionPin(connection, server.pool.check_in, "transaction")
        session.on_pin_event(PinEvent.FIRST_COMMAND_SELECTED, pin)

    @staticmethod
    def _pin_cursor(run: Run[Any], server: Server, connection: Connection, result: CursorReply) -> None:
        """Behind a load balancer, keep the connection on which a cursor was opened for it."""
        if result.id and run.operation.server is None:
            result.pin = _held(run, server, connection)

    def _number_write(self, run: Run[Any], connection: Connection) -> None:
        """Give a retryable write its transaction number; a retry keeps it."""
        if run.txn_number or run.server_session is None or connection.handshake.is_standalone:
            return
        if run.operation.retryable:
            run.txn_number = run.server_session.next_txn_number()

    # --- learn ---

    def _read(self, run: Run[T], server: Server, connection: Connection, reply: Reply) -> T:
        """Take in what a reply teaches, and turn it into the operation's result.

        :raises ProtocolError: the reply is not of the form that its command's replies have.
        """
        try:
            if reply:
                self._learn(run, reply)
                if not reply.get("ok"):
                    raise command_error(reply, connection.handshake.limits.max_wire_version)
                if "writeConcernError" in reply:
                    self._look_at_concern_error(run, server, connection, reply)
            return run.operation.parse(reply, connection.address)
        except _UNREADABLE as error:
            name = run.operation.name
            raise ProtocolError(f"{connection.address}: the reply to {name!r} cannot be read: {error!r}") from error

    def _learn(self, run: Run[Any], reply: Reply) -> None:
        """Take in what every reply may teach, that of a failed command too."""
        cluster_time = reply.get("$clusterTime")
        if cluster_time is not None:
            self.clock.learn(cluster_time)
        session = run.session
        if session is None:
            return
        if cluster_time is not None:
            session.advance_cluster_time(cluster_time)
        operation_time = reply.get("operationTime")
        if operation_time is not None:
            session.advance_operation_time(operation_time)
        if session.options.snapshot and session.snapshot_time is None:
            session.snapshot_time = reply.get("atClusterTime") or (reply.get("cursor") or {}).get("atClusterTime")
        if run.in_transaction and reply.get("recoveryToken") is not None:
            session.transaction.recovery_token = reply["recoveryToken"]

    def _look_at_concern_error(self, run: Run[Any], server: Server, connection: Connection, reply: Reply) -> None:
        """A write concern error may tell of a failing server, and may be worth another attempt."""
        entry = reply["writeConcernError"]
        limits = connection.handshake.limits
        if entry.get("code") in _STATE_CHANGE_CODES:
            news = NotPrimaryError(str(entry.get("errmsg")), dict(entry))
            self.topology.on_error(server, news, connection, connection.generation)
        error = write_concern_error(entry, reply, limits.max_wire_version)
        add_labels(error, self._circumstances(run, connection))
        if error.has_error_label(RETRYABLE_WRITE) and run.operation.kind is Kind.WRITE and run.history is None:
            raise error

    def _keep_or_end_lease(self, run: Run[Any], result: CursorReply) -> None:
        if run.session is not None or run.server_session is None:
            return
        if result.id == 0:
            if not run.implicit:
                self.release(run.server_session)
        elif run.implicit:
            run.kept = True
            result.lease = run.server_session

    def _transaction_advanced(self, run: Run[Any], address: Address) -> None:
        session = run.session
        assert session is not None
        transaction = session.transaction
        _note(run, session, address, "ok")
        if run.operation.kind is Kind.COMMIT:
            transaction.commit_attempted = True
            transaction.outcome = Outcome.COMMITTED
            session.on_pin_event(PinEvent.COMMIT_SUCCEEDED)
        elif run.operation.kind is Kind.ABORT:
            session.on_pin_event(PinEvent.ABORTED)

    # --- failures ---

    def _circumstances(self, run: Run[Any], connection: Connection | None) -> Circumstances:
        operation = run.operation
        return Circumstances(
            kind=operation.kind,
            in_transaction=run.in_transaction,
            retryable=operation.retryable and self._retry_possible(run, connection),
            retry_writes=self._settings.retry_writes,
            wire_version=connection.handshake.limits.max_wire_version if connection is not None else 0,
            from_mongos=connection is not None and connection.handshake.is_mongos,
        )

    @staticmethod
    def _retry_possible(run: Run[Any], connection: Connection | None) -> bool:
        """Whether the server that was asked could tell a retry from a second write."""
        return run.operation.kind is not Kind.WRITE or run.txn_number != 0 or connection is None

    def _failure(
        self,
        run: Run[Any],
        error: DriverError,
        server: Server | None,
        connection: Connection | None,
        generation: int,
    ) -> _AttemptFailed:
        """Label an attempt's error, tell the topology and the session, and decide what follows."""
        add_labels(error, self._circumstances(run, connection))
        if run.txn_number:
            explain(error)
        if server is not None:
            self.topology.on_error(server, error, connection, connection.generation if connection else generation)
        if run.server_session is not None and connection is not None and is_network_error(error):
            run.server_session.dirty = True
        history = run.failed(error, connection is not None)
        traits = Traits(
            kind=Kind.WRITE if run.operation.has_write_stage else run.operation.kind,
            retryable=run.operation.retryable and self._retry_possible(run, connection),
            in_transaction=run.in_transaction,
            sharded=self.topology.is_sharded,
        )
        retry = decide(error, history, traits, self._settings)
        if retry is not None and retry.deprioritize and server is not None:
            history.deprioritized.append(server.address)
        if run.in_transaction and run.session is not None:
            self._transaction_failed(run, run.session, error, retry, server)
        shown = history.error or error
        return _AttemptFailed(retry, shown)

    def _transaction_failed(
        self, run: Run[Any], session: SessionState, error: DriverError, retry: Retry | None, server: Server | None
    ) -> None:
        transaction = session.transaction
        overloaded = error.has_error_label(SYSTEM_OVERLOADED)
        if run.first_of_transaction and overloaded and retry is not None:
            transaction.first_command_shed()
            run.first_of_transaction = False  # until it is sent again
        if run.operation.kind is Kind.COMMIT:
            transaction.outcome = outcome_of_failed_commit(error, transaction.commit_attempted)
            transaction.commit_attempted = transaction.commit_attempted or not overloaded
            if error.has_error_label(UNKNOWN_COMMIT_RESULT):
                session.on_pin_event(PinEvent.COMMIT_UNKNOWN)
        elif run.operation.kind is Kind.ABORT:
            session.on_pin_event(PinEvent.ABORTED)
        if error.has_error_label(TRANSIENT_TRANSACTION):
            session.on_pin_event(PinEvent.TRANSIENT_ERROR)
        if server is not None:
            _note(run, session, server.address, f"{type(error).__name__}{', retried' if retry is not None else ''}")
        error.transaction = session.record()

    # --- cancellation ---

    async def _settle(self, run: Run[Any], server: Server, connection: Connection, error: BaseException) -> None:
        """A command was given up while its reply was under way: wait for that a little, and look at what it says."""
        if isinstance(error, (GeneratorExit, KeyboardInterrupt, SystemExit)):
            return  # The interpreter is being stopped; the connection is closed when it is checked in.
        # Until the reply says otherwise; a second cancellation by asyncio itself can break the shield.
        run.unsettled = connection.address
        with anyio.CancelScope(shield=True):
            body = await connection.settle(SETTLE_SECONDS)
        if body is None:
            return
        try:
            self._settled(run, server, connection, decode(body))
        except (DriverError, *_UNREADABLE):
            # Nonsense tells nothing of what the server did, and must not take the cancellation's place.
            connection.close()

    def _settled(self, run: Run[Any], server: Server, connection: Connection, reply: Reply) -> None:
        """The reply to a command that was given up came in time: what is to be undone, and what became known."""
        self._learn(run, reply)
        cursor = reply.get("cursor")
        if isinstance(cursor, dict) and cursor.get("id"):
            pin = _held(run, server, connection) if connection.service_id is not None else None
            run.orphan = Orphan(int(cursor["id"]), str(cursor.get("ns", "")), connection.address, pin)
        if run.operation.kind is Kind.COMMIT and run.session is not None:
            run.session.transaction.commit_attempted = True
            if not reply.get("ok") or "writeConcernError" in reply:
                return
            run.session.transaction.outcome = Outcome.COMMITTED
        run.unsettled = None

    async def _clean_up(self, run: Run[Any]) -> None:
        """Undo on the server what a cancelled operation may have left there."""
        with anyio.move_on_after(CLEAN_UP_SECONDS, shield=True):
            try:
                if run.operation.kind is Kind.COMMIT:
                    await self._commit_again(run)
                elif run.orphan is not None:
                    await self._kill_cursor(run, run.orphan)
                else:
                    await self._kill_session(run)
            except DriverError as error:
                _LOG.warning("cleaning up after a cancelled %s failed: %s", run.operation.name, error)

    async def _commit_again(self, run: Run[Any]) -> None:
        """Find out whether a cancelled commit took place: once it was sent, a transaction is never aborted."""
        session = run.session
        assert session is not None
        session.transaction.commit_attempted = True
        session.transaction.outcome = Outcome.UNKNOWN
        try:
            await self._drive(Run(run.operation, session))
        finally:
            if session.transaction.outcome is Outcome.UNKNOWN:
                _LOG.warning(
                    "commitTransaction was cancelled and its outcome is unknown (session %s, txnNumber %d)",
                    session.lsid["id"].hex(),
                    session.server_session.txn_number,
                )

    async def _kill_cursor(self, run: Run[Any], orphan: Orphan) -> None:
        database, _, collection = orphan.namespace.partition(".")
        kill = KillCursors(
            Target(database), collection, (orphan.cursor_id,), orphan.address, run.server_session, orphan.pin
        )
        try:
            await self.execute(kill)
        finally:
            if orphan.pin is not None:
                orphan.pin.release()

    async def _kill_session(self, run: Run[Any]) -> None:
        server_session = run.server_session
        if server_session is None or run.unsettled is None:
            return
        server_session.dirty = True
        if run.session is not None and not run.in_transaction:
            # Other cursors of the session may be in use: it is killed when it ends.
            run.session.unsettled.add(run.unsettled)
            return
        await self.execute(KillSessions((server_session.lsid,), run.unsettled))


class _AttemptFailed(Exception):
    """An attempt ended in ``error``; ``retry`` says what follows. Never leaves the executor."""

    def __init__(self, retry: Retry | None, error: DriverError) -> None:
        super().__init__()
        self.retry = retry
        self.error = error


def _held(run: Run[Any], server: Server, connection: Connection) -> ConnectionPin[Connection]:
    """A pin for a cursor: the transaction's, if the cursor is in one, or its own."""
    if run.held is not None:
        return run.held.hold()
    run.held = ConnectionPin(connection, server.pool.check_in, "cursor")
    return run.held


def _note(run: Run[Any], session: SessionState, address: Address, outcome: str) -> None:
    """Keep an attempt for the record that a failed transaction's error carries."""
    transaction = session.transaction
    now = monotonic()
    started = run.started or now
    sent = SentCommand(run.operation.name, address, started - transaction.started_at, now - started, outcome)
    transaction.note(sent)


def _transaction_preference(run: Run[Any], session: SessionState) -> ReadPreference | None:
    """Where a transaction's command goes: to the primary, or any router.

    :raises InvalidOperation: it reads with another read preference than primary.
    """
    kind = run.operation.kind
    if kind is not Kind.READ and kind is not Kind.COMMAND:
        return None
    preference = session.transaction.options.read_preference
    if kind is Kind.COMMAND and run.operation.read_preference.mode is not ReadMode.PRIMARY:
        # A generic command takes no defaults, so this one was given with the call.
        preference = run.operation.read_preference
    if preference is not None and preference.mode is not ReadMode.PRIMARY:
        raise InvalidOperation(
            f"read preference in a transaction must be primary, not: {preference.name}; use "
            "read_preference=ReadPreference.PRIMARY"
        )
    return None
