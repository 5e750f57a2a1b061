"""The unified tests of the specification "load-balancers", on doubles of load balancers and routers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from spec_tests.deployment import deployment
from spec_tests.environment import Environment
from spec_tests.runner import open_environment
from spec_tests.under_pytest import suite_tests
from spec_tests.uris import SpecUri


@pytest.fixture(scope="module")
def spec_uri(starts_servers: None) -> Iterator[SpecUri]:
    """The connection strings of the doubles."""
    with deployment("load-balanced") as uri:
        yield uri


@pytest.fixture(scope="module")
async def environment(anyio_backend: str, spec_uri: SpecUri) -> AsyncIterator[Environment]:
    """The runner's client and facts."""
    async with open_environment(spec_uri) as opened:
        yield opened


test_load_balancers = suite_tests("load-balancers")
