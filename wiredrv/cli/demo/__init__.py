"""``wiredrv demo``: what sessions are good for, shown on a real replica set and checked while it is shown.

Four parts: reading one's own write from a secondary, transfers in transactions, a primary that is killed meanwhile,
and snapshot reads. Each states what must hold and measures whether it does; the command's exit status is 1 when
something does not. The parts are modules of this package, next to :mod:`~wiredrv.cli.demo.verdicts`, which judges what
they measured and knows nothing of servers.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wiredrv.cli._command import Subparsers
    from wiredrv.cli.demo.show import Show

_LEAST_MEMBERS = 3


def add_parser(subparsers: Subparsers) -> None:
    """Add ``demo``."""
    parser = subparsers.add_parser("demo", help="show and check sessions and transactions on a real replica set")
    parser.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio", help="the event loop")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--uri", metavar="URI", help="use this replica set or sharded cluster, and disturb none of it")
    where.add_argument("--members", type=_members, metavar="N", help="members of the set that is started (default: 3)")


def _members(text: str) -> int:
    if not text.isdigit() or int(text) < _LEAST_MEMBERS:
        # With fewer, no majority is left when one is killed or held back.
        raise argparse.ArgumentTypeError(f"the demo needs {_LEAST_MEMBERS} members or more")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Show all parts; 1 when something that must hold does not."""
    from wiredrv.cli.demo.play import perform
    from wiredrv.cli.demo.scale import Scale

    return perform(args.backend, args.uri, args.members or _LEAST_MEMBERS, Scale(), _show())


def _show() -> Show:
    """Colours and bars on a terminal where rich is installed, plain lines elsewhere."""
    from wiredrv.cli.demo.show import Show

    if not sys.stdout.isatty():
        return Show()
    try:
        from wiredrv.cli.demo.rich_show import RichShow
    except ImportError:
        return Show()
    return RichShow()
