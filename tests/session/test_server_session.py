"""The pool of server sessions, with a clock that the test controls (sessions specification, "Server Session Pool")."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiredrv.session.server_session import ServerSession, ServerSessionPool

MINUTE = 60.0
TIMEOUT = 30


def test_ids_are_uuids_of_their_own() -> None:
    ids = [ServerSession(0.0).lsid["id"] for _ in range(50)]
    assert len(set(ids)) == 50
    assert {(len(number), number.subtype) for number in ids} == {(16, 4)}
    assert {bytes(number)[6] >> 4 for number in ids} == {4}, "version 4: random"


def test_transaction_numbers_count_up_from_one() -> None:
    session = ServerSession(0.0)
    assert [session.next_txn_number() for _ in range(3)] == [1, 2, 3]


def test_what_was_used_last_is_used_next() -> None:
    pool = ServerSessionPool()
    first, second = pool.acquire(0.0, TIMEOUT), pool.acquire(0.0, TIMEOUT)
    pool.release(first, 1.0, TIMEOUT)
    pool.release(second, 2.0, TIMEOUT)
    assert [pool.acquire(3.0, TIMEOUT), pool.acquire(3.0, TIMEOUT)] == [second, first]


@pytest.mark.parametrize(
    "age, timeout, usable",
    [
        (28.9 * MINUTE, 30, True),
        (29 * MINUTE, 30, False),
        (31 * MINUTE, 30, False),
        (0.0, 1, False),
        (1e9, None, True),
    ],
    ids=["fresh enough", "one minute left", "expired", "a timeout of one minute", "no timeout, behind a load balancer"],
)
def test_a_session_with_less_than_a_minute_left_is_not_used(age: float, timeout: int | None, usable: bool) -> None:
    pool = ServerSessionPool()
    session = pool.acquire(0.0, None)
    pool.release(session, 0.0, None)
    assert (pool.acquire(age, timeout) is session) == usable


def test_a_session_about_to_expire_is_not_taken_back_and_sweeps_out_older_ones() -> None:
    pool = ServerSessionPool()
    old, newer, newest = (pool.acquire(0.0, None) for _ in range(3))
    for session, used in ((old, 0.0), (newer, 10 * MINUTE), (newest, 20 * MINUTE)):
        session.last_use = used
        pool.release(session, used, TIMEOUT)
    late = ServerSession(0.0)
    pool.release(late, 35 * MINUTE, TIMEOUT)
    assert len(pool) == 2
    assert [pool.acquire(35 * MINUTE, TIMEOUT) for _ in range(2)] == [newest, newer]


def test_using_a_session_keeps_it_alive() -> None:
    pool = ServerSessionPool()
    session = pool.acquire(0.0, TIMEOUT)
    session.last_use = 28 * MINUTE
    pool.release(session, 28 * MINUTE, TIMEOUT)
    assert pool.acquire(50 * MINUTE, TIMEOUT) is session


def test_a_dirty_session_never_comes_back() -> None:
    pool = ServerSessionPool()
    session = pool.acquire(0.0, TIMEOUT)
    session.dirty = True
    pool.release(session, 0.0, TIMEOUT)
    assert len(pool) == 0
    assert pool.acquire(0.0, TIMEOUT) is not session


def test_a_session_of_before_a_fork_never_comes_back() -> None:
    pool = ServerSessionPool()
    out, idle = pool.acquire(0.0, TIMEOUT), pool.acquire(0.0, TIMEOUT)
    pool.release(idle, 0.0, TIMEOUT)
    pool.forget()
    assert len(pool) == 0
    pool.release(out, 0.0, TIMEOUT)
    assert len(pool) == 0
    assert pool.acquire(0.0, TIMEOUT).epoch == 1


def test_draining_gives_the_ids_for_end_sessions_once() -> None:
    pool = ServerSessionPool()
    sessions = [pool.acquire(0.0, TIMEOUT) for _ in range(3)]
    for session in sessions:
        pool.release(session, 0.0, TIMEOUT)
    assert sorted(bytes(lsid["id"]) for lsid in pool.drain()) == sorted(bytes(s.lsid["id"]) for s in sessions)
    assert pool.drain() == []


@given(st.lists(st.tuples(st.sampled_from(["acquire", "release", "wait"]), st.floats(0, 40 * MINUTE)), max_size=40))
def test_nothing_is_given_out_twice_nor_when_it_has_expired(steps: list[tuple[str, float]]) -> None:
    pool, now, out = ServerSessionPool(), 0.0, []
    for step, seconds in steps:
        if step == "wait":
            now += seconds
        elif step == "acquire":
            session = pool.acquire(now, TIMEOUT)
            assert session not in out
            assert not session.expires_soon(now, TIMEOUT)
            session.last_use = now
            out.append(session)
        elif out:
            pool.release(out.pop(), now, TIMEOUT)
