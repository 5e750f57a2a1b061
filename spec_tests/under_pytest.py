"""Suites as pytest tests: one test for each specification test, on both backends.

Skipped and unsupported tests become skips with their reason. Without specifications a suite is one skipped test; in
continuous integration (``CI`` is set) it fails instead.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

import pytest

from spec_tests.environment import Environment
from spec_tests.results import Outcome
from spec_tests.runner import Case, cases, run_case
from spec_tests.suites import SpecsMissing, discover, find_specs

SuiteTest = Callable[[Case | None, Environment], Awaitable[None]]


def suite_tests(name: str, wanted: Callable[[Case], bool] = lambda case: True) -> SuiteTest:
    """The test function of a suite; assign it to a name that begins with ``test_``.

    :param wanted: which of its tests; all by default.
    """
    found, problem = _cases(name)
    found = [case for case in found if wanted(case)]
    parameters = [pytest.param(case, id=f"{case.file_name}: {case.description}") for case in found]

    @pytest.mark.anyio
    @pytest.mark.parametrize("case", parameters or [pytest.param(None, id="no specifications")])
    async def test(case: Case | None, environment: Environment) -> None:
        if case is None:
            if os.environ.get("CI"):
                pytest.fail(problem, pytrace=False)
            pytest.skip(problem)
        result, _ = await run_case(case, environment)
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
