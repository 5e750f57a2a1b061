"""``wiredrv <command>``: finds the command's module, hands it the arguments, turns errors into exit statuses.

Exit statuses: what the command returns; 1 and a message for an error of the driver; 2 for invalid arguments (argparse's
own); 130 for Ctrl-C. Output that nobody reads any more (as by ``| head``) ends the command without a message; output
that cannot be written (a full disk) ends it with one, and 1.
"""

from __future__ import annotations

import argparse
import errno
import os
import pkgutil
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import cast

import wiredrv
from wiredrv import cli
from wiredrv.cli._command import Command
from wiredrv.errors import DriverError

_INTERRUPTED = 130
_BROKEN_PIPE = 141  # as shells report it: 128 and SIGPIPE
_CANNOT_WRITE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def commands() -> list[str]:
    """The commands: the names of this package's modules, apart from this one and the private ones."""
    names = (module.name for module in pkgutil.iter_modules(cli.__path__))
    return sorted(name for name in names if name != "main" and not name.startswith("_"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``wiredrv`` with ``argv`` (the process's own arguments when None) and return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if sys.stdout is None:
        # A file or a socket that is opened next would get its number.
        print("wiredrv: the standard output is closed: give it a file, or /dev/null", file=sys.stderr)
        return 1
    try:
        # The commands' modules take a while to import, and Ctrl-C may come then.
        loaded = {name: load(name) for name in _wanted(arguments)}
        parsed = parser_of(loaded.values()).parse_args(arguments)
        status = loaded[parsed.command].run(parsed)
        sys.stdout.flush()
        return status
    except DriverError as error:
        print(f"wiredrv: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BaseExceptionGroup as group:
        # Ctrl-C, as it leaves the task groups of trio.
        if group.split(KeyboardInterrupt)[1] is not None:
            raise
        return _INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return _BROKEN_PIPE
    except OSError as error:
        # An error of a file has its name.
        if error.errno not in _CANNOT_WRITE or error.filename is not None:
            raise
        _drop_output()
        print(f"wiredrv: the output cannot be written: {error.strerror}", file=sys.stderr)
        return 1


def _drop_output() -> None:
    """Python would complain once more when it flushes the output at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parser_of(loaded: Iterable[Command]) -> argparse.ArgumentParser:
    """The parser of the command line with some of its commands."""
    parser = argparse.ArgumentParser(prog="wiredrv", description="A MongoDB driver focused on sessions.")
    parser.add_argument("--version", action="version", version=f"wiredrv {wiredrv.__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in loaded:
        command.add_parser(subparsers)
    return parser


def _wanted(arguments: Sequence[str]) -> list[str]:
    """The modules to import: only the command's own where one is named, so that it starts no slower than it must."""
    names = commands()
    return [arguments[0]] if arguments and arguments[0] in names else names


def load(name: str) -> Command:
    """The module of a command."""
    return cast(Command, import_module(f"wiredrv.cli.{name}"))


if __name__ == "__main__":
    sys.exit(main())
