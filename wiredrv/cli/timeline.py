"""``wiredrv timeline FILE``: shows a recording in the terminal, and writes it as a page of HTML beside the file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wiredrv.errors import InvalidTimeline
from wiredrv.timeline.page import write_page
from wiredrv.timeline.records import Header, Record, read_lines, to_fields
from wiredrv.timeline.terminal import show
from wiredrv.timeline.view import Filter

if TYPE_CHECKING:
    from wiredrv.cli._command import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Add ``timeline``."""
    parser = subparsers.add_parser("timeline", help="show a recording of sessions, and write it as a page of HTML")
    parser.add_argument("file", metavar="FILE", type=Path, help="what timeline.save() or WIREDRV_RECORD wrote")
    parser.add_argument("--html", metavar="OUT", type=Path, help="where the page goes; default: FILE with .html")
    parser.add_argument("--no-html", action="store_true", help="write no page")
    parser.add_argument("--session", metavar="ID", default="", help="show one session: the first digits of its id")
    parser.add_argument("--transaction", metavar="NUMBER", type=int, help="show the transactions with this number")
    parser.add_argument("--errors", action="store_true", help="show what failed")


def run(args: argparse.Namespace) -> int:
    """Write the page, and show the recording. The page has all of it, whatever is shown."""
    file: Path = args.file
    header, records = load(file)
    if not args.no_html:
        page: Path = args.html or file.with_suffix(".html")
        if page.resolve() == file.resolve():
            print(f"wiredrv: the page would replace {file}: name another file with --html OUT", file=sys.stderr)
            return 1
        try:
            write_page(map(to_fields, [header, *records]), page, title=f"Session timeline: {file.name}")
        except OSError as error:
            print(f"wiredrv: {page} cannot be written: {error.strerror}", file=sys.stderr)
            return 1
    show(header, records, Filter(args.session, args.transaction, args.errors))
    if not args.no_html:
        print(f"\nThe page is {page}")
    return 0


def load(path: Path) -> tuple[Header, list[Record]]:
    """Read a file.

    :raises InvalidTimeline: it cannot be read, or is not a timeline.
    """
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            header, records = read_lines(file, str(path))
            return header, list(records)
    except OSError as error:
        raise InvalidTimeline(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidTimeline(f"{path} is not a timeline of wiredrv: it is not a text in UTF-8") from error
