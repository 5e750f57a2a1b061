"""A client for a test, in the test's event loop. One fixture for each plugin that runs asynchronous tests.

A client belongs to one event loop, so the plugin that runs the test has to run the fixture. ``wiredrv_client`` requests
the fixture of that plugin.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Literal, TypedDict

import pytest

from wiredrv.testing.kinds import name_of
from wiredrv.testing.run import ELECTING

if TYPE_CHECKING:
    import wiredrv
    import wiredrv.sync

_MONITORING = re.compile(r"[?&]serverMonitoringMode=", re.IGNORECASE)


class _Options(TypedDict, total=False):
    serverMonitoringMode: Literal["poll"]


def _arguments(request: pytest.FixtureRequest, mongodb: object) -> tuple[str, _Options]:
    """The connection string and the options of a test's client.

    Opening a client that polls its servers takes half the time. But it notices late that a server is gone.
    """
    from wiredrv.testing.mongodb import checked

    uri = checked(mongodb).uri
    if _MONITORING.search(uri) or not ELECTING.isdisjoint(request.fixturenames):
        return uri, {}
    return uri, {"serverMonitoringMode": "poll"}


def asynchronous() -> Callable[..., AsyncIterator[wiredrv.Client]]:
    """A function for a fixture; a new one each time, since pytest-asyncio keeps the scope of the loop on it."""

    async def client(
        request: pytest.FixtureRequest, mongodb: object, _wiredrv_leftovers: object
    ) -> AsyncIterator[wiredrv.Client]:
        from wiredrv import Client

        uri, options = _arguments(request, mongodb)
        async with Client(uri, **options) as client:
            yield client

    return client


@pytest.fixture(name=name_of("plain"))
def synchronous(
    request: pytest.FixtureRequest, mongodb: object, _wiredrv_leftovers: object
) -> Iterator[wiredrv.sync.Client]:
    """For plain functions."""
    from wiredrv.sync import Client

    uri, options = _arguments(request, mongodb)
    with Client(uri, **options) as client:
        yield client


#: anyio's plugin and pytest-trio run what is an asynchronous fixture of pytest, where they run the test.
for_anyio = pytest.fixture(name=name_of("anyio"))(asynchronous())
for_trio = pytest.fixture(name=name_of("trio"))(asynchronous())
