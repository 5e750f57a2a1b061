"""Spans of sessions, transactions and cursors, of what is cancelled, and of what the client does by itself."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

import wiredrv
from tests.support.commands import Canceller, fresh_collection, primary_of
from tests.support.failpoints import fail_command
from tests.support.spans import SpanWatch
from tests.support.waiting import until
from wiredrv.errors import OperationFailure
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

NAME = "tracing"
SPACE = "wiredrv_sessions.tracing"
FIND = (f"find {SPACE}", "find")
INSERT = (f"insert {SPACE}", "insert")
COMMIT = ("commitTransaction admin", "commitTransaction")
ABORT = ("abortTransaction admin", "abortTransaction")


@asynccontextmanager
async def traced(
    replica_set: ReplicaSet, watch: SpanWatch, *listeners: Any
) -> AsyncIterator[tuple[wiredrv.Client, wiredrv.Collection]]:
    """A traced client and an empty collection. Every span has ended when the client is closed."""
    async with wiredrv.Client(
        replica_set.uri, appName=NAME, tracing=watch.option(1000), event_listeners=listeners
    ) as client:
        collection = await fresh_collection(client, "tracing")
        await collection.insert_many([{"_id": number} for number in range(5)])
        watch.clear()
        yield client, collection
    await until(lambda: not _open(watch), f"these spans end: {watch.open}")


def _open(watch: SpanWatch) -> list[str]:
    """The spans of the driver that are not ended."""
    return [name for name in watch.open if "request" not in name]


async def test_operations_of_bound_sessions_are_part_of_their_transaction(replica_set: ReplicaSet) -> None:
    watch = SpanWatch()
    async with traced(replica_set, watch) as (client, collection):
        with watch.request("request"):
            async with client.start_session() as session, session.bind(end_session=False):
                async with session.start_transaction():
                    await collection.insert_one({})
                    await collection.bulk_write([wiredrv.InsertOne({}), wiredrv.DeleteOne({})])
                    await collection.estimated_document_count()  # it takes no session
                    with wiredrv.unbound():
                        await collection.find_one({})
                await collection.find_one({})
        bulk = (f"bulkWrite {SPACE}", "insert", "delete")
        assert watch.outline == [
            ("request", ("transaction", INSERT, bulk, COMMIT), (f"count {SPACE}", "count"), FIND, FIND)
        ]
        assert dict(watch.one("transaction").attributes or {}) == {"db.system.name": "mongodb"}
        assert watch.failed() == []


async def test_transactions_of_concurrent_tasks_are_apart(replica_set: ReplicaSet) -> None:
    watch = SpanWatch()

    async def work(client: wiredrv.Client, collection: wiredrv.Collection, number: int) -> None:
        with watch.request(f"request {number}"):
            async with client.transaction():
                await collection.find_one({})
                await collection.insert_one({"_id": f"task {number}"})

    async with traced(replica_set, watch) as (client, collection):
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(work, client, collection, number)
        expected = [(f"request {number}", ("transaction", FIND, INSERT, COMMIT)) for number in range(20)]
        assert sorted(watch.outline) == sorted(expected)


async def test_an_abort_that_is_asked_for_is_no_failure_and_that_of_a_failed_block_is_one(
    replica_set: ReplicaSet,
) -> None:
    watch = SpanWatch()
    async with traced(replica_set, watch) as (client, collection), client.start_session() as session:
        session.start_transaction()
        await collection.insert_one({}, session=session)
        await session.abort_transaction()
        assert watch.outline == [("transaction", INSERT, ABORT)]
        assert watch.failed() == []
        watch.clear()

        async def fail() -> None:
            async with session.start_transaction():
                await collection.insert_one({}, session=session)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert watch.outline == [("transaction", INSERT, ABORT)]
        assert watch.failed() == ["transaction"]
        # An empty transaction sends nothing.
        watch.clear()
        async with session.start_transaction():
            pass
        assert watch.outline == ["transaction"]


async def test_each_attempt_of_with_transaction_has_its_own_span(replica_set: ReplicaSet) -> None:
    watch = SpanWatch()
    async with traced(replica_set, watch) as (client, collection), client.start_session() as session:

        async def callback(session: wiredrv.ClientSession) -> None:
            await collection.insert_one({}, session=session)

        data = {"errorCode": 24, "errorLabels": ["TransientTransactionError"]}
        async with fail_command(primary_of(client), "insert", app_name=NAME, data=data):
            with watch.request("request"):
                await session.with_transaction(callback)
        assert watch.outline == [("request", ("transaction", INSERT, ABORT), ("transaction", INSERT, COMMIT))]
        # The server had ended the transaction already, so it refuses the abort; nobody gets that error.
        assert watch.failed() == ["insert", f"insert {SPACE}", "abortTransaction", "transaction"]


async def test_a_commit_that_is_sent_again_belongs_to_the_same_span(replica_set: ReplicaSet) -> None:
    watch = SpanWatch()
    async with traced(replica_set, watch) as (client, collection), client.start_session() as session:

        async def callback(session: wiredrv.ClientSession) -> None:
            await collection.insert_one({}, session=session)

        data = {"writeConcernError": {"code": 64, "errmsg": "it takes too long"}}
        async with fail_command(primary_of(client), "commitTransaction", app_name=NAME, data=data):
            await session.with_transaction(callback)
        assert watch.outline == [("transaction", INSERT, COMMIT, COMMIT)]
        assert watch.failed() == ["commitTransaction admin"]
        assert watch.finished[-1].name == "transaction"


async def test_a_commit_whose_result_stays_unknown_ends_its_span_when_it_ended(replica_set: ReplicaSet) -> None:
    watch = SpanWatch()
    async with traced(replica_set, watch) as (client, collection):
        data = {"writeConcernError": {"code": 64, "errmsg": "it takes too long"}}
        failing = fail_command(primary_of(client), "commitTransaction", app_name=NAME, data=data)
        async with failing, client.start_session() as session:
            session.start_transaction()
            await collection.insert_one({}, session=session)
            with pytest.raises(wiredrv.errors.WriteConcernError):
                await session.commit_transaction()
            with watch.request("something later"):
                await collection.find_one({}, session=session)
        assert watch.failed() == ["commitTransaction admin", "transaction"]
        transaction, later = watch.one("transaction"), watch.one("something later")
        assert "not known" in str(transaction.status.description)
        assert (transaction.end_time or 0) <= (later.start_time or 0)


async def test_retries_are_commands_of_one_operation(replica_set: ReplicaSet) -> None:
    watch = SpanWatch()
    async with traced(replica_set, watch) as (client, collection):
        async with fail_command(primary_of(client), "find", app_name=NAME, data={"closeConnection": True}):
            await collection.find_one({})
        assert watch.outline == [(f"find {SPACE}", "find", "find")]
        assert watch.failed() == ["find"]


async def test_batches_and_the_closing_of_a_cursor_are_operations(replica_set: ReplicaSet) -> None:
    watch = SpanWatch()
    async with traced(replica_set, watch) as (_, collection):
        cursor = collection.find({}, batch_size=2)
        for _ in range(3):
            await cursor.next()
        number = cursor.cursor_id
        await cursor.close()
        assert watch.outline == [FIND, (f"getMore {SPACE}", "getMore"), (f"killCursors {SPACE}", "killCursors")]
        assert number
        for name in ("find", "getMore", "killCursors"):
            assert (watch.one(name).attributes or {})["db.mongodb.cursor_id"] == number


@pytest.mark.parametrize("hold", [200, 1500])
async def test_a_cancelled_operation_ends_its_spans_and_what_cleans_up_is_below_it(
    replica_set: ReplicaSet, hold: int
) -> None:
    watch = SpanWatch()
    canceller = Canceller("find")
    async with traced(replica_set, watch, canceller) as (client, collection):
        async with fail_command(primary_of(client), "find", app_name=NAME, block_ms=hold):
            with watch.request("request"):
                with canceller.cancelling() as scope:
                    await collection.find({}, batch_size=2).to_list()
                assert scope.cancelled_caught
                assert watch.failed() == ["find", f"find {SPACE}"]
                assert watch.open[0] == "request"
        # The reply came in time, and its cursor is killed; or it did not, and its session is.
        cleaning = "killCursors" if hold == 200 else "killSessions"
        await until(lambda: bool(watch.named(cleaning)), cleaning)
        assert watch.outline == [("request", (f"find {SPACE}", "find", cleaning))]


async def test_the_abort_after_a_cancellation_is_part_of_its_transaction(replica_set: ReplicaSet) -> None:
    watch = SpanWatch()
    canceller = Canceller("insert")
    async with traced(replica_set, watch, canceller) as (client, collection):
        async with fail_command(primary_of(client), "insert", app_name=NAME, block_ms=1500):
            with watch.request("request"), canceller.cancelling():
                async with client.transaction():
                    await collection.insert_one({})
            with watch.request("another request"):
                await until(lambda: bool(watch.named("transaction")), "the transaction ends")
                await until(lambda: not _open(watch), f"these spans end: {watch.open}")
        first, second = watch.outline
        assert second == "another request"
        assert first[0] == "request"
        assert first[1][0] == "transaction"
        assert first[1][1][:2] == INSERT
        assert "transaction" in watch.failed()


async def test_what_the_client_does_by_itself_belongs_to_no_request(replica_set: ReplicaSet) -> None:
    watch = SpanWatch()
    with watch.request("request that opens the client"):
        async with traced(replica_set, watch) as (_, collection):
            cursor = collection.find({}, batch_size=2)
            await cursor.next()
            watch.clear()
            with watch.request("another request"):
                del cursor
                gc.collect()
                await until(lambda: bool(watch.named("killCursors")), "the cursor is killed")
            assert watch.outline == ["another request", (f"killCursors {SPACE}", "killCursors")]
            watch.clear()
            await collection.find_one({})
        assert ("endSessions admin", "endSessions") in watch.outline


@pytest.mark.filterwarnings("ignore:a session started at:ResourceWarning")
async def test_a_transaction_that_is_collected_ends_its_span_after_the_abort(replica_set: ReplicaSet) -> None:
    watch = SpanWatch()
    async with traced(replica_set, watch) as (client, collection):
        with watch.request("request"):
            session = client.start_session()
            session.start_transaction()
            await collection.insert_one({}, session=session)
        circle: list[Any] = [session]
        circle.append(circle)  # only the garbage collector frees it
        del session, circle
        with watch.request("another request"):
            gc.collect()
            await until(lambda: bool(watch.named("transaction")), "the transaction ends")
        assert watch.outline == [("request", ("transaction", INSERT, ABORT)), "another request"]


async def test_what_is_read_ahead_belongs_to_the_reader(replica_set: ReplicaSet) -> None:
    watch = SpanWatch()
    async with traced(replica_set, watch) as (_, collection):
        with watch.request("request"):
            found = await collection.find({}, batch_size=2, prefetch=True).to_list()
        assert len(found) == 5
        more = (f"getMore {SPACE}", "getMore")
        assert watch.outline == [("request", FIND, more, more)]


async def test_each_batch_that_the_server_streams_is_an_operation(replica_set: ReplicaSet) -> None:
    watch = SpanWatch()
    async with traced(replica_set, watch) as (_, collection):
        cursor = collection.find({}, batch_size=2, cursor_type=wiredrv.CursorType.EXHAUST)
        assert len(await cursor.to_list()) == 5
        more = (f"getMore {SPACE}", "getMore")
        assert watch.outline == [FIND, more, more]


async def test_change_streams_and_files_have_the_spans_of_their_operations(replica_set: ReplicaSet) -> None:
    watch = SpanWatch()
    async with traced(replica_set, watch) as (client, collection):
        with watch.request("stream request"):
            async with collection.watch(max_await_time_ms=10) as stream:
                await stream.try_next()
        names = {span.name for span in watch.finished}
        assert {f"aggregate {SPACE}", "aggregate", f"killCursors {SPACE}"} <= names
        watch.clear()
        with watch.request("file request"):
            async with wiredrv.GridFSBucket(client.wiredrv_sessions).open_upload_stream("tracing") as file:
                await file.write(b"x")
        ((request, *operations),) = watch.outline
        assert request == "file request"
        assert ("insert wiredrv_sessions.fs.chunks", "insert") in operations
        assert ("insert wiredrv_sessions.fs.files", "insert") in operations


async def test_the_commands_of_a_session_carry_its_id_and_numbers(replica_set: ReplicaSet) -> None:
    watch = SpanWatch()
    async with traced(replica_set, watch) as (client, collection), client.start_session() as session:
        lsid = str(session.session_id["id"].as_uuid())
        async with session.start_transaction():
            await collection.insert_one({"_id": "x"}, session=session)
        for name in ("insert", "commitTransaction"):
            attributes = watch.one(name).attributes or {}
            assert attributes["db.mongodb.lsid"] == lsid
            assert attributes["db.mongodb.txn_number"] == session._state.server_session.txn_number
        text = str((watch.one("insert").attributes or {})["db.query.text"])
        assert '"documents": [{"_id": "x"}]' in text
        assert "lsid" not in text
        with pytest.raises(OperationFailure):
            await collection.insert_one({"_id": "x"}, session=session)
        assert watch.failed() == [f"insert {SPACE}"]
