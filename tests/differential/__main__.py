"""``python -m tests.differential``: the long run, on a replica set of its own. ``make differential`` calls it.

It prints its seed; ``--seed`` runs the same scenarios again, and ``--seed N --examples 500`` those of the one seed that
a report names. It ends with 1 if there is a difference that no row of the table excuses, or a row that excused nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time

from tests.differential.known import KNOWN
from tests.differential.lab import opened
from tests.differential.runs import CHUNK, reports, run
from wiredrv.local import ReplicaSet

EXAMPLES = 20_000


def main() -> int:
    """Run, and say what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="the first seed (default: any)")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help=f"how many scenarios (default {EXAMPLES})")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {arguments.examples} scenarios", flush=True)
    began = time.monotonic()
    with ReplicaSet(members=1, test_commands=True) as deployment, asyncio.Runner() as runner:
        lab = runner.run(opened(deployment.uri))
        findings = run(runner, lab, arguments.seed, arguments.examples, lambda text: print(text, flush=True))
        seconds = time.monotonic() - began
        for text in reports(runner, lab, findings):
            print(f"\n{text}", flush=True)
        runner.run(lab.close())
    print(f"\n{findings.examples} scenarios in {seconds:.0f} s; differences that the table knows:")
    for row, count in findings.used.most_common():
        print(f"{count:8} {row}")
    unused = findings.unused(KNOWN) if arguments.examples >= EXAMPLES else []
    for row in unused:
        print(f"the row {row!r} excused nothing: take it out of tests/differential/known.py")
    if findings.unexcused:
        print(
            f"{len(findings.unexcused)} kinds of difference are not in the table; each is repeated by "
            f'make differential ARGS="--seed SEED --examples {CHUNK}" with its seed'
        )
    return 1 if findings.unexcused or unused else 0


if __name__ == "__main__":
    sys.exit(main())
