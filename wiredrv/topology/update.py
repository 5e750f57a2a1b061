"""How the description of one server changes that of the deployment: one pure function, :func:`apply`.

Rules kept here:

* A TopologyDescription is never changed, only replaced. If nothing changes, the same object is returned.
* The transitions are one table, keyed by the topology's type and the new server's; its functions have the
  specification's names. For a pair that is missing, only the server's description is replaced.
* A server type PossiblePrimary is not used: only single-threaded drivers need it.

Specification: server-discovery-and-monitoring, "Updating the TopologyDescription".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from wiredrv.description import (
    ServerDescription,
    ServerType,
    TopologyDescription,
    TopologyType,
    wire_version_problem,
)
from wiredrv.errors import NotPrimaryError
from wiredrv.server_facts import SERVER_6_0
from wiredrv.topology.settings import TopologySettings
from wiredrv.types import Address, Document

_T, _S = TopologyType, ServerType

#: How many servers that were removed are remembered, for error messages.
_REMOVED_KEPT = 8


def initial_description(settings: TopologySettings) -> TopologyDescription:
    """The description to start with: the seeds, all Unknown ("Initial TopologyType").

    Behind a load balancer the one server is Unknown too: apply :func:`load_balancer_description` next, so that the
    events show the transition.
    """
    if settings.load_balanced:
        topology_type = _T.LOAD_BALANCED
    elif settings.direct_connection:
        topology_type = _T.SINGLE
    else:
        topology_type = _T.REPLICA_SET_NO_PRIMARY if settings.set_name is not None else _T.UNKNOWN
    servers = {address: ServerDescription(address) for address in settings.seeds}
    return TopologyDescription(topology_type, servers, settings.set_name)


def load_balancer_description(address: Address) -> ServerDescription:
    """The description of a load balancer, which is never checked (load-balancers, "Monitoring")."""
    return ServerDescription(address, ServerType.LOAD_BALANCER)


def unknown_server(
    address: Address, error: BaseException | None = None, topology_version: Document | None = None
) -> ServerDescription:
    """The description of an unknown server, with the reason and the topologyVersion."""
    return ServerDescription(address, error=error, topology_version=topology_version)


def compare_topology_versions(one: Document | None, other: Document | None) -> int:
    """-1, 0 or 1 as ``one`` is older than, as old as or newer than ``other``.

    If one of them is missing, or they are from different processes, ``other`` counts as newer.
    """
    if one is None or other is None or one["processId"] != other["processId"]:
        return -1
    return int((one["counter"] > other["counter"]) - (one["counter"] < other["counter"]))


def apply(topology: TopologyDescription, server: ServerDescription, settings: TopologySettings) -> TopologyDescription:
    """Apply a new description of one server to the topology's.

    :param topology: the description before.
    :param server: the description from a check, a handshake or an error.
    :param settings: the number of seeds decides what a standalone means.
    :returns: the new description; ``topology`` itself if that of the server is outdated, or the server was removed.
    """
    known = topology.servers.get(server.address)
    if known is None or compare_topology_versions(known.topology_version, server.topology_version) > 0:
        return topology
    if topology.topology_type is _T.LOAD_BALANCED:
        return _with_server(topology, server) if server.server_type is _S.LOAD_BALANCER else topology
    if topology.topology_type is _T.SINGLE:
        updated = _with_server(topology, _verify_set_name(topology, server))
    else:
        updated = _with_server(topology, server)
        action = _ACTIONS.get((topology.topology_type, server.server_type))
        if action is not None:
            updated = action(updated, server, settings)
        if server.address not in updated.servers:
            updated = replace(updated, removed=_with_removed(updated, server))
    return replace(
        updated,
        compatibility_error=_compatibility_error(updated.servers.values()),
        logical_session_timeout_minutes=_session_timeout(updated.servers.values()),
    )


def _verify_set_name(topology: TopologyDescription, server: ServerDescription) -> ServerDescription:
    """With TopologyType Single, a member of another set counts as Unknown."""
    wanted = topology.set_name
    if wanted is None or server.server_type is _S.UNKNOWN or server.set_name == wanted:
        return server
    return unknown_server(server.address, NotPrimaryError(_wrong_set(server, wanted)))


def _wrong_set(server: ServerDescription, wanted: str) -> str:
    found = f"belongs to the replica set {server.set_name!r}" if server.set_name else "belongs to no replica set"
    return f"{server.address} {found}, but replicaSet={wanted!r} was asked for"


def _with_removed(topology: TopologyDescription, server: ServerDescription) -> dict[Address, str]:
    """The reasons for which servers were removed, with that of ``server``; the oldest are dropped."""
    wanted = topology.set_name
    if wanted is not None and server.set_name != wanted:
        reason = _wrong_set(server, wanted)
    elif _is_misnamed(server):
        reason = f"{server.address} answered as {server.me}, which is its address in the replica set's configuration"
    else:
        reason = f"{server.address} is of the type {server.server_type.value}"
    kept = {address: why for address, why in topology.removed.items() if address != server.address}
    return dict([*kept.items(), (server.address, reason)][-_REMOVED_KEPT:])


# --- the actions, by the specification's names ----------------------------------------------------------------------

Action: TypeAlias = Callable[[TopologyDescription, ServerDescription, TopologySettings], TopologyDescription]


def _set_sharded(
    topology: TopologyDescription, server: ServerDescription, settings: TopologySettings
) -> TopologyDescription:
    return replace(topology, topology_type=_T.SHARDED)


def _remove(
    topology: TopologyDescription, server: ServerDescription, settings: TopologySettings
) -> TopologyDescription:
    return _without(topology, server.address)


def _check_if_has_primary(
    topology: TopologyDescription, server: ServerDescription, settings: TopologySettings
) -> TopologyDescription:
    return _with_primary_checked(topology)


def _remove_and_check_if_has_primary(
    topology: TopologyDescription, server: ServerDescription, settings: TopologySettings
) -> TopologyDescription:
    return _with_primary_checked(_without(topology, server.address))


def _update_unknown_with_standalone(
    topology: TopologyDescription, server: ServerDescription, settings: TopologySettings
) -> TopologyDescription:
    if len(settings.seeds) == 1:
        return replace(topology, topology_type=_T.SINGLE)
    # One of several seeds: the others decide what the deployment is, and a standalone is not part of it.
    return _without(topology, server.address)


def _update_rs_without_primary(
    topology: TopologyDescription, server: ServerDescription, settings: TopologySettings
) -> TopologyDescription:
    topology = replace(topology, topology_type=_T.REPLICA_SET_NO_PRIMARY)
    if topology.set_name is None:
        topology = replace(topology, set_name=server.set_name)
    elif topology.set_name != server.set_name:
        return _without(topology, server.address)
    topology = _with_members(topology, server.all_hosts)
    return _without(topology, server.address) if _is_misnamed(server) else topology


def _update_rs_with_primary_from_member(
    topology: TopologyDescription, server: ServerDescription, settings: TopologySettings
) -> TopologyDescription:
    if topology.set_name != server.set_name or _is_misnamed(server):
        topology = _without(topology, server.address)
    return _with_primary_checked(topology)


def _update_rs_from_primary(
    topology: TopologyDescription, server: ServerDescription, settings: TopologySettings
) -> TopologyDescription:
    if topology.set_name is None:
        topology = replace(topology, set_name=server.set_name)
    elif topology.set_name != server.set_name:
        return _with_primary_checked(_without(topology, server.address))
    election = _newer_election(topology, server)
    if election is None:
        stale = unknown_server(server.address, _stale_primary(topology, server))
        return _with_primary_checked(_with_server(topology, stale))
    topology = replace(topology, max_election_id=election[0], max_set_version=election[1])
    servers = {
        address: _dethroned(member) if member.server_type is _S.RS_PRIMARY and address != server.address else member
        for address, member in _with_members(topology, server.all_hosts).servers.items()
        if address in server.all_hosts
    }
    return _with_primary_checked(replace(topology, servers=servers))


_ACTIONS: Mapping[tuple[TopologyType, ServerType], Action] = {
    (_T.UNKNOWN, _S.STANDALONE): _update_unknown_with_standalone,
    (_T.UNKNOWN, _S.MONGOS): _set_sharded,
    (_T.UNKNOWN, _S.RS_PRIMARY): _update_rs_from_primary,
    (_T.UNKNOWN, _S.RS_SECONDARY): _update_rs_without_primary,
    (_T.UNKNOWN, _S.RS_ARBITER): _update_rs_without_primary,
    (_T.UNKNOWN, _S.RS_OTHER): _update_rs_without_primary,
    (_T.SHARDED, _S.STANDALONE): _remove,
    (_T.SHARDED, _S.RS_PRIMARY): _remove,
    (_T.SHARDED, _S.RS_SECONDARY): _remove,
    (_T.SHARDED, _S.RS_ARBITER): _remove,
    (_T.SHARDED, _S.RS_OTHER): _remove,
    (_T.SHARDED, _S.RS_GHOST): _remove,
    (_T.REPLICA_SET_NO_PRIMARY, _S.STANDALONE): _remove,
    (_T.REPLICA_SET_NO_PRIMARY, _S.MONGOS): _remove,
    (_T.REPLICA_SET_NO_PRIMARY, _S.RS_PRIMARY): _update_rs_from_primary,
    (_T.REPLICA_SET_NO_PRIMARY, _S.RS_SECONDARY): _update_rs_without_primary,
    (_T.REPLICA_SET_NO_PRIMARY, _S.RS_ARBITER): _update_rs_without_primary,
    (_T.REPLICA_SET_NO_PRIMARY, _S.RS_OTHER): _update_rs_without_primary,
    (_T.REPLICA_SET_WITH_PRIMARY, _S.UNKNOWN): _check_if_has_primary,
    (_T.REPLICA_SET_WITH_PRIMARY, _S.STANDALONE): _remove_and_check_if_has_primary,
    (_T.REPLICA_SET_WITH_PRIMARY, _S.MONGOS): _remove_and_check_if_has_primary,
    (_T.REPLICA_SET_WITH_PRIMARY, _S.RS_PRIMARY): _update_rs_from_primary,
    (_T.REPLICA_SET_WITH_PRIMARY, _S.RS_SECONDARY): _update_rs_with_primary_from_member,
    (_T.REPLICA_SET_WITH_PRIMARY, _S.RS_ARBITER): _update_rs_with_primary_from_member,
    (_T.REPLICA_SET_WITH_PRIMARY, _S.RS_OTHER): _update_rs_with_primary_from_member,
    (_T.REPLICA_SET_WITH_PRIMARY, _S.RS_GHOST): _check_if_has_primary,
}


# --- stale primaries ------------------------------------------------------------------------------------------------


def _newer_election(topology: TopologyDescription, server: ServerDescription) -> tuple[Any, int | None] | None:
    """The greatest election id and set version now, or None when this primary is older than one seen before."""
    now: tuple[Any, Any] = (server.election_id, server.set_version)
    seen: tuple[Any, Any] = (topology.max_election_id, topology.max_set_version)
    if server.max_wire_version >= SERVER_6_0:
        # The election id counts before the set version. None is less than any value.
        return now if tuple(map(_rank, now)) >= tuple(map(_rank, seen)) else None
    # Before 6.0 the set version counted first, and only where both are known.
    if None not in now:
        if None not in seen and (seen[1], seen[0]) > (now[1], now[0]):
            return None
        seen = (server.election_id, seen[1])
    return seen[0], max(seen[1], server.set_version, key=_rank)


def _rank(value: Any) -> tuple[bool, Any]:
    return (value is not None, value if value is not None else 0)


def _stale_primary(topology: TopologyDescription, server: ServerDescription) -> NotPrimaryError:
    return NotPrimaryError(
        "primary marked stale due to electionId/setVersion mismatch, "
        f"({server.election_id}, {server.set_version}) is stale compared to "
        f"({topology.max_election_id}, {topology.max_set_version})"
    )


def _dethroned(primary: ServerDescription) -> ServerDescription:
    error = NotPrimaryError("primary marked stale due to discovery of newer primary")
    return unknown_server(primary.address, error)


# --- small steps ----------------------------------------------------------------------------------------------------


def _with_server(topology: TopologyDescription, server: ServerDescription) -> TopologyDescription:
    return replace(topology, servers={**topology.servers, server.address: server})


def _without(topology: TopologyDescription, address: Address) -> TopologyDescription:
    return replace(topology, servers={a: s for a, s in topology.servers.items() if a != address})


def _with_members(topology: TopologyDescription, members: Iterable[Address]) -> TopologyDescription:
    new = {address: ServerDescription(address) for address in members if address not in topology.servers}
    return replace(topology, servers={**topology.servers, **new}) if new else topology


def _with_primary_checked(topology: TopologyDescription) -> TopologyDescription:
    has_primary = topology.primary is not None
    return replace(topology, topology_type=_T.REPLICA_SET_WITH_PRIMARY if has_primary else _T.REPLICA_SET_NO_PRIMARY)


def _is_misnamed(server: ServerDescription) -> bool:
    """Whether the member's address in the set's configuration differs from the one it was reached at."""
    return server.me is not None and server.me != server.address


def _compatibility_error(servers: Iterable[ServerDescription]) -> str | None:
    """Why the driver does not support one of the servers; None if it supports all whose versions are known."""
    known = (server for server in servers if server.server_type is not _S.UNKNOWN)
    problems = (wire_version_problem(it.address, it.min_wire_version, it.max_wire_version) for it in known)
    return next((problem for problem in problems if problem is not None), None)


def _session_timeout(servers: Iterable[ServerDescription]) -> int | None:
    """The shortest session timeout of the data-bearing servers; None when one of them has none."""
    timeouts = [server.logical_session_timeout_minutes for server in servers if server.is_data_bearing]
    known = [timeout for timeout in timeouts if timeout is not None]
    return min(known) if known and len(known) == len(timeouts) else None
