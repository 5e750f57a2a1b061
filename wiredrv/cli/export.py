"""``wiredrv export URI DATABASE.COLLECTION --snapshot``: the documents of a collection, as lines of extended JSON.

With ``--snapshot`` all of them are of one moment, and several readers fetch them; without it one cursor reads what it
finds, which a standalone can do too. A file appears when it is complete, and not before. What is shown besides the
documents (a progress bar on a terminal, the time and its token at the end) goes to standard error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractContextManager, aclosing, nullcontext
from datetime import UTC, datetime
from functools import partial
from typing import IO, TYPE_CHECKING, NamedTuple

import anyio
import anyio.to_thread
from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion

from wiredrv.cli._output import output_to
from wiredrv.client.client import Client
from wiredrv.client.collection import Collection
from wiredrv.client.snapshots.snapshot import Snapshot
from wiredrv.concerns import ReadPreference
from wiredrv.errors import ConfigurationError
from wiredrv.types import Document, PlainDocument

if TYPE_CHECKING:
    from wiredrv.cli._command import Subparsers

_FORMATS = {"relaxed": json_util.RELAXED_JSON_OPTIONS, "canonical": json_util.CANONICAL_JSON_OPTIONS}
_PREFERENCES = {
    "primary": ReadPreference.PRIMARY,
    "primaryPreferred": ReadPreference.PRIMARY_PREFERRED,
    "secondary": ReadPreference.SECONDARY,
    "secondaryPreferred": ReadPreference.SECONDARY_PREFERRED,
    "nearest": ReadPreference.NEAREST,
}
#: Far dates stay numbers instead of failing.
_OPTIONS: CodecOptions[PlainDocument] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
_APP_NAME = "wiredrv export"


class Shown(NamedTuple):
    """How far the export is.

    :param documents: how many were written.
    :param total: about how many there are; None if that is not known.
    """

    documents: int
    total: int | None


def add_parser(subparsers: Subparsers) -> None:
    """Add ``export``."""
    parser = subparsers.add_parser(
        "export",
        help="write a collection as JSON lines",
        description="Write the documents of a collection as extended JSON, one to a line.",
    )
    parser.add_argument("uri", metavar="URI", help="the connection string")
    parser.add_argument("namespace", metavar="DATABASE.COLLECTION", help="what to export")
    parser.add_argument("--snapshot", action="store_true", help="read one moment, with several readers")
    parser.add_argument("--token", metavar="T", help="read the moment of another snapshot, by its token")
    parser.add_argument("--readers", type=int, default=4, metavar="N", help="readers of a snapshot (default: 4)")
    parser.add_argument("--ordered", action="store_true", help="write a snapshot in the order of _id")
    parser.add_argument(
        "--output", "-o", default="-", metavar="FILE", help="the file to write (default: -, the output)"
    )
    parser.add_argument("--query", metavar="JSON", help="which documents, as extended JSON")
    parser.add_argument("--fields", metavar="NAMES", help="which fields, with commas between; _id too, unless -_id is")
    parser.add_argument("--format", choices=tuple(_FORMATS), default="relaxed", help="of the JSON (default: relaxed)")
    parser.add_argument(
        "--read-preference",
        choices=tuple(_PREFERENCES),
        metavar="MODE",
        help=f"which members to read: {', '.join(_PREFERENCES)} (default: as the connection string says)",
    )
    parser.add_argument("--quiet", "-q", action="store_true", help="show neither progress nor a summary")


def run(args: argparse.Namespace) -> int:
    """Do it."""
    database, separator, collection = args.namespace.partition(".")
    if not (database and separator and collection):
        raise ConfigurationError(f"{args.namespace!r} does not name a collection: write DATABASE.COLLECTION")
    query = query_of(args.query)
    with output_to(args.output) as file, _progress(args.namespace, quiet=args.quiet) as show:
        summary = anyio.run(partial(_export, args, query, file, show))
    if not args.quiet:
        print(summary, file=sys.stderr)
    return 0


def query_of(text: str | None) -> Document:
    """The filter of ``--query``.

    :raises ConfigurationError: it is not a document in extended JSON.
    """
    if text is None:
        return {}
    try:
        found = json_util.loads(text)
    except Exception as error:  # whatever extended JSON makes of it
        raise ConfigurationError(f"--query is not extended JSON: {error}") from error
    if not isinstance(found, dict):
        raise ConfigurationError("--query must be a document, as '{\"paid\": true}'")
    return found


def projection_of(text: str | None) -> Document | None:
    """The projection of ``--fields``: ``a,b``, or ``a,-_id`` without the ids.

    :raises ConfigurationError: it names no field, or leaves out another than ``_id``.
    """
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    left_out = [name for name in names if name.startswith("-")]
    if not names or left_out not in ([], ["-_id"]):
        raise ConfigurationError("--fields takes names with commas between, as 'sku,price'; only -_id leaves one out")
    return {name.removeprefix("-"): 0 if name in left_out else 1 for name in names}


def lines_of(documents: Sequence[Document], options: json_util.JSONOptions) -> str:
    """Documents as lines of extended JSON."""
    return "".join(f"{json_util.dumps(document, json_options=options)}\n" for document in documents)


async def _export(args: argparse.Namespace, query: Document, file: IO[str], show: Callable[[Shown], None]) -> str:
    """Write everything; returns what to say about it."""
    database, _, name = args.namespace.partition(".")
    options = _FORMATS[args.format]
    written = 0
    async with Client(args.uri, appName=_APP_NAME) as client:
        collection = client[database].get_collection(
            name, codec_options=_OPTIONS, read_preference=_PREFERENCES.get(args.read_preference)
        )
        at_once = args.snapshot or args.token is not None
        snap = client.snapshot(args.token) if at_once else None
        async with nullcontext() if snap is None else snap:
            batches = _found(collection, query, args) if snap is None else _scanned(snap, collection, query, args)
            async with aclosing(batches):
                async for documents, total in batches:
                    # In a thread: a pipe that nobody reads must not keep the client from its work.
                    await anyio.to_thread.run_sync(partial(_write, file, documents, options))
                    written += len(documents)
                    show(Shown(written, total))
    what = f"{written:,} documents of {args.namespace}"
    if snap is None:
        return f"exported {what}, as they were found; --snapshot reads one moment"
    moment = datetime.fromtimestamp(snap.time.time, UTC)
    return f"exported {what}, as of {moment:%Y-%m-%d %H:%M:%S} UTC; --token {snap.token} reads the same moment"


def _write(file: IO[str], documents: Sequence[Document], options: json_util.JSONOptions) -> None:
    file.write(lines_of(documents, options))


async def _scanned(
    snap: Snapshot, collection: Collection[PlainDocument], query: Document, args: argparse.Namespace
) -> AsyncGenerator[tuple[list[PlainDocument], int | None], None]:
    projection = projection_of(args.fields)
    async with snap.scan(collection, query, projection, readers=args.readers, ordered=args.ordered) as scan:
        async for batch in scan:
            yield batch, scan.progress.estimated_total


async def _found(
    collection: Collection[PlainDocument], query: Document, args: argparse.Namespace
) -> AsyncGenerator[tuple[list[PlainDocument], int | None], None]:
    total = None if query else await collection.estimated_document_count()
    async with collection.find(query, projection_of(args.fields)) as cursor:
        async for batch in cursor.batches():
            yield batch, total


# --- the progress bar -----------------------------------------------------------------------------------------------


def _progress(namespace: str, *, quiet: bool) -> AbstractContextManager[Callable[[Shown], None]]:
    """A function that shows how far the export is, and the context to call it in."""
    if not quiet and sys.stderr.isatty():
        try:
            return _Bar(namespace)
        except ImportError:
            pass
    return nullcontext(lambda shown: None)


class _Bar(AbstractContextManager[Callable[[Shown], None]]):
    """A bar of rich's on standard error."""

    def __init__(self, namespace: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task(namespace, total=None)

    def __enter__(self) -> Callable[[Shown], None]:
        self._bar.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _show(self, shown: Shown) -> None:
        # The estimate may be too low, and a bar has an end.
        total = None if shown.total is None else max(shown.total, shown.documents)
        self._bar.update(self._task, completed=shown.documents, total=total)
