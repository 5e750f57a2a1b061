"""A client for a test, in the test's event loop. One fixture for each plugin that runs asynchronous tests.

A client belongs to one event loop, so the plugin that runs the test has to run the fixture. ``wiredrv_client`` requests
the fixture of that plugin.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from wiredrv.testing.kinds import name_of

if TYPE_CHECKING:
    import wiredrv
    import wiredrv.sync

_MONITORING = re.compile(r"[?&]serverMonitoringMode=", re.IGNORECASE)


def _options(uri: str) -> dict[str, str]:
    # Opening a client that polls takes half the time. Its operations find out at once that a primary is gone.
    return {} if _MONITORING.search(uri) else {"serverMonitoringMode": "poll"}


def asynchronous() -> Callable[..., AsyncIterator[wiredrv.Client]]:
    """A function for a fixture; a new one each time, since pytest-asyncio keeps the scope of the loop on it."""

    async def client(mongodb: object, _wiredrv_leftovers: object) -> AsyncIterator[wiredrv.Client]:
        from wiredrv import Client
        from wiredrv.testing.mongodb import checked

        uri = checked(mongodb).uri
        async with Client(uri, **_options(uri)) as client:  # type: ignore[arg-type]  # one option, a string
            yield client

    return client


@pytest.fixture(name=name_of("plain"))
def synchronous(mongodb: object, _wiredrv_leftovers: object) -> Iterator[wiredrv.sync.Client]:
    """For plain functions."""
    from wiredrv.sync import Client
    from wiredrv.testing.mongodb import checked

    uri = checked(mongodb).uri
    with Client(uri, **_options(uri)) as client:  # type: ignore[arg-type]  # one option, a string
        yield client


#: anyio's plugin and pytest-trio run what is an asynchronous fixture of pytest, where they run the test.
for_anyio = pytest.fixture(name=name_of("anyio"))(asynchronous())
for_trio = pytest.fixture(name=name_of("trio"))(asynchronous())
