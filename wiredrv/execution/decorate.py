"""Adds the fields of sessions, transactions and concerns to commands; no other module does. Pure.

The order is fixed: maxTimeMS, lsid, txnNumber, startTransaction, autocommit, readConcern, writeConcern, recoveryToken,
$clusterTime, $readPreference, apiVersion, $db. Nothing here changes a session: the state changes when the command is
sent, so that a command that cannot be encoded does not affect its transaction.

Specifications: sessions ("Sending the session ID"), transactions ("Constructing commands within a transaction"),
causal-consistency, snapshot-sessions, retryable-writes ("Constructing Write Commands"), server-selection ("Passing
read preference").
"""

from __future__ import annotations

import math
from typing import NamedTuple

from bson.int64 import Int64

from wiredrv.concerns import ReadMode, ReadPreference, WriteConcern
from wiredrv.connection.handshake import Handshake, declare_api
from wiredrv.connection.settings import ServerApi
from wiredrv.description import TopologyType
from wiredrv.errors import ConfigurationError, InvalidOperation
from wiredrv.execution.run import Run
from wiredrv.operations.base import OperationKind
from wiredrv.operations.transactions import retried_commit_concern
from wiredrv.server_facts import SERVER_5_0
from wiredrv.session.cluster_time import ClusterTime, later
from wiredrv.session.state import SessionState
from wiredrv.session.transaction import Transaction, TransactionState
from wiredrv.types import PlainDocument

#: The longest ``maxTimeMS`` that servers take: a 32-bit integer.
MOST_MILLISECONDS = 2**31 - 1

_PRIMARY_PREFERRED = ReadPreference.PRIMARY_PREFERRED


class CommandContext(NamedTuple):
    """What surrounds a command: the selected server, and what the client knows and declares.

    ``topology_type`` is ``SINGLE`` if the client connects to one server directly. ``seconds_left`` is how long the
    server may work on the command; None if the operation has no time limit.
    """

    handshake: Handshake
    topology_type: TopologyType
    api: ServerApi | None
    cluster_time: ClusterTime | None
    seconds_left: float | None = None


def decorate(command: PlainDocument, run: Run[object], context: CommandContext) -> None:
    """Add to ``command`` the fields that its session and its concerns require.

    :raises ConfigurationError: the server supports no sessions, or no snapshot reads, and these are needed.
    """
    operation = run.operation
    traits = run.traits
    session = run.session
    server_session = run.server_session
    cluster_time = context.cluster_time
    if context.seconds_left is not None:
        _add_max_time(command, run, context.seconds_left)
    # A retry may go to another server than the one that the session was acquired for.
    if server_session is not None and context.handshake.supports_sessions:
        command["lsid"] = server_session.lsid
        if run.in_transaction and session is not None:
            _add_transaction(command, run, session, context)
        elif run.txn_number:
            command["txnNumber"] = Int64(run.txn_number)
    if session is not None:
        _add_session_read_concern(command, run, session, context)
        cluster_time = later(cluster_time, session.cluster_time)
    elif traits.accepts_read_concern and operation.target.read_concern.level is not None:
        command["readConcern"] = operation.target.read_concern.document
    if not run.in_transaction and traits.accepts_write_concern:
        concern = operation.target.write_concern
        if not concern.is_server_default:
            _add_write_concern(command, run, concern)
    if cluster_time is not None:
        command["$clusterTime"] = cluster_time
    _add_read_preference(command, run, context)
    if context.api is not None:
        declare_api(command, context.api)
    command["$db"] = operation.target.database


def _add_write_concern(command: PlainDocument, run: Run[object], concern: WriteConcern) -> None:
    document = concern.document
    if run.deadline is not None:
        document.pop("wtimeout", None)
    if document:
        command["writeConcern"] = document


def _add_max_time(command: PlainDocument, run: Run[object], seconds: float) -> None:
    """Tell the server how long it may work on the command, in place of the user's ``maxTimeMS``.

    Client-side-operations-timeout specification, "Command Execution" and "Tailable awaitData Cursors".
    """
    traits = run.traits
    milliseconds = MOST_MILLISECONDS if seconds == math.inf else max(int(seconds * 1000), 1)
    if traits.keeps_max_time:
        if "maxTimeMS" in command:
            command["maxTimeMS"] = min(command["maxTimeMS"], milliseconds)
        return
    on_server = run.spent is None or run.spent.limit.on_server
    if on_server and milliseconds < MOST_MILLISECONDS:
        command["maxTimeMS"] = milliseconds
    elif traits.kind is not OperationKind.COMMAND:
        command.pop("maxTimeMS", None)


def _add_transaction(command: PlainDocument, run: Run[object], session: SessionState, context: CommandContext) -> None:
    if context.handshake.is_standalone:
        raise InvalidOperation(
            "transactions need a replica set or a sharded cluster, and this server is a standalone; "
            "`wiredrv local up` starts a replica set on this machine"
        )
    transaction = session.transaction
    command["txnNumber"] = Int64(session.server_session.txn_number)
    if transaction.state is TransactionState.STARTING:
        command["startTransaction"] = True
    command["autocommit"] = False
    if run.traits.kind is OperationKind.COMMIT or run.traits.kind is OperationKind.ABORT:
        _add_ending(command, run, transaction)


def _add_ending(command: PlainDocument, run: Run[object], transaction: Transaction) -> None:
    concern = run.operation.target.write_concern
    if run.traits.kind is OperationKind.COMMIT and transaction.commit_attempted:
        concern = retried_commit_concern(concern)
    if not concern.is_server_default:
        _add_write_concern(command, run, concern)
    if transaction.recovery_token is not None:
        command["recoveryToken"] = transaction.recovery_token


def _add_session_read_concern(
    command: PlainDocument, run: Run[object], session: SessionState, context: CommandContext
) -> None:
    """The read concern that an explicit session requires, merged with the operation's own."""
    traits = run.traits
    if traits.kind is OperationKind.HOUSEKEEPING:
        return  # killCursors takes none: the server would refuse it, and the cursor would stay open.
    options = session.options
    if options.snapshot:
        if context.handshake.limits.max_wire_version < SERVER_5_0:
            raise ConfigurationError("Snapshot reads require MongoDB 5.0 or later")
        if traits.opens_cursor and run.operation.server is not None:
            return  # A getMore continues in the snapshot of its cursor.
        concern: PlainDocument = {"level": "snapshot"}
        if session.snapshot_time is not None:
            concern["atClusterTime"] = session.snapshot_time
        command["readConcern"] = concern
        return
    if run.in_transaction:
        if session.transaction.state is not TransactionState.STARTING:
            return
        concern_of = session.transaction.options.read_concern
        concern = concern_of.document if concern_of is not None else {}
        causal = options.causal_consistency
    else:
        concern = run.operation.target.read_concern.document if traits.accepts_read_concern else {}
        causal = options.causal_consistency and traits.accepts_cluster_time
    handshake = context.handshake
    if (
        causal
        and session.operation_time is not None
        and handshake.supports_sessions
        and not handshake.is_standalone  # it has no cluster time, and refuses the field
    ):
        concern["afterClusterTime"] = session.operation_time
    if concern:
        command["readConcern"] = concern


def _add_read_preference(command: PlainDocument, run: Run[object], context: CommandContext) -> None:
    kind = run.traits.kind
    reads = kind is OperationKind.READ or kind is OperationKind.COMMAND
    if not reads or run.in_transaction or run.operation.server is not None:
        return
    preference = run.read_preference
    handshake = context.handshake
    if preference.mode is ReadMode.PRIMARY:
        direct = context.topology_type is TopologyType.SINGLE
        if not direct or handshake.is_mongos or handshake.is_standalone:
            return
        # A member that the client is directly connected to answers in any role.
        preference = _PRIMARY_PREFERRED
    elif handshake.is_standalone:
        return
    command["$readPreference"] = preference.document
