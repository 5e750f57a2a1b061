"""Change streams over a fake executor: what they send, what they give, what they leave behind.

Change-streams specification; the decisions have tables of their own in ``test_change_stream_decisions``.
"""

from __future__ import annotations

import copy
import gc
import warnings
from collections.abc import Mapping
from typing import Any

import anyio
import bson
import pytest
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from tests.client.fakes import ADDRESS, Block, FakeContext, FakeSessionState, batch
from wiredrv import waits
from wiredrv.client.change_streams.stream import ChangeStream
from wiredrv.errors import (
    AutoReconnect,
    ConfigurationError,
    InvalidOperation,
    NotPrimaryError,
    OperationFailure,
    UnreadableReply,
)
from wiredrv.operations.change_stream import ChangeStreamGetMore
from wiredrv.session.options import TransactionOptions
from wiredrv.session.transaction import Transaction
from wiredrv.types import ServerCursor
from wiredrv.wire.envelope import TOLERANT

pytestmark = pytest.mark.anyio

RESUMABLE = OperationFailure("resumable", 6, error_labels=["ResumableChangeStreamError"], max_wire_version=17)
FATAL = OperationFailure("fatal", 280, max_wire_version=17)


def event(number: int, **fields: Any) -> dict[str, Any]:
    return {"_id": {"_data": str(number)}, "n": number, **fields}


def token(name: object) -> dict[str, Any]:
    return {"_data": str(name)}


def reply(*events: Any, id: int = 9, after: object = None, **fields: Any) -> Any:
    """A batch with its postBatchResumeToken."""
    more: dict[str, Any] = {} if after is None else {"postBatchResumeToken": token(after)}
    return batch(*events, id=id, lease="L", **more, **fields)


class Session(FakeSessionState):
    """A session, perhaps with a transaction."""

    def __init__(self, active: bool = False) -> None:
        super().__init__()
        self.transaction = Transaction()
        if active:
            self.transaction.start(TransactionOptions(), 0.0, 1)


def watch(context: FakeContext, *arguments: Any, **options: Any) -> ChangeStream[dict[str, Any]]:
    return context.database.orders.watch(*arguments, **options)


def stages(context: FakeContext) -> list[Any]:
    """The ``$changeStream`` stages that were sent."""
    return [c["pipeline"][0]["$changeStream"] for c in context.executor.commands if "aggregate" in c]


# --- opening ----------------------------------------------------------------------------------------------------------


async def test_it_is_opened_by_await_by_a_block_and_by_the_first_call() -> None:
    for spelling in range(3):
        context = FakeContext([reply(after=1), reply(event(2), after=2), reply(event(2), after=2)])
        stream = watch(context, [{"$match": {"n": 1}}], "updateLookup", batch_size=5, max_await_time_ms=40, comment="c")
        assert context.executor.commands == []
        if spelling == 0:
            assert await stream is stream
        elif spelling == 1:
            await stream.__aenter__()
        assert context.executor.names == (["aggregate"] if spelling < 2 else [])
        assert await stream.next() == event(2)
        assert context.executor.commands == [
            {
                "aggregate": "orders",
                "pipeline": [{"$changeStream": {"fullDocument": "updateLookup"}}, {"$match": {"n": 1}}],
                "cursor": {"batchSize": 5},
                "comment": "c",
            },
            {"getMore": 9, "collection": "orders", "batchSize": 5, "maxTimeMS": 40, "comment": "c"},
        ]
        await stream.close()
        assert context.executor.names == ["aggregate", "getMore", "killCursors"]
        assert context.executor.released == ["L"]
        assert not context.open_streams


async def test_it_is_sent_once_in_every_spelling() -> None:
    context = FakeContext([reply(after=1)])
    stream = watch(context)
    await stream
    await stream
    async with await stream as same, same:
        assert context.executor.names == ["aggregate"]
    assert not stream.alive


async def test_of_a_database_and_of_a_deployment() -> None:
    context = FakeContext([reply(after=1, namespace="shop.$cmd.aggregate"), reply(event(1), after=1)])
    async with context.database.watch() as stream:
        await stream.next()
    assert context.executor.commands[0] == {"aggregate": 1, "pipeline": [{"$changeStream": {}}], "cursor": {}}
    assert context.executor.commands[1]["collection"] == "$cmd.aggregate"


async def test_a_closed_stream_is_not_opened_again() -> None:
    context = FakeContext([reply(after=1)])
    async with watch(context) as stream:
        pass
    with pytest.raises(InvalidOperation, match=r"resume_after=stream\.resume_token"):
        await stream
    assert await stream.try_next() is None
    with pytest.raises(StopAsyncIteration):
        await stream.next()
    await stream.close()
    assert context.executor.names == ["aggregate", "killCursors"]


async def test_a_stream_that_was_refused_is_closed() -> None:
    context = FakeContext([OperationFailure("standalone", 40573)])
    stream = watch(context)
    with pytest.raises(OperationFailure):
        await stream
    assert not stream.alive
    assert context.executor.names == ["aggregate"]


async def test_opening_can_be_repeated_after_a_network_error() -> None:
    context = FakeContext([AutoReconnect("no"), reply(after=1)])
    stream = watch(context, resume_after=token("given"))
    with pytest.raises(AutoReconnect):
        await stream
    assert stream.alive
    await stream
    assert stages(context) == [{"resumeAfter": token("given")}] * 2
    await stream.close()


# --- events and tokens ------------------------------------------------------------------------------------------------


async def test_tokens_while_events_are_given() -> None:
    """Prose tests 1, 11, 13 and 14."""
    first, more = reply(event(1), event(2), after=3), reply(event(4), after=5)
    context = FakeContext([first, reply(after=3.5), more, reply(after=6)])
    stream: Any = watch(context)
    before = [stream.resume_token]
    await stream
    assert [*before, stream.resume_token] == [None, None]
    tokens = []
    for _ in range(4):
        found = await stream.try_next()
        tokens.append((found and found["n"], stream.resume_token))
    assert tokens == [(1, token(1)), (2, token(3)), (None, token(3.5)), (4, token(5))]
    assert await stream.try_next() is None
    assert stream.resume_token == token(6)
    await stream.close()
    assert stream.resume_token == token(6)


async def test_tokens_are_copies() -> None:
    context = FakeContext([reply(event(1), event(2), after=2)])
    stream = watch(context)
    found = await stream.next()
    found["_id"]["_data"] = "changed"
    first: Any = stream.resume_token
    assert first == token(1)
    first["_data"] = "changed"
    assert stream.resume_token == token(1)
    await stream.close()


async def test_an_event_without_a_token_is_refused_and_closes_the_stream() -> None:
    """Prose test 2; before 4.2 servers let it through."""
    bads: list[dict[str, Any]] = [{}, {"n": 1}, {"_id": 5}, {"_id": None}]
    for bad in bads:
        context = FakeContext([reply(event(1), bad, event(3), after=3)])
        stream = watch(context)
        assert await stream.next() == event(1)
        with pytest.raises(InvalidOperation, match="resume token is missing"):
            await stream.next()
        assert not stream.alive
        assert stream.resume_token == token(1)
        assert context.executor.names == ["aggregate", "killCursors"]


async def test_it_ends_after_an_invalidate_event() -> None:
    context = FakeContext([reply(after=1), reply(event(2), event(3, operationType="invalidate"), id=0, after=3)])
    stream = watch(context)
    assert [found["n"] async for found in stream] == [2, 3]
    assert not stream.alive
    assert stream.resume_token == token(3)
    assert context.executor.names == ["aggregate", "getMore"]
    assert not context.open_streams


async def test_fragments_of_a_large_event_are_events_with_tokens_of_their_own() -> None:
    """Servers split events from 6.0.9 on: with those, test 19 of ``test_change_streams_prose.py`` runs as well."""
    fragments = [event(n, splitEvent={"fragment": n, "of": 3}) for n in (1, 2, 3)]
    context = FakeContext([reply(fragments[0], after=1), AutoReconnect("no"), reply(*fragments[1:], after=3)])
    stream = watch(context, [{"$changeStreamSplitLargeEvent": {}}])
    assert [await stream.next() for _ in range(3)] == fragments
    assert stages(context) == [{}, {"resumeAfter": token(1)}]
    assert [c["pipeline"][1] for c in context.executor.commands if "aggregate" in c] == [
        {"$changeStreamSplitLargeEvent": {}}
    ] * 2
    await stream.close()


async def test_events_are_decoded_as_the_collection_says() -> None:
    def raw(number: int) -> RawBSONDocument:
        return RawBSONDocument(bson.encode(event(number)))

    class Own(dict[str, Any]):
        pass

    for kind in (RawBSONDocument, Own):
        cursor = reply(raw(1), raw(2))
        cursor.reply["cursor"]["postBatchResumeToken"] = RawBSONDocument(bson.encode(token("end")))
        context = FakeContext([cursor])
        options: CodecOptions[Any] = CodecOptions(document_class=kind)
        async with context.database.orders.with_options(codec_options=options).watch() as stream:
            found = await stream.next()
            assert isinstance(found, kind)
            assert isinstance(found, Mapping)
            assert found["n"] == 1
            assert stream.resume_token == token(1)
            assert type(stream.resume_token) is dict
            await stream.next()
            assert stream.resume_token == token("end")


async def test_an_event_that_cannot_be_decoded_raises_at_its_place() -> None:
    tolerant = TOLERANT.with_options(document_class=RawBSONDocument)

    def raw(number: int, text: bytes) -> RawBSONDocument:
        return RawBSONDocument(bson.encode(event(number, text="??")).replace(b"??", text), tolerant)

    context = FakeContext([reply(raw(1, b"ok"), raw(2, b"\xff\xfe"), raw(3, b"ok"), after=3)])
    options: CodecOptions[Any] = CodecOptions(tz_aware=True)
    stream = context.database.orders.with_options(codec_options=options).watch()
    assert (await stream.next())["n"] == 1
    with pytest.raises(UnreadableReply):
        await stream.next()
    assert not stream.alive
    assert stream.resume_token == token(1)


async def test_iteration_lets_others_run() -> None:
    context = FakeContext([reply(*map(event, range(1000)), after=1000)])
    stream = watch(context)
    seen = 0
    with anyio.CancelScope() as scope:
        async for _ in stream:
            seen += 1
            if seen == 150:
                scope.cancel()
    assert seen == 200
    assert (await stream.next())["n"] == 200, "the cancellation lost no event"
    await stream.close()


# --- resuming ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error, sent",
    [
        (RESUMABLE, ["killCursors"]),
        (NotPrimaryError("no", {"code": 10107}, ["ResumableChangeStreamError"]), ["killCursors"]),
        (OperationFailure("gone", 43), []),
    ],
)
async def test_a_server_that_answers_has_its_cursor_killed_and_the_stream_is_resumed(
    error: Exception, sent: list[str]
) -> None:
    context = FakeContext([reply(event(1), after=1), error, reply(after=2), reply(event(3), after=3)])
    stream = watch(context)
    assert [(await stream.next())["n"] for _ in range(2)] == [1, 3]
    assert context.executor.names == ["aggregate", "getMore", *sent, "aggregate", "getMore"]
    assert context.executor.released == ["L"]
    assert stages(context) == [{}, {"resumeAfter": token(1)}]
    await stream.close()


async def test_a_server_that_does_not_answer_has_its_cursor_killed_in_the_background() -> None:
    context = FakeContext([reply(after=1), AutoReconnect("no"), reply(event(2), after=2)])
    stream = watch(context)
    assert await stream.next() == event(2)
    assert context.executor.names == ["aggregate", "getMore", "aggregate"]
    assert context.orphans == [ServerCursor(ADDRESS, 9, "shop.orders", "L")]
    await stream.close()


async def test_killing_the_cursor_does_not_raise() -> None:
    """Prose test 8."""
    context = FakeContext([reply(after=1), RESUMABLE, reply(event(2), after=2)])
    context.executor.kill_error = OperationFailure("no", 11601)
    stream = watch(context)
    assert await stream.next() == event(2)
    await stream.close()


async def test_each_failure_of_a_get_more_is_resumed_once() -> None:
    context = FakeContext([reply(after=1), *[RESUMABLE, reply(after=1)] * 3, reply(event(2), after=2)])
    stream = watch(context)
    assert await stream.next() == event(2)
    assert context.executor.names.count("aggregate") == 4
    await stream.close()


async def test_resumes_without_effect_pause_and_one_with_effect_ends_the_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(waits, "sleep", sleep)
    monkeypatch.setattr(waits, "random", lambda: 1.0)
    failures = [RESUMABLE, reply(after=1)]
    context = FakeContext([reply(after=1), *failures * 5, reply(event(2), after=2), *failures * 4, reply(event(3))])
    stream = watch(context)
    assert [(await stream.next())["n"] for _ in range(2)] == [2, 3]
    assert pauses == [0.1, 0.2, 0.1]
    await stream.close()


async def test_try_next_resumes_once_and_asks_no_more() -> None:
    context = FakeContext([reply(after=1), RESUMABLE, reply(after=2)])
    stream = await watch(context)
    assert await stream.try_next() is None
    assert stream.resume_token == token(2)
    assert context.executor.names == ["aggregate", "getMore", "killCursors", "aggregate"]
    await stream.close()


async def test_try_next_opens_the_stream_and_asks_once() -> None:
    context = FakeContext([reply(after=1), reply(after=2), Block(), reply(after=3), reply(after=4)])
    block = context.executor.script[2]
    stream = watch(context)
    assert await stream.try_next() is None
    assert context.executor.names == ["aggregate", "getMore"]
    async with anyio.create_task_group() as group:
        group.start_soon(stream.try_next)
        await block.reached.wait()
        group.cancel_scope.cancel()
    assert await stream.try_next() is None
    assert context.executor.names[2:] == ["getMore", "killCursors", "aggregate", "getMore"]
    assert stream.resume_token == token(4)
    await stream.close()


async def test_a_resume_that_fails_is_raised_and_the_next_call_tries_again() -> None:
    context = FakeContext([reply(event(1), after=1), RESUMABLE, AutoReconnect("still"), reply(event(2), after=2)])
    stream = watch(context)
    await stream.next()
    with pytest.raises(AutoReconnect, match="still") as caught:
        await stream.next()
    assert caught.value.__context__ is RESUMABLE
    assert stream.alive
    assert await stream.next() == event(2)
    assert stages(context) == [{}, {"resumeAfter": token(1)}, {"resumeAfter": token(1)}]
    await stream.close()


async def test_a_resume_that_the_server_refuses_closes_the_stream() -> None:
    lost = OperationFailure("the oplog is shorter than that", 286)
    context = FakeContext([reply(after=1), RESUMABLE, lost])
    stream = watch(context)
    with pytest.raises(OperationFailure, match="oplog"):
        await stream.next()
    assert not stream.alive
    assert not context.open_streams


async def test_any_other_error_closes_the_stream() -> None:
    context = FakeContext([reply(after=1), FATAL])
    stream = watch(context)
    with pytest.raises(OperationFailure, match="fatal"):
        await stream.next()
    assert not stream.alive
    assert context.executor.names == ["aggregate", "getMore", "killCursors"]
    assert context.executor.released == ["L"]


async def test_a_get_more_does_not_wait_for_a_server_that_failed() -> None:
    context = FakeContext([reply(after=1), reply(event(2), after=2)])
    stream = watch(context)
    await stream.next()
    get_more = context.executor.operations[1]
    assert isinstance(get_more, ChangeStreamGetMore)
    assert not get_more.traits.waits_for_server
    assert get_more.traits.opens_cursor
    await stream.close()


# --- sessions ---------------------------------------------------------------------------------------------------------


async def test_all_commands_use_the_session_of_the_first_one() -> None:
    context = FakeContext([reply(after=1), RESUMABLE, reply(event(2), after=2)])
    bound = context.bound = Session()
    stream = await watch(context)
    context.bound = None
    await stream.next()
    await stream.close()
    assert context.executor.states == [bound] * 5


async def test_it_is_refused_in_a_transaction_before_anything_is_sent() -> None:
    context = FakeContext([])
    context.bound = Session(active=True)
    stream = watch(context)
    with pytest.raises(InvalidOperation, match="cannot be opened in a transaction"):
        await stream
    assert context.executor.operations == []
    assert stream.alive


async def test_it_is_not_resumed_into_a_transaction() -> None:
    context = FakeContext([reply(after=1), RESUMABLE, reply(event(2), after=2)])
    session: Any = Session()
    stream: Any = await watch(context, session=session)
    assert stream.session is session
    session.transaction.start(TransactionOptions(), 0.0, 1)
    with pytest.raises(InvalidOperation, match="cannot be opened in a transaction"):
        await stream.next()
    session.transaction.abort()
    assert await stream.next() == event(2)
    await stream.close()


async def test_what_the_driver_refuses_leaves_the_stream_as_it_is() -> None:
    context = FakeContext([reply(after=1), InvalidOperation("the session is in use"), reply(event(2), after=2)])
    stream = watch(context)
    with pytest.raises(InvalidOperation):
        await stream.next()
    assert await stream.next() == event(2)
    assert context.executor.names == ["aggregate", "getMore", "getMore"]
    await stream.close()


# --- cancellation, closing, collection --------------------------------------------------------------------------------


async def test_a_cancelled_wait_kills_the_cursor_and_the_next_call_resumes() -> None:
    context = FakeContext([reply(event(1), after=1), Block(), reply(event(2), after=2)])
    block = context.executor.script[1]
    stream = watch(context)
    await stream.next()
    async with anyio.create_task_group() as group:
        group.start_soon(stream.next)
        await block.reached.wait()
        group.cancel_scope.cancel()
    assert context.executor.names == ["aggregate", "getMore", "killCursors"]
    assert context.executor.released == ["L"]
    assert stream.alive
    assert await stream.next() == event(2)
    assert stages(context)[1] == {"resumeAfter": token(1)}
    await stream.close()


async def test_another_task_may_close_it_and_the_wait_ends() -> None:
    context = FakeContext([reply(after=1), Block()])
    block = context.executor.script[1]
    stream = watch(context)
    seen: list[Any] = []

    async def read() -> None:
        seen.extend([found async for found in stream])
        seen.append("ended")

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await block.reached.wait()
        await stream.close()
        assert not stream.alive
    assert seen == ["ended"]
    assert context.executor.names == ["aggregate", "getMore", "killCursors"]
    assert context.executor.released == ["L"]


async def test_a_second_reader_is_refused_and_disturbs_nothing() -> None:
    context = FakeContext([reply(after=1), Block(), reply(event(2), after=2)])
    block = context.executor.script[1]
    stream = watch(context)
    seen: list[Any] = []

    async def read() -> None:
        seen.append(await stream.next())

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await block.reached.wait()
        for call in (stream.next, stream.try_next):
            with pytest.raises(InvalidOperation, match="one task at a time"):
                await call()
        block.free.set()
    assert seen == [event(2)]
    await stream.close()


async def test_a_stream_that_is_collected_warns_and_has_its_cursor_killed() -> None:
    context = FakeContext([reply(after=1)])
    stream: Any = await watch(context)
    held = [stream]
    del stream
    with pytest.warns(ResourceWarning, match=r"made at .*test_change_stream\.py:\d+ was never closed"):
        _drop(held)
    assert context.orphans == [ServerCursor(ADDRESS, 9, "shop.orders", "L")]


async def test_a_stream_that_was_never_opened_warns() -> None:
    held: list[Any] = [watch(FakeContext([]))]
    with pytest.warns(RuntimeWarning, match="neither awaited nor iterated"):
        _drop(held)


def _drop(held: list[Any]) -> None:
    held.clear()
    gc.collect()


async def test_a_stream_that_was_closed_or_has_ended_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stream: Any = await watch(FakeContext([reply(after=1)]))
        await stream.close()
        ended: Any = watch(FakeContext([reply(event(1), id=0, after=1)]))
        assert [found async for found in ended]
        unopened: Any = watch(FakeContext([]))
        await unopened.close()
        del stream, ended, unopened
        gc.collect()


async def test_what_a_stream_is_not() -> None:
    stream: Any = watch(FakeContext([]))
    with pytest.raises(TypeError, match="`async for`"):
        list(stream)
    with pytest.raises(TypeError, match="`async with"), stream:
        pass
    for make in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="call watch"):
            make(stream)
    assert repr(stream) == "ChangeStream(shop.orders, not opened yet)"
    with pytest.raises(ConfigurationError, match="the options of watch are"):
        watch(FakeContext([]), full=1)
    await stream.close()
    assert repr(stream) == "ChangeStream(shop.orders, closed)"
