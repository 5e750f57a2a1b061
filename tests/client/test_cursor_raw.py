"""Raw batches, and documents in lists: ``find_raw_batches``, ``aggregate_raw_batches``, ``cursor.batches()``."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson.datetime_ms import DatetimeMS

from tests.client.fakes import FakeContext, batch, encoded, numbers
from wiredrv import CursorType, RawBatchCommandCursor, RawBatchCursor
from wiredrv.errors import InvalidOperation, OperationFailure, UnreadableReply
from wiredrv.operations.base import ENCODED_IF_UNREADABLE

pytestmark = pytest.mark.anyio

FAR = {"_id": 7, "x": DatetimeMS(10**15)}


def orders(context: FakeContext) -> Any:
    return context.database.orders


def raw(*documents: Any) -> bytes:
    return b"".join(map(bson.encode, documents))


def three() -> FakeContext:
    """A large first batch, an empty one, and the last."""
    return FakeContext([encoded(*numbers(1, 3), id=9), encoded(id=9), encoded({"n": 4})])


# --- raw batches ---


async def test_each_item_is_a_batch_that_is_not_empty() -> None:
    expected = [raw(*numbers(1, 3)), raw({"n": 4})]
    assert [item async for item in orders(three()).find_raw_batches()] == expected
    assert await orders(three()).find_raw_batches().to_list() == expected
    assert await (await orders(three()).aggregate_raw_batches([])).to_list() == expected
    cursor = orders(three()).find_raw_batches()
    assert (await cursor.next(), cursor.retrieved) == (expected[0], 3)
    assert [await cursor.try_next() for _ in range(3)] == [None, expected[1], None]
    assert not cursor.alive


async def test_no_document_is_decoded() -> None:
    context = FakeContext([encoded(FAR, {"n": 1})])
    assert await orders(context).find_raw_batches().to_list() == [raw(FAR, {"n": 1})]
    assert [operation.encoded_from for operation in context.executor.operations] == [0]


async def test_they_are_configured_and_sent_as_other_cursors() -> None:
    context = FakeContext([encoded(*numbers(1, 2), id=9), encoded({"n": 3}, id=9), encoded(), encoded()])
    cursor = orders(context).find_raw_batches({"a": 1}, {"n": 1}, batch_size=2).sort("n").limit(3)
    assert isinstance(cursor, RawBatchCursor)
    assert await cursor.clone().to_list() == [raw(*numbers(1, 2)), raw({"n": 3})]
    sent = {"find": "orders", "filter": {"a": 1}, "projection": {"n": 1}, "sort": {"n": 1}}
    assert context.executor.commands[0] == {**sent, "limit": 3, "batchSize": 2}
    assert context.executor.names == ["find", "getMore", "killCursors"]
    assert type(cursor.clone()) is RawBatchCursor
    found = orders(context).aggregate_raw_batches([{"$match": {}}], batch_size=2)
    assert isinstance(found, RawBatchCommandCursor)
    assert await found.to_list() == []


async def test_a_raw_cursor_gives_batches_already() -> None:
    with pytest.raises(InvalidOperation, match="iterate over the cursor itself"):
        orders(three()).find_raw_batches().batches()


# --- batches ---


async def test_lists_of_documents() -> None:
    context = three()
    assert [found async for found in orders(context).find().batches()] == [numbers(1, 3), numbers(4, 4)]
    assert [operation.encoded_from for operation in context.executor.operations] == [ENCODED_IF_UNREADABLE] * 3
    plain = FakeContext([batch(*numbers(1, 2), id=9), batch(id=9), batch({"n": 3})])
    assert [found async for found in (await orders(plain).aggregate([])).batches()] == [numbers(1, 2), numbers(3, 3)]


async def test_what_was_read_before_is_left_out() -> None:
    cursor = orders(FakeContext([encoded(*numbers(1, 130), id=9), batch({"n": 131})])).find()
    assert await cursor.next() == {"n": 1}
    assert [len(found) async for found in cursor.batches()] == [99, 30, 1]


async def test_documents_before_one_that_cannot_be_decoded() -> None:
    context = FakeContext([encoded(*numbers(1, 2), FAR, {"n": 4}, id=9, lease="L")])
    batches = orders(context).find().batches()
    assert await batches.__anext__() == numbers(1, 2)
    with pytest.raises(UnreadableReply, match="_id 7"):
        await batches.__anext__()
    assert context.executor.names == ["find", "killCursors"]
    assert context.executor.released == ["L"]
    with pytest.raises(StopAsyncIteration):
        await batches.__anext__()


async def test_a_tailable_cursor_ends_the_loop_at_an_empty_batch() -> None:
    context = FakeContext([batch({"n": 1}, id=9), batch(id=9), batch({"n": 2}, id=9), batch(id=9)])
    cursor = orders(context).find(cursor_type=CursorType.TAILABLE)
    assert [found async for found in cursor.batches()] == [numbers(1, 1)]
    assert cursor.alive
    assert [found async for found in cursor.batches()] == [numbers(2, 2)]


async def test_errors_are_those_of_the_cursor() -> None:
    context = FakeContext([batch({"n": 1}, id=9, lease="L"), OperationFailure("no", 2)])
    cursor = orders(context).find()
    with pytest.raises(OperationFailure):
        [found async for found in cursor.batches()]
    assert not cursor.alive
    assert context.executor.released == ["L"]
