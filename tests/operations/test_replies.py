"""What operations make from replies: values, results, and the errors of writes."""

from __future__ import annotations

import uuid
from typing import Any

import bson
import pytest
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from tests.operations.values import ADDRESS, ORDERS, SHOP
from wiredrv.errors import (
    DuplicateKeyError,
    OperationFailure,
    UnreadableReply,
    WriteConcernError,
    WriteError,
    WTimeoutError,
)
from wiredrv.operations.aggregate import Aggregate, CountDocuments
from wiredrv.operations.base import Operation, Target, field_of
from wiredrv.operations.collections import Create, Drop, Rename
from wiredrv.operations.count import Count
from wiredrv.operations.databases import DropDatabase, ListDatabases
from wiredrv.operations.delete import Delete
from wiredrv.operations.distinct import Distinct
from wiredrv.operations.find_and_modify import FindAndModify
from wiredrv.operations.indexes import CreateIndexes, DropIndexes
from wiredrv.operations.insert import Insert
from wiredrv.operations.map_reduce import MapReduce
from wiredrv.operations.run_command import RunCommand, RunCursorCommand
from wiredrv.operations.update import Update
from wiredrv.types import Reply

INSERT = Insert(ORDERS, {"_id": 5}, 5, {})
UPDATE = Update(ORDERS, {"q": {}, "u": {"$set": {"a": 1}}}, {})
DELETE = Delete(ORDERS, {"q": {}, "limit": 1}, {})

WRITE_ERROR = {"index": 0, "code": 121, "errmsg": "Document failed validation"}
DUPLICATE = {"index": 0, "code": 11000, "errmsg": "E11000"}
CONCERN_ERROR = {"code": 100, "errmsg": "not enough members"}
TIMED_OUT = {"code": 64, "errmsg": "waiting timed out", "errInfo": {"wtimeout": True}}


def cursor(*documents: Any, id: int = 0) -> Reply:
    return {"ok": 1, "cursor": {"id": id, "ns": "shop.orders", "firstBatch": list(documents)}}


# --- values ---


def test_insert_gives_the_id_that_it_was_given() -> None:
    result = INSERT.parse({"ok": 1, "n": 1}, ADDRESS)
    assert (result.inserted_id, result.acknowledged) == (5, True)


@pytest.mark.parametrize(
    "reply, matched, modified, upserted",
    [
        ({"ok": 1, "n": 1, "nModified": 1}, 1, 1, None),
        ({"ok": 1, "n": 1, "nModified": 0}, 1, 0, None),
        ({"ok": 1, "n": 0, "nModified": 0}, 0, 0, None),
        ({"ok": 1, "n": 1, "nModified": 0, "upserted": [{"index": 0, "_id": 9}]}, 0, 0, 9),
    ],
)
def test_update_counts(reply: Reply, matched: int, modified: int, upserted: Any) -> None:
    result = UPDATE.parse(reply, ADDRESS)
    assert (result.matched_count, result.modified_count, result.upserted_id) == (matched, modified, upserted)
    assert result.did_upsert is (upserted is not None)
    assert result.raw_result.get("upserted") == upserted


def test_delete_counts() -> None:
    assert DELETE.parse({"ok": 1, "n": 3}, ADDRESS).deleted_count == 3


@pytest.mark.parametrize(
    "reply, expected",
    [({"ok": 1, "value": {"_id": 1}}, {"_id": 1}), ({"ok": 1, "value": None}, None), ({"ok": 1}, None)],
)
def test_find_and_modify_gives_the_document_or_none(reply: Reply, expected: Any) -> None:
    assert FindAndModify(ORDERS, {}, {}, {}).parse(reply, ADDRESS) == expected


def test_count_documents_of_nothing_is_0() -> None:
    # CRUD specification, "countDocuments": no group means an empty collection.
    assert CountDocuments(ORDERS, {}, {}).parse(cursor(), ADDRESS) == 0
    assert CountDocuments(ORDERS, {}, {}).parse(cursor({"_id": 1, "n": 4}), ADDRESS) == 4


def test_simple_values() -> None:
    assert Count(ORDERS, {}).parse({"ok": 1, "n": 12}, ADDRESS) == 12
    assert Distinct(ORDERS, "a", {}).parse({"ok": 1, "values": [1, "b"]}, ADDRESS) == [1, "b"]
    assert MapReduce(ORDERS, "f", "g", {}).parse({"ok": 1, "results": [{"_id": 1}]}, ADDRESS) == [{"_id": 1}]
    assert RunCommand(SHOP, {"ping": 1}).parse({"ok": 1}, ADDRESS) == {"ok": 1}
    assert CreateIndexes(ORDERS, [{"key": {}, "name": "x"}], {}).parse({"ok": 1}, ADDRESS) == ["x"]


def test_list_databases_answers_all_at_once() -> None:
    reply = ListDatabases(Target("admin"), {}).parse({"ok": 1, "databases": [{"name": "a"}]}, ADDRESS)
    assert (reply.id, reply.batch) == (0, [{"name": "a"}])


def test_cursor_is_taken_with_its_id_and_namespace() -> None:
    reply = Aggregate(ORDERS, [], {}).parse(cursor({"a": 1}, id=8), ADDRESS)
    assert (reply.id, reply.namespace, reply.batch, reply.address) == (8, "shop.orders", [{"a": 1}], ADDRESS)


def test_command_that_should_open_a_cursor_and_does_not_is_an_error() -> None:
    # Run-command specification: an error if the reply holds no cursor.
    with pytest.raises(UnreadableReply, match="no cursor"):
        RunCursorCommand(SHOP, {"ping": 1}).parse({"ok": 1}, ADDRESS)


# --- failures of writes ---

STATEMENTS: list[Operation[Any]] = [INSERT, UPDATE, DELETE]


@pytest.mark.parametrize("operation", STATEMENTS, ids=lambda operation: operation.name)
def test_write_error(operation: Operation[Any]) -> None:
    reply = {"ok": 1, "n": 0, "writeErrors": [WRITE_ERROR], "errorLabels": ["L"]}
    with pytest.raises(WriteError, match="failed validation") as caught:
        operation.parse(reply, ADDRESS)
    assert caught.value.code == 121
    assert caught.value.details == WRITE_ERROR
    assert caught.value.error_labels == {"L"}


@pytest.mark.parametrize("operation", STATEMENTS, ids=lambda operation: operation.name)
def test_duplicate_key(operation: Operation[Any]) -> None:
    with pytest.raises(DuplicateKeyError):
        operation.parse({"ok": 1, "n": 0, "writeErrors": [DUPLICATE]}, ADDRESS)


CONCERNED: list[Operation[Any]] = [
    *STATEMENTS,
    FindAndModify(ORDERS, {}, {}, {}),
    Aggregate(ORDERS, [{"$out": "x"}], {}),
    Create(ORDERS, {}),
    Drop(ORDERS, {}),
    Rename(SHOP, "a", "b", {}),
    DropDatabase(SHOP, {}),
    CreateIndexes(ORDERS, [], {}),
    DropIndexes(ORDERS, "*", {}),
]


@pytest.mark.parametrize("operation", CONCERNED, ids=lambda operation: operation.name)
def test_write_concern_error(operation: Operation[Any]) -> None:
    reply = {**cursor(), "n": 1, "value": None, "writeConcernError": CONCERN_ERROR, "errorLabels": ["L"]}
    with pytest.raises(WriteConcernError, match="not enough members") as caught:
        operation.parse(reply, ADDRESS)
    assert caught.value.code == 100
    assert caught.value.error_labels == {"L"}


def test_write_concern_that_timed_out() -> None:
    with pytest.raises(WTimeoutError) as caught:
        INSERT.parse({"ok": 1, "n": 1, "writeConcernError": TIMED_OUT}, ADDRESS)
    assert caught.value.timeout


@pytest.mark.parametrize("operation", STATEMENTS, ids=lambda operation: operation.name)
def test_of_two_failures_the_write_error_is_raised(operation: Operation[Any]) -> None:
    reply = {"ok": 1, "n": 0, "writeErrors": [WRITE_ERROR], "writeConcernError": CONCERN_ERROR}
    with pytest.raises(OperationFailure) as caught:
        operation.parse(reply, ADDRESS)
    assert isinstance(caught.value, WriteError)


# --- unacknowledged: the executor passes an empty reply ---


@pytest.mark.parametrize("operation", STATEMENTS, ids=lambda operation: operation.name)
def test_unacknowledged_write_has_a_result_that_says_so(operation: Operation[Any]) -> None:
    assert operation.parse({}, ADDRESS).acknowledged is False


@pytest.mark.parametrize("operation", CONCERNED[3:], ids=lambda operation: operation.name)
def test_other_unacknowledged_commands_end_quietly(operation: Operation[Any]) -> None:
    operation.parse({}, ADDRESS)


# --- codec options ---

STANDARD = Target("shop", "orders", codec_options=CodecOptions(uuid_representation=UuidRepresentation.STANDARD))


def raw(document: Any) -> Any:
    """A reply as it is passed to operations of a collection with its own codec options."""
    return RawBSONDocument(bson.encode(document))


def test_users_codec_options_reach_every_value_of_the_users() -> None:
    number = uuid.uuid4()
    binary = bson.binary.Binary.from_uuid(number, UuidRepresentation.STANDARD)
    found = FindAndModify(STANDARD, {}, {}, {}).parse(raw({"ok": 1, "value": {"_id": binary}}), ADDRESS)
    assert found == {"_id": number}
    assert Distinct(STANDARD, "a", {}).parse(raw({"ok": 1, "values": [binary]}), ADDRESS) == [number]
    updated = Update(STANDARD, {}, {}).parse(
        raw({"ok": 1, "n": 1, "nModified": 0, "upserted": [{"index": 0, "_id": binary}]}), ADDRESS
    )
    assert updated.upserted_id == number
    assert RunCommand(STANDARD, {"x": 1}).parse(raw({"ok": 1, "v": binary}), ADDRESS) == {"ok": 1, "v": number}


def test_errors_of_raw_replies_hold_plain_documents() -> None:
    with pytest.raises(DuplicateKeyError) as caught:
        Insert(STANDARD, {}, 1, {}).parse(raw({"ok": 1, "n": 0, "writeErrors": [DUPLICATE]}), ADDRESS)
    assert type(caught.value.details) is dict


def test_a_field_of_a_raw_document_that_is_broken_is_an_unreadable_reply() -> None:
    # What a collection with RawBSONDocument passes to the helpers that return names.
    broken = RawBSONDocument(bson.encode({"name": "a", "b": 1}).replace(b"\x10b", b"\x7ab"))
    with pytest.raises(UnreadableReply, match="name"):
        field_of(broken, "name", str)
    assert field_of(raw({"name": "a", "b": 1}), "name", str) == "a"


def test_code_is_no_name() -> None:
    with pytest.raises(UnreadableReply, match="name"):
        field_of({"name": bson.Code("f()", {"a": 1})}, "name", str)  # it is a str, but cannot be a dict key
