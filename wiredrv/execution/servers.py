"""Which server an attempt goes to: that of the session's pin, the only one that can answer, or what selection says.

Specifications: server-selection; transactions ("Read Preference", "Mongos Pinning"); load-balancers ("Connection
Pooling").
"""

from __future__ import annotations

from wiredrv.concerns import ReadMode, ReadPreference
from wiredrv.errors import AutoReconnect
from wiredrv.execution.pins import ConnectionPin
from wiredrv.execution.run import Run
from wiredrv.operations.base import OperationKind
from wiredrv.session.pinning import PinEvent
from wiredrv.topology.topology import Topology, TopologyServer
from wiredrv.types import Address, Pin
from wiredrv.waits import monotonic

_HOUSEKEEPING = OperationKind.HOUSEKEEPING
_READS = frozenset({OperationKind.READ, OperationKind.COMMAND})
_TO_WRITABLE = frozenset({OperationKind.WRITE, OperationKind.COMMIT, OperationKind.ABORT})


def pick(run: Run[object], topology: Topology) -> TopologyServer | None:
    """A suitable server without waiting, or None: then :func:`select` waits for one.

    :raises AutoReconnect: the only server that can answer left the deployment, or its connection is broken.
    :raises InvalidOperation: it reads in a transaction with another read preference than primary.
    """
    operation = run.operation
    session = run.session
    if session is not None:
        if run.in_transaction:
            _refuse_other_than_primary(run)
        if session.pin is not None and run.traits.kind is not _HOUSEKEEPING:
            if run.in_transaction:
                return _only_server(run, topology, session.pin.address, session.pin)
            session.on_pin_event(PinEvent.OPERATION_OUTSIDE)
    if operation.server is not None:
        return _only_server(run, topology, operation.server, operation.pin)
    if run.history is not None and run.history.deprioritized:
        return None
    return topology.pick(_read_preference(run, topology))


async def select(run: Run[object], topology: Topology) -> TopologyServer:
    """A suitable server; waits until there is one.

    :raises ServerSelectionTimeoutError: none was suitable in time.
    """
    run.asked_for_server = monotonic()
    operation = run.operation
    if run.traits.waits_for_server and operation.server is not None:
        if run.select_until is None:
            run.select_until = topology.selection_limit(run.deadline)
        return await topology.select_address(operation.server, run.select_until)
    avoided = run.history.deprioritized if run.history is not None else ()
    while True:
        preference = _read_preference(run, topology)
        server = await topology.select(preference, operation.name, run.deadline, avoided, run.identify())
        # Meanwhile an old server may have joined, which changes the servers that may run a pipeline that writes.
        if not run.traits.secondaries_since or _read_preference(run, topology) == preference:
            return server


def _only_server(run: Run[object], topology: Topology, address: Address, pin: Pin | None) -> TopologyServer | None:
    """The server where a transaction or a cursor is and, behind a load balancer, its connection.

    None: a getMore has to wait for it.
    """
    server = topology.server(address)
    if server is None:
        raise AutoReconnect(f"{address}: the server is no longer part of the deployment")
    if isinstance(pin, ConnectionPin):
        if pin.connection.closed:
            raise AutoReconnect(f"{address}: the connection that a transaction or a cursor was pinned to is closed")
        run.held = pin
    elif run.traits.waits_for_server and server.pool.paused:
        return None
    return server


def _read_preference(run: Run[object], topology: Topology) -> ReadPreference | None:
    """The read preference of an operation; None for what needs a writable server, or any router."""
    traits = run.traits
    if run.in_transaction or traits.kind in _TO_WRITABLE:
        return None
    if traits.secondaries_since:
        too_old = topology.oldest_wire_version < traits.secondaries_since
        run.read_preference = ReadPreference.PRIMARY if too_old else run.operation.target.read_preference
    return run.read_preference


def _refuse_other_than_primary(run: Run[object]) -> None:
    """Refuse a read in a transaction with a read preference other than primary."""
    if run.session is None or run.traits.kind not in _READS:
        return
    preference = run.session.transaction.options.read_preference
    if run.traits.kind is OperationKind.COMMAND and run.read_preference.mode is not ReadMode.PRIMARY:
        # A generic command has no default, so this preference was passed with the call.
        preference = run.read_preference
    if preference is not None and preference.mode is not ReadMode.PRIMARY:
        raise run.session.transaction.does_not_permit(
            f"read preference in a transaction must be primary, not: {preference.name}; use "
            "read_preference=ReadPreference.PRIMARY"
        )
