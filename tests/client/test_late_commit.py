"""A commit that ran out of time is sent again in the background: what follows from each answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import anyio
import pytest

from tests.operations.values import limits
from tests.support.pauses import recorded_pauses
from wiredrv.client.sessions import late_commit as module
from wiredrv.client.sessions.late_abort import PAUSES
from wiredrv.client.sessions.late_commit import late_commit
from wiredrv.concerns import WriteConcern
from wiredrv.errors import TRANSIENT_TRANSACTION, DriverError, NetworkTimeout, NotPrimaryError, OperationFailure
from wiredrv.execution.executor import Executor
from wiredrv.operations.base import Target
from wiredrv.operations.transactions import CommitAgain, CommitTransaction
from wiredrv.server_facts import ErrorCode
from wiredrv.session.options import SessionOptions, TransactionOptions
from wiredrv.session.server_session import ServerSession, ServerSessionPool
from wiredrv.session.state import SessionState
from wiredrv.session.transaction import Outcome
from wiredrv.session.turns import Purpose
from wiredrv.types import Address

pytestmark = pytest.mark.anyio

COMMIT = CommitTransaction(Target("admin", write_concern=WriteConcern(w=1)))


class _Executor:
    """Answers commits from a script."""

    def __init__(self, *answers: DriverError | Callable[[], None] | None) -> None:
        self.answers = list(answers)
        self.sent: list[CommitAgain] = []
        self.settled: list[ServerSession] = []

    async def execute(self, operation: CommitAgain) -> None:
        self.sent.append(operation)
        answer = self.answers.pop(0)
        if isinstance(answer, DriverError):
            raise answer
        if answer is not None:
            answer()

    def session_settled(self, session: ServerSession) -> None:
        self.settled.append(session)


def _state() -> SessionState:
    """A session whose commit was not answered."""
    state = SessionState(SessionOptions(), ServerSessionPool().acquire(0.0, 30), object())
    state.transaction.start(TransactionOptions(), 0.0, 1)
    state.server_session.next_txn_number()
    state.transaction.command_sent()
    state.transaction.learn_recovery_token({"shard": "a"})
    state.transaction.commit()
    state.transaction.ending_went_out()
    state.transaction.commit_failed(Outcome.UNKNOWN)
    return state


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    monkeypatch.setattr(module, "PAUSES", tuple(pause / 100 for pause in PAUSES))
    return recorded_pauses(monkeypatch, module)


def _refusal(code: int, *labels: str) -> OperationFailure:
    error = OperationFailure("refused", code)
    for label in labels:
        error.add_error_label(label)
    return error


LATE = NetworkTimeout("late")
MOVED = NotPrimaryError("moved", {"code": 10107})
GONE = _refusal(ErrorCode.NoSuchTransaction, TRANSIENT_TRANSACTION)
#: Without the label, an earlier commit may have taken effect.
UNCLEAR = _refusal(ErrorCode.NoSuchTransaction)
OLD = _refusal(ErrorCode.TransactionTooOld)


@pytest.mark.parametrize(
    "answers, outcome",
    [
        ((None,), Outcome.COMMITTED),
        ((LATE, MOVED, None), Outcome.COMMITTED),
        ((GONE,), Outcome.ABORTED),
        ((UNCLEAR, None), Outcome.COMMITTED),
        ((LATE,) * len(PAUSES), Outcome.UNKNOWN),
        ((OLD,), Outcome.UNKNOWN),
    ],
)
async def test_the_answers(pauses: list[float], answers: tuple[DriverError | None, ...], outcome: Outcome) -> None:
    executor, state, told = _Executor(*answers), _state(), list[Outcome | None]()
    work = late_commit(cast(Executor, executor), state, COMMIT, lambda: told.append(state.transaction.outcome))
    await work(5.0)
    assert len(executor.sent) == len(pauses) == len(answers)
    assert state.transaction.outcome is outcome
    assert told == ([] if outcome is Outcome.UNKNOWN else [outcome])
    assert executor.settled == [state.server_session]
    command = executor.sent[0].command(limits())
    assert command == {
        "commitTransaction": 1,
        "lsid": state.lsid,
        "txnNumber": 1,
        "autocommit": False,
        "writeConcern": {"w": "majority", "wtimeout": 10_000},
        "recoveryToken": {"shard": "a"},
    }


async def test_a_later_transaction_is_told_nothing() -> None:
    state, told = _state(), list[str]()

    def next_one() -> None:
        state.transaction.start(TransactionOptions(), 0.0, 1)

    executor = _Executor(next_one)
    await late_commit(cast(Executor, executor), state, COMMIT, lambda: told.append("told"))(5.0)
    assert told == []
    assert state.transaction.outcome is None
    assert executor.sent[0].txn_number == 1


@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_a_commit_of_the_caller_decides(when: str) -> None:
    state, told = _state(), list[str]()

    def commit() -> None:
        state.turns.enter("commitTransaction", Purpose.ENDING, None)

    executor = _Executor(commit)
    work = late_commit(cast(Executor, executor), state, COMMIT, lambda: told.append("told"))
    if when == "before":
        commit()
    await work(5.0)
    assert len(executor.sent) == (when == "meanwhile")
    assert told == []
    assert state.transaction.outcome is Outcome.UNKNOWN


async def test_a_server_that_does_not_answer_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    class Silent(_Executor):
        async def execute(self, operation: CommitAgain) -> None:
            await anyio.sleep_forever()

    executor, state = Silent(), _state()
    with anyio.fail_after(5):
        await late_commit(cast(Executor, executor), state, COMMIT, lambda: None)(0.1)
    assert "ran out of time and its outcome is unknown" in caplog.text
    assert executor.settled == [state.server_session]


def test_the_reply_of_a_later_commit_is_read() -> None:
    again = CommitAgain({}, 1, WriteConcern(w="majority"), None)
    again.parse({"ok": 1}, Address("a"))
    with pytest.raises(DriverError):
        again.parse({"ok": 1, "writeConcernError": {"code": 64, "errmsg": "late"}}, Address("a"))
    assert "recoveryToken" not in again.command(limits())
