"""Operations of one session take turns: each rule by itself, then all of them against a model."""

from __future__ import annotations

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.strategies import sampled_from

from wiredrv.errors import AutoReconnect, DriverError, InvalidOperation, OperationFailure
from wiredrv.session.options import TransactionOptions
from wiredrv.session.transaction import Transaction
from wiredrv.session.turns import Purpose, Turn, Turns, ended

STATEMENT, ENDING, HOUSEKEEPING, CLEAN_UP = Purpose


def started(turns: Turns) -> Transaction:
    transaction = turns._transaction
    transaction.start(TransactionOptions(), 0.0, 1)
    return transaction


def make(overlap: str = "wait") -> Turns:
    return Turns(Transaction(), overlap)


def woken(turn: Turn) -> list[str]:
    calls: list[str] = []
    turn.wake = lambda: calls.append("woken")
    return calls


def test_a_free_session_gives_the_turn_at_once() -> None:
    turns = make()
    for task in ("a", "b", "a"):
        turn = turns.enter("find", STATEMENT, task)
        assert turn.granted
        assert turns.busy
        turns.leave(turn)
    assert not turns.busy


def test_turns_come_in_the_order_of_the_calls() -> None:
    turns = make()
    first = turns.enter("find", STATEMENT, "a")
    second = turns.enter("insert", STATEMENT, "b")
    third = turns.enter("update", STATEMENT, "c")
    calls = woken(second)
    assert (second.granted, third.granted) == (False, False)
    turns.leave(first)
    assert (second.granted, third.granted, calls) == (True, False, ["woken"])
    turns.leave(second)
    assert third.granted


def test_what_waits_and_gives_up_lets_the_next_one_through() -> None:
    turns = make()
    first = turns.enter("find", STATEMENT, "a")
    second = turns.enter("insert", STATEMENT, "b")
    third = turns.enter("update", STATEMENT, "c")
    turns.leave(second)
    turns.leave(first)
    assert third.granted
    turns.leave(first)
    assert turns.current is third, "leaving twice does nothing"


def test_what_got_its_turn_and_gives_up_at_once_lets_the_next_one_through() -> None:
    turns = make()
    first = turns.enter("find", STATEMENT, "a")
    second = turns.enter("insert", STATEMENT, "b")
    third = turns.enter("update", STATEMENT, "c")
    turns.leave(first)
    turns.leave(second)
    assert third.granted


def test_whoever_has_the_turn_cannot_wait_for_itself() -> None:
    turns = make()
    turns.enter("find", STATEMENT, "a")
    with pytest.raises(InvalidOperation, match="'insert' was called while 'find' runs in the same task"):
        turns.enter("insert", STATEMENT, "a")


def test_once_the_background_has_the_turn_its_task_may_wait() -> None:
    turns = make()
    turn = turns.enter("find", STATEMENT, "a")
    turns.hand_over(turn)
    assert not turns.enter("insert", STATEMENT, "a").granted


def test_refuse_says_who_overlaps_whom() -> None:
    turns = make("refuse")
    turns.enter("find", STATEMENT, "the reader")
    with pytest.raises(InvalidOperation) as caught:
        turns.enter("insert", STATEMENT, "the writer")
    for part in ("'the writer'", "'insert'", "'the reader'", "'find'"):
        assert part in str(caught.value)
    assert turns.busy


def test_an_ended_session_refuses_what_waits_and_what_is_called() -> None:
    turns = make()
    first = turns.enter("find", STATEMENT, "a")
    second = turns.enter("insert", STATEMENT, "b")
    idle: list[str] = []
    turns.close(lambda: idle.append("idle"))
    assert isinstance(second.refusal, InvalidOperation)
    with pytest.raises(InvalidOperation, match="ended session"):
        turns.enter("find", STATEMENT, "c")
    assert idle == []
    turns.leave(first)
    assert idle == ["idle"]
    with pytest.raises(InvalidOperation, match="ended session"):
        turns.enter("find", STATEMENT, "c")


@pytest.mark.parametrize(
    "command, advice", [("find", "start a new one"), ("getMore", "read cursors to their end"), ("", "start a new one")]
)
def test_who_uses_an_ended_session_hears_which_one_and_what_to_do(command: str, advice: str) -> None:
    said = ended("app.py:7", command)
    assert said.startswith("Cannot use ended session: the one that was started at app.py:7 has ended")
    assert advice in said
    assert "started" not in ended("", command).partition(";")[0]


def test_cleaning_up_takes_place_in_an_ended_session_too() -> None:
    turns = make()
    first = turns.enter("find", STATEMENT, "a")
    clean_up = turns.enter("abortTransaction", CLEAN_UP, "a")
    idle: list[str] = []
    turns.close(lambda: idle.append("idle"))
    turns.leave(first)
    assert clean_up.granted
    assert idle == []
    turns.leave(clean_up)
    assert idle == ["idle"]


# --- transactions -----------------------------------------------------------------------------------------------------


def test_a_commit_takes_its_turn_behind_what_was_called_before_it() -> None:
    turns = make()
    started(turns)
    first = turns.enter("insert", STATEMENT, "a")
    second = turns.enter("update", STATEMENT, "b")
    commit = turns.enter("commitTransaction", ENDING, "c")
    turns.leave(first)
    assert second.granted
    turns.leave(second)
    assert commit.granted


@pytest.mark.parametrize("purpose", [STATEMENT, ENDING])
@pytest.mark.parametrize("waiting", [True, False], ids=["that waits", "in flight"])
def test_what_is_called_after_an_ending_is_refused(purpose: Purpose, waiting: bool) -> None:
    turns = make()
    started(turns)
    if waiting:
        turns.enter("insert", STATEMENT, "a")
    turns.enter("commitTransaction", ENDING, "b")
    with pytest.raises(InvalidOperation, match="after 'commitTransaction', which is not done yet"):
        turns.enter("insert", purpose, "c")
    assert not turns.enter("killCursors", HOUSEKEEPING, "c").granted


def test_after_the_ending_the_session_is_free() -> None:
    turns = make()
    transaction = started(turns)
    commit = turns.enter("commitTransaction", ENDING, "a")
    transaction.commit()
    turns.leave(commit)
    assert turns.enter("find", STATEMENT, "a").granted


def test_what_waits_never_runs_outside_of_the_transaction_in_which_it_was_called() -> None:
    turns = make()
    transaction = started(turns)
    first = turns.enter("insert", STATEMENT, "a")
    second = turns.enter("update", STATEMENT, "b")
    transaction.abort()
    turns.leave(first)
    assert not second.granted
    assert "ended while it waited" in str(second.refusal)
    assert not turns.busy


@pytest.mark.parametrize(
    "error, doomed",
    [
        (AutoReconnect("it broke"), True),
        (DriverError("refused here"), True),
        (OperationFailure("refused there", 11000), False),
        (KeyboardInterrupt(), True),
    ],
)
def test_a_commit_that_waits_aborts_if_what_was_called_before_it_failed_here(
    error: BaseException, doomed: bool
) -> None:
    turns = make()
    transaction = started(turns)
    first = turns.enter("insert", STATEMENT, "a")
    commit = turns.enter("commitTransaction", ENDING, "b")
    turns.failed(first, error)
    turns.leave(first)
    assert commit.granted
    assert transaction.doomed is doomed


def test_a_failure_that_the_caller_sees_before_it_commits_is_its_own_affair() -> None:
    turns = make()
    transaction = started(turns)
    first = turns.enter("insert", STATEMENT, "a")
    turns.failed(first, AutoReconnect("it broke"))
    turns.leave(first)
    assert not transaction.doomed


@pytest.mark.parametrize("granted", [True, False], ids=["in its turn", "while it waited"])
def test_a_statement_that_is_cancelled_lets_nothing_but_the_ending_through(granted: bool) -> None:
    turns = make()
    transaction = started(turns)
    before = turns.enter("find", STATEMENT, "a") if not granted else None
    cancelled = turns.enter("insert", STATEMENT, "b")
    after = turns.enter("update", STATEMENT, "c")
    commit = turns.enter("commitTransaction", ENDING, "d")
    turns.failed(cancelled, KeyboardInterrupt())
    turns.leave(cancelled)
    if before is not None:
        turns.leave(before)
    assert transaction.doomed
    assert isinstance(after.refusal, InvalidOperation)
    assert commit.granted


def test_a_block_that_is_left_by_an_error_refuses_what_waits() -> None:
    turns = make()
    started(turns)
    first = turns.enter("insert", STATEMENT, "a")
    second = turns.enter("update", STATEMENT, "b")
    kill = turns.enter("killCursors", HOUSEKEEPING, "c")
    commit = turns.enter("commitTransaction", ENDING, "d")
    calls = woken(second)
    turns.refuse_waiting("waited in vain")
    abort = turns.enter("abortTransaction", CLEAN_UP, "e")
    assert str(second.refusal) == "'update' waited in vain"
    assert calls == ["woken"]
    assert isinstance(commit.refusal, InvalidOperation)
    turns.leave(first)
    assert kill.granted
    turns.leave(kill)
    assert abort.granted


def test_a_commit_that_was_given_up_leaves_the_session_to_others() -> None:
    turns = make()
    transaction = started(turns)
    commit = turns.enter("commitTransaction", ENDING, "a")
    transaction.commit()
    turns.hand_over(commit)
    again = turns.enter("commitTransaction", ENDING, "a")
    assert not again.granted
    turns.leave(commit)
    assert again.granted


# --- against a model --------------------------------------------------------------------------------------------------


class TurnsMachine(RuleBasedStateMachine):
    """Whatever is called, cancelled and ended: at most one has the turn, none is forgotten, the order is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = make()
        self.transaction = self.turns._transaction
        self.live: list[Turn] = []
        self.tasks = 0
        self.order: list[Turn] = []

    @rule(purpose=sampled_from(Purpose))
    def call(self, purpose: Purpose) -> None:
        self.tasks += 1
        try:
            turn = self.turns.enter(purpose.name, purpose, self.tasks)
        except InvalidOperation:
            assert self.turns.busy or self.turns.closed
            return
        self.live.append(turn)

    @precondition(lambda self: not self.turns.busy and not self.transaction.active and not self.turns.closed)
    @rule()
    def start(self) -> None:
        self.transaction.start(TransactionOptions(), 0.0, 1)

    @precondition(lambda self: self.turns.busy)
    @rule(error=sampled_from([None, AutoReconnect("it broke"), KeyboardInterrupt()]))
    def finish(self, error: BaseException | None) -> None:
        turn = self.turns.current
        assert turn is not None
        if error is not None:
            self.turns.failed(turn, error)
        if turn.purpose in (ENDING, CLEAN_UP) and self.transaction.active:
            self.transaction.abort()
        self.live.remove(turn)
        self.turns.leave(turn)

    @precondition(lambda self: any(not turn.granted for turn in self.live))
    @rule()
    def give_up(self) -> None:
        turn = next(turn for turn in self.live if not turn.granted)
        self.turns.failed(turn, KeyboardInterrupt())
        self.live.remove(turn)
        self.turns.leave(turn)

    @precondition(lambda self: self.turns.busy)
    @rule()
    def hand_over(self) -> None:
        assert self.turns.current is not None
        self.turns.hand_over(self.turns.current)

    @rule()
    def end(self) -> None:
        if not self.turns.closed:
            self.turns.close(lambda: None)

    @invariant()
    def one_at_a_time_and_nobody_is_forgotten(self) -> None:
        self.live = [turn for turn in self.live if turn.refusal is None]
        granted = [turn for turn in self.live if turn.granted]
        assert len(granted) <= 1
        if self.live:
            assert granted == [self.turns.current], "somebody waits for nobody"
        else:
            assert not self.turns.busy
        waiting = [turn for turn in self.live if not turn.granted]
        assert waiting == list(self.turns._waiting)
        if granted and granted[0].purpose is STATEMENT and granted[0].transaction is not None:
            assert granted[0].transaction == self.transaction.number

    @invariant()
    def only_cleaning_up_goes_on_in_an_ended_session(self) -> None:
        if self.turns.closed:
            assert all(turn.granted or turn.purpose in (CLEAN_UP, HOUSEKEEPING) for turn in self.live)


TestTurnsMachine = TurnsMachine.TestCase
TestTurnsMachine.settings = hypothesis_settings(max_examples=200, stateful_step_count=40, deadline=None)
