"""A session's state: its end, times that only advance, and applying the pinning table."""

from __future__ import annotations

from typing import Any, Self

import pytest
from bson.timestamp import Timestamp

from wiredrv.session.options import SessionOptions
from wiredrv.session.pinning import EFFECTS, PinEffect, PinEvent
from wiredrv.session.server_session import ServerSession
from wiredrv.session.state import SessionState
from wiredrv.session.turns import Purpose
from wiredrv.types import Address


class FakePin:
    """Stands in for a mongos."""

    address = Address("mongos.example", 1)
    for_stream = False

    def __init__(self) -> None:
        self.released = 0

    def hold(self) -> Self:
        return self

    def release(self) -> None:
        self.released += 1


def make_state(**options: Any) -> SessionState:
    return SessionState(SessionOptions(**options), ServerSession(0.0), owner=object())


def test_an_ended_session_gives_its_pin_and_server_session_back_once_nothing_is_in_flight() -> None:
    state = make_state()
    pin = FakePin()
    state.on_pin_event(PinEvent.FIRST_COMMAND_SELECTED, pin)
    turn = state.turns.enter("find", Purpose.STATEMENT, "a")
    released: list[str] = []
    state.end(lambda: released.append("released"))
    assert state.ended
    assert (pin.released, released) == (0, [])
    state.turns.leave(turn)
    assert (pin.released, released) == (1, ["released"])


def test_times_only_advance() -> None:
    state = make_state()
    for seconds, expected in ((5, 5), (3, 5), (9, 9)):
        state.advance_operation_time(Timestamp(seconds, 0))
        state.advance_cluster_time({"clusterTime": Timestamp(seconds, 0)})
        assert state.operation_time == Timestamp(expected, 0)
        assert state.cluster_time == {"clusterTime": Timestamp(expected, 0)}


def test_a_given_snapshot_time_is_that_of_the_session() -> None:
    time = Timestamp(7, 1)
    assert make_state(snapshot=True, snapshot_time=time).snapshot_time == time
    assert make_state(snapshot=True).snapshot_time is None


#: Transactions specification, "When to unpin" and "Mongos Pinning".
PINNING: dict[PinEvent, PinEffect] = {
    PinEvent.FIRST_COMMAND_SELECTED: PinEffect.PIN,
    PinEvent.FIRST_COMMAND_REFUSED: PinEffect.UNPIN,
    PinEvent.COMMIT_SUCCEEDED: PinEffect.KEEP,
    PinEvent.COMMIT_UNKNOWN: PinEffect.UNPIN,
    PinEvent.TRANSIENT_ERROR: PinEffect.UNPIN,
    PinEvent.ABORTED: PinEffect.UNPIN,
    PinEvent.NEW_TRANSACTION: PinEffect.UNPIN,
    PinEvent.OPERATION_OUTSIDE: PinEffect.UNPIN,
    PinEvent.SESSION_ENDED: PinEffect.UNPIN,
}


def test_the_pinning_table_is_complete() -> None:
    assert EFFECTS == PINNING
    assert set(EFFECTS) == set(PinEvent)


@pytest.mark.parametrize("event", PinEvent, ids=lambda event: event.name)
@pytest.mark.parametrize("pinned", [True, False], ids=["pinned", "not pinned"])
def test_what_each_event_does_to_the_pin(event: PinEvent, pinned: bool) -> None:
    state = make_state()
    before = FakePin() if pinned else None
    state.pin = before
    new = FakePin()
    state.on_pin_event(event, new)
    wanted = {PinEffect.PIN: new, PinEffect.KEEP: before, PinEffect.UNPIN: None}[PINNING[event]]
    assert state.pin is wanted
    assert new.released == 0
    if before is not None:
        assert before.released == (PINNING[event] is PinEffect.UNPIN)


def test_the_record_names_the_pinned_server() -> None:
    state = make_state()
    state.server_session.next_txn_number()
    assert state.record().server is None
    state.pin = FakePin()
    assert (state.record().server, state.record().txn_number) == (FakePin.address, 1)
