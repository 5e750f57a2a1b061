"""Short helpers for scenarios that are written by hand."""

from __future__ import annotations

from typing import Any

from tests.differential.calls import VALUE, Call, Make, Options, StartSession, Step, Take, Target, TheSession, options

CLIENT = Target("client")
DATABASE = Target("database")
PEOPLE = Target("collection", "people")
MANY = Target("collection", "many")
CAPPED = Target("collection", "capped")
UNANSWERED = Target("collection", "people", options(write_concern=Make("WriteConcern", (), options(w=0))))
#: A write concern that fails on any deployment.
IMPATIENT = Target("collection", "people", options(write_concern=Make("WriteConcern", (), options(w="nope"))))
CURSOR = Target("cursor", 2)
SESSION = TheSession(1)

LIST = Take("list")
KEEP = Take("keep", 2)
IGNORE = Take("ignore")


def call(target: Target, method: str, *args: Any, take: Take = VALUE, **given: Any) -> Call:
    """A call."""
    return Call(target, method, args, options(**given), take)


def chained(start: Call, *more: tuple[str, tuple[Any, ...]]) -> Call:
    """The call, with methods called on its result."""
    chain: tuple[tuple[str, tuple[Any, ...], Options], ...] = tuple((name, args, ()) for name, args in more)
    return Call(start.target, start.method, start.args, start.options, start.take, chain)


def request(kind: str, *args: Any, **given: Any) -> Make:
    """A request for a bulk write."""
    return Make(kind, args, options(**given))


def on_session(method: str, **given: Any) -> Call:
    """A call of a method of the session."""
    return call(Target("session", 1), method, take=IGNORE if method == "start_transaction" else VALUE, **given)


def in_session(*steps: Step, **given: Any) -> tuple[Step, ...]:
    """Steps after the start of a session."""
    return (StartSession(1, options(**given)), *steps)


def in_transaction(*steps: Step, **given: Any) -> tuple[Step, ...]:
    """Steps in a transaction that none of them has to end."""
    return in_session(on_session("start_transaction", **given), *steps)
