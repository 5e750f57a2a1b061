"""What the fixtures cost: starting the servers once, and every test."""

from __future__ import annotations

import json

import pytest

from tests.testing.conftest import Run

#: Seconds: the goals on two cores that are otherwise idle, and what a shared machine may take.
STARTS, STARTS_UNDER_LOAD = 4.0, 12.0
COSTS, COSTS_UNDER_LOAD = 0.010, 0.030

RECORDS = """
import collections, json, pathlib, pytest

durations = collections.defaultdict(float)

@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"

def pytest_runtest_logreport(report):
    if report.when != "call":
        durations[report.nodeid] += report.duration

def pytest_unconfigure(config):
    (pathlib.Path(__file__).parent / "durations").write_text(json.dumps(list(durations.values())))
"""


def test_starting_and_each_test(pytester: pytest.Pytester, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Setting up and tearing down a test that makes a collection.

    The best quarter counts: other programs on the machine can only make it slower.
    """
    pytester.makeconftest(RECORDS)
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.anyio
        @pytest.mark.parametrize("number", range(100))
        async def test_cost(database, number):
            await database.orders.insert_one({})
        """
    )
    run("-p", "anyio").assert_outcomes(passed=100)
    start, *each = json.loads((pytester.path / "durations").read_text())
    cost = sorted(each)[len(each) // 4]
    with capsys.disabled():
        print(f"\nthe servers start in {start:.1f} s (goal: {STARTS:g})", end="; ")
        print(f"a test costs {cost * 1000:.1f} ms (goal: {COSTS * 1000:g})")
    assert start < STARTS_UNDER_LOAD
    assert cost < COSTS_UNDER_LOAD
