"""The fixtures behind ``rollback``: one for each plugin that runs asynchronous tests, as in ``clients``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import wiredrv
    import wiredrv.sync
    from wiredrv.testing.prepared import Ready


def name_of(kind: str) -> str:
    """The name of the fixture for tests of a kind."""
    return f"_wiredrv_rollback_{kind}"


def asynchronous() -> Callable[..., AsyncIterator[wiredrv.Database]]:
    """A function for a fixture; a new one each time, since pytest-asyncio keeps the scope of the loop on it."""

    async def rollback(
        wiredrv_client: wiredrv.Client, _wiredrv_rollback_ready: Ready
    ) -> AsyncIterator[wiredrv.Database]:
        from wiredrv.testing.rollback import rolled_back

        async with rolled_back(wiredrv_client, on_commit=_wiredrv_rollback_ready.on_commit):
            yield wiredrv_client[_wiredrv_rollback_ready.database]

    return rollback


@pytest.fixture(name=name_of("plain"))
def synchronous(wiredrv_client: wiredrv.sync.Client, _wiredrv_rollback_ready: Ready) -> Iterator[wiredrv.sync.Database]:
    """For plain functions."""
    from wiredrv.testing.rollback import rolled_back

    with rolled_back(wiredrv_client, on_commit=_wiredrv_rollback_ready.on_commit):
        yield wiredrv_client[_wiredrv_rollback_ready.database]


for_anyio = pytest.fixture(name=name_of("anyio"))(asynchronous())
for_trio = pytest.fixture(name=name_of("trio"))(asynchronous())
