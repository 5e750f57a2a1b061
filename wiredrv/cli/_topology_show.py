"""What ``wiredrv topology`` shows of a deployment: a table, the changes, the elections.

All of it is pure but the :class:`Watcher`, which prints.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Self

from wiredrv.description import ServerDescription, ServerType, TopologyDescription, TopologyType
from wiredrv.types import Address

COLUMNS = ("server", "role", "round trip", "version", "set", "tags", "remarks")
ROLES = {
    ServerType.RS_PRIMARY: "primary",
    ServerType.RS_SECONDARY: "secondary",
    ServerType.RS_ARBITER: "arbiter",
    ServerType.RS_OTHER: "member in another state",
    ServerType.RS_GHOST: "member of no set yet",
    ServerType.POSSIBLE_PRIMARY: "unknown",
    ServerType.MONGOS: "router (mongos)",
    ServerType.LOAD_BALANCER: "load balancer",
}
_PRIMARY = ServerType.RS_PRIMARY
_REPLICA_SET = (TopologyType.REPLICA_SET_NO_PRIMARY, TopologyType.REPLICA_SET_WITH_PRIMARY)


class Row(NamedTuple):
    """The texts of one server's cells."""

    server: str
    role: str
    round_trip: str
    version: str
    set_name: str
    tags: str
    remarks: str


def heading(description: TopologyDescription) -> str:
    """The deployment in one line."""
    name = f" {description.set_name}" if description.set_name else ""
    count = len(description.servers)
    return f"{description.topology_type.value}{name}, {count} server{'' if count == 1 else 's'}"


def rows(description: TopologyDescription, versions: Mapping[Address, str]) -> list[Row]:
    """A row for each server, by address.

    :param versions: the versions that are known.
    """
    servers = sorted(description.servers.values(), key=lambda server: str(server.address))
    return [_row(server, versions.get(server.address)) for server in servers]


def _row(server: ServerDescription, version: str | None) -> Row:
    if version is None and server.max_wire_version:
        version = f"wire version {server.max_wire_version}"
    return Row(
        str(server.address),
        ROLES.get(server.server_type, server.server_type.value.lower()),
        "-" if server.round_trip_time is None else f"{server.round_trip_time * 1000:.1f} ms",
        version or "-",
        server.set_name or "-",
        ", ".join(f"{name}={value}" for name, value in sorted(server.tags.items())) or "-",
        "" if server.error is None else f"{type(server.error).__name__}: {server.error}",
    )


def table(found: Iterable[Row]) -> list[str]:
    """The rows as aligned lines, with the columns' names above."""
    cells = [COLUMNS, *found]
    widths = [max(len(row[column]) for row in cells) for column in range(len(COLUMNS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def changed_lines(before: Sequence[Row], after: Iterable[Row]) -> list[str]:
    """A line for each server that changed. Round-trip times are ignored, since they change all the time."""
    old = {row.server: row._replace(round_trip="") for row in before}
    new = {row.server: row._replace(round_trip="") for row in with_known_versions(before, after)}
    for server, row in old.items():
        # A version that is learnt is no change of the server.
        if server in new and not _is_version(row.version):
            old[server] = row._replace(version=new[server].version)
    gone = [f"{server} is gone" for server in sorted(old.keys() - new.keys())]
    return [*gone, *(_describe_change(old.get(server), row) for server, row in new.items() if old.get(server) != row)]


def with_known_versions(before: Iterable[Row], after: Iterable[Row]) -> list[Row]:
    """The rows of ``after``; a server whose version is not known now keeps the one of ``before``."""
    old = {row.server: row.version for row in before}
    return [row if _is_version(row.version) else row._replace(version=old.get(row.server, "-")) for row in after]


def _is_version(text: str) -> bool:
    return text[:1].isdigit()


def _describe_change(before: Row | None, after: Row) -> str:
    if before is None:
        return f"{after.server} is new: {after.role}"
    role = after.role if before.role == after.role else f"{before.role} -> {after.role}"
    details = [text for old, text in zip(before[3:], after[3:], strict=True) if text != old and text not in ("", "-")]
    return "; ".join([f"{after.server} {role}", *details])


class Elections:
    """Follows who is primary, and for how long nobody was."""

    def __init__(self) -> None:
        self._primary: Address | None = None
        self._lost_at: datetime | None = None

    def lines(self, description: TopologyDescription, at: datetime) -> list[str]:
        """What to say of a description that is the current one from ``at`` on."""
        if description.topology_type not in _REPLICA_SET:
            return []
        before = self._primary
        found = (server.address for server in description.servers.values() if server.server_type is _PRIMARY)
        self._primary = next(found, None)
        if self._primary == before:
            return []
        if self._primary is None:
            self._lost_at = at
            return ["no primary: nothing can be written until one is elected"]
        lost_at, self._lost_at = self._lost_at, None
        if lost_at is None:
            return [] if before is None else [f"{self._primary} is primary, without a time without one"]
        return [f"{self._primary} is primary, after {(at - lost_at).total_seconds():.1f} s without one"]


def is_settled(description: TopologyDescription) -> bool:
    """Whether every server has answered, or failed to answer."""
    if description.topology_type is TopologyType.LOAD_BALANCED:
        return True
    servers = description.servers.values()
    unheard = (ServerType.UNKNOWN, ServerType.POSSIBLE_PRIMARY)
    return bool(servers) and all(server.server_type not in unheard or server.error is not None for server in servers)


class Seen(NamedTuple):
    """A description, and when it became the current one."""

    at: datetime
    description: TopologyDescription


def print_all(description: TopologyDescription, versions: Mapping[Address, str]) -> None:
    """Print the whole deployment."""
    print(heading(description))
    for line in table(rows(description, versions)):
        print(line)


class Watcher:
    """Prints a line for each change."""

    #: Whether it shows the round-trip times, and all else, again and again.
    redraws = False

    def __init__(self) -> None:
        self._last: list[Row] = []
        self._elections = Elections()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def change(self, seen: Seen, versions: Mapping[Address, str]) -> None:
        """Tell what changed. Before all servers were heard of, nothing is told."""
        elections = self._elections.lines(seen.description, seen.at)
        if self._last:
            found = rows(seen.description, versions)
            for line in [*changed_lines(self._last, found), *elections]:
                self.tell(f"{seen.at:%H:%M:%S}  {line}")
            self._last = with_known_versions(self._last, found)

    def draw(self, description: TopologyDescription, versions: Mapping[Address, str]) -> None:
        """Show the whole deployment: here only once, when all servers were heard of."""
        if not self._last and is_settled(description):
            self.begin(description, versions)
            self._last = rows(description, versions)

    def begin(self, description: TopologyDescription, versions: Mapping[Address, str]) -> None:
        """Show the deployment for the first time."""
        print_all(description, versions)
        sys.stdout.flush()

    def tell(self, line: str) -> None:
        """Show one line."""
        print(line, flush=True)
