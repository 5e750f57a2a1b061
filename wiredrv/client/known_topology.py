"""What a client knows of its deployment at one moment: its servers by their roles. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wiredrv.description import ServerDescription, ServerType, TopologyDescription, TopologyType
from wiredrv.types import Address

_MEMBERS = frozenset({TopologyType.REPLICA_SET_WITH_PRIMARY, TopologyType.REPLICA_SET_NO_PRIMARY})


@dataclass(frozen=True, slots=True)
class KnownTopology:
    """What is known of the deployment: ``client.topology``. It does not change; the next one may differ.

    Server-discovery-and-monitoring specification.

    :param description: all that is known, with the servers that do not answer.
    """

    description: TopologyDescription

    @property
    def primary(self) -> Address | None:
        """The address of the replica set's primary; None without one."""
        return next(self._members(ServerType.RS_PRIMARY), None)

    @property
    def secondaries(self) -> frozenset[Address]:
        """The addresses of the replica set's secondaries."""
        return frozenset(self._members(ServerType.RS_SECONDARY))

    @property
    def arbiters(self) -> frozenset[Address]:
        """The addresses of the replica set's members without data."""
        return frozenset(self._members(ServerType.RS_ARBITER))

    @property
    def nodes(self) -> frozenset[Address]:
        """The addresses of the servers that answer, whatever they are."""
        return frozenset(server.address for server in self._servers() if server.server_type not in _SILENT)

    @property
    def is_sharded(self) -> bool:
        """Whether the deployment is a sharded cluster."""
        return self.description.topology_type is TopologyType.SHARDED

    def _servers(self) -> Iterator[ServerDescription]:
        return iter(self.description.servers.values())

    def _members(self, role: ServerType) -> Iterator[Address]:
        """The members of a replica set that have a role; none with a direct connection to one of them."""
        if self.description.topology_type in _MEMBERS:
            yield from (server.address for server in self._servers() if server.server_type is role)


#: Servers that have not answered.
_SILENT = frozenset({ServerType.UNKNOWN, ServerType.POSSIBLE_PRIMARY})
