"""Updates a session and its transaction from replies and failures. No I/O: called by the executor between two awaits.

Specifications: sessions ("Gossipping the cluster time"), causal-consistency, snapshot-sessions, transactions ("When to
unpin", "recoveryToken field").
"""

from __future__ import annotations

from collections.abc import Mapping

from bson.timestamp import Timestamp

from wiredrv.errors import (
    SYSTEM_OVERLOADED,
    TRANSIENT_TRANSACTION,
    UNKNOWN_COMMIT_RESULT,
    DriverError,
    UnreadableReply,
)
from wiredrv.execution.labels import outcome_of_failed_commit
from wiredrv.execution.retry import Retry
from wiredrv.execution.run import Run
from wiredrv.operations.base import OperationKind
from wiredrv.session.cluster_time import ClusterClock
from wiredrv.session.pinning import PinEvent
from wiredrv.session.state import SessionState
from wiredrv.topology.topology import TopologyServer
from wiredrv.types import Address, Reply, SentCommand
from wiredrv.waits import monotonic
from wiredrv.wire.codec import sound_document


def learn(run: Run[object], reply: Reply, clock: ClusterClock) -> None:
    """Update the clock and the session from a reply, also from that of a failed command.

    Values of the wrong type are ignored and never sent on.

    :raises UnreadableReply: a snapshot session cannot learn its time.
    """
    received = reply.get("$clusterTime")
    cluster_time = None if received is None else clock.learn(received)
    session = run.session
    if session is None:
        return
    if cluster_time is not None:
        session.advance_cluster_time(cluster_time)
    operation_time = reply.get("operationTime")
    if isinstance(operation_time, Timestamp):
        session.advance_operation_time(operation_time)
    if session.options.snapshot and session.snapshot_time is None:
        session.snapshot_time = _snapshot_time(reply)
    if run.in_transaction and "recoveryToken" in reply:
        token = sound_document(reply["recoveryToken"])
        if token is not None:
            session.transaction.learn_recovery_token(token)


def _snapshot_time(reply: Reply) -> Timestamp | None:
    """The time of the snapshot that a reply was read from.

    :raises UnreadableReply: it is not a time; otherwise the next read would silently use another snapshot.
    """
    cursor = reply.get("cursor")
    found = reply.get("atClusterTime")
    if found is None and isinstance(cursor, Mapping):
        found = cursor.get("atClusterTime")
    if found is not None and not isinstance(found, Timestamp):
        raise UnreadableReply(f"its 'atClusterTime' is a {type(found).__name__}")
    return found


def transaction_advanced(run: Run[object], address: Address) -> None:
    """A command of a transaction succeeded."""
    session = run.session
    assert session is not None
    transaction = session.transaction
    _note(run, session, address, "ok")
    if run.traits.kind is OperationKind.COMMIT:
        transaction.commit_succeeded()
        session.on_pin_event(PinEvent.COMMIT_SUCCEEDED)
    elif run.traits.kind is OperationKind.ABORT:
        transaction.abort_answered()
        session.on_pin_event(PinEvent.ABORTED)


def transaction_failed(
    run: Run[object], session: SessionState, error: DriverError, retry: Retry | None, server: TopologyServer | None
) -> None:
    """A command of a transaction failed; ``retry`` says whether another attempt follows."""
    transaction = session.transaction
    overloaded = error.has_error_label(SYSTEM_OVERLOADED)
    if run.first_of_transaction and overloaded and retry is not None:
        transaction.first_command_shed()
        run.first_of_transaction = False  # until it is sent again
    if run.traits.kind is OperationKind.COMMIT:
        outcome = outcome_of_failed_commit(error, transaction.commit_attempted)
        transaction.commit_failed(outcome, attempted=not overloaded)
        if error.has_error_label(UNKNOWN_COMMIT_RESULT):
            session.on_pin_event(PinEvent.COMMIT_UNKNOWN)
    elif run.traits.kind is OperationKind.ABORT:
        if retry is None:
            transaction.abort_answered()
        session.on_pin_event(PinEvent.ABORTED)
    shown = run.history.error if run.history is not None and run.history.error is not None else error
    if _unpins(run.traits.kind, error, shown, retry):
        session.on_pin_event(PinEvent.TRANSIENT_ERROR)
    if server is not None:
        _note(run, session, server.address, f"{type(error).__name__}{', retried' if retry is not None else ''}")
    shown.transaction = session.record()


def _unpins(kind: OperationKind, error: DriverError, shown: DriverError, retry: Retry | None) -> bool:
    """Whether an error unpins the session from the router, or the connection, of its transaction.

    A statement that is retried, which only overload allows, stays pinned. If it fails in the end, the error that the
    caller gets decides: unless that one is transient, the transaction is still open, and is aborted there.
    """
    if kind is OperationKind.COMMIT:
        return error.has_error_label(TRANSIENT_TRANSACTION)
    return retry is None and shown.has_error_label(TRANSIENT_TRANSACTION)


def _note(run: Run[object], session: SessionState, address: Address, outcome: str) -> None:
    """Add an attempt to the record of the transaction."""
    transaction = session.transaction
    now = monotonic()
    started = run.started or now
    sent = SentCommand(run.operation.name, address, started - transaction.started_at, now - started, outcome)
    transaction.note(sent)
