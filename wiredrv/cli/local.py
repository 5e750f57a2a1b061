"""``wiredrv local``: real servers on this machine, for as long as the command runs.

``up`` prints the connection string, alone on a line, as soon as the servers are ready, and runs until Ctrl-C or
SIGTERM; a terminal also shows, on standard error, what is being started. ``exec -- CMD`` runs a command with the
connection string in ``MONGODB_URI`` and returns its exit status.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from types import FrameType
from typing import TYPE_CHECKING

from wiredrv.local import Deployment, ReplicaSet, ShardedCluster, Standalone
from wiredrv.local.progress import progress

if TYPE_CHECKING:
    from wiredrv.cli._command import Subparsers

_LOOKS_EVERY = 0.5  # seconds
_NOT_FOUND, _NOT_EXECUTABLE, _SIGNALLED = 127, 126, 128  # as shells report it


def add_parser(subparsers: Subparsers) -> None:
    """Add ``local`` with its two actions."""
    parser = subparsers.add_parser("local", help="run real servers on this machine")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    up = actions.add_parser("up", help="print the connection string and keep running until Ctrl-C")
    execute = actions.add_parser("exec", help="run a command with MONGODB_URI set, then stop the servers")
    for action in (up, execute):
        _add_deployment(action)
    execute.add_argument("argv", nargs="+", metavar="CMD", help="the command, after --")


_MEMBERS = 3
_WHAT_NEXT = "Ctrl-C stops the servers. In another terminal, `wiredrv shell URI` opens a prompt on them."


def _add_deployment(parser: argparse.ArgumentParser) -> None:
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--members", type=int, metavar="N", help="members of the replica set (default: 3)")
    kind.add_argument("--standalone", action="store_true", help="one server, in no replica set")
    kind.add_argument("--sharded", action="store_true", help="a sharded cluster; needs a mongos")
    parser.add_argument("--shards", type=int, default=2, metavar="N", help="shards of a sharded cluster (default: 2)")
    parser.add_argument("--routers", type=int, default=2, metavar="N", help="its routers (default: 2)")
    parser.add_argument("--port", type=int, metavar="P", help="the first server's port (default: free ones)")
    parser.add_argument("--dir", metavar="D", help="keep the data here, to start from again (default: temporary)")
    parser.add_argument("--test-commands", action="store_true", help="allow the servers' test commands")
    parser.add_argument("--mongod", metavar="PATH", help="the server program")
    parser.add_argument("--mongos", metavar="PATH", help="the router program of a sharded cluster")


def run(args: argparse.Namespace) -> int:
    """Start what ``args`` describe, then do the action."""
    with _stop_on_sigterm():
        return _up(args) if args.action == "up" else _exec(args)


def _deployment(args: argparse.Namespace) -> Deployment:
    if args.sharded:
        return ShardedCluster(
            args.shards,
            args.routers,
            mongos=args.mongos,
            test_commands=args.test_commands,
            directory=args.dir,
            port=args.port,
            mongod=args.mongod,
        )
    if args.standalone:
        return Standalone(test_commands=args.test_commands, directory=args.dir, port=args.port, mongod=args.mongod)
    members = _MEMBERS if args.members is None else args.members
    return ReplicaSet(members, test_commands=args.test_commands, directory=args.dir, port=args.port, mongod=args.mongod)


@contextmanager
def _stop_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, so that the servers are stopped in good order."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _up(args: argparse.Namespace) -> int:
    shown = sys.stderr.isatty()
    try:
        with ExitStack() as stack:
            with _shown_progress() if shown else nullcontext():
                deployment = stack.enter_context(_deployment(args))
            print(deployment.uri, flush=True)
            if shown:
                print(_WHAT_NEXT, file=sys.stderr, flush=True)
            while not (failed := [server for server in deployment.members if server.failed]):
                time.sleep(_LOOKS_EVERY)
            print(f"wiredrv: {failed[0].address} ended by itself.\n{failed[0].log_tail()}", file=sys.stderr)
            return 1
    except KeyboardInterrupt:
        return 0


def _shown_progress() -> AbstractContextManager[None]:
    return progress(lambda line: print(line, file=sys.stderr, flush=True))


def _exec(args: argparse.Namespace) -> int:
    with _deployment(args) as deployment:
        try:
            process = subprocess.Popen(args.argv, env={**os.environ, "MONGODB_URI": deployment.uri})
        except OSError as error:
            print(f"wiredrv: {args.argv[0]}: {error.strerror}", file=sys.stderr)
            return _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE
        status = _wait(process)
    return status if status >= 0 else _SIGNALLED - status


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for the command, whatever signals arrive: it gets them too, and decides when to end."""
    with _forward(signal.SIGTERM, process), _forward(signal.SIGINT, None):
        return process.wait()


@contextmanager
def _forward(number: signal.Signals, process: subprocess.Popen[bytes] | None) -> Iterator[None]:
    """Forward a signal to ``process`` (None: a terminal's Ctrl-C reaches it anyway) and continue."""

    def forward(number: int, frame: FrameType | None) -> None:
        if process is not None:
            process.send_signal(number)

    previous = signal.signal(number, forward)
    try:
        yield
    finally:
        signal.signal(number, previous)
