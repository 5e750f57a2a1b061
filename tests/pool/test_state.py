"""The pool's decisions: tables for single rules, and a state machine that checks all of them at once (CMAP)."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from bson.objectid import ObjectId
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from wiredrv.errors import InvalidOperation, PoolClearedError
from wiredrv.pool.settings import PoolSettings
from wiredrv.pool.state import CheckOutWaiter, MayConnect, Phase, PoolState


class Fake:
    """A connection without a socket."""

    def __init__(self, generation: int, service_id: ObjectId | None = None) -> None:
        self.generation = generation
        self.last_used = 0.0
        self.closed = False
        self.service_id = service_id


def cleared() -> BaseException:
    return PoolClearedError("cleared")


def closed() -> BaseException:
    return InvalidOperation("closed")


def ready_state(**options: Any) -> PoolState[Fake]:
    state: PoolState[Fake] = PoolState(PoolSettings(**options))
    assert state.ready()
    return state


def connect(state: PoolState[Fake], service_id: ObjectId | None = None) -> Fake:
    grant = state.take(0.0)
    assert isinstance(grant, MayConnect)
    made = Fake(grant.generation, service_id)
    state.connected(made)
    return made


def waiting(state: PoolState[Fake]) -> CheckOutWaiter[Fake]:
    woken: list[int] = []
    waiter: CheckOutWaiter[Fake] = CheckOutWaiter(lambda: woken.append(1))
    state.waiters.append(waiter)
    return waiter


# --- single rules -----------------------------------------------------------------------------------------------------


def test_a_pool_starts_paused_and_gives_out_nothing() -> None:
    state: PoolState[Fake] = PoolState(PoolSettings())
    assert (state.phase, state.generation, state.take(0.0)) == (Phase.PAUSED, 0, None)


def test_what_was_used_last_is_used_next() -> None:
    state = ready_state()
    first, second = connect(state), connect(state)
    assert state.returned(first, 1.0) is None
    assert state.returned(second, 2.0) is None
    assert state.take(3.0) is second
    assert state.take(3.0) is first


def test_no_more_connections_are_made_than_the_pool_may_hold() -> None:
    state = ready_state(max_pool_size=2, max_connecting=5)
    connect(state)
    connect(state)
    assert state.take(0.0) is None


def test_a_pool_size_of_zero_is_no_limit() -> None:
    state = ready_state(max_pool_size=0)
    for _ in range(300):
        connect(state)
    assert state.total == 300


def test_no_more_connections_are_made_at_a_time_than_allowed() -> None:
    state = ready_state(max_connecting=2)
    assert isinstance(state.take(0.0), MayConnect)
    assert isinstance(state.take(0.0), MayConnect)
    assert state.take(0.0) is None
    state.connect_failed()
    assert isinstance(state.take(0.0), MayConnect)


def test_nobody_passes_those_who_wait() -> None:
    state = ready_state(max_pool_size=1)
    held = connect(state)
    waiter = waiting(state)
    state.returned(held, 1.0)
    assert state.take(1.0) is None, "the connection belongs to who waits"
    state.serve(1.0)
    assert waiter.grant is held


def test_an_idle_connection_of_an_older_generation_is_thrown_away() -> None:
    state = ready_state()
    old = connect(state)
    state.returned(old, 0.0)
    state.clear(None, cleared)
    state.ready()
    assert isinstance(state.take(0.0), MayConnect)
    assert state.take_discarded() == [(old, "stale")]


def test_a_connection_that_idled_too_long_is_thrown_away() -> None:
    state = ready_state(max_idle_time=10.0)
    held = connect(state)
    state.returned(held, 100.0)
    assert state.perished(held, 110.0) is None
    assert state.perished(held, 110.1) == "idle"


def test_a_pool_is_filled_up_to_its_least_size_and_counts_all_that_there_is() -> None:
    state = ready_state(min_pool_size=3, max_connecting=2)
    connect(state)
    assert state.populate() == MayConnect(0)
    assert state.populate() == MayConnect(0)
    assert state.populate() is None, "one in use and two being made are three"
    state.connect_failed()
    assert state.populate() == MayConnect(0)


def test_filling_keeps_to_the_connections_made_at_a_time_and_to_a_pool_that_is_ready() -> None:
    state = ready_state(min_pool_size=3, max_connecting=1)
    assert state.populate() == MayConnect(0)
    assert state.populate() is None
    state.connect_failed()
    state.clear(None, cleared)
    assert state.populate() is None
    state.ready()
    assert state.populate() == MayConnect(1)


def test_the_next_look_at_idle_connections_is_when_the_oldest_is_due() -> None:
    state = ready_state(max_idle_time=10.0)
    assert state.idle_seconds_left(100.0) == 10.0
    for now in (101.0, 104.0):
        state.returned(Fake(0), now)
    assert state.idle_seconds_left(105.0) == 6.0
    assert state.idle_seconds_left(200.0) == 0.0
    assert ready_state().idle_seconds_left(0.0) is None


@pytest.mark.parametrize(
    "happened, reason",
    [
        ("nothing", None),
        ("it broke", "error"),
        ("the pool was cleared", "stale"),
        ("the pool was closed", "poolClosed"),
    ],
)
def test_a_connection_that_comes_back_is_kept_or_closed(happened: str, reason: str | None) -> None:
    state = ready_state()
    held = connect(state)
    if happened == "it broke":
        held.closed = True
    elif happened == "the pool was cleared":
        state.clear(None, cleared)
    elif happened == "the pool was closed":
        state.close(closed)
    assert state.returned(held, 1.0) == reason
    assert state.idle == ([held] if reason is None else [])


def test_clearing_fails_those_who_wait_and_tells_whether_it_was_ready() -> None:
    state = ready_state(max_pool_size=1)
    connect(state)
    waiter = waiting(state)
    assert state.clear(None, cleared) is True
    assert isinstance(waiter.grant, PoolClearedError)
    assert state.clear(None, cleared) is False, "it was paused already"
    assert state.generation == 2


def test_closing_fails_those_who_wait_and_throws_away_what_idles() -> None:
    state = ready_state(max_pool_size=1)
    held = connect(state)
    waiter = waiting(state)
    other = waiting(state)
    assert state.close(closed) is True
    assert isinstance(waiter.grant, InvalidOperation)
    assert isinstance(other.grant, InvalidOperation)
    assert state.close(closed) is False
    assert state.ready() is False, "a closed pool never opens again"
    assert state.returned(held, 0.0) == "poolClosed"


# --- behind a load balancer (CMAP, "Load Balancer Mode") --------------------------------------------------------------


#: Two servers behind a load balancer.
ONE, OTHER = ObjectId(), ObjectId()


def test_clearing_a_service_neither_pauses_the_pool_nor_touches_other_services() -> None:
    state = ready_state()
    one, other = connect(state, ONE), connect(state, OTHER)
    waiter = waiting(state)
    assert state.clear(ONE, cleared) is True
    assert state.phase is Phase.READY
    assert waiter.grant is None
    assert state.returned(one, 0.0) == "stale"
    assert state.returned(other, 0.0) is None


def test_a_connection_made_after_its_service_was_cleared_is_good() -> None:
    state = ready_state()
    old = connect(state, ONE)
    state.clear(ONE, cleared)
    assert state.returned(old, 0.0) == "stale"
    new = connect(state, ONE)
    assert state.returned(new, 0.0) is None
    assert state.take(0.0) is new


# --- all rules at once ------------------------------------------------------------------------------------------------

_MAX_SIZE = 4
_MAX_CONNECTING = 2


class PoolMachine(RuleBasedStateMachine):
    """Operations come and go, wait, are cancelled and fail, while the server's state changes."""

    def __init__(self) -> None:
        super().__init__()
        settings = PoolSettings(max_pool_size=_MAX_SIZE, max_connecting=_MAX_CONNECTING, max_idle_time=50.0)
        self.state: PoolState[Fake] = PoolState(settings)
        self.now = 0.0
        self.used: list[Fake] = []
        self.making: list[MayConnect] = []
        # What the model expects: the waiters that were not served yet, in order.
        self.line: deque[tuple[int, CheckOutWaiter[Fake]]] = deque()
        self.woken: list[int] = []
        self.came = 0

    # --- what operations do ---

    @precondition(lambda self: self.state.phase is Phase.READY)
    @rule()
    def ask(self) -> None:
        grant = self.state.take(self.now)
        if grant is None:
            self._stand_in_line()
        else:
            assert not self.line, "a new request overtook those that wait"
            self._use(grant)

    @rule()
    def ask_for_an_idle_one(self) -> None:
        best = self.state.idle[-1] if self.state.idle else None
        connection = self.state.take_idle(self.now)
        if connection is None:
            perished = best is None or self.state.perished(best, self.now) is not None
            assert perished or self.line or self.state.phase is not Phase.READY
        else:
            assert connection is best
            assert self.state.phase is Phase.READY
            assert not self.line, "a new request overtook those that wait"
            self._use(connection)

    def _stand_in_line(self) -> None:
        self.came += 1
        number = self.came
        waiter: CheckOutWaiter[Fake] = CheckOutWaiter(lambda: self.woken.append(number))
        self.state.waiters.append(waiter)
        self.line.append((number, waiter))

    def _use(self, grant: Fake | MayConnect) -> None:
        if isinstance(grant, MayConnect):
            assert grant.generation == self.state.generation
            self.making.append(grant)
        else:
            assert not grant.closed
            assert grant.generation == self.state.generation, "a stale connection was given out"
            assert grant not in self.used
            self.used.append(grant)

    @precondition(lambda self: self.used)
    @rule(which=st.integers(0, 99), breaks=st.booleans())
    def give_back(self, which: int, breaks: bool) -> None:
        connection = self.used.pop(which % len(self.used))
        connection.closed = connection.closed or breaks
        reason = self.state.returned(connection, self.now)
        assert (reason is None) == (
            not connection.closed
            and connection.generation == self.state.generation
            and self.state.phase is not Phase.CLOSED
        )
        self._served()

    @precondition(lambda self: self.making)
    @rule()
    def made(self) -> None:
        connection = Fake(self.making.pop(0).generation)
        self.state.connected(connection)
        self.used.append(connection)
        self._served()

    @precondition(lambda self: self.making)
    @rule()
    def could_not_be_made(self) -> None:
        self.making.pop(0)
        self.state.connect_failed()
        self._served()

    @precondition(lambda self: self.line)
    @rule(which=st.integers(0, 99))
    def give_up_waiting(self, which: int) -> None:
        position = which % len(self.line)
        _, waiter = self.line[position]
        del self.line[position]
        self.state.given_up(waiter, self.now)
        self._served()

    @precondition(lambda self: self.state.phase is Phase.READY and (self.used or self.making) and self.line)
    @rule(fails=st.booleans())
    def be_cancelled_with_a_grant_in_hand(self, fails: bool) -> None:
        """Grant and cancellation both arrive before the waiter runs: the connection goes to the next in line."""
        number, waiter = self.line[0]
        if self.making and fails:
            self.making.pop(0)
            self.state.connect_failed()
        elif self.used:
            self.state.returned(self.used.pop(), self.now)
        else:
            return
        self.state.serve(self.now)
        if waiter.grant is None:
            return
        self.line.popleft()
        assert self.woken[-1] >= number
        self.state.given_up(waiter, self.now)
        self._served()

    def _served(self) -> None:
        """Serve, and update the model: grants go to the head of the line, in order, and each waiter wakes once."""
        self.state.serve(self.now)
        while self.line and self.line[0][1].grant is not None:
            number, waiter = self.line.popleft()
            assert self.woken.count(number) == 1
            grant = waiter.grant
            if isinstance(grant, BaseException):
                raise AssertionError("an error was granted outside of clear and close")
            assert grant is not None
            self._use(grant)
        assert all(waiter.grant is None for _, waiter in self.line), "somebody was served out of turn"

    # --- what happens to the server ---

    @rule()
    def becomes_ready(self) -> None:
        assert self.state.ready() == (self.state.phase is Phase.READY and not self._was_ready)
        self._served()

    @rule()
    def is_cleared(self) -> None:
        generation = self.state.generation
        was_ready = self.state.phase is Phase.READY
        assert self.state.clear(None, cleared) == was_ready
        assert self.state.generation == generation + 1
        self._dismissed(PoolClearedError)
        self.state.prune(self.now)

    def _dismissed(self, kind: type[BaseException]) -> None:
        for _, waiter in self.line:
            assert isinstance(waiter.grant, kind)
        self.line.clear()

    @rule(seconds=st.floats(0.1, 60.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    # --- what always holds ---

    @invariant()
    def the_limits_hold(self) -> None:
        assert self.state.connecting == len(self.making) <= _MAX_CONNECTING
        assert self.state.total <= _MAX_SIZE
        assert self.state.in_use == set(self.used)
        assert not set(self.state.idle) & self.state.in_use

    @invariant()
    def nobody_waits_for_what_is_there(self) -> None:
        self._was_ready = self.state.phase is Phase.READY
        assert [waiter for _, waiter in self.line] == list(self.state.waiters)
        if self.line and self._was_ready:
            good = [c for c in self.state.idle if self.state.perished(c, self.now) is None]
            assert not good, "a good connection idles while somebody waits"
            assert len(self.making) == _MAX_CONNECTING or self.state.total == _MAX_SIZE

    @invariant()
    def what_was_thrown_away_is_no_longer_there(self) -> None:
        thrown = {connection for connection, _ in self.state.take_discarded()}
        assert not thrown & self.state.in_use
        assert not thrown & set(self.state.idle)

    def teardown(self) -> None:
        self.state.close(closed)
        self._dismissed(InvalidOperation)
        assert self.state.idle == []
        for connection in self.used:
            assert self.state.returned(connection, self.now) == "poolClosed"


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = hypothesis_settings(max_examples=150, stateful_step_count=40)
