"""The rule that distinguishes unit tests from those that start servers, and that violations are noticed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.servers import has_room

ROOT = Path(__file__).resolve().parents[1]

_TESTS = """
import subprocess
import sys

import pytest

from wiredrv.local import Standalone

@pytest.fixture
def program(tmp_path):
    program = tmp_path / "mongod"
    program.write_text("#!/bin/sh\\n")
    program.chmod(0o755)
    return str(program)

@pytest.fixture
def server(starts_servers, program):
    return subprocess.run([program, "--port", "1"]).returncode

@pytest.fixture
def forgetful(program):
    return subprocess.run([program, "--port", "1"]).returncode

def test_nothing_is_started(): ...

def test_a_fixture_says_so(server):
    assert server == 0

@pytest.mark.usefixtures("starts_servers")
def test_says_so_itself(program):
    assert subprocess.run([program, "--port", "1"]).returncode == 0

def test_asking_for_the_version_starts_none(program):
    assert subprocess.run([program, "--version"]).returncode == 0

def test_forgets_and_uses_the_driver():
    Standalone().start()

def test_forgets_and_starts_the_program(program):
    subprocess.run([program, "--port", "1"])

def test_forgets_and_hides_the_error(program):
    try:
        subprocess.Popen([program, "--port", "1"])
    except Exception:
        pass

def test_forgets_in_a_fixture(forgetful): ...

def test_forgets_in_another_process():
    command = [sys.executable, "-m", "wiredrv.cli.main", "local", "exec", "--standalone", "--", "true"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
"""


_WITH_SERVERS = ("replica_set", "standalone", "sharded_double", "disturbed_replica_set")


def _pytest(folder: Path, *arguments: str) -> list[str]:
    """Run the tests above, and one for each fixture with servers, like this project's; returns the printed output."""
    (folder / "test_one.py").write_text(_TESTS)
    (folder / "test_two.py").write_text("".join(f"def test_{name}({name}): ...\n" for name in _WITH_SERVERS))
    options = ("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "-p", "conftest", "-p", "tests.conftest")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, *arguments, str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120).stdout.splitlines()


def _named(lines: list[str], outcome: str) -> set[str]:
    found = (line.split(" - ")[0] for line in lines if line.startswith(outcome + " "))
    return {line.rpartition("::test_")[2] for line in found}


_FORGETS = {
    "forgets_and_uses_the_driver",
    "forgets_and_starts_the_program",
    "forgets_and_hides_the_error",
    "forgets_in_another_process",
}


def test_a_test_that_starts_a_server_and_does_not_say_so_fails(tmp_path: Path) -> None:
    lines = _pytest(tmp_path, "-rA", "--tb=short", "-k", "not two")
    assert _named(lines, "FAILED") == _FORGETS
    assert _named(lines, "ERROR") == {"forgets_in_a_fixture"}
    assert _named(lines, "PASSED") == {
        "nothing_is_started",
        "a_fixture_says_so",
        "says_so_itself",
        "asking_for_the_version_starts_none",
    }
    said = "this test starts a server and does not request the fixture 'starts_servers'"
    assert "\n".join(lines).count(said) >= len(_FORGETS) + 1


def test_what_requests_the_fixture_also_through_another_one_is_not_a_unit_test(tmp_path: Path) -> None:
    lines = _pytest(tmp_path, "--collect-only", "-q", "-m", "not unit")
    collected = {line.rpartition("::test_")[2] for line in lines if "::" in line}
    assert collected == {"a_fixture_says_so", "says_so_itself", *_WITH_SERVERS}


def test_data_is_kept_in_memory_only_where_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enough = 6 * 2**30
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=enough))
    assert has_room(tmp_path, enough)
    assert not has_room(tmp_path, enough - 1)
    assert not has_room(tmp_path / "nowhere", enough)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=enough - 1))
    assert not has_room(tmp_path, enough)
