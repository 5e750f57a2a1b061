"""The names of cursors: those of PyMongo's, and the bits of the old query flags."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.asynchronous.command_cursor import AsyncCommandCursor, AsyncRawBatchCommandCursor
from pymongo.asynchronous.cursor import AsyncCursor, AsyncRawBatchCursor
from pymongo.cursor_shared import CursorType as PyMongoCursorType

import wiredrv
from tests.client.fakes import FakeContext, batch
from wiredrv import CursorType
from wiredrv.errors import ConfigurationError, InvalidOperation

pytestmark = pytest.mark.anyio

#: For each class of PyMongo's: ours, and the names that it has no more.
PAIRS: list[tuple[type[Any], type[Any], set[str]]] = [
    # maxScan is an option that servers have not had since 4.2.
    (AsyncCursor, wiredrv.Cursor, {"max_scan"}),
    (AsyncRawBatchCursor, wiredrv.RawBatchCursor, {"max_scan"}),
    (AsyncCommandCursor, wiredrv.CommandCursor, set()),
    (AsyncRawBatchCommandCursor, wiredrv.RawBatchCommandCursor, set()),
]


def _public(kind: type[Any]) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize(("theirs", "ours", "missing"), PAIRS, ids=lambda pair: getattr(pair, "__name__", ""))
def test_cursors_have_pymongos_names(theirs: type[Any], ours: type[Any], missing: set[str]) -> None:
    assert _public(theirs) - _public(ours) == missing


def test_the_types_have_pymongos_numbers() -> None:
    for name in ("NON_TAILABLE", "TAILABLE", "TAILABLE_AWAIT", "EXHAUST"):
        assert getattr(CursorType, name) == getattr(PyMongoCursorType, name)


@pytest.mark.parametrize(
    ("mask", "sent"),
    [
        (0, {}),
        (2, {"tailable": True}),
        (34, {"tailable": True, "awaitData": True}),
        (4, {}),
        (8, {"oplogReplay": True}),
        (16, {"noCursorTimeout": True}),
        (64, {}),
        (128, {"allowPartialResults": True}),
        (2 | 16 | 128, {"tailable": True, "noCursorTimeout": True, "allowPartialResults": True}),
    ],
)
async def test_bits_are_options(mask: int, sent: dict[str, Any]) -> None:
    context = FakeContext([batch(), batch(), batch()])
    cursor = context.database.orders.find().add_option(mask)
    await cursor.try_next()
    await cursor.clone().try_next()
    await cursor.clone().remove_option(mask).try_next()
    plain = {"find": "orders", "filter": {}}
    assert context.executor.commands == [{**plain, **sent}, {**plain, **sent}, plain]


async def test_bits_that_mean_nothing_and_cursors_that_were_read() -> None:
    cursor = FakeContext([batch()]).database.orders.find()
    mask: Any
    for mask in (1, 256, -1, True, "2", 1.0):
        with pytest.raises(ConfigurationError, match="query flags"):
            cursor.add_option(mask)
        with pytest.raises(ConfigurationError, match="query flags"):
            cursor.remove_option(mask)
    await cursor.try_next()
    with pytest.raises(InvalidOperation, match="before the first document"):
        cursor.add_option(2)
    with pytest.raises(InvalidOperation, match="before the first document"):
        cursor.remove_option(2)


async def test_the_getmores_of_an_exhaust_cursor_allow_a_stream() -> None:
    context = FakeContext([batch({"n": 1}, id=9), batch({"n": 2}, id=9), batch()])
    cursor = context.database.orders.find(cursor_type=CursorType.EXHAUST, prefetch=True)
    assert await cursor.to_list() == [{"n": 1}, {"n": 2}]
    assert [operation.exhaust for operation in context.executor.operations] == [False, True, True]
    assert context.ahead == []
    assert not cursor._is_tailable
