"""Servers end with the process that started them, however that process ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.local.processes import all_gone, children, is_alive, is_suspended, removed

# Each program starts servers, reports them in a line of JSON, and continues as its name says.
_TELL = """
import json, os, signal, sys, time
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests that run under nohup ignore it, and programs inherit that
from wiredrv.local import ReplicaSet, Standalone
def tell(servers):
    home = servers.members[0].directory.parent
    print(json.dumps([str(home), [server.pid for server in servers.members]]), flush=True)
"""
_SLEEPS = _TELL + "with Standalone() as servers:\n    tell(servers)\n    time.sleep(600)\n"
_FREEZES = _TELL + (
    "with ReplicaSet(2) as servers:\n    servers.members[0].freeze()\n    tell(servers)\n    time.sleep(600)\n"
)
_FORGETS = _TELL + "servers = Standalone()\nservers.start()\ntell(servers)\n"
_EXITS = _FORGETS + "sys.stdout.flush()\nos._exit(3)\n"
_FAILS = _FORGETS + "raise RuntimeError\n"
_WAITS_ON_TRIO = _TELL + (
    "import trio\n"
    "async def main():\n"
    "    async with Standalone() as servers:\n"
    "        tell(servers)\n"
    "        await trio.sleep(14)\n"  # the worker thread that spawned the server ends after ten
    "        print(servers.members[0].ask({'ping': 1})['ok'], flush=True)\n"
    "        await trio.sleep(600)\n"
    "trio.run(main)\n"
)


@dataclass
class Owner:
    """A process that started servers."""

    process: subprocess.Popen[str]
    directory: Path
    servers: list[int]
    watchdogs: list[int]

    def nothing_is_left(self) -> bool:
        """Whether servers, watchdog and directory disappear soon."""
        return all_gone(self.servers + self.watchdogs) and removed(self.directory)


@contextmanager
def owner(program: str) -> Iterator[Owner]:
    """Run ``program`` until it has started its servers."""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with process:
        assert process.stdout is not None
        try:
            directory, servers = json.loads(process.stdout.readline())
            yield Owner(process, Path(directory), servers, [])
        finally:
            process.kill()


def watchdog_of(found: Owner) -> int:
    """The watchdog: the one child that is not a server."""
    (watchdog,) = set(children(found.process.pid)) - set(found.servers)
    return watchdog


@pytest.mark.usefixtures("starts_servers")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGABRT])
def test_a_signal_that_ends_the_owner_ends_its_servers(number: signal.Signals) -> None:
    with owner(_SLEEPS) as found:
        found.watchdogs = [watchdog_of(found)]
        assert all(is_alive(pid) for pid in found.servers)
        found.process.send_signal(number)
        found.process.wait(30)
        assert found.nothing_is_left()


@pytest.mark.usefixtures("starts_servers")
def test_frozen_servers_end_too() -> None:
    with owner(_FREEZES) as found:
        found.watchdogs = [watchdog_of(found)]
        assert is_suspended(found.servers[0])
        found.process.kill()
        assert found.nothing_is_left()


@pytest.mark.usefixtures("starts_servers")
@pytest.mark.parametrize("program, status", [(_FORGETS, 0), (_EXITS, 3), (_FAILS, 1)])
def test_an_owner_that_ends_without_stopping_its_servers_ends_them(program: str, status: int) -> None:
    with owner(program) as found:
        assert found.process.wait(30) == status
        assert found.nothing_is_left()


@pytest.mark.usefixtures("starts_servers")
def test_the_watchdog_ignores_what_ends_other_programs() -> None:
    with owner(_SLEEPS) as found:
        found.watchdogs = [watchdog_of(found)]
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            os.kill(found.watchdogs[0], number)
        found.process.kill()
        assert found.nothing_is_left()


@pytest.mark.usefixtures("starts_servers")
def test_servers_and_watchdog_share_a_group_that_a_terminal_does_not_reach() -> None:
    with owner(_SLEEPS) as found:
        watchdog = watchdog_of(found)
        assert {os.getpgid(pid) for pid in found.servers} == {watchdog} == {os.getpgid(watchdog)}
        assert os.getpgid(found.process.pid) != watchdog


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads /proc, which this system does not have")
@pytest.mark.usefixtures("starts_servers")
def test_no_server_holds_the_watchdogs_pipe() -> None:
    with owner(_SLEEPS) as found:
        pipe = os.readlink(f"/proc/{watchdog_of(found)}/fd/0")
        holders = [pid for pid in found.servers if pipe in links(pid)]
        assert pipe.startswith("pipe:")
        assert pipe in links(found.process.pid)
        assert holders == []


def links(pid: int) -> list[str]:
    """What the process's file descriptors refer to."""
    found = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(descriptor.readlink()))
        except FileNotFoundError:
            pass  # closed in between
    return found


@pytest.mark.usefixtures("starts_servers")
@pytest.mark.slow
def test_servers_outlive_the_worker_thread_that_spawned_them_and_not_its_process() -> None:
    with owner(_WAITS_ON_TRIO) as found:
        found.watchdogs = [watchdog_of(found)]
        assert found.process.stdout is not None
        assert found.process.stdout.readline() == "1.0\n"
        assert all(is_alive(pid) for pid in found.servers)
        found.process.kill()
        assert found.nothing_is_left()
