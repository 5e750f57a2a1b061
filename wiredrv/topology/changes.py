"""The differences between two topology descriptions, for the SDAM events. Pure.

Specification: server-discovery-and-monitoring ("Server Description Equality") and its logging and monitoring part
("Events API"). The order in which a change is published: changed servers, closed servers, the topology, opened
servers.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from wiredrv.description import ServerDescription, ServerType, TopologyDescription, TopologyType
from wiredrv.types import Address

#: The fields that count for equality: times and what only grows with every check do not.
_COMPARED = attrgetter(
    "address",
    "server_type",
    "min_wire_version",
    "max_wire_version",
    "me",
    "hosts",
    "passives",
    "arbiters",
    "tags",
    "set_name",
    "set_version",
    "election_id",
    "primary",
    "logical_session_timeout_minutes",
    "topology_version",
    "i_crypt_dbs",
)


def same_server(one: ServerDescription, other: ServerDescription) -> bool:
    """Whether two descriptions of a server are equal, so that no event is published."""
    return one is other or (_error_text(one) == _error_text(other) and bool(_COMPARED(one) == _COMPARED(other)))


def _error_text(server: ServerDescription) -> tuple[Any, str]:
    return type(server.error), str(server.error)


@dataclass(frozen=True, slots=True)
class TopologyChange:
    """The difference between two topology descriptions.

    :param changed: the servers that were there before and after with different descriptions, each as (old, new).
    :param closed: the servers that left.
    :param opened: the servers that joined.
    :param topology_changed: whether anything of the topology, its servers included, changed.
    """

    changed: tuple[tuple[ServerDescription, ServerDescription], ...] = ()
    closed: tuple[Address, ...] = ()
    opened: tuple[Address, ...] = ()
    topology_changed: bool = False


def changes(old: TopologyDescription, new: TopologyDescription) -> TopologyChange:
    """The changes of the servers, and whether the topology changed."""
    if old is new:
        return TopologyChange()
    changed = tuple(
        (before, new.servers[address])
        for address, before in old.servers.items()
        if address in new.servers and not same_server(before, new.servers[address])
    )
    closed = tuple(address for address in old.servers if address not in new.servers)
    opened = tuple(address for address in new.servers if address not in old.servers)
    topology_changed = bool(changed or closed or opened) or _outline(old) != _outline(new)
    return TopologyChange(changed, closed, opened, topology_changed)


def _outline(topology: TopologyDescription) -> tuple[Any, ...]:
    return (
        topology.topology_type,
        topology.set_name,
        topology.max_set_version,
        topology.max_election_id,
        topology.compatibility_error,
        topology.logical_session_timeout_minutes,
    )


def makes_pool_ready(server: ServerDescription, topology_type: TopologyType) -> bool:
    """Whether a successful check with this outcome marks the server's pool as ready ("Connection Pool Management")."""
    return server.is_data_bearing or (
        topology_type is TopologyType.SINGLE and server.server_type is not ServerType.UNKNOWN
    )
