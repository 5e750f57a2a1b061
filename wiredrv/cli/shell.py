"""``wiredrv shell [URI]``: a Python prompt with ``await`` at top level, and a client and a session at hand.

The exit status is 0 after Ctrl-D, that of ``exit(N)``, and with ``-c`` 1 if the code raised.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from anyio.from_thread import BlockingPortal, start_blocking_portal

from wiredrv._version import __version__
from wiredrv.client.client import Client
from wiredrv.client.sessions.client_session import ClientSession
from wiredrv.errors import ConfigurationError, DriverError, OperationFailure

if TYPE_CHECKING:
    from wiredrv.cli._command import Subparsers

_VARIABLE = "MONGODB_URI"
_ANSWERS_WITHIN = 3.0  # seconds, for the greeting
_NO_SERVERS = (
    f"name the servers: `wiredrv shell URI`, or the environment variable {_VARIABLE}; or let `wiredrv shell --local` "
    "start a replica set of one member for as long as the shell runs (`wiredrv local up` starts one that stays)"
)
_QUESTION = "No URI was given. Start a replica set of one member here, for as long as this shell runs? [Y/n] "


def add_parser(subparsers: Subparsers) -> None:
    """Add ``shell``."""
    parser = subparsers.add_parser("shell", help="a Python prompt with await, a client and a session")
    parser.add_argument(
        "uri", metavar="URI", nargs="?", help=f"the connection string (default: the environment variable {_VARIABLE})"
    )
    parser.add_argument("--local", action="store_true", help="start a replica set of one member for this shell")
    parser.add_argument("-c", dest="code", metavar="CODE", help="run this, print what it evaluates to, and end")
    parser.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio", help="the event loop")


def run(args: argparse.Namespace) -> int:
    """Open a client and run code that is typed, piped in, or given."""
    if args.local and args.uri is not None:
        raise ConfigurationError("give a URI or --local, not both")
    if find_spec(args.backend) is None:
        raise ConfigurationError(f"{args.backend} is not installed: pip install {args.backend}")
    with ExitStack() as stack:
        uri = _uri(args, stack)
        portal = stack.enter_context(start_blocking_portal(args.backend))
        client: Client = Client(uri, appName="wiredrv shell")
        stack.enter_context(_opened(portal, client))
        return _serve(args, portal, client)


def _uri(args: argparse.Namespace, stack: ExitStack) -> str:
    """The servers to use; those that are started here end with ``stack``."""
    uri: str | None = args.uri or (None if args.local else os.environ.get(_VARIABLE))
    if uri:
        return uri
    if not args.local and not _wants_servers(args):
        raise ConfigurationError(_NO_SERVERS)
    from wiredrv.local import ReplicaSet
    from wiredrv.local.progress import progress

    with progress(lambda line: print(line, file=sys.stderr, flush=True)):
        return stack.enter_context(ReplicaSet(members=1)).uri


def _wants_servers(args: argparse.Namespace) -> bool:
    if args.code is not None or not sys.stdin.isatty():
        return False
    try:
        return input(_QUESTION).strip().lower() in ("", "y", "yes")
    except EOFError:
        print()
        return False


@contextmanager
def _opened(portal: BlockingPortal, client: Client) -> Iterator[None]:
    portal.call(client.open)
    try:
        yield
    finally:
        portal.call(client.close)


def _serve(args: argparse.Namespace, portal: BlockingPortal, client: Client) -> int:
    from wiredrv.cli._shell_console import Console, names_at_hand
    from wiredrv.cli._shell_runner import Runner

    session = portal.call(_session, client)
    console = Console(Runner(portal, names_at_hand(client, session, args.backend)))
    try:
        if args.code is not None:
            return console.run_text(args.code)
        if not sys.stdin.isatty():
            return console.run_text(sys.stdin.read())
        return console.talk(_greeting(portal, client, args.backend))
    finally:
        console.close()
        portal.call(session.end_session)


def _greeting(portal: BlockingPortal, client: Client, backend: str) -> str:
    """What the shell is connected to, or that it is not."""
    try:
        version = portal.call(_version, client)
        description = client.topology_description
        name = f", {description.topology_type.value} {description.set_name or ''}".rstrip()
        servers = f"MongoDB {version}{name}"
    except OperationFailure as error:
        servers = f"the server answers with an error: {error}"
    except DriverError as error:
        servers = f"no server answers yet ({type(error).__name__}); `wiredrv ping URI` says why"
    return (
        f"wiredrv {__version__} on {backend}, Python {sys.version.partition(' ')[0]}: {servers}\n"
        "Write await where a program does: await db.things.insert_one({'x': 1})\n"
        "At hand: client, db, session, wiredrv, ObjectId, datetime, anyio. Ctrl-C ends what runs, Ctrl-D the shell."
    )


async def _session(client: Client) -> ClientSession:
    return client.start_session()


async def _version(client: Client) -> str:
    found = await client.admin.command("buildInfo", timeout_ms=round(_ANSWERS_WITHIN * 1000))
    return str(found["version"])
