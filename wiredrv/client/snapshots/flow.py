"""What the readers of a scan hand to its consumer: batches, within bounds.

Rules kept here:

* A reader has at most :data:`MOST_UNREAD` batches here that the consumer has not taken; then it waits. So the memory of
  a scan is bounded, however slow its consumer is.
* Ranges are claimed in their order. With ``ordered``, batches are given in the order of the ranges. A reader that waits
  has unread batches; the range that the consumer waits for is being read, or claimed by the next reader that is free.
  So they cannot wait for one another.
* A reader that is stopped ends what it has sent, closes its cursor and leaves; only one that takes longer is cancelled.
  (In a synchronous client, a cancellation that finds a reader waiting for a reply breaks its connection.)
* Nothing here refers to the scan: when that is collected, its readers are stopped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from wiredrv import waits
from wiredrv.client.snapshots.ranges import Range
from wiredrv.errors import InvalidOperation
from wiredrv.types import Address
from wiredrv.wire.batch import Batch

#: How many batches of one reader are kept until the consumer takes them.
MOST_UNREAD = 2
#: Seconds that readers may take to leave before they are cancelled.
_LEAVE_SECONDS = 0.5


class Stopped(Exception):
    """The scan is over for a reader: for the readers alone."""


class AnyReader(Protocol):
    """A reader: a task that puts batches here."""

    #: How many of its batches were not taken.
    unread: int

    def cancel(self) -> None:
        """Stop it."""
        ...


class Chunk(NamedTuple):
    """A batch, and where it comes from."""

    batch: Batch
    address: Address | None
    reader: AnyReader


class Flow:
    """The batches between readers and a consumer.

    :param ranges: what is read.
    :param ordered: whether the batches are given in the order of the ranges.
    """

    def __init__(self, ranges: Sequence[Range], ordered: bool) -> None:
        self.ranges = len(ranges)
        self.ranges_done = 0
        #: What went wrong: the first failure of a reader.
        self.error: Exception | None = None
        self.stopped = False
        self._unclaimed = deque(ranges)
        self._readers: set[AnyReader] = set()
        #: The batches by the number of their range; all under 0 if the order does not matter.
        self._chunks: dict[int, deque[Chunk]] = {0: deque()}
        self._ordered = ordered
        #: The range that is given now, and those after it that were read to their end.
        self._current = 0
        self._read: set[int] = set()
        self._news: waits.Event | None = None
        self._room: waits.Event | None = None
        self._ended: waits.Event | None = None

    # --- for readers ---

    def entered(self, reader: AnyReader) -> None:
        """A reader is about to start."""
        self._readers.add(reader)

    def claim(self) -> Range | None:
        """The next range for a reader; None if there is none."""
        return self._unclaimed.popleft() if self._unclaimed and not self._is_ending else None

    async def put(self, part: Range, chunk: Chunk) -> None:
        """Hand over a batch of a range, and wait while the reader has too many here.

        :raises Stopped: the reader is to leave.
        """
        if self._is_ending:
            raise Stopped
        self._chunks.setdefault(part.number if self._ordered else 0, deque()).append(chunk)
        chunk.reader.unread += 1
        self._tell()
        while chunk.reader.unread >= MOST_UNREAD:
            if self._room is None:
                self._room = waits.Event()
            await self._room.wait()
            if self._is_ending:
                raise Stopped

    def finished(self, part: Range) -> None:
        """A range was read to its end."""
        self.ranges_done += 1
        self._read.add(part.number)
        self._tell()

    def fail(self, error: Exception) -> None:
        """A range cannot be read."""
        if not self._is_ending:
            self.error = error
        self._tell()

    def left(self, reader: AnyReader) -> None:
        """A reader has ended."""
        self._readers.discard(reader)
        if self._readers:
            return
        if self.ranges_done < self.ranges:
            self.fail(
                InvalidOperation("this scan cannot go on: its client was closed, or its event loop ended; scan again")
            )
        self._tell()
        if self._ended is not None:
            self._ended.set()

    @property
    def _is_ending(self) -> bool:
        """Whether no more is to be read: the scan was stopped; or a reader failed, which the others must not hide."""
        return self.stopped or self.error is not None

    # --- for the consumer ---

    def take(self) -> Chunk | None:
        """The next batch, if there is one."""
        while not (chunks := self._chunks.setdefault(self._current, deque())):
            if not self._ordered or self._current not in self._read:
                return None
            del self._chunks[self._current]
            self._current += 1
        chunk = chunks.popleft()
        chunk.reader.unread -= 1
        if self._room is not None and chunk.reader.unread < MOST_UNREAD:
            room, self._room = self._room, None
            room.set()
        return chunk

    @property
    def is_over(self) -> bool:
        """Whether everything was read, and taken."""
        return self.ranges_done == self.ranges and not any(self._chunks.values())

    async def wait(self) -> None:
        """Wait until something changes."""
        self._news = waits.Event()
        await self._news.wait()

    def stop(self) -> None:
        """Have the readers leave, and forget what they have read."""
        self.stopped = True
        self._chunks.clear()
        room, self._room = self._room, None
        if room is not None:
            room.set()
        self._tell()

    def cancel(self) -> None:
        """Cancel the readers that are left."""
        for reader in list(self._readers):
            reader.cancel()

    async def end(self) -> None:
        """Stop, and wait until no reader is left. Those that do not leave in time are cancelled."""
        self.stop()
        with waits.move_on_after(_LEAVE_SECONDS):
            await self._wait_ended()
            return
        self.cancel()
        await self._wait_ended()

    async def end_within(self, seconds: float) -> None:
        """As :meth:`end`, for the client's background.

        :param seconds: how long that may take.
        """
        with waits.shield(seconds):
            await self.end()

    async def _wait_ended(self) -> None:
        while self._readers:
            if self._ended is None:
                self._ended = waits.Event()
            await self._ended.wait()

    def _tell(self) -> None:
        news, self._news = self._news, None
        if news is not None:
            news.set()
