"""The data-driven cases of all specifications that have some, as pytest tests; and that all of them were found.

Pure cases run once; those that open clients run on both backends.
"""

from __future__ import annotations

import os

import pytest

from spec_tests.data import DATA_SUITES
from spec_tests.data.case import DataCase
from spec_tests.errors import Unsupported
from spec_tests.suites import SpecsMissing, discover, find_specs

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
        pytest.param(case, id=f"{folder}: {case.file}: {case.description}")
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


@pytest.mark.parametrize("case", _parameters(pure=True))
def test_pure_data(case: DataCase) -> None:
    run = case.run().__await__()
    try:
        with pytest.raises(StopIteration):
            next(run)
    except Unsupported as lack:
        pytest.skip(f"unsupported: {lack}")


@pytest.mark.anyio
@pytest.mark.parametrize("case", _parameters(pure=False))
async def test_data(case: DataCase) -> None:
    await case.run()
