"""The format of a timeline's file: what is written is read, and a file that is not one is refused."""

from __future__ import annotations

import json

import pytest

from wiredrv.errors import InvalidTimeline
from wiredrv.timeline.records import (
    CommandRecord,
    Dropped,
    Failure,
    Header,
    Record,
    SessionMark,
    TopologyMark,
    TransactionMark,
    read_lines,
    to_line,
)

HEADER = Header(driver="wiredrv 0.1", started="2026-11-22T01:02:03.000004Z", process=7)
ERROR = Failure(type="AutoReconnect", message='a "quoted" text, ü', code=91, labels=("RetryableWriteError",))
RECORDS: list[Record] = [
    CommandRecord(id=1, at=5, name="find"),
    CommandRecord(
        id=2,
        at=0,
        name="insert",
        client=2,
        operation=5,
        attempt=2,
        selected=1,
        connected=2,
        sent=3,
        replied=4,
        database="shop",
        collection="orders",
        server="localhost:27017",
        connection=3,
        session="00ff",
        implicit=True,
        transaction=4,
        command='{"insert": "orders"}',
        ok=False,
        error=ERROR,
        retried=True,
        cluster_time=(1_700_000_000, 1),
        operation_time=(1_700_000_000, 2),
    ),
    CommandRecord(id=3, at=9, name="ping", sent=0, ok=True),
    TransactionMark(session="00ff", number=0, event="begin", at=1),
    TransactionMark(session="00ff", number=4, event="unknown", at=1, attempt=3, error=Failure(type="X")),
    SessionMark(session="00ff", event="pin", at=2, server="localhost:1", client=3),
    TopologyMark(event="primary", at=3, detail="localhost:1 -> none"),
    Dropped(count=12),
]
FIRST = to_line(HEADER) + "\n"


def test_what_is_written_is_read() -> None:
    lines = [to_line(record) + "\n" for record in (HEADER, *RECORDS)]
    assert all(line.count("\n") == 1 for line in lines)
    header, records = read_lines(lines, "run.jsonl")
    assert header == HEADER
    assert list(records) == RECORDS


def test_what_is_not_known_is_left_out() -> None:
    assert json.loads(to_line(RECORDS[0])) == {"kind": "command", "id": 1, "at": 5, "name": "find"}
    assert json.loads(to_line(Header(started="now"))) == {"kind": "header", "version": 1, "started": "now"}


def test_a_field_of_a_later_version_is_ignored() -> None:
    lines = [FIRST, '{"kind": "dropped", "count": 1, "since": "yesterday"}\n']
    assert list(read_lines(lines, "run.jsonl")[1]) == [Dropped(count=1)]


@pytest.mark.parametrize("end", ["", '{"kind": "comm', '{"kind": "dropped"'])
def test_a_last_line_that_was_cut_off_is_ignored(end: str) -> None:
    lines = [FIRST, '{"kind": "dropped", "count": 1}\n', *([end] if end else [])]
    assert list(read_lines(lines, "run.jsonl")[1]) == [Dropped(count=1)]


def test_a_whole_last_line_needs_no_end() -> None:
    assert list(read_lines([FIRST, '{"kind": "dropped", "count": 1}'], "run.jsonl")[1]) == [Dropped(count=1)]


@pytest.mark.parametrize(
    "lines, message",
    [
        ([], "run.jsonl is empty"),
        (["hello\n"], "line 1: it is not JSON"),
        ([""], "line 1: it is not JSON"),
        (["[1]\n"], "line 1: it is not an object"),
        (['{"kind": "dropped", "count": 1}\n'], "line 1: it is not the header"),
        (
            ['{"kind": "header", "version": 2, "started": "x"}\n'],
            "line 1: it has version 2 .* reads version 1: use a later",
        ),
        (['{"kind": "header", "version": "1", "started": "x"}\n'], "line 1: its 'version' is not a whole number"),
        (['{"kind": "header", "version": 1}\n'], "line 1: it has no 'started'"),
        ([FIRST, FIRST], "line 2: it is a second header"),
        ([FIRST, '{"kind": "dropped", "count": 1}\n', "{\n"], "line 3: it is not JSON"),
        ([FIRST, "\n"], "line 2: it is not JSON"),
        ([FIRST, '{"at": 1}\n'], "line 2: its 'kind' is None, not one of header, command"),
        ([FIRST, '{"kind": ["command"]}\n'], "line 2: its 'kind' is"),
        ([FIRST, '{"kind": "command", "id": 1, "name": "find"}\n'], "line 2: it has no 'at'"),
        ([FIRST, '{"kind": "command", "id": true, "at": 1, "name": "find"}\n'], "line 2: its 'id' is not a whole"),
        ([FIRST, '{"kind": "command", "id": 1, "at": -1, "name": "find"}\n'], "line 2: its 'at' is not a whole"),
        ([FIRST, '{"kind": "command", "id": 1, "at": 1.5, "name": "find"}\n'], "line 2: its 'at' is not a whole"),
        ([FIRST, '{"kind": "command", "id": 1, "at": 1, "name": 5}\n'], "line 2: its 'name' is not a text"),
        ([FIRST, '{"kind": "command", "id": 1, "at": 1, "name": "x", "ok": 1}\n'], "its 'ok' is neither true nor"),
        ([FIRST, '{"kind": "command", "id": 1, "at": 1, "name": "x", "cluster_time": [1]}\n'], "is not a time"),
        ([FIRST, '{"kind": "command", "id": 1, "at": 1, "name": "x", "error": "X"}\n'], "its 'error' is not an object"),
        (
            [FIRST, '{"kind": "command", "id": 1, "at": 1, "name": "x", "error": {}}\n'],
            "its 'error' is wrong: it has no 'type'",
        ),
        ([FIRST, '{"kind": "topology", "event": "birth", "at": 1}\n'], "its 'event' is 'birth', not one of primary"),
        ([FIRST, "[" * 100_000 + "\n"], "line 2: it is not JSON"),
    ],
)
def test_a_file_that_is_not_a_timeline_is_refused(lines: list[str], message: str) -> None:
    with pytest.raises(InvalidTimeline, match=message):
        list(read_lines(lines, "run.jsonl")[1])


def test_labels_are_texts() -> None:
    line = '{"kind":"command","id":1,"at":1,"name":"x","error":{"type":"X","labels":[1]}}\n'
    with pytest.raises(InvalidTimeline, match="'labels' is not a text"):
        list(read_lines([FIRST, line], "run.jsonl")[1])
