"""Which tests start servers: those that request the fixture ``starts_servers``, themselves or through another fixture.

All other tests are unit tests: each gets the mark ``unit``, and starting a server is an error while it runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from wiredrv.local.find import ENVIRONMENT_VARIABLE

_FIXTURE = "starts_servers"
_PROGRAMS = frozenset({"mongod", "mongos"})
_REFUSAL = f"this test starts a server and does not request the fixture {_FIXTURE!r}"
#: The value that the driver, and the programs that a unit test starts, find instead of a server: their errors quote it.
_NO_SERVER = f"/{_REFUSAL}"

_in_unit_test = False


@pytest.fixture(scope="session")
def starts_servers() -> None:
    """Allows a test, or a fixture, to start servers."""


def needs_servers(item: pytest.Item) -> bool:
    """Whether the test, or a fixture that it requests, requests ``starts_servers``."""
    return _FIXTURE in getattr(item, "fixturenames", ())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the unit tests, before ``-m`` selects."""
    for item in items:
        if not needs_servers(item):
            item.add_marker(pytest.mark.unit)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Make starting a server an error while a unit test runs, its fixtures included."""
    global _in_unit_test
    if needs_servers(item):
        return (yield)
    before = os.environ.get(ENVIRONMENT_VARIABLE)
    os.environ[ENVIRONMENT_VARIABLE] = _NO_SERVER
    _in_unit_test = True
    try:
        return (yield)
    finally:
        _in_unit_test = False
        if before is None:
            del os.environ[ENVIRONMENT_VARIABLE]
        else:
            os.environ[ENVIRONMENT_VARIABLE] = before


def _refuse_servers(event: str, arguments: tuple[object, ...]) -> None:
    if event == "subprocess.Popen" and _in_unit_test:
        _, command, *_ = arguments
        words = [os.fspath(word) for word in command] if isinstance(command, list | tuple) else []
        if words and Path(os.fsdecode(words[0])).name in _PROGRAMS and words[1:] != ["--version"]:
            pytest.fail(_REFUSAL)


sys.addaudithook(_refuse_servers)
