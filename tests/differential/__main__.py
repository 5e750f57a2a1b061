"""``python -m tests.differential``: the long run, on a replica set of its own. ``make differential`` calls it.

It prints its seed; ``--seed`` runs the same scenarios again, and ``--seed N --examples 500`` those of the one seed that
a report names. With odd seeds wiredrv runs on trio, with even ones on asyncio. It ends with 1 if there is a difference
that no row of the table excuses, or a row whose example does not show it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time

from tests.differential.known import KNOWN
from tests.differential.lab import opened
from tests.differential.runs import CHUNK, not_shown, reports, run
from wiredrv.local import ReplicaSet

EXAMPLES = 20_000


def _tell(unraisable: sys.UnraisableHookArgs) -> None:
    # PyMongo cannot finalize a cursor whose session is no session. That is not compared.
    if not getattr(unraisable.object, "__module__", "").startswith("pymongo."):
        sys.__unraisablehook__(unraisable)


def main() -> int:
    """Run, and say what was found."""
    sys.unraisablehook = _tell
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="the first seed (default: any)")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help=f"how many scenarios (default {EXAMPLES})")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {arguments.examples} scenarios", flush=True)
    began = time.monotonic()
    with ReplicaSet(members=1, test_commands=True) as deployment, asyncio.Runner() as runner:
        labs = [runner.run(opened(deployment.uri, trio)) for trio in (False, True)]
        obsolete = not_shown(runner, labs[arguments.seed % 2], KNOWN)
        findings = run(runner, labs, arguments.seed, arguments.examples, lambda text: print(text, flush=True))
        seconds = time.monotonic() - began
        for text in reports(runner, labs, findings):
            print(f"\n{text}", flush=True)
        for lab in labs:
            runner.run(lab.close())
    print(f"\n{findings.examples} scenarios in {seconds:.0f} s; differences that the table knows:")
    for row, count in findings.used.most_common():
        print(f"{count:8} {row}")
    for row in obsolete:
        print(f"the example of the row {row!r} does not show its difference: take the row out, if there is none")
    if findings.unexcused:
        print(
            f"{len(findings.unexcused)} kinds of difference are not in the table; each is repeated by "
            f'make differential ARGS="--seed SEED --examples {CHUNK}" with its seed'
        )
    return 1 if findings.unexcused or obsolete else 0


if __name__ == "__main__":
    sys.exit(main())
