"""A client's properties: PyMongo's, which are awaited, and what is known without waiting."""

from __future__ import annotations

from typing import Any

import pytest

import wiredrv
from tests.support.fake_server import FakeServer, with_sessions
from tests.support.pymongo_peer import with_pymongo
from tests.support.waiting import until
from wiredrv.client.known_topology import KnownTopology
from wiredrv.description import ServerDescription, ServerType, TopologyDescription, TopologyType
from wiredrv.errors import InvalidOperation, ServerSelectionTimeoutError
from wiredrv.local import ReplicaSet, Standalone
from wiredrv.types import Address

pytestmark = pytest.mark.anyio

NAMES = ("address", "primary", "secondaries", "arbiters", "is_primary", "is_mongos")


async def _all_of(client: Any) -> dict[str, Any]:
    return {name: await getattr(client, name) for name in NAMES} | {"nodes": client.nodes}


async def _theirs(uri: str, nodes: int) -> dict[str, Any]:
    async def ask(client: Any) -> dict[str, Any]:
        await client.is_primary
        await until(lambda: len(client.nodes) == nodes, "all members are known")
        return await _all_of(client)

    found: dict[str, Any] = (await with_pymongo(uri, ask))[0]
    return found


async def _ours(uri: str, nodes: int) -> dict[str, Any]:
    async with wiredrv.Client(uri) as client:
        await until(lambda: len(client.nodes) == nodes, "all members are known")
        found = await _all_of(client)
        known = client.topology
        assert (known.primary, known.secondaries) == (found["primary"], found["secondaries"])
        assert (known.arbiters, known.nodes) == (found["arbiters"], found["nodes"])
        assert known.description == client.topology_description
        return found


@pytest.mark.parametrize("how", ["replica set", "one member", "one secondary"])
async def test_they_mean_what_pymongos_mean(replica_set: ReplicaSet, how: str) -> None:
    if how == "replica set":
        uri, nodes = replica_set.uri, 3
    else:
        at = replica_set.secondaries()[0] if how == "one secondary" else replica_set.primary()
        uri, nodes = f"mongodb://{at.address}/?directConnection=true", 1
    ours = await _ours(uri, nodes)
    assert ours == await _theirs(uri, nodes)
    assert ours["is_primary"] is (how != "one secondary")


async def test_on_a_standalone_they_mean_what_pymongos_mean(standalone: Standalone) -> None:
    assert await _ours(standalone.uri, 1) == await _theirs(standalone.uri, 1)


async def test_they_open_the_client_and_wait_for_a_server(replica_set: ReplicaSet) -> None:
    client = wiredrv.Client(replica_set.uri)
    try:
        assert client.topology.nodes == frozenset()
        assert await client.address == client.topology.primary
    finally:
        await client.close()
    for name in NAMES:
        with pytest.raises(InvalidOperation, match="after close"):
            await getattr(client, name)


async def test_without_a_server_some_wait_and_some_do_not() -> None:
    async with wiredrv.Client("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50") as client:
        assert await client.primary is None
        assert await client.secondaries == await client.arbiters == frozenset()
        for name in ("address", "is_primary", "is_mongos"):
            with pytest.raises(ServerSelectionTimeoutError):
                await getattr(client, name)


async def test_of_routers() -> None:
    hello = {**with_sessions(), "msg": "isdbgrid"}
    with FakeServer(hello) as one, FakeServer(hello) as other:
        async with wiredrv.Client(f"mongodb://{one.address}") as client:
            assert await client.is_mongos
            assert await client.is_primary
            assert await client.address == one.address
            assert client.is_sharded
            assert client.topology.is_sharded
        async with wiredrv.Client(f"mongodb://{one.address},{other.address}") as client:
            assert await client.is_mongos
            with pytest.raises(InvalidOperation, match="`nodes` has them all"):
                await client.address


def test_what_is_known_goes_by_the_roles() -> None:
    roles = {
        Address("a"): ServerType.RS_PRIMARY,
        Address("b"): ServerType.RS_SECONDARY,
        Address("c"): ServerType.RS_ARBITER,
        Address("d"): ServerType.RS_OTHER,
        Address("e"): ServerType.UNKNOWN,
        Address("f"): ServerType.POSSIBLE_PRIMARY,
    }
    servers = {address: ServerDescription(address, role) for address, role in roles.items()}
    known = KnownTopology(TopologyDescription(TopologyType.REPLICA_SET_WITH_PRIMARY, servers))
    assert known.primary == Address("a")
    assert known.secondaries == {Address("b")}
    assert known.arbiters == {Address("c")}
    assert known.nodes == {Address("a"), Address("b"), Address("c"), Address("d")}
    assert not known.is_sharded


async def test_with_transaction_takes_motors_name_of_the_callback(replica_set: ReplicaSet) -> None:
    async def callback(session: wiredrv.ClientSession) -> str:
        await client.test.properties.insert_one({}, session=session)
        return "done"

    async with wiredrv.Client(replica_set.uri) as client, client.start_session() as session:
        await client.test.properties.drop()
        assert await session.with_transaction(coro=callback) == "done"
        assert await client.test.properties.count_documents({}) == 1
        with pytest.raises(wiredrv.errors.ConfigurationError, match="two names of one argument"):
            await session.with_transaction(callback, coro=callback)
        with pytest.raises(wiredrv.errors.ConfigurationError, match="takes an asynchronous function"):
            await session.with_transaction()
