"""Programs of other drivers' users, in those drivers' own spellings.

What PyMongo Async, Motor and ODMantic offer around sessions, as their users write it, works here: only the imports
and the client's name change. Each section covers one of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest
from bson.objectid import ObjectId

import wiredrv
from tests.support.commands import DATABASE, CommandLog, fresh_collection, watched
from wiredrv import ReadConcern, ReadPreference, TransactionOptions, WriteConcern
from wiredrv.errors import ConfigurationError, DriverError, InvalidOperation, OperationFailure
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def _shop(replica_set: ReplicaSet) -> AsyncIterator[tuple[wiredrv.Client, wiredrv.Database, CommandLog]]:
    """A database with orders and an inventory of 100 pieces of "abc123"."""
    async with watched(replica_set) as (client, log):
        await fresh_collection(client, "orders")
        inventory = await fresh_collection(client, "inventory")
        await inventory.insert_one({"sku": "abc123", "qty": 100})
        log.clear()
        yield client, client[DATABASE], log


async def _stock(database: wiredrv.Database) -> int:
    found = await database.inventory.find_one({"sku": "abc123"})
    assert found is not None
    return int(found["qty"])


# --- PyMongo Async ----------------------------------------------------------------------------------------------------


async def test_pymongo_async_a_causally_consistent_read_on_a_secondary(replica_set: ReplicaSet) -> None:
    async with _shop(replica_set) as (client, database, _):
        collection = database.inventory
        for quantity in range(5):
            async with client.start_session(causal_consistency=True) as session:
                await collection.update_one({"sku": "abc123"}, {"$set": {"qty": quantity}}, session=session)
                on_secondary = collection.with_options(read_preference=ReadPreference.SECONDARY)
                found = await on_secondary.find_one({"sku": "abc123"}, session=session)
                assert found is not None
                assert found["qty"] == quantity


async def test_pymongo_async_a_transaction_in_a_block(replica_set: ReplicaSet) -> None:
    async with _shop(replica_set) as (client, database, log):
        orders, inventory = database.orders, database.inventory
        async with client.start_session() as session, await session.start_transaction():
            await orders.insert_one({"sku": "abc123", "qty": 100}, session=session)
            await inventory.update_one(
                {"sku": "abc123", "qty": {"$gte": 100}}, {"$inc": {"qty": -100}}, session=session
            )
        assert log.names == ["insert", "update", "commitTransaction"]
        assert await _stock(database) == 0


async def test_pymongo_async_an_exception_in_the_block_aborts(replica_set: ReplicaSet) -> None:
    async with _shop(replica_set) as (client, database, _):

        async def order() -> None:
            async with client.start_session() as session, await session.start_transaction():
                await database.inventory.update_one({"sku": "abc123"}, {"$inc": {"qty": -100}}, session=session)
                raise RuntimeError("out of order")

        with pytest.raises(RuntimeError, match="out of order"):
            await order()
        assert await _stock(database) == 100


async def test_pymongo_async_transactions_of_one_session_follow_one_another(replica_set: ReplicaSet) -> None:
    async with _shop(replica_set) as (client, database, _):
        async with client.start_session() as session:
            for number in range(3):
                async with await session.start_transaction():
                    await database.orders.insert_one({"_id": number}, session=session)
            session.start_transaction()
            with pytest.raises(InvalidOperation, match="already in progress"):
                session.start_transaction()
            await session.abort_transaction()
        assert await database.orders.count_documents({}) == 3


async def test_pymongo_async_a_snapshot_of_two_collections(replica_set: ReplicaSet) -> None:
    async with _shop(replica_set) as (client, database, log):
        orders, inventory = database.orders, database.inventory
        await orders.insert_one({"sku": "abc123"})
        async with client.start_session(snapshot=True) as session:
            order = await orders.find_one({"sku": "abc123"}, session=session)
            await inventory.update_one({"sku": "abc123"}, {"$set": {"qty": 1}})
            stock = await inventory.find_one({"sku": "abc123"}, session=session)
        assert order is not None
        assert order["sku"] == "abc123"
        assert stock is not None
        assert stock["qty"] == 100
        assert [command["readConcern"]["level"] for command in log.sent("find")] == ["snapshot", "snapshot"]


async def test_pymongo_async_a_snapshot_and_causal_consistency_exclude_each_other(replica_set: ReplicaSet) -> None:
    async with _shop(replica_set) as (client, _, _log):
        with pytest.raises(ConfigurationError):
            client.start_session(snapshot=True, causal_consistency=True)


async def test_pymongo_async_a_block_without_async_is_told_what_it_lacks(replica_set: ReplicaSet) -> None:
    """The page writes ``with`` where a session is started; that cannot work in any asynchronous driver."""
    async with _shop(replica_set) as (client, _, _log):
        session: Any = client.start_session()
        with pytest.raises(TypeError, match="async with"), session:
            pass
        await session.end_session()


# --- Motor ------------------------------------------------------------------------------------------------------------


async def test_motor_await_for_the_session_and_none_for_the_transaction(replica_set: ReplicaSet) -> None:
    async with _shop(replica_set) as (client, database, log):
        collection = database.orders
        await collection.insert_one({"x": 1})
        log.clear()
        async with await client.start_session() as s, s.start_transaction():
            await collection.delete_one({"x": 1}, session=s)
            await collection.insert_one({"x": 2}, session=s)
        assert log.names == ["delete", "insert", "commitTransaction"]
        assert await collection.distinct("x") == [2]


async def _buy(session: wiredrv.ClientSession) -> ObjectId:
    orders = session.client[DATABASE].orders
    inventory = session.client[DATABASE].inventory
    inserted = await orders.insert_one({"sku": "abc123", "qty": 100}, session=session)
    await inventory.update_one({"sku": "abc123", "qty": {"$gte": 100}}, {"$inc": {"qty": -100}}, session=session)
    return inserted.inserted_id  # type: ignore[no-any-return]


async def test_motor_a_coroutine_in_a_transaction(replica_set: ReplicaSet) -> None:
    async with _shop(replica_set) as (client, database, _):
        async with await client.start_session() as session:
            inserted_id = await session.with_transaction(_buy)
        found = await database.orders.find_one({"_id": inserted_id})
        assert found is not None
        assert found["qty"] == 100
        assert await _stock(database) == 0


async def test_motor_arguments_for_the_coroutine_through_a_lambda(replica_set: ReplicaSet) -> None:
    async with _shop(replica_set) as (client, database, _):

        async def coro(session: wiredrv.ClientSession, sku: str, qty: int | None = None) -> str:
            await database.orders.insert_one({"sku": sku, "qty": qty}, session=session)
            return sku

        async with await client.start_session() as session:
            assert await session.with_transaction(lambda s: coro(s, "custom", qty=1)) == "custom"
        assert await database.orders.find_one({}, {"_id": 0}) == {"sku": "custom", "qty": 1}


async def test_motor_the_options_of_with_transaction(replica_set: ReplicaSet) -> None:
    async with _shop(replica_set) as (client, _database, log):
        async with await client.start_session() as session:
            await session.with_transaction(
                _buy,
                read_concern=ReadConcern("local"),
                write_concern=WriteConcern("majority", wtimeout=1000),
                read_preference=ReadPreference.PRIMARY,
            )
        assert log.sent("insert")[0]["readConcern"]["level"] == "local"
        assert log.sent("commitTransaction")[0]["writeConcern"] == {"w": "majority", "wtimeout": 1000}


async def test_motor_what_a_session_offers(replica_set: ReplicaSet) -> None:
    async with _shop(replica_set) as (client, database, _):
        session = await client.start_session()
        assert session.client is client
        assert session.options.causal_consistency
        assert "id" in session.session_id
        await database.orders.insert_one({}, session=session)
        other = await client.start_session()
        assert session.cluster_time is not None
        assert session.operation_time is not None
        other.advance_cluster_time(session.cluster_time)
        other.advance_operation_time(session.operation_time)
        assert other.operation_time == session.operation_time
        async with other.start_transaction():
            assert other.in_transaction
        await other.end_session()
        await session.end_session()
        assert session.has_ended
        with pytest.raises(InvalidOperation):
            await database.orders.find_one({}, session=session)


async def test_motor_ending_a_session_aborts_its_transaction(replica_set: ReplicaSet) -> None:
    async with _shop(replica_set) as (client, database, log):
        session = await client.start_session()
        session.start_transaction()
        await database.orders.insert_one({"_id": 1}, session=session)
        await session.end_session()
        assert log.names == ["insert", "abortTransaction"]
        assert await database.orders.count_documents({}) == 0


async def test_motor_an_aggregate_is_iterated_without_await(replica_set: ReplicaSet) -> None:
    async with _shop(replica_set) as (client, database, log):
        async with await client.start_session() as session:
            pipeline = [{"$match": {"sku": "abc123"}}]
            found = [document async for document in database.inventory.aggregate(pipeline, session=session)]
        assert len(found) == 1
        assert log.names == ["aggregate"]


# --- PyMongo (synchronous), with async and await added ----------------------------------------------------------------


async def test_pymongo_a_callback_that_ends_its_transaction_is_left_alone(replica_set: ReplicaSet) -> None:
    async with _shop(replica_set) as (client, database, log):

        async def callback(session: wiredrv.ClientSession) -> str:
            await database.orders.insert_one({"_id": 1}, session=session)
            await session.abort_transaction()
            return "given up"

        async with client.start_session() as session:
            assert await session.with_transaction(callback) == "given up"
        assert log.names == ["insert", "abortTransaction"]


async def test_pymongo_the_defaults_of_a_session_for_its_transactions(replica_set: ReplicaSet) -> None:
    async with _shop(replica_set) as (client, database, log):
        options = TransactionOptions(
            read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority"), max_commit_time_ms=5000
        )
        async with client.start_session(default_transaction_options=options) as session, session.start_transaction():
            await database.orders.insert_one({}, session=session)
        assert log.sent("insert")[0]["readConcern"]["level"] == "snapshot"
        assert log.sent("commitTransaction")[0]["maxTimeMS"] == 5000


async def test_pymongo_retrying_by_hand_with_labels(replica_set: ReplicaSet) -> None:
    """How programs were written before ``with_transaction``: loops that check labels."""
    async with _shop(replica_set) as (client, database, _):
        failures = [OperationFailure("conflict", 112, error_labels=["TransientTransactionError"])]

        async def run_once(session: wiredrv.ClientSession) -> None:
            async with session.start_transaction():
                await database.orders.insert_one({}, session=session)
                if failures:
                    raise failures.pop()

        async with client.start_session() as session:
            while True:
                try:
                    await run_once(session)
                    break
                except wiredrv.errors.PyMongoError as error:
                    if not error.has_error_label("TransientTransactionError"):
                        raise
        assert await database.orders.count_documents({}) == 1


# --- PyMongo's bind() -------------------------------------------------------------------------------------------------


async def _uses(database: wiredrv.Database, log: CommandLog, session: wiredrv.ClientSession) -> bool:
    """Whether an operation that names no session uses this one."""
    log.clear()
    await database.orders.find_one({})
    return log.lsids() == [bytes(session._state.lsid["id"])]


async def test_bind_several_blocks_of_a_session_that_is_ended_by_hand(replica_set: ReplicaSet) -> None:
    async with _shop(replica_set) as (client, database, log):
        session = client.start_session()
        async with session.bind(end_session=False):
            assert await _uses(database, log, session)
        async with session.bind(end_session=False):
            assert await _uses(database, log, session)
        assert not await _uses(database, log, session)
        assert not session.has_ended
        await session.end_session()


async def test_bind_in_one_chain(replica_set: ReplicaSet) -> None:
    async with _shop(replica_set) as (client, database, log):
        async with client.start_session().bind() as s:
            assert await _uses(database, log, s)
            await database.orders.insert_one({}, session=s)
        assert s.has_ended
        async with client.start_session().bind(end_session=True) as s:
            assert await _uses(database, log, s)
        assert s.has_ended


async def test_bind_beside_its_session(replica_set: ReplicaSet) -> None:
    async with _shop(replica_set) as (client, database, log):
        for ends in (True, False):
            async with client.start_session() as s, s.bind(end_session=ends):
                assert await _uses(database, log, s)
            assert s.has_ended


async def test_bind_inside_its_session_more_than_once(replica_set: ReplicaSet) -> None:
    async with _shop(replica_set) as (client, database, log):
        async with client.start_session() as s:
            async with s.bind(end_session=False):
                assert await _uses(database, log, s)
            assert not await _uses(database, log, s)
            async with s.bind(end_session=False):
                assert await _uses(database, log, s)
        assert s.has_ended


async def test_bind_leaves_a_session_that_is_not_bound_as_it_was(replica_set: ReplicaSet) -> None:
    """A concern from code review: a session that was bound once must still end with its own block."""
    async with _shop(replica_set) as (client, _, _log):
        s = client.start_session()
        binding = s.bind(end_session=False)
        async with s:
            pass
        assert s.has_ended
        with pytest.raises(InvalidOperation):
            await binding.__aenter__()


async def test_bind_accepts_only_the_client_that_made_the_session(replica_set: ReplicaSet) -> None:
    async with (
        _shop(replica_set) as (client, _, _log),
        _shop(replica_set) as (_other, database, _),
        client.start_session().bind(),
    ):
        with pytest.raises(InvalidOperation):
            await database.orders.find_one({})


# --- ODMantic: an engine over the client ------------------------------------------------------------------------------


@dataclass
class _User:
    name: str
    email: str
    orders: int = 0
    _id: ObjectId = field(default_factory=ObjectId)


@dataclass
class _Account:
    user: str
    balance: float
    _id: ObjectId = field(default_factory=ObjectId)


class _Engine:
    """The session-related part of such a mapper: everything takes ``session=``; two methods create one."""

    def __init__(self, client: wiredrv.Client) -> None:
        self._client = client
        self._database = client[DATABASE]

    def session(self) -> wiredrv.ClientSession:
        return self._client.start_session()

    def transaction(self) -> Any:
        return self._client.transaction()

    async def save(self, model: _User | _Account, session: wiredrv.ClientSession | None = None) -> None:
        document = asdict(model)
        await self._of(model).replace_one({"_id": document["_id"]}, document, upsert=True, session=session)

    async def find(self, kind: type[Any], query: Any = None, session: Any = None) -> list[Any]:
        found = await self._of(kind).find(query, session=session).to_list()
        return [kind(**document) for document in found]

    async def find_one(self, kind: type[Any], query: Any = None, session: Any = None) -> Any:
        document = await self._of(kind).find_one(query, session=session)
        return None if document is None else kind(**document)

    async def count(self, kind: type[Any], query: Any = None, session: Any = None) -> int:
        return await self._of(kind).count_documents(query or {}, session=session)

    def _of(self, kind: Any) -> wiredrv.Collection:
        return self._database["users" if kind is _User or isinstance(kind, _User) else "accounts"]


@asynccontextmanager
async def _engine(replica_set: ReplicaSet) -> AsyncIterator[tuple[_Engine, CommandLog]]:
    async with watched(replica_set) as (client, log):
        await fresh_collection(client, "users")
        await fresh_collection(client, "accounts")
        log.clear()
        yield _Engine(client), log


async def test_odmantic_a_session_for_everything_in_the_block(replica_set: ReplicaSet) -> None:
    async with _engine(replica_set) as (engine, log):
        async with engine.session() as session:
            await engine.save(_User("John", "john@example.com"), session=session)
            users = await engine.find(_User, session=session)
            count = await engine.count(_User, session=session)
        assert [user.name for user in users] == ["John"]
        assert count == 1
        assert len(set(log.lsids())) == 1


async def test_odmantic_a_transaction_commits_at_its_end(replica_set: ReplicaSet) -> None:
    async with _engine(replica_set) as (engine, log):
        async with engine.transaction() as transaction:
            user = _User("Alice", "alice@example.com")
            await engine.save(user, session=transaction)
            user.orders = 1
            await engine.save(user, session=transaction)
        assert (await engine.find_one(_User)).orders == 1
        assert "commitTransaction" in log.names


async def test_odmantic_money_moves_or_stays(replica_set: ReplicaSet) -> None:
    async with _engine(replica_set) as (engine, _):
        await engine.save(_Account("from", 100))
        await engine.save(_Account("to", 0))

        async def transfer(amount: float) -> None:
            async with engine.transaction() as txn:
                source = await engine.find_one(_Account, {"user": "from"}, session=txn)
                target = await engine.find_one(_Account, {"user": "to"}, session=txn)
                target.balance += amount
                await engine.save(target, session=txn)
                source.balance -= amount
                if source.balance < 0:
                    raise ValueError("insufficient funds")
                await engine.save(source, session=txn)

        await transfer(60)
        with pytest.raises(ValueError, match="insufficient funds"):
            await transfer(60)
        balances = {account.user: account.balance for account in await engine.find(_Account)}
        assert balances == {"from": 40, "to": 60}


async def test_odmantic_an_error_ends_the_session(replica_set: ReplicaSet) -> None:
    async with _engine(replica_set) as (engine, _):
        session: Any = None
        failure = ""
        try:
            async with engine.session() as session:
                for number in range(3):
                    await engine.save(_User(f"User {number}", "@"), session=session)
                await engine.find(_User, {"$nonsense": 1}, session=session)
        except DriverError as error:
            failure = str(error)
        assert "nonsense" in failure
        assert session.has_ended
        assert await engine.count(_User) == 3


async def test_odmantic_a_function_with_or_without_a_session(replica_set: ReplicaSet) -> None:
    async with _engine(replica_set) as (engine, log):

        async def nested(session: wiredrv.ClientSession | None = None) -> None:
            if session:
                await engine.save(_User("nested", "@"), session=session)
            else:
                async with engine.session() as new_session:
                    await engine.save(_User("of its own", "@"), session=new_session)

        await nested()
        async with engine.session() as session:
            await nested(session)
            await nested(session=session)
            assert await engine.count(_User, session=session) == 3
        assert len(set(log.lsids()[1:])) == 1


@pytest.mark.parametrize("failure", [ValueError("not allowed"), RuntimeError("went wrong")])
async def test_odmantic_nothing_stays_of_a_transaction_that_failed(replica_set: ReplicaSet, failure: Exception) -> None:
    async with _engine(replica_set) as (engine, _):

        async def work() -> None:
            async with engine.transaction() as txn:
                for number in range(3):
                    await engine.save(_User(f"User {number}", "@"), session=txn)
                raise failure

        with pytest.raises(type(failure)):
            await work()
        assert await engine.count(_User) == 0


async def test_odmantic_the_concerns_of_the_client_are_those_of_its_sessions(replica_set: ReplicaSet) -> None:
    async with watched(replica_set, readConcernLevel="majority", w="majority") as (client, log):
        await fresh_collection(client, "users")
        engine = _Engine(client)
        log.clear()
        async with engine.session() as session:
            await engine.find(_User, session=session)
        async with engine.transaction() as txn:
            await engine.save(_User("transactional", "@"), session=txn)
        assert log.sent("find")[0]["readConcern"]["level"] == "majority"
        assert log.sent("update")[0]["readConcern"]["level"] == "majority"
        assert log.sent("commitTransaction")[0]["writeConcern"] == {"w": "majority"}
