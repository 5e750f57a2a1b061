"""What the driver believes about servers and about the whole deployment: values only.

Transitions between these values are in ``topology/update.py``; choosing among them in ``topology/selection.py``.
Server discovery and monitoring specification, "Data structures".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from bson import ObjectId

from wiredrv.server_facts import MAX_WIRE_VERSION, MIN_SERVER_VERSION, MIN_WIRE_VERSION
from wiredrv.types import Address


class ServerType(Enum):
    """What kind of server answers at an address."""

    UNKNOWN = "Unknown"
    STANDALONE = "Standalone"
    MONGOS = "Mongos"
    POSSIBLE_PRIMARY = "PossiblePrimary"
    RS_PRIMARY = "RSPrimary"
    RS_SECONDARY = "RSSecondary"
    RS_ARBITER = "RSArbiter"
    RS_OTHER = "RSOther"
    RS_GHOST = "RSGhost"
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
    """What kind of deployment the seeds belong to."""

    SINGLE = "Single"
    REPLICA_SET_NO_PRIMARY = "ReplicaSetNoPrimary"
    REPLICA_SET_WITH_PRIMARY = "ReplicaSetWithPrimary"
    SHARDED = "Sharded"
    UNKNOWN = "Unknown"
    LOAD_BALANCED = "LoadBalanced"


@dataclass(frozen=True, slots=True)
class ServerDescription:
    """The last thing known of one server.

    ``round_trip_time`` and ``min_round_trip_time`` are in seconds; ``last_write_date`` is seconds since the epoch, by
    the server's clock; ``last_update_time`` is seconds on this process's monotonic clock.
    """

    address: Address
    server_type: ServerType = ServerType.UNKNOWN
    error: BaseException | None = None
    round_trip_time: float | None = None
    min_round_trip_time: float = 0.0
    last_write_date: float | None = None
    op_time: Any = None
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
    topology_version: Mapping[str, Any] | None = None
    i_crypt_dbs: bool = False
    hello_ok: bool = False
    # Of the reply itself, for embedders and events.
    hello: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def all_hosts(self) -> frozenset[Address]:
        """Every member that the server names."""
        return self.hosts | self.passives | self.arbiters

    @property
    def is_data_bearing(self) -> bool:
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
    """The last thing known of the deployment.

    ``compatibility_error`` is None while every data-bearing server speaks a wire version of ours.
    """

    topology_type: TopologyType = TopologyType.UNKNOWN
    servers: Mapping[Address, ServerDescription] = field(default_factory=dict)
    set_name: str | None = None
    max_set_version: int | None = None
    max_election_id: ObjectId | None = None
    compatibility_error: str | None = None
    logical_session_timeout_minutes: int | None = None

    @property
    def compatible(self) -> bool:
        return self.compatibility_error is None

    def has_readable_server(self) -> bool:
        """Whether any server can be read from."""
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

    Server-discovery-and-monitoring specification, "Checking wire protocol compatibility"; the first sentences are its.
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
