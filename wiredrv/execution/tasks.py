"""Which task runs now: as cheaply as the event loops tell, since every operation of a session asks."""

from __future__ import annotations

import asyncio
import sys


def current_task() -> object:
    """The running task: an :class:`asyncio.Task` or a trio task; None outside of both."""
    if asyncio._get_running_loop() is not None:
        return asyncio.current_task()
    trio = sys.modules.get("trio")
    return trio.lowlevel.current_task() if trio is not None and trio.lowlevel.in_trio_run() else None
