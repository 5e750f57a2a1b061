"""``python -m tests.differential``: the long run. ``make differential`` calls it.

It prints its seed; ``--seed`` runs the same scenarios again, and ``--seed N --examples 500`` those of the one seed that
a report names. With odd seeds wiredrv runs on trio, with even ones on asyncio. It ends with 1 if there is a difference
that no row of the table excuses, or a row whose example does not show it.

The seeds are divided among processes, each with a replica set of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.differential.part import Part, part
from tests.differential.runs import CHUNK, shares

EXAMPLES = 20_000


def _parts(first_seed: int, examples: int, jobs: int) -> list[Part]:
    if jobs == 1:
        return [part(first_seed, examples)]
    # Only the processes react to an interrupt: they report what they have found so far.
    signal.signal(signal.SIGINT, lambda *_: None)
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(part, *zip(*shares(first_seed, examples, jobs), strict=True)))


def main() -> int:
    """Run, and report the findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="the first seed (default: any)")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help=f"how many scenarios (default {EXAMPLES})")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one for each core)")
    arguments = parser.parse_args()
    jobs = max(1, min(arguments.jobs, arguments.examples // CHUNK))
    print(f"seed {arguments.seed}, {arguments.examples} scenarios, {jobs} processes", flush=True)
    began = time.monotonic()
    parts = _parts(arguments.seed, arguments.examples, jobs)
    seconds = time.monotonic() - began
    used = sum((each.used for each in parts), Counter[str]())
    kinds = {signature for each in parts for signature in each.kinds}
    obsolete = sorted({row for each in parts for row in each.obsolete})
    print(f"\n{sum(each.examples for each in parts)} scenarios in {seconds:.0f} s; differences that the table knows:")
    for row, count in used.most_common():
        print(f"{count:8} {row}")
    for row in obsolete:
        print(f"the example of the row {row!r} does not show its difference: take the row out, if there is none")
    if kinds:
        print(
            f"{len(kinds)} kinds of difference are not in the table; each is repeated by "
            f'make differential ARGS="--seed SEED --examples {CHUNK}" with its seed'
        )
    return 1 if kinds or obsolete else 0


if __name__ == "__main__":
    sys.exit(main())
