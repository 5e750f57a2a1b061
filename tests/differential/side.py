"""The thin shell: runs steps on one driver and records what came of them."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Mapping
from typing import Any

from tests.differential.adapters import Adapter
from tests.differential.calls import Block, Call, Get, Make, StartSession, Step, Take, Target, TheDatabase, TheSession
from tests.differential.normal import Names
from tests.differential.outcomes import Command, Failed, Record, Returned

#: Seconds that one step may take: the server ends what is stuck before.
STEP_LIMIT = 30.0
#: How often a callback of with_transaction is run before it gives up.
MOST_ATTEMPTS = 3

#: The attributes by which results are compared: those that both drivers have.
_RESULT_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "InsertOneResult": ("acknowledged", "inserted_id"),
    "InsertManyResult": ("acknowledged", "inserted_ids"),
    "UpdateResult": ("acknowledged", "matched_count", "modified_count", "upserted_id", "did_upsert", "raw_result"),
    "DeleteResult": ("acknowledged", "deleted_count", "raw_result"),
    "BulkWriteResult": (
        "acknowledged",
        "inserted_count",
        "matched_count",
        "modified_count",
        "deleted_count",
        "upserted_count",
        "upserted_ids",
        "bulk_api_result",
    ),
}
#: Whose results have no order.
_UNORDERED = frozenset(
    {"distinct", "list_collections", "list_collection_names", "list_databases", "list_database_names"}
)
#: Commands that leave data as it is.
_READING = frozenset(
    {
        "abortTransaction",
        "buildInfo",
        "buildinfo",
        "commitTransaction",
        "count",
        "distinct",
        "explain",
        "find",
        "getMore",
        "killCursors",
        "listCollections",
        "listDatabases",
        "listIndexes",
        "ping",
    }
)
#: Those that leave indexes as they are, or whose collections are new ones afterwards (``$out``).
_KEEPING_INDEXES = _READING | {"aggregate", "create", "delete", "drop", "findAndModify", "insert", "update"}
#: Arguments that drivers add an ``_id`` to.
_TAKES_DOCUMENTS = frozenset({"insert_one", "insert_many", "bulk_write"})


class UserError(Exception):
    """Raised by a scenario's block as an application would."""


class Log:
    """The commands that a client sent since the last look, normalised; those that close cursors apart."""

    def __init__(self) -> None:
        self.names = Names("", "")
        self.paused = False
        #: Whether anything was sent that may have changed data.
        self.wrote = True
        #: Whether anything was sent that may have changed indexes.
        self.changed_indexes = True
        #: What closed each cursor: the first attempt, and under a name of its own one after an attempt that succeeded.
        self.closings: dict[str, Command] = {}
        self._closed: set[str] = set()
        self._commands: list[Command] = []
        self._under_way: dict[int, Mapping[str, Any]] = {}

    def started(self, request: int, command: Mapping[str, Any]) -> None:
        """A command was sent."""
        if self.paused:
            return
        normal = self.names.command(command)
        if "killCursors" in normal:
            # When a cursor that nobody waits for is closed is the driver's affair: compared at the scenario's end.
            for name in self._known_cursors(command):
                # What the server refused (its transaction had ended) is tried again by both, each in its own time.
                again = f"{name} again" if name in self._closed else name
                self.closings.setdefault(again, {**normal, "cursors": "<its own>"})
            self._under_way[request] = command
            return
        self.wrote = self.wrote or not _only_reads(normal)
        self.changed_indexes = self.changed_indexes or next(iter(normal)) not in _KEEPING_INDEXES
        self._commands.append(normal)
        self._under_way[request] = command

    def succeeded(self, request: int, reply: Mapping[str, Any]) -> None:
        """A command was answered."""
        command = self._under_way.pop(request, None)
        if command is None:
            return
        if "killCursors" in command:
            self._closed.update(self._known_cursors(command))
        else:
            self.names.reply(command, reply)

    def _known_cursors(self, command: Mapping[str, Any]) -> list[str]:
        """The names of the cursors that a killCursors is for; one without was opened by the scenario before."""
        return [self.names.cursors[number] for number in command["cursors"] if number in self.names.cursors]

    def take(self) -> tuple[Command, ...]:
        """The commands since the last look."""
        commands, self._commands = self._commands, []
        return tuple(commands)

    def begin(self, names: Names) -> None:
        """Start anew, with new names."""
        self.names = names
        self.wrote = False
        self.changed_indexes = False
        self.closings = {}
        self._closed = set()
        self._under_way.clear()
        self.take()


class Side:
    """One driver on its own database.

    :param database: the name of its database.
    :param foreign: that of the other driver's.
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
        """Run one step, and return its record; that of a block comes after those of its calls."""
        self._records = []
        try:
            async with asyncio.timeout(STEP_LIMIT):
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
        """Wait until what was sent without asking for an answer has been carried out."""
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
        error: Exception | None = None
        try:
            value = await action
            described = self._described(value)
            if getattr(step, "method", None) in _UNORDERED and isinstance(described, list):
                described.sort(key=str)
            outcome: Returned | Failed = Returned(described)
        except Exception as failure:
            error = failure
            outcome = self._failed(failure)
        commands = self.log.take()
        names = self.log.names
        # What was not sent gets no names: one driver gives a document its id before it refuses the next, one after.
        told = None if arguments is None else names.value(arguments) if commands else names.glimpse(arguments)
        self._records.append(Record(step, outcome, commands, told))
        return error

    async def _perform_call(self, step: Call | Get) -> BaseException | None:
        if isinstance(step, Get):
            return await self._recorded(step, self._get(step))
        documents: list[Any] = []
        keep = documents if step.method in _TAKES_DOCUMENTS else None
        return await self._recorded(step, self._call(step, documents), keep)

    async def _get(self, step: Get) -> Any:
        value = getattr(self._target(step.target), step.attribute)
        if step.attribute == "cursor_id":
            return self.log.names.cursors.get(int(value), 0) if value is not None else None
        return tuple(value) if step.attribute == "address" and value else value

    async def _call(self, step: Call, documents: list[Any]) -> Any:
        args = [self.real(value) for value in step.args]
        keywords = {name: self.real(value) for name, value in step.options}
        documents += [_documents(value) for value in args]
        result = getattr(self._target(step.target), step.method)(*args, **keywords)
        result = await _awaited(result)
        for method, more, options in step.chain:
            given = {name: self.real(value) for name, value in options}
            result = await _awaited(getattr(result, method)(*map(self.real, more), **given))
        taken = await self._taken(result, step.take)
        if any(_is_unacknowledged(value) for value in (taken, *(v for _, v in step.target.options))):
            await self.settle()
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
                    # What swallows the errors of a transaction may be tried again for minutes.
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
            case "session":
                handle = self._sessions[int(target.name)]
            case _:
                handle = self._cursors[int(target.name)]
        if target.options:
            handle = handle.with_options(**{name: self.real(value) for name, value in target.options})
        return handle

    def real(self, value: Any) -> Any:
        """A value as the driver takes it, with containers of its own that it may change."""
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

    # --- outcomes ---

    def _described(self, value: Any) -> Any:
        """A result in a form that can be compared."""
        kind = type(value).__name__
        if kind in _RESULT_ATTRIBUTES:
            return {name: self._attribute(value, name) for name in _RESULT_ATTRIBUTES[kind]}
        kind = kind.removeprefix("Async").removeprefix("Mongo")
        if kind in ("Collection", "Database"):
            return f"<{kind} {self.log.names.value(value.full_name if kind == 'Collection' else value.name)}>"
        if kind == "Client" or kind.endswith(("Cursor", "Session")):
            return f"<{kind}>"
        return self.log.names.value(value)

    def _attribute(self, value: Any, name: str) -> Any:
        try:
            return self.log.names.value(getattr(value, name))
        except Exception as error:
            return f"<{type(error).__name__}>"

    def _failed(self, error: Exception) -> Failed:
        names = self.log.names
        details = getattr(error, "details", None)
        return Failed(
            type(error).__name__,
            tuple(kind.__name__ for kind in type(error).__mro__),
            str(names.value(str(error)))[:400],
            getattr(error, "code", None),
            tuple(sorted(_labels(error))),
            names.value(details) if details else None,
        )


def _only_reads(command: Command) -> bool:
    name = next(iter(command))
    if name == "aggregate":
        return not any("$out" in stage or "$merge" in stage for stage in command.get("pipeline", ()))
    return name in _READING


def _labels(error: Exception) -> set[str]:
    ours = getattr(error, "error_labels", None)
    return set(ours if ours is not None else getattr(error, "_error_labels", ()))


async def _awaited(value: Any) -> Any:
    """What a method returned, awaited if it can be: one driver's is sometimes a coroutine where the other's is not."""
    return await value if inspect.isawaitable(value) else value


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


def _is_unacknowledged(value: Any) -> bool:
    if isinstance(value, Make):
        return value.kind == "WriteConcern" and (dict(value.options).get("w") == 0 or value.args[:1] == (0,))
    return getattr(value, "acknowledged", True) is False


def _documents(value: Any) -> Any:
    """The documents of an argument that may be given an ``_id``: those within requests too."""
    if isinstance(value, list):
        return [_documents(item) for item in value]
    if type(value).__name__ == "InsertOne":
        return _documents(value.document if hasattr(value, "document") else value._doc)
    return value if isinstance(value, dict) else None
