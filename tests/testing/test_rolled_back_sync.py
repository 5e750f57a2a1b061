"""The block whose transaction is aborted, with clients of ``wiredrv.sync``."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from wiredrv.errors import DriverError, DuplicateKeyError
from wiredrv.sync import Client, ClientSession, Database, GridFSBucket
from wiredrv.testing.joined import RollbackError
from wiredrv.testing.rollback import rolled_back


@pytest.fixture
def client(wiredrv_client: Client) -> Client:
    return wiredrv_client


@pytest.fixture
def db(database: Database) -> Database:
    database.orders.insert_one({"_id": 1})
    return database


def test_what_is_written_is_undone_and_transactions_join(client: Client, db: Database) -> None:
    called: list[int] = []
    with rolled_back(client, on_commit=True):
        db.orders.insert_one({"_id": 2})
        with client.transaction() as session:
            db.orders.insert_one({"_id": 3})
            session.on_commit(lambda: called.append(1))

        def callback(session: ClientSession) -> Any:
            return db.orders.insert_one({"_id": 4}, session=session).inserted_id

        with client.start_session() as session:
            assert session.with_transaction(callback) == 4
        with GridFSBucket(db).open_upload_stream("a.txt") as stream:
            stream.write(b"hello")
        assert db.orders.count_documents({}) == 4
        with pytest.raises(RollbackError, match="`database`"):
            db.list_collection_names()
    assert called == [1]
    assert db.orders.count_documents({}) == 1
    assert db["fs.files"].count_documents({}) == 0


def test_an_error_and_an_inner_abort_end_the_transaction(client: Client, db: Database) -> None:
    with rolled_back(client):
        with pytest.raises(DuplicateKeyError) as caught:
            db.orders.insert_one({"_id": 1})
        with pytest.raises(RollbackError) as refused:
            db.orders.find_one()
        assert refused.value.__cause__ is caught.value

    def buy() -> None:
        with client.transaction():
            db.orders.insert_one({"_id": 2})
            raise ValueError("no money")

    with rolled_back(client):
        with pytest.raises(ValueError, match="no money"):
            buy()
        with pytest.raises(RollbackError, match=r"aborted its own transaction, at .*test_rolled_back_sync") as refused:
            db.orders.find_one()
        assert "no money" in str(refused.value.__cause__)
    assert db.orders.count_documents({}) == 1


def test_threads_take_turns(client: Client, db: Database) -> None:
    errors: list[DriverError] = []

    def work(number: int) -> None:
        try:
            with client.transaction():
                db.orders.insert_one({"_id": number})
        except DriverError as error:
            errors.append(error)

    with rolled_back(client):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(10, 20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert db.orders.count_documents({}) == 11
    assert db.orders.count_documents({}) == 1


async def _asynchronous(client: Client) -> None:
    async with rolled_back(client):
        pass


def test_the_block_of_the_other_kind_is_refused(client: Client) -> None:
    with pytest.raises(TypeError, match="use `with"):
        _asynchronous(client).send(None)
