"""Holds ``docs/conformance.md`` to the run: at its end, the page's figures are compared with what the suites found.

Each test of a specification leaves its result among its report's properties, and the process that prints the reports
collects them (with pytest-xdist it is not one of those that run the tests). The comparison counts as a test of its
own, so that a page that is out of date fails the run. ``spec_tests/figures.py`` says what is compared.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from spec_tests.figures import Comparison

#: The name of the property: its value has the fields of a ``Finding``.
PROPERTY = "specification test"
_PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"
_TITLE = "the figures are those of this run"
_HELP = (
    "If they are meant to change, `make conformance` renews the page; CONTRIBUTING.md says how to run less than all."
)


class HeldPage:
    """Collects the findings of a run, and compares the page with them."""

    def __init__(self, page: Path = _PAGE) -> None:
        self._page = page
        self._found: list[Mapping[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the finding from a report; that of the end of the test's fixtures repeats it."""
        if report.when == "call":
            for name, value in report.user_properties:
                if name == PROPERTY and isinstance(value, Mapping):
                    self._found.append(value)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Report the comparison as one more test."""
        if not self._found or exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            return
        from spec_tests.figures import Finding, compare, read_page  # not for every process that loads these hooks

        page = read_page(self._page.read_text(encoding="utf-8"))
        foreign = "WIREDRV_SPEC_URI" in os.environ
        comparison = compare(page, [Finding(**found) for found in self._found], foreign=foreign)
        if comparison.differences:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if comparison.compared or comparison.differences:
            session.config.hook.pytest_runtest_logreport(report=self._report(comparison))

    def _report(self, comparison: Comparison) -> pytest.TestReport:
        name = f"docs/{self._page.name}"
        lines = [f"{name} is out of date:", *(f"  {line}" for line in comparison.differences), _HELP]
        return pytest.TestReport(
            nodeid=f"{name}::{_TITLE}",
            location=(name, None, _TITLE),
            keywords={},
            outcome="failed" if comparison.differences else "passed",
            longrepr="\n".join(lines) if comparison.differences else None,
            when="call",
        )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Collect in the process that prints the reports."""
    if not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(HeldPage(), "conformance page")
