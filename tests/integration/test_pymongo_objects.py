"""PyMongo's objects and listeners with this driver's client, on a running server."""

from __future__ import annotations

import logging
from typing import Any

import pymongo
import pytest
from bson.objectid import ObjectId
from pymongo import monitoring, read_preferences
from pymongo.collation import Collation
from pymongo.read_concern import ReadConcern

import wiredrv
import wiredrv.sync
from tests.support.commands import fresh_collection
from tests.support.waiting import until
from wiredrv.errors import BulkWriteError, ConfigurationError, OperationFailure
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

NAME = "pymongo_objects"


class Recorder:
    """Keeps the names of the events that it hears, and the events."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def _hear(self, event: Any) -> None:
        self.heard.append(event)

    def of(self, name: str) -> list[Any]:
        return [event for event in self.heard if type(event).__name__ == name]


class Commands(Recorder, monitoring.CommandListener):
    started = succeeded = failed = Recorder._hear


class Pools(Recorder, monitoring.ConnectionPoolListener):
    pool_created = pool_ready = pool_cleared = pool_closed = Recorder._hear
    connection_created = connection_ready = connection_closed = Recorder._hear
    connection_check_out_started = connection_check_out_failed = Recorder._hear
    connection_checked_out = connection_checked_in = Recorder._hear


class Heartbeats(Recorder, monitoring.ServerHeartbeatListener):
    started = succeeded = failed = Recorder._hear


class Servers(Recorder, monitoring.ServerListener):
    opened = description_changed = closed = Recorder._hear


class Topologies(Recorder, monitoring.TopologyListener):
    opened = description_changed = closed = Recorder._hear


async def test_a_bulk_of_pymongos_requests(replica_set: ReplicaSet) -> None:
    async with wiredrv.Client(replica_set.uri) as client:
        collection: Any = await fresh_collection(client, NAME)
        document: dict[str, Any] = {"name": "ada"}
        requests = [
            pymongo.InsertOne(document),
            pymongo.InsertOne({"_id": 2, "name": "Bob", "tags": [1, 2]}),
            wiredrv.InsertOne({"_id": 3, "name": "cleo"}),
            pymongo.UpdateOne(
                {"name": "BOB"}, {"$set": {"tags.$[x]": 9}}, False, Collation("en", strength=2), [{"x": 2}]
            ),
            pymongo.UpdateMany({"_id": {"$in": [2, 3]}}, [{"$set": {"seen": True}}]),
            pymongo.ReplaceOne({"_id": 4}, {"name": "dora"}, upsert=True),
            pymongo.DeleteOne({"_id": 3}, hint="_id_"),
            pymongo.DeleteMany({"name": "nobody"}),
        ]
        result = await collection.bulk_write(requests)
        assert isinstance(document["_id"], ObjectId)
        assert (result.inserted_count, result.matched_count, result.deleted_count) == (3, 3, 1)
        assert result.upserted_ids == {5: 4}
        assert await collection.find_one({"_id": 2}) == {"_id": 2, "name": "Bob", "tags": [1, 9], "seen": True}
        with pytest.raises(BulkWriteError) as caught:
            await collection.bulk_write([pymongo.InsertOne({"_id": 2}), pymongo.InsertOne({"_id": 8})], ordered=False)
        assert [error["index"] for error in caught.value.details["writeErrors"]] == [0]
        assert caught.value.details["nInserted"] == 1
        with pytest.raises(ConfigurationError, match=r"a request for other\.place"):
            await collection.bulk_write([pymongo.InsertOne({}, "other.place")])


def test_the_synchronous_face_takes_them_too(replica_set: ReplicaSet) -> None:
    commands = Commands()
    options: Any = {"event_listeners": [commands], "write_concern": pymongo.WriteConcern("majority")}
    with wiredrv.sync.Client(replica_set.uri, **options) as client:
        collection: Any = client["wiredrv_sessions"][f"{NAME}_synchronous"]
        collection.drop()
        result = collection.bulk_write(
            [pymongo.InsertOne({"_id": 1}), pymongo.UpdateOne({"_id": 1}, {"$set": {"a": 2}})]
        )
        assert (result.inserted_count, result.modified_count) == (1, 1)
        assert collection.create_indexes([pymongo.IndexModel("a")]) == ["a_1"]
        nearest: Any = read_preferences.Nearest()
        assert collection.with_options(read_preference=nearest).read_preference == wiredrv.ReadPreference.NEAREST
        assert client.is_primary
        assert client.address == client.primary == client.topology.primary
        collection.drop()
    insert = next(e for e in commands.of("CommandStartedEvent") if e.command_name == "insert")
    assert insert.command["writeConcern"] == {"w": "majority"}
    assert all(event.duration_micros > 0 for event in commands.of("CommandSucceededEvent"))


async def test_indexes_of_pymongos_models(replica_set: ReplicaSet) -> None:
    async with wiredrv.Client(replica_set.uri) as client:
        collection: Any = await fresh_collection(client, f"{NAME}_indexed")
        await collection.drop()
        models = [
            pymongo.IndexModel("a"),
            wiredrv.IndexModel([("b", -1)]),
            pymongo.IndexModel([("c", 1), ("d", -1)], name="cd", unique=True, collation=Collation("fr")),
        ]
        assert await collection.create_indexes(models) == ["a_1", "b_-1", "cd"]
        found = await collection.index_information()
        assert found["cd"]["unique"] is True
        assert found["cd"]["collation"]["locale"] == "fr"


async def test_guarantees_in_pymongos_words(replica_set: ReplicaSet) -> None:
    commands = Commands()
    options: Any = {"event_listeners": [commands], "read_preference": read_preferences.SecondaryPreferred()}
    async with wiredrv.Client(replica_set.uri, **options) as client:
        collection: Any = await fresh_collection(client, NAME)
        own = collection.with_options(
            read_concern=ReadConcern("majority"), write_concern=pymongo.WriteConcern("majority", wtimeout=5000)
        )
        await own.insert_one({"_id": 1})
        theirs: Any = (ReadConcern("snapshot"), pymongo.WriteConcern("majority"))
        async with client.start_session() as session, session.start_transaction(*theirs):
            await collection.insert_one({"_id": 2}, session=session)
        nearest: Any = read_preferences.Nearest()
        await client.admin.command("ping", read_preference=nearest)
        sent = {event.command_name: event.command for event in commands.of("CommandStartedEvent")}
        assert sent["commitTransaction"]["writeConcern"] == {"w": "majority"}
        insert = next(e.command for e in commands.of("CommandStartedEvent") if e.command.get("writeConcern"))
        assert insert["writeConcern"] == {"w": "majority", "wtimeout": 5000}
        assert sent["ping"]["$readPreference"] == {"mode": "nearest"}


async def test_listeners_of_pymongos_hear_what_happens(
    replica_set: ReplicaSet, caplog: pytest.LogCaptureFixture
) -> None:
    commands, pools, heartbeats = Commands(), Pools(), Heartbeats()
    servers, topologies = Servers(), Topologies()
    listeners: Any = [commands, pools, heartbeats, servers, topologies]
    with caplog.at_level(logging.ERROR, "wiredrv.events"):
        async with wiredrv.Client(replica_set.uri, event_listeners=listeners) as client:
            await client.shop.command("ping")
            with pytest.raises(OperationFailure):
                await client.shop.command("nonsense")
            await until(lambda: len(client.nodes) == 3, "all members are known")
    assert caplog.messages == []
    addresses = {tuple(member.address) for member in replica_set.members}
    (failed,) = commands.of("CommandFailedEvent")
    assert failed.failure["code"] == 59
    assert failed.connection_id in addresses
    assert failed.duration_micros > 0
    assert failed.database_name == "shop"
    started = commands.of("CommandStartedEvent")
    assert [event.command_name for event in started][:2] == ["ping", "nonsense"]
    assert started[0].request_id == commands.of("CommandSucceededEvent")[0].request_id
    assert pools.of("ConnectionCheckedOutEvent")
    assert {event.address for event in pools.of("PoolCreatedEvent")} <= addresses
    assert {event.reply.document["setName"] for event in heartbeats.of("ServerHeartbeatSucceededEvent")}
    roles = {event.new_description.server_type_name for event in servers.of("ServerDescriptionChangedEvent")}
    assert {"RSPrimary", "RSSecondary"} <= roles
    kinds = [event.new_description.topology_type_name for event in topologies.of("TopologyDescriptionChangedEvent")]
    assert "ReplicaSetWithPrimary" in kinds
    assert topologies.of("TopologyClosedEvent")
