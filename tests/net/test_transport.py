"""The plain socket transport: whole sends, waits that end, streams that break."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import anyio
import anyio.to_thread
import pytest

from wiredrv.errors import AutoReconnect
from wiredrv.net.asyncio_transport import socket_transport
from wiredrv.net.transport import SocketTransport, unsent
from wiredrv.types import Address, ReceiveBuffer

ADDRESS = Address("server", 27017)
PAIR = tuple[SocketTransport, socket.socket]


@pytest.fixture
def pair() -> Iterator[PAIR]:
    near, far = socket.socketpair()
    near.setblocking(False)
    far.settimeout(10)
    transport = SocketTransport(near, ADDRESS)
    with far:
        yield transport, far
    transport.close()


def read_exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += sock.recv(count - len(data))
    return data


@pytest.mark.anyio
async def test_bytes_go_there_and_come_back(pair: PAIR) -> None:
    transport, far = pair
    await transport.send(b"ping")
    assert far.recv(10) == b"ping"
    far.sendall(b"pong!")
    assert await transport.receive(4) == b"pong"
    assert await transport.receive(4) == b"!"


@pytest.mark.anyio
async def test_a_message_larger_than_the_kernels_buffer_is_sent_whole(pair: PAIR) -> None:
    transport, far = pair
    message = bytes(range(256)) * 20_000
    received = b""
    async with anyio.create_task_group() as group:
        group.start_soon(transport.send, message)
        received = await anyio.to_thread.run_sync(read_exactly, far, len(message))
    assert received == message


@pytest.mark.anyio
@pytest.mark.parametrize("gathers", [True, False], ids=["sendmsg", "no sendmsg"])
@pytest.mark.parametrize("sizes", [[3, 4], [1, 1_000_000, 2, 3_000_000, 5], [10] * 3_000, [0, 5, 0], [2_000_000]])
async def test_a_message_in_several_buffers_is_sent_whole(
    pair: PAIR, sizes: list[int], gathers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wiredrv.net.transport._GATHERS", gathers)
    transport, far = pair
    buffers = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    message = b"".join(buffers)
    received = b""
    async with anyio.create_task_group() as group:
        group.start_soon(transport.send, buffers)
        received = await anyio.to_thread.run_sync(read_exactly, far, len(message))
    assert received == message


@pytest.mark.parametrize(
    "sent, left",
    [(0, ["abc", "", "de"]), (1, ["bc", "", "de"]), (3, ["de"]), (4, ["e"]), (5, [])],
)
def test_what_is_left_of_buffers(sent: int, left: list[str]) -> None:
    buffers = [memoryview(text) for text in (b"abc", b"", b"de")]
    assert [bytes(buffer).decode() for buffer in unsent(buffers, sent)] == left


@pytest.mark.anyio
async def test_buffers_that_are_sent_in_part_close_the_transport(pair: PAIR) -> None:
    transport, _ = pair
    with anyio.move_on_after(0.05) as scope:
        await transport.send([bytes(10_000_000)] * 2)
    assert scope.cancelled_caught
    assert transport.closed
    with pytest.raises(AutoReconnect, match="server:27017: the connection was closed by this client"):
        await transport.send([b"more", b"still"])


@pytest.mark.anyio
async def test_a_send_that_is_cancelled_half_way_closes_the_transport(pair: PAIR) -> None:
    transport, _ = pair
    with anyio.move_on_after(0.05) as scope:
        await transport.send(bytes(20_000_000))
    assert scope.cancelled_caught
    assert transport.closed
    with pytest.raises(AutoReconnect, match="server:27017: the connection was closed by this client"):
        await transport.send(b"more")


@pytest.mark.anyio
async def test_a_cancelled_receive_loses_nothing(pair: PAIR) -> None:
    transport, far = pair
    with anyio.move_on_after(0.01) as scope:
        await transport.receive(10)
    assert scope.cancelled_caught
    far.sendall(b"late")
    assert await transport.receive(10) == b"late"


@pytest.mark.anyio
async def test_closing_wakes_who_waits(pair: PAIR) -> None:
    transport, _ = pair
    failures: list[AutoReconnect] = []

    async def wait() -> None:
        try:
            await transport.receive(10)
        except AutoReconnect as error:
            failures.append(error)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            transport.close()
            transport.close()
    assert "closed by this client" in str(failures[0])


@pytest.mark.anyio
async def test_the_end_of_the_stream_is_received_as_nothing(pair: PAIR) -> None:
    transport, far = pair
    far.sendall(b"bye")
    far.close()
    assert await transport.receive(10) == b"bye"
    assert await transport.receive(10) == b""


@pytest.mark.anyio
async def test_a_broken_stream_is_an_auto_reconnect_that_names_the_server(pair: PAIR) -> None:
    transport, far = pair
    far.close()
    with pytest.raises(AutoReconnect, match="server:27017: the connection broke: Broken pipe"):
        await transport.send(b"x" * 1000)


@pytest.mark.anyio
async def test_readable_tells_of_bytes_and_of_the_end(pair: PAIR) -> None:
    transport, far = pair
    assert not transport.is_readable()
    assert transport.receive_nowait(10) is None
    far.sendall(b"!")
    assert transport.is_readable()
    assert transport.receive_nowait(10) == b"!"
    far.close()
    assert transport.is_readable()
    assert transport.receive_nowait(10) == b""


# --- into memory ------------------------------------------------------------------------------------------------------


Make = Callable[[SocketTransport], SocketTransport]


@pytest.fixture(params=["plain", "of the event loop"])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes the transport over the same socket that is tested: the plain one, or that of the event loop."""

    def made(plain: SocketTransport) -> SocketTransport:
        return plain if request.param == "plain" else socket_transport(plain._socket, ADDRESS)

    return made


@pytest.mark.anyio
@pytest.mark.parametrize("pieces", [[1] * 50, [3_000_000], [5, 1_000_000, 7, 900_000]])
async def test_a_buffer_is_filled_and_what_follows_it_is_left(pair: PAIR, make: Make, pieces: list[int]) -> None:
    transport, far = make(pair[0]), pair[1]
    sent = (bytes(range(256)) * 20_000)[: sum(pieces)]
    buffer = ReceiveBuffer(len(sent) + 4, b"head")

    def send() -> None:
        position = 0
        for size in pieces:
            far.sendall(sent[position : position + size])
            position += size
        far.sendall(b"next")

    async with anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, send)
        with anyio.fail_after(10):
            assert await transport.receive_into(buffer)
    assert buffer.message() == b"head" + sent
    assert await transport.receive(10) == b"next"


@pytest.mark.anyio
async def test_a_fill_that_is_cancelled_half_way_goes_on(pair: PAIR, make: Make) -> None:
    transport, far = make(pair[0]), pair[1]
    buffer = ReceiveBuffer(200_000, b"")
    for number in range(4):
        far.sendall(bytes([number]) * 40_000)
        with anyio.move_on_after(0.02) as scope:
            await transport.receive_into(buffer)
        assert scope.cancelled_caught
        assert buffer.received == (number + 1) * 40_000
    far.sendall(bytes([4]) * 40_000)
    assert await transport.receive_into(buffer)
    assert buffer.message() == b"".join(bytes([number]) * 40_000 for number in range(5))


@pytest.mark.anyio
async def test_a_stream_that_ends_before_a_buffer_is_full(pair: PAIR, make: Make) -> None:
    transport, far = make(pair[0]), pair[1]
    far.sendall(b"half")
    far.close()
    buffer = ReceiveBuffer(8, b"")
    assert not await transport.receive_into(buffer)
    assert buffer.received == 4
    assert not await transport.receive_into(buffer)


@pytest.mark.anyio
async def test_closing_wakes_who_fills_a_buffer(pair: PAIR, make: Make) -> None:
    transport, far = make(pair[0]), pair[1]
    far.sendall(b"half")
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:

            async def wait() -> None:
                with pytest.raises(AutoReconnect, match="closed by this client"):
                    await transport.receive_into(ReceiveBuffer(8, b""))

            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            transport.close()


@pytest.mark.anyio
async def test_a_stream_that_breaks_while_a_buffer_is_filled(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    near.setblocking(False)
    transport = make(SocketTransport(near, ADDRESS))
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    far.close()
    with pytest.raises(AutoReconnect, match="server:27017: the connection broke"):
        await transport.receive_into(ReceiveBuffer(8, b""))
    transport.close()


def test_closing_works_where_no_event_loop_runs(pair: PAIR) -> None:
    transport, far = pair
    transport.close()
    assert transport.closed
    assert far.recv(1) == b""
