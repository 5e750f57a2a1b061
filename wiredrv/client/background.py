"""The client's background tasks: one task group, in a task of its own.

The group is entered and left by that task alone, so that no cancel scope stays open across a user's code: ``async
with Client(...)`` works in fixtures and lifespans, and the body's exception leaves it as it is.

Rules kept here:

* The task starts with an empty context: a client that is opened inside ``bind()`` must not hand the binding on.
* It refers to nothing of the client's facade, or that would never be collected and could not warn.
* No exception leaves it: in a trio system task one would end the program.
* It may die before its client (``asyncio.run`` cancels it before a user's shielded clean-up): then nothing new is
  started, and stopping it is no error.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from wiredrv import waits
from wiredrv.errors import DriverError
from wiredrv.types import Spawn

_LOG = logging.getLogger("wiredrv.client")


class Background:
    """The background of one opened client. It is used once: a client that is opened again makes a new one."""

    def __init__(self) -> None:
        self._ready = waits.Event()
        self._ended = waits.Event()
        self._group: waits.TaskGroup | None = None
        self._scope: waits.CancelScope | None = None
        self._failure: BaseException | None = None
        self._started = False
        self._stopped = False
        self._task: object = None
        self._loop = waits.running_loop()

    def start(self, set_up: Callable[[Spawn], Awaitable[None]]) -> None:
        """Start the task, which first awaits ``set_up`` with the function that spawns further tasks."""
        self._started = True
        self._task = waits.spawn(self._main, set_up, name="wiredrv background", done=self._over)

    async def wait_ready(self) -> None:
        """Wait until ``set_up`` is done; raise what it raised."""
        await self._ready.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def is_home(self) -> bool:
        """Whether the caller runs in the event loop that the background belongs to."""
        return waits.running_loop() is self._loop

    @property
    def home_is_closed(self) -> bool:
        """Whether the event loop that the background belongs to is gone."""
        closed = waits.loop_is_closed(self._loop)
        return self._ended.is_set() if closed is None else closed

    def call_home(self, function: Callable[[], None]) -> bool:
        """Call ``function`` in the loop that the background belongs to: at once, or soon. False where it is gone."""
        if self.is_home:
            function()
            return True
        return waits.call_soon(self._loop, function)

    def spawn(self, function: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
        """Start a background task, if the group still lives."""
        if self._group is not None:
            self._group.start_soon(_guarded, function, arguments)

    def cancel(self) -> None:
        """Stop all tasks, without waiting; also one that was started and has not run yet."""
        self._stopped = True
        if self._scope is not None:
            self._scope.cancel()

    async def stop(self) -> None:
        """Stop all tasks and wait until they are gone."""
        self.cancel()
        if self._started:
            await self._ended.wait()

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


async def _guarded(function: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...]) -> None:
    try:
        await function(*arguments)
    except Exception:
        _LOG.exception("a background task of a client failed: %s", getattr(function, "__qualname__", function))
