"""Cursors over a fake executor: what they send, what they return, what they leave behind.

Find-getMore-killCursors and sessions specifications.
"""

from __future__ import annotations

import copy
import gc
import warnings
from typing import Any

import anyio
import pytest
from bson.code import Code

from tests.client.fakes import ADDRESS, Block, FakeContext, FakeSessionState, batch, numbers
from wiredrv.client.arguments import FindOptions
from wiredrv.client.constants import CursorType
from wiredrv.client.cursors.cursor import Cursor
from wiredrv.errors import (
    AutoReconnect,
    ConfigurationError,
    CursorNotFound,
    InvalidOperation,
    OperationFailure,
    PoolClearedError,
    ServerSelectionTimeoutError,
    UnreadableReply,
    WaitQueueTimeoutError,
)
from wiredrv.operations.cursors import GetMore, KillCursors
from wiredrv.types import ServerCursor

pytestmark = pytest.mark.anyio


def find(context: FakeContext, *arguments: Any, **options: Any) -> Cursor:
    return context.database.orders.find(*arguments, **options)


async def collect(cursor: Any) -> list[Any]:
    return [document["n"] async for document in cursor]


# --- when commands are sent ---


async def test_nothing_is_sent_before_a_document_is_asked_for() -> None:
    context = FakeContext([batch(*numbers(1, 2))])
    cursor = find(context).sort("n").limit(5)
    assert context.executor.operations == []
    assert cursor.alive
    assert cursor.cursor_id is None
    assert await collect(cursor) == [1, 2]
    assert context.executor.names == ["find"]
    assert not cursor.alive


async def test_batches_follow_one_another() -> None:
    context = FakeContext([batch(*numbers(1, 2), id=9), batch(id=9), batch(*numbers(3, 4), id=9), batch({"n": 5})])
    assert await collect(find(context)) == [1, 2, 3, 4, 5]
    assert context.executor.names == ["find", "getMore", "getMore", "getMore"]


async def test_get_more_goes_to_the_server_and_collection_of_the_reply_with_lease_and_comment() -> None:
    context = FakeContext([batch({"n": 1}, id=9, lease="L", namespace="shop.a.b"), batch()])
    await collect(find(context, comment="why", batch_size=1))
    get_more = context.executor.operations[1]
    assert isinstance(get_more, GetMore)
    assert (get_more.cursor_id, get_more.collection, get_more.server) == (9, "a.b", ADDRESS)
    assert (get_more.lease, get_more.comment, get_more.batch_size) == ("L", "why", 1)


async def test_session_of_the_first_command_is_that_of_all() -> None:
    context = FakeContext([batch({"n": 1}, id=9), batch()])
    bound = context.bound = FakeSessionState()
    cursor = find(context)
    await cursor.next()
    context.bound = None
    assert await collect(cursor) == []
    assert context.executor.states == [bound, bound]


# --- limit, batchSize, singleBatch ---


@pytest.mark.parametrize(
    "options, expected",
    [
        ({}, {}),
        ({"limit": 0, "batch_size": 0, "skip": 0}, {}),
        ({"limit": 4}, {"limit": 4}),
        ({"limit": 4, "batch_size": 3}, {"limit": 4, "batchSize": 3}),
        ({"limit": 4, "batch_size": 4}, {"limit": 4, "batchSize": 5}),
        ({"limit": 4, "batch_size": 9}, {"limit": 4, "batchSize": 9}),
        ({"limit": -4}, {"limit": 4, "batchSize": 4, "singleBatch": True}),
        ({"batch_size": -3}, {"batchSize": 3, "singleBatch": True}),
        ({"limit": 4, "batch_size": -3}, {"limit": 4, "batchSize": 4, "singleBatch": True}),
        ({"skip": 2}, {"skip": 2}),
    ],
)
async def test_sizes_of_the_find(options: dict[str, Any], expected: dict[str, Any]) -> None:
    # "Mapping OP_QUERY behavior to the find command limit and batchSize fields"; CRUD, "Setting limit and batchSize".
    context = FakeContext([batch()])
    await find(context, **options).to_list()
    assert context.executor.commands == [{"find": "orders", "filter": {}, **expected}]


async def test_get_more_asks_for_no_more_than_the_limit_leaves() -> None:
    context = FakeContext([batch(*numbers(1, 3), id=9), batch(*numbers(4, 6), id=9), batch({"n": 7}, id=9)])
    assert await collect(find(context, limit=7, batch_size=3)) == [1, 2, 3, 4, 5, 6, 7]
    sizes = [operation.batch_size for operation in context.executor.operations if isinstance(operation, GetMore)]
    assert sizes == [3, 1]


async def test_cursor_that_gave_its_limit_is_killed_and_its_documents_are_handed_out() -> None:
    # "Starting with 5.0 [...] drivers MUST ensure the cursor is closed on the server".
    context = FakeContext([batch(*numbers(1, 2), id=9, lease="L")])
    assert await collect(find(context, limit=2)) == [1, 2]
    assert context.executor.names == ["find", "killCursors"]
    assert context.executor.released == ["L"]


# --- the command's fields ---


async def test_options_as_arguments_and_as_methods_are_the_same() -> None:
    context = FakeContext([batch(), batch()])
    options: dict[str, Any] = {
        "sort": [("a", -1)],
        "hint": "a_1",
        "max_time_ms": 50,
        "collation": {"locale": "en"},
        "min": {"a": 1},
        "max": {"a": 9},
        "allow_disk_use": True,
        "comment": "c",
        "skip": 3,
        "limit": 2,
        "batch_size": 7,
    }
    await find(context, {"a": 1}, **options).to_list()
    chained = find(context, {"a": 1})
    for name, value in options.items():
        getattr(chained, name)(value)
    await chained.to_list()
    assert context.executor.commands[0] == context.executor.commands[1]
    assert context.executor.commands[0] == {
        "find": "orders",
        "filter": {"a": 1},
        "sort": {"a": -1},
        "hint": "a_1",
        "maxTimeMS": 50,
        "collation": {"locale": "en"},
        "min": {"a": 1},
        "max": {"a": 9},
        "allowDiskUse": True,
        "comment": "c",
        "skip": 3,
        "limit": 2,
        "batchSize": 7,
    }


@pytest.mark.parametrize("name", sorted(FindOptions.__annotations__.keys() - {"cursor_type"}))
def test_every_option_that_a_type_checker_accepts_is_accepted(name: str) -> None:
    find(FakeContext([]), **{name: None})


async def test_flags_that_are_false_are_not_sent() -> None:
    context = FakeContext([batch(), batch()])
    flags = {"no_cursor_timeout": False, "allow_partial_results": False, "oplog_replay": False}
    await find(context, **flags).to_list()
    await find(context, **dict.fromkeys(flags, True)).to_list()
    assert context.executor.commands == [
        {"find": "orders", "filter": {}},
        {"find": "orders", "filter": {}, "noCursorTimeout": True, "allowPartialResults": True, "oplogReplay": True},
    ]


async def test_where_keeps_the_filter_that_it_was_given() -> None:
    context = FakeContext([batch()])
    given = {"a": 1}
    await find(context, given).where("this.b > 1").to_list()
    assert context.executor.commands[0]["filter"] == {"a": 1, "$where": Code("this.b > 1")}
    assert given == {"a": 1}


async def test_settings_are_refused_once_the_first_document_was_asked_for() -> None:
    context = FakeContext([batch(*numbers(1, 2))])
    cursor = find(context)
    await cursor.next()
    for name, value in (("sort", "a"), ("limit", 1), ("hint", "a"), ("skip", 1), ("where", "x"), ("max_time_ms", 5)):
        with pytest.raises(InvalidOperation, match="clone"):
            getattr(cursor, name)(value)


@pytest.mark.parametrize(
    "options",
    [
        {"limit": "1"},
        {"batch_size": 1.5},
        {"sort": 5},
        {"cursor_type": 64, "limit": 1},
        {"cursor_type": 5},
        {"cursor_type": None},
        {"typo": 1},
    ],
)
def test_bad_options_are_refused_when_the_cursor_is_made(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        find(FakeContext(), **options)


# --- tailable cursors ---


async def test_tailable_cursor_ends_an_iteration_at_an_empty_batch_and_stays_alive() -> None:
    context = FakeContext([batch({"n": 1}, id=9), batch(id=9), batch({"n": 2}, id=9), batch()])
    cursor = find(context, cursor_type=CursorType.TAILABLE)
    assert (await collect(cursor), cursor.alive) == ([1], True)
    assert (await collect(cursor), cursor.alive) == ([2], False)
    assert context.executor.commands[0]["tailable"] is True
    assert "awaitData" not in context.executor.commands[0]


@pytest.mark.parametrize("code", [43, 136, 175, 237])
async def test_tailable_cursor_that_the_server_has_closed_ends(code: int) -> None:
    # As in PyMongo: CursorNotFound, CappedPositionLost, QueryPlanKilled, CursorKilled.
    for take in (collect, Cursor.to_list, Cursor.try_next):
        gone = OperationFailure("gone", code)
        context = FakeContext([batch({"n": 1}, id=9, lease="L"), gone])
        cursor = find(context, cursor_type=CursorType.TAILABLE)
        assert await cursor.next() == {"n": 1}
        assert not await take(cursor)
        assert not cursor.alive
        assert context.executor.names == ["find", "getMore"], "there is nothing to kill"
        assert context.executor.released == ["L"]


async def test_tailable_cursor_of_a_command_ends_too() -> None:
    context = FakeContext([batch({"n": 1}, id=9), OperationFailure("overtaken", 136)])
    cursor = context.database.cursor_command({"find": "capped", "tailable": True}, cursor_type=CursorType.TAILABLE)
    assert await cursor.to_list() == [{"n": 1}]
    assert not cursor.alive


@pytest.mark.parametrize(
    "options, code", [({}, 136), ({}, 43), ({"cursor_type": CursorType.TAILABLE}, 50)], ids=["lost", "gone", "too slow"]
)
async def test_other_failures_of_a_get_more_are_raised(options: dict[str, Any], code: int) -> None:
    context = FakeContext([batch({"n": 1}, id=9), OperationFailure("no", code)])
    cursor = find(context, **options)
    await cursor.next()
    with pytest.raises(OperationFailure):
        await cursor.next()
    assert not cursor.alive


@pytest.mark.parametrize("code", [43, 136])
async def test_tailable_cursor_whose_find_fails_raises(code: int) -> None:
    context = FakeContext([OperationFailure("no", code)])
    with pytest.raises(OperationFailure):
        await find(context, cursor_type=CursorType.TAILABLE).to_list()


TOKEN: dict[str, Any] = {"postBatchResumeToken": {"_data": "1"}}


async def test_list_of_a_change_stream_is_what_is_there() -> None:
    replies = [batch(id=9, **TOKEN), batch({"n": 1}, id=9), batch({"n": 2}, id=9), batch(id=9), batch({"n": 3}, id=9)]
    context = FakeContext([*replies, batch(id=9)])
    cursor = context.database.orders.aggregate([{"$changeStream": {}}])
    assert await cursor.to_list() == numbers(1, 2), "the first batch may be empty although there are events"
    assert cursor.alive
    assert await cursor.to_list() == numbers(3, 3)
    assert cursor.alive


async def test_iterating_a_change_stream_waits_for_the_next_event() -> None:
    context = FakeContext([batch(id=9, **TOKEN), batch(id=9), batch(id=9), batch({"n": 1}, id=9)])
    cursor = await context.database.orders.aggregate([{"$changeStream": {}}])
    assert await anext(cursor) == {"n": 1}


async def test_change_stream_that_the_server_lost_raises() -> None:
    # The application has to know, in order to resume.
    context = FakeContext([batch(id=9, **TOKEN), CursorNotFound("gone", 43)])
    with pytest.raises(CursorNotFound):
        await context.database.orders.aggregate([{"$changeStream": {}}]).to_list()


async def test_list_of_a_result_with_an_empty_batch_is_whole() -> None:
    context = FakeContext([batch(id=9), batch(id=9), batch({"n": 1})])
    assert await context.database.orders.aggregate([], batch_size=0).to_list() == [{"n": 1}]


@pytest.mark.parametrize(
    "kind, sent", [(CursorType.NON_TAILABLE, None), (CursorType.TAILABLE, None), (CursorType.TAILABLE_AWAIT, 250)]
)
async def test_max_await_time_is_only_for_cursors_that_await(kind: int, sent: int | None) -> None:
    # "Semantics of maxTimeMS for a Driver".
    context = FakeContext([batch({"n": 1}, id=9), batch()])
    await find(context, cursor_type=kind, max_await_time_ms=250, max_time_ms=70).to_list()
    assert context.executor.commands[0]["maxTimeMS"] == 70
    assert context.executor.commands[1].get("maxTimeMS") == sent


# --- other ways of taking documents ---


async def test_try_next_sends_at_most_one_command() -> None:
    context = FakeContext([batch(id=9), batch(id=9), batch({"n": 1})])
    cursor = find(context)
    assert await cursor.try_next() is None
    assert await cursor.try_next() is None
    assert await cursor.try_next() == {"n": 1}
    assert await cursor.try_next() is None
    assert context.executor.names == ["find", "getMore", "getMore"]


async def test_to_list_in_portions() -> None:
    context = FakeContext([batch(*numbers(1, 3), id=9), batch(*numbers(4, 5))])
    cursor = find(context)
    assert await cursor.to_list(2) == numbers(1, 2)
    assert await cursor.to_list(2) == numbers(3, 4)
    assert await cursor.to_list() == [{"n": 5}]
    assert await cursor.to_list() == []


@pytest.mark.parametrize("length", [0, -1, 1.0, True, "1"])
async def test_to_list_of_no_length(length: Any) -> None:
    with pytest.raises(ConfigurationError, match="length"):
        await find(FakeContext()).to_list(length)


async def test_next_after_the_last_document() -> None:
    cursor = find(FakeContext([batch()]))
    with pytest.raises(StopAsyncIteration):
        await anext(cursor)


async def test_iteration_lets_others_run_and_can_be_cancelled_within_a_batch() -> None:
    context = FakeContext([batch(*numbers(1, 1000))])
    cursor = find(context)
    seen = 0
    with anyio.CancelScope() as scope:
        async for _ in cursor:
            seen += 1
            if seen == 150:
                scope.cancel()
    assert seen == 200
    # The cancellation lost no document.
    assert await collect(cursor) == list(range(201, 1001))


async def test_clone_and_rewind() -> None:
    context = FakeContext([batch(*numbers(1, 2), id=9, lease="L"), batch({"n": 1}), batch({"n": 1})])
    cursor = find(context, {"a": 1}, limit=3)
    await cursor.next()
    clone = cursor.clone()
    cursor.rewind()
    assert context.orphans == [ServerCursor(ADDRESS, 9, "shop.orders", "L")]
    assert await collect(cursor) == [1]
    assert await collect(clone) == [1]
    assert [command["find"] for command in context.executor.commands] == ["orders"] * 3
    assert context.executor.commands[0] == context.executor.commands[1] == context.executor.commands[2]


async def test_copies_are_new_cursors_with_the_same_settings() -> None:
    # As in PyMongo: a copy has the settings and the explicit session, but none of the open state.
    for make in (copy.copy, copy.deepcopy, Cursor.clone):
        context = FakeContext([batch({"n": 1}, id=9, lease="L"), batch({"n": 1}), batch({"n": 2})])
        session: Any = FakeSessionState()
        given = {"a": {"$in": [1]}}
        cursor = find(context, given, session=session, hint={"a": 1}, limit=5, comment={"why": "because"})
        await cursor.next()
        made = make(cursor)
        assert (made.cursor_id, made.session, made.collection) == (None, session, cursor.collection)
        assert await collect(made) == [1]
        assert context.executor.commands[0] == context.executor.commands[1]
        assert await collect(cursor) == [2], "the copied cursor goes on"
        assert context.executor.released == []


async def test_only_a_deep_copy_copies_the_settings_values() -> None:
    context = FakeContext([batch()] * 3)
    given = {"a": {"$in": [1]}}
    cursor = find(context, given, comment=(comment := ["why"]))
    shallow, deep = copy.copy(cursor), copy.deepcopy(cursor)
    given["a"]["$in"].append(2)
    comment.append("not")
    for one in (cursor, shallow, deep):
        await one.to_list()
    sent = [(command["filter"]["a"]["$in"], command["comment"]) for command in context.executor.commands]
    assert sent == [([1, 2], ["why", "not"]), ([1, 2], ["why", "not"]), ([1], ["why"])]


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy])
def test_cursors_of_commands_cannot_be_copied(make: Any) -> None:
    with pytest.raises(TypeError, match="again"):
        make(FakeContext().database.orders.aggregate([]))


# --- closing ---


async def test_close_kills_the_servers_cursor_once_and_gives_the_lease_back_once() -> None:
    context = FakeContext([batch(*numbers(1, 2), id=9, lease="L")])
    async with find(context) as cursor:
        await cursor.next()
    await cursor.close()
    kill = context.executor.operations[1]
    assert isinstance(kill, KillCursors)
    assert (kill.cursor_ids, kill.collection, kill.server, kill.lease) == ((9,), "orders", ADDRESS, "L")
    assert context.executor.names == ["find", "killCursors"]
    assert context.executor.released == ["L"]
    assert not cursor.alive
    with pytest.raises(StopAsyncIteration):
        await cursor.next()


async def test_lease_of_a_cursor_read_to_its_end_is_the_executors_to_give_back() -> None:
    context = FakeContext([batch({"n": 1}, id=9, lease="L"), batch()])
    cursor = find(context)
    await collect(cursor)
    await cursor.close()
    assert context.executor.released == []
    assert context.executor.names == ["find", "getMore"]


async def test_close_before_the_first_command_sends_nothing() -> None:
    context = FakeContext()
    cursor = find(context)
    await cursor.close()
    assert await cursor.to_list() == []
    assert context.executor.operations == []


async def test_close_hides_that_the_server_cannot_be_reached() -> None:
    context = FakeContext([batch({"n": 1}, id=9, lease="L")])
    context.executor.kill_error = AutoReconnect("gone")
    cursor = find(context)
    await cursor.next()
    await cursor.close()
    assert context.executor.released == ["L"]


@pytest.mark.parametrize("error", [PoolClearedError("paused"), WaitQueueTimeoutError("busy")], ids=["paused", "busy"])
async def test_close_while_the_server_gives_no_connection_kills_the_cursor_in_the_background(error: Exception) -> None:
    context = FakeContext([batch({"n": 1}, id=9, lease="L")])
    context.executor.kill_error = error
    cursor = find(context)
    await cursor.next()
    await cursor.close()
    assert context.orphans == [ServerCursor(ADDRESS, 9, "shop.orders")]
    assert context.executor.released == ["L"]


async def test_close_while_its_session_is_busy_kills_the_cursor_in_the_background() -> None:
    context = FakeContext([batch({"n": 1}, id=9)])
    context.bound = FakeSessionState()
    context.executor.kill_error = InvalidOperation("a session carries one operation at a time")
    cursor = find(context)
    await cursor.next()
    await cursor.close()
    assert context.orphans == [ServerCursor(ADDRESS, 9, "shop.orders")]


async def test_close_after_its_session_ended_goes_without_it() -> None:
    context = FakeContext([batch({"n": 1}, id=9)])
    context.bound = FakeSessionState()
    cursor = find(context)
    await cursor.next()
    context.bound.ended = True
    await cursor.close()
    assert context.executor.names == ["find", "killCursors"]
    assert context.executor.states[1] is None


async def test_cursor_that_nobody_closed_is_handed_to_the_background() -> None:
    context = FakeContext([batch({"n": 1}, id=9, lease="L")])
    cursor = find(context)
    await cursor.next()
    del cursor
    gc.collect()
    assert context.orphans == [ServerCursor(ADDRESS, 9, "shop.orders", "L")]
    assert context.executor.released == []


async def test_closed_and_unsent_cursors_are_collected_quietly() -> None:
    context = FakeContext([batch({"n": 1}, id=9)])
    cursor = find(context)
    await cursor.next()
    await cursor.close()
    other = find(context)
    del cursor, other
    gc.collect()
    assert context.orphans == []


# --- failures ---


async def test_first_command_that_fails_leaves_a_dead_cursor() -> None:
    context = FakeContext([OperationFailure("no", 2)])
    cursor = find(context)
    with pytest.raises(OperationFailure):
        await cursor.next()
    assert not cursor.alive
    assert context.executor.names == ["find"]


@pytest.mark.parametrize(
    "error, names, orphaned",
    [
        (CursorNotFound("gone", 43), ["find", "getMore"], False),
        (OperationFailure("killed", 237), ["find", "getMore"], False),
        (OperationFailure("too slow", 50), ["find", "getMore", "killCursors"], False),
        (AutoReconnect("broken"), ["find", "getMore"], False),
        (WaitQueueTimeoutError("busy"), ["find", "getMore"], True),
        (PoolClearedError("paused"), ["find", "getMore"], True),
        (ServerSelectionTimeoutError("did not come back", None), ["find", "getMore"], True),
    ],
    ids=lambda value: f"{type(value).__name__}" if isinstance(value, Exception) else "",
)
async def test_get_more_that_fails_closes_the_cursor_as_far_as_needed(
    error: Exception, names: list[str], orphaned: bool
) -> None:
    context = FakeContext([batch({"n": 1}, id=9, lease="L"), error])
    cursor = find(context)
    await cursor.next()
    with pytest.raises(type(error)):
        await cursor.next()
    assert not cursor.alive
    assert context.executor.names == names
    # The lease is released or passed on, and only once.
    assert context.executor.released == ([] if orphaned else ["L"])
    assert [orphan.lease for orphan in context.orphans] == (["L"] if orphaned else [])


async def test_what_is_refused_before_it_is_sent_leaves_the_cursor_as_it_was() -> None:
    context = FakeContext([batch({"n": 1}, id=9, lease="L"), InvalidOperation("busy"), batch({"n": 2})])
    cursor = find(context)
    await cursor.next()
    with pytest.raises(InvalidOperation):
        await cursor.next()
    assert cursor.alive
    assert await collect(cursor) == [2]


async def test_first_command_that_was_refused_can_be_tried_again() -> None:
    context = FakeContext([InvalidOperation("busy"), batch({"n": 1})])
    cursor = find(context)
    with pytest.raises(InvalidOperation):
        await cursor.next()
    assert await collect(cursor) == [1]


# --- cancellation and concurrency ---


async def test_cancelled_get_more_closes_the_cursor_and_gives_the_lease_back_once() -> None:
    block = Block()
    context = FakeContext([batch({"n": 1}, id=9, lease="L"), block])
    cursor = find(context)
    async with anyio.create_task_group() as group:

        async def drain() -> None:
            await cursor.to_list()

        group.start_soon(drain)
        await block.reached.wait()
        group.cancel_scope.cancel()
    assert not cursor.alive
    assert context.executor.names == ["find", "getMore", "killCursors"]
    assert context.executor.released == ["L"]
    await cursor.close()
    assert context.executor.released == ["L"]


async def test_cancelled_first_command_leaves_a_dead_cursor() -> None:
    block = Block()
    context = FakeContext([block])
    cursor = find(context)
    async with anyio.create_task_group() as group:

        async def drain() -> None:
            await cursor.to_list()

        group.start_soon(drain)
        await block.reached.wait()
        group.cancel_scope.cancel()
    assert not cursor.alive
    assert context.executor.names == ["find"]


async def test_two_tasks_cannot_wait_for_the_same_cursor() -> None:
    block = Block()
    context = FakeContext([block, batch(*numbers(1, 2))])
    cursor = find(context)
    found: list[Any] = []
    async with anyio.create_task_group() as group:

        async def drain() -> None:
            found.extend(await cursor.to_list())

        group.start_soon(drain)
        await block.reached.wait()
        with pytest.raises(InvalidOperation, match="one task at a time"):
            await cursor.next()
        block.free.set()
    # The first task is not disturbed.
    assert found == numbers(1, 2)


# --- cursors of other commands: with and without await ---


async def test_awaited_cursor_is_sent_at_once_and_only_once() -> None:
    context = FakeContext([batch(*numbers(1, 2))])
    cursor = context.database.orders.aggregate([])
    assert context.executor.names == []
    assert await cursor is cursor
    assert context.executor.names == ["aggregate"]
    assert await cursor is cursor
    assert await collect(cursor) == [1, 2]
    assert context.executor.names == ["aggregate"]


async def test_cursor_iterated_without_await_is_sent_with_the_first_document() -> None:
    context = FakeContext([batch(*numbers(1, 2))])
    assert await collect(context.database.orders.aggregate([])) == [1, 2]
    assert context.executor.names == ["aggregate"]


async def test_async_with_an_awaited_cursor() -> None:
    context = FakeContext([batch({"n": 1}, id=9)])
    async with await context.database.orders.aggregate([]) as cursor:
        assert cursor.cursor_id == 9
    assert context.executor.names == ["aggregate", "killCursors"]


@pytest.mark.parametrize("name", ["list_collections", "list_indexes", "aggregate", "cursor_command"])
async def test_every_spelling_of_the_other_cursors(name: str) -> None:
    context = FakeContext([batch({"n": 1}), batch({"n": 1}), batch({"n": 1})])
    database = context.database

    def call() -> Any:
        return {
            "list_collections": lambda: database.list_collections(),
            "list_indexes": lambda: database.orders.list_indexes(),
            "aggregate": lambda: database.aggregate([{"$currentOp": {}}]),
            "cursor_command": lambda: database.cursor_command("listCollections"),
        }[name]()

    assert await collect(call()) == [1]
    assert await collect(await call()) == [1]
    assert await (await call()).to_list() == [{"n": 1}]
    assert len(context.executor.operations) == 3


async def test_batch_size_of_an_aggregate_goes_on_its_get_mores_too() -> None:
    context = FakeContext([batch({"n": 1}, id=9), batch({"n": 2}, id=9), batch()])
    cursor = context.database.orders.aggregate([], batch_size=3, comment="c", max_await_time_ms=90)
    await cursor.next()
    await cursor.next()
    cursor.batch_size(7)
    await cursor.to_list()
    assert context.executor.commands[0]["cursor"] == {"batchSize": 3}
    get_mores = context.executor.commands[1:]
    assert [command["batchSize"] for command in get_mores] == [3, 7]
    assert all(command["comment"] == "c" and command["maxTimeMS"] == 90 for command in get_mores)


async def test_comment_of_list_collections_is_not_on_its_get_mores() -> None:
    # Enumerate-collections specification, "Comment": the server passes it on.
    context = FakeContext([batch({"name": "a"}, id=9), batch({"name": "b"})])
    await context.database.list_collections(comment="why").to_list()
    assert [command.get("comment") for command in context.executor.commands] == ["why", None]


async def test_run_cursor_command_options_are_for_get_mores_alone() -> None:
    # Run-command specification, "Executing getMore Commands".
    context = FakeContext([batch({"n": 1}, id=9), batch()])
    cursor = context.database.run_cursor_command(
        {"find": "orders", "comment": "first"}, batch_size=3, max_await_time_ms=40, comment="more"
    )
    await cursor.to_list()
    first, second = context.executor.commands
    assert first == {"find": "orders", "comment": "first"}
    assert (second["batchSize"], second["maxTimeMS"], second["comment"]) == (3, 40, "more")


async def test_indexes_of_a_collection_that_does_not_exist_are_none() -> None:
    context = FakeContext([OperationFailure("ns does not exist", 26)])
    cursor = await context.database.orders.list_indexes()
    assert await cursor.to_list() == []
    assert not cursor.alive


async def test_aggregate_that_writes_and_never_ran_warns() -> None:
    context = FakeContext()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        context.database.orders.aggregate([{"$match": {}}])
        gc.collect()
        assert caught == []
        context.database.orders.aggregate([{"$out": "x"}])
        gc.collect()
        assert ["nothing was sent" in str(warning.message) for warning in caught] == [True]


class CountedPin:
    """A pinned connection; counts its holders."""

    for_stream = False

    def __init__(self) -> None:
        self.address = ADDRESS
        self.holders = 1

    def hold(self) -> CountedPin:
        self.holders += 1
        return self

    def release(self) -> None:
        self.holders -= 1


async def test_a_cursor_whose_killing_is_interrupted_gives_its_connection_back_when_it_is_closed() -> None:
    first = batch({"n": 1}, id=5)
    first.pin = pin = CountedPin()
    context = FakeContext([first, UnreadableReply("nonsense")])
    context.executor.kill_error = KeyboardInterrupt()
    cursor = context.database.orders.find()
    await cursor.next()
    with pytest.raises(KeyboardInterrupt):
        await cursor.next()
    await cursor.close()
    assert pin.holders == 0


@pytest.mark.parametrize("timeout_ms, seconds", [(None, None), (250, 0.25), (0, float("inf"))])
async def test_the_distinct_of_a_cursor_has_its_time_limit(timeout_ms: int | None, seconds: float | None) -> None:
    context = FakeContext([[]])
    await find(context, timeout_ms=timeout_ms).distinct("a")
    limit = context.executor.operations[0].target.limit
    assert (None if limit is None else limit.seconds) == seconds
