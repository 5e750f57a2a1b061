"""Transactions on several routers: the mongos pinning prose tests (transactions/tests/README.md), and what routers do.

They run against two doubles of routers in front of a real replica set (``sharded_double``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
import pytest

import wiredrv
from tests.support.commands import CommandLog, fresh_collection, watched
from tests.support.failpoints import fail_command
from tests.support.sharded_double import ShardedDouble
from tests.support.waiting import until
from wiredrv import _introspect
from wiredrv.errors import AutoReconnect, InvalidOperation, OperationFailure
from wiredrv.session.transaction import Outcome

pytestmark = pytest.mark.anyio

_NO_SUCH_TRANSACTION = 251


@asynccontextmanager
async def _scene(
    double: ShardedDouble,
) -> AsyncIterator[tuple[wiredrv.Client, wiredrv.Collection, CommandLog]]:
    async with watched(double.uri, localThresholdMS=1000) as (client, log):
        collection = await fresh_collection(client, "pinning", 1)
        await until(lambda: _known_routers(client) == 2, "both routers are known")
        log.clear()
        yield client, collection, log


def _known_routers(client: wiredrv.Client) -> int:
    return sum(server.is_data_bearing for server in client.topology_description.servers.values())


def _number_of(double: ShardedDouble, address: wiredrv.Address | None) -> int:
    return [router.address for router in double.routers].index(address)  # type: ignore[arg-type]  # None is not there


async def test_1_a_new_transaction_may_go_to_another_router(sharded_double: ShardedDouble) -> None:
    """Transactions, mongos pinning prose test 1."""
    async with _scene(sharded_double) as (client, collection, _), client.start_session() as session:
        async with session.start_transaction():
            await collection.insert_one({}, session=session)
        addresses = set()
        for _ in range(50):
            async with session.start_transaction():
                cursor = collection.find({}, session=session)
                assert await cursor.next()
                addresses.add(cursor.address)
                await cursor.close()
        assert len(addresses) == 2


async def test_2_an_operation_outside_of_a_transaction_may_go_to_another_router(sharded_double: ShardedDouble) -> None:
    """Transactions, mongos pinning prose test 2."""
    async with _scene(sharded_double) as (client, collection, _), client.start_session() as session:
        async with session.start_transaction():
            await collection.insert_one({}, session=session)
        addresses = set()
        for _ in range(50):
            cursor = collection.find({}, session=session)
            assert await cursor.next()
            addresses.add(cursor.address)
            await cursor.close()
        assert len(addresses) == 2


async def test_all_commands_of_a_transaction_go_to_one_router(sharded_double: ShardedDouble) -> None:
    """Transactions, "Mongos Pinning"."""
    async with _scene(sharded_double) as (client, collection, log), client.start_session() as session:
        async with session.start_transaction():
            for number in range(10):
                await collection.insert_one({"n": number}, session=session)
                assert _introspect.pinned_address(session) is not None
        assert len({event.address for event in log.started_events}) == 1
        assert log.names == ["insert"] * 10 + ["commitTransaction"]


async def test_another_read_preference_is_refused_when_the_session_is_pinned_too(sharded_double: ShardedDouble) -> None:
    """Transactions, "readPreference": primary only."""
    async with _scene(sharded_double) as (client, collection, log), client.start_session() as session:
        session.start_transaction(read_preference=wiredrv.ReadPreference.SECONDARY)
        await collection.insert_one({}, session=session)
        with pytest.raises(InvalidOperation, match="must be primary"):
            await collection.find_one({}, session=session)
        await session.abort_transaction()
        assert log.names == ["insert", "abortTransaction"]


async def test_a_commit_whose_router_is_gone_finds_its_outcome_through_another(sharded_double: ShardedDouble) -> None:
    """Transactions, "recoveryToken field": the commit took place, its reply was lost, another router confirms it."""
    async with _scene(sharded_double) as (client, collection, log), client.start_session() as session:
        session.start_transaction()
        await collection.insert_one({"_id": "recovered"}, session=session)
        pinned = _introspect.pinned_address(session)
        assert pinned is not None
        failure = {"writeConcernError": {"code": 91, "errmsg": "shutting down"}, "errorLabels": ["RetryableWriteError"]}
        async with fail_command(pinned, "commitTransaction", data=failure):
            await session.commit_transaction()
        commits = [event for event in log.started_events if event.command_name == "commitTransaction"]
        assert len(commits) >= 2
        assert all("recoveryShardId" in event.command["recoveryToken"] for event in commits)
        assert await collection.find_one({"_id": "recovered"}) is not None


async def test_a_router_that_dies_in_mid_transaction_fails_it_as_transient(sharded_double: ShardedDouble) -> None:
    """Transactions, "Error Reporting": the next statement fails with TransientTransactionError, the session unpins."""
    async with _scene(sharded_double) as (client, collection, _), client.start_session() as session:
        session.start_transaction()
        await collection.insert_one({"_id": "lost"}, session=session)
        number = _number_of(sharded_double, _introspect.pinned_address(session))
        await anyio.to_thread.run_sync(sharded_double.kill, number)
        try:
            with pytest.raises(AutoReconnect) as caught:
                await collection.find_one({}, session=session)
            assert caught.value.has_error_label("TransientTransactionError")
            assert _introspect.pinned_address(session) is None
            await session.abort_transaction()
            assert await collection.find_one({"_id": "lost"}) is None
            # The shard still has the transaction open; the session's next transaction ends it.
            async with session.start_transaction():
                await collection.insert_one({"_id": "lost"}, session=session)
            assert await collection.find_one({"_id": "lost"}) is not None
        finally:
            await anyio.to_thread.run_sync(sharded_double.start, number)


async def test_a_commit_on_another_router_ends_a_transaction_that_was_still_open(sharded_double: ShardedDouble) -> None:
    """Transactions, "recoveryToken field": the router died before the commit; the other one finds it aborted."""
    async with _scene(sharded_double) as (client, collection, log), client.start_session() as session:
        session.start_transaction()
        await collection.insert_one({"_id": "open"}, session=session)
        number = _number_of(sharded_double, _introspect.pinned_address(session))
        await anyio.to_thread.run_sync(sharded_double.kill, number)
        try:
            with pytest.raises(OperationFailure) as caught:
                await session.commit_transaction()
            assert caught.value.code == _NO_SUCH_TRANSACTION
            assert caught.value.has_error_label("TransientTransactionError")
            assert session._state.transaction.outcome is not Outcome.COMMITTED
            assert log.started_events[-1].address == sharded_double.routers[1 - number].address
            assert await collection.find_one({"_id": "open"}) is None
        finally:
            await anyio.to_thread.run_sync(sharded_double.start, number)


async def test_causal_reads_go_through_any_router(sharded_double: ShardedDouble) -> None:
    """Causal consistency: $clusterTime is gossiped from router to router, and reads wait for afterClusterTime."""
    async with _scene(sharded_double) as (client, collection, log), client.start_session() as session:
        for number in range(30):
            await collection.insert_one({"n": number}, session=session)
            found = await collection.find_one({"n": number}, session=session)
            assert found is not None
        assert len({event.address for event in log.started_events}) == 2
        later = log.sent()[1:]
        assert all("$clusterTime" in command for command in later)
        finds = log.sent("find")
        assert all("afterClusterTime" in command["readConcern"] for command in finds)


async def test_snapshot_reads_see_one_point_in_time_through_any_router(sharded_double: ShardedDouble) -> None:
    """Snapshot sessions: the first reply's atClusterTime holds on all routers."""
    async with _scene(sharded_double) as (client, collection, log), client.start_session(snapshot=True) as session:
        assert await collection.count_documents({}, session=session) == 1
        for number in range(20):
            await collection.insert_one({"n": number})
            assert await collection.count_documents({}, session=session) == 1
        aggregates = [event for event in log.started_events if event.command_name == "aggregate"]
        assert len({event.address for event in aggregates}) == 2


async def test_a_transaction_is_tried_again_on_another_router(sharded_double: ShardedDouble) -> None:
    """The convenient API copes with a killed router."""
    async with _scene(sharded_double) as (client, collection, _), client.start_session() as session:
        killed: list[int] = []

        async def work(session: wiredrv.ClientSession) -> None:
            await collection.insert_one({"_id": "tried again"}, session=session)
            if not killed:
                killed.append(_number_of(sharded_double, _introspect.pinned_address(session)))
                await anyio.to_thread.run_sync(sharded_double.kill, killed[0])
            await collection.update_one({"_id": "tried again"}, {"$inc": {"n": 1}}, session=session)

        try:
            await session.with_transaction(work)
        finally:
            for number in killed:
                await anyio.to_thread.run_sync(sharded_double.start, number)
        found = await collection.find_one({"_id": "tried again"})
        assert found == {"_id": "tried again", "n": 1}


async def test_abort_goes_to_the_pinned_router_with_the_token(sharded_double: ShardedDouble) -> None:
    """Transactions, "recoveryToken field": the abort carries it too."""
    async with _scene(sharded_double) as (client, collection, log), client.start_session() as session:
        session.start_transaction()
        await collection.insert_one({"_id": "aborted"}, session=session)
        await session.abort_transaction()
        insert, abort = log.started_events
        assert insert.address == abort.address
        assert "recoveryShardId" in abort.command["recoveryToken"]
        assert await collection.find_one({"_id": "aborted"}) is None


async def test_a_token_is_not_carried_into_the_next_transaction(sharded_double: ShardedDouble) -> None:
    """Transactions, "recoveryToken field": cleared when a transaction starts; without writes the token is empty."""
    async with _scene(sharded_double) as (client, collection, log), client.start_session() as session:
        async with session.start_transaction():
            await collection.insert_one({}, session=session)
        async with session.start_transaction():
            await collection.find_one({}, session=session)
        wrote, read = log.sent("commitTransaction")
        assert wrote["recoveryToken"] != {}
        assert read["recoveryToken"] == {}


async def test_errors_of_one_router_are_not_those_of_the_other(sharded_double: ShardedDouble) -> None:
    """A fail point belongs to one router, and a retried read goes to the other one."""
    async with _scene(sharded_double) as (_, collection, log):
        first = sharded_double.routers[0].address
        async with fail_command(first, "find", times=1000, app_name="sessions", data={"errorCode": 91}):
            for _ in range(10):
                assert await collection.find_one({}) is not None
        assert {event.address for event in log.succeeded_events} == {sharded_double.routers[1].address}
