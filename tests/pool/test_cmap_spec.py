"""The specification's own cases for connection pools (cmap-format), run with the real pool against a real server.

What the data calls a thread is a task here. What a failed connection means is decided as in a client, by
:mod:`wiredrv.topology.reactions`. Errors are compared by their class and address: their words are the driver's own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import pytest

import wiredrv
from tests.support.specs import SpecFile, check_count, load
from tests.support.waiting import PATIENCE, until
from wiredrv.connection.connect import establish
from wiredrv.connection.connection import Connection
from wiredrv.connection.settings import ConnectionSettings
from wiredrv.description import ServerDescription, ServerType, TopologyDescription, TopologyType
from wiredrv.errors import DriverError, InvalidOperation, WaitQueueTimeoutError
from wiredrv.events import ListenerHub
from wiredrv.local import Standalone
from wiredrv.net.dial import Dialer
from wiredrv.net.settings import NetSettings
from wiredrv.pool.pool import Pool
from wiredrv.pool.settings import PoolSettings
from wiredrv.topology.reactions import Failure, on_error
from wiredrv.types import Address

pytestmark = pytest.mark.anyio

FILES = load("connection-monitoring-and-pooling/tests/cmap-format/*.json")

#: The data's options, with the field that each sets and how many of its units make one of ours.
OPTIONS = {
    "maxPoolSize": ("max_pool_size", 1),
    "minPoolSize": ("min_pool_size", 1),
    "maxIdleTimeMS": ("max_idle_time", 1000),
    "maxConnecting": ("max_connecting", 1),
    "waitQueueTimeoutMS": ("wait_queue_timeout", 1000),
}
ERRORS: dict[str, type[DriverError]] = {
    "PoolClosedError": InvalidOperation,
    "WaitQueueTimeoutError": WaitQueueTimeoutError,
}
EVENT_FIELDS = {
    "address": "address",
    "connectionId": "connection_id",
    "duration": "duration",
    "options": "options",
    "reason": "reason",
    "interruptInUseConnections": "interrupt_in_use_connections",
}
ANYTHING = (42, "42")


class Thread:
    """A task that carries out operations in their order."""

    def __init__(self) -> None:
        self._send, self._receive = anyio.create_memory_object_stream[dict[str, Any]](100)
        self.unfinished = 0
        self.error: DriverError | None = None

    def schedule(self, operation: dict[str, Any]) -> None:
        self.unfinished += 1
        self._send.send_nowait(operation)

    async def run(self, perform: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        with self._send, self._receive:
            async for operation in self._receive:
                try:
                    await perform(operation)
                except DriverError as error:
                    self.error = error
                self.unfinished -= 1


class Interpreter:
    """Carries out the operations of one file."""

    def __init__(self, address: Address, options: dict[str, Any], tasks: anyio.abc.TaskGroup) -> None:
        options = dict(options)
        self.events: list[Any] = []
        self._tasks = tasks
        self._threads: dict[str, Thread] = {}
        self._labels: dict[str, Connection] = {}
        self.taken: list[Connection] = []
        interval = options.pop("backgroundThreadIntervalMS", None)
        settings = ConnectionSettings(app_name=options.pop("appName", None))
        dialer = Dialer(NetSettings())

        async def connect(number: int, generation: int) -> Connection:
            return await establish(address, dialer, settings, connection_id=number, generation=generation)

        self.pool = Pool(address, _settings(options), connect, ListenerHub([self.events.append]), self._failed)
        if self.pool.wants_upkeep and (interval is None or interval > 0):
            tasks.start_soon(self.pool.upkeep)

    def _failed(self, error: DriverError, generation: int) -> None:
        address = self.pool.address
        server = ServerDescription(address, ServerType.STANDALONE)
        topology = TopologyDescription(TopologyType.SINGLE, {address: server})
        failure = Failure(address, error, generation, completed_handshake=False)
        if on_error(failure, topology, self.pool.generation).clear_pool:
            self.pool.clear(error)

    async def perform(self, operation: dict[str, Any]) -> None:
        """Carry out an operation, in its thread if it has one."""
        arguments = dict(operation)
        name, thread = arguments.pop("name"), arguments.pop("thread", None)
        if thread is not None:
            self._threads[thread].schedule({"name": name, **arguments})
            return
        await _OPERATIONS[name](self, **arguments)

    async def start(self, target: str) -> None:
        self._threads[target] = Thread()
        self._tasks.start_soon(self._threads[target].run, self.perform)

    async def wait(self, ms: int) -> None:
        await anyio.sleep(ms / 1000)

    async def wait_for_thread(self, target: str) -> None:
        thread = self._threads[target]
        await until(lambda: thread.unfinished == 0, f"the end of {target}")
        if thread.error is not None:
            raise thread.error

    async def wait_for_event(self, event: str, count: int, timeout: int | None = None) -> None:
        def seen() -> bool:
            return sum(_name(happened) == event for happened in self.events) >= count

        await until(seen, f"{count} {event}", PATIENCE if timeout is None else timeout / 1000)

    async def check_out(self, label: str | None = None) -> None:
        connection = await self.pool.check_out()
        self.taken.append(connection)
        if label is not None:
            self._labels[label] = connection

    async def check_in(self, connection: str) -> None:
        returned = self._labels[connection]
        self.taken.remove(returned)
        self.pool.check_in(returned)

    async def clear(self, interruptInUseConnections: bool = False) -> None:  # the data's own name
        self.pool.clear(interrupt=interruptInUseConnections)

    async def ready(self) -> None:
        self.pool.ready()

    async def close(self) -> None:
        self.pool.close()


_OPERATIONS: dict[str, Callable[..., Awaitable[None]]] = {
    "start": Interpreter.start,
    "wait": Interpreter.wait,
    "waitForThread": Interpreter.wait_for_thread,
    "waitForEvent": Interpreter.wait_for_event,
    "checkOut": Interpreter.check_out,
    "checkIn": Interpreter.check_in,
    "clear": Interpreter.clear,
    "ready": Interpreter.ready,
    "close": Interpreter.close,
}


def _settings(options: dict[str, Any]) -> PoolSettings:
    fields = {OPTIONS[name][0]: value / OPTIONS[name][1] if value else value for name, value in options.items()}
    return PoolSettings(**fields)


def _name(event: Any) -> str:
    name = type(event).__name__.removesuffix("Event")
    return f"Connection{name}" if name.startswith("Pool") else name


def _check_event(expected: dict[str, Any], event: Any) -> None:
    expected = dict(expected)
    assert _name(event) == expected.pop("type")
    for name, value in expected.items():
        found = getattr(event, EVENT_FIELDS[name])
        assert found is not None, name
        if isinstance(value, dict):
            assert found.items() >= value.items(), name
        elif value not in ANYTHING:
            assert found == value, name


@asynccontextmanager
async def _fail_point(address: Address, command: dict[str, Any] | None) -> AsyncIterator[None]:
    if command is None:
        yield
        return
    async with wiredrv.connect(str(address)) as connection:
        await connection.command("admin", command)
        try:
            yield
        finally:
            with anyio.move_on_after(PATIENCE, shield=True):
                await connection.command("admin", {"configureFailPoint": command["configureFailPoint"], "mode": "off"})


def test_all_cases_were_found() -> None:
    check_count(FILES, 33)


@pytest.mark.parametrize("file", FILES, ids=[file.name.rpartition("/")[2] for file in FILES])
async def test_specification(file: SpecFile, standalone: Standalone) -> None:
    case = file.data
    address = standalone.primary().address
    error: DriverError | None = None
    async with _fail_point(address, case.get("failPoint")), anyio.create_task_group() as tasks:
        interpreter = Interpreter(address, case.get("poolOptions", {}), tasks)
        try:
            for operation in case["operations"]:
                await interpreter.perform(operation)
        except DriverError as raised:
            error = raised
        events = [event for event in interpreter.events if _name(event) not in case.get("ignore", ())]
        tasks.cancel_scope.cancel()
    interpreter.pool.close()
    for connection in interpreter.taken:
        interpreter.pool.check_in(connection)

    if "error" in case:
        assert type(error) is ERRORS[case["error"]["type"]]
        assert str(address) in str(error)
    else:
        assert error is None
    assert len(events) >= len(case["events"])
    for expected, event in zip(case["events"], events, strict=False):
        _check_event(expected, event)
