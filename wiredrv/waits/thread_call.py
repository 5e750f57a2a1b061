"""One synchronous call: what each of the waits does in it. The second implementation of the waits (``threads``)."""

from __future__ import annotations

import contextvars
import math
import select
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import NoReturn, ParamSpec, TypeVar, cast

from wiredrv.waits.interface import Listener, here
from wiredrv.waits.thread_blocks import Cancelled, FailAfter, Gate, Loop, ThreadEvent, ThreadGroup, ThreadScope

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds that a wait for a connection to be made lasts at a time: not every system ends it by ``shutdown``.
_CONNECTING_SLICE = 0.25


def current() -> Call:
    """The synchronous call that the running thread is in."""
    return cast(Call, here.call)


def socket_waiter(sock: socket.socket, *, write: bool = False) -> Callable[[float | None], object]:
    """What blocks until a socket is readable, or writable, for some seconds at most."""
    if not hasattr(select, "poll"):
        read, written = ([], [sock]) if write else ([sock], [])
        # Windows reports a connection that failed among the exceptional conditions.
        return lambda seconds: select.select(read, written, written, seconds)
    poll = select.poll()
    poll.register(sock, select.POLLOUT if write else select.POLLIN)
    return lambda seconds: poll.poll(None if seconds is None else math.ceil(seconds * 1000))


class Call:
    """One synchronous call, or the whole run of a background thread. The second implementation of the waits."""

    __slots__ = ("_told", "_wake", "interrupt", "loop", "scope", "seen")

    cancelled = Cancelled

    def __init__(self, loop: Loop, scope: ThreadScope | None = None) -> None:
        self.loop = loop
        #: The innermost scope around the code that runs.
        self.scope = scope
        #: What a signal handler raised during a wait, and whether the coroutine was told.
        self.interrupt: BaseException | None = None
        self._told = False
        #: Ends the wait that this thread is in.
        self._wake: Callable[[], None] | None = None
        #: The number of the last event that this call has queued.
        self.seen = 0

    # --- waiting ---

    def check(self) -> None:
        """Raise if the call is cancelled.

        :raises Cancelled: it is.
        """
        if self.interrupt is not None and not self._told:
            self._told = True
            raise Cancelled from self.interrupt
        if self.scope is not None:
            cause = self.scope.cause()
            if cause is not None:
                raise Cancelled(cause)

    def wait(
        self, sleep: Callable[[float | None], object], wake: Callable[[], None], seconds: float | None = None
    ) -> None:
        """Block this thread, unlocked, until ``sleep`` returns: woken, after ``seconds``, or at the deadline.

        :param sleep: blocks for at most the seconds that it is given.
        :param wake: ends that, from another thread.
        :raises Cancelled: by a scope, or by a signal handler that raised something.
        """
        scope = self.scope
        if scope is None:
            self._blocked(sleep, seconds)
        else:
            self.check()
            deadline = scope.earliest()
            if deadline != math.inf:
                left = max(deadline - monotonic(), 0.0)
                seconds = left if seconds is None else min(left, seconds)
            self._wake = wake
            self.loop.waiting.add(self)
            try:
                self._blocked(sleep, seconds)
            finally:
                self._wake = None
                self.loop.waiting.discard(self)
        self.check()

    def _blocked(self, sleep: Callable[[float | None], object], seconds: float | None) -> None:
        # As `unlocked`, which this would only call: every operation waits.
        loop = self.loop
        try:
            here.call = None
            loop.lock.release()
            if self.seen > loop.delivered:
                loop.deliver_until(self.seen)
            sleep(seconds)
        except (OSError, ValueError):
            raise
        except BaseException as error:
            self.interrupt, self._told = error, True
            raise Cancelled from error
        finally:
            while True:
                try:
                    if not loop.lock._is_owned():
                        loop.lock.acquire()
                    here.call = self
                    break
                except BaseException as error:
                    self.interrupt = error

    def unlocked(self, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Call a function while the lock is released. Events that this call has queued are delivered first."""
        loop = self.loop
        try:
            here.call = None
            loop.lock.release()
            if self.seen > loop.delivered:
                loop.deliver_until(self.seen)
            return function(*arguments, **options)
        finally:
            # Whatever strikes meanwhile: the code that goes on from here relies on the lock.
            while True:
                try:
                    if not loop.lock._is_owned():
                        loop.lock.acquire()
                    here.call = self
                    break
                except BaseException as error:
                    self.interrupt = error

    def wake(self) -> None:
        """End the wait that this thread is in."""
        if self._wake is not None:
            self._wake()

    # --- the waits ---

    def event(self) -> ThreadEvent:
        """A new event."""
        return ThreadEvent(current)

    def cancel_scope(self, seconds: float | None = None, shield: bool = False) -> ThreadScope:
        """A new scope; with a deadline, in seconds from now."""
        return ThreadScope(current, seconds, shield)

    def fail_after(self, seconds: float | None) -> FailAfter:
        """A block that raises TimeoutError when its deadline cancels it."""
        return FailAfter(current, seconds)

    def task_group(self) -> ThreadGroup:
        """A new group of threads."""
        return ThreadGroup(current, self.loop)

    def is_cancelling(self) -> bool:
        """Whether the call is being cancelled, or an interrupt is being handled, perhaps by the caller's block."""
        return (self.scope is not None and self.scope.cause() is not None) or not self.forget_cancellation()

    def forget_cancellation(self) -> bool:
        """Whether no cancellation is being handled."""
        error = sys.exception()
        return error is None or isinstance(error, (Exception, GeneratorExit))

    def seconds_left(self) -> float:
        """The seconds until the earliest deadline; infinite without one."""
        if self.scope is None:
            return math.inf
        return -math.inf if self.scope.cause() is not None else self.scope.earliest() - monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for some seconds."""
        gate = Gate()
        until = monotonic() + seconds
        self.check()
        while True:
            left = until - monotonic()
            if left <= 0:
                await self.checkpoint()
                return
            self.wait(gate.sleep, gate.wake, None if left == math.inf else min(left, threading.TIMEOUT_MAX))

    async def checkpoint(self) -> None:
        """Let other threads run."""
        self.check()
        self.unlocked(_nothing)
        self.check()

    async def writable(self, sock: socket.socket) -> None:
        """Wait until a socket can be written to, or its connection is made."""
        block = socket_waiter(sock, write=True)
        found: list[object] = []

        def sleep(seconds: float | None) -> None:
            found[:] = [block(_CONNECTING_SLICE if seconds is None else min(seconds, _CONNECTING_SLICE))]

        while not any(found):
            self.wait(sleep, lambda: shut_down(sock))

    async def to_thread(self, function: Callable[[], T]) -> T:
        """Call a slow function: in this thread, or where there is a deadline, in another one."""
        self.check()
        if self.scope is None or self.scope.earliest() == math.inf:
            return self._outside(function)
        gate = Gate()
        outcome: list[Callable[[], T]] = []

        def work() -> None:
            try:
                result = function()
                outcome.append(lambda: result)
            except BaseException as error:
                outcome.append(_raiser(error))
            gate.wake()

        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(work,), name="wiredrv worker", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is ending
            return self._outside(function)
        while not outcome:
            self.wait(gate.sleep, gate.wake)
        return outcome[0]()

    def _outside(self, function: Callable[[], T]) -> T:
        try:
            return self.unlocked(function)
        except Exception:
            raise
        except BaseException as error:
            self.interrupt, self._told = error, True
            raise Cancelled from error

    def spawn(
        self,
        function: Callable[..., Awaitable[None]],
        arguments: tuple[object, ...],
        name: str,
        done: Callable[[], None],
        inherit: bool,
    ) -> object:
        """Start a separate thread."""

        async def run() -> None:
            try:
                await function(*arguments)
            finally:
                done()

        return self.loop.start(run, name, contextvars.copy_context() if inherit else contextvars.Context())

    def user(self, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Call a user's function, unlocked."""
        return self.unlocked(function, *arguments, **options)

    def deliver(self, listener: Listener, event: object) -> None:
        """Have a listener called with an event, when the lock is next released."""
        loop = self.loop
        loop.queued += 1
        self.seen = loop.queued
        loop.events.append((listener, event))

    def deliver_now(self) -> None:
        """Deliver what this call has queued: before it sends."""
        if self.seen > self.loop.delivered:
            self.unlocked(_nothing)


def shut_down(sock: socket.socket) -> None:
    """Wake a thread that waits for a socket. That thread closes it."""
    try:
        sock.shutdown(2)  # both directions
    except OSError:
        pass  # it is not connected, or closed


def _nothing() -> None:
    pass


def _raiser(error: BaseException) -> Callable[[], NoReturn]:
    def fail() -> NoReturn:
        raise error

    return fail
