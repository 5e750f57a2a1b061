"""ODMantic's AIOEngine on a client of this driver: sessions, transactions, and what its page on them says."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any, cast

import pymongo.errors
import pytest
from bson import ObjectId
from odmantic import AIOEngine, Field, Index, Model, Reference
from odmantic.exceptions import DocumentNotFoundError, DuplicateKeyError
from odmantic.session import AIOSession, AIOTransaction

import wiredrv
from tests.support.commands import CommandLog

pytestmark = pytest.mark.anyio

#: ``await engine.find(...)``, also within ``find_one``, yields to asyncio itself. Trio does not understand that.
on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])
#: ODMantic does not end the session of ``engine.transaction()`` at the end of its block.
leaves_its_session = pytest.mark.filterwarnings("ignore:.*was never ended.*:ResourceWarning")


def made() -> Any:
    """The field that ODMantic adds to a model by itself. Type checkers have to see that it has a default."""
    return Field(primary_field=True, default_factory=ObjectId)


class User(Model):
    id: ObjectId = made()
    name: str
    email: str
    total_orders: int = 0


class Order(Model):
    id: ObjectId = made()
    user_id: ObjectId
    total: float


class Account(Model):
    id: ObjectId = made()
    user_id: ObjectId
    balance: float


class Transaction(Model):
    id: ObjectId = made()
    from_account: ObjectId
    to_account: ObjectId
    amount: float
    timestamp: datetime


class Publisher(Model):
    id: ObjectId = made()
    name: str = Field(unique=True)


class Book(Model):
    id: ObjectId = made()
    title: str
    publisher: Publisher = Reference()


@asynccontextmanager
async def scene(uri: str, database: str, **options: Any) -> AsyncIterator[tuple[AIOEngine, CommandLog]]:
    """An engine on a database of its own, and the commands of its client."""
    log = CommandLog()
    async with wiredrv.Client(uri, event_listeners=[log], **options) as client:
        engine = AIOEngine(cast(Any, client), database)
        yield engine, log
        await client.drop_database(database)


def user(name: str) -> User:
    return User(name=name, email=f"{name}@example.com")


async def names(engine: AIOEngine, session: Any = None) -> list[str]:
    """The names of all users, as both event loops can read them."""
    return sorted([found.name async for found in engine.find(User, session=session)])


class Halt(Exception):
    """The error by which a test leaves a block."""


async def halted(block: AbstractAsyncContextManager[Any], work: Callable[[Any], Awaitable[object]]) -> None:
    """Do something in a block, and leave it by an error."""
    async with block as entered:
        await work(entered)
        raise Halt


# --- sessions ---


async def test_a_session_is_a_block_and_ends_with_it(uri: str, database: str) -> None:
    async with scene(uri, database) as (engine, _):
        async with engine.session() as session:
            assert type(session) is AIOSession
            driver_session = cast(Any, session.get_driver_session())
            await engine.save(user("john"), session=session)
        assert driver_session.has_ended


async def test_the_driver_s_session_is_this_driver_s(uri: str, database: str) -> None:
    async with scene(uri, database) as (engine, log), engine.session() as session:
        driver_session = cast(Any, session.get_driver_session())
        assert type(driver_session) is wiredrv.ClientSession
        assert driver_session.client is cast(Any, engine.client)
        await engine.save(user("john"), session=session)
        assert driver_session.operation_time is not None
        # The driver's session can be given where the engine takes one, as the mapper's own.
        await engine.save(user("jane"), session=cast(Any, driver_session))
        assert len({*log.lsids()}) == 1


@on_asyncio
async def test_operations_of_the_block_use_its_session_and_see_its_writes(uri: str, database: str) -> None:
    async with scene(uri, database) as (engine, log):
        async with engine.session() as session:
            await engine.save(user("john"), session=session)
            found = await engine.find(User, session=session)
            count = await engine.count(User, session=session)
        assert ([john.name for john in found], count) == (["john"], 1)
        assert log.names == ["update", "aggregate", "aggregate"]
        assert len({*log.lsids()}) == 1
        written = log.succeeded_events[0].reply["operationTime"]
        assert all(command["readConcern"]["afterClusterTime"] >= written for command in log.sent("aggregate"))


@pytest.mark.parametrize("preference", ["primary", "secondary"])
async def test_a_session_has_the_settings_of_its_client(uri: str, database: str, preference: str) -> None:
    options = {"readPreference": preference, "readConcernLevel": "majority", "w": "majority", "wTimeoutMS": 9000}
    async with scene(uri, database, **options) as (engine, log):
        async with engine.session() as session:
            await engine.save(user("john"), session=session)
            assert await names(engine, session) == ["john"]
        assert log.sent("update")[0]["writeConcern"] == {"w": "majority", "wtimeout": 9000}
        [find] = log.sent("aggregate")
        assert find["readConcern"]["level"] == "majority"
        assert find.get("$readPreference", {"mode": "primary"}) == {"mode": preference}


async def test_an_error_in_the_block_ends_the_session_and_keeps_what_was_written(uri: str, database: str) -> None:
    async with scene(uri, database) as (engine, _):
        used: list[wiredrv.ClientSession] = []

        async def save_ten(session: AIOSession) -> None:
            used.append(cast(Any, session.get_driver_session()))
            for number in range(10):
                await engine.save(user(f"{number}"), session=session)
            assert await engine.count(User, session=session) == 10

        with pytest.raises(Halt):
            await halted(engine.session(), save_ten)
        assert used[0].has_ended
        assert await engine.count(User) == 10


async def nested(engine: AIOEngine, session: AIOSession | None = None) -> User:
    """A helper that takes a session, or makes one."""
    if session:
        return await engine.save(user("nested"), session=session)
    async with engine.session() as own:
        return await engine.save(user("own"), session=own)


async def test_a_helper_takes_a_session_or_makes_one(uri: str, database: str) -> None:
    async with scene(uri, database) as (engine, log):
        await nested(engine)
        async with engine.session() as session:
            await nested(engine, session=session)
            await nested(engine, session=session)
            assert await engine.count(User, session=session) == 3
        _, *shared = log.lsids()
        assert len(shared) == 3
        assert len({*shared}) == 1
        assert await names(engine) == ["nested", "nested", "own"]


async def test_a_session_can_be_started_and_ended_by_hand(uri: str, database: str) -> None:
    async with scene(uri, database) as (engine, _):
        session = engine.session()
        with pytest.raises(RuntimeError, match="not started"):
            session.get_driver_session()
        await session.start()
        await session.save(user("john"))
        assert await session.count(User) == 1
        await session.end()
        assert not session.is_started


# --- transactions ---


@leaves_its_session
async def test_a_transaction_is_a_block_that_commits(uri: str, database: str) -> None:
    async with scene(uri, database) as (engine, log):
        async with engine.transaction() as transaction:
            assert type(transaction) is AIOTransaction
            assert not issubclass(AIOTransaction, AIOSession)
            driver_session = cast(Any, transaction.get_driver_session())
            assert type(driver_session) is wiredrv.ClientSession
            assert driver_session.in_transaction
            alice = user("alice")
            await engine.save(alice, session=transaction)
            await engine.save(Order(user_id=alice.id, total=99.99), session=transaction)
            alice.model_update({"total_orders": 1})
            await engine.save(alice, session=transaction)
            assert await names(engine) == []
        assert log.names[-1] == "commitTransaction"
        assert [found.total_orders async for found in engine.find(User)] == [1]
        assert await engine.count(Order) == 1


async def test_model_update_takes_an_object_and_no_keywords() -> None:
    john = user("john")
    with pytest.raises(TypeError):
        cast(Any, john).model_update(total_orders=1)
    john.model_update({"total_orders": 1})
    assert john.total_orders == 1


@leaves_its_session
async def test_an_exception_aborts_and_nothing_is_written(uri: str, database: str) -> None:
    async with scene(uri, database) as (engine, log):

        async def save_five(transaction: AIOTransaction) -> None:
            for number in range(5):
                await engine.save(user(f"{number}"), session=transaction)

        with pytest.raises(Halt):
            await halted(engine.transaction(), save_five)
        assert (log.names.count("abortTransaction"), log.names.count("commitTransaction")) == (1, 0)
        assert await engine.count(User) == 0


async def transfer(engine: AIOEngine, source: ObjectId, target: ObjectId, amount: float) -> None:
    """Move money between the accounts of two users, and record it: all of it, or nothing."""
    async with engine.session() as session, session.transaction() as transaction:
        one = await engine.find_one(Account, Account.user_id == source, session=transaction)
        if one is None or one.balance < amount:
            raise ValueError("insufficient funds")
        other = await engine.find_one(Account, Account.user_id == target, session=transaction)
        if other is None:
            raise ValueError("no such account")
        one.model_update({"balance": one.balance - amount})
        other.model_update({"balance": other.balance + amount})
        await engine.save(one, session=transaction)
        await engine.save(other, session=transaction)
        record = Transaction(from_account=source, to_account=target, amount=amount, timestamp=datetime(2026, 5, 1))
        await engine.save(record, session=transaction)


@on_asyncio
async def test_money_moves_between_collections_or_not_at_all(uri: str, database: str) -> None:
    async with scene(uri, database) as (engine, _):
        ada, bob = ObjectId(), ObjectId()
        await engine.save_all([Account(user_id=ada, balance=100), Account(user_id=bob, balance=0)])
        await transfer(engine, ada, bob, 30)
        for target, amount, reason in ((bob, 500, "insufficient funds"), (ObjectId(), 10, "no such account")):
            with pytest.raises(ValueError, match=reason):
                await transfer(engine, ada, target, amount)
        balances = {account.user_id: account.balance for account in await engine.find(Account)}
        assert balances == {ada: 70, bob: 30}
        assert [record.amount for record in await engine.find(Transaction)] == [30]


async def test_a_transaction_has_the_concerns_of_its_client(uri: str, database: str) -> None:
    options = {"readConcernLevel": "majority", "w": "majority"}
    async with scene(uri, database, **options) as (engine, log):
        async with engine.session() as session, session.transaction() as transaction:
            await engine.save(user("john"), session=transaction)
            await engine.save(user("jane"), session=transaction)
        first, second, commit = log.sent()
        assert first["readConcern"]["level"] == "majority"
        assert "readConcern" not in second
        assert not {"writeConcern"} & (first.keys() | second.keys())
        assert commit["writeConcern"] == {"w": "majority"}


@pytest.mark.parametrize("end", ["commit", "abort"])
async def test_a_transaction_can_be_ended_by_hand(uri: str, database: str, end: str) -> None:
    async with scene(uri, database) as (engine, _):
        transaction = engine.transaction()
        await transaction.start()
        driver_session = cast(Any, transaction.get_driver_session())
        await transaction.save(user("john"))
        await getattr(transaction, end)()
        assert driver_session.has_ended
        assert await names(engine) == (["john"] if end == "commit" else [])


async def test_a_commit_in_the_block_is_the_only_one(uri: str, database: str) -> None:
    async with scene(uri, database) as (engine, log):
        async with engine.transaction() as transaction:
            await transaction.save(user("john"))
            await transaction.commit()
        assert log.names.count("commitTransaction") == 1
        assert await names(engine) == ["john"]


async def test_the_session_of_a_transaction_that_the_engine_made_is_not_ended(uri: str, database: str) -> None:
    """ODMantic forgets it: it is ended when it is collected, with a warning. Its own session is the way around."""
    async with scene(uri, database) as (engine, _):
        async with engine.transaction() as transaction:
            await transaction.save(user("john"))
        assert cast(Any, transaction.session.get_driver_session()).in_transaction is False
        with pytest.warns(ResourceWarning, match=r"odmantic/session\.py:\d+ was never ended"):
            transaction = cast(Any, gc.collect())
        async with engine.session() as session, session.transaction() as transaction:
            await transaction.save(user("jane"))
            driver_session = cast(Any, session.get_driver_session())
        assert driver_session.has_ended


# --- what ODMantic asks of errors and indexes ---


async def test_its_errors_are_raised_for_this_driver_s(uri: str, database: str) -> None:
    async with scene(uri, database) as (engine, _):
        await engine.configure_database([Publisher])
        await engine.save(Publisher(name="Penguin"))
        with pytest.raises(DuplicateKeyError) as caught:
            await engine.save(Publisher(name="Penguin"))
        assert isinstance(caught.value.__context__, wiredrv.errors.DuplicateKeyError)
        with pytest.raises(DocumentNotFoundError):
            await engine.delete(Publisher(name="nobody"))


async def test_indexes_are_made_and_changed(uri: str, database: str) -> None:
    class Indexed(Model):
        model_config = {"collection": "indexed", "indexes": lambda: [Index(Indexed.a, name="one")]}
        a: int
        b: int

    class Changed(Model):
        model_config = {"collection": "indexed", "indexes": lambda: [Index(Changed.b, name="one")]}
        a: int
        b: int

    async with scene(uri, database) as (engine, _):
        await engine.configure_database([Indexed])
        with pytest.raises(pymongo.errors.OperationFailure):
            await engine.configure_database([Changed])
        await engine.configure_database([Changed], update_existing_indexes=True)
        indexes = await cast(Any, engine).get_collection(Changed).index_information()
        assert indexes["one"]["key"] == [("b", 1)]


async def test_references_are_saved_and_read_in_a_transaction(uri: str, database: str) -> None:
    async with scene(uri, database) as (engine, log):
        penguin = Publisher(name="Penguin")
        async with engine.session() as session, session.transaction() as transaction:
            await transaction.save_all([Book(title=title, publisher=penguin) for title in ("Emma", "Ulysses")])
            read = [book async for book in transaction.find(Book, sort=Book.title)]
            assert [(book.title, book.publisher.name) for book in read] == [("Emma", "Penguin"), ("Ulysses", "Penguin")]
            await transaction.delete(read[0])
            assert await transaction.remove(Book, Book.title == "nothing") == 0
        assert all(command["autocommit"] is False for command in log.sent())
        assert await engine.count(Book) == 1


# --- bindings, and with_transaction ---


async def test_a_binding_reaches_all_calls_but_save(uri: str, database: str) -> None:
    """``save`` and ``save_all`` start a session of their own if they are given none, and so leave the binding."""
    async with scene(uri, database) as (engine, _):
        client = cast(wiredrv.Client, engine.client)
        await engine.save(user("before"))

        async def replace(_: wiredrv.ClientSession) -> None:
            assert await names(engine) == ["before"]
            assert await engine.count(User) == 1
            await engine.remove(User)
            await engine.save(user("outside"))

        with pytest.raises(Halt):
            await halted(client.transaction(), replace)
        assert await names(engine) == ["before", "outside"]


@on_asyncio
async def test_a_callback_with_retries_loads_its_models_itself(uri: str, database: str) -> None:
    """After a save, a model counts as unchanged, though its transaction be aborted: another attempt writes nothing."""
    async with scene(uri, database) as (engine, _):
        client = cast(wiredrv.Client, engine.client)
        outside = await engine.save(user("john"))
        attempts = 0

        async def pay(session: Any) -> None:
            nonlocal attempts
            attempts += 1
            loaded = await engine.find_one(User, User.name == "john", session=session)
            assert loaded is not None
            loaded.total_orders += 1
            await engine.save(loaded, session=session)
            if attempts == 1:
                outside.email = "new@example.com"
            await engine.save(outside, session=session)
            if attempts == 1:
                raise wiredrv.errors.OperationFailure("a conflict", error_labels=["TransientTransactionError"])

        async with client.start_session() as session:
            await session.with_transaction(pay)
        assert attempts == 2
        [found] = await engine.find(User)
        assert (found.total_orders, found.email) == (1, "john@example.com")


# --- trio ---


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_on_trio_results_are_read_with_async_for(uri: str, database: str) -> None:
    async with scene(uri, database) as (engine, _):
        await engine.save(user("john"))
        for call in (lambda: _awaited(engine), lambda: engine.find_one(User)):
            with pytest.raises(TypeError, match="unrecognized yield message"):
                await call()
        assert await names(engine) == ["john"]


async def _awaited(engine: AIOEngine) -> list[User]:
    return await engine.find(User)
