"""The prose tests of server-selection (server-selection-tests.md), and what is logged about a selection.

"operationCount-based Selection" needs two routers. Here two secondaries stand in for them: the choice within the
latency window does not depend on the kind of server. This driver has no application-provided selector.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

import wiredrv
from tests.support.event_log import EventLog
from tests.support.failpoints import fail_command
from tests.support.waiting import until
from wiredrv import Address, ReadPreference, events
from wiredrv.errors import ServerSelectionTimeoutError
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

_NAME = "loadBalancingTest"
#: The delay of both servers at the end. Compared to it a busy machine's delays on one of them matter little.
_EQUAL_MS = 20


@asynccontextmanager
async def saturated(replica_set: ReplicaSet, connections: int) -> AsyncIterator[tuple[wiredrv.Client, EventLog]]:
    """A client that knows both secondaries and has opened all the connections to them that it will ever open."""
    log = EventLog()
    options: dict[str, Any] = {"minPoolSize": connections, "maxPoolSize": connections, "appName": _NAME}
    async with wiredrv.Client(
        replica_set.uri, event_listeners=[log], readPreference="secondary", localThresholdMS=30_000, **options
    ) as client:
        await until(lambda: len(client.topology.secondaries) == 2, "both secondaries are known")
        for address in client.topology.secondaries:
            await log.wait_for(events.ConnectionReadyEvent, count=connections, address=address)
        yield client, log


async def _find(client: wiredrv.Client, tasks: int, each: int) -> None:
    async def find_many() -> None:
        for _ in range(each):
            await client.test.test.find_one({})

    async with anyio.create_task_group() as group:
        for _ in range(tasks):
            group.start_soon(find_many)


def _shares(log: EventLog) -> Counter[Address]:
    return Counter(event.address for event in log.of(events.CommandStartedEvent, command_name="find"))


async def test_a_slow_server_is_chosen_less_often_and_equal_ones_alike(replica_set: ReplicaSet) -> None:
    """Server selection tests, "Prose Test" of operationCount-based selection within the latency window.

    The second half expects equal servers to get equal shares. Real ones on a busy machine are not equal, and the
    driver is right to prefer the faster one, so here both have the same delay.
    """
    async with saturated(replica_set, 10) as (client, log):
        slow, other = client.topology.secondaries
        async with fail_command(slow, "find", times=10_000, block_ms=500, app_name=_NAME):
            log.clear()
            await _find(client, tasks=10, each=10)
        shares = _shares(log)
        assert shares.total() == 100
        assert shares[slow] < 25
        async with (
            fail_command(slow, "find", times=10_000, block_ms=_EQUAL_MS, app_name=_NAME),
            fail_command(other, "find", times=10_000, block_ms=_EQUAL_MS, app_name=_NAME),
        ):
            log.clear()
            await _find(client, tasks=10, each=100)
        shares = _shares(log)
        assert shares.total() == 1000
        assert 400 <= shares[slow] <= 600


async def test_only_servers_with_the_tags_that_are_asked_for_are_suitable(replica_set: ReplicaSet) -> None:
    """Server selection, "Server Selection Errors": the error says what was requested and which servers there were."""
    wanted = ReadPreference("nearest", tag_sets=[{"disk": "none"}])
    async with wiredrv.Client(replica_set.uri, serverSelectionTimeoutMS=200) as client:
        await until(lambda: len(client.topology.nodes) == 3, "all members are known")
        things = client.test.get_collection("test", read_preference=wanted)
        with pytest.raises(ServerSelectionTimeoutError, match=r"nearest, tag sets .*'disk': 'none'") as caught:
            await things.find_one({})
        assert all(str(address) in str(caught.value) for address in client.nodes)
