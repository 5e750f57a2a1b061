"""What a test run prints at its start: how many tests there are, which servers they start, how long it takes.

The progress is pytest's own, on a terminal and in a log: each line has the percentage, and the file if one process runs
the tests. If several do (pytest-xdist), each of them collects the tests, and yet another prints: the first leaves the
numbers for it in a file.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.servers import needs_servers
from wiredrv.errors import ConfigurationError
from wiredrv.local import find_mongod
from wiredrv.local.server import LOOPBACK, PORTS

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

#: Seconds that a test takes one process on average: without and with servers.
_UNIT_SECONDS, _SERVER_SECONDS = 0.02, 0.15


def announcement(unit: int, with_servers: int, mongod: str, specifications: str, processes: int = 1) -> list[str]:
    """The lines; nothing about servers if none is started.

    :param unit: how many tests start no server.
    :param with_servers: how many do.
    :param processes: how many run the tests.
    """
    where = f", in {processes} processes" if processes > 1 else ""
    lines = [f"{unit + with_servers:,} tests{where}: {with_servers:,} use servers that they start, {unit:,} need none"]
    if with_servers:
        each = "for each process, " if processes > 1 else ""
        lines += [
            f"servers: {mongod}",
            f"servers: {each}three as a replica set for most tests, up to ten at once; started when a test first needs "
            "them",
            f"servers: on free ports of {LOOPBACK}, {PORTS.start} to {PORTS.stop - 1}, with data in "
            f"{tempfile.gettempdir()}; stopped at the end, however it ends",
        ]
    lines.append(f"specifications: {specifications}")
    minutes = (unit * _UNIT_SECONDS + with_servers * _SERVER_SECONDS) / processes / 60
    duration = "less than a minute" if minutes < 1 else f"about {max(minutes, 2):.0f} minutes"
    lines.append(f"takes {duration} on a quiet machine")
    return lines


def pytest_report_collectionfinish(items: list[pytest.Item]) -> list[str]:
    """Announce a run in one process, between collecting the tests and the first of them."""
    return _announcement(*_counts(items))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """In the first of several processes: leave the numbers for the one that prints."""
    worker = getattr(session.config, "workerinput", None)
    if worker is not None and worker["workerid"] == _FIRST:
        _handed_over(worker["testrunuid"]).write_text(json.dumps(_counts(session.items)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: WorkerController) -> None:
    """Announce a run in several processes, when the first one has collected the tests."""
    if node.gateway.id != _FIRST:
        return
    left = _handed_over(node.workerinput["testrunuid"])
    unit, with_servers = json.loads(left.read_text())
    left.unlink()
    reporter = node.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.verbosity >= 0:
        reporter.ensure_newline()
        for line in _announcement(unit, with_servers, node.workerinput["workercount"]):
            reporter.write_line(line)


#: What pytest-xdist calls the first process.
_FIRST = "gw0"


def _handed_over(run: str) -> Path:
    return Path(tempfile.gettempdir(), f"wiredrv-tests-{run}.json")


def _counts(items: Sequence[pytest.Item]) -> tuple[int, int]:
    with_servers = sum(map(needs_servers, items))
    return len(items) - with_servers, with_servers


def _announcement(unit: int, with_servers: int, processes: int = 1) -> list[str]:
    if not unit and not with_servers:
        return []
    from spec_tests.suites import SpecsMissing, find_specs  # not for every process that loads pytest and these hooks

    try:
        found = find_mongod()
        mongod = f"mongod {'.'.join(map(str, found.version))}, {found.path}"
    except ConfigurationError as error:
        mongod = f"their tests will fail: {error}"
    try:
        specifications = str(find_specs())
    except SpecsMissing as error:
        specifications = f"their tests {'fail' if os.environ.get('CI') else 'are skipped'}: {error}"
    return announcement(unit, with_servers, mongod, specifications, processes)
