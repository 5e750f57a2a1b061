"""``WIREDRV_RECORD=file``: records all clients of a program into a file.

Rules kept here:

* A thread writes what is complete, twice a second, and takes at most a twentieth of the time for that. What it does not
  manage waits in the buffer. At the end of the program all of the buffer is written.
* So a program that is killed loses the last half second, and one that is busier than that, more.
* Each process has a file of its own: ``%p`` in the name is the process's number. Where another process is writing the
  file, or has forked this one, the number is added to the name.
* Both are bounded: the buffer, and the file, whose oldest lines are dropped.
* Nothing that fails here stops the program, once the file was opened.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from wiredrv.errors import ConfigurationError
from wiredrv.timeline.buffer import Buffer, Entry, Start
from wiredrv.timeline.entries import CommandEntry
from wiredrv.timeline.file import RecordFile, with_number
from wiredrv.timeline.recording import MAX_BYTES, begun_now, start_buffer, stop_buffer
from wiredrv.timeline.timeline import header_of
from wiredrv.waits import monotonic

_LOG = logging.getLogger("wiredrv.timeline")

#: How many records are kept in memory, and at least how many in the file.
LIMIT = 50_000
#: Seconds between two writes; for how long one may take; how long it may hold others up.
_EVERY = 0.5
_AT_MOST = 0.025
_SLICE = 0.002
#: Seconds after which what is known of a command that was answered is complete.
_SETTLES = 0.05
#: Lines that are written at once.
_BATCH = 200


class _ProgramBuffer(Buffer):
    """A buffer that calls a function before its first entry."""

    __slots__ = ("first",)

    def __init__(self, start: Start, limit: int, max_bytes: int) -> None:
        super().__init__(start, limit, max_bytes)
        self.first: Callable[[], None] | None = None

    def add(self, entry: Entry) -> None:
        """Keep an entry."""
        if self.first is not None:
            self._begin()
        super().add(entry)

    def _begin(self) -> None:
        with self._lock:
            first, self.first = self.first, None
            if first is not None:
                first()


class ProgramRecording:
    """The recording of this process.

    :raises OSError: its file cannot be written.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._buffer = _ProgramBuffer(begun_now(), LIMIT, MAX_BYTES)
        self._file: RecordFile | None = RecordFile.open(path_for(name), header_of(self._buffer), LIMIT)
        self._flying: list[Entry] = []
        self._told = 0
        self._buffer.first = self._start_thread
        start_buffer(self._buffer)
        atexit.register(self.finish)

    # --- the thread ---

    def _start_thread(self) -> None:
        if self._thread is None and self._file is not None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._write_on, name="wiredrv recording", daemon=True)
            self._thread.start()

    def _stop_thread(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            self._stopping.set()
            thread.join()

    def _write_on(self) -> None:
        while not self._stopping.wait(_EVERY):
            until = monotonic() + _AT_MOST
            while monotonic() < until and self._write(monotonic() + _SLICE):
                if self._stopping.wait(_SLICE):
                    return
                until += _SLICE

    def _write(self, until: float, *, everything: bool = False) -> bool:
        """Write what is complete, until it is late. Returns whether there is more."""
        with self._lock:
            try:
                return self._file is not None and self._write_to(self._file, until, everything)
            except OSError as error:
                _LOG.warning("recording ends, since its file cannot be written: %s", error)
                self._file = None
                stop_buffer(self._buffer)
                return False

    def _write_to(self, file: RecordFile, until: float, everything: bool) -> bool:
        if self._buffer.dropped > self._told:
            file.dropped(self._buffer.dropped - self._told)
            self._told = self._buffer.dropped
        flying, self._flying = self._flying, []
        more = True
        for entry in flying:
            self._write_entry(file, entry, everything)
        while everything or monotonic() < until:
            entries = self._buffer.take(_BATCH if everything else 5)
            for entry in entries:
                self._write_entry(file, entry, everything)
            if not entries:
                more = False
                break
        file.flush()
        return more

    def _write_entry(self, file: RecordFile, entry: Entry, everything: bool) -> None:
        if not everything and isinstance(entry, CommandEntry) and not entry.complete(monotonic() - _SETTLES):
            self._flying.append(entry)
            return
        try:
            record = entry.record(self._buffer.start)
        except Exception:
            _LOG.exception("a record could not be made")
        else:
            file.add(record)

    # --- the end, and forks ---

    def finish(self) -> None:
        """Write all that is left: the program ends. May be called twice."""
        self._stop_thread()
        stop_buffer(self._buffer)
        self._write(0.0, everything=True)
        with self._lock:
            file, self._file = self._file, None
            if file is not None:
                file.close()

    def before_fork(self) -> None:
        """No thread of this recording runs while the process forks."""
        self._stop_thread()
        self._lock.acquire()

    def after_fork_in_parent(self) -> None:
        """Go on. A process that was forked itself and has no file yet still begins one when there is something."""
        self._lock.release()
        if self._file is not None:
            self._buffer.first = self._start_thread

    def after_fork_in_child(self) -> None:
        """What was recorded is the parent's, and so is the file. This process begins one when there is something."""
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        if self._file is not None:
            self._file.close()  # the parent's lock stays: it has the file open
            self._file = None
            self._buffer.after_fork()
            self._buffer.take(LIMIT)
            self._buffer.dropped = self._told = 0
            self._flying = []
            self._buffer.first = self._start_in_child

    def _start_in_child(self) -> None:
        path = path_for(self._name)
        if "%p" not in self._name:
            path = with_number(path)
        try:
            self._file = RecordFile.open(path, header_of(self._buffer), LIMIT)
        except OSError as error:
            _LOG.warning("this process is not recorded, since %s cannot be written: %s", path, error)
            stop_buffer(self._buffer)
            return
        self._start_thread()
        finalizers = sys.modules.get("multiprocessing.util")
        if finalizers is not None:
            # Its processes end without calling what atexit knows.
            finalizers.Finalize(None, self.finish, exitpriority=0)


def path_for(name: str) -> Path:
    """The file of this process."""
    return Path(name.replace("%p", str(os.getpid())))


_recording: ProgramRecording | None = None
_starting = threading.Lock()


def start(name: str) -> None:
    """Begin to record all clients of this process, unless that is done already.

    :param name: of the file; ``%p`` in it is the number of the process.
    :raises ConfigurationError: the file cannot be written.
    """
    global _recording
    with _starting:
        if _recording is None:
            try:
                _recording = ProgramRecording(name)
            except OSError as error:
                raise ConfigurationError(
                    f"WIREDRV_RECORD names a file that cannot be written: {path_for(name)}: {error.strerror}"
                ) from error


def _before_fork() -> None:
    _starting.acquire()
    if _recording is not None:
        _recording.before_fork()


def _after_fork_in_parent() -> None:
    if _recording is not None:
        _recording.after_fork_in_parent()
    _starting.release()


def _after_fork_in_child() -> None:
    global _starting
    _starting = threading.Lock()
    if _recording is not None:
        _recording.after_fork_in_child()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
