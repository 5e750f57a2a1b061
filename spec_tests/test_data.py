"""The data-driven cases of all specifications that have some, as pytest tests; and that all of them were found.

Pure cases run once; those that open clients run on both backends.
"""

from __future__ import annotations

import os

import pytest

from spec_tests.data import DATA_SUITES
from spec_tests.data.case import DataCase
from spec_tests.errors import Unsupported
from spec_tests.figures import Finding
from spec_tests.results import Outcome
from spec_tests.suites import SpecsMissing, discover, find_specs
from spec_tests.under_pytest import leave

#: How many cases there were when this was written: data that was moved must not go unnoticed.
COUNTS = {
    "auth": 67,
    "connection-monitoring-and-pooling": 33,
    "connection-string": 98,
    "initial-dns-seedlist-discovery": 53,
    "max-staleness": 32,
    "read-write-concern": 38,
    "server-discovery-and-monitoring": 186,
    "server-selection": 103,
    "uri-options": 159,
}
NEEDS_EVENT_LOOP = frozenset({"connection-monitoring-and-pooling", "initial-dns-seedlist-discovery"})


def _found() -> tuple[dict[str, tuple[DataCase, ...]], str]:
    try:
        suites = discover(find_specs(), [f"{folder}:data" for folder in DATA_SUITES])
    except SpecsMissing as error:
        return {}, str(error)
    return {suite.name.partition(":")[0]: suite.cases for suite in suites}, ""


SUITES, PROBLEM = _found()
CASES = [(folder, case) for folder, cases in SUITES.items() for case in cases]


def _parameters(*, pure: bool) -> list[object]:
    return [
        pytest.param(folder, case, id=f"{folder}: {case.file}: {case.description}")
        for folder, case in CASES
        if (folder not in NEEDS_EVENT_LOOP) is pure
    ]


@pytest.mark.parametrize("folder", COUNTS)
def test_all_cases_were_found(folder: str) -> None:
    if not SUITES:
        if os.environ.get("CI"):
            pytest.fail(PROBLEM, pytrace=False)
        pytest.skip(PROBLEM)
    assert len(SUITES[folder]) >= COUNTS[folder]


def test_every_data_suite_is_counted() -> None:
    assert COUNTS.keys() == DATA_SUITES.keys()


@pytest.mark.parametrize("folder, case", _parameters(pure=True))
def test_pure_data(folder: str, case: DataCase, request: pytest.FixtureRequest) -> None:
    run = case.run().__await__()
    outcome, reason = Outcome.FAILED, ""
    try:
        with pytest.raises(StopIteration):
            next(run)
        outcome = Outcome.PASSED
    except Unsupported as lack:
        outcome, reason = Outcome.UNSUPPORTED, str(lack)
        pytest.skip(f"unsupported: {lack}")
    finally:
        leave(request.node, _finding("", folder, case, outcome, reason))


@pytest.mark.anyio
@pytest.mark.parametrize("folder, case", _parameters(pure=False))
async def test_data(folder: str, case: DataCase, anyio_backend_name: str, request: pytest.FixtureRequest) -> None:
    outcome = Outcome.FAILED
    try:
        await case.run()
        outcome = Outcome.PASSED
    finally:
        leave(request.node, _finding(anyio_backend_name, folder, case, outcome))


def _finding(run: str, folder: str, case: DataCase, outcome: Outcome, reason: str = "") -> Finding:
    # The same file and description may be there more than once.
    place = next(at for at, each in enumerate(SUITES[folder]) if each is case)
    return Finding(run, f"{folder}:data", len(SUITES[folder]), str(place), outcome.value, reason)
