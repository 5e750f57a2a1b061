"""The waits of synchronous clients: a call drives its coroutine in the calling thread, and a wait blocks that thread.

Theory of operation: the driver's coroutines are the same as on an event loop. Here none of them is ever suspended: what
they await blocks the thread inside of the ``await``, and returns. One lock for each client (:class:`Threads`) is held
while their code runs, and released in every wait, so that everything between two awaits is as atomic as on an event
loop. A client's background tasks are daemon threads that do the same.

Rules kept here:

* Code of users never runs while the lock is held: it is called through :meth:`Call.user`, and events are queued, and
  delivered in order, by one thread at a time, when their thread next releases the lock: before it waits, before it
  sends, and when its call ends. What the driver logs is queued with them: handlers may take locks or use the client.
* A thread waits for the delivery of its events for a second at most, and then goes on: the thread that delivers may be
  waiting for a lock that this one holds, such as that of a handler of ``logging`` that writes to the database.
* A wait ends at the earliest deadline of the scopes around it. A scope that another thread cancels wakes the waits in
  it: those for a socket by ``shutdown``, which the waiting thread itself follows with ``close``.
* What a signal handler raises during a wait (a Ctrl-C, mostly) is a cancellation for the driver, which cleans up within
  the same budget as on an event loop; the call then raises what the handler raised.
* A thread that holds the lock and calls the client again (from a signal handler, a finalizer, a decoder of values)
  would wait for itself: it is refused.
* After a fork the child's locks are new, and its threads are started by the first call.
"""

from __future__ import annotations

import contextvars
import itertools
import logging
import os
import threading
import weakref
from _thread import allocate_lock, get_ident
from collections import deque
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import ParamSpec, TypeVar, cast

from wiredrv.waits.interface import Listener, here
from wiredrv.waits.thread_blocks import Call as WaitingCall
from wiredrv.waits.thread_blocks import Cancelled, Loop, OwnedLock, ThreadScope
from wiredrv.waits.thread_call import Call

P = ParamSpec("P")
T = TypeVar("T")

_EVENTS = logging.getLogger("wiredrv.events")
_LOG = logging.getLogger("wiredrv.client")

#: The loggers that the driver logs to in the middle of a call. Python's is for warnings that are captured.
LOGGERS = (
    "py.warnings",
    "wiredrv.client",
    "wiredrv.events",
    "wiredrv.gridfs",
    "wiredrv.local",
    "wiredrv.session",
    "wiredrv.timeline",
    "wiredrv.topology",
    "wiredrv.tracing",
)

#: Seconds that a thread waits while another one delivers events.
DELIVERY_PATIENCE = 1.0


def _new_lock() -> OwnedLock:
    return cast(OwnedLock, threading.RLock())


class Threads(Loop):
    """The threads of one synchronous client, of which one runs the driver's code at a time.

    :param refusal: makes the error for a thread that calls the client while it holds the lock.
    :param reword: is given each error that a call raises, before it is raised.
    """

    def __init__(self, refusal: Callable[[], Exception], reword: Callable[[Exception], None] | None = None) -> None:
        self._refusal = refusal
        self._reword = reword
        #: Puts right what an exception has left that struck in the middle of the driver's code.
        self.repair: Callable[[BaseException], None] | None = None
        #: Whether no thread may be started any longer, because the interpreter ends.
        self.is_ending = False
        self.number = next(_numbers)
        self._renew()
        _all.add(self)

    def _renew(self) -> None:
        self.lock = _new_lock()
        self.waiting: set[WaitingCall] = set()
        self.events: deque[tuple[Listener, object]] = deque()
        self.queued = self.delivered = 0
        self._delivery = allocate_lock()
        self._deliverer: int | None = None
        self._promised = 0
        self._running = 0
        # Its methods may be called by finalizers, whatever they interrupt.
        self._posts: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    # --- calls ---

    def run(self, coroutine: Coroutine[object, None, T], scope: ThreadScope | None = None) -> T:
        """Run a coroutine of the driver in this thread.

        :param scope: the task group's, in one of its threads.
        """
        if self.lock._is_owned():
            coroutine.close()
            raise self._refusal()
        call = Call(self, scope)
        outer = here.call
        try:
            self.lock.acquire()
            here.call = call
            coroutine.send(None)
            raise RuntimeError("a coroutine of the driver waited for something that is not one of its waits")
        except StopIteration as stop:
            result: T = stop.value
        except Cancelled as error:
            if call.interrupt is not None:
                raise call.interrupt from None
            raise error
        except Exception as error:
            if self._reword is not None:
                self._reword(error)
            raise
        except BaseException as error:
            if self.repair is not None and self.lock._is_owned():
                self.repair(error)
            raise
        finally:
            while True:  # whatever strikes meanwhile
                try:
                    here.call = outer
                    if self.lock._is_owned():
                        self.lock.release()
                    break
                except BaseException as error:
                    call.interrupt = error
            coroutine.close()
            if call.seen > self.delivered:
                self.deliver_until(call.seen)
        if call.interrupt is not None:
            raise call.interrupt
        return result

    def call(self, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Call a function of the driver that waits for nothing."""

        async def run() -> T:
            return function(*arguments, **options)

        return self.run(run())

    # --- events ---

    def deliver_until(self, number: int) -> None:
        """Deliver the events up to a number, or wait until another thread has. Called without the lock."""
        me = get_ident()
        if self._deliverer == me:
            # A listener uses the client: what that causes comes after the event that it has now.
            self._promised = max(self._promised, number)
            return
        # A thread that is delivering already includes these, also if this one stops waiting for it.
        self._promised = max(self._promised, number)
        if not self._delivery.acquire(timeout=DELIVERY_PATIENCE):
            return
        try:
            self._deliverer = me
            try:
                while self.delivered < self._promised and self.events:
                    listener, event = self.events.popleft()
                    try:
                        listener(event)
                    except Exception:
                        _EVENTS.exception("an event listener failed on %s", type(event).__name__)
                    finally:
                        self.delivered += 1
            finally:
                self._deliverer = None
        finally:
            self._delivery.release()

    # --- threads ---

    def start(
        self,
        function: Callable[[], Coroutine[object, None, None]],
        name: str,
        context: contextvars.Context,
        scope: ThreadScope | None = None,
    ) -> threading.Thread:
        """Start a daemon thread that runs a coroutine of the driver. Called with the lock.

        :raises RuntimeError: no thread can be started any longer.
        """
        if self.is_ending:
            raise RuntimeError("no thread is started while the interpreter ends")
        thread = threading.Thread(target=context.run, args=(self._main, function, scope), name=name, daemon=True)
        if not self._running:
            serving = threading.Thread(target=self._serve, args=(self._posts,), name="wiredrv calls", daemon=True)
            serving.start()
        self._running += 1
        try:
            thread.start()
        except RuntimeError:
            self._ended()
            raise
        return thread

    def _main(self, function: Callable[[], Coroutine[object, None, None]], scope: ThreadScope | None) -> None:
        try:
            self.run(function(), scope)
        except BaseException:
            _LOG.exception("a background thread of a client failed")
        finally:
            self.lock.acquire()
            try:
                self._ended()
            finally:
                self.lock.release()

    def _ended(self) -> None:
        self._running -= 1
        if not self._running:
            self._posts.put(None)

    def post(self, function: Callable[[], None]) -> bool:
        """Have one of the threads call ``function`` soon. False if there is none."""
        if not self._running:
            return False
        self._posts.put(function)
        return True

    def _serve(self, posts: SimpleQueue[Callable[[], None] | None]) -> None:
        while (function := posts.get()) is not None:
            try:
                self.call(function)
            except Exception:
                _LOG.exception("a client could not clean up after an object that was not closed")

    def wake_within(self, scope: ThreadScope) -> None:
        """End the waits that a cancelled scope reaches."""
        for call in list(self.waiting):
            if call.scope is not None and call.scope.is_within(scope):
                call.wake()

    # --- fork ---

    def hold(self) -> bool:
        """Before a fork: take the lock, so that no thread is in the middle of anything. False if this thread has it."""
        if self.lock._is_owned():
            return False
        self.lock.acquire()
        return True

    def after_fork(self) -> None:
        """In the child: none of the threads exists here, and they may have held the locks."""
        self._renew()


_numbers = itertools.count()


class _Queued(logging.Filter):
    """Has what is logged in the middle of a call handled when the lock is next released."""

    def filter(self, record: logging.LogRecord) -> bool:
        call = here.call
        if call is None:
            return True
        call.deliver(logging.getLogger(record.name).callHandlers, record)
        return False


for _name in LOGGERS:
    logging.getLogger(_name).addFilter(_Queued())

_all: weakref.WeakSet[Threads] = weakref.WeakSet()
#: Whose lock each thread that is about to fork holds: several threads may fork at once.
_held: dict[int, list[Threads]] = {}


def _in_order() -> list[Threads]:
    """All of them, always in the same order: otherwise two threads that fork could wait for each other's locks."""
    while True:
        try:
            return sorted(_all, key=lambda threads: threads.number)
        except RuntimeError:  # another thread has made a client meanwhile, which changed the set
            continue


def _before_fork() -> None:
    held = _held[get_ident()] = []
    held.extend(threads for threads in _in_order() if threads.hold())


def _after_fork_in_parent() -> None:
    for threads in _held.pop(get_ident(), ()):
        threads.lock.release()


def _after_fork_in_child() -> None:
    _held.clear()
    for threads in _in_order():
        threads.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
