"""``wiredrv topology URI``: what a client sees of a deployment: roles, round-trip times, versions, sets, tags.

``--watch`` continues until Ctrl-C: with a table that is redrawn and the last changes on a terminal where rich is
installed, elsewhere with a line for every change. The exit status is 1 when no server answered.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

import anyio

from wiredrv.cli._topology_show import Seen, Watcher, is_settled, print_all
from wiredrv.client.client import Client
from wiredrv.description import TopologyDescription
from wiredrv.errors import DriverError
from wiredrv.events import TopologyDescriptionChangedEvent, TopologyListener
from wiredrv.types import Address, PlainDocument

if TYPE_CHECKING:
    from wiredrv.cli._command import Subparsers

_SETTLES_WITHIN = 5.0  # seconds
_ASKS_FOR = 2_000  # milliseconds
_REDRAW_EVERY = 1.0  # seconds
_CHECK_EVERY = 1_000  # milliseconds, while watching
_HINT = "A table that is redrawn needs rich: pip install 'wiredrv[cli]'. Here is a line for each change:"
#: Kinds of terminal on which nothing can be drawn again.
_CANNOT_REDRAW = frozenset({"dumb", "unknown"})
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


# --- looking --------------------------------------------------------------------------------------------------------


class News(TopologyListener):
    """Keeps the changes, and wakes the task that waits for one."""

    def __init__(self) -> None:
        self._changed = anyio.Event()
        self._seen: list[Seen] = []

    def description_changed(self, event: TopologyDescriptionChangedEvent) -> None:
        self._seen.append(Seen(datetime.now(), event.new_description))
        self._changed.set()

    async def wait(self, seconds: float) -> None:
        """Wait for a change, or until so many seconds have passed."""
        with anyio.move_on_after(seconds):
            await self._changed.wait()
        self._changed = anyio.Event()

    def take(self) -> list[Seen]:
        """The changes since the last call."""
        seen, self._seen = self._seen, []
        return seen


async def _show_once(uri: str) -> int:
    news = News()
    async with Client(uri, event_listeners=[news], appName="wiredrv topology") as client:
        with anyio.move_on_after(_SETTLES_WITHIN):
            while not is_settled(client.topology_description):
                await news.wait(_SETTLES_WITHIN)
        description = client.topology_description
        versions: dict[Address, str] = {}
        await _ask_versions(uri, description, versions)
    print_all(description, versions)
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
    news, watcher = News(), _watcher()
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


def _watcher() -> Watcher:
    if not sys.stdout.isatty() or os.environ.get("TERM", "").lower() in _CANNOT_REDRAW:
        return Watcher()
    try:
        from wiredrv.cli._topology_live import LiveWatcher
    except ImportError:
        print(_HINT, file=sys.stderr)
        return Watcher()
    return LiveWatcher()


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
