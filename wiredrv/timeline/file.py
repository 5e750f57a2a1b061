"""The file of a program that is recorded: lines are appended, and the oldest dropped when there are too many.

The process that writes a file has it locked, so that another one, to which the environment gives the same name, takes a
name of its own.
"""

from __future__ import annotations

import fcntl
import os
import stat
from itertools import islice
from pathlib import Path
from typing import Self

from wiredrv.timeline.records import Dropped, Header, Record, to_line

#: Only the user may read it: it has the program's data.
_MODE = 0o600
#: Lines that are copied at once.
_BATCH = 200


class RecordFile:
    """An open file, locked by this process.

    :param path: its name.
    :param descriptor: of the open file.
    :param header: its first line.
    :param limit: at least how many records it keeps; at most twice as many.
    """

    def __init__(self, path: Path, descriptor: int, header: Header, limit: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._first = to_line(header) + "\n"
        self._limit = limit
        self._count = 0
        self._dropped = 0
        self._lines: list[str] = [self._first]
        os.ftruncate(descriptor, 0)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fchmod(descriptor, _MODE)  # it may have been there before
        self.flush()

    @classmethod
    def open(cls, path: Path, header: Header, limit: int) -> Self:
        """Open a file for this process. If another process writes it, take the name with the number of this one.

        :raises OSError: it cannot be written.
        """
        descriptor = _locked(path)
        if descriptor is None:
            path = with_number(path)
            descriptor = _locked(path)
        if descriptor is None:
            raise OSError(0, "another process is writing it")
        return cls(path, descriptor, header, limit)

    def add(self, record: Record) -> None:
        """Add a record; :meth:`flush` writes it."""
        self._lines.append(to_line(record) + "\n")
        self._count += 1

    def dropped(self, count: int) -> None:
        """So many records were dropped before they came here."""
        self._dropped += count
        self._lines.append(to_line(Dropped(count=count)) + "\n")

    def flush(self) -> None:
        """Write what was added."""
        if self._lines:
            data = "".join(self._lines).encode()
            self._lines.clear()
            _write(self._descriptor, data)
        if self._count > 2 * self._limit:
            self._shorten()

    def close(self) -> None:
        """Close it. Nothing can be added any longer."""
        os.close(self._descriptor)

    def _shorten(self) -> None:
        """Keep the latest lines, in a new file that takes the old one's place. A few at a time: there may be many."""
        too_many = self._count - self._limit
        with self.path.open("rb") as old:
            beside = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
            descriptor = _locked(beside)
            if descriptor is None:
                raise OSError(0, f"another process is writing {beside}")
            os.ftruncate(descriptor, 0)
            count = to_line(Dropped(count=self._dropped + too_many)) + "\n"
            _write(descriptor, (self._first + count).encode())
            old.readline()
            kept = islice((line for line in old if not _is_count(line)), too_many, None)
            while lines := b"".join(islice(kept, _BATCH)):
                _write(descriptor, lines)
        beside.replace(self.path)
        os.close(self._descriptor)
        self._descriptor = descriptor
        self._dropped += too_many
        self._count = self._limit


def with_number(path: Path) -> Path:
    """The name of a file with the number of this process."""
    return path.with_name(f"{path.stem}.{os.getpid()}{path.suffix}")


def _is_count(line: bytes) -> bool:
    return line.startswith(b'{"kind":"dropped"')


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _locked(path: Path) -> int | None:
    """Open a file and lock it; None if another process has locked it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
