"""What both implementations of the waits have in common, and which of the two serves the caller.

``here.call`` is the synchronous call that the running thread is in, an object of ``wiredrv.waits.threads``; None
elsewhere, and then the waits are those of an event loop (``wiredrv.waits.anyio``). The call itself is the second
implementation, so that a program without synchronous clients never loads it.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, Protocol, TypeAlias, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
Listener: TypeAlias = Callable[[Any], object]


class ThreadLoop:
    """What stands in the place of an event loop for a synchronous client: its threads."""

    __slots__ = ()

    def post(self, function: Callable[[], None]) -> bool:
        """Have one of the threads call ``function`` soon. False if there is none."""
        raise NotImplementedError


class AnyCall(Protocol):
    """A synchronous call: the waits of the coroutine that it drives. Each does what the function of its name does."""

    @property
    def loop(self) -> ThreadLoop:
        """The threads of its client."""
        ...

    @property
    def cancelled(self) -> type[BaseException]:
        """The class of a cancellation."""
        ...

    def event(self) -> object:
        """A new event."""
        ...

    def cancel_scope(self, seconds: float | None = None, shield: bool = False) -> object:
        """A new scope; with a deadline, in seconds from now."""
        ...

    def fail_after(self, seconds: float | None) -> object:
        """A block that raises TimeoutError when its deadline cancels it."""
        ...

    def task_group(self) -> object:
        """A new group of threads."""
        ...

    def is_cancelling(self) -> bool:
        """Whether the call is being cancelled."""
        ...

    def forget_cancellation(self) -> bool:
        """Consider a cancellation as over, unless it is being handled."""
        ...

    def seconds_left(self) -> float:
        """The seconds until the earliest deadline; infinite without one."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for some seconds."""
        ...

    async def checkpoint(self) -> None:
        """Let other threads run."""
        ...

    async def writable(self, sock: socket.socket) -> None:
        """Wait until a socket can be written to, or its connection is made."""
        ...

    async def to_thread(self, function: Callable[[], T]) -> T:
        """Call a slow function."""
        ...

    def spawn(
        self,
        function: Callable[..., Awaitable[None]],
        arguments: tuple[object, ...],
        name: str,
        done: Callable[[], None],
        inherit: bool,
    ) -> object:
        """Start a separate thread."""
        ...

    def user(self, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Call a user's function, unlocked."""
        ...

    def deliver(self, listener: Listener, event: object) -> None:
        """Have a listener called with an event, at the next unlocked point."""
        ...


class _Here(threading.local):
    """What the running thread is in."""

    #: The synchronous call, if it is in one, and not in a user's function that the call has called.
    call: AnyCall | None = None


here = _Here()
