"""The transport on asyncio: nothing is lost, there is no busy loop, closing wakes. The sockets are real (a pair)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import anyio
import anyio.lowlevel
import pytest

from wiredrv.errors import AutoReconnect
from wiredrv.net.asyncio_transport import AsyncioSocketTransport, socket_transport
from wiredrv.net.transport import SocketTransport
from wiredrv.types import Address, ReceiveBuffer

ADDRESS = Address("peer.test", 27017)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


def make(ours: socket.socket) -> AsyncioSocketTransport:
    transport = socket_transport(ours, ADDRESS)
    assert isinstance(transport, AsyncioSocketTransport)
    return transport


@pytest.mark.anyio
async def test_each_event_loop_gets_its_transport(
    pair: tuple[socket.socket, socket.socket], anyio_backend_name: str
) -> None:
    transport = socket_transport(pair[0], ADDRESS)
    assert type(transport) is (AsyncioSocketTransport if anyio_backend_name == "asyncio" else SocketTransport)
    transport.close()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
class TestReceiving:
    async def test_bytes_arrive(self, pair: tuple[socket.socket, socket.socket]) -> None:
        transport = make(pair[0])
        for sent in (b"one", b"two"):
            pair[1].send(sent)
            assert await transport.receive(100) == sent
        transport.close()

    async def test_a_cancelled_receive_loses_no_bytes(self, pair: tuple[socket.socket, socket.socket]) -> None:
        transport = make(pair[0])
        task = asyncio.create_task(transport.receive(100))
        await asyncio.sleep(0)
        # The loop reads the bytes, and the cancellation arrives before the task runs again.
        pair[1].send(b"late")
        transport._on_readable()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert transport.is_readable()
        assert await transport.receive(100) == b"late"
        transport.close()

    async def test_bytes_of_a_cancelled_receive_go_into_a_buffer_first(
        self, pair: tuple[socket.socket, socket.socket]
    ) -> None:
        transport = make(pair[0])
        for length in (3, 4, 6):
            task = asyncio.create_task(transport.receive(100))
            await asyncio.sleep(0)
            pair[1].send(b"late")
            transport._on_readable()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            pair[1].send(b"later")
            buffer = ReceiveBuffer(length, b"")
            assert await transport.receive_into(buffer)
            assert buffer.message() == b"latelater"[:length]
            rest = b""
            while len(rest) < 9 - length:
                rest += await transport.receive(100)
            assert rest == b"latelater"[length:]
        transport.close()

    async def test_a_fill_that_is_cancelled_as_its_last_bytes_come_has_them(
        self, pair: tuple[socket.socket, socket.socket]
    ) -> None:
        transport = make(pair[0])
        buffer = ReceiveBuffer(8, b"")
        task = asyncio.create_task(transport.receive_into(buffer))
        await asyncio.sleep(0)
        pair[1].send(b"too late")
        transport._on_readable()
        task.cancel()
        transport._on_readable()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert buffer.message() == b"too late"
        assert await transport.receive_into(buffer)
        pair[1].send(b"next")
        assert await transport.receive(10) == b"next"
        transport.close()

    async def test_a_large_message_wakes_its_task_once(self, pair: tuple[socket.socket, socket.socket]) -> None:
        transport = make(pair[0])
        buffer = ReceiveBuffer(30, b"")
        task = asyncio.create_task(transport.receive_into(buffer))
        await asyncio.sleep(0)
        waiter = transport._waiter
        for _ in range(2):
            pair[1].send(b"0123456789")
            transport._on_readable()
            await asyncio.sleep(0)
            assert transport._waiter is waiter
        assert buffer.missing == 10
        pair[1].send(b"0123456789" + b"next")
        assert await task
        assert await transport.receive(10) == b"next"
        transport.close()

    async def test_cancelled_before_anything_came(self, pair: tuple[socket.socket, socket.socket]) -> None:
        transport = make(pair[0])
        with anyio.move_on_after(0.01) as scope:
            await transport.receive(100)
        assert scope.cancelled_caught
        pair[1].send(b"later")
        assert await transport.receive(100) == b"later"
        transport.close()

    async def test_much_arrives_whole(self, pair: tuple[socket.socket, socket.socket]) -> None:
        transport = make(pair[0])
        whole = bytes(range(256)) * 20_000
        received = bytearray()

        async def send() -> None:
            rest = memoryview(whole)
            while rest:
                await anyio.wait_writable(pair[1])
                rest = rest[pair[1].send(rest) :]
            pair[1].close()

        async with anyio.create_task_group() as group:
            group.start_soon(send)
            while chunk := await transport.receive(65_536):
                received += chunk
        assert bytes(received) == whole
        transport.close()

    async def test_the_end_of_an_idle_stream_is_seen_and_does_not_spin(
        self, pair: tuple[socket.socket, socket.socket]
    ) -> None:
        transport = make(pair[0])
        pair[1].send(b"x")
        await transport.receive(100)
        assert not transport.is_readable()
        pair[1].close()
        with anyio.fail_after(5):
            while transport._registered:
                await anyio.lowlevel.checkpoint()
        assert transport.is_readable()
        assert await transport.receive(100) == b""
        transport.close()

    async def test_closing_wakes_who_waits(self, pair: tuple[socket.socket, socket.socket]) -> None:
        transport = make(pair[0])
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:

                async def wait() -> None:
                    with pytest.raises(AutoReconnect, match="closed by this client"):
                        await transport.receive(100)

                group.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                transport.close()
        assert not transport._registered

    async def test_a_broken_stream_is_an_error_of_ours(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours = socket.create_connection(server.getsockname())
            theirs, _ = server.accept()
        ours.setblocking(False)
        transport = make(ours)
        # A reset instead of an orderly close.
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        theirs.close()
        with pytest.raises(AutoReconnect, match=r"peer\.test:27017: the connection broke"):
            await transport.receive(100)
        transport.close()
