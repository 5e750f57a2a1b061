"""Several threads fork at once, while others use synchronous clients."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# In a process of its own: if a lock were kept, the tests that come after could not fork.
_PROGRAM = """
import os, sys, threading, warnings
from wiredrv.waits.threads import Threads

warnings.simplefilter("ignore", DeprecationWarning)  # a process with threads forks
sys.setswitchinterval(1e-6)
loops = [Threads(RuntimeError) for _ in range(3)]
stop = threading.Event()

def use(loop):
    while not stop.is_set():
        loop.call(lambda: sum(range(50)))

def make():
    while not stop.is_set():
        [Threads(RuntimeError) for _ in range(20)]

def fork():
    for _ in range(15):
        child = os.fork()
        if not child:
            loops[0].call(lambda: None)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0

users = [threading.Thread(target=use, args=(loop,), daemon=True) for loop in loops]
users.append(threading.Thread(target=make, daemon=True))
forks = [threading.Thread(target=fork, daemon=True) for _ in range(2)]
for thread in (*users, *forks):
    thread.start()
for thread in forks:
    thread.join()
stop.set()
for thread in users:
    thread.join()
for loop in loops:
    loop.call(print, "free")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_two_threads_that_fork_at_once_release_the_locks_of_all_clients() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert finished.stderr == ""
    assert finished.stdout == "free\n" * 3
