"""The commands as they went over the wire: a listener that keeps them, and the lines in which they are shown.

An entry says which session and transaction a command belonged to, what made it wait or look back (afterClusterTime,
atClusterTime), which server answered in which role, and how long that took.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import NamedTuple

from bson.timestamp import Timestamp

from wiredrv.description import ServerType
from wiredrv.errors import DriverError, NotPrimaryError, OperationFailure
from wiredrv.events import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
    TopologyDescriptionChangedEvent,
    TopologyListener,
)
from wiredrv.types import Address, Document

_ROLES = {
    ServerType.RS_PRIMARY: "primary",
    ServerType.RS_SECONDARY: "secondary",
    ServerType.MONGOS: "mongos",
}
_SESSION_DIGITS = 6


class Entry(NamedTuple):
    """One command. ``at`` is seconds since the timeline began; ``code`` and ``failure`` are None when it succeeded."""

    at: float
    name: str
    collection: str | None
    session: str
    txn_number: int | None
    starts_transaction: bool
    in_transaction: bool
    after: Timestamp | None
    snapshot: bool
    snapshot_time: Timestamp | None
    cluster_time: Timestamp | None
    address: Address
    role: str
    duration: float
    failure: str | None = None
    code: int | None = None
    unanswered: bool = False


class Recorder(CommandListener, TopologyListener):
    """Keeps every command that succeeded or failed, in the order in which they ended."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.entries: list[Entry] = []
        self._clock = clock
        self._began = clock()
        self._pending: dict[int, tuple[float, str, Document]] = {}
        self._roles: Mapping[Address, str] = {}

    @property
    def mark(self) -> int:
        """Where the timeline is now; ``entries[mark:]`` is what comes later."""
        return len(self.entries)

    @property
    def now(self) -> float:
        """The present moment, in the timeline's seconds."""
        return self._clock() - self._began

    def started(self, event: CommandStartedEvent) -> None:
        role = self._roles.get(event.address, "unknown")
        self._pending[event.request_id] = (self._clock(), role, event.command)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pending = self._pending.pop(event.request_id, None)
        if pending is not None:
            self.entries.append(self._entry(pending, event.address, event.duration, event.reply))

    def failed(self, event: CommandFailedEvent) -> None:
        pending = self._pending.pop(event.request_id, None)
        if pending is not None:
            error = event.failure
            details = error.details if isinstance(error, (OperationFailure, NotPrimaryError)) else None
            answered = details is not None
            entry = self._entry(pending, event.address, event.duration, details or {})
            code = error.code if isinstance(error, (OperationFailure, NotPrimaryError)) else None
            self.entries.append(entry._replace(failure=_failure(error), code=code, unanswered=not answered))

    def description_changed(self, event: TopologyDescriptionChangedEvent) -> None:
        servers = event.new_description.servers.values()
        self._roles = {server.address: _ROLES.get(server.server_type, "unknown") for server in servers}

    def _entry(self, pending: tuple[float, str, Document], address: Address, duration: float, reply: Document) -> Entry:
        started, role, command = pending
        name = next(iter(command))
        concern = command.get("readConcern") or {}
        lsid = command.get("lsid")
        target = command.get("collection") if name == "getMore" else command[name]
        gossip = reply.get("$clusterTime") or command.get("$clusterTime")
        return Entry(
            at=started - self._began,
            name=name,
            collection=target if isinstance(target, str) else None,
            session=bytes(lsid["id"]).hex()[:_SESSION_DIGITS] if lsid else "",
            txn_number=command.get("txnNumber"),
            starts_transaction=bool(command.get("startTransaction")),
            in_transaction="autocommit" in command,
            after=concern.get("afterClusterTime"),
            snapshot=concern.get("level") == "snapshot",
            snapshot_time=concern.get("atClusterTime"),
            cluster_time=gossip["clusterTime"] if gossip else None,
            address=address,
            role=role,
            duration=duration,
        )


def _failure(error: BaseException) -> str:
    if isinstance(error, OperationFailure):
        return error.code_name or f"code {error.code}"
    if isinstance(error, NotPrimaryError):
        return str(error.details.get("codeName") or "not primary")
    return "no answer" if isinstance(error, DriverError) else type(error).__name__


# --- lines ----------------------------------------------------------------------------------------------------------

_COLUMNS = ("at ms", "session", "txn", "command", "cluster time", "server", "ms", "remarks")
_RIGHT = frozenset({"at ms", "txn", "ms"})
_FINE = "ok"


def lines(entries: Sequence[Entry], width: int | None = None) -> list[str]:
    """The entries as aligned lines under the columns' names; times count from the first entry.

    :param width: how long a line may be; where it would be longer, the remarks are put on lines of their own.
    """
    origin = entries[0].at if entries else 0.0
    cells = [_COLUMNS, *(_cells(entry, origin) for entry in entries)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_COLUMNS))]
    folded = width is not None and sum(widths) + 2 * (len(widths) - 1) > width
    if not folded:
        return [_aligned(row, widths, "  ") for row in cells]
    found = [_aligned(_COLUMNS[:-1], widths, " ")]
    for row in cells[1:]:
        found.append(_aligned(row[:-1], widths, " "))
        if row[-1] != _FINE:
            found.append(" " * (widths[0] + 1) + row[-1])
    return found


def _cells(entry: Entry, origin: float) -> tuple[str, ...]:
    port = entry.address.port
    return (
        f"{(entry.at - origin) * 1000:.1f}",
        entry.session or "-",
        "-" if entry.txn_number is None else str(entry.txn_number),
        f"{entry.name} {entry.collection}" if entry.collection is not None else entry.name,
        timestamp_text(entry.cluster_time),
        f"{entry.role} {port if port is not None else entry.address}",
        f"{entry.duration * 1000:.1f}",
        ", ".join(_remarks(entry)),
    )


def _remarks(entry: Entry) -> Iterator[str]:
    """How it ended, and what is remarkable about what was sent."""
    yield _FINE if entry.failure is None else f"failed: {entry.failure}"
    if entry.starts_transaction:
        yield "startTransaction"
    if entry.after is not None:
        yield f"afterClusterTime {timestamp_text(entry.after)}"
    if entry.snapshot_time is not None:
        yield f"atClusterTime {timestamp_text(entry.snapshot_time)}"
    elif entry.snapshot and not entry.in_transaction:
        yield "snapshot, of a time that the server picks"


def _aligned(cells: Sequence[str], widths: Sequence[int], gap: str) -> str:
    aligned = (
        cell.rjust(width) if column in _RIGHT else cell.ljust(width)
        for cell, width, column in zip(cells, widths, _COLUMNS, strict=False)
    )
    return gap.join(aligned).rstrip()


def timestamp_text(timestamp: Timestamp | None) -> str:
    """A cluster time as the time of day (UTC) and the number within the second."""
    if timestamp is None:
        return "-"
    return f"{datetime.fromtimestamp(timestamp.time, UTC):%H:%M:%S}/{timestamp.inc}"
