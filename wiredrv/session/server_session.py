"""Server sessions and their pool. Sessions specification, "Server Session Pool".

Rules kept here:

* LIFO: the session that was used last is used next, so that the others expire and the server can drop them.
* A session with less than a minute left is neither used nor pooled.
* A session that had a network error is dirty and never pooled: its last operation may still be running.
* A session of another pool epoch (before a fork, or before the client was closed) is dropped.
"""

from __future__ import annotations

import uuid
from collections import deque

from bson.binary import Binary

from wiredrv.types import PlainDocument

_MARGIN_SECONDS = 60.0


class ServerSession:
    """One ``lsid`` with its transaction number. ``last_use`` is in seconds on the monotonic clock.

    ``settling`` counts the clean-ups in progress, during which it must not be pooled; ``returned``: it was released
    meanwhile.
    """

    __slots__ = ("dirty", "epoch", "last_use", "lsid", "returned", "settling", "txn_number")

    def __init__(self, now: float, epoch: int = 0) -> None:
        self.lsid: PlainDocument = {"id": Binary(uuid.uuid4().bytes, 4)}
        self.txn_number = 0
        self.last_use = now
        self.dirty = False
        self.settling = 0
        self.returned = False
        self.epoch = epoch

    def next_txn_number(self) -> int:
        """Return the number of a new transaction or retryable write: the last one plus one."""
        self.txn_number += 1
        return self.txn_number

    def expires_soon(self, now: float, timeout_minutes: int | None) -> bool:
        """Whether less than a minute is left. ``timeout_minutes`` is the deployment's; None if it has no limit."""
        return timeout_minutes is not None and now - self.last_use >= timeout_minutes * 60 - _MARGIN_SECONDS


class ServerSessionPool:
    """The server sessions of one client that are not in use."""

    __slots__ = ("_idle", "epoch")

    def __init__(self) -> None:
        self._idle: deque[ServerSession] = deque()
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._idle)

    def acquire(self, now: float, timeout_minutes: int | None) -> ServerSession:
        """Take the session used last, or a new one."""
        idle = self._idle
        while idle:
            session = idle.popleft()
            if not session.expires_soon(now, timeout_minutes):
                return session
        return ServerSession(now, self.epoch)

    def release(self, session: ServerSession, now: float, timeout_minutes: int | None) -> None:
        """Pool a session, unless it is dirty, about to expire, of another epoch, or still being cleaned up."""
        if session.settling:
            session.returned = True
            return
        idle = self._idle
        while idle and idle[-1].expires_soon(now, timeout_minutes):
            idle.pop()
        if not session.dirty and session.epoch == self.epoch and not session.expires_soon(now, timeout_minutes):
            idle.appendleft(session)

    def settled(self, session: ServerSession, now: float, timeout_minutes: int | None) -> None:
        """A clean-up in a session is done: pool the session if it was released and no other clean-up is in progress."""
        session.settling -= 1
        if session.returned and not session.settling:
            session.returned = False
            self.release(session, now, timeout_minutes)

    def drain(self) -> list[PlainDocument]:
        """Empty the pool and return the ids of its sessions, for ``endSessions``."""
        ids = [session.lsid for session in self._idle]
        self._idle.clear()
        return ids

    def forget(self) -> None:
        """Drop all sessions, also those in use, without sending anything: after a fork the parent still uses them."""
        self._idle.clear()
        self.epoch += 1
