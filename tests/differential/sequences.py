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
from tests.differential.files import (
    READ_ATTRIBUTES,
    READING,
    WRITE_ATTRIBUTES,
    WRITING,
    draw_bucket_call,
    draw_opening,
    draw_use,
)
from tests.differential.methods import CHAIN, COLLECTIONS, METHODS, Draw, draw_call, methods
from tests.differential.values import Strategy
from tests.differential.watching import CHANGES, draw_use_of_events, draw_watch

MOST_STEPS = 7
#: What scenarios are about: a third of them are a single call.
SHAPES = ("single",) * 6 + ("calls",) * 3 + ("session",) * 5 + ("cursor",) * 3 + ("files", "events")

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
    #: The streams of files, and whether they are written to; the change streams.
    files: dict[int, bool] = field(default_factory=dict)
    events: list[int] = field(default_factory=list)

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


def _may_write(state: _State, session: TheSession | None) -> bool:
    active = state.in_transaction
    return not active or (session is not None and session.number in active and len(active) == 1)


def _draw_plain_call(draw: Draw, state: _State) -> Call:
    session = _draw_session(draw, state)
    active = state.in_transaction
    writes = _may_write(state, session)
    kind = draw(st.sampled_from(("collection",) * 14 + ("database",) * 3 + ("client", "bucket")))
    if kind == "bucket":
        return draw_bucket_call(draw, session, writes)
    method = draw(methods((kind,), writes))
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


def _on_bucket(draw: Draw, state: _State) -> Step:
    session = _draw_session(draw, state)
    return draw_bucket_call(draw, session, _may_write(state, session))


def _open_file(draw: Draw, state: _State) -> Step:
    session = _draw_session(draw, state)
    number = state.number()
    step, state.files[number] = draw_opening(draw, session, number, _may_write(state, session))
    return step


def _on_file(draw: Draw, state: _State) -> Step:
    number = draw(st.sampled_from(list(state.files)))
    written = state.files[number]
    target = Target("file", number)
    if draw(st.sampled_from((True, False, False))):
        return Get(target, draw(st.sampled_from(WRITE_ATTRIBUTES if written else READ_ATTRIBUTES)))
    return Call(target, *draw_use(draw, WRITING if written else READING))


def _watch(draw: Draw, state: _State) -> Step:
    number = state.number()
    step = draw_watch(draw, _draw_session(draw, state), number, state.events)
    state.events.append(number)
    return step


def _on_events(draw: Draw, state: _State) -> Step:
    return draw_use_of_events(draw, draw(st.sampled_from(state.events)))


def _change(draw: Draw, state: _State) -> Step:
    """A change that a change stream sees."""
    chosen = [method for method in METHODS if method.name in CHANGES]
    method = draw(st.sampled_from([method for method in chosen for _ in range(method.weight)]))
    return draw_call(draw, method, _draw_session(draw, state), Target("collection", "people"))


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


_OWN_STEPS = {"files": (_open_file, _on_file, _on_bucket), "events": (_watch, _on_events, _change)}


def _own_steps(draw: Draw, state: _State, shape: str) -> list[Step]:
    """The steps of a scenario about streams: open one, then use it, with the calls that it is about."""
    opening, use, other = _OWN_STEPS[shape]
    steps = [opening(draw, state)]
    for _ in range(draw(st.integers(1, MOST_STEPS))):
        kinds = [use, use, use, other, other, opening]
        if state.sessions:
            kinds.append(_block)
        steps.append(draw(st.sampled_from(kinds))(draw, state))
    # What is left open ends with the scenario: events that are not read show nothing.
    if shape == "events":
        steps += [Call(Target("events", number), "drain") for number in state.events]
    return steps


@st.composite
def scenarios(draw: Any) -> Scenario:
    """A scenario of one of the shapes."""
    state = _State()
    shape = draw(st.sampled_from(SHAPES))
    if shape == "single":
        return Scenario((_draw_plain_call(draw, state),))
    steps: list[Step] = []
    if shape == "session":
        steps.append(_start_session(draw, state))
        if draw(st.booleans()):
            steps.append(_start_transaction(draw, state))
    if shape == "cursor":
        steps.append(_open_cursor(draw, state))
    if shape in ("files", "events") and draw(st.booleans()):
        steps.append(_start_session(draw, state))
    if shape in _OWN_STEPS:
        return Scenario((*steps, *_own_steps(draw, state, shape)))
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
