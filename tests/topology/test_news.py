"""How the topology's shell handles updates: the order of description and pool. No server is contacted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from bson import ObjectId

from tests.execution.fakes import make_handshake
from tests.execution.replay import Replay
from wiredrv.connection.connection import Connection
from wiredrv.connection.settings import ConnectionSettings
from wiredrv.description import ServerDescription, ServerType, TopologyDescription, TopologyType
from wiredrv.errors import AutoReconnect, PoolClearedError, ServerSelectionTimeoutError
from wiredrv.listeners import ListenerHub
from wiredrv.net.dial import Dialer
from wiredrv.net.settings import NetSettings
from wiredrv.pool.settings import PoolSettings
from wiredrv.pool.state import Phase
from wiredrv.server_errors import command_error
from wiredrv.server_facts import MAX_WIRE_VERSION
from wiredrv.topology.monitor import MonitorSettings
from wiredrv.topology.rtt import RoundTripTimes
from wiredrv.topology.settings import TopologySettings
from wiredrv.topology.topology import Topology
from wiredrv.types import Address
from wiredrv.waits import monotonic

pytestmark = pytest.mark.anyio

A = Address("a.example", 27017)
PROCESS = ObjectId()


def version(counter: int, process: ObjectId = PROCESS) -> dict[str, Any]:
    return {"processId": process, "counter": counter}


def hello(topology_version: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "ok": 1,
        "isWritablePrimary": True,
        "setName": "rs",
        "hosts": [str(A)],
        "minWireVersion": 0,
        "maxWireVersion": 17,
        "topologyVersion": topology_version,
    }


@pytest.fixture
async def topology() -> Topology:
    async def connect(address: Address, number: int, generation: int, scope: object) -> Connection:
        raise AssertionError("nothing is sent here")

    hub = ListenerHub([])
    settings = MonitorSettings(TopologySettings((A,), set_name="rs"), Dialer(NetSettings()), ConnectionSettings(), hub)
    topology = Topology(settings, PoolSettings(), connect)
    topology.open(lambda *task: None)
    return topology


@pytest.mark.parametrize(
    ("newer", "phase"),
    [
        (version(4), Phase.PAUSED),
        (version(6), Phase.PAUSED),
        (version(7), Phase.READY),
        (version(8), Phase.READY),
        (version(1, ObjectId()), Phase.READY),
    ],
    ids=["older", "as before the error", "as the error", "newer", "of another process"],
)
async def test_an_outdated_hello_does_not_make_a_pool_ready(
    topology: Topology, newer: Mapping[str, Any], phase: Phase
) -> None:
    """SDAM, "Replacing the TopologyDescription": a stale description is ignored before the pool is marked ready."""
    times = RoundTripTimes()
    topology.report(A, hello(version(6)), times)
    server = topology.servers[A]
    assert server.pool.state.phase.value == "ready"
    shutdown = {"ok": 0, "code": 91, "errmsg": "shutting down", "topologyVersion": version(7)}
    topology.on_error(server, command_error(shutdown), None, server.pool.generation)
    assert server.pool.state.phase.value == "paused"
    topology.report(A, hello(newer), times)
    assert server.pool.state.phase is phase
    known = ServerType.RS_PRIMARY if phase is Phase.READY else ServerType.UNKNOWN
    assert topology.description.servers[A].server_type is known


@pytest.mark.parametrize(
    ("servers", "oldest"),
    [
        ([], MAX_WIRE_VERSION),
        ([ServerDescription(A, ServerType.RS_PRIMARY, max_wire_version=12)], 12),
        ([ServerDescription(A, ServerType.RS_ARBITER, max_wire_version=12)], MAX_WIRE_VERSION),
        ([ServerDescription(A, ServerType.LOAD_BALANCER)], MAX_WIRE_VERSION),
    ],
    ids=["none known", "a primary", "an arbiter", "a load balancer"],
)
async def test_the_oldest_wire_version(topology: Topology, servers: list[ServerDescription], oldest: int) -> None:
    """CRUD, "Read preferences and server selection": behind a load balancer all count as 5.0 or later."""
    topology.description = TopologyDescription(TopologyType.UNKNOWN, {one.address: one for one in servers})
    assert topology.oldest_wire_version == oldest


async def test_an_error_that_is_kept_leads_to_no_frames(topology: Topology) -> None:
    """A traceback's frames refer to the operation's cursor, and so to its connection if a load balancer pinned it."""
    server = topology.servers[A]
    topology.report(A, hello(version(1)), RoundTripTimes())
    connection = Connection(Replay([]), A)
    connection.accept(make_handshake())
    with pytest.raises(AutoReconnect) as raised:
        raise AutoReconnect("gone", error_labels=["X"])
    topology.on_error(server, raised.value, connection, server.pool.generation)
    with pytest.raises(PoolClearedError) as caught:
        await server.pool.check_out()
    for kept in (connection.failure, topology.description.servers[A].error, caught.value.__cause__):
        assert isinstance(kept, AutoReconnect)
        assert kept.__traceback__ is None
        assert kept.has_error_label("X")


async def test_who_waits_for_one_server_in_vain_is_told_how_long_that_was(topology: Topology) -> None:
    """Not how long ``serverSelectionTimeoutMS`` is, if a shorter time limit ended the wait."""
    assert topology.servers[A].pool.paused
    with pytest.raises(ServerSelectionTimeoutError, match=r"did not answer again within 0\.0"):
        await topology.select_address(A, monotonic() + 0.05)
