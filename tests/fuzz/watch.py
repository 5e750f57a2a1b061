"""What a case may leak, and where to look for it: logs, warnings, finalizers, pools, sessions, tasks."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import wiredrv
from wiredrv import _introspect
from wiredrv.errors import DriverError
from wiredrv.session.server_session import ServerSession, ServerSessionPool

#: Receives a problem: a line that names its kind, and everything known about it.
Report = Callable[[str, str], None]

#: How many elements of a list that a call returned are inspected.
_SAMPLE = 10


def where(error: BaseException) -> str:
    """The class of an exception and the innermost line of the driver in its traceback."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/wiredrv/" in frame.filename]
    if not frames:
        return type(error).__name__
    last = frames[-1]
    return f"{type(error).__name__} in {last.filename.rpartition('/wiredrv/')[2]}, {last.name}: {last.line}"


def trace(error: BaseException) -> str:
    """The whole traceback."""
    return "".join(traceback.format_exception(error))


class _Handler(logging.Handler):
    def __init__(self, report: Report) -> None:
        super().__init__()
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno < logging.ERROR:
            return
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            self._report(f"logged: {record.msg}", text)
        else:
            self._report(f"logged: {record.msg}: {where(error)}", f"{text}\n{trace(error)}")


@contextmanager
def watching(report: Report) -> Iterator[Sessions]:
    """Report errors in logs and finalizers, and ResourceWarnings; yields the server sessions that are in use."""
    logger = logging.getLogger("wiredrv")
    handler = _Handler(report)
    logger.addHandler(handler)
    propagated, logger.propagate = logger.propagate, False
    hook, sys.unraisablehook = sys.unraisablehook, _unraisable(report)
    try:
        with warnings.catch_warnings(), Sessions().counting() as sessions:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", ResourceWarning)
            warnings.showwarning = _shown(report)
            yield sessions
    finally:
        sys.unraisablehook = hook
        logger.propagate = propagated
        logger.removeHandler(handler)


def _unraisable(report: Report) -> Callable[[Any], None]:
    def hook(found: Any) -> None:
        report(f"in a finalizer: {where(found.exc_value)}", f"{found.object!r}\n{trace(found.exc_value)}")

    return hook


def _shown(report: Report) -> Callable[..., None]:
    def show(message: Warning | str, category: type[Warning], filename: str, line: int, *_: Any) -> None:
        report(f"{category.__name__}: {str(message)[:60]}", f"{filename}:{line}: {message}")

    return show


class Sessions:
    """The server sessions that were taken from a pool and not returned."""

    def __init__(self) -> None:
        self._out: list[ServerSession] = []

    def clear(self) -> None:
        """Start over."""
        self._out.clear()

    @contextmanager
    def counting(self) -> Iterator[Sessions]:
        """Count while the block runs."""
        acquire, release = ServerSessionPool.acquire, ServerSessionPool.release

        def acquired(pool: ServerSessionPool, *arguments: Any) -> ServerSession:
            session = acquire(pool, *arguments)
            self._out.append(session)
            return session

        def released(pool: ServerSessionPool, session: ServerSession, *arguments: Any) -> None:
            self._out = [known for known in self._out if known is not session]
            release(pool, session, *arguments)

        pools: Any = ServerSessionPool
        pools.acquire, pools.release = acquired, released
        try:
            yield self
        finally:
            pools.acquire, pools.release = acquire, release

    def in_use(self) -> int:
        """How many are in use. A dirty one may be dropped: it would not be pooled anyway."""
        return sum(not session.dirty for session in self._out)


def watch_loop(report: Report) -> None:
    """Make asyncio report errors that were never awaited."""
    loop = asyncio._get_running_loop()
    if loop is None:
        return

    def handle(_loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        what = where(error) if error is not None else ""
        report(f"in the event loop: {context.get('message')}: {what}", trace(error) if error else repr(context))

    loop.set_exception_handler(handle)


def inspected(value: Any, report: Report) -> None:
    """Read all public properties of a value that a call returned or raised: they must not raise foreign exceptions."""
    if isinstance(value, (list, tuple)):
        for inner in value[:_SAMPLE]:
            inspected(inner, report)
        return
    if not type(value).__module__.startswith("wiredrv"):
        return
    names = [name for kind in type(value).__mro__ for name, found in vars(kind).items() if isinstance(found, property)]
    reads: dict[str, Callable[[Any], Any]] = {"repr": repr, "str": str, **{name: attrgetter(name) for name in names}}
    for name, read in reads.items():
        try:
            read(value)
        except DriverError:
            pass
        except Exception as error:
            report(f"{type(value).__name__}.{name} raised {where(error)}", trace(error))


def left_behind(client: wiredrv.Client, sessions: Sessions) -> str:
    """What is still in use; empty if nothing is."""
    core = client._core
    found = []
    if connections := _introspect.checked_out(client):
        found.append(f"{connections} connections checked out")
    if out := sessions.in_use():
        found.append(f"{out} server sessions in use")
    if operations := sum(server.operations for server in core.topology.servers.values()):
        found.append(f"{operations} operations counted as running")
    return ", ".join(found)


def tasks() -> int:
    """The number of tasks in the running event loop."""
    if asyncio._get_running_loop() is not None:
        return len(asyncio.all_tasks())
    import trio

    return trio.lowlevel.current_statistics().tasks_living
