"""client.bulk_write, against a double of a server 8.0 before the real replica set, and refused by the real 6.0.

CRUD specification, "Bulk Write" of clients, and its prose tests 3 to 15. No server 8.0 is at hand: what the double does
is in ``tests/support/bulk_write_double.py``. Its limits are smaller than a server's, so that splitting is quick.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

import wiredrv
from tests.support.bulk_write_double import BulkWriteDouble, BulkWriteRouter
from tests.support.commands import Canceller, CommandLog, watched
from tests.support.failpoints import fail_command
from tests.support.waiting import until, until_async
from wiredrv import (
    Client,
    DeleteMany,
    DeleteOne,
    InsertOne,
    ReplaceOne,
    UpdateMany,
    UpdateOne,
    WriteConcern,
    events,
)
from wiredrv.errors import (
    AutoReconnect,
    ClientBulkWriteException,
    ConfigurationError,
    DocumentTooLarge,
    InvalidDocument,
    InvalidName,
    InvalidOperation,
    OperationFailure,
)
from wiredrv.local import ReplicaSet
from wiredrv.types import Address

pytestmark = pytest.mark.anyio

DOCUMENT, MESSAGE, WRITES = 16_000, 48_000, 5
LIMITS = {"maxBsonObjectSize": DOCUMENT, "maxMessageSizeBytes": MESSAGE, "maxWriteBatchSize": WRITES}
DATABASE, NS, OTHER = "client_bulk", "client_bulk.orders", "client_bulk_other.stock"


@pytest.fixture(scope="module")
def double(replica_set: ReplicaSet) -> Iterator[BulkWriteDouble]:
    with BulkWriteDouble.before(replica_set, routers=1, limits=LIMITS, batch_bytes=4_000) as started:
        yield started


@asynccontextmanager
async def opened(double: BulkWriteDouble, *listeners: Any, **options: Any) -> AsyncIterator[tuple[Client, CommandLog]]:
    """A client of the double with two empty collections, and its commands; no cursor of results may be left."""
    async with watched(double.uri, *listeners, **options) as (client, log):
        for namespace in (NS, OTHER):
            database, _, name = namespace.partition(".")
            await client[database].drop_collection(name)
            await client[database].create_collection(name)
        log.clear()
        yield client, log
    (router,) = double.routers
    assert isinstance(router, BulkWriteRouter)
    assert router.results == {}


def address(double: BulkWriteDouble) -> Address:
    return double.routers[0].address


async def ids(client: Client, namespace: str = NS) -> list[Any]:
    database, _, name = namespace.partition(".")
    return [each["_id"] for each in await client[database][name].find({}, {"_id": 1}).sort("_id").to_list()]


def inserts(count: int, **fields: Any) -> list[InsertOne[Any]]:
    return [InsertOne({"_id": number, **fields}, namespace=NS) for number in range(count)]


def upserts(size: int = 3_000) -> list[UpdateOne]:
    """Two whose results need a batch each."""
    return [UpdateOne({"_id": name * size}, {"$set": {"x": 1}}, upsert=True, namespace=NS) for name in "ab"]


# --- results ---


async def test_writes_to_several_collections_are_one_command(double: BulkWriteDouble) -> None:
    async with opened(double) as (client, log):
        document: dict[str, Any] = {"a": 1}
        models = [
            InsertOne(document, NS),
            InsertOne({"_id": 2}, namespace=OTHER),
            UpdateOne({"_id": 2}, {"$set": {"b": 1}}, namespace=OTHER),
            ReplaceOne({"_id": 3}, {"c": 1}, upsert=True, namespace=NS),
            DeleteOne({"_id": 3}, namespace=NS),
        ]
        result = await client.bulk_write(models, verbose_results=True, comment="all", let={"x": 1})
        assert result.acknowledged
        assert (result.inserted_count, result.matched_count, result.modified_count) == (2, 1, 1)
        assert (result.upserted_count, result.deleted_count) == (1, 1)
        assert {i: each.inserted_id for i, each in result.insert_results.items()} == {0: document["_id"], 1: 2}
        assert result.update_results[3].upserted_id == 3
        (sent,) = log.sent()
        assert (sent["errorsOnly"], sent["ordered"], sent["comment"]) == (False, True, "all")
        assert [each["ns"] for each in sent["nsInfo"]] == [NS, OTHER]
        assert next(iter(sent["ops"][0]["document"])) == "_id"
        assert await ids(client) == [document["_id"]]


# --- prose tests ---


async def test_more_writes_than_a_command_may_have_are_several_commands(double: BulkWriteDouble) -> None:
    """Prose test 3."""
    async with opened(double) as (client, log):
        result = await client.bulk_write(inserts(WRITES + 1))
        assert result.inserted_count == WRITES + 1
        assert [len(command["ops"]) for command in log.sent("bulkWrite")] == [WRITES, 1]
        assert len({event.operation_id for event in log.started_events}) == 1


async def test_more_bytes_than_a_message_may_have_are_several_commands(double: BulkWriteDouble) -> None:
    """Prose test 4."""
    async with opened(double) as (client, log):
        result = await client.bulk_write(inserts(MESSAGE // DOCUMENT + 1, a="b" * (DOCUMENT - 500)))
        assert result.inserted_count == MESSAGE // DOCUMENT + 1
        assert [len(command["ops"]) for command in log.sent("bulkWrite")] == [MESSAGE // DOCUMENT, 1]


SHUTTING_DOWN = {"writeConcernError": {"code": 91, "errmsg": "Replication is being shut down"}}


async def test_failed_write_concerns_are_collected_across_commands(double: BulkWriteDouble) -> None:
    """Prose test 5."""
    async with (
        opened(double, retryWrites=False) as (client, log),
        fail_command(address(double), "bulkWrite", times=2, data=SHUTTING_DOWN),
    ):
        with pytest.raises(ClientBulkWriteException) as caught:
            await client.bulk_write(inserts(WRITES + 1))
        assert len(caught.value.write_concern_errors) == 2
        assert caught.value.error is None
        assert caught.value.partial_result.inserted_count == WRITES + 1
        assert log.names.count("bulkWrite") == 2


async def test_a_write_concern_that_fails_again_after_its_retry_ends_the_bulk_with_what_is_known(
    double: BulkWriteDouble,
) -> None:
    data = {**SHUTTING_DOWN, "errorLabels": ["RetryableWriteError"]}
    async with (
        opened(double) as (client, log),
        fail_command(address(double), "bulkWrite", times=2, data=data),
    ):
        with pytest.raises(ClientBulkWriteException) as caught:
            await client.bulk_write(inserts(WRITES + 1))
        assert len(caught.value.write_concern_errors) == 1
        assert caught.value.has_error_label("RetryableWriteError")
        assert caught.value.partial_result.inserted_count == WRITES
        assert len({command["txnNumber"] for command in log.sent("bulkWrite")}) == 1
        assert await ids(client) == list(range(WRITES)), "the server recognized the retry"


class RetryCanceller(Canceller):
    """Cancels its scope when a command is sent for the second time."""

    def __init__(self, command_name: str) -> None:
        super().__init__(command_name)
        self.sent = 0

    def started(self, event: events.CommandStartedEvent) -> None:
        self.sent += event.command_name == self._command_name
        if self.sent == 2:
            super().started(event)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_the_cursor_of_an_attempt_that_is_repeated_is_killed(double: BulkWriteDouble, cancelled: bool) -> None:
    data = {**SHUTTING_DOWN, "errorLabels": ["RetryableWriteError"]}
    (router,) = double.routers
    assert isinstance(router, BulkWriteRouter)
    canceller = RetryCanceller("bulkWrite")
    async with opened(double, canceller) as (client, log), fail_command(address(double), "bulkWrite", data=data):
        if cancelled:
            with canceller.cancelling() as scope:
                await client.bulk_write(upserts(), verbose_results=True)
            assert scope.cancelled_caught
        else:
            result = await client.bulk_write(upserts(), verbose_results=True)
            assert len(result.update_results) == 2
        assert log.names.count("bulkWrite") == 2
        await until(lambda: router.results == {}, "both cursors are closed")


@pytest.mark.parametrize("ordered, failures, commands", [(False, WRITES + 1, 2), (True, 1, 1)])
async def test_writes_that_fail_are_collected_until_an_ordered_bulk_stops(
    double: BulkWriteDouble, ordered: bool, failures: int, commands: int
) -> None:
    """Prose test 6."""
    async with opened(double) as (client, log):
        await client[DATABASE].orders.insert_one({"_id": 1})
        with pytest.raises(ClientBulkWriteException) as caught:
            await client.bulk_write([InsertOne({"_id": 1}, namespace=NS)] * (WRITES + 1), ordered=ordered)
        assert [entry["idx"] for entry in caught.value.write_errors] == list(range(failures))
        assert all(entry["code"] == 11000 for entry in caught.value.write_errors)
        assert caught.value.partial_result is None
        assert log.names.count("bulkWrite") == commands


@pytest.mark.parametrize("how", ["alone", "in a transaction", "bound"])
async def test_results_that_need_more_batches_are_read_to_their_end(double: BulkWriteDouble, how: str) -> None:
    """Prose tests 7 and 8."""
    async with opened(double) as (client, log):
        if how == "alone":
            result = await client.bulk_write(upserts(), verbose_results=True)
        elif how == "in a transaction":
            async with client.start_session() as session, session.start_transaction():
                result = await client.bulk_write(upserts(), session, verbose_results=True)
        else:
            async with client.start_session() as session, session.bind():
                result = await client.bulk_write(upserts(), verbose_results=True)
        assert result.upserted_count == len(result.update_results) == 2
        assert log.names[:2] == ["bulkWrite", "getMore"]
        assert len(set(log.lsids())) == 1
        if how == "in a transaction":
            assert len({command["txnNumber"] for command in log.sent()}) == 1
        assert await ids(client) == ["a" * 3_000, "b" * 3_000]


async def test_an_error_while_results_are_read_keeps_those_before_it_and_kills_the_cursor(
    double: BulkWriteDouble,
) -> None:
    """Prose test 9."""
    async with (
        opened(double) as (client, log),
        fail_command(address(double), "getMore", data={"errorCode": 8}),
    ):
        with pytest.raises(ClientBulkWriteException) as caught:
            await client.bulk_write(upserts(), verbose_results=True)
        assert isinstance(caught.value.error, OperationFailure)
        assert caught.value.error.code == 8
        assert caught.value.__cause__ is caught.value.error
        assert caught.value.partial_result.upserted_count == 2
        assert len(caught.value.partial_result.update_results) == 1
        assert log.names == ["bulkWrite", "getMore", "killCursors"]


@pytest.mark.parametrize(
    "model",
    [InsertOne({"a": "b" * MESSAGE}, namespace=NS), InsertOne({"a": "b"}, namespace=f"db.{'c' * MESSAGE}")],
    ids=["document", "namespace"],
)
async def test_a_write_that_fits_no_message_is_refused(double: BulkWriteDouble, model: InsertOne[Any]) -> None:
    """Prose test 12."""
    async with opened(double) as (client, log):
        with pytest.raises(DocumentTooLarge):
            await client.bulk_write([model])
        assert log.names == []


async def test_a_write_that_fits_no_message_ends_the_bulk_with_what_was_written_before(double: BulkWriteDouble) -> None:
    async with opened(double) as (client, _):
        with pytest.raises(ClientBulkWriteException) as caught:
            await client.bulk_write([*inserts(2), InsertOne({"a": "b" * MESSAGE}, namespace=NS)])
        assert isinstance(caught.value.error, DocumentTooLarge)
        assert caught.value.partial_result.inserted_count == 2
        assert await ids(client) == [0, 1]


async def test_unacknowledged_writes_are_all_sent_without_answers(double: BulkWriteDouble) -> None:
    """Prose test 15."""
    async with opened(double) as (client, log):
        models = inserts(MESSAGE // DOCUMENT + 1, a="b" * (DOCUMENT - 500))
        result = await client.bulk_write(models, ordered=False, write_concern=WriteConcern(w=0))
        assert not result.acknowledged
        with pytest.raises(InvalidOperation, match="unacknowledged"):
            result.inserted_count  # noqa: B018 - a property
        sent = log.sent("bulkWrite")
        assert [len(command["ops"]) for command in sent] == [MESSAGE // DOCUMENT, 1]
        assert [command["writeConcern"] for command in sent] == [{"w": 0}] * 2
        assert all("lsid" not in command for command in sent)

        async def written() -> bool:
            return len(await ids(client)) == len(models)

        await until_async(written, "the unacknowledged writes")


# --- retries, sessions, cancellation ---


async def test_a_command_is_sent_again_after_a_broken_connection_and_applied_once(double: BulkWriteDouble) -> None:
    async with (
        opened(double) as (client, log),
        fail_command(address(double), "bulkWrite", data={"closeConnection": True}),
    ):
        result = await client.bulk_write(inserts(3))
        assert result.inserted_count == 3
        first, second = log.sent("bulkWrite")
        assert first["txnNumber"] == second["txnNumber"]
        assert await ids(client) == [0, 1, 2]


@pytest.mark.parametrize("model", [UpdateMany({}, {"$set": {"x": 1}}, namespace=NS), DeleteMany({}, namespace=NS)])
async def test_a_command_that_touches_many_is_not_sent_again(
    double: BulkWriteDouble, model: UpdateMany | DeleteMany
) -> None:
    async with (
        opened(double) as (client, log),
        fail_command(address(double), "bulkWrite", data={"closeConnection": True}),
    ):
        with pytest.raises(AutoReconnect):
            await client.bulk_write([model])
        assert log.names == ["bulkWrite"]
        assert "txnNumber" not in log.sent()[0]


async def test_with_transaction_repeats_a_bulk_that_failed_for_the_moment(double: BulkWriteDouble) -> None:
    data = {"errorCode": 112, "errorLabels": ["TransientTransactionError"]}
    async with (
        opened(double) as (client, log),
        fail_command(address(double), "bulkWrite", data=data),
    ):

        async def work(session: wiredrv.ClientSession) -> int:
            return (await client.bulk_write(inserts(WRITES + 1), session)).inserted_count

        async with client.start_session() as session:
            assert await session.with_transaction(work) == WRITES + 1
        assert log.names == ["bulkWrite", "abortTransaction", "bulkWrite", "bulkWrite", "commitTransaction"]
        assert await ids(client) == list(range(WRITES + 1))


async def test_a_failed_write_ends_the_transaction_that_it_was_part_of(double: BulkWriteDouble) -> None:
    async with opened(double) as (client, _):
        with pytest.raises(ClientBulkWriteException) as caught:
            async with client.transaction():
                await client.bulk_write([*inserts(2), *inserts(1)])
        assert caught.value.write_errors[0]["idx"] == 2
        assert caught.value.transaction is not None
        assert await ids(client) == []


async def test_a_write_concern_within_a_transaction_is_refused(double: BulkWriteDouble) -> None:
    async with opened(double) as (client, _), client.start_session() as session, session.start_transaction():
        with pytest.raises(InvalidOperation, match="write concern"):
            await client.bulk_write(inserts(1), session, write_concern=WriteConcern(w=1))
        await client.bulk_write(inserts(1), session)


@pytest.mark.parametrize("command", ["bulkWrite", "getMore"])
@pytest.mark.parametrize("explicit", [True, False], ids=["explicit session", "implicit session"])
async def test_a_cancelled_bulk_leaves_no_cursor_and_no_session(
    double: BulkWriteDouble, command: str, explicit: bool
) -> None:
    canceller = Canceller(command)
    async with opened(double, canceller) as (client, _):
        async with client.start_session() as session:
            with canceller.cancelling() as scope:
                await client.bulk_write(upserts(), session if explicit else None, verbose_results=True)
            assert scope.cancelled_caught
            await client.bulk_write(inserts(1), session)
        (router,) = double.routers
        assert isinstance(router, BulkWriteRouter)

        async def clean() -> bool:
            return router.results == {}

        await until_async(clean, "the cursor is killed")


async def test_calls_in_one_session_take_turns(double: BulkWriteDouble) -> None:
    """All commands of a bulk, and those of its cursor, are one turn."""
    async with opened(double) as (client, log), client.start_session() as session:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: client.bulk_write(upserts(), session, verbose_results=True))
            group.start_soon(lambda: client[DATABASE].orders.count_documents({}, session=session))
        # Which of the tasks starts first is up to the event loop.
        assert log.names in (["bulkWrite", "getMore", "aggregate"], ["aggregate", "bulkWrite", "getMore"])


async def test_a_time_limit_holds_for_all_commands_of_a_bulk(double: BulkWriteDouble) -> None:
    """Client-side-operations-timeout: one limit for the call; the commands tell the server what is left of it."""
    async with (
        opened(double) as (client, log),
        fail_command(address(double), "getMore", times=5, block_ms=2_000),
    ):
        with pytest.raises(ClientBulkWriteException) as caught:
            await client.bulk_write(upserts(), verbose_results=True, timeout_ms=500)
        assert caught.value.timeout
        assert caught.value.error.timeout
        assert "killCursors" not in log.names, "the caller does not wait for that"
        assert caught.value.partial_result.upserted_count == 2
        assert 0 < log.sent("bulkWrite")[0]["maxTimeMS"] <= 500
        (router,) = double.routers
        assert isinstance(router, BulkWriteRouter)
        await until(lambda: router.results == {}, "the background kills the cursor")


@pytest.mark.parametrize("how", ["alone", "in a session", "in a transaction", "cut short"])
async def test_behind_a_load_balancer_results_are_read_on_the_connection_of_their_command(
    replica_set: ReplicaSet, how: str
) -> None:
    """Each connection leads to the next router, and only one has the cursor ("Handling the Server Response")."""
    limits: Any = {"limits": LIMITS, "batch_bytes": 4_000}
    with BulkWriteDouble.before(replica_set, routers=2, load_balancers=True, **limits) as balanced:
        async with watched(balanced.multiple_uri) as (client, log):
            await client[DATABASE].orders.drop()
            log.clear()
            if how == "in a session":
                async with client.start_session() as session:
                    result = await client.bulk_write(upserts(), session, verbose_results=True)
            elif how == "in a transaction":
                async with client.transaction():
                    result = await client.bulk_write(upserts(), verbose_results=True)
            elif how == "cut short":
                with pytest.raises(ClientBulkWriteException):
                    await client.bulk_write([*upserts(), *inserts(1), *inserts(1)], verbose_results=True)
            else:
                result = await client.bulk_write(upserts(), verbose_results=True)
            assert how == "cut short" or len(result.update_results) == 2
            assert "getMore" in log.names
            assert {event.service_id for event in log.started_events} != {None}
        for router in balanced.routers:
            assert isinstance(router, BulkWriteRouter)
            assert router.results == {}


# --- what is refused ---


async def test_servers_before_8_0_are_refused(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        with pytest.raises(InvalidOperation, match=r"needs server 8\.0 or later"):
            await client.bulk_write(inserts(1))
        async with client.start_session() as session, session.start_transaction():
            with pytest.raises(InvalidOperation, match=r"needs server 8\.0 or later"):
                await client.bulk_write(inserts(1), session)
            await client[DATABASE].orders.count_documents({}, session=session)
        assert "bulkWrite" not in log.names


BAD: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    ([], {}, ConfigurationError, "models must not be empty"),
    ({}, {}, ConfigurationError, "models must be a list"),
    ([5], {}, ConfigurationError, "each model must be an InsertOne"),
    ([InsertOne({})], {}, ConfigurationError, "each model needs a namespace"),
    (inserts(1), {"ordered": 1}, ConfigurationError, "ordered must be True or False"),
    (inserts(1), {"let": 1}, ConfigurationError, "let must be a mapping"),
    (inserts(1), {"write_concern": 1}, ConfigurationError, "write_concern"),
    (inserts(1), {"write_concern": WriteConcern(w=0)}, InvalidOperation, "concern and ordered writes"),
    (
        inserts(1),
        {"write_concern": WriteConcern(w=0), "verbose_results": True, "ordered": False},
        InvalidOperation,
        "concern and verbose results",
    ),
    ([InsertOne({"_id": object()}, namespace=NS)], {}, InvalidDocument, "write 0"),
    (inserts(1), {"comment": object()}, InvalidDocument, "'bulkWrite' on admin was not sent"),
]


@pytest.mark.parametrize("models, options, error, text", BAD)
async def test_bad_arguments_are_refused_before_anything_is_sent(
    double: BulkWriteDouble, models: Any, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    untouched: dict[str, Any] = {}
    if error is ConfigurationError and isinstance(models, list) and models:
        models = [InsertOne(untouched, namespace=NS), *models]
    async with opened(double) as (client, log):
        with pytest.raises(error, match=text):
            await client.bulk_write(models, **options)
        assert log.names == []
        assert untouched == {}


@pytest.mark.parametrize(
    "namespace, error",
    [("orders", ConfigurationError), (5, ConfigurationError), (".orders", InvalidName), ("shop.", InvalidName),
     ("sh op.a", InvalidName), ("shop.a$b", InvalidName)],
)  # fmt: skip
def test_namespaces_that_no_server_takes_are_refused(namespace: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        InsertOne({}, namespace=namespace)


async def test_a_request_for_another_collection_is_refused(double: BulkWriteDouble) -> None:
    untouched: dict[str, Any] = {}
    async with opened(double) as (client, log):
        with pytest.raises(ConfigurationError, match=r"client\.bulk_write takes requests for several collections"):
            await client[DATABASE].orders.bulk_write([InsertOne(untouched), InsertOne({}, namespace=OTHER)])
        assert log.names == []
        assert untouched == {}
        await client[DATABASE].orders.bulk_write([InsertOne({"_id": 1}, namespace=NS)])
        assert await ids(client) == [1]
