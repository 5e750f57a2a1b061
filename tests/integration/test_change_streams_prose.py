"""The prose tests of the change-streams specification (source/change-streams/tests/README.md).

Numbers 5, 9, 10, 12, 15 and 16 were removed from the specification. Number 2 concerns a server's error here: since 4.2
the server checks the resume token itself (tests/client/test_change_stream.py has the driver's error).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import wiredrv
from tests.support.commands import APP_NAME, CommandLog, fresh_collection, primary_of, watched
from tests.support.failpoints import fail_command
from tests.support.waiting import until
from wiredrv.errors import OperationFailure
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

_LABEL = "ResumableChangeStreamError"
_HOST_UNREACHABLE = 6
_RESUMABLE = {"errorCode": _HOST_UNREACHABLE, "errorLabels": [_LABEL]}


@asynccontextmanager
async def _scene(
    replica_set: ReplicaSet, **options: Any
) -> AsyncIterator[tuple[wiredrv.Client, wiredrv.Collection, CommandLog]]:
    async with watched(replica_set, **options) as (client, log):
        collection = await fresh_collection(client, "change_streams_prose")
        log.clear()
        yield client, collection, log


def _stages(log: CommandLog) -> list[dict[str, Any]]:
    return [command["pipeline"][0]["$changeStream"] for command in log.sent("aggregate")]


def _batch_token(log: CommandLog) -> Any:
    """The postBatchResumeToken of the last reply."""
    reply = next(e.reply for e in reversed(log.succeeded_events) if e.command_name in ("aggregate", "getMore"))
    return reply["cursor"]["postBatchResumeToken"]


async def _token_of_now(collection: wiredrv.Collection) -> Any:
    """A token before which nothing is that a test does."""
    async with collection.watch() as stream:
        await collection.insert_one({"before": True})
        await stream.next()
        return stream.resume_token


async def test_1_it_tracks_the_last_resume_token(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (_, collection, log), collection.watch(batch_size=1) as stream:
        await collection.insert_many([{"_id": number} for number in range(3)])
        for _ in range(3):
            event = await stream.next()
            assert stream.resume_token in (event["_id"], _batch_token(log))
        before = stream.resume_token
        assert before is not None


async def test_2_a_missing_resume_token_is_an_error(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (_, collection, log):
        stream = await collection.watch([{"$project": {"_id": 0}}])
        await collection.insert_one({})
        with pytest.raises(OperationFailure, match="_id") as caught:
            await stream.next()
        assert caught.value.code == 280
        assert not stream.alive
        assert "aggregate" not in log.names[1:], "it is not resumed"


async def test_3_it_resumes_once_with_the_initial_pipeline_and_options(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):
        pipeline = [{"$match": {"operationType": "insert"}}]
        options: dict[str, Any] = {"full_document_before_change": "whenAvailable", "comment": "prose", "batch_size": 2}
        async with collection.watch(pipeline, "updateLookup", collation={"locale": "en"}, **options) as stream:
            first, token = log.sent("aggregate")[0], _batch_token(log)
            async with fail_command(primary_of(client), "getMore", app_name=APP_NAME, data=_RESUMABLE):
                await collection.insert_one({"_id": 1})
                assert (await stream.next())["documentKey"] == {"_id": 1}
        first, second = log.sent("aggregate")
        names = [name for name in log.names if name != "killCursors"]
        assert names == ["aggregate", "insert", "getMore", "aggregate", *["getMore"] * (len(names) - 4)]
        assert second["pipeline"][0]["$changeStream"].pop("resumeAfter") == token
        for name in ("pipeline", "cursor", "collation", "comment"):
            assert first[name] == second[name]


async def test_4_an_error_of_an_aggregate_is_not_resumed(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set, retryReads=False) as (client, collection, log):
        async with fail_command(primary_of(client), "aggregate", times=2, app_name=APP_NAME, data=_RESUMABLE):
            with pytest.raises(OperationFailure):
                await collection.watch()
        assert log.names == ["aggregate"]


async def test_6_it_selects_a_server_by_the_initial_read_preference(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):
        await until(lambda: len(client.topology.secondaries) == 2, "both secondaries are known")
        secondary = collection.with_options(read_preference=wiredrv.ReadPreference.SECONDARY)
        async with secondary.watch(max_await_time_ms=50) as stream:
            [opened] = [event.address for event in log.started_events]
            assert opened in client.topology.secondaries
            async with fail_command(opened, "getMore", app_name=APP_NAME, data=_RESUMABLE):
                await stream.try_next()
        opened_again = [event for event in log.started_events if event.command_name == "aggregate"]
        assert [event.address in client.topology.secondaries for event in opened_again] == [True, True]
        assert [event.command["$readPreference"] for event in opened_again] == [{"mode": "secondary"}] * 2
        kills = [event.address for event in log.started_events if event.command_name == "killCursors"]
        assert kills[0] == opened, "a cursor is killed where it is, and nowhere else"


async def test_7_a_cursor_with_an_empty_first_batch_stays_open(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (_, collection, log):
        async with collection.watch() as stream:
            reply = log.succeeded_events[-1].reply["cursor"]
            assert reply["id"] != 0
            assert reply["firstBatch"] == []
            assert stream.alive
            assert log.names == ["aggregate"]
        assert log.names == ["aggregate", "killCursors"]


async def test_8_a_failure_to_kill_the_cursor_is_not_raised(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log), collection.watch() as stream:
        address = primary_of(client)
        data = {"errorCode": _HOST_UNREACHABLE, "errorLabels": [_LABEL]}
        async with fail_command(address, "getMore", "killCursors", times=2, app_name=APP_NAME, data=data):
            await collection.insert_one({"_id": 1})
            assert (await stream.next())["documentKey"] == {"_id": 1}
        assert [event.command_name for event in log.failed_events] == ["getMore", "killCursors"]


async def test_11_after_a_batch_the_token_is_that_of_the_batch(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (_, collection, log), collection.watch(max_await_time_ms=20) as stream:
        assert stream.resume_token == _batch_token(log), "the first batch is empty"
        assert await stream.try_next() is None
        assert stream.resume_token == _batch_token(log), "the batch of a getMore is empty"
        await collection.insert_one({})
        await stream.next()
        assert stream.resume_token == _batch_token(log), "the batch was read to its end"


async def test_13_within_a_batch_the_token_is_that_of_the_event(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (_, collection, _log):
        token = await _token_of_now(collection)
        await collection.insert_many([{} for _ in range(3)])
        async with collection.watch(resume_after=token, batch_size=3) as stream:
            for _ in range(2):
                event = await stream.next()
                assert stream.resume_token == event["_id"]


@pytest.mark.parametrize("option", ["start_after", "resume_after", "start_at_operation_time"])
async def test_14_before_the_first_event_the_token_is_the_one_that_was_given(
    replica_set: ReplicaSet, option: str
) -> None:
    async with _scene(replica_set) as (client, collection, log), client.start_session() as session:
        token = await _token_of_now(collection)
        await collection.insert_one({"_id": 1}, session=session)
        given: Any = session.operation_time if option == "start_at_operation_time" else token
        log.clear()
        async with collection.watch(**{option: given}) as stream:
            batch = log.succeeded_events[-1].reply["cursor"]["firstBatch"]
            assert [event["documentKey"] for event in batch] == [{"_id": 1}]
            assert stream.resume_token == (None if option == "start_at_operation_time" else token)


async def test_17_start_after_is_used_again_before_the_first_event(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):
        token = await _token_of_now(collection)
        log.clear()
        async with (
            collection.watch(start_after=token, max_await_time_ms=20) as stream,
            fail_command(primary_of(client), "getMore", app_name=APP_NAME, data=_RESUMABLE),
        ):
            await stream.try_next()
        assert [list(stage) for stage in _stages(log)] == [["startAfter"], ["startAfter"]]


async def test_18_resume_after_is_used_after_the_first_event(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):
        token = await _token_of_now(collection)
        await collection.insert_one({})
        log.clear()
        async with collection.watch(start_after=token, max_await_time_ms=20) as stream:
            await stream.next()
            async with fail_command(primary_of(client), "getMore", app_name=APP_NAME, data=_RESUMABLE):
                await stream.try_next()
        assert [list(stage) for stage in _stages(log)] == [["startAfter"], ["resumeAfter"]]


async def test_19_large_events_are_split(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, _, _log):
        version = tuple((await client.server_info())["versionArray"][:3])
        if not ((6, 0, 9) <= version < (6, 1) or version >= (7, 0)):
            pytest.skip(f"$changeStreamSplitLargeEvent needs server 6.0.9 or 7.0, and this is {version}")
        name = "change_streams_large"
        await client.prose.drop_collection(name)
        collection = await client.prose.create_collection(name, changeStreamPreAndPostImages={"enabled": True})
        await collection.insert_one({"value": "q" * 10 * 1024 * 1024})
        stages: list[dict[str, Any]] = [{"$changeStreamSplitLargeEvent": {}}]
        async with collection.watch(stages, full_document_before_change="required") as stream:
            await collection.update_one({}, {"$set": {"value": "z" * 10 * 1024 * 1024}})
            fragments = [(await stream.next())["splitEvent"] for _ in range(2)]
        assert fragments == [{"fragment": 1, "of": 2}, {"fragment": 2, "of": 2}]
