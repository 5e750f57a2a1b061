"""ODMantic's SyncEngine on a ``wiredrv.sync.Client``: sessions, transactions, and what its page on them says."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Thread
from typing import Any, cast

import pymongo.errors
import pytest
from bson import ObjectId
from odmantic import SyncEngine
from odmantic.exceptions import DocumentNotFoundError, DuplicateKeyError
from odmantic.session import SyncSession, SyncTransaction

import wiredrv
from tests.ecosystem.mappers.cases_odmantic import Book, Halt, Order, Publisher, User, leaves_its_session, user
from tests.support.commands import CommandLog
from wiredrv.sync import Client, ClientSession


@contextmanager
def scene(uri: str, database: str, **options: Any) -> Iterator[tuple[SyncEngine, CommandLog]]:
    """An engine on a database of its own, and the commands of its client."""
    log = CommandLog()
    with Client(uri, event_listeners=[log], **options) as client:
        engine = SyncEngine(cast(Any, client), database)
        yield engine, log
        client.drop_database(database)


def names(engine: SyncEngine, session: Any = None) -> list[str]:
    """The names of all users."""
    return sorted(found.name for found in engine.find(User, session=session))


def halted(block: AbstractContextManager[Any], work: Callable[[Any], object]) -> None:
    """Do something in a block, and leave it by an error."""
    with block as entered:
        work(entered)
        raise Halt


# --- sessions ---


def test_a_session_is_a_block_and_ends_with_it(uri: str, database: str) -> None:
    with scene(uri, database) as (engine, _):
        with engine.session() as session:
            assert type(session) is SyncSession
            driver_session = cast(Any, session.get_driver_session())
            assert type(driver_session) is ClientSession
            assert driver_session.client is cast(Any, engine.client)
            engine.save(user("jane"), session=session)
        assert driver_session.has_ended

        def keep(session: SyncSession) -> None:
            nonlocal driver_session
            driver_session = cast(Any, session.get_driver_session())

        with pytest.raises(Halt):
            halted(engine.session(), keep)
        assert driver_session.has_ended


def test_operations_of_the_block_use_its_session_and_see_its_writes(uri: str, database: str) -> None:
    with scene(uri, database) as (engine, log):
        with engine.session() as session:
            engine.save(user("jane"), session=session)
            found = list(engine.find(User, session=session))
            count = engine.count(User, session=session)
        assert ([jane.name for jane in found], count) == (["jane"], 1)
        assert log.names == ["update", "aggregate", "aggregate"]
        assert len({*log.lsids()}) == 1
        written = log.succeeded_events[0].reply["operationTime"]
        assert all(command["readConcern"]["afterClusterTime"] >= written for command in log.sent("aggregate"))


def nested(engine: SyncEngine, session: SyncSession | None = None) -> User:
    """A helper that takes a session, or makes one."""
    if session:
        return engine.save(user("nested"), session=session)
    with engine.session() as own:
        return engine.save(user("own"), session=own)


def test_a_helper_takes_a_session_or_makes_one(uri: str, database: str) -> None:
    with scene(uri, database) as (engine, log):
        nested(engine)
        with engine.session() as session:
            nested(engine, session=session)
            nested(engine, session=session)
            assert engine.count(User, session=session) == 3
        _, *shared = log.lsids()
        assert len(shared) == 3
        assert len({*shared}) == 1


def test_a_session_can_be_started_and_ended_by_hand(uri: str, database: str) -> None:
    with scene(uri, database) as (engine, _):
        session = engine.session()
        session.start()
        session.save(user("jane"))
        assert session.count(User) == 1
        session.end()
        assert not session.is_started


# --- transactions ---


@leaves_its_session
def test_a_transaction_is_a_block_that_commits(uri: str, database: str) -> None:
    with scene(uri, database) as (engine, log):
        with engine.transaction() as transaction:
            assert type(transaction) is SyncTransaction
            assert not issubclass(SyncTransaction, SyncSession)
            driver_session = cast(Any, transaction.get_driver_session())
            assert type(driver_session) is ClientSession
            assert driver_session.in_transaction
            bob = user("bob")
            engine.save(bob, session=transaction)
            engine.save(Order(user_id=bob.id, total=149.99), session=transaction)
            assert names(engine) == []
        assert log.names[-1] == "commitTransaction"
        assert names(engine) == ["bob"]
        assert engine.count(Order) == 1


@leaves_its_session
def test_an_exception_aborts_and_nothing_is_written(uri: str, database: str) -> None:
    with scene(uri, database) as (engine, log):

        def save_five(transaction: SyncTransaction) -> None:
            for number in range(5):
                engine.save(user(f"{number}"), session=transaction)

        with pytest.raises(Halt):
            halted(engine.transaction(), save_five)
        assert (log.names.count("abortTransaction"), log.names.count("commitTransaction")) == (1, 0)
        assert engine.count(User) == 0


@pytest.mark.parametrize("end", ["commit", "abort"])
def test_a_transaction_can_be_ended_by_hand(uri: str, database: str, end: str) -> None:
    with scene(uri, database) as (engine, _):
        transaction = engine.transaction()
        transaction.start()
        driver_session = cast(Any, transaction.get_driver_session())
        transaction.save(user("jane"))
        getattr(transaction, end)()
        assert driver_session.has_ended
        assert names(engine) == (["jane"] if end == "commit" else [])


def test_a_commit_in_the_block_is_the_only_one(uri: str, database: str) -> None:
    with scene(uri, database) as (engine, log):
        with engine.transaction() as transaction:
            transaction.save(user("jane"))
            transaction.commit()
        assert log.names.count("commitTransaction") == 1
        assert names(engine) == ["jane"]


def test_the_session_of_a_transaction_that_the_engine_made_is_not_ended(uri: str, database: str) -> None:
    """ODMantic forgets it: it is ended when it is collected, with a warning. Its own session is the way around."""
    with scene(uri, database) as (engine, _):
        with engine.transaction() as transaction:
            transaction.save(user("bob"))
        assert cast(Any, transaction.session.get_driver_session()).has_ended is False
        with pytest.warns(ResourceWarning, match=r"odmantic/session\.py:\d+ was never ended"):
            transaction = cast(Any, gc.collect())
        with engine.session() as session, session.transaction() as transaction:
            transaction.save(user("jane"))
            driver_session = cast(Any, session.get_driver_session())
        assert driver_session.has_ended


def test_with_transaction_takes_the_engine_s_calls(uri: str, database: str) -> None:
    with scene(uri, database) as (engine, _):
        attempts = 0

        def pay(session: Any) -> int:
            nonlocal attempts
            attempts += 1
            engine.save(user("jane"), session=session)
            if attempts == 1:
                raise wiredrv.errors.OperationFailure("a conflict", error_labels=["TransientTransactionError"])
            return engine.count(User, session=session)

        with cast(Client, engine.client).start_session() as session:
            assert session.with_transaction(pay) == 1
        assert attempts == 2


# --- what ODMantic asks of errors, indexes and references ---


def test_its_errors_are_raised_for_this_driver_s(uri: str, database: str) -> None:
    with scene(uri, database) as (engine, _):
        engine.configure_database([Publisher])
        engine.save(Publisher(name="Penguin"))
        with pytest.raises(DuplicateKeyError) as caught:
            engine.save(Publisher(name="Penguin"))
        assert isinstance(caught.value.__context__, pymongo.errors.DuplicateKeyError)
        with pytest.raises(DocumentNotFoundError):
            engine.delete(Publisher(name="nobody"))


def test_references_are_saved_and_read_in_a_transaction(uri: str, database: str) -> None:
    with scene(uri, database) as (engine, log):
        penguin = Publisher(name="Penguin")
        with engine.session() as session, session.transaction() as transaction:
            transaction.save_all([Book(title=title, publisher=penguin) for title in ("Emma", "Ulysses")])
            read = list(transaction.find(Book, sort=Book.title))
            assert [(book.title, book.publisher.name) for book in read] == [("Emma", "Penguin"), ("Ulysses", "Penguin")]
            transaction.delete(read[0])
            assert transaction.find_one(Book, Book.title == "Emma") is None
        assert all(command["autocommit"] is False for command in log.sent())
        assert engine.count(Book) == 1


# --- bindings and threads ---


def test_a_binding_reaches_all_calls_but_save(uri: str, database: str) -> None:
    """``save`` and ``save_all`` start a session of their own if they are given none, and so leave the binding."""
    with scene(uri, database) as (engine, _):
        engine.save(user("before"))

        def replace(_: ClientSession) -> None:
            assert names(engine) == ["before"]
            engine.remove(User)
            engine.save(user("outside"))

        with pytest.raises(Halt):
            halted(cast(Client, engine.client).transaction(), replace)
        assert names(engine) == ["before", "outside"]


def test_an_engine_serves_many_threads(uri: str, database: str) -> None:
    with scene(uri, database) as (engine, _):

        def save_ten() -> None:
            for _ in range(10):
                with engine.session() as session, session.transaction() as transaction:
                    transaction.save(Order(user_id=ObjectId(), total=1))

        engine.save(Order(user_id=ObjectId(), total=0))
        threads = [Thread(target=save_ten) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert engine.count(Order) == 81
