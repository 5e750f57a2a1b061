"""One measurement: a fixed number of workers that repeat one operation for a while, and what that took.

Rules kept here:

* The loop is closed: a worker starts its next operation when the one before was answered and compared.
* A fresh client for every measurement, warmed up by the same workers before the clock starts, so that connections,
  discovery and caches are not measured.
* CPU time is that of the whole process: threads of the driver count, in whichever language they are written.
"""

from __future__ import annotations

import gc
import time
from dataclasses import asdict, dataclass
from typing import Any

import anyio

from benchmarks.contenders import CONTENDERS, Backend, Target
from benchmarks.workload import Operation, Step, step_for

# Drivers open connections one or two at a time while the workers already run: the more workers there are, the longer it
# takes until a pool has grown. Seconds, and seconds for each worker.
WARM_UP = 0.1
WARM_UP_PER_WORKER = 0.005


@dataclass(frozen=True, order=True)
class Cell:
    """One place in the tables: contenders are compared within it."""

    backend: Backend
    operation: Operation
    concurrency: int


@dataclass(frozen=True)
class Job:
    """One measurement to make. `position` is the contender's turn within its round and cell."""

    cell: Cell
    contender: str
    round_number: int
    position: int


@dataclass(frozen=True)
class Sample:
    """The result of one measurement; times in seconds.

    `performed` is what each worker has done, with the warm-up: what the server must hold afterwards.
    """

    job: Job
    operations: int
    elapsed: float
    cpu: float
    performed: tuple[int, ...]

    @property
    def ops_per_second(self) -> float:
        return self.operations / self.elapsed

    @property
    def cpu_us_per_op(self) -> float:
        return self.cpu / self.operations * 1e6

    def to_json(self) -> dict[str, Any]:
        fields = {**asdict(self.job.cell), **asdict(self.job), **asdict(self)}
        del fields["job"], fields["cell"], fields["performed"]
        return fields | {"ops_per_second": self.ops_per_second, "cpu_us_per_op": self.cpu_us_per_op}


def warm_up_seconds(concurrency: int) -> float:
    """How long the workers run before the clock starts."""
    return WARM_UP + WARM_UP_PER_WORKER * concurrency


async def measure(job: Job, target: Target, seconds: float) -> Sample:
    """Open the job's contender at `target`, warm it up, measure it for `seconds`, close it."""
    async with CONTENDERS[job.contender].open(target) as client:
        workers = Workers(step_for(job.cell.operation, client), job.cell.concurrency)
        await workers.run(warm_up_seconds(job.cell.concurrency))
        warm_up = sum(workers.performed)
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        await workers.run(seconds)
        elapsed, cpu = time.perf_counter() - wall, time.process_time() - cpu
    performed = tuple(workers.performed)
    return Sample(job, sum(performed) - warm_up, elapsed, cpu, performed)


class Workers:
    """`concurrency` tasks that repeat `step`, and how often each has done so."""

    def __init__(self, step: Step, concurrency: int) -> None:
        self.step = step
        self.performed = [0] * concurrency

    async def run(self, seconds: float) -> None:
        """Let every worker go on for `seconds`, and at least once."""
        stop = time.perf_counter() + seconds
        async with anyio.create_task_group() as tasks:
            for worker in range(len(self.performed)):
                tasks.start_soon(self._work, worker, stop)

    async def _work(self, worker: int, stop: float) -> None:
        while True:
            await self.step(worker, self.performed[worker])
            self.performed[worker] += 1
            if time.perf_counter() >= stop:
                return
