"""The output of a run: tables to read, and a JSON file with every round."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.contenders import BACKENDS
from benchmarks.rounds import Outcome, Selection
from benchmarks.summary import Line, Results
from benchmarks.targets import Verdict
from benchmarks.workload import OPERATIONS

DISTRIBUTIONS = ("wiredrv", "pymongo", "motor", "mongojet", "anyio", "trio", "uvloop")
PIPE_WIDTH = 110
_AGAINST = {"trio": "PyMongo Async on asyncio", "threads": "PyMongo's MongoClient"}
HEADINGS = ("concurrency", "contender", "op/s", "slowest", "fastest", "CPU µs/op", "op/s ratio", "CPU ratio")


def environment(server_version: str) -> dict[str, Any]:
    """Versions and platform: what the figures depend on."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "server": server_version,
        "distributions": {name: _version(name) for name in DISTRIBUTIONS},
    }


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def print_report(outcome: Outcome, verdicts: Sequence[Verdict]) -> None:
    """Write the tables, the failures and the verdicts to standard output."""
    lines = sorted(Results(outcome.samples).lines(), key=_order)
    for (backend, operation), group in groupby(lines, key=lambda line: (line.cell.backend, line.cell.operation)):
        against = _AGAINST.get(backend, "PyMongo Async")
        print_table(f"{operation} on {backend}, ratios to {against}", HEADINGS, [_row(line) for line in group])
    print_table("Targets", ("target", "wanted", "measured", ""), [_verdict_row(verdict) for verdict in verdicts])
    for name, reason in outcome.unavailable.items():
        print(f"not measured: {name}: {reason}")
    for failure, times in failure_counts(outcome).items():
        print(f"FAILED {times} x: {failure}")


def failure_counts(outcome: Outcome) -> Counter[str]:
    """How often each contender failed for each reason; the reason is its traceback's last line."""
    return Counter(
        f"{job.contender}, {job.cell.operation} on {job.cell.backend}: {failure.strip().splitlines()[-1]}"
        for job, failure in outcome.failures
    )


def _order(line: Line) -> tuple[int, int, int, float]:
    cell = line.cell
    return BACKENDS.index(cell.backend), OPERATIONS.index(cell.operation), cell.concurrency, -line.ops_per_second


def _row(line: Line) -> tuple[str, ...]:
    return (
        str(line.cell.concurrency),
        line.contender,
        f"{line.ops_per_second:,.0f}",
        f"{line.slowest:,.0f}",
        f"{line.fastest:,.0f}",
        f"{line.cpu_us_per_op:,.0f}",
        _ratio(line.ops_ratio),
        _ratio(line.cpu_ratio),
    )


def _verdict_row(verdict: Verdict) -> tuple[str, ...]:
    wanted = f"{verdict.relation} {verdict.limit:g}"
    if verdict.measured is None:
        return verdict.what, wanted, "not measured", ""
    return verdict.what, wanted, f"{verdict.measured:.2f}", "met" if verdict.met else "MISSED"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def print_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table to standard output, with rich where it is installed."""
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        print(plain_table(title, headings, rows))
        return
    table = Table(title=title, title_justify="left")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number < 2 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:
        # Rich assumes that a pipe is 80 columns wide and would truncate the figures.
        console = Console(width=PIPE_WIDTH)
    console.print(table)


def plain_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table as aligned text, for where rich is not installed."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (headings, *rows)]
    return "\n".join(["", title, *(line.rstrip() for line in lines)])


def write_json(path: Path, selection: Selection, outcome: Outcome, verdicts: Sequence[Verdict]) -> None:
    """Write everything to `path`: settings, environment, every round, the summary, targets and failures."""
    failures = [{**asdict(job), "failure": failure} for job, failure in outcome.failures]
    everything = {
        "environment": environment(outcome.server_version),
        "settings": asdict(selection),
        "summary": [line.to_json() for line in Results(outcome.samples).lines()],
        "targets": [asdict(verdict) | {"met": verdict.met} for verdict in verdicts],
        "unavailable": outcome.unavailable,
        "failures": failures,
        "rounds": [sample.to_json() for sample in outcome.samples],
    }
    path.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
