"""Reading ahead, over a fake executor: when a cursor may, and what becomes of the batch that is ahead."""

from __future__ import annotations

import gc
from itertools import product
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from tests.client.fakes import ADDRESS, Block, FakeContext, FakeSessionState, batch, encoded, numbers
from wiredrv import CursorType
from wiredrv.client.cursors.prefetch import PREFETCH_BATCH_SIZE, may_read_ahead
from wiredrv.errors import ConfigurationError, CursorNotFound, InvalidOperation, OperationFailure
from wiredrv.operations.cursors import GetMore
from wiredrv.types import ServerCursor

pytestmark = pytest.mark.anyio

_REASONS = ("in_session", "tailable", "endless", "pinned", "contended")


def test_each_reason_is_enough_not_to_read_ahead() -> None:
    for values in product((False, True), repeat=len(_REASONS)):
        assert may_read_ahead(**dict(zip(_REASONS, values, strict=True))) is not any(values)


class Lease(SimpleNamespace):
    """An implicit server session."""

    def __init__(self) -> None:
        super().__init__(settling=0)


async def finish(context: FakeContext) -> None:
    """Run the tasks that were started, to their ends."""
    for ahead in context.ahead:
        await ahead.run()
        ahead.finished()
    context.ahead.clear()


def find(context: FakeContext, **options: Any) -> Any:
    return context.database.orders.find(prefetch=True, **options)


async def test_the_next_batch_is_fetched_before_it_is_asked_for() -> None:
    lease = Lease()
    context = FakeContext([batch(*numbers(1, 2), id=9, lease=lease), encoded(*numbers(3, 4), id=9), batch({"n": 5})])
    cursor = find(context)
    assert await cursor.next() == {"n": 1}
    assert (context.executor.names, len(context.ahead), lease.settling) == (["find"], 1, 1)
    await finish(context)
    assert (context.executor.names, lease.settling) == (["find", "getMore"], 0)
    assert await cursor.to_list(2) == numbers(2, 3)
    # One batch ahead, and no more.
    assert (len(context.ahead), cursor.retrieved) == (1, 4)
    await finish(context)
    assert await cursor.to_list() == numbers(4, 5)
    assert not cursor.alive
    assert context.ahead == []
    assert context.executor.states == [None, None, None]


@pytest.mark.parametrize(
    ("options", "first", "later"),
    [
        ({}, PREFETCH_BATCH_SIZE, PREFETCH_BATCH_SIZE),
        ({"batch_size": 7}, 7, 7),
        ({"batch_size": 0}, None, None),
        ({"limit": 300}, PREFETCH_BATCH_SIZE, PREFETCH_BATCH_SIZE),
        ({"limit": 3}, PREFETCH_BATCH_SIZE, 1),
    ],
)
async def test_batches_are_small_unless_a_size_is_given(options: dict[str, Any], first: int, later: int) -> None:
    context = FakeContext([batch(*numbers(1, 2), id=9, lease=Lease()), batch()])
    cursor = find(context, **options)
    await cursor.next()
    await finish(context)
    found, get_more = context.executor.commands
    assert (found.get("batchSize"), get_more.get("batchSize")) == (first, later)


async def test_aggregates_read_ahead_too() -> None:
    context = FakeContext([batch({"n": 1}, id=9, lease=Lease()), batch({"n": 2})])
    cursor = await context.database.orders.aggregate([], prefetch=True)
    await finish(context)
    assert await cursor.to_list() == numbers(1, 2)
    assert [command.get("batchSize") for command in context.executor.commands] == [None, PREFETCH_BATCH_SIZE]
    assert context.executor.commands[0]["cursor"] == {"batchSize": PREFETCH_BATCH_SIZE}


async def _never(context: FakeContext, **options: Any) -> None:
    first = options.pop("first", batch({"n": 1}, id=9, lease=Lease()))
    context.executor.script = [first, batch()]
    cursor = find(context, **options)
    await cursor.next()
    assert context.ahead == []
    assert await cursor.to_list() == []


async def test_what_does_not_read_ahead() -> None:
    context = FakeContext()
    await _never(context, session=FakeSessionState())
    context.bound = FakeSessionState()
    await _never(context)
    context.bound = None
    await _never(context, cursor_type=CursorType.TAILABLE)
    await _never(context, first=batch({"n": 1}, id=9, lease=Lease(), postBatchResumeToken={"_data": "1"}))
    context.executor.contended = True
    await _never(context)
    context.executor.contended = False
    context.ended = True
    context.executor.script = [batch({"n": 1}, id=9, lease=(lease := Lease())), batch()]
    assert await find(context).to_list() == [{"n": 1}]
    assert lease.settling == 0


async def test_a_cursor_with_its_limit_asks_for_nothing() -> None:
    context = FakeContext([batch(*numbers(1, 2), id=9, lease=Lease())])
    assert await find(context, limit=2).to_list() == numbers(1, 2)
    assert context.ahead == []
    assert context.executor.names == ["find", "killCursors"]


async def test_an_error_is_raised_where_its_batch_is_asked_for() -> None:
    lease = Lease()
    context = FakeContext([batch(*numbers(1, 2), id=9, lease=lease), OperationFailure("no", 2)])
    cursor = find(context)
    assert await cursor.next() == {"n": 1}
    await finish(context)
    assert cursor.alive
    assert await cursor.next() == {"n": 2}
    with pytest.raises(OperationFailure, match="no"):
        await cursor.next()
    assert not cursor.alive
    assert context.executor.names == ["find", "getMore", "killCursors"]
    assert context.executor.released == [lease]


async def test_a_cursor_that_the_server_lost() -> None:
    context = FakeContext([batch({"n": 1}, id=9, lease=Lease()), CursorNotFound("gone", 43)])
    cursor = find(context)
    await cursor.next()
    await finish(context)
    with pytest.raises(CursorNotFound):
        await cursor.next()
    assert context.executor.names == ["find", "getMore"]
    assert len(context.executor.released) == 1


async def test_closing_waits_for_the_reply_and_kills() -> None:
    lease = Lease()
    block = Block()
    context = FakeContext([batch({"n": 1}, id=9, lease=lease), block, batch({"n": 2}, id=9)])
    cursor = find(context)
    await cursor.next()
    async with anyio.create_task_group() as group:
        group.start_soon(finish, context)
        await block.reached.wait()
        group.start_soon(cursor.close)
        await anyio.wait_all_tasks_blocked()
        assert context.executor.released == []
        block.free.set()
    assert context.executor.names == ["find", "getMore", "killCursors"]
    assert context.executor.released == [lease]


async def test_closing_after_the_last_reply_leaves_nothing_to_do() -> None:
    context = FakeContext([batch({"n": 1}, id=9, lease=Lease()), batch({"n": 2})])
    async with find(context) as cursor:
        await cursor.next()
        await finish(context)
    assert context.executor.names == ["find", "getMore"]
    # By the executor, when it saw the 0.
    assert context.executor.released == []


async def test_closing_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kill makes the server answer the getMore; if that does not help, it is cancelled."""
    monkeypatch.setattr("wiredrv.client.cursors.prefetch.END_SECONDS", 0.02)
    lease = Lease()
    block = Block()
    context = FakeContext([batch({"n": 1}, id=9, lease=lease), block])
    cursor = find(context)
    await cursor.next()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(finish, context)
            await block.reached.wait()
            await cursor.close()
    assert context.executor.names == ["find", "getMore", "killCursors"]
    assert context.executor.released == [lease]
    assert lease.settling == 0


async def test_a_dropped_cursor_is_left_to_the_background() -> None:
    lease = Lease()
    context = FakeContext([batch({"n": 1}, id=9, lease=lease), batch({"n": 2}, id=9)])
    cursor = find(context)
    await cursor.next()
    ahead = context.ahead[0]
    del cursor
    gc.collect()
    assert context.orphans == [ServerCursor(ADDRESS, 9, "shop.orders", lease)]
    assert context.orphans_ahead == [ahead]


async def test_rewind_reads_from_the_beginning() -> None:
    context = FakeContext([batch({"n": 1}, id=9, lease=Lease()), batch({"n": 2}), batch({"n": 1})])
    cursor = find(context)
    await cursor.next()
    await finish(context)
    cursor.rewind()
    assert await cursor.to_list() == [{"n": 1}]
    assert len(context.orphans) == 1


async def test_a_getmore_that_the_client_cancelled_is_sent_again() -> None:
    """Closing the client cancels it; what the cursor says then comes from its own command."""
    context = FakeContext([batch({"n": 1}, id=9, lease=Lease()), InvalidOperation("closed")])
    cursor = find(context)
    await cursor.next()
    context.ahead[0].cancel()
    await finish(context)
    assert context.executor.names == ["find"]
    with pytest.raises(InvalidOperation, match="closed"):
        await cursor.next()


async def test_it_waits_in_its_own_event_loop_and_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    context = FakeContext([batch({"n": 1}, id=9, lease=Lease()), batch({"n": 2})])
    cursor = find(context)
    await cursor.next()
    monkeypatch.setattr("os.getpid", lambda: -1)
    assert await cursor.next() == {"n": 2}
    assert isinstance(context.executor.operations[1], GetMore)


@pytest.mark.parametrize("client", [False, True])
@pytest.mark.parametrize("call", [None, False, True])
async def test_a_call_wins_over_the_clients_option(client: bool, call: bool | None) -> None:
    context = FakeContext([batch({"n": 1}, id=9, lease=Lease()), batch({"n": 1}, id=9, lease=Lease())])
    context.prefetch = client
    reads_ahead = client if call is None else call
    for cursor in (
        context.database.orders.find(prefetch=call),
        context.database.orders.aggregate([], prefetch=call),
    ):
        await cursor.next()
        assert len(context.ahead) == reads_ahead
        context.ahead.clear()


async def test_prefetch_is_true_or_false() -> None:
    value: Any
    for value in (1, "yes"):
        with pytest.raises(ConfigurationError, match="prefetch"):
            FakeContext().database.orders.find(prefetch=value)
        with pytest.raises(ConfigurationError, match="prefetch"):
            FakeContext().database.orders.aggregate([], prefetch=value)
    assert FakeContext().database.orders.find(prefetch=None).clone()._prefetch is False
    assert find(FakeContext()).clone()._prefetch is True
