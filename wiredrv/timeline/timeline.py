"""A timeline: the records of a recording, or of a part of it, to be looked at, saved and shown."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from os import PathLike, getpid
from pathlib import Path

from wiredrv._version import __version__
from wiredrv.timeline.buffer import Buffer
from wiredrv.timeline.records import Dropped, Header, Record, to_fields, to_line


class Timeline:
    """What was recorded. :func:`wiredrv.record` gives one, and so does ``timeline`` of an error of a transaction.

    It can be read at any time, while it is recorded too. Commands and errors are redacted as in log messages: what may
    hold credentials is left out, and documents are cut off at 1000 characters (``MONGODB_LOG_MAX_DOCUMENT_LENGTH``).

    This driver's own: no specification has it.
    """

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer

    @property
    def records(self) -> tuple[Record, ...]:
        """The records, by time, as :mod:`wiredrv.timeline.records` has them. They are made anew each time."""
        start = self._buffer.start
        entries = sorted(self._buffer.entries(), key=lambda entry: entry.at)
        return tuple(entry.record(start) for entry in entries)

    @property
    def dropped(self) -> int:
        """How many records were dropped because there were too many: the oldest."""
        return self._buffer.dropped

    @property
    def header(self) -> Header:
        """When the recording began, and which driver made it."""
        return header_of(self._buffer)

    def save(self, path: str | PathLike[str]) -> None:
        """Write it to a file, as JSON lines: ``wiredrv timeline FILE`` shows it.

        :param path: the file; one that exists is replaced.
        :raises OSError: the file cannot be written.
        """
        with Path(path).open("w", encoding="utf-8", newline="\n") as file:
            for record in self._all():
                file.write(to_line(record) + "\n")

    def html(self, path: str | PathLike[str]) -> None:
        """Write it to a page of HTML, which needs no other file and no network.

        :param path: the file; one that exists is replaced.
        :raises OSError: the file cannot be written.
        """
        from wiredrv.timeline.page import write_page

        write_page(map(to_fields, self._all()), path)

    def show(self) -> None:
        """Print it, as ``wiredrv timeline`` does.

        :raises ConfigurationError: rich is not installed (``pip install 'wiredrv[cli]'``).
        """
        from wiredrv.timeline.terminal import show

        header, *records = self._all()
        assert isinstance(header, Header)
        show(header, [record for record in records if not isinstance(record, Header)])

    def __len__(self) -> int:
        return len(self._buffer)

    def __repr__(self) -> str:
        return f"<Timeline of {len(self)} records>"

    def _all(self) -> Iterator[Header | Record]:
        yield self.header
        if self.dropped:
            yield Dropped(count=self.dropped)
        yield from self.records


def header_of(buffer: Buffer) -> Header:
    """The header of a recording's file."""
    started = buffer.start.calendar.astimezone(UTC).isoformat(timespec="microseconds")
    return Header(driver=f"wiredrv {__version__}", started=started.replace("+00:00", "Z"), process=getpid())
