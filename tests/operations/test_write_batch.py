"""How bulks are grouped, split, and combined. CRUD specification, "Bulk Write"."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.operations.values import ADDRESS, ORDERS, SERVER_6_0, UNACKNOWLEDGED, limits
from wiredrv.errors import BulkWriteError, InvalidDocument
from wiredrv.execution.run import Run
from wiredrv.operations.write_batch import (
    COMMAND_RESERVE,
    BulkTotals,
    Statement,
    StatementGroup,
    StatementTooLarge,
    WriteBatch,
    group_statements,
)


def insert(number: int) -> Statement:
    return Statement("insert", {"_id": number})


def update(number: int, multi: bool = False) -> Statement:
    return Statement("update", {"q": {"_id": number}, "u": {"$set": {"a": 1}}, "multi": multi})


def delete(number: int, limit: int = 1) -> Statement:
    return Statement("delete", {"q": {"_id": number}, "limit": limit})


MIXED = [insert(0), insert(1), update(2), insert(3), delete(4), delete(5), update(6)]


def shape(found: list[StatementGroup]) -> list[tuple[str, list[int]]]:
    return [(group.command, list(group.indexes)) for group in found]


# --- grouping ---


def test_ordered_statements_are_grouped_with_their_neighbours_only() -> None:
    assert shape(group_statements(MIXED, ordered=True)) == [
        ("insert", [0, 1]),
        ("update", [2]),
        ("insert", [3]),
        ("delete", [4, 5]),
        ("update", [6]),
    ]


def test_unordered_statements_are_grouped_by_command() -> None:
    assert shape(group_statements(MIXED, ordered=False)) == [
        ("insert", [0, 1, 3]),
        ("update", [2, 6]),
        ("delete", [4, 5]),
    ]


@pytest.mark.parametrize("statements", [[delete(0), update(1), insert(2)], [insert(2), delete(0), update(1)]])
def test_unordered_commands_come_in_one_order_whatever_that_of_the_statements(statements: list[Statement]) -> None:
    assert [group.command for group in group_statements(statements, ordered=False)] == ["insert", "update", "delete"]


STATEMENTS = st.lists(st.sampled_from([insert, update, delete]).map(lambda make: make(0)), max_size=40)


@given(STATEMENTS, st.booleans())
def test_every_statement_is_in_one_run(statements: list[Statement], ordered: bool) -> None:
    found = group_statements(statements, ordered)
    indexes = [index for group in found for index in group.indexes]
    assert sorted(indexes) == list(range(len(statements)))
    for group in found:
        assert list(group.indexes) == sorted(group.indexes)
        assert all(statements[i].command == group.command for i in group.indexes)
    if ordered:
        assert indexes == sorted(indexes)


# --- splitting ---


def batches(group: StatementGroup, server: Any) -> list[WriteBatch]:
    """All batches of a group, as the sending loop creates them."""
    found: list[WriteBatch] = []
    start = 0
    while start < len(group.bodies):
        batch = WriteBatch(ORDERS, group, start, True, {})
        batch.command(server)
        found.append(batch)
        start += batch.taken
    return found


def inserts(sizes: list[int]) -> StatementGroup:
    """Inserts of documents whose texts have these lengths in characters."""
    return StatementGroup("insert", [{"_id": i, "t": "x" * size} for i, size in enumerate(sizes)], range(len(sizes)))


@given(
    st.lists(st.integers(0, 3_000), min_size=1, max_size=40),
    st.integers(1, 10),
    st.integers(COMMAND_RESERVE + 100, COMMAND_RESERVE + 9_000),
)
def test_batches_keep_all_limits_and_lose_nothing(sizes: list[int], statements: int, message: int) -> None:
    group = inserts(sizes)
    server = limits(document=4_000, message=message, statements=statements)
    found = batches(group, server)
    sent = [document for batch in found for document in batch.sequences(server)[0].documents]
    assert [bson.decode(document)["_id"] for document in sent] == list(range(len(sizes)))
    for batch in found:
        documents = batch.sequences(server)[0].documents
        assert len(documents) <= statements
        assert len(documents) == 1 or sum(map(len, documents)) <= message - COMMAND_RESERVE


def test_batch_takes_as_many_as_fit() -> None:
    group = inserts([10] * 7)
    assert [batch.taken for batch in batches(group, limits(statements=3))] == [3, 3, 1]


def test_options_take_room_from_the_statements() -> None:
    group = inserts([1_000] * 4)
    server = limits(message=COMMAND_RESERVE + 4_200)
    plain = WriteBatch(ORDERS, group, 0, True, {})
    commented = WriteBatch(ORDERS, group, 0, True, {"comment": "c" * 2_000})
    plain.command(server)
    commented.command(server)
    assert (plain.taken, commented.taken) == (4, 2)


def test_document_over_the_limit_ends_the_batch_before_it_and_is_refused_by_its_place() -> None:
    group = inserts([10, 10, 18_000, 10])
    server = limits(document=1_000)
    first = WriteBatch(ORDERS, group, 0, True, {})
    first.command(server)
    assert first.taken == 2
    with pytest.raises(StatementTooLarge, match=r"statement 2 has \d+ bytes; this server accepts 1000"):
        WriteBatch(ORDERS, group, 2, True, {}).command(server)
    last = WriteBatch(ORDERS, group, 3, True, {})
    last.command(server)
    assert last.taken == 1


def test_document_a_little_over_the_limit_is_the_servers_to_judge_where_somebody_hears_of_it() -> None:
    group = inserts([10, 2_000])
    server = limits(document=1_000)
    answered = WriteBatch(ORDERS, group, 0, True, {})
    answered.command(server)
    assert answered.taken == 2
    unanswered = WriteBatch(UNACKNOWLEDGED, group, 0, True, {})
    unanswered.command(server)
    assert unanswered.taken == 1
    with pytest.raises(StatementTooLarge):
        WriteBatch(UNACKNOWLEDGED, group, 1, True, {}).command(server)


def test_batch_that_is_to_be_answered_is_cut_as_the_one_that_is_not() -> None:
    batch = WriteBatch(UNACKNOWLEDGED, inserts([10, 16_777_300, 10]), 0, True, {"comment": "c"}, 7)
    assert batch.taken == 1
    answered = batch.answered()
    assert answered.command(SERVER_6_0) == batch.command(SERVER_6_0)
    assert (answered.taken, answered.operation_id) == (1, 7)
    assert answered.target.write_concern.is_server_default
    assert Run(answered, None).retryable
    assert not Run(batch, None).retryable


def test_statement_may_be_larger_than_the_document_that_it_holds() -> None:
    body = {"q": {}, "u": {"$set": {"t": "x" * 990}}}
    found = batches(StatementGroup("update", [body], [0]), limits(document=1_000))
    assert found[0].taken == 1


def test_document_that_cannot_be_encoded() -> None:
    with pytest.raises(InvalidDocument):
        batches(StatementGroup("insert", [{"_id": object()}], [0]), SERVER_6_0)


def test_command_names_collection_and_order_and_statements_travel_beside_it() -> None:
    group = StatementGroup("delete", [delete(1).body, delete(2).body], [0, 1])
    batch = WriteBatch(ORDERS, group, 0, False, {"comment": "c"})
    assert batch.command(SERVER_6_0) == {"delete": "orders", "ordered": False, "comment": "c"}
    (sequence,) = batch.sequences(SERVER_6_0)
    assert sequence.identifier == "deletes"
    assert [bson.decode(document) for document in sequence.documents] == group.bodies


def test_listeners_see_the_statements_in_the_command() -> None:
    batch = WriteBatch(ORDERS, inserts([1, 1, 1]), 1, True, {})
    command = batch.command(limits(statements=1))
    assert batch.described(command) == {"insert": "orders", "ordered": True, "documents": [{"_id": 1, "t": "x"}]}


def test_id_travels_first() -> None:
    # CRUD specification, "Generated identifiers".
    batch = WriteBatch(ORDERS, StatementGroup("insert", [{"a": 1, "_id": 2}], [0]), 0, True, {})
    assert list(bson.decode(batch.sequences(SERVER_6_0)[0].documents[0])) == ["_id", "a"]


def test_batch_stays_as_it_was_cut_for_its_retry() -> None:
    batch = WriteBatch(ORDERS, inserts([10] * 4), 0, True, {})
    batch.command(limits(statements=2))
    first = batch.sequences(limits(statements=2))[0].documents
    batch.command(SERVER_6_0)
    assert batch.sequences(SERVER_6_0)[0].documents == first


@pytest.mark.parametrize(
    "statements, retryable",
    [
        ([insert(0), insert(1)], True),
        ([update(0), update(1)], True),
        ([update(0), update(1, multi=True)], False),
        ([delete(0)], True),
        ([delete(0), delete(1, limit=0)], False),
    ],
)
def test_batch_is_retryable_unless_a_statement_may_touch_many(statements: list[Statement], retryable: bool) -> None:
    # Retryable-writes specification, "Supported Write Operations".
    (group,) = group_statements(statements, ordered=True)
    assert Run(WriteBatch(ORDERS, group, 0, True, {}), None).retryable is retryable
    assert Run(WriteBatch(UNACKNOWLEDGED, group, 0, True, {}), None).retryable is False


def test_batches_are_judged_one_by_one() -> None:
    group = StatementGroup("update", [update(0).body, update(1, multi=True).body], [0, 1])
    found = batches(group, limits(statements=1))
    assert [Run(batch, None).retryable for batch in found] == [True, False]


def test_variables_go_with_updates_and_deletes_alone() -> None:
    # The insert command refuses `let`.
    sent = {}
    for group in group_statements([insert(0), update(1), delete(2)], ordered=True):
        command = WriteBatch(ORDERS, group, 0, True, {"let": {"v": 1}, "comment": "c"}).command(SERVER_6_0)
        assert command["comment"] == "c"
        sent[group.command] = command.get("let")
    assert sent == {"insert": None, "update": {"v": 1}, "delete": {"v": 1}}


# --- failing ---


def test_failed_batch_raises_with_the_labels_of_the_reply() -> None:
    batch = WriteBatch(ORDERS, inserts([1]), 0, True, {})
    concern_error = {"code": 91, "errmsg": "shutting down"}
    reply = {"ok": 1, "n": 1, "writeConcernError": concern_error, "errorLabels": ["RetryableWriteError"]}
    with pytest.raises(BulkWriteError, match="shutting down") as caught:
        batch.parse(reply, ADDRESS)
    assert caught.value.error_labels == {"RetryableWriteError"}


def test_whole_batch_gives_its_reply() -> None:
    assert WriteBatch(ORDERS, inserts([1]), 0, True, {}).parse({"ok": 1, "n": 1}, ADDRESS)["n"] == 1


# --- combining results ---


def test_totals_of_unacknowledged_writes_invent_no_counts() -> None:
    assert BulkTotals(acknowledged=False).result().bulk_api_result == {}


def test_totals_of_all_kinds() -> None:
    totals = BulkTotals()
    parts = group_statements(MIXED, ordered=False)
    totals.add(parts[0], 0, {"n": 3})
    totals.add(parts[1], 0, {"n": 2, "nModified": 1, "upserted": [{"index": 1, "_id": "u"}]})
    totals.add(parts[2], 0, {"n": 2})
    assert totals.finish() == {
        "writeErrors": [],
        "writeConcernErrors": [],
        "nInserted": 3,
        "nUpserted": 1,
        "nMatched": 1,
        "nModified": 1,
        "nRemoved": 2,
        "upserted": [{"index": 6, "_id": "u"}],
    }
    assert not totals.failed


def test_failures_bear_the_index_and_the_statement_of_the_users_list() -> None:
    totals = BulkTotals()
    parts = group_statements(MIXED, ordered=False)
    totals.add(parts[1], 0, {"n": 1, "nModified": 1, "writeErrors": [{"index": 1, "code": 9, "errmsg": "bad"}]})
    totals.add(parts[0], 2, {"n": 0, "writeErrors": [{"index": 0, "code": 11000, "errmsg": "dup", "keyValue": {}}]})
    totals.add(parts[2], 0, {"n": 2, "writeConcernError": {"code": 64, "errmsg": "late"}})
    details = totals.finish()
    assert details["writeErrors"] == [
        {"index": 3, "code": 11000, "errmsg": "dup", "keyValue": {}, "op": {"_id": 3}},
        {"index": 6, "code": 9, "errmsg": "bad", "op": MIXED[6].body},
    ]
    assert details["writeConcernErrors"] == [{"code": 64, "errmsg": "late"}]
    assert totals.failed
    assert totals.has_write_errors


def test_write_concern_error_alone_stops_no_ordered_bulk() -> None:
    totals = BulkTotals()
    totals.add(inserts([1]), 0, {"n": 1, "writeConcernError": {"code": 64, "errmsg": "late"}})
    assert totals.failed
    assert not totals.has_write_errors


def test_unacknowledged_batches_count_nothing() -> None:
    totals = BulkTotals(acknowledged=False)
    totals.add(inserts([1]), 0, {})
    assert totals.finish()["nInserted"] == 0
    assert not totals.result().acknowledged


def test_batch_that_was_answered_is_acknowledged_whatever_the_write_concern() -> None:
    totals = BulkTotals(acknowledged=False)
    totals.add(inserts([1]), 0, {"n": 1})
    assert totals.result().acknowledged
    assert totals.result().inserted_count == 1
