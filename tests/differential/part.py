"""The share of one process in a run: its own replica set, and scenarios on both event loops."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from dataclasses import dataclass

from tests.differential.known import KNOWN
from tests.differential.lab import opened
from tests.differential.runs import Signature, not_shown, reports, run
from wiredrv.local import ReplicaSet


@dataclass(frozen=True)
class Part:
    """What one process found.

    :param kinds: each kind of difference that no row excuses, with its report.
    :param obsolete: the rows whose example does not show their difference.
    """

    examples: int
    used: Counter[str]
    kinds: dict[Signature, str]
    obsolete: list[str]


def part(first_seed: int, examples: int) -> Part:
    """Run this many scenarios, and report the findings."""
    sys.unraisablehook = _tell
    with ReplicaSet(members=1, test_commands=True) as deployment, asyncio.Runner() as runner:
        labs = [runner.run(opened(deployment.uri, trio)) for trio in (False, True)]
        obsolete = not_shown(runner, labs[first_seed % 2], KNOWN)
        findings = run(runner, labs, first_seed, examples, lambda text: print(text, flush=True))
        kinds = {}
        for signature, text in reports(runner, labs, findings):
            print(f"\n{text}", flush=True)
            kinds[signature] = text
        for lab in labs:
            runner.run(lab.close())
    return Part(findings.examples, findings.used, kinds, obsolete)


def _tell(unraisable: sys.UnraisableHookArgs) -> None:
    # PyMongo cannot finalize a cursor whose session is not a session. That is not compared.
    if not getattr(unraisable.object, "__module__", "").startswith("pymongo."):
        sys.__unraisablehook__(unraisable)
