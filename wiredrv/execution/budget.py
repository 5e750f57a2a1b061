"""How long the driver's clean-up may delay a cancelled task.

A caller gets control back at most :data:`GRACE_SECONDS` after its cancellation, or after the deadline of its event loop
that caused one, whatever was open. The time begins at the first cancellation of an operation, a cursor, a block, a
session or the client in a task, and all of them share it. What is not done by then is done in the background.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from weakref import ref

from wiredrv import waits

#: Seconds that the clean-up may delay a cancelled task.
GRACE_SECONDS = 0.5

#: Seconds after which a task's budget is dropped: the driver is not responsible for a cancellation that takes longer.
_FORGOTTEN_AFTER = 10.0

#: When the budget of a cancelled task ends, on the monotonic clock.
#: Every operation checks whether it is empty. Tasks that have ended are removed from it.
running: dict[ref[object], float] = {}


def seconds_left() -> float:
    """The rest of the running task's budget; the first call starts it."""
    now = waits.monotonic()
    return max(running.setdefault(ref(waits.current_task(), _gone), now + GRACE_SECONDS) - now, 0.0)


def begin_operation() -> None:
    """An operation begins while a budget is running. If it is this task's and used up, the task gets a new one."""
    now = waits.monotonic()
    here = ref(waits.current_task())
    # While it runs, it is shared by the operations that follow: the clean-up runs operations too.
    if running.get(here, now) < now and waits.forget_cancellation():
        del running[here]
    # Drop the budgets of tasks that have been idle since their cancellation.
    forgotten = now - _FORGOTTEN_AFTER
    for task in [task for task, deadline in running.items() if deadline < forgotten]:
        running.pop(task, None)


def _gone(task: ref[object]) -> None:
    running.pop(task, None)


class Grace:
    """The budget of one client's tasks together: tasks that are cancelled together share it.

    The child tasks of a block are cancelled with the task that waits for them, and clean up before it does. So while
    the background cleans up after a cancelled caller, the next caller waits no longer than that one did.
    """

    __slots__ = ("_unfinished", "_until")

    def __init__(self, unfinished: Callable[[], int]) -> None:
        #: The number of clean-ups in the background.
        self._unfinished = unfinished
        self._until = 0.0

    def seconds_left(self) -> float:
        """The rest of the running task's budget, and of that of the callers before it."""
        left = seconds_left()
        now = waits.monotonic()
        if self._unfinished():
            return max(min(left, self._until - now), 0.0)
        self._until = now + left
        return left


async def bounded(work: Callable[[], Awaitable[object]], seconds: float, grace: Grace) -> bool:
    """Await ``work``, which cleans up, for ``seconds``, or for the rest of the budget once the task is cancelled.

    :param work: may be called again from the start, if a cancellation interrupts it.
    :returns: whether it was completed.
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
