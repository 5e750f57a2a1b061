"""A fault proxy: it listens on loopback in front of each member of a real replica set, and causes faults on request.

The servers behind it are real and work normally; only the traffic between them and the client is disturbed. It parses
each message, so that a fault can apply to one command: its request or its reply is held back for ever, sent byte by
byte, or cut off in the middle, after which the connection is closed. A member's proxy can also refuse connections, and
close the existing ones.

In the members' replies to ``hello`` it replaces the members' own addresses by the proxies' addresses, so that a client
that was given the proxies' addresses keeps using them. The members reach each other directly, without faults.

It runs in an event loop of its own, in a thread of its own; its methods are ordinary functions that return at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self

import bson

from wiredrv.local import ReplicaSet, Server
from wiredrv.local.server import LOOPBACK, free_ports
from wiredrv.types import Address, Received
from wiredrv.wire.framing import READ_SIZE, Framer
from wiredrv.wire.op_msg import MORE_TO_COME, Message, decode_message, encode_message

_PATIENCE = 20.0
_HELLOS = frozenset({"hello", "isMaster", "ismaster"})
_HOST_LISTS = ("hosts", "passives", "arbiters")
_HOSTS = ("me", "primary")


class Direction(Enum):
    """Which way a message travels."""

    REQUEST = "request"
    REPLY = "reply"


class Mode(Enum):
    """What happens to a message."""

    #: Neither it nor anything after it arrives. The connection stays open.
    HOLD = "hold"
    #: It arrives whole, one byte at a time.
    DRIP = "drip"
    #: Its beginning arrives, and then the connection is closed.
    CUT = "cut"


@dataclass
class Fault:
    """What happens, and to which messages; ``met`` counts them.

    :param commands: the commands whose messages are affected; empty means all. ``handshake`` is the first of a
        connection, ``hello`` any later one under any of its names: the monitors' checks.
    :param direction: whether requests or replies are affected.
    :param times: how many messages are affected.
    :param after: for a cut, how many bytes get through.
    :param pause: for a drip, how many seconds pass between two bytes.
    """

    mode: Mode
    commands: frozenset[str] = frozenset()
    direction: Direction = Direction.REPLY
    times: float = float("inf")
    after: int = 0
    pause: float = 0.0
    met: int = 0

    def meets(self, direction: Direction, command: str) -> bool:
        """Whether a message is affected; if so, it is counted."""
        meant = direction is self.direction and self.met < self.times
        if not meant or (self.commands and command not in self.commands):
            return False
        self.met += 1
        return True


def hold(*commands: str, direction: Direction = Direction.REPLY, times: float = float("inf")) -> Fault:
    """Messages that never arrive."""
    return Fault(Mode.HOLD, frozenset(commands), direction, times)


def drip(*commands: str, pause: float = 0.0, times: float = float("inf")) -> Fault:
    """Replies that arrive byte by byte, ``pause`` seconds apart."""
    return Fault(Mode.DRIP, frozenset(commands), times=times, pause=pause)


def cut(*commands: str, after: int = 0, direction: Direction = Direction.REPLY, times: float = float("inf")) -> Fault:
    """Messages of which ``after`` bytes arrive before the connection is closed."""
    return Fault(Mode.CUT, frozenset(commands), direction, times, after)


class FaultProxy:
    """The proxy in front of one member. :meth:`doing` switches faults on; ``met`` shows what the proxy has seen."""

    def __init__(self, server: Server, port: int, loop: asyncio.AbstractEventLoop, hosts: Mapping[str, str]) -> None:
        self.server = server
        self.address = Address(LOOPBACK, port)
        self._loop = loop
        self._hosts = hosts
        self._faults: list[Fault] = []
        self._listener: asyncio.Server | None = None
        self._pairs: set[asyncio.Task[None]] = set()
        #: What went wrong in the proxy itself.
        self.errors: list[BaseException] = []

    @contextmanager
    def doing(self, fault: Fault) -> Iterator[Fault]:
        """Make it do what ``fault`` says while the block runs. Messages that were held stay held afterwards."""
        self._faults.append(fault)
        try:
            yield fault
        finally:
            self._faults.remove(fault)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse new connections while the block runs, as if nothing listened on the port. Existing ones stay open."""
        self._run(self._deafen)
        try:
            yield
        finally:
            self._run(self.listen)

    def close_connections(self) -> None:
        """Close all existing connections."""
        self._run(self.drop)

    def _run(self, function: Callable[[], Awaitable[None]]) -> None:
        run(self._loop, function)

    # --- in the proxy's own loop ---

    async def listen(self) -> None:
        """Accept connections."""
        self._listener = await asyncio.start_server(self._accept, LOOPBACK, self.address.port)

    async def drop(self) -> None:
        """Close all connections and wait until they are closed."""
        pairs = tuple(self._pairs)
        for pair in pairs:
            pair.cancel()
        await asyncio.gather(*pairs, return_exceptions=True)

    async def stop(self) -> None:
        """Accept no more connections, and close the existing ones."""
        await self._deafen()
        await self.drop()

    async def _deafen(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = _Pair(self.server.address, _Stream(reader, writer), self._fault_for, self._hosts)
        task = self._loop.create_task(pair.run())
        self._pairs.add(task)
        task.add_done_callback(self._ended)
        task.add_done_callback(lambda _: writer.close())  # for one that was cancelled before it began

    def _ended(self, pair: asyncio.Task[None]) -> None:
        self._pairs.discard(pair)
        error = None if pair.cancelled() else pair.exception()
        if error is not None:
            self.errors.append(error)

    def _fault_for(self, direction: Direction, command: str) -> Fault | None:
        return next((fault for fault in tuple(self._faults) if fault.meets(direction, command)), None)


class FaultProxies:
    """The proxies in front of all members of ``replica_set``; they run while the block does."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self.replica_set = replica_set
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)
        addresses = [server.address for server in replica_set.members]
        ports = free_ports(len(addresses))
        hosts = {str(own): str(Address(LOOPBACK, port)) for own, port in zip(addresses, ports, strict=True)}
        self.members = tuple(
            FaultProxy(server, port, self._loop, hosts) for server, port in zip(replica_set.members, ports, strict=True)
        )

    @property
    def uri(self) -> str:
        """The URI of a client that reaches the replica set through the proxies."""
        hosts = ",".join(str(proxy.address) for proxy in self.members)
        return f"mongodb://{hosts}/?replicaSet={self.replica_set.name}"

    @contextmanager
    def doing(self, fault: Fault) -> Iterator[Fault]:
        """Like :meth:`FaultProxy.doing`, in front of every member."""
        with ExitStack() as stack:
            for proxy in self.members:
                stack.enter_context(proxy.doing(fault))
            yield fault

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Like :meth:`FaultProxy.refusing`, in front of every member."""
        with ExitStack() as stack:
            for proxy in self.members:
                stack.enter_context(proxy.refusing())
            yield

    def before(self, server: Server | Address) -> FaultProxy:
        """The proxy in front of a member; for a proxy's address, that proxy."""
        return next(proxy for proxy in self.members if server in (proxy.server, proxy.address))

    def __enter__(self) -> Self:
        self._thread.start()
        for proxy in self.members:
            run(self._loop, proxy.listen)
        return self

    def __exit__(self, *_: object) -> None:
        for proxy in self.members:
            run(self._loop, proxy.stop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        assert not self._thread.is_alive(), "the fault proxy did not end"
        self._loop.close()
        errors = [error for proxy in self.members for error in proxy.errors]
        assert not errors, f"the fault proxy failed: {errors!r}"


def run(loop: asyncio.AbstractEventLoop, function: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine function in the loop of another thread, and wait until it is done."""

    async def call() -> None:
        await function()

    asyncio.run_coroutine_threadsafe(call(), loop).result(_PATIENCE)


@dataclass(frozen=True)
class _Stream:
    """One side of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: Received) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def drip(self, data: Received, pause: float) -> None:
        for position in range(len(data)):
            await self.send(data[position : position + 1])
            await asyncio.sleep(pause)

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


@dataclass(eq=False)
class _Pair:
    """A client's connection and the matching one to the server: what comes from one goes to the other."""

    upstream: Address
    client: _Stream
    fault_for: Callable[[Direction, str], Fault | None]
    hosts: Mapping[str, str]
    #: The names of the commands that await a reply, by the request ids that the replies will name.
    names: dict[int, str] = field(default_factory=dict)
    handshaken: bool = False

    async def run(self) -> None:
        try:
            with contextlib.suppress(OSError):
                server = _Stream(*await asyncio.open_connection(self.upstream.host, self.upstream.port))
                try:
                    await self._join(server)
                finally:
                    await server.close()
        finally:
            await self.client.close()

    async def _join(self, server: _Stream) -> None:
        """Forward in both directions until either side ends."""
        tasks = {
            asyncio.create_task(self._carry(Direction.REQUEST, self.client, server)),
            asyncio.create_task(self._carry(Direction.REPLY, server, self.client)),
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _carry(self, direction: Direction, source: _Stream, sink: _Stream) -> None:
        framer = Framer()
        held = False
        with contextlib.suppress(OSError):
            while data := await source.reader.read(READ_SIZE):
                message = framer.feed(data)
                # What comes after a message that was held is lost too, but the end of the connection is noticed.
                while message is not None and not held:
                    fault, message = self._look(direction, message)
                    held = fault is not None and fault.mode is Mode.HOLD
                    if fault is None:
                        await sink.send(message)
                    elif fault.mode is Mode.DRIP:
                        await sink.drip(message, fault.pause)
                    elif fault.mode is Mode.CUT:
                        await sink.send(message[: fault.after])
                        return
                    message = framer.next()

    def _look(self, direction: Direction, data: Received) -> tuple[Fault | None, Received]:
        """What happens to a message, and the message as it is forwarded."""
        message = decode_message(data)
        if direction is Direction.REQUEST:
            name = next(iter(bson.decode(message.body)))
            if name in _HELLOS:
                name = "hello" if self.handshaken else "handshake"
            self.handshaken = True
            self.names[message.request_id] = name
        else:
            name = self.names.pop(message.response_to)
            if message.more_to_come:
                self.names[message.request_id] = name
            if name in ("hello", "handshake"):
                data = _with_other_hosts(message, self.hosts)
        return self.fault_for(direction, name), data


def _with_other_hosts(message: Message, hosts: Mapping[str, str]) -> bytes:
    """A reply to ``hello`` with the hosts replaced; those not in ``hosts`` stay."""
    reply: dict[str, Any] = bson.decode(message.body)
    for name in _HOST_LISTS:
        if name in reply:
            reply[name] = [hosts.get(host, host) for host in reply[name]]
    for name in _HOSTS:
        if name in reply:
            reply[name] = hosts.get(reply[name], reply[name])
    return encode_message(bson.encode(reply), message.request_id, (), message.flags & MORE_TO_COME, message.response_to)
