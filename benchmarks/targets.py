"""The speeds that the project promises, as a table, and whether a run met them.

A target that was not measured is not met: a check that leaves out half of the work must not pass.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.contenders import BASELINE, Backend, Mongojet, RawProtocol, Wiredrv
from benchmarks.measurement import Cell
from benchmarks.summary import Metric, Results, cpu_us_per_op, ops_per_second
from benchmarks.workload import Operation

IMPORT_LIMIT_MS = 200.0
IMPORT_TRIES = 5
# The public names are imported lazily, so the client is named too: it is what a user's first line would load.
IMPORT_SCRIPT = """
import time
start = time.perf_counter()
import wiredrv
wiredrv.Client
print((time.perf_counter() - start) * 1000)
"""


@dataclass(frozen=True)
class Target:
    """wiredrv's `metric` over `reference`'s in one cell must be at least, above, or at most `limit`."""

    metric: Metric
    cell: Cell
    reference: str
    relation: Literal[">=", ">", "<="]
    limit: float

    def describe(self) -> str:
        metric = "op/s" if self.metric is ops_per_second else "CPU per op"
        cell = self.cell
        return f"{metric} of {cell.operation} at {cell.concurrency} on {cell.backend}, over {self.reference}'s"


@dataclass(frozen=True)
class Verdict:
    """What a target asked for and what was measured (None: nothing was)."""

    what: str
    relation: str
    limit: float
    measured: float | None

    @property
    def met(self) -> bool:
        if self.measured is None:
            return False
        if self.relation == ">=":
            return self.measured >= self.limit
        return self.measured > self.limit if self.relation == ">" else self.measured <= self.limit


def _speed(backend: Backend, concurrency: int, reference: str, relation: Literal[">=", ">"], limit: float) -> Target:
    return Target(ops_per_second, Cell(backend, "find_one", concurrency), reference, relation, limit)


def _cpu(operation: Operation, concurrency: int, reference: str, limit: float, backend: Backend = "asyncio") -> Target:
    return Target(cpu_us_per_op, Cell(backend, operation, concurrency), reference, "<=", limit)


TARGETS: tuple[Target, ...] = (
    _speed("asyncio", 16, BASELINE, ">=", 2.0),
    _speed("asyncio", 100, BASELINE, ">=", 2.0),
    _speed("asyncio", 16, Mongojet.name, ">", 1.0),
    _speed("asyncio", 100, Mongojet.name, ">", 1.0),
    _speed("uvloop", 16, Mongojet.name, ">", 1.0),
    _speed("uvloop", 100, Mongojet.name, ">", 1.0),
    _cpu("find_one", 16, RawProtocol.name, 2.0),
    _cpu("transaction", 1, BASELINE, 0.5),
    _cpu("transaction", 16, BASELINE, 0.5),
    _cpu("transaction", 100, BASELINE, 0.5),
    _speed("threads", 1, BASELINE, ">=", 1.3),
    _speed("threads", 64, BASELINE, ">=", 1.0),
    *(_cpu("find_one", count, BASELINE, 0.6, "threads") for count in (1, 8, 64)),
    *(_cpu("transaction", count, BASELINE, 0.6, "threads") for count in (1, 8, 64)),
)


def judge(results: Results, import_ms: float | None, targets: Sequence[Target] = TARGETS) -> list[Verdict]:
    """A verdict for every target, and for the time that importing takes."""
    verdicts = [
        Verdict(
            target.describe(),
            target.relation,
            target.limit,
            results.ratio(target.metric, target.cell, Wiredrv.name, (target.cell, target.reference)),
        )
        for target in targets
    ]
    return [*verdicts, Verdict("ms to import wiredrv with its Client", "<=", IMPORT_LIMIT_MS, import_ms)]


def measure_import() -> float | None:
    """Milliseconds that a fresh interpreter takes to import wiredrv with its Client; None if it fails.

    The fastest of a few tries: importing does the same every time, and other processes can only add to it.
    """
    times = []
    for _ in range(IMPORT_TRIES):
        child = subprocess.run([sys.executable, "-c", IMPORT_SCRIPT], capture_output=True, text=True, check=False)
        if child.returncode != 0:
            return None
        times.append(float(child.stdout))
    return min(times)
