"""The records of a timeline in the form that the page reads: columns of numbers, strings that are kept once.

What a record should not contain is left out here, so that the script can rely on the columns: a time that is not an
integer becomes null, a text that is not a string becomes its representation, and records of unknown kinds are only
counted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

#: A decoded line of a timeline file.
Record: TypeAlias = Mapping[str, object]

#: The version of the records that the page knows.
VERSION = 1

#: In the order in which a command passes them; microseconds.
TIMES = ("at", "selected", "connected", "sent", "replied")
_NUMBERS = ("id", "client", "operation", "attempt", "connection", "transaction")
_TEXTS = ("name", "database", "collection", "server", "session")
_PAIRS = ("cluster_time", "operation_time")
_ELSE = frozenset({"kind", "implicit", "ok", "retried", "error", "command", *TIMES, *_NUMBERS, *_TEXTS, *_PAIRS})
_MARKS = frozenset({"transaction", "session", "topology"})

#: What a line leaves out.
_DEFAULTS = {"client": 1, "attempt": 1}
_IMPLICIT, _OK, _NOT_OK, _RETRIED = 1, 2, 4, 8
#: JavaScript's numbers are exact up to here.
_EXACT = 2**53


class Packed(NamedTuple):
    """The contents of the page's two data blocks: JSON, and a line of JSON for each command."""

    data: str
    documents: str


class _Strings:
    """Each different string once; a column holds its index, or -1."""

    def __init__(self) -> None:
        self.listed: list[str] = []
        self._index: dict[str, int] = {}

    def index(self, value: object) -> int:
        if value is None:
            return -1
        text = value if isinstance(value, str) else repr(value)
        found = self._index.get(text)
        if found is None:
            found = self._index[text] = len(self.listed)
            self.listed.append(text)
        return found


def pack(records: Iterable[Record]) -> Packed:
    """Return the records as the page's data blocks."""
    header: Record = {}
    commands: list[Record] = []
    marks: list[Record] = []
    dropped = unknown = 0
    for record in records:
        kind = record.get("kind")
        if kind == "command":
            commands.append(record)
        elif kind in _MARKS:
            marks.append(record)
        elif kind == "header":
            header = record
        elif kind == "dropped":
            dropped += _whole(record.get("count")) or 0
        else:
            unknown += 1
    commands.sort(key=_start)
    marks.sort(key=_start)
    document = {
        "version": _known(header.get("version")),
        "known": VERSION,
        "driver": _text(header.get("driver")),
        "started": _text(header.get("started")),
        "dropped": dropped,
        "unknown": unknown,
        "count": len(commands),
        **_columns(commands),
        "marks": [_mark(mark) for mark in marks],
    }
    return Packed(_json(document), "\n".join(_json(_document(command)) for command in commands))


def _start(record: Record) -> int:
    for name in TIMES:
        if (time := _whole(record.get(name))) is not None:
            return time
    return 0


def _columns(commands: Sequence[Record]) -> dict[str, object]:
    strings, errors = _Strings(), _Strings()
    columns: dict[str, object] = {
        name: [_whole(c.get(name, _DEFAULTS.get(name))) for c in commands] for name in (*TIMES, *_NUMBERS)
    }
    for name in _TEXTS:
        columns[name] = [strings.index(c.get(name)) for c in commands]
    for name in _PAIRS:
        columns[name] = _sparse(commands, name, _pair)
    # Equal errors are kept once: in a storm of them, their messages would be most of the page.
    columns["error"] = [errors.index(_error(c.get("error"))) for c in commands]
    columns["flags"] = [_flags(c) for c in commands]
    return {**columns, "strings": strings.listed, "errors": [json.loads(error) for error in errors.listed]}


def _sparse(commands: Sequence[Record], name: str, read: Callable[[object], tuple[int, int] | None]) -> list[int]:
    """A pair for each command, one after the other; -1 -1 where it has none."""
    found: list[int] = []
    for command in commands:
        found.extend(read(command.get(name)) or (-1, -1))
    return found


def _flags(command: Record) -> int:
    ok = command.get("ok")
    outcome = 0 if ok is None else _OK if ok else _NOT_OK
    return outcome | (_IMPLICIT if command.get("implicit") else 0) | (_RETRIED if command.get("retried") else 0)


def _error(error: object) -> str | None:
    if error is None:
        return None
    fields = error if isinstance(error, Mapping) else {"message": error}
    labels = fields.get("labels")
    return json.dumps(
        {
            "type": _text(fields.get("type")),
            "message": _text(fields.get("message")),
            "code": _whole(fields.get("code")),
            "labels": [str(label) for label in labels] if isinstance(labels, (list, tuple)) else [],
        }
    )


def _mark(mark: Record) -> dict[str, object]:
    found: dict[str, object] = {"kind": mark["kind"], "at": _start(mark)}
    for name in ("event", "session", "server", "detail"):
        if mark.get(name) is not None:
            found[name] = _text(mark[name])
    for name in ("number", "attempt", "client"):
        if _whole(mark.get(name)) is not None:
            found[name] = mark[name]
    error = _error(mark.get("error"))
    return found if error is None else {**found, "error": json.loads(error)}


def _document(command: Record) -> dict[str, object]:
    """What the page shows only on request."""
    found = {"command": command["command"]} if command.get("command") is not None else {}
    more = {key: value for key, value in command.items() if key not in _ELSE}
    return {**found, "more": more} if more else found


def _known(version: object) -> int | str | None:
    return _whole(version) if _whole(version) is not None else _text(version)


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)


def _whole(value: object) -> int | None:
    exact = isinstance(value, int) and not isinstance(value, bool) and -_EXACT < value < _EXACT
    return value if exact else None  # type: ignore[return-value]  # `exact` says that it is an int


def _pair(value: object) -> tuple[int, int] | None:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return None
    seconds, increment = _whole(value[0]), _whole(value[1])
    return None if seconds is None or increment is None else (seconds, increment)


def _json(value: object) -> str:
    """JSON that can stand in a data block of HTML: only ASCII, and no ``<`` that could end the block."""
    try:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False, default=repr)
    except ValueError:
        text = json.dumps(_finite(value), separators=(",", ":"), default=repr)
    return text.replace("<", "\\u003c")


def _finite(value: object) -> object:
    """The value with NaN and the infinities, which JSON lacks, as texts."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return value
