"""A timeline as lines of text: a lane for each session, its commands and transactions by time. Pure.

A command has a bar: its waits for a server and for a connection, and the time until the reply, on one scale for all.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from wiredrv.timeline.records import (
    CommandRecord,
    Dropped,
    Failure,
    Header,
    Record,
    SessionMark,
    Time,
    TopologyMark,
    TransactionMark,
)

Mark: TypeAlias = TransactionMark | SessionMark | TopologyMark
Event: TypeAlias = CommandRecord | Mark

#: The widths of the columns: the time, the command, its duration, its bar.
_TIME, _COMMAND, _DURATION, _BAR = 10, 28, 10, 10
#: From how many columns on there is one for the operation time.
_WIDE = 110
#: Waiting for a server, for a connection, for the reply.
_SHADES = ("░", "▒", "█")
_PLAIN_SHADES = ("s", "c", "#")
_TREE = {"begin": "┌ ", "inside": "│ ", "retry": "  ", "committed": "└ ", "aborted": "└ ", "unknown": "└ "}
_PLAIN_TREE = {"begin": ", ", "inside": "| ", "retry": "  ", "committed": "' ", "aborted": "' ", "unknown": "' "}
_NO_SESSION = "no session"
_DEPLOYMENT = "deployment"


class Line(NamedTuple):
    """One line.

    :param text: what it says.
    :param style: ``heading``, ``error``, ``good``, ``mark``, or empty for a command that succeeded.
    """

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Filter:
    """What of a timeline is shown.

    :param session: only the sessions whose ids begin with these hexadecimal digits.
    :param transaction: only the transaction with this number.
    :param errors: only commands that failed, and what became of transactions that met an error.
    """

    session: str = ""
    transaction: int | None = None
    errors: bool = False

    def passes(self, event: Event) -> bool:
        """Whether an event is shown."""
        if self.session and not (getattr(event, "session", None) or "").startswith(self.session.lower()):
            return False
        if self.transaction is not None and _transaction_of(event) != self.transaction:
            return False
        return not self.errors or getattr(event, "error", None) is not None


def _transaction_of(event: Event) -> int | None:
    return event.number if isinstance(event, TransactionMark) else getattr(event, "transaction", None)


@dataclass(slots=True)
class Lane:
    """The events of one session, of those commands that have none, or of the deployment."""

    name: str
    implicit: bool = True
    clients: set[int] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)


def lanes(events: Iterable[Event]) -> list[Lane]:
    """Put events into lanes: the deployment's, then those of sessions, by their first event."""
    found: dict[str, Lane] = {}
    for event in sorted(events, key=lambda event: event.at):
        name = _DEPLOYMENT if isinstance(event, TopologyMark) else event.session or _NO_SESSION
        lane = found.setdefault(name, Lane(name))
        lane.events.append(event)
        lane.implicit = lane.implicit and isinstance(event, CommandRecord) and event.implicit
        if not isinstance(event, TransactionMark):
            lane.clients.add(event.client)
    deployment = found.pop(_DEPLOYMENT, None)
    return [*([deployment] if deployment else []), *found.values()]


def lines(
    header: Header, records: Sequence[Record], chosen: Filter = Filter(), width: int = 80, *, plain: bool = False
) -> Iterator[Line]:
    """The lines of a timeline.

    :param chosen: what is shown.
    :param width: of the terminal, in columns; 80 at least.
    :param plain: use ASCII characters alone.
    """
    events = [record for record in records if not isinstance(record, Dropped)]
    shown = [event for event in events if chosen.passes(event)]
    yield Line(_summary(header, records, events), "heading")
    longest = max((_duration(event) or 0 for event in shown if isinstance(event, CommandRecord)), default=0)
    page = _Page(max(width, 80), longest, plain)
    if longest:
        yield from map(Line, textwrap.wrap(page.legend(), max(width, 80)))
    if not shown:
        yield Line("Nothing to show.")
    for lane in lanes(shown):
        yield Line("")
        yield Line(_title(lane), "heading")
        yield from page.lane(lane)


def _summary(header: Header, records: Sequence[Record], events: Sequence[Event]) -> str:
    commands = [event for event in events if isinstance(event, CommandRecord)]
    failed = sum(command.ok is False for command in commands)
    dropped = sum(record.count for record in records if isinstance(record, Dropped))
    sessions = {command.session for command in commands if command.session}
    last = max((getattr(event, "replied", None) or event.at for event in events), default=0)
    parts = [
        header.started,
        f"{last / 1_000_000:.3f} s",
        _count(len(commands), "command"),
        _count(len(sessions), "session"),
        f"{failed} failed",
    ]
    if dropped:
        parts.append(f"{_count(dropped, 'older record')} dropped")
    return ", ".join(parts)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _title(lane: Lane) -> str:
    if lane.name in (_DEPLOYMENT, _NO_SESSION):
        return lane.name
    clients = ", ".join(f"client {number}" for number in sorted(lane.clients))
    return f"session {lane.name}{' (implicit)' if lane.implicit else ''}{', ' if clients else ''}{clients}"


class _Page:
    """What the lines of a timeline have in common."""

    def __init__(self, width: int, longest: int, plain: bool) -> None:
        self._width = width
        self._scale = longest
        self._shades = _PLAIN_SHADES if plain else _SHADES
        self._tree = _PLAIN_TREE if plain else _TREE
        self._cut = "..." if plain else "…"

    def legend(self) -> str:
        selection, connection, server = self._shades
        text = (
            f"bars: {selection} selects a server, {connection} waits for a connection, {server} until the reply; "
            f"a full one is {_milliseconds(self._scale)}"
        )
        return f"{text}; then the operation time, where it advanced" if self._width >= _WIDE else text

    def lane(self, lane: Lane) -> Iterator[Line]:
        inside = False
        latest: Time | None = None
        for event in lane.events:
            if isinstance(event, CommandRecord):
                advanced = event.operation_time is not None and (latest is None or event.operation_time > latest)
                latest = event.operation_time if advanced else latest
                tree = self._tree["inside"] if event.transaction is not None and inside else "  "
                yield from self._command(event, tree, latest if advanced else None)
                continue
            if isinstance(event, TransactionMark):
                inside = event.event == "begin"
            yield from self._mark(event)

    def _command(self, event: CommandRecord, tree: str, operation_time: Time | None) -> Iterator[Line]:
        name = f"{event.name} {event.database}{'.' if event.collection else ''}{event.collection}"
        if event.attempt > 1:
            name = f"#{event.attempt} {name}"
        duration = _duration(event)
        shown = "in flight" if duration is None else _milliseconds(duration)
        outcome = event.server or "no server"
        if event.error is not None:
            outcome = event.error.type
        text = f"{self._start(event.at, tree)}{self._fit(name, _COMMAND)} {shown:>{_DURATION}} {self._bar(event)} "
        if self._width >= _WIDE:
            time = "" if operation_time is None else f"{operation_time[0]}.{operation_time[1]}"
            text += f"{time:<15} "
        yield Line(text + self._fit(outcome, self._width - len(text)).rstrip(), "" if event.error is None else "error")
        if event.error is not None:
            follows = "tried again" if event.retried else ""
            yield from self._error(event.error, tree, follows)

    def _error(self, error: Failure, tree: str, follows: str = "") -> Iterator[Line]:
        labels = f"labels: {', '.join(error.labels)}" if error.labels else ""
        code = f"code {error.code}" if error.code is not None else ""
        text = "; ".join(part for part in (error.message, code, labels, follows) if part)
        indent = " " * (_TIME + 1) + tree + "  "
        for part in textwrap.wrap(text, self._width - len(indent)):
            yield Line(indent + part, "error")

    def _mark(self, event: Mark) -> Iterator[Line]:
        tree = self._tree[event.event] if isinstance(event, TransactionMark) else "  "
        style = "mark"
        if isinstance(event, TransactionMark):
            style = {"committed": "good", "aborted": "error", "unknown": "error"}.get(event.event, "mark")
            text = _transaction_text(event)
        elif isinstance(event, SessionMark):
            text = f"{event.event}{'' if event.server is None else f' {event.server}'}"
        else:
            text = f"{event.event} {event.server or 'none'}{f' ({event.detail})' if event.detail else ''}"
        start = self._start(event.at, tree)
        first, *rest = textwrap.wrap(text, self._width - len(start)) or [""]
        yield Line(start + first, style)
        for part in rest:
            yield Line(" " * len(start) + part, style)
        if isinstance(event, TransactionMark) and event.error is not None:
            # The whole text is beside the command that failed.
            yield Line(
                " " * len(start) + self._fit(f"after {event.error.type}", self._width - len(start)).rstrip(), style
            )

    def _start(self, at: int, tree: str) -> str:
        return f"{_milliseconds(at):>{_TIME}} {tree}"

    def _fit(self, text: str, width: int) -> str:
        return f"{text:<{width}}" if len(text) <= width else text[: width - len(self._cut)] + self._cut

    def _bar(self, event: CommandRecord) -> str:
        duration = _duration(event)
        if not duration or not self._scale:
            return " " * _BAR
        end = event.at + duration
        selected = end if event.selected is None else event.selected
        connected = end if event.sent is None else event.sent
        cells = [0, *(round((moment - event.at) / self._scale * _BAR) for moment in (selected, connected, end))]
        parts = (shade * (after - before) for shade, before, after in zip(self._shades, cells, cells[1:], strict=False))
        return f"{''.join(parts) or self._shades[2]:<{_BAR}}"


def _transaction_text(event: TransactionMark) -> str:
    name = f"transaction {event.number}"
    match event.event:
        case "begin":
            return name if event.attempt == 1 else f"{name}, attempt {event.attempt}"
        case "retry":
            return f"{name} is tried again: attempt {event.attempt} follows"
        case "unknown":
            return f"{name}: it is not known whether it was committed"
    return f"{name} {event.event}"


def _duration(event: CommandRecord) -> int | None:
    return None if event.replied is None else event.replied - event.at


def _milliseconds(microseconds: int) -> str:
    """As ``12.3 ms``, or in seconds from ten of them on."""
    if microseconds >= 10_000_000:
        return f"{microseconds / 1_000_000:.2f} s"
    return f"{microseconds / 1000:.1f} ms"
