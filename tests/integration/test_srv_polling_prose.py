"""The prose tests of polling-srv-records-for-mongos-discovery, by number: real clients, four doubles of routers.

DNS is a fake server on loopback for SRV and TXT, and the system's look-up for the one host that its records name. The
shortest interval between look-ups is a fraction of a second here.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

import wiredrv
from tests.support.dns_records import DOMAIN
from tests.support.dns_server import FakeDNSServer
from tests.support.sharded_double import ShardedDouble
from tests.support.waiting import until
from wiredrv.local import ReplicaSet
from wiredrv.net.resolver import Resolver
from wiredrv.topology import srv_poller
from wiredrv.types import Address

pytestmark = pytest.mark.anyio

HOST = f"localhost.{DOMAIN}"
NAME = f"_mongodb._tcp.test1.{DOMAIN}"
_INTERVAL = 0.05


@pytest.fixture(scope="module")
def ports(replica_set: ReplicaSet) -> Iterator[list[int]]:
    """The ports that four routers listen on."""
    with ShardedDouble.before(replica_set, routers=4) as double:
        yield [router.address.port or 0 for router in double.routers]


@pytest.fixture(autouse=True)
def _quick_and_local(monkeypatch: pytest.MonkeyPatch) -> None:
    original = socket.getaddrinfo

    def look_up(host: Any, *rest: Any, **options: Any) -> Any:
        ours = host in (HOST, HOST.encode())
        return original("127.0.0.1" if ours else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(srv_poller, "MIN_RESCAN_INTERVAL", _INTERVAL)


def at(*numbers: int) -> list[Address]:
    return [Address(HOST, number) for number in numbers]


def hosts(client: wiredrv.Client) -> set[Address]:
    return set(client.topology_description.servers)


@asynccontextmanager
async def _scene(
    records: list[Address], options: str = "", name: str = NAME, host: str = "test1"
) -> AsyncIterator[tuple[wiredrv.Client, FakeDNSServer]]:
    with FakeDNSServer({name: records}, ttl=0) as dns:
        uri = f"mongodb+srv://{host}.{DOMAIN}/?tls=false&heartbeatFrequencyMS=500{options}"
        client = wiredrv.Client(uri, serverSelectionTimeoutMS=5000)
        client._core._resolver = Resolver(dns.address, lifetime=1)
        async with client:
            yield client, dns


async def _polled(dns: FakeDNSServer, times: int = 3) -> None:
    """Wait until the records were looked up a few more times."""
    seen = len(dns.questions)
    await until(lambda: len(dns.questions) >= seen + times, "the records are looked up again")


@pytest.mark.parametrize(
    "then",
    [
        pytest.param([0, 1, 2], id="1. a record is added"),
        pytest.param([0], id="2. a record is removed"),
        pytest.param([0, 2], id="3. a record is replaced"),
        pytest.param([2], id="4. both records are replaced by one"),
        pytest.param([2, 3], id="5. both records are replaced by two"),
    ],
)
async def test_the_client_follows_the_records(then: list[int], ports: list[int]) -> None:
    """Prose tests 1 to 5; the client works before and after."""
    async with _scene(at(ports[0], ports[1])) as (client, dns):
        assert (await client.admin.command("ping"))["ok"] == 1
        assert hosts(client) == set(at(ports[0], ports[1]))
        wanted = set(at(*(ports[number] for number in then)))
        dns.srv[NAME] = list(wanted)
        await until(lambda: hosts(client) == wanted, "the client follows the records")
        assert (await client.admin.command("ping"))["ok"] == 1


async def test_6_a_look_up_that_times_out_changes_nothing(ports: list[int]) -> None:
    async with _scene(at(ports[0], ports[1])) as (client, _):
        await client.admin.command("ping")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            silent.setblocking(False)
            client._core._resolver._lifetime = 0.1
            client._core._resolver._nameserver = Address(*silent.getsockname())
            asked = 0

            def asked_often() -> bool:
                nonlocal asked
                with contextlib.suppress(BlockingIOError):
                    while silent.recv(512):
                        asked += 1
                return asked >= 3

            await until(asked_often, "the server that does not answer is asked again and again")
        assert hosts(client) == set(at(ports[0], ports[1]))
        assert (await client.admin.command("ping"))["ok"] == 1


@pytest.mark.parametrize("records", [pytest.param(None, id="7. a failure"), pytest.param([], id="8. no records")])
async def test_an_answer_without_records_changes_nothing(records: list[Address] | None, ports: list[int]) -> None:
    """Prose tests 7 and 8."""
    async with _scene(at(ports[0], ports[1])) as (client, dns):
        await client.admin.command("ping")
        if records is None:
            del dns.srv[NAME]
        else:
            dns.srv[NAME] = records
        await _polled(dns)
        assert hosts(client) == set(at(ports[0], ports[1]))
        assert (await client.admin.command("ping"))["ok"] == 1


async def test_9_behind_a_load_balancer_nothing_is_polled(sharded_double: ShardedDouble) -> None:
    balancer = Address.parse(sharded_double.single_uri.removeprefix("mongodb://").partition("/")[0])
    name = f"_mongodb._tcp.test3.{DOMAIN}"
    assert balancer.port is not None
    async with _scene(at(balancer.port), "&loadBalanced=true", name, "test3") as (client, dns):
        await client.admin.command("ping")
        seen = len(dns.questions)
        dns.srv[name] = at(balancer.port, balancer.port + 1)
        await anyio.sleep(4 * _INTERVAL)  # nothing may happen, so there is no event to wait for
        assert len(dns.questions) == seen
        assert hosts(client) == set(at(balancer.port))


@pytest.mark.parametrize(
    ("limit", "then", "count"),
    [
        pytest.param(0, [0, 2, 3], 3, id="10. no limit"),
        pytest.param(2, [2, 3], 2, id="11. as many as records"),
        pytest.param(2, [0, 2, 3], 2, id="12. fewer than records"),
    ],
)
async def test_srv_max_hosts(limit: int, then: list[int], count: int, ports: list[int]) -> None:
    """Prose tests 10 to 12: known hosts stay if the records still name them."""
    records = set(at(*(ports[number] for number in then)))
    async with _scene(at(ports[0], ports[1]), f"&srvMaxHosts={limit}") as (client, dns):
        await client.admin.command("ping")
        dns.srv[NAME] = list(records)
        await until(lambda: hosts(client) <= records and len(hosts(client)) == count, "the client follows the records")
        await _polled(dns)
        assert len(hosts(client)) == count
        if 0 in then:
            assert Address(HOST, ports[0]) in hosts(client)
        assert (await client.admin.command("ping"))["ok"] == 1


async def test_13_the_service_name_is_asked_for(ports: list[int]) -> None:
    name = f"_customname._tcp.test22.{DOMAIN}"
    async with _scene(at(ports[0]), "&srvServiceName=customname", name, "test22") as (client, dns):
        await client.admin.command("ping")
        dns.srv[name] = at(ports[2], ports[3])
        await until(lambda: hosts(client) == set(at(ports[2], ports[3])), "the client follows the records")
