"""Change streams and everything else: sessions, transactions, bindings, cancellation, closing, collection, PyMongo."""

from __future__ import annotations

import gc
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import anyio
import anyio.to_thread
import pytest
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, TypeCodec, TypeRegistry
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument

import wiredrv
from tests.support.commands import APP_NAME, CommandLog, fresh_collection, primary_of, sessions_back, watched
from tests.support.failpoints import fail_command
from tests.support.leaks import LeakWatch
from tests.support.pymongo_peer import plain, with_pymongo
from tests.support.steps import cancelled_at
from tests.support.waiting import until
from wiredrv.errors import AutoReconnect, DriverError, InvalidOperation, OperationFailure
from wiredrv.local import ReplicaSet, Standalone

pytestmark = pytest.mark.anyio

_RESUMABLE = {"errorCode": 6, "errorLabels": ["ResumableChangeStreamError"]}
_NAME = "change_streams"


@asynccontextmanager
async def _scene(
    replica_set: ReplicaSet, **options: Any
) -> AsyncIterator[tuple[wiredrv.Client, wiredrv.Collection, CommandLog]]:
    async with watched(replica_set, **options) as (client, log):
        collection = await fresh_collection(client, _NAME)
        log.clear()
        yield client, collection, log


def _id(session: wiredrv.ClientSession) -> bytes:
    return bytes(session.session_id["id"])


# --- what is watched --------------------------------------------------------------------------------------------------


async def test_a_collection_a_database_and_a_deployment(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, _):
        other = await fresh_collection(client, f"{_NAME}_other")
        elsewhere = client.change_streams_elsewhere.c
        async with collection.watch() as one, collection.database.watch() as two, client.watch() as three:
            for number, written in enumerate((elsewhere, other, collection)):
                await written.insert_one({"_id": number, "test": _NAME})
            assert (await one.next())["fullDocument"]["_id"] == 2
            assert [(await two.next())["ns"]["coll"] for _ in range(2)] == [other.name, collection.name]
            seen: list[str] = []
            while len(seen) < 3:
                event = await three.next()
                if event.get("fullDocument", {}).get("test") == _NAME:
                    seen.append(event["ns"]["db"])
            assert seen == ["change_streams_elsewhere", collection.database.name, collection.database.name]
        await client.drop_database("change_streams_elsewhere")


async def test_documents_of_other_classes(replica_set: ReplicaSet) -> None:
    class Own(dict[str, Any]):
        pass

    async with _scene(replica_set) as (_, collection, _log):
        for kind in (RawBSONDocument, Own):
            options: CodecOptions[Any] = CodecOptions(document_class=kind, tz_aware=True)
            async with collection.with_options(codec_options=options).watch() as stream:
                await collection.insert_one({"a": {"b": 1}})
                event = await stream.next()
                assert type(event) is kind
                assert type(event["fullDocument"]) is kind
                assert event["wallTime"].tzinfo is not None
                assert type(stream.resume_token) is dict
            async with collection.watch(resume_after=event["_id"]) as stream:
                assert await stream.try_next() is None


class _Cents(TypeCodec):
    """Amounts of money are integers to the server."""

    python_type = Decimal
    bson_type = Int64

    def transform_python(self, value: Any) -> Any:
        return Int64(value * 100)

    def transform_bson(self, value: Any) -> Any:
        return Decimal(value) / 100


async def test_the_pipeline_and_the_events_have_the_collections_codec_options(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (_, collection, _log):
        options: CodecOptions[Any] = CodecOptions(
            uuid_representation=UuidRepresentation.STANDARD, type_registry=TypeRegistry([_Cents()])
        )
        own = collection.with_options(codec_options=options)
        number = uuid.uuid4()
        match = {"$match": {"fullDocument.number": number, "fullDocument.amount": Decimal("2.5")}}
        async with own.watch([match], batch_size=1) as stream:
            await own.insert_one({"_id": 1, "number": uuid.uuid4(), "amount": Decimal("2.5")})
            await own.insert_one({"_id": 2, "number": number, "amount": Decimal("2.5")})
            document = (await stream.next())["fullDocument"]
            assert document == {"_id": 2, "number": number, "amount": Decimal("2.5")}
            assert list(stream.resume_token or ()) == ["_data"]


async def test_pre_and_post_images(replica_set: ReplicaSet) -> None:
    """Server 6.0."""
    async with _scene(replica_set) as (client, collection, _):
        name = f"{_NAME}_images"
        await client[collection.database.name].drop_collection(name)
        images = await client[collection.database.name].create_collection(
            name, changeStreamPreAndPostImages={"enabled": True}
        )
        await images.insert_one({"_id": 1, "a": 1})
        async with images.watch(full_document="required", full_document_before_change="required") as stream:
            await images.update_one({"_id": 1}, {"$set": {"a": 2}})
            await images.update_one({"_id": 1}, {"$set": {"a": 3}})
            events = [await stream.next() for _ in range(2)]
        pairs = [(event["fullDocumentBeforeChange"]["a"], event["fullDocument"]["a"]) for event in events]
        assert pairs == [(1, 2), (2, 3)]


async def test_after_an_invalidation_start_after_continues(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, _):
        database = client[collection.database.name]
        gone = await database.create_collection(f"{_NAME}_gone")
        async with gone.watch() as stream:
            await gone.drop()
            assert [event["operationType"] async for event in stream] == ["drop", "invalidate"]
            token = stream.resume_token
        await gone.insert_one({"_id": "again"})
        with pytest.raises(OperationFailure, match="invalidat"):
            await gone.watch(resume_after=token)
        async with gone.watch(start_after=token) as stream:
            events = [await stream.next() for _ in range(1)]
            assert events[-1]["documentKey"] == {"_id": "again"}
        await gone.drop()


async def test_a_standalone_says_what_is_wrong(standalone: Standalone) -> None:
    """Change-streams specification, "Single Server Topologies": the server's error."""
    async with wiredrv.Client(standalone.uri) as client:
        with pytest.raises(OperationFailure, match="only supported on replica sets"):
            await client.shop.orders.watch()


# --- sessions, bindings, transactions ---------------------------------------------------------------------------------


async def test_all_commands_use_the_explicit_session_also_after_a_resume(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log), client.start_session() as session:
        async with (
            collection.watch(session=session, max_await_time_ms=20) as stream,
            fail_command(primary_of(client), "getMore", app_name=APP_NAME, data=_RESUMABLE),
        ):
            assert await stream.try_next() is None
            assert await stream.try_next() is None
        assert log.names == ["aggregate", "getMore", "killCursors", "aggregate", "getMore", "killCursors"]
        assert set(log.lsids()) == {_id(session)}


async def test_the_bound_session_is_kept_when_its_block_was_left(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log), client.start_session() as session:
        async with session.bind(end_session=False):
            stream = await collection.watch(max_await_time_ms=20)
        async with fail_command(primary_of(client), "getMore", app_name=APP_NAME, data=_RESUMABLE):
            await stream.try_next()
        await stream.try_next()
        await stream.close()
        assert log.names.count("aggregate") == 2
        assert set(log.lsids()) == {_id(session)}


async def test_an_implicit_session_is_given_back(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):
        async with collection.watch() as stream:
            await collection.insert_one({})
            await stream.next()
        await sessions_back(client)
        assert len(set(log.lsids("aggregate") + log.lsids("getMore") + log.lsids("killCursors"))) == 1


async def test_a_stream_is_refused_in_a_transaction_and_the_transaction_goes_on(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):
        async with client.transaction() as session:
            await collection.insert_one({"_id": 1})
            with pytest.raises(InvalidOperation, match="cannot be opened in a transaction"):
                await collection.watch()
            with wiredrv.unbound():
                stream = await collection.watch()
            assert session.in_transaction
        assert await collection.find_one({"_id": 1}) is not None
        assert (await stream.next())["documentKey"] == {"_id": 1}, "reported when it was committed"
        await stream.close()
        assert log.names.count("aggregate") == 1


async def test_a_stream_is_not_read_within_the_transaction_of_its_session(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log), client.start_session() as session:
        async with collection.watch(session=session) as stream:
            async with session.start_transaction():
                await collection.insert_one({"_id": 1}, session=session)
                with pytest.raises(InvalidOperation, match="opened before the transaction"):
                    await stream.next()
            assert (await stream.next())["documentKey"] == {"_id": 1}
        assert log.names.count("aggregate") == 1, "the stream was not disturbed"


async def test_a_snapshot_session_is_refused_by_the_server(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, _), client.start_session(snapshot=True) as session:
        with pytest.raises(OperationFailure, match="readConcern other than 'majority'"):
            await collection.watch(session=session)


async def test_operations_of_its_session_take_turns_with_it(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log), client.start_session() as session:
        async with (
            collection.watch(session=session, max_await_time_ms=200) as stream,
            anyio.create_task_group() as group,
        ):
            group.start_soon(stream.next)
            await until(lambda: log.names[-1] == "getMore", "the stream waits for an event")
            await collection.insert_one({"_id": 1}, session=session)
        assert log.names[:3] == ["aggregate", "getMore", "insert"]


# --- cancellation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("explicit", [False, True], ids=["implicit", "explicit"])
async def test_a_stream_that_is_cancelled_at_any_await_loses_nothing_and_leaves_nothing(
    replica_set: ReplicaSet, explicit: bool
) -> None:
    """Also at each await of a resume: the second getMore fails."""
    async with wiredrv.Client(replica_set.uri, appName=APP_NAME) as client:
        collection = await fresh_collection(client, _NAME)
        await until(lambda: len(client.nodes) == 3, "all members are known")
        leaks = LeakWatch(replica_set, client, collection.full_name)
        await leaks.remember()
        session = client.start_session() if explicit else None
        stream = collection.watch(session=session, max_await_time_ms=50)
        await stream
        seen: list[Any] = []
        written = 0

        async def read_two() -> None:
            for _ in range(2):
                seen.append((await stream.next())["documentKey"]["_id"])

        address = primary_of(client)
        step = awaits = 0
        while awaits >= step:
            step += 1
            while len(seen) < written:
                seen.append((await stream.next())["documentKey"]["_id"])
            await collection.insert_many([{"_id": written}, {"_id": written + 1}])
            written += 2
            async with fail_command(address, "getMore", app_name=APP_NAME, data=_RESUMABLE):
                awaits = (await cancelled_at(step, read_two)).awaits
            assert stream.alive
        assert step > 3
        while len(seen) < written:
            seen.append((await stream.next())["documentKey"]["_id"])
        assert seen == list(range(written))
        await stream.close()
        if session is not None:
            await session.end_session()
        await leaks.check("a stream that was cancelled often")


async def test_a_deadline_leaves_the_stream_usable(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (_, collection, _log), collection.watch() as stream:
        for number in range(2):
            with anyio.move_on_after(0.05) as scope:
                await stream.next()
            assert scope.cancelled_caught
            await collection.insert_one({"_id": number})
            assert (await stream.next())["documentKey"] == {"_id": number}


async def test_a_stream_is_resumed_within_a_block_that_is_shorter_than_max_await_time(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (_, collection, log):
        async with collection.watch(max_await_time_ms=5000) as stream:
            for _ in range(2):
                with pytest.raises(DriverError) as caught, wiredrv.timeout(0.2):
                    await stream.next()
                assert caught.value.timeout
            assert log.names.count("aggregate") == 2
            await collection.insert_one({"_id": 1})
            with wiredrv.timeout(4):
                assert (await stream.next())["documentKey"] == {"_id": 1}
        assert all(command["maxTimeMS"] <= 5000 for command in log.sent("getMore"))


async def test_a_loop_of_try_next_over_a_long_batch_can_be_cancelled(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (_, collection, _log):
        async with collection.watch() as first:
            token = first.resume_token
        await collection.insert_many([{"_id": number} for number in range(400)])
        async with (
            collection.watch(resume_after=token, batch_size=400) as stream,
            collection.find({}, batch_size=400) as cursor,
        ):
            one: Any
            for one in (stream, cursor):
                given = 0
                with anyio.CancelScope() as scope:
                    while await one.try_next():
                        given += 1
                        scope.cancel()
                assert 0 < given <= 100
            # What was not given is still there.
            assert (await stream.try_next() or {})["documentKey"] == {"_id": 100}


async def test_an_operation_that_fails_for_good_leaves_the_stream_usable(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, _), collection.watch() as stream:
        data = {"closeConnection": True}
        async with fail_command(primary_of(client), "getMore", "aggregate", times=3, app_name=APP_NAME, data=data):
            with pytest.raises(AutoReconnect):
                await stream.next()
        assert stream.alive
        await collection.insert_one({"_id": 1})
        assert (await stream.next())["documentKey"] == {"_id": 1}


# --- closing, collection ----------------------------------------------------------------------------------------------

End = Callable[[wiredrv.Client, wiredrv.ChangeStream], Awaitable[None]]


async def _close_the_stream(client: wiredrv.Client, stream: wiredrv.ChangeStream) -> None:
    await stream.close()


async def _close_the_client(client: wiredrv.Client, stream: wiredrv.ChangeStream) -> None:
    await client.close()


@pytest.mark.parametrize("explicit", [False, True], ids=["implicit", "explicit"])
@pytest.mark.parametrize("reading", [False, True], ids=["idle", "reading"])
@pytest.mark.parametrize("end", [_close_the_stream, _close_the_client])
async def test_closing_a_stream_or_its_client_ends_it_here_and_on_the_server(
    replica_set: ReplicaSet, end: End, reading: bool, explicit: bool
) -> None:
    async with wiredrv.Client(replica_set.uri) as other:
        collection = await fresh_collection(other, _NAME)
        leaks = LeakWatch(replica_set, other, collection.full_name)
        await leaks.remember()
        client = wiredrv.Client(replica_set.uri)
        session = client.start_session() if explicit else None
        stream = await client[collection.database.name][_NAME].watch(session=session, max_await_time_ms=60_000)
        ended: list[Any] = []

        async def read() -> None:
            ended.append([event async for event in stream])

        async with anyio.create_task_group() as group:
            if reading:
                group.start_soon(read)
                await until(lambda: stream._busy is not None, "the stream waits for an event")
                await anyio.sleep(0.05)
            with anyio.fail_after(5):
                await end(client, stream)
            assert not stream.alive
        assert ended == ([[]] if reading else [])
        if session is not None:
            await session.end_session()
        await client.close()
        await leaks.check("a stream that was closed")


async def test_closing_a_client_ends_a_stream_that_is_being_opened(replica_set: ReplicaSet) -> None:
    async with wiredrv.Client(replica_set.uri) as other:
        collection = await fresh_collection(other, _NAME)
        leaks = LeakWatch(replica_set, other, collection.full_name)
        await leaks.remember()
        log = CommandLog()
        client = wiredrv.Client(replica_set.uri, appName="opening", event_listeners=[log])
        await client.admin.command("ping")
        stream = client[collection.database.name][_NAME].watch()
        seen: list[Any] = []

        async def read() -> None:
            seen.append([event async for event in stream])

        async with (
            fail_command(primary_of(client), "aggregate", block_ms=1500, app_name="opening"),
            anyio.create_task_group() as group,
        ):
            group.start_soon(read)
            await until(lambda: "aggregate" in log.names, "the stream is being opened")
            with anyio.fail_after(5):
                await client.close()
        assert seen == [[]]
        await leaks.check("a stream that was being opened")


async def test_a_stream_that_is_collected_is_closed_on_the_server(replica_set: ReplicaSet) -> None:
    async with wiredrv.Client(replica_set.uri) as client:
        collection = await fresh_collection(client, _NAME)
        leaks = LeakWatch(replica_set, client, collection.full_name)
        await leaks.remember()
        held = [await collection.watch()]

        def drop() -> None:
            held.clear()
            gc.collect()

        with pytest.warns(ResourceWarning, match=r"test_change_streams\.py:\d+ was never closed"):
            await anyio.to_thread.run_sync(drop)
        await leaks.check("a stream that was collected")


# --- beside PyMongo ---------------------------------------------------------------------------------------------------

OPTIONS: list[dict[str, Any]] = [
    {},
    {"full_document": "updateLookup", "batch_size": 3, "max_await_time_ms": 100, "comment": {"why": 1}},
    {"pipeline": [{"$match": {"operationType": "update"}}], "collation": {"locale": "en"}, "batch_size": 0},
    {"show_expanded_events": True, "full_document_before_change": "off"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ",".join(options) or "none")
async def test_events_tokens_and_commands_are_those_of_pymongo(
    replica_set: ReplicaSet, options: dict[str, Any]
) -> None:
    async with _scene(replica_set) as (client, collection, log):
        async with collection.watch() as stream:
            token: Any = stream.resume_token
        for number in range(3):
            await collection.insert_one({"_id": number})
            await collection.update_one({"_id": number}, {"$set": {"a": 1}})
        count = 3 if "pipeline" in options else 6

        async def read(handle: Any) -> Any:
            async with await handle.watch(resume_after=token, **options) as stream:
                found: list[Any] = []
                while len(found) < count:
                    event = await stream.try_next()
                    if event is not None:
                        found.append((event, stream.resume_token, stream.alive))
                return found

        log.clear()
        ours = [await read(collection), await read(collection.database), await read(client)]
        sent = [plain(command) for command in log.sent()]

        async def use(peer: Any) -> Any:
            database = peer[collection.database.name]
            return [await read(database[collection.name]), await read(database), await read(peer)]

        theirs, their_commands = await with_pymongo(replica_set.uri, use)
        assert theirs == ours
        if "collation" in options:  # which PyMongo does not send
            assert [command.pop("collation") for command in sent if "aggregate" in command] == [
                options["collation"]
            ] * 3
        assert _comparable(their_commands) == _comparable(sent)


def _comparable(commands: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Commands without the ids of cursors, and without getMores, whose number depends on the server."""
    seen = [{**command, "cursors": 1} if "killCursors" in command else command for command in commands]
    more = {str({**command, "getMore": 1}) for command in seen if "getMore" in command}
    return [command for command in seen if "getMore" not in command] + [{"getMores": sorted(more)}]
