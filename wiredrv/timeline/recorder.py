"""Notes what the executor of one client does, for all recordings of the process."""

from __future__ import annotations

from functools import partial

from wiredrv.connection.connection import Connection
from wiredrv.errors import DriverError, OperationFailure
from wiredrv.events import PoolClearedEvent, ServerDescriptionChangedEvent, TopologyDescriptionChangedEvent
from wiredrv.execution.exchange import exchange
from wiredrv.execution.recording import Observable
from wiredrv.execution.run import Run
from wiredrv.listeners import ListenerHub
from wiredrv.session.state import SessionState
from wiredrv.session.transaction import Outcome, TransactionState
from wiredrv.timeline.buffer import Buffer, tape
from wiredrv.timeline.entries import CommandEntry, MarkEntry, failure_of
from wiredrv.timeline.records import Failure, SessionMark, TopologyMark, TransactionMark
from wiredrv.timeline.timeline import Timeline
from wiredrv.topology.topology import TopologyServer
from wiredrv.types import Address, Pin, PlainDocument, RecordedTimeline, Reply
from wiredrv.waits import monotonic

#: What is kept of one transaction for its error: so many records, in about so many bytes.
_PART_LIMIT = 2_000
_PART_BYTES = 4_000_000


class KnownSession:
    """What was noted of a session last. Its transactions are numbered as in the session's state."""

    __slots__ = ("buffer", "ended", "failure", "number", "outcome", "pin", "txn_number")

    def __init__(self) -> None:
        self.number = self.txn_number = 0
        self.outcome: Outcome | None = None
        self.failure: Failure | None = None
        self.pin: Pin | None = None
        self.ended = False
        self.buffer: Buffer | None = None

    def part(self, number: int) -> RecordedTimeline | None:
        """The part of the recording that belongs to a transaction; None if that was not recorded."""
        return Timeline(self.buffer) if self.buffer is not None and number == self.number else None

    def begin(self, session: SessionState) -> None:
        """The session goes on to another transaction."""
        self.number = session.transaction.number
        self.txn_number = session.server_session.txn_number
        self.outcome = None
        self.failure = None
        # Errors of the last one keep its part; this one begins with the latest recording.
        self.buffer = Buffer(tape.buffers[-1].start, _PART_LIMIT, _PART_BYTES) if tape.buffers else None


class ClientRecorder:
    """Records one client, until it is stopped."""

    def __init__(self, executor: Observable) -> None:
        self._client = executor.number
        self._hub = executor.hub
        # Neither refers to this object: it would refer to itself.
        self._listeners = {
            "topology": partial(_topology_changed, self._client),
            "clearing": partial(_pool_cleared, self._client),
        }
        for family, listener in self._listeners.items():
            self._hub.attach(family, listener)

    def stop(self) -> None:
        """Note nothing any longer."""
        for family, listener in self._listeners.items():
            self._hub.detach(family, listener)

    # --- commands ---

    async def exchange(
        self, connection: Connection, command: PlainDocument, run: Run[object], hub: ListenerHub
    ) -> Reply:
        """Note a round trip, and do it."""
        now = monotonic()
        entry = self._entry(run, now)
        entry.connected = now
        entry.selected = run.asked_for_connection or now
        entry.address = connection.address
        entry.connection = connection.id
        run.entry = entry
        try:
            reply = await exchange(connection, command, run, hub)
        except BaseException as error:
            entry.replied = monotonic()
            if not isinstance(error, DriverError) and entry.sent:
                entry.fail(entry.replied, error)
            raise
        entry.answered(monotonic(), reply, run.acknowledged)
        return reply

    def _entry(self, run: Run[object], now: float) -> CommandEntry:
        entry = CommandEntry(self._client, run, run.asked_for_server or run.asked_for_connection or now)
        session = run.session
        if session is not None:
            known = self._look(session, now)
            if run.in_transaction:
                if known.number != session.transaction.number:
                    known.begin(session)
                entry.part = known.buffer
        return entry

    def failed(
        self,
        run: Run[object],
        error: DriverError,
        retried: bool,
        server: TopologyServer | None,
        connection: Connection | None,
    ) -> None:
        """An attempt failed; its labels are complete."""
        now = monotonic()
        entry = run.entry
        if not isinstance(entry, CommandEntry) or entry.settled:
            entry = run.entry = self._unsent(run, now, server)
        entry.fail(now, error, retried)
        if not entry.sent:
            entry.keep()
        if run.session is not None:
            known = self._look(run.session, now)
            if run.in_transaction and run.session.transaction.cause is error:
                known.failure = entry.failure

    def cancelled(self, run: Run[object], error: BaseException) -> None:
        """An operation was cancelled. If its command was sent, that was noted."""
        if run.started or not (run.asked_for_server or run.asked_for_connection):
            return
        now = monotonic()
        entry = run.entry = self._unsent(run, now, None)
        entry.fail(now, error)
        entry.keep()

    def _unsent(self, run: Run[object], now: float, server: TopologyServer | None) -> CommandEntry:
        """An attempt that got no server, or no connection."""
        entry = self._entry(run, now)
        entry.selected = run.asked_for_connection
        if server is not None:
            entry.selected = entry.selected or now
            entry.address = server.address
        return entry

    # --- sessions and their transactions ---

    def session_changed(self, session: SessionState) -> None:
        """A session has started or ended, or a transaction of it."""
        now = monotonic()
        if session.recorded is None and session.transaction.number == 0 and not session.ended:
            session.recorded = KnownSession()
            self._mark_session(session, "start", now)
            return
        known = self._look(session, now)
        transaction = session.transaction
        if transaction.number != known.number and transaction.state is TransactionState.STARTING:
            self._begun(session, known)
        outcome = transaction.outcome
        if outcome is not None and (outcome is not known.outcome or transaction.number != known.number):
            self._ended(session, known, outcome, now)
        if session.ended and not known.ended:
            known.ended = True
            self._mark_session(session, "end", now)

    def _begun(self, session: SessionState, known: KnownSession) -> None:
        transaction = session.transaction
        if transaction.attempt > 1 and known.number == transaction.number - 1:
            self._mark_transaction(session, known, "retry", transaction.started_at, known.failure)
        known.begin(session)
        self._mark_transaction(session, known, "begin", transaction.started_at)

    def _ended(self, session: SessionState, known: KnownSession, outcome: Outcome, now: float) -> None:
        if session.transaction.number != known.number:
            known.begin(session)
        known.outcome = outcome
        cause = session.transaction.cause
        if cause is not None and known.failure is None:
            # It is not known here which command a server's error belongs to: it may have held credentials.
            known.failure = failure_of(cause, hidden=isinstance(cause, OperationFailure))
        self._mark_transaction(session, known, outcome.value, now, known.failure)

    def _look(self, session: SessionState, now: float) -> KnownSession:
        """Note a change of its pin."""
        known = session.recorded
        if not isinstance(known, KnownSession):
            known = session.recorded = KnownSession()
        if session.pin is not known.pin:
            before, known.pin = known.pin, session.pin
            if before is not None:
                self._mark_session(session, "unpin", now, before.address)
            if session.pin is not None:
                self._mark_session(session, "pin", now, session.pin.address)
        return known

    def _mark_session(self, session: SessionState, event: str, now: float, server: Address | None = None) -> None:
        make = partial(
            SessionMark,
            session=session.lsid["id"].hex(),
            event=event,
            server=None if server is None else str(server),
            client=self._client,
        )
        tape.add(MarkEntry(now, make))

    def _mark_transaction(
        self, session: SessionState, known: KnownSession, event: str, now: float, error: Failure | None = None
    ) -> None:
        make = partial(
            TransactionMark,
            session=session.lsid["id"].hex(),
            number=known.txn_number,
            event=event,
            attempt=session.transaction.attempt,
            error=error,
        )
        entry = MarkEntry(now, make)
        tape.add(entry)
        if known.buffer is not None:
            known.buffer.add(entry)


# --- the deployment ---


def _topology_changed(client: int, event: object) -> None:
    if isinstance(event, TopologyDescriptionChangedEvent):
        if not event.new_description.servers:
            return  # the client is closed: nothing happened to the deployment
        before, after = event.previous_description.primary, event.new_description.primary
        old, new = (None if server is None else server.address for server in (before, after))
        if old != new:
            _mark_topology(client, "primary", new, f"{old or 'none'} -> {new or 'none'}")
    elif isinstance(event, ServerDescriptionChangedEvent):
        old_type, new_type = event.previous_description.server_type, event.new_description.server_type
        if old_type is not new_type:
            error = event.new_description.error
            why = "" if error is None else f": {type(error).__name__}: {error}"
            _mark_topology(client, "server", event.address, f"{old_type.value} -> {new_type.value}{why}")


def _pool_cleared(client: int, event: object) -> None:
    if isinstance(event, PoolClearedEvent):
        detail = "connections in use are closed too" if event.interrupt_in_use_connections else ""
        _mark_topology(client, "pool cleared", event.address, detail)


def _mark_topology(client: int, event: str, server: Address | None, detail: str) -> None:
    named = None if server is None else str(server)
    tape.add(MarkEntry(monotonic(), partial(TopologyMark, event=event, server=named, detail=detail, client=client)))
