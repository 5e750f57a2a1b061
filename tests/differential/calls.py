"""Calls on a driver as plain frozen values: what Hypothesis generates, what both drivers run, what reports show.

Nothing here depends on a driver. Values that each driver makes with its own classes (requests, concerns) are
:class:`Make`, sessions are named by their number, and cursors that a scenario keeps by theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

#: Keyword arguments, in the order in which they are passed.
Options: TypeAlias = tuple[tuple[str, Any], ...]


def options(**given: Any) -> Options:
    """Keyword arguments as a value."""
    return tuple(given.items())


def _arguments(args: tuple[Any, ...], keywords: Options) -> str:
    return ", ".join([*map(repr, args), *(f"{name}={value!r}" for name, value in keywords)])


@dataclass(frozen=True, repr=False)
class Make:
    """A value of a class that each driver has: ``InsertOne``, ``WriteConcern``..., or one of Python's own."""

    kind: str
    args: tuple[Any, ...] = ()
    options: Options = ()

    def __repr__(self) -> str:
        return f"{self.kind}({_arguments(self.args, self.options)})"


@dataclass(frozen=True, repr=False)
class TheSession:
    """The session with this ``number`` in the scenario, as an argument."""

    number: int

    def __repr__(self) -> str:
        return f"session{self.number}"


@dataclass(frozen=True, repr=False)
class TheDatabase:
    """The name of the database that the driver uses, as an argument."""

    def __repr__(self) -> str:
        return "db.name"


@dataclass(frozen=True, repr=False)
class Target:
    """What a method is called on.

    :param kind: ``client``, ``database``, ``collection``, ``bucket``, ``session``, ``cursor``, ``file`` (a stream of
        GridFS) or ``events`` (a change stream).
    :param name: the collection's or bucket's name, or the number of the session, cursor or stream.
    :param options: the arguments of a ``with_options`` call that comes first; of a bucket, those that it is made with.
    """

    kind: str
    name: str | int = ""
    options: Options = ()

    def __repr__(self) -> str:
        if self.kind == "bucket":
            return f"GridFSBucket({_arguments((TheDatabase(), self.name), self.options)})"
        text = {"client": "client", "database": "db", "collection": f"db[{self.name!r}]"}.get(
            self.kind, f"{self.kind}{self.name}"
        )
        return f"{text}.with_options({_arguments((), self.options)})" if self.options else text


@dataclass(frozen=True, repr=False)
class Take:
    """What is done with a call's result.

    :param how: ``value``: it is compared. ``ignore``: it is not. ``keys``: only its keys are. ``written``: what was
        written to the file that is the last argument. ``files``: the names and the contents of the files found.
        ``list``: ``to_list(number)``. ``each``: ``async for`` over at most ``number`` documents. ``next``,
        ``try_next``: that method. These four close the cursor then.
        ``keep``: it is a cursor or a stream, from now on called ``number``.
    """

    how: str
    number: int | None = None

    def __repr__(self) -> str:
        return self.how if self.number is None else f"{self.how} {self.number}"


VALUE = Take("value")


@dataclass(frozen=True, repr=False)
class Call:
    """A method call: the result is awaited if possible, further methods are called on it, and the last result is taken.

    :param chain: name, arguments and options of the methods that are called on the result.
    """

    target: Target
    method: str
    args: tuple[Any, ...] = ()
    options: Options = ()
    take: Take = VALUE
    chain: tuple[tuple[str, tuple[Any, ...], Options], ...] = ()

    def __repr__(self) -> str:
        text = f"{self.target!r}.{self.method}({_arguments(self.args, self.options)})"
        text += "".join(f".{name}({_arguments(args, keywords)})" for name, args, keywords in self.chain)
        return text if self.take == VALUE else f"{text}  # {self.take!r}"


@dataclass(frozen=True, repr=False)
class Get:
    """An attribute access: a step, whose value is compared, or an argument."""

    target: Target
    attribute: str

    def __repr__(self) -> str:
        return f"{self.target!r}.{self.attribute}"


@dataclass(frozen=True, repr=False)
class StartSession:
    """``client.start_session()``; it ends with the scenario, unless something ends it earlier."""

    number: int
    options: Options = ()

    def __repr__(self) -> str:
        return f"session{self.number} = client.start_session({_arguments((), self.options)})"


@dataclass(frozen=True, repr=False)
class Block:
    """Calls within a block that has an end of its own.

    :param kind: ``transaction``: ``async with session.start_transaction(...)``. ``with_transaction``: the calls are the
        callback. ``bind``: ``async with session.bind(...)``.
    :param raises: whether an exception of the user's follows the calls.
    :param forgives: whether a failure of a call is caught within the block.
    """

    kind: str
    session: int
    steps: tuple[Call | Get, ...]
    options: Options = ()
    raises: bool = False
    forgives: bool = False

    def __repr__(self) -> str:
        head = f"session{self.session}.{self.kind}({_arguments((), self.options)}):"
        lines = [repr(step) for step in self.steps]
        if self.forgives:
            lines = [f"with suppress(Exception): {line}" for line in lines]
        if self.raises:
            lines.append("raise UserError")
        return "\n    ".join([head, *lines])


Step: TypeAlias = Call | Get | StartSession | Block


@dataclass(frozen=True, repr=False)
class Scenario:
    """A sequence of steps on the starting data."""

    steps: tuple[Step, ...]

    def __repr__(self) -> str:
        return "\n".join(map(repr, self.steps))

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)


def inner_steps(scenario: Scenario) -> Iterator[Step]:
    """All steps, including those within blocks."""
    for step in scenario:
        yield step
        if isinstance(step, Block):
            yield from step.steps
