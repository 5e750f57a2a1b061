"""What the driver knows about servers and about the whole deployment: values only.

Transitions between these values are in ``topology/update.py``; choosing among them in ``topology/selection.py``.
Server discovery and monitoring specification, "Data structures".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from bson import ObjectId

from wiredrv.server_facts import MAX_WIRE_VERSION, MIN_SERVER_VERSION, MIN_WIRE_VERSION
from wiredrv.types import Address, Document


class ServerType(Enum):
    """What kind of server answers at an address. Server-discovery-and-monitoring specification, "ServerType"."""

    #: It has not answered yet, or no longer does.
    UNKNOWN = "Unknown"
    #: A single server that is not a member of a replica set.
    STANDALONE = "Standalone"
    #: A router of a sharded cluster.
    MONGOS = "Mongos"
    #: Another member named it as the primary; it has not answered yet.
    POSSIBLE_PRIMARY = "PossiblePrimary"
    #: The primary of a replica set.
    RS_PRIMARY = "RSPrimary"
    #: A secondary of a replica set.
    RS_SECONDARY = "RSSecondary"
    #: A member without data, which only votes.
    RS_ARBITER = "RSArbiter"
    #: A member in another state, or a hidden one.
    RS_OTHER = "RSOther"
    #: A server that was started for a replica set and does not belong to one yet.
    RS_GHOST = "RSGhost"
    #: A load balancer; it is never checked.
    LOAD_BALANCER = "LoadBalancer"

    @property
    def is_data_bearing(self) -> bool:
        """Whether operations can be sent there."""
        return self in _DATA_BEARING


_DATA_BEARING = frozenset(
    {
        ServerType.STANDALONE,
        ServerType.MONGOS,
        ServerType.RS_PRIMARY,
        ServerType.RS_SECONDARY,
        ServerType.LOAD_BALANCER,
    }
)


class TopologyType(Enum):
    """What kind of deployment the seeds belong to. Server-discovery-and-monitoring specification, "TopologyType"."""

    #: A direct connection to one server.
    SINGLE = "Single"
    #: A replica set whose primary is not known.
    REPLICA_SET_NO_PRIMARY = "ReplicaSetNoPrimary"
    #: A replica set with a known primary.
    REPLICA_SET_WITH_PRIMARY = "ReplicaSetWithPrimary"
    #: A sharded cluster, with one or more routers.
    SHARDED = "Sharded"
    #: No server has answered yet.
    UNKNOWN = "Unknown"
    #: A load balancer in front of a sharded cluster.
    LOAD_BALANCED = "LoadBalanced"


@dataclass(frozen=True, slots=True)
class ServerDescription:
    """The last thing known of one server. Server-discovery-and-monitoring specification, "ServerDescription".

    :param address: where it listens.
    :param server_type: what it is; ``UNKNOWN`` as long as it does not answer.
    :param error: why it is unknown, if a check or an operation failed.
    :param round_trip_time: seconds of a check, averaged; None before the first answer.
    :param min_round_trip_time: seconds of the quickest of the last ten; 0 before there are two.
    :param last_write_date: when the member last wrote, in seconds since the epoch by its own clock.
    :param op_time: the oplog's position of that write.
    :param min_wire_version: the lowest wire version that it speaks.
    :param max_wire_version: the highest wire version that it speaks.
    :param me: what the member calls itself in the replica set's configuration.
    :param hosts: the members that it names.
    :param passives: the members that can never become primary.
    :param arbiters: the members without data.
    :param tags: its tags, for read preferences.
    :param set_name: the name of its replica set.
    :param set_version: the version of the set's configuration.
    :param election_id: the election that made it primary.
    :param primary: the member that it considers to be the primary.
    :param last_update_time: when this was learned, in seconds of this process's monotonic clock.
    :param logical_session_timeout_minutes: minutes after which the server drops a session that was not used.
    :param topology_version: orders the server's own answers (server 4.4).
    :param i_crypt_dbs: whether the server needs queryable encryption's mark on commands.
    :param hello_ok: whether it understands ``hello`` as well as the legacy hello.
    :param hello: its last answer.
    """

    address: Address
    server_type: ServerType = ServerType.UNKNOWN
    error: BaseException | None = None
    round_trip_time: float | None = None
    min_round_trip_time: float = 0.0
    last_write_date: float | None = None
    op_time: object = None
    min_wire_version: int = 0
    max_wire_version: int = 0
    me: Address | None = None
    hosts: frozenset[Address] = frozenset()
    passives: frozenset[Address] = frozenset()
    arbiters: frozenset[Address] = frozenset()
    tags: Mapping[str, str] = field(default_factory=dict)
    set_name: str | None = None
    set_version: int | None = None
    election_id: ObjectId | None = None
    primary: Address | None = None
    last_update_time: float = float("-inf")
    logical_session_timeout_minutes: int | None = None
    topology_version: Document | None = None
    i_crypt_dbs: bool = False
    hello_ok: bool = False
    # Of the reply itself, for embedders and events.
    hello: Document = field(default_factory=dict, repr=False, compare=False)

    @property
    def all_hosts(self) -> frozenset[Address]:
        """Every member that the server names."""
        return self.hosts | self.passives | self.arbiters

    @property
    def is_data_bearing(self) -> bool:
        """Whether operations can be sent there."""
        return self.server_type in _DATA_BEARING

    @property
    def is_writable(self) -> bool:
        """Whether writes can be sent there."""
        return self.server_type in _WRITABLE

    @property
    def supports_sessions(self) -> bool:
        """Whether the server keeps logical sessions (sessions specification)."""
        return self.logical_session_timeout_minutes is not None or self.server_type is ServerType.LOAD_BALANCER

    def __str__(self) -> str:
        text = f"{self.address}: {self.server_type.value}"
        if self.round_trip_time is not None:
            text += f", {self.round_trip_time * 1000:.1f} ms"
        if self.error is not None:
            text += f", {type(self.error).__name__}: {self.error}"
        return text


_WRITABLE = frozenset({ServerType.RS_PRIMARY, ServerType.STANDALONE, ServerType.MONGOS, ServerType.LOAD_BALANCER})


@dataclass(frozen=True, slots=True)
class TopologyDescription:
    """The last thing known of the deployment. Server-discovery-and-monitoring specification, "TopologyDescription".

    :param topology_type: what it is.
    :param servers: what is known of each server.
    :param set_name: the name of the replica set.
    :param max_set_version: the newest version of the set's configuration that was seen.
    :param max_election_id: the last election that was seen.
    :param compatibility_error: why a server's version does not fit the driver's; None while all of them fit.
    :param logical_session_timeout_minutes: minutes after which some server drops a session that was not used; None if a
        server keeps no sessions.
    :param removed: why servers that were asked are not part of the deployment, for error messages.
    """

    topology_type: TopologyType = TopologyType.UNKNOWN
    servers: Mapping[Address, ServerDescription] = field(default_factory=dict)
    set_name: str | None = None
    max_set_version: int | None = None
    max_election_id: ObjectId | None = None
    compatibility_error: str | None = None
    logical_session_timeout_minutes: int | None = None
    removed: Mapping[Address, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def compatible(self) -> bool:
        """Whether all servers speak a wire version of the driver's."""
        return self.compatibility_error is None

    def has_readable_server(self) -> bool:
        """Whether any server can be read from.

        :returns: whether there is such a server.
        """
        return any(server.is_data_bearing for server in self.servers.values())

    @property
    def primary(self) -> ServerDescription | None:
        """The replica set's primary, if one is known."""
        return next((s for s in self.servers.values() if s.server_type is ServerType.RS_PRIMARY), None)

    def __str__(self) -> str:
        servers = "; ".join(str(server) for server in self.servers.values()) or "no servers"
        name = f" {self.set_name!r}" if self.set_name else ""
        return f"{self.topology_type.value}{name} [{servers}]"


def wire_version_problem(address: Address, least: int, most: int) -> str | None:
    """Say why the wire versions of a server and those of the driver do not overlap, or None where they do.

    Server-discovery-and-monitoring specification, "Checking wire protocol compatibility"; the first sentences are the
    specification's.
    """
    if least > MAX_WIRE_VERSION:
        return (
            f"Server at {address} requires wire version {least}, but this version of wiredrv only supports up to "
            f"{MAX_WIRE_VERSION}. Use a newer wiredrv."
        )
    if most < MIN_WIRE_VERSION:
        return (
            f"Server at {address} reports wire version {most}, but this version of wiredrv requires at least "
            f"{MIN_WIRE_VERSION} (MongoDB {MIN_SERVER_VERSION}). Use a newer server."
        )
    return None
