"""A primary is killed, stepped down or frozen: operations under way are retried and done once, or end as specified.

The client reaches the replica set through fault proxies, which hold back what would otherwise arrive too early.
Network failures are tested in ``test_faults.py``.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import pytest

import wiredrv
from tests.support.event_log import EventLog
from tests.support.fault_proxy import FaultProxies, FaultProxy, hold
from tests.support.fault_scene import Scene, scene
from tests.support.waiting import until
from wiredrv import events
from wiredrv.errors import TRANSIENT_TRANSACTION, AutoReconnect, DriverError, NotPrimaryError
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

#: Seconds that a replica set may take to elect a new primary, and a client to find it.
_FAILOVER = 25.0


@pytest.fixture
def proxies(disturbed_replica_set: ReplicaSet) -> Iterator[FaultProxies]:
    """Proxies in front of the replica set's members."""
    with FaultProxies(disturbed_replica_set) as running:
        yield running


class UnderWay:
    """Operations of every kind that are under way when the primary fails; ``errors`` are those that they end with.

    Three transactions were started before: one continues with another statement afterwards (``statement``), one only
    needs to be committed (``commit``), and a transfer by ``with_transaction`` is half done (``transfer``).
    """

    def __init__(self, it: Scene) -> None:
        self.errors: dict[str, DriverError] = {}
        self._it = it
        self._begun = 0
        self._sent = anyio.Event()
        self._failed = anyio.Event()

    async def run(self, strike: Callable[[FaultProxy, anyio.Event], Awaitable[None]]) -> None:
        """Start everything, let ``strike`` make the primary fail, and return when everything has ended.

        ``strike`` sets the event that it is given when reads, writes and the commit are to be sent.
        """
        primary = self._it.primary
        async with anyio.create_task_group() as group:
            for begun in (self._statement, self._commit, self._transfer):
                group.start_soon(self._keep_error, begun)
            await until(lambda: self._begun == 3, "the transactions have begun")
            for sent in (self._read, self._write, self._write_many):
                group.start_soon(self._keep_error, sent)
            await strike(primary, self._sent)
            self.go_on()

    def go_on(self) -> None:
        """Let the half-done transactions continue: the primary has failed."""
        self._failed.set()

    async def _keep_error(self, operation: Callable[[], Awaitable[None]]) -> None:
        try:
            await operation()
        except DriverError as error:
            self.errors[operation.__name__.removeprefix("_")] = error

    async def _read(self) -> None:
        await self._sent.wait()
        assert await self._it.accounts.find_one({"_id": 2}) is not None

    async def _write(self) -> None:
        await self._sent.wait()
        result = await self._it.accounts.update_one({"_id": 2}, {"$inc": {"balance": 1}})
        assert result.modified_count == 1

    async def _write_many(self) -> None:
        await self._sent.wait()
        await self._it.accounts.update_many({"_id": 3}, {"$inc": {"balance": 1}})

    async def _statement(self) -> None:
        async with self._it.client.start_session() as session, session.start_transaction():
            await self._it.ledger.insert_one({"of": "statement"}, session=session)
            self._begun += 1
            await self._failed.wait()
            await self._it.ledger.insert_one({"of": "statement"}, session=session)

    async def _commit(self) -> None:
        async with self._it.client.start_session() as session, session.start_transaction():
            await self._it.ledger.insert_one({"of": "commit"}, session=session)
            self._begun += 1
            await self._sent.wait()

    async def _transfer(self) -> None:
        async def callback(session: wiredrv.ClientSession) -> None:
            await self._it.accounts.update_one({"_id": 0}, {"$inc": {"balance": -10}}, session=session)
            if session.attempt == 1:
                self._begun += 1
                await self._failed.wait()
            await self._it.accounts.update_one({"_id": 1}, {"$inc": {"balance": 10}}, session=session)
            await self._it.ledger.insert_one({"of": "transfer"}, session=session)

        async with self._it.client.start_session() as session:
            await session.with_transaction(callback)
            assert session.attempt > 1


@asynccontextmanager
async def busy(proxies: FaultProxies, **options: Any) -> AsyncIterator[tuple[Scene, UnderWay]]:
    """A scene with as many connections to the primary as there will be operations under way."""
    happened = EventLog()
    async with scene(proxies, happened, serverSelectionTimeoutMS=20_000, minPoolSize=6, **options) as it:
        await happened.wait_for(events.ConnectionReadyEvent, count=6, address=it.primary.address)
        yield it, UnderWay(it)


async def test_a_primary_killed(proxies: FaultProxies) -> None:
    """It is killed after everything was carried out and before any reply: retries detect this and do nothing twice."""

    async def kill(primary: FaultProxy, send: anyio.Event) -> None:
        with primary.doing(hold("find", "update", "commitTransaction")) as held:
            send.set()
            await until(lambda: held.met == 4, "all is carried out")
            primary.server.kill()

    async with busy(proxies) as (it, under_way):
        with anyio.fail_after(_FAILOVER):
            await under_way.run(kill)
        assert set(under_way.errors) == {"write_many", "statement"}
        write_many, statement = under_way.errors["write_many"], under_way.errors["statement"]
        assert isinstance(write_many, AutoReconnect)
        assert write_many.error_labels == frozenset()
        assert statement.has_error_label(TRANSIENT_TRANSACTION)
        assert await it.balances() == [90, 110, 101, 101]
        assert await it.lines() == 2


async def test_a_primary_stepped_down(proxies: FaultProxies) -> None:
    """The monitors do not notice, so the operations find out: their errors say so (NotWritablePrimary)."""

    async def step_down(primary: FaultProxy, send: anyio.Event) -> None:
        command = {"replSetStepDown": 3, "secondaryCatchUpPeriodSecs": 2}
        with proxies.doing(hold("hello")):
            await anyio.to_thread.run_sync(primary.server.ask, command, 10.0)
            it.log.clear()
            send.set()
            await until(lambda: len(it.log.failed_events) >= 4, "all that was sent was refused")
        for proxy in proxies.members:
            proxy.close_connections()  # connections whose hellos stay held are the monitors'

    async with busy(proxies) as (it, under_way):
        with anyio.fail_after(_FAILOVER):
            await under_way.run(step_down)
        assert set(under_way.errors) == {"write_many", "statement", "commit"}
        assert isinstance(under_way.errors["write_many"], NotPrimaryError)
        for name in ("statement", "commit"):
            assert under_way.errors[name].has_error_label(TRANSIENT_TRANSACTION)
        assert await it.balances() == [90, 110, 101, 100]
        assert await it.lines() == 1


async def test_a_primary_frozen(proxies: FaultProxies) -> None:
    """Without ``socketTimeoutMS``: the monitor's check times out, which interrupts the operations on the server."""

    async def freeze(primary: FaultProxy, send: anyio.Event) -> None:
        heir = proxies.replica_set.secondaries()[0]
        primary.server.freeze()
        send.set()
        with contextlib.suppress(DriverError):  # if it is not allowed, an election follows anyway
            await anyio.to_thread.run_sync(heir.ask, {"replSetStepUp": 1}, 10.0)
        under_way.go_on()
        retried = {"find", "update", "commitTransaction"}
        await until(
            lambda: it.sent_elsewhere(primary) >= retried and "write_many" in under_way.errors, "it is given up"
        )
        # A secondary that replicates from the frozen member may not notice for a minute, and until then no majority
        # acknowledges anything.
        primary.server.thaw()

    async with busy(proxies, connectTimeoutMS=700) as (it, under_way):
        with anyio.fail_after(_FAILOVER):
            await under_way.run(freeze)
        assert set(under_way.errors) == {"write_many", "statement", "commit"}
        write_many = under_way.errors["write_many"]
        assert isinstance(write_many, AutoReconnect)
        assert not isinstance(write_many, NotPrimaryError), "it did not answer"
        assert write_many.error_labels == frozenset()
        for name in ("statement", "commit"):
            assert under_way.errors[name].has_error_label(TRANSIENT_TRANSACTION)
        # The former primary may carry out what was in its sockets; it rolls this back when it finds the new primary.
        await anyio.to_thread.run_sync(proxies.replica_set.heal)
        assert await it.balances() == [90, 110, 101, 100]
        assert await it.lines() == 1
