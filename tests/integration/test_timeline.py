"""The session timeline of real servers: retries, unknown outcomes, pins, elections, waits, credentials."""

from __future__ import annotations

import functools
from typing import Any

import anyio
import anyio.to_thread
import pytest

import wiredrv
from tests.support.commands import APP_NAME, fresh_collection, primary_of, watched
from tests.support.failpoints import fail_command
from tests.support.secured import with_user
from tests.support.sharded_double import ShardedDouble
from tests.support.waiting import until
from wiredrv import Timeline
from wiredrv.errors import RETRYABLE_WRITE, TRANSIENT_TRANSACTION, UNKNOWN_COMMIT_RESULT, OperationFailure
from wiredrv.local import ReplicaSet
from wiredrv.timeline.records import CommandRecord, SessionMark, TopologyMark, TransactionMark, read_lines

pytestmark = pytest.mark.anyio

NOT_PRIMARY = {"errorCode": 10107, "errorLabels": [RETRYABLE_WRITE]}


def commands(timeline: Timeline, *names: str) -> list[CommandRecord]:
    found = [record for record in timeline.records if isinstance(record, CommandRecord)]
    return [record for record in found if not names or record.name in names]


def of_transactions(timeline: Timeline) -> list[TransactionMark]:
    return [record for record in timeline.records if isinstance(record, TransactionMark)]


def of_sessions(timeline: Timeline) -> list[tuple[str, str | None]]:
    return [(record.event, record.server) for record in timeline.records if isinstance(record, SessionMark)]


def of_topology(timeline: Timeline, event: str) -> list[TopologyMark]:
    return [record for record in timeline.records if isinstance(record, TopologyMark) and record.event == event]


async def test_a_retry_is_the_second_attempt_of_an_operation(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, "timeline")
        data = {"errorCode": 91, "errorLabels": [RETRYABLE_WRITE]}
        with wiredrv.record() as timeline:
            async with fail_command(primary_of(client), "insert", app_name=APP_NAME, data=data):
                await collection.insert_one({})
        first, second = commands(timeline, "insert")
        assert (first.attempt, first.ok, first.retried) == (1, False, True)
        assert (second.attempt, second.ok, second.retried) == (2, True, False)
        assert first.operation == second.operation == first.id
        assert first.error is not None
        assert first.error.code == 91
        assert first.error.labels == (RETRYABLE_WRITE,)
        assert first.replied is not None
        assert first.replied <= second.at
        assert second.operation_time is not None
        assert of_topology(timeline, "pool cleared")


async def test_an_unknown_outcome_is_recorded_and_then_what_became_of_it(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, "timeline")
        data = {"closeConnection": True}
        with wiredrv.record() as timeline:
            async with client.start_session() as session:
                session.start_transaction()
                await collection.insert_one({}, session=session)
                async with fail_command(primary_of(client), "commitTransaction", times=2, app_name=APP_NAME, data=data):
                    with pytest.raises(wiredrv.DriverError) as caught:
                        await session.commit_transaction()
                await session.commit_transaction()
        assert [mark.event for mark in of_transactions(timeline)] == ["begin", "unknown", "committed"]
        commits = commands(timeline, "commitTransaction")
        assert [commit.ok for commit in commits] == [False, False, True]
        assert [commit.retried for commit in commits] == [True, False, False]
        assert commits[1].error is not None
        assert UNKNOWN_COMMIT_RESULT in commits[1].error.labels
        assert len({commit.operation for commit in commits}) == 2
        assert len({commit.transaction for commit in commits}) == 1
        assert isinstance(caught.value.timeline, Timeline)
        assert [record.name for record in commands(caught.value.timeline)] == ["insert", *["commitTransaction"] * 3]


async def test_a_transaction_that_is_tried_again_has_a_block_for_each_attempt(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, "timeline", 1)
        data = {"errorCode": 112, "errorLabels": [TRANSIENT_TRANSACTION]}

        async def work(session: wiredrv.ClientSession) -> None:
            await collection.update_one({"_id": 0}, {"$inc": {"n": 1}}, session=session)

        with wiredrv.record() as timeline:
            async with (
                fail_command(primary_of(client), "update", times=2, app_name=APP_NAME, data=data),
                client.start_session() as session,
            ):
                await session.with_transaction(work)
        events = [(mark.event, mark.attempt) for mark in of_transactions(timeline)]
        attempts = [
            ("begin", 1),
            ("aborted", 1),
            ("retry", 2),
            ("begin", 2),
            ("aborted", 2),
            ("retry", 3),
            ("begin", 3),
        ]
        assert events == [*attempts, ("committed", 3)]
        numbers = [mark.number for mark in of_transactions(timeline) if mark.event == "begin"]
        assert [record.transaction for record in commands(timeline, "update")] == numbers
        times = [record.operation_time for record in commands(timeline) if record.operation_time is not None]
        assert times == sorted(times)


async def test_waits_for_a_connection_and_a_server_are_recorded(replica_set: ReplicaSet) -> None:
    async with watched(replica_set, maxPoolSize=1) as (client, _):
        collection = await fresh_collection(client, "timeline", 1)
        with wiredrv.record() as timeline:
            async with (
                fail_command(primary_of(client), "find", block_ms=150, app_name=APP_NAME),
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(collection.find_one, {})
                await anyio.sleep(0.02)
                tasks.start_soon(functools.partial(collection.update_one, {"_id": 0}, {"$set": {"a": 1}}))
        (slow,), (waiting,) = commands(timeline, "find"), commands(timeline, "update")
        assert slow.sent is not None
        assert slow.replied is not None
        assert slow.replied - slow.sent > 100_000
        assert waiting.selected is not None
        assert waiting.connected is not None
        assert waiting.selected - waiting.at < 50_000
        assert waiting.connected - waiting.selected > 50_000


async def test_an_election_is_recorded(disturbed_replica_set: ReplicaSet) -> None:
    async with watched(disturbed_replica_set) as (client, _):
        collection = await fresh_collection(client, "timeline", 1)
        before = primary_of(client)
        with wiredrv.record() as timeline:
            heir = disturbed_replica_set.secondaries()[0]
            await anyio.to_thread.run_sync(heir.ask, {"replSetStepUp": 1}, 10.0)
            with anyio.fail_after(20):
                await until(lambda: client.topology.primary == heir.address, "the next primary is known")
                await collection.insert_one({})
        changes = of_topology(timeline, "primary")
        assert changes[-1].server == str(heir.address)
        assert {str(before), None} >= {change.detail.split(" -> ")[0] for change in changes} - {"none"}
        assert any(
            mark.server == str(before) and "RSPrimary ->" in mark.detail for mark in of_topology(timeline, "server")
        )
        written = commands(timeline, "insert")
        assert written[-1].ok
        assert written[-1].server == str(heir.address)


async def test_pins_are_recorded(sharded_double: ShardedDouble) -> None:
    async with watched(sharded_double.uri) as (client, _):
        collection = await fresh_collection(client, "timeline", 1)
        with wiredrv.record() as timeline:
            async with client.start_session() as session:
                async with session.start_transaction():
                    await collection.find_one({}, session=session)
                await collection.find_one({}, session=session)
                session.start_transaction()
                await collection.find_one({}, session=session)
                await session.abort_transaction()
        marks = of_sessions(timeline)
        assert [event for event, _ in marks] == ["start", "pin", "unpin", "pin", "unpin", "end"]
        (_, begun), (_, committed) = marks[1], marks[2]
        assert begun == committed
        assert begun == commands(timeline, "commitTransaction")[0].server


async def test_nothing_of_credentials_is_recorded(replica_set: ReplicaSet, tmp_path: Any) -> None:
    secret = "hunter2secret"
    with wiredrv.record() as timeline:
        async with wiredrv.Client(replica_set.uri) as client:
            await client.admin.command({"createUser": "timeline", "pwd": secret, "roles": []})
            try:
                async with wiredrv.Client(with_user(replica_set.uri, "timeline", secret)) as known:
                    await known.admin.command("ping")
                async with wiredrv.Client(with_user(replica_set.uri, "timeline", secret[1:])) as unknown:
                    with pytest.raises(OperationFailure):
                        await unknown.admin.command("ping")
            finally:
                await client.admin.command({"dropUser": "timeline"})
    timeline.save(tmp_path / "run.jsonl")
    timeline.html(tmp_path / "run.html")
    for name in ("run.jsonl", "run.html"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert "ping" in text
        assert secret[1:] not in text
    with (tmp_path / "run.jsonl").open(encoding="utf-8") as file:
        assert tuple(read_lines(file, "run")[1]) == timeline.records
