"""Scenarios: single calls, and sequences with open sessions, transactions and cursors.

A rule kept here, or a scenario would wait for itself: while a transaction is open, operations outside of it only read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tests.differential import values as v
from tests.differential.calls import (
    VALUE,
    Block,
    Call,
    Get,
    Make,
    Options,
    Scenario,
    StartSession,
    Step,
    Take,
    Target,
    TheSession,
)
from tests.differential.methods import CHAIN, COLLECTIONS, Draw, draw_call, methods
from tests.differential.values import Strategy

MOST_STEPS = 7

_TRANSACTION_OPTIONS: dict[str, Strategy] = {
    "read_concern": v.READ_CONCERNS,
    "write_concern": v.WRITE_CONCERNS,
    "read_preference": v.READ_PREFERENCES,
    "max_commit_time_ms": v.MILLISECONDS,
}
_SESSION_OPTIONS: dict[str, Strategy] = {
    "causal_consistency": v.FLAGS,
    "snapshot": v.FLAGS,
    "default_transaction_options": st.builds(
        lambda name_and_value: Make("TransactionOptions", (), (name_and_value,)),
        st.one_of(*[st.tuples(st.just(name), values) for name, values in _TRANSACTION_OPTIONS.items()]),
    ),
}
#: Methods that advance a session's times to another's, and the attribute with that time.
ADVANCES = {"advance_operation_time": "operation_time", "advance_cluster_time": "cluster_time"}
SESSION_METHODS = ("start_transaction", "commit_transaction", "abort_transaction", "end_session", *ADVANCES)
SESSION_ATTRIBUTES = ("in_transaction", "has_ended")
BLOCKS = ("transaction", "with_transaction", "with_transaction", "bind")
CURSOR_METHODS = ("next", "next", "to_list", "to_list", "try_next", "close", "rewind", "clone")
CURSOR_ATTRIBUTES = ("alive", "retrieved", "cursor_id", "address", "session", "collection")
_RARELY = (True, *[False] * 5)


@dataclass
class _State:
    """What the steps so far have left open."""

    sessions: dict[int, bool] = field(default_factory=dict)
    cursors: list[int] = field(default_factory=list)
    next_number: int = 0

    @property
    def in_transaction(self) -> list[int]:
        return [number for number, active in self.sessions.items() if active]

    def number(self) -> int:
        self.next_number += 1
        return self.next_number


def _some_options(draw: Draw, table: dict[str, Strategy]) -> tuple[tuple[str, Any], ...]:
    if not draw(st.sampled_from(_RARELY)):
        return ()
    name = draw(st.sampled_from(list(table)))
    return ((name, draw(table[name])),)


def _draw_session(draw: Draw, state: _State) -> TheSession | None:
    if not state.sessions:
        return None
    active = state.in_transaction
    if active and draw(st.sampled_from((True, True, True, False))):
        return TheSession(draw(st.sampled_from(active)))
    number = draw(st.sampled_from([*state.sessions, None]))
    return None if number is None else TheSession(number)


def _draw_plain_call(draw: Draw, state: _State) -> Call:
    session = _draw_session(draw, state)
    active = state.in_transaction
    writes = not active or (session is not None and session.number in active and len(active) == 1)
    kinds = ("collection",) * 14 + ("database",) * 3 + ("client",)
    method = draw(methods((draw(st.sampled_from(kinds)),), writes))
    if active and not method.session:
        session = None
    return draw_call(draw, method, session)


# --- kinds of steps ---


def _start_session(draw: Draw, state: _State) -> Step:
    number = state.number()
    state.sessions[number] = False
    return StartSession(number, _some_options(draw, _SESSION_OPTIONS))


def _start_transaction(draw: Draw, state: _State) -> Step:
    number = next(iter(state.sessions))
    state.sessions[number] = True
    given = _some_options(draw, _TRANSACTION_OPTIONS)
    return Call(Target("session", number), "start_transaction", (), given, Take("ignore"))


def _on_session(draw: Draw, state: _State) -> Step:
    number = draw(st.sampled_from(list(state.sessions)))
    target = Target("session", number)
    usual = ("commit_transaction", "abort_transaction") if state.sessions[number] else ("start_transaction",)
    method = draw(st.sampled_from((*usual * 9, *SESSION_METHODS, "attribute", "attribute")))
    if method == "attribute":
        return Get(target, draw(st.sampled_from(SESSION_ATTRIBUTES)))
    if method in ADVANCES:
        other = Target("session", draw(st.sampled_from(list(state.sessions))))
        return Call(target, method, (draw(st.one_of(st.just(Get(other, ADVANCES[method])), v.WRONG)),))
    given = _some_options(draw, _TRANSACTION_OPTIONS) if method == "start_transaction" else ()
    state.sessions[number] = method == "start_transaction"
    return Call(target, method, (), given, Take("ignore") if method == "start_transaction" else VALUE)


def _open_cursor(draw: Draw, state: _State) -> Step:
    session = _draw_session(draw, state)
    options: list[tuple[str, Any]] = [] if session is None else [("session", session)]
    number = state.number()
    state.cursors.append(number)
    take = Take("keep", number)
    batch = draw(st.sampled_from((1, 2, 3, 0)))
    if draw(st.booleans()):
        target = Target("collection", draw(COLLECTIONS))
        return Call(target, "aggregate", ([],), (*options, ("batchSize", batch)), take)
    target = Target("collection", draw(st.sampled_from(("people", "many", "capped", "view", "fresh"))))
    if draw(st.sampled_from(_RARELY)):
        options.append(("cursor_type", draw(st.sampled_from((2, 34)))))
        await_time = ("max_await_time_ms", (5,), ())
        return Call(target, "find", (), (*options, ("batch_size", batch)), take, (await_time,))
    return Call(target, "find", (), (*options, ("batch_size", batch), ("limit", draw(v.COUNTS))), take)


def _on_cursor(draw: Draw, state: _State) -> Step:
    number = draw(st.sampled_from(state.cursors))
    target = Target("cursor", number)
    method = draw(st.sampled_from((*CURSOR_METHODS, "attribute", "attribute", "chain")))
    match method:
        case "attribute":
            return Get(target, draw(st.sampled_from(CURSOR_ATTRIBUTES)))
        case "chain":
            name = draw(st.sampled_from(list(CHAIN)))
            return Call(target, name, tuple(draw(argument) for argument in CHAIN[name]), (), Take("ignore"))
        case "to_list":
            return Call(target, method, draw(st.sampled_from(((), (1,), (2,), (5,)))))
        case "clone":
            state.cursors.append(state.number())
            return Call(target, method, (), (), Take("keep", state.cursors[-1]))
        case "rewind":
            return Call(target, method, (), (), Take("ignore"))
        case _:
            return Call(target, method)


def _block(draw: Draw, state: _State) -> Step:
    number = draw(st.sampled_from(list(state.sessions)))
    kind = draw(st.sampled_from(BLOCKS))
    inner = _State({number: kind != "bind"})
    steps = []
    for _ in range(draw(st.integers(1, 4))):
        call = _draw_plain_call(draw, inner)
        if kind == "bind":
            call = Call(call.target, call.method, call.args, _without_session(call), call.take, call.chain)
        steps.append(call)
    given: Options = (("end_session", draw(v.FLAGS)),) if kind == "bind" else _some_options(draw, _TRANSACTION_OPTIONS)
    return Block(kind, number, tuple(steps), given, draw(st.sampled_from(_RARELY)), draw(st.sampled_from(_RARELY)))


def _without_session(call: Call) -> tuple[tuple[str, Any], ...]:
    return tuple((name, value) for name, value in call.options if name != "session")


@st.composite
def scenarios(draw: Any) -> Scenario:
    """A scenario: a third of them are a single call."""
    state = _State()
    shape = draw(st.sampled_from(("single", "single", "calls", "session", "session", "cursor")))
    if shape == "single":
        return Scenario((_draw_plain_call(draw, state),))
    steps: list[Step] = []
    if shape == "session":
        steps.append(_start_session(draw, state))
        if draw(st.booleans()):
            steps.append(_start_transaction(draw, state))
    if shape == "cursor":
        steps.append(_open_cursor(draw, state))
    for _ in range(draw(st.integers(1, MOST_STEPS))):
        kinds: list[Callable[[Draw, _State], Step]] = [_draw_plain_call] * 3
        if shape == "session":
            kinds += [_on_session] * 3
            idle = not state.in_transaction
            if idle:
                kinds.append(_block)
        if shape in ("session", "cursor"):
            kinds += [_open_cursor]
        if state.cursors:
            kinds += [_on_cursor] * 3
        if shape == "cursor" and not state.sessions:
            kinds.append(_start_session)
        steps.append(draw(st.sampled_from(kinds))(draw, state))
    return Scenario(tuple(steps))
