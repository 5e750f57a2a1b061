"""A fake executor: it sends nothing, and answers operations from a script. For tests of handles alone."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, cast

import anyio
import bson
from bson.codec_options import DEFAULT_CODEC_OPTIONS, CodecOptions

from wiredrv.client.client import Client
from wiredrv.client.cursors.prefetch import Ahead
from wiredrv.client.database import Database
from wiredrv.operations.base import Limits, Operation, Target
from wiredrv.operations.cursors import CursorReply, KillCursors
from wiredrv.types import Address, ServerCursor
from wiredrv.wire.batch import cut

ADDRESS = Address("fake", 1)
LIMITS = Limits(
    max_wire_version=17, max_bson_object_size=16_777_216, max_message_size=48_000_000, max_write_batch_size=5
)


class FakeSessionState:
    """A session of which handles only see whether it has ended."""

    def __init__(self) -> None:
        self.ended = False


class Block:
    """In a script: the operation waits here until it is cancelled or released."""

    def __init__(self) -> None:
        self.reached = anyio.Event()
        self.free = anyio.Event()


class FakeExecutor:
    """Answers the operations that it is given from a script, in order, and records them.

    killCursors always succeeds, unless ``kill_error`` says how it fails.
    """

    def __init__(self, script: Iterable[Any] = ()) -> None:
        self.script = list(script)
        self.operations: list[Operation[Any]] = []
        self.commands: list[dict[str, Any]] = []
        self.states: list[Any] = []
        self.released: list[Any] = []
        self.kill_error: BaseException | None = None
        self.contended = False

    async def execute(self, operation: Operation[Any], session: Any = None) -> Any:
        self.operations.append(operation)
        self.states.append(session)
        command = operation.command(LIMITS)
        self.commands.append(dict(operation.described(command)) if operation.sequences(LIMITS) else command)
        if isinstance(operation, KillCursors):
            if self.kill_error is not None:
                raise self.kill_error
            return None
        answer = self.script.pop(0)
        if isinstance(answer, Block):
            answer.reached.set()
            await answer.free.wait()
            answer = self.script.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    @contextlib.asynccontextmanager
    async def one_turn(self, session: Any, command: str, call: Any) -> AsyncIterator[Any]:
        yield session

    async def execute_in(self, turn: Any, operation: Operation[Any], session: Any) -> Any:
        return await self.execute(operation, session)

    async def clean_up(self, work: Callable[[float], Awaitable[None]]) -> None:
        await work(1.0)

    def release(self, lease: Any) -> None:
        self.released.append(lease)

    def session_settled(self, session: Any) -> None:
        session.settling -= 1

    def has_waiters(self, address: Address) -> bool:
        return self.contended

    @property
    def names(self) -> list[str]:
        """The names of all operations."""
        return [operation.name for operation in self.operations]


class FakeContext:
    """The context that handles are given, with a fake executor. ``bound`` is the state of a bound session."""

    def __init__(self, script: Iterable[Any] = ()) -> None:
        self.executor = FakeExecutor(script)
        self.bound: Any = None
        self.orphans: list[ServerCursor] = []
        self.open_streams: weakref.WeakSet[Any] = weakref.WeakSet()
        self.ahead: list[Ahead] = []
        self.prefetch = False
        self.orphans_ahead: list[Ahead | None] = []
        self.ended = False

    def session_state(self, session: Any) -> Any:
        if isinstance(session, Exception):
            raise session
        return self.bound if session is None else session

    def ambient_state(self) -> Any:
        return None

    def orphan_cursor(self, cursor: ServerCursor, ahead: Ahead | None = None) -> None:
        self.orphans.append(cursor)
        self.orphans_ahead.append(ahead)

    def read_ahead(self, ahead: Ahead) -> bool:
        self.ahead.append(ahead)
        return not self.ended

    @property
    def database(self) -> Database:
        """A database that uses this context."""
        return Database(cast("Client", "the client"), self, Target("shop"))


def batch(
    *documents: Any, id: int = 0, lease: Any = None, namespace: str = "shop.orders", **cursor: Any
) -> CursorReply:
    """A batch of a cursor; ``id`` 0 is the last one. More fields are added to the reply's ``cursor``."""
    return CursorReply(id, namespace, list(documents), ADDRESS, {"cursor": cursor}, lease)


def encoded(*documents: Any, id: int = 0, lease: Any = None, options: CodecOptions[Any] = DEFAULT_CODEC_OPTIONS) -> Any:
    """As :func:`batch`, of a reply whose documents are decoded as they are read."""
    body = bson.encode({"cursor": {"nextBatch": documents}})
    reply = cut(body, options)
    assert reply is not None
    return CursorReply(id, "shop.orders", reply["cursor"]["nextBatch"], ADDRESS, reply, lease)


def numbers(first: int, last: int) -> list[dict[str, int]]:
    """Documents numbered from ``first`` to ``last``."""
    return [{"n": number} for number in range(first, last + 1)]
