"""How long this process waited for the CPU while a block ran: the time that a busy machine adds to every duration.

A bound on a duration is a promise of the driver, and holds on a machine that has CPU time for it. So tests that measure
durations subtract the delays of a thread that only sleeps and should wake at once each time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep

_INTERVAL = 0.01


class Stopwatch:
    """``seconds``: how long the block took, without the machine's delays; valid after the block."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.stalled = 0.0
        self._ended = threading.Event()

    def watch(self) -> None:
        """Add up the delays until the end."""
        while not self._ended.is_set():
            begun = monotonic()
            sleep(_INTERVAL)
            self.stalled += monotonic() - begun - _INTERVAL

    def end(self) -> None:
        """Stop watching."""
        self._ended.set()


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Measure the block."""
    found = Stopwatch()
    watcher = threading.Thread(target=found.watch, daemon=True)
    begun = monotonic()
    watcher.start()
    try:
        yield found
    finally:
        lasted = monotonic() - begun
        found.end()
        watcher.join()
        found.seconds = max(lasted - found.stalled, 0.0)
