"""The lab's pure parts: names, comparing, the table, making scenarios smaller, reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bson import Int64, ObjectId, Timestamp
from bson.raw_bson import RawBSONDocument
from bson.son import SON

from tests.differential.calls import Block, Call, Make, Scenario, StartSession, Target, options
from tests.differential.known import KNOWN, OF_CALLS
from tests.differential.log import Log
from tests.differential.normal import MISSING, Leaf, Names, command_leaves, leaves
from tests.differential.outcomes import (
    Difference,
    Failed,
    Record,
    Returned,
    compared,
    compared_closings,
    compared_steps,
)
from tests.differential.reduce import smaller
from tests.differential.report import report
from tests.differential.row import Known
from tests.differential.rows.beyond import BEYOND_CALLS
from tests.differential.runs import shares
from tests.differential.world import fixed_id

ROOT = Path(__file__).resolve().parents[2]
LSID = {"id": b"0" * 16}
OTHER = {"id": b"1" * 16}


def names() -> Names:
    return Names("lab_a", "lab_b")


# --- names ---


def test_generated_ids_are_named_in_the_order_in_which_they_appear() -> None:
    known = names()
    one, two = ObjectId(), ObjectId()
    assert known.value([one, two, one, fixed_id(3)]) == ["<oid 1>", "<oid 2>", "<oid 1>", fixed_id(3)]


def test_databases_and_times_are_named() -> None:
    known = names()
    found = known.value({"ns": "lab_a.people", "operationTime": Timestamp(1, 1), "afterClusterTime": Timestamp(1, 2)})
    assert found == {"ns": "<db>.people", "operationTime": "<operationTime>", "afterClusterTime": "<afterClusterTime>"}


def test_what_a_list_tells_of_the_other_database_is_left_out() -> None:
    assert names().value(["admin", "lab_a", "lab_b"]) == ["admin", "<db>"]
    assert names().value([{"name": "lab_b", "sizeOnDisk": 5}, {"name": "lab_a", "sizeOnDisk": 6}]) == [
        {"name": "<db>", "sizeOnDisk": "<sizeOnDisk>"}
    ]


def test_cursors_and_their_sessions_are_followed() -> None:
    known = names()
    opening = {"find": "people", "lsid": LSID}
    known.reply(opening, {"cursor": {"id": Int64(77), "firstBatch": []}})
    assert known.command({"getMore": Int64(77), "collection": "people", "lsid": LSID}) == {
        "getMore": ["<cursor 1>"],
        "collection": "people",
        "lsid": "implicit, the cursor's",
    }
    strayed = known.command({"killCursors": "people", "cursors": [Int64(77), 5], "lsid": OTHER})
    assert strayed["cursors"] == ["<cursor 1>", "<a cursor of before>"]
    assert strayed["lsid"] == "implicit, not the cursor's"


def test_transaction_numbers_say_whether_they_are_new() -> None:
    known = names()
    known.sessions[LSID["id"]] = "session1"
    numbers = [known.command({"insert": "a", "lsid": LSID, "txnNumber": number})["txnNumber"] for number in (4, 4, 5)]
    assert numbers == ["a new number", "the same number", "a new number"]
    assert known.command({"insert": "a", "lsid": OTHER, "txnNumber": 9})["txnNumber"] == "a number"


def test_a_raw_document_that_travels_is_what_it_holds_and_elsewhere_shows_that_it_is_raw() -> None:
    raw = RawBSONDocument(b"\x0c\x00\x00\x00\x10a\x00\x01\x00\x00\x00\x00")
    assert names().command({"insert": "people", "documents": [raw]})["documents"] == [{"a": 1}]
    assert names().value(raw) == {"<raw>": {"a": 1}}


def test_a_tuple_that_travels_is_an_array_and_elsewhere_a_tuple() -> None:
    assert names().command({"aggregate": "people", "pipeline": ({"$limit": 1},)})["pipeline"] == [{"$limit": 1}]
    assert names().value(({"$limit": 1},)) == ("<tuple>", {"$limit": 1})


# --- comparing ---


@pytest.mark.parametrize(
    "theirs, ours, expected",
    [
        ({"a": 1}, {"a": 1}, []),
        (1, True, [((), 1, True)]),
        (1, 1.0, [((), 1, 1.0)]),
        (0.0, -0.0, [((), 0.0, -0.0)]),
        ({"a": [1, 2]}, {"a": [1, 3]}, [(("a", 1), 2, 3)]),
        ({"a": [1]}, {"a": [1, 2]}, [(("a",), [1], [1, 2])]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, [(("<order>",), ["a", "b"], ["b", "a"])]),
        ({"a": 1}, {"b": 1}, [(("a",), 1, MISSING), (("b",), MISSING, 1)]),
    ],
)
def test_values_are_compared_strictly(theirs: Any, ours: Any, expected: list[Any]) -> None:
    assert leaves(theirs, ours) == [Leaf(*each) for each in expected]


def test_the_fields_of_a_command_have_no_order_but_those_of_its_documents_have() -> None:
    one = {"find": "a", "filter": {"x": 1}, "limit": 1}
    assert not command_leaves(one, {"find": "a", "limit": 1, "filter": {"x": 1}})
    sort = {"find": "a", "sort": {"x": 1, "y": 1}}
    assert command_leaves(sort, {"find": "a", "sort": {"y": 1, "x": 1}})[0].path == ("sort", "<order>")
    statement = {"update": "a", "updates": [{"q": {}, "u": {"$set": {"x": 1, "y": 2}}, "multi": True}]}
    assert not command_leaves(
        statement, {"update": "a", "updates": [{"multi": True, "u": {"$set": {"x": 1, "y": 2}}, "q": {}}]}
    )
    assert command_leaves({"find": "a"}, {"count": "a"}) == [Leaf(("<name>",), "find", "count")]


CALL = Call(Target("collection", "people"), "insert_one", ({"_id": 1},))


def failed(kind: str, message: str = "no", **more: Any) -> Failed:
    return Failed(kind, (kind, "Exception"), message, **more)


def what(theirs: Record, ours: Record) -> list[tuple[str, str]]:
    return [(difference.what, difference.place) for difference in compared(theirs, ours)]


def test_the_parts_of_a_step_are_compared() -> None:
    insert = {"insert": "people", "documents": [{"_id": 1}], "ordered": True}
    same = Record(CALL, Returned({"acknowledged": True}), (insert,), [{"_id": 1}])
    assert what(same, same) == []
    assert what(same, Record(CALL, Returned({"acknowledged": False}), (insert,), [{"_id": 1}])) == [
        ("result", "acknowledged")
    ]
    assert what(same, Record(CALL, failed("WriteError"), (insert,), [{"_id": 1}])) == [("outcome", "")]
    assert what(same, Record(CALL, same.outcome, (), [{"_id": 1}])) == [("commands", "")]
    assert what(same, Record(CALL, same.outcome, ({**insert, "ordered": False},), [{"_id": 1}])) == [
        ("field", "insert.ordered")
    ]
    assert what(same, Record(CALL, same.outcome, (insert,), [{"_id": 1, "x": 1}])) == [("arguments", "*.x")]


def test_errors_are_compared_by_class_code_labels_and_details_but_not_by_their_words() -> None:
    theirs = Record(CALL, failed("WriteError", "their words", code=1, labels=("A",), details={"x": 1}))
    assert what(theirs, Record(CALL, failed("WriteError", "ours", code=1, labels=("A",), details={"x": 1}))) == []
    assert what(theirs, Record(CALL, failed("WriteError", "", code=2, labels=("A",), details={"x": 1}))) == [
        ("error", "code")
    ]
    assert what(theirs, Record(CALL, failed("WriteError", "", code=1, details={"x": 2}))) == [
        ("error", "labels"),
        ("error", "details.x"),
    ]


def test_the_failure_that_leaves_a_block_is_told_once_and_steps_of_one_alone_are_told() -> None:
    block = Block("transaction", 1, (CALL,))
    theirs = [Record(CALL, failed("TypeError")), Record(block, failed("TypeError"))]
    ours = [Record(CALL, failed("ConfigurationError")), Record(block, failed("ConfigurationError"))]
    assert [difference.what for difference in compared_steps(theirs, ours)] == ["outcome"]
    assert [difference.what for difference in compared_steps(theirs, [Record(block, theirs[1].outcome)])] == ["steps"]


@pytest.mark.parametrize(
    "examples, jobs, expected",
    [
        (500, 1, [(7, 500)]),
        (20_000, 2, [(7, 10_000), (27, 10_000)]),
        (1700, 3, [(7, 500), (8, 500), (9, 700)]),
        (1200, 2, [(7, 500), (8, 700)]),
    ],
)
def test_a_run_is_divided_by_its_seeds(examples: int, jobs: int, expected: list[tuple[int, int]]) -> None:
    assert shares(7, examples, jobs) == expected


# --- what closed a cursor ---


def test_of_the_attempts_to_close_a_cursor_the_first_counts_and_one_after_a_success() -> None:
    log = Log()
    log.begin(names())
    log.started(1, {"find": "people", "lsid": LSID})
    log.succeeded(1, {"cursor": {"id": Int64(77), "firstBatch": []}})
    kill = {"killCursors": "people", "cursors": [Int64(77)]}
    log.started(2, {**kill, "txnNumber": Int64(1), "autocommit": False})
    # The server refused it: when it is retried is up to the driver.
    log.started(3, kill)
    assert list(log.closings) == ["<cursor 1>"]
    assert "autocommit" in log.closings["<cursor 1>"]
    log.succeeded(3, {"ok": 1.0})
    log.started(4, kill)
    assert list(log.closings) == ["<cursor 1>", "<cursor 1> again"]
    log.started(5, {"killCursors": "people", "cursors": [Int64(99)]})  # of the previous scenario
    assert len(log.closings) == 2


def test_how_a_cursor_was_closed_that_was_rewound_is_a_place_of_its_own() -> None:
    log = Log()
    log.begin(names())
    log.started(1, {"find": "people", "lsid": LSID})
    log.succeeded(1, {"cursor": {"id": Int64(77), "firstBatch": []}})
    log.rewinds(77)
    log.started(2, {"killCursors": "people", "cursors": [Int64(77)]})
    assert list(log.closings) == ["<cursor 1>, rewound"]
    found = list(compared_closings({"<cursor 1>, rewound": {"lsid": 1}}, {"<cursor 1>, rewound": {"lsid": 2}}))
    assert [difference.place for difference in found] == ["rewind.lsid"]


# --- the table ---


def test_every_row_says_what_and_why_and_has_its_own_name() -> None:
    assert len({row.id for row in KNOWN}) == len(KNOWN)
    for row in KNOWN:
        assert row.elsewhere, row.id
        assert row.here, row.id
        assert row.reason, row.id


@pytest.mark.parametrize("row", BEYOND_CALLS, ids=lambda row: row.id)
def test_what_the_lab_cannot_see_is_shown_by_a_test_that_exists(row: Known) -> None:
    path, _, name = row.shown_by.partition("::")
    assert f"def {name}(" in (ROOT / path).read_text(), row.shown_by


@pytest.mark.parametrize("row", OF_CALLS, ids=lambda row: row.id)
def test_a_row_excuses_nothing_that_it_is_not_about(row: Known) -> None:
    """Differences of kinds that no deliberate choice explains: other data, other documents, another commit outcome."""
    sent = {"insert": "people", "documents": [{"_id": 1}]}
    there, here = Record(CALL, Returned({"n": 1}), (sent,)), Record(CALL, Returned({"n": 2}), (sent,))
    commit = Call(Target("session", 1), "commit_transaction")
    refused = failed("OperationFailure", "a conflict", code=112)
    for difference in (
        Difference("data", ("people", "documents", 0, "n"), 1, 2),
        Difference("result", ("n",), 1, 2, there, here),
        Difference("commands", (), ["insert"], ["insert", "insert"], there, here),
        Difference("commands", (), ["insert"], [], there, here),
        Difference("field", ("insert", "lsid"), "session1", "implicit", there, here),
        Difference("field", ("insert", "startTransaction"), True, MISSING, there, here),
        Difference("field", ("insert", "documents", 0, "_id"), 1, 2, there, here),
        Difference("closing", (), {"killCursors": "people"}, MISSING),
        Difference("outcome", (), Returned(None), refused, Record(commit, Returned(None)), Record(commit, refused)),
        Difference("outcome", (), refused, Returned(None), Record(commit, refused), Record(commit, Returned(None))),
        Difference(
            "error", ("labels",), ["TransientTransactionError"], [], Record(commit, refused), Record(commit, refused)
        ),
    ):
        assert not row.excuses(difference), (row.id, difference)


# --- smaller scenarios, and reports ---


def test_everything_can_be_left_out() -> None:
    call = Call(
        Target("collection", "people", options(read_concern=Make("ReadConcern", ("local",)))),
        "find",
        ({"a": 1, "b": 2},),
        options(limit=1),
        chain=(("sort", ("a",), ()),),
    )
    block = Block("bind", 1, (call,), options(end_session=True), raises=True)
    scenario = Scenario((StartSession(1, options(snapshot=True)), block, call))
    candidates = list(smaller(scenario))
    assert Scenario((block, call)) in candidates
    assert Scenario((StartSession(1), block, call)) in candidates
    assert any(len(found.steps) == 3 and found.steps[1] != block and found.steps[2] == call for found in candidates)
    texts = [repr(candidate.steps[-1]) for candidate in candidates]
    assert "db['people'].find({'a': 1, 'b': 2}, limit=1).sort('a')" in texts
    assert any("find({'b': 2}, limit=1)" in text for text in texts)
    assert all(len(repr(candidate)) < len(repr(scenario)) for candidate in candidates)


def test_a_report_shows_the_scenario_the_outcomes_the_commands_and_the_place() -> None:
    sent = {"insert": "people", "ordered": True}
    theirs = Record(CALL, Returned(1), (sent,))
    ours = Record(CALL, failed("WriteError", "refused"), ())
    text = report(Scenario((StartSession(1), CALL)), list(compared(theirs, ours)))
    assert text.splitlines() == [
        "the scenario:",
        "    1. session1 = client.start_session()",
        "    2. db['people'].insert_one({'_id': 1})",
        "differs in:",
        "    db['people'].insert_one({'_id': 1})",
        "PyMongo returned 1",
        "    sent {'insert': 'people', 'ordered': True}",
        "wiredrv raised WriteError: refused",
        "    sent nothing",
        "the difference: outcome",
        "    PyMongo: returned 1",
        "    wiredrv: raised WriteError: refused",
        "also commands",
        "    PyMongo: ['insert']",
        "    wiredrv: []",
    ]


def test_values_show_as_code() -> None:
    call = Call(Target("database"), "aggregate", ([SON([("$match", {})])],), options(let=Make("SON", ({"a": 1},))))
    assert repr(call) == "db.aggregate([SON([('$match', {})])], let=SON({'a': 1}))"
