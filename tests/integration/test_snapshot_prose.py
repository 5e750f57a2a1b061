"""Snapshot reads: the snapshot-sessions specification (sessions/snapshot-sessions.md), section by section.

Its prose tests stand among those of the sessions specification (1, 21, 22 and 23, in test_sessions_prose.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from bson.timestamp import Timestamp

import wiredrv
from tests.support.commands import CommandLog, fresh_collection, watched
from tests.support.fake_server import FakeServer, with_sessions
from tests.support.session_calls import WRITES, make_place
from tests.support.waiting import until_async
from wiredrv.errors import ConfigurationError, InvalidOperation, OperationFailure
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

_NO_SUCH_SNAPSHOT_YET = 246  # SnapshotUnavailable: the collection is younger than the member's snapshot


@asynccontextmanager
async def _scene(
    replica_set: ReplicaSet,
) -> AsyncIterator[tuple[wiredrv.Client, wiredrv.Collection, CommandLog]]:
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, "snapshots", 3)

        async def readable() -> bool:
            async with client.start_session(snapshot=True) as session:
                secondary = collection.with_options(read_preference=wiredrv.ReadPreference.SECONDARY)
                try:
                    return len(await secondary.find({}, session=session).to_list()) == 3
                except OperationFailure as error:
                    if error.code != _NO_SUCH_SNAPSHOT_YET:
                        raise
                    return False

        await until_async(readable, "a secondary has a snapshot with the documents")
        log.clear()
        yield client, collection, log


async def test_all_reads_of_a_session_see_one_point_in_time(replica_set: ReplicaSet) -> None:
    """Snapshot reads, "Snapshot Read Commands": every later read sends the first reply's atClusterTime."""
    async with _scene(replica_set) as (client, collection, log), client.start_session(snapshot=True) as session:
        before = session.snapshot_time
        assert before is None
        assert await collection.count_documents({}, session=session) == 3
        moment = session.snapshot_time
        assert isinstance(moment, Timestamp)
        await collection.insert_one({"_id": 3})
        assert await collection.find_one({"_id": 3}, session=session) is None
        assert await collection.distinct("_id", session=session) == [0, 1, 2]
        assert len(await collection.find({}, batch_size=2, session=session).to_list()) == 3
        assert session.snapshot_time == moment
        assert log.sent("aggregate")[0]["readConcern"] == {"level": "snapshot"}
        for name in ("find", "distinct"):
            for command in log.sent(name):
                assert command["readConcern"] == {"level": "snapshot", "atClusterTime": moment}
        assert "readConcern" not in log.sent("getMore")[0]
        assert await collection.count_documents({}) == 4


@pytest.mark.parametrize("first", ["find", "aggregate", "distinct"])
async def test_each_of_the_three_commands_settles_the_snapshot_time(replica_set: ReplicaSet, first: str) -> None:
    """Snapshot reads, "Server Command Responses": in the cursor, but at the top level for distinct."""
    async with _scene(replica_set) as (client, collection, log), client.start_session(snapshot=True) as session:
        if first == "find":
            await collection.find_one({}, session=session)
        elif first == "aggregate":
            await collection.aggregate([], session=session).to_list()
        else:
            await collection.distinct("_id", session=session)
        reply = log.succeeded_events[-1].reply
        where = reply if first == "distinct" else reply["cursor"]
        assert session.snapshot_time == where["atClusterTime"]


async def test_secondaries_show_the_same_point_in_time(replica_set: ReplicaSet) -> None:
    """Snapshot reads, "snapshot": supported on primaries and on secondaries."""
    async with _scene(replica_set) as (client, collection, log), client.start_session(snapshot=True) as session:
        secondary = collection.with_options(read_preference=wiredrv.ReadPreference.SECONDARY)
        assert len(await collection.find({}, session=session).to_list()) == 3
        await collection.delete_many({})
        assert len(await secondary.find({}, session=session).to_list()) == 3
        finds = [event for event in log.started_events if event.command_name == "find"]
        assert finds[0].address != finds[1].address
        assert finds[1].command["readConcern"]["atClusterTime"] == session.snapshot_time


async def test_a_snapshot_time_can_be_given(replica_set: ReplicaSet) -> None:
    """Snapshot reads, "snapshotTime": another session reads from the same moment, from its first read on."""
    async with _scene(replica_set) as (client, collection, log):
        async with client.start_session(snapshot=True) as session:
            await collection.find_one({}, session=session)
            moment = session.snapshot_time
        await collection.insert_one({"_id": 3})
        async with client.start_session(snapshot=True, snapshot_time=moment) as again:
            assert again.snapshot_time == moment
            log.clear()
            assert await collection.distinct("_id", session=again) == [0, 1, 2]
            assert log.sent("distinct")[0]["readConcern"] == {"level": "snapshot", "atClusterTime": moment}
            assert again.snapshot_time == moment


async def test_snapshot_sessions_have_no_transactions(replica_set: ReplicaSet) -> None:
    """Snapshot reads, "ClientSession changes"."""
    async with _scene(replica_set) as (client, _, log), client.start_session(snapshot=True) as session:
        with pytest.raises(InvalidOperation, match="Transactions are not supported in snapshot sessions"):
            session.start_transaction()
        assert not session.in_transaction
        assert log.names == []


async def test_every_command_of_the_session_carries_the_read_concern(replica_set: ReplicaSet) -> None:
    """Snapshot reads, "Sending readConcern to the server on all commands": so the server refuses writes."""
    async with watched(replica_set) as (client, log):
        place = await make_place(client)
        async with client.start_session(snapshot=True) as session:
            for call in WRITES:
                log.clear()
                with pytest.raises(OperationFailure) as caught:
                    await call.run(place, {"session": session})
                assert caught.value.code == 72, call.name  # InvalidOptions
                assert log.sent()[0]["readConcern"] == {"level": "snapshot"}, call.name


async def test_older_servers_are_refused_in_the_words_of_the_specification() -> None:
    """Snapshot reads, "Requires MongoDB 5.0+": wire versions below 13; a fake stands in for the older server."""
    with FakeServer({**with_sessions(), "maxWireVersion": 12}) as server:
        async with watched(server.uri) as (client, log), client.start_session(snapshot=True) as session:
            with pytest.raises(ConfigurationError, match=r"^Snapshot reads require MongoDB 5\.0 or later$"):
                await client.test.test.find_one({}, session=session)
            assert log.names == []


async def test_a_snapshot_session_is_not_causally_consistent_by_default(replica_set: ReplicaSet) -> None:
    """Causal consistency: causalConsistency defaults to the opposite of snapshot."""
    async with watched(replica_set) as (client, _):
        async with client.start_session(snapshot=True) as session:
            assert session.options.causal_consistency is False
        async with client.start_session() as session:
            assert session.options.causal_consistency is True
