"""The prose tests of the sessions specification (sessions/tests/README.md), by number.

Not here: 7, 16 and 17 (a client of this driver always authenticates as one user); 15 was removed from the
specification. 10 is part of every test in these files: see ``tests.support.commands.watched``.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest
from bson.timestamp import Timestamp

import wiredrv
from tests.support.commands import counting, fresh_collection, lsid_of, primary_of, watched
from tests.support.fake_server import FakeServer, without_sessions
from tests.support.proxy import RecordingProxy
from tests.support.session_calls import CALLS, make_place
from tests.support.waiting import until
from wiredrv import events
from wiredrv.errors import ConfigurationError, DriverError, InvalidOperation
from wiredrv.local import ReplicaSet, Standalone

pytestmark = pytest.mark.anyio


async def test_1_snapshot_and_causal_consistency_exclude_each_other(replica_set: ReplicaSet) -> None:
    """Sessions, prose test 1."""
    async with watched(replica_set) as (client, _):
        with pytest.raises(ConfigurationError, match="exclude each other"):
            client.start_session(snapshot=True, causal_consistency=True)


async def test_2_the_pool_hands_out_what_came_back_last(replica_set: ReplicaSet) -> None:
    """Sessions, prose test 2."""
    async with watched(replica_set) as (client, _):
        a, b = client.start_session(), client.start_session()
        ids = a.session_id, b.session_id
        assert ids[0] != ids[1]
        await a.end_session()
        await b.end_session()
        async with client.start_session() as third, client.start_session() as fourth:
            assert third.session_id == ids[1]
            assert fourth.session_id == ids[0]


@pytest.mark.parametrize(
    "name, call",
    [
        ("ping", lambda place: place.client.admin.command("ping")),
        ("aggregate", lambda place: place.collection.aggregate([{"$limit": 1}]).to_list()),
        ("find", lambda place: place.collection.find({}, limit=1).to_list()),
        ("insert", lambda place: place.scratch.insert_one({"a": 1})),
    ],
)
async def test_3_the_cluster_time_of_a_reply_goes_on_the_next_command(
    replica_set: ReplicaSet, name: str, call: Callable[[Any], Any]
) -> None:
    """Sessions, prose test 3."""
    async with watched(replica_set) as (client, log):
        place = await make_place(client)
        log.clear()
        await call(place)
        assert "$clusterTime" in log.sent(name)[0]
        received = log.succeeded_events[-1].reply["$clusterTime"]
        await call(place)
        assert log.sent(name)[1]["$clusterTime"] == received


def test_the_calls_cover_every_method_that_takes_a_session() -> None:
    named = {call.name for call in CALLS}
    missing = {
        f"{kind.__name__}.{name}"
        for kind, prefix in (
            (wiredrv.Client, ""),
            (wiredrv.Database, ""),
            (wiredrv.Collection, ""),
            (wiredrv.GridFSBucket, "bucket."),
        )
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_") and "session" in inspect.signature(method).parameters
        if f"{prefix}{name}" not in named
    }
    # The specification's names for two calls that are in the table.
    assert missing == {"Database.run_command", "Database.run_cursor_command"} - named


async def test_4_every_method_sends_the_session_it_is_given_or_one_of_the_pool(replica_set: ReplicaSet) -> None:
    """Sessions, prose test 4."""
    async with watched(replica_set) as (client, log):
        place = await make_place(client)
        async with client.start_session() as session:
            explicit = bytes(session.session_id["id"])
            for call in CALLS:
                log.clear()
                await call.run(place, {"session": session})
                assert log.names[0] == call.first, call.name
                assert set(log.lsids()) == {explicit}, call.name
                log.clear()
                await call.run(place, {})
                assert log.names[0] == call.first, call.name
                assert {explicit, None}.isdisjoint(log.lsids()), call.name


@pytest.mark.filterwarnings("ignore:an aggregate with")  # it was refused, so it was not sent
async def test_5_every_method_refuses_another_clients_session(replica_set: ReplicaSet) -> None:
    """Sessions, prose test 5."""
    async with watched(replica_set) as (client, log), watched(replica_set) as (other, _):
        place = await make_place(client)
        async with other.start_session() as session:
            log.clear()
            for call in CALLS:
                with pytest.raises(InvalidOperation, match="only be used with the client that started it"):
                    await call.run(place, {"session": session})
            assert log.names == []


@pytest.mark.filterwarnings("ignore:an aggregate with")  # it was refused, so it was not sent
async def test_6_every_method_refuses_an_ended_session(replica_set: ReplicaSet) -> None:
    """Sessions, prose test 6, with end_session and with the block that calls it."""
    async with watched(replica_set) as (client, log):
        place = await make_place(client)
        by_hand = client.start_session()
        await by_hand.end_session()
        async with client.start_session() as by_block:
            pass
        log.clear()
        for session in (by_hand, by_block):
            assert session.has_ended
            for call in CALLS:
                with pytest.raises(InvalidOperation, match="Cannot use ended session"):
                    await call.run(place, {"session": session})
        assert log.names == []


async def test_8_a_cursor_that_is_exhausted_at_once_gives_its_session_back(replica_set: ReplicaSet) -> None:
    """Sessions, prose test 8."""
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, "prose", 2)
        pool = counting(client)
        log.clear()
        cursor = collection.find({})
        await cursor.next()
        assert pool.out == 0
        await collection.find_one({})
        assert len(set(log.lsids())) == 1
        await cursor.close()


async def test_9_a_cursor_that_is_exhausted_by_a_get_more_gives_its_session_back(replica_set: ReplicaSet) -> None:
    """Sessions, prose test 9."""
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, "prose", 5)
        pool = counting(client)
        log.clear()
        cursor = collection.find({}, batch_size=3)
        for _ in range(3):
            await cursor.next()
        assert pool.out == 1
        await cursor.next()
        assert log.names == ["find", "getMore"]
        assert pool.out == 0
        assert await cursor.to_list() == [{"_id": 4}]


async def test_10_no_session_stays_out_after_every_method_was_used(replica_set: ReplicaSet) -> None:
    """Sessions, prose test 10: as at the end of every other test here, also after calls that failed."""
    async with watched(replica_set) as (client, _):
        place = await make_place(client)
        pool = counting(client)
        for call in CALLS:
            await call.run(place, {})
            assert pool.out == 0, call.name
        cursor = place.collection.find({}, batch_size=2)
        await cursor.next()
        assert pool.out == 1
        await cursor.close()
        with pytest.raises(DriverError):
            await place.collection.find_one({"$nonsense": 1})
        assert pool.out == 0


@pytest.mark.parametrize("mode", ["primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest"])
async def test_11_find_and_get_more_send_the_same_session(replica_set: ReplicaSet, mode: str) -> None:
    """Sessions, prose test 11, on the replica set."""
    async with watched(replica_set, readPreference=mode) as (client, log):
        collection = await fresh_collection(client, "prose")
        majority = collection.with_options(write_concern=wiredrv.WriteConcern(w=3))
        await majority.insert_many([{"_id": number} for number in range(3)])
        log.clear()
        await collection.find({}, batch_size=2).to_list()
        assert log.names == ["find", "getMore"]
        first, second = log.lsids()
        assert first is not None
        assert first == second


async def test_11_find_and_get_more_send_the_same_session_on_a_standalone(standalone: Standalone) -> None:
    """Sessions, prose test 11, on a standalone."""
    async with watched(standalone) as (client, log):
        collection = await fresh_collection(client, "prose", 3)
        log.clear()
        await collection.find({}, batch_size=2).to_list()
        assert log.names == ["find", "getMore"]
        assert log.lsids()[0] is not None
        assert len(set(log.lsids())) == 1


def _in_child(check: Callable[[], bool]) -> bool:
    """Whether ``check`` holds in a forked process, which runs nothing else."""
    child = os.fork()
    if child == 0:  # pragma: no cover
        status = 1
        try:
            status = 0 if check() else 1
        finally:
            os._exit(status)
    _, result = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(result) == 0


def _run_without_a_loop(coroutine: Any) -> None:
    """Run a coroutine that never waits: after a fork, the parent's event loop is unusable."""
    with pytest.raises(StopIteration):
        coroutine.send(None)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
async def test_12_a_child_process_takes_nothing_from_the_pool_of_its_parent(replica_set: ReplicaSet) -> None:
    """Sessions, prose test 12."""
    async with watched(replica_set) as (client, _):
        await client.admin.command("ping")
        async with client.start_session() as session:
            used = session.session_id
        assert _in_child(lambda: client.start_session().session_id != used)
        async with client.start_session() as session:
            assert session.session_id == used


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
async def test_13_a_child_process_gives_nothing_back_to_the_pool(replica_set: ReplicaSet) -> None:
    """Sessions, prose test 13."""
    async with watched(replica_set) as (client, _):
        await client.admin.command("ping")
        session = client.start_session()
        used = session.session_id

        def child_gets_another() -> bool:
            _run_without_a_loop(session.end_session())
            return client.start_session().session_id != used

        assert _in_child(child_gets_another)
        await session.end_session()
        async with client.start_session() as again:
            assert again.session_id == used


async def test_14_implicit_sessions_are_taken_after_the_checkout(replica_set: ReplicaSet) -> None:
    """Sessions, prose test 14."""
    async with watched(replica_set, maxPoolSize=1, retryWrites=True) as (client, log):
        collection = await fresh_collection(client, "prose", 3)
        operations: tuple[Callable[[], Any], ...] = (
            lambda: collection.insert_one({}),
            lambda: collection.delete_one({}),
            lambda: collection.update_one({}, {"$set": {"a": 1}}),
            lambda: collection.bulk_write([wiredrv.UpdateOne({}, {"$set": {"a": 1}})]),
            lambda: collection.find_one_and_delete({}),
            lambda: collection.find_one_and_update({}, {"$set": {"a": 1}}),
            lambda: collection.find_one_and_replace({}, {"a": 1}),
            lambda: collection.find({}).to_list(),
        )
        used = []
        for _ in range(5):
            log.clear()
            async with anyio.create_task_group() as group:
                for operation in operations:
                    group.start_soon(operation)
            assert len(log.names) == len(operations)
            used.append(len(set(log.lsids())))
        assert min(used) == 1
        assert max(used) < len(operations)


async def test_18_no_implicit_session_without_support_for_sessions() -> None:
    """Sessions, prose test 18; a fake stands in for a server without sessions."""
    with FakeServer(without_sessions()) as server:
        assert "logicalSessionTimeoutMinutes" not in server.hello
        async with watched(server.uri) as (client, log):
            collection = client.test.test
            await collection.find_one({})
            await collection.insert_one({})
            assert log.names == ["find", "insert"]
            assert log.lsids() == [None, None]
        assert all("lsid" not in command for command in server.commands)


async def test_19_an_explicit_session_is_refused_without_support_for_sessions() -> None:
    """Sessions, prose test 19; a fake stands in for a server without sessions."""
    with FakeServer(without_sessions()) as server:
        async with watched(server.uri) as (client, log), client.start_session() as session:
            collection = client.test.test
            with pytest.raises(ConfigurationError, match="Sessions are not supported"):
                await collection.find_one({}, session=session)
            with pytest.raises(ConfigurationError, match="Sessions are not supported"):
                await collection.insert_one({}, session=session)
            assert log.names == []


class _Heartbeats(events.ServerHeartbeatListener):
    def __init__(self) -> None:
        self.finished = 0

    def succeeded(self, event: events.ServerHeartbeatSucceededEvent) -> None:
        self.finished += 1


async def test_20_monitors_take_no_part_in_the_gossip(replica_set: ReplicaSet) -> None:
    """Sessions, prose test 20; the shortest interval between heartbeats that can be configured is 500 ms."""
    heartbeats = _Heartbeats()
    primary = await anyio.to_thread.run_sync(replica_set.primary)
    with RecordingProxy(primary.address) as proxy:
        uri = f"mongodb://{proxy.address}/?directConnection=true&heartbeatFrequencyMS=500&serverMonitoringMode=poll"
        async with watched(uri, heartbeats) as (c1, log), watched(replica_set) as (c2, _):
            reply = await c1.admin.command("ping")
            collection = await fresh_collection(c2, "prose")
            await collection.insert_one({"advance": "$clusterTime"})
            seen = heartbeats.finished
            # One may have been under way before the insert.
            await until(lambda: heartbeats.finished >= seen + 2, "two heartbeats after the insert")
            await c1.admin.command("ping")
            assert log.sent("ping")[1]["$clusterTime"] == reply["$clusterTime"]
        hellos = [command for command in proxy.sent if next(iter(command)).lower() in ("hello", "ismaster")]
        assert len(hellos) >= 3
        assert all("$clusterTime" not in hello for hello in hellos)


async def test_21_a_snapshot_time_needs_a_snapshot_session(replica_set: ReplicaSet) -> None:
    """Sessions, prose test 21."""
    async with watched(replica_set) as (client, _):
        with pytest.raises(ConfigurationError, match="snapshot_time needs snapshot=True"):
            client.start_session(snapshot=False, snapshot_time=Timestamp(1, 1))


async def test_22_a_session_without_a_snapshot_has_no_snapshot_time(replica_set: ReplicaSet) -> None:
    """Sessions, prose test 22, in the other form that the snapshot specification allows: unset instead of an error."""
    async with watched(replica_set) as (client, _), client.start_session(snapshot=False) as session:
        collection = await fresh_collection(client, "prose", 1)
        await collection.find_one({}, session=session)
        assert session.snapshot_time is None


async def test_23_the_snapshot_time_cannot_be_set(replica_set: ReplicaSet) -> None:
    """Sessions, prose test 23."""
    async with watched(replica_set) as (client, _), client.start_session(snapshot=False) as session:
        with pytest.raises(AttributeError):
            session.snapshot_time = Timestamp(1, 1)  # type: ignore[misc]
        with pytest.raises(AttributeError):
            session.options.snapshot_time = Timestamp(1, 1)  # type: ignore[misc]
        assert session.snapshot_time is None


async def test_the_pool_is_told_to_the_server_when_the_client_is_closed(replica_set: ReplicaSet) -> None:
    """Sessions, "endSessions": the ids of all pooled sessions are sent once, on close."""
    async with watched(replica_set) as (client, log):
        await client.admin.command("ping")
        sessions = [client.start_session() for _ in range(3)]
        for session in sessions:
            await client.admin.command("ping", session=session)
        ids = {bytes(session.session_id["id"]) for session in sessions}
        for session in sessions:
            await session.end_session()
        assert len(client._core.executor.sessions) >= 3
        log.clear()
    assert log.names == ["endSessions"]
    ended = {bytes(lsid["id"]) for lsid in log.sent("endSessions")[0]["endSessions"]}
    assert ids <= ended
    assert lsid_of(log.sent("endSessions")[0]) not in ended


async def test_an_unacknowledged_write_carries_no_session(replica_set: ReplicaSet) -> None:
    """Sessions, "Unacknowledged writes": no implicit session, and an explicit one is refused."""
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, "prose")
        unacknowledged = collection.with_options(write_concern=wiredrv.WriteConcern(w=0))
        log.clear()
        await unacknowledged.insert_one({})
        assert log.lsids("insert") == [None]
        async with client.start_session() as session:
            with pytest.raises(ConfigurationError, match="unacknowledged"):
                await unacknowledged.insert_one({}, session=session)
        assert log.names == ["insert"]
        assert primary_of(client) == log.started_events[0].address
