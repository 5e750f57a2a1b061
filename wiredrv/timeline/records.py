"""The records of a timeline, and its file: JSON lines, one record each. Pure.

Rules kept here:

* Times are whole microseconds since ``Header.started``. Lines may be in any order of time.
* A value that is not known is left out of its line; so are those that are false or empty.
* The header is the first line. A file of a later version of the format is refused; unknown fields are ignored.
* Whatever else is wrong with a file is an error that names the line. Only its last line may be cut off: the program may
  have been killed while it wrote it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import TypeAlias, cast

from wiredrv.errors import InvalidTimeline

VERSION = 1

#: A BSON timestamp: seconds since 1970, and a number within the second.
Time: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first line of a file. This driver's own: no specification has such files.

    :param version: of the format.
    :param driver: the driver's name and version.
    :param started: when the recording began: ISO 8601, in UTC.
    :param process: the number of the process.
    """

    version: int = VERSION
    driver: str = ""
    started: str
    process: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error.

    :param type: the name of its class.
    :param message: its text; that of an error which may hold credentials is redacted.
    :param code: the server's code.
    :param labels: its error labels.
    """

    type: str
    message: str = ""
    code: int | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRecord:
    """One attempt to execute an operation: a command that was sent, or that could not be.

    :param id: the number of the record.
    :param at: when the attempt began.
    :param name: the command's name, as ``find``.
    :param client: the number of the client, from 1.
    :param operation: the same for all attempts of an operation.
    :param attempt: which attempt of the operation it is, from 1.
    :param selected: when a server was selected; None if none was.
    :param connected: when the attempt had a connection; None if it got none.
    :param sent: when the command was sent; None if it was not.
    :param replied: when the attempt ended, with a reply or a failure; None if it had not ended.
    :param database: the database that the command was sent to.
    :param collection: the collection; empty for commands on a database.
    :param server: ``host:port``, once selected.
    :param connection: the driver's number of the connection, unique within the client's connections to the server.
    :param session: the session's id in hexadecimal digits; None without a session.
    :param implicit: whether the driver chose the session itself.
    :param transaction: the number of the transaction in the session; None outside of transactions.
    :param command: the command in relaxed Extended JSON, cut off as in log messages and then ending with ``...``;
        None if it holds credentials, or was not sent. The signature of its cluster time is left out.
    :param ok: whether it succeeded; None if it had not ended.
    :param error: why it failed, or one of its writes did.
    :param retried: whether another attempt followed.
    :param cluster_time: the latest cluster time that the reply contained.
    :param operation_time: the operation time of the reply.
    """

    id: int
    at: int
    name: str
    client: int = 1
    operation: int = 0
    attempt: int = 1
    selected: int | None = None
    connected: int | None = None
    sent: int | None = None
    replied: int | None = None
    database: str = ""
    collection: str = ""
    server: str | None = None
    connection: int | None = None
    session: str | None = None
    implicit: bool = False
    transaction: int | None = None
    command: str | None = None
    ok: bool | None = None
    error: Failure | None = None
    retried: bool = False
    cluster_time: Time | None = None
    operation_time: Time | None = None


#: A transaction begins; ``with_transaction`` is about to try it again; its outcome is known, or is not.
TRANSACTION_EVENTS = ("begin", "retry", "committed", "aborted", "unknown")
#: ``pin`` and ``unpin``: to a router, or to a server behind a load balancer.
SESSION_EVENTS = ("start", "end", "pin", "unpin")
#: ``primary``: another server is the primary, or none is. ``server``: a server changed its type, or is unknown now.
TOPOLOGY_EVENTS = ("primary", "server", "pool cleared")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionMark:
    """Something happened to a transaction. Its commands, ``commitTransaction`` among them, are records of their own.

    :param session: the session's id in hexadecimal digits.
    :param number: the transaction's number in the session.
    :param event: one of ``TRANSACTION_EVENTS``.
    :param at: when.
    :param attempt: of ``begin``: which attempt of ``with_transaction`` begins, from 1; of ``retry``: which one follows.
    :param error: of the others: the first error that the transaction met.
    """

    session: str
    number: int
    event: str
    at: int
    attempt: int = 1
    error: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionMark:
    """Something happened to an explicit session.

    :param session: its id in hexadecimal digits. Ids are used again, for sessions that begin later.
    :param event: one of ``SESSION_EVENTS``.
    :param at: when.
    :param server: ``host:port`` that it is, or was, pinned to.
    :param client: the number of the client, from 1.
    """

    session: str
    event: str
    at: int
    server: str | None = None
    client: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyMark:
    """Something happened to the deployment, as a client sees it.

    :param event: one of ``TOPOLOGY_EVENTS``.
    :param at: when.
    :param server: ``host:port``; None for ``primary`` if there is no primary.
    :param detail: what it was, and is now.
    :param client: the number of the client, from 1.
    """

    event: str
    at: int
    server: str | None = None
    detail: str = ""
    client: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """How many records were dropped because the buffer was full: the oldest ones.

    :param count: how many.
    """

    count: int


Record: TypeAlias = CommandRecord | TransactionMark | SessionMark | TopologyMark | Dropped

_KINDS: Mapping[str, type] = {
    "header": Header,
    "command": CommandRecord,
    "transaction": TransactionMark,
    "session": SessionMark,
    "topology": TopologyMark,
    "dropped": Dropped,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_EVENTS = {TransactionMark: TRANSACTION_EVENTS, SessionMark: SESSION_EVENTS, TopologyMark: TOPOLOGY_EVENTS}


# --- to lines -------------------------------------------------------------------------------------------------------


def to_line(record: Header | Record) -> str:
    """A record as a line, without its end: ASCII, so that any text of a server or a program can be written."""
    return json.dumps(to_fields(record), separators=(",", ":"))


def to_fields(record: Header | Record) -> dict[str, object]:
    """The fields of a record's line, with values of JSON's types."""
    kind = type(record)
    values: dict[str, object] = {"kind": _NAMES[kind]}
    for name, default in _DEFAULTS[kind]:
        value = getattr(record, name)
        if value != default or name == "version":
            values[name] = _failure_fields(value) if type(value) is Failure else value
    return values


def _failure_fields(failure: Failure) -> Mapping[str, object]:
    found = {"type": failure.type, "message": failure.message, "code": failure.code, "labels": list(failure.labels)}
    return {name: value for name, value in found.items() if value not in (None, "", [])}


_DEFAULTS: Mapping[type, list[tuple[str, object]]] = {
    kind: [(field.name, field.default) for field in fields(kind)] for kind in _KINDS.values()
}


# --- from lines -----------------------------------------------------------------------------------------------------


class _Wrong(Exception):
    """What is wrong with a line."""


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise _Wrong("is not a whole number from 0 up")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _Wrong("is not a text")
    return value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("is neither true nor false")
    return value


def _time(value: object) -> Time:
    if not isinstance(value, list) or len(value) != 2:
        raise _Wrong("is not a time: two whole numbers")
    return _whole(value[0]), _whole(value[1])


def _labels(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _Wrong("is not a list of texts")
    return tuple(map(_text, value))


def _failure(value: object) -> Failure:
    if not isinstance(value, dict):
        raise _Wrong("is not an object")
    try:
        return cast(Failure, _read(Failure, value))
    except _Wrong as wrong:
        raise _Wrong(f"is wrong: {wrong}") from None


_READERS: Mapping[str, Callable[[object], object]] = {
    "int": _whole,
    "str": _text,
    "bool": _boolean,
    "Time": _time,
    "Failure": _failure,
    "tuple[str, ...]": _labels,
}
#: For each class: its fields, with their readers.
_FIELDS: Mapping[type, Mapping[str, Callable[[object], object]]] = {
    kind: {field.name: _READERS[str(field.type).removesuffix(" | None")] for field in fields(kind)}
    for kind in (*_KINDS.values(), Failure)
}
_REQUIRED: Mapping[type, list[str]] = {
    kind: [field.name for field in fields(kind) if field.default is MISSING] for kind in _FIELDS
}


def _read(kind: type, values: Mapping[str, object]) -> object:
    readers = _FIELDS[kind]
    found: dict[str, object] = {}
    for name, value in values.items():
        reader = readers.get(name)
        if reader is None:
            continue
        try:
            found[name] = reader(value)
        except _Wrong as wrong:
            raise _Wrong(f"its {name!r} {wrong}") from None
    for name in _REQUIRED[kind]:
        if name not in found:
            raise _Wrong(f"it has no {name!r}")
    make: Callable[..., object] = kind
    return make(**found)


def _read_line(line: str) -> Header | Record:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _Wrong(f"it is not JSON ({error})") from None
    if not isinstance(values, dict):
        raise _Wrong("it is not an object")
    name = values.get("kind")
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise _Wrong(f"its 'kind' is {name!r}, not one of {', '.join(_KINDS)}")
    if kind is Header and isinstance(values.get("version"), int) and values["version"] > VERSION:
        raise _Wrong(
            f"it has version {values['version']} of the format, and this wiredrv reads version {VERSION}: "
            "use a later wiredrv"
        )
    record = _read(kind, values)
    events = _EVENTS.get(kind)
    if events is not None and record.event not in events:  # type: ignore[attr-defined]  # those that are in the table have it
        raise _Wrong(f"its 'event' is {values['event']!r}, not one of {', '.join(events)}")
    return cast("Header | Record", record)


def read_lines(lines: Iterable[str], name: str) -> tuple[Header, Iterator[Record]]:
    """Read the lines of a file.

    :param lines: each with its end, as a file has them.
    :param name: the file's name, for errors.
    :returns: the header, and the records, which are read one by one.
    :raises InvalidTimeline: the file is empty, or the header is not right. The records raise it for the line at fault.
    """
    numbered = enumerate(lines, 1)
    first = next(numbered, None)
    if first is None:
        raise InvalidTimeline(f"{name} is empty: it is not a timeline of wiredrv")
    try:
        header = _read_line(first[1])
        if not isinstance(header, Header):
            raise _Wrong("it is not the header")
    except _Wrong as wrong:
        raise InvalidTimeline(f"{name}, line 1: {wrong}; it is not a timeline that this wiredrv can read") from None
    return header, _records(numbered, name)


def _records(lines: Iterable[tuple[int, str]], name: str) -> Iterator[Record]:
    for number, line in lines:
        try:
            record = _read_line(line)
            if isinstance(record, Header):
                raise _Wrong("it is a second header: two files in one")
        except _Wrong as wrong:
            if not line.endswith("\n"):
                return  # the last one, which was being written when the program was killed
            raise InvalidTimeline(f"{name}, line {number}: {wrong}") from None
        yield record
