"""A run of many scenarios: Hypothesis generates them from a seed, the lab compares, differences are collected.

Differences are collected and not raised, so that one run reports all of them; each is shown in the smallest scenario
that was found for it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from time import monotonic

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.differential.calls import Scenario
from tests.differential.lab import Lab
from tests.differential.outcomes import Difference
from tests.differential.reduce import reduced
from tests.differential.report import report
from tests.differential.row import Known
from tests.differential.sequences import scenarios

#: Scenarios per seed: a longer run uses the following seeds, so that each part can be repeated alone.
CHUNK = 500

#: What makes two differences one kind.
Signature = tuple[str, ...]


@dataclass
class Findings:
    """What a run found."""

    examples: int = 0
    used: Counter[str] = field(default_factory=Counter)
    #: Each kind of difference that no row excuses: how often, and the shortest scenario with its seed.
    unexcused: dict[Signature, tuple[int, Scenario, int]] = field(default_factory=dict)

    def add(self, scenario: Scenario, differences: Sequence[Difference], chunk_seed: int) -> bool:
        """Add a difference; returns whether it is the first of its kind."""
        signature = differences[0].signature
        count, shortest, found = self.unexcused.get(signature, (0, scenario, chunk_seed))
        if len(repr(scenario)) < len(repr(shortest)):
            shortest, found = scenario, chunk_seed
        self.unexcused[signature] = (count + 1, shortest, found)
        return not count


def shares(first_seed: int, examples: int, jobs: int) -> list[tuple[int, int]]:
    """How a run is divided: for each process its first seed and how many scenarios. None shares a seed."""
    chunks = -(-examples // CHUNK)
    ends = [chunks * job // jobs for job in range(jobs + 1)]
    return [(first_seed + a, min(b * CHUNK, examples) - a * CHUNK) for a, b in pairwise(ends)]


def not_shown(runner: asyncio.Runner, lab: Lab, known: Sequence[Known]) -> list[str]:
    """The rows whose example does not show their difference, or shows one that no row excuses."""
    verdicts = {row.id: runner.run(lab.run(Scenario(row.example))) for row in known if not row.shown_by}
    return [row for row, verdict in verdicts.items() if verdict.unexcused or row not in verdict.used]


def run(
    runner: asyncio.Runner, labs: Sequence[Lab], first_seed: int, examples: int, told: Callable[[str], None]
) -> Findings:
    """Run this many scenarios, those of each seed in a lab that the seed determines, and report the progress."""
    findings = Findings()
    chunk_seed = first_seed
    while findings.examples < examples:
        lab = _lab_of(labs, chunk_seed)
        try:
            _run_chunk(runner, lab, chunk_seed, min(CHUNK, examples - findings.examples), findings, told)
        except KeyboardInterrupt:
            told("interrupted: what was found so far")
            lab.start_over()
            break
        told(f"seed {chunk_seed}: {findings.examples} scenarios, {len(findings.unexcused)} kinds of difference")
        chunk_seed += 1
    return findings


def _run_chunk(
    runner: asyncio.Runner, lab: Lab, chunk_seed: int, examples: int, findings: Findings, told: Callable[[str], None]
) -> None:
    @seed(chunk_seed)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(scenarios())
    def each(scenario: Scenario) -> None:
        verdict = runner.run(lab.run(scenario))
        findings.examples += 1
        findings.used.update(verdict.used)
        if verdict.unexcused and findings.add(scenario, verdict.unexcused, chunk_seed):
            told(f"\nseed {chunk_seed}, made smaller at the end:\n{report(scenario, verdict.unexcused)}\n")

    each()


#: Seconds that reducing one scenario may take, and all of them: if a call hangs, each attempt takes its time.
SMALLER_WITHIN = 30.0
ALL_SMALLER_WITHIN = 300.0


def _lab_of(labs: Sequence[Lab], chunk_seed: int) -> Lab:
    return labs[chunk_seed % len(labs)]


def reports(runner: asyncio.Runner, labs: Sequence[Lab], findings: Findings) -> Iterator[tuple[Signature, str]]:
    """A text for each kind of difference, with the scenario reduced."""
    all_until = monotonic() + ALL_SMALLER_WITHIN
    for signature, (count, scenario, found) in findings.unexcused.items():
        lab = _lab_of(labs, found)
        until = min(monotonic() + SMALLER_WITHIN, all_until)

        async def holds(
            candidate: Scenario, signature: Signature = signature, until: float = until, lab: Lab = lab
        ) -> bool:
            if monotonic() > until:
                return False
            differences = (await lab.run(candidate)).unexcused
            return bool(differences) and differences[0].signature == signature

        small = runner.run(reduced(scenario, holds))
        differences = runner.run(lab.run(small)).unexcused
        head = f"{count} x {' '.join(signature)} (seed {found})"
        text = report(small, differences) if differences else f"(it did not show again)\n{scenario!r}"
        yield signature, f"{head}\n{text}"
