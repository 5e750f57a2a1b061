"""Commands, replies and results brought into a form in which two drivers can be compared. Pure.

Whatever differs between any two runs gets a name: the database, generated ObjectIds, cursor ids, sessions, times. Names
are given in the order of appearance, so that they say *which* one: a getMore of the wrong cursor is a difference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bson import Code, DBRef, Int64, ObjectId, Regex
from bson.raw_bson import RawBSONDocument

from tests.differential.world import is_fixed

#: Fields whose values are times of the deployment.
_TIMES = frozenset({"afterClusterTime", "atClusterTime", "operationTime", "$clusterTime", "clusterTime"})
#: Fields that describe the server, and change from one moment to the next.
_VOLATILE = frozenset(
    {
        "_data",  # of a resume token
        "localTime",
        "connectionId",
        "lastWrite",
        "topologyVersion",
        "opTime",
        "electionId",
        "sizeOnDisk",
        "totalSize",
        "totalSizeMb",
        "uuid",
        "uploadDate",
        "recoveryToken",
        "$recordId",
        "keyVersion",
        "opid",
        "secs_running",
        "serverInfo",
        "pid",
        "info",  # of listCollections: the collection's uuid
        "filemd5",
        "wiredTiger",
    }
)
#: Fields of an event that say when it happened, and in which transaction.
_OF_AN_EVENT = frozenset({"_id", "wallTime", "lsid", "txnNumber", "collectionUUID"})
_SMALL = 2**31
#: Parts of a server's messages that differ each time: UUIDs, transaction numbers.
_MOVING = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=number )(?:is )?\d+")


@dataclass
class Names:
    """The names assigned so far in one driver's run of one scenario."""

    database: str
    #: The other driver's database: left out of lists of all databases.
    foreign: str
    generated: dict[ObjectId, str] = field(default_factory=dict)
    sessions: dict[bytes, str] = field(default_factory=dict)
    cursors: dict[int, str] = field(default_factory=dict)
    #: The session that each cursor was opened in.
    cursor_sessions: dict[int, bytes | None] = field(default_factory=dict)
    #: The last transaction number of each explicit session.
    numbers: dict[bytes, int] = field(default_factory=dict)
    #: Whether the value is part of a command: then a raw document is compared by its content, as either listener event
    #: shows it.
    in_command: bool = False

    # --- values ---

    def value(self, value: Any) -> Any:
        """A value of BSON or Python, without what differs from run to run."""
        if value is None or type(value) in (bool, float, bytes):
            return value
        if isinstance(value, str) and not isinstance(value, Code):
            return value.replace(self.database, "<db>") if self.database in value else str(value)
        if isinstance(value, int):
            return int(value) if not isinstance(value, Int64) or abs(value) >= _SMALL else value
        if isinstance(value, ObjectId):
            return value if is_fixed(value) else self.generated.setdefault(value, f"<oid {len(self.generated) + 1}>")
        return self._compound(value)

    def glimpse(self, value: Any) -> Any:
        """Like :meth:`value`, without remembering the names."""
        before = dict(self.generated)
        try:
            return self.value(value)
        finally:
            self.generated = before

    def _compound(self, value: Any) -> Any:
        if isinstance(value, RawBSONDocument) and not self.in_command:
            return {"<raw>": self.document(value)}
        if isinstance(value, Mapping):
            return self.document(value)
        if isinstance(value, (list, tuple)):
            items = [self.value(item) for item in value if not self._is_foreign(item)]
            # Both are sent as arrays.
            return items if self.in_command or isinstance(value, list) else ("<tuple>", *items)
        if isinstance(value, (set, frozenset)):
            return ("<set>", *sorted(map(repr, value)))
        if isinstance(value, Regex):
            return f"/{value.pattern!r}/{value.flags}"
        if isinstance(value, DBRef):
            return self.value(value.as_doc())
        if isinstance(value, Code):
            return {"<code>": str(value), "scope": self.value(value.scope)}
        return value

    def document(self, value: Mapping[Any, Any]) -> dict[Any, Any]:
        """A document, its fields in their order."""
        if "operationType" in value:
            return self._event(value)
        if "files_id" in value and "_id" in value:
            # Neither driver tells its user the ids of chunks.
            value = {**value, "_id": "<chunk>"}
        return {self.value(key): self._field(key, item) for key, item in value.items()}

    def _field(self, key: Any, value: Any) -> Any:
        if key in _TIMES or key in _VOLATILE:
            return f"<{key}>"
        if key == "errmsg" and isinstance(value, str):
            # After a brace the server quotes what was sent, which is compared in the command itself.
            return self.value(_MOVING.sub("<...>", value.partition("{")[0]))
        return self.value(value)

    def _event(self, event: Mapping[Any, Any]) -> dict[Any, Any]:
        """An event of a change stream."""
        return {key: f"<{key}>" if key in _OF_AN_EVENT else self._field(key, item) for key, item in event.items()}

    def _is_foreign(self, item: Any) -> bool:
        """Whether it concerns the other driver's database."""
        return item == self.foreign or (isinstance(item, Mapping) and item.get("name") == self.foreign)

    # --- commands ---

    def command(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """A command as it was sent."""
        named = dict(command)
        lsid = _lsid(command)
        cursors = _cursors_of(command)
        for key in ("getMore", "cursors"):
            if key in named and cursors:
                named[key] = [self.cursors.get(number, "<a cursor of before>") for number in cursors]
        if "lsid" in named:
            named["lsid"] = self._session(lsid, cursors)
        if "txnNumber" in named:
            named["txnNumber"] = self._number(lsid, command["txnNumber"])
        self.in_command = True
        try:
            return self.document(named)
        finally:
            self.in_command = False

    def _session(self, lsid: bytes | None, cursors: Sequence[int]) -> str:
        if lsid in self.sessions:
            return self.sessions[lsid]
        if cursors:
            known = {self.cursor_sessions.get(number) for number in cursors}
            return "implicit, the cursor's" if known == {lsid} else "implicit, not the cursor's"
        return "implicit"

    def _number(self, lsid: bytes | None, number: Any) -> str:
        if lsid is None or lsid not in self.sessions:
            return "a number"
        before = self.numbers.get(lsid)
        self.numbers[lsid] = int(number)
        return "the same number" if before == number else "a new number"

    def reply(self, command: Mapping[str, Any], reply: Mapping[str, Any]) -> None:
        """Record which cursor a reply opened, and in which session."""
        cursor = reply.get("cursor")
        number = cursor.get("id") if isinstance(cursor, Mapping) else None
        if number and "getMore" not in command:
            self.cursors[int(number)] = f"<cursor {len(self.cursors) + 1}>"
            self.cursor_sessions[int(number)] = _lsid(command)


def _lsid(command: Mapping[str, Any]) -> bytes | None:
    lsid = command.get("lsid")
    return bytes(lsid["id"]) if lsid else None


def _cursors_of(command: Mapping[str, Any]) -> list[int]:
    if "getMore" in command:
        return [int(command["getMore"])]
    return [int(number) for number in command.get("cursors", ())] if "killCursors" in command else []


# --- comparing ---


#: Parts of commands whose fields have no order: they are set by the command, not by a user.
_UNORDERED_PARTS = frozenset({"updates", "deletes", "indexes", "writeConcern", "readConcern", "collation", "explain"})


@dataclass(frozen=True)
class Leaf:
    """One place where two values differ; :data:`MISSING` if one has nothing there."""

    path: tuple[str | int, ...]
    theirs: Any
    ours: Any


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()


def leaves(theirs: Any, ours: Any, path: tuple[str | int, ...] = (), ordered: bool = True) -> list[Leaf]:
    """Where two normalised values differ, strictly: True is not 1, 1 is not 1.0, and fields have an order."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return _of_documents(theirs, ours, path, ordered)
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        pairs = enumerate(zip(theirs, ours, strict=True))
        return [leaf for number, (a, b) in pairs for leaf in leaves(a, b, (*path, number), ordered)]
    return [] if type(theirs) is type(ours) and repr(theirs) == repr(ours) else [Leaf(path, theirs, ours)]


def _of_documents(
    theirs: dict[Any, Any], ours: dict[Any, Any], path: tuple[str | int, ...], ordered: bool
) -> list[Leaf]:
    found = []
    for key in [*theirs, *(key for key in ours if key not in theirs)]:
        a, b = theirs.get(key, MISSING), ours.get(key, MISSING)
        in_order = key != "$changeStream" and (ordered or key not in _UNORDERED_PARTS)
        found += leaves(a, b, (*path, key), in_order)
    if not found and ordered and list(theirs) != list(ours):
        return [Leaf((*path, "<order>"), list(theirs), list(ours))]
    return found


def command_leaves(theirs: dict[str, Any], ours: dict[str, Any]) -> list[Leaf]:
    """Like :func:`leaves`, for commands: their own fields have no order, except that the command's name is first."""
    if next(iter(theirs)) != next(iter(ours)):
        return [Leaf(("<name>",), next(iter(theirs)), next(iter(ours)))]
    return leaves(theirs, ours, (), ordered=False)
