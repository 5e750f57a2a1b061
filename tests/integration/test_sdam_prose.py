"""The prose tests of server-discovery-and-monitoring: its test plan, and its tests/README.md ("Prose Tests").

Replies that report a state change are also in ``tests/topology/test_reactions.py``, as a table.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any

import anyio
import anyio.abc
import pytest

import wiredrv
from tests.support.commands import primary_of
from tests.support.event_log import EventLog
from tests.support.failpoints import fail_command
from tests.support.waiting import until
from wiredrv import ReadPreference, WriteConcern, events
from wiredrv.description import ServerType, TopologyType
from wiredrv.errors import AutoReconnect, DriverError, NotPrimaryError, OperationFailure, ServerSelectionTimeoutError
from wiredrv.local import ReplicaSet, Standalone
from wiredrv.types import Address

pytestmark = pytest.mark.anyio

DATABASE = "wiredrv_sdam"
#: The minimum interval between two checks, in seconds, and a little more.
_CHECK_DISTANCE = 0.7
#: A streaming monitor does not take requests for a check, and a check that is due soon would hide whether one was
#: requested.
_RARELY: Mapping[str, Any] = {"serverMonitoringMode": "poll", "heartbeatFrequencyMS": 60_000}
HELLOS = ("hello", "isMaster", "ismaster")


@asynccontextmanager
async def observed(uri: str, **options: Any) -> AsyncIterator[tuple[wiredrv.Client, EventLog]]:
    """A client and all of its events."""
    log = EventLog()
    async with wiredrv.Client(uri, event_listeners=[log], **options) as client:
        yield client, log


async def discovered(client: wiredrv.Client, members: int = 3) -> Address:
    """Wait until every member is known; returns the primary."""
    await client.admin.command({"ping": 1})

    def all_known() -> bool:
        servers = client.topology_description.servers.values()
        return len(servers) == members and all(server.is_data_bearing for server in servers)

    await until(all_known, "all members are known")
    return primary_of(client)


def lost(log: EventLog, address: Address) -> list[events.ServerDescriptionChangedEvent]:
    """The events by which a server became Unknown."""
    changes = log.of(events.ServerDescriptionChangedEvent, address=address)
    return [change for change in changes if change.new_description.server_type is ServerType.UNKNOWN]


def topology_types(log: EventLog) -> list[TopologyType]:
    """The topology's types in succession."""
    return [event.new_description.topology_type for event in log.of(events.TopologyDescriptionChangedEvent)]


async def test_a_client_can_be_made_though_all_servers_are_unavailable() -> None:
    """Test plan, "All servers unavailable"."""
    async with wiredrv.Client("mongodb://127.0.0.1:1,127.0.0.1:2", serverSelectionTimeoutMS=50) as client:
        with pytest.raises(ServerSelectionTimeoutError):
            await client.admin.command({"ping": 1})


async def test_a_network_error_when_writing_makes_the_primary_unknown_without_a_check(replica_set: ReplicaSet) -> None:
    """Test plan, "Network error writing to primary"; server-monitoring, "hello Cancellation"."""
    name = "sdam-network-error"
    async with observed(replica_set.uri, appName=name, retryWrites=False) as (client, log):
        primary = await discovered(client)
        await client[DATABASE].things.insert_one({})
        log.clear()
        async with fail_command(primary, "insert", app_name=name, data={"closeConnection": True}):
            with pytest.raises(AutoReconnect):
                await client[DATABASE].things.insert_one({})
        assert client.topology_description.servers[primary].server_type is ServerType.UNKNOWN
        assert client.topology_description.topology_type is TopologyType.REPLICA_SET_NO_PRIMARY
        assert log.of(events.PoolClearedEvent, address=primary)
        # The check that was under way is cancelled; only the passing of time shows that no other follows.
        await log.wait_for(events.ServerHeartbeatFailedEvent, address=primary)
        await anyio.sleep(_CHECK_DISTANCE)
        assert not log.of(events.ServerHeartbeatStartedEvent, address=primary)
        # The next operation requests one.
        await client[DATABASE].things.insert_one({})
        assert log.of(events.ServerHeartbeatStartedEvent, address=primary)


async def test_not_primary_from_a_read_makes_the_primary_unknown(disturbed_replica_set: ReplicaSet) -> None:
    """Test plan, '"Not writable primary" error when reading without SecondaryOk bit'.

    The plan is older than the rule that such an error asks for an immediate check ("not writable primary and node is
    recovering"), which holds here.
    """
    # This client does not learn that the primary stepped down: its monitor checks once a minute.
    options: dict[str, Any] = {**_RARELY, "retryReads": False}
    async with observed(disturbed_replica_set.uri, **options) as (client, log):
        primary = await discovered(client)
        async with wiredrv.Client(f"mongodb://{primary}/?directConnection=true") as direct:
            await direct.admin.command({"replSetStepDown": 5, "secondaryCatchUpPeriodSecs": 2})
        log.clear()
        with pytest.raises(NotPrimaryError) as caught:
            await client[DATABASE].things.find_one({})
        (change,) = lost(log, primary)
        told = change.new_description.error
        # The same error, without the frames that it was raised in.
        assert (type(told), str(told)) == (type(caught.value), str(caught.value))
        assert topology_types(log)[0] is TopologyType.REPLICA_SET_NO_PRIMARY
        assert not log.of(events.PoolClearedEvent), "the member lives: its connections are good"
        await log.wait_for(events.ServerHeartbeatSucceededEvent, address=primary)


async def test_node_is_recovering_makes_a_secondary_unknown_and_asks_for_a_check(replica_set: ReplicaSet) -> None:
    """Test plan, '"Node is recovering" error reading with SecondaryOk bit'."""
    name = "sdam-recovering"
    options: dict[str, Any] = {"appName": name, "retryReads": False, **_RARELY}
    async with observed(replica_set.uri, localThresholdMS=30_000, **options) as (client, log):
        await discovered(client)
        first, second = client.topology.secondaries
        log.clear()
        things = client[DATABASE].get_collection("things", read_preference=ReadPreference.SECONDARY)
        # An error about a state that the client already knows tells it nothing new; this code comes without one.
        error = {"errorCode": 91}
        async with (
            fail_command(first, "find", app_name=name, data=error),
            fail_command(second, "find", app_name=name, data=error),
        ):
            with pytest.raises(NotPrimaryError):
                await things.find_one({})
        (address,) = [member for member in (first, second) if lost(log, member)]
        assert set(topology_types(log)) == {TopologyType.REPLICA_SET_WITH_PRIMARY}
        await log.wait_for(events.ServerHeartbeatSucceededEvent, address=address)
        await until(lambda: address in client.topology.secondaries, "the secondary is known again")


async def test_node_is_recovering_from_a_write_concern_error(replica_set: ReplicaSet) -> None:
    """Test plan, '"Node is recovering" error from a write concern error'."""
    name = "sdam-write-concern-error"
    options = {"appName": name, "retryWrites": False, **_RARELY}
    async with observed(replica_set.uri, **options) as (client, log):
        primary = await discovered(client)
        things = client[DATABASE].get_collection("things", write_concern=WriteConcern(w=1))
        log.clear()
        error = {"writeConcernError": {"code": 91, "errmsg": "Replication is being shut down"}}
        async with fail_command(primary, "insert", app_name=name, data=error):
            with pytest.raises(OperationFailure, match="Replication is being shut down"):
                await things.insert_one({})
        (change,) = lost(log, primary)
        assert "Replication is being shut down" in str(change.new_description.error)
        assert topology_types(log)[0] is TopologyType.REPLICA_SET_NO_PRIMARY
        await log.wait_for(events.ServerHeartbeatSucceededEvent, address=primary)
        await until(lambda: client.topology.primary == primary, "the primary is known again")


@pytest.mark.parametrize("direct", [False, True, None])
async def test_discovery_starts_from_one_member_unless_the_connection_is_direct(
    replica_set: ReplicaSet, direct: bool | None
) -> None:
    """Test plan, "Topology discovery and direct connection": without directConnection all members are found."""
    async with wiredrv.Client(replica_set.uri) as client:
        await discovered(client)
        secondary = next(iter(client.topology.secondaries))
    option = "" if direct is None else f"?directConnection={str(direct).lower()}"
    async with wiredrv.Client(f"mongodb://{secondary}/{option}", retryWrites=False) as client:
        if direct:
            with pytest.raises(NotPrimaryError):
                await client[DATABASE].things.insert_one({})
            assert client.topology_description.topology_type is TopologyType.SINGLE
        else:
            await client[DATABASE].things.insert_one({})
            assert client.topology_description.topology_type is TopologyType.REPLICA_SET_WITH_PRIMARY


async def test_monitors_keep_their_distance_after_failed_checks(standalone: Standalone) -> None:
    """Test plan, "Monitors sleep at least minHeartbeatFrequencyMS between checks"."""
    name = "SDAMMinHeartbeatFrequencyTest"
    address = standalone.primary().address
    async with fail_command(address, *HELLOS, times=5, app_name=name, data={"errorCode": 1234}):
        uri = f"mongodb://{address}/?directConnection=true"
        async with wiredrv.Client(uri, appName=name, serverSelectionTimeoutMS=30_000) as client:
            begin = monotonic()
            await client.admin.command({"ping": 1})
            # The plan says at most 3.5 s. It is meant to rule out a pause of heartbeatFrequencyMS, that is 10 s.
            assert 2.0 <= monotonic() - begin < 10


async def test_a_pool_is_ready_after_a_successful_check_and_paused_after_a_failed_one(standalone: Standalone) -> None:
    """Test plan, "Connection Pool Management"."""
    name = "SDAMPoolManagementTest"
    address = standalone.primary().address
    options = {"directConnection": True, "appName": name, "heartbeatFrequencyMS": 500}
    async with observed(standalone.uri, **options) as (_, log):
        await log.wait_for(events.PoolReadyEvent)
        order = [type(event) for event in log.events]
        assert order.index(events.ServerHeartbeatSucceededEvent) < order.index(events.PoolReadyEvent)
        log.clear()
        async with fail_command(address, *HELLOS, times=2, app_name=name, data={"errorCode": 1234}):
            await log.wait_for(events.ServerHeartbeatFailedEvent)
            await log.wait_for(events.PoolClearedEvent)
            log.clear()
            await log.wait_for(events.ServerHeartbeatSucceededEvent)
            await log.wait_for(events.PoolReadyEvent)


async def test_connections_that_an_overloaded_server_refuses_do_not_clear_the_pool(standalone: Standalone) -> None:
    """Test plan, "Connection Pool Backpressure", without TLS."""
    async with wiredrv.Client(standalone.uri) as setup, observed(standalone.uri, maxConnecting=100) as (client, log):
        version = (await setup.server_info())["versionArray"]
        if version < [7, 0]:
            pytest.skip("the server's limit on new connections came with MongoDB 7.0")
        limiter = "ingressConnectionEstablishment"
        for parameter, value in (("RatePerSec", 20), ("BurstCapacitySecs", 1), ("MaxQueueDepth", 1)):
            await setup.admin.command({"setParameter": 1, f"{limiter}{parameter}": value})
        await setup.test.test.insert_one({})
        await setup.admin.command({"setParameter": 1, f"{limiter}RateLimiterEnabled": True})
        try:

            async def slow_read() -> None:
                try:
                    await client.test.test.find_one({"$where": "function() { sleep(2000); return true; }"})
                except DriverError:
                    pass  # many are refused; the events show how

            async with anyio.create_task_group() as group:
                for _ in range(100):
                    group.start_soon(slow_read)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1)  # as in the test plan: until the limiter lets connections in again
                await setup.admin.command({"setParameter": 1, f"{limiter}RateLimiterEnabled": False})
        assert len(log.of(events.ConnectionCheckOutFailedEvent)) >= 10
        assert not log.of(events.PoolClearedEvent)


async def test_a_stream_of_hellos_comes_as_often_as_asked(standalone: Standalone) -> None:
    """tests/README, "Streaming protocol Tests"."""
    async with observed(standalone.uri, heartbeatFrequencyMS=500) as (_, log):
        begin = monotonic()
        await log.wait_for(events.ServerHeartbeatSucceededEvent, count=6)
        # The first answer comes at once, and the second starts the stream.
        assert 1.5 <= monotonic() - begin < 20
        assert all(event.awaited for event in log.of(events.ServerHeartbeatSucceededEvent)[1:])


async def test_round_trip_times_are_measured_all_the_time(standalone: Standalone) -> None:
    """tests/README, "RTT Tests", 1."""
    name = "streamingRttTest"
    address = standalone.primary().address
    async with observed(standalone.uri, heartbeatFrequencyMS=500, appName=name) as (client, log):
        await client[DATABASE].things.find_one({})
        await log.wait_for(events.ServerHeartbeatSucceededEvent, count=4)
        for change in log.of(events.ServerDescriptionChangedEvent):
            assert change.new_description.round_trip_time, "there is a round-trip time, and it is not zero"
        async with fail_command(address, *HELLOS, times=1000, block_ms=500, app_name=name):

            def is_slow() -> bool:
                return (client.topology_description.servers[address].round_trip_time or 0) > 0.25

            await until(is_slow, "a round-trip time of more than 250 ms")


async def test_a_heartbeat_starts_before_its_connection_is_made() -> None:
    """tests/README, "Heartbeat Tests", 1."""
    seen: list[str] = []

    def hear(event: Any) -> None:
        if isinstance(event, events.HeartbeatEvent):
            seen.append(type(event).__name__)

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            seen.append("client connected")
            # Closing the client may cancel a later check before it publishes anything.
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                await stream.receive()
                seen.append("client hello received")

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        uri = f"mongodb://127.0.0.1:{port}"
        async with wiredrv.Client(uri, event_listeners=[hear], serverSelectionTimeoutMS=1500) as client:
            with pytest.raises(ServerSelectionTimeoutError):
                await client.admin.command({"ping": 1})
        group.cancel_scope.cancel()
    assert seen[:4] == [
        "ServerHeartbeatStartedEvent",
        "client connected",
        "client hello received",
        "ServerHeartbeatFailedEvent",
    ]


async def test_every_heartbeat_that_starts_has_its_end_before_the_topology_is_closed(replica_set: ReplicaSet) -> None:
    """SDAM logging and monitoring, "Heartbeats", and "Events API": the closing of the topology is the last event."""
    async with observed(replica_set.uri, heartbeatFrequencyMS=500) as (client, log):
        await discovered(client)
        await log.wait_for(events.ServerHeartbeatStartedEvent, count=8)
    ended = (events.ServerHeartbeatSucceededEvent, events.ServerHeartbeatFailedEvent)
    for address in {event.address for event in log.of(events.ServerHeartbeatStartedEvent)}:
        beats = log.of(events.HeartbeatEvent, address=address)
        starts, ends = beats[::2], beats[1::2]
        assert len(starts) == len(ends)
        assert all(isinstance(event, events.ServerHeartbeatStartedEvent) for event in starts)
        assert all(isinstance(event, ended) for event in ends)
    sdam = (events.TopologyEvent, events.ServerEvent, events.HeartbeatEvent)
    assert isinstance([event for event in log.events if isinstance(event, sdam)][-1], events.TopologyClosedEvent)
