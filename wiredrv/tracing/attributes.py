"""The names and attributes of spans. Pure.

OpenTelemetry specification: "Operation Span Name", "Operation Span Attributes", "Command Span Name", "Command Span
Attributes".
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from wiredrv.events import CommandStartedEvent
from wiredrv.logs.documents import to_text
from wiredrv.operations.base import Operation
from wiredrv.operations.cursors import GetMore, KillCursors
from wiredrv.operations.run_command import RunCommand, RunCursorCommand
from wiredrv.types import Address, Document, Reply

Attributes: TypeAlias = dict[str, str | int]

#: The one attribute that every span has, and the only one of a transaction's.
SYSTEM: Mapping[str, str] = {"db.system.name": "mongodb"}
TRANSACTION = "transaction"

_ADMIN = "admin"
#: Operations whose name is not that of their command (specification, "Covered operations").
_RENAMED = {"create": "createCollection", "drop": "dropCollection"}

#: The commands whose first value is the name of a collection, in lower case. That of others may be anything: a user's
#: name, for instance.
_ON_COLLECTIONS = frozenset(
    {
        "aggregate",
        "collmod",
        "collstats",
        "compact",
        "converttocapped",
        "count",
        "create",
        "createindexes",
        "createsearchindexes",
        "delete",
        "distinct",
        "drop",
        "dropindexes",
        "dropsearchindex",
        "find",
        "findandmodify",
        "insert",
        "killcursors",
        "listindexes",
        "mapreduce",
        "plancacheclear",
        "plancacheclearfilters",
        "plancachelistfilters",
        "plancachesetfilter",
        "reindex",
        "update",
        "updatesearchindex",
        "validate",
    }
)
#: Fields of a command that ``db.query.text`` leaves out.
_NOT_IN_TEXT = frozenset({"lsid", "$db", "$clusterTime", "signature"})


class SpanText(NamedTuple):
    """What a span starts with."""

    name: str
    attributes: Attributes


def operation_name(operation: Operation[object]) -> str:
    """The driver's name of an operation."""
    if isinstance(operation, (RunCommand, RunCursorCommand)):
        return "runCommand" if isinstance(operation, RunCommand) else "runCursorCommand"
    return _RENAMED.get(operation.name, operation.name)


def operation_text(operation: Operation[object]) -> SpanText:
    """The span of an operation."""
    # The target of a command for a cursor may be the database alone.
    collection = operation.target.collection
    if isinstance(operation, (GetMore, KillCursors)):
        collection = operation.collection
    return call_text(operation_name(operation), operation.target.database, collection)


def call_text(name: str, database: str, collection: str) -> SpanText:
    """The span of an operation, or of a call that sends several commands, by its name."""
    attributes, namespace = _namespace(database, collection)
    summary = f"{name} {namespace}"
    return SpanText(summary, {**attributes, "db.operation.name": name, "db.operation.summary": summary})


def command_text(event: CommandStartedEvent) -> SpanText:
    """The span of a command, with what is known before it is answered."""
    name = event.command_name
    attributes, namespace = _namespace(event.database_name, collection_of(event.command))
    attributes |= {"db.command.name": name, "db.query.summary": f"{name} {namespace}"} | _server(event.address)
    attributes["db.mongodb.driver_connection_id"] = event.connection_id
    if event.server_connection_id is not None:
        attributes["db.mongodb.server_connection_id"] = event.server_connection_id
    return SpanText(name, attributes | _session(event.command) | _used_cursor(event.command))


def collection_of(command: Document) -> str:
    """The collection that a command names; empty if it names none."""
    name, value = next(iter(command.items()))
    if name == "getMore":
        value = command.get("collection")
    elif name == "explain" and isinstance(value, Mapping) and value:
        return collection_of(value)
    elif name.lower() not in _ON_COLLECTIONS:
        return ""
    return value if isinstance(value, str) else ""


def query_text(command: Document, limit: int) -> str:
    """A command as relaxed Extended JSON, cut off after ``limit`` characters (logging specification)."""
    return to_text({name: value for name, value in command.items() if name not in _NOT_IN_TEXT}, limit)


def opened_cursor(reply: Reply) -> Attributes:
    """The cursor that is open on the server after a reply."""
    cursor = reply.get("cursor")
    return _cursor(cursor.get("id")) if isinstance(cursor, Mapping) else {}


def _namespace(database: str, collection: str) -> tuple[Attributes, str]:
    """The attributes, and how names and summaries write it. No collection of ``admin`` is mentioned."""
    attributes: Attributes = {**SYSTEM, "db.namespace": database}
    if not collection or database == _ADMIN:
        return attributes, database
    attributes["db.collection.name"] = collection
    return attributes, f"{database}.{collection}"


def _server(address: Address) -> Attributes:
    if address.port is None:
        return {"network.transport": "unix", "server.address": address.host}
    return {"network.transport": "tcp", "server.address": address.host, "server.port": address.port}


def _session(command: Document) -> Attributes:
    attributes: Attributes = {}
    lsid = command.get("lsid")
    if isinstance(lsid, Mapping) and isinstance(lsid.get("id"), bytes):
        attributes["db.mongodb.lsid"] = str(uuid.UUID(bytes=bytes(lsid["id"])))
    number = command.get("txnNumber")
    if isinstance(number, int):
        attributes["db.mongodb.txn_number"] = int(number)
    return attributes


def _used_cursor(command: Document) -> Attributes:
    cursors = command.get("cursors")
    if "killCursors" in command and isinstance(cursors, list) and len(cursors) == 1:
        return _cursor(cursors[0])
    return _cursor(command.get("getMore"))


def _cursor(number: object) -> Attributes:
    known = isinstance(number, int) and not isinstance(number, bool) and number != 0
    return {"db.mongodb.cursor_id": int(number)} if known and isinstance(number, int) else {}
