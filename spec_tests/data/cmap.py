"""Connection pools (cmap-format): the real pool carries out the operations; connections are stand-ins.

What the data calls a thread is a task here, or a thread with ``--backend threads``. The fail point of the case
determines how long establishing a connection takes and whether it fails; the tests of the driver run the same cases
against a real server (:func:`run_case`). As in a client, :mod:`wiredrv.topology.reactions` decides what follows from
a failed connection. Errors are compared by their class and by the address that they name, since their wording is the
driver's own.

Connection-monitoring-and-pooling specification, tests/cmap-format/README.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from spec_tests.data.case import Case, DataCase, equal, files
from spec_tests.errors import RunnerError, SpecFailure
from wiredrv import waits
from wiredrv.connection.connection import Connection
from wiredrv.connection.handshake import read_handshake
from wiredrv.connection.settings import ConnectionSettings
from wiredrv.description import ServerDescription, ServerType, TopologyDescription, TopologyType
from wiredrv.errors import AutoReconnect, DriverError, InvalidOperation, WaitQueueTimeoutError
from wiredrv.listeners import ListenerHub
from wiredrv.pool.pool import Connect, Pool
from wiredrv.pool.settings import PoolSettings
from wiredrv.server_errors import command_error
from wiredrv.server_facts import MAX_WIRE_VERSION
from wiredrv.topology.reactions import Failure, on_error
from wiredrv.types import Address, Buffers, ReceiveBuffer

#: Seconds that a wait for an event or a thread may take where the data names no limit.
_PATIENCE = 10.0

#: The data's options, with the field that each sets and the factor between their units.
_OPTIONS = {
    "maxPoolSize": ("max_pool_size", 1),
    "minPoolSize": ("min_pool_size", 1),
    "maxIdleTimeMS": ("max_idle_time", 1000),
    "maxConnecting": ("max_connecting", 1),
    "waitQueueTimeoutMS": ("wait_queue_timeout", 1000),
}
#: Options that are for the test, not for the pool.
_TEST_OPTIONS = frozenset({"appName", "backgroundThreadIntervalMS"})
_ERRORS: Mapping[str, type[DriverError]] = {
    "PoolClosedError": InvalidOperation,
    "WaitQueueTimeoutError": WaitQueueTimeoutError,
}
_EVENT_FIELDS = {
    "address": "address",
    "connectionId": "connection_id",
    "duration": "duration",
    "options": "options",
    "reason": "reason",
    "interruptInUseConnections": "interrupt_in_use_connections",
}
_ANYTHING = (42, "42")
#: The address of the stand-ins' server.
_SOMEWHERE = Address("pool.example")


def pools(tests: Path) -> Iterator[DataCase]:
    """The cases, with connections that are stand-ins."""
    for name, case in files(tests, "cmap-format/*.json"):
        yield DataCase(name, case["description"], partial(_run, case))


async def _run(case: Case) -> None:
    await run_case(case, _SOMEWHERE, partial(_connect, case.get("failPoint")))


async def run_case(case: Case, address: Address, connect: Connect) -> None:
    """Run a case with connections that ``connect`` makes. Raises SpecFailure unless it passes."""
    error: DriverError | None = None
    problem: Exception | None = None
    async with waits.create_task_group() as tasks:
        run = PoolRun(address, case.get("poolOptions", {}), connect, tasks)
        try:
            for operation in case["operations"]:
                await run.perform(operation)
        except DriverError as raised:
            error = raised
        except Exception as raised:  # raised again outside of the group, which would wrap it
            problem = raised
        seen = list(run.events)
        tasks.cancel_scope.cancel()
    run.give_back()
    if problem is not None:
        raise problem
    _check_error(case.get("error"), error, address)
    _check_events(case["events"], [event for event in seen if _name(event) not in case.get("ignore", ())])


class PoolRun:
    """Carries out the operations of one case on a pool."""

    def __init__(self, address: Address, options: Mapping[str, Any], connect: Connect, tasks: waits.TaskGroup) -> None:
        self.events: list[Any] = []
        self._changed: waits.Event | None = None
        self._tasks = tasks
        self._threads: dict[str, _Thread] = {}
        self._labels: dict[str, Connection] = {}
        self._taken: list[Connection] = []
        self.pool = Pool(address, _settings(options), connect, ListenerHub([self._hear]), self._failed)
        if self.pool.wants_upkeep and options.get("backgroundThreadIntervalMS", 1) > 0:
            tasks.start_soon(self.pool.upkeep)

    def give_back(self) -> None:
        """Close the pool and every connection that is still in use."""
        self.pool.close()
        while self._taken:
            self.pool.check_in(self._taken.pop())

    def _hear(self, event: Any) -> None:
        self.events.append(event)
        self._wake()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def _failed(self, error: DriverError, generation: int) -> None:
        address = self.pool.address
        server = ServerDescription(address, ServerType.STANDALONE)
        topology = TopologyDescription(TopologyType.SINGLE, {address: server})
        failure = Failure(address, error, generation, completed_handshake=False)
        if on_error(failure, topology, self.pool.generation).clear_pool:
            self.pool.clear(error)

    async def _until(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        with waits.move_on_after(seconds):
            while not condition():
                if self._changed is None:
                    self._changed = waits.Event()
                await self._changed.wait()
        if not condition():
            raise SpecFailure(f"within {seconds:g} s there was no {what}", "operations")

    # --- operations, by the data's names ---

    async def perform(self, operation: Mapping[str, Any]) -> None:
        """Carry out an operation, in its thread if it has one."""
        arguments = dict(operation)
        name, thread = arguments.pop("name"), arguments.pop("thread", None)
        if thread is not None:
            self._threads[thread].schedule({"name": name, **arguments})
            return
        if name not in _OPERATIONS:
            raise RunnerError(f"there is no operation {name!r}")
        await _OPERATIONS[name](self, **arguments)

    async def start(self, target: str) -> None:
        self._threads[target] = thread = _Thread(self._wake)
        self._tasks.start_soon(thread.run, self.perform)

    async def wait(self, ms: int) -> None:
        await waits.sleep(ms / 1000)

    async def wait_for_thread(self, target: str) -> None:
        thread = self._threads[target]
        await self._until(lambda: thread.unfinished == 0, f"end of {target}", _PATIENCE)
        if thread.error is not None:
            raise thread.error

    async def wait_for_event(self, event: str, count: int, timeout: int | None = None) -> None:
        def seen() -> bool:
            return sum(_name(happened) == event for happened in self.events) >= count

        await self._until(seen, f"{event} for the {count}. time", _PATIENCE if timeout is None else timeout / 1000)

    async def check_out(self, label: str | None = None) -> None:
        connection = await self.pool.check_out()
        self._taken.append(connection)
        if label is not None:
            self._labels[label] = connection

    async def check_in(self, connection: str) -> None:
        returned = self._labels[connection]
        self._taken.remove(returned)
        self.pool.check_in(returned)

    async def clear(self, interruptInUseConnections: bool = False) -> None:  # the data's own name
        self.pool.clear(interrupt=interruptInUseConnections)

    async def ready(self) -> None:
        self.pool.ready()

    async def close(self) -> None:
        self.pool.close()


_OPERATIONS: Mapping[str, Callable[..., Awaitable[None]]] = {
    "start": PoolRun.start,
    "wait": PoolRun.wait,
    "waitForThread": PoolRun.wait_for_thread,
    "waitForEvent": PoolRun.wait_for_event,
    "checkOut": PoolRun.check_out,
    "checkIn": PoolRun.check_in,
    "clear": PoolRun.clear,
    "ready": PoolRun.ready,
    "close": PoolRun.close,
}


class _Thread:
    """A task that carries out operations in their order."""

    def __init__(self, told: Callable[[], None]) -> None:
        self._operations: deque[dict[str, Any]] = deque()
        self._wanted = waits.Event()
        self._told = told
        self.unfinished = 0
        self.error: DriverError | None = None

    def schedule(self, operation: dict[str, Any]) -> None:
        self.unfinished += 1
        self._operations.append(operation)
        self._wanted.set()

    async def run(self, perform: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        while True:
            await self._wanted.wait()
            self._wanted = waits.Event()
            while self._operations:
                try:
                    await perform(self._operations.popleft())
                except DriverError as error:
                    self.error = error
                self.unfinished -= 1
                self._told()


class _Nowhere:
    """A transport to nothing."""

    async def send(self, data: Buffers) -> None:
        raise AutoReconnect("nobody is there")

    async def receive(self, max_bytes: int) -> bytes:
        return b""

    async def receive_into(self, buffer: ReceiveBuffer) -> bool:
        return False

    def close(self, *, wake: bool = True) -> None:
        pass

    def is_readable(self) -> bool:
        return False


async def _connect(fail_point: Mapping[str, Any] | None, number: int, generation: int, scope: object) -> Connection:
    await waits.checkpoint()
    if fail_point is not None:
        data = fail_point["data"]
        await waits.sleep(data.get("blockTimeMS", 0) / 1000)
        if "errorCode" in data:
            raise command_error({"ok": 0, "code": data["errorCode"], "errmsg": "as the fail point has it"})
    connection = Connection(_Nowhere(), _SOMEWHERE, number, generation)
    connection.accept(read_handshake(_SOMEWHERE, {"ok": 1, "maxWireVersion": MAX_WIRE_VERSION}, ConnectionSettings()))
    return connection


def _settings(options: Mapping[str, Any]) -> PoolSettings:
    fields: dict[str, Any] = {}
    for name, value in options.items():
        if name in _OPTIONS:
            field, unit = _OPTIONS[name]
            fields[field] = value / unit if unit > 1 else value
        elif name not in _TEST_OPTIONS:
            raise RunnerError(f"there is no pool option {name!r}")
    return PoolSettings(**fields)


# --- judging ---


def _name(event: Any) -> str:
    name = type(event).__name__.removesuffix("Event")
    return f"Connection{name}" if name.startswith("Pool") else name


def _check_error(expected: Mapping[str, Any] | None, error: DriverError | None, address: Address) -> None:
    wanted = None if expected is None else _ERRORS[expected["type"]]
    equal("error.type", None if error is None else type(error), wanted)
    if error is not None and str(address) not in str(error):
        raise SpecFailure("the error does not name the pool's address", "error.address", str(address), str(error))


def _check_events(expected: list[Mapping[str, Any]], seen: list[Any]) -> None:
    names = [_name(event) for event in seen[: len(expected)]]
    equal("events", names, [event["type"] for event in expected])
    for number, (wanted, event) in enumerate(zip(expected, seen, strict=False)):
        for key, value in wanted.items():
            if key != "type":
                _check_field(f"events[{number}].{key}", value, getattr(event, _EVENT_FIELDS[key]))


def _check_field(path: str, expected: Any, found: Any) -> None:
    if found is None:
        raise SpecFailure("it is not there", path, expected, found)
    if isinstance(expected, Mapping):
        equal(path, {key: found.get(key) for key in expected}, dict(expected))
    elif expected not in _ANYTHING:
        equal(path, found, expected)
