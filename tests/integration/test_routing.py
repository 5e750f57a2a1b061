"""Where operations go, according to the prose of the specifications: with a slow router, or under overload in a
transaction; and what is sent and returned on the way. On real servers, with doubles of routers in front of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import pytest
from bson.timestamp import Timestamp

import wiredrv
from tests.support.commands import APP_NAME, DATABASE, fresh_collection, primary_of, watched
from tests.support.failpoints import fail_command
from tests.support.sharded_double import ShardedDouble
from tests.support.waiting import until, until_async
from wiredrv import WriteConcern, _introspect
from wiredrv.errors import ConfigurationError, NotPrimaryError
from wiredrv.local import ReplicaSet, Standalone

pytestmark = pytest.mark.anyio

_OVERLOAD = ["SystemOverloadedError", "RetryableError"]
_HELLOS = ("hello", "isMaster", "ismaster")


async def _both_routers(client: wiredrv.Client) -> None:
    description = client.topology_description
    await until(
        lambda: sum(server.is_data_bearing for server in client.topology_description.servers.values()) == 2,
        f"both routers are known, not {description}",
    )


async def test_workers_do_not_gather_at_a_router_that_is_slow_to_accept(sharded_double: ShardedDouble) -> None:
    """Server selection, "operationCount": counted from selection on, so also while waiting for a connection.

    An operation goes to the slow router only while the fast one has at least as many, so at most five of ten do;
    the others finish. Counted from check-out, all ten would soon be there.
    """
    slow = sharded_double.routers[0].address
    finished = 0
    enough = anyio.Event()

    async def work(things: wiredrv.Collection) -> None:
        nonlocal finished
        while not enough.is_set():
            await things.find_one({})
            finished += 1
            if finished >= 500:
                enough.set()

    async with watched(sharded_double.uri, localThresholdMS=30_000, heartbeatFrequencyMS=10_000) as (client, log):
        await _both_routers(client)
        things = client[DATABASE].slow_router
        # The monitors are connected; the router does not accept new connections for a while.
        async with fail_command(slow, *_HELLOS, times=1000, block_ms=15_000, app_name=APP_NAME):
            log.clear()
            with anyio.fail_after(10):
                async with anyio.create_task_group() as group:
                    for _ in range(10):
                        group.start_soon(work, things)
                    await enough.wait()
                    server = client._core.topology.servers[slow]
                    waiting = server.operations
                    group.cancel_scope.cancel()
        assert 1 <= waiting <= 5
        assert {event.address for event in log.started_events} == {sharded_double.routers[1].address}
        assert server.operations == 0, "who gives up waiting counts no longer"


@pytest.mark.parametrize("labels", [_OVERLOAD, [*_OVERLOAD, "TransientTransactionError"]], ids=["shed", "transient"])
async def test_a_statement_is_tried_again_on_the_router_of_its_transaction(
    sharded_double: ShardedDouble, labels: list[str]
) -> None:
    """Transactions, "Mongos Pinning": all commands of a transaction go to one router, also retries of statements."""
    async with watched(sharded_double.uri, localThresholdMS=1000) as (client, log):
        collection = await fresh_collection(client, "overload", 1)
        await _both_routers(client)
        async with client.start_session() as session, session.start_transaction():
            await collection.insert_one({}, session=session)
            pinned = _introspect.pinned_address(session)
            assert pinned is not None
            log.clear()
            data = {"errorCode": 462, "errorLabels": labels}
            async with fail_command(pinned, "find", data=data):
                assert await collection.find_one({"_id": 0}, session=session) == {"_id": 0}
            assert _introspect.pinned_address(session) == pinned
        assert log.names == ["find", "find", "commitTransaction"]
        assert {event.address for event in log.started_events} == {pinned}
        assert await collection.count_documents({}) == 2


async def test_an_aggregate_that_writes_unacknowledged_is_a_write(replica_set: ReplicaSet) -> None:
    """Sessions, "When using unacknowledged writes"."""
    async with watched(replica_set) as (client, log):
        source = await fresh_collection(client, "unacknowledged", 3)
        await client[DATABASE].drop_collection("unacknowledged_out")
        unacknowledged = source.with_options(write_concern=WriteConcern(w=0))
        log.clear()
        cursor = await unacknowledged.aggregate([{"$out": "unacknowledged_out"}])
        assert await cursor.to_list() == []
        (command,) = log.sent("aggregate")
        assert "lsid" not in command

        async def written() -> bool:
            return await client[DATABASE].unacknowledged_out.count_documents({}) == 3

        await until_async(written, "the documents are written")
        async with client.start_session() as session:
            log.clear()
            with pytest.raises(ConfigurationError, match="w=0"):
                await unacknowledged.aggregate([{"$out": "unacknowledged_out"}], session=session)
            assert log.sent() == []


@pytest.mark.parametrize("code", [10107, 11600, 91], ids=["not primary", "recovering", "shutting down"])
@pytest.mark.parametrize(
    "lenient",
    [{"check": False}, {"allowable_errors": [10107, 11600, 91]}],
    ids=["check=False", "allowable_errors"],
)
async def test_a_state_change_error_is_returned_too_where_errors_are_to_be(
    replica_set: ReplicaSet, lenient: Mapping[str, Any], code: int
) -> None:
    async with watched(replica_set) as (client, _):
        await client.admin.command("ping")
        async with fail_command(primary_of(client), "ping", app_name=APP_NAME, data={"errorCode": code}):
            reply = await client.admin.command("ping", **lenient)
        assert (reply["ok"], reply["code"]) == (0, code)
        await client.admin.command("ping")  # the primary is discovered again
        async with fail_command(primary_of(client), "ping", app_name=APP_NAME, data={"errorCode": code}):
            with pytest.raises(NotPrimaryError):
                await client.admin.command("ping", allowable_errors=[1])


async def test_a_standalone_is_read_from_after_a_time_from_elsewhere(standalone: Standalone) -> None:
    """Causal consistency: a standalone, which refuses afterClusterTime, is always consistent."""
    async with watched(standalone) as (client, log):
        collection = await fresh_collection(client, "causal", 1)
        async with client.start_session(causal_consistency=True) as session:
            session.advance_operation_time(Timestamp(1, 1))
            log.clear()
            assert await collection.find_one({}, session=session) == {"_id": 0}
        assert "readConcern" not in log.sent("find")[0]
