"""``timeoutMS`` and ``wiredrv.timeout`` on real servers: sessions, transactions, cursors, pools, failures.

What they leave behind is checked with each: no connection in use, no transaction open, no cursor, no session.
"""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

import wiredrv
from tests.support.commands import APP_NAME, CommandLog, fresh_collection, primary_of, sessions_back, watched
from tests.support.failpoints import FailPoint, fail_command
from tests.support.waiting import PATIENCE, until
from wiredrv import ClientSession
from wiredrv.errors import (
    TRANSIENT_TRANSACTION,
    UNKNOWN_COMMIT_RESULT,
    ConfigurationError,
    DriverError,
    InvalidOperation,
    NetworkTimeout,
    OperationFailure,
    OperationTimeout,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
)
from wiredrv.local import ReplicaSet
from wiredrv.session.transaction import Outcome

pytestmark = pytest.mark.anyio

#: Milliseconds of a limit that passes, and for which a fail point holds a command back.
LIMIT, LATE = 300, 1500


@asynccontextmanager
async def scene(
    replica_set: ReplicaSet, *, documents: int = 0, **options: Any
) -> AsyncIterator[tuple[wiredrv.Collection, CommandLog]]:
    """A fresh collection; at the end nothing may be in use, here or on the server."""
    async with watched(replica_set, **options) as (client, log):
        collection = await fresh_collection(client, "timeouts", documents)
        log.clear()
        with anyio.fail_after(PATIENCE):
            yield collection, log
        await until(lambda: _in_use(client) == 0, "no connection is in use")
        assert await _open_transactions(client) == 0
        await sessions_back(client)


def _in_use(client: wiredrv.Client) -> int:
    return sum(len(server.pool.state.in_use) for server in client._core.topology.servers.values())


async def _open_transactions(client: wiredrv.Client) -> int:
    """Of a server; those that are being aborted are given some time."""
    for _ in range(20):
        status = await client["admin"].command("serverStatus", timeout_ms=0)
        if not status["transactions"]["currentOpen"]:
            return 0
        await anyio.sleep(0.1)
    return int(status["transactions"]["currentOpen"])


def held(collection: wiredrv.Collection, *commands: str, times: int = 1) -> Any:
    """Hold commands back for longer than the limit."""
    address = primary_of(collection.database.client)
    return fail_command(address, *commands, times=times, block_ms=LATE, app_name=APP_NAME)


# --- what is sent ---


async def test_without_a_limit_nothing_about_time_is_sent(replica_set: ReplicaSet) -> None:
    async with scene(replica_set) as (collection, log):
        await collection.insert_one({"_id": 1})
        await collection.find_one({})
        assert all("maxTimeMS" not in command for command in log.sent())


async def test_the_server_is_told_the_time_that_is_left(replica_set: ReplicaSet) -> None:
    async with scene(replica_set, timeoutMS=90_000) as (collection, log):
        await collection.find_one({})
        await collection.find_one({}, timeout_ms=20_000)
        await collection.with_options(timeout_ms=10_000).find_one({})
        with wiredrv.timeout(5):
            await collection.find_one({})
            with wiredrv.timeout(3600):
                await collection.find_one({}, timeout_ms=60_000)
        await collection.find_one({}, timeout_ms=0)
        times = [command.get("maxTimeMS", 0) for command in log.sent("find")]
        for told, most in zip(times[:5], (90_000, 20_000, 10_000, 5000, 5000), strict=True):
            assert most - 4000 < told <= most
        assert times[5] == 0


async def test_a_limit_counts_for_the_whole_of_a_block(replica_set: ReplicaSet) -> None:
    async with scene(replica_set) as (collection, log):
        with wiredrv.timeout(5):
            await collection.find_one({})
            await anyio.sleep(0.5)
            await collection.find_one({})
        first, second = (command["maxTimeMS"] for command in log.sent("find"))
        assert second <= first - 500


async def test_tasks_of_a_block_have_its_limit_until_it_is_left(replica_set: ReplicaSet) -> None:
    async with scene(replica_set) as (collection, log), anyio.create_task_group() as group:
        begun, left = anyio.Event(), anyio.Event()

        async def child() -> None:
            await collection.find_one({})
            begun.set()
            await left.wait()
            await collection.find_one({})

        with wiredrv.timeout(5):
            group.start_soon(child)
            await begun.wait()
        left.set()
    assert ["maxTimeMS" in command for command in log.sent("find")] == [True, False]


# --- when it is up ---


async def test_an_operation_that_runs_out_of_time_says_where(replica_set: ReplicaSet) -> None:
    async with scene(replica_set) as (collection, log), held(collection, "find"):
        started = anyio.current_time()
        with pytest.raises(DriverError, match=f"the time limit of {LIMIT} ms went to .*the server") as caught:
            await collection.find_one({}, timeout_ms=LIMIT)
        assert caught.value.timeout
        assert anyio.current_time() - started < LATE / 1000
        assert log.names == ["find"], "nothing is sent to clean up"


async def test_server_selection_is_named_where_it_took_the_time() -> None:
    async with wiredrv.Client("mongodb://invalid.invalid/") as client:
        with pytest.raises(
            ServerSelectionTimeoutError, match=r"the time limit of 100 ms went to server selection \("
        ) as no:
            await client.shop.orders.find_one({}, timeout_ms=100)
        assert no.value.timeout
        assert "30" not in str(no.value).partition("Topology")[0]


@pytest.mark.parametrize("code", [134, 262])
async def test_retries_are_named_and_are_few(replica_set: ReplicaSet, code: int) -> None:
    """A server that refuses at once does not receive thousands of commands."""
    async with scene(replica_set) as (collection, log):
        address = primary_of(collection.database.client)
        async with fail_command(address, "find", times=10_000, data={"errorCode": code}, app_name=APP_NAME):
            with pytest.raises(DriverError, match="the time limit of 500 ms went to") as caught:
                await collection.find_one({}, timeout_ms=500)
        assert caught.value.timeout
        assert re.search(
            r"the server \(\d+ ms, \d+ attempts\).* and pauses between attempts \(\d+ ms\)", str(caught.value)
        )
        assert isinstance(caught.value.__cause__, OperationFailure)
        assert 3 <= log.names.count("find") < 60


async def test_a_limit_that_ends_in_an_attempt_hides_no_earlier_failure(replica_set: ReplicaSet) -> None:
    async with scene(replica_set) as (collection, log):
        address = primary_of(collection.database.client)
        slowly = {"errorCode": 262, "blockConnection": True, "blockTimeMS": 200}
        async with fail_command(address, "find", times=10_000, data=slowly, app_name=APP_NAME):
            with pytest.raises(DriverError, match=r"the attempt before failed with .*: .*262") as caught:
                await collection.find_one({}, timeout_ms=500)
        assert caught.value.timeout
        assert isinstance(caught.value.__cause__, OperationFailure)
        assert log.names.count("find") > 1


async def test_without_an_end_there_are_few_retries_too(replica_set: ReplicaSet) -> None:
    async with scene(replica_set, documents=1, timeoutMS=0) as (collection, log):
        address = primary_of(collection.database.client)
        async with fail_command(address, "find", times=10_000, data={"errorCode": 262}, app_name=APP_NAME):
            with anyio.move_on_after(1) as scope:
                await collection.find_one({})
        assert scope.cancelled_caught
        assert 3 <= log.names.count("find") < 60
        assert await collection.find_one({}) is not None


async def test_the_wait_for_a_connection_is_part_of_it(replica_set: ReplicaSet) -> None:
    async with (
        scene(replica_set, maxPoolSize=1, waitQueueTimeoutMS=1) as (collection, _),
        anyio.create_task_group() as group,
        held(collection, "find") as point,
    ):
        await _blocking(group, collection, point)
        with pytest.raises(WaitQueueTimeoutError, match=r"went to .*a connection") as caught:
            await collection.insert_one({}, timeout_ms=LIMIT)
        assert caught.value.timeout


async def _blocking(group: anyio.abc.TaskGroup, collection: wiredrv.Collection, point: FailPoint) -> None:
    """A find that holds its connection."""

    async def find() -> None:
        await collection.find_one({}, timeout_ms=0)

    group.start_soon(find)
    await point.wait_until_entered()


async def test_the_turn_in_a_session_is_part_of_it(replica_set: ReplicaSet) -> None:
    async with scene(replica_set) as (collection, log), collection.database.client.start_session() as session:

        async def find() -> None:
            await collection.find_one({}, session=session)

        async with anyio.create_task_group() as group, held(collection, "find") as point:
            group.start_soon(find)
            await point.wait_until_entered()
            with pytest.raises(OperationTimeout, match="waiting for its turn in the session, behind 'find'"):
                await collection.insert_one({}, session=session, timeout_ms=LIMIT)
        await collection.insert_one({"_id": 1}, session=session)
        assert log.names == ["find", "insert"]


async def test_a_bulk_waits_for_its_turn_no_longer_than_a_block_in_with_transaction(replica_set: ReplicaSet) -> None:
    async with scene(replica_set) as (collection, log), collection.database.client.start_session() as session:

        async def find() -> None:
            await collection.find_one({}, session=session)

        async def callback(session: ClientSession) -> None:
            async with anyio.create_task_group() as group, held(collection, "find") as point:
                group.start_soon(find)
                await point.wait_until_entered()
                with (
                    wiredrv.timeout(LIMIT / 1000),
                    pytest.raises(OperationTimeout, match=f"{LIMIT} ms went to waiting for its turn in the session"),
                ):
                    await collection.bulk_write([wiredrv.InsertOne({})], session=session)

        await session.with_transaction(callback, timeout_ms=60_000)
        assert log.names == ["find", "commitTransaction"]


@pytest.mark.parametrize("how", ["abort", "end", "block"])
async def test_the_turn_of_an_abort_is_part_of_its_limit(replica_set: ReplicaSet, how: str) -> None:
    """The call returns in time; the background aborts the transaction when the turn comes."""
    async with scene(replica_set) as (collection, log):
        session = collection.database.client.start_session()
        told: list[str] = []
        times: list[float] = []

        async def find() -> None:
            await collection.find_one({}, session=session)

        session.start_transaction()
        session.on_abort(lambda: told.append("aborted"))
        async with anyio.create_task_group() as group, held(collection, "find") as point:
            group.start_soon(find)
            await point.wait_until_entered()
            started = anyio.current_time()
            if how == "abort":
                await session.abort_transaction(timeout_ms=LIMIT)
            elif how == "end":
                await session.end_session(timeout_ms=LIMIT)
            else:
                with wiredrv.timeout(LIMIT / 1000):
                    await session.end_session()
            times.append(anyio.current_time() - started)
            assert log.names == ["find"]
        assert times[0] < LATE / 1000
        await until(lambda: told == ["aborted"], "the transaction is aborted")
        assert log.names == ["find", "abortTransaction"]
        await session.end_session()


async def test_a_bulk_has_one_limit(replica_set: ReplicaSet) -> None:
    async with scene(replica_set) as (collection, log), held(collection, "update"):
        with pytest.raises(DriverError) as caught:
            await collection.bulk_write(
                [
                    wiredrv.InsertOne({"_id": 1}),
                    wiredrv.UpdateOne({"_id": 1}, {"$set": {"a": 1}}),
                    wiredrv.DeleteOne({"_id": 1}),
                ],
                timeout_ms=LIMIT,
            )
        assert caught.value.timeout
        assert log.names == ["insert", "update"]
        assert caught.value.partial_result.inserted_count == 1


# --- transactions ---


async def test_a_commit_that_runs_out_of_time_has_an_unknown_outcome(replica_set: ReplicaSet) -> None:
    async with scene(replica_set) as (collection, log), collection.database.client.start_session() as session:
        session.start_transaction()
        await collection.insert_one({"_id": 1}, session=session)
        told: list[str] = []
        session.on_unknown(lambda: told.append("unknown"))
        session.on_commit(lambda: told.append("committed"))
        session.on_abort(lambda: told.append("aborted"))
        async with held(collection, "commitTransaction"):
            with pytest.raises(DriverError) as caught:
                await session.commit_transaction(timeout_ms=LIMIT)
            assert session._state.transaction.outcome is Outcome.UNKNOWN
        assert caught.value.timeout
        assert caught.value.has_error_label(UNKNOWN_COMMIT_RESULT)
        with pytest.raises(InvalidOperation, match="Cannot call abortTransaction after calling commitTransaction"):
            await session.abort_transaction()
        await session.commit_transaction()
        assert told == ["unknown", "committed"]
        assert "abortTransaction" not in log.names
        assert await collection.count_documents({}) == 1


async def test_a_statement_that_was_not_answered_makes_its_transaction_abort_only(replica_set: ReplicaSet) -> None:
    async with scene(replica_set) as (collection, log), collection.database.client.start_session() as session:
        session.start_transaction()
        await collection.insert_one({"_id": 1}, session=session)
        await _lose_an_answer(collection, session)
        with pytest.raises(InvalidOperation, match="can only be aborted") as caught:
            await collection.insert_one({"_id": 3}, session=session)
        assert caught.value.has_error_label(TRANSIENT_TRANSACTION)
        with pytest.raises(InvalidOperation, match="not answered in time"):
            await session.commit_transaction()
        assert log.names[:3] == ["insert", "insert", "abortTransaction"]
        assert await collection.count_documents({}) == 0


async def _lose_an_answer(collection: wiredrv.Collection, session: ClientSession) -> None:
    """A statement whose answer comes after the limit."""
    async with held(collection, "insert"):
        # Without telling the server, which might say in time that the time is up.
        operation = collection.insert_one({"_id": 2}, session=session, timeout_ms=LIMIT)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("wiredrv.execution.decorate._add_max_time", lambda *_: None)
            with pytest.raises(NetworkTimeout) as caught:
                await operation
    assert caught.value.has_error_label(TRANSIENT_TRANSACTION)


async def test_a_timeout_in_a_bound_transaction_aborts_it(replica_set: ReplicaSet) -> None:
    async def late(collection: wiredrv.Collection) -> None:
        async with collection.database.client.transaction():
            await collection.insert_one({"_id": 1})
            async with held(collection, "insert"):
                with wiredrv.timeout(LIMIT / 1000):
                    await collection.insert_one({"_id": 2})

    async with scene(replica_set) as (collection, log):
        with pytest.raises(DriverError) as caught:
            await late(collection)
        assert caught.value.timeout
        assert log.names[:3] == ["insert", "insert", "abortTransaction"]
        assert await collection.count_documents({}) == 0


async def test_with_transaction_has_one_limit_and_its_abort_another(replica_set: ReplicaSet) -> None:
    async with scene(replica_set) as (collection, log), collection.database.client.start_session() as session:

        async def callback(session: ClientSession) -> None:
            await collection.insert_one({"_id": 1}, session=session)
            await collection.insert_one({"_id": 2}, session=session)

        async with held(collection, "insert"):
            with pytest.raises(DriverError) as caught:
                await session.with_transaction(callback, timeout_ms=LIMIT)
        assert caught.value.timeout
        assert log.names[:2] == ["insert", "abortTransaction"]
        assert LIMIT - 50 <= log.sent("abortTransaction")[0]["maxTimeMS"] <= LIMIT
        # The session is free of the limit.
        assert session._state.limit is None
        await collection.insert_one({"_id": 3}, session=session, timeout_ms=30_000)
        await session.with_transaction(callback)
        assert await collection.count_documents({}) == 3


async def test_a_block_shortens_with_transaction(replica_set: ReplicaSet) -> None:
    async with scene(replica_set) as (collection, log), collection.database.client.start_session() as session:

        async def callback(session: ClientSession) -> None:
            with wiredrv.timeout(2):
                await collection.insert_one({"_id": 1}, session=session)
            with pytest.raises(ConfigurationError, match="callback of with_transaction"):
                await session.commit_transaction(timeout_ms=5)

        with wiredrv.timeout(5):
            await session.with_transaction(callback, timeout_ms=60_000)
        (insert,), (commit,) = log.sent("insert"), log.sent("commitTransaction")
        assert insert["maxTimeMS"] <= 2000
        assert 2000 < commit["maxTimeMS"] <= 5000


async def test_a_cancellation_before_the_limit_is_settled_as_ever(replica_set: ReplicaSet) -> None:
    async with scene(replica_set) as (collection, log), collection.database.client.start_session() as session:
        async with held(collection, "insert"):
            with anyio.move_on_after(0.2) as scope:
                async with session.start_transaction():
                    await collection.insert_one({"_id": 1}, session=session, timeout_ms=60_000)
            assert scope.cancelled_caught
        await until(lambda: "abortTransaction" in log.names or "killSessions" in log.names, "it is cleaned up")


async def test_transfers_that_run_out_of_time_are_applied_as_they_say(replica_set: ReplicaSet) -> None:
    """Random limits end transactions everywhere: no money is lost, and what each call said is true."""
    chance = random.Random(7)
    async with scene(replica_set, documents=2, maxPoolSize=4) as (collection, _):
        client = collection.database.client
        await collection.update_many({}, {"$set": {"balance": 1000}})
        ledger = await fresh_collection(client, "timeouts_ledger")
        said: dict[int, str] = {}
        timeouts: list[bool] = []

        async def transfer(number: int) -> None:
            async def callback(session: ClientSession) -> None:
                await collection.update_one({"_id": 0}, {"$inc": {"balance": -1}}, session=session)
                await ledger.insert_one({"_id": number}, session=session)
                await collection.update_one({"_id": 1}, {"$inc": {"balance": 1}}, session=session)

            async with client.start_session() as session:
                try:
                    await session.with_transaction(callback, timeout_ms=chance.choice((1, 2, 3, 4, 6, 8, 12, 20, 500)))
                    said[number] = "committed"
                except DriverError as error:
                    timeouts.append(error.timeout)
                    unknown = error.has_error_label(UNKNOWN_COMMIT_RESULT)
                    said[number] = "unknown" if unknown else "aborted"

        async with anyio.create_task_group() as group:
            for worker in range(4):

                async def work(worker: int = worker) -> None:
                    for number in range(20):
                        await transfer(worker * 20 + number)

                group.start_soon(work)
        assert await _open_transactions(client) == 0
        written = {document["_id"] async for document in ledger.find({})}
        assert {number for number, what in said.items() if what == "committed"} <= written
        assert not {number for number, what in said.items() if what == "aborted"} & written
        first, second = [document["balance"] async for document in collection.find({}, sort="_id")]
        assert (first, second) == (1000 - len(written), 1000 + len(written))
        assert {"committed", "aborted"} <= set(said.values())
        assert all(timeouts)


async def test_a_frozen_primary_holds_nobody_longer_than_the_limit(disturbed_replica_set: ReplicaSet) -> None:
    async with watched(disturbed_replica_set) as (client, _):
        collection = await fresh_collection(client, "timeouts_frozen")
        server = disturbed_replica_set.primary()
        async with client.start_session() as session:
            session.start_transaction()
            await collection.insert_one({"_id": 1}, session=session)
            server.freeze()
            try:
                started = anyio.current_time()
                with pytest.raises(DriverError) as caught:
                    await session.commit_transaction(timeout_ms=LIMIT)
                assert anyio.current_time() - started < LATE / 1000
            finally:
                server.thaw()
            assert caught.value.timeout
            assert caught.value.has_error_label(UNKNOWN_COMMIT_RESULT)
            assert session._state.transaction.outcome is Outcome.UNKNOWN
            refusal: DriverError | None = None
            try:
                await session.commit_transaction(timeout_ms=20_000)
            except DriverError as error:
                refusal = error
        assert refusal is None or not refusal.has_error_label(UNKNOWN_COMMIT_RESULT)
        assert await collection.count_documents({}) == (1 if refusal is None else 0)


# --- cursors ---


async def test_closing_a_cursor_that_ran_out_of_time_kills_it(replica_set: ReplicaSet) -> None:
    async with scene(replica_set, documents=6) as (collection, log):
        async with held(collection, "getMore"):
            cursor = collection.find({}, batch_size=2, timeout_ms=LIMIT)
            with pytest.raises(DriverError) as caught:
                await cursor.to_list()
            assert caught.value.timeout
        assert log.names[:2] == ["find", "getMore"]
        assert "maxTimeMS" in log.sent("find")[0]
        assert "maxTimeMS" not in log.sent("getMore")[0]
        await cursor.close()
        assert LIMIT - 50 <= log.sent("killCursors")[0]["maxTimeMS"] <= LIMIT


async def test_a_cursor_that_ran_out_of_time_is_killed_although_nobody_closes_it(replica_set: ReplicaSet) -> None:
    async with scene(replica_set, documents=6) as (collection, log):
        async with held(collection, "getMore"):
            with pytest.raises(DriverError):
                await collection.find({}, batch_size=2, timeout_ms=LIMIT).to_list()
        await until(lambda: "killCursors" in log.names, "the cursor is killed")


async def test_a_cursor_whose_reader_ran_out_of_time_in_a_block_is_killed(replica_set: ReplicaSet) -> None:
    async with scene(replica_set, documents=6) as (collection, log):
        cursor = collection.find({}, batch_size=2)
        await cursor.next()
        async with held(collection, "getMore"):
            with pytest.raises(NetworkTimeout), wiredrv.timeout(LIMIT / 1000):
                await cursor.to_list()
        await cursor.close()
        assert log.names.count("killCursors") == 1


async def test_a_killing_that_ran_out_of_time_is_repeated(replica_set: ReplicaSet) -> None:
    async with scene(replica_set, documents=6) as (collection, log):
        async with collection.database.client.start_session() as session, session.start_transaction():
            cursor = collection.find({}, batch_size=2, session=session, timeout_ms=LIMIT)
            await cursor.next()
            async with held(collection, "killCursors"):
                await cursor.close()
        await until(lambda: log.names.count("killCursors") == 2, "the cursor is killed")
        assert log.names.count("commitTransaction") == 1


@pytest.mark.parametrize("in_block", [False, True])
async def test_a_cursor_is_killed_although_no_connection_is_free_within_its_limit(
    replica_set: ReplicaSet, in_block: bool
) -> None:
    own: dict[str, Any] = {} if in_block else {"timeout_ms": LIMIT, "timeout_mode": "iteration"}
    async with scene(replica_set, documents=6, maxPoolSize=1) as (collection, log):
        cursor = collection.find({}, batch_size=2, **own)
        await cursor.to_list(2)
        async with anyio.create_task_group() as group, held(collection, "find") as point:
            await _blocking(group, collection, point)
            with wiredrv.timeout(LIMIT / 1000):
                with pytest.raises(WaitQueueTimeoutError):
                    await cursor.next()
                started = anyio.current_time()
                await cursor.close()
                assert anyio.current_time() - started < (LATE - 2 * LIMIT) / 1000
        await until(lambda: "killCursors" in log.names, "the cursor is killed")


async def test_documents_that_are_here_are_returned_after_the_limit(replica_set: ReplicaSet) -> None:
    async with (
        scene(replica_set, documents=6) as (collection, log),
        collection.find({}, batch_size=3, timeout_ms=LIMIT) as cursor,
    ):
        found = [await cursor.next()]
        await anyio.sleep(LIMIT / 1000 + 0.1)
        found += [await cursor.next(), await cursor.next()]
        assert len(found) == 3
        with pytest.raises(OperationTimeout):
            await cursor.next()
        assert "getMore" not in log.names


async def test_each_call_has_the_whole_limit_in_iteration_mode(replica_set: ReplicaSet) -> None:
    async with scene(replica_set, documents=6) as (collection, log):
        async with collection.find({}, batch_size=2, timeout_ms=LIMIT, timeout_mode="iteration") as cursor:
            found = []
            async for document in cursor:
                found.append(document)
                await anyio.sleep(LIMIT / 1000 / 3)
        assert len(found) == 6
        assert all("maxTimeMS" not in command for command in log.sent())
