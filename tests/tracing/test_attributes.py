"""The names and attributes of spans, by tables. OpenTelemetry specification."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from bson.binary import Binary
from bson.int64 import Int64

from tests.operations.test_commands import COMMANDS
from wiredrv.events import CommandStartedEvent
from wiredrv.operations.base import Operation, Target
from wiredrv.operations.collections import Create, Drop, ListCollections, Rename
from wiredrv.operations.cursors import GetMore, kill
from wiredrv.operations.databases import ListDatabases
from wiredrv.operations.find import Find, FindOne
from wiredrv.operations.run_command import RunCommand, RunCursorCommand
from wiredrv.operations.sessions import EndSessions
from wiredrv.operations.transactions import AbortTransaction, CommitTransaction
from wiredrv.tracing.attributes import (
    call_text,
    collection_of,
    command_text,
    opened_cursor,
    operation_text,
    query_text,
)
from wiredrv.types import Address, ServerCursor

ORDERS = Target("shop", "orders")
SHOP = Target("shop")
ADMIN = Target("admin")
SERVER = Address("db.example", 27018)
ID = uuid.uuid4()


@pytest.mark.parametrize(
    "operation, name",
    [
        (Find(ORDERS, {}, {}), "find shop.orders"),
        (FindOne(ORDERS, {}, {}), "find shop.orders"),
        (Create(ORDERS, {}), "createCollection shop.orders"),
        (Drop(ORDERS, {}), "dropCollection shop.orders"),
        (ListCollections(SHOP, {}), "listCollections shop"),
        (ListDatabases(ADMIN, {}), "listDatabases admin"),
        (Rename(ADMIN, "shop.orders", "shop.old", {}), "renameCollection admin"),
        (RunCommand(SHOP, {"ping": 1}), "runCommand shop"),
        (RunCursorCommand(SHOP, {"checkMetadataConsistency": 1}), "runCursorCommand shop"),
        (CommitTransaction(ADMIN), "commitTransaction admin"),
        (AbortTransaction(ADMIN), "abortTransaction admin"),
        (EndSessions(()), "endSessions admin"),
        (GetMore(ORDERS, 12, "orders", SERVER), "getMore shop.orders"),
        (GetMore(SHOP, 12, "$cmd.listCollections", SERVER), "getMore shop.$cmd.listCollections"),
        (kill(ServerCursor(SERVER, 12, "shop.orders")), "killCursors shop.orders"),
        (Find(Target("admin", "system.users"), {}, {}), "find admin"),
    ],
)
def test_the_name_of_an_operation(operation: Operation[object], name: str) -> None:
    text = operation_text(operation)
    assert text.name == name
    assert text.attributes["db.operation.summary"] == name
    assert text.attributes["db.operation.name"] == name.partition(" ")[0]


def test_the_attributes_of_an_operation() -> None:
    assert call_text("bulkWrite", "shop", "orders").attributes == {
        "db.system.name": "mongodb",
        "db.namespace": "shop",
        "db.collection.name": "orders",
        "db.operation.name": "bulkWrite",
        "db.operation.summary": "bulkWrite shop.orders",
    }
    assert call_text("bulkWrite", "admin", "").attributes == {
        "db.system.name": "mongodb",
        "db.namespace": "admin",
        "db.operation.name": "bulkWrite",
        "db.operation.summary": "bulkWrite admin",
    }


def started(command: dict[str, Any], address: Address = SERVER) -> CommandStartedEvent:
    return CommandStartedEvent(next(iter(command)), "shop", 1, 2, address, 3, 4, None, command)


def test_the_attributes_of_a_command() -> None:
    command = {
        "find": "orders",
        "filter": {},
        "lsid": {"id": Binary.from_uuid(ID)},
        "txnNumber": Int64(5),
        "$db": "shop",
    }
    name, attributes = command_text(started(command))
    assert name == "find"
    assert attributes == {
        "db.system.name": "mongodb",
        "db.namespace": "shop",
        "db.collection.name": "orders",
        "db.command.name": "find",
        "db.query.summary": "find shop.orders",
        "network.transport": "tcp",
        "server.address": "db.example",
        "server.port": 27018,
        "db.mongodb.driver_connection_id": 3,
        "db.mongodb.server_connection_id": 4,
        "db.mongodb.lsid": str(ID),
        "db.mongodb.txn_number": 5,
    }
    assert type(attributes["db.mongodb.txn_number"]) is int


def test_a_unix_socket_has_no_port() -> None:
    _, attributes = command_text(started({"ping": 1}, Address("/tmp/mongodb-27017.sock", None)))
    assert attributes["network.transport"] == "unix"
    assert attributes["server.address"] == "/tmp/mongodb-27017.sock"
    assert "server.port" not in attributes


@pytest.mark.parametrize(
    "command, collection",
    [
        ({"find": "orders"}, "orders"),
        ({"findandmodify": "orders"}, "orders"),
        ({"getMore": 12, "collection": "orders"}, "orders"),
        ({"killCursors": "orders", "cursors": [12]}, "orders"),
        ({"aggregate": 1, "pipeline": []}, ""),
        ({"listCollections": 1}, ""),
        ({"explain": {"find": "orders"}}, "orders"),
        ({"explain": {}}, ""),
        ({"dropUser": "alice"}, ""),
        ({"usersInfo": "alice"}, ""),
        ({"commitTransaction": 1}, ""),
        ({"renameCollection": "shop.orders", "to": "shop.old"}, ""),
    ],
)
def test_the_collection_of_a_command(command: dict[str, Any], collection: str) -> None:
    assert collection_of(command) == collection
    attributes = command_text(started(command)).attributes
    assert attributes.get("db.collection.name", "") == collection


@pytest.mark.parametrize(
    "command, cursor",
    [
        ({"getMore": Int64(12), "collection": "orders"}, 12),
        ({"killCursors": "orders", "cursors": [12]}, 12),
        ({"killCursors": "orders", "cursors": [12, 13]}, None),
        ({"find": "orders", "cursors": [12]}, None),
        ({"find": "orders"}, None),
    ],
)
def test_the_cursor_that_a_command_uses(command: dict[str, Any], cursor: int | None) -> None:
    assert command_text(started(command)).attributes.get("db.mongodb.cursor_id") == cursor


@pytest.mark.parametrize(
    "reply, cursor",
    [
        ({"ok": 1, "cursor": {"id": Int64(12), "firstBatch": []}}, {"db.mongodb.cursor_id": 12}),
        ({"ok": 1, "cursor": {"id": 0, "firstBatch": []}}, {}),
        ({"ok": 1, "cursor": {"id": True}}, {}),
        ({"ok": 1, "cursor": {"id": "12"}}, {}),
        ({"ok": 1, "cursor": 12}, {}),
        ({"ok": 1}, {}),
    ],
)
def test_the_cursor_that_a_reply_leaves_open(reply: dict[str, Any], cursor: dict[str, int]) -> None:
    assert opened_cursor(reply) == cursor


def test_the_query_text_is_relaxed_extended_json_without_what_the_session_adds() -> None:
    command = {
        "find": "orders",
        "filter": {"_id": Int64(1)},
        "lsid": {"id": Binary.from_uuid(ID)},
        "txnNumber": Int64(5),
        "$db": "shop",
        "$clusterTime": {},
        "signature": {},
    }
    assert query_text(command, 1000) == '{"find": "orders", "filter": {"_id": 1}, "txnNumber": 5}'
    assert query_text(command, 9) == '{"find": ...'


@pytest.mark.parametrize("operation, command", COMMANDS, ids=lambda value: getattr(value, "name", ""))
def test_the_span_of_a_command_names_the_collection_of_its_operation(
    operation: Operation[Any], command: dict[str, Any]
) -> None:
    """A command that is added has to be in the list of those that name a collection, if it does."""
    if isinstance(operation, (RunCommand, RunCursorCommand)):
        return
    event = CommandStartedEvent(operation.name, operation.target.database, 1, 2, SERVER, 3, 4, None, command)
    expected = operation_text(operation).attributes.get("db.collection.name")
    assert command_text(event).attributes.get("db.collection.name") == expected
