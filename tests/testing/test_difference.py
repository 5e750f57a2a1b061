"""The difference between expected commands and those that were sent: what fits, and what is shown. No servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from unittest.mock import ANY

import pytest
from bson.int64 import Int64

from tests.testing.conftest import ROOT
from wiredrv.testing.difference import describe
from wiredrv.testing.expected import (
    ABSENT,
    Expected,
    SentCommand,
    differences,
    fits,
    grouped,
    groups,
    in_session,
    in_transaction,
)


def sent(*commands: str) -> list[SentCommand]:
    """Commands as ``insert orders``; with ``2.1`` in front in session 2, and its first transaction."""
    found: list[SentCommand] = []
    for number, text in enumerate(commands, 1):
        place, _, rest = text.partition(":") if ":" in text else ("0.0", "", text)
        session, transaction = (int(part) for part in place.split("."))
        name, _, collection = rest.partition(" ")
        command: dict[str, object] = {name: collection or 1}
        found.append(SentCommand(number, name, "db", command, session, transaction))
    return found


def shown(expected: Sequence[Expected], commands: Sequence[SentCommand], *, ordered: bool = True) -> list[str] | None:
    text = describe(expected, grouped(commands, groups(expected)), commands, ordered=ordered)
    return None if text is None else text.partition("\n\n")[2].partition("\n\nsent, by session")[0].splitlines()


COMMAND = {"insert": "orders", "lsid": {"id": b"x"}, "txnNumber": Int64(3), "documents": [{"_id": 1, "n": {"a": 1}}]}


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ({"insert": "orders"}, []),
        ({"insert": ANY, "txnNumber": 3}, []),
        ({"documents": [{"n": {"a": 1}}]}, []),
        ({"documents": ({"_id": 1},)}, []),
        ({"autocommit": ABSENT}, []),
        ({"insert": "stock"}, ["insert: expected 'stock', sent 'orders'"]),
        ({"autocommit": False}, ["autocommit: expected False, not sent"]),
        ({"txnNumber": ABSENT}, ["txnNumber: expected to be absent, sent 3"]),
        ({"lsid": {"id": b"y", "uid": ABSENT}}, ["lsid.id: expected b'y', sent b'x'"]),
        ({"documents": []}, ["documents: expected [], sent [{'_id': 1, 'n': {'a': 1}}]"]),
        ({"documents": [{"_id": 2}]}, ["documents: expected [{'_id': 2}], sent [{'_id': 1, 'n': {'a': 1}}]"]),
    ],
)
def test_which_fields_differ(expected: Mapping[str, object], found: list[str]) -> None:
    assert differences(expected, COMMAND) == found


FITS: list[tuple[list[Expected], list[str]]] = [
    ([], []),
    (["insert", {"find": "orders"}], ["insert x", "find orders"]),
    # Without groups, the order of sending is all that counts.
    (["insert", "find", "commitTransaction"], ["1.1:insert x", "find y", "1.1:commitTransaction"]),
    # With groups, a transaction is one entry, at the place of its first command.
    (
        [in_transaction("insert", "commitTransaction"), "find"],
        ["1.1:insert x", "find y", "1.1:commitTransaction"],
    ),
    (
        [in_transaction("insert", "commitTransaction"), in_transaction("update", "abortTransaction")],
        ["1.1:insert x", "2.1:update y", "2.1:abortTransaction", "1.1:commitTransaction"],
    ),
    (
        [in_session("find", in_transaction("insert"), "find"), "distinct", in_session("update")],
        ["1.0:find x", "distinct y", "2.0:update z", "1.1:insert x", "1.0:find x"],
    ),
    # Where no transaction is named, one is not looked for.
    ([in_session("find", "insert")], ["1.0:find x", "1.1:insert x"]),
]
DIFFERS: list[tuple[list[Expected], list[str], list[str]]] = [
    (["find"], [], ["- find"]),
    ([], ["find x"], ["+ find db.x"]),
    (["find", "insert"], ["insert x", "find x"], ["- find", "  insert db.x", "+ find db.x"]),
    ([{"find": "y"}], ["find x"], ["! find db.x", "!     find: expected 'y', sent 'x'"]),
    ([in_transaction("insert")], ["insert x"], ["- a transaction", "-     insert", "+ insert db.x"]),
    (["insert", in_transaction("find")], ["1.1:insert x"], ["- insert", "! transaction 1 of session 1"]),
    (
        [in_session("find", in_transaction("insert", "commitTransaction"))],
        ["1.0:find x", "1.1:insert x", "1.1:abortTransaction"],
        [
            "! session 1",
            "      find db.x",
            "!     transaction 1 of session 1",
            "          insert db.x",
            "-         commitTransaction",
            "+         abortTransaction",
        ],
    ),
    ([{"find": "x", "filter": {"a": 1}}, {"ping": ANY}], [], ["- find x {'filter': {'a': 1}}", "- ping"]),
    (["find", "find"], ["find x"] * 3, ["  find db.x", "  find db.x", "+ find db.x"]),
]


@pytest.mark.parametrize(("expected", "commands"), FITS)
def test_what_fits(expected: list[Expected], commands: list[str]) -> None:
    assert shown(expected, sent(*commands)) is None
    assert shown(expected[::-1], sent(*commands), ordered=False) is None


@pytest.mark.parametrize(("expected", "commands", "lines"), DIFFERS)
def test_what_differs(expected: list[Expected], commands: list[str], lines: list[str]) -> None:
    found = shown(expected, sent(*commands))
    assert found is not None
    assert found[: len(lines)] == lines


def test_in_any_order_the_largest_matching_is_found() -> None:
    """``find`` could take the place of the more exact entry, and does not."""
    expected: list[Expected] = ["find", {"find": "orders"}, {"find": "stock"}]
    assert shown(expected, sent("find stock", "find orders", "find x"), ordered=False) is None
    assert shown(expected, sent("find x", "find orders", "find y"), ordered=False) == [
        "  find db.x",
        "  find db.orders",
        "! find db.y",
        "!     find: expected 'stock', sent 'y'",
    ]


def test_long_lists_are_compared_too() -> None:
    commands = sent(*["find x"] * 2000)
    assert shown(["find"] * 2000, commands) is None
    found = shown(["insert", *["find"] * 1999], commands)
    assert found is not None
    assert found[:3] == ["- insert", "+ find db.x", "  find db.x"]
    assert fits("find", commands[0])


def test_the_example_in_the_documentation_is_what_is_shown() -> None:
    commands = sent("find stock", "1.1:update stock", "1.1:insert orders", "1.1:commitTransaction")
    for command in commands:
        command.database = "test_an_order_8b1c"
    commands[0].command = {"lsid": {}, **commands[0].command}
    commands[1].command = {**commands[1].command, "startTransaction": True}
    majority = {"w": "majority"}
    transaction = in_transaction({"insert": "orders"}, "update", {"commitTransaction": 1, "writeConcern": majority})
    expected: list[Expected] = [{"find": "stock"}, transaction]
    text = describe(expected, grouped(commands, groups(expected)), commands, ordered=True)
    assert text is not None
    assert f"```text\nAssertionError: {text}\n```" in (ROOT / "docs" / "testing.md").read_text()
