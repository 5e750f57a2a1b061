"""FastAPI on asyncio and trio: a client for the lifespan, a transaction for each request, reading one's own writes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI

import wiredrv
from tests.ecosystem.apps import fastapi_app as shop
from tests.ecosystem.serving import Order, serving
from tests.support.failpoints import fail_command
from tests.support.waiting import until
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

#: So that fail points apply to the application alone.
APP_NAME = "fastapi"
ORDER = {"source": "ada", "target": "bob", "amount": 30}


@asynccontextmanager
async def _scene(replica_set: ReplicaSet, app: FastAPI = shop.app) -> AsyncIterator[tuple[httpx.AsyncClient, Order]]:
    """An application on a server, with 100 on ada's account and none on bob's, and what it does, in order."""
    order = Order()
    async with wiredrv.Client(replica_set.uri, event_listeners=[order], appName=APP_NAME) as client:
        for collection in (client.bank.accounts, client.bank.receipts, client.bank.settings):
            await collection.delete_many({})
        await client.bank.receipts.insert_one({})
        await client.bank.accounts.insert_many([{"_id": "ada", "amount": 100}, {"_id": "bob", "amount": 0}])
        order.clear()
        app.dependency_overrides[shop.get_client] = lambda: client
        try:
            async with serving(order.around(app)) as http:
                await http.get("/openapi.json")  # the lifespan has begun, and made a client of its own
                app.state.client = client
                order.clear()
                yield http, order
        finally:
            app.dependency_overrides.clear()


async def _amounts(replica_set: ReplicaSet) -> dict[str, int]:
    async with wiredrv.Client(replica_set.uri) as client:
        return {account["_id"]: account["amount"] async for account in client.bank.accounts.find()}


# --- the lifespan ---


async def test_the_client_is_opened_and_closed_with_the_application(named_replica_set: ReplicaSet) -> None:
    async with wiredrv.Client(named_replica_set.uri) as client:
        await client.bank.settings.replace_one({"_id": "theme"}, {"value": "dark"}, upsert=True)
    async with serving(shop.app) as http:
        assert (await http.get("/settings/theme")).json() == {"_id": "theme", "value": "dark"}
        opened = shop.app.state.client
    with pytest.raises(wiredrv.errors.InvalidOperation, match="after close"):
        await opened.bank.settings.find_one()


# --- a transaction for each request ---


async def test_the_transaction_of_a_request_is_committed_before_the_response_is_sent(
    named_replica_set: ReplicaSet,
) -> None:
    async with _scene(named_replica_set) as (http, order):
        response = await http.post("/transfers", json=ORDER)
        assert (response.status_code, response.json()) == (200, {"left": 70})
        await until(lambda: "insert succeeded" in order.log, "the background task wrote the receipt")
        assert order.log == [
            "send findAndModify",
            "findAndModify succeeded",
            "send update",
            "update succeeded",
            "send commitTransaction",
            "commitTransaction succeeded",
            "response",
            "send insert",
            "insert succeeded",
        ]
    assert await _amounts(named_replica_set) == {"ada": 70, "bob": 30}


async def test_background_tasks_run_outside_of_the_transaction(named_replica_set: ReplicaSet) -> None:
    async with _scene(named_replica_set) as (http, order):
        await http.post("/transfers", json=ORDER)
        await until(lambda: "insert succeeded" in order.log, "the background task wrote the receipt")
    [statement], [receipt] = order.sent("update"), order.sent("insert")
    assert statement["autocommit"] is False
    assert "autocommit" not in receipt


@pytest.mark.parametrize("change, status", [({"amount": 500}, 409), ({"target": "nobody"}, 404), ({"amount": -1}, 422)])
async def test_a_request_that_is_refused_changes_nothing(
    named_replica_set: ReplicaSet, change: dict[str, Any], status: int
) -> None:
    async with _scene(named_replica_set) as (http, order):
        response = await http.post("/transfers", json=ORDER | change)
        assert response.status_code == status
    assert "send commitTransaction" not in order.log
    assert "send insert" not in order.log  # no background task either
    assert await _amounts(named_replica_set) == {"ada": 100, "bob": 0}


async def test_a_commit_that_fails_is_what_the_response_says(named_replica_set: ReplicaSet) -> None:
    async with _scene(named_replica_set) as (http, _):
        failure = {"errorCode": 251, "errorLabels": ["TransientTransactionError"]}
        primary = named_replica_set.primary().address
        async with fail_command(primary, "commitTransaction", app_name=APP_NAME, data=failure):
            response = await http.post("/transfers", json=ORDER)
        assert (response.status_code, response.json()) == (503, {"detail": "nothing was changed: try again"})
        assert (await http.post("/transfers", json=ORDER)).json() == {"left": 70}


async def test_a_request_with_retries_runs_again_after_a_conflict(named_replica_set: ReplicaSet) -> None:
    async with _scene(named_replica_set) as (http, order):
        failure = {"errorCode": 112, "errorLabels": ["TransientTransactionError"]}
        primary = named_replica_set.primary().address
        async with fail_command(primary, "update", app_name=APP_NAME, data=failure):
            response = await http.post("/retried-transfers", json=ORDER)
        assert (response.status_code, response.json()) == (200, {"left": 70})
    assert len(order.sent("findAndModify")) == 2
    assert order.log.index("commitTransaction succeeded") < order.log.index("response")
    assert await _amounts(named_replica_set) == {"ada": 70, "bob": 30}


late = FastAPI()


@late.post("/transfers", dependencies=[Depends(shop.transaction)])
async def transfer_that_answers_too_early(
    order: shop.Transfer, client: shop.TheClient, tasks: BackgroundTasks
) -> dict[str, Any]:
    return await shop.transfer(order, client, tasks)


async def test_without_the_scope_a_commit_comes_too_late_and_background_tasks_are_in_the_transaction(
    named_replica_set: ReplicaSet,
) -> None:
    """What the page warns of: here the response says 200 and nothing is changed."""
    async with _scene(named_replica_set, late) as (http, order):
        failure = {"errorCode": 251, "errorLabels": ["TransientTransactionError"]}
        primary = named_replica_set.primary().address
        async with fail_command(primary, "commitTransaction", app_name=APP_NAME, data=failure):
            response = await http.post("/transfers", json=ORDER)
            assert response.status_code == 200
            await until(lambda: "commitTransaction failed" in order.log, "the transaction is committed")
        assert order.sent("insert")[0]["autocommit"] is False
        assert await _amounts(named_replica_set) == {"ada": 100, "bob": 0}
        # Its session's next transaction ends the one that the fail point left open.
        assert (await http.post("/transfers", json=ORDER)).status_code == 200
        await until(lambda: "commitTransaction succeeded" in order.log, "the second transaction is committed")


# --- reading one's own writes, from one request to the next ---


async def test_a_request_reads_what_the_user_wrote_in_another_process(named_replica_set: ReplicaSet) -> None:
    """Two applications, each with a client of its own, and one user's cookie: the second asks for the first's time."""
    async with _scene(named_replica_set) as (http, order):
        assert (await http.put("/settings/theme", params={"value": "light"})).status_code == 204
        cookie = _cookie(http)
    [write] = order.sent("update")
    async with wiredrv.Client(named_replica_set.uri) as client:
        kept = await client.bank.settings.find_one()
    async with _scene(named_replica_set) as (http, order):
        await shop.app.state.client.bank.settings.insert_one(kept)
        order.clear()
        assert (await http.get("/settings/theme", headers=cookie)).json() == {"_id": "theme", "value": "light"}
    [read] = order.sent("find")
    assert read["readConcern"]["level"] == "majority"
    assert read["readConcern"]["afterClusterTime"] > write["$clusterTime"]["clusterTime"]
    assert read["$readPreference"] == {"mode": "secondaryPreferred"}


def _cookie(http: httpx.AsyncClient) -> dict[str, str]:
    """The user's token as a header: the cookie is for HTTPS alone, which these tests do not use."""
    return {"cookie": f"causal_token={http.cookies['causal_token']}"}


async def test_a_forged_cookie_is_a_new_session(named_replica_set: ReplicaSet) -> None:
    async with _scene(named_replica_set) as (http, order):
        await http.put("/settings/theme", params={"value": "light"})
        value = http.cookies["causal_token"]
        forged = value[:19] + ("A" if value[19] != "A" else "B") + value[20:]
        response = await http.get("/settings/theme", headers={"cookie": f"causal_token={forged}"})
        assert response.status_code in (200, 404), "a secondary that is read without a time may not have the write yet"
    assert "afterClusterTime" not in order.sent("find")[0]["readConcern"]


async def test_what_was_written_before_an_error_is_remembered_too(named_replica_set: ReplicaSet) -> None:
    async with _scene(named_replica_set) as (http, order):
        assert (await http.get("/settings/nothing")).status_code == 404
        await http.get("/settings/nothing", headers=_cookie(http))
    assert "afterClusterTime" in order.sent("find")[1]["readConcern"]
