"""How a session's transactions affect its cursors: which may still be read, and how each is killed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wiredrv.errors import InvalidOperation
from wiredrv.session.cursors import Kill, admit_kill, admit_read, is_over, way_to_kill, within
from wiredrv.session.options import SessionOptions, TransactionOptions
from wiredrv.session.server_session import ServerSession
from wiredrv.session.state import SessionState
from wiredrv.session.transaction import Outcome


def start(session: SessionState) -> None:
    session.transaction.start(TransactionOptions(), 0.0, 1)
    session.server_session.next_txn_number()


def begin(session: SessionState) -> None:
    start(session)
    session.transaction.command_sent()


def commit_in_flight(session: SessionState) -> None:
    begin(session)
    session.transaction.commit()
    session.transaction.ending_went_out()


def commit(session: SessionState) -> None:
    commit_in_flight(session)
    session.transaction.commit_succeeded()


def commit_unknown(session: SessionState) -> None:
    commit_in_flight(session)
    session.transaction.commit_failed(Outcome.UNKNOWN)


def commit_refused(session: SessionState) -> None:
    commit_in_flight(session)
    session.transaction.commit_failed(Outcome.ABORTED)


def left_behind(session: SessionState) -> None:
    commit_unknown(session)
    session.transaction.command_sent()


def abort(session: SessionState) -> None:
    begin(session)
    session.transaction.abort()


def commit_and_start(session: SessionState) -> None:
    commit(session)
    start(session)


def commit_and_begin(session: SessionState) -> None:
    commit(session)
    begin(session)


def commit_and_write(session: SessionState) -> None:
    commit(session)
    session.transaction.command_sent()
    session.server_session.next_txn_number()


def end(session: SessionState) -> None:
    abort(session)
    session.end(lambda: None)


def nothing(session: SessionState) -> None:
    pass


Story = Callable[[SessionState], None]
NONE, FIRST = 0, 1

#: (what happened in the session, where the cursor was opened, how it is killed, whether it may be read).
CASES: list[tuple[Story, int, Kill, bool]] = [
    (nothing, NONE, Kill.OUTSIDE, True),
    (start, NONE, Kill.OUTSIDE, False),
    (begin, NONE, Kill.OUTSIDE, False),
    (begin, FIRST, Kill.WITHIN, True),
    (commit, NONE, Kill.OUTSIDE, True),
    (commit, FIRST, Kill.OUTSIDE, False),
    (commit_in_flight, NONE, Kill.OUTSIDE, True),
    (commit_in_flight, FIRST, Kill.LATER, False),
    (commit_unknown, NONE, Kill.OUTSIDE, True),
    (commit_unknown, FIRST, Kill.LATER, False),
    (commit_refused, FIRST, Kill.OUTSIDE, False),
    (left_behind, FIRST, Kill.OUTSIDE, False),
    (abort, NONE, Kill.OUTSIDE, True),
    (abort, FIRST, Kill.OUTSIDE, False),
    (commit_and_start, FIRST, Kill.OUTSIDE, False),
    (commit_and_begin, NONE, Kill.OUTSIDE, False),
    (commit_and_begin, FIRST, Kill.OUTSIDE, False),
    (commit_and_write, FIRST, Kill.OUTSIDE, False),
    (end, NONE, Kill.OUTSIDE, True),
    (end, FIRST, Kill.OUTSIDE, False),
]


@pytest.mark.parametrize(
    ("story", "opened_in", "kill", "readable"),
    CASES,
    ids=[f"{case[0].__name__}, opened {'within' if case[1] else 'outside'}" for case in CASES],
)
def test_each_cursor_in_each_state(story: Story, opened_in: int, kill: Kill, readable: bool) -> None:
    session = SessionState(SessionOptions(), ServerSession(0.0), owner=object())
    story(session)
    assert way_to_kill(opened_in, session) is kill
    assert within(opened_in, session) is (kill is Kill.WITHIN)
    assert is_over(opened_in, session) is (bool(opened_in) and not readable)
    if kill is Kill.LATER:
        with pytest.raises(InvalidOperation, match="once it is known"):
            admit_kill(opened_in, session)
    else:
        admit_kill(opened_in, session)
    if readable:
        admit_read(opened_in, session)
    else:
        with pytest.raises(InvalidOperation, match="has ended" if opened_in else "opened before the transaction"):
            admit_read(opened_in, session)


def test_a_cursor_of_an_implicit_session_is_killed_outside() -> None:
    assert way_to_kill(0, None) is Kill.OUTSIDE


def test_a_command_for_no_cursor_belongs_to_the_open_transaction() -> None:
    session = SessionState(SessionOptions(), ServerSession(0.0), owner=object())
    assert not within(None, session)
    begin(session)
    assert within(None, session)
