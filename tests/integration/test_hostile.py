"""Against a server that misbehaves: each operation ends with the right error, in time, and leaves nothing behind."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import anyio
import pytest

import wiredrv
from tests.support import hostile_server as hostile
from tests.support.fake_server import with_sessions
from tests.support.hostile_server import HostileServer, Misbehaviour
from tests.support.waiting import until
from wiredrv import _introspect
from wiredrv.errors import (
    AutoReconnect,
    ConfigurationError,
    DriverError,
    NetworkTimeout,
    ProtocolError,
    ServerSelectionTimeoutError,
    UnreadableReply,
)

pytestmark = pytest.mark.anyio

#: Seconds that may pass in addition to the deadline that a test sets.
_GRACE = 15.0

#: What happens, and the error that it must end with.
BROKEN: dict[str, tuple[Misbehaviour, type[DriverError], str]] = {
    "closed": (hostile.close, AutoReconnect, "closed the connection|broke"),
    "closed in mid-reply": (hostile.close_in_mid_reply, AutoReconnect, "in the middle of a reply|broke"),
    "noise": (hostile.noise, ProtocolError, "an HTTP server answered, not a MongoDB server"),
    "another request answered": (hostile.answer_another_request, ProtocolError, "answers request"),
    "two gigabytes promised": (hostile.promise_two_gigabytes, ProtocolError, "2147483647"),
    "too little promised": (hostile.promise_too_little, ProtocolError, "declared a message of 8 bytes"),
    "another op code": (hostile.another_op_code, ProtocolError, "op code 4242"),
    "a broken document": (hostile.break_the_document, UnreadableReply, "BSON"),
}
#: The stream is still valid, and so the connection can be kept.
SOUND = frozenset({"a broken document"})


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Fail if the block leaves a task behind."""
    before = len(anyio.get_running_tasks())
    yield
    await until(lambda: len(anyio.get_running_tasks()) <= before, "all tasks have ended")
    gc.collect()  # an unreferenced open socket warns here, and warnings are errors


# --- one connection ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BROKEN)
async def test_connecting_to_it(name: str) -> None:
    misbehave, kind, says = BROKEN[name]
    if name in SOUND:
        kind = ProtocolError  # an unreadable first message does not come from a MongoDB server
    async with nothing_left():
        with HostileServer({"hello": misbehave}) as server, anyio.fail_after(_GRACE), pytest.raises(kind, match=says):
            async with wiredrv.connect(str(server.address)):
                pytest.fail("no handshake took place")


async def test_connecting_to_one_that_never_answers_ends_in_time() -> None:
    async with nothing_left():
        with HostileServer({"hello": hostile.say_nothing}) as server:
            started = monotonic()
            with pytest.raises(NetworkTimeout, match=r"connectTimeoutMS \(200 ms\)"):
                async with wiredrv.connect(str(server.address), connect_timeout=0.2):
                    pytest.fail("no handshake took place")
            assert 0.2 <= monotonic() - started < _GRACE


async def test_connecting_where_nobody_listens() -> None:
    with HostileServer({}) as server:
        address = str(server.address)
    with pytest.raises(AutoReconnect, match=address):
        async with wiredrv.connect(address):
            pytest.fail("nobody listens there")


@pytest.mark.parametrize(
    "versions, says",
    [
        # The server's version, and ours.
        ({"minWireVersion": 0, "maxWireVersion": 6}, r"\b6[;,].*wiredrv.* 8 .*4\.2"),
        ({"minWireVersion": 99, "maxWireVersion": 120}, r"wire version 99.*wiredrv.* up to 29"),
    ],
    ids=["too old", "too new"],
)
async def test_a_server_of_another_age_is_refused_naming_both_versions(versions: dict[str, Any], says: str) -> None:
    async with nothing_left():
        with HostileServer({}, hello={**with_sessions(), **versions}) as server:
            with pytest.raises(ConfigurationError, match=says):
                async with wiredrv.connect(str(server.address)):
                    pytest.fail("the server is too old")
            uri = f"mongodb://{server.address}/?serverSelectionTimeoutMS=5000"
            async with wiredrv.Client(uri) as client:
                with pytest.raises(ConfigurationError, match=says):
                    await client.admin.command("ping")


async def test_one_that_answers_byte_by_byte_is_slow_but_understood() -> None:
    async with nothing_left():
        with HostileServer({"hello": hostile.byte_by_byte, "ping": hostile.byte_by_byte}) as server:
            async with wiredrv.connect(str(server.address)) as connection:
                assert (await connection.command("admin", {"ping": 1}))["ok"] == 1


@pytest.mark.parametrize("name", sorted(set(BROKEN) - SOUND))
async def test_a_command_that_it_breaks_closes_the_connection(name: str) -> None:
    misbehave, kind, says = BROKEN[name]
    async with nothing_left():
        with HostileServer({"ping": misbehave}) as server, anyio.fail_after(_GRACE):
            async with wiredrv.connect(str(server.address)) as connection:
                with pytest.raises(kind, match=says):
                    await connection.command("admin", {"ping": 1})
                assert connection.closed
                with pytest.raises(DriverError):
                    await connection.command("admin", {"ping": 1})


async def test_a_reply_that_cannot_be_decoded_leaves_the_connection_open() -> None:
    async with nothing_left():
        with HostileServer({"ping": hostile.break_the_document}, times=1) as server, anyio.fail_after(_GRACE):
            async with wiredrv.connect(str(server.address)) as connection:
                with pytest.raises(UnreadableReply, match="BSON"):
                    await connection.command("admin", {"ping": 1})
                assert not connection.closed
                assert (await connection.command("admin", {"ping": 1}))["ok"] == 1


async def test_a_command_that_is_never_answered_ends_in_time_and_closes_the_connection() -> None:
    with HostileServer({"ping": hostile.say_nothing}) as server, anyio.fail_after(_GRACE):
        async with wiredrv.connect(str(server.address)) as connection:
            with pytest.raises(NetworkTimeout, match="200 ms"):
                await connection.command("admin", {"ping": 1}, timeout=0.2)
            assert connection.closed


# --- a client ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def client_of(server: HostileServer, **options: Any) -> AsyncIterator[wiredrv.Client]:
    async with nothing_left(), wiredrv.Client(server.uri, serverSelectionTimeoutMS=4000, **options) as client:
        yield client
        assert _introspect.checked_out(client) == 0


@pytest.mark.parametrize("name", BROKEN)
async def test_a_read_that_it_breaks_every_time(name: str) -> None:
    misbehave, kind, says = BROKEN[name]
    with HostileServer({"find": misbehave}) as server:
        async with client_of(server) as client:
            with anyio.fail_after(_GRACE), pytest.raises(kind, match=says):
                await client.db.c.find_one({})
            # After a broken stream one retry is worthwhile; what cannot be decoded will not become readable.
            assert len(server.commands) == (1 if name in SOUND else 2)
            with anyio.fail_after(_GRACE):
                assert await client.db.command("ping") == {"ok": 1}, "the client works on"


async def test_a_read_that_it_breaks_once_succeeds_at_the_second_try() -> None:
    with HostileServer({"find": hostile.close_in_mid_reply}, times=1) as server:
        async with client_of(server) as client:
            with anyio.fail_after(_GRACE):
                assert await client.db.c.find_one({}) is None
            assert [next(iter(command)) for command in server.commands] == ["find", "find"]
            first, second = server.commands
            assert first["lsid"] == second["lsid"]


async def test_a_read_that_is_never_answered_ends_with_the_sockets_timeout() -> None:
    with HostileServer({"find": hostile.say_nothing}) as server:
        async with client_of(server, socketTimeoutMS=200) as client:
            with anyio.fail_after(_GRACE), pytest.raises(NetworkTimeout, match=r"socketTimeoutMS \(200 ms\)"):
                await client.db.c.find_one({})
            assert await client.db.command("ping") == {"ok": 1}


async def test_a_read_that_is_never_answered_can_be_cancelled() -> None:
    with HostileServer({"find": hostile.say_nothing}) as server:
        async with client_of(server) as client:
            await client.db.command("ping")
            started = monotonic()
            with anyio.move_on_after(0.1) as scope:
                await client.db.c.find_one({})
            assert scope.cancelled_caught
            # The background waits a little for the reply, and then tells the server to stop the operation.
            assert monotonic() - started < _GRACE
            await until(lambda: next(iter(server.commands[-1])) == "killSessions", "the server is told to stop")
            assert await client.db.command("ping") == {"ok": 1}


async def test_a_write_that_it_breaks_is_not_sent_twice_to_a_server_that_could_not_tell() -> None:
    with HostileServer({"insert": hostile.close}) as server:
        async with client_of(server) as client:
            with anyio.fail_after(_GRACE), pytest.raises(AutoReconnect):
                await client.db.c.insert_one({"x": 1})
            assert len(server.commands) == 1, "a standalone knows no transaction numbers"


async def test_one_that_answers_byte_by_byte_serves_a_client() -> None:
    with HostileServer(dict.fromkeys(("hello", "find", "insert"), hostile.byte_by_byte)) as server:
        async with client_of(server) as client:
            with anyio.fail_after(_GRACE):
                assert await client.db.c.find_one({}) is None
                await client.db.c.insert_one({"x": 1})


@pytest.mark.parametrize("misbehave", [hostile.say_nothing, hostile.noise, hostile.close], ids=lambda f: f.__name__)
async def test_a_deployment_whose_handshake_never_works_is_told_of_with_the_reason(misbehave: Misbehaviour) -> None:
    reasons: dict[Misbehaviour, str] = {
        hostile.say_nothing: r"connected, but no answer to the handshake within connectTimeoutMS \(200 ms\): is this a",
        hostile.noise: "an HTTP server answered",
        hostile.close: "closed the connection|broke",
    }
    with HostileServer({"hello": misbehave}) as server:
        async with (
            nothing_left(),
            wiredrv.Client(server.uri, serverSelectionTimeoutMS=600, connectTimeoutMS=200) as client,
        ):
            started = monotonic()
            with pytest.raises(ServerSelectionTimeoutError, match=reasons[misbehave]) as caught:
                await client.admin.command("ping")
            assert monotonic() - started < _GRACE
            assert str(server.address) in str(caught.value)
