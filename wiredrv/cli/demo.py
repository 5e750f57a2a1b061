"""``wiredrv demo``: says that the demo is in the repository and not in the installed package."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wiredrv.cli._command import Subparsers

_WHERE = """\
The demo is in the repository, and not part of the installed package. To run it:

    git clone https://github.com/wiredrv/wiredrv
    cd wiredrv
    make demo
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add ``demo``."""
    parser = subparsers.add_parser("demo", help="say how to run the demo, which is in the repository")
    for option in ("--backend", "--uri", "--members"):
        parser.add_argument(option, help=argparse.SUPPRESS)  # so that commands for earlier versions get the message too


def run(args: argparse.Namespace) -> int:
    """Print how to run the demo."""
    print(_WHERE, end="", file=sys.stderr)
    return 1
