"""Causal tokens behind doubles of routers, one by one and behind a load balancer: these are not real mongos."""

from __future__ import annotations

import pytest
from bson.timestamp import Timestamp

import wiredrv
from tests.support.commands import fresh_collection, watched
from tests.support.event_log import EventLog
from tests.support.sharded_double import ShardedDouble
from wiredrv import events
from wiredrv.session.tokens import deployment_label, write_causal_token

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("balanced", [False, True], ids=["routers", "load balancer"])
async def test_a_token_goes_from_one_client_to_another(sharded_double: ShardedDouble, balanced: bool) -> None:
    uri = sharded_double.multiple_uri if balanced else sharded_double.uri
    heard = EventLog()
    async with wiredrv.Client(sharded_double.uri) as writer, watched(uri, heard) as (reader, log):
        collection = await fresh_collection(writer, "routed_tokens")
        async with writer.start_session() as session:
            await collection.insert_one({"_id": 1}, session=session)
            token, time = session.causal_token, session.operation_time
        here = reader[collection.database.name].routed_tokens
        # A router and a load balancer have one name: it is the same cluster.
        async with reader.start_session(after=token, invalid_token="refuse") as session:
            assert await here.find_one({}, session=session) == {"_id": 1}
        assert log.sent("find")[0]["readConcern"] == {"afterClusterTime": time}
        assert not heard.of(events.CausalTokenIgnoredEvent)


@pytest.mark.parametrize("balanced", [False, True], ids=["routers", "load balancer"])
async def test_a_forged_token_is_absent(sharded_double: ShardedDouble, balanced: bool) -> None:
    uri = sharded_double.multiple_uri if balanced else sharded_double.uri
    heard = EventLog()
    async with watched(uri, heard) as (client, log):
        collection = await fresh_collection(client, "routed_tokens", 1)
        forged = write_causal_token(Timestamp(2**32 - 1, 1), None, deployment_label(client.topology_description))
        log.clear()
        async with client.start_session(after=forged) as session:
            assert await collection.find_one({}, session=session) == {"_id": 0}
        assert log.names == ["ping", "listDatabases", "find"]
        assert [event.reason for event in heard.of(events.CausalTokenIgnoredEvent)] == ["unconfirmed"]


async def test_a_token_of_a_replica_set_is_foreign_to_a_cluster(sharded_double: ShardedDouble) -> None:
    heard = EventLog()
    async with watched(sharded_double.uri, heard) as (client, log):
        collection = await fresh_collection(client, "routed_tokens", 1)
        log.clear()
        foreign = write_causal_token(Timestamp(1_700_000_000, 1), None, b"a set of")
        async with client.start_session(after=foreign) as session:
            await collection.find_one({}, session=session)
        assert log.names == ["find"]
        assert [event.reason for event in heard.of(events.CausalTokenIgnoredEvent)] == ["foreign"]
