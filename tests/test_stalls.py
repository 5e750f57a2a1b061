"""``tests.support.stalls``: a stopwatch that subtracts the machine's delays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.support.stalls import stopwatch

_ROOT = Path(__file__).resolve().parents[1]
_MEASURES = """
import time
from tests.support.stalls import stopwatch
with stopwatch() as watch:
    print("begun", flush=True)
    time.sleep(1)
print(watch.seconds, watch.stalled)
"""


def test_what_a_block_waits_for_by_itself_counts() -> None:
    with stopwatch() as watch:
        time.sleep(0.5)
    assert watch.seconds > 0.2


def test_what_the_machine_adds_does_not() -> None:
    command = [sys.executable, "-c", _MEASURES]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(2)
        os.kill(process.pid, signal.SIGCONT)
        seconds, stalled = map(float, process.stdout.readline().split())
    assert stalled > 1.5
    assert seconds < 1.2
