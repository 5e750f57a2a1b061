"""Behind load balancers: cursors and transactions keep their connection, and always return it when they end.

Load-balancers specification, "Connection Pooling". The tests use doubles of load balancers in front of doubles of
routers; each connection to the balancer in front of both goes to the next router, so that an unpinned command fails.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import pytest

import wiredrv
from tests.support.commands import CommandLog, fresh_collection, watched
from tests.support.event_log import EventLog
from tests.support.failpoints import fail_command
from tests.support.secured import with_user
from tests.support.sharded_double import ShardedDouble
from tests.support.waiting import until
from wiredrv import _introspect, events
from wiredrv.description import TopologyType
from wiredrv.errors import (
    AutoReconnect,
    ConfigurationError,
    DriverError,
    OperationFailure,
    WaitQueueTimeoutError,
)
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def _scene(uri: str) -> AsyncIterator[tuple[wiredrv.Client, wiredrv.Collection, CommandLog]]:
    async with watched(uri) as (client, log):
        collection = await fresh_collection(client, "balanced", 10)
        log.clear()
        yield client, collection, log
        await until(lambda: _introspect.checked_out(client) == 0, "every connection is back in its pool")


async def test_a_cursor_keeps_its_connection_until_it_is_exhausted(sharded_double: ShardedDouble) -> None:
    async with _scene(sharded_double.multiple_uri) as (client, collection, log):
        cursor = collection.find({}, batch_size=2)
        await cursor.next()
        assert _introspect.checked_out(client) == 1
        # The other connections lead to the other router too, which does not know the cursor.
        await collection.count_documents({})
        assert len(await cursor.to_list()) == 9
        assert _introspect.checked_out(client) == 0
        ids = {event.connection_id for event in log.started_events if event.command_name in ("find", "getMore")}
        assert len(ids) == 1


async def test_raw_batches_and_cursors_that_would_stream_or_read_ahead(sharded_double: ShardedDouble) -> None:
    """A router does not stream, and a pinned connection has no time for a batch ahead: they read like any other."""
    async with _scene(sharded_double.multiple_uri) as (client, collection, log):
        for cursor in (
            collection.find_raw_batches({}, batch_size=4),
            collection.find({}, batch_size=4, cursor_type=wiredrv.CursorType.EXHAUST),
            collection.find({}, batch_size=4, prefetch=True),
        ):
            log.clear()
            await cursor.next()
            assert (_introspect.checked_out(client), log.names) == (1, ["find"])
            await cursor.to_list()
            assert (_introspect.checked_out(client), log.names) == (0, ["find", "getMore", "getMore"])
            async with cursor.clone() as left:
                await left.next()
            assert _introspect.checked_out(client) == 0


async def test_a_pinned_cursor_of_a_closed_client_has_no_connection(sharded_double: ShardedDouble) -> None:
    log = EventLog()
    async with wiredrv.Client(sharded_double.multiple_uri, event_listeners=[log]) as client:
        collection = await fresh_collection(client, "balanced", 10)
        cursor = collection.find({}, batch_size=2)
        await cursor.next()
        await client.close()
        assert len(log.of(events.ConnectionCreatedEvent)) > 0
        await cursor.close()
        assert len(log.of(events.ConnectionClosedEvent)) == len(log.of(events.ConnectionCreatedEvent))


async def test_a_closed_cursor_gives_its_connection_back(sharded_double: ShardedDouble) -> None:
    async with _scene(sharded_double.multiple_uri) as (client, collection, log):
        async with collection.find({}, batch_size=2) as cursor:
            await cursor.next()
        assert _introspect.checked_out(client) == 0
        kill = log.succeeded_events[-1]
        assert (kill.command_name, len(kill.reply["cursorsKilled"])) == ("killCursors", 1)


async def test_a_forgotten_cursor_gives_its_connection_back(sharded_double: ShardedDouble) -> None:
    async with _scene(sharded_double.multiple_uri) as (client, collection, log):
        cursor = collection.find({}, batch_size=2)
        await cursor.next()
        del cursor
        gc.collect()
        await until(lambda: _introspect.checked_out(client) == 0, "the connection is back")
        assert len(log.succeeded_events[-1].reply["cursorsKilled"]) == 1


async def test_a_cursor_that_failed_gives_its_connection_back_when_it_is_closed(sharded_double: ShardedDouble) -> None:
    """Load-balancers, "Cursors": an error of getMore leaves the connection pinned until then."""
    async with _scene(sharded_double.single_uri) as (client, collection, _):
        router = sharded_double.routers[0].address
        for data, expected in (({"errorCode": 7}, OperationFailure), ({"closeConnection": True}, AutoReconnect)):
            cursor = collection.find({}, batch_size=2)
            await cursor.next()
            async with fail_command(router, "getMore", app_name="sessions", data=data):
                with pytest.raises(expected):
                    await cursor.to_list()
            assert _introspect.checked_out(client) == 1
            await cursor.close()
            assert _introspect.checked_out(client) == 0


async def test_a_cancelled_cursor_gives_its_connection_back(sharded_double: ShardedDouble) -> None:
    async with _scene(sharded_double.single_uri) as (client, collection, _):
        router = sharded_double.routers[0].address
        for command in ("find", "getMore"):
            cursor = collection.find({}, batch_size=2)
            if command == "getMore":
                await cursor.next()
            async with (
                fail_command(router, command, app_name="sessions", block_ms=200) as point,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(cursor.to_list)
                await point.wait_until_entered()
                tasks.cancel_scope.cancel()
            await until(lambda: _introspect.checked_out(client) == 0, "the connection is back")
            await until(lambda: not sharded_double.routers[0].cursors, "the cursor is closed on the router")


async def test_a_transaction_keeps_its_connection_until_the_session_goes_on(sharded_double: ShardedDouble) -> None:
    """Load-balancers, "Transactions": a successful commit keeps the pin, since it may be repeated."""
    async with _scene(sharded_double.multiple_uri) as (client, collection, log):
        async with client.start_session() as session:
            async with session.start_transaction():
                for number in range(4):
                    await collection.insert_one({"n": number}, session=session)
                    assert _introspect.checked_out(client) == 1
                    await collection.count_documents({})
            assert _introspect.checked_out(client) == 1
            await session.commit_transaction()
            own = [event for event in log.started_events if "autocommit" in event.command]
            assert len({event.connection_id for event in own}) == 1
            await collection.find_one({}, session=session)
            assert _introspect.checked_out(client) == 0
            session.start_transaction()
            await collection.insert_one({}, session=session)
            await session.abort_transaction()
            assert _introspect.checked_out(client) == 0
            session.start_transaction()
            await collection.insert_one({}, session=session)
        assert _introspect.checked_out(client) == 0, "the end of the session aborts and lets the connection go"


async def test_a_cursor_in_a_transaction_shares_its_connection(sharded_double: ShardedDouble) -> None:
    async with _scene(sharded_double.multiple_uri) as (client, collection, _), client.start_session() as session:
        session.start_transaction()
        cursor = collection.find({}, batch_size=2, session=session)
        await cursor.next()
        assert _introspect.checked_out(client) == 1
        await collection.insert_one({}, session=session)
        assert _introspect.checked_out(client) == 1
        await session.abort_transaction()
        assert _introspect.checked_out(client) == 1, "the cursor still holds it"
        await cursor.close()
        assert _introspect.checked_out(client) == 0


async def test_a_broken_connection_ends_its_transaction(sharded_double: ShardedDouble) -> None:
    async with _scene(sharded_double.single_uri) as (client, collection, _), client.start_session() as session:
        router = sharded_double.routers[0].address
        session.start_transaction()
        await collection.insert_one({"_id": "broken"}, session=session)
        async with fail_command(router, "find", app_name="sessions", data={"closeConnection": True}):
            with pytest.raises(AutoReconnect) as caught:
                await collection.find_one({}, session=session)
        assert caught.value.has_error_label("TransientTransactionError")
        assert _introspect.checked_out(client) == 0
        await session.abort_transaction()
        assert await collection.find_one({"_id": "broken"}) is None


async def test_a_cancelled_transaction_gives_its_connection_back(sharded_double: ShardedDouble) -> None:
    async with _scene(sharded_double.single_uri) as (client, collection, _):
        router = sharded_double.routers[0].address

        async def work() -> None:
            async with client.transaction():
                await collection.insert_one({"_id": "cancelled"})
                await collection.find_one({})

        async with (
            fail_command(router, "find", app_name="sessions", block_ms=200) as point,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(work)
            await point.wait_until_entered()
            tasks.cancel_scope.cancel()
        assert _introspect.checked_out(client) == 0
        assert await collection.find_one({"_id": "cancelled"}) is None


@pytest.mark.parametrize("through", ["single_uri", "multiple_uri"])
async def test_a_commit_that_ran_out_of_time_gives_its_connection_back_and_is_sent_over_another(
    sharded_double: ShardedDouble, through: str
) -> None:
    """With the recovery token, by which any router finds the outcome; one that has to look for it aborts a transaction
    that is still open. One connection is enough for all of it.
    """
    told: list[str] = []
    async with _scene(f"{getattr(sharded_double, through)}&maxPoolSize=1") as (client, collection, log):
        async with client.start_session() as session, AsyncExitStack() as points:
            for router in sharded_double.routers:
                block = fail_command(router.address, "commitTransaction", app_name="sessions", block_ms=1000)
                await points.enter_async_context(block)
            session.start_transaction()
            session.on_commit(lambda: told.append("committed"))
            session.on_abort(lambda: told.append("aborted"))
            await collection.insert_one({"_id": "late"}, session=session)
            with pytest.raises(DriverError) as caught:
                await session.commit_transaction(timeout_ms=200)
            assert caught.value.timeout
            assert _introspect.checked_out(client) == 0
            await points.aclose()
            await until(lambda: len(told) == 1, "the outcome is known")
        again = log.sent("commitTransaction")[-1]
        assert again["recoveryToken"] == log.sent("commitTransaction")[0]["recoveryToken"]
        found = await collection.find_one({"_id": "late"})
        assert told == ["aborted" if found is None else "committed"]


async def test_waiting_in_vain_tells_what_keeps_the_connections(sharded_double: ShardedDouble) -> None:
    """CMAP, "WaitQueueTimeoutError" in load balanced mode."""
    options = "&maxPoolSize=2&waitQueueTimeoutMS=30"
    async with watched(sharded_double.multiple_uri + options) as (client, _):
        collection = await fresh_collection(client, "balanced", 10)
        async with client.start_session() as session, collection.find({}, batch_size=2) as cursor:
            await cursor.next()
            session.start_transaction()
            await collection.find_one({}, session=session)
            expected = r"maxPoolSize: 2, connections in use by cursors: 1, .*by transactions: 1, .*other operations: 0"
            with pytest.raises(WaitQueueTimeoutError, match=expected):
                await collection.find_one({})


async def test_a_server_that_is_not_behind_a_load_balancer_is_refused(sharded_double: ShardedDouble) -> None:
    """Load-balancers, "Connection Establishment"."""
    with pytest.raises(ConfigurationError, match="Driver attempted to initialize in load balancing mode"):
        async with wiredrv.Client(f"mongodb://{sharded_double.routers[0].address}/?loadBalanced=true") as client:
            await client.admin.command("ping")


def _collect(left: list[object]) -> None:
    left.clear()
    gc.collect()


async def test_a_session_that_is_collected_after_its_commit_gives_its_connection_back(
    sharded_double: ShardedDouble,
) -> None:
    async with _scene(sharded_double.multiple_uri) as (client, collection, _):
        session = client.start_session()
        async with session.start_transaction():
            await collection.insert_one({"_id": "collected"}, session=session)
        assert _introspect.checked_out(client) == 1, "the commit may be repeated"
        left: list[object] = [session]
        del session
        with pytest.warns(ResourceWarning, match="never ended"):
            _collect(left)
        await until(lambda: _introspect.checked_out(client) == 0, "the connection is back")
        assert await collection.find_one({"_id": "collected"}) is not None


async def test_a_session_that_is_collected_within_its_transaction_gives_its_connection_back(
    sharded_double: ShardedDouble,
) -> None:
    async with _scene(sharded_double.multiple_uri) as (client, collection, log):
        session = client.start_session()
        session.start_transaction()
        await collection.insert_one({"_id": "collected"}, session=session)
        cursor = collection.find({}, batch_size=2, session=session)
        await cursor.next()
        assert _introspect.checked_out(client) == 1
        left: list[object] = [session, cursor]
        del session, cursor
        with pytest.warns(ResourceWarning, match="never ended"):
            _collect(left)
        await until(lambda: _introspect.checked_out(client) == 0, "the connection is back")
        assert "abortTransaction" in log.names
        assert await collection.find_one({"_id": "collected"}) is None
        await until(lambda: not any(router.cursors for router in sharded_double.routers), "the cursor is closed")


async def test_a_killed_cursor_of_a_transaction_uses_its_connection_and_keeps_it_pinned(
    sharded_double: ShardedDouble,
) -> None:
    async with _scene(sharded_double.multiple_uri) as (client, collection, log), client.start_session() as session:
        outside = collection.find({}, batch_size=2, session=session)
        await outside.next()
        session.start_transaction()
        within = collection.find({}, batch_size=2, session=session)
        await within.next()
        assert _introspect.checked_out(client) == 2
        await outside.close()
        assert _introspect.checked_out(client) == 1
        await within.close()
        assert _introspect.checked_out(client) == 1
        await collection.insert_one({"_id": "pinned"}, session=session)
        await session.commit_transaction()
        first, second, *rest = [event.connection_id for event in log.started_events]
        assert first != second
        assert rest == [first, second, second, second]
        kills = [event.reply["cursorsKilled"] for event in log.succeeded_events if event.command_name == "killCursors"]
        assert [len(killed) for killed in kills] == [1, 1]


@pytest.fixture(scope="module")
def balanced_user(replica_set: ReplicaSet) -> Iterator[str]:
    """A user on the servers behind the doubles; the password is the same as the name."""
    name = "balanced"

    async def create() -> None:
        async with wiredrv.Client(replica_set.uri, w="majority") as client:
            roles = [{"role": "root", "db": "admin"}]
            await client.admin.command("createUser", name, pwd=name, roles=roles)

    async def drop() -> None:
        async with wiredrv.Client(replica_set.uri) as client:
            await client.admin.command("dropUser", name)

    anyio.run(create)
    yield name
    anyio.run(drop)


@pytest.mark.parametrize(
    ("data", "expected"),
    [({"errorCode": 18}, OperationFailure), ({"closeConnection": True}, AutoReconnect)],
    ids=["refused", "broken"],
)
async def test_an_error_of_authentication_clears_the_connections_to_its_server_alone(
    sharded_double: ShardedDouble, balanced_user: str, data: dict[str, Any], expected: type[Exception]
) -> None:
    """Load-balancers, "Initial Handshake Errors": errors after it are handled as usual, for their service."""
    log = EventLog()
    uri = with_user(sharded_double.multiple_uri, balanced_user, balanced_user)
    async with watched(uri, log, retryReads=False) as (client, _):
        collection = await fresh_collection(client, "balanced", 10)
        async with collection.find({}, batch_size=2) as one, collection.find({}, batch_size=2) as two:
            await one.next()
            await two.next()
            services = {event.service_id for event in client_commands(log, "find")}
            assert services == {router.process_id for router in sharded_double.routers}
            # The next connection may go to either router.
            async with AsyncExitStack() as points:
                for router in sharded_double.routers:
                    point = fail_command(router.address, "saslStart", app_name="sessions", data=data)
                    await points.enter_async_context(point)
                with pytest.raises(expected) as caught:
                    await collection.count_documents({})
            (cleared,) = log.of(events.PoolClearedEvent)
            assert cleared.service_id in services
            assert caught.value.service_id == cleared.service_id  # type: ignore[attr-defined]
            assert client.topology_description.topology_type is TopologyType.LOAD_BALANCED
            log.clear()
        closed = log.of(events.ConnectionClosedEvent)
        assert [event.reason for event in closed] == ["stale"], "the other server's connection is kept"
        assert await collection.count_documents({}) == 10


def client_commands(log: EventLog, name: str) -> list[events.CommandStartedEvent]:
    return log.of(events.CommandStartedEvent, command_name=name)


async def test_an_error_before_the_handshake_clears_nothing(sharded_double: ShardedDouble) -> None:
    """Load-balancers, "Initial Handshake Errors": it is unknown whose error it is."""
    log = EventLog()
    async with watched(sharded_double.multiple_uri, log, retryReads=False, maxAdaptiveRetries=0) as (client, _):
        collection = await fresh_collection(client, "balanced", 10)
        async with collection.find({}, batch_size=2) as cursor:
            await cursor.next()
            async with AsyncExitStack() as points:
                for router in sharded_double.routers:
                    data = {"closeConnection": True}
                    point = fail_command(router.address, "hello", "isMaster", app_name="sessions", data=data)
                    await points.enter_async_context(point)
                with pytest.raises(AutoReconnect):
                    await collection.count_documents({})
            assert log.of(events.PoolClearedEvent) == []
            assert len(await cursor.to_list()) == 9
