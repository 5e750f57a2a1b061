"""Causal tokens between two clients: what one has written the other reads, and no wrong token does any harm.

Each test has two clients, which share nothing but what a token says: they stand for two processes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import anyio
import pytest
from bson import Int64
from bson.timestamp import Timestamp

import wiredrv
from tests.support.commands import CommandLog, fresh_collection, watched
from tests.support.event_log import EventLog
from tests.support.failpoints import fail_command
from tests.support.replication import replication_stopped
from wiredrv import ReadConcern, ReadPreference, TokenKeys, WriteConcern, events
from wiredrv.errors import ConfigurationError, InvalidToken, NetworkTimeout, OperationTimeout
from wiredrv.execution import confirmation
from wiredrv.local import ReplicaSet
from wiredrv.session.tokens import (
    UNKNOWN_DEPLOYMENT,
    deployment_label,
    read_causal_token,
    write_causal_token,
    write_snapshot_token,
)

pytestmark = pytest.mark.anyio

KEYS = TokenKeys("a key of the application's, for tokens")
DAYS_300 = 300 * 24 * 3600


@asynccontextmanager
async def two_clients(
    replica_set: ReplicaSet, **options: Any
) -> AsyncIterator[tuple[wiredrv.Client, wiredrv.Client, CommandLog, EventLog]]:
    """A client that writes, and another with the log of its commands, and its other events."""
    heard = EventLog()
    async with (
        wiredrv.Client(replica_set.uri) as writer,
        watched(replica_set, heard, **options) as (reader, log),
    ):
        yield writer, reader, log, heard


def nearby(client: wiredrv.Client, name: str) -> wiredrv.Collection:
    return client.wiredrv_sessions.get_collection(name, read_preference=ReadPreference.SECONDARY)


def ignored(heard: EventLog) -> list[str]:
    return [event.reason for event in heard.of(events.CausalTokenIgnoredEvent)]


async def server_time(replica_set: ReplicaSet) -> Timestamp:
    """The cluster time of the member that is furthest ahead, as nobody's client knows it."""
    times: list[Timestamp] = []
    for server in replica_set.members:
        async with wiredrv.connect(str(server.address)) as connection:
            reply = await connection.command("admin", {"ping": 1})
            times.append(reply["$clusterTime"]["clusterTime"])
    return max(times)


# --- one continues from the other ---


async def test_another_client_reads_from_a_secondary_what_was_just_written(replica_set: ReplicaSet) -> None:
    async with two_clients(replica_set) as (writer, reader, _log, heard):
        name = "tokens_read"
        await (await fresh_collection(writer, name)).with_options(write_concern=WriteConcern(3)).delete_many({})
        async with replication_stopped(replica_set) as stopped:
            async with writer.start_session() as session:
                nothing = session.causal_token
                assert nothing is None
                await (
                    writer.wiredrv_sessions[name]
                    .with_options(write_concern=WriteConcern(1))
                    .insert_one({"_id": 1}, session=session)
                )
                token = session.causal_token
            assert token is not None
            # Without the token it reads what the secondary has.
            assert await nearby(reader, name).find_one({}) is None
            found: list[Any] = []

            async def read() -> None:
                async with reader.start_session(after=token) as session:
                    found.append(await nearby(reader, name).find_one({}, session=session))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                await anyio.sleep(0.3)
                too_early = list(found)
                await stopped()
        assert not too_early  # it waited for the write
        assert found == [{"_id": 1}]
        assert not ignored(heard)


async def test_the_primary_is_asked_once_and_only_where_the_client_does_not_know_the_time(
    replica_set: ReplicaSet,
) -> None:
    async with two_clients(replica_set) as (writer, reader, log, heard):
        await fresh_collection(writer, "tokens_asked")
        async with writer.start_session() as session:
            await writer.wiredrv_sessions.tokens_asked.insert_one({}, session=session)
            token, time = session.causal_token, session.operation_time
        for pings in (1, 0):  # the second session's client has learned the time
            log.clear()
            async with reader.start_session(after=token) as session:
                for _ in range(3):
                    await nearby(reader, "tokens_asked").find_one({}, session=session)
            assert log.names == ["ping"] * pings + ["find"] * 3
            (first, *_) = log.sent("find")
            assert first["readConcern"] == {"afterClusterTime": time}
            assert "maxTimeMS" not in first
            assert all("lsid" not in command for command in log.sent("ping"))
        assert not ignored(heard)


async def test_tasks_of_one_session_share_the_question(replica_set: ReplicaSet) -> None:
    async with two_clients(replica_set) as (writer, reader, log, _):
        await fresh_collection(writer, "tokens_shared")
        async with writer.start_session() as session:
            await writer.wiredrv_sessions.tokens_shared.insert_one({}, session=session)
            token = session.causal_token
        async with reader.start_session(after=token) as session, anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(lambda: reader.wiredrv_sessions.tokens_shared.find_one({}, session=session))
        assert log.names.count("ping") == 1
        assert all("afterClusterTime" in command["readConcern"] for command in log.sent("find"))


async def test_a_token_goes_on_through_sessions_that_do_nothing(replica_set: ReplicaSet) -> None:
    async with two_clients(replica_set) as (writer, reader, log, _):
        await fresh_collection(writer, "tokens_on")
        async with writer.start_session() as session:
            await writer.wiredrv_sessions.tokens_on.insert_one({}, session=session)
            token = session.causal_token
        async with reader.start_session(after=token) as session:
            assert session.causal_token == token
        assert not log.names


async def test_several_tokens_merge(replica_set: ReplicaSet) -> None:
    async with two_clients(replica_set) as (writer, reader, log, _):
        await fresh_collection(writer, "tokens_merged")
        tokens: list[str | None] = [None]
        for number in range(3):
            async with writer.start_session() as session:
                await writer.wiredrv_sessions.tokens_merged.insert_one({"_id": number}, session=session)
                tokens.append(session.causal_token)
                time = session.operation_time
        async with reader.start_session(after=tokens[::-1]) as session:
            assert session.causal_token == tokens[-1]
            await reader.wiredrv_sessions.tokens_merged.find_one({}, session=session)
        assert log.sent("find")[0]["readConcern"] == {"afterClusterTime": time}


@pytest.mark.parametrize("call", ["find", "insert", "bulk", "aggregate", "command", "transaction", "with_transaction"])
async def test_every_kind_of_first_operation_continues_from_the_token(replica_set: ReplicaSet, call: str) -> None:
    async with two_clients(replica_set) as (writer, reader, log, _):
        await fresh_collection(writer, "tokens_first")
        async with writer.start_session() as session:
            await writer.wiredrv_sessions.tokens_first.insert_one({"_id": 1}, session=session)
            token, time = session.causal_token, session.operation_time
        here = reader.wiredrv_sessions.tokens_first
        async with reader.start_session(after=token) as session, session.bind():
            match call:
                case "find":
                    assert await here.find({}).to_list() == [{"_id": 1}]
                case "insert":
                    await here.insert_one({"_id": 2})
                case "bulk":
                    await here.bulk_write([wiredrv.InsertOne({"_id": 2}), wiredrv.DeleteOne({"_id": 2})])
                case "aggregate":
                    assert await (await here.aggregate([])).to_list() == [{"_id": 1}]
                case "command":
                    # Sent as given: it neither waits for the time, nor asks.
                    await reader.admin.command("ping")
                    assert await here.find_one({}) == {"_id": 1}
                case "transaction":
                    async with session.start_transaction():
                        await here.insert_one({"_id": 2})
                        assert await here.count_documents({}) == 2
                case "with_transaction":
                    await session.with_transaction(lambda session: here.insert_one({"_id": 2}))
        first = next(command for command in log.sent() if "ping" not in command)
        concern = first["readConcern"]["afterClusterTime"]
        assert concern >= time
        assert concern == time or call == "command"
        assert log.names.count("ping") == 1


async def test_old_tokens_change_nothing(replica_set: ReplicaSet) -> None:
    async with two_clients(replica_set) as (writer, reader, log, heard):
        await fresh_collection(writer, "tokens_old")
        now = await server_time(replica_set)
        label = deployment_label(writer.topology_description)
        await reader.admin.command("ping")
        for seconds, reasons in ((3600, []), (31 * 24 * 3600, ["old"]), (now.time - 1, ["old"])):
            log.clear()
            heard.clear()
            token = write_causal_token(Timestamp(now.time - seconds, 1), None, label)
            async with reader.start_session(after=token) as session:
                await nearby(reader, "tokens_old").find_one({}, session=session)
            assert log.names == ["find"]
            assert ignored(heard) == reasons


# --- wrong tokens ---


async def test_no_forged_token_moves_a_clock_or_blocks_a_read(replica_set: ReplicaSet) -> None:
    """Without authentication, servers take any cluster time that a client sends, and tell everybody else."""
    async with two_clients(replica_set) as (writer, reader, log, heard):
        await fresh_collection(writer, "tokens_forged", 1)
        label = deployment_label(writer.topology_description)
        before = await server_time(replica_set)
        ahead = Timestamp(before.time + DAYS_300, 1)
        most = Timestamp(2**32 - 1, 2**32 - 1)
        for keys, key_id in ((None, 0), (None, 7), (KEYS, 7), (KEYS, -(2**63))):
            for time in (ahead, most):
                signature = {"hash": b"\0" * 20, "keyId": Int64(key_id)}
                text = write_causal_token(time, {"clusterTime": time, "signature": signature}, label, keys)
                for after in (text, [text, text]):
                    log.clear()
                    heard.clear()
                    began = monotonic()
                    async with reader.start_session(after=after, token_keys=keys) as session:
                        assert await nearby(reader, "tokens_forged").find_one({}, session=session) == {"_id": 0}
                        assert session.operation_time is not None
                        assert session.operation_time < ahead
                        here = reader.wiredrv_sessions.tokens_forged
                        await here.update_one({"_id": 0}, {"$unset": {"x": 1}}, session=session)
                        async with session.start_transaction():
                            await reader.wiredrv_sessions.tokens_forged.find_one({}, session=session)
                        own = session.causal_token
                    assert monotonic() - began < confirmation.ASK_SECONDS
                    assert log.names[0] == "ping"
                    assert log.names.count("ping") == 1
                    assert ignored(heard) == ["unconfirmed"] * (1 if after is text else 2)
                    for command in log.sent():
                        assert command.get("$clusterTime", {"clusterTime": before})["clusterTime"] < ahead
                        assert command.get("readConcern", {}).get("afterClusterTime", before) < ahead
                    assert own is not None
                    assert read_causal_token(own).operation_time < ahead
        after_all = await server_time(replica_set)
        assert after_all.time - before.time < 600  # the time that this test took
        async with writer.start_session() as session:
            await writer.wiredrv_sessions.tokens_forged.find_one({}, session=session)
            assert session.cluster_time is not None
            assert session.cluster_time["clusterTime"] < ahead


async def wrong_tokens(replica_set: ReplicaSet, client: wiredrv.Client) -> dict[str, tuple[str, TokenKeys | None]]:
    now = await server_time(replica_set)
    label = deployment_label(client.topology_description)
    good = write_causal_token(now, None, label)
    return {
        "malformed": (good[:-1] + ("A" if good[-1] != "A" else "B"), None),
        "kind": (write_snapshot_token(now, label), None),
        "signature": (good, KEYS),
        "foreign": (write_causal_token(now, None, b"another!"), None),
        "old": (write_causal_token(Timestamp(now.time - 31 * 24 * 3600, 1), None, label), None),
        "unconfirmed": (write_causal_token(Timestamp(now.time + 900, 1), None, label), None),
    }


REASONS = ["malformed", "kind", "signature", "foreign", "old", "unconfirmed"]


@pytest.mark.parametrize("reason", REASONS)
async def test_a_token_that_cannot_be_used_is_absent_and_reported(replica_set: ReplicaSet, reason: str) -> None:
    async with two_clients(replica_set) as (writer, reader, log, heard):
        await fresh_collection(writer, "tokens_wrong", 1)
        text, keys = (await wrong_tokens(replica_set, writer))[reason]
        async with reader.start_session(after=text, token_keys=keys) as session:
            assert await nearby(reader, "tokens_wrong").find_one({}, session=session) == {"_id": 0}
            assert "readConcern" not in log.sent("find")[0]
            await nearby(reader, "tokens_wrong").find_one({}, session=session)
            lsid = session.session_id
        (event,) = heard.of(events.CausalTokenIgnoredEvent)
        assert (event.reason, event.lsid) == (reason, lsid)
        assert text not in repr(event)
        assert (event.operation_time is None) is (reason in ("malformed", "kind", "signature"))


@pytest.mark.parametrize("reason", REASONS)
async def test_a_token_that_cannot_be_used_is_refused_on_request(replica_set: ReplicaSet, reason: str) -> None:
    async with two_clients(replica_set) as (writer, reader, log, heard):
        await fresh_collection(writer, "tokens_refused", 1)
        text, keys = (await wrong_tokens(replica_set, writer))[reason]
        early = reason in ("malformed", "kind", "signature")
        if early:
            with pytest.raises(InvalidToken) as refused:
                reader.start_session(after=text, token_keys=keys, invalid_token="refuse")
            assert refused.value.reason == reason
        else:
            async with reader.start_session(after=text, token_keys=keys, invalid_token="refuse") as session:
                for _ in range(2):  # it stays refused
                    with pytest.raises(InvalidToken) as refused:
                        await nearby(reader, "tokens_refused").find_one({}, session=session)
                    assert refused.value.reason == reason
                assert session.causal_token is None
                with pytest.raises(InvalidToken):
                    async with session.start_transaction():
                        await reader.wiredrv_sessions.tokens_refused.insert_one({}, session=session)
        assert not ignored(heard)
        assert log.names in ([], ["ping"])


async def test_the_good_token_of_several_counts(replica_set: ReplicaSet) -> None:
    async with two_clients(replica_set) as (writer, reader, log, heard):
        await fresh_collection(writer, "tokens_mixed", 1)
        wrong = await wrong_tokens(replica_set, writer)
        async with writer.start_session() as session:
            await writer.wiredrv_sessions.tokens_mixed.insert_one({}, session=session)
            good, time = session.causal_token, session.operation_time
        await reader.admin.command("ping")
        tokens = [good, *(text for reason, (text, _) in wrong.items() if reason != "signature")]
        async with reader.start_session(after=tokens) as session:
            await nearby(reader, "tokens_mixed").find_one({}, session=session)
        assert log.sent("find")[0]["readConcern"] == {"afterClusterTime": time}
        assert sorted(ignored(heard)) == sorted(set(REASONS) - {"signature"})


async def test_a_token_without_a_deployment_is_judged_by_its_time(replica_set: ReplicaSet) -> None:
    async with two_clients(replica_set) as (writer, reader, log, _heard):
        await fresh_collection(writer, "tokens_unnamed", 1)
        token = write_causal_token(await server_time(replica_set), None, UNKNOWN_DEPLOYMENT)
        async with reader.start_session(after=token, invalid_token="refuse") as session:
            await nearby(reader, "tokens_unnamed").find_one({}, session=session)
        assert log.sent("find")[0]["readConcern"]


async def test_signed_tokens_go_to_a_browser_and_back(replica_set: ReplicaSet) -> None:
    async with two_clients(replica_set) as (writer, reader, log, heard):
        await fresh_collection(writer, "tokens_signed")
        async with writer.start_session() as session:
            await writer.wiredrv_sessions.tokens_signed.insert_one({}, session=session)
            token, time = session.causal_token, session.operation_time
        assert token is not None
        for keys in (KEYS, TokenKeys("another key, which is new by now....", "a key of the application's, for tokens")):
            log.clear()
            async with reader.start_session(after=KEYS.sign(token), token_keys=keys) as session:
                await nearby(reader, "tokens_signed").find_one({}, session=session)
            assert log.sent("find")[0]["readConcern"] == {"afterClusterTime": time}
        assert not ignored(heard)


# --- limits ---


async def test_a_read_from_a_secondary_that_is_stuck_ends(
    replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirmation, "WAIT_SECONDS", 0.5)
    async with two_clients(replica_set) as (writer, reader, _log, _heard):
        await fresh_collection(writer, "tokens_stuck", 1)
        async with replication_stopped(replica_set):
            async with writer.start_session() as session:
                here = writer.wiredrv_sessions.tokens_stuck
                await here.with_options(write_concern=WriteConcern(1)).insert_one({}, session=session)
                token = session.causal_token
            async with reader.start_session(after=token) as session:
                for _ in range(2):  # each of them
                    with pytest.raises(OperationTimeout, match="not known to have reached Timestamp") as ended:
                        await nearby(reader, "tokens_stuck").find_one({}, session=session)
                    assert ended.value.timeout
                # Whoever has a limit of his own gets that.
                began = monotonic()
                with pytest.raises(wiredrv.DriverError) as limited:
                    await nearby(reader, "tokens_stuck").find_one({}, session=session, timeout_ms=1000)
                assert limited.value.timeout
                assert monotonic() - began > 0.9
                # The primary has it.
                here = reader.wiredrv_sessions.tokens_stuck
                assert await here.count_documents({}, session=session) == 2


async def test_a_socket_timeout_is_not_lengthened(replica_set: ReplicaSet) -> None:
    async with two_clients(replica_set, socketTimeoutMS=300) as (writer, reader, log, _):
        await fresh_collection(writer, "tokens_socket", 1)
        await reader.admin.command("ping")
        await nearby(reader, "tokens_socket").find_one({})
        async with replication_stopped(replica_set):
            async with writer.start_session() as session:
                here = writer.wiredrv_sessions.tokens_socket
                await here.with_options(write_concern=WriteConcern(1)).insert_one({}, session=session)
                token = session.causal_token
            log.clear()
            async with reader.start_session(after=token) as session:
                with pytest.raises(NetworkTimeout, match="300 ms"):
                    await nearby(reader, "tokens_socket").find_one({}, session=session)
        assert log.names == ["ping", "find", "find"]  # the second is the retry of the first


async def test_a_read_that_is_slow_by_itself_is_not_ended(
    replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirmation, "WAIT_SECONDS", 0.4)
    async with two_clients(replica_set) as (writer, reader, log, _heard):
        await (
            (await fresh_collection(writer, "tokens_slow"))
            .with_options(write_concern=WriteConcern(3))
            .insert_one({"_id": 1})
        )
        async with writer.start_session() as session:
            await writer.wiredrv_sessions.tokens_slow.find_one({}, session=session)
            token = session.causal_token
        slow = [{"$set": {"x": {"$function": {"body": "function() { sleep(1000) }", "args": [], "lang": "js"}}}}]
        async with reader.start_session(after=token) as session:
            cursor = await nearby(reader, "tokens_slow").aggregate(slow, session=session)
            assert len(await cursor.to_list()) == 1
        assert log.names == ["ping", "aggregate", "hello", "hello", "aggregate"]
        assert all("maxTimeMS" not in command for command in log.sent("aggregate"))


async def test_a_primary_that_does_not_answer_delays_an_operation_by_a_limited_time(
    replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirmation, "ASK_SECONDS", 0.3)
    async with two_clients(replica_set) as (writer, reader, _log, heard):
        await fresh_collection(writer, "tokens_mute", 1)
        async with writer.start_session() as session:
            await writer.wiredrv_sessions.tokens_mute.find_one({}, session=session)
            token = session.causal_token
        await nearby(reader, "tokens_mute").find_one({})  # a connection of the secondary's
        primary = replica_set.primary().address
        for refuse in (False, True):
            fresh = write_causal_token(
                Timestamp((await server_time(replica_set)).time + 1, 1), None, UNKNOWN_DEPLOYMENT
            )
            async with fail_command(primary, "ping", times=1, block_ms=2000, app_name="sessions"):
                policy: Any = "refuse" if refuse else "ignore"
                async with reader.start_session(after=[token, fresh], invalid_token=policy) as session:
                    began = monotonic()
                    if refuse:
                        with pytest.raises(InvalidToken) as refused:
                            await nearby(reader, "tokens_mute").find_one({}, session=session)
                        assert refused.value.reason == "unavailable"
                        assert refused.value.__cause__ is not None
                    else:
                        await nearby(reader, "tokens_mute").find_one({}, session=session)
                        assert set(ignored(heard)) == {"unavailable"}
                    assert monotonic() - began < 1.5


async def test_the_time_limit_of_an_operation_includes_the_question(replica_set: ReplicaSet) -> None:
    async with two_clients(replica_set) as (writer, reader, log, heard):
        await fresh_collection(writer, "tokens_limit", 1)
        await reader.admin.command("ping")  # which opens a connection
        await nearby(reader, "tokens_limit").find_one({})
        async with writer.start_session() as session:
            await writer.wiredrv_sessions.tokens_limit.insert_one({}, session=session)
            token, time = session.causal_token, session.operation_time
        log.clear()
        async with (
            fail_command(replica_set.primary().address, "ping", times=1, block_ms=2000, app_name="sessions"),
            reader.start_session(after=token) as session,
        ):
            with pytest.raises(OperationTimeout, match="asking whether the deployment has reached"):
                await nearby(reader, "tokens_limit").find_one({}, session=session, timeout_ms=200)
            assert log.names == ["ping"]
            # Nothing is lost: the next one asks again.
            await nearby(reader, "tokens_limit").find_one({}, session=session)
        assert log.sent("find")[0]["readConcern"] == {"afterClusterTime": time}
        assert not ignored(heard)


async def test_a_cancellation_of_the_question_leaves_everything_as_it_was(replica_set: ReplicaSet) -> None:
    async with two_clients(replica_set) as (writer, reader, log, _heard):
        await fresh_collection(writer, "tokens_cancelled", 1)
        await reader.admin.command("ping")  # which opens a connection
        await nearby(reader, "tokens_cancelled").find_one({})
        async with writer.start_session() as session:
            await writer.wiredrv_sessions.tokens_cancelled.insert_one({}, session=session)
            token, time = session.causal_token, session.operation_time
        log.clear()
        async with (
            fail_command(replica_set.primary().address, "ping", times=1, block_ms=500, app_name="sessions"),
            reader.start_session(after=token) as session,
        ):
            with anyio.move_on_after(0.1):
                await nearby(reader, "tokens_cancelled").find_one({}, session=session)
            assert log.names[:1] == ["ping"]
            assert "find" not in log.names
            await nearby(reader, "tokens_cancelled").find_one({}, session=session)
        assert log.sent("find")[0]["readConcern"] == {"afterClusterTime": time}


# --- arguments ---


@pytest.mark.parametrize(
    "options, message",
    [
        ({"snapshot": True}, "leave out one of after and snapshot"),
        ({"causal_consistency": False}, "after= needs causal consistency"),
        ({"token_keys": "secret" * 8}, "token_keys must be TokenKeys"),
        ({"invalid_token": "raise"}, "invalid_token must be"),
        ({"after": b"bytes"}, "after takes a causal token"),
        ({"after": 7}, "after takes a causal token"),
        ({"after": [7]}, "after takes a causal token"),
        ({"after": {"a": "set"}}, "after takes a causal token"),
    ],
)
async def test_options_that_do_not_fit_are_refused(
    replica_set: ReplicaSet, options: dict[str, Any], message: str
) -> None:
    async with watched(replica_set) as (client, _):
        with pytest.raises(ConfigurationError, match=message) as refused:
            client.start_session(**{"after": "token", **options})
        assert "secret" not in str(refused.value)


async def test_nothing_after_is_as_if_it_was_not_given(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        for after in (None, [], [None]):
            async with client.start_session(after=after, snapshot=True) as session:
                assert session.causal_token is None
        async with client.start_session(after=[None], token_keys=KEYS, invalid_token="refuse") as session:
            await client.wiredrv_sessions.tokens.find_one({}, session=session)
        assert log.names == ["find"]


async def test_majority_reads_wait_too(replica_set: ReplicaSet) -> None:
    async with two_clients(replica_set) as (writer, reader, log, _):
        await fresh_collection(writer, "tokens_majority")
        durable = writer.wiredrv_sessions.get_collection("tokens_majority", write_concern=WriteConcern("majority"))
        async with writer.start_session() as session:
            await durable.insert_one({"_id": 1}, session=session)
            token = session.causal_token
        majority = nearby(reader, "tokens_majority").with_options(read_concern=ReadConcern("majority"))
        async with reader.start_session(after=token) as session:
            assert await majority.find_one({}, session=session) == {"_id": 1}
        assert set(log.sent("find")[0]["readConcern"]) == {"level", "afterClusterTime"}
