"""The thin shell: runs steps on one driver and records the results."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import anyio
from anyio.from_thread import start_blocking_portal

from tests.differential.adapters import Adapter
from tests.differential.calls import Block, Call, Get, Make, StartSession, Step, Take, Target, TheDatabase, TheSession
from tests.differential.described import TAKES_DOCUMENTS, documents, failure, is_unacknowledged, result
from tests.differential.log import Log
from tests.differential.normal import Names
from tests.differential.outcomes import Command, Failed, Record, Returned

T = TypeVar("T")

#: Seconds that one step may take: the server ends whatever is stuck before that.
STEP_LIMIT = 30.0
#: How many events a change stream is read for at once.
MOST_EVENTS = 50
#: How often a callback of with_transaction is run before it gives up.
MOST_ATTEMPTS = 3


class UserError(Exception):
    """Raised by a scenario's block as an application would."""


class Side:
    """One driver on its own database.

    :param database: the name of its database.
    :param foreign: the name of the other driver's database.
    """

    def __init__(self, adapter: Adapter, uri: str, database: str, foreign: str) -> None:
        self.adapter = adapter
        self.log = Log()
        self.client = adapter.client(uri, self.log)
        self.database_name = database
        self._foreign = foreign
        self._sessions: dict[int, Any] = {}
        self._cursors: dict[int, Any] = {}
        self._records: list[Record] = []

    # --- a scenario ---

    def begin(self) -> None:
        """Start a scenario."""
        self.log.begin(Names(self.database_name, self._foreign))

    async def perform(self, step: Step) -> list[Record]:
        """Run one step, and return its record; the record of a block comes after those of its calls."""
        self._records = []
        try:
            with anyio.fail_after(STEP_LIMIT):
                await self._perform(step)
        except TimeoutError:
            told = f"not done within {STEP_LIMIT} seconds"
            self._records.append(Record(step, Failed("Stuck", ("Stuck",), told), self.log.take()))
        return self._records

    async def _perform(self, step: Step) -> None:
        if isinstance(step, Block):
            await self._recorded(step, self._block(step))
        elif isinstance(step, StartSession):
            await self._recorded(step, self._start_session(step))
        else:
            await self._perform_call(step)

    async def end(self) -> None:
        """End what the scenario left open: cursors, then sessions."""
        for cursor in self._cursors.values():
            with contextlib.suppress(Exception):
                await cursor.close()
        self._cursors.clear()
        for session in self._sessions.values():
            with contextlib.suppress(Exception):
                await session.end_session()
        self._sessions.clear()

    async def settle(self) -> None:
        """Wait until unacknowledged writes have been carried out."""
        await self._settle()

    async def _settle(self) -> None:
        self.log.paused = True
        try:
            await self.client.admin.command("ping")
        finally:
            self.log.paused = False

    async def close(self) -> None:
        """Close the client."""
        self.log.paused = True
        await self.client.close()

    # --- steps ---

    async def _recorded(self, step: Step, action: Any, arguments: list[Any] | None = None) -> BaseException | None:
        """Await ``action`` and add its record; an error is returned."""
        names = self.log.names
        error: Exception | None = None
        try:
            value = await action
            outcome: Returned | Failed = Returned(result(value, _last_method(step), names))
        except Exception as raised:
            error = raised
            outcome = failure(raised, names)
        commands = _compared_commands(step, self.log.take())
        # Values that were not sent get no names: one driver adds a document's id before it rejects the next, one after.
        told = None if arguments is None else names.value(arguments) if commands else names.glimpse(arguments)
        self._records.append(Record(step, outcome, commands, told))
        return error

    async def _perform_call(self, step: Call | Get) -> BaseException | None:
        if isinstance(step, Get):
            return await self._recorded(step, self._get(step))
        given: list[Any] = []
        keep = given if step.method in TAKES_DOCUMENTS else None
        return await self._recorded(step, self._call(step, given), keep)

    async def _get(self, step: Get) -> Any:
        value = getattr(self._target(step.target), step.attribute)
        if step.attribute == "cursor_id":
            return self.log.names.cursors.get(int(value), 0) if value is not None else None
        if step.attribute == "resume_token":
            return "<token>" if value else value
        return tuple(value) if step.attribute == "address" and value else value

    async def _call(self, step: Call, given: list[Any]) -> Any:
        args = [self.real(value) for value in step.args]
        keywords = {name: self.real(value) for name, value in step.options}
        given += [documents(value) for value in args]
        if step.method == "rewind":
            self.log.rewinds(self._target(step.target).cursor_id or 0)
        if step.method == "drain":
            return await _drained(self._target(step.target))
        found = await _awaited(getattr(self._target(step.target), step.method)(*args, **keywords))
        for method, more, options in step.chain:
            keywords = {name: self.real(value) for name, value in options}
            found = await _awaited(getattr(found, method)(*map(self.real, more), **keywords))
        taken = args[-1].getvalue() if step.take.how == "written" else await self._taken(found, step.take)
        if any(is_unacknowledged(value) for value in (taken, *(v for _, v in step.target.options))):
            await self._settle()
        return taken

    async def _taken(self, result: Any, take: Take) -> Any:
        match take.how:
            case "value":
                return result
            case "ignore":
                return None
            case "keys":
                return sorted(result)
            case "keep":
                self._cursors[take.number or 0] = result
                return "<cursor>"
        try:
            match take.how:
                case "list":
                    return await (result.to_list() if take.number is None else result.to_list(take.number))
                case "files":
                    return [(file._id, file.filename, await file.read()) async for file in result]
                case "each":
                    return [document async for document in _some(result, take.number)]
                case _:
                    return await getattr(result, take.how)()
        finally:
            await result.close()

    async def _start_session(self, step: StartSession) -> Any:
        session = await _awaited(self.client.start_session(**{n: self.real(v) for n, v in step.options}))
        self._sessions[step.number] = session
        self.log.names.sessions[bytes(session.session_id["id"])] = f"session{step.number}"
        return "<session>"

    async def _block(self, step: Block) -> Any:
        session = self._sessions[step.session]
        options = {name: self.real(value) for name, value in step.options}
        if step.kind == "with_transaction":
            attempts = 0

            async def callback(_: Any) -> str:
                nonlocal attempts
                attempts += 1
                if attempts > MOST_ATTEMPTS:
                    # A callback that swallows a transaction's errors may be retried for minutes.
                    raise UserError
                await self._body(step)
                return "<returned>"

            return await session.with_transaction(callback, **options)
        opened = session.start_transaction(**options) if step.kind == "transaction" else session.bind(**options)
        if inspect.isawaitable(opened):
            opened = await opened
        async with opened:
            await self._body(step)
        return "<left>"

    async def _body(self, step: Block) -> None:
        for inner in step.steps:
            error = await self._perform_call(inner)
            if error is not None and not step.forgives:
                raise error
        if step.raises:
            raise UserError

    # --- values ---

    def _target(self, target: Target) -> Any:
        handle: Any
        match target.kind:
            case "client":
                handle = self.client
            case "database":
                handle = self.client[self.database_name]
            case "collection":
                handle = self.client[self.database_name][target.name]
            case "bucket":
                given = {name: self.real(value) for name, value in target.options}
                return self.adapter.bucket(self.client[self.database_name], str(target.name), given)
            case "session":
                handle = self._sessions[int(target.name)]
            case _:
                handle = self._cursors[int(target.name)]
        if target.options:
            handle = handle.with_options(**{name: self.real(value) for name, value in target.options})
        return handle

    def real(self, value: Any) -> Any:
        """A value as the driver expects it, with its own containers that the driver may change."""
        if isinstance(value, Make):
            args = tuple(self.real(arg) for arg in value.args)
            return self.adapter.make(value.kind, args, {name: self.real(item) for name, item in value.options})
        if isinstance(value, Get):
            return getattr(self._target(value.target), value.attribute)
        if isinstance(value, TheSession):
            return self._sessions[value.number]
        if isinstance(value, TheDatabase):
            return self.database_name
        if type(value) is dict:
            return {self.real(key): self.real(item) for key, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self.real(item) for item in value)
        return value


class SideOnTrio(Side):
    """A driver in a trio event loop, which runs in a thread of its own."""

    def __init__(self, adapter: Adapter, uri: str, database: str, foreign: str) -> None:
        super().__init__(adapter, uri, database, foreign)
        self._thread = contextlib.ExitStack()
        self._portal = self._thread.enter_context(start_blocking_portal("trio"))

    async def _there(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        return await asyncio.wrap_future(self._portal.start_task_soon(function, *args))

    async def perform(self, step: Step) -> list[Record]:
        """Like any side's."""
        return await self._there(super().perform, step)

    async def end(self) -> None:
        """Like any side's."""
        await self._there(super().end)

    async def settle(self) -> None:
        """Like any side's."""
        await self._there(self._settle)

    async def close(self) -> None:
        """Like any side's; the thread ends."""
        await self._there(super().close)
        self._thread.close()


async def _awaited(value: Any) -> Any:
    """A method's result, awaited if it is awaitable: one driver may return a coroutine where the other does not."""
    return await value if inspect.isawaitable(value) else value


async def _drained(stream: Any) -> list[Any]:
    """The events of a change stream until there are no more."""
    events: list[Any] = []
    while len(events) < MOST_EVENTS and (event := await stream.try_next()) is not None:
        events.append(event)
    return events


def _compared_commands(step: Step, commands: tuple[Command, ...]) -> tuple[Command, ...]:
    """What is compared of a step's commands: of files and events only in which sessions they were sent."""
    if not commands or not isinstance(step, Call | Get) or step.target.kind not in ("bucket", "file", "events"):
        return commands
    sessions = sorted({str(command.get("lsid", "none")).partition(",")[0] for command in commands})
    transaction = any(command.get("autocommit") is False for command in commands)
    return ({step.target.kind: "its commands", "sessions": sessions, "transaction": transaction},)


async def _some(cursor: Any, number: int | None) -> AsyncIterator[Any]:
    left = number
    if left == 0:
        return
    async for document in cursor:
        yield document
        if left is not None:
            left -= 1
            if not left:
                return


def _last_method(step: Step) -> str:
    """The method whose result a step returns."""
    if not isinstance(step, Call):
        return ""
    return step.chain[-1][0] if step.chain else step.method
