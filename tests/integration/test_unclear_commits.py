"""``with_transaction`` against a server whose replies to a commit do not show its outcome.

Each commit is sent twice: first comes the retry of a commit (transactions specification), and only then the loop's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

import wiredrv
from tests.support.fake_server import FakeServer, fine, with_sessions
from tests.support.waiting import PATIENCE, until
from wiredrv import ClientSession, RetryPolicy
from wiredrv.errors import UNKNOWN_COMMIT_RESULT, InvalidOperation, TransactionTimeoutError, UnreadableReply

pytestmark = pytest.mark.anyio

#: A member of a replica set, so that transactions are sent.
_MEMBER = {**with_sessions(), "setName": "rs"}


class _Unclear(FakeServer):
    """Answers this many commits, each of which is sent twice, with something that cannot be read."""

    def __init__(self, unclear: int = 10**9) -> None:
        super().__init__(_MEMBER, self._answered)
        self.unclear = 2 * unclear

    def _answered(self, command: dict[str, Any]) -> dict[str, Any]:
        if "commitTransaction" not in command or self.commits > self.unclear:
            return dict(fine(command))
        return {"ok": "perhaps"}

    @property
    def commits(self) -> int:
        return sum("commitTransaction" in command for command in self.commands)


@asynccontextmanager
async def _session(server: FakeServer) -> AsyncIterator[ClientSession]:
    async with wiredrv.Client(server.uri, serverSelectionTimeoutMS=4000) as client, client.start_session() as session:
        with anyio.fail_after(PATIENCE):
            yield session


#: The pause after a commit of unknown result takes hours: a task that waits for its end is cancelled before.
_HOURS = RetryPolicy(timeout=1e6, jitter=lambda: 1e6)


async def _insert(session: ClientSession) -> None:
    await session.client.db.c.insert_one({}, session=session)


async def test_the_commits_that_are_sent_again_are_few() -> None:
    with _Unclear() as server:
        async with _session(server) as session:
            with pytest.raises(TransactionTimeoutError) as caught:
                await session.with_transaction(_insert, retry=RetryPolicy(timeout=1.0, jitter=lambda: 1.0))
    cause = caught.value.__cause__
    assert isinstance(cause, UnreadableReply)
    assert cause.has_error_label(UNKNOWN_COMMIT_RESULT)
    # 7.5 ms, half as much again each time, and no pause that would end after one second: ten pauses, 850 ms in all.
    assert 4 <= server.commits <= 22


async def test_the_pause_grows_from_one_commit_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    with _Unclear(unclear=3) as server:
        async with _session(server) as session:
            with monkeypatch.context() as patched:
                patched.setattr("wiredrv.waits.sleep", sleep)
                await session.with_transaction(_insert, retry=RetryPolicy(jitter=lambda: 1.0))
    assert server.commits == 7
    assert [round(seconds * 1000, 3) for seconds in pauses if seconds < 0.1] == [7.5, 11.25, 16.875]


async def test_nothing_else_runs_with_the_session_while_the_commit_pauses() -> None:
    """A statement between two commits would reset the transaction's state, and the next commit would have none."""
    with _Unclear(unclear=1) as server:
        async with _session(server) as session, anyio.create_task_group() as group:
            group.start_soon(lambda: session.with_transaction(_insert, retry=_HOURS))
            await until(lambda: server.commits == 2, "the first commit was sent, and its retry")
            for _ in range(20):
                with pytest.raises(InvalidOperation, match="after 'commitTransaction'"):
                    await session.client.db.c.find_one({}, session=session)
                await anyio.sleep(0.01)
            assert server.commits == 2
            group.cancel_scope.cancel()


async def test_a_commit_that_is_cancelled_while_it_pauses_is_asked_about_once_more() -> None:
    """Like one that is cancelled while its reply is awaited: the server's reply may still arrive."""
    told: list[str] = []

    async def callback(session: ClientSession) -> None:
        await _insert(session)
        session.on_commit(lambda: told.append("committed"))
        session.on_unknown(lambda: told.append("unknown"))

    with _Unclear(unclear=1) as server:
        async with _session(server) as session:
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: session.with_transaction(callback, retry=_HOURS))
                await until(lambda: server.commits == 2, "the first commit was sent, and its retry")
                await anyio.sleep(0.1)
                group.cancel_scope.cancel()
            await until(lambda: "committed" in told, "the outcome is known")
    assert told == ["unknown", "committed"]
    assert server.commits == 3


@pytest.mark.parametrize("jitter", [lambda: 1 / 0, lambda: "x", lambda: -1, lambda: float("nan")])
async def test_a_jitter_that_fails_hides_no_commit_of_unknown_result(jitter: Callable[[], Any]) -> None:
    with _Unclear() as server:
        async with _session(server) as session:
            with pytest.raises(UnreadableReply) as caught:
                await session.with_transaction(_insert, retry=RetryPolicy(jitter=jitter))
    assert caught.value.has_error_label(UNKNOWN_COMMIT_RESULT)
    assert isinstance(caught.value.__cause__, Exception)
    assert server.commits == 2
