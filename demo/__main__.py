"""``python -m demo``: reads the arguments and shows all parts.

Exit statuses: 0 if every check passed; 1 if one failed, or for an error of the driver, with a message; 2 for invalid
arguments; 130 for Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from demo.play import perform
from demo.scale import Scale
from demo.show import Show
from wiredrv.errors import DriverError

_LEAST_MEMBERS = 3
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Show all parts; return 1 if something that must hold does not."""
    chosen = _parser().parse_args(argv)
    try:
        page = chosen.timeline or Path(tempfile.gettempdir(), f"wiredrv-demo-{chosen.backend}.html")
        return perform(chosen.backend, chosen.uri, chosen.members or _LEAST_MEMBERS, Scale(), choose_show(), page)
    except DriverError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    description = "Show and check sessions and transactions on a real replica set."
    parser = argparse.ArgumentParser(prog="python -m demo", description=description)
    parser.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio", help="the event loop")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--uri", metavar="URI", help="use this replica set or sharded cluster, and disturb none of it")
    where.add_argument("--members", type=_members, metavar="N", help="members of the set that is started (default: 3)")
    parser.add_argument(
        "--timeline", metavar="FILE", type=Path, help="where to write the session timeline (default: a temporary file)"
    )
    return parser


def _members(text: str) -> int:
    if not text.isdigit() or int(text) < _LEAST_MEMBERS:
        # With fewer, no majority is left when one is killed or held back.
        raise argparse.ArgumentTypeError(f"the demo needs {_LEAST_MEMBERS} members or more")
    return int(text)


def choose_show() -> Show:
    """Colours and bars on a terminal where rich is installed, plain lines elsewhere."""
    if not sys.stdout.isatty():
        return Show()
    try:
        from demo.rich_show import RichShow
    except ImportError:
        return Show()
    return RichShow()


if __name__ == "__main__":
    sys.exit(main())
