"""Where recordings reach the executors of a process: those that exist, and those that are made meanwhile.

While nothing is recorded, executors have no recorder, and nothing of ``timeline`` is loaded.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from itertools import count
from typing import Protocol, TypeAlias

from wiredrv.connection.connection import Connection
from wiredrv.errors import DriverError
from wiredrv.execution.run import Run
from wiredrv.listeners import ListenerHub
from wiredrv.session.state import SessionState
from wiredrv.topology.topology import TopologyServer
from wiredrv.types import PlainDocument, Reply


class Recorder(Protocol):
    """Notes what one executor does. None of its methods may raise an error of its own, or wait."""

    async def exchange(
        self, connection: Connection, command: PlainDocument, run: Run[object], hub: ListenerHub
    ) -> Reply:
        """Note a round trip, and do it."""
        ...

    def failed(
        self,
        run: Run[object],
        error: DriverError,
        retried: bool,
        server: TopologyServer | None,
        connection: Connection | None,
    ) -> None:
        """An attempt failed; its labels are complete."""
        ...

    def cancelled(self, run: Run[object], error: BaseException) -> None:
        """An operation was cancelled."""
        ...

    def session_changed(self, session: SessionState) -> None:
        """A session has started or ended, or a transaction of it."""
        ...

    def stop(self) -> None:
        """Note nothing any longer."""
        ...


class Observable(Protocol):
    """An executor, as a recorder sees it."""

    @property
    def number(self) -> int:
        """The number of its client."""
        ...

    @property
    def hub(self) -> ListenerHub:
        """Where the events of its client are published."""
        ...

    def observe(self, recorder: Recorder | None) -> None:
        """Have a recorder note what is done from now on; None for no recorder."""
        ...


MakeRecorder: TypeAlias = Callable[[Observable], Recorder]

_lock = threading.RLock()
_executors: weakref.WeakSet[Observable] = weakref.WeakSet()
_make: MakeRecorder | None = None

#: The numbers of the clients of this process.
numbers = count(1)


def admit(executor: Observable) -> None:
    """A client was made: its executor is recorded if there is a recording, and later when one begins."""
    with _lock:
        _executors.add(executor)
        if _make is not None:
            executor.observe(_make(executor))


def start(make: MakeRecorder) -> None:
    """Give every executor a recorder, also those that are made from now on."""
    global _make
    with _lock:
        _make = make
        for executor in list(_executors):
            executor.observe(make(executor))


def stop() -> None:
    """Take the recorders away."""
    global _make
    with _lock:
        _make = None
        for executor in list(_executors):
            executor.observe(None)


def after_fork() -> None:
    """In a new process: another thread of the old one may have held the lock."""
    global _lock
    _lock = threading.RLock()
