"""A timeline as lines of text, from a made-up recording."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from tests.timeline.recordings import IMPLICIT, OTHER, SESSION, bank
from wiredrv.timeline.records import CommandRecord, Dropped, Failure, Header, Record, TopologyMark, read_lines
from wiredrv.timeline.view import Filter, Line, lanes, lines

HEADER, _records = read_lines([json.dumps(fields) + "\n" for fields in bank()], "bank")
RECORDS = list(_records)


def shown(
    records: Sequence[Record] = RECORDS, chosen: Filter | None = None, width: int = 80, plain: bool = False
) -> str:
    return "\n".join(line.text for line in lines(HEADER, records, chosen or Filter(), width, plain=plain))


def lane_of(text: str, name: str) -> list[str]:
    lines_ = text.split("\n")
    start = next(number for number, line in enumerate(lines_) if line.startswith(name))
    end = next((number for number in range(start, len(lines_)) if not lines_[number]), len(lines_))
    return lines_[start + 1 : end]


@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize("plain", [False, True])
def test_no_line_is_wider_than_the_terminal(width: int, plain: bool) -> None:
    text = shown(width=width, plain=plain)
    assert max(map(len, text.split("\n"))) <= width
    assert text.isascii() is plain


def test_a_terminal_that_is_too_narrow_gets_80_columns() -> None:
    assert shown(width=20) == shown(width=80)


def test_the_summary_counts() -> None:
    records = [*RECORDS, Dropped(count=1_234)]
    first = shown(records).split("\n")[0]
    assert first.endswith("0.100 s, 14 commands, 4 sessions, 3 failed, 1,234 older records dropped")
    assert first.startswith("2026-11-22T01:40:00.123456Z")


def test_lanes_are_sessions_in_order_and_the_deployment_is_first() -> None:
    events = [record for record in RECORDS if not isinstance(record, Dropped)]
    names = [lane.name for lane in lanes(events)]
    assert names == ["deployment", SESSION, IMPLICIT[0], OTHER, IMPLICIT[1], "no session"]


def test_a_transaction_is_a_block() -> None:
    lane = lane_of(shown(width=80), f"session {SESSION}, client 1")
    assert [line[11:].rstrip() for line in lane] == [
        "  start",
        "  find bank.accounts              20.0 ms ░▒█████    127.0.0.1:27017",
        "┌ transaction 1",
        "│ find bank.accounts               9.0 ms ▒██        127.0.0.1:27017",
        "│ update bank.accounts            12.0 ms ▒███       OperationFailure",
        "│   WriteConflict error: please retry; code 112; labels:",
        "│   TransientTransactionError",
        "│ abortTransaction bank            5.0 ms ██         127.0.0.1:27017",
        "└ transaction 1 aborted",
        "  after OperationFailure",
        "  transaction 1 is tried again: attempt 2 follows",
        "  after OperationFailure",
        "┌ transaction 2, attempt 2",
        "│ update bank.accounts             9.0 ms ▒██        127.0.0.1:27017",
        "│ commitTransaction bank           9.0 ms ▒██        127.0.0.1:27017",
        "└ transaction 2 committed",
        "  end",
    ]


def test_what_is_not_known_says_so() -> None:
    text = shown()
    assert "transaction 9: it is not known whether it was committed" in text
    assert "in flight" in "\n".join(lane_of(text, "no session"))
    assert "(implicit)" in text


def test_retries_are_numbered() -> None:
    lane = "\n".join(lane_of(shown(), f"session {IMPLICIT[0]}"))
    assert "tried again" in lane
    assert "#2 find bank.accounts" in lane


def test_a_bar_shows_what_was_waited_for() -> None:
    command = CommandRecord(
        id=1, at=0, name="x", selected=30_000, connected=50_000, sent=50_000, replied=100_000, ok=True
    )
    assert "░░░▒▒█████" in shown([command])
    assert "ssscc#####" in shown([command], plain=True)
    refused = CommandRecord(id=2, at=0, name="x", replied=50_000, ok=False, error=Failure(type="X"))
    assert "░░░░░     " in shown([command, refused])


def test_the_deployment_is_shown() -> None:
    lane = "\n".join(lane_of(shown(), "deployment"))
    assert "primary 127.0.0.1:27018 (was 127.0.0.1:27017)" in lane
    assert "pool cleared 127.0.0.1:27017 (connection closed)" in lane
    assert "primary none" in shown([TopologyMark(event="primary", at=1)])


def test_the_operation_time_is_shown_where_it_advances() -> None:
    times = [(5, 1), (5, 1), (4, 9), (5, 2)]
    records = [
        CommandRecord(id=number, at=number, name="x", session="ab", ok=True, operation_time=time)
        for number, time in enumerate(times)
    ]
    lane = lane_of(shown(records, width=120), "session ab")
    assert [("5.1" in line, "5.2" in line, "4.9" in line) for line in lane] == [
        (True, False, False),
        (False, False, False),
        (False, False, False),
        (False, True, False),
    ]


@pytest.mark.parametrize(
    "chosen, ids",
    [
        (Filter(session="77B0"), {7, 8, 9}),
        (Filter(transaction=9), {8, 9}),
        (Filter(session=SESSION, transaction=2), {5, 6}),
        (Filter(errors=True), {3, 9, 12}),
        (Filter(session="ff"), set()),
    ],
)
def test_filters(chosen: Filter, ids: set[int]) -> None:
    passed = {record.id for record in RECORDS if isinstance(record, CommandRecord) and chosen.passes(record)}
    assert passed == ids
    assert ("Nothing to show." in shown(chosen=chosen)) is not bool(ids)


def test_styles() -> None:
    found = list(lines(HEADER, RECORDS))
    styles = {line.style for line in found}
    assert styles == {"", "heading", "error", "good", "mark"}
    assert Line("", "") in found


def test_an_empty_recording() -> None:
    assert shown([]) == "2026-11-22T01:40:00.123456Z, 0.000 s, 0 commands, 0 sessions, 0 failed\nNothing to show."
    assert Header(started="x").version == 1
