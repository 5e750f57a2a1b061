"""The client's background tasks: one task group, in a task of its own.

The group is entered and left by that task alone, so that no cancel scope stays open across a user's code: ``async
with Client(...)`` works in fixtures and lifespans, and the body's exception is raised unchanged.

Rules kept here:

* The task starts with an empty context: a client that is opened inside ``bind()`` must not pass the binding on.
* It holds no reference to the ``Client`` object, or that would never be collected and could not warn.
* No exception leaves it: in a trio system task one would end the program.
* It may end before its client is closed (``asyncio.run`` cancels it before a user's shielded clean-up): then nothing
  new is started, and stopping it is not an error.

The clean-up after cancellations runs in a second task group, in a task of its own, which outlives the first: when the
event loop ends, or the client is closed, it stays for up to :data:`CLEAN_UP_SECONDS`.
"""

from __future__ import annotations

import logging
import math
import sys
from collections import deque
from collections.abc import Awaitable, Callable

from wiredrv import waits
from wiredrv.client.cursors.prefetch import ReadingTask
from wiredrv.errors import DriverError
from wiredrv.types import Spawn

_LOG = logging.getLogger("wiredrv.client")

#: Seconds that cleaning up may take in the background.
CLEAN_UP_SECONDS = 2.0
#: Seconds between two checks whether everything is cleaned up, while the event loop ends.
_TICK = 0.005


class Background:
    """The background tasks of one opened client. Used once: a client that is opened again creates a new one."""

    def __init__(self) -> None:
        self._ready = waits.Event()
        self._ended = waits.Event()
        self._group: waits.TaskGroup | None = None
        self._scope: waits.CancelScope | None = None
        self._failure: BaseException | None = None
        self._started = False
        self._stopped = False
        self._tasks: tuple[object, ...] = ()
        self._loop = waits.running_loop()
        self._cleaning: waits.TaskGroup | None = None
        self._cleaned = waits.Event()
        self._unfinished: set[waits.Event] = set()
        #: What cursors read ahead, and the readers of scans, with the tasks.
        self._ahead: dict[ReadingTask, object] = {}
        self._posted: deque[Callable[[], None]] = deque()
        self._noted = waits.Event()

    def start(
        self,
        set_up: Callable[[Spawn], Awaitable[None]],
        has_open_work: Callable[[], bool] = bool,
        at_end: Callable[[], Awaitable[None]] = waits.checkpoint,
    ) -> None:
        """Start the tasks.

        :param set_up: awaited first, with the function that spawns further tasks.
        :param has_open_work: whether operations are in flight that may need cleaning up, while the event loop ends.
        :param at_end: awaited after that, while the event loop ends.
        """
        self._started = True
        self._tasks = (
            waits.spawn(self._main, set_up, name="wiredrv background", done=self._over),
            waits.spawn(self._clean_up, has_open_work, at_end, name="wiredrv clean-up", done=self._cleaned.set),
        )

    async def wait_ready(self) -> None:
        """Wait until ``set_up`` is done; raise what it raised."""
        await self._ready.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def in_owning_loop(self) -> bool:
        """Whether the caller runs in the event loop that the background belongs to."""
        return waits.running_loop() is self._loop

    @property
    def owning_loop_is_closed(self) -> bool:
        """Whether the event loop that the background belongs to is closed."""
        closed = waits.loop_is_closed(self._loop)
        return self._ended.is_set() if closed is None else closed

    def call_in_owning_loop(self, function: Callable[[], None]) -> bool:
        """Call ``function`` in the loop that owns the background: now, or soon. False if that loop is closed."""
        if self.in_owning_loop:
            function()
            return True
        return waits.call_soon(self._loop, function)

    def post(self, function: Callable[[], None], exiting: Callable[[], bool] = sys.is_finalizing) -> bool:
        """Have the owning loop call ``function`` soon. False if that loop is closed.

        For finalizers, which run in any thread and at any time, also when the interpreter exits: then no loop runs any
        more.

        :param exiting: kept here, since what a module has imported may be gone by then.
        """
        if exiting():
            return False
        self._posted.append(function)
        return waits.call_soon(self._loop, self._wake)

    def _wake(self) -> None:
        self._noted.set()

    async def _run_notes(self) -> None:
        while True:
            await self._noted.wait()
            self._noted = waits.Event()
            self._run_posted()

    def _run_posted(self) -> None:
        while self._posted:
            function = self._posted.popleft()
            try:
                function()
            except Exception:
                _LOG.exception("a client could not clean up after an object that was not closed")

    # --- cleaning up ---

    def clean_up(self, work: Callable[[float], Awaitable[None]]) -> waits.Event | None:
        """Start to clean up; returns an event that is set at the end, or None if nothing can be started any longer.

        :param work: called with the seconds that it may take. It shields itself.
        """
        if self._cleaning is None:
            return None
        done = waits.Event()
        self._unfinished.add(done)
        self._cleaning.start_soon(self._finish, work, done)
        return done

    async def _finish(self, work: Callable[[float], Awaitable[None]], done: waits.Event) -> None:
        try:
            await work(CLEAN_UP_SECONDS)
        except Exception:
            _LOG.exception("cleaning up in the background failed")
        finally:
            self._unfinished.discard(done)
            done.set()

    async def wait_clean(self, besides: int = 0) -> None:
        """Wait until at most ``besides`` clean-ups are unfinished."""
        self._run_posted()
        while len(self._unfinished) > besides:
            await waits.sleep(_TICK)

    @property
    def unfinished(self) -> int:
        """How many clean-ups are unfinished."""
        return len(self._unfinished)

    async def _clean_up(self, has_open_work: Callable[[], bool], at_end: Callable[[], Awaitable[None]]) -> None:
        if self._stopped:
            return
        # Neither anyio's cancel scopes nor the end of a trio program may stop the clean-up.
        with waits.shield():
            async with waits.create_task_group() as self._cleaning:
                self._cleaning.start_soon(self._run_notes)
                await waits.run_shielded(self._ended.wait, math.inf)
                if not self._stopped:
                    await waits.run_shielded(lambda: self._until_clean(has_open_work), CLEAN_UP_SECONDS / 2)
                    await waits.run_shielded(at_end, CLEAN_UP_SECONDS / 2)
                await waits.run_shielded(lambda: self._until_clean(bool), CLEAN_UP_SECONDS)
                cleaning, self._cleaning = self._cleaning, None
                cleaning.cancel_scope.cancel()

    async def _until_clean(self, has_open_work: Callable[[], bool]) -> None:
        self._run_posted()
        while self._unfinished or has_open_work():
            await waits.sleep(_TICK)
            self._run_posted()

    # --- reading ahead ---

    def read_ahead(self, ahead: ReadingTask) -> bool:
        """Start the task of a cursor that reads ahead, or of a scan. False if nothing can be started any longer."""
        if self._group is None or self._stopped:
            return False

        def done() -> None:
            self._ahead.pop(ahead, None)
            ahead.finished()

        self._ahead[ahead] = waits.spawn(ahead.run, name="wiredrv read ahead", done=done, inherit=True)
        return True

    async def stop_reading_ahead(self) -> None:
        """Cancel what is read ahead, and wait until it is over."""
        for ahead in list(self._ahead):
            ahead.cancel()
        while self._ahead:
            await waits.sleep(_TICK)

    # --- the other tasks ---

    def spawn(self, function: Callable[..., Awaitable[object]], *arguments: object) -> None:
        """Start a background task, if the group is still running."""
        if self._group is not None:
            self._group.start_soon(_guarded, function, arguments)

    def cancel(self) -> None:
        """Stop all tasks without waiting, also one that was started and has not run yet."""
        self._stopped = True
        for ahead in list(self._ahead):
            ahead.cancel()
        if self._scope is not None:
            self._scope.cancel()

    async def stop(self) -> None:
        """Stop all tasks and wait for their end."""
        self.cancel()
        if self._started:
            await self._ended.wait()
            await self._cleaned.wait()

    async def _main(self, set_up: Callable[[Spawn], Awaitable[None]]) -> None:
        try:
            if self._stopped:
                return
            async with waits.create_task_group() as group:
                self._group = group
                self._scope = group.cancel_scope
                try:
                    await set_up(self.spawn)
                except DriverError as error:
                    self._failure = error
                    group.cancel_scope.cancel()
                self._ready.set()
                await waits.sleep_forever()
        except Exception as error:
            self._failure = self._failure or error
            _LOG.exception("the background tasks of a client failed")

    def _over(self) -> None:
        self._group = None
        self._ready.set()
        self._ended.set()


async def _guarded(function: Callable[..., Awaitable[object]], arguments: tuple[object, ...]) -> None:
    try:
        await function(*arguments)
    except Exception:
        _LOG.exception("a background task of a client failed: %s", getattr(function, "__qualname__", function))
