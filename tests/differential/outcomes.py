"""What a step did: its outcome, what it sent, what happened to its arguments; and the differences of two. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.differential.calls import Call, Get, Step
from tests.differential.normal import MISSING, command_leaves, leaves

Command = dict[str, Any]


@dataclass(frozen=True)
class Returned:
    """The step succeeded; ``value`` is normalised."""

    value: Any

    def __repr__(self) -> str:
        return f"returned {self.value!r}"


@dataclass(frozen=True)
class Failed:
    """The step raised.

    :param kind: the name of the error's class.
    :param bases: the names of its base classes, itself first.
    """

    kind: str
    bases: tuple[str, ...]
    message: str
    code: int | None = None
    labels: tuple[str, ...] = ()
    details: Any = None

    def __repr__(self) -> str:
        parts = [self.message]
        if self.labels:
            parts.append(f"labels {', '.join(self.labels)}")
        return f"raised {self.kind}: {'; '.join(parts)}"


@dataclass(frozen=True)
class Record:
    """One step as performed by one driver."""

    step: Step
    outcome: Returned | Failed
    commands: tuple[Command, ...] = ()
    #: The documents that the caller passed, in their state after the call.
    arguments: Any = None

    @property
    def names(self) -> list[str]:
        """The names of the commands that were sent."""
        return [next(iter(command)) for command in self.commands]


@dataclass(frozen=True)
class Difference:
    """One difference between the drivers.

    :param what: ``outcome`` (one failed and one did not, or they failed in different ways), ``result`` (a place in the
        results), ``error`` (a place in the errors' details), ``commands`` (other commands), ``field`` (a place in a
        command), ``arguments`` (a place in the caller's arguments), ``data`` (a place in the data left), ``closing``
        (a place in what closed a cursor).
    :param path: the place; for ``field`` it begins with the command's name.
    """

    what: str
    path: tuple[str | int, ...]
    theirs: Any
    ours: Any
    their_record: Record | None = None
    our_record: Record | None = None

    @property
    def place(self) -> str:
        """The place as text, with list positions left out."""
        return ".".join("*" if isinstance(part, int) else str(part) for part in self.path)

    @property
    def method(self) -> str:
        """The method of the call, or the kind of step."""
        step = self.their_record.step if self.their_record else None
        names = (getattr(step, name, None) for name in ("method", "attribute", "kind"))
        return next((str(name) for name in names if name), "")

    @property
    def signature(self) -> tuple[str, ...]:
        """The key by which a summary treats two differences as the same."""
        ends = []
        for value in (self.theirs, self.ours):
            ends.append(value.kind if isinstance(value, Failed) else type(value).__name__)
        return (self.what, self.method, self.place, *ends)


def compared(theirs: Record, ours: Record) -> Iterator[Difference]:
    """The differences of one step."""
    yield from _outcomes(theirs, ours)
    yield from _effects(theirs, ours)


def _effects(theirs: Record, ours: Record) -> Iterator[Difference]:
    # A call that failed while its arguments were built (PyMongo's requests check theirs) did not take place.
    for leaf in leaves(theirs.arguments, ours.arguments) if theirs.arguments and ours.arguments else ():
        yield Difference("arguments", leaf.path, leaf.theirs, leaf.ours, theirs, ours)
    # When a stream of GridFS sends what is written, or reads what comes next, is up to each driver.
    if _is_of_a_file(ours.step) and not (theirs.commands and ours.commands):
        return
    if theirs.names != ours.names:
        yield Difference("commands", (), theirs.names, ours.names, theirs, ours)
        return
    for name, sent_there, sent_here in zip(theirs.names, theirs.commands, ours.commands, strict=True):
        for leaf in command_leaves(sent_there, sent_here):
            yield Difference("field", (name, *leaf.path), leaf.theirs, leaf.ours, theirs, ours)


def _is_of_a_file(step: Step) -> bool:
    return isinstance(step, Call | Get) and step.target.kind == "file"


def _outcomes(theirs: Record, ours: Record) -> Iterator[Difference]:
    there, here = theirs.outcome, ours.outcome
    if isinstance(there, Returned) and isinstance(here, Returned):
        for leaf in leaves(there.value, here.value):
            yield Difference("result", leaf.path, leaf.theirs, leaf.ours, theirs, ours)
    elif isinstance(there, Failed) and isinstance(here, Failed):
        if there.kind != here.kind:
            yield Difference("outcome", (), there, here, theirs, ours)
            return
        told_there = {"code": there.code, "labels": list(there.labels), "details": there.details}
        told_here = {"code": here.code, "labels": list(here.labels), "details": here.details}
        for leaf in leaves(told_there, told_here):
            yield Difference("error", leaf.path, leaf.theirs, leaf.ours, theirs, ours)
    else:
        yield Difference("outcome", (), there, here, theirs, ours)


def compared_steps(theirs: Sequence[Record], ours: Sequence[Record]) -> Iterator[Difference]:
    """The differences between the records of one step: several, if it is a block."""
    failures = []
    for there, here in zip(theirs, ours, strict=False):
        if there.step is not here.step:
            break
        outcomes = (there.outcome, here.outcome)
        # A failure that propagates from a block is that of a call in it: it is reported once.
        yield from _effects(there, here) if outcomes in failures else compared(there, here)
        if isinstance(there.outcome, Failed) and isinstance(here.outcome, Failed):
            failures.append(outcomes)
    else:
        if len(theirs) == len(ours):
            return
    steps = [[repr(record.step) for record in records] for records in (theirs, ours)]
    yield Difference("steps", (), steps[0], steps[1], theirs[-1], ours[-1])


def compared_closings(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[Difference]:
    """The differences in how cursors were closed: each cursor's name with the killCursors that closed it."""
    for name in sorted({*theirs, *ours}):
        there, here = theirs.get(name, MISSING), ours.get(name, MISSING)
        if there is MISSING or here is MISSING:
            yield Difference("closing", (), there, here)
            continue
        for leaf in command_leaves(there, here):
            path = ("rewind", *leaf.path) if name.endswith("rewound") else ("killCursors", *leaf.path)
            yield Difference("closing", path, leaf.theirs, leaf.ours)


def compared_data(theirs: Any, ours: Any) -> Iterator[Difference]:
    """The differences in the data of the two databases."""
    for leaf in leaves(theirs, ours):
        yield Difference("data", leaf.path, leaf.theirs, leaf.ours)
