"""Servers never outlive the process that started them, however that process ends.

The watchdog is a small process that leads a process group and reads a pipe whose only writing end the starting
process holds. Every server is started into the watchdog's group. When the pipe ends, because it was closed or because
its holder died, the watchdog kills the group and removes the temporary directory.

Why it is done this way:

* A death signal (``PR_SET_PDEATHSIG``) is tied to the *thread* that spawned, and worker threads end long before their
  process does.
* No list of process ids is kept that could be stale: a server is in the group before its program starts. Until then
  its copy of the pipe is open, so the pipe cannot end while a server is being started.
* The group's number cannot be taken by another group while the watchdog lives, so the wrong processes are never hit.
* A process that the starting one forks, and that starts no other program, also holds the pipe: the pipe ends only when
  both have ended.
* A terminal's Ctrl-C goes to the foreground group only: it reaches neither servers nor watchdog.

This file is also the watchdog's program, run by its path, so it imports nothing of wiredrv.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

_GONE_WITHIN = 5.0


class Watchdog:
    """The starting process's end of the pipe. ``group`` is what servers are to be started into."""

    def __init__(self, remove: str | None = None) -> None:
        """Start the watchdog.

        :param remove: a directory to remove once the servers are dead, or None.
        """
        # Isolated and without site-packages: it starts in milliseconds and runs no start-up code of users.
        command = [sys.executable, "-I", "-S", __file__, *([remove] if remove else [])]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
            cwd="/",
        )
        self.group = self._process.pid

    def close(self) -> None:
        """Close the pipe: the watchdog kills whatever is still running in the group, and ends."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def _keep_watch(remove: str | None) -> None:
    # When the parent is gone the group is orphaned, and the kernel sends a group that holds a frozen process SIGHUP.
    for harmless in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(harmless, signal.SIG_IGN)
    while os.read(0, 1024):
        pass
    # The leader keeps the group's number from being reused and dies with the group; a child outside of it kills it.
    group = os.getpid()
    if os.fork() == 0:
        os.setpgid(0, 0)
        _kill_group(group)
        if remove is not None:
            shutil.rmtree(remove, ignore_errors=True)
        os._exit(0)
    while True:
        signal.pause()


def _kill_group(group: int) -> None:
    """Kill until no process is left. Dead ones count until they are reaped, which not every init does: hence the
    limit.
    """
    deadline = time.monotonic() + _GONE_WITHIN
    while time.monotonic() < deadline:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            return
        except PermissionError:
            pass  # macOS says so while all that is left of the group is dead and not reaped
        time.sleep(0.02)


if __name__ == "__main__":
    _keep_watch(sys.argv[1] if len(sys.argv) > 1 else None)
