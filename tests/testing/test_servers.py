"""The servers of a run: started when they are needed, the user's own, shared between workers, stopped with the run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from itertools import pairwise
from typing import Any

import pytest

from tests.local.processes import all_gone, is_alive
from tests.testing.conftest import Run
from wiredrv.local import ReplicaSet, Standalone, find_mongod
from wiredrv.local._wait import until
from wiredrv.local.server import free_ports

#: Writes down, for each test, its worker, its process and the servers.
TELLS = """
import json, os, pathlib, pytest

@pytest.fixture
def tell(mongodb, worker_id="main"):
    pids = [int(wiredrv_pid(host)) for host in mongodb.hosts]
    entry = {"uri": mongodb.uri, "pids": pids, "worker": os.getpid()}
    with open(pathlib.Path(__file__).parent / "told", "a") as told:
        told.write(json.dumps(entry) + chr(10))
    return entry

def wiredrv_pid(host):
    from wiredrv.local._ask import ask
    return ask(host, {"serverStatus": 1})["pid"]
"""


def told(pytester: pytest.Pytester) -> list[dict[str, Any]]:
    """What the tests wrote down."""
    return [json.loads(line) for line in (pytester.path / "told").read_text().splitlines()]


def pids(pytester: pytest.Pytester) -> list[int]:
    """The processes of the servers; there is one set."""
    found: set[tuple[int, ...]] = {tuple(entry["pids"]) for entry in told(pytester)}
    assert len(found) == 1
    return list(found.pop())


def test_nothing_is_started_for_tests_that_use_no_fixture(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_one(pytestconfig):
            assert pytestconfig.pluginmanager.hasplugin("wiredrv.testing.plugin")
            loaded = {name for name in sys.modules if name.startswith(("wiredrv", "anyio", "bson", "multiprocessing"))}
            assert loaded == {"wiredrv", "wiredrv._version", "wiredrv.testing"} | {
                f"wiredrv.testing.{name}" for name in ("plugin", "clients", "kinds", "rollbacks", "run")
            }
        """
    )
    run().assert_outcomes(passed=1)


@pytest.mark.parametrize("distribution", [("-n", "0"), ("-n", "3", "--dist", "worksteal")])
def test_one_set_for_all_workers(pytester: pytest.Pytester, run: Run, distribution: tuple[str, ...]) -> None:
    pytester.makeconftest(TELLS)
    tests = "\n".join(
        f"def test_{number}(database, tell):\n    database.a.insert_one({{}})\n    time.sleep(0.2)\n"
        for number in range(12)
    )
    pytester.makepyfile("import time\n" + tests)
    result = run("-p", "xdist", *distribution)
    result.assert_outcomes(passed=12)
    entries = told(pytester)
    assert len({entry["worker"] for entry in entries}) == max(int(distribution[1]), 1)
    assert all_gone(pids(pytester))


def test_a_worker_that_crashes_is_replaced_and_the_servers_stay(pytester: pytest.Pytester, run: Run) -> None:
    """Also where it had killed the primary: the next test has all members."""
    pytester.makeconftest(TELLS)
    pytester.makepyfile(
        """
        import os

        def test_before(database, tell):
            database.a.insert_one({})

        def test_crash(database, tell, kill_primary, mongodb_failpoint):
            data = {"failCommands": ["insert"], "errorCode": 8000}
            mongodb_failpoint("failCommand", data=data, member="all").__enter__()
            kill_primary()
            os._exit(1)

        def test_after(wiredrv_client, database):
            database.a.insert_one({})
            members = wiredrv_client.admin.command("replSetGetStatus")["members"]
            assert sorted(member["stateStr"] for member in members) == ["PRIMARY", "SECONDARY", "SECONDARY"]
        """
    )
    result = run("-p", "xdist", "-n", "1")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*worker 'gw0' crashed*"])
    assert all_gone(pids(pytester))


@pytest.mark.parametrize("distribution", [(), ("-n", "2")])
def test_the_servers_end_with_a_run_that_is_killed(
    run: Run, pytester: pytest.Pytester, distribution: tuple[str, ...]
) -> None:
    pytester.makeconftest(TELLS)
    pytester.makepyfile("import time\ndef test_long(database, tell):\n    time.sleep(60)\n")
    command = [sys.executable, "-m", "pytest", "-p", "wiredrv.testing.plugin", "-p", "xdist", *distribution]
    process = subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert until((pytester.path / "told").exists, 30)
        assert until(lambda: told(pytester), 5)
        servers = pids(pytester)
        assert all(map(is_alive, servers))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert all_gone(servers)


def test_a_test_that_disturbs_the_servers_has_them_to_itself(pytester: pytest.Pytester, run_here: Run) -> None:
    """Its own time overlaps with that of no other worker's test; others' times overlap."""
    pytester.makepyfile(
        """
        import pathlib, time, pytest
        HERE = pathlib.Path(__file__).parent / "times"

        @pytest.fixture
        def timed(request):
            began = time.monotonic()
            time.sleep(0.15)
            yield
            with HERE.open("a") as file:
                file.write(f"{began} {time.monotonic()} {request.node.name}\\n")

        @pytest.mark.parametrize("number", range(9))
        def test_reads(mongodb, timed, number):
            pass

        @pytest.mark.parametrize("number", range(4))
        def test_alone(mongodb_failpoint, timed, number):
            pass
        """
    )
    run_here("-p", "xdist", "-n", "3").assert_outcomes(passed=13)
    lines = [line.split() for line in (pytester.path / "times").read_text().splitlines()]
    times = sorted((float(begin), float(end), name) for begin, end, name in lines)
    overlapping = {(one[2], two[2]) for one, two in pairwise(times) if two[0] < one[1]}
    assert overlapping
    assert not [names for names in overlapping if "alone" in "".join(names)]


# --- the user's own ---


@pytest.mark.parametrize("how", ["option", "environment"])
def test_the_users_own_servers(
    pytester: pytest.Pytester, run: Run, replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    pytester.makepyfile(
        f"""
        def test_one(mongodb, database):
            assert mongodb.uri == {replica_set.uri!r}
            assert sorted(map(str, mongodb.hosts)) == {sorted(str(server.address) for server in replica_set.members)}
            assert not mongodb.managed
            database.a.insert_one({{}})
        """
    )
    if how == "environment":
        monkeypatch.setenv("MONGODB_URI", replica_set.uri)
        run().assert_outcomes(passed=1)
    else:
        monkeypatch.setenv("MONGODB_URI", "mongodb://nowhere.invalid")
        run("--mongodb-uri", replica_set.uri).assert_outcomes(passed=1)


def test_a_standalone_server_is_refused(pytester: pytest.Pytester, run: Run, standalone: Standalone) -> None:
    pytester.makepyfile("def test_one(database): pass\ndef test_two(mongodb): pass")
    result = run("--mongodb-uri", standalone.uri)
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        ["*is a standalone server: sessions have no transactions there. Start it with --replSet*"]
    )


def test_servers_that_cannot_be_reached(pytester: pytest.Pytester, run: Run) -> None:
    """Every test says it, and only the first one waits."""
    (port,) = free_ports(1)
    pytester.makepyfile("def test_one(database): pass\ndef test_two(mongodb): pass")
    began = time.monotonic()
    result = run("--mongodb-uri", f"mongodb://ann:secret@127.0.0.1:{port}/?serverSelectionTimeoutMS=300")
    assert time.monotonic() - began < 20
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["the servers that --mongodb-uri or MONGODB_URI names cannot be reached: *"])
    result.stdout.no_fnmatch_line("*secret*")


def test_a_connection_string_that_cannot_be_read(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile("def test_one(database): pass")
    result = run("--mongodb-uri", "http://localhost")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*mongodb://*"])


# --- which mongod ---


@pytest.mark.parametrize(
    "given, said",
    [
        ("/nowhere/mongod", "The mongod that the argument names cannot be used.*"),
        ("3.6", "No mongod of version 3.6 was found. Looked, in this order, at *"),
        (
            "newest",
            "--mongodb-version-binary=newest: neither a file, nor a program on PATH, nor a version such as 7.0*",
        ),
    ],
)
def test_a_mongod_that_is_not_there(pytester: pytest.Pytester, run: Run, given: str, said: str) -> None:
    pytester.makepyfile("def test_one(database): pass")
    result = run("--mongodb-version-binary", given)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([said])


def test_a_mongod_by_its_version(pytester: pytest.Pytester, run: Run) -> None:
    version = ".".join(map(str, find_mongod().version[:2]))
    pytester.makepyfile(
        f"""
        def test_one(database):
            assert database.client.admin.command("buildInfo")["version"].startswith({version + "."!r})
        """
    )
    run("--mongodb-version-binary", version).assert_outcomes(passed=1)
