"""Where PyMongo Async and Motor differ by an ``await``, both spellings work, and nothing is sent twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import wiredrv
from tests.support.commands import DATABASE, CommandLog, fresh_collection, watched
from wiredrv.errors import DuplicateKeyError
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def _scene(replica_set: ReplicaSet) -> AsyncIterator[tuple[wiredrv.Client, wiredrv.Collection, CommandLog]]:
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, "spellings", 5)
        log.clear()
        yield client, collection, log


# --- sessions ---------------------------------------------------------------------------------------------------------


async def _plain(client: wiredrv.Client) -> wiredrv.ClientSession:
    return client.start_session()


async def _awaited(client: wiredrv.Client) -> wiredrv.ClientSession:
    return await client.start_session()


@pytest.mark.parametrize("start", [_plain, _awaited], ids=["plain", "awaited"])
async def test_a_session_is_started_with_and_without_await(
    replica_set: ReplicaSet, start: Callable[[wiredrv.Client], Awaitable[wiredrv.ClientSession]]
) -> None:
    async with _scene(replica_set) as (client, collection, log):
        session = await start(client)
        assert isinstance(session, wiredrv.ClientSession)
        await collection.find_one({}, session=session)
        await session.end_session()
        assert log.lsids() == [bytes(_lsid(session))]


def _lsid(session: wiredrv.ClientSession) -> Any:
    return session._state.lsid["id"]


async def test_awaiting_a_session_gives_the_same_session(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, _, log):
        session = client.start_session()
        assert await session is session
        assert await session is session
        await session.end_session()
        assert log.names == []


async def test_a_session_is_a_block_with_and_without_await(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):
        async with client.start_session() as plain:
            await collection.find_one({}, session=plain)
        async with await client.start_session() as awaited:
            await collection.find_one({}, session=awaited)
        assert plain.has_ended
        assert awaited.has_ended
        assert log.names == ["find", "find"]


# --- transactions -----------------------------------------------------------------------------------------------------


async def test_a_transaction_is_a_block_with_and_without_await(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log), client.start_session() as session:
        async with session.start_transaction():
            await collection.insert_one({"_id": "plain"}, session=session)
        async with await session.start_transaction():
            await collection.insert_one({"_id": "awaited"}, session=session)
        assert log.names == ["insert", "commitTransaction"] * 2


@pytest.mark.parametrize("awaited", [False, True], ids=["plain", "awaited"])
async def test_a_transaction_is_started_by_hand_with_and_without_await(replica_set: ReplicaSet, awaited: bool) -> None:
    async with _scene(replica_set) as (client, collection, log), client.start_session() as session:
        for end in (session.commit_transaction, session.abort_transaction):
            started = session.start_transaction()
            if awaited:
                assert await started is started
            await collection.insert_one({"_id": str(end)}, session=session)
            await end()
        assert log.names == ["insert", "commitTransaction", "insert", "abortTransaction"]
        first, second = (command["txnNumber"] for command in log.sent("insert"))
        assert second == first + 1


async def test_blocks_in_one_line(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):
        async with client.start_session() as session, session.start_transaction():
            await collection.insert_one({}, session=session)
        async with await client.start_session() as session, await session.start_transaction():
            await collection.insert_one({}, session=session)
        async with client.start_session() as session, session.bind(), session.start_transaction():
            await collection.insert_one({})
        assert log.names == ["insert", "commitTransaction"] * 3


# --- cursors ----------------------------------------------------------------------------------------------------------

Open = Callable[[wiredrv.Client, wiredrv.Collection, dict[str, Any]], Any]

CURSORS: list[tuple[str, str, Open]] = [
    ("collection.aggregate", "aggregate", lambda cl, co, o: co.aggregate([{"$sort": {"_id": 1}}], **o)),
    (
        "database.aggregate",
        "aggregate",
        lambda cl, co, o: cl.admin.aggregate([{"$listLocalSessions": {}}, {"$limit": 3}], **o),
    ),
    ("list_collections", "listCollections", lambda cl, co, o: cl[DATABASE].list_collections(**o)),
    ("list_indexes", "listIndexes", lambda cl, co, o: co.list_indexes(**o)),
    ("list_databases", "listDatabases", lambda cl, co, o: cl.list_databases(**o)),
    ("cursor_command", "find", lambda cl, co, o: cl[DATABASE].cursor_command({"find": co.name}, **o)),
    ("run_cursor_command", "find", lambda cl, co, o: cl[DATABASE].run_cursor_command({"find": co.name}, **o)),
]


async def _iterated(cursor: Any) -> list[Any]:
    return [document async for document in cursor]


async def _awaited_and_iterated(cursor: Any) -> list[Any]:
    return [document async for document in await cursor]


async def _listed(cursor: Any) -> list[Any]:
    found: list[Any] = await cursor.to_list()
    return found


async def _awaited_and_listed(cursor: Any) -> list[Any]:
    found: list[Any] = await (await cursor).to_list()
    return found


async def _in_a_block(cursor: Any) -> list[Any]:
    async with cursor:
        return [document async for document in cursor]


async def _awaited_in_a_block(cursor: Any) -> list[Any]:
    async with await cursor as opened:
        return [document async for document in opened]


async def _one_by_one(cursor: Any) -> list[Any]:
    found = []
    while (document := await cursor.try_next()) is not None:
        found.append(document)
    return found


async def _awaited_twice(cursor: Any) -> list[Any]:
    await cursor
    await cursor
    found: list[Any] = await cursor.to_list()
    return found


SPELLINGS = [
    _iterated,
    _awaited_and_iterated,
    _listed,
    _awaited_and_listed,
    _in_a_block,
    _awaited_in_a_block,
    _one_by_one,
    _awaited_twice,
]


async def _watched_plain(collection: wiredrv.Collection, options: dict[str, Any]) -> Any:
    async with collection.watch(**options) as stream:
        await collection.insert_one({})
        return await stream.next()


async def _watched_awaited(collection: wiredrv.Collection, options: dict[str, Any]) -> Any:
    async with await collection.watch(**options) as stream:
        await collection.insert_one({})
        return await stream.next()


async def _watched_by_hand(collection: wiredrv.Collection, options: dict[str, Any]) -> Any:
    stream = await collection.watch(**options)
    await collection.insert_one({})
    try:
        async for event in stream:
            return event
    finally:
        await stream.close()


@pytest.mark.parametrize("spelling", [_watched_plain, _watched_awaited, _watched_by_hand])
async def test_a_change_stream_is_opened_once_with_and_without_await(
    replica_set: ReplicaSet, spelling: Callable[[wiredrv.Collection, dict[str, Any]], Awaitable[Any]]
) -> None:
    async with _scene(replica_set) as (client, collection, log), client.start_session() as session:
        for options in ({}, {"session": session}):
            log.clear()
            assert (await spelling(collection, dict(options)))["operationType"] == "insert"
            assert log.names == ["aggregate", "insert", "getMore", "killCursors"]


@pytest.mark.parametrize("name, command, opened", CURSORS, ids=[row[0] for row in CURSORS])
async def test_a_command_that_answers_with_a_cursor_is_sent_once_in_every_spelling(
    replica_set: ReplicaSet, name: str, command: str, opened: Open
) -> None:
    async with _scene(replica_set) as (client, collection, log), client.start_session() as session:
        # A session that the server knows, so that it is among those that it lists.
        await client.admin.command("refreshSessions", [session.session_id])
        for options in ({}, {"session": session}):
            for spelling in SPELLINGS:
                log.clear()
                found = await spelling(opened(client, collection, dict(options)))
                assert log.names == [command], spelling.__name__
                assert found, spelling.__name__


async def test_awaiting_sends_at_once_and_iterating_only_when_asked(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (_, collection, log):
        cursor = collection.aggregate([])
        assert log.names == []
        assert await cursor is cursor
        assert log.names == ["aggregate"]
        assert len([document async for document in cursor]) == 5
        assert log.names == ["aggregate"]


async def test_an_awaited_aggregate_raises_what_the_server_says(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (_, collection, log):
        with pytest.raises(wiredrv.DriverError, match="nonsense"):
            await collection.aggregate([{"$nonsense": 1}])
        assert log.names == ["aggregate"]


async def test_an_aggregate_that_writes_writes_once_in_both_spellings(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):
        merge: list[dict[str, Any]] = [{"$match": {"_id": 0}}, {"$project": {"_id": {"$literal": "same"}}}]
        into = {"into": "spellings_out", "whenMatched": "fail"}
        out = await fresh_collection(client, "spellings_out")
        log.clear()
        await collection.aggregate([*merge, {"$merge": into}])
        with pytest.raises(DuplicateKeyError):
            async for _ in collection.aggregate([*merge, {"$merge": into}]):
                pass
        assert log.names == ["aggregate", "aggregate"]
        assert await out.count_documents({}) == 1


@pytest.mark.parametrize("spelling", [_iterated, _listed, _in_a_block, _one_by_one])
async def test_a_find_is_not_awaited_and_sent_once(
    replica_set: ReplicaSet, spelling: Callable[[Any], Awaitable[list[Any]]]
) -> None:
    """Both drivers agree on find: it returns a cursor without ``await``."""
    async with _scene(replica_set) as (_, collection, log):
        assert len(await spelling(collection.find({}, batch_size=3))) == 5
        assert log.names == ["find", "getMore"]


# --- names ------------------------------------------------------------------------------------------------------------


async def test_the_arguments_go_by_position_as_they_do_there(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):
        options = wiredrv.TransactionOptions(wiredrv.ReadConcern("local"), wiredrv.WriteConcern(1))
        async with client.start_session(True, options, False) as session:
            assert session.options.causal_consistency is True
            assert session.options.default_transaction_options is options

            async def callback(session: wiredrv.ClientSession) -> str:
                await collection.insert_one({}, session=session)
                return "done"

            concerns = wiredrv.ReadConcern("snapshot"), wiredrv.WriteConcern("majority")
            log.clear()
            assert await session.with_transaction(callback, *concerns, wiredrv.ReadPreference.PRIMARY, 5000) == "done"
            session.start_transaction(*concerns, wiredrv.ReadPreference.PRIMARY, 5000)
            await collection.insert_one({}, session=session)
            await session.commit_transaction()
        assert log.names == ["insert", "commitTransaction"] * 2
        for insert, commit in (log.sent()[:2], log.sent()[2:]):
            assert insert["readConcern"]["level"] == "snapshot"
            assert commit["writeConcern"] == {"w": "majority"}
            assert commit["maxTimeMS"] == 5000


NAMES = """
abort_transaction advance_cluster_time advance_operation_time bind client cluster_time commit_transaction end_session
has_ended in_transaction operation_time options session_id start_transaction with_transaction
"""


def test_a_session_has_every_name_that_it_has_there() -> None:
    assert [name for name in NAMES.split() if not hasattr(wiredrv.ClientSession, name)] == []


async def test_what_a_session_tells_of_itself(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, _):
        session = client.start_session()
        assert session.client is client
        assert session.options.causal_consistency is True
        seen = [(session.has_ended, session.in_transaction, session.cluster_time, session.operation_time)]
        session.start_transaction()
        in_transaction = [session.in_transaction]
        await collection.insert_one({}, session=session)
        in_transaction.append(session.in_transaction)
        await session.commit_transaction()
        in_transaction.append(session.in_transaction)
        assert seen == [(False, False, None, None)]
        assert in_transaction == [True, True, False]
        assert session.cluster_time is not None
        assert session.operation_time is not None
        assert set(session.session_id) == {"id"}
        await session.end_session()
        assert session.has_ended
        await session.end_session()
