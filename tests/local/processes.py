"""Inspecting processes from outside, for the tests that end them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it comes without type information

from wiredrv.local._wait import until


def is_alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def is_suspended(pid: int) -> bool:
    """Whether the process was stopped by a signal and can be continued."""
    return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)


def children(pid: int) -> list[int]:
    """The process's children: its servers and their watchdog."""
    return [child.pid for child in psutil.Process(pid).children()]


def all_gone(pids: Iterable[int], timeout: float = 10.0) -> bool:
    """Whether all of the processes end within ``timeout`` seconds."""
    wanted = list(pids)
    return bool(until(lambda: not any(is_alive(pid) for pid in wanted), timeout))


def removed(path: Path, timeout: float = 10.0) -> bool:
    """Whether ``path`` is removed within ``timeout`` seconds."""
    return bool(until(lambda: not path.exists(), timeout))
