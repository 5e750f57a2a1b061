"""What a test run prints at its start: how many tests there are, which servers they start, how long it takes.

The progress is pytest's own: each line has the file and the percentage, on a terminal and in a log.
"""

from __future__ import annotations

import os

import pytest

from tests.support.servers import needs_servers
from wiredrv.errors import ConfigurationError
from wiredrv.local import find_mongod
from wiredrv.local.server import LOOPBACK, PORTS

#: Seconds that a test takes on average: without and with servers.
_UNIT_SECONDS, _SERVER_SECONDS = 0.02, 0.15


def announcement(unit: int, with_servers: int, mongod: str, specifications: str) -> list[str]:
    """The lines; nothing about servers if none is started.

    :param unit: how many tests start no server.
    :param with_servers: how many do.
    """
    lines = [f"{unit + with_servers:,} tests: {with_servers:,} use servers that they start, {unit:,} need none"]
    if with_servers:
        lines += [
            f"servers: {mongod}",
            "servers: three as a replica set for most tests, up to ten at once; started when a test first needs them",
            f"servers: on free ports of {LOOPBACK}, {PORTS.start} to {PORTS.stop - 1}, with data in temporary "
            "directories; stopped at the end, however it ends",
        ]
    lines.append(f"specifications: {specifications}")
    minutes = (unit * _UNIT_SECONDS + with_servers * _SERVER_SECONDS) / 60
    lines.append(f"takes {'less than a minute' if minutes < 1 else f'about {minutes:.0f} minutes'} on a quiet machine")
    return lines


def pytest_report_collectionfinish(items: list[pytest.Item]) -> list[str]:
    """Announce a run, between collecting the tests and the first of them."""
    if not items:
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
    with_servers = sum(map(needs_servers, items))
    return announcement(len(items) - with_servers, with_servers, mongod, specifications)
