"""Differences as readable text: the scenario, the step, both outcomes, both lists of commands, the place. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.differential.calls import Scenario
from tests.differential.outcomes import Difference, Record


def report(scenario: Scenario, differences: Sequence[Difference]) -> str:
    """All there is to know about the first difference, and the places of the others."""
    first, *others = differences
    return "\n".join([*_lines(scenario, first), *(f"also {_place(other)}" for other in others)])


def _lines(scenario: Scenario, difference: Difference) -> Iterator[str]:
    yield "the scenario:"
    for number, step in enumerate(scenario, 1):
        yield _indented(f"{number}. {step!r}")
    if difference.their_record is not None and difference.our_record is not None:
        yield "differs in:"
        yield _indented(repr(difference.our_record.step))
        yield from _side("PyMongo", difference.their_record)
        yield from _side("wiredrv", difference.our_record)
    yield f"the difference: {_place(difference)}"


def _side(name: str, record: Record) -> Iterator[str]:
    yield f"{name} {record.outcome!r}"
    if not record.commands:
        yield _indented("sent nothing")
    for command in record.commands:
        yield _indented(f"sent {command!r}")


def _place(difference: Difference) -> str:
    place = ".".join(map(str, difference.path))
    where = f"{difference.what} {place}".rstrip()
    return f"{where}\n    PyMongo: {difference.theirs!r}\n    wiredrv: {difference.ours!r}"


def _indented(text: str) -> str:
    return "    " + text.replace("\n", "\n    ")
