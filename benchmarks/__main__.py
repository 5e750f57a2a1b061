"""``python -m benchmarks``: the drivers and two raw loops, against the same server in one run (see README.md)."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.contenders import BACKENDS, CONTENDERS
from benchmarks.deployment import deployment
from benchmarks.measurement import Job, Sample
from benchmarks.report import print_report, write_json
from benchmarks.rounds import Selection, plan, run
from benchmarks.summary import Results
from benchmarks.targets import judge, measure_import
from benchmarks.workload import OPERATIONS

CONCURRENCIES = (1, 16, 100)
THREAD_COUNTS = (1, 8, 64)
DESCRIPTION = "Compare drivers and two raw loops against the same server in one run."


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=DESCRIPTION)
    parser.add_argument("--uri", help="a replica set that is already there; else one is started on this machine")
    parser.add_argument("--contender", action="append", choices=list(CONTENDERS), help="repeatable; default: all")
    parser.add_argument("--backend", action="append", choices=BACKENDS, help="repeatable; default: all")
    parser.add_argument("--operation", action="append", choices=OPERATIONS, help="repeatable; default: all")
    parser.add_argument(
        "--concurrency",
        action="append",
        type=at_least_one,
        help="repeatable; default: 1, 16, 100; threads: 1, 8, 64",
    )
    parser.add_argument("--rounds", type=at_least_one, default=5, help="default: %(default)s")
    parser.add_argument("--seconds", type=positive, default=0.4, help="for each measurement; default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round there")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a target is missed or not measured")
    return parser.parse_args(arguments)


def at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def positive(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no positive number of seconds")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0, or 1 where a measurement failed or (with ``--check``) a target was missed."""
    options = parse(arguments)
    selection = Selection(
        contenders=options.contender or list(CONTENDERS),
        backends=options.backend or BACKENDS,
        operations=options.operation or OPERATIONS,
        concurrencies=options.concurrency or CONCURRENCIES,
        thread_counts=options.concurrency or THREAD_COUNTS,
        rounds=options.rounds,
        seconds=options.seconds,
    )
    import_ms = measure_import()
    with deployment(options.uri) as uri:
        outcome = run(selection, uri, Progress(sum(1 for _ in plan(selection))))
    verdicts = judge(Results(outcome.samples), import_ms)
    print_report(outcome, verdicts)
    if options.json:
        write_json(options.json, selection, outcome, verdicts)
    missed = options.check and not all(verdict.met for verdict in verdicts)
    return 1 if outcome.failures or missed else 0


class Progress:
    """A line on standard error for each measurement; on a terminal the next one replaces it."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.done = 0
        self.on_terminal = sys.stderr.isatty()

    def __call__(self, job: Job, sample: Sample | None) -> None:
        self.done += 1
        cell = job.cell
        figures = "failed" if sample is None else f"{sample.ops_per_second:,.0f} op/s, {sample.cpu_us_per_op:,.0f} µs"
        line = (
            f"{self.done}/{self.jobs} round {job.round_number + 1} {cell.backend} {cell.operation} "
            f"at {cell.concurrency}: {job.contender} {figures}"
        )
        print(f"\r\033[K{line}" if self.on_terminal else line, end="" if self.on_terminal else "\n", file=sys.stderr)
        if self.on_terminal and self.done == self.jobs:
            print(file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
