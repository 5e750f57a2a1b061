"""The figures on ``docs/conformance.md``, and whether they are those of a run. Pure.

``make test`` runs whole suites, so it knows figures of that page: those of the deployments that it starts. Suites of
which only a part ran are not compared, nor those in which a test failed, which is reported as such.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from spec_tests.results import Outcome

_OUTCOMES = tuple(outcome.value for outcome in Outcome)
#: The outcomes that the page lists by their reasons.
_EXPLAINED = (Outcome.UNSUPPORTED.value, Outcome.SKIPPED.value)
_HEADING = re.compile(r"^### (.+)$", re.MULTILINE)
_REASONS = re.compile(r"^### (?:Failing|Unsupported|Skipped).*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one test in a run of pytest.

    :param run: the heading of the page's table, as ``replicaset, server 6.0.5, trio``; for a test that needs no
        deployment, the event loop, which ends the headings; or nothing, if it ran without one.
    :param total: how many tests the suite has.
    """

    run: str
    suite: str
    total: int
    test: str
    outcome: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """What the page says.

    :param tables: by heading and suite, the number of tests with each outcome.
    :param peers: the same, the column of tests that another driver passed, where there is one.
    :param reasons: the first cell of each row below the tables.
    """

    tables: Mapping[str, Mapping[str, Counter[str]]]
    peers: Mapping[str, Mapping[str, int]]
    reasons: frozenset[str]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of comparing a page with a run: how many figures were compared, and a line for each that differs."""

    compared: int
    differences: tuple[str, ...]


def one_line(text: str) -> str:
    """A reason as the page's tables have it."""
    return " ".join(text.split()).replace("|", "\\|")[:300]


def read_page(text: str) -> Page:
    """Read what :func:`spec_tests.conformance.page` wrote, with whatever is around it."""
    tables: dict[str, dict[str, Counter[str]]] = {}
    peers: dict[str, dict[str, int]] = {}
    reasons: set[str] = set()
    parts = _HEADING.split(text)
    for heading, body in zip(parts[1::2], parts[2::2], strict=True):
        rows = [
            [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in body.splitlines()
            if line[:1] == "|"
        ]
        if _REASONS.match(f"### {heading}"):
            reasons |= {row[0] for row in rows[2:]}
        elif rows and rows[0][1 : 1 + len(_OUTCOMES)] == list(_OUTCOMES):
            tables[heading] = {row[0]: _counts(row[1:]) for row in rows[2:]}
            peers[heading] = {row[0]: int(row[5]) for row in rows[2:] if len(row) > 5 and row[5]}
    return Page(tables, peers, frozenset(reasons))


def _counts(cells: list[str]) -> Counter[str]:
    return Counter({name: int(cell) for name, cell in zip(_OUTCOMES, cells, strict=False)})


def compare(page: Page, findings: Iterable[Finding], *, foreign: bool = False) -> Comparison:
    """Compare the suites of which every test ran and none failed with the page.

    :param foreign: whether the tests ran on a deployment of the user's: then the page need not have its figures.
    """
    suites: defaultdict[tuple[str, str], dict[str, Finding]] = defaultdict(dict)
    for finding in findings:
        suites[finding.run, finding.suite][finding.test] = finding
    compared, differences = 0, []
    for (run, suite), tests in sorted(suites.items()):
        counts = Counter(each.outcome for each in tests.values())
        if len(tests) < min(each.total for each in tests.values()) or counts[Outcome.FAILED.value]:
            continue
        # One deployment has one table; what needs none is in those of all whole runs.
        headings = (
            [run]
            if run in page.tables
            else [at for at, rows in page.tables.items() if at.endswith(run) and suite in rows]
        )
        if not headings and not foreign:
            differences.append(f"{suite}: there is no table for {run or 'it'}")
        for heading in headings:
            compared += 1
            there = page.tables[heading].get(suite, Counter())
            if there != counts:
                differences.append(f"{heading}: {suite}: {_said(there)} on the page, {_said(counts)} in this run")
        if headings:
            differences += _unexplained(page, suite, tests.values())
    return Comparison(compared, tuple(dict.fromkeys(differences)))


def _unexplained(page: Page, suite: str, tests: Iterable[Finding]) -> list[str]:
    reasons = dict.fromkeys((each.outcome, one_line(each.reason)) for each in tests if each.outcome in _EXPLAINED)
    return [
        f"{suite}: {outcome}, and the page lacks the reason: {reason}"
        for outcome, reason in reasons
        if reason not in page.reasons
    ]


def _said(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[name]} {name}" for name in _OUTCOMES if counts[name]) or "nothing"
