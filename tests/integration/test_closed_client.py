"""A client that was closed stays closed: only ``open()`` and ``async with`` open it again."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from pymongo.errors import InvalidOperation as PyMongoInvalidOperation

import wiredrv
from tests.support.commands import CommandLog, fresh_collection
from tests.support.pymongo_peer import with_pymongo
from tests.support.session_calls import CALLS, Call, make_place
from wiredrv.errors import InvalidOperation
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

CLOSED = "Cannot use Client after close"
BACKENDS = ("asyncio", "trio")


def _silent(client: wiredrv.Client, log: CommandLog) -> bool:
    """Whether the client is closed and nothing was sent since the log was cleared."""
    return not client._core.was_opened and log.names == []


async def _closed(replica_set: ReplicaSet) -> tuple[wiredrv.Client, CommandLog]:
    log = CommandLog()
    client = wiredrv.Client(replica_set.uri, event_listeners=[log])
    await make_place(client)
    await client.close()
    log.clear()
    return client, log


# --- every operation --------------------------------------------------------------------------------------------------


async def test_every_operation_of_a_closed_client_is_refused(replica_set: ReplicaSet) -> None:
    client, log = await _closed(replica_set)
    async with client:
        place = await make_place(client)
    log.clear()
    for call in (
        *CALLS,
        Call("estimate", "count", CALLS[0].sort, lambda p, o: p.collection.estimated_document_count()),
    ):
        with pytest.raises(InvalidOperation, match=CLOSED):
            await call.run(place, {})
        assert _silent(client, log), call.name
    with pytest.raises(InvalidOperation, match=CLOSED):
        await client.supports_transactions()
    assert _silent(client, log)


async def test_the_refusal_is_pymongos(replica_set: ReplicaSet) -> None:
    async def use(client: Any) -> Any:
        await client.admin.command("ping")
        await client.close()
        await client.admin.command("ping")

    theirs, _ = await with_pymongo(replica_set.uri, use)
    assert isinstance(theirs, PyMongoInvalidOperation), theirs
    client, _ = await _closed(replica_set)
    with pytest.raises(InvalidOperation, match=r"open it again with `await client.open\(\)` or `async with client:`"):
        await client.admin.command("ping")
    assert type(theirs).__name__ == InvalidOperation.__name__


async def test_a_client_that_is_closed_before_its_first_use_is_closed(replica_set: ReplicaSet) -> None:
    client = wiredrv.Client(replica_set.uri)
    await client.close()
    with pytest.raises(InvalidOperation, match=CLOSED):
        await client.admin.command("ping")
    assert not client._core.was_opened


async def test_an_operation_that_waits_for_the_opening_is_refused_when_the_client_is_closed(
    replica_set: ReplicaSet,
) -> None:
    client = wiredrv.Client(replica_set.uri)
    refused: list[str] = []

    async def use() -> None:
        try:
            await client.admin.command("ping")
        except InvalidOperation as error:
            refused.append(str(error))

    async with anyio.create_task_group() as group:
        group.start_soon(use)
        while not client._core.was_opened:
            await anyio.lowlevel.checkpoint()
        await client.close()
    assert not client._core.was_opened
    assert len(refused) == 1
    assert CLOSED in refused[0]


# --- objects of the closed client -------------------------------------------------------------------------------------


async def test_a_cursor_hands_out_what_it_has_and_asks_for_no_more(replica_set: ReplicaSet) -> None:
    log = CommandLog()
    async with wiredrv.Client(replica_set.uri, event_listeners=[log]) as client:
        collection = await fresh_collection(client, "closed_cursor", 10)
        cursor = collection.find({}, batch_size=3).sort("_id")
        unsent = collection.find({})
        assert await cursor.next() == {"_id": 0}
    log.clear()
    assert [await cursor.next(), await cursor.next()] == [{"_id": 1}, {"_id": 2}]
    for late in (cursor, unsent, unsent.clone()):
        with pytest.raises(InvalidOperation, match=CLOSED):
            await late.next()
    await cursor.close()
    assert not cursor.alive
    assert _silent(client, log)


async def test_a_cursor_of_a_closed_client_goes_on_when_it_is_opened_again(replica_set: ReplicaSet) -> None:
    client = wiredrv.Client(replica_set.uri)
    collection = await fresh_collection(client, "closed_cursor", 10)
    unsent = collection.find({}).sort("_id")
    await client.close()
    with pytest.raises(InvalidOperation, match=CLOSED):
        await unsent.next()
    async with client:
        assert await unsent.next() == {"_id": 0}
        await unsent.close()


async def test_sessions_and_bindings_of_a_closed_client_are_refused(replica_set: ReplicaSet) -> None:
    client, log = await _closed(replica_set)
    async with client.start_session() as session:
        with pytest.raises(InvalidOperation, match=CLOSED):
            await client.db.c.find_one({}, session=session)
        async with session.bind(end_session=False):
            with pytest.raises(InvalidOperation, match=CLOSED):
                await client.db.c.find_one({})
        with pytest.raises(InvalidOperation, match=CLOSED):
            await session.with_transaction(lambda s: client.db.c.insert_one({}, session=s))
    with pytest.raises(InvalidOperation, match=CLOSED):
        async with client.transaction():
            await client.db.c.insert_one({})
    assert session.has_ended
    assert _silent(client, log)


@pytest.mark.parametrize("end", ["end_session", "abort", "commit", "a block"])
async def test_closing_aborts_transactions_and_ending_their_sessions_sends_and_opens_nothing(
    replica_set: ReplicaSet, end: str
) -> None:
    log = CommandLog()
    client = wiredrv.Client(replica_set.uri, event_listeners=[log])
    told: list[str] = []
    async with client:
        collection = await fresh_collection(client, "outlived")
        session = client.start_session()
        session.start_transaction()
        await collection.insert_one({"_id": 1}, session=session)
        session.on_abort(lambda: told.append("abort"))
        session.on_commit(lambda: told.append("commit"))
        log.clear()
    assert log.names[:1] == ["abortTransaction"], "locks are released first"
    assert told == ["abort"]
    assert not session.in_transaction
    log.clear()
    if end == "abort":
        with pytest.raises(InvalidOperation, match="abortTransaction twice"):
            await session.abort_transaction()
    if end == "commit":
        with pytest.raises(InvalidOperation, match=CLOSED):
            await session.commit_transaction()
    if end == "a block":
        async with session:
            pass
    await session.end_session()
    assert session.has_ended
    assert _silent(client, log)
    async with client, client.start_session() as other:
        with anyio.fail_after(5):
            await other.with_transaction(lambda s: collection.insert_one({"_id": 1}, session=s))
        assert await collection.count_documents({}) == 1


# --- opening it again -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", ["open", "async with"])
async def test_open_and_async_with_open_it_again(replica_set: ReplicaSet, again: str) -> None:
    client, _ = await _closed(replica_set)
    for _ in range(2):
        if again == "open":
            assert await client.open() is client
        else:
            await client.__aenter__()
        assert (await client.admin.command("ping"))["ok"] == 1
        await client.close()
        with pytest.raises(InvalidOperation, match=CLOSED):
            await client.admin.command("ping")


@pytest.mark.parametrize("second", BACKENDS)
@pytest.mark.parametrize("first", BACKENDS)
@pytest.mark.parametrize("anyio_backend", ["asyncio"], scope="module")
async def test_it_stays_closed_in_another_event_loop(replica_set: ReplicaSet, first: str, second: str) -> None:
    client = wiredrv.Client(replica_set.uri)

    async def use_and_close() -> None:
        await client.admin.command("ping")
        await client.close()

    async def refused_then_opened() -> None:
        with pytest.raises(InvalidOperation, match=CLOSED):
            await client.admin.command("ping")
        async with client:
            await client.admin.command("ping")

    await anyio.to_thread.run_sync(lambda: anyio.run(use_and_close, backend=first))
    await anyio.to_thread.run_sync(lambda: anyio.run(refused_then_opened, backend=second))
