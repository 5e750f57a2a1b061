"""The attempts of one operation: select, check out, decorate, send, learn, parse; and the reaction to a failure.

The decisions are made in pure modules (``decorate``, ``labels``, ``retry``, ``failures``) and carried out here. The
usual attempt, with a known server and an idle connection, passes one await: that for the reply.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar, cast

from wiredrv import waits
from wiredrv.connection.connection import Connection, Relogin
from wiredrv.connection.settings import ServerApi
from wiredrv.errors import (
    RETRYABLE_WRITE,
    ConfigurationError,
    DriverError,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    OperationTimeout,
    UnreadableReply,
    WriteConcernError,
)
from wiredrv.execution.cancellation import Settlement
from wiredrv.execution.circumstances import Circumstances
from wiredrv.execution.decorate import CommandContext, decorate
from wiredrv.execution.exchange import exchange
from wiredrv.execution.labels import add_labels, explain
from wiredrv.execution.learning import learn, transaction_advanced, transaction_failed
from wiredrv.execution.pins import ConnectionPin, RouterPin
from wiredrv.execution.reading import cursor_in, refusal, unreadable
from wiredrv.execution.recording import Recorder
from wiredrv.execution.retry import Retry, decide
from wiredrv.execution.run import Run, refuse_retry_without_number
from wiredrv.execution.servers import pick, select
from wiredrv.execution.settings import ExecutionSettings
from wiredrv.execution.time_limit import Phase, timed_out
from wiredrv.failures import consequences, is_network_error
from wiredrv.listeners import ListenerHub
from wiredrv.operations.base import OperationKind
from wiredrv.operations.cursors import CursorReply
from wiredrv.server_errors import write_concern_error
from wiredrv.server_facts import ErrorCode
from wiredrv.session.cluster_time import ClusterClock
from wiredrv.session.pinning import PinEvent
from wiredrv.session.server_session import ServerSession, ServerSessionPool
from wiredrv.session.state import SessionState
from wiredrv.session.transaction import TransactionState
from wiredrv.topology.reactions import ErrorKind, error_kind_of
from wiredrv.topology.topology import Topology, TopologyServer
from wiredrv.types import Pin, PlainDocument, Reply, ServerCursor
from wiredrv.waits import monotonic

T = TypeVar("T")

#: Sends a decorated command and returns the reply.
Exchange: TypeAlias = Callable[[Connection, PlainDocument, Run[object], ListenerHub], Awaitable[Reply]]

#: A plain number: a comparison with a member of an enum costs a call.
_REAUTHENTICATE = ErrorCode.ReauthenticationRequired.value
_MAY_OPEN_CURSORS = frozenset({OperationKind.READ, OperationKind.WRITE, OperationKind.COMMAND})


class Attempts:
    """The attempts of the operations of one client. The executor does what comes before and after them."""

    def __init__(
        self, topology: Topology, settings: ExecutionSettings, hub: ListenerHub, api: ServerApi | None
    ) -> None:
        self.topology = topology
        self.sessions = ServerSessionPool()
        self.clock = ClusterClock()
        #: Where the events of the client are published.
        self.hub = hub
        #: Notes what is done, while something is recorded.
        self.recorder: Recorder | None = None
        self._settings = settings
        self._api = api
        self._exchange: Exchange = exchange

    def observe(self, recorder: Recorder | None) -> None:
        """Have a recorder note what is done from now on; None for no recorder."""
        if self.recorder is not None:
            self.recorder.stop()
        self.recorder = recorder
        self._exchange = exchange if recorder is None else recorder.exchange

    # --- sessions ---

    def acquire(self) -> ServerSession:
        """A server session from the pool, or a new one."""
        return self.sessions.acquire(monotonic(), self.topology.description.logical_session_timeout_minutes)

    def release(self, session: ServerSession) -> None:
        """Give a server session back."""
        self.sessions.release(session, monotonic(), self.topology.description.logical_session_timeout_minutes)

    def settled(self, run: Run[object]) -> None:
        """Release what a cancelled run held: its clean-up is done."""
        raise NotImplementedError

    # --- the loop ---

    async def drive(self, run: Run[T]) -> T:
        """Make attempts until one succeeds or no retry is allowed. The session's turn was taken before.

        An error's traceback has this frame, and since Python 3.12 its callers' frames too. So neither the frame nor its
        run refers to an error at the end: the callers' objects would be kept until garbage is collected.
        """
        while True:
            server: TopologyServer | None = None
            connection: Connection | None = None
            generation = 0
            until: float | None = None
            try:
                if run.spent is not None:
                    run.spent.enter(Phase.SELECTION, monotonic())
                    until = self.topology.selection_limit(run.deadline)
                server = pick(run, self.topology) or await select(run, self.topology)
                if run.spent is not None:
                    # Before the description can change (client-side-operations-timeout, "Command Execution").
                    run.round_trip = server.description.min_round_trip_time
                # Counted from here on, and not only when it has a connection: waiting operations also make a server
                # busy (server-selection, "operationCount").
                server.operations += 1
                connection = server.pool.try_check_out() if run.held is None else run.held.connection
                if connection is None:
                    generation = server.pool.generation
                    if run.spent is not None:
                        run.spent.enter(Phase.CHECK_OUT, monotonic())
                    run.asked_for_connection = monotonic()
                    connection = await server.pool.check_out(until)
                    _do_not_count_person(run, connection)
                command = self._command(run, server, connection)
                try:
                    reply = await self._exchange(connection, command, run, self.hub)
                except BaseException as error:
                    self._interrupted(run, error, server, connection)
                    raise
                try:
                    result = self._read(run, server, connection, reply)
                except OperationFailure as error:
                    if error.code != _REAUTHENTICATE or connection.login is None:
                        raise
                    result = await self._authenticated_again(run, server, connection, connection.login, command)
            except DriverError as error:
                failure = error
                # The topology reacts, and may clear the pool, before the connection is checked in.
                retry, shown = self._failed(run, error, server, connection, generation)
            else:
                if run.in_transaction:
                    transaction_advanced(run, connection.address)
                run.history = None
                return result
            finally:
                if server is not None and run.settlement is None:
                    server.operations -= 1
                    if connection is not None and run.held is None:
                        server.pool.check_in(connection)
            run.held = None
            run.started = run.asked_for_server = run.asked_for_connection = 0.0
            if retry is None:
                run.history = None
                try:
                    raise shown if run.spent is None else timed_out(failure, shown, run.spent, monotonic())
                finally:
                    del failure, shown
            del failure, shown
            if retry.backoff:
                if run.spent is not None:
                    run.spent.enter(Phase.PAUSE, monotonic())
                await waits.sleep(waits.random() * retry.backoff)

    async def _authenticated_again(
        self, run: Run[T], server: TopologyServer, connection: Connection, login: Relogin, command: PlainDocument
    ) -> T:
        """Authenticate a connection once more, as the server requires, and send it the command that it refused.

        The server has not executed it, whatever it is, so this is no retry and always allowed. The command is the same:
        it may be the one that starts a transaction, and a write keeps its number. If the server requires it again, that
        is the operation's error (auth specification, "Reauthentication").
        """
        left = None if run.deadline is None else run.seconds_left(monotonic())
        with waits.move_on_after(left) as limit:
            await login.again(connection, None if left is None else limit)
        if limit.cancelled_caught:
            raise OperationTimeout(
                f"{connection.address}: the operation's time limit ended while the connection was authenticated again"
            )
        _do_not_count_person(run, connection)
        first_of_transaction = run.first_of_transaction
        try:
            reply = await self._exchange(connection, command, run, self.hub)
        except BaseException as error:
            self._interrupted(run, error, server, connection)
            raise
        finally:
            run.first_of_transaction = first_of_transaction
        return self._read(run, server, connection, reply)

    # --- the command ---

    def _command(self, run: Run[object], server: TopologyServer, connection: Connection) -> PlainDocument:
        """Build the command of an attempt, with all fields that its session and its concerns add to it.

        :raises ConfigurationError: the server, or the operation, cannot be combined with the session.
        """
        traits = run.traits
        handshake = connection.handshake
        session = run.session
        if run.acknowledged and traits.uses_session:
            if run.server_session is None and handshake.supports_sessions and traits.takes_session:
                run.server_session = self.acquire()
                run.implicit = True
            if session is not None and not handshake.supports_sessions:
                raise ConfigurationError(
                    "Sessions are not supported by this MongoDB deployment: "
                    "they need a replica set or a sharded cluster"
                )
            if self._settings.retry_writes and traits.kind is OperationKind.WRITE and not run.in_transaction:
                self._number_write(run, connection)
        elif session is not None and not run.acknowledged:
            raise ConfigurationError("an explicit session cannot be used with an unacknowledged write concern (w=0)")
        command = run.operation.command(handshake.limits)
        topology_type = self.topology.description.topology_type
        left = None if run.deadline is None else run.seconds_left(monotonic())
        decorate(command, run, CommandContext(handshake, topology_type, self._api, self.clock.latest, left))
        if run.in_transaction and handshake.is_mongos and session is not None:
            self._pin_session(run, session, server, connection)
        return command

    def _interrupted(
        self, run: Run[object], error: BaseException, server: TopologyServer, connection: Connection
    ) -> None:
        """A command was not sent, or its reply not received."""
        if run.started == 0.0:
            self._undo_pin(run.session)
        elif not isinstance(error, Exception):
            run.settlement = Settlement(run, self, server, connection)

    # --- pins ---

    @staticmethod
    def _pin_session(run: Run[object], session: SessionState, server: TopologyServer, connection: Connection) -> None:
        """Pin a session to the router, or the connection, that gets the first command of its transaction."""
        if session.pin is not None or session.transaction.state is not TransactionState.STARTING:
            return
        pin: Pin = RouterPin(server.address)
        if connection.service_id is not None:
            pin = run.held = ConnectionPin(connection, server.pool.check_in, "transaction")
        session.on_pin_event(PinEvent.FIRST_COMMAND_SELECTED, pin)

    @staticmethod
    def _undo_pin(session: SessionState | None) -> None:
        """The first command of a transaction was refused before it was sent: the next one is the first."""
        if session is not None and session.transaction.state is TransactionState.STARTING:
            session.on_pin_event(PinEvent.FIRST_COMMAND_REFUSED)

    def _number_write(self, run: Run[object], connection: Connection) -> None:
        """Give a retryable write its transaction number; a retry keeps it.

        :raises ConfigurationError: the server that was selected for a retry could not distinguish it from a second
            write.
        """
        handshake = connection.handshake
        if handshake.is_standalone or not handshake.supports_sessions:
            refuse_retry_without_number(run, connection.address)
        elif not run.txn_number and run.server_session is not None and run.retryable:
            run.txn_number = run.server_session.next_txn_number()

    # --- learn ---

    def _read(self, run: Run[T], server: TopologyServer, connection: Connection, reply: Reply) -> T:
        """Update the session from a reply, and convert the reply to the operation's result.

        :raises UnreadableReply: the reply does not have the form of its command's replies.
        """
        try:
            if run.acknowledged:
                learn(run, reply, self.clock)
                if reply.get("ok") != 1:
                    raise refusal(reply, connection.handshake.limits.max_wire_version)
                if "writeConcernError" in reply:
                    self._look_at_concern_error(run, server, connection, reply)
            result = run.operation.parse(reply, connection.address)
        except UnreadableReply as error:
            raise unreadable(error, run.operation, connection.address, reply) from error.__cause__
        except DriverError:
            raise
        except Exception as error:
            raise unreadable(error, run.operation, connection.address, reply) from error
        if run.traits.opens_cursor:
            self._keep_for_cursor(run, server, connection, cast(CursorReply, result))
        return result

    def _take_orphan(
        self, run: Run[object], server: TopologyServer, connection: Connection, error: UnreadableReply
    ) -> None:
        """Read what can be read of an unreadable reply, and note the cursor that it opened, to close it."""
        # The caller may keep the error for long, and the reply may be large.
        envelope, error.envelope = error.envelope, None
        if envelope is None:
            return
        with contextlib.suppress(Exception):
            learn(run, envelope, self.clock)
            found = cursor_in(envelope, run.operation)
            if found is not None and run.traits.kind in _MAY_OPEN_CURSORS and run.operation.name != "getMore":
                pin = (
                    run.hold_for_cursor(connection, server.pool.check_in) if connection.service_id is not None else None
                )
                run.orphan = ServerCursor(connection.address, *found, None, pin)

    def _look_at_concern_error(
        self, run: Run[object], server: TopologyServer, connection: Connection, reply: Reply
    ) -> None:
        """React to a write concern error: the server may be failing, and a retry may be allowed."""
        entry = reply["writeConcernError"]
        limits = connection.handshake.limits
        error = write_concern_error(entry, reply, limits.max_wire_version)
        if error_kind_of(error) is ErrorKind.STATE_CHANGE:
            # The version is the reply's: the entry has none, and would count as newer than anything (SDAM,
            # "isStaleError").
            news = NotPrimaryError(str(error), {**entry, "topologyVersion": reply.get("topologyVersion")})
            self.topology.on_error(server, news, connection, connection.generation)
        add_labels(error, self._circumstances(run, connection), self._settings)
        if error.has_error_label(RETRYABLE_WRITE) and run.traits.kind is OperationKind.WRITE:
            try:
                # The operation's own error says more: that of a bulk counts what was written.
                run.operation.parse(reply, connection.address)
            except OperationFailure as own:
                own.add_error_label(RETRYABLE_WRITE)
                raise
            raise error

    def _keep_for_cursor(
        self, run: Run[object], server: TopologyServer, connection: Connection, result: CursorReply
    ) -> None:
        """Keep what an open cursor needs: its server session and, behind a load balancer or while the server streams,
        its connection.
        """
        result.streams = run.operation.exhaust and connection.more_to_come
        if result.streams and run.held is None:
            result.pin = run.hold_for_cursor(connection, server.pool.check_in, for_stream=True)
        elif result.id and connection.service_id is not None and run.operation.server is None:
            result.pin = run.hold_for_cursor(connection, server.pool.check_in)
        if run.session is not None and run.in_transaction:
            result.opened_in = run.session.transaction.number
        if run.session is not None or run.server_session is None:
            return
        if result.id == 0:
            if not run.implicit:
                self.release(run.server_session)
        elif run.implicit:
            run.kept = True
            result.lease = run.server_session

    # --- failures ---

    def _circumstances(self, run: Run[object], connection: Connection | None) -> Circumstances:
        traits = run.traits
        handshake = connection.handshake if connection is not None else None
        # Whether the server can distinguish a retry from a second write.
        recognizable = traits.kind is not OperationKind.WRITE or run.txn_number != 0 or connection is None
        return Circumstances(
            kind=OperationKind.WRITE if traits.has_write_stage else traits.kind,
            retryable=recognizable and run.retryable,
            in_transaction=run.in_transaction,
            sharded=self.topology.is_sharded,
            has_deadline=run.deadline is not None,
            waits_for_server=traits.waits_for_server,
            wire_version=handshake.limits.max_wire_version if handshake is not None else 0,
            from_mongos=handshake is not None and handshake.is_mongos,
            commit_sent=run.commit_sent,
            seconds_left=math.inf if run.deadline is None else run.deadline - monotonic(),
        )

    def _failed(
        self,
        run: Run[object],
        error: DriverError,
        server: TopologyServer | None,
        connection: Connection | None,
        generation: int,
    ) -> tuple[Retry | None, DriverError]:
        """Judge an attempt's error: its labels, its connection, the topology, the session.

        :param generation: of the pool, when a connection was asked for.
        :returns: what follows, and the error to show where nothing does.
        """
        if connection is not None and server is not None:
            self._close_or_keep(run, error, server, connection)
        where = self._circumstances(run, connection)
        add_labels(error, where, self._settings)
        if run.txn_number:
            explain(error)
        if server is not None and not isinstance(error, WriteConcernError):  # the topology has reacted to those already
            self.topology.on_error(server, error, connection, connection.generation if connection else generation)
        if run.server_session is not None and connection is not None and is_network_error(error):
            run.server_session.dirty = True
        if run.started and run.is_statement and run.session is not None and isinstance(error, NetworkTimeout):
            assert server is not None
            run.session.transaction.answer_lost(run.operation.name, server.address, error)
        history = run.failed(error)
        retry = decide(error, history, where, self._settings)
        if retry is not None and retry.deprioritize and server is not None:
            history.deprioritized.append(server.address)
        if run.is_statement and run.session is not None and not run.was_refused(error):
            transaction_failed(run, run.session, error, retry, server)
        if self.recorder is not None:
            self.recorder.failed(run, error, retry is not None, server, connection)
        if error.timeout and run.spent is not None:
            # That the time is up says less than what was tried again all the time.
            return retry, history.earlier or error
        return retry, history.error or error

    def _close_or_keep(
        self, run: Run[object], error: DriverError, server: TopologyServer, connection: Connection
    ) -> None:
        """Close the connection, unless it may be used again."""
        if not consequences(error).keeps_connection:
            connection.close()
        elif isinstance(error, UnreadableReply):
            self._take_orphan(run, server, connection, error)


def _do_not_count_person(run: Run[object], connection: Connection) -> None:
    """A connection was authenticated for an operation: the time that a person took for that does not count.

    Auth specification, "OIDC Human Callback".
    """
    if connection.person_seconds:
        if run.deadline is not None:
            run.deadline += connection.person_seconds
        connection.person_seconds = 0.0
