"""The waits on asyncio and trio, by way of anyio.

Most names are anyio's own functions under this package's names, so that a call costs what anyio's costs. Where asyncio
alone offers something better (a reader that stays registered, a task with an empty context), both cases are here.
"""

from __future__ import annotations

import asyncio
import contextvars
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Generator
from random import random as random
from time import monotonic as monotonic
from time import time_ns as time_ns
from typing import Any, ParamSpec, Protocol, TypeVar, cast
from weakref import WeakKeyDictionary

import anyio
import anyio.lowlevel
import anyio.to_thread
from anyio import CancelScope as CancelScope
from anyio import Event as Event
from anyio import create_task_group as create_task_group
from anyio import fail_after as fail_after
from anyio import move_on_after as move_on_after
from anyio import notify_closing as notify_closing
from anyio import sleep as sleep
from anyio import sleep_forever as sleep_forever
from anyio.abc import TaskGroup as TaskGroup
from anyio.lowlevel import checkpoint as checkpoint

from wiredrv.waits.interface import here

P = ParamSpec("P")
T = TypeVar("T")

readable = anyio.wait_readable
writable = anyio.wait_writable

#: What waiting for a socket raises besides OSError and ValueError: it was closed meanwhile, or another task is already
#: waiting for it.
SOCKET_ERRORS = (anyio.ClosedResourceError, anyio.BusyResourceError)


class Waiter(Protocol):
    """An object that one task waits for, and another sets."""

    def __await__(self) -> Generator[Any, None, None]: ...

    def done(self) -> bool:
        """Whether it was woken, or its wait cancelled."""
        ...

    def set_result(self, result: None, /) -> None:
        """Wake the task."""
        ...


class ReaderLoop(Protocol):
    """An event loop that can keep a socket registered and call back when it is readable: asyncio's."""

    def create_future(self) -> Waiter:
        """An object that one task can wait for."""
        ...

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:
        """Call back whenever the socket is readable."""
        ...

    def remove_reader(self, fd: Any) -> bool:
        """Stop calling back."""
        ...


class _TrioToken(Protocol):
    """The part of trio's token that is used here, without importing trio (perhaps while the interpreter ends)."""

    def run_sync_soon(self, function: Callable[[], None]) -> None: ...


def seconds_left() -> float:
    """The seconds until the earliest deadline of the blocks around the caller; infinite without one."""
    return anyio.current_effective_deadline() - anyio.current_time()


def cancelled() -> type[BaseException]:
    """The class of the cancellation exception on the running event loop."""
    return anyio.get_cancelled_exc_class()


def is_cancelling() -> bool:
    """Whether the running task is being cancelled: its next unshielded wait would raise, or one just did.

    asyncio's own cancellation is raised once; after that only the task's counter and the exception that is being
    handled show it.
    """
    if anyio.current_effective_deadline() == float("-inf"):
        return True
    if asyncio._get_running_loop() is None:
        return False
    task = asyncio.current_task()
    if task is not None and task.cancelling() > _forgotten.get(task, 0):
        return True
    return isinstance(sys.exception(), asyncio.CancelledError)


#: How many cancellations of an asyncio task were over although ``uncancel`` was not called.
_forgotten: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()


def forget_cancellation() -> bool:
    """Consider a cancellation of the running task as over, unless it is being handled. Returns whether none is.

    A program that catches asyncio's CancelledError and continues never resets the task's counter.
    """
    if anyio.current_effective_deadline() == float("-inf") or isinstance(sys.exception(), asyncio.CancelledError):
        return False
    task = asyncio.current_task() if asyncio._get_running_loop() is not None else None
    if task is not None and task.cancelling():
        _forgotten[task] = task.cancelling()
    return True


def current_task() -> object:
    """The running task: an :class:`asyncio.Task` or a trio task, or in a synchronous call its thread; None outside of
    them.
    """
    if here.call is not None:
        return threading.current_thread()
    if asyncio._get_running_loop() is not None:
        return asyncio.current_task()
    trio = sys.modules.get("trio")
    return trio.lowlevel.current_task() if trio is not None and trio.lowlevel.in_trio_run() else None


def running_loop() -> object:
    """What identifies the event loop that the caller runs in: asyncio's loop or trio's token, or in a synchronous call
    the threads of its client; None outside of all.
    """
    # anyio.lowlevel.current_token does the same, in six Python calls instead of one; every operation calls this.
    if here.call is not None:
        return here.call.loop
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


def reader_loop() -> ReaderLoop | None:
    """The running event loop, if it can keep a socket registered; None on trio, and on Windows' own loop."""
    # asyncio.get_running_loop would raise in a task of trio, which is not an error here.
    loop = asyncio._get_running_loop()
    proactor = getattr(asyncio, "ProactorEventLoop", None)
    return None if loop is None or (proactor is not None and isinstance(loop, proactor)) else loop


def backend() -> str:
    """``"asyncio"`` or ``"trio"``."""
    return "asyncio" if asyncio._get_running_loop() is not None else "trio"


def loop_is_closed(loop: object) -> bool | None:
    """Whether an asyncio loop was closed; None for trio's, which only its own tasks can know."""
    return loop.is_closed() if isinstance(loop, asyncio.AbstractEventLoop) else None


def call_soon(loop: object, function: Callable[[], None]) -> bool:
    """Have a loop call ``function`` soon. May be called in any thread and by a finalizer. False if the loop is
    closed.
    """
    try:
        if isinstance(loop, asyncio.AbstractEventLoop):
            loop.call_soon_threadsafe(function)
        else:
            cast(_TrioToken, loop).run_sync_soon(function)
    except RuntimeError:  # trio's RunFinishedError is one too
        return False
    return True


def spawn(
    function: Callable[..., Awaitable[None]],
    *arguments: Any,
    name: str,
    done: Callable[[], None],
    inherit: bool = False,
) -> object:
    """Start a task with an empty context: no context variable is inherited.

    :param function: an asynchronous function that raises no exception; in a trio system task one would end the program.
    :param done: called when the task has ended, even if it was cancelled before its first step.
    :param inherit: whether it gets a copy of the caller's context after all.
    :returns: a reference that must be kept while the task runs, since asyncio holds its tasks by weak references only.
    """
    context = contextvars.copy_context() if inherit else contextvars.Context()
    loop = asyncio._get_running_loop()
    if loop is not None:
        task = loop.create_task(_run(function, arguments), name=name, context=context)
        task.add_done_callback(lambda _task: done())
        return task
    import trio

    async def run() -> None:
        try:
            await function(*arguments)
        finally:
            done()

    return trio.lowlevel.spawn_system_task(run, name=name, context=context)


async def _run(function: Callable[..., Awaitable[None]], arguments: tuple[Any, ...]) -> None:
    await function(*arguments)


async def to_thread(function: Callable[[], T]) -> T:
    """Call a slow function in a worker thread. If the caller is cancelled, the thread runs to its end in the
    background.
    """
    return await anyio.to_thread.run_sync(function, abandon_on_cancel=True)


async def addresses_of(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    """Look up a host name: the family and the address of each TCP endpoint.

    :raises OSError: the name cannot be resolved.
    :raises UnicodeError: it is not a valid name.
    """
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, (str(sockaddr[0]), port)) for family, _type, _protocol, _name, sockaddr in found]
