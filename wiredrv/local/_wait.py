"""Waiting for a condition with a deadline, in a plain thread or in a worker thread of an event loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from anyio import from_thread

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.05


def until(condition: Callable[[], T | None], timeout: float) -> T | None:
    """Call ``condition`` repeatedly until it returns something true; return None after ``timeout`` seconds.

    In a worker thread that anyio started, the cancellation of the task which waits for the thread ends the wait.
    """
    deadline = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while True:
        if found := condition():
            return found
        if time.monotonic() >= deadline:
            return None
        _check_cancelled()
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def _check_cancelled() -> None:
    try:
        from_thread.check_cancelled()
    except RuntimeError:
        pass  # not a worker thread of an event loop: it cannot be cancelled
