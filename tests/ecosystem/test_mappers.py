"""Object mappers on this driver, with no patch but ``import wiredrv.compat.pymongo``: ODMantic and Beanie.

Their tests run in another process (``tests/ecosystem/mappers``); here is what came of each.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests.ecosystem.child import MAPPERS, Came, case_names, run
from tests.ecosystem.statements import ODMANTIC_ASYNC, ODMANTIC_SYNC, Statement
from wiredrv.local import ReplicaSet

MODULES = sorted(path.stem for path in MAPPERS.glob("cases_*.py"))
CASES = [(module, name) for module in MODULES for name in case_names(module)]


class Runs:
    """Runs each module once, when its first test is asked for."""

    def __init__(self, uri: str, folder: Path) -> None:
        self.of = cache(lambda module: run(module, uri, folder / f"{module}.xml"))

    def came(self, module: str, name: str) -> Came:
        """What came of a test."""
        return self.of(module)[name]


@pytest.fixture(scope="module")
def runs(replica_set: ReplicaSet, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(replica_set.uri, tmp_path_factory.mktemp("mappers"))


@pytest.mark.parametrize("module, name", CASES, ids=[f"{module.partition('_')[2]}-{name}" for module, name in CASES])
def test_a_mapper_works(runs: Runs, module: str, name: str) -> None:
    came = runs.came(module, name)
    assert not came.failed, "\n".join(came.failed)
    assert came.passed
    assert not came.skipped


@pytest.mark.parametrize("statement", ODMANTIC_ASYNC, ids=str)
def test_what_odmantic_s_page_says_of_asynchronous_engines(runs: Runs, statement: Statement) -> None:
    came = runs.came("cases_odmantic", statement.test)
    assert came.passed
    assert not came.failed


@pytest.mark.parametrize("statement", ODMANTIC_SYNC, ids=str)
def test_what_odmantic_s_page_says_of_synchronous_engines(runs: Runs, statement: Statement) -> None:
    came = runs.came("cases_odmantic_sync", statement.test)
    assert came.passed
    assert not came.failed


def test_each_case_that_fails_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way from a test of the other process to its result here: one that passes, one that fails, one skipped."""
    (tmp_path / "cases_example.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('n', [1, 2])\n"
        "def test_some(n):\n    assert n == 1\n"
        "def test_errors(missing): ...\n"
        "@pytest.mark.skip(reason='not now')\n"
        "def test_skipped(): ...\n"
    )
    monkeypatch.setattr("tests.ecosystem.child.MAPPERS", tmp_path)
    assert case_names("cases_example") == ["test_some", "test_errors", "test_skipped"]
    came = run("cases_example", "mongodb://nowhere", tmp_path / "report.xml")
    assert came["test_some"].passed == 1
    assert "test_some[2]" in came["test_some"].failed[0]
    assert len(came["test_errors"].failed) == 1
    assert came["test_skipped"].skipped == ["not now"]
