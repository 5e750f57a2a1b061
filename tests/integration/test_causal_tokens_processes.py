"""Causal tokens between processes of the operating system, and many sessions of one process at once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from time import monotonic

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream
from bson.timestamp import Timestamp

import wiredrv
from tests.support.commands import fresh_collection, watched
from tests.support.event_log import EventLog
from tests.support.failpoints import fail_command
from tests.support.replication import replication_stopped
from wiredrv import ReadConcern, ReadPreference, TokenKeys, WriteConcern, events
from wiredrv.errors import OperationTimeout
from wiredrv.execution import confirmation
from wiredrv.local import ReplicaSet
from wiredrv.session.tokens import UNKNOWN_DEPLOYMENT, read_causal_token, write_causal_token

pytestmark = pytest.mark.anyio

WRITER = """
import sys, wiredrv.sync
with wiredrv.sync.Client(sys.argv[1]) as client, client.start_session() as session:
    notes = client.wiredrv_sessions.tokens_processes.with_options(write_concern=wiredrv.WriteConcern(1))
    notes.insert_one({"_id": "new"}, session=session)
    print(wiredrv.TokenKeys("k" * 32).sign(session.causal_token), flush=True)
"""
READER = """
import sys, wiredrv.sync
with wiredrv.sync.Client(sys.argv[1]) as client:
    nearby = wiredrv.ReadPreference.SECONDARY
    notes = client.wiredrv_sessions.get_collection("tokens_processes", read_preference=nearby)
    print(notes.find_one({}), flush=True)
    with client.start_session(after=sys.argv[2], token_keys=wiredrv.TokenKeys("k" * 32)) as session:
        print(notes.find_one({}, session=session), flush=True)
"""


def command(code: str, *arguments: str) -> Sequence[str]:
    return [sys.executable, "-c", code, *arguments]


async def test_a_process_reads_on_a_secondary_what_another_process_has_just_written(replica_set: ReplicaSet) -> None:
    async with wiredrv.Client(replica_set.uri) as client:
        await (
            (await fresh_collection(client, "tokens_processes"))
            .with_options(write_concern=WriteConcern(3))
            .delete_many({})
        )
    with anyio.fail_after(60):
        async with replication_stopped(replica_set) as stopped:
            written = await anyio.run_process(command(WRITER, replica_set.uri))
            token = written.stdout.decode().strip()
            assert len(token) < 100
            async with await anyio.open_process(command(READER, replica_set.uri, token), stderr=None) as reader:
                assert reader.stdout is not None
                lines = BufferedByteReceiveStream(reader.stdout)
                assert await lines.receive_until(b"\n", 100) == b"None"  # without the token: what the secondary has
                found = b""
                with anyio.move_on_after(0.5):
                    found = await lines.receive_until(b"\n", 100)
                assert not found  # it waits for the write
                await stopped()
                assert await lines.receive_until(b"\n", 100) == b"{'_id': 'new'}"
                assert await reader.wait() == 0


async def test_sessions_that_need_the_answer_at_the_same_time_share_the_question(replica_set: ReplicaSet) -> None:
    async with wiredrv.Client(replica_set.uri) as writer, watched(replica_set) as (reader, log):
        await fresh_collection(writer, "tokens_herd")
        here = reader.wiredrv_sessions.tokens_herd
        await here.find_one({})
        tokens = []
        for number in range(20):
            async with writer.start_session() as session:
                await writer.wiredrv_sessions.tokens_herd.insert_one({"_id": number}, session=session)
                tokens.append((session.causal_token, session.operation_time))
        log.clear()

        async def read(token: str | None) -> None:
            async with reader.start_session(after=token, invalid_token="refuse") as session:
                await here.find_one({}, session=session)

        async with anyio.create_task_group() as tasks:
            for token, _ in tokens:
                tasks.start_soon(read, token)
        assert log.names.count("ping") == 1
        assert {find["readConcern"]["afterClusterTime"] for find in log.sent("find")} == {time for _, time in tokens}


async def test_forged_tokens_at_the_same_time_cost_two_questions(replica_set: ReplicaSet) -> None:
    """An answer counts for all who came before its question was sent: the first one and the next."""
    heard = EventLog()
    async with watched(replica_set, heard) as (reader, log):
        collection = await fresh_collection(reader, "tokens_herd", 1)
        log.clear()
        forged = write_causal_token(Timestamp(2**32 - 1, 1), None, UNKNOWN_DEPLOYMENT)

        async def read() -> None:
            async with reader.start_session(after=forged) as session:
                assert await collection.find_one({}, session=session) == {"_id": 0}

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(read)
        assert log.names.count("ping") == 2
        assert [event.reason for event in heard.of(events.CausalTokenIgnoredEvent)] == ["unconfirmed"] * 20


async def test_a_question_that_is_cancelled_or_fails_is_asked_again_for_the_others(replica_set: ReplicaSet) -> None:
    async with wiredrv.Client(replica_set.uri) as writer, watched(replica_set) as (reader, log):
        await fresh_collection(writer, "tokens_herd")
        here = reader.wiredrv_sessions.tokens_herd
        await reader.admin.command("ping")
        await here.find_one({})
        async with writer.start_session() as session:
            await writer.wiredrv_sessions.tokens_herd.insert_one({}, session=session)
            token = session.causal_token
        log.clear()
        scope = anyio.CancelScope()

        async def cancelled() -> None:
            with scope:
                async with reader.start_session(after=token) as session:
                    await here.find_one({}, session=session)

        async def read() -> None:
            async with reader.start_session(after=token, invalid_token="refuse") as session:
                await here.find_one({}, session=session)

        primary = replica_set.primary().address
        async with (
            fail_command(primary, "ping", times=1, block_ms=3000, app_name="sessions"),
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(cancelled)
            await anyio.sleep(0.1)
            for _ in range(5):
                tasks.start_soon(read)
            await anyio.sleep(0.1)
            assert log.names == ["ping"]
            scope.cancel()
        assert log.names.count("ping") == 2
        assert log.names.count("find") == 5


async def test_a_primary_that_does_not_answer_delays_sessions_together_and_not_in_turns(
    replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirmation, "ASK_SECONDS", 0.5)
    heard = EventLog()
    async with watched(replica_set, heard) as (reader, _):
        await fresh_collection(reader, "tokens_herd", 1)
        nearby = reader.wiredrv_sessions.get_collection("tokens_herd", read_preference=ReadPreference.SECONDARY)
        await nearby.find_one({})
        forged = write_causal_token(Timestamp(2**32 - 1, 1), None, UNKNOWN_DEPLOYMENT)

        async def read() -> None:
            async with reader.start_session(after=forged) as session:
                await nearby.find_one({}, session=session)

        primary = replica_set.primary().address
        async with fail_command(primary, "ping", times=20, block_ms=1000, app_name="sessions"):
            began = monotonic()
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(read)
            assert monotonic() - began < 5  # and not 20 times half a second
        assert [event.reason for event in heard.of(events.CausalTokenIgnoredEvent)] == ["unavailable"] * 20


async def test_a_majority_read_from_the_primary_ends_too(
    replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a majority lags, each read with this concern answers at once, but not after the time of a late write."""
    monkeypatch.setattr(confirmation, "WAIT_SECONDS", 0.5)
    async with wiredrv.Client(replica_set.uri) as writer, watched(replica_set) as (reader, log):
        await fresh_collection(writer, "tokens_majority", 1)
        majority = reader.wiredrv_sessions.get_collection("tokens_majority", read_concern=ReadConcern("majority"))
        async with replication_stopped(replica_set):
            async with writer.start_session() as session:
                here = writer.wiredrv_sessions.tokens_majority
                await here.with_options(write_concern=WriteConcern(1)).insert_one({}, session=session)
                time = session.operation_time
            assert time is not None
            assert await majority.count_documents({}) == 1
            # Whoever knows no more than what time it is can write such a token.
            forged = write_causal_token(time, None, UNKNOWN_DEPLOYMENT)
            with anyio.fail_after(20):
                async with reader.start_session(after=forged) as session:
                    with pytest.raises(OperationTimeout, match="on a majority of members"):
                        await majority.find_one({}, session=session)
        # One that is slow by itself is sent again.
        log.clear()
        slow = [{"$set": {"x": {"$function": {"body": "function() { sleep(700) }", "args": [], "lang": "js"}}}}]
        async with writer.start_session() as session:
            await here.with_options(write_concern=WriteConcern("majority")).insert_one({}, session=session)
            token = session.causal_token
        async with reader.start_session(after=token) as session:
            cursor = await majority.aggregate([{"$limit": 1}, *slow], session=session)
            assert len(await cursor.to_list()) == 1
        assert log.names.count("aggregate") == 2


async def test_a_token_that_could_not_be_confirmed_goes_on(
    replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While there is no primary a request cannot wait for the user's write, but the next one must."""
    monkeypatch.setattr(confirmation, "ASK_SECONDS", 0.3)
    keys = TokenKeys("k" * 32)
    heard = EventLog()
    async with wiredrv.Client(replica_set.uri) as writer, watched(replica_set, heard) as (reader, log):
        await fresh_collection(writer, "tokens_on", 1)
        nearby = reader.wiredrv_sessions.get_collection("tokens_on", read_preference=ReadPreference.SECONDARY)
        await reader.admin.command("ping")
        await nearby.find_one({})
        here = writer.wiredrv_sessions.get_collection("tokens_on", write_concern=WriteConcern(1))
        async with replication_stopped(replica_set):
            async with writer.start_session() as session:
                await here.insert_one({}, session=session)
                token, time = session.causal_token, session.operation_time
            assert token is not None
            async with (
                fail_command(replica_set.primary().address, "ping", times=1, block_ms=1000, app_name="sessions"),
                reader.start_session(after=keys.sign(token), token_keys=keys) as session,
            ):
                for _ in range(2):
                    await nearby.find_one({}, session=session)
                left = session.causal_token
        assert [event.reason for event in heard.of(events.CausalTokenIgnoredEvent)] == ["unavailable"]
        assert log.names.count("ping") == 2  # and one before: the second read does not ask
        assert left is not None
        assert time is not None
        assert read_causal_token(left).operation_time >= time


async def test_a_foreign_token_does_not_get_the_name_of_this_deployment(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (reader, _):
        await reader.admin.command("ping")
        foreign = write_causal_token(Timestamp(1_700_000_000, 1), None, b"another!")
        async with reader.start_session(after=foreign) as session:
            assert session.causal_token is None
