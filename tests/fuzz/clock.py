"""Virtual time for both event loops: when every task waits, time jumps to the next event. Nothing really waits.

A wait that nothing can end is an error on asyncio (:class:`Stuck`) and a real hang on trio, which the runner's watchdog
ends; in practice a client's monitors always have something scheduled.

The driver reads the monotonic clock through a name that its modules import, so that name is replaced in each of them
during a run. Worker threads would take real time, so what the driver does in them is done directly instead. Session
ids are drawn from the seeded random numbers.
"""

from __future__ import annotations

import asyncio
import random
import selectors
import socket
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread

#: Raised for every name that is looked up: the hosts of an in-memory deployment never are.
_UNKNOWN = socket.gaierror(socket.EAI_NONAME, "no such host in this test")


class Stuck(BaseException):
    """Every task waits, and nothing is scheduled."""


class _Jumping(selectors.DefaultSelector):
    """Never waits: instead of waiting, it advances the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            raise Stuck("every task waits, and nothing is due")
        self.now += timeout
        return ready


class _Loop(asyncio.SelectorEventLoop):
    """asyncio's own loop, on virtual time."""

    def __init__(self) -> None:
        self._virtual = _Jumping()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def run(backend: str, function: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    """Run an asynchronous function to completion in virtual time, on ``asyncio`` or ``trio``."""
    if backend == "asyncio":
        loops: list[_Loop] = []

        def make() -> _Loop:
            loops.append(_Loop())
            return loops[0]

        with _replaced(lambda: loops[0].time()):
            return anyio.run(function, *arguments, backend="asyncio", backend_options={"loop_factory": make})
    import trio.testing

    clock = trio.testing.MockClock(autojump_threshold=0)
    with _replaced(lambda: clock.current_time()):
        return anyio.run(function, *arguments, backend="trio", backend_options={"clock": clock})


def make_repeatable(seed: str) -> None:
    """Make trio wake tasks in the same order each time; it shuffles them on purpose."""
    scheduling: Any = import_module("trio._core._run")
    scheduling._ALLOW_DETERMINISTIC_SCHEDULING = True
    scheduling._r.seed(seed)


@contextmanager
def _replaced(now: Callable[[], float]) -> Iterator[None]:
    undo: list[tuple[Any, str, Any]] = []

    def replace(owner: Any, name: str, value: Any) -> None:
        undo.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    for name, module in list(sys.modules.items()):
        if name.startswith("wiredrv") and getattr(module, "monotonic", None) is time.monotonic:
            replace(module, "monotonic", now)
    replace(uuid, "uuid4", lambda: uuid.UUID(int=random.getrandbits(128), version=4))
    replace(anyio, "getaddrinfo", _getaddrinfo)
    replace(anyio.to_thread, "run_sync", _run_sync)
    try:
        yield
    finally:
        for owner, name, value in reversed(undo):
            setattr(owner, name, value)


async def _getaddrinfo(host: str, port: int, **_: Any) -> Any:
    """The part of anyio's function before the query to the operating system, which knows none of these hosts."""
    await anyio.lowlevel.checkpoint()
    if not host.isascii():
        host.encode("idna")
    raise _UNKNOWN


async def _run_sync(function: Callable[..., Any], *arguments: Any, **_: Any) -> Any:
    await anyio.lowlevel.checkpoint()
    return function(*arguments)
