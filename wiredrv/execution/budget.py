"""How long a cancelled task may still be kept by the driver's cleaning up.

A caller gets control back at most :data:`GRACE_SECONDS` after its cancellation, or after the deadline of its event loop
that caused one, whatever was open. The time begins at the first cancellation that an operation, a cursor, a block, a
session or the client meets in a task, and all of them share it. What is not done by then is done in the background.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from weakref import ref

from wiredrv import waits

#: Seconds that cleaning up may keep a cancelled task.
GRACE_SECONDS = 0.5

#: Seconds after which a task's time is forgotten: a cancellation that still goes on then is the program's own affair.
_FORGOTTEN_AFTER = 10.0

#: When the time of a cancelled task is over, on the monotonic clock.
#: Every operation asks whether it is empty. A task that is gone leaves it.
running: dict[ref[object], float] = {}


def seconds_left() -> float:
    """What is left of the running task's time; its first call begins it."""
    now = waits.monotonic()
    return max(running.setdefault(ref(waits.current_task(), _gone), now + GRACE_SECONDS) - now, 0.0)


def begin_operation() -> None:
    """An operation begins while some task's time runs: if it is this task's, and over, the next one gets its own."""
    now = waits.monotonic()
    here = ref(waits.current_task())
    # While it runs, it is the time of whatever comes next: cleaning up runs operations too.
    if running.get(here, now) < now and waits.forget_cancellation():
        del running[here]
    # A task that was cancelled once and does nothing since should not cost all others.
    forgotten = now - _FORGOTTEN_AFTER
    for task in [task for task, deadline in running.items() if deadline < forgotten]:
        running.pop(task, None)


def _gone(task: ref[object]) -> None:
    running.pop(task, None)


class Grace:
    """The time of one client's tasks together: what several of them meet of one cancellation shares it.

    The child tasks of a block are cancelled with the task that waits for them, and clean up before it does. So while
    the background is at work on what a cancelled caller left, the next caller waits no longer than that one did.
    """

    __slots__ = ("_unfinished", "_until")

    def __init__(self, unfinished: Callable[[], int]) -> None:
        #: How much the background cleans up at the moment.
        self._unfinished = unfinished
        self._until = 0.0

    def seconds_left(self) -> float:
        """What is left of the running task's time, and of that of the callers before it."""
        left = seconds_left()
        now = waits.monotonic()
        if self._unfinished():
            return max(min(left, self._until - now), 0.0)
        self._until = now + left
        return left


async def bounded(work: Callable[[], Awaitable[object]], seconds: float, grace: Grace) -> bool:
    """Await ``work``, which cleans up, for so many seconds, or what is left of the time once the task is cancelled.

    :param work: may be called again from the start, when a cancellation arrives half-way.
    :returns: whether it came to its end.
    """
    if waits.is_cancelling():
        return await _in_time_left(work, grace)
    try:
        with waits.move_on_after(seconds) as scope:
            await work()
        return not scope.cancelled_caught
    except BaseException as error:
        if isinstance(error, waits.cancelled()):
            await _in_time_left(work, grace)
        raise


async def _in_time_left(work: Callable[[], Awaitable[object]], grace: Grace) -> bool:
    with waits.shield(grace.seconds_left()) as scope:
        await work()
    return not scope.cancelled_caught
