"""Why tests were skipped: pytest's summary lists the reasons in groups, each with its number.

Hundreds of specification tests need another server or topology than the one at hand. A run reports what it skipped
as plainly as what it tested.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable

import pytest

#: The groups in the order in which they are reported; a reason belongs to the first whose pattern it matches.
_GROUPS = (
    ("need another version of the server", r"skipped: needs server \d.* \(this is "),
    ("need another topology", r"skipped: needs topology "),
    ("need authentication", r"skipped: needs authentication "),
    ("need a server parameter", r"skipped: needs server parameter "),
    ("need something else of the deployment", r"skipped: needs "),
    ("are not to be run, says the specification", r"skipped: "),
    ("need what this driver lacks", r"unsupported: "),
)
_OTHER = "have reasons of their own"


def explained(reasons: Iterable[str]) -> list[str]:
    """The lines that explain skips: each group with its count, and in it each reason with its count, highest first."""
    groups: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for reason in reasons:
        name, pattern = next((group for group in _GROUPS if re.match(group[1], reason)), (_OTHER, ""))
        groups[name][reason.partition(": ")[2] if pattern else reason] += 1
    lines = []
    for name in (*(name for name, _ in _GROUPS), _OTHER):
        if name in groups:
            lines.append(f"{groups[name].total():5,} {name}:")
            lines += [f"{number:12,} {reason}" for reason, number in groups[name].most_common()]
    return lines


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Explain this run's skips before pytest's closing line."""
    reasons = [_reason(report) for report in terminalreporter.stats.get("skipped", ())]
    if reasons:
        terminalreporter.section(f"{len(reasons):,} skipped {'test' if len(reasons) == 1 else 'tests'}")
        for line in explained(reasons):
            terminalreporter.line(line)


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    # pytest's own form: the file, the line, and the reason after this word.
    return str(report.longrepr[2]).removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else "no reason"
