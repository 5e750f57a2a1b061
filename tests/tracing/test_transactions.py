"""When the span of a transaction starts and ends. OpenTelemetry specification, "Transactions"."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.session.test_state import make_state
from wiredrv.operations.base import OperationKind
from wiredrv.session.options import TransactionOptions
from wiredrv.session.state import SessionState
from wiredrv.session.transaction import Outcome
from wiredrv.tracing.transactions import Change, belongs, change, failure


def start(state: SessionState) -> None:
    state.transaction.start(TransactionOptions(), 0.0, 1)


def send(state: SessionState) -> None:
    state.transaction.command_sent()


def doom(state: SessionState) -> None:
    state.transaction.leave_block()


def commit(state: SessionState) -> None:
    if state.transaction.commit():
        state.transaction.ending_went_out()


def succeed(state: SessionState) -> None:
    state.transaction.commit_succeeded()


def lose(state: SessionState) -> None:
    state.transaction.commit_failed(Outcome.UNKNOWN)


def fail(state: SessionState) -> None:
    state.transaction.commit_failed(Outcome.ABORTED)


def abort(state: SessionState) -> None:
    state.transaction.abort()


def end(state: SessionState) -> None:
    state.end(lambda: None)


Step = Callable[[SessionState], None]

UNKNOWN = "it is not known whether the transaction was committed"
ABORTED = "aborted after an error or a cancellation"
ABANDONED = "the transaction was abandoned"


@pytest.mark.parametrize(
    "steps, traced, is_open, expected, reason",
    [
        ([], 0, False, Change.NONE, None),
        ([start], 0, False, Change.START, None),
        ([start], 1, True, Change.NONE, None),
        ([start, send], 1, True, Change.NONE, None),
        ([start, commit], 1, True, Change.END, ""),
        ([start, send, commit], 1, True, Change.NONE, None),
        ([start, send, commit, succeed], 1, True, Change.END, ""),
        ([start, send, commit, succeed], 1, False, Change.NONE, None),
        ([start, send, commit, lose], 1, True, Change.PAUSE, UNKNOWN),
        ([start, send, commit, lose, commit, succeed], 1, True, Change.END, ""),
        ([start, send, commit, lose, end], 1, True, Change.END, UNKNOWN),
        ([start, send, commit, lose, start], 1, True, Change.START, None),
        ([start, send, commit, fail], 1, True, Change.END, "the commit failed"),
        ([start, send, abort], 1, True, Change.END, ""),
        ([start, abort, start], 1, False, Change.START, None),
        ([start, send, doom, abort], 1, True, Change.END, ABORTED),
        ([start, send, end], 1, True, Change.END, ABANDONED),
        ([start, send, end], 1, False, Change.NONE, None),
        ([start, send, end], 0, False, Change.NONE, None),
    ],
)
def test_the_span_follows_the_transaction(
    steps: list[Step], traced: int, is_open: bool, expected: Change, reason: str | None
) -> None:
    state = make_state()
    for step in steps:
        step(state)
    assert change(state, traced, is_open) is expected
    if reason is not None:
        assert failure(state) == reason


@pytest.mark.parametrize(
    "steps, kind, expected",
    [
        ([], OperationKind.READ, False),
        ([start], OperationKind.READ, True),
        ([start, send], OperationKind.HOUSEKEEPING, True),
        ([start, send, commit], OperationKind.COMMIT, True),
        ([start, send, commit, succeed], OperationKind.READ, False),
        ([start, send, commit, succeed], OperationKind.COMMIT, True),
        ([start, send, abort], OperationKind.ABORT, True),
    ],
)
def test_what_belongs_to_the_transaction(steps: list[Step], kind: OperationKind, expected: bool) -> None:
    state = make_state()
    for step in steps:
        step(state)
    assert belongs(state, kind) is expected


def test_an_implicit_session_has_no_transaction() -> None:
    assert not belongs(None, OperationKind.WRITE)
