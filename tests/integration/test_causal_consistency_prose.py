"""The test plan of the causal-consistency specification (causal-consistency.md, "Test Plan"), by number.

A standalone is the deployment that does not support cluster times. 10 was removed from the specification.
"""

from __future__ import annotations

import pytest
from bson.timestamp import Timestamp

import wiredrv
from tests.support.commands import fresh_collection, watched
from tests.support.session_calls import READS, WRITES, make_place
from wiredrv.errors import DriverError, OperationFailure
from wiredrv.local import ReplicaSet, Standalone

pytestmark = pytest.mark.anyio


async def test_1_a_new_session_has_no_operation_time(replica_set: ReplicaSet) -> None:
    """Causal consistency, test plan 1."""
    async with watched(replica_set) as (client, _):
        await client.admin.command("ping")
        async with client.start_session() as session:
            assert session.operation_time is None


async def test_2_the_first_read_sends_no_after_cluster_time(replica_set: ReplicaSet) -> None:
    """Causal consistency, test plan 2."""
    async with watched(replica_set) as (client, log):
        place = await make_place(client)
        for call in READS:
            log.clear()
            async with client.start_session(causal_consistency=True) as session:
                await call.run(place, {"session": session})
            assert "afterClusterTime" not in log.sent()[0].get("readConcern", {}), call.name


@pytest.mark.parametrize("causal", [True, False])
async def test_3_the_first_operation_sets_the_operation_time(replica_set: ReplicaSet, causal: bool) -> None:
    """Causal consistency, test plan 3, also after an error."""
    async with watched(replica_set) as (client, log):
        place = await make_place(client)
        for call in (*READS, *WRITES):
            log.clear()
            async with client.start_session(causal_consistency=causal) as session:
                await call.run(place, {"session": session})
                assert session.operation_time == log.succeeded_events[-1].reply["operationTime"], call.name
        async with client.start_session(causal_consistency=causal) as session:
            with pytest.raises(OperationFailure) as caught:
                await place.collection.find_one({"$nonsense": 1}, session=session)
            assert session.operation_time == (caught.value.details or {})["operationTime"]


async def test_4_a_read_is_after_the_find_one_before_it(replica_set: ReplicaSet) -> None:
    """Causal consistency, test plan 4."""
    async with watched(replica_set) as (client, log):
        place = await make_place(client)
        for call in READS:
            async with client.start_session(causal_consistency=True) as session:
                await place.collection.find_one({}, session=session)
                known = session.operation_time
                assert isinstance(known, Timestamp)
                log.clear()
                await call.run(place, {"session": session})
                assert log.sent()[0]["readConcern"]["afterClusterTime"] == known, call.name
                assert all("readConcern" not in command for command in log.sent("getMore")), call.name


async def test_5_a_find_one_is_after_the_write_before_it(replica_set: ReplicaSet) -> None:
    """Causal consistency, test plan 5, also when the write failed."""
    async with watched(replica_set) as (client, log):
        place = await make_place(client)
        for call in WRITES:
            async with client.start_session(causal_consistency=True) as session:
                await call.run(place, {"session": session})
                known = session.operation_time
                assert isinstance(known, Timestamp)
                log.clear()
                await place.collection.find_one({}, session=session)
                assert log.sent("find")[0]["readConcern"] == {"afterClusterTime": known}, call.name
        async with client.start_session(causal_consistency=True) as session:
            with pytest.raises(DriverError):
                await place.collection.insert_one({"_id": 0}, session=session)  # it already exists
            known = session.operation_time
            assert isinstance(known, Timestamp)
            log.clear()
            await place.collection.find_one({}, session=session)
            assert log.sent("find")[0]["readConcern"] == {"afterClusterTime": known}


async def test_a_write_is_after_the_operation_before_it(replica_set: ReplicaSet) -> None:
    """Causal consistency: since 2026-05-04 writes of a causally consistent session carry afterClusterTime too."""
    async with watched(replica_set) as (client, log):
        place = await make_place(client)
        for call in WRITES:
            async with client.start_session() as session:
                await place.collection.find_one({}, session=session)
                known = session.operation_time
                log.clear()
                await call.run(place, {"session": session})
                assert log.sent()[0]["readConcern"] == {"afterClusterTime": known}, call.name


async def test_6_without_causal_consistency_no_after_cluster_time(replica_set: ReplicaSet) -> None:
    """Causal consistency, test plan 6."""
    async with watched(replica_set) as (client, log):
        place = await make_place(client)
        async with client.start_session(causal_consistency=False) as session:
            await place.collection.find_one({}, session=session)
            assert session.operation_time is not None
            log.clear()
            for call in (*READS, *WRITES):
                await call.run(place, {"session": session})
            assert all("afterClusterTime" not in command.get("readConcern", {}) for command in log.sent())


async def test_7_without_cluster_times_no_after_cluster_time(standalone: Standalone) -> None:
    """Causal consistency, test plan 7."""
    async with watched(standalone) as (client, log):
        place = await make_place(client)
        async with client.start_session(causal_consistency=True) as session:
            log.clear()
            for call in READS:
                await call.run(place, {"session": session})
            assert session.operation_time is None
            assert all("afterClusterTime" not in command.get("readConcern", {}) for command in log.sent())


async def test_8_the_default_read_concern_sends_no_level(replica_set: ReplicaSet) -> None:
    """Causal consistency, test plan 8."""
    async with watched(replica_set) as (client, log):
        place = await make_place(client)
        for call in READS:
            async with client.start_session(causal_consistency=True) as session:
                await place.collection.find_one({}, session=session)
                known = session.operation_time
                log.clear()
                await call.run(place, {"session": session})
                assert log.sent()[0]["readConcern"] == {"afterClusterTime": known}, call.name


async def test_9_a_custom_read_concern_is_merged(replica_set: ReplicaSet) -> None:
    """Causal consistency, test plan 9."""
    async with watched(replica_set) as (client, log):
        place = (await make_place(client)).with_concern(wiredrv.ReadConcern("majority"))
        for call in READS:
            async with client.start_session(causal_consistency=True) as session:
                await place.collection.find_one({}, session=session)
                known = session.operation_time
                log.clear()
                await call.run(place, {"session": session})
                expected = {"level": "majority", "afterClusterTime": known}
                assert log.sent()[0]["readConcern"] == expected, call.name


async def test_11_without_cluster_times_none_is_sent(standalone: Standalone) -> None:
    """Causal consistency, test plan 11."""
    async with watched(standalone) as (client, log):
        collection = await fresh_collection(client, "prose", 1)
        log.clear()
        await collection.find_one({})
        assert "$clusterTime" not in log.sent("find")[0]


async def test_12_with_cluster_times_one_is_sent(replica_set: ReplicaSet) -> None:
    """Causal consistency, test plan 12."""
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, "prose", 1)
        log.clear()
        await collection.find_one({})
        assert "$clusterTime" in log.sent("find")[0]


async def test_a_secondary_shows_what_the_session_wrote(replica_set: ReplicaSet) -> None:
    """Causal consistency, its purpose: read your own writes, on any member."""
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, "prose")
        written = collection.with_options(write_concern=wiredrv.WriteConcern(w=1))
        read = collection.with_options(read_preference=wiredrv.ReadPreference.SECONDARY)
        async with client.start_session() as session:
            for number in range(10):
                await written.insert_one({"_id": number}, session=session)
                assert await read.find_one({"_id": number}, session=session) == {"_id": number}


async def test_times_are_handed_from_session_to_session(replica_set: ReplicaSet) -> None:
    """Causal consistency, "advanceOperationTime" and sessions, "advanceClusterTime": only forwards, and checked."""
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, "prose")
        async with client.start_session() as one, client.start_session() as other:
            await collection.insert_one({"_id": 0}, session=one)
            assert one.cluster_time is not None
            assert one.operation_time is not None
            other.advance_cluster_time(one.cluster_time)
            other.advance_operation_time(one.operation_time)
            other.advance_operation_time(Timestamp(1, 1))
            assert other.cluster_time == one.cluster_time
            assert other.operation_time == one.operation_time
            log.clear()
            assert await collection.find_one({"_id": 0}, session=other) == {"_id": 0}
            assert log.sent("find")[0]["readConcern"] == {"afterClusterTime": one.operation_time}
            with pytest.raises(DriverError, match="must be a document"):
                other.advance_cluster_time({"clusterTime": 1})
            with pytest.raises(DriverError, match="must be a bson Timestamp"):
                other.advance_operation_time(1)  # type: ignore[arg-type]
