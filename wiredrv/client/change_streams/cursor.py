"""The server's cursor of a change stream, between two resumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bson.timestamp import Timestamp

from wiredrv.client.change_streams.plan import Plan
from wiredrv.client.change_streams.position import Position
from wiredrv.client.cursors.base import CursorBase
from wiredrv.client.limits import CursorKind
from wiredrv.errors import AutoReconnect, NotPrimaryError, is_timeout
from wiredrv.operations.base import Operation
from wiredrv.operations.change_stream import ChangeStreamGetMore
from wiredrv.operations.cursors import CursorReply
from wiredrv.session.state import SessionState
from wiredrv.types import PlainDocument, TimeLimit
from wiredrv.wire.codec import sound_document

if TYPE_CHECKING:
    from wiredrv.client.handle import HandleContext


class StreamCursor(CursorBase[Any]):
    """One cursor of a change stream. After a failure the stream opens another one.

    :param context: how the client's handles work.
    :param plan: what the stream was asked for.
    :param position: where it is opened.
    :param state: the session of all its cursors; None for an implicit session.
    """

    __slots__ = ("_plan", "_position_then", "_stream_state", "batch_token", "operation_time")

    _get_more_class = ChangeStreamGetMore

    def __init__(self, context: HandleContext, plan: Plan, position: Position, state: SessionState | None) -> None:
        self._plan = plan
        self._position_then = position
        self._stream_state = state
        #: The ``postBatchResumeToken`` of the last batch.
        self.batch_token: PlainDocument | None = None
        #: The ``operationTime`` of the first reply.
        self.operation_time: Timestamp | None = None
        super().__init__(context, plan.target, None)
        self._batch_size = plan.batch_size
        self._max_await_time_ms = plan.max_await_time_ms
        self._comment = plan.command.get("comment")

    def _first_operation(self, encoded_from: int) -> Operation[CursorReply]:
        return self._plan.operation(self._position_then, encoded_from)

    def _encoded_from(self, whole: bool) -> int:
        """Events are decoded as they are read, so that one that cannot be decoded does not hide those before it."""
        return 0

    def _session_state(self) -> SessionState | None:
        return self._stream_state

    def _take(self, reply: CursorReply) -> None:
        opening = not self._started
        super()._take(reply)
        self.batch_token = sound_document(reply.reply["cursor"].get("postBatchResumeToken"))
        if opening:
            time = reply.reply.get("operationTime")
            self.operation_time = time if isinstance(time, Timestamp) else None

    def _next_max_time_ms(self) -> int | None:
        """None for an aggregate that resumes the stream: a short ``wiredrv.timeout`` block around the reader may have
        interrupted it, and is no reason to refuse ``max_await_time_ms`` then.
        """
        if self._position_then.opened and not self._started:
            return None
        return super()._next_max_time_ms()

    def _kind(self, opening: Operation[CursorReply]) -> CursorKind:
        return CursorKind(tailable=True, awaits_data=True)

    async def fetch(self, limit: TimeLimit | None) -> None:
        """Send the aggregate or a getMore, which has the time limit ``limit``."""
        await self._fetch(limit=limit)

    def take(self) -> Any:
        """The next document of the batch; None after the last one."""
        position = self._position
        if position >= len(self._batch):
            return None
        self._position = position + 1
        return self._batch[position]

    async def decode(self) -> Any:
        """The next document of a batch of which some are still encoded; None if there is none.

        :raises UnreadableReply: it cannot be decoded.
        """
        if self._rest is None:
            return None
        await self._decode(self._rest)
        return self.take()

    @property
    def is_drained(self) -> bool:
        """Whether every document of the batch was taken."""
        return self._position >= len(self._batch) and self._rest is None

    @property
    def is_open(self) -> bool:
        """Whether the server has the cursor, as far as the driver knows."""
        return not self._ended

    def abandon(self) -> None:
        """Have the server's cursor killed in the background. May be called by a finalizer."""
        self._abandon()

    async def _drop_after(self, error: BaseException) -> None:
        """Kill the cursor on its server, also where that did not answer: the stream goes on elsewhere.

        Change-streams specification, "Resume Process": a driver should attempt it, and ignores what comes of it.
        """
        if self._started and isinstance(error, NotPrimaryError):
            await self._end()
        elif self._started and self._pin is None and (isinstance(error, AutoReconnect) or is_timeout(error)):
            self._abandon()
        else:
            await super()._drop_after(error)
