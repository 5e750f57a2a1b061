"""The project around the code: its commands say what is missing instead of failing obscurely."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import settings as hypothesis_settings

from tests.support.announce import announcement
from tests.support.skips import explained

ROOT = Path(__file__).resolve().parents[1]

#: Makes pytest run tests that are not below ``ROOT`` as it runs those that are.
_FOR_TESTS_ELSEWHERE = (
    *("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)),
    *("-p", "conftest", "-p", "no:cacheprovider"),
)

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def _run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, env={**inherited, **environment}
    )


def _clone(folder: Path) -> Path:
    """Copies of the files that the commands below read, in another place."""
    (folder / ".ci").mkdir(parents=True)
    for name in ("Makefile", ".ci/run"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def test_ci_fails_with_a_sentence_where_there_are_no_specifications(tmp_path: Path) -> None:
    finished = _run(str(ROOT / ".ci" / "run"), WIREDRV_SPECS=str(tmp_path))
    assert finished.returncode == 1
    assert f'No specification data at {tmp_path}: get them with "make specs", or set WIREDRV_SPECS' in finished.stderr
    assert not finished.stdout


@needs_make
@pytest.mark.parametrize("place", ["named", "named/source", ".specifications", "../shared/specifications"])
def test_ci_runs_style_documentation_and_tests_and_ends_with_what_pytest_said(tmp_path: Path, place: str) -> None:
    project = _clone(tmp_path / "project")
    (project / "Makefile").write_text(
        "lint docs browser:\n\t@echo $@\n"
        "test:\n\t@echo CI=$$CI $$WIREDRV_SPECS\n\t@echo '=== 1 failed, 2 passed in 0.1s ==='\n\t@exit 3\n"
    )
    source = project / place if place.endswith("source") else project / place / "source"
    (source / "sessions" / "tests").mkdir(parents=True)
    (source / "sessions" / "tests" / "a.json").touch()
    named = str(project / place) if place.startswith("named") else ""
    finished = _run(str(project / ".ci" / "run"), WIREDRV_SPECS=named)
    assert finished.stdout.splitlines() == [
        "lint",
        "docs",
        "browser",
        f"CI=true {source.resolve()}",
        "=== 1 failed, 2 passed in 0.1s ===",
    ]
    assert finished.returncode != 0


def _git(folder: Path, *arguments: str) -> str:
    names = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    done = subprocess.run(["git", "-C", folder, *names, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@needs_make
@needs_git
def test_make_specs_fetches_the_pinned_commit_from_the_source_that_is_named(tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    (origin / "source" / "unified-test-format").mkdir(parents=True)
    _git(origin, "init", "--quiet")
    for text in ("pinned", "later"):
        (origin / "source" / "unified-test-format" / "a.json").write_text(text)
        _git(origin, "add", "--all")
        _git(origin, "commit", "--quiet", "--message", text)
    commit = _git(origin, "rev-parse", "HEAD~1")
    project = _clone(tmp_path / "project")

    def make_specs(url: str) -> subprocess.CompletedProcess[str]:
        return _run("make", "-C", str(project), "specs", f"SPECS_URL={url}", f"SPECS_COMMIT={commit}")

    failed = make_specs("../nowhere")
    assert failed.returncode != 0
    assert "cannot be fetched from ../nowhere: name another source" in failed.stderr
    # A relative path is relative to the project's folder.
    assert make_specs("../origin").returncode == 0
    fetched = project / ".specifications" / "source" / "unified-test-format" / "a.json"
    assert fetched.read_text() == "pinned"
    # Existing files are not fetched again, and lost ones are restored.
    fetched.unlink()
    again = make_specs("../nowhere")
    assert (again.returncode, fetched.read_text()) == (0, "pinned")
    assert "make test" in again.stdout


def test_what_make_specs_fetches_is_not_committed() -> None:
    assert ".specifications/" in (ROOT / ".gitignore").read_text().splitlines()
    assert re.search(r"^SPECS_COMMIT := [0-9a-f]{40}$", (ROOT / "Makefile").read_text(), re.MULTILINE)


@needs_make
def test_make_refuses_a_python_that_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 10, 4); exec(sys.argv[1])" "$2"\n'
    )
    old.chmod(0o755)
    finished = _run("make", "test", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}")
    assert finished.returncode != 0
    assert f"wiredrv needs Python 3.11 or later, and {old} is 3.10" in finished.stderr
    assert not (tmp_path / "venv").exists()


@needs_make
def test_make_help_lists_every_target() -> None:
    phony = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY:"))
    listed = {line.split()[1] for line in _run("make", "help").stdout.splitlines()}
    assert listed == set(phony.split()[1:])


def test_the_licence_is_there_in_full() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"] == "Apache-2.0"


def test_the_workflow_runs_what_is_run_here_on_every_python_that_is_claimed() -> None:
    job = _workflow()["jobs"]["test"]
    assert [step["run"] for step in job["steps"] if "run" in step] == ["make specs", ".ci/run"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    claimed = [line.rpartition(" ")[2] for line in project["classifiers"] if ":: Python :: 3." in line]
    assert job["strategy"]["matrix"]["python"] == claimed


def test_the_workflow_runs_the_specification_tests_on_newer_servers_and_real_routers() -> None:
    job = _workflow()["jobs"]["servers"]
    assert job["strategy"]["matrix"] == {"image": ["mongo:7.0", "mongo:8.0"], "backend": ["asyncio", "trio"]}
    assert job["env"]["MONGO_IMAGE"] == "${{ matrix.image }}"
    assert job["steps"][-1]["run"] == "make test-docker BACKEND=${{ matrix.backend }}"
    assert "image: ${MONGO_IMAGE:-mongo:8.0}" in (ROOT / "docker-compose.yml").read_text()


@needs_make
def test_the_backend_of_tests_on_docker_can_be_chosen() -> None:
    commands = _run("make", "--dry-run", "test-docker", "BACKEND=trio", "ARGS=-x").stdout
    assert commands.count("-m spec_tests --backend trio --uri 'mongodb://") == 3


def test_the_workflow_runs_the_demo_and_tests_where_the_server_is_downloaded() -> None:
    job = _workflow()["jobs"]["downloaded-server"]
    assert [name.partition("-")[0] for name in job["strategy"]["matrix"]["os"]] == ["macos", "macos", "ubuntu"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands[:4] == ["make specs", "make demo", "make browser", "make unit"]
    for folder in commands[4].removeprefix('make test ARGS="').removesuffix('"').split():
        assert (ROOT / folder).is_dir()


def _workflow() -> Any:
    return yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())


def test_generated_examples_have_no_deadline() -> None:
    assert hypothesis_settings().deadline is None


@pytest.mark.parametrize(
    "unit, with_servers, processes, first, servers, last",
    [
        (0, 1, 1, "1 tests: 1 use servers that they start, 0 need none", "three as", "takes less than a minute on a"),
        (
            6_000,
            6_000,
            1,
            "12,000 tests: 6,000 use servers that they start, 6,000 need none",
            "three as",
            "takes about 17 minutes",
        ),
        (
            6_000,
            6_000,
            2,
            "12,000 tests, in 2 processes: 6,000 use servers that they start, 6,000 need none",
            "for each process, three as",
            "takes about 8 minutes",
        ),
    ],
)
def test_a_run_says_at_its_start_which_servers_it_starts(
    unit: int, with_servers: int, processes: int, first: str, servers: str, last: str
) -> None:
    lines = announcement(unit, with_servers, "mongod 6.0.5, /mongod", "/specs", processes)
    assert lines[0] == first
    assert lines[1] == "servers: mongod 6.0.5, /mongod"
    assert lines[2].startswith(f"servers: {servers} a replica set for most tests")
    assert "ports of 127.0.0.1, 20000 to 31999" in lines[3]
    assert lines[4] == "specifications: /specs"
    assert lines[5].startswith(last)


def test_a_run_without_servers_announces_none() -> None:
    lines = announcement(5, 0, "mongod 6.0.5, /mongod", "/specs")
    assert lines[0] == "5 tests: 0 use servers that they start, 5 need none"
    assert not any(line.startswith("servers") for line in lines)


def test_the_start_the_progress_and_the_skips_are_in_a_log_too(tmp_path: Path) -> None:
    (tmp_path / "test_1.py").write_text("def test(starts_servers): ...\n")
    (tmp_path / "test_2.py").write_text("import pytest\ndef test(starts_servers): pytest.skip('there is no moon')\n")
    command = (sys.executable, "-m", "pytest", *_FOR_TESTS_ELSEWHERE, str(tmp_path))
    printed = _run(*command, WIREDRV_MONGOD="/nowhere", WIREDRV_SPECS=str(tmp_path), CI="true").stdout
    lines = [line for line in printed.splitlines() if line]
    found = lines.index("2 tests: 2 use servers that they start, 0 need none")
    assert lines[found + 1].startswith("servers: their tests will fail: The mongod that WIREDRV_MONGOD names")
    assert any(line.startswith("specifications: their tests fail: ") and "make specs" in line for line in lines)
    shown = [re.fullmatch(r".*(test_[12]\.py) [.s] +\[ *([0-9]+)%\]", line) for line in lines]
    assert [match.groups() for match in shown if match] == [("test_1.py", "50"), ("test_2.py", "100")]
    # The explanation of the skips stands before pytest's closing line.
    assert lines[-4].strip("= ") == "1 skipped test"
    assert lines[-3:-1] == ["    1 have reasons of their own:", "           1 there is no moon"]
    assert re.fullmatch(r"=+ 1 passed, 1 skipped in [0-9.]+s =+", lines[-1])


def test_processes_that_share_the_tests_announce_the_run_once_and_explain_all_skips(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"test_{number}.py").write_text(
            "import pytest\ndef test(starts_servers): ...\ndef test_skipped(): pytest.skip('there is no moon')\n"
        )
    command = (sys.executable, "-m", "pytest", "-n", "2", *_FOR_TESTS_ELSEWHERE, str(tmp_path))
    lines = [line for line in _run(*command, WIREDRV_MONGOD="/nowhere").stdout.splitlines() if line]
    assert lines.count("4 tests, in 2 processes: 2 use servers that they start, 2 need none") == 1
    assert any(re.fullmatch(r"[.s]{4} +\[100%\]", line) for line in lines)
    assert lines[-4].strip("= ") == "2 skipped tests"
    assert lines[-3:-1] == ["    2 have reasons of their own:", "           2 there is no moon"]
    assert re.fullmatch(r"=+ 2 passed, 2 skipped in [0-9.]+s =+", lines[-1])


def test_skips_are_explained_in_groups_with_their_numbers() -> None:
    reasons = [
        *["skipped: needs topology sharded (this is replicaset)"] * 1200,
        *["skipped: needs server 8.0 or later (this is 6.0.5)"] * 2,
        "skipped: needs server 4.2.99 or earlier (this is 6.0.5), or topology sharded (this is replicaset)",
        "skipped: needs server parameter featureFlag=True",
        "unsupported: GridFS: this driver has none yet",
        "Docker Compose is not installed",
    ]
    assert explained(reasons) == [
        "    3 need another version of the server:",
        "           2 needs server 8.0 or later (this is 6.0.5)",
        "           1 needs server 4.2.99 or earlier (this is 6.0.5), or topology sharded (this is replicaset)",
        "1,200 need another topology:",
        "       1,200 needs topology sharded (this is replicaset)",
        "    1 need a server parameter:",
        "           1 needs server parameter featureFlag=True",
        "    1 need what this driver lacks:",
        "           1 GridFS: this driver has none yet",
        "    1 have reasons of their own:",
        "           1 Docker Compose is not installed",
    ]
    assert explained([]) == []
