"""What a module of ``wiredrv.cli`` must have to be a command."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    #: What ``add_subparsers`` returns; its class has no public name.
    Subparsers: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]


class Command(Protocol):
    """A module of ``wiredrv.cli``."""

    def add_parser(self, subparsers: Subparsers) -> None:
        """Add the command's own parser, under the module's name."""
        ...

    def run(self, args: argparse.Namespace) -> int:
        """Do it; return the exit status."""
        ...
