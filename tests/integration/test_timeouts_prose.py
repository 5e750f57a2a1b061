"""The prose tests of the client-side-operations-timeout specification (its tests/README.md).

Numbers 2 and 3 are about client-side encryption, 11 about servers from 8.0 on, 6 and 7 about GridFS
(which has tests of its own). Limits are longer than in the specification, where a busy machine would miss them.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

import wiredrv
from tests.support.commands import CommandLog
from tests.support.failpoints import fail_command
from wiredrv import ClientSession
from wiredrv.concerns import ReadConcern, WriteConcern
from wiredrv.errors import DriverError, ServerSelectionTimeoutError
from wiredrv.local import Deployment, ReplicaSet, Standalone
from wiredrv.types import Address

pytestmark = pytest.mark.anyio

_NOBODY = "mongodb://invalid.invalid/"


@asynccontextmanager
async def _client(deployment: Deployment, **options: Any) -> AsyncIterator[tuple[wiredrv.Client, CommandLog]]:
    """``client`` of the tests; the fail points are set on connections of their own (``internalClient``)."""
    log = CommandLog()
    majority: dict[str, Any] = {"read_concern": ReadConcern("majority"), "write_concern": WriteConcern("majority")}
    async with wiredrv.Client(deployment.uri, event_listeners=[log], **majority, **options) as client:
        yield client, log


async def _dropped(deployment: Deployment) -> Address:
    """Drop ``db.coll``, and return the address of the primary, or of the only server."""
    async with wiredrv.Client(deployment.uri) as client:
        await client["db"]["coll"].drop()
        await client["db"].create_collection("coll")
        found = client.primary or next(iter(client.nodes))
        return Address(*found)


async def test_1_multi_batch_inserts(standalone: Standalone) -> None:
    address = await _dropped(standalone)
    document = {"data": "x" * 1_000_000}
    async with (
        fail_command(address, "insert", times=2, block_ms=1010),
        _client(standalone, timeoutMS=2000) as (
            client,
            log,
        ),
    ):
        with pytest.raises(DriverError) as caught:
            await client["db"]["coll"].insert_many([dict(document) for _ in range(50)])
    assert caught.value.timeout
    assert log.names.count("insert") == 2


async def test_5_blocking_iteration_of_a_tailable_cursor(replica_set: ReplicaSet) -> None:
    """Here a call sends one getMore, and that may take the whole limit."""
    address = await _dropped(replica_set)
    async with wiredrv.Client(replica_set.uri) as internal:
        await internal["db"]["coll"].drop()
        capped = await internal["db"].create_collection("coll", capped=True, size=100_000)
        await capped.insert_one({"x": 1})
    async with _client(replica_set, timeoutMS=500) as (client, log):
        cursor = client["db"]["coll"].find({}, cursor_type=wiredrv.CursorType.TAILABLE)
        assert (await cursor.next())["x"] == 1
        assert log.names == ["find"]
        async with fail_command(address, "getMore", block_ms=2000):
            with pytest.raises(DriverError) as caught:
                await cursor.next()
        assert caught.value.timeout
        assert log.names[:2] == ["find", "getMore"]
        await cursor.close()


async def test_5_blocking_iteration_of_a_change_stream(replica_set: ReplicaSet) -> None:
    address = await _dropped(replica_set)
    async with (
        _client(replica_set, timeoutMS=700) as (client, log),
        client["db"]["coll"].watch(max_await_time_ms=100) as stream,
    ):
        async with fail_command(address, "getMore", times=20, block_ms=400):
            with pytest.raises(DriverError) as caught:
                await stream.next()
        assert caught.value.timeout
        assert log.names.count("aggregate") == 1
        assert log.names.count("getMore") >= 2
        # The stream goes on.
        assert stream.alive
        assert await stream.try_next() is None
        assert log.names.count("aggregate") == 2


@pytest.mark.parametrize(
    "options",
    [
        {"serverSelectionTimeoutMS": 100},
        {"timeoutMS": 100, "serverSelectionTimeoutMS": 20_000},
        {"timeoutMS": 20_000, "serverSelectionTimeoutMS": 100},
        {"timeoutMS": 0, "serverSelectionTimeoutMS": 100},
    ],
    ids=str,
)
async def test_8_server_selection(options: dict[str, Any]) -> None:
    async with wiredrv.Client(_NOBODY, **options) as client:
        started = anyio.current_time()
        with pytest.raises(ServerSelectionTimeoutError) as caught:
            await client["admin"].command("ping")
    assert caught.value.timeout
    assert re.search(r"within 0\.(1|0\d+) s", str(caught.value))
    assert anyio.current_time() - started < 10


@pytest.mark.parametrize("given", ["client", "session", "call"])
async def test_9_end_session(replica_set: ReplicaSet, given: str) -> None:
    """It returns in time. It raises no error, as everywhere where a session's end aborts a transaction."""
    address = await _dropped(replica_set)
    options: dict[str, Any] = {"timeoutMS": 500} if given == "client" else {}
    async with _client(replica_set, **options) as (client, log):
        session = client.start_session(default_timeout_ms=500 if given == "session" else None)
        session.start_transaction()
        await client["db"]["coll"].insert_one({"x": 1}, session=session)
        async with fail_command(address, "abortTransaction", block_ms=3000):
            started = anyio.current_time()
            await session.end_session(timeout_ms=500 if given == "call" else None)
            assert anyio.current_time() - started < 2.5
        assert log.failed_events[0].command_name == "abortTransaction"
        assert session.has_ended


async def test_10_the_abort_has_the_whole_limit_if_the_callback_fails(replica_set: ReplicaSet) -> None:
    address = await _dropped(replica_set)
    async with _client(replica_set, timeoutMS=500) as (client, log), client.start_session() as session:

        async def callback(session: ClientSession) -> None:
            await client["db"]["coll"].insert_one({"_id": 1}, session=session)

        async with fail_command(address, "insert", "abortTransaction", times=2, block_ms=3000):
            with pytest.raises(DriverError) as caught:
                await session.with_transaction(callback)
    assert caught.value.timeout
    assert log.names[:2] == ["insert", "abortTransaction"]
    assert [event.command_name for event in log.failed_events][:2] == ["insert", "abortTransaction"]
