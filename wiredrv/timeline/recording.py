"""``wiredrv.record``: records what all clients of the process do while a block runs.

The first recording gives each executor of the process a recorder, and the end of the last one takes them away.
"""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from types import TracebackType

from wiredrv.errors import ConfigurationError, InvalidOperation
from wiredrv.execution import recording as executors
from wiredrv.logs.documents import max_length
from wiredrv.timeline.buffer import Buffer, Start, tape
from wiredrv.timeline.recorder import ClientRecorder
from wiredrv.timeline.timeline import Timeline
from wiredrv.waits import monotonic

#: How many records a recording keeps, and in about how many bytes of memory.
LIMIT = 100_000
MAX_BYTES = 64 * 1024 * 1024

_lock = threading.Lock()


class _Recording(AbstractContextManager[Timeline, None]):
    def __init__(self, limit: int, max_bytes: int) -> None:
        self._limit = limit
        self._max_bytes = max_bytes
        self._buffer: Buffer | None = None

    def __enter__(self) -> Timeline:
        if self._buffer is not None:
            raise InvalidOperation("this recording was used before: call wiredrv.record() for each block")
        self._buffer = Buffer(begun_now(), self._limit, self._max_bytes)
        start_buffer(self._buffer)
        return Timeline(self._buffer)

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._buffer is not None:
            stop_buffer(self._buffer)


def record(*, limit: int = LIMIT, max_bytes: int = MAX_BYTES) -> AbstractContextManager[Timeline, None]:
    """Record what all clients of this process do, in every thread and event loop, while a block runs.

    ::

        with wiredrv.record() as timeline:
            await transfer(client)
        timeline.html("transfer.html")

    Clients that exist are recorded, and so are those that are made in the block. Blocks may be nested, and run at the
    same time: each has a timeline of its own. This driver's own: no specification has it.

    :param limit: how many records are kept; then the oldest are dropped, and counted (``timeline.dropped``).
    :param max_bytes: about how many bytes of memory they may take.
    :returns: the recording, for ``with``, which gives its :class:`~wiredrv.Timeline`.
    :raises ConfigurationError: an argument is not a whole number from 1 up.
    """
    for name, value in (("limit", limit), ("max_bytes", max_bytes)):
        if type(value) is not int or value < 1:
            raise ConfigurationError(f"{name} must be a whole number from 1 up, not {value!r}")
    return _Recording(limit, max_bytes)


def begun_now() -> Start:
    """The start of a recording that begins now."""
    return Start(monotonic(), datetime.now(UTC), max_length(os.environ))


def start_buffer(buffer: Buffer) -> None:
    """Begin to record into this buffer."""
    with _lock:
        tape.length = buffer.start.length
        tape.buffers = (*tape.buffers, buffer)
        if len(tape.buffers) == 1:
            executors.start(ClientRecorder)


def stop_buffer(buffer: Buffer) -> None:
    """Record into this buffer no longer."""
    with _lock:
        left = tuple(other for other in tape.buffers if other is not buffer)
        if tape.buffers and not left:
            executors.stop()
        tape.buffers = left


def _after_fork() -> None:
    """Another thread of the old process may have held the locks."""
    global _lock
    _lock = threading.Lock()
    for buffer in tape.buffers:
        buffer.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
