"""The buffers of recordings, and where entries go. Pure.

An entry becomes a record, with its text, when the timeline is read; recording keeps no more than references. So a
command is kept as it was encoded, which no program can change afterwards, and of a large one the beginning, as text.
"""

from __future__ import annotations

import threading
from collections import deque
from datetime import datetime
from typing import NamedTuple, Protocol

from wiredrv.timeline.records import Record


class Start(NamedTuple):
    """When a recording began: on the monotonic clock, in seconds, and on the calendar. And how long texts may be."""

    monotonic: float
    calendar: datetime
    length: int

    def microseconds(self, when: float) -> int:
        """A time of the monotonic clock as records have it."""
        return max(round((when - self.monotonic) * 1_000_000), 0)


class Entry(Protocol):
    """What a buffer keeps of one record."""

    #: When it began, on the monotonic clock.
    at: float
    #: About how many bytes of memory it takes.
    size: int

    def record(self, start: Start) -> Record:
        """The record, for a recording that began then."""
        ...


class Buffer:
    """The entries of one recording. When there are too many, the oldest are dropped, and counted.

    :param start: when the recording began.
    :param limit: how many entries are kept.
    :param max_bytes: about how many bytes of memory they may take.
    """

    __slots__ = ("_bytes", "_entries", "_lock", "dropped", "limit", "max_bytes", "start")

    def __init__(self, start: Start, limit: int, max_bytes: int) -> None:
        self.start = start
        self.limit = limit
        self.max_bytes = max_bytes
        self.dropped = 0
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        # Finalizers, which garbage collection may run anywhere, end sessions: a thread may come here twice.
        self._lock = threading.RLock()

    def __reduce__(self) -> tuple[object, ...]:
        return _remade, (self.start, self.limit, self.max_bytes, self.dropped, self.entries())

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> None:
        """Keep an entry."""
        with self._lock:
            self._entries.append(entry)
            self._bytes += entry.size
            while self._bytes > self.max_bytes or len(self._entries) > self.limit:
                self._bytes -= self._entries.popleft().size
                self.dropped += 1

    def entries(self) -> list[Entry]:
        """What is kept now."""
        with self._lock:
            return list(self._entries)

    def take(self, most: int) -> list[Entry]:
        """Remove and return the oldest entries.

        :param most: how many at most.
        """
        with self._lock:
            taken = [self._entries.popleft() for _ in range(min(most, len(self._entries)))]
            self._bytes -= sum(entry.size for entry in taken)
            return taken

    def after_fork(self) -> None:
        """In a new process: another thread of the old one may have held the lock."""
        self._lock = threading.RLock()


def _remade(start: Start, limit: int, max_bytes: int, dropped: int, entries: list[Entry]) -> Buffer:
    buffer = Buffer(start, limit, max_bytes)
    for entry in entries:
        buffer.add(entry)
    buffer.dropped = dropped
    return buffer


class Tape:
    """The buffers of the recordings in progress: each gets every entry of the process."""

    __slots__ = ("buffers", "length")

    def __init__(self) -> None:
        self.buffers: tuple[Buffer, ...] = ()
        #: How many characters of a large command are kept.
        self.length = 0

    def add(self, entry: Entry) -> None:
        """Keep an entry in each of them."""
        for buffer in self.buffers:
            buffer.add(entry)


#: That of this process.
tape = Tape()
