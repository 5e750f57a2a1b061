"""Which tests start servers: those that request the fixture ``starts_servers``, themselves or through another fixture.

All other tests are unit tests: each gets the mark ``unit``, and starting a server is an error while it runs.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it comes without type information
import pytest

from wiredrv.local.find import ENVIRONMENT_VARIABLE

_FIXTURE = "starts_servers"
_PROGRAMS = frozenset({"mongod", "mongos"})
_REFUSAL = f"this test starts a server and does not request the fixture {_FIXTURE!r}"
#: The value that the driver, and the programs that a unit test starts, find instead of a server: their errors quote it.
_NO_SERVER = f"/{_REFUSAL}"

#: Where a file system in memory is, and how many bytes must be free for the servers of four processes.
_MEMORY, _ROOM = Path("/dev/shm"), 6 * 2**30

_in_unit_test = False


def pytest_configure() -> None:
    """Keep the data of temporary deployments in memory, where there is room: their writes take a third of the time."""
    if has_room(_MEMORY, psutil.virtual_memory().available):
        # pytest keeps what tests write to tmp_path. That stays where it would be.
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


def has_room(folder: Path, memory: int) -> bool:
    """Whether servers can keep their data in this folder, which takes memory.

    :param memory: how many bytes are available.
    """
    return os.access(folder, os.W_OK | os.X_OK) and min(memory, shutil.disk_usage(folder).free) >= _ROOM


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
    _in_unit_test = True
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(ENVIRONMENT_VARIABLE, _NO_SERVER)
            # No certificate of a public authority is verified; reading them all takes a client 20 ms.
            patch.setenv("SSL_CERT_FILE", os.devnull)
            return (yield)
    finally:
        _in_unit_test = False


def _refuse_servers(event: str, arguments: tuple[object, ...]) -> None:
    if event == "subprocess.Popen" and _in_unit_test:
        _, command, *_ = arguments
        words = [os.fspath(word) for word in command] if isinstance(command, list | tuple) else []
        if words and Path(os.fsdecode(words[0])).name in _PROGRAMS and words[1:] != ["--version"]:
            pytest.fail(_REFUSAL)


sys.addaudithook(_refuse_servers)
