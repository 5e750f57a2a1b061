"""The transaction's table: complete, as in the specification; and what the class around it remembers."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from hypothesis.strategies import booleans, integers, sampled_from

import wiredrv
from wiredrv.errors import AutoReconnect, InvalidOperation
from wiredrv.session.options import TransactionOptions
from wiredrv.session.transaction import (
    TRANSITIONS,
    Outcome,
    Transaction,
    TransactionEvent,
    TransactionState,
    transition,
)
from wiredrv.types import Address, SentCommand

S = TransactionState
E = TransactionEvent

#: The specification's demands, written out again here: the next state, or words of the error.
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
    # These two are specific to the executor and the session; each happens in one state.
    E.OVERLOADED: {S.IN_PROGRESS: S.STARTING},
    E.WITHDRAW: {S.COMMITTED: S.IN_PROGRESS},
    # What is learned about a transaction in its current state. It changes no state.
    E.DOOM: {S.STARTING: S.STARTING, S.IN_PROGRESS: S.IN_PROGRESS},
    E.ENDING_SENT: {S.COMMITTED: S.COMMITTED, S.ABORTED: S.ABORTED},
    E.COMMIT_SUCCEEDED: {S.COMMITTED: S.COMMITTED},
    E.COMMIT_FAILED: {S.COMMITTED: S.COMMITTED},
    E.OUTCOME_LEARNED: {S.NONE: S.NONE, S.COMMITTED: S.COMMITTED},
    E.ABORT_ANSWERED: {S.ABORTED: S.ABORTED},
    E.FAILURE: {state: state for state in (S.STARTING, S.IN_PROGRESS, S.COMMITTED, S.ABORTED)},
    E.RECOVERY_TOKEN: {state: state for state in (S.IN_PROGRESS, S.COMMITTED, S.ABORTED)},
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
    """The state, read anew each time: a type checker would otherwise narrow it to the last value."""
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
    transaction.ending_went_out()
    assert transaction.withdraw_commit() is False
    assert _state(transaction) is S.COMMITTED


def test_an_outcome_is_learned_once_and_only_for_the_current_transaction() -> None:
    transaction = Transaction()
    transaction.start(TransactionOptions(), 0.0, 1)
    transaction.command_sent()
    transaction.commit()
    assert transaction.outcome_learned(1, Outcome.COMMITTED) is False, "nothing is unknown"
    transaction.commit_failed(Outcome.UNKNOWN)
    assert transaction.outcome_learned(2, Outcome.ABORTED) is False
    transaction.command_sent()  # outside of the transaction
    assert transaction.outcome_learned(1, Outcome.COMMITTED) is True
    assert (_state(transaction), transaction.outcome) == (S.NONE, Outcome.COMMITTED)
    assert transaction.outcome_learned(1, Outcome.ABORTED) is False


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
    transaction.learn_recovery_token({"shard": "a"})
    transaction.commit()
    assert transaction.recovery_token is not None, "a commit may be repeated on another mongos"
    transaction.command_sent()
    assert _state(transaction) is S.NONE
    assert transaction.recovery_token is None


def test_a_new_transaction_knows_nothing_of_the_last_one() -> None:
    transaction = Transaction()
    transaction.start(TransactionOptions(), 1.0, 3)
    transaction.command_sent()
    transaction.learn_recovery_token({"a": 1})
    transaction.note_failure(AutoReconnect("gone"))
    transaction.note(SentCommand("insert", Address("a"), 0.0, 0.1, "ok"))
    transaction.commit()
    transaction.ending_went_out()
    transaction.commit_failed(Outcome.UNKNOWN)
    assert (transaction.commit_attempted, transaction.ending_sent) == (True, True)
    transaction.start(TransactionOptions(max_commit_time_ms=5), 9.0, 1)
    forgotten: list[object] = [transaction.recovery_token, transaction.cause, transaction.outcome]
    assert forgotten == [None, None, None]
    assert (transaction.commit_attempted, transaction.ending_sent, transaction.attempt) == (False, False, 1)
    assert transaction.record("", 1, None).commands == ()
    assert transaction.options.max_commit_time_ms == 5


def test_an_ending_that_was_not_called_cannot_go_out() -> None:
    transaction = Transaction()
    transaction.start(TransactionOptions(), 0.0, 1)
    transaction.command_sent()
    with pytest.raises(InvalidOperation):
        transaction.ending_went_out()


def test_a_transaction_that_was_doomed_by_a_failure_keeps_its_labels_and_cause() -> None:
    transaction = Transaction()
    transaction.start(TransactionOptions(), 0.0, 1)
    failure = AutoReconnect("it broke")
    failure.add_error_label("TransientTransactionError")
    transaction.doom("insert", failure)
    transaction.doom("update")
    with pytest.raises(InvalidOperation, match="'insert'") as caught:
        transaction.refuse_if_doomed()
    assert caught.value.__cause__ is failure
    assert caught.value.has_error_label("TransientTransactionError")
    transaction.abort()
    transaction.refuse_if_doomed()


def test_the_record_tells_what_was_sent_when_and_what_went_wrong_first() -> None:
    transaction = Transaction()
    transaction.start(TransactionOptions(), 10.0, 2)
    transaction.note(SentCommand("insert", Address("a", 1), 0.001, 0.002, "ok"))
    transaction.note(SentCommand("commitTransaction", Address("a", 1), 0.5, 0.25, "NetworkTimeout, retried"))
    transaction.note_failure(AutoReconnect("it broke"))
    transaction.note_failure(AutoReconnect("and again"))
    record = transaction.record("an id", 4, Address("a", 1))
    assert (record.attempt, record.txn_number, record.server) == (2, 4, Address("a", 1))
    text = str(record)
    title = "transaction 4 of session an id on a:1, attempt 2"
    for part in (title, "insert -> a:1: ok", "NetworkTimeout, retried", "it broke"):
        assert part in text


def test_no_other_module_writes_what_is_known_of_a_transaction() -> None:
    package = Path(wiredrv.__file__).parent
    written = [
        f"{path.relative_to(package)}:{target.lineno} {ast.unparse(target)}"
        for path in package.rglob("*.py")
        if path.relative_to(package).as_posix() != "session/transaction.py"
        for target in _written_attributes(path)
        if target.attr in Transaction.__slots__ and ast.unparse(target.value).endswith("transaction")
    ]
    assert written == []


def test_the_search_for_writers_finds_them(tmp_path: Path) -> None:
    path = tmp_path / "writer.py"
    path.write_text(
        "a.transaction.outcome = 1\nb, (self._transaction.cause, c) = x\ntransaction.number += 1\nd = e.f\n"
    )
    found = {ast.unparse(target) for target in _written_attributes(path)}
    assert found == {"a.transaction.outcome", "self._transaction.cause", "transaction.number"}


def _written_attributes(path: Path) -> list[ast.Attribute]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return [node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, (ast.Store, ast.Del))]


# --- against a small model --------------------------------------------------------------------------------------------


class TransactionMachine(RuleBasedStateMachine):
    """The model: which of four situations a session is in, how many commands its transaction sent, and its outcome."""

    def __init__(self) -> None:
        super().__init__()
        self.transaction = Transaction()
        self.situation = "none"  # or open, committed, aborted
        self.sent = 0
        self.commit_out = False
        self.doomed = False
        self.outcome: Outcome | None = None
        self.abort_owed = False
        self.failures: list[AutoReconnect] = []
        self.token: dict[str, int] | None = None

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
        self.doomed, self.outcome = False, None
        self.abort_owed, self.failures, self.token = False, [], None

    @rule()
    def send(self) -> None:
        before = self.situation
        self.transaction.command_sent()
        if before == "open":
            self.sent += 1
            return
        self.situation = "none"
        if before != "none":
            self.token = None

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
        if not self.sent:
            self.outcome = Outcome.COMMITTED

    @rule()
    def commit_goes_out(self) -> None:
        if self.situation == "committed" and self.sent:
            self.transaction.ending_went_out()
            self.commit_out = True

    @rule(outcome=sampled_from(Outcome), attempted=booleans())
    def commit_is_answered(self, outcome: Outcome, attempted: bool) -> None:
        if self.situation != "committed" or not self.commit_out:
            return
        before = self.transaction.commit_attempted
        if outcome is Outcome.COMMITTED:
            self.transaction.commit_succeeded()
            assert self.transaction.commit_attempted
        else:
            self.transaction.commit_failed(outcome, attempted=attempted)
            assert self.transaction.commit_attempted == (before or attempted)
        assert self.transaction.outcome is outcome
        self.outcome = outcome

    @rule()
    def answer_without_a_commit(self) -> None:
        if self.situation != "committed":
            self._refused(self.transaction.commit_succeeded)
            self._refused(lambda: self.transaction.commit_failed(Outcome.ABORTED))

    @rule()
    def abort_goes_out(self) -> None:
        if self.situation == "aborted":
            self.transaction.ending_went_out()
        elif self.situation != "committed":
            self._refused(self.transaction.ending_went_out)

    @rule()
    def abort_is_answered(self) -> None:
        if self.situation == "aborted":
            self.transaction.abort_answered()
            self.abort_owed = False
        else:
            self._refused(self.transaction.abort_answered)

    @rule()
    def fail(self) -> None:
        failure = AutoReconnect("it broke")
        if self.situation == "none" or (self.situation == "committed" and not self.sent):
            self._refused(lambda: self.transaction.note_failure(failure))
        else:
            self.transaction.note_failure(failure)
            self.failures.append(failure)

    @rule(shard=integers(0, 9))
    def learn_token(self, shard: int) -> None:
        token = {"shard": shard}
        if self.transaction.state in (S.IN_PROGRESS, S.COMMITTED, S.ABORTED):
            self.transaction.learn_recovery_token(token)
            self.token = token
        else:
            self._refused(lambda: self.transaction.learn_recovery_token(token))

    @rule()
    def doom(self) -> None:
        self.transaction.doom("insert")
        if self.situation == "open":
            self.doomed = True
            self._refused(self.transaction.refuse_if_doomed)
        else:
            self.transaction.refuse_if_doomed()

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
        self.abort_owed = self.sent > 0
        self.outcome = Outcome.ABORTED

    @invariant()
    def the_two_agree(self) -> None:
        assert self.transaction.active == (self.situation == "open")
        assert self.transaction.committed == (self.situation == "committed")
        assert self.transaction.doomed == (self.doomed and self.situation == "open")
        assert self.transaction.outcome is self.outcome
        assert self.transaction.open_on_server == (self.situation == "open" or self.abort_owed)
        assert self.transaction.cause is (self.failures[0] if self.failures else None)
        assert self.transaction.recovery_token == self.token
        first_is_still_to_come = self.situation == "open" and self.sent == 0
        assert (self.transaction.state is S.STARTING) == first_is_still_to_come


TestTransactionMachine = TransactionMachine.TestCase
TestTransactionMachine.settings = hypothesis_settings(max_examples=150, stateful_step_count=30)
