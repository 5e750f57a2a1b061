"""``with wiredrv.timeout(seconds):`` one time limit for all operations of a block.

A context variable carries it. Tasks that are started in the block inherit it, and are free of it once the block is
left.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from wiredrv.errors import ConfigurationError
from wiredrv.execution.time_limit import in_force
from wiredrv.operations.base import OperationKind
from wiredrv.types import FOREVER, TimeLimit
from wiredrv.waits import monotonic


class _Block:
    __slots__ = ("left", "limit", "outer")

    def __init__(self, limit: TimeLimit, outer: _Block | None) -> None:
        self.limit = limit
        self.outer = outer
        self.left = False


_innermost: ContextVar[_Block | None] = ContextVar("wiredrv_timeout", default=None)


class _Use:
    """Whether any block was ever entered: programs without one do not pay for the look-up."""

    __slots__ = ("begun",)

    def __init__(self) -> None:
        self.begun = False


use = _Use()


def current() -> TimeLimit | None:
    """The limit of the blocks around the caller; None outside of all."""
    block = _innermost.get()
    while block is not None and block.left:
        block = block.outer
    return None if block is None else block.limit


def leave_blocks() -> None:
    """Called first in a task that works for calls outside of the blocks in which it was started."""
    _innermost.set(None)


@contextmanager
def timeout(seconds: float | None) -> Generator[None, None, None]:
    """Limit the time of all operations in the block together; it works in every task that the block starts.

    ::

        with wiredrv.timeout(2):
            order = await orders.find_one({"_id": 7})
            await orders.update_one({"_id": 7}, {"$set": {"sent": True}})

    An operation that runs out of time raises an error whose ``timeout`` is True, and its connection is closed. The
    block takes the place of ``timeoutMS`` of the client, database or collection, and cannot lengthen anything else: a
    block within a block, a call with ``timeout_ms`` and the callback of ``with_transaction`` have the time that ends
    first. Aborting a transaction and closing a cursor have the whole time of the block, even when it is over.

    Client-side-operations-timeout specification.

    :param seconds: how many seconds; 0 sets no limit, as ``timeoutMS=0``. None leaves everything as it is.
    :returns: a context for ``with``.
    :raises ConfigurationError: it is not a number from 0 up.
    """
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds >= 0):
        raise ConfigurationError(f"timeout takes a number of seconds from 0 up, or None, not {seconds!r}")
    if seconds is None:
        yield
        return
    use.begun = True
    outer = _innermost.get()
    length = seconds if 0 < seconds < FOREVER else math.inf
    limit = TimeLimit(length, monotonic() + length)
    around = current()
    if around is not None and around.until is not None and around.until <= monotonic() + length:
        limit = around
    block = _Block(limit, outer)
    _innermost.set(block)
    try:
        yield
    finally:
        block.left = True
        # Not by a token: an asynchronous generator may be closed in another context than it was started in.
        if _innermost.get() is block:
            _innermost.set(outer)


def in_force_now(own: TimeLimit | None, kind: OperationKind = OperationKind.COMMAND) -> TimeLimit | None:
    """The limit of a call that begins now and sends several commands: its own or its handle's, and the block's."""
    if own is None and not use.begun:
        return None
    return in_force(own, None, current() if use.begun else None, kind, monotonic())
