"""One connection over a transport that the test controls: round trips, streams, and replies that are still pending."""

from __future__ import annotations

from typing import Any, cast

import anyio
import anyio.lowlevel
import bson
import pytest

from tests.execution.fakes import make_handshake
from wiredrv.connection.connection import Connection
from wiredrv.errors import (
    AutoReconnect,
    ConfigurationError,
    InvalidOperation,
    NetworkTimeout,
    OperationFailure,
    ProtocolError,
)
from wiredrv.net.transport import fill
from wiredrv.types import Address, Buffers, ReceiveBuffer
from wiredrv.wire.op_msg import EXHAUST_ALLOWED, MORE_TO_COME, decode_message, encode_message

pytestmark = pytest.mark.anyio

ADDRESS = Address("host.example", 1)


class FakeTransport:
    """A transport that the test feeds: ``feed`` passes bytes to the receiver, ``ends`` ends the stream."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False
        self.hold_sends = False
        self._incoming: list[bytes] = []
        self._arrived = anyio.Event()

    async def send(self, data: Buffers) -> None:
        self.sent.append(data if isinstance(data, bytes) else b"".join(data))
        if self.hold_sends:
            await anyio.sleep_forever()

    async def receive(self, max_bytes: int) -> bytes:
        while not self._incoming:
            self._arrived = anyio.Event()
            await self._arrived.wait()
        piece = self._incoming.pop(0)
        if len(piece) > max_bytes:
            self._incoming.insert(0, piece[max_bytes:])
        return piece[:max_bytes]

    async def receive_into(self, buffer: ReceiveBuffer) -> bool:
        return await fill(buffer, self.receive, 1 << 20)

    def close(self, *, wake: bool = True) -> None:
        self.closed = True

    def is_readable(self) -> bool:
        return bool(self._incoming)

    def feed(self, *pieces: bytes) -> None:
        self._incoming += pieces
        self._arrived.set()

    def last_request(self) -> int:
        return decode_message(self.sent[-1]).request_id


def make() -> tuple[Connection, FakeTransport]:
    transport = FakeTransport()
    connection = Connection(cast(Any, transport), ADDRESS, 1)
    connection.accept(make_handshake())
    return connection, transport


def answer(response_to: int, document: dict[str, Any], flags: int = 0, request_id: int = 500) -> bytes:
    return encode_message(bson.encode(document), request_id, (), flags, response_to)


async def sent(transport: FakeTransport, count: int = 1) -> int:
    with anyio.fail_after(5):
        while len(transport.sent) < count:
            await anyio.lowlevel.checkpoint()
    return transport.last_request()


async def test_a_command_goes_out_and_its_reply_comes_back() -> None:
    connection, transport = make()
    replies: list[Any] = []

    async def ask() -> None:
        replies.append(await connection.command("db", {"ping": 1}))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        request = await sent(transport)
        assert bson.decode(decode_message(transport.sent[0]).body) == {"ping": 1, "$db": "db"}
        transport.feed(answer(request, {"ok": 1, "a": 2}))
    assert replies == [{"ok": 1, "a": 2}]
    assert not connection.closed
    assert not connection.reply_owed


async def test_an_error_of_the_server_leaves_the_connection_open() -> None:
    connection, transport = make()

    async def ask() -> None:
        with pytest.raises(OperationFailure, match="no such command"):
            await connection.command("db", {"nonsense": 1})

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        transport.feed(answer(await sent(transport), {"ok": 0, "code": 59, "errmsg": "no such command"}))
    assert not connection.closed


async def test_the_given_command_is_not_changed() -> None:
    connection, transport = make()
    command: dict[str, Any] = {"ping": 1}
    async with anyio.create_task_group() as group:
        group.start_soon(connection.command, "db", command)
        transport.feed(answer(await sent(transport), {"ok": 1}))
    assert command == {"ping": 1}


async def test_a_second_command_is_refused_while_one_waits() -> None:
    connection, transport = make()
    async with anyio.create_task_group() as group:
        group.start_soon(connection.command, "db", {"ping": 1})
        request = await sent(transport)
        with pytest.raises(InvalidOperation, match="one command at a time"):
            await connection.send(b"x")
        transport.feed(answer(request, {"ok": 1}))
    assert not connection.closed, "the refusal does not harm the one that waits"


@pytest.mark.parametrize("flags", [0, MORE_TO_COME])
async def test_nothing_is_sent_where_what_came_unasked_would_be_taken_for_the_reply(flags: int) -> None:
    """Behind a load balancer a transaction keeps its connection, so no pool checks it between two commands."""
    connection, transport = make()
    async with anyio.create_task_group() as group:
        group.start_soon(connection.command, "db", {"insert": "c"})
        request = await sent(transport)
        unasked = answer(request + 1, {"ok": 1}) if not flags else b""
        transport.feed(answer(request, {"ok": 1}, flags) + unasked)
    with pytest.raises(AutoReconnect, match="more than one reply"):
        await connection.command("admin", {"commitTransaction": 1})
    assert connection.closed
    assert len(transport.sent) == 1


# --- cancellation -----------------------------------------------------------------------------------------------------


async def _cancelled_in_receive(connection: Connection, transport: FakeTransport) -> int:
    """Send a request and abandon its reply; returns the request's id."""
    message = encode_message(bson.encode({"find": "c"}), 9)
    async with anyio.create_task_group() as group:
        group.start_soon(connection.round_trip, message, 9)
        await sent(transport)
        group.cancel_scope.cancel()
    return 9


async def test_a_reply_that_was_given_up_can_still_be_taken() -> None:
    connection, transport = make()
    request = await _cancelled_in_receive(connection, transport)
    assert connection.reply_owed
    assert not connection.closed
    transport.feed(answer(request, {"ok": 1, "late": True}))
    body = await connection.settle(5)
    assert body is not None
    assert bson.decode(body) == {"ok": 1, "late": True}
    assert not connection.is_stale(), "nothing is owed any longer"


async def test_half_a_reply_is_not_lost_to_a_cancellation() -> None:
    connection, transport = make()
    whole = answer(9, {"ok": 1, "text": "x" * 100})
    message = encode_message(bson.encode({"find": "c"}), 9)
    async with anyio.create_task_group() as group:
        group.start_soon(connection.round_trip, message, 9)
        await sent(transport)
        transport.feed(whole[:50])
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    transport.feed(whole[50:])
    body = await connection.settle(5)
    assert body is not None
    assert bson.decode(body)["text"] == "x" * 100


@pytest.mark.parametrize("cut", [1, 16, 17, 50_000, 65_536, 150_000, 299_999])
async def test_half_a_large_reply_is_not_lost_to_a_cancellation(cut: int) -> None:
    connection, transport = make()
    text = "text" * 75_000
    whole = answer(9, {"ok": 1, "text": text})
    message = encode_message(bson.encode({"find": "c"}), 9)
    async with anyio.create_task_group() as group:
        group.start_soon(connection.round_trip, message, 9)
        await sent(transport)
        transport.feed(*(whole[start : min(start + 65_536, cut)] for start in range(0, cut, 65_536)))
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert connection.reply_owed
    assert connection.is_out_of_step
    transport.feed(*(whole[start : start + 65_536] for start in range(cut, len(whole), 65_536)))
    body = await connection.settle(5)
    assert body is not None
    assert bson.decode(body)["text"] == text
    assert not connection.is_stale()


async def test_a_stream_that_ends_within_a_large_reply_closes_the_connection() -> None:
    connection, transport = make()
    whole = answer(9, {"ok": 1, "text": "x" * 200_000})
    transport.feed(whole[:65_536], whole[65_536:100_000], b"")
    with pytest.raises(AutoReconnect, match="closed the connection in the middle of a reply"):
        await connection.round_trip(encode_message(bson.encode({"find": "c"}), 9), 9)
    assert connection.closed


async def test_replies_that_follow_a_large_one_are_read_in_turn() -> None:
    connection, transport = make()
    first = answer(9, {"ok": 1, "text": "x" * 200_000}, MORE_TO_COME, 501)
    second = answer(501, {"ok": 1, "text": "y" * 100_000}, MORE_TO_COME, 502)
    third = answer(502, {"ok": 1, "text": "z"})
    stream = first + second + third
    transport.feed(*(stream[start : start + 65_536] for start in range(0, len(stream), 65_536)))
    bodies = [await connection.round_trip(encode_message(bson.encode({"find": "c"}), 9), 9)]
    bodies += [await connection.round_trip(None, 9) for _ in range(2)]
    assert [bson.decode(body)["text"][0] for body in bodies] == ["x", "y", "z"]
    assert not connection.is_out_of_step


async def test_a_reply_that_does_not_come_in_time_costs_the_connection() -> None:
    connection, transport = make()
    await _cancelled_in_receive(connection, transport)
    assert await connection.settle(0.02) is None
    assert connection.closed
    assert transport.closed


async def test_a_connection_that_was_closed_while_it_waited_says_so() -> None:
    connection, transport = make()
    with anyio.move_on_after(0.01):
        await connection.command("db", {"ping": 1})
    assert connection.closed
    with pytest.raises(AutoReconnect, match="the connection was closed"):
        await connection.command("db", {"ping": 1})
    assert len(transport.sent) == 1


@pytest.mark.parametrize(
    "database, command",
    [(5, {"ping": 1}), (None, {"ping": 1}), ("db", "ping"), ("db", 5), ("db", {}), ("db", [("ping", 1)])],
)
async def test_bad_arguments_of_a_command_are_refused(database: Any, command: Any) -> None:
    connection, transport = make()
    for call in (connection.command, connection.ask, connection.stream):
        with pytest.raises(ConfigurationError, match=r"database must be|command must be a mapping"):
            await call(database, command)
    assert transport.sent == []
    assert not connection.closed


async def test_settling_ends_with_the_stream() -> None:
    connection, transport = make()
    await _cancelled_in_receive(connection, transport)
    transport.feed(b"")
    with anyio.fail_after(5):
        assert await connection.settle(60) is None
    assert connection.closed


async def test_a_send_that_was_cancelled_half_way_closes_the_connection() -> None:
    connection, transport = make()
    transport.hold_sends = True
    async with anyio.create_task_group() as group:
        group.start_soon(connection.round_trip, b"x" * 100, 9)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert connection.closed
    assert not connection.reply_owed


# --- time limits ------------------------------------------------------------------------------------------------------


async def test_the_socket_timeout_bounds_a_round_trip_and_closes() -> None:
    connection, _ = make()
    connection.socket_timeout = 0.02
    with anyio.fail_after(5), pytest.raises(NetworkTimeout, match=r"socketTimeoutMS \(20 ms\)"):
        await connection.round_trip(encode_message(bson.encode({"ping": 1}), 9), 9)
    assert connection.closed


async def test_an_outer_deadline_is_no_socket_timeout() -> None:
    connection, _ = make()
    connection.socket_timeout = 60.0
    with anyio.move_on_after(0.02) as scope:
        await connection.round_trip(encode_message(bson.encode({"ping": 1}), 9), 9)
    assert scope.cancelled_caught
    assert connection.reply_owed


# --- malformed replies ------------------------------------------------------------------------------------------------

GOOD = answer(0, {"ok": 1})


@pytest.mark.parametrize(
    "pieces, kind",
    [
        ([b""], AutoReconnect),
        ([GOOD[:20], b""], AutoReconnect),
        ([b"\xff" * 40], ProtocolError),
        ([answer(12345, {"ok": 1})], ProtocolError),
        ([GOOD[:12] + b"\x01\x00\x00\x00" + GOOD[16:]], ProtocolError),
    ],
    ids=["the end", "the end in a message", "noise", "another request's", "another op code"],
)
async def test_what_is_no_reply_closes_the_connection(pieces: list[bytes], kind: type[Exception]) -> None:
    connection, transport = make()
    transport.feed(*pieces)
    with pytest.raises(kind):
        await connection.command("db", {"ping": 1})
    assert connection.closed


async def test_an_idle_connection_that_was_sent_something_is_stale() -> None:
    connection, transport = make()
    assert not connection.is_stale()
    transport.feed(b"who asked?")
    assert connection.is_stale()


# --- streams ----------------------------------------------------------------------------------------------------------


async def test_an_exhaust_stream_is_followed_from_reply_to_reply() -> None:
    connection, transport = make()
    replies: list[Any] = []

    async def follow() -> None:
        replies.append(await connection.stream("admin", {"hello": 1}))
        while connection.more_to_come:
            replies.append(await connection.next_reply())

    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        request = await sent(transport)
        assert decode_message(transport.sent[0]).flags == EXHAUST_ALLOWED
        transport.feed(answer(request, {"ok": 1, "n": 1}, MORE_TO_COME, request_id=600))
        transport.feed(answer(600, {"ok": 1, "n": 2}, MORE_TO_COME, request_id=601))
        transport.feed(answer(601, {"ok": 1, "n": 3}, 0, request_id=602))
    assert [reply["n"] for reply in replies] == [1, 2, 3]
    assert len(transport.sent) == 1
    assert not connection.reply_owed


async def test_a_streamed_reply_must_follow_the_one_before() -> None:
    connection, transport = make()

    async def follow() -> None:
        await connection.stream("admin", {"hello": 1})
        with pytest.raises(ProtocolError, match="not 600"):
            await connection.next_reply()

    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        request = await sent(transport)
        transport.feed(answer(request, {"ok": 1}, MORE_TO_COME, request_id=600))
        transport.feed(answer(request, {"ok": 1}, MORE_TO_COME, request_id=601))
    assert connection.closed


async def test_a_stream_that_falls_silent_ends_in_a_timeout() -> None:
    connection, transport = make()

    async def follow() -> None:
        await connection.stream("admin", {"hello": 1})
        with pytest.raises(NetworkTimeout, match="20 ms"):
            await connection.next_reply(timeout=0.02)

    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        transport.feed(answer(await sent(transport), {"ok": 1}, MORE_TO_COME))
    assert connection.closed


# --- closing ----------------------------------------------------------------------------------------------------------


async def test_closing_twice_is_closing_once() -> None:
    connection, transport = make()
    connection.close()
    connection.close()
    assert transport.closed
    assert "closed" in repr(connection)
