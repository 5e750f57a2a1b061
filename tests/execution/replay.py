"""An executor whose server is a tape: replies are bytes that a test wrote. No socket and no event loop is needed.

``Replay`` is the transport, ``FakeTopology`` and ``FakePool`` stand in for the deployment. Nothing here ever waits, so
an operation runs to completion at the first step of its coroutine; :func:`finish` takes that step.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from struct import Struct
from typing import Any, TypeVar, cast

import bson

from tests.execution.fakes import SERVER, make_handshake
from wiredrv.connection.connection import Connection
from wiredrv.description import TopologyDescription
from wiredrv.errors import DriverError
from wiredrv.execution import budget
from wiredrv.execution.executor import Executor
from wiredrv.execution.settings import ExecutionSettings
from wiredrv.listeners import ListenerHub
from wiredrv.net.transport import fill
from wiredrv.topology.topology import Topology
from wiredrv.types import Address, Buffers, ReceiveBuffer
from wiredrv.wire.op_msg import decode_message, encode_message

T = TypeVar("T")

_INT32 = Struct("<i")


class Replay:
    """A transport that answers each message that is sent with the next bytes of the tape.

    A piece of the tape is sent unchanged, except for its ``responseTo``, which is set to the request's id if the
    piece is long enough and ``rewrite`` is on. At the end of the tape the peer has closed the stream.
    """

    def __init__(self, tape: Iterable[bytes], rewrite: bool = True) -> None:
        self._tape = list(tape)
        self._rewrite = rewrite
        self._incoming = b""
        self.sent: list[bytes] = []
        self.closed = False

    async def send(self, data: Buffers) -> None:
        data = data if isinstance(data, bytes) else b"".join(data)
        self.sent.append(data)
        if not self._tape:
            return
        reply = self._tape.pop(0)
        if self._rewrite and len(reply) >= 12:
            reply = reply[:8] + data[4:8] + reply[12:]
        self._incoming += reply

    async def receive(self, max_bytes: int) -> bytes:
        piece, self._incoming = self._incoming[:max_bytes], self._incoming[max_bytes:]
        return piece

    async def receive_into(self, buffer: ReceiveBuffer) -> bool:
        return await fill(buffer, self.receive, 1 << 20)

    def close(self, *, wake: bool = True) -> None:
        self.closed = True

    def is_readable(self) -> bool:
        return bool(self._incoming)

    def commands(self) -> list[dict[str, Any]]:
        """The commands that were sent, decoded."""
        commands = []
        for message in map(decode_message, self.sent):
            command = bson.decode(message.body)
            for sequence in message.sequences:
                command[sequence.identifier] = [bson.decode(document) for document in sequence.documents]
            commands.append(command)
        return commands


class FakePool:
    """Hands out connections on one tape, and counts them. ``then``: what differs for those after the first."""

    def __init__(self, transport: Replay, then: Mapping[str, Any], **handshake: Any) -> None:
        self.generation = 0
        self.paused = False
        self.out: list[Connection] = []
        self.made: list[Connection] = []
        self._transport = transport
        self._handshake = handshake
        self._then = then

    def try_check_out(self) -> Connection | None:
        return None

    async def check_out(self, deadline: float | None = None) -> Connection:
        self._transport.closed = False
        connection = Connection(cast(Any, self._transport), SERVER, len(self.made) + 1, self.generation)
        connection.accept(make_handshake(**{**self._handshake, **(self._then if self.made else {})}))
        self.made.append(connection)
        self.out.append(connection)
        return connection

    def check_in(self, connection: Connection) -> None:
        self.out.remove(connection)


class FakeServerHandle:
    """Stands in for the topology's server."""

    def __init__(self, pool: FakePool) -> None:
        self.address = SERVER
        self.pool = pool
        self.operations = 0


class FakeTopology:
    """One server, always suitable; records the errors that are reported to it."""

    is_sharded = False
    socket_timeout: float | None = None
    oldest_wire_version = 17

    def __init__(self, server: FakeServerHandle) -> None:
        self._server = server
        self.errors: list[DriverError] = []
        self.description = replace(TopologyDescription(), logical_session_timeout_minutes=30)

    def pick(self, read_preference: object) -> FakeServerHandle:
        return self._server

    async def select(self, *arguments: Any, **more: Any) -> FakeServerHandle:
        return self._server

    def server(self, address: Address) -> FakeServerHandle | None:
        return self._server if address == SERVER else None

    def on_error(self, server: object, error: DriverError, connection: object, generation: int) -> None:
        self.errors.append(error)


class Bench:
    """An executor on a tape, with everything that a test may inspect."""

    def __init__(
        self,
        tape: Iterable[bytes],
        settings: ExecutionSettings | None = None,
        listeners: Iterable[Callable[[Any], None]] = (),
        then: Mapping[str, Any] | None = None,
        **handshake: Any,
    ) -> None:
        # Leftovers of other tests' tasks, until they are collected: on a tape there is no running task to compare with.
        budget.running.clear()
        self.transport = Replay(tape)
        self.pool = FakePool(self.transport, then or {}, **handshake)
        self.server = FakeServerHandle(self.pool)
        self.topology = FakeTopology(self.server)

        async def open_it() -> None:
            raise AssertionError("the client is open")

        self.executor = Executor(
            cast(Topology, self.topology),
            settings or ExecutionSettings(),
            ListenerHub(listeners),
            None,
            open_it,
        )

    def nothing_is_out(self) -> None:
        """No connection is checked out, and no operation is counted as running."""
        assert self.pool.out == []
        assert self.server.operations == 0


def reply(document: dict[str, Any], flags: int = 0) -> bytes:
    """A whole message; the replay sets its ``responseTo``."""
    return encode_message(bson.encode(document), 77, flags=flags)


def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise AssertionError("the operation waited for something, on a tape")
