"""What objects need of a client that last longer than one call, as the streams of GridFS do: a session to keep, the
transaction that they belong to, one time limit, and cleaning up when a call is cancelled or the object is forgotten.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wiredrv import waits
from wiredrv.client.limits import limited
from wiredrv.client.sessions.binding import bound_session
from wiredrv.execution import budget
from wiredrv.execution.executor import CleanUp
from wiredrv.execution.timeout import in_force_now
from wiredrv.types import DocumentT, TimeLimit

if TYPE_CHECKING:
    from wiredrv.client.client import Client
    from wiredrv.client.collection import Collection
    from wiredrv.client.sessions.client_session import ClientSession

#: Seconds between two looks at a session that is being settled.
_TICK = 0.005


def kept_session(client: Client[Any], session: ClientSession | None) -> ClientSession | None:
    """The session that an object keeps: the one given, else the one that is bound where the object is made.

    :raises InvalidOperation: it is another client's, has ended, or is bound in another task; or the client is closed.
    """
    core = client._core
    core.session_state(session)
    if core.ambient is not None:
        return core.ambient.session
    return bound_session(core.executor) if session is None else session


def transaction_of(session: ClientSession | None) -> int:
    """The number of the session's open transaction; 0 if there is none."""
    if session is None or not session.in_transaction:
        return 0
    return session._state.transaction.number


def time_limit(collection: Collection[Any], timeout_ms: int | None) -> TimeLimit | None:
    """The limit of an object that begins now and sends several commands; None if it has none.

    :param timeout_ms: milliseconds; 0 for no limit, None for that of the collection, or of the block around the call.
    :raises ConfigurationError: ``timeout_ms`` is not a whole number from 0 up.
    """
    return in_force_now(limited(collection._target, timeout_ms).limit)


def within(collection: Collection[DocumentT], limit: TimeLimit) -> Collection[DocumentT]:
    """The same collection, with a limit that has begun: its commands have the time together that is left of it."""
    copy: Collection[DocumentT] = collection.with_options()
    copy._target = replace(collection._target, limit=limit)
    return copy


def retries_writes(client: Client[Any]) -> bool:
    """Whether the client may send writes again (``retryWrites``)."""
    return client._core.settings.execution.retry_writes


async def until_settled(session: ClientSession) -> None:
    """Wait until what was cancelled in the session is settled: its reply has come, or its connection is closed."""
    turns = session._state.turns
    while turns.current is not None and turns.current.handed_over:
        await waits.sleep(_TICK)


async def end_session(session: ClientSession, seconds: float) -> None:
    """End a session in the background, and stop what it still does on servers before this returns.

    :param seconds: how long that may take.
    """
    rest = session._core.started_sessions.end(session._state)
    if rest is not None:
        await rest(seconds)


async def clean_up(client: Client[Any], work: CleanUp) -> None:
    """Clean up in the background, and wait for it as long as the caller's budget for a cancellation allows.

    :param work: called with the seconds that it may take.
    """
    await client._core.executor.clean_up(work)


async def clean_up_here(client: Client[Any], work: Callable[[], Awaitable[object]], seconds: float) -> bool:
    """Clean up in this task, for ``seconds``, or for the rest of the budget once the task is cancelled.

    :returns: whether it was completed.
    """
    return await budget.bounded(work, seconds, client._core.executor.grace)


def clean_up_later(client: Client[Any], work: CleanUp) -> None:
    """Clean up in the background. For finalizers, which run in any thread and at any time."""
    client._core.clean_up_later(work)
