"""Events, cancel scopes and task groups of synchronous calls (``wiredrv.waits.threads``).

Everything here runs while its client's lock is held; only :meth:`Gate.sleep` does not.
"""

from __future__ import annotations

import contextvars
import math
from _thread import allocate_lock
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from time import monotonic
from types import TracebackType
from typing import Protocol, Self

from wiredrv.waits.interface import Listener, ThreadLoop


class OwnedLock(Protocol):
    """A reentrant lock that knows its owner: ``threading.RLock``, with the method that ``Condition`` uses."""

    def acquire(self) -> bool:
        """Take it."""
        ...

    def release(self) -> None:
        """Release it."""
        ...

    def _is_owned(self) -> bool: ...


class Call(Protocol):
    """The part of a call that events, scopes and groups use."""

    scope: ThreadScope | None

    @property
    def loop(self) -> Loop:
        """The threads of its client."""
        ...

    def check(self) -> None:
        """Raise Cancelled if the call is cancelled."""
        ...

    def wait(
        self, sleep: Callable[[float | None], object], wake: Callable[[], None], seconds: float | None = None
    ) -> None:
        """Block the thread, unlocked."""
        ...

    def wake(self) -> None:
        """End the wait that the thread is in."""
        ...


class Loop(ThreadLoop):
    """The part of a client's threads that their calls use (``wiredrv.waits.threads.Threads``)."""

    #: Held while the driver's code runs.
    lock: OwnedLock
    #: The calls that wait within a scope.
    waiting: set[Call]
    #: What the listeners were not told yet, how many events there were, and how many of them they were told.
    events: deque[tuple[Listener, object]]
    queued: int
    delivered: int

    def deliver_until(self, number: int) -> None:
        """Deliver the events up to a number. Called without the lock."""
        raise NotImplementedError

    def start(
        self,
        function: Callable[[], Coroutine[object, None, None]],
        name: str,
        context: contextvars.Context,
        scope: ThreadScope | None = None,
    ) -> object:
        """Start a daemon thread that runs a coroutine of the driver. Called with the lock."""
        raise NotImplementedError

    def wake_within(self, scope: ThreadScope) -> None:
        """End the waits that a cancelled scope reaches."""
        raise NotImplementedError


class Cancelled(BaseException):
    """A wait of a synchronous call was cancelled: by ``scope``, or, if that is None, by a Ctrl-C."""

    def __init__(self, scope: ThreadScope | None = None) -> None:
        self.scope = scope


class Gate:
    """What one thread blocks on until another wakes it."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._lock.acquire()

    def sleep(self, seconds: float | None) -> None:
        """Block until :meth:`wake` is called, or was called before."""
        self._lock.acquire(True, -1 if seconds is None else seconds)

    def wake(self) -> None:
        """Wake the thread. May be called twice, and without the client's lock."""
        if self._lock.locked():
            try:
                self._lock.release()
            except RuntimeError:
                pass  # another thread was quicker


class ThreadEvent:
    """Wakes the threads that wait for it."""

    __slots__ = ("_call", "_gates", "_set")

    def __init__(self, current: Callable[[], Call]) -> None:
        self._call = current
        self._gates: list[Gate] = []
        self._set = False

    def set(self) -> None:
        """Wake them. It stays set."""
        self._set = True
        for gate in self._gates:
            gate.wake()

    def is_set(self) -> bool:
        """Whether it was set."""
        return self._set

    async def wait(self) -> None:
        """Wait until it is set."""
        call = self._call()
        call.check()
        while not self._set:
            gate = Gate()
            self._gates.append(gate)
            try:
                call.wait(gate.sleep, gate.wake)
            finally:
                self._gates.remove(gate)


class ThreadScope:
    """A block that can be cancelled, also by another thread, and may have a deadline on the monotonic clock."""

    __slots__ = ("_call", "_current", "cancel_called", "cancelled_caught", "deadline", "outer", "shield")

    def __init__(self, current: Callable[[], Call], seconds: float | None = None, shield: bool = False) -> None:
        self._current = current
        self._call: Call | None = None
        self.deadline = math.inf if seconds is None else monotonic() + seconds
        self.shield = shield
        self.outer: ThreadScope | None = None
        self.cancel_called = False
        self.cancelled_caught = False

    def cancel(self) -> None:
        """Cancel the waits in the block: those of its own thread, and those of a task group's threads."""
        self.cancel_called = True
        if self._call is not None:
            self._call.loop.wake_within(self)

    def cause(self) -> ThreadScope | None:
        """Which scope cancels the waits in this one, the outermost of several; None if none does."""
        found: ThreadScope | None = None
        scope: ThreadScope | None = self
        while scope is not None:
            if scope.cancel_called:
                found = scope
            elif scope.deadline != math.inf and monotonic() >= scope.deadline:
                scope.cancel_called = True
                found = scope
            scope = None if scope.shield else scope.outer
        return found

    def earliest(self) -> float:
        """The earliest deadline of the scopes that reach into this one."""
        found = self.deadline
        scope = self
        while not scope.shield and scope.outer is not None:
            scope = scope.outer
            found = min(found, scope.deadline)
        return found

    def is_within(self, other: ThreadScope) -> bool:
        """Whether a cancellation of ``other`` reaches into this scope."""
        scope: ThreadScope | None = self
        while scope is not None:
            if scope is other:
                return True
            scope = None if scope.shield else scope.outer
        return False

    def __enter__(self) -> Self:
        call = self._call = self._current()
        self.outer, call.scope = call.scope, self
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if self._call is not None:
            self._call.scope = self.outer
        if isinstance(exc, Cancelled) and exc.scope is self:
            self.cancelled_caught = True
        return self.cancelled_caught


class FailAfter(ThreadScope):
    """A block that raises TimeoutError when its deadline cancels it."""

    __slots__ = ()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        caught = super().__exit__(exc_type, exc, traceback)
        if caught and monotonic() >= self.deadline:
            raise TimeoutError
        return caught


class ThreadGroup:
    """Threads that end with a block. Where no thread can be started any longer, the block's end does their work."""

    def __init__(self, current: Callable[[], Call], loop: Loop) -> None:
        self.cancel_scope = ThreadScope(current)
        self._current = current
        self._loop = loop
        self._running = 0
        self._idle: ThreadEvent | None = None
        self._errors: list[BaseException] = []
        self._left_over: list[Callable[[], Awaitable[None]]] = []

    async def __aenter__(self) -> Self:
        self.cancel_scope.__enter__()
        return self

    def start_soon(self, function: Callable[..., Awaitable[object]], *arguments: object, name: object = None) -> None:
        """Start a thread."""

        async def run() -> None:
            try:
                await self._run(function, arguments)
            finally:
                self._running -= 1
                if not self._running and self._idle is not None:
                    self._idle.set()

        self._running += 1
        title = str(name or f"wiredrv {getattr(function, '__name__', 'task')}")
        try:
            self._loop.start(run, title, contextvars.copy_context(), self.cancel_scope)
        except RuntimeError:
            self._running -= 1
            self._left_over.append(lambda: self._run(function, arguments))

    async def _run(self, function: Callable[..., Awaitable[object]], arguments: tuple[object, ...]) -> None:
        try:
            await function(*arguments)
        except Cancelled as error:
            if error.scope is None:
                raise
        except BaseException as error:
            self._errors.append(error)
            self.cancel_scope.cancel()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        if exc is not None:
            self.cancel_scope.cancel()
            if not isinstance(exc, Cancelled):
                self._errors.append(exc)
        try:
            for work in self._left_over:
                await work()
            await self._children()
        except Cancelled as error:
            self.cancel_scope.cancel()
            exc = exc or error
            with ThreadScope(self._current, shield=True):
                await self._children()
        swallowed = self.cancel_scope.__exit__(None if exc is None else type(exc), exc, traceback)
        if self._errors:
            raise BaseExceptionGroup("unhandled errors in a task group", self._errors)
        if exc is not None and not swallowed and exc_type is None:
            raise exc
        return swallowed

    async def _children(self) -> None:
        if self._running:
            self._idle = ThreadEvent(self._current)
            await self._idle.wait()
