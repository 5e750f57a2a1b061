"""Operations of databases. Unified test format specification, "Database Operations"; run-command."""

from __future__ import annotations

from typing import Any

from spec_tests import seam
from spec_tests.entities import CollectionHandle, CursorHandle, DatabaseHandle
from spec_tests.errors import RunnerError, Unsupported
from spec_tests.operations.base import Call, Method, Spec, bind, resolve, spec
from spec_tests.operations.collection import change_stream, opened
from spec_tests.operations.models import cursor_type

_CREATE_ARGUMENTS = (
    "capped size max viewOn pipeline validator validationLevel validationAction collation timeseries "
    "clusteredIndex expireAfterSeconds changeStreamPreAndPostImages encryptedFields indexOptionDefaults"
)
_CURSOR_ARGUMENTS = "commandName batchSize maxTimeMS cursorType timeoutMode"
_CURSOR_NAMES = ("run_cursor_command", "cursor_command")
_CURSOR_RENAMES = {"maxTimeMS": "max_time_ms max_await_time_ms"}


def _owner(handle: DatabaseHandle) -> Any:
    return handle.database


async def _create_collection(call: Call) -> CollectionHandle:
    function = seam.method(call.target.database, "create_collection")
    keywords = bind(function, resolve(call, {}), {"collection": "name"})
    if seam.accepts(function, "check_exists"):
        keywords["check_exists"] = False  # the format does not expect a listCollections before a create
    return CollectionHandle(call.target.client, await seam.settle(function(**keywords)))


async def _run_command(call: Call) -> Any:
    command = dict(call.arguments["command"])
    name = call.arguments.get("commandName")
    if "shardCollection" in command and call.run.environment.deployment.double:
        raise Unsupported("sharded collections", "the doubles of routers have none")
    if name is not None and name not in command:
        raise RunnerError(f"the command has no key {name!r}, which commandName names")
    if name is not None:
        command = {name: command.pop(name), **command}
    rest = {key: value for key, value in call.arguments.items() if key not in ("command", "commandName")}
    bare = Call(call.run, call.target, call.name, {"command": command, **rest})
    return await Method(("command", "run_command"))(bare, call.target.database)


async def _cursor(call: Call) -> Any:
    rest = {key: value for key, value in call.arguments.items() if key != "commandName"}
    function = seam.method(call.target.database, *_CURSOR_NAMES)
    size = None
    if not seam.accepts(function, "batch_size"):
        # The driver has it on the cursor, and the cursor's type in the command alone.
        size = rest.pop("batchSize", None)
        rest.pop("cursorType", None)
    bare = Call(call.run, call.target, call.name, rest)
    keywords = bind(function, resolve(bare, {"cursorType": cursor_type}), _CURSOR_RENAMES)
    cursor = await seam.settle(function(**keywords))
    return cursor if size is None else cursor.batch_size(size)


async def _run_cursor_command(call: Call) -> list[Any]:
    return await seam.rows(await _cursor(call))


async def _create_command_cursor(call: Call) -> CursorHandle:
    return await opened(call, await _cursor(call))


async def _modify_collection(call: Call) -> Any:
    if seam.has_method(call.target.database, "modify_collection"):
        return await Method(("modify_collection",), {"collection": "name"})(call, call.target.database)
    options = {key: value for key, value in call.arguments.items() if key not in ("collection", "session")}
    session = {"session": call.arguments["session"]} if "session" in call.arguments else {}
    command = {"collMod": call.arguments["collection"], **options}
    bare = Call(call.run, call.target, call.name, {"command": command, **session})
    return await Method(("command", "run_command"))(bare, call.target.database)


_CURSOR_SPEC = frozenset(f"command {_CURSOR_ARGUMENTS} session readPreference comment timeoutMS".split())

_MODIFY_ARGUMENTS = "collection index validator changeStreamPreAndPostImages expireAfterSeconds"
_MODIFY_SPEC = frozenset(f"{_MODIFY_ARGUMENTS} session timeoutMS".split())

OPERATIONS = {
    "aggregate": spec(
        Method(("aggregate",), rows=True),
        _owner,
        "allowDiskUse batchSize bypassDocumentValidation collation let hint maxTimeMS timeoutMode",
        "pipeline",
    ),
    "createChangeStream": change_stream(),
    "createCollection": Spec(
        _create_collection,
        frozenset(f"collection session timeoutMS {_CREATE_ARGUMENTS}".split()),
        frozenset({"collection"}),
    ),
    "createCommandCursor": Spec(_create_command_cursor, _CURSOR_SPEC, frozenset({"command"})),
    "dropCollection": spec(
        Method(("drop_collection",), {"collection": "name_or_collection name"}), _owner, "", "collection"
    ),
    "listCollectionNames": spec(
        Method(("list_collection_names",)), _owner, "filter nameOnly batchSize authorizedCollections"
    ),
    "listCollectionObjects": spec(Method(("list_collection_objects",)), _owner, "filter"),
    "listCollections": spec(
        Method(("list_collections",), rows=True),
        _owner,
        "filter batchSize nameOnly authorizedCollections timeoutMode",
    ),
    "modifyCollection": Spec(
        _modify_collection,
        _MODIFY_SPEC,
        frozenset({"collection"}),
    ),
    "runCommand": Spec(
        _run_command,
        frozenset(["command", "commandName", "readPreference", "session", "timeoutMS"]),
        frozenset({"command"}),
    ),
    "runCursorCommand": Spec(_run_cursor_command, _CURSOR_SPEC, frozenset({"command"}), rows=True),
}
