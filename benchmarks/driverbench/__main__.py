"""``python -m benchmarks.driverbench``: MongoDB's driver benchmark, on wiredrv and its peers (see README.md)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.__main__ import at_least_one
from benchmarks.deployment import deployment
from benchmarks.driverbench.data import unpacked
from benchmarks.driverbench.drivers import DRIVERS
from benchmarks.driverbench.memory import footprints
from benchmarks.driverbench.report import print_report, write_docs, write_json
from benchmarks.driverbench.rounds import Selection, run
from benchmarks.driverbench.scores import judge, scores
from benchmarks.driverbench.tasks import TASKS
from spec_tests.suites import SpecsMissing, find_specs

DESCRIPTION = "MongoDB's driver benchmark (DriverBench), on wiredrv and its peers beside each other."


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.driverbench", description=DESCRIPTION)
    parser.add_argument("--specs", metavar="DIR", help="MongoDB's specifications, which have the data (`make specs`)")
    parser.add_argument("--uri", help="a deployment that is already there; else a server is started on this machine")
    parser.add_argument("--task", action="append", choices=list(TASKS), help="repeatable; default: all")
    parser.add_argument("--driver", action="append", choices=list(DRIVERS), help="repeatable; default: all")
    parser.add_argument("--backend", action="append", choices=("asyncio", "trio"), help="repeatable; default: asyncio")
    parser.add_argument("--rounds", type=at_least_one, default=5, help="iterations of each; default: %(default)s")
    parser.add_argument("--full", action="store_true", help="the specification's number of operations; much longer")
    parser.add_argument("--no-memory", action="store_true", help="do not measure memory")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every iteration there")
    parser.add_argument("--docs", type=Path, metavar="PAGE", help="write the table into this page, and the chart")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a target is missed or not measured")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0, or 1 if a task failed or (with ``--check``) a target was missed, 2 without the data."""
    options = parse(arguments)
    selection = Selection(
        tasks=options.task or list(TASKS),
        drivers=options.driver or list(DRIVERS),
        backends=options.backend or ("asyncio",),
        rounds=options.rounds,
        full=options.full,
    )
    try:
        source = find_specs(options.specs)
    except SpecsMissing as error:
        print(error, file=sys.stderr)
        return 2
    with unpacked(source) as data, deployment(options.uri, members=1) as where:
        uri = f"{where}&w=1"  # the specification's write concern, for all
        outcome = run(selection, uri, data, lambda line: print(line, file=sys.stderr, flush=True))
        memory = [] if options.no_memory else footprints(selection.drivers, uri)
    found = scores(outcome.samples)
    verdicts = judge(found)
    print_report(outcome, found, memory, verdicts)
    if options.json:
        write_json(options.json, selection, outcome, found, memory, verdicts)
    if options.docs:
        write_docs(options.docs, outcome, found, memory)
    missed = options.check and not all(verdict.met for verdict in verdicts)
    return 1 if outcome.failures or missed else 0


if __name__ == "__main__":
    sys.exit(main())
