"""FastAPI with ``def`` endpoints on ``wiredrv.sync``: dependencies that are entered and left in different threads."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Annotated

import anyio
import pytest
from fastapi import Depends, FastAPI

from tests.ecosystem.serving import Order, serving
from wiredrv.local import ReplicaSet
from wiredrv.sync import Client, ClientSession

pytestmark = pytest.mark.anyio


@pytest.fixture
def theatre(replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The application, with ten seats that are free."""
    monkeypatch.setenv("MONGODB_URI", replica_set.uri)
    module = importlib.import_module("tests.ecosystem.apps.fastapi_threads_app")
    seats, bookings = module.client.theatre.seats, module.client.theatre.bookings
    for collection in (seats, bookings):
        collection.delete_many({})
    bookings.insert_one({"seat": 0})
    seats.insert_many([{"_id": number, "taken_by": None} for number in range(10)])
    yield module
    module.client.close()
    del sys.modules[module.__name__]


async def test_requests_at_once_have_a_transaction_each(theatre: ModuleType) -> None:
    statuses: list[int] = []

    async with serving(theatre.app) as http, anyio.create_task_group() as tasks:

        async def reserve(number: int) -> None:
            response = await http.post(f"/seats/{number % 10}", params={"name": f"visitor {number}"})
            statuses.append(response.status_code)

        for number in range(10):
            tasks.start_soon(reserve, number)
    assert statuses == [200] * 10
    bookings = await anyio.to_thread.run_sync(
        lambda: theatre.client.theatre.bookings.find({"seat": {"$gt": 0}}).to_list()
    )
    taken = await anyio.to_thread.run_sync(lambda: theatre.client.theatre.seats.find({"_id": {"$gt": 0}}).to_list())
    assert {booking["seat"]: booking["name"] for booking in bookings} == {
        seat["_id"]: seat["taken_by"] for seat in taken
    }


async def test_a_seat_that_is_taken_changes_nothing(theatre: ModuleType) -> None:
    async with serving(theatre.app) as http:
        assert (await http.post("/seats/1", params={"name": "ada"})).status_code == 200
        assert (await http.post("/seats/1", params={"name": "bob"})).status_code == 409
    assert theatre.client.theatre.bookings.count_documents({"seat": 1}) == 1


@pytest.mark.parametrize("inherit", [False, True])
async def test_a_binding_in_a_dependency_does_not_reach_the_endpoint(
    theatre: ModuleType, replica_set: ReplicaSet, inherit: bool
) -> None:
    """Each ``def`` runs in a copy of the context: what it binds is for itself. The end of its block raises nothing."""
    order = Order()
    with Client(replica_set.uri, event_listeners=[order]) as client:

        def transaction() -> Iterator[ClientSession]:
            with client.transaction(inherit=inherit) as session:
                client.theatre.seats.find_one()
                yield session

        def endpoint(session: ClientSession) -> None:
            client.theatre.bookings.insert_one({"seat": -1})
            client.theatre.bookings.insert_one({"seat": -2}, session=session)

        endpoint.__annotations__["session"] = Annotated[ClientSession, Depends(transaction, scope="function")]
        app = FastAPI()
        app.post("/")(endpoint)
        async with serving(app) as http:
            assert (await http.post("/")).status_code == 200
    without, given = order.sent("insert")
    assert "autocommit" not in without
    assert given["autocommit"] is order.sent("find")[0]["autocommit"] is False
    assert "commitTransaction succeeded" in order.log
