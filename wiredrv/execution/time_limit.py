"""The time limit of one operation: which one applies, what is left of it, and what it was spent on. Pure.

Client-side-operations-timeout specification. A limit is set in up to three places, and :func:`in_force` combines them:

==============================  =======================================================================================
``timeout_ms`` of the call      counts from the call on. Refused in the callback of ``with_transaction``
``timeoutMS`` of the handle     likewise, unless the call has its own, or runs in one of the two below
``with_transaction``            one limit for the whole; what its callback does has the time that is left
``with wiredrv.timeout(...)``   replaces that of the handle. It can only shorten the others
==============================  =======================================================================================

What cleans up (an abort, killCursors) starts with the whole limit again ("Convenient Transactions API", "Cursors").
"""

from __future__ import annotations

import math
from dataclasses import replace
from enum import Enum

from wiredrv.errors import ConfigurationError, DriverError
from wiredrv.operations.base import OperationKind
from wiredrv.types import TimeLimit

_CLEANS_UP = frozenset({OperationKind.ABORT, OperationKind.HOUSEKEEPING})


def in_force(
    own: TimeLimit | None, session: TimeLimit | None, block: TimeLimit | None, kind: OperationKind, now: float
) -> TimeLimit | None:
    """The limit of an operation that begins ``now``, with the time at which it ends; None if it has none.

    :param own: that of the call or of its handle.
    :param session: that of the ``with_transaction`` that the operation's session is in.
    :param block: that of the innermost ``wiredrv.timeout``.
    :raises ConfigurationError: ``timeout_ms`` was given to a call in the callback of ``with_transaction``.
    """
    if kind in _CLEANS_UP:
        found = block if own is None else own
        return None if found is None else found.restarted(now)
    if session is not None and kind is not OperationKind.COMMIT:
        if own is not None and own.of_call:
            raise ConfigurationError(
                "timeout_ms cannot be given to a call in the callback of with_transaction, which has a time limit as "
                "a whole: use `with wiredrv.timeout(seconds):` to shorten it for some calls"
            )
        own = session if own is None else replace(session, on_server=own.on_server)
    if block is None:
        return None if own is None else own.started(now)
    if own is None or (own.until is None and not own.of_call):
        return block if own is None else replace(block, on_server=own.on_server)
    return earlier(own.started(now), block)


def earlier(first: TimeLimit, second: TimeLimit) -> TimeLimit:
    """The one of two limits that ends first; both have started."""
    assert first.until is not None
    assert second.until is not None
    return first if first.until <= second.until else replace(second, on_server=first.on_server)


class Phase(Enum):
    """What an operation with a time limit does."""

    #: Earlier commands of the same call or block, and other operations of the session.
    BEFORE = "what came before"
    SELECTION = "server selection"
    CHECK_OUT = "waiting for a connection"
    SERVER = "the server"
    PAUSE = "pauses between attempts"


class TimeSpent:
    """How one operation has used its time limit so far."""

    __slots__ = ("_phase", "_since", "_spent", "attempts", "limit")

    def __init__(self, limit: TimeLimit) -> None:
        self.limit = limit
        #: How often its command was sent.
        self.attempts = 0
        self._phase = Phase.BEFORE
        # When the limit started; one of any length has no beginning that could be computed from its end.
        self._since = None if limit.until is None or limit.until == math.inf else limit.until - limit.seconds
        self._spent: dict[Phase, float] = {}

    def enter(self, phase: Phase, now: float) -> None:
        """The operation begins with something else."""
        if self._since is not None:
            self._spent[self._phase] = self._spent.get(self._phase, 0.0) + now - self._since
        self._phase = phase
        self._since = now
        self.attempts += phase is Phase.SERVER

    def describe(self, now: float) -> str:
        """As ``the time limit of 500 ms went to server selection (12 ms) and the server (489 ms, 2 attempts)``."""
        self.enter(self._phase, now)
        self.attempts -= self._phase is Phase.SERVER
        parts = []
        for phase, seconds in self._spent.items():
            if seconds < 0.0005:
                continue
            count = f", {self.attempts} attempts" if phase is Phase.SERVER and self.attempts > 1 else ""
            parts.append(f"{phase.value} ({seconds * 1000:.0f} ms{count})")
        if not parts:
            return f"the time limit was {milliseconds(self.limit)}"
        listed = " and ".join((", ".join(parts[:-1]), parts[-1]) if len(parts) > 1 else parts)
        return f"the time limit of {milliseconds(self.limit)} went to {listed}"


def milliseconds(limit: TimeLimit) -> str:
    """The whole limit, for messages."""
    return f"{limit.seconds * 1000:.0f} ms"


def timed_out(error: DriverError, shown: DriverError, spent: TimeSpent, now: float) -> DriverError:
    """The error to raise for an operation with a time limit that failed.

    :param error: that of the last attempt.
    :param shown: the one that would be raised without a limit, perhaps that of an earlier attempt.
    :returns: if the time is up, the timeout, which says what the limit was spent on; ``__cause__`` is the failure
        before it.
    """
    if not error.timeout:
        return shown
    if shown is not error:
        if not isinstance(error.__cause__, DriverError):  # but, perhaps, the operating system's word for the same
            error.__cause__ = shown
        error.transaction = error.transaction or shown.transaction
    text = str(error)
    if shown is not error:
        text += f"; the attempt before failed with {type(shown).__name__}: {shown}"
    told = "" if spent.limit.seconds == math.inf else f"; {spent.describe(now)}"
    error.args = (text + told, *error.args[1:])
    return error
