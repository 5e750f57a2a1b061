"""Reading ahead: a background task fetches a cursor's next batch while the documents of the one before are read.

Rules kept here:

* At most one batch is ahead. Its connection goes back to the pool when the reply is there, even if nobody has read it.
* An error of the getMore is raised where the batch is asked for.
* No batch is skipped: where the outcome of a getMore is not known, no other one is sent.
* The task holds no reference to its cursor: a cursor that is dropped is collected, and closed on the server.
* The implicit session of the cursor is not reused before the getMore is over.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from wiredrv import waits
from wiredrv.errors import InvalidOperation, OperationTimeout
from wiredrv.execution.time_limit import milliseconds
from wiredrv.execution.timeout import leave_blocks
from wiredrv.operations.base import Operation
from wiredrv.operations.cursors import CursorReply
from wiredrv.types import TimeLimit

#: Documents per batch where the caller gives no ``batch_size``: few enough that the server sends them while those of
#: the batch before are read. Measured with 125 to 2,500.
PREFETCH_BATCH_SIZE: Final = 250
#: Seconds that the closing of a cursor waits for the reply, before it kills the cursor, and again after that.
END_SECONDS: Final = 0.5


def may_read_ahead(*, in_session: bool, tailable: bool, endless: bool, pinned: bool, contended: bool) -> bool:
    """Whether the next batch of an open cursor may be fetched before it is asked for.

    :param in_session: whether the cursor belongs to an explicit or bound session: its operations take turns, in the
        order of the program's calls.
    :param tailable: whether the server waits for documents that do not exist yet.
    :param endless: whether it is a change stream's.
    :param pinned: whether it needs a certain connection, which would not be free for anything else meanwhile.
    :param contended: whether operations wait for a connection: they come first.
    """
    return not (in_session or tailable or endless or pinned or contended)


class ReadingTask(Protocol):
    """What reads in a task of the client's background: until it is done, or cancelled when the client is closed."""

    async def run(self) -> None:
        """The task. It raises nothing."""
        ...

    def finished(self) -> None:
        """The task has ended, or will never run."""
        ...

    def cancel(self) -> None:
        """Cancel it."""
        ...


class Ahead:
    """One getMore in the background, and its outcome.

    :param operation: the getMore.
    :param execute: executes it.
    :param settled: called once it is over, whatever became of it.
    """

    __slots__ = (
        "_done",
        "_execute",
        "_is_cancelled",
        "_loop",
        "_operation",
        "_process",
        "_scope",
        "_settled",
        "began",
        "error",
        "reply",
    )

    def __init__(
        self,
        operation: Operation[CursorReply],
        execute: Callable[[Operation[CursorReply]], Awaitable[CursorReply]],
        settled: Callable[[], None] | None,
    ) -> None:
        self._operation = operation
        self._execute = execute
        self._settled = settled
        self._done = waits.Event()
        self._loop = waits.running_loop()
        self._process = os.getpid()
        self._scope: waits.CancelScope | None = None
        self._is_cancelled = False
        #: Whether the getMore may have been sent.
        self.began = False
        self.reply: CursorReply | None = None
        self.error: Exception | None = None

    # --- the task ---

    async def run(self) -> None:
        """Execute the getMore: in a task of the client's background."""
        # The time limit of a block belongs to the calls in it. This getMore may be for one after it.
        leave_blocks()
        with waits.CancelScope() as self._scope:
            if self._is_cancelled:
                return
            self.began = True
            try:
                self.reply = await self._execute(self._operation)
            except Exception as error:
                self.error = error

    def finished(self) -> None:
        """The task has ended, or will never run."""
        settled, self._settled = self._settled, None
        if settled is not None:
            settled()
        self._done.set()

    def cancel(self) -> None:
        """Cancel the getMore. The executor cleans up after it."""
        self._is_cancelled = True
        if self._scope is not None:
            self._scope.cancel()

    # --- the cursor ---

    @property
    def is_usable(self) -> bool:
        """Whether the caller can wait for it: not in a child process or another event loop."""
        return waits.running_loop() is self._loop and os.getpid() == self._process

    @property
    def exhausted(self) -> bool:
        """Whether the reply says that the server has no more; its session is released then."""
        return self.reply is not None and self.reply.id == 0

    async def wait(self, limit: TimeLimit | None) -> None:
        """Wait for the end: then there is a reply or an error. There is none if the client cancelled the getMore
        (:meth:`lost`, if it had begun), or if this is another event loop or process.

        :param limit: the time limit of the call that needs the batch, which has started.
        :raises OperationTimeout: it ended before.
        """
        if self.reply is not None or not self.is_usable:
            return
        with waits.move_on_after(None if limit is None or limit.until is None else limit.until - waits.monotonic()):
            await self._done.wait()
            return
        assert limit is not None
        raise OperationTimeout(f"the next batch, which was being read ahead, did not come within {milliseconds(limit)}")

    def lost(self) -> InvalidOperation:
        """The error for a batch that never came. The server may have sent it: another getMore would skip it."""
        return InvalidOperation(
            "this cursor cannot be read any further: its next batch was being read ahead when its client was closed, "
            "its event loop ended, or its process was forked; open another cursor"
        )

    async def end(self, kill: Callable[[], Awaitable[Any]]) -> None:
        """Wait a short time for the reply, kill the cursor unless it is exhausted, and wait for the getMore's end."""
        usable = self.is_usable
        if usable:
            with waits.move_on_after(END_SECONDS):
                await self._done.wait()
        if self.exhausted:
            return
        await kill()
        if not usable:
            return
        with waits.move_on_after(END_SECONDS):
            await self._done.wait()
        self.cancel()
