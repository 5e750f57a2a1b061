"""The clean-up after a cancelled operation, with a double of the executor."""

from __future__ import annotations

from typing import Any, TypeVar

import pytest

from wiredrv.execution.cancellation import Settlement
from wiredrv.execution.run import Run
from wiredrv.operations.base import Target
from wiredrv.operations.count import Count
from wiredrv.session.cluster_time import ClusterClock
from wiredrv.session.server_session import ServerSession
from wiredrv.types import Address, ServerCursor

pytestmark = pytest.mark.anyio

T = TypeVar("T")


class Executor:
    """Takes an implicit session for each operation, as for a server that supports them."""

    def __init__(self) -> None:
        self.clock = ClusterClock()
        self.sent: list[str] = []
        self.in_use: list[ServerSession] = []

    async def drive(self, run: Run[T]) -> Any:
        self.sent.append(run.operation.name)
        if run.server_session is None:
            run.server_session = ServerSession(0.0)
            run.implicit = True
            self.in_use.append(run.server_session)

    def release(self, session: ServerSession) -> None:
        self.in_use.remove(session)

    def settled(self, run: Run[object]) -> None:
        pass


async def test_the_session_is_released_in_which_a_cursor_is_killed_that_was_opened_without_one() -> None:
    """A server may support sessions at last when the cursor is killed: after its restart with another version."""
    executor = Executor()
    run: Run[Any] = Run(Count(Target("db", "c"), {}), None)
    run.orphan = ServerCursor(Address("localhost", 27017), 5, "db.c", None, None)
    await Settlement(run, executor)(1.0)
    assert executor.sent == ["killCursors"]
    assert executor.in_use == []
