"""The fixtures that the pytest suites share: both backends, one embedded replica set, one environment for each backend.

The deployment is ``WIREDRV_SPEC_URI`` if that is set, otherwise an embedded replica set.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from spec_tests.deployment import deployment
from spec_tests.environment import Environment
from spec_tests.runner import open_environment
from spec_tests.uris import SpecUri


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not read the suites that use the servers below, when only unit tests are wanted."""
    if config.option.markexpr == "unit" and collection_path.suffix == ".py":
        source = collection_path.read_text(encoding="utf-8")
        return True if "= suite_tests(" in source and "def " not in source else None
    return None


@pytest.fixture(scope="session", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The event loop that the suites run on: once on each."""
    backend: str = request.param
    return backend


@pytest.fixture(scope="session")
def spec_uri(starts_servers: None) -> Iterator[SpecUri]:
    """The deployment's connection string."""
    with deployment(uri=os.environ.get("WIREDRV_SPEC_URI")) as uri:
        yield uri


@pytest.fixture(scope="session")
async def environment(anyio_backend: str, spec_uri: SpecUri) -> AsyncIterator[Environment]:
    """The runner's client and facts, in the event loop of all tests of this backend."""
    async with open_environment(spec_uri) as opened:
        yield opened
