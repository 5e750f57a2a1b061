"""The prose tests of connection-monitoring-and-pooling (tests/README.md), by number, and tests of a busy client."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import anyio
import pytest

import wiredrv
from tests.support.event_log import EventLog
from tests.support.failpoints import fail_command
from tests.support.fake_server import FakeServer, fine, with_sessions
from tests.support.waiting import until
from wiredrv import events
from wiredrv.errors import AutoReconnect, ConfigurationError
from wiredrv.events import ConnectionPoolListener
from wiredrv.local import ReplicaSet, Standalone
from wiredrv.pool.settings import PoolSettings

pytestmark = pytest.mark.anyio

OPTIONS: dict[str, Any] = {
    "maxPoolSize": 11,
    "minPoolSize": 1,
    "maxIdleTimeMS": 12_000,
    "maxConnecting": 3,
    "waitQueueTimeoutMS": 13_000,
}
SETTINGS = PoolSettings(11, 1, 12.0, 3, 13.0)


@pytest.mark.parametrize("option", OPTIONS)
def test_1_pool_options_are_options_of_the_client_alone(option: str) -> None:
    """CMAP, prose test 1."""
    client = wiredrv.Client("mongodb://localhost", **{option: OPTIONS[option]})
    makers: list[Any] = [client.get_database, client.shop.get_collection, client.start_session]
    for make in makers:
        with pytest.raises(TypeError, match=option):
            make("name", **{option: OPTIONS[option]})


async def test_2_all_pools_of_a_client_have_the_same_options(replica_set: ReplicaSet) -> None:
    """CMAP, prose test 2."""
    log = EventLog()
    async with wiredrv.Client(replica_set.uri, event_listeners=[log], **OPTIONS) as client:
        await client.admin.command({"ping": 1})
        await log.wait_for(events.PoolCreatedEvent, count=3)
    assert [event.options for event in log.of(events.PoolCreatedEvent)] == [OPTIONS] * 3


def test_3_pool_options_can_be_given_in_the_connection_string() -> None:
    """CMAP, prose test 3: the connection string and keyword arguments are equivalent."""
    by_uri = wiredrv.Client(f"mongodb://localhost/?{urlencode(OPTIONS)}")
    by_keyword = wiredrv.Client("mongodb://localhost", **OPTIONS)
    assert by_uri._core.settings.pool == by_keyword._core.settings.pool == SETTINGS


def test_a_least_size_above_the_greatest_is_refused() -> None:
    """CMAP, "Connection Pool Options"."""
    with pytest.raises(ConfigurationError, match=r"minPoolSize \(3\) is greater than maxPoolSize \(2\)"):
        wiredrv.Client("mongodb://localhost/?minPoolSize=3&maxPoolSize=2")


async def test_4_users_can_listen_to_pool_events(standalone: Standalone) -> None:
    """CMAP, prose test 4: an object with a method for each event, or any callable."""
    methods: list[str] = []

    class Listener(ConnectionPoolListener):
        def connection_created(self, event: events.ConnectionCreatedEvent) -> None:
            methods.append("created")

        def connection_checked_out(self, event: events.ConnectionCheckedOutEvent) -> None:
            methods.append("checked out")

    log = EventLog()
    async with wiredrv.Client(standalone.uri, event_listeners=[Listener(), log]) as client:
        await client.admin.command({"ping": 1})
        assert methods == ["created", "checked out"]
        pool = [type(event).__name__ for event in log.of(events.PoolEvent)]
    assert pool == [
        "PoolCreatedEvent",
        "PoolReadyEvent",
        "ConnectionCheckOutStartedEvent",
        "ConnectionCreatedEvent",
        "ConnectionReadyEvent",
        "ConnectionCheckedOutEvent",
        "ConnectionCheckedInEvent",
    ]


async def test_5_a_check_out_whose_connection_cannot_be_set_up_is_told_as_a_connection_error(
    standalone: Standalone,
) -> None:
    """CMAP, prose test 5."""
    name = "cmap-connection-error"
    log = EventLog()
    address = standalone.primary().address
    # Polling, so that only the first check meets the fail point.
    options: dict[str, Any] = {"appName": name, "retryReads": False, "serverMonitoringMode": "poll"}
    async with wiredrv.Client(standalone.uri, event_listeners=[log], maxAdaptiveRetries=0, **options) as client:
        await log.wait_for(events.PoolReadyEvent)
        async with fail_command(
            address, "hello", "isMaster", "ismaster", app_name=name, data={"closeConnection": True}
        ):
            with pytest.raises(AutoReconnect) as caught:
                await client.admin.command({"ping": 1})
    (failed,) = log.of(events.ConnectionCheckOutFailedEvent)
    assert (failed.reason, failed.error) == ("connectionError", caught.value)
    (closed,) = log.of(events.ConnectionClosedEvent)
    assert (closed.reason, closed.error) == ("error", caught.value)
    assert not log.of(events.PoolClearedEvent), "the server may be overloaded (backpressure)"


async def test_a_pool_is_filled_in_the_background_and_again_after_a_failover_of_its_server(
    standalone: Standalone,
) -> None:
    """CMAP, "Populating the Pool with a Connection"; SDAM, "Connection Pool Management"."""
    name = "cmap-populate"
    log = EventLog()
    options: dict[str, Any] = {"appName": name, "heartbeatFrequencyMS": 500, "minPoolSize": 3}
    async with wiredrv.Client(standalone.uri, event_listeners=[log], **options):
        await log.wait_for(events.ConnectionReadyEvent, count=3)
        address = standalone.primary().address
        async with fail_command(
            address, "hello", "isMaster", "ismaster", times=2, app_name=name, data={"errorCode": 91}
        ):
            await log.wait_for(events.PoolClearedEvent)
            await log.wait_for(events.ConnectionClosedEvent, count=3, reason="stale")
        await log.wait_for(events.ConnectionReadyEvent, count=6)
    assert len(log.of(events.ConnectionCreatedEvent)) >= 6
    assert not log.of(events.ConnectionCheckOutStartedEvent), "no operation took part"


async def test_many_operations_share_few_connections_in_turn(standalone: Standalone) -> None:
    """CMAP, "WaitQueue": the queue is fair, and no more than maxPoolSize connections exist."""
    log = EventLog()
    async with wiredrv.Client(standalone.uri, event_listeners=[log], maxPoolSize=2) as client:
        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(client.admin.command, {"ping": 1})
        started = log.of(events.ConnectionCheckOutStartedEvent)
        assert len(started) == len(log.of(events.ConnectionCheckedOutEvent)) == 50
        assert len(log.of(events.ConnectionCreatedEvent)) == 2


def _members(client: wiredrv.Client) -> set[str]:
    return {server.server_type.value for server in client.topology_description.servers.values()}


async def test_an_operation_that_waits_for_a_server_that_leaves_the_deployment_goes_to_another() -> None:
    """Not a prose test. A reconfiguration is no reason for an error where the operation can be retried."""
    release = threading.Event()

    def slowly(command: dict[str, Any]) -> Mapping[str, Any]:
        if "find" in command:
            release.wait(10)
        return fine(command)

    with FakeServer(with_sessions()) as primary, FakeServer(with_sessions(), slowly) as secondary:
        hosts = [str(primary.address), str(secondary.address)]
        primary.hello.update(setName="rs", hosts=hosts, me=hosts[0], setVersion=1)
        secondary.hello.update(
            setName="rs", hosts=hosts, me=hosts[1], ismaster=False, isWritablePrimary=False, secondary=True
        )
        uri = f"mongodb://{','.join(hosts)}/?replicaSet=rs&readPreference=secondaryPreferred"
        async with wiredrv.Client(uri, maxPoolSize=1, heartbeatFrequencyMS=500) as client:
            orders = client.shop.orders
            await until(lambda: _members(client) == {"RSPrimary", "RSSecondary"}, "both members")
            found: list[Any] = []

            async def find() -> None:
                found.append(await orders.find_one({}))

            async with anyio.create_task_group() as group:
                group.start_soon(find)
                await until(lambda: len(secondary.commands) == 1, "the only connection is in use")
                group.start_soon(find)
                primary.hello.update(hosts=hosts[:1], setVersion=2)
                await until(lambda: any("find" in command for command in primary.commands), "the other find")
                release.set()
            assert found == [None, None]
