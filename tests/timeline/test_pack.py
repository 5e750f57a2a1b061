"""The data of the HTML page: what is packed, and what can never get out of its block."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import time
from typing import Any

import pytest

from docs.example import STATE, state
from tests.timeline.recordings import CONFLICT, HEADER, SESSION, bank, command
from wiredrv.timeline.page import page_text
from wiredrv.timeline.page.pack import pack


def _data(*records: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(pack(records).data)
    return found


def test_a_command_becomes_a_number_in_each_column() -> None:
    data = _data(HEADER, command(4, 100, 800, error=CONFLICT, ok=False, transaction=2, implicit=True, retried=True))
    assert [data[name] for name in ("at", "selected", "connected", "sent", "replied")] == [
        [100],
        [200],
        [300],
        [320],
        [900],
    ]
    assert [data[name] for name in ("id", "client", "operation", "attempt", "transaction")] == [[4], [1], [4], [1], [2]]
    assert data["strings"][data["session"][0]] == SESSION
    assert data["flags"] == [1 | 4 | 8]
    assert data["errors"] == [CONFLICT]
    assert data["cluster_time"] == [1795311600, 5]
    assert (data["version"], data["known"], data["driver"]) == (1, 1, "wiredrv 1.2.3")


def test_what_is_absent_is_null_or_less_than_nothing() -> None:
    data = _data({"kind": "command", "at": 5})
    assert data["selected"] == data["operation"] == [None]
    assert data["name"] == data["session"] == data["error"] == [-1]
    assert data["cluster_time"] == [-1, -1]
    assert data["flags"] == [0]


def test_commands_are_in_the_order_of_their_time_with_their_documents() -> None:
    packed = pack([command(2, 50), command(1, 10), command(3, 90)])
    assert json.loads(packed.data)["id"] == [1, 2, 3]
    assert ['"_id":1' in line.replace("\\", "") for line in packed.documents.split("\n")] == [True, False, False]


def test_equal_errors_and_strings_are_kept_once() -> None:
    data = _data(*(command(k, k, error=CONFLICT) for k in range(100)))
    assert len(data["errors"]) == 1
    assert len(data["strings"]) == len(set(data["strings"])) == 5


def test_other_records_are_kept_dropped_ones_summed_and_unknown_ones_counted() -> None:
    data = _data(*bank(), {"kind": "dropped", "count": 3}, {"kind": "dropped", "count": 4}, {"kind": "else"}, {})
    assert (data["dropped"], data["unknown"], data["count"]) == (7, 2, 14)
    assert [mark["event"] for mark in data["marks"] if mark["kind"] == "topology"] == [
        "server",
        "primary",
        "pool cleared",
        "primary",
    ]
    assert [mark["at"] for mark in data["marks"]] == sorted(mark["at"] for mark in data["marks"])


def test_fields_that_the_page_does_not_know_are_shown_with_the_document() -> None:
    (line,) = pack([command(1, 0, command='{"ping":1}', colour="red")]).documents.split("\n")
    assert json.loads(line) == {"command": '{"ping":1}', "more": {"colour": "red"}}


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), "\ud800", "\u2028", "</script>", "<!--", {"a": [float("nan")]}, object()]
)
def test_every_value_is_json_in_ascii_without_the_start_of_a_tag(value: object) -> None:
    packed = pack(
        [command(1, 0, name=value, command=value), {"kind": "topology", "at": 0, "event": value, "detail": value}]
    )
    for block in packed:
        assert block.isascii()
        assert "<" not in block
        json.loads(block, parse_constant=pytest.fail)


def test_the_page_permits_its_own_script_and_style_and_nothing_else() -> None:
    page = page_text(bank(), title="</title><script>alert(1)</script>{{data}}")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    parts = dict(part.strip().split(" ", 1) for part in html.unescape(policy).split(";"))
    assert parts["default-src"] == "'none'"
    for name, tag in (("script-src", "script"), ("style-src", "style")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert parts[name] == f"'sha256-{digest}'"
    assert page.count("<script>") == 1
    assert not re.search(
        r"""(src|href)=["']?(?!["']?data:)|url\(|@import|https?://""", page.partition('<script type="application')[0]
    )


def test_the_pictures_in_the_documentation_are_of_this_page() -> None:
    assert state() == STATE.read_text(), "take them again: python -m docs.screenshots"


def test_packing_takes_little_longer_with_many_commands() -> None:
    """A page of 50,000 commands is written in seconds: nothing in it looks at all the others."""

    def seconds(number: int) -> float:
        records = [command(k, k * 10, session=f"{k:032x}") for k in range(number)]
        began = time.process_time()
        pack(records)
        return time.process_time() - began

    assert min(seconds(8000) for _ in range(2)) < 12 * max(seconds(2000), 0.01)
