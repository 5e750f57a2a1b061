"""The test's database is dropped after the test, whatever the test left in it."""

from __future__ import annotations

import time

import pytest

from tests.testing.conftest import Run
from wiredrv.errors import InvalidOperation
from wiredrv.local import ReplicaSet
from wiredrv.sync import Client
from wiredrv.testing.leftovers import Leftovers, drop, fresh_name

LEAVES = """
import anyio
import pytest
import wiredrv

names, sessions = [], []

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.fixture(autouse=True)
def remember(database):
    names.append(database.name)

@pytest.mark.anyio
async def test_fails(database):
    await database.orders.insert_one({})
    assert False

@pytest.mark.anyio
async def test_leaves_a_transaction_open(database, wiredrv_client):
    await database.create_collection("orders")
    session = wiredrv_client.start_session()
    sessions.append(session)
    session.start_transaction()
    await database.orders.insert_one({}, session=session)
    await database.others.insert_one({})

@pytest.mark.anyio
async def test_leaves_a_transaction_of_another_client_open(database, mongodb):
    client = clients[0]
    client[database.name].create_collection("orders")
    session = client.start_session()
    sessions.append(session)
    session.start_transaction()
    client[database.name].orders.insert_one({}, session=session)

@pytest.mark.anyio
async def test_is_cancelled(database):
    with anyio.move_on_after(0.1):
        while True:
            await database.orders.insert_one({})

@pytest.mark.anyio
async def test_closes_its_client(database, wiredrv_client):
    await database.orders.insert_one({})
    await wiredrv_client.close()

@pytest.mark.anyio
async def test_leaves_all_kinds_of_collections(database):
    for number in range(12):
        await database[f"c{number}"].insert_one({})
    await database.command({"create": "view", "viewOn": "c1", "pipeline": []})
    await database.create_collection("measured", timeseries={"timeField": "at"})
    await database.create_collection("capped", capped=True, size=4096)

clients = []

@pytest.fixture(scope="session", autouse=True)
def another_client(mongodb):
    import wiredrv.sync

    with wiredrv.sync.Client(mongodb.uri) as client:
        clients.append(client)
        yield

def test_all_are_gone(wiredrv_client):
    assert len(set(names)) == 7
    assert not set(names) & set(wiredrv_client.list_database_names())
"""


def test_databases_are_dropped_whatever_tests_leave(pytester: pytest.Pytester, run_here: Run) -> None:
    pytester.makepyfile(LEAVES)
    never_ended = "ignore::pytest.PytestUnraisableExceptionWarning"
    result = run_here("-p", "anyio", "-W", never_ended)
    result.assert_outcomes(passed=6, failed=1)


def test_a_name_says_which_test_it_is_of_and_is_never_repeated() -> None:
    test = "test_orders_are_shipped[asyncio-€ long parameters, of which only the beginning is kept]"
    names = {fresh_name(test) for _ in range(50)}
    assert len(names) == 50
    assert all(name.startswith("test_orders_are_shipped_async_") and len(name) < 64 for name in names)
    assert fresh_name("[é]").startswith("test_database_")


def test_an_open_transaction_delays_the_drop_by_less_than_a_second(replica_set: ReplicaSet) -> None:
    with Client(replica_set.uri) as client, Client(replica_set.uri) as another:
        leftovers = Leftovers(another)
        database = client[leftovers.fresh("test_one")]
        database.create_collection("orders")
        with client.start_session() as session, client.start_session() as elsewhere:
            session.start_transaction()
            database.orders.insert_one({}, session=session)
            elsewhere.start_transaction()
            client.test_elsewhere.orders.insert_one({}, session=elsewhere)
            began = time.monotonic()
            leftovers.drop()
            assert time.monotonic() - began < 5
            assert database.name not in another.list_database_names()
            elsewhere.commit_transaction()  # transactions on other databases are left alone
            session.abort_transaction()
        assert client.test_elsewhere.orders.count_documents({}) == 1
        client.drop_database("test_elsewhere")


def test_a_drop_that_is_refused_says_so(replica_set: ReplicaSet) -> None:
    with Client(replica_set.uri) as client:
        client.test_refused.orders.insert_one({})
        point = {"configureFailPoint": "failCommand", "mode": "alwaysOn"}
        data = {"failCommands": ["drop", "dropDatabase"], "errorCode": 13, "appName": "refused"}
        client.admin.command({**point, "data": data})
        try:
            with (
                Client(replica_set.uri, appName="refused") as refused,
                pytest.raises(InvalidOperation, match="the test's database test_refused could not be dropped"),
            ):
                drop(refused, "test_refused")
        finally:
            client.admin.command({**point, "mode": "off"})
        client.drop_database("test_refused")
