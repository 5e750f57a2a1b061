"""SRV records: which of the hosts in them may be used, and how a later answer changes the topology. Pure; no look-ups.

Specifications: initial-dns-seedlist-discovery ("Querying DNS"), polling-srv-records-for-mongos-discovery.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeAlias

from wiredrv.description import ServerDescription, TopologyDescription
from wiredrv.errors import ConfigurationError
from wiredrv.types import Address

#: Puts a list in random order, in place (a Fisher-Yates shuffle, as ``random.shuffle`` is).
Shuffle: TypeAlias = Callable[[list[Address]], None]


def shares_srv_domain(srv_host: str, host: str) -> bool:
    """Whether ``host`` lies in the domain of ``srv_host``, so that its SRV record can be trusted.

    A host of three or more parts stands for the domain after its first part; a shorter one is the domain itself, and
    a target must be at least one level below.
    """
    parts = srv_host.rstrip(".").lower().split(".")
    domain = ".".join(parts[1:] if len(parts) >= 3 else parts)
    return host.rstrip(".").lower().endswith("." + domain)


def check_srv_hosts(srv_host: str, hosts: Sequence[Address]) -> None:
    """Check the answer to the first look-up.

    :raises ConfigurationError: it names no host, or one outside of the domain.
    """
    if not hosts:
        raise ConfigurationError(f"DNS has no SRV records for {srv_host!r}: check the host of the connection string")
    for host in hosts:
        if not shares_srv_domain(srv_host, host.host):
            raise ConfigurationError(
                f"the SRV records of {srv_host!r} name {host.host!r}, which lies outside of its domain: "
                "they are not trusted"
            )


def pick_srv_hosts(hosts: Iterable[Address], max_hosts: int, shuffle: Shuffle | None = None) -> tuple[Address, ...]:
    """Choose the seeds: all hosts, or ``max_hosts`` of them at random; 0 means all."""
    unique = list(dict.fromkeys(hosts))
    if 0 < max_hosts < len(unique):
        (shuffle or random.shuffle)(unique)
        del unique[max_hosts:]
    return tuple(unique)


def apply_srv_hosts(
    topology: TopologyDescription, hosts: Iterable[Address], max_hosts: int, shuffle: Shuffle | None = None
) -> TopologyDescription:
    """Apply a later answer to a topology of type Unknown or Sharded.

    Servers that are no longer in the records are removed; new ones are added as Unknown, at random up to ``max_hosts``
    in all. The caller drops targets outside of the domain before (they are skipped, with a warning in the log).
    """
    named = list(dict.fromkeys(hosts))
    kept = {address: server for address, server in topology.servers.items() if address in named}
    new = [address for address in named if address not in kept]
    vacancies = max_hosts - len(kept) if max_hosts else len(new)
    joining = pick_srv_hosts(new, vacancies, shuffle) if vacancies > 0 else ()
    servers = kept | {address: ServerDescription(address) for address in joining}
    return replace(topology, servers=servers)
