"""Cursors whose batches stay encoded until their documents are read."""

from __future__ import annotations

from typing import Any

import pytest
from bson.codec_options import CodecOptions
from bson.datetime_ms import DatetimeMS

from tests.client.fakes import FakeContext, batch, encoded, numbers
from wiredrv.client.cursors.fetching import ENCODED_FROM
from wiredrv.errors import UnreadableReply
from wiredrv.operations.base import ENCODED_IF_UNREADABLE

pytestmark = pytest.mark.anyio

FAR = {"_id": 7, "x": DatetimeMS(10**15)}


def orders(context: FakeContext) -> Any:
    return context.database.orders


def two_batches() -> FakeContext:
    return FakeContext([encoded(*numbers(1, 250), id=9, lease="L"), encoded(*numbers(251, 300))])


async def test_every_spelling_reads_the_same() -> None:
    expected = numbers(1, 300)
    assert [document async for document in orders(two_batches()).find()] == expected
    assert [document async for document in orders(two_batches()).aggregate([])] == expected
    assert await orders(two_batches()).find().to_list() == expected
    cursor = orders(two_batches()).find()
    found = [await cursor.try_next() for _ in range(301)]
    assert found == [*expected, None]


async def test_lists_of_a_length_take_no_more_than_they_need() -> None:
    context = two_batches()
    cursor = orders(context).find()
    assert await cursor.next() == {"n": 1}
    assert await cursor.to_list(120) == numbers(2, 121)
    assert await cursor.to_list(129) == numbers(122, 250)
    assert context.executor.names == ["find"]
    assert (cursor.alive, cursor.retrieved) == (True, 250)
    assert await cursor.to_list(60) == numbers(251, 300)
    assert (cursor.alive, cursor.retrieved) == (False, 300)


async def test_what_is_left_of_a_batch_keeps_the_cursor_alive() -> None:
    cursor = orders(FakeContext([encoded(*numbers(1, 201))])).find()
    for _ in range(100):
        assert cursor.alive
        await cursor.next()
    assert cursor.alive
    assert len(await cursor.to_list()) == 101
    assert not cursor.alive


async def test_empty_batches_are_passed_over() -> None:
    context = FakeContext([encoded(id=9), encoded({"n": 1}, id=9), encoded(id=9), encoded()])
    assert [document async for document in orders(context).find()] == [{"n": 1}]


async def test_which_replies_stay_encoded() -> None:
    """Large ones; all of them, if there are codec options; none that ``to_list`` takes as a whole."""
    context = FakeContext([batch({"n": 1}, id=9), batch()] * 4)
    collection = orders(context)
    [document async for document in collection.find()]
    await collection.find().to_list()
    [document async for document in collection.with_options(codec_options=CodecOptions(tz_aware=True)).find()]
    [document async for document in await collection.aggregate([])]
    found = [operation.encoded_from for operation in context.executor.operations]
    assert found == [*[ENCODED_FROM] * 2, *[ENCODED_IF_UNREADABLE] * 2, 0, 0, *[ENCODED_FROM] * 2]


async def test_a_document_that_cannot_be_decoded_comes_after_those_before_it_and_ends_the_cursor() -> None:
    context = FakeContext([encoded(*numbers(1, 130), FAR, {"n": 132}, id=9, lease="L")])
    cursor = orders(context).find()
    found: list[Any] = []

    async def read() -> None:
        async for document in cursor:
            found.append(document)

    with pytest.raises(UnreadableReply, match=r"fake:1: a document with the _id 7 of shop\.orders.*33658") as caught:
        await read()
    assert found == numbers(1, 130)
    assert caught.value.namespace == "shop.orders"
    assert isinstance(caught.value.__cause__, Exception)
    # Killed at once, and its session released, as after every error.
    assert context.executor.names == ["find", "killCursors"]
    assert context.executor.released == ["L"]
    assert not cursor.alive
    with pytest.raises(StopAsyncIteration):
        await cursor.next()
    await cursor.close()
    assert context.executor.names == ["find", "killCursors"]


async def test_a_list_with_a_document_that_cannot_be_decoded() -> None:
    context = FakeContext([encoded(*numbers(1, 3), FAR, {"n": 5}, id=9)])
    cursor = orders(context).find()
    assert await cursor.to_list(2) == numbers(1, 2)
    with pytest.raises(UnreadableReply, match="_id 7"):
        await cursor.to_list(2)
    assert not cursor.alive
    assert context.executor.names == ["find", "killCursors"]


async def test_in_the_last_batch_nothing_is_left_to_be_killed() -> None:
    context = FakeContext([encoded(FAR)])
    with pytest.raises(UnreadableReply):
        await orders(context).find().next()
    assert context.executor.names == ["find"]


async def test_close_and_rewind_drop_the_rest() -> None:
    context = FakeContext([encoded(*numbers(1, 300)), encoded(*numbers(1, 2))])
    cursor = orders(context).find()
    await cursor.next()
    cursor.rewind()
    assert await cursor.to_list() == numbers(1, 2)
    cursor = orders(FakeContext([encoded(*numbers(1, 300))])).find()
    await cursor.next()
    await cursor.close()
    assert not cursor.alive
    assert await cursor.to_list() == []
