"""The process in which one driver does one task: each line on standard input asks for an iteration.

Run as ``python -m benchmarks.driverbench.worker DRIVER BACKEND TASK OPERATIONS URI DATA``. The first line that it
writes says whether the driver can run here. Its client stays open from the first iteration to the last.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

import anyio

from benchmarks.driverbench.data import DataSets
from benchmarks.driverbench.drivers import DRIVERS, OpenDriver
from benchmarks.driverbench.tasks import TASKS, Task


def why_unavailable(driver: str, backend: str) -> str | None:
    """Why this driver cannot run on this backend in this environment, or None if it can."""
    for module in (DRIVERS[driver].module, backend):
        try:
            importlib.import_module(module)
        except ImportError as error:
            return str(error)
    return None


async def serve(driver: str, task: Task, operations: int, uri: str, data: DataSets, answers: TextIO) -> None:
    """Do an iteration for each line on standard input."""
    async with DRIVERS[driver].open(uri) as opened:
        while await anyio.to_thread.run_sync(sys.stdin.readline):
            try:
                answer = await measure(opened, task, operations, data)
            except Exception:
                answer = {"failure": traceback.format_exc()}
            answers.write(json.dumps(answer) + "\n")


async def measure(driver: OpenDriver, task: Task, operations: int, data: DataSets) -> dict[str, Any]:
    """Seconds of the clock, and of the process's time on all its threads, that one iteration took."""
    iteration = task.prepare(driver, data, operations)
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    await iteration()
    return {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def main(driver: str, backend: str, task: str, operations: str, uri: str, data: str) -> None:
    # Whatever a library prints must not mix with the answers: standard output becomes standard error.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    answers.write(json.dumps({"unavailable": why_unavailable(driver, backend)}) + "\n")
    anyio.run(serve, driver, TASKS[task], int(operations), uri, DataSets(Path(data)), answers, backend=backend)


if __name__ == "__main__":
    main(*sys.argv[1:])
