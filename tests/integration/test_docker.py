"""Real servers of the current release, from docker-compose.yml: a replica set, a sharded cluster, a load balancer.

They run if a Docker engine is available, and are skipped with the reason otherwise; ``make test-docker`` runs the
specification tests against the same servers.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import wiredrv
from tests.support.compose import LOAD_BALANCED, REPLICA_SET, SHARDED, deployments, engine_problem

pytestmark = [pytest.mark.anyio, pytest.mark.docker]


@pytest.fixture(scope="session")
def containers(starts_servers: None) -> Iterator[None]:
    """All deployments of the file."""
    problem = engine_problem()
    if problem is not None:
        pytest.skip(problem)
    with deployments():
        yield


@pytest.mark.usefixtures("containers")
@pytest.mark.parametrize("uri", [REPLICA_SET, SHARDED, LOAD_BALANCED], ids=["replica set", "sharded", "load balanced"])
async def test_transactions_and_causal_reads(uri: str) -> None:
    async with wiredrv.Client(uri) as client:
        accounts = client["wiredrv_docker"]["accounts"]
        await accounts.drop()
        await accounts.insert_many([{"_id": "a", "amount": 10}, {"_id": "b", "amount": 0}])

        async def transfer(session: wiredrv.ClientSession) -> None:
            await accounts.update_one({"_id": "a"}, {"$inc": {"amount": -3}}, session=session)
            await accounts.update_one({"_id": "b"}, {"$inc": {"amount": 3}}, session=session)

        async with client.start_session() as session:
            await session.with_transaction(transfer)
            found = await accounts.find({}, session=session).sort("_id").to_list()
            assert [account["amount"] for account in found] == [7, 3]
        await accounts.drop()


@pytest.mark.usefixtures("containers")
@pytest.mark.parametrize("uri", [REPLICA_SET, SHARDED], ids=["replica set", "sharded"])
async def test_a_snapshot_stays_as_it_was(uri: str) -> None:
    async with wiredrv.Client(uri) as client:
        things = client["wiredrv_docker"].get_collection("things", write_concern=wiredrv.WriteConcern("majority"))
        await things.drop()
        await things.insert_one({"_id": 1})
        async with client.start_session(snapshot=True) as session:
            assert await things.count_documents({}, session=session) == 1
            await things.insert_one({"_id": 2})
            assert await things.count_documents({}, session=session) == 1
        await things.drop()
