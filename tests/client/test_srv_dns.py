"""mongodb+srv through a DNS server on loopback: opening clients, and the polling of SRV records.

Specifications: initial-dns-seedlist-discovery (its own cases are a suite of ``spec_tests``);
polling-srv-records-for-mongos-discovery with its prose tests.
"""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from tests.support.dns_records import DOMAIN
from tests.support.dns_server import FakeDNSServer
from wiredrv import Client
from wiredrv.description import ServerDescription, TopologyDescription, TopologyType
from wiredrv.errors import ConfigurationError, OperationTimeout
from wiredrv.net.resolver import Resolver, SRVAnswer
from wiredrv.topology.settings import TopologySettings
from wiredrv.topology.srv_poller import MIN_RESCAN_INTERVAL, SRVPoller
from wiredrv.types import Address

pytestmark = pytest.mark.anyio


async def test_a_host_that_dns_does_not_know_is_named() -> None:
    with FakeDNSServer({}) as dns:
        client = Client(f"mongodb+srv://test9.{DOMAIN}/")
        client._core._resolver = Resolver(dns.address)
        with pytest.raises(ConfigurationError, match=rf"no SRV records for '_mongodb\._tcp\.test9\.{DOMAIN}'"):
            await client.open()


async def test_a_client_that_could_not_be_opened_can_be_opened_later() -> None:
    with FakeDNSServer({}) as dns:
        client = Client(f"mongodb+srv://test1.{DOMAIN}/", tls=False)
        client._core._resolver = Resolver(dns.address)
        with pytest.raises(ConfigurationError):
            await client.open()
        dns.srv[NAME] = [A]
        async with client:
            assert client._core._resolved.topology.seeds == (A,)


async def test_opening_counts_for_the_operation_that_needs_it_and_goes_on_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered = anyio.Event()
    genuine = Resolver.srv

    async def late(self: Resolver, host: str, service: str) -> SRVAnswer:
        await answered.wait()
        return await genuine(self, host, service)

    monkeypatch.setattr(Resolver, "srv", late)
    with FakeDNSServer({NAME: [A]}) as dns:
        client = Client(f"mongodb+srv://test1.{DOMAIN}/", tls=False, timeoutMS=100)
        client._core._resolver = Resolver(dns.address)
        with anyio.fail_after(5):
            with pytest.raises(OperationTimeout, match="time limit of 100 ms went to opening the client") as caught:
                await client.shop.orders.find_one({})
            assert caught.value.timeout
            async with client.start_session() as session:
                with pytest.raises(OperationTimeout, match="'insert' was not sent"):
                    await client.shop.orders.insert_one({}, session=session)
            answered.set()
            async with client:
                assert client._core._resolved.topology.seeds == (A,)


class FakeTopology:
    """Stands in for a topology: it keeps a description, and nothing connects."""

    def __init__(self, kind: TopologyType, hosts: Sequence[Address]) -> None:
        self.description = TopologyDescription(kind, {host: ServerDescription(host) for host in hosts})
        self.is_open = True
        self.taken = 0

    def take_over(self, description: TopologyDescription) -> None:
        self.taken += 1
        self.description = description

    @property
    def hosts(self) -> set[Address]:
        return set(self.description.servers)


A, B, C, D = (Address(f"{name}.{DOMAIN}", 27017) for name in "abcd")
NAME = f"_mongodb._tcp.test1.{DOMAIN}"


def poller(dns: FakeDNSServer, *, service: str = "mongodb", max_hosts: int = 0, ttl: float = 0) -> SRVPoller:
    settings = TopologySettings(
        srv_host=f"test1.{DOMAIN}", srv_service_name=service, srv_max_hosts=max_hosts, heartbeat_frequency=7
    )
    return SRVPoller(settings, Resolver(dns.address), ttl)


class TestPolling:
    """Prose tests 1 to 5 and 9 to 13 of polling-srv-records-for-mongos-discovery, without the mongos behind it."""

    @pytest.mark.parametrize(
        "records",
        [
            pytest.param([A, B, C], id="1. a record is added"),
            pytest.param([A], id="2. a record is removed"),
            pytest.param([A, C], id="3. a record is replaced"),
            pytest.param([C], id="4. all records are replaced by one"),
            pytest.param([C, D], id="5. all records are replaced by two"),
        ],
    )
    async def test_the_topology_follows_the_records(self, records: list[Address]) -> None:
        topology = FakeTopology(TopologyType.SHARDED, [A, B])
        with FakeDNSServer({NAME: records}) as dns:
            await poller(dns).poll(topology)
        assert topology.hosts == set(records)

    @pytest.mark.parametrize(
        "records", [pytest.param([], id="7. no records"), pytest.param([Address("evil.example", 1)], id="a stranger")]
    )
    async def test_an_answer_without_a_usable_host_changes_nothing(self, records: list[Address]) -> None:
        topology = FakeTopology(TopologyType.SHARDED, [A, B])
        with FakeDNSServer({NAME: records}) as dns:
            polls = poller(dns, ttl=500)
            await polls.poll(topology)
        assert (topology.taken, topology.hosts) == (0, {A, B})
        assert polls.interval == 7

    async def test_dns_that_fails_changes_nothing(self) -> None:
        """6. A DNS error."""
        topology = FakeTopology(TopologyType.SHARDED, [A, B])
        with FakeDNSServer({}) as dns:
            gone = dns.address
        polls = SRVPoller(
            TopologySettings(srv_host=f"test1.{DOMAIN}", heartbeat_frequency=7), Resolver(gone, lifetime=0.2), 0
        )
        await polls.poll(topology)
        assert topology.taken == 0

    async def test_strangers_among_the_records_are_left_out(self) -> None:
        topology = FakeTopology(TopologyType.SHARDED, [A])
        with FakeDNSServer({NAME: [B, Address("evil.example", 1)]}) as dns:
            await poller(dns).poll(topology)
        assert topology.hosts == {B}

    async def test_a_topology_that_is_no_sharded_cluster_is_left_alone(self) -> None:
        """8 and 9: no polling for a replica set or a load balancer."""
        for kind in (TopologyType.REPLICA_SET_WITH_PRIMARY, TopologyType.LOAD_BALANCED):
            topology = FakeTopology(kind, [A])
            with FakeDNSServer({NAME: [B]}) as dns:
                polls = poller(dns)
                polls.interval = 0
                await polls.run(topology)
                assert dns.questions == []
            assert topology.hosts == {A}

    @pytest.mark.parametrize(
        "max_hosts, count",
        [
            pytest.param(0, 4, id="10. srvMaxHosts is 0"),
            pytest.param(4, 4, id="11. srvMaxHosts is the number of records"),
            pytest.param(2, 2, id="12. srvMaxHosts is less"),
        ],
    )
    async def test_srv_max_hosts(self, max_hosts: int, count: int) -> None:
        topology = FakeTopology(TopologyType.SHARDED, [A, B])
        with FakeDNSServer({NAME: [A, B, C, D]}) as dns:
            await poller(dns, max_hosts=max_hosts).poll(topology)
        assert len(topology.hosts) == count
        assert {A, B} <= topology.hosts

    async def test_the_service_name_is_asked_for(self) -> None:
        """13. srvServiceName."""
        topology = FakeTopology(TopologyType.SHARDED, [A])
        with FakeDNSServer({f"_custom._tcp.test1.{DOMAIN}": [B]}) as dns:
            await poller(dns, service="custom").poll(topology)
        assert topology.hosts == {B}

    @pytest.mark.parametrize("ttl, interval", [(5, MIN_RESCAN_INTERVAL), (3600, 3600)])
    async def test_the_interval_is_the_ttl_but_a_minute_at_least(self, ttl: int, interval: float) -> None:
        topology = FakeTopology(TopologyType.SHARDED, [A])
        with FakeDNSServer({NAME: [A]}, ttl=ttl) as dns:
            polls = poller(dns)
            await polls.poll(topology)
        assert polls.interval == interval


async def test_the_resolver_reports_the_ttl() -> None:
    with FakeDNSServer({NAME: [A]}, ttl=77) as dns:
        assert await Resolver(dns.address).srv(f"test1.{DOMAIN}") == SRVAnswer((A,), 77.0)
