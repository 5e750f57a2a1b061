"""The block in which all operations of a client run in one transaction that is aborted at its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

from tests.support.sharded_double import ShardedDouble
from wiredrv import Client, ClientSession, Database, InsertOne, ReadPreference, WriteConcern, record, unbound
from wiredrv.errors import (
    BulkWriteError,
    ConfigurationError,
    DriverError,
    DuplicateKeyError,
    InvalidOperation,
    OperationFailure,
)
from wiredrv.gridfs.bucket import GridFSBucket
from wiredrv.local import ReplicaSet
from wiredrv.testing.joined import RollbackError
from wiredrv.testing.rollback import rolled_back
from wiredrv.timeline.records import CommandRecord

pytestmark = pytest.mark.anyio


@pytest.fixture
def client(wiredrv_client: Client) -> Client:
    return wiredrv_client


@pytest.fixture
async def outside(replica_set: ReplicaSet) -> AsyncIterator[Client]:
    """Another client, which sees what is committed."""
    async with Client(replica_set.uri) as client:
        yield client


@pytest.fixture
async def db(database: Database) -> Database:
    """With a collection that has one document, made before the transaction."""
    await database.orders.insert_one({"_id": 1, "n": 0})
    return database


async def orders(outside: Client, db: Database) -> list[Any]:
    return [document["_id"] async for document in outside[db.name].orders.find(sort={"_id": 1})]


async def nothing_is_open(outside: Client) -> None:
    """No transaction and no cursor is left on the servers."""
    pipeline: list[dict[str, object]] = [{"$currentOp": {"allUsers": True, "idleSessions": True, "idleCursors": True}}]
    found = [entry async for entry in await outside.admin.aggregate(pipeline)]
    assert [entry for entry in found if entry.get("transaction")] == []
    cursors = [entry for entry in found if entry.get("type") == "idleCursor" and "rolled_back" in entry["ns"]]
    assert cursors == []


async def test_what_is_written_is_seen_within_and_undone_at_the_end(
    client: Client, outside: Client, db: Database
) -> None:
    async with rolled_back(client):
        await db.orders.insert_one({"_id": 2})
        await db.orders.insert_many([{"_id": 3}, {"_id": 4}])
        await db.orders.update_one({"_id": 1}, {"$set": {"n": 5}})
        await db.orders.delete_one({"_id": 4})
        assert await db.orders.count_documents({}) == 3
        assert await db.orders.find_one({"_id": 1}) == {"_id": 1, "n": 5}
        assert await orders(outside, db) == [1]
    assert await orders(outside, db) == [1]
    assert await db.orders.find_one() == {"_id": 1, "n": 0}
    await nothing_is_open(outside)
    await db.orders.insert_one({"_id": 9})
    assert await orders(outside, db) == [1, 9]


async def test_a_block_that_sends_nothing_is_no_transaction(client: Client, db: Database) -> None:
    async with rolled_back(client):
        pass
    assert await db.orders.count_documents({}) == 1


async def test_code_that_opens_transactions_joins(client: Client, outside: Client, db: Database) -> None:
    async with rolled_back(client):
        async with client.transaction():
            await db.orders.insert_one({"_id": 2})
        async with client.start_session() as session:
            async with session.start_transaction():
                await db.orders.insert_one({"_id": 3}, session=session)
            states = [session.in_transaction]
            session.start_transaction(write_concern=WriteConcern("majority"))
            await db.orders.insert_one({"_id": 4}, session=session)
            states.append(session.in_transaction)
            await session.commit_transaction()
            await session.commit_transaction()
            assert states == [False, True]

            async def callback(session: ClientSession) -> str:
                await db.orders.insert_one({"_id": 5}, session=session)
                return "done"

            assert await session.with_transaction(callback) == "done"
            assert session.operation_time is not None
        with unbound():
            assert await db.orders.count_documents({}) == 5
        assert await orders(outside, db) == [1]
    assert await orders(outside, db) == [1]
    await nothing_is_open(outside)


async def test_after_a_write_error_every_call_is_refused_with_that_cause(
    client: Client, outside: Client, db: Database
) -> None:
    async with rolled_back(client):
        with pytest.raises(DuplicateKeyError) as caught:
            await db.orders.insert_one({"_id": 1})
        assert "`database`" in caught.value.__notes__[0]
        with pytest.raises(RollbackError, match=r"'insert' failed, .* no savepoints.*`database`") as refused:
            await db.orders.find_one()
        assert refused.value.__cause__ is caught.value
        async with client.start_session() as session:
            with pytest.raises(RollbackError):
                session.start_transaction()
    assert await orders(outside, db) == [1]
    await nothing_is_open(outside)


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_bulk_with_write_errors_ends_the_transaction(client: Client, db: Database, ordered: bool) -> None:
    async with rolled_back(client):
        with pytest.raises(BulkWriteError):
            await db.orders.bulk_write([InsertOne({"_id": 1}), InsertOne({"_id": 2})], ordered=ordered)
        with pytest.raises(RollbackError) as refused:
            await db.orders.find().to_list()
        assert isinstance(refused.value.__cause__, BulkWriteError)


async def test_what_is_refused_here_ends_nothing(client: Client, db: Database) -> None:
    async with rolled_back(client):
        with pytest.raises(DriverError):
            await db.orders.insert_one({"_id": object()})
        with pytest.raises(ConfigurationError):
            db.orders.find(5)  # type: ignore[arg-type]  # not a filter
        assert await db.orders.count_documents({}) == 1


async def buy(db: Database, *, order: bool = True) -> None:
    async with db.client.transaction():
        assert await db.orders.find_one({"_id": 7}) is None
        if order:
            await db.orders.insert_one({"_id": 7})
        raise ValueError("no money")


async def test_an_inner_abort_after_a_write_ends_the_transaction(client: Client, outside: Client, db: Database) -> None:
    async with rolled_back(client):
        with pytest.raises(ValueError, match="no money"):
            await buy(db)
        with pytest.raises(
            RollbackError, match=r"aborted its own transaction, at .*test_rolled_back.*`database`"
        ) as no:
            await db.orders.find_one()
        assert no.value.__cause__ is not None
        assert "no money" in str(no.value.__cause__)
    assert await orders(outside, db) == [1]
    await nothing_is_open(outside)


async def test_an_abort_that_is_called_is_named(client: Client, db: Database) -> None:
    async with rolled_back(client), client.start_session() as session:
        session.start_transaction()
        await db.orders.insert_one({"_id": 2}, session=session)
        await session.abort_transaction()
        with pytest.raises(RollbackError, match="aborted its own") as refused:
            await db.orders.find_one(session=session)
        assert isinstance(refused.value.__cause__, RollbackError)


async def test_an_inner_abort_without_a_write_ends_nothing(client: Client, db: Database) -> None:
    async with rolled_back(client):
        await db.orders.insert_one({"_id": 2})
        with pytest.raises(ValueError, match="no money"):
            await buy(db, order=False)
        assert await db.orders.count_documents({}) == 2


async def test_a_write_that_was_not_sent_ends_nothing_at_the_inner_abort(client: Client, db: Database) -> None:
    async with rolled_back(client):
        await db.orders.insert_one({"_id": 2})
        with pytest.raises(DriverError):
            async with client.transaction():
                await db.orders.insert_one({"_id": object()})
        with pytest.raises(ValueError, match="no money"):
            await buy(db, order=False)
        assert await db.orders.count_documents({}) == 2
        with pytest.raises(ValueError, match="no money"):
            await buy(db)
        with pytest.raises(RollbackError, match="aborted its own"):
            await db.orders.find_one()


async def test_a_write_that_waits_for_its_turn_at_the_inner_abort_counts(client: Client, db: Database) -> None:
    async with rolled_back(client), anyio.create_task_group() as tasks:
        slow = {"$expr": {"$function": {"body": "function() { sleep(300); return true }", "args": [], "lang": "js"}}}
        tasks.start_soon(db.orders.find_one, slow)
        await anyio.sleep(0.05)

        async def write(session: ClientSession) -> None:
            with pytest.raises(RollbackError):
                await db.orders.insert_one({"_id": 3}, session=session)

        async with client.start_session() as session:
            session.start_transaction()
            tasks.start_soon(write, session)
            await anyio.sleep(0.05)
            await session.abort_transaction()
        with pytest.raises(RollbackError, match="aborted its own"):
            await db.orders.find_one()


async def test_a_transient_error_cannot_be_retried(client: Client, outside: Client, db: Database) -> None:
    calls = []

    async def callback(session: ClientSession) -> None:
        calls.append(1)
        await db.orders.update_one({"_id": 1}, {"$inc": {"n": 1}}, session=session)

    async with rolled_back(client), client.start_session() as session:
        await db.orders.find_one()
        await outside[db.name].orders.update_one({"_id": 1}, {"$inc": {"n": 1}})
        with pytest.raises(RollbackError, match=r"cannot try again.*`database`") as caught:
            await session.with_transaction(callback)
        assert isinstance(caught.value.__cause__, OperationFailure)
        assert caught.value.__cause__.has_error_label("TransientTransactionError")
        assert not caught.value.error_labels
        with pytest.raises(RollbackError):
            await session.with_transaction(callback)
    assert calls == [1]


@pytest.mark.parametrize("asked", [True, False])
async def test_on_commit_runs_only_if_asked_for(client: Client, db: Database, asked: bool) -> None:
    called: list[str] = []
    async with rolled_back(client, on_commit=asked):
        async with client.transaction() as session:
            await db.orders.insert_one({"_id": 2})
            session.on_commit(lambda: called.append("commit"))
            session.on_abort(lambda: called.append("abort"))
            with pytest.raises(ConfigurationError):
                session.on_commit(5)  # type: ignore[arg-type]  # not a function
        assert called == (["commit"] if asked else [])
    assert called == (["commit"] if asked else [])


async def test_on_abort_runs_at_the_inner_abort(client: Client) -> None:
    called: list[str] = []
    async with rolled_back(client), client.start_session() as session:
        session.start_transaction()
        session.on_abort(lambda: called.append("abort"))
        await session.abort_transaction()
        assert called == ["abort"]


REFUSED: dict[str, Callable[[Client, Database], Any]] = {
    "count": lambda client, db: db.orders.estimated_document_count(),
    "$out": lambda client, db: db.orders.aggregate([{"$out": "other"}]),
    "$merge": lambda client, db: db.orders.aggregate([{"$match": {}}, {"$merge": "other"}]),
    "listDatabases": lambda client, db: client.list_database_names(),
    "listCollections": lambda client, db: db.list_collection_names(),
    "listIndexes": lambda client, db: db.orders.index_information(),
    "drop": lambda client, db: db.orders.drop(),
    "dropDatabase": lambda client, db: client.drop_database(db),
    "dropIndexes": lambda client, db: db.orders.drop_indexes(),
    "renameCollection": lambda client, db: db.orders.rename("other"),
    "explain": lambda client, db: db.orders.find().explain(),
    "a view": lambda client, db: db.create_collection("view", viewOn="orders", pipeline=[]),
    "a time series": lambda client, db: db.create_collection("times", timeseries={"timeField": "at"}),
    "collStats": lambda client, db: db.command("collStats", "orders"),
    "a write concern": lambda client, db: db.command("insert", "orders", documents=[{}], writeConcern={"w": 1}),
    "a read concern": lambda client, db: db.command("find", "orders", readConcern={"level": "majority"}),
    "a read preference": lambda client, db: db.command("find", "orders", read_preference=ReadPreference.SECONDARY),
    "an unknown command": lambda client, db: db.command("nothing"),
    "config": lambda client, db: client.config.transactions.find_one(),
    "write concern of a bulk": lambda client, db: client.bulk_write(
        [InsertOne({}, namespace=f"{db.name}.orders")], write_concern=WriteConcern(1)
    ),
    "watch": lambda client, db: _first_event(db),
    "a scan": lambda client, db: _scan(db),
    "tailable": lambda client, db: db.orders.find(cursor_type=2).to_list(),
    "exhaust": lambda client, db: db.orders.find(cursor_type=64).to_list(),
}


async def _scan(db: Database) -> None:
    async with db.client.snapshot() as snap:
        async for _ in snap.scan(db.orders):
            pass


async def _first_event(db: Database) -> None:
    async with db.orders.watch() as stream:
        await stream.try_next()


@pytest.mark.parametrize("name", REFUSED)
async def test_what_no_transaction_permits_is_refused_before_it_is_sent(
    client: Client, db: Database, name: str
) -> None:
    async with rolled_back(client):
        with pytest.raises(RollbackError, match="`database`"):
            await REFUSED[name](client, db)
        # Also as its first statement: the transaction is as it was.
        await db.orders.insert_one({"_id": 2})
        with pytest.raises(RollbackError, match="`database`"):
            await REFUSED[name](client, db)
        assert await db.orders.count_documents({}) == 2


async def test_a_snapshot_session_is_refused(client: Client) -> None:
    async with rolled_back(client):
        with pytest.raises(RollbackError, match="snapshot"):
            client.start_session(snapshot=True)


async def test_what_concerns_no_documents_runs_outside(client: Client, db: Database) -> None:
    async with rolled_back(client):
        assert (await client.admin.command("ping"))["ok"] == 1
        await client.server_info()
        await db.orders.insert_one({"_id": 2})
        assert (await client.admin.command("ping"))["ok"] == 1
        assert await db.orders.count_documents({}) == 2


async def test_an_index_on_a_collection_that_exists_is_explained(client: Client, db: Database) -> None:
    await db.orders.create_index("n")
    async with rolled_back(client):
        await db.orders.create_index("n")  # it exists
        await db.new.create_index("n")  # on a new collection
        await db.new.insert_one({"n": 1})
        with pytest.raises(OperationFailure) as caught:
            await db.orders.create_index("other")
        assert "`database`" in caught.value.__notes__[0]


async def test_reads_of_secondaries_and_unacknowledged_writes_take_part(client: Client, db: Database) -> None:
    async with rolled_back(client):
        await db.orders.with_options(write_concern=WriteConcern(w=0)).insert_one({"_id": 2})
        secondary = db.orders.with_options(read_preference=ReadPreference.SECONDARY)
        assert await secondary.count_documents({}) == 2
        assert await secondary.find_one({"_id": 2}) == {"_id": 2}
        assert await db.command("ping", read_preference=ReadPreference.SECONDARY)


async def test_tasks_take_turns(client: Client, outside: Client, db: Database) -> None:
    async def work(number: int) -> None:
        async with client.transaction():
            await db.orders.insert_one({"_id": number})
            await db.orders.find_one({"_id": number})

    async with rolled_back(client):
        async with anyio.create_task_group() as group:
            for number in range(10, 20):
                group.start_soon(work, number)
        assert await db.orders.count_documents({}) == 11
    assert await orders(outside, db) == [1]


async def test_waiting_tasks_are_refused_with_the_cause(client: Client, db: Database) -> None:
    errors: list[BaseException] = []

    async def work() -> None:
        try:
            await db.orders.insert_one({"_id": 1})
        except DriverError as error:
            errors.append(error)

    async with rolled_back(client), anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(work)
    assert [type(error) for error in errors] == [DuplicateKeyError, RollbackError, RollbackError]
    assert all(error.__cause__ is errors[0] for error in errors[1:])


async def test_a_cancelled_statement_ends_the_transaction(client: Client, outside: Client, db: Database) -> None:
    async with rolled_back(client):
        await db.orders.insert_one({"_id": 2})
        with anyio.move_on_after(0.05):
            await db.orders.find_one({"$where": "sleep(3000)"})
        with pytest.raises(RollbackError, match=r"'find' was cancelled.*`database`"):
            await db.orders.find_one()
    assert await orders(outside, db) == [1]
    await nothing_is_open(outside)


async def test_a_block_that_is_cancelled_or_fails_aborts(client: Client, outside: Client, db: Database) -> None:
    with anyio.CancelScope() as scope:
        async with rolled_back(client):
            await db.orders.insert_one({"_id": 2})
            scope.cancel()
            await anyio.sleep(1)
    assert await orders(outside, db) == [1]

    async def fails() -> None:
        async with rolled_back(client):
            await db.orders.insert_one({"_id": 2})
            raise KeyError

    with pytest.raises(KeyError):
        await fails()
    assert await orders(outside, db) == [1]
    await nothing_is_open(outside)


async def test_cursors_and_sessions_that_are_left_open_are_closed(
    client: Client, outside: Client, db: Database
) -> None:
    async with rolled_back(client):
        await db.orders.insert_many([{"_id": number} for number in range(2, 30)])
        cursor = db.orders.find(batch_size=2)
        await anext(cursor)
        session = client.start_session()
        session.start_transaction()
        await db.orders.insert_one({"_id": 50}, session=session)
    await nothing_is_open(outside)
    with pytest.raises(InvalidOperation):
        await cursor.to_list()
    await cursor.close()
    with pytest.raises(InvalidOperation):
        await db.orders.find_one(session=session)
    await session.end_session()


async def test_gridfs_takes_part(client: Client, outside: Client, db: Database) -> None:
    async with rolled_back(client), client.start_session() as session:
        bucket = GridFSBucket(db)
        file_id = await bucket.upload_from_stream("a.txt", b"hello")
        await bucket.upload_from_stream("b.txt", b"world", session=session)
        async with bucket.open_upload_stream("c.txt") as stream:
            await stream.write(b"!")
        async with await bucket.open_download_stream(file_id) as download:
            assert await download.read() == b"hello"
    assert await outside[db.name]["fs.files"].count_documents({}) == 0


async def test_a_client_that_is_closed_and_opened_again_writes_nothing_for_real(
    client: Client, outside: Client, db: Database
) -> None:
    async with rolled_back(client):
        await db.orders.insert_one({"_id": 2})
        await client.close()
        await client.open()
        with pytest.raises(RollbackError, match="the client was closed"):
            await db.orders.insert_one({"_id": 3})
    assert await orders(outside, db) == [1]
    await nothing_is_open(outside)


async def test_sessions_that_are_older_or_have_ended_are_refused(client: Client, db: Database) -> None:
    async with client.start_session() as old:
        async with rolled_back(client):
            with pytest.raises(RollbackError, match="older than the transaction"):
                await db.orders.find_one(session=old)
            ended = client.start_session()
            await ended.end_session()
            with pytest.raises(InvalidOperation, match="Cannot use ended session"):
                await db.orders.find_one(session=ended)
        await db.orders.find_one(session=old)


async def test_blocks_are_not_nested(client: Client) -> None:
    async with rolled_back(client):
        with pytest.raises(RollbackError, match="already"):
            async with rolled_back(client):
                pass
    with pytest.raises(ConfigurationError):
        rolled_back("client")  # type: ignore[arg-type]  # not a client
    with pytest.raises(TypeError, match="async with"), rolled_back(client):
        pass


async def test_a_transaction_in_another_is_refused_or_joins_as_ever(client: Client, db: Database) -> None:
    async with rolled_back(client), client.transaction() as outer:
        with pytest.raises(InvalidOperation, match="is bound here"):
            async with client.transaction():
                pass
        async with client.transaction(join=True) as inner:
            assert inner is outer
            await db.orders.insert_one({"_id": 2})


async def test_a_task_that_is_left_is_stopped(client: Client, outside: Client, db: Database) -> None:
    errors: list[BaseException] = []

    async def left() -> None:
        try:
            await db.orders.find_one({"$where": "sleep(20000)"})
        except DriverError as error:
            errors.append(error)
        try:  # while the block still ends
            await db.orders.insert_one({"_id": 3})
        except DriverError as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        with anyio.fail_after(10):
            async with rolled_back(client):
                await db.orders.insert_one({"_id": 2})
                group.start_soon(left)
                await anyio.sleep(0.05)
    assert len(errors) == 2
    assert isinstance(errors[1], RollbackError)
    assert await orders(outside, db) == [1]
    await nothing_is_open(outside)


async def test_a_recording_shows_one_transaction(client: Client, db: Database) -> None:
    with record() as timeline:
        async with rolled_back(client), client.transaction():
            await db.orders.insert_one({"_id": 2})
    commands = [entry.name for entry in timeline.records if isinstance(entry, CommandRecord)]
    assert commands == ["insert", "abortTransaction", "killSessions"]


async def test_through_routers(sharded_double: ShardedDouble) -> None:
    async with Client(sharded_double.uri) as client:
        orders = client.rolled_back_routers.orders
        await orders.insert_one({"_id": 1})
        async with rolled_back(client):
            async with client.transaction():
                await orders.insert_one({"_id": 2})
            assert await orders.count_documents({}) == 2
        assert await orders.count_documents({}) == 1
        await client.drop_database("rolled_back_routers")


async def test_causal_tokens_and_times_are_those_of_the_test(client: Client, db: Database) -> None:
    async with rolled_back(client), client.start_session() as session:
        await db.orders.insert_one({"_id": 2}, session=session)
        assert session.operation_time is not None
        assert session.cluster_time is not None
        async with client.start_session(after=session.causal_token) as other:
            other.advance_operation_time(session.operation_time)
            other.advance_cluster_time(session.cluster_time)
            assert await db.orders.count_documents({}, session=other) == 2


async def test_limits_of_time_apply_to_single_calls(client: Client, db: Database) -> None:
    async with rolled_back(client):
        await db.orders.insert_one({"_id": 2}, timeout_ms=5000)
        with pytest.raises(DriverError) as caught:
            await db.orders.find_one({"$where": "sleep(600)"}, timeout_ms=100)
        assert caught.value.timeout
        with pytest.raises(RollbackError, match="`database`") as refused:
            await db.orders.find_one()
        assert isinstance(refused.value.__cause__, DriverError)


async def test_the_limit_of_with_transaction_is_that_of_its_calls(client: Client, db: Database) -> None:
    async def callback(session: ClientSession) -> None:
        await db.orders.insert_one({"_id": 2}, session=session)
        await db.orders.find_one({"$where": "sleep(600)"}, session=session)

    async with rolled_back(client), client.start_session() as session:
        with pytest.raises(ConfigurationError):
            await session.with_transaction(callback, timeout_ms=-1)
        with pytest.raises(DriverError) as caught:
            await session.with_transaction(callback, timeout_ms=100)
        leaf = caught.value if caught.value.timeout else caught.value.__cause__
        assert isinstance(leaf, DriverError)
        assert leaf.timeout
        with pytest.raises(RollbackError, match="`database`"):
            await db.orders.find_one()
    async with rolled_back(client), client.start_session(default_timeout_ms=0) as session:

        async def quick(session: ClientSession) -> int:
            return await db.orders.count_documents({}, session=session)

        assert await session.with_transaction(quick) == 1
