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

import asyncio
import contextvars
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast

import anyio
from anyio.abc import TaskGroup

from wiredrv.errors import DriverError
from wiredrv.types import Spawn

_LOG = logging.getLogger("wiredrv.client")


class _TrioToken(Protocol):
    """What is used of trio's token, without importing trio (perhaps while the interpreter ends)."""

    def run_sync_soon(self, function: Callable[[], None]) -> None: ...


class Background:
    """The background of one opened client. It is used once: a client that is opened again makes a new one."""

    def __init__(self) -> None:
        self._ready = anyio.Event()
        self._ended = anyio.Event()
        self._group: TaskGroup | None = None
        self._scope: anyio.CancelScope | None = None
        self._failure: BaseException | None = None
        self._started = False
        self._stopped = False
        self._task: asyncio.Task[None] | None = None
        self._loop = running_loop()

    def start(self, set_up: Callable[[Spawn], Awaitable[None]]) -> None:
        """Start the task, which first awaits ``set_up`` with the function that spawns further tasks."""
        self._started = True
        if isinstance(self._loop, asyncio.AbstractEventLoop):
            # The task group must not inherit what is bound where the client happens to be opened.
            self._task = self._loop.create_task(
                self._main(set_up), name="wiredrv background", context=contextvars.Context()
            )
            # A task that is cancelled before its first step runs none of its code.
            self._task.add_done_callback(lambda _task: self._over())
        else:
            import trio

            trio.lowlevel.spawn_system_task(
                self._main, set_up, name="wiredrv background", context=contextvars.Context()
            )

    async def wait_ready(self) -> None:
        """Wait until ``set_up`` is done; raise what it raised."""
        await self._ready.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def is_home(self) -> bool:
        """Whether the caller runs in the event loop that the background belongs to."""
        return running_loop() is self._loop

    @property
    def home_is_closed(self) -> bool:
        """Whether the event loop that the background belongs to is gone."""
        if isinstance(self._loop, asyncio.AbstractEventLoop):
            return self._loop.is_closed()
        return self._ended.is_set()

    def call_home(self, function: Callable[[], None]) -> bool:
        """Call ``function`` in the loop that the background belongs to: at once, or soon. False where it is gone."""
        if self.is_home:
            function()
            return True
        try:
            if isinstance(self._loop, asyncio.AbstractEventLoop):
                self._loop.call_soon_threadsafe(function)
            else:
                cast(_TrioToken, self._loop).run_sync_soon(function)
        except RuntimeError:  # trio's RunFinishedError is one too
            return False
        return True

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
            async with anyio.create_task_group() as group:
                self._group = group
                self._scope = group.cancel_scope
                try:
                    await set_up(self.spawn)
                except DriverError as error:
                    self._failure = error
                    group.cancel_scope.cancel()
                self._ready.set()
                await anyio.sleep_forever()
        except Exception as error:
            self._failure = self._failure or error
            _LOG.exception("the background tasks of a client failed")
        finally:
            self._over()

    def _over(self) -> None:
        self._group = None
        self._ready.set()
        self._ended.set()


async def _guarded(function: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...]) -> None:
    try:
        await function(*arguments)
    except Exception:
        _LOG.exception("a background task of a client failed: %s", getattr(function, "__qualname__", function))


def running_loop() -> object:
    """What identifies the event loop that the caller runs in: asyncio's loop or trio's token; None outside of both."""
    loop = asyncio._get_running_loop()
    if loop is not None:
        return loop
    trio = sys.modules.get("trio")
    if trio is None:
        return None
    try:
        return trio.lowlevel.current_trio_token()
    except RuntimeError:
        return None
