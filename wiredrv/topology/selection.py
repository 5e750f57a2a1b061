"""Server selection: the suitable servers, the choice among them, and the error message if there is none. Pure.

Rules kept here:

* A preference of None means that the operation writes.
* The steps follow the specification's order: mode, staleness, tags, then the latency window; deprioritised servers
  are left out first and come back only when nothing else is suitable.
* Deprioritised servers are named by their addresses: a description may change between two attempts.

Specifications: server-selection ("Server Selection Algorithm"), max-staleness.
"""

from __future__ import annotations

import random as _random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from wiredrv.concerns import NO_MAX_STALENESS, SMALLEST_MAX_STALENESS, ReadMode, ReadPreference
from wiredrv.description import ServerDescription, ServerType, TopologyDescription, TopologyType
from wiredrv.errors import ConfigurationError
from wiredrv.types import Address

#: How often an idle primary writes, in seconds (max-staleness, "idleWritePeriodMS").
IDLE_WRITE_PERIOD = 10.0

_PRIMARY, _SECONDARY = ServerType.RS_PRIMARY, ServerType.RS_SECONDARY
_REPLICA_SET = (TopologyType.REPLICA_SET_WITH_PRIMARY, TopologyType.REPLICA_SET_NO_PRIMARY)

Servers = Sequence[ServerDescription]


def candidates(
    topology: TopologyDescription,
    preference: ReadPreference | None,
    *,
    local_threshold: float,
    heartbeat_frequency: float,
    deprioritized: Collection[Address] = (),
) -> tuple[ServerDescription, ...]:
    """The suitable servers in the latency window, of which :func:`choose` takes one.

    :param preference: the read preference, or None for a write.
    :param local_threshold: seconds that a server may be slower than the fastest suitable one.
    :param heartbeat_frequency: seconds between two checks, for the estimate of staleness.
    :param deprioritized: servers to leave out while there are others.
    :raises ConfigurationError: ``maxStalenessSeconds`` is too small for this topology.
    """
    suitable = suitable_servers(topology, preference, heartbeat_frequency, deprioritized)
    return in_latency_window(suitable, local_threshold)


def suitable_servers(
    topology: TopologyDescription,
    preference: ReadPreference | None,
    heartbeat_frequency: float,
    deprioritized: Collection[Address] = (),
) -> tuple[ServerDescription, ...]:
    """The servers that are suitable for an operation, whatever their latency. See :func:`candidates`."""
    if preference is not None:
        check_max_staleness(topology, preference, heartbeat_frequency)
    servers = tuple(topology.servers.values())
    preferred = tuple(server for server in servers if server.address not in deprioritized)
    found = _suitable(topology, preferred, preference, heartbeat_frequency)
    if not found and len(preferred) < len(servers):
        found = _suitable(topology, servers, preference, heartbeat_frequency)
    return found


def _suitable(
    topology: TopologyDescription,
    servers: Servers,
    preference: ReadPreference | None,
    heartbeat_frequency: float,
) -> tuple[ServerDescription, ...]:
    kind = topology.topology_type
    if kind is TopologyType.UNKNOWN:
        return ()
    if kind is TopologyType.SINGLE:
        return tuple(server for server in servers if server.server_type is not ServerType.UNKNOWN)
    if kind is TopologyType.SHARDED:
        return tuple(server for server in servers if server.server_type is ServerType.MONGOS)
    if kind is TopologyType.LOAD_BALANCED:
        return tuple(server for server in servers if server.server_type is ServerType.LOAD_BALANCER)
    if preference is None or preference.mode is ReadMode.PRIMARY:
        return _of_type(servers, _PRIMARY)
    return _eligible_members(topology, servers, preference, heartbeat_frequency)


def _eligible_members(
    topology: TopologyDescription, servers: Servers, preference: ReadPreference, heartbeat_frequency: float
) -> tuple[ServerDescription, ...]:
    primary = _of_type(servers, _PRIMARY)
    if preference.mode is ReadMode.PRIMARY_PREFERRED and primary:
        return primary
    found = primary if preference.mode is ReadMode.NEAREST else ()
    found += _of_type(servers, _SECONDARY)
    if preference.max_staleness != NO_MAX_STALENESS:
        limit = preference.max_staleness
        found = tuple(s for s in found if staleness(topology, s, heartbeat_frequency) <= limit)
    found = _matching_tags(found, preference.tag_sets)
    return primary if not found and preference.mode is ReadMode.SECONDARY_PREFERRED else found


def _of_type(servers: Servers, server_type: ServerType) -> tuple[ServerDescription, ...]:
    return tuple(server for server in servers if server.server_type is server_type)


def _matching_tags(
    servers: tuple[ServerDescription, ...], tag_sets: Sequence[Mapping[str, str]]
) -> tuple[ServerDescription, ...]:
    """The servers that match the first tag set that any server matches."""
    if not tag_sets:
        return servers
    for tag_set in tag_sets:
        found = tuple(server for server in servers if tag_set.items() <= server.tags.items())
        if found:
            return found
    return ()


# --- staleness ------------------------------------------------------------------------------------------------------


def check_max_staleness(topology: TopologyDescription, preference: ReadPreference, heartbeat_frequency: float) -> None:
    """Check ``maxStalenessSeconds`` where it counts: in a replica set.

    :raises ConfigurationError: it is less than 90 seconds, or than a heartbeat and an idle primary's write apart.
    """
    limit = preference.max_staleness
    if limit == NO_MAX_STALENESS or topology.topology_type not in _REPLICA_SET:
        return
    least = max(SMALLEST_MAX_STALENESS, heartbeat_frequency + IDLE_WRITE_PERIOD)
    if limit < least:
        raise ConfigurationError(
            f"maxStalenessSeconds={limit:g} is too small: it must be at least {least:g} with "
            f"heartbeatFrequencyMS={heartbeat_frequency * 1000:g}, since staleness cannot be measured more exactly; -1 "
            "means no limit"
        )


def staleness(topology: TopologyDescription, server: ServerDescription, heartbeat_frequency: float) -> float:
    """How many seconds a member may lag behind, estimated from the last checks.

    0 for all but secondaries. A secondary that reports no last write counts as infinitely stale, since it may be.
    """
    if server.server_type is not _SECONDARY:
        return 0.0
    if server.last_write_date is None:
        return float("inf")
    primary = topology.primary
    if primary is not None and primary.last_write_date is not None:
        lag = server.last_update_time - server.last_write_date
        return lag - (primary.last_update_time - primary.last_write_date) + heartbeat_frequency
    dates = [member.last_write_date for member in _of_type(tuple(topology.servers.values()), _SECONDARY)]
    newest = max(date for date in dates if date is not None)
    return newest - server.last_write_date + heartbeat_frequency


# --- one of several -------------------------------------------------------------------------------------------------


def in_latency_window(servers: Iterable[ServerDescription], local_threshold: float) -> tuple[ServerDescription, ...]:
    """Those servers whose average round trip is at most ``local_threshold`` seconds above the shortest."""
    suitable = tuple(servers)
    if len(suitable) < 2:
        return suitable
    limit = min(_round_trip(server) for server in suitable) + local_threshold
    return tuple(server for server in suitable if _round_trip(server) <= limit)


def _round_trip(server: ServerDescription) -> float:
    return server.round_trip_time or 0.0


def choose(
    servers: Sequence[ServerDescription],
    operation_counts: Mapping[Address, int],
    random: Callable[[], float] = _random.random,
) -> ServerDescription:
    """Of two servers drawn at random, the one that is running fewer operations.

    :param servers: at least one.
    :param operation_counts: how many operations each server is running; 0 for those that are missing.
    :param random: draws from 0.0 up to but not 1.0.
    """
    count = len(servers)
    if count == 1:
        return servers[0]
    first = int(random() * count)
    second = int(random() * (count - 1))
    one, other = servers[first], servers[second + (second >= first)]
    busier = operation_counts.get(one.address, 0) > operation_counts.get(other.address, 0)
    return other if busier else one


# --- when there is none ---------------------------------------------------------------------------------------------


def describe_failure(
    topology: TopologyDescription,
    preference: ReadPreference | None,
    heartbeat_frequency: float = 10.0,
    waited: float | None = None,
) -> str:
    """The text of an error: what was requested, the servers, and why each of them is not suitable.

    :param waited: how many seconds selection took.
    """
    purpose = "writing" if preference is None else f"reading with the read preference {_words(preference)}"
    time = "" if waited is None else f" within {waited:.3g} s"
    set_name = f" {topology.set_name!r}" if topology.set_name else ""
    lines = [f"no server was suitable for {purpose}{time}; the topology is {topology.topology_type.value}{set_name}"]
    lines += [
        f"{server.address}: {_why_not(topology, server, preference, heartbeat_frequency)}"
        for server in topology.servers.values()
    ]
    if not topology.servers:
        lines.append("no servers are left: none of the seeds belongs to the deployment that was asked for")
        lines += topology.removed.values()
    return "; ".join(lines) + _hint(topology)


def _words(preference: ReadPreference) -> str:
    words = preference.name
    if any(preference.tag_sets):
        words += f", tag sets {[dict(tag_set) for tag_set in preference.tag_sets]}"
    if preference.max_staleness != NO_MAX_STALENESS:
        words += f", maxStalenessSeconds {preference.max_staleness:g}"
    return words


def _why_not(
    topology: TopologyDescription,
    server: ServerDescription,
    preference: ReadPreference | None,
    heartbeat_frequency: float,
) -> str:
    kind = server.server_type.value
    if server.error is not None:
        return f"{kind}, {type(server.error).__name__}: {server.error}"
    if server.server_type is ServerType.UNKNOWN:
        return f"{kind}, not reached yet"
    if not server.is_data_bearing:
        return f"{kind}, which answers no operations"
    if preference is None or preference.mode is ReadMode.PRIMARY:
        return f"{kind}, not the primary"
    if server.server_type is _PRIMARY and preference.mode is ReadMode.SECONDARY:
        return f"{kind}, not a secondary"
    if preference.max_staleness != NO_MAX_STALENESS:
        lag = staleness(topology, server, heartbeat_frequency)
        if lag > preference.max_staleness:
            return f"{kind}, up to {lag:.0f} s stale"
    if not _matching_tags((server,), preference.tag_sets):
        return f"{kind}, with the tags {dict(server.tags)}"
    return kind


def _hint(topology: TopologyDescription) -> str:
    """A hint for the user, if the cause can be guessed."""
    servers = topology.servers.values()
    if topology.topology_type in _REPLICA_SET and servers and all(server.error is not None for server in servers):
        return (
            " (the addresses of a replica set's members come from its configuration: check that they can be reached "
            "from here, or connect to one member with directConnection=true)"
        )
    if any(server.server_type is ServerType.RS_GHOST for server in servers):
        return " (a member belongs to a replica set that is not initiated, or was removed from it)"
    return ""
