"""A cancelled statement makes its transaction abort-only, whenever its reply would have arrived."""

from __future__ import annotations

import pytest

import wiredrv
from tests.support.commands import Canceller, fresh_collection, primary_of, watched
from tests.support.failpoints import fail_command
from wiredrv.errors import InvalidOperation
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

NAME = "cancelled-statement"
#: Held for less, and for longer, than the driver waits for the reply to a cancelled command (0.5 s).
HOLDS = (200, 1500)


@pytest.mark.parametrize("hold", HOLDS)
@pytest.mark.parametrize("position", ["first", "later"])
async def test_a_cancellation_that_is_swallowed_dooms_the_transaction(
    replica_set: ReplicaSet, hold: int, position: str
) -> None:
    canceller = Canceller("insert")
    async with watched(replica_set.uri, canceller, appName=NAME) as (client, _):
        collection = await fresh_collection(client, "cancelled_statement")
        held = fail_command(primary_of(client), "insert", app_name=NAME, block_ms=hold)

        async def block(session: wiredrv.ClientSession) -> None:
            async with session.start_transaction():
                if position == "later":
                    await collection.insert_one({"_id": "before"}, session=session)
                async with held:
                    with canceller.cancelling() as scope:
                        await collection.insert_one({"_id": "cancelled"}, session=session)
                assert scope.cancelled_caught
                await collection.insert_one({"_id": "after"}, session=session)

        async with client.start_session() as session:
            with pytest.raises(InvalidOperation, match="'insert' was cancelled in this transaction"):
                await block(session)
            assert not session.in_transaction
            # The session itself is still usable.
            async with session.start_transaction():
                await collection.insert_one({"_id": "next"}, session=session)
        assert [document["_id"] async for document in collection.find()] == ["next"]


async def test_a_commit_after_it_aborts_and_says_so(replica_set: ReplicaSet) -> None:
    canceller = Canceller("insert")
    async with watched(replica_set.uri, canceller, appName=NAME) as (client, log):
        collection = await fresh_collection(client, "cancelled_statement")
        outcomes: list[str] = []

        async def callback(session: wiredrv.ClientSession) -> None:
            session.on_abort(lambda: outcomes.append("aborted"))
            async with fail_command(primary_of(client), "insert", app_name=NAME, block_ms=200):
                with canceller.cancelling():
                    await collection.insert_one({"_id": "cancelled"}, session=session)

        async with client.start_session() as session:
            with pytest.raises(InvalidOperation, match="can only be aborted"):
                await session.with_transaction(callback)
        assert outcomes == ["aborted"]
        assert await collection.count_documents({}) == 0
        assert "commitTransaction" not in log.names
