"""The prose tests of the transactions specification (transactions/tests/README.md).

"Mongos Pinning Prose Tests" 1 and 2 need a sharded cluster with two routers, which no deployment of these tests has.
"""

from __future__ import annotations

import anyio
import pytest

import wiredrv
from tests.support.commands import APP_NAME, fresh_collection, primary_of, watched
from tests.support.failpoints import fail_command
from wiredrv import events
from wiredrv.errors import TRANSIENT_TRANSACTION, DriverError, PoolClearedError
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio


class _CheckOuts(events.ConnectionPoolListener):
    """Signals when an operation starts waiting for a connection."""

    def __init__(self) -> None:
        self.started = 0

    def connection_check_out_started(self, event: events.ConnectionCheckOutStartedEvent) -> None:
        self.started += 1


async def test_a_cleared_pool_is_a_transient_transaction_error(replica_set: ReplicaSet) -> None:
    """Transactions, "PoolClearedError Prose Test".

    The pool's only connection carries an insert that the server delays and then fails as if it were shutting down,
    which clears the pool, while the first operation of a transaction waits for a connection.
    """
    check_outs = _CheckOuts()
    async with watched(replica_set, check_outs, maxPoolSize=1, retryWrites=False) as (client, log):
        collection = await fresh_collection(client, "prose")
        address = primary_of(client)
        caught: list[DriverError] = []

        async def held() -> None:
            try:
                await collection.insert_one({"_id": "held"})
            except DriverError as error:
                caught.append(error)

        async with client.start_session() as session:
            session.start_transaction()
            data = {"errorCode": 91}
            async with (
                fail_command(address, "insert", block_ms=500, app_name=APP_NAME, data=data) as fail_point,
                anyio.create_task_group() as group,
            ):
                group.start_soon(held)
                await fail_point.wait_until_entered()
                log.clear()
                with pytest.raises(PoolClearedError) as cleared:
                    await collection.insert_one({"_id": "waits"}, session=session)
            assert cleared.value.has_error_label(TRANSIENT_TRANSACTION)
            assert len(caught) == 1
            assert log.names == []
            await session.abort_transaction()


async def test_options_1_0_a_transaction_does_not_take_the_collections_write_concern(replica_set: ReplicaSet) -> None:
    """Transactions, "Options Inside Transaction Prose Tests" 1.0."""
    async with watched(replica_set) as (client, log):
        await fresh_collection(client, "prose")
        collection = client["wiredrv_sessions"].get_collection("prose", write_concern=wiredrv.WriteConcern(w=0))
        log.clear()
        async with client.start_session() as session:
            session.start_transaction()
            result = await collection.insert_one({"n": 1}, session=session)
            await session.commit_transaction()
        assert "writeConcern" not in log.sent("insert")[0]
        assert log.names == ["insert", "commitTransaction"]
        assert result.inserted_id is not None
        assert await collection.find_one({"n": 1}) is not None
