"""Chooses the waits: those of ``wiredrv.waits.anyio``, or in a synchronous call those of that call.

Asking costs a Python call and a look-up, which is little beside the wait itself. What each operation calls without
waiting (``running_loop``, ``current_task``) asks in place instead.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import ParamSpec, Protocol, Self, TypeVar, cast

from wiredrv.waits import anyio
from wiredrv.waits.interface import Listener, ThreadLoop, here

P = ParamSpec("P")
T = TypeVar("T")


class Event:
    """Wakes the tasks that wait for it. Made for the scheduler of its maker."""

    def __new__(cls) -> Event:
        call = here.call
        return cast(Event, anyio.Event() if call is None else call.event())

    def set(self) -> None:
        """Wake them. It stays set."""
        raise NotImplementedError

    def is_set(self) -> bool:
        """Whether it was set."""
        raise NotImplementedError

    async def wait(self) -> None:
        """Wait until it is set."""
        raise NotImplementedError


class CancelScope:
    """A block that can be cancelled. Made for the scheduler of its maker."""

    #: When it is cancelled, in seconds of the scheduler's clock.
    deadline: float

    def __new__(cls) -> CancelScope:
        call = here.call
        return cast(CancelScope, anyio.CancelScope() if call is None else call.cancel_scope())

    @property
    def cancel_called(self) -> bool:
        """Whether it was cancelled, or its deadline passed."""
        raise NotImplementedError

    @property
    def cancelled_caught(self) -> bool:
        """Whether a cancellation ended the block."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Cancel the waits in the block."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        raise NotImplementedError

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        raise NotImplementedError


class TaskGroup(Protocol):
    """Tasks that end with a block."""

    @property
    def cancel_scope(self) -> CancelScope:
        """Cancels all of them."""
        ...

    def start_soon(self, function: Callable[..., Awaitable[object]], *arguments: object, name: object = None) -> None:
        """Start a task."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None: ...


def move_on_after(seconds: float | None, shield: bool = False) -> CancelScope:
    """A block that is cancelled after ``seconds``; None sets no deadline."""
    call = here.call
    scope = anyio.move_on_after(seconds, shield) if call is None else call.cancel_scope(seconds, shield)
    return cast(CancelScope, scope)


def shield(seconds: float | None = None) -> CancelScope:
    """A scope that is shielded from outer cancellations, and cancelled itself after ``seconds``."""
    return move_on_after(seconds, shield=True)


def fail_after(seconds: float | None) -> AbstractContextManager[CancelScope]:
    """A block that is cancelled after ``seconds``, and raises TimeoutError then; None sets no deadline."""
    call = here.call
    return cast(
        "AbstractContextManager[CancelScope]",
        anyio.fail_after(seconds) if call is None else call.fail_after(seconds),
    )


def create_task_group() -> TaskGroup:
    """Tasks that end with a block, for ``async with``."""
    call = here.call
    return cast(TaskGroup, anyio.create_task_group() if call is None else call.task_group())


def sleep(seconds: float) -> Awaitable[None]:
    """Wait for some seconds."""
    call = here.call
    return anyio.sleep(seconds) if call is None else call.sleep(seconds)


def sleep_forever() -> Awaitable[None]:
    """Wait for a cancellation."""
    call = here.call
    return anyio.sleep_forever() if call is None else call.sleep(math.inf)


def checkpoint() -> Awaitable[None]:
    """Let other tasks run, and a cancellation arrive."""
    call = here.call
    return anyio.checkpoint() if call is None else call.checkpoint()


def writable(sock: socket.socket) -> Awaitable[None]:
    """Wait until a socket can be written to, or its connection is made."""
    call = here.call
    return anyio.writable(sock) if call is None else call.writable(sock)


async def addresses_of(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    """Look up a host name: the family and the address of each TCP endpoint.

    :raises OSError: the name cannot be resolved.
    :raises UnicodeError: it is not a valid name.
    """
    call = here.call
    if call is None:
        return await anyio.addresses_of(host, port)
    found = await call.to_thread(partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM))
    return [(family, (str(sockaddr[0]), port)) for family, _type, _protocol, _name, sockaddr in found]


async def run_shielded(work: Callable[[], Awaitable[None]], seconds: float) -> bool:
    """Await ``work``, shielded, for at most ``seconds``.

    asyncio cancels every task when a loop ends, in spite of shields: then ``work`` is called again. So it is after a
    Ctrl-C in a synchronous call.

    :returns: whether it was completed in time.
    """
    with shield(seconds) as scope:
        while True:
            try:
                await work()
                return True
            except BaseException as error:
                if scope.cancel_called or not isinstance(error, cancelled()):
                    raise
    return False


def seconds_left() -> float:
    """The seconds until the earliest deadline of the blocks around the caller; infinite without one."""
    call = here.call
    return anyio.seconds_left() if call is None else call.seconds_left()


def cancelled() -> type[BaseException]:
    """The class of the cancellation exception where the caller runs."""
    call = here.call
    return anyio.cancelled() if call is None else call.cancelled


def is_cancelling() -> bool:
    """Whether the running task is being cancelled: its next unshielded wait would raise, or one just did."""
    call = here.call
    return anyio.is_cancelling() if call is None else call.is_cancelling()


def forget_cancellation() -> bool:
    """Consider a cancellation of the running task as over, unless it is being handled. Returns whether none is."""
    call = here.call
    return anyio.forget_cancellation() if call is None else call.forget_cancellation()


def backend() -> str:
    """``"asyncio"``, ``"trio"`` or ``"threads"``."""
    return anyio.backend() if here.call is None else "threads"


def call_soon(loop: object, function: Callable[[], None]) -> bool:
    """Have a loop call ``function`` soon. May be called in any thread and by a finalizer. False if the loop is
    closed.
    """
    return loop.post(function) if isinstance(loop, ThreadLoop) else anyio.call_soon(loop, function)


def loop_is_closed(loop: object) -> bool | None:
    """Whether a loop was closed; None for trio's, which only its own tasks can know. A client's threads never are."""
    return False if isinstance(loop, ThreadLoop) else anyio.loop_is_closed(loop)


def spawn(
    function: Callable[..., Awaitable[None]],
    *arguments: object,
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
    call = here.call
    if call is not None:
        return call.spawn(function, arguments, name, done, inherit)
    return anyio.spawn(function, *arguments, name=name, done=done, inherit=inherit)


def to_thread(function: Callable[[], T]) -> Awaitable[T]:
    """Call a slow function in a worker thread. If the caller is cancelled, the thread runs to its end in the
    background. A synchronous call without a deadline calls it itself.
    """
    call = here.call
    return anyio.to_thread(function) if call is None else call.to_thread(function)


def user(function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Call a user's function: a hook, a callback. On an event loop that is a plain call; a synchronous call lets other
    threads use the client meanwhile.
    """
    call = here.call
    return function(*arguments, **options) if call is None else call.user(function, *arguments, **options)


def apart(function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Do long work on what belongs to one operation alone: a large document, a compressed message. On an event loop
    that is a plain call; a synchronous call lets other threads use the client meanwhile.
    """
    call = here.call
    return function(*arguments, **options) if call is None else call.user(function, *arguments, **options)


def deliver(listener: Listener, event: object) -> None:
    """Have a listener called with an event: now, or in a synchronous call before the next wait, in order."""
    call = here.call
    if call is None:
        listener(event)
    else:
        call.deliver(listener, event)
