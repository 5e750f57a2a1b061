"""Programs on a terminal of their own: what they show, and what a person types."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

_WITHIN = 60.0
#: What terminals act on and do not show: colours, positions, titles, modes.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b[=>]|\r")


class Terminal:
    """A program that runs on a terminal."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self._master = master
        #: All that it showed.
        self.shown = ""
        self._read = 0

    def send(self, text: str) -> None:
        """Type text."""
        os.write(self._master, text.encode())

    def read_until(self, text: str, timeout: float = _WITHIN) -> str:
        """Read what is shown until ``text`` appears, and return it all."""
        deadline = time.monotonic() + timeout
        while text not in self._new:
            if not self._more(deadline):
                raise AssertionError(f"no {text!r} was shown: {self.shown[self._read :]!r}")
        end = self._new.index(text) + len(text)
        found = self._new[:end]
        self._read += end
        return found

    def wait(self, timeout: float = _WITHIN) -> int:
        """Read to the end and return the exit status."""
        deadline = time.monotonic() + timeout
        while self._more(deadline):
            pass
        return self.process.wait(max(deadline - time.monotonic(), 0.1))

    @property
    def _new(self) -> str:
        return self.shown[self._read :]

    def _more(self, deadline: float) -> bool:
        """Read what is there; false at the end of the program's output."""
        if not select.select([self._master], [], [], max(deadline - time.monotonic(), 0))[0]:
            raise AssertionError(f"nothing more was shown in time: {self._new!r}")
        try:
            data = os.read(self._master, 65_536)
        except OSError:  # how Linux reports that the other end is closed
            data = b""
        self.shown += _CONTROL.sub("", data.decode(errors="replace"))
        return bool(data)


@contextmanager
def terminal(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[Terminal]:
    """A program on a terminal of its own, which is its controlling one: Ctrl-C is the character. Killed at the end."""
    master, slave = pty.openpty()
    program = (
        "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
    )
    variables = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40", **(environment or {})}
    process = subprocess.Popen(
        [sys.executable, "-c", program, *command],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env=variables,
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)
