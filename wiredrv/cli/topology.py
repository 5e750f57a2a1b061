"""``wiredrv topology URI``: what a client sees of a deployment: roles, round-trip times, versions, sets, tags.

``--watch`` continues until Ctrl-C: with a table that is redrawn and the last changes on a terminal where rich is
installed, elsewhere with a line for every change. The exit status is 1 when no server answered.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import quote

import anyio

from wiredrv.client.client import Client
from wiredrv.description import ServerDescription, ServerType, TopologyDescription, TopologyType
from wiredrv.errors import DriverError
from wiredrv.events import TopologyDescriptionChangedEvent, TopologyListener
from wiredrv.types import Address, PlainDocument

if TYPE_CHECKING:
    from wiredrv.cli._command import Subparsers

_SETTLES_WITHIN = 5.0  # seconds
_ASKS_FOR = 2_000  # milliseconds
_REDRAW_EVERY = 1.0  # seconds
_CHECK_EVERY = 1_000  # milliseconds, while watching
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
_HINT = "A table that is redrawn needs rich: pip install 'wiredrv[cli]'. Here is a line for each change:"
#: Options that select servers: dropped for a client of a single server.
_DROPPED_OPTIONS = frozenset({"directconnection", "loadbalanced", "srvmaxhosts", "srvservicename"})


def add_parser(subparsers: Subparsers) -> None:
    """Add ``topology``."""
    parser = subparsers.add_parser("topology", help="show a deployment: roles, round-trip times, versions, sets, tags")
    parser.add_argument("uri", metavar="URI", help="the connection string")
    parser.add_argument("--watch", action="store_true", help="keep showing it until Ctrl-C")


def run(args: argparse.Namespace) -> int:
    """Show the deployment once, or until Ctrl-C."""
    if not args.watch:
        return anyio.run(_show_once, args.uri)
    try:
        return anyio.run(_watch, args.uri)
    except KeyboardInterrupt:
        return 0


# --- what is shown: pure --------------------------------------------------------------------------------------------


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


def changed_lines(before: Iterable[Row], after: Iterable[Row]) -> list[str]:
    """A line for each server that changed. Round-trip times are ignored, since they change all the time."""
    old = {row.server: row._replace(round_trip="") for row in before}
    new = {row.server: row._replace(round_trip="") for row in after}
    gone = [f"{server} is gone" for server in sorted(old.keys() - new.keys())]
    return [*gone, *(_describe_change(old.get(server), row) for server, row in new.items() if old.get(server) != row)]


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


def member_uri(uri: str, address: Address) -> str:
    """The connection string for one server of a deployment, with the same user and options."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        scheme, rest = "mongodb", ""
    end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    userinfo, at, _ = rest[:end].rpartition("@")
    database, _, text = rest[end:].removeprefix("/").partition("?")
    options = [pair for pair in text.replace(";", "&").split("&") if pair]
    names = {pair.partition("=")[0].lower() for pair in options}
    options = [pair for pair in options if pair.partition("=")[0].lower() not in _DROPPED_OPTIONS]
    if scheme == "mongodb+srv" and not names & {"tls", "ssl"}:
        options.append("tls=true")  # the default of mongodb+srv alone
    host = quote(str(address), safe="[]:")
    return f"mongodb://{userinfo}{at}{host}/{database}?{'&'.join([*options, 'directConnection=true'])}"


# --- looking --------------------------------------------------------------------------------------------------------


class _Seen(NamedTuple):
    """A description, and when it became the current one."""

    at: datetime
    description: TopologyDescription


class _News(TopologyListener):
    """Keeps the changes, and wakes the task that waits for one."""

    def __init__(self) -> None:
        self._changed = anyio.Event()
        self._seen: list[_Seen] = []

    def description_changed(self, event: TopologyDescriptionChangedEvent) -> None:
        self._seen.append(_Seen(datetime.now(), event.new_description))
        self._changed.set()

    async def wait(self, seconds: float) -> None:
        """Wait for a change, or until so many seconds have passed."""
        with anyio.move_on_after(seconds):
            await self._changed.wait()
        self._changed = anyio.Event()

    def take(self) -> list[_Seen]:
        """The changes since the last call."""
        seen, self._seen = self._seen, []
        return seen


async def _show_once(uri: str) -> int:
    news = _News()
    async with Client(uri, event_listeners=[news], appName="wiredrv topology") as client:
        with anyio.move_on_after(_SETTLES_WITHIN):
            while not is_settled(client.topology_description):
                await news.wait(_SETTLES_WITHIN)
        description = client.topology_description
        versions: dict[Address, str] = {}
        await _ask_versions(uri, description, versions)
    _print_all(description, versions)
    return 0 if description.has_readable_server() else 1


async def _ask_versions(uri: str, description: TopologyDescription, versions: dict[Address, str]) -> None:
    """Put the versions of the servers that answer into ``versions``; those that no longer do are removed."""
    servers = description.servers
    for address in [known for known in versions if known not in servers or not servers[known].is_data_bearing]:
        del versions[address]
    async with anyio.create_task_group() as tasks:
        for address, server in servers.items():
            if server.is_data_bearing and address not in versions:
                tasks.start_soon(_ask_version, member_uri(uri, address), address, versions)


async def _ask_version(uri: str, address: Address, versions: dict[Address, str]) -> None:
    options: PlainDocument = {"serverSelectionTimeoutMS": _ASKS_FOR, "connectTimeoutMS": _ASKS_FOR}
    try:
        async with Client(uri, **options, appName="wiredrv topology") as client:
            versions[address] = str((await client.server_info())["version"])
    except DriverError:
        pass  # the wire version, which every server reports, is shown instead


async def _watch(uri: str) -> int:
    news, watcher = _News(), _watcher()
    versions: dict[Address, str] = {}
    options: PlainDocument = {"heartbeatFrequencyMS": _CHECK_EVERY}
    async with Client(uri, event_listeners=[news], appName="wiredrv topology", **options) as client:
        with watcher:
            while True:
                for seen in news.take():
                    watcher.change(seen, versions)
                if watcher.redraws:
                    watcher.draw(client.topology_description, versions)
                await _ask_versions(uri, client.topology_description, versions)
                watcher.draw(client.topology_description, versions)
                await news.wait(_REDRAW_EVERY)


# --- showing --------------------------------------------------------------------------------------------------------


def _print_all(description: TopologyDescription, versions: Mapping[Address, str]) -> None:
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

    def change(self, seen: _Seen, versions: Mapping[Address, str]) -> None:
        """Tell what changed. Before all servers were heard of, nothing is told."""
        elections = self._elections.lines(seen.description, seen.at)
        if self._last:
            found = rows(seen.description, versions)
            for line in [*changed_lines(self._last, found), *elections]:
                self.tell(f"{seen.at:%H:%M:%S}  {line}")
            self._last = found

    def draw(self, description: TopologyDescription, versions: Mapping[Address, str]) -> None:
        """Show the whole deployment: here only once, when all servers were heard of."""
        if not self._last and is_settled(description):
            self.begin(description, versions)
            self._last = rows(description, versions)

    def begin(self, description: TopologyDescription, versions: Mapping[Address, str]) -> None:
        """Show the deployment for the first time."""
        _print_all(description, versions)
        sys.stdout.flush()

    def tell(self, line: str) -> None:
        """Show one line."""
        print(line, flush=True)


def _watcher() -> Watcher:
    if not sys.stdout.isatty():
        return Watcher()
    try:
        from wiredrv.cli._topology_live import LiveWatcher
    except ImportError:
        print(_HINT, file=sys.stderr)
        return Watcher()
    return LiveWatcher()
