"""The plain socket transport: whole sends, waits that end, streams that break."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import anyio
import anyio.to_thread
import pytest

from wiredrv.errors import AutoReconnect
from wiredrv.net.transport import SocketTransport, unsent
from wiredrv.types import Address

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


def test_closing_works_where_no_event_loop_runs(pair: PAIR) -> None:
    transport, far = pair
    transport.close()
    assert transport.closed
    assert far.recv(1) == b""
