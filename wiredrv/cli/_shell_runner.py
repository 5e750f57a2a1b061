"""Runs code of ``wiredrv shell`` in an event loop of its own thread, and lets Ctrl-C end it.

Theory of operation: the main thread has the terminal and its signals. The event loop runs in another thread for as long
as the shell, so that the client keeps watching its servers while nothing is typed. Each piece of code is a task there;
the main thread waits for it. Ctrl-C cancels the task. Code that does not let the event loop run, as
a loop without ``await``, cannot be cancelled: a KeyboardInterrupt is raised in its thread, but only while that thread
runs the user's code, so that it never strikes the event loop itself.
"""

from __future__ import annotations

import ctypes
import inspect
import signal
import threading
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager, suppress
from types import CodeType, FrameType, FunctionType

import anyio
from anyio.from_thread import BlockingPortal

#: Seconds that a task has to end after it was cancelled, before its thread is interrupted.
_PATIENCE = 0.5


class Interrupted(Exception):
    """Ctrl-C ended the code."""


class Runner:
    """Runs code in the event loop of a portal.

    :param portal: of the event loop.
    :param names: the global names of the code.
    """

    def __init__(self, portal: BlockingPortal, names: dict[str, object]) -> None:
        self._portal = portal
        self.names = names
        self._lock = threading.Lock()
        #: The thread that runs the user's code at this moment.
        self._running: int | None = None

    def run(self, code: CodeType) -> object:
        """Run code that was compiled with top-level ``await``, and return what it evaluates to.

        :raises Interrupted: Ctrl-C ended it.
        :raises BaseException: what the code raised.
        """
        job = _Job()

        def interrupt(number: int, frame: FrameType | None) -> None:
            # In threads, since the event loop may be held up, and the main thread waits.
            for action in (self._cancel, self._strike):
                threading.Thread(target=action, args=(job,), name="wiredrv shell Ctrl-C", daemon=True).start()

        before = signal.signal(signal.SIGINT, interrupt)
        try:
            self._portal.start_task_soon(self._run, code, job)
            job.done.wait()
        finally:
            signal.signal(signal.SIGINT, before)
        if job.cancelled or isinstance(job.error, KeyboardInterrupt):
            raise Interrupted from None
        if job.error is not None:
            raise job.error
        return job.result

    async def _run(self, code: CodeType, job: _Job) -> None:
        job.begin()
        try:
            with job.scope as scope:
                with self._user_code():
                    result = FunctionType(code, self.names)()
                job.result = await _Steps(self, result) if inspect.iscoroutine(result) else result
            job.cancelled = scope.cancelled_caught
        except BaseException as error:
            # A KeyboardInterrupt or SystemExit would end the event loop.
            job.error = error
            if isinstance(error, anyio.get_cancelled_exc_class()):
                raise
        finally:
            job.done.set()

    @contextmanager
    def _user_code(self) -> Iterator[None]:
        """While the block runs, a KeyboardInterrupt may be raised in this thread; it is raised in the block."""
        self._running = threading.get_ident()
        try:
            yield
        finally:
            with self._lock:
                self._running = None

    def _cancel(self, job: _Job) -> None:
        with suppress(RuntimeError):  # the portal was closed meanwhile
            self._portal.call(job.cancel)

    def _strike(self, job: _Job) -> None:
        """Raise a KeyboardInterrupt in the thread of the event loop, if the user's code holds it up."""
        if job.done.wait(_PATIENCE):
            return
        with self._lock:
            if self._running is not None:
                thread, error = ctypes.c_ulong(self._running), ctypes.py_object(KeyboardInterrupt)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, error)


class _Job:
    """A piece of code that runs. Its methods are called in the event loop."""

    scope: anyio.CancelScope

    def __init__(self) -> None:
        self.done = threading.Event()
        self.cancelled = False
        self.result: object = None
        self.error: BaseException | None = None
        self._begun = self._unwanted = False

    def begin(self) -> None:
        """Make the scope that it runs in."""
        self.scope = anyio.CancelScope()
        self._begun = True
        if self._unwanted:
            self.scope.cancel()

    def cancel(self) -> None:
        """Cancel it, whether it runs already or not."""
        self._unwanted = True
        if self._begun:
            self.scope.cancel()


class _Steps:
    """Awaits a coroutine, and marks the time in which it runs, from one wait to the next."""

    def __init__(self, runner: Runner, coroutine: Coroutine[object, object, object]) -> None:
        self._runner = runner
        self._coroutine = coroutine

    def __await__(self) -> Generator[object, object, object]:
        send: Callable[[object], object] = self._coroutine.send
        argument: object = None
        while True:
            try:
                with self._runner._user_code():
                    waits_for = send(argument)
            except StopIteration as stop:
                return stop.value
            try:
                argument = yield waits_for
                send = self._coroutine.send
            except BaseException as error:
                argument, send = error, self._throw

    def _throw(self, error: object) -> object:
        assert isinstance(error, BaseException)
        return self._coroutine.throw(error)
