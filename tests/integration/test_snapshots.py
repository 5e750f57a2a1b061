"""Snapshots on the replica set: their time, sessions, bindings and tokens."""

from __future__ import annotations

from typing import Any, cast

import anyio
import pytest
from bson.timestamp import Timestamp

import wiredrv
from tests.support.commands import fresh_collection, watched
from tests.support.scans import many_ranges
from tests.support.sharded_double import ShardedDouble
from wiredrv.errors import ConfigurationError, InvalidOperation, InvalidToken, OperationFailure, SnapshotTooOld
from wiredrv.local import ReplicaSet, Standalone
from wiredrv.session.tokens import TokenKeys, write_causal_token, write_snapshot_token

pytestmark = pytest.mark.anyio

NAME = "moments"


async def test_all_sessions_of_a_snapshot_read_its_time(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        moments = await fresh_collection(client, NAME, documents=3)
        log.clear()
        async with client.snapshot() as snap:
            assert log.names == ["hello"]
            await moments.delete_many({})
            async with snap.start_session() as one, snap.start_session() as two:
                assert await moments.count_documents({}, session=one) == 3
                secondary = moments.with_options(read_preference=wiredrv.ReadPreference.SECONDARY)
                assert len(await secondary.find({}, session=two).to_list()) == 3
                assert one.snapshot_time == two.snapshot_time == snap.time
            async with snap.bind() as session:
                assert len(await moments.find().to_list()) == 3
                assert session.snapshot_time == snap.time
            assert await moments.count_documents({}) == 0
        sent = [command["readConcern"] for command in log.sent() if "readConcern" in command]
        assert {"level": "snapshot", "atClusterTime": snap.time} in sent


async def test_what_a_majority_has_written_is_part_of_a_snapshot(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        moments = await fresh_collection(client, NAME)
        for number in range(20):
            await moments.insert_one({"_id": number})
            async with client.snapshot() as snap, snap.bind():
                assert await moments.count_documents({}) == number + 1


async def test_a_token_reads_the_same_in_another_client(replica_set: ReplicaSet) -> None:
    keys = TokenKeys("k" * 32)
    async with watched(replica_set) as (client, _), watched(replica_set) as (other, _):
        moments = await fresh_collection(client, NAME, documents=2)
        async with client.snapshot() as snap:
            token = snap.token
            await moments.delete_many({})
        assert len(token) < 64
        for again in (
            other.snapshot(token),
            other.snapshot(keys.sign(token), token_keys=keys),
            other.snapshot(at=snap.time),
        ):
            async with again as same, same.bind():
                assert same.time == snap.time
                assert same.token == token
                assert len(await other[moments.database.name][NAME].find().to_list()) == 2


async def test_tokens_that_cannot_be_used_are_refused_at_once(replica_set: ReplicaSet) -> None:
    keys = TokenKeys("k" * 32)
    async with watched(replica_set) as (client, log):
        async with client.snapshot() as snap:
            time, token = snap.time, snap.token
        label = bytes(8)
        ahead = write_snapshot_token(Timestamp(time.time + 300 * 86_400, 1), label)
        clock = await _cluster_time(client)
        log.clear()
        with pytest.raises(InvalidToken) as unconfirmed:
            await client.snapshot(ahead).__aenter__()
        assert unconfirmed.value.reason == "unconfirmed"
        assert log.names == ["hello"]  # the primary was asked already
        with pytest.raises(InvalidOperation, match="latest time"):
            await client.snapshot(at=Timestamp(2**32 - 1, 2**32 - 1)).__aenter__()
        with pytest.raises(InvalidToken) as foreign:
            await client.snapshot(write_snapshot_token(time, b"another!")).__aenter__()
        assert foreign.value.reason == "foreign"
        # Nothing of that was sent to a server.
        assert (await _cluster_time(client)).time - clock.time < 60
        log.clear()
        for text, reason in [
            (token[:-2] + ("AA" if token[-2:] != "AA" else "BB"), "malformed"),
            ("", "malformed"),
            (write_causal_token(time, None, label), "kind"),
        ]:
            with pytest.raises(InvalidToken) as refused:
                client.snapshot(text)
            assert refused.value.reason == reason
        with pytest.raises(InvalidToken) as unsigned:
            client.snapshot(token, token_keys=keys)
        assert unsigned.value.reason == "signature"
        assert log.names == []


async def _cluster_time(client: wiredrv.Client) -> Timestamp:
    reply = await client.admin.command("ping")
    found: Timestamp = reply["$clusterTime"]["clusterTime"]
    return found


async def test_a_secondary_that_is_behind_is_not_the_last_to_be_asked(replica_set: ReplicaSet) -> None:
    """A time that a secondary has not heard of is confirmed by the primary."""
    async with watched(replica_set) as (client, log):
        moments = await fresh_collection(client, NAME, documents=1)
        async with client.snapshot() as snap:
            pass
        late = Timestamp(snap.time.time + 10**6, 1)
        log.clear()
        with pytest.raises(InvalidOperation, match="latest time"):
            await client.snapshot(at=late, read_preference=wiredrv.ReadPreference.SECONDARY).__aenter__()
        asked = [event.address for event in log.started_events]
        assert len(asked) == len(set(asked)) == 2
        async with client.snapshot(at=snap.time, read_preference=wiredrv.ReadPreference.SECONDARY) as same, same.bind():
            assert await moments.count_documents({}) == 1


async def test_a_time_that_the_servers_have_forgotten_says_how_to_keep_history(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        moments = await fresh_collection(client, NAME, documents=2)
        async with client.snapshot() as snap:
            await client.admin.command("setParameter", 1, minSnapshotHistoryWindowInSeconds=0)
            try:
                with anyio.fail_after(30):
                    while True:
                        await moments.insert_one({})
                        async with snap.start_session() as session:
                            try:
                                await moments.find_one({}, session=session)
                            except SnapshotTooOld:
                                break
                        await anyio.sleep(0.1)
                with pytest.raises(SnapshotTooOld, match="minSnapshotHistoryWindowInSeconds"):
                    async for _batch in snap.scan(moments):
                        pass
            finally:
                await client.admin.command("setParameter", 1, minSnapshotHistoryWindowInSeconds=300)


async def test_a_standalone_has_no_snapshots(standalone: Standalone) -> None:
    async with watched(standalone) as (client, _):
        with pytest.raises(ConfigurationError, match="a standalone; `wiredrv local up`"):
            await client.snapshot().__aenter__()


@pytest.mark.parametrize("balanced", [False, True])
async def test_routers_name_their_time_and_ask_their_shards(sharded_double: ShardedDouble, balanced: bool) -> None:
    """Against doubles of routers: there is no mongos here."""
    uri = sharded_double.multiple_uri if balanced else sharded_double.uri
    async with watched(uri) as (client, log):
        moments = await fresh_collection(client, NAME, documents=30)
        async with client.snapshot() as snap:
            with many_ranges():
                scan = snap.scan(moments, readers=3, batch_size=4, ordered=True)
                assert [found["_id"] async for batch in scan for found in batch] == list(range(30))
            async with client.snapshot(snap.token) as same:
                assert same.time == snap.time
        log.clear()
        with pytest.raises(InvalidOperation, match="latest time"):
            await client.snapshot(at=Timestamp(snap.time.time + 10**6, 1)).__aenter__()
        assert log.names == ["hello", "listDatabases", "hello"]


async def test_misuse(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        snap = client.snapshot()
        with pytest.raises(InvalidOperation, match="once it is entered"):
            _ = snap.time
        with pytest.raises(InvalidOperation, match="once it is entered"):
            snap.scan(client.a.b)
        with pytest.raises(TypeError, match="async with"), cast(Any, snap):
            pass
        async with snap:
            with pytest.raises(InvalidOperation, match="entered only once"):
                await snap.__aenter__()
            with pytest.raises(InvalidOperation, match="own client"):
                snap.scan(wiredrv.Client().a.b)
            for options in cast(Any, ({"readers": 0}, {"readers": 1000}, {"batch_size": -1}, {"ordered": 1})):
                with pytest.raises(ConfigurationError):
                    snap.scan(client.a.b, **options)
            async with snap.bind():
                with pytest.raises(OperationFailure):
                    await client.a.b.insert_one({})
        for call in (snap.start_session, snap.bind, lambda: snap.scan(client.a.b)):
            with pytest.raises(InvalidOperation, match="was left"):
                call()
        with pytest.raises(ConfigurationError, match="give one of them"):
            client.snapshot("x", at=Timestamp(1, 1))
        with pytest.raises(ConfigurationError, match="bson Timestamp"):
            client.snapshot(at=5)  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(ConfigurationError, match="token_keys"):
            client.snapshot("x", token_keys="secret")  # type: ignore[arg-type]  # wrong on purpose
