"""Which hosts of SRV records may be used, and what a later look-up changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiredrv.description import ServerDescription, ServerType, TopologyDescription, TopologyType
from wiredrv.topology.srv import apply_srv_hosts, pick_srv_hosts, shares_srv_domain
from wiredrv.types import Address

HOSTS = [Address(f"h{number}.example.com") for number in range(6)]


@pytest.mark.parametrize(
    "srv_host, host, expected",
    [
        ("server.mongodb.com", "mongodb1.mongodb.com", True),
        ("server.mongodb.com", "a.b.mongodb.com", True),
        ("SERVER.MongoDB.com", "MongoDB1.mongodb.COM.", True),
        ("server.mongodb.com", "mongodb.com", False),
        ("server.mongodb.com", "evilmongodb.com", False),
        ("server.mongodb.com", "mongodb.com.evil.org", False),
        ("a.b.c.example.com", "x.b.c.example.com", True),
        ("a.b.c.example.com", "x.c.example.com", False),
        ("mongodb.local", "mongodb.local", False),
        ("mongodb.local", "a.mongodb.local", True),
        ("mongodb.local", "test_1.evil.local", False),
        ("localhost", "localhost", False),
        ("localhost", "a.localhost", True),
        ("localhost", "localhost.evil", False),
    ],
)
def test_domains(srv_host: str, host: str, expected: bool) -> None:
    assert shares_srv_domain(srv_host, host) is expected


def _sharded(hosts: list[Address]) -> TopologyDescription:
    return TopologyDescription(
        TopologyType.SHARDED, {host: ServerDescription(host, ServerType.MONGOS) for host in hosts}
    )


def test_servers_that_the_records_no_longer_name_leave_and_new_ones_join() -> None:
    before = _sharded(HOSTS[:2])
    after = apply_srv_hosts(before, HOSTS[1:3], 0)
    assert list(after.servers) == HOSTS[1:3]
    assert after.servers[HOSTS[1]] is before.servers[HOSTS[1]]
    assert after.servers[HOSTS[2]].server_type is ServerType.UNKNOWN


@given(st.sets(st.sampled_from(HOSTS)), st.sets(st.sampled_from(HOSTS)), st.integers(0, 7))
def test_limits_hold_and_known_servers_stay(known: set[Address], named: set[Address], limit: int) -> None:
    if limit:
        known = set(sorted(known)[:limit])
    after = set(apply_srv_hosts(_sharded(sorted(known)), sorted(named), limit).servers)
    assert known & named <= after <= named
    assert len(after) == (min(limit, len(named)) if limit else len(named))


@given(st.integers(0, 8))
def test_seeds_are_distinct_and_limited(limit: int) -> None:
    seeds = pick_srv_hosts(HOSTS + HOSTS, limit)
    assert len(seeds) == len(set(seeds)) == (min(limit, 6) if limit else 6)
