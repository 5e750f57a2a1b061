"""Deployments of real servers: made, disturbed, restarted and removed."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from tests.local.processes import is_alive, is_suspended
from wiredrv.errors import ConfigurationError, ConnectionFailure, InvalidOperation
from wiredrv.local import Deployment, ReplicaSet, Standalone, deployment
from wiredrv.local._wait import until
from wiredrv.local.server import LOOPBACK, free_ports
from wiredrv.types import Address


def pids(servers: Deployment) -> list[int]:
    return [server.pid for server in servers.members if server.pid is not None]


def directory(servers: Deployment) -> Path:
    return servers.members[0].directory.parent


# Starting and stopping


@pytest.mark.usefixtures("starts_servers")
@pytest.mark.anyio
async def test_a_standalone_serves_between_enter_and_exit_and_leaves_nothing() -> None:
    async with Standalone() as servers:
        (server,) = servers.members
        assert servers.uri == f"mongodb://{LOOPBACK}:{server.port}/"
        assert "setName" not in server.hello()
        assert server.ask({"insert": "c", "documents": [{}]})["n"] == 1
        assert servers.primary() is server
        processes, home = pids(servers), directory(servers)
        assert all(is_alive(pid) for pid in processes)
    assert not any(is_alive(pid) for pid in processes)
    assert not home.exists()
    assert server.state == "stopped"


@pytest.mark.usefixtures("starts_servers")
@pytest.mark.anyio
async def test_a_replica_set_has_a_writable_primary_and_secondaries_when_it_is_entered() -> None:
    async with ReplicaSet(members=3) as servers:
        primary, secondaries = servers.primary(timeout=0), servers.secondaries()
        assert {primary, *secondaries} == set(servers.members)
        assert len(secondaries) == 2
        assert servers.uri.endswith("/?replicaSet=rs0")
        assert servers.uri.count(f"{LOOPBACK}:") == 3
        written = primary.ask({"insert": "c", "documents": [{}], "writeConcern": {"w": 3}}, timeout=10)
        assert written["n"] == 1


@pytest.mark.usefixtures("starts_servers")
def test_a_failing_block_stops_the_servers_and_keeps_its_own_error() -> None:
    processes: list[int] = []

    def fail() -> None:
        with Standalone() as servers:
            processes.extend(pids(servers))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert len(processes) == 1
    assert not is_alive(processes[0])


@pytest.mark.usefixtures("starts_servers")
@pytest.mark.anyio
async def test_cancelling_the_start_ends_what_was_started() -> None:
    servers = ReplicaSet(members=3)
    begun = time.monotonic()
    async with anyio.create_task_group() as group:

        async def enter() -> None:
            async with servers:
                pytest.fail("the start was cancelled")

        group.start_soon(enter)
        assert await anyio.to_thread.run_sync(until, lambda: len(pids(servers)) == 3, 30)
        processes, home = pids(servers), directory(servers)
        group.cancel_scope.cancel()
    assert time.monotonic() - begun < 30
    assert not any(is_alive(pid) for pid in processes)
    assert not home.exists()


@pytest.mark.usefixtures("starts_servers")
@pytest.mark.anyio
async def test_the_event_loop_goes_on_while_servers_start() -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await anyio.sleep(0.01)
            turns += 1

    async with anyio.create_task_group() as group:
        group.start_soon(count_turns)
        async with Standalone():
            pass
        group.cancel_scope.cancel()
    # A blocked event loop would run only a turn or two between the start and the stop.
    assert turns >= 5


@pytest.mark.usefixtures("starts_servers")
def test_a_deployment_can_be_entered_again_after_it_was_left() -> None:
    servers = Standalone()
    for _ in range(2):
        with servers:
            assert servers.primary().ask({"ping": 1})["ok"] == 1


@pytest.mark.usefixtures("starts_servers")
def test_a_started_deployment_cannot_be_started_again() -> None:
    with Standalone() as servers:
        with pytest.raises(InvalidOperation, match="started already"):
            servers.start()
        assert servers.members[0].running


def test_an_uri_before_the_start_is_refused() -> None:
    with pytest.raises(InvalidOperation, match="not started yet"):
        _ = ReplicaSet().uri


@pytest.mark.parametrize("members", [0, 8])
def test_a_number_of_members_that_cannot_all_vote_is_refused(members: int) -> None:
    with pytest.raises(ConfigurationError, match="from 1 to 7"):
        ReplicaSet(members)


def test_test_commands_are_there_on_request_only(replica_set: ReplicaSet) -> None:
    command = {"configureFailPoint": "failCommand", "mode": "off"}
    assert replica_set.primary().ask(command)["ok"] == 1
    with Standalone() as servers, pytest.raises(Exception, match="no such command"):
        servers.primary().ask(command)


def test_elections_are_fast_and_caches_small(replica_set: ReplicaSet) -> None:
    server = replica_set.members[0]
    settings = server.ask({"replSetGetConfig": 1})["config"]["settings"]
    assert (settings["electionTimeoutMillis"], settings["heartbeatIntervalMillis"]) == (2000, 500)
    cache = server.ask({"serverStatus": 1})["wiredTiger"]["cache"]
    assert cache["maximum bytes configured"] <= 512 << 20


# Failing to start


@pytest.mark.usefixtures("starts_servers")
def test_a_server_that_ends_is_quoted() -> None:
    servers = Standalone(extra_args=["--setParameter", "noSuchParameter=1"])
    with pytest.raises(ConnectionFailure, match=r"(?s)ended with status.*noSuchParameter"):
        servers.start()
    assert not servers.members[0].running
    assert not directory(servers).exists()


@pytest.mark.usefixtures("starts_servers")
def test_servers_that_are_not_ready_in_time_are_quoted_and_stopped() -> None:
    quoted = False
    # On a busy machine a server needs a while until its first line; it needs longer than that until it is ready.
    for timeout in (0.2, 0.4, 0.8, 1.6, 3.2):
        servers = ReplicaSet(members=3)
        with pytest.raises(ConnectionFailure, match="in time") as caught:
            servers.start(timeout=timeout)
        assert pids(servers) == []
        assert not directory(servers).exists()
        quoted = re.search(r"in time.*\nThe end of .*member-\d\.log:\n  I [A-Z]+ \S", str(caught.value)) is not None
        if quoted:
            break
    assert quoted


@pytest.mark.usefixtures("starts_servers")
def test_a_free_port_that_another_program_took_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        taken = other.getsockname()[1]
        offers = iter([[taken, *free_ports(2)]])
        monkeypatch.setattr(deployment, "free_ports", lambda count: next(offers, None) or free_ports(count))
        with ReplicaSet(members=3) as servers:
            assert taken not in {server.port for server in servers.members}
            assert servers.primary().hello()["hosts"] == [str(server.address) for server in servers.members]


@pytest.mark.usefixtures("starts_servers")
def test_a_port_that_was_asked_for_and_is_taken_is_an_error() -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        port = other.getsockname()[1]
        for servers in (Standalone(port=port), ReplicaSet(port=port)):
            with pytest.raises(ConnectionFailure, match=f"another program listens on {LOOPBACK}:{port}: end it, "):
                servers.start()
            assert servers.members == ()


@pytest.mark.usefixtures("starts_servers")
def test_what_is_started_is_logged_while_it_starts(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "wiredrv.local"), ReplicaSet(members=1) as servers:
        port = servers.members[0].port
    started, *others = [record.getMessage() for record in caplog.records]
    assert re.fullmatch(r"starting a replica set of 1 member: mongod [0-9.]+, /.*mongod", started)
    assert others == [f"listening on port {port}", "electing a primary", f"ready: {LOOPBACK}:{port} is primary"]


@pytest.mark.usefixtures("starts_servers")
def test_a_server_may_open_enough_files_where_programs_may_open_few() -> None:
    program = (
        "import resource\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))\n"
        "from wiredrv.local import Standalone\n"
        "with Standalone() as servers:\n"
        "    (server,) = servers.members\n"
        "    same = server.ask({'serverStatus': 1})['pid'] == server.pid\n"
        "    print(same, resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
        "    print(server.ask({'getLog': 'startupWarnings'})['log'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    pid, warnings = done.stdout.splitlines()
    assert pid == "True 256"
    # The server warns below 64,000 and says how many it has.
    assert "4096" in warnings or "rlimits" not in warnings


@pytest.mark.usefixtures("starts_servers")
def test_ports_follow_the_one_asked_for() -> None:
    # Below the range that outgoing connections take their ports from, and that free_ports() draws from.
    first = next(port for port in range(18_000, 19_998) if all(map(is_free, range(port, port + 2))))
    with ReplicaSet(members=2, port=first) as servers:
        assert [server.port for server in servers.members] == [first, first + 1]


def is_free(port: int) -> bool:
    try:
        socket.create_server((LOOPBACK, port)).close()
    except OSError:
        return False
    return True


# A kept directory


@pytest.mark.usefixtures("starts_servers")
def test_a_kept_directory_is_started_from_again(tmp_path: Path) -> None:
    home = tmp_path / "kept"
    with ReplicaSet(members=2, directory=home) as servers:
        uri = servers.uri
        servers.primary().ask({"insert": "c", "documents": [{"_id": 1}], "writeConcern": {"w": 2}}, timeout=10)
        processes = pids(servers)
    assert not any(is_alive(pid) for pid in processes)
    with ReplicaSet(members=2, directory=home) as servers:
        assert servers.uri == uri
        assert servers.primary().ask({"count": "c"})["n"] == 1
    with pytest.raises(ConfigurationError, match="holds a replica set"):
        Standalone(directory=home).start()
    assert home.exists()


@pytest.mark.usefixtures("starts_servers")
def test_a_long_directory_does_without_a_unix_socket(tmp_path: Path) -> None:
    with Standalone(directory=tmp_path / ("long" * 25)) as servers:
        assert servers.members[0].socket_path is None
        assert servers.members[0].ask({"ping": 1})["ok"] == 1


@pytest.mark.usefixtures("starts_servers")
def test_the_unix_socket_lies_in_the_deployments_directory() -> None:
    with Standalone() as servers:
        path = servers.members[0].socket_path
        assert path is not None
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
        assert not Path(f"/tmp/mongodb-{servers.members[0].port}.sock").exists()


# Disturbing members


def test_the_others_elect_a_primary_when_it_is_killed(disturbed_replica_set: ReplicaSet) -> None:
    first = disturbed_replica_set.primary()
    first.kill()
    assert first.state == "stopped"
    disturbed_replica_set.wait_ready(timeout=20)
    second = disturbed_replica_set.primary()
    assert second is not first
    first.restart()
    disturbed_replica_set.wait_ready(timeout=20)
    assert len(disturbed_replica_set.secondaries()) == 2
    assert first.address in {Address.parse(host) for host in second.hello()["hosts"]}


def test_a_frozen_member_keeps_its_connections_and_answers_nothing_until_it_is_thawed(
    disturbed_replica_set: ReplicaSet,
) -> None:
    frozen = disturbed_replica_set.secondaries()[0]
    frozen.freeze()
    assert frozen.state == "frozen"
    assert frozen.pid is not None
    assert is_suspended(frozen.pid)
    with pytest.raises(ConnectionFailure, match="timed out"):
        frozen.ask({"ping": 1}, timeout=0.2)
    assert frozen not in disturbed_replica_set.secondaries()
    disturbed_replica_set.wait_ready(timeout=10)
    frozen.thaw()
    assert frozen.state == "running"
    assert frozen.ask({"ping": 1}, timeout=5)["ok"] == 1


def test_a_primary_that_was_frozen_is_not_taken_for_the_primary_when_it_wakes(
    disturbed_replica_set: ReplicaSet,
) -> None:
    first = disturbed_replica_set.primary()
    first.freeze()
    second = disturbed_replica_set.primary(timeout=20)
    first.thaw()
    assert disturbed_replica_set.primary(timeout=20) is second is not first
    disturbed_replica_set.wait_ready(timeout=20)


def test_heal_brings_back_the_stopped_the_killed_and_the_frozen(disturbed_replica_set: ReplicaSet) -> None:
    one, two, three = disturbed_replica_set.members
    one.stop()
    two.freeze()
    three.kill()
    assert [server.state for server in disturbed_replica_set.members] == ["stopped", "frozen", "stopped"]
    with pytest.raises(ConnectionFailure, match="no member was primary"):
        disturbed_replica_set.primary(timeout=0)
    disturbed_replica_set.heal(timeout=30)
    assert [server.state for server in disturbed_replica_set.members] == ["running"] * 3
    assert len(disturbed_replica_set.secondaries()) == 2


def test_a_server_that_ends_by_itself_is_reported_at_once(disturbed_replica_set: ReplicaSet) -> None:
    victim = disturbed_replica_set.secondaries()[0]
    assert victim.pid is not None
    os.kill(victim.pid, signal.SIGKILL)  # as another program would
    assert until(lambda: victim.failed, 10)
    begun = time.monotonic()
    with pytest.raises(ConnectionFailure, match=f"{victim.address} ended with status -9"):
        disturbed_replica_set.wait_ready(timeout=30)
    assert time.monotonic() - begun < 20


@pytest.mark.anyio
async def test_waiting_in_a_worker_thread_ends_when_the_task_is_cancelled(disturbed_replica_set: ReplicaSet) -> None:
    for server in disturbed_replica_set.members:
        server.freeze()
    with anyio.move_on_after(0.2) as scope:
        await anyio.to_thread.run_sync(disturbed_replica_set.primary, 30.0)
    assert scope.cancelled_caught
    assert anyio.current_time() - scope.deadline < 20


@pytest.mark.usefixtures("starts_servers")
def test_controls_refuse_what_the_state_does_not_allow() -> None:
    with Standalone() as servers:
        (server,) = servers.members
        server.thaw()
        with pytest.raises(InvalidOperation, match="runs already"):
            server.start()
        server.freeze()
        server.stop()  # also works when it is frozen
        server.stop()
        server.kill()
        assert (server.state, server.pid, server.hello()) == ("stopped", None, {})
        with pytest.raises(InvalidOperation, match="is down"):
            server.freeze()
        with pytest.raises(ConnectionFailure, match="does not answer 'ping'"):
            server.ask({"ping": 1})
        server.restart()
        assert server.ask({"ping": 1})["ok"] == 1
