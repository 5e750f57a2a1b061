"""The conformance page is held to a run: what is compared, what is not, and that a difference fails the run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from spec_tests import renew
from spec_tests.conformance import page
from spec_tests.figures import Finding, Page, compare, read_page

ROOT = Path(__file__).resolve().parents[2]
RUN = "replicaset, server 6.0.5, trio"


def _document(driver: str = "wiredrv", backend: str = "trio", **outcomes: int) -> dict[str, Any]:
    counts = {name: outcomes.get(name, 0) for name in ("passed", "failed", "skipped", "unsupported")}
    return {
        "driver": driver,
        "topology": "replicaset",
        "server_version": "6.0.5",
        "backend": backend,
        "suites": {"crud": counts, "uri-options:data": counts},
        "tests": [
            {"suite": "crud", "file": "f", "description": f"{name} {number}", "outcome": name, "reason": f"a | {name}"}
            for name in counts
            for number in range(counts[name])
        ],
    }


def _page(*documents: Mapping[str, Any]) -> Page:
    return read_page(f"# Conformance\n\n| tests | reason |\n|---|---|\n| some | none |\n\n{page(documents)}")


PAGE = _page(_document(passed=2, skipped=1), _document(driver="pymongo", passed=1))


def _findings(*outcomes: str, run: str = RUN, suite: str = "crud", total: int | None = None) -> list[Finding]:
    total = len(outcomes) if total is None else total
    return [Finding(run, suite, total, str(at), name, f"a |\n{name}") for at, name in enumerate(outcomes)]


def test_a_page_is_read_as_it_is_written() -> None:
    assert PAGE.tables == {
        RUN: {
            "crud": Counter(passed=2, failed=0, skipped=1, unsupported=0),
            "uri-options:data": Counter(passed=2, failed=0, skipped=1, unsupported=0),
        }
    }
    assert PAGE.peers == {RUN: {"crud": 1, "uri-options:data": 1}}
    assert PAGE.reasons == {"a \\| skipped"}


def test_the_projects_own_page_is_read() -> None:
    own = read_page((ROOT / "docs" / "conformance.md").read_text("utf-8"))
    assert {"replicaset, server 6.0.5, asyncio", RUN, "single, server 6.0.5, asyncio"} <= own.tables.keys()
    assert own.tables[RUN]["transactions-convenient-api"]["passed"] == 29
    assert any("GSSAPI" in reason for reason in own.reasons)


@pytest.mark.parametrize(
    ("findings", "compared", "differences"),
    [
        pytest.param(_findings("passed", "passed", "skipped"), 1, [], id="as on the page"),
        pytest.param([], 0, [], id="nothing ran"),
        pytest.param(_findings("passed", "passed", total=3), 0, [], id="a part of the suite"),
        pytest.param(_findings("passed", "passed", "failed"), 0, [], id="a failure, which is reported as such"),
        pytest.param(
            _findings("passed", "passed", "passed", "skipped"),
            1,
            [f"{RUN}: crud: 2 passed, 1 skipped on the page, 3 passed, 1 skipped in this run"],
            id="a new test",
        ),
        pytest.param(
            _findings("passed", "skipped", "skipped"),
            1,
            [f"{RUN}: crud: 2 passed, 1 skipped on the page, 1 passed, 2 skipped in this run"],
            id="a test that is skipped now",
        ),
        pytest.param(
            _findings("passed", "passed", "unsupported"),
            1,
            [
                f"{RUN}: crud: 2 passed, 1 skipped on the page, 2 passed, 1 unsupported in this run",
                "crud: unsupported, and the page lacks the reason: a \\| unsupported",
            ],
            id="a reason that the page lacks",
        ),
        pytest.param(
            _findings("passed", suite="sessions"),
            1,
            [f"{RUN}: sessions: nothing on the page, 1 passed in this run"],
            id="a suite that the page lacks",
        ),
        pytest.param(
            _findings("passed", run="sharded, server 6.0.5, trio"),
            0,
            ["crud: there is no table for sharded, server 6.0.5, trio"],
            id="a deployment that the page lacks",
        ),
        pytest.param(
            _findings("passed", run="", suite="auth:data"), 0, ["auth:data: there is no table for it"], id="nowhere"
        ),
        pytest.param(_findings("passed", "passed", "skipped", run=""), 1, [], id="without an event loop"),
        pytest.param(_findings("passed", "passed", "skipped", run="trio"), 1, [], id="without a deployment"),
    ],
)
def test_a_run_is_compared_with_the_page(
    findings: Sequence[Finding], compared: int, differences: Sequence[str]
) -> None:
    comparison = compare(PAGE, findings)
    assert comparison.compared == compared
    assert list(comparison.differences) == differences


def test_a_suite_without_a_deployment_is_compared_with_every_table() -> None:
    page = _page(_document(passed=1), _document(backend="asyncio", passed=2))
    comparison = compare(page, _findings("passed", run="", suite="uri-options:data"))
    assert comparison.compared == 2
    (line,) = comparison.differences
    assert line.startswith("replicaset, server 6.0.5, asyncio: uri-options:data: 2 passed on the page, 1 passed")


def test_the_page_need_not_have_a_deployment_of_the_users() -> None:
    findings = _findings("passed", run="replicaset, server 8.0.0, trio")
    assert compare(PAGE, findings, foreign=True).differences == ()


_TESTS = """
import pytest
from spec_tests.figures import Finding
from spec_tests.under_pytest import leave

@pytest.mark.parametrize("number", range(4))
def test(number, request):
    leave(request.node, Finding("replicaset, server 6.0.5, trio", "no-such-suite", 4, str(number), "passed"))
"""


@pytest.mark.parametrize("processes", ["0", "2"])
def test_a_page_that_is_out_of_date_fails_the_run_as_one_more_test(tmp_path: Path, processes: str) -> None:
    (tmp_path / "test_1.py").write_text(_TESTS)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n",
        processes,
        "-c",
        str(ROOT / "pyproject.toml"),
        "--rootdir",
        str(ROOT),
    ]
    options = ["-p", "conftest", "-p", "no:cacheprovider", str(tmp_path)]
    finished = subprocess.run(
        [*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=300, env={**os.environ}
    )
    assert finished.returncode == 1, finished.stdout
    assert "no-such-suite: nothing on the page, 4 passed in this run" in finished.stdout
    assert "`make conformance` renews the page" in finished.stdout
    assert "FAILED docs/conformance.md::the figures are those of this run" in finished.stdout
    assert "1 failed, 4 passed" in finished.stdout.splitlines()[-1]
    # A part of the suite says nothing about its figures.
    part = subprocess.run(
        [*command, *options, "-k", "not test[3]"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert part.returncode == 0, part.stdout
    assert "3 passed" in part.stdout.splitlines()[-1]


def test_the_page_is_renewed_from_new_and_kept_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results, page = tmp_path / "results", tmp_path / "page.md"
    commands: list[Sequence[str]] = []

    def run(command: Sequence[str], check: bool) -> None:
        commands.append(command)
        driver = "pymongo" if "pymongo" in command else "wiredrv"
        Path(command[-1]).write_text(json.dumps(_document(driver, passed=len(commands))))

    monkeypatch.setattr(subprocess, "run", run)
    places = ["--page", str(page), "--results", str(results)]
    assert renew.main(["trio", *places]) == 1
    assert not page.exists()
    assert renew.main(places) == 0
    assert [command[3:-2] for command in commands[1:]] == [list(arguments) for arguments in renew.RUNS.values()]
    assert renew.main(["pymongo", *places]) == 0
    assert read_page(page.read_text()).peers[RUN]["crud"] == len(commands) == len(renew.RUNS) + 2
    with pytest.raises(SystemExit):
        renew.main(["nope", *places])
