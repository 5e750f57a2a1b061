"""What a client sent in a block, compared with what a test expects."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any
from unittest.mock import ANY

import anyio
import pytest

from wiredrv import Client, ClientSession, Database, WriteConcern, sync
from wiredrv.errors import ConfigurationError, InvalidOperation, OperationFailure
from wiredrv.local import ReplicaSet
from wiredrv.testing.commands import assert_commands
from wiredrv.testing.expected import ABSENT, Expected, in_session, in_transaction
from wiredrv.testing.rollback import rolled_back

pytestmark = pytest.mark.anyio

_TRANSIENT = "TransientTransactionError"


@pytest.fixture
def client(wiredrv_client: Client) -> Client:
    return wiredrv_client


@pytest.fixture
async def db(database: Database) -> Database:
    await database.orders.insert_one({"_id": 0})
    await database.stock.insert_one({"_id": 0})
    return database


async def place_order(db: Database) -> None:
    async with db.client.transaction(write_concern=WriteConcern("majority")):
        await db.orders.insert_one({"sku": "abc"})
        await db.stock.update_one({"_id": 0}, {"$inc": {"n": -1}})


async def test_a_flat_list_is_all_that_is_sent(client: Client, db: Database) -> None:
    with assert_commands(client, ["insert", {"find": "orders", "txnNumber": ABSENT}, "aggregate"]) as commands:
        await db.orders.insert_one({})
        await db.orders.find_one()
        await db.orders.count_documents({})
    assert commands.names == ["insert", "find", "aggregate"]
    assert len(commands) == 3
    with assert_commands(db, []):
        pass
    with assert_commands(db.orders, ["insert", "update", "commitTransaction"]):
        await place_order(db)


async def test_both_writes_in_one_transaction_committed_once_with_majority(client: Client, db: Database) -> None:
    expected: list[Expected] = [
        "find",
        in_transaction(
            {"insert": "orders", "documents": [{"sku": "abc"}], "startTransaction": True},
            {"update": "stock", "$db": db.name, "updates": ANY},
            {"commitTransaction": 1, "writeConcern": {"w": "majority"}},
        ),
    ]
    with assert_commands(client, expected):
        await db.orders.find_one()
        await place_order(db)


async def test_a_mismatch_shows_the_difference_by_session_and_transaction(client: Client, db: Database) -> None:
    expected: list[Expected] = [
        "find",
        in_transaction("insert", "delete", {"commitTransaction": 1, "writeConcern": {"w": 1}}),
        {"find": "stock"},
    ]

    async def block() -> None:
        with assert_commands(client, expected):
            await place_order(db)
            await db.stock.find_one()

    with pytest.raises(AssertionError) as caught:
        await block()
    lines = str(caught.value).replace(db.name, "db").splitlines()
    assert lines == [
        "other commands were sent than expected (- expected and not sent, + sent and not expected, ! differs):",
        "",
        "- find",
        "! transaction 1 of session 1",
        "      insert db.orders",
        "-     delete",
        "+     update db.stock",
        "!     commitTransaction",
        "!         writeConcern.w: expected 1, sent 'majority'",
        "  find db.stock",
        "",
        "sent, by session and transaction:",
        "",
        "    session 1, transaction 1",
        "          1 insert db.orders startTransaction",
        "          2 update db.stock",
        "          3 commitTransaction writeConcern={'w': 'majority'}",
        "    implicit session",
        "          4 find db.stock",
    ]


async def test_failures_are_shown(client: Client, db: Database) -> None:
    with assert_commands(client, ["find", "insert"]) as commands:
        with pytest.raises(OperationFailure):
            await db.orders.find_one({"$no": 1})
        await db.orders.insert_one({})
    assert isinstance(commands.sent[0].failure, OperationFailure)
    assert commands.sent[1].failure is None
    assert str(commands).splitlines()[1].endswith("find " + db.name + ".orders failed: OperationFailure")


async def test_sessions_are_told_apart(client: Client, db: Database) -> None:
    expected: list[Expected] = [
        in_session("find", in_transaction("insert", "abortTransaction"), {"find": "stock", "readConcern": ANY}),
        in_session("find"),
        "find",
    ]
    with assert_commands(client, expected):
        async with client.start_session() as one, client.start_session() as other:
            await db.orders.find_one(session=one)
            one.start_transaction()
            await db.orders.find_one(session=other)
            await db.orders.insert_one({}, session=one)
            await one.abort_transaction()
            await db.orders.find_one()
            await db.stock.find_one(session=one)
    with assert_commands(client, [in_session("find"), in_session("find")]) as commands:
        for _ in range(2):  # the second one has the server session of the first
            async with client.start_session() as session:
                await db.orders.find_one(session=session)
    assert commands.sent[0].command["lsid"] == commands.sent[1].command["lsid"]
    with pytest.raises(AssertionError, match="- a session"), assert_commands(client, [in_session("find")]):
        await db.orders.find_one()


async def test_in_any_order(client: Client, db: Database) -> None:
    expected: list[Expected] = [{"find": "stock"}, in_transaction("insert", "update", "commitTransaction"), "find"]
    with assert_commands(client, expected, ordered=False):
        await db.orders.find_one()
        async with anyio.create_task_group() as group:
            group.start_soon(place_order, db)
            group.start_soon(db.stock.find_one)
    with pytest.raises(AssertionError, match=r"\+ update"), assert_commands(client, ["find"], ordered=False):
        await place_order(db)


async def test_each_attempt_is_a_command(client: Client, db: Database) -> None:
    attempts = 0

    async def callback(session: ClientSession) -> None:
        nonlocal attempts
        await db.orders.insert_one({}, session=session)
        attempts += 1
        if attempts == 1:
            failing = {"failCommands": ["commitTransaction"], "errorCode": 251, "errorLabels": [_TRANSIENT]}
            point = {"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": failing}
            await client.admin.command(point)

    attempt = in_transaction({"insert": "orders", "startTransaction": True}, "commitTransaction")
    with assert_commands(client, [attempt, attempt], ignore=["configureFailPoint"]):
        async with client.start_session() as session:
            await session.with_transaction(callback)


async def test_an_error_of_the_block_is_not_hidden(client: Client, db: Database) -> None:
    with pytest.raises(KeyError), assert_commands(client, ["find"]):
        raise KeyError


async def test_listening_ends_with_the_block(client: Client, db: Database) -> None:
    before = client._core.hub.command
    with assert_commands(client) as commands:
        await db.orders.find_one()
        assert commands.names == ["find"]
    await db.orders.find_one()
    assert commands.names == ["find"]
    assert "implicit session" in str(commands)
    assert client._core.hub.command == before
    block = assert_commands(client)
    with block, pytest.raises(InvalidOperation), block:
        pass


async def test_in_a_rolled_back_block_the_difference_says_why_there_is_no_commit(client: Client, db: Database) -> None:
    async with rolled_back(client):
        with assert_commands(client, [in_transaction("insert", "update")]):
            await place_order(db)
        with (
            pytest.raises(AssertionError, match=r"rolled back.*`database`"),
            assert_commands(client, [in_transaction("insert", "update", "commitTransaction")]),
        ):
            await place_order(db)


@pytest.mark.parametrize("wrong", ["insert", {"insert": "orders"}, [5], [{}], [None], 5])
async def test_an_expectation_that_is_none_is_refused(client: Client, wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        assert_commands(client, wrong)


async def test_other_wrong_arguments_are_refused(client: Client) -> None:
    with pytest.raises(ConfigurationError, match="takes a client"):
        assert_commands("client")
    with pytest.raises(ConfigurationError, match="ignore"):
        assert_commands(client, ignore="find")
    with pytest.raises(ConfigurationError, match="a session holds transactions"):
        in_transaction(in_transaction("insert"))  # type: ignore[arg-type]  # not a command
    with pytest.raises(ConfigurationError):
        in_session(in_session("insert"))
    with pytest.raises(TypeError, match="use `with"):
        async with assert_commands(client):
            pass


# --- wiredrv.sync ---


@pytest.fixture
def sync_client(replica_set: ReplicaSet) -> Iterator[sync.Client]:
    with sync.Client(replica_set.uri) as client:
        yield client


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
def test_synchronous_clients_too(sync_client: sync.Client, anyio_backend: str) -> None:
    name = f"assert_commands_{uuid.uuid4().hex[:8]}"
    orders = sync_client[name].orders
    orders.insert_one({"_id": 0})
    expected: list[Expected] = ["find", in_session(in_transaction("insert", "insert", {"commitTransaction": 1}))]
    with assert_commands(orders, expected):
        orders.find_one()
        with sync_client.transaction():
            orders.insert_one({})
            orders.insert_one({})
    sync_client.drop_database(name)
