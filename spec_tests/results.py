"""The result of each test, as values: the reports are made from these alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from spec_tests.requirements import Deployment


class Outcome(Enum):
    """The four ways in which a test can end."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class EventsReport:
    """The expected and the observed events of one client and family."""

    client: str
    family: str
    expected: tuple[Mapping[str, Any], ...]
    actual: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class WireLine:
    """One command event: when (seconds since the test began), of which client, what."""

    seconds: float
    client: str
    name: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TestResult:
    """The result of one test.

    ``kind`` groups unsupported tests. ``path``, ``expected`` and ``actual`` are those of the mismatch that failed it.
    """

    __test__ = False

    suite: str
    file: str
    description: str
    outcome: Outcome
    reason: str = ""
    kind: str = ""
    seconds: float = 0.0
    path: str = ""
    expected: Any = None
    actual: Any = None
    traceback: str = ""
    events: tuple[EventsReport, ...] = ()
    wire: tuple[WireLine, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.suite} / {self.file} / {self.description}"


@dataclass(slots=True)
class Report:
    """All results of one run."""

    backend: str
    deployment: Deployment | None = None
    results: list[TestResult] = field(default_factory=list)
    suites: list[str] = field(default_factory=list)
    driver: str = "wiredrv"

    @property
    def failed(self) -> bool:
        return any(result.outcome is Outcome.FAILED for result in self.results)

    def counts(self, suite: str | None = None) -> Counter[str]:
        """The number of tests with each outcome, in one suite or in all."""
        return Counter(r.outcome.value for r in self.results if suite is None or r.suite == suite)

    def document(self) -> dict[str, Any]:
        """The report as ``--json`` writes it."""
        names = self.suites or list(dict.fromkeys(result.suite for result in self.results))
        return {
            "server_version": None if self.deployment is None else str(self.deployment.version),
            "topology": None if self.deployment is None else self.deployment.label,
            "backend": self.backend,
            "driver": self.driver,
            "suites": {name: self._suite(name) for name in names},
            "tests": [
                {
                    "suite": result.suite,
                    "file": result.file,
                    "description": result.description,
                    "outcome": result.outcome.value,
                    "reason": result.reason,
                }
                for result in self.results
            ],
        }

    def _suite(self, name: str) -> dict[str, int]:
        counts = self.counts(name)
        return {outcome.value: counts[outcome.value] for outcome in Outcome}


def unsupported_kinds(results: Iterable[TestResult]) -> list[tuple[str, str, int]]:
    """Each kind of unsupported test with one reason and how many there are, the most frequent first."""
    counts: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    for result in results:
        if result.outcome is Outcome.UNSUPPORTED:
            counts[result.kind] += 1
            reasons.setdefault(result.kind, result.reason)
    return [(kind, reasons[kind], number) for kind, number in counts.most_common()]
