"""``wiredrv.sync`` on a real replica set: its calls do what the asynchronous ones do."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import io
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from wiredrv.errors import (
    ConfigurationError,
    DriverError,
    DuplicateKeyError,
    InvalidOperation,
    NoFile,
    OperationFailure,
)
from wiredrv.events import CommandStartedEvent
from wiredrv.local import ReplicaSet
from wiredrv.sync import Client, ClientSession, Collection, Database, GridFSBucket, timeout, unbound


@pytest.fixture
def client(wiredrv_client: Client) -> Client:
    return wiredrv_client


@pytest.fixture
def orders(database: Database) -> Collection:
    return database.create_collection("orders")


def test_documents_are_written_and_read(orders: Collection) -> None:
    assert orders.insert_one({"_id": 1, "sku": "abc"}).inserted_id == 1
    assert orders.insert_many([{"_id": number} for number in range(2, 500)]).acknowledged
    assert orders.find_one({"_id": 1}) == {"_id": 1, "sku": "abc"}
    assert [found["_id"] for found in orders.find({}, batch_size=50).sort("_id")] == list(range(1, 500))
    assert len(orders.find({}).to_list()) == 499
    assert [len(batch) for batch in orders.find({}, batch_size=200).batches()] == [200, 200, 99]
    assert orders.count_documents({}) == 499
    with pytest.raises(DuplicateKeyError):
        orders.insert_one({"_id": 1})
    with orders.aggregate([{"$group": {"_id": None, "n": {"$sum": 1}}}]) as cursor:
        assert next(cursor)["n"] == 499
        with pytest.raises(StopIteration):
            cursor.next()


def test_handles_know_where_they_come_from(client: Client, orders: Collection) -> None:
    database = orders.database
    assert database.client is client
    assert database.orders == orders
    assert orders.sub.name == "orders.sub"
    assert orders.with_options().database is database
    assert hash(database["orders"]) == hash(orders)
    assert repr(orders).startswith("Collection(")
    assert orders.find().collection is orders
    with pytest.raises(AttributeError, match="_missing"):
        _ = client._missing
    with pytest.raises(TypeError, match="has no method"):
        orders.isnert_one({})  # type: ignore[operator]  # a mistake is the point
    assert client.get_database("other").list_collection_names() == []
    with pytest.raises(NotImplementedError):
        bool(orders)


def test_a_transaction_commits_or_aborts(client: Client, orders: Collection) -> None:
    outcome: list[str] = []
    with client.start_session() as session:
        with session.start_transaction():
            session.on_commit(lambda: outcome.append("committed"))
            orders.insert_one({"_id": 1}, session=session)
        with contextlib.suppress(KeyError), session.start_transaction():
            session.on_abort(lambda: outcome.append("aborted"))
            orders.insert_one({"_id": 2}, session=session)
            raise KeyError
        assert session.client is client
        assert not session.in_transaction
    assert outcome == ["committed", "aborted"]
    assert [found["_id"] for found in orders.find()] == [1]
    assert session.has_ended


def test_with_transaction_takes_a_plain_function(client: Client, orders: Collection) -> None:
    attempts: list[int] = []

    def transfer(session: ClientSession) -> str:
        attempts.append(session.attempt)
        assert session is given
        orders.insert_one({"_id": len(attempts)}, session=session)
        if len(attempts) < 3:
            raise OperationFailure("as if", 251, error_labels=["TransientTransactionError"])
        return "done"

    with client.start_session() as given:
        assert given.with_transaction(transfer) == "done"
        assert attempts == [1, 2, 3]

        async def coroutine(session: ClientSession) -> None:
            pass

        with pytest.raises(ConfigurationError, match="plain function"):
            _ = given.with_transaction(coroutine)
        with pytest.raises(ConfigurationError, match="takes a function"):
            given.with_transaction(None)  # type: ignore[arg-type]  # a mistake is the point
    assert [found["_id"] for found in orders.find()] == [3]


def test_a_bound_session_is_used_in_its_thread(client: Client, orders: Collection) -> None:
    with client.transaction() as session:
        orders.insert_one({"_id": 1})
        assert session.in_transaction
        with unbound():
            assert orders.find_one({"_id": 1}) is None
        other: list[Any] = []
        thread = threading.Thread(target=lambda: other.append(orders.find_one({"_id": 1})))
        thread.start()
        thread.join()
        assert other == [None]
    assert orders.find_one({"_id": 1}) == {"_id": 1}
    with client.start_session() as session, session.bind(end_session=False) as bound:
        assert bound is session
        assert orders.find({}).session is None
        assert orders.count_documents({}) == 1


def test_a_thread_with_a_copy_of_the_context_is_refused_unless_the_binding_is_inherited(
    client: Client, orders: Collection
) -> None:
    def in_copy(function: Any) -> Any:
        found: list[Any] = []

        def run() -> None:
            try:
                found.append(function())
            except InvalidOperation as error:
                found.append(error)

        thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="copy")
        thread.start()
        thread.join()
        return found[0]

    with client.transaction():
        orders.insert_one({"_id": 1})
        refused = in_copy(lambda: orders.find_one({"_id": 1}))
        assert "thread 'copy' inherited" in str(refused)
        assert f"bound in thread {threading.current_thread().name!r}" in str(refused)
    with client.transaction(inherit=True):
        orders.insert_one({"_id": 2})
        assert in_copy(lambda: orders.find_one({"_id": 2})) == {"_id": 2}


def test_a_binding_may_be_left_in_another_thread(client: Client, orders: Collection) -> None:
    """As the synchronous dependencies of FastAPI do: each half of a generator runs in a worker thread of its own."""

    def dependency() -> Iterator[ClientSession]:
        with client.transaction(inherit=True) as session:
            yield session

    async def request() -> None:
        generator = dependency()
        session = await asyncio.to_thread(next, generator)
        await asyncio.to_thread(orders.insert_one, {"_id": 1}, session=session)
        await asyncio.to_thread(lambda: list(generator))

    asyncio.run(request())
    assert orders.find_one({"_id": 1}) == {"_id": 1}


def test_a_client_may_be_used_in_the_thread_of_an_event_loop(client: Client, orders: Collection) -> None:
    async def blocks() -> None:
        orders.insert_one({"_id": 1})
        with client.transaction():
            orders.insert_one({"_id": 2})

    asyncio.run(blocks())
    assert orders.count_documents({}) == 2


def test_a_snapshot_session_reads_one_point_in_time(client: Client, orders: Collection) -> None:
    orders.insert_one({"_id": 1})
    with client.start_session(snapshot=True) as session:
        assert orders.count_documents({}, session=session) == 1
        orders.insert_one({"_id": 2})
        assert orders.count_documents({}, session=session) == 1
        assert session.snapshot_time is not None
    assert orders.count_documents({}) == 2


def test_a_time_limit_ends_a_call(orders: Collection) -> None:
    orders.insert_one({"_id": 1})
    with pytest.raises(DriverError, match="time") as raised:
        orders.find_one({"$where": "sleep(2000) || true"}, timeout_ms=100)
    assert raised.value.timeout
    with pytest.raises(DriverError, match="time"), timeout(0.1):
        orders.find_one({"$where": "sleep(2000) || true"})
    assert orders.find_one() == {"_id": 1}


def test_changes_are_watched_also_while_another_thread_closes_the_stream(orders: Collection) -> None:
    with orders.watch() as stream:
        orders.insert_one({"_id": 1})
        assert next(stream)["fullDocument"] == {"_id": 1}
        assert stream.try_next() is None
        ended: list[str] = []

        def follow() -> None:
            for _event in stream:
                pass
            ended.append("ended")

        thread = threading.Thread(target=follow)
        thread.start()
        while stream._inner._busy is None:
            pass
        stream.close()
        thread.join(10)
        assert ended == ["ended"]


def test_files_are_stored_and_read(orders: Collection) -> None:
    bucket = GridFSBucket(orders.database)
    data = bytes(range(256)) * 4000
    file_id = bucket.upload_from_stream("file", io.BytesIO(data))
    with bucket.open_upload_stream("other", chunk_size_bytes=1000) as stream:
        stream.write(data)
        stream.metadata = {"kind": "other"}
    with bucket.open_download_stream(file_id) as found:
        assert found.read() == data
        assert found.seek(10) == found.tell() == 10
        assert b"".join(found.chunks()) == data[10:]
    assert bucket.open_download_stream_by_name("other").metadata == {"kind": "other"}
    destination = io.BytesIO()
    bucket.download_to_stream_by_name("other", destination)
    assert destination.getvalue() == data
    assert sorted(found.filename or "" for found in bucket.find({})) == ["file", "other"]
    bucket.delete(file_id)
    with pytest.raises(NoFile):
        bucket.open_download_stream(file_id)
    with pytest.raises(ConfigurationError, match=r"wiredrv\.sync"):
        GridFSBucket(orders.database._inner)  # type: ignore[arg-type]  # a mistake is the point


def test_listeners_hear_a_command_before_it_is_sent_and_may_use_the_client(replica_set: ReplicaSet) -> None:
    heard: list[Any] = []

    def listen(event: Any) -> None:
        heard.append(event)
        if isinstance(event, CommandStartedEvent) and event.command_name == "ping":
            nested.append(client.admin.command("buildInfo")["ok"])

    nested: list[float] = []
    with Client(replica_set.uri, event_listeners=[listen]) as client:
        client.admin.command("ping")
    names = [event.command_name for event in heard if isinstance(event, CommandStartedEvent)]
    assert nested == [1.0]
    assert names[:2] == ["ping", "buildInfo"]
    assert type(heard[-1]).__name__ == "TopologyClosedEvent"


def test_a_closed_client_says_how_to_open_it(client: Client) -> None:
    client.close()
    client.close()
    with pytest.raises(InvalidOperation, match=r"with `client\.open\(\)` or `with client:`"):
        client.admin.command("ping")
    with client:
        assert client.admin.command("ping")["ok"] == 1


@pytest.mark.parametrize("options", [{}, {"compressors": "zlib"}], ids=["plain", "zlib"])
def test_large_documents_travel_while_other_threads_use_the_client(
    replica_set: ReplicaSet, orders: Collection, options: dict[str, Any]
) -> None:
    with Client(replica_set.uri, **options) as client:
        there = client[orders.database.name].orders
        document = {"_id": 1, "numbers": list(range(100_000))}
        there.insert_one(document)
        found: list[Any] = []
        threads = [threading.Thread(target=lambda: found.append(there.find_one())) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert there.count_documents({}) == 1
        for thread in threads:
            thread.join()
        assert found == [document] * 4


def test_what_is_forgotten_is_cleaned_up_and_warned_of(replica_set: ReplicaSet) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client: Client | None = Client(replica_set.uri)
        assert client is not None
        session: ClientSession | None = client.start_session()
        client.admin.command("ping", session=session)
        session = None
        gc.collect()
        texts = [str(warning.message) for warning in caught]
        caught.clear()  # a warning refers to what it is about
        client = None
        gc.collect()
        texts += [str(warning.message) for warning in caught]
    assert any("use `with client.start_session()`" in text for text in texts)
    assert any("use `with wiredrv.sync.Client(...)`" in text for text in texts)


def test_no_thread_outlives_the_client(replica_set: ReplicaSet) -> None:
    before = set(threading.enumerate())
    with Client(replica_set.uri, minPoolSize=2) as client:
        client.admin.command("ping")
        assert set(threading.enumerate()) - before
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
    assert not set(threading.enumerate()) - before
