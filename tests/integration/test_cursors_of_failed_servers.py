"""Cursors of a server whose connections break: they wait until it is available again, and leave nothing open there.

A fault proxy runs in front of each member of a real replica set; only the traffic between them and the client is
disturbed. A getMore that was not sent can wait: its cursor is still open, and no other server can answer.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

import anyio
import pytest

import wiredrv
from tests.support.commands import DATABASE, CommandLog, fresh_collection, primary_of, sessions_back, watched
from tests.support.event_log import EventLog
from tests.support.fault_proxy import FaultProxies, FaultProxy, cut
from tests.support.waiting import until, until_async
from wiredrv import events
from wiredrv.errors import AutoReconnect, ServerSelectionTimeoutError
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

NAME = "cursors_waiting"
DOCUMENTS = 6
REST = [{"_id": number} for number in range(2, DOCUMENTS)]


@dataclass(frozen=True)
class Scene:
    """A client behind the proxies, and ``direct``, a second one that bypasses them."""

    client: wiredrv.Client
    direct: wiredrv.Client
    log: CommandLog
    pools: EventLog
    collection: wiredrv.Collection
    proxies: FaultProxies
    #: How many explicit sessions the test has open.
    sessions: int = 0

    @property
    def primary(self) -> FaultProxy:
        """The proxy in front of the member that the client considers primary."""
        return self.proxies.before(primary_of(self.client))

    async def cursor(self, session: wiredrv.ClientSession | None = None) -> wiredrv.Cursor:
        """A cursor that is open on the primary."""
        cursor = self.collection.find({}, batch_size=2, session=session).sort("_id")
        assert [await cursor.next(), await cursor.next()] == [{"_id": 0}, {"_id": 1}]
        return cursor

    async def break_a_connection(self) -> None:
        """Break one connection of the primary: its pool is cleared, and paused until the monitor gets a reply."""
        with self.primary.doing(cut("count", times=1)), pytest.raises(AutoReconnect):
            await self.collection.count()
        assert self.pools.of(events.PoolClearedEvent)

    async def nothing_stays_open(self) -> None:
        pipeline: list[dict[str, Any]] = [
            {"$currentOp": {"idleCursors": True, "allUsers": True}},
            {"$match": {"type": "idleCursor", "ns": f"{DATABASE}.{NAME}"}},
        ]

        async def closed() -> bool:
            return not await self.direct.admin.aggregate(pipeline).to_list()

        await until_async(closed, "no cursor is open on the server")
        await sessions_back(self.client, self.sessions)


@pytest.fixture(scope="module")
def proxies(replica_set: ReplicaSet) -> Iterator[FaultProxies]:
    with FaultProxies(replica_set) as found:
        yield found


@asynccontextmanager
async def behind(proxies: FaultProxies, sessions: int = 0, **options: Any) -> AsyncIterator[Scene]:
    pools = EventLog()
    options = {"retryReads": False, **options}
    async with wiredrv.Client(proxies.replica_set.uri) as direct:
        await fresh_collection(direct, NAME, DOCUMENTS)
        async with watched(proxies.uri, pools, **options) as (client, log):
            collection = client[DATABASE][NAME]
            await collection.find_one({})
            with anyio.fail_after(60):
                yield Scene(client, direct, log, pools, collection, proxies, sessions)


async def test_one_broken_connection_disturbs_no_open_cursor(proxies: FaultProxies) -> None:
    async with behind(proxies) as scene:
        cursors = [await scene.cursor() for _ in range(20)]
        found: list[Any] = []

        async def read_on(cursor: wiredrv.Cursor) -> None:
            found.append(await cursor.to_list())

        await scene.break_a_connection()
        async with anyio.create_task_group() as group:
            for cursor in cursors:
                group.start_soon(read_on, cursor)
        assert found == [REST] * len(cursors)
        await scene.nothing_stays_open()


async def test_cursors_of_a_session_and_of_a_transaction_wait_too(proxies: FaultProxies) -> None:
    async with behind(proxies, sessions=1) as scene, scene.client.start_session() as session:
        outside = await scene.cursor(session)
        await scene.break_a_connection()
        assert await outside.to_list() == REST
        async with session.start_transaction():
            within = await scene.cursor(session)
            await scene.collection.insert_one({"_id": "within"}, session=session)
            await scene.break_a_connection()
            assert await within.to_list() == [*REST, {"_id": "within"}]
        assert await scene.collection.find_one({"_id": "within"}) is not None
        await scene.nothing_stays_open()


async def test_a_server_that_does_not_come_back_in_time_is_waited_for_no_longer(proxies: FaultProxies) -> None:
    async with behind(proxies, serverSelectionTimeoutMS=700) as scene:
        cursor = await scene.cursor()
        primary = scene.primary
        with primary.refusing():
            primary.close_connections()
            with pytest.raises(AutoReconnect):
                await scene.collection.count()
            started = monotonic()
            with pytest.raises(ServerSelectionTimeoutError, match="which has the cursor"):
                await cursor.to_list()
            assert monotonic() - started >= 0.5
            assert not cursor.alive
        # It is available again, within the time that the background has.
        await scene.nothing_stays_open()


async def test_closing_does_not_wait_for_a_server_that_failed(proxies: FaultProxies) -> None:
    async with behind(proxies) as scene:
        closed, dropped = await scene.cursor(), await scene.cursor()
        scene.log.clear()
        await scene.break_a_connection()
        await closed.close()
        del dropped
        gc.collect()
        assert "killCursors" not in scene.log.names, "the server was not back yet"
        await scene.nothing_stays_open()
        assert scene.log.names.count("killCursors") == 2


async def test_waiting_can_be_cancelled_and_leaves_nothing_open(proxies: FaultProxies) -> None:
    async with behind(proxies) as scene:
        cursor = await scene.cursor()
        primary = scene.primary
        with primary.refusing():
            primary.close_connections()
            with pytest.raises(AutoReconnect):
                await scene.collection.count()
            started = monotonic()
            with anyio.move_on_after(0.1):
                await cursor.to_list()
            assert monotonic() - started < 15, "it waits no longer for the server, which is given 30 s"
            assert not cursor.alive
        await scene.nothing_stays_open()


async def test_cursors_of_a_server_that_left_the_deployment_are_dropped(
    proxies: FaultProxies, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with behind(proxies) as scene, anyio.create_task_group() as group:
        waiting, idle = await scene.cursor(), await scene.cursor()
        topology = scene.client._core.topology
        failures: list[AutoReconnect] = []

        async def read_on() -> None:
            with pytest.raises(AutoReconnect, match="no longer part") as caught:
                await waiting.to_list()
            failures.append(caught.value)

        primary = scene.primary
        with primary.refusing():
            primary.close_connections()
            with pytest.raises(AutoReconnect):
                await scene.collection.count()
            group.start_soon(read_on)
            await anyio.sleep(0.1)
            assert not failures, "it waits"
            # As if a new primary's hello no longer listed this member.
            others = {
                address: server
                for address, server in topology.description.servers.items()
                if address != primary.address
            }
            # The secondaries' real hellos could add it again at any moment.
            monkeypatch.setattr(topology, "_answered", lambda *_: None)
            topology.take_over(replace(topology.description, servers=others))
            await until(lambda: len(failures) == 1, "the cursor is dropped")
            with pytest.raises(AutoReconnect, match="no longer part"):
                await idle.to_list()
        assert not waiting.alive
        assert not idle.alive
        await scene.direct.admin.command("killAllSessions", [])
