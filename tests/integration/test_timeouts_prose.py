"""The prose tests of the client-side-operations-timeout specification (its tests/README.md).

Numbers 2 and 3 are about client-side encryption, 11 about servers from 8.0 on, 6 and 7 about GridFS
(which has tests of its own). Limits are longer than in the specification, where a busy machine would miss them.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

import wiredrv
from tests.support.commands import CommandLog
from tests.support.event_log import EventLog
from tests.support.failpoints import fail_command
from tests.support.secured import create_users, with_user
from tests.support.waiting import until
from wiredrv import ClientSession
from wiredrv.concerns import ReadConcern, WriteConcern
from wiredrv.errors import DriverError, NetworkTimeout, ServerSelectionTimeoutError
from wiredrv.events import ConnectionClosedEvent, ConnectionCreatedEvent, ConnectionReadyEvent
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
        found = client.topology.primary or next(iter(client.nodes))
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


# --- with authentication ---


@pytest.fixture(scope="module")
def secured(starts_servers: None) -> Iterator[Standalone]:
    """One server with users."""
    with Standalone(test_commands=True, extra_args=["--auth"]) as deployment:
        create_users(deployment.uri, [])
        yield deployment


@asynccontextmanager
async def _blocking(secured: Standalone, app_name: str, *commands: str, times: int = 0) -> AsyncIterator[None]:
    """Delay these commands of the handshake and the authentication; 0 times stands for always."""
    data = {"failCommands": list(commands), "blockConnection": True, "blockTimeMS": _BLOCKED, "appName": app_name}
    mode: Any = {"times": times} if times else "alwaysOn"
    async with wiredrv.Client(with_user(secured.uri)) as internal:
        await internal.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await internal.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


#: Milliseconds for which the fail points of the following tests delay a command.
_BLOCKED = 500


async def test_4_the_limit_counts_for_the_handshake_of_connections_in_the_background(secured: Standalone) -> None:
    log = EventLog()
    options: dict[str, Any] = {"minPoolSize": 1, "timeoutMS": 200, "appName": "timeoutBackgroundPoolTest"}
    async with (
        _blocking(secured, "timeoutBackgroundPoolTest", "saslContinue", times=1),
        wiredrv.Client(with_user(secured.uri), event_listeners=[log], **options),
    ):
        await until(lambda: log.of(ConnectionClosedEvent) != [], "the connection is closed")
        assert log.of(ConnectionCreatedEvent)
        error = log.of(ConnectionClosedEvent)[0].error
        assert isinstance(error, NetworkTimeout)


async def test_4_the_limit_counts_anew_for_each_command_of_the_handshake(secured: Standalone) -> None:
    log, name = EventLog(), "refreshTimeoutBackgroundPoolTest"
    options: dict[str, Any] = {"minPoolSize": 1, "timeoutMS": 800, "connectTimeoutMS": 900, "appName": name}
    async with (
        _blocking(secured, name, "hello", "isMaster", "saslContinue"),
        wiredrv.Client(with_user(secured.uri), event_listeners=[log], **options),
    ):
        await until(lambda: log.of(ConnectionReadyEvent) != [], "the connection is ready")
        assert log.of(ConnectionCreatedEvent)
        assert log.of(ConnectionClosedEvent) == []


@pytest.mark.parametrize(
    "options",
    [
        {"timeoutMS": 200, "serverSelectionTimeoutMS": 20_000},
        {"timeoutMS": 20_000, "serverSelectionTimeoutMS": 200},
    ],
    ids=str,
)
async def test_8_the_handshake_of_an_operations_connection(secured: Standalone, options: dict[str, Any]) -> None:
    name = "timeoutHandshakeTest"
    async with wiredrv.Client(with_user(secured.uri), appName=name, **options) as client:
        await until(lambda: bool(client.nodes), "the server is known")
        async with _blocking(secured, name, "saslContinue", times=1):
            started = anyio.current_time()
            with pytest.raises(DriverError) as caught:
                await client["db"]["coll"].insert_one({"x": 1})
            assert anyio.current_time() - started < _BLOCKED / 1000
        assert caught.value.timeout


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
