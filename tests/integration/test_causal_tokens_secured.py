"""Causal tokens where servers sign the cluster time: a replica set whose clients authenticate."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bson.timestamp import Timestamp

import wiredrv
from tests.support.commands import fresh_collection, watched
from tests.support.event_log import EventLog
from tests.support.secured import ROOT_PASSWORD, create_users, key_file_arguments, with_user
from wiredrv import ReadPreference, TokenKeys, events
from wiredrv.errors import OperationFailure
from wiredrv.local import ReplicaSet
from wiredrv.session.tokens import read_causal_token, write_causal_token

pytestmark = pytest.mark.anyio

KEYS = TokenKeys("a key of the application's, for tokens")
#: A user who may read and write, and nothing else.
PLAIN = {"createUser": "plain", "pwd": ROOT_PASSWORD, "roles": [{"role": "readWriteAnyDatabase", "db": "admin"}]}


@pytest.fixture(scope="module")
def secured_set(starts_servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    arguments = key_file_arguments(tmp_path_factory.mktemp("key"))
    with ReplicaSet(members=2, test_commands=True, extra_args=arguments) as deployment:
        create_users(deployment.uri, [PLAIN])
        yield deployment


def ahead_of(time: Timestamp) -> Timestamp:
    return Timestamp(time.time + 300 * 24 * 3600, 1)


@pytest.mark.parametrize("user", ["plain", "root"])
async def test_a_token_goes_from_one_client_to_another(secured_set: ReplicaSet, user: str) -> None:
    heard = EventLog()
    uri = with_user(secured_set.uri, user)
    async with wiredrv.Client(uri) as writer, watched(uri, heard) as (reader, log):
        collection = await fresh_collection(writer, "tokens")
        async with writer.start_session() as session:
            await collection.insert_one({"_id": 1}, session=session)
            token = session.causal_token
        assert token is not None
        said = read_causal_token(token)
        assert said.cluster_time is not None
        nearby = reader[collection.database.name].get_collection("tokens", read_preference=ReadPreference.SECONDARY)
        for text, keys in ((token, None), (KEYS.sign(token), KEYS)):
            async with reader.start_session(after=text, token_keys=keys, invalid_token="refuse") as session:
                assert await nearby.find_one({}, session=session) == {"_id": 1}
        assert log.names == ["ping", "find", "find"]
        assert log.sent("find")[0]["readConcern"] == {"afterClusterTime": said.operation_time}
        assert not heard.of(events.CausalTokenIgnoredEvent)


@pytest.mark.parametrize("user", ["plain", "root"])
@pytest.mark.parametrize("keys", [None, KEYS], ids=["no key", "signed"])
async def test_no_forged_token_moves_a_clock_or_blocks_a_read(
    secured_set: ReplicaSet, user: str, keys: TokenKeys | None
) -> None:
    heard = EventLog()
    uri = with_user(secured_set.uri, user)
    async with wiredrv.Client(uri) as writer, watched(uri, heard) as (reader, log):
        collection = await fresh_collection(writer, "tokens", 1)
        async with writer.start_session() as session:
            await collection.find_one({}, session=session)
            token, before = session.causal_token, session.operation_time
        assert token is not None
        assert before is not None
        said = read_causal_token(token)
        ahead = ahead_of(before)
        assert said.cluster_time is not None
        signature = {"hash": b"\0" * 20, "keyId": said.cluster_time["signature"]["keyId"]}
        forged = write_causal_token(ahead, {"clusterTime": ahead, "signature": signature}, said.deployment, keys)
        nearby = reader[collection.database.name].get_collection("tokens", read_preference=ReadPreference.SECONDARY)
        async with reader.start_session(after=forged, token_keys=keys) as session:
            assert await nearby.find_one({}, session=session) == {"_id": 0}
            assert session.operation_time is not None
            assert session.operation_time < ahead
        assert [event.reason for event in heard.of(events.CausalTokenIgnoredEvent)] == ["unconfirmed"]
        assert log.names == ["ping", "find"]
        for command in log.sent():
            assert command.get("$clusterTime", {"clusterTime": before})["clusterTime"] < ahead
        reply = await writer.admin.command("ping")
        assert reply["$clusterTime"]["clusterTime"].time - before.time < 600


async def test_why_times_of_tokens_are_not_passed_on(secured_set: ReplicaSet) -> None:
    """A server refuses every command of a session whose cluster time has a wrong signature."""
    async with wiredrv.Client(with_user(secured_set.uri, "plain")) as client, client.start_session() as session:
        await client.shop.orders.find_one({}, session=session)
        known = session.cluster_time
        assert known is not None
        signature = {"hash": b"\0" * 20, "keyId": known["signature"]["keyId"]}
        session.advance_cluster_time({"clusterTime": ahead_of(known["clusterTime"]), "signature": signature})
        for _ in range(2):
            with pytest.raises(OperationFailure) as refused:
                await client.shop.orders.find_one({}, session=session)
            assert refused.value.code in (204, 205, 210, 211)
