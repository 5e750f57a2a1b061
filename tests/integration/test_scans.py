"""Scans on the replica set: every document once, whatever its ``_id`` is and whatever fails; and nothing is left."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import Counter
from typing import Any
from unittest import mock

import anyio
import anyio.lowlevel
import bson
import pytest
from bson.codec_options import CodecOptions
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from hypothesis import given, settings
from hypothesis import strategies as st

import wiredrv
from tests.support.commands import APP_NAME, CommandLog, fresh_collection, primary_of, sessions_back, watched
from tests.support.failpoints import fail_command
from tests.support.leaks import LeakWatch
from tests.support.scans import IDS, many_ranges
from tests.support.waiting import until
from wiredrv import ReadPreference, _introspect
from wiredrv.client.snapshots import ranges
from wiredrv.client.snapshots.snapshot import Snapshot
from wiredrv.errors import ConfigurationError, InvalidOperation, OperationFailure, OperationTimeout, UnreadableReply
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

NAME = "scanned"
#: What tells documents apart, also those that are equal to Python: NaN is not, and True equals 1.
RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)


async def scanned(snap: Snapshot, collection: wiredrv.Collection[Any], *arguments: Any, **options: Any) -> list[Any]:
    """All documents of a scan."""
    return [document async for batch in snap.scan(collection, *arguments, **options) for document in batch]


async def ids_in_order(collection: wiredrv.Collection[Any]) -> list[bytes]:
    """The documents in the order of their index, as bytes."""
    raw = collection.with_options(codec_options=RAW)
    return [bytes(document.raw) for document in await raw.find({}, hint={"_id": 1}).to_list()]


async def test_every_type_of_id_in_every_number_of_ranges(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, NAME)
        await collection.insert_many([{"_id": value, "n": number} for number, value in enumerate(IDS)])
        expected = await ids_in_order(collection)
        assert len(expected) == len(IDS)
        raw = collection.with_options(codec_options=RAW)
        with many_ranges():
            async with client.snapshot() as snap:
                for readers in (1, 2, 3, 4, 5, 64):
                    log.clear()
                    found = [bytes(found.raw) for found in await scanned(snap, raw, readers=readers, ordered=True)]
                    assert found == expected
                    assert log.names.count("find") >= min(readers, len(IDS))
                    found = [bytes(found.raw) for found in await scanned(snap, raw, readers=readers, batch_size=2)]
                    assert Counter(found) == Counter(expected)


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=False)
def test_any_ids_in_any_ranges_with_any_collation(replica_set: ReplicaSet, anyio_backend: str) -> None:
    """Each example is a collection of its own, read in order by several readers, some of which fail now and then."""
    identifiers = st.one_of(
        st.sampled_from(IDS),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4),
        st.binary(max_size=4),
        st.datetimes(),
        st.dictionaries(st.sampled_from("abAé"), st.sampled_from([*IDS, [1], ["x", None]]), max_size=2),
    )
    collations = st.sampled_from([None, {"locale": "fr", "strength": 1}, {"locale": "en", "numericOrdering": True}])
    made = st.tuples(
        st.lists(identifiers, max_size=30), collations, st.integers(1, 6), st.integers(1, 3), st.booleans()
    )

    async def check(
        client: wiredrv.Client, values: list[Any], collation: Any, readers: int, size: int, fails: bool
    ) -> None:
        database = client["wiredrv_scans"]
        await database.drop_collection(NAME)
        collection = await database.create_collection(NAME, collation=collation)
        for value in values:  # equal ones are refused
            try:
                await collection.insert_one({"_id": value})
            except (OperationFailure, bson.errors.InvalidDocument, OverflowError):
                pass
        expected = await ids_in_order(collection)
        raw = collection.with_options(codec_options=RAW)
        data = {"errorCode": 6, "closeConnection": False}
        async with client.snapshot() as snap:
            if not fails:
                found = await scanned(snap, raw, readers=readers, ordered=True, batch_size=size)
            else:
                async with fail_command(primary_of(client), "getMore", times=2, app_name=APP_NAME, data=data):
                    found = await scanned(snap, raw, readers=readers, ordered=True, batch_size=size)
        assert [bytes(document.raw) for document in found] == expected

    async def run_all() -> None:
        async with watched(replica_set) as (client, _):
            await client.admin.command("ping")
            portal_loop = asyncio.get_running_loop()

            @settings(max_examples=25, derandomize=True)
            @given(made)
            def each(example: tuple[list[Any], Any, int, int, bool]) -> None:
                asyncio.run_coroutine_threadsafe(check(client, *example), portal_loop).result(60)

            with many_ranges():
                await asyncio.to_thread(each)

    asyncio.run(run_all())


async def test_collations_order_ranges_as_their_index(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        database = client["wiredrv_scans"]
        await database.drop_collection("collated")
        collection = await database.create_collection("collated", collation={"locale": "fr", "strength": 1})
        words = ["a", "B", "c", "é", "D", "z", "Zz", "10", "9", {"k": "B"}, {"k": "a"}, {"k": "C"}, 5]
        await collection.insert_many([{"_id": word} for word in words])
        expected = [document["_id"] for document in await collection.find({}, hint={"_id": 1}).to_list()]
        assert expected != sorted(words, key=str)
        with many_ranges():
            async with client.snapshot() as snap:
                found = await scanned(snap, collection, readers=4, ordered=True, batch_size=2)
        assert [document["_id"] for document in found] == expected


async def test_a_sampled_collection_is_read_once_by_all_members(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, "sampled")
        documents = 24_000  # more than those whose ids are all read
        for start in range(0, documents, 6000):
            await collection.insert_many([{"_id": number} for number in range(start, start + 6000)])
        log.clear()
        async with client.snapshot() as snap:
            scan = snap.scan(collection, readers=4, read_preference=ReadPreference.NEAREST, ordered=True)
            assert (scan.progress.ranges, scan.progress.estimated_total) == (0, None)
            found = [document["_id"] for document in await scan.next()]
            await collection.delete_many({"_id": {"$gte": 100}})
            found += [document["_id"] async for batch in scan for document in batch]
            assert found == list(range(documents))
            progress = scan.progress
            assert progress.documents == documents
            assert progress.ranges == progress.ranges_done > 8
            assert progress.bytes == documents * len(bson.encode({"_id": 1}))
            # The servers' estimate is that of now.
            again = snap.scan(collection, readers=2)
            assert sum([len(batch) async for batch in again]) == documents
            assert again.progress.estimated_total == 100
            assert again.progress.ranges == 2
        servers = {event.address for event in log.started_events if event.command_name == "find"}
        assert len(servers) > 1
        assert {command["readConcern"]["atClusterTime"] for command in log.sent("find")} == {snap.time}
        assert log.names[log.names.index("aggregate") + 1] == "find"  # All of the sample is in the first reply.
        samples = [command["pipeline"][0]["$sample"] for command in log.sent("aggregate")]
        # A secondary may still count fewer documents than there are.
        assert 0 < samples[0]["size"] <= 1199
        assert samples[1] == {"size": 128}
        await collection.drop()


async def test_filters_and_projections(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, NAME)
        await collection.insert_many([{"_id": value, "n": number} for number, value in enumerate(IDS)])
        with many_ranges():
            async with client.snapshot() as snap:
                odd = {"n": {"$mod": [2, 1]}}
                found = await scanned(snap, collection, odd, {"_id": 0, "n": 1}, readers=5, ordered=True, batch_size=2)
                assert found == [{"n": number} for number in range(len(IDS)) if number % 2]
                found = await scanned(snap, collection, {"_id": {"$gte": 0}}, ["n"], readers=3)
                assert Counter(document["n"] for document in found) == Counter(
                    [document["n"] for document in await collection.find({"_id": {"$gte": 0}}).to_list()]
                )
                raw = collection.with_options(codec_options=RAW)
                hidden = await scanned(snap, raw, None, {"_id": 0}, readers=3)
                assert {"_id" in document for document in hidden} == {False}


@pytest.mark.parametrize("code", [6, 43, 237, 11602, 246])
async def test_a_range_is_continued_after_a_failure(replica_set: ReplicaSet, code: int) -> None:
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, NAME)
        await collection.insert_many([{"_id": value, "n": number} for number, value in enumerate(IDS)])
        data = {"closeConnection": True} if code == 6 else {"errorCode": code}
        with many_ranges():
            async with client.snapshot() as snap:
                at = primary_of(client)
                async with fail_command(at, "getMore", times=3, app_name=APP_NAME, data=data):
                    found = await scanned(snap, collection, readers=2, ordered=True, batch_size=2)
        assert [document["n"] for document in found] == list(range(len(IDS)))
        assert log.names.count("getMore") > 3


@pytest.mark.parametrize("command", ["listCollections", "count", "find", "aggregate"])
async def test_what_is_asked_before_a_scan_is_asked_again_after_a_failure(
    replica_set: ReplicaSet, command: str
) -> None:
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, NAME, documents=100)
        few = 10 if command == "aggregate" else ranges.FEW_DOCUMENTS  # a sample then
        with many_ranges(), mock.patch.object(ranges, "FEW_DOCUMENTS", few):
            async with client.snapshot() as snap:
                data = {"errorCode": 11602}
                async with fail_command(primary_of(client), command, times=4, app_name=APP_NAME, data=data):
                    found = await scanned(snap, collection, readers=2)
        assert sorted(document["_id"] for document in found) == list(range(100))
        assert log.names.count(command) > 4


async def test_a_failure_that_does_not_end_is_raised(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, NAME, documents=50)
        async with client.snapshot() as snap:
            scan = snap.scan(collection, readers=2, batch_size=2)
            data = {"errorCode": 13}
            async with fail_command(primary_of(client), "getMore", times=5, app_name=APP_NAME, data=data):
                with pytest.raises(OperationFailure, match="failpoint"):
                    async for _ in scan:
                        pass
            with pytest.raises(InvalidOperation, match="was closed"):
                await scan.next()


@pytest.mark.parametrize("noticed", [False, True])
async def test_a_member_is_lost_while_it_is_read(disturbed_replica_set: ReplicaSet, noticed: bool) -> None:
    """``noticed``: the client's monitor knows of it before the next getMore is sent."""
    deployment = disturbed_replica_set
    async with watched(deployment, serverSelectionTimeoutMS=20_000) as (client, log):
        collection = await fresh_collection(client, "lost")
        documents = 3000
        await collection.insert_many([{"_id": number, "text": "x" * 200} for number in range(documents)])
        with many_ranges():
            async with client.snapshot() as snap:
                found: list[int] = []
                scan = snap.scan(collection, readers=3, batch_size=50, read_preference=ReadPreference.PRIMARY_PREFERRED)
                lost = primary_of(client)
                async for batch in scan:
                    if not found:
                        await anyio.to_thread.run_sync(deployment.primary().kill)
                        if noticed:
                            await until(lambda: not _is_known(client, lost), "the monitor has noticed")
                    found += [document["_id"] for document in batch]
        assert sorted(found) == list(range(documents))
        assert len({event.address for event in log.started_events if event.command_name == "find"}) > 1
    await anyio.to_thread.run_sync(deployment.heal)


def _is_known(client: wiredrv.Client, address: wiredrv.Address) -> bool:
    return client.topology_description.servers[address].is_data_bearing


async def test_views_and_other_kinds_of_collections(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        database = client["wiredrv_kinds"]
        await client.drop_database(database)
        await database["base"].insert_many([{"_id": number, "n": number} for number in range(500)])
        view = await database.create_collection("view", viewOn="base", pipeline=[{"$match": {"n": {"$lt": 300}}}])
        series = await database.create_collection("series", timeseries={"timeField": "t"})
        clustered = await database.create_collection("clustered", clusteredIndex={"key": {"_id": 1}, "unique": True})
        capped = await database.create_collection("capped", capped=True, size=10_000)
        await series.insert_many([{"t": DatetimeMS(number), "n": number} for number in range(300)])
        await clustered.insert_many([{"_id": value, "n": number} for number, value in enumerate(IDS)])
        await capped.insert_one({})
        with many_ranges():
            async with client.snapshot() as snap:
                for collection, words in ((view, "view"), (series, "time series")):
                    scan = snap.scan(collection, {}, {"n": 1, "_id": 0}, readers=4)
                    assert sorted([d["n"] async for batch in scan for d in batch]) == list(range(300))
                    assert words in str(scan.one_reader)
                    assert scan.progress.ranges == 1
                    with pytest.raises(ConfigurationError, match="ordered=True is not possible"):
                        await scanned(snap, collection, ordered=True)
                log.clear()
                data = {"errorCode": 6}
                async with fail_command(primary_of(client), "getMore", times=3, app_name=APP_NAME, data=data):
                    found = await scanned(snap, clustered, readers=4, ordered=True, batch_size=5)
                assert [document["n"] for document in found] == list(range(len(IDS)))
                assert log.names.count("find") == 4
                with pytest.raises(InvalidOperation, match="capped collection"):
                    await scanned(snap, capped)
                assert await scanned(snap, database["absent"], readers=4) == []
                # A view cannot be continued: another member may give its documents in another order.
                async with fail_command(primary_of(client), "getMore", app_name=APP_NAME, data=data):
                    with pytest.raises(OperationFailure, match="failpoint"):
                        await scanned(snap, view, batch_size=5)
        await client.drop_database(database)


@pytest.mark.parametrize("readers", [1, 3])
@pytest.mark.parametrize("change", ["drop", "rename", "replace"])
async def test_a_collection_that_is_dropped_while_it_is_read_is_an_error(
    replica_set: ReplicaSet, change: str, readers: int
) -> None:
    """Servers find nothing in it then, at its snapshot too, and report no failure."""
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, NAME, documents=3000)
        name = collection.full_name
        async with client.snapshot() as snap:
            scan = snap.scan(collection, readers=readers, batch_size=50)
            assert await scan.next()
            if change == "rename":
                await client.admin.command({"renameCollection": name, "to": name + "_away", "dropTarget": True})
            else:
                await collection.drop()
            if change == "replace":
                await collection.insert_one({"_id": 1})
            with pytest.raises((InvalidOperation, OperationFailure)) as raised:
                async for _ in scan:
                    pass
            # What takes the name is younger than the snapshot, which the server refuses where it sees it.
            refused = isinstance(raised.value, OperationFailure) and raised.value.code == 246
            assert "was dropped, renamed or replaced" in str(raised.value) or (change == "replace" and refused)
            with pytest.raises(InvalidOperation, match="was closed"):
                await scan.next()


async def test_bindings_and_time_limits_around_a_scan_are_not_its_own(replica_set: ReplicaSet) -> None:
    async with watched(replica_set, timeoutMS=20_000) as (client, log):
        collection = await fresh_collection(client, NAME, documents=500)
        async with client.snapshot() as snap, snap.bind() as session:
            log.clear()
            assert len(await scanned(snap, collection, readers=3, batch_size=20)) == 500
            assert session.session_id["id"] not in log.lsids()
            async with fail_command(primary_of(client), "getMore", times=9, block_ms=300, app_name=APP_NAME):
                with wiredrv.timeout(0.1), pytest.raises(OperationTimeout, match="did not come within"):
                    await scanned(snap, collection, readers=1, batch_size=2)


async def test_a_document_that_cannot_be_decoded_comes_after_those_before_it(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, NAME, documents=3)
        await collection.insert_one({"_id": 3, "when": DatetimeMS(2**62)})
        async with client.snapshot() as snap:
            scan = snap.scan(collection)
            assert await scan.next() == [{"_id": 0}, {"_id": 1}, {"_id": 2}]
            with pytest.raises(UnreadableReply, match="a document with the _id 3 of"):
                await scan.next()


# --- the end --------------------------------------------------------------------------------------------------------


async def large(client: wiredrv.Client) -> wiredrv.Collection:
    """A collection of which each reader has a batch, and more to read."""
    collection = await fresh_collection(client, "large")
    await collection.insert_many([{"_id": number, "text": "x" * 1000} for number in range(4000)])
    return collection


async def test_nothing_is_left_however_a_scan_ends(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        collection = await large(client)
        watch = LeakWatch(replica_set, client, "wiredrv_sessions")
        async with client.snapshot() as snap:
            assert len(await scanned(snap, collection)) == 4000
        await watch.remember()
        async with client.snapshot() as snap:
            async for _ in snap.scan(collection, readers=4, batch_size=10):
                break
            gc.collect()
            await watch.check("after a break, in the block")
            scan = snap.scan(collection, readers=4, batch_size=10)
            await scan.next()
            assert _introspect.checked_out(client) >= 0
        await watch.check("after the block")
        with pytest.raises(InvalidOperation, match="was closed"):
            await scan.next()

        async def fail() -> None:
            async with client.snapshot() as snap:
                async for _ in snap.scan(collection, readers=4, batch_size=10):
                    raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        await watch.check("after an exception")
        async with client.snapshot() as snap:
            async with snap.scan(collection, readers=4, batch_size=10) as scan:
                await scan.next()
            await watch.check("after the scan's own block")
            await scan.close()
            async with snap.scan(collection) as scan:
                pass  # nothing was sent


async def test_nothing_is_left_after_a_cancellation_anywhere(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        collection = await large(client)
        async with client.snapshot() as snap:
            assert len(await scanned(snap, collection)) == 4000
        watch = LeakWatch(replica_set, client, "wiredrv_sessions")
        await watch.remember()
        for milliseconds in range(0, 60, 3):
            with anyio.move_on_after(milliseconds / 1000):
                async with client.snapshot() as snap:
                    async for _ in snap.scan(collection, readers=4, batch_size=50):
                        await anyio.lowlevel.checkpoint()
        await watch.check("after the cancellations")


async def test_another_task_closes_a_scan_and_the_client_closes_all(replica_set: ReplicaSet) -> None:
    outcome: list[str] = []

    async with watched(replica_set) as (client, _):
        collection = await large(client)
        async with client.snapshot() as snap:
            scan = snap.scan(collection, readers=1, batch_size=10)
            await scan.next()

            async def read() -> None:
                try:
                    async for _ in scan:
                        pass
                except InvalidOperation as error:
                    outcome.append(str(error))

            slow = fail_command(primary_of(client), "getMore", times=50, block_ms=200, app_name=APP_NAME)
            async with slow, anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                await anyio.sleep(0.05)
                with pytest.raises(InvalidOperation, match="by one task at a time"):
                    await scan.next()
                await scan.close()
            assert "was closed" in outcome.pop()
            last = snap.scan(collection, readers=4, batch_size=10)
            await last.next()
            await client.close()
            with pytest.raises(InvalidOperation, match="was closed"):
                await last.next()


async def test_readers_wait_for_a_slow_consumer(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        collection = await large(client)
        with many_ranges():
            async with client.snapshot() as snap:
                scan = snap.scan(collection, readers=3, batch_size=10)
                await scan.next()
                await until(lambda: _introspect.checked_out(client) == 0, "the readers wait")
                await anyio.sleep(0.1)
                sent = _reads(log)
                await anyio.sleep(0.2)
                assert _reads(log) == sent
                assert sent <= 3 * 3 + 3
                await scan.next()
                await until(lambda: _reads(log) > sent, "one goes on")


def _reads(log: CommandLog) -> int:
    return log.names.count("find") + log.names.count("getMore")


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="objects are collected at once by CPython alone")
async def test_a_scan_that_is_dropped_stops_its_readers(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        collection = await large(client)
        async with client.snapshot() as snap:
            scan = snap.scan(collection, readers=4, batch_size=10)
            await scan.next()
            del scan
            await until(lambda: "killCursors" in log.names, "the cursors are killed")
            await sessions_back(client)
