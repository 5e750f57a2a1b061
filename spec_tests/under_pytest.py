"""Suites as pytest tests: one test for each specification test, on both backends.

Skipped and unsupported tests become skips with their reason. Without specifications a suite is one skipped test; in
continuous integration (``CI`` is set) it fails instead. Each test leaves its result among the properties of its report,
where the comparison with ``docs/conformance.md`` at the end of a run finds it (``tests/support/conformance.py``).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Awaitable, Callable

import pytest

from spec_tests.environment import Environment
from spec_tests.figures import Finding
from spec_tests.results import Outcome
from spec_tests.runner import Case, cases, run_case
from spec_tests.suites import SpecsMissing, discover, find_specs
from tests.support.conformance import PROPERTY

SuiteTest = Callable[[Case | None, Environment, str, pytest.FixtureRequest], Awaitable[None]]


def leave(node: pytest.Item, finding: Finding) -> None:
    """Leave the result of a test in its report."""
    node.user_properties.append((PROPERTY, dataclasses.asdict(finding)))


def suite_tests(name: str, wanted: Callable[[Case], bool] = lambda case: True, *, on_page: bool = True) -> SuiteTest:
    """The test function of a suite; assign it to a name that begins with ``test_``.

    :param wanted: which of its tests; all by default.
    :param on_page: whether ``docs/conformance.md`` has a table for the deployment that they run on.
    """
    found, problem = _cases(name)
    total, found = len(found), [case for case in found if wanted(case)]
    parameters = [pytest.param(case, id=f"{case.file_name}: {case.description}") for case in found]

    @pytest.mark.anyio
    @pytest.mark.parametrize("case", parameters or [pytest.param(None, id="no specifications")])
    async def test(
        case: Case | None, environment: Environment, anyio_backend_name: str, request: pytest.FixtureRequest
    ) -> None:
        if case is None:
            if os.environ.get("CI"):
                pytest.fail(problem, pytrace=False)
            pytest.skip(problem)
        result, _ = await run_case(case, environment)
        facts = environment.deployment
        where = f"{facts.label}, server {facts.version}, {anyio_backend_name}"
        test = f"{case.file_name}: {case.description}"
        if on_page:
            leave(request.node, Finding(where, name, total, test, result.outcome.value, result.reason))
        if result.outcome is Outcome.FAILED:
            pytest.fail(f"{result.reason}\n{result.traceback}", pytrace=False)
        if result.outcome is not Outcome.PASSED:
            pytest.skip(f"{result.outcome.value}: {result.reason}")

    return test


def _cases(name: str) -> tuple[list[Case], str]:
    try:
        suites = discover(find_specs(), [name])
    except SpecsMissing as error:
        return [], str(error)
    return [case for suite in suites for case in cases(suite)], ""
