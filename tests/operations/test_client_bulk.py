"""bulkWrite of the client: what is sent, how it is split, how replies add up. CRUD specification, "Bulk Write"."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson.int64 import Int64
from hypothesis import given
from hypothesis import strategies as st

from tests.operations.values import ADDRESS, SERVER_6_0
from wiredrv.concerns import WriteConcern
from wiredrv.errors import (
    AutoReconnect,
    DocumentTooLarge,
    InvalidDocument,
    InvalidOperation,
    UnreadableReply,
)
from wiredrv.operations.base import Target
from wiredrv.operations.client_bulk import MESSAGE_OVERHEAD, ClientBulkBatch, ClientBulkTotals, ClientWrite
from wiredrv.operations.write_batch import Statement
from wiredrv.types import Limits

ADMIN = Target("admin")
UNACKNOWLEDGED = Target("admin", write_concern=WriteConcern(w=0))


def server(document: int = 16_777_216, message: int = 48_000_000, writes: int = 100_000, wire: int = 25) -> Limits:
    return Limits(wire, document, message, writes)


def insert(document: dict[str, Any], namespace: str = "shop.orders") -> ClientWrite:
    return ClientWrite(namespace, Statement("insert", document))


def update(multi: bool = False, **options: Any) -> ClientWrite:
    return ClientWrite(
        "shop.stock", Statement("update", {"q": {"a": 1}, "u": {"$set": {"b": 2}}, "multi": multi, **options})
    )


def delete(limit: int = 1, **options: Any) -> ClientWrite:
    return ClientWrite("shop.old", Statement("delete", {"q": {"a": 1}, "limit": limit, **options}))


def batch(writes: list[ClientWrite], start: int = 0, **changes: Any) -> ClientBulkBatch:
    options = {"target": ADMIN, "ordered": True, "verbose": False, "options": {}, **changes}
    return ClientBulkBatch(options["target"], writes, start, options["ordered"], options["verbose"], options["options"])


def sent(found: ClientBulkBatch, limits: Limits) -> tuple[list[dict[str, Any]], list[str]]:
    """The writes and the namespaces that a batch sends, decoded."""
    found.command(limits)
    ops, namespaces = found.sequences(limits)
    assert (ops.identifier, namespaces.identifier) == ("ops", "nsInfo")
    return [bson.decode(op) for op in ops.documents], [bson.decode(each)["ns"] for each in namespaces.documents]


# --- what is sent ---

FORMS: list[tuple[ClientWrite, dict[str, Any]]] = [
    (insert({"a": 1, "_id": 5}), {"insert": 0, "document": {"_id": 5, "a": 1}}),
    (update(), {"update": 0, "filter": {"a": 1}, "updateMods": {"$set": {"b": 2}}, "multi": False}),
    (
        update(True, upsert=True, arrayFilters=[{"x": 1}], hint="a_1", collation={"locale": "en"}),
        {
            "update": 0, "filter": {"a": 1}, "updateMods": {"$set": {"b": 2}}, "multi": True, "upsert": True,
            "arrayFilters": [{"x": 1}], "hint": "a_1", "collation": {"locale": "en"},
        },
    ),
    (delete(), {"delete": 0, "filter": {"a": 1}, "multi": False}),
    (delete(0, hint="a_1"), {"delete": 0, "filter": {"a": 1}, "multi": True, "hint": "a_1"}),
]  # fmt: skip


@pytest.mark.parametrize("write, expected", FORMS)
def test_a_write_has_the_form_of_the_specification(write: ClientWrite, expected: dict[str, Any]) -> None:
    found = batch([write])
    ops, namespaces = sent(found, server())
    assert ops == [expected]
    assert list(ops[0]) == list(expected)
    assert namespaces == [write.namespace]
    described = found.described({"bulkWrite": 1})
    assert described == {"bulkWrite": 1, "ops": [expected], "nsInfo": [{"ns": write.namespace}]}


def test_an_id_is_the_first_field_of_its_document_wherever_it_is() -> None:
    """CRUD prose test 16."""
    found = batch([insert({"a": 1, "_id": 5})])
    ops, _ = sent(found, server())
    assert list(ops[0]["document"]) == list(found.described({})["ops"][0]["document"]) == ["_id", "a"]


def test_each_namespace_is_named_once_and_only_by_batches_that_use_it() -> None:
    writes = [
        insert({"_id": 1}, "a.a"),
        insert({"_id": 2}, "b.b"),
        insert({"_id": 3}, "a.a"),
        insert({"_id": 4}, "c.c"),
    ]
    limits = server(writes=3)
    assert [op["insert"] for op in sent(batch(writes), limits)[0]] == [0, 1, 0]
    assert sent(batch(writes), limits)[1] == ["a.a", "b.b"]
    assert sent(batch(writes, 3), limits) == ([{"insert": 0, "document": {"_id": 4}}], ["c.c"])


@pytest.mark.parametrize("verbose", [True, False])
@pytest.mark.parametrize("ordered", [True, False])
def test_the_command_says_always_whether_it_is_ordered_and_verbose(verbose: bool, ordered: bool) -> None:
    found = batch([delete()], verbose=verbose, ordered=ordered, options={"comment": "c", "let": {"x": 1}})
    assert found.command(server()) == {
        "bulkWrite": 1, "errorsOnly": not verbose, "ordered": ordered, "comment": "c", "let": {"x": 1},
    }  # fmt: skip


def test_servers_before_8_0_are_refused() -> None:
    with pytest.raises(InvalidOperation, match=r"needs server 8\.0"):
        batch([delete()]).command(SERVER_6_0)


def test_raw_data_is_for_8_2_only() -> None:
    found = batch([delete()], options={"rawData": True})
    assert "rawData" not in found.command(server())
    assert found.command(server(wire=27))["rawData"] is True


def test_what_cannot_be_encoded_is_refused_with_its_place() -> None:
    with pytest.raises(InvalidDocument, match=r"'bulkWrite' on shop.orders was not sent: write 1: .*\(at 'a.b'\)"):
        batch([delete(), insert({"_id": 1, "a": {"b": object()}})]).command(server())


# --- splitting ---


@given(
    st.lists(st.tuples(st.integers(0, 3_000), st.sampled_from("abc")), min_size=1, max_size=40),
    st.integers(1, 10),
    st.integers(MESSAGE_OVERHEAD + 200, MESSAGE_OVERHEAD + 9_000),
)
def test_batches_keep_all_limits_and_lose_nothing(sizes: list[tuple[int, str]], writes: int, message: int) -> None:
    given = [insert({"_id": i, "t": "x" * size}, f"d.{name}") for i, (size, name) in enumerate(sizes)]
    limits = server(document=4_000, message=message, writes=writes)
    ids, start = [], 0
    while start < len(given):
        found = batch(given, start)
        try:
            command = bson.encode(found.command(limits))
        except DocumentTooLarge:
            assert len(given[start].encoded(0, ADMIN)) + 20 > message - MESSAGE_OVERHEAD - 43 - 20
            ids.append(start)
            start += 1
            continue
        sequences = found.sequences(limits)
        size = len(command) + sum(len(document) for sequence in sequences for document in sequence.documents)
        assert size <= message - MESSAGE_OVERHEAD
        ops, namespaces = sent(found, limits)
        assert len(ops) == found.taken <= writes
        assert [namespaces[op["insert"]] for op in ops] == [each.namespace for each in given[start : start + len(ops)]]
        ids += [op["document"]["_id"] for op in ops]
        start += found.taken
    assert ids == list(range(len(given)))


@pytest.mark.parametrize("namespace, commands", [("db.coll", [4]), (f"db.{'c' * 200}", [3, 1])])
def test_a_new_namespace_counts_for_the_size_of_a_message(namespace: str, commands: list[int]) -> None:
    """CRUD prose test 11, with its numbers."""
    limits = server()
    room = limits.max_message_size - 1122
    count, rest = divmod(room, limits.max_bson_object_size)
    assert rest >= 217
    sizes = [limits.max_bson_object_size] * count + [rest]
    writes = [insert({"_id": bson.ObjectId(), "a": "b" * (size - 57)}, "db.coll") for size in sizes]
    writes.append(insert({"_id": bson.ObjectId(), "a": "b"}, namespace))
    found, start = [], 0
    while start < len(writes):
        part = batch(writes, start)
        part.command(limits)
        found.append(part.taken)
        start += part.taken
    assert found == commands


@pytest.mark.parametrize("write", [insert({"_id": 1, "a": "b" * 48_000}), insert({"_id": 1}, f"db.{'c' * 48_000}")])
def test_a_write_that_fits_no_message_is_refused(write: ClientWrite) -> None:
    """CRUD prose test 12."""
    with pytest.raises(DocumentTooLarge, match=r"write 0, to .* has \d+ bytes"):
        batch([write]).command(server(document=100_000, message=48_000))
    assert batch([delete(), write]).taken == 2, "servers take it, as far as is known before one is selected"


@pytest.mark.parametrize("target, size, fits", [
    (ADMIN, 1000, True), (ADMIN, 1000 + 16_000, True), (ADMIN, 1000 + 16_400, False),
    (UNACKNOWLEDGED, 1000, True), (UNACKNOWLEDGED, 1001, False),
])  # fmt: skip
def test_a_document_that_no_server_would_answer_for_is_refused(target: Target, size: int, fits: bool) -> None:
    empty = len(bson.encode({"_id": 1, "a": ""}))
    found = batch([insert({"_id": 1, "a": "b" * (size - empty)})], target=target)
    if fits:
        found.command(server(document=1000))
    else:
        with pytest.raises(DocumentTooLarge):
            found.command(server(document=1000))


def test_a_retry_is_not_split_anew() -> None:
    found = batch([insert({"_id": number}) for number in range(5)])
    found.command(server())
    with pytest.raises(DocumentTooLarge, match="smaller batches"):
        found.command(server(writes=2))
    assert found.taken == 5


# --- replies ---


def reply(*results: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"ok": 1, "cursor": {"id": 0, "firstBatch": list(results), "ns": "admin.$cmd.bulkWrite"}, **fields}


WRITES = [insert({"_id": 7}), update(), update(), delete(0)]


def test_results_of_single_writes_are_kept_by_their_place_in_the_users_list() -> None:
    totals = ClientBulkTotals(WRITES, True, True)
    first, second = batch(WRITES, 0), batch(WRITES, 2)
    first.command(server(writes=2))
    second.command(server(writes=2))
    totals.add(first, reply(nErrors=0, nInserted=1, nMatched=1, nModified=1, nUpserted=0, nDeleted=0))
    assert not totals.record(first, {"ok": 1.0, "idx": 0, "n": 1})
    assert not totals.record(first, {"ok": 1.0, "idx": Int64(1), "n": 1, "nModified": 1})
    totals.add(second, reply(nErrors=0, nInserted=0, nMatched=0, nModified=0, nUpserted=1, nDeleted=3))
    assert not totals.record(second, {"ok": 1.0, "idx": 0, "n": 1, "nModified": 0, "upserted": {"_id": None}})
    assert not totals.record(second, {"ok": 1.0, "idx": 1.0, "n": 3})
    assert not totals.failed
    result = totals.result()
    assert (result.inserted_count, result.matched_count, result.modified_count) == (1, 1, 1)
    assert (result.upserted_count, result.deleted_count) == (1, 3)
    assert {i: each.inserted_id for i, each in result.insert_results.items()} == {0: 7}
    assert {i: each.deleted_count for i, each in result.delete_results.items()} == {3: 3}
    updates = result.update_results
    assert {i: (each.matched_count, each.modified_count) for i, each in updates.items()} == {1: (1, 1), 2: (1, 0)}
    assert {i: (each.did_upsert, each.upserted_id) for i, each in updates.items()} == {
        1: (False, None),
        2: (True, None),
    }


FAILED = {"ok": 0.0, "code": 11000, "errmsg": "dup", "n": 0}

#: ordered, nErrors, the indexes of failed writes: whether a partial result is known
#: ("Handling the `bulkWrite` Server Response").
PARTIAL = [
    (True, 1, [0], False),
    (True, 1, [1], True),
    (True, 1, [], False),
    (False, 1, [0], True),
    (False, 3, [0, 1, 2], True),
    (False, 4, [0, 1, 2, 3], False),
]


@pytest.mark.parametrize("ordered, count, failed, known", PARTIAL)
def test_a_partial_result_is_there_if_a_write_succeeded(
    ordered: bool, count: int, failed: list[int], known: bool
) -> None:
    totals = ClientBulkTotals(WRITES, ordered, False)
    found = batch(WRITES, ordered=ordered)
    found.command(server())
    totals.add(found, reply(nErrors=count, nInserted=1))
    assert all(totals.record(found, {**FAILED, "idx": index}) for index in failed)
    error = totals.failure()
    assert (error.partial_result is not None) is known
    assert [entry["idx"] for entry in error.write_errors] == failed
    assert [entry["op"] for entry in error.write_errors] == [WRITES[index].statement.body for index in failed]
    assert error.code == 65


def test_an_error_of_the_whole_is_told_with_what_was_known_before() -> None:
    totals = ClientBulkTotals(WRITES, False, False)
    found = batch(WRITES, ordered=False)
    found.command(server())
    concern = {"code": 91, "errmsg": "shutting down", "errorLabels": ["RetryableWriteError"]}
    totals.add(found, reply(nErrors=1, nInserted=1, writeConcernError=concern, errorLabels=["Mine"]))
    totals.record(found, {**FAILED, "idx": 3})
    lost = AutoReconnect("lost", error_labels=["TransientTransactionError"])
    error = totals.failure(lost)
    assert error.error is lost
    assert error.write_concern_errors == [concern]
    assert error.error_labels == {"Mine", "RetryableWriteError", "TransientTransactionError"}
    assert error.partial_result is not None
    assert error.partial_result.inserted_count == 1
    assert "lost" in str(error)


def test_what_was_not_asked_for_or_is_not_known_is_refused() -> None:
    totals = ClientBulkTotals(WRITES, True, False)
    with pytest.raises(InvalidOperation, match="verbose_results=True"):
        totals.result().insert_results  # noqa: B018 - a property


MALFORMED: list[dict[str, Any]] = [
    {"ok": 1.0, "n": 1},
    {"ok": 1.0, "idx": 4, "n": 1},
    {"ok": 1.0, "idx": -1, "n": 1},
    {"ok": 1.0, "idx": "0", "n": 1},
    {"ok": 1.0, "idx": 1, "n": "1"},
    {"ok": 1.0, "idx": 1, "n": 1, "upserted": 5},
    {"ok": 1.0, "idx": 1, "n": 1, "upserted": {}},
    {"ok": 1.0, "idx": 1, "n": 1, "nModified": -1},
]


@pytest.mark.parametrize("entry", MALFORMED, ids=repr)
def test_a_result_that_cannot_be_is_refused(entry: dict[str, Any]) -> None:
    totals = ClientBulkTotals(WRITES, True, True)
    found = batch(WRITES)
    found.command(server())
    with pytest.raises(UnreadableReply):
        totals.record(found, entry)


@pytest.mark.parametrize("fields", [{"nInserted": "1"}, {"nErrors": -1}, {"cursor": 5}], ids=repr)
def test_a_reply_that_cannot_be_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(UnreadableReply):
        batch(WRITES).parse({**reply(nErrors=0), **fields}, ADDRESS)


def test_an_unacknowledged_batch_has_no_reply() -> None:
    assert batch(WRITES).parse({}, ADDRESS).id == 0
