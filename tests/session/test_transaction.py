"""The transaction's table: complete, as the specification has it, and what the class around it keeps in mind."""

from __future__ import annotations

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from wiredrv.errors import AutoReconnect, InvalidOperation
from wiredrv.session.options import TransactionOptions
from wiredrv.session.transaction import (
    TRANSITIONS,
    Outcome,
    SentCommand,
    Transaction,
    TransactionEvent,
    TransactionState,
    transition,
)
from wiredrv.types import Address

S = TransactionState
E = TransactionEvent

#: What the specification demands, written out here once more: the next state, or words of the error.
EXPECTED: dict[E, dict[S, S | str]] = {
    E.START: {
        S.NONE: S.STARTING,
        S.STARTING: "already in progress",
        S.IN_PROGRESS: "already in progress",
        S.COMMITTED: S.STARTING,
        S.COMMITTED_EMPTY: S.STARTING,
        S.ABORTED: S.STARTING,
    },
    E.COMMAND: {
        S.NONE: S.NONE,
        S.STARTING: S.IN_PROGRESS,
        S.IN_PROGRESS: S.IN_PROGRESS,
        S.COMMITTED: S.NONE,
        S.COMMITTED_EMPTY: S.NONE,
        S.ABORTED: S.NONE,
    },
    E.COMMIT: {
        S.NONE: "No transaction started",
        S.STARTING: S.COMMITTED_EMPTY,
        S.IN_PROGRESS: S.COMMITTED,
        S.COMMITTED: S.COMMITTED,
        S.COMMITTED_EMPTY: S.COMMITTED_EMPTY,
        S.ABORTED: "Cannot call commitTransaction after calling abortTransaction",
    },
    E.ABORT: {
        S.NONE: "No transaction started",
        S.STARTING: S.ABORTED,
        S.IN_PROGRESS: S.ABORTED,
        S.COMMITTED: "Cannot call abortTransaction after calling commitTransaction",
        S.COMMITTED_EMPTY: "Cannot call abortTransaction after calling commitTransaction",
        S.ABORTED: "Cannot call abortTransaction twice",
    },
    # These two are the executor's and the session's own; they happen in one state each.
    E.OVERLOADED: {S.IN_PROGRESS: S.STARTING},
    E.WITHDRAW: {S.COMMITTED: S.IN_PROGRESS},
}


@pytest.mark.parametrize("event", E, ids=lambda event: event.name)
@pytest.mark.parametrize("state", S, ids=lambda state: state.name)
def test_every_event_in_every_state(state: S, event: E) -> None:
    expected = EXPECTED[event].get(state, "cannot happen")
    if isinstance(expected, S):
        assert transition(state, event) is expected
    else:
        with pytest.raises(InvalidOperation, match=expected):
            transition(state, event)


def test_the_table_holds_nothing_else() -> None:
    assert set(TRANSITIONS) == {(state, event) for event, row in EXPECTED.items() for state in row}


def _state(transaction: Transaction) -> TransactionState:
    """The state, asked anew each time: a type checker would believe the last answer."""
    return transaction.state


def test_a_refused_event_leaves_the_state_as_it_was() -> None:
    transaction = Transaction()
    with pytest.raises(InvalidOperation):
        transaction.commit()
    assert _state(transaction) is S.NONE
    transaction.start(TransactionOptions(), 0.0, 1)
    with pytest.raises(InvalidOperation):
        transaction.start(TransactionOptions(), 0.0, 1)
    assert _state(transaction) is S.STARTING


def test_commit_and_abort_say_whether_there_is_something_to_send() -> None:
    empty = Transaction()
    empty.start(TransactionOptions(), 0.0, 1)
    assert empty.commit() is False
    assert empty.outcome is Outcome.COMMITTED
    assert empty.commit() is False

    used = Transaction()
    used.start(TransactionOptions(), 0.0, 1)
    used.command_sent()
    assert used.commit() is True
    assert used.outcome is None, "only the server's answer tells"
    assert used.commit() is True

    aborted = Transaction()
    aborted.start(TransactionOptions(), 0.0, 1)
    assert aborted.abort() is False
    aborted.start(TransactionOptions(), 0.0, 1)
    aborted.command_sent()
    assert aborted.abort() is True
    assert aborted.outcome is Outcome.ABORTED


def test_a_first_command_that_was_shed_is_first_again() -> None:
    transaction = Transaction()
    transaction.start(TransactionOptions(), 0.0, 1)
    transaction.command_sent()
    transaction.first_command_shed()
    assert _state(transaction) is S.STARTING
    assert transaction.active


def test_a_commit_can_be_withdrawn_only_before_it_is_sent() -> None:
    transaction = Transaction()
    transaction.start(TransactionOptions(), 0.0, 1)
    transaction.command_sent()
    transaction.commit()
    assert transaction.withdraw_commit() is True
    assert _state(transaction) is S.IN_PROGRESS
    transaction.commit()
    transaction.ending_sent = True
    assert transaction.withdraw_commit() is False
    assert _state(transaction) is S.COMMITTED


def test_a_commit_of_nothing_is_not_withdrawn() -> None:
    transaction = Transaction()
    transaction.start(TransactionOptions(), 0.0, 1)
    transaction.commit()
    assert transaction.withdraw_commit() is False
    assert transaction.committed


def test_the_recovery_token_lives_as_long_as_its_transaction() -> None:
    transaction = Transaction()
    transaction.start(TransactionOptions(), 0.0, 1)
    transaction.command_sent()
    transaction.recovery_token = {"shard": "a"}
    transaction.commit()
    assert transaction.recovery_token is not None, "a commit may be repeated on another mongos"
    transaction.command_sent()
    assert _state(transaction) is S.NONE
    assert transaction.recovery_token is None


def test_a_new_transaction_knows_nothing_of_the_last_one() -> None:
    transaction = Transaction()
    transaction.start(TransactionOptions(), 1.0, 3)
    transaction.command_sent()
    transaction.recovery_token = {"a": 1}
    transaction.commit_attempted = transaction.ending_sent = True
    transaction.cause = AutoReconnect("gone")
    transaction.note(SentCommand("insert", Address("a"), 0.0, 0.1, "ok"))
    transaction.commit()
    transaction.start(TransactionOptions(max_commit_time_ms=5), 9.0, 1)
    forgotten: list[object] = [transaction.recovery_token, transaction.cause, transaction.outcome]
    assert forgotten == [None, None, None]
    assert (transaction.commit_attempted, transaction.ending_sent, transaction.attempt) == (False, False, 1)
    assert transaction.record(1, None).commands == ()
    assert transaction.options.max_commit_time_ms == 5


def test_the_record_tells_what_was_sent_when_and_what_went_wrong_first() -> None:
    transaction = Transaction()
    transaction.start(TransactionOptions(), 10.0, 2)
    transaction.note(SentCommand("insert", Address("a", 1), 0.001, 0.002, "ok"))
    transaction.note(SentCommand("commitTransaction", Address("a", 1), 0.5, 0.25, "NetworkTimeout, retried"))
    transaction.cause = AutoReconnect("it broke")
    record = transaction.record(4, Address("a", 1))
    assert (record.attempt, record.txn_number, record.server) == (2, 4, Address("a", 1))
    text = str(record)
    for part in ("transaction 4 on a:1, attempt 2", "insert -> a:1: ok", "NetworkTimeout, retried", "it broke"):
        assert part in text


# --- against a tiny model ---------------------------------------------------------------------------------------------


class TransactionMachine(RuleBasedStateMachine):
    """The model: which of four situations a session is in, how many commands its transaction sent, and its outcome."""

    def __init__(self) -> None:
        super().__init__()
        self.transaction = Transaction()
        self.situation = "none"  # or open, committed, aborted
        self.sent = 0
        self.commit_out = False

    def _refused(self, call: object) -> None:
        assert callable(call)
        before = self.transaction.state
        with pytest.raises(InvalidOperation):
            call()
        assert self.transaction.state is before

    @rule()
    def start(self) -> None:
        if self.situation == "open":
            self._refused(lambda: self.transaction.start(TransactionOptions(), 0.0, 1))
            return
        self.transaction.start(TransactionOptions(), 0.0, 1)
        self.situation, self.sent, self.commit_out = "open", 0, False

    @rule()
    def send(self) -> None:
        self.transaction.command_sent()
        if self.situation == "open":
            self.sent += 1
        else:
            self.situation = "none"

    @rule()
    def shed(self) -> None:
        if self.situation == "open" and self.sent == 1:
            self.transaction.first_command_shed()
            self.sent = 0

    @rule()
    def commit(self) -> None:
        if self.situation in ("none", "aborted"):
            self._refused(self.transaction.commit)
            return
        assert self.transaction.commit() == (self.sent > 0)
        self.situation = "committed"

    @rule()
    def commit_goes_out(self) -> None:
        if self.situation == "committed" and self.sent:
            self.transaction.ending_sent = self.commit_out = True

    @rule()
    def withdraw(self) -> None:
        possible = self.situation == "committed" and self.sent > 0 and not self.commit_out
        assert self.transaction.withdraw_commit() == possible
        if possible:
            self.situation = "open"

    @rule()
    def abort(self) -> None:
        if self.situation != "open":
            self._refused(self.transaction.abort)
            return
        assert self.transaction.abort() == (self.sent > 0)
        self.situation = "aborted"

    @invariant()
    def the_two_agree(self) -> None:
        assert self.transaction.active == (self.situation == "open")
        assert self.transaction.committed == (self.situation == "committed")
        first_is_still_to_come = self.situation == "open" and self.sent == 0
        assert (self.transaction.state is S.STARTING) == first_is_still_to_come


TestTransactionMachine = TransactionMachine.TestCase
TestTransactionMachine.settings = hypothesis_settings(max_examples=150, stateful_step_count=30, deadline=None)
