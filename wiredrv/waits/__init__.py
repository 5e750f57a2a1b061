"""What the shells wait for: events, sleep, deadlines, shields, sockets, tasks; the clock and random numbers.

The rest of the driver uses these names instead of anyio, asyncio, trio, ``time`` and ``random``, so that deadlines and
clean-up are written once for every scheduler. There are two implementations: ``wiredrv.waits.anyio``, on asyncio and
trio, and ``wiredrv.waits.threads``, for synchronous clients, which is loaded with the first of them. ``choice`` asks
which of the two serves the caller.

================================  ====================================================================================
``Event``                         wakes the tasks that wait for it
``sleep``, ``sleep_forever``      seconds
``CancelScope``                   a block that can be cancelled
``fail_after``, ``move_on_after`` a block with a deadline, in seconds from now
``seconds_left``                  until the earliest deadline of the blocks around
``shield``                        a block that outer cancellations do not reach, with a deadline
``run_shielded``                  awaits clean-up under a shield, through the end of an asyncio loop
``checkpoint``                    lets other tasks run, and a cancellation arrive
``readable``, ``writable``        wait for a socket; ``notify_closing`` wakes these waits
``reader_loop``                   the loop that can keep a socket registered, where there is one; its ``Waiter``
``addresses_of``, ``to_thread``   name look-up, and work that would block
``create_task_group``             tasks that end with a block
``spawn``, ``call_soon``          a separate task; a function in another loop's thread
``current_task``                  the running task; ``running_loop``, ``backend``, ``loop_is_closed``: about its loop
``cancelled``, ``is_cancelling``  the class of a cancellation; whether one is under way; ``forget_cancellation``
``monotonic``, ``random``         seconds of the clock; a number from 0 up to, not including, 1
``time_ns``                       nanoseconds since 1970, for what is shown to others
``user``, ``deliver``             calls a user's function; has a listener called with an event
``apart``                         does long work on one operation's own bytes
================================  ====================================================================================

``user`` is for what may take its time, or call the client again: hooks, the callback of ``with_transaction``,
``on_retry`` and ``jitter``; ``deliver`` is for listeners. Two kinds of functions are called without them:

* What turns values into BSON and back: type encoders and decoders, document classes, the methods of users' mappings.
  BSON's C code calls them for single values, so the call would have to be wrapped around each encoding and each
  decoding instead. Those are steps of pure code, which does not depend on a scheduler (``wire``, ``operations``).
  Nothing else may run within them: a command is built, numbered and sent in one go. Such a function works on its value
  alone. If it calls the client with the session that is being used, the call is refused (``session.turns``).
* Handlers of ``logging``, which the standard library calls, under locks of its own, wherever something is logged. In a
  synchronous call what is logged waits until the client's lock is released (``waits.threads``).
"""

from wiredrv.waits.anyio import (
    SOCKET_ERRORS,
    ReaderLoop,
    Waiter,
    current_task,
    monotonic,
    notify_closing,
    random,
    readable,
    reader_loop,
    running_loop,
    time_ns,
)
from wiredrv.waits.choice import (
    CancelScope,
    Event,
    TaskGroup,
    addresses_of,
    apart,
    backend,
    call_soon,
    cancelled,
    checkpoint,
    create_task_group,
    deliver,
    fail_after,
    forget_cancellation,
    is_cancelling,
    loop_is_closed,
    move_on_after,
    run_shielded,
    seconds_left,
    shield,
    sleep,
    sleep_forever,
    spawn,
    to_thread,
    user,
    writable,
)

__all__ = [
    "SOCKET_ERRORS",
    "CancelScope",
    "Event",
    "ReaderLoop",
    "TaskGroup",
    "Waiter",
    "addresses_of",
    "apart",
    "backend",
    "call_soon",
    "cancelled",
    "checkpoint",
    "create_task_group",
    "current_task",
    "deliver",
    "fail_after",
    "forget_cancellation",
    "is_cancelling",
    "loop_is_closed",
    "monotonic",
    "move_on_after",
    "notify_closing",
    "random",
    "readable",
    "reader_loop",
    "run_shielded",
    "running_loop",
    "seconds_left",
    "shield",
    "sleep",
    "sleep_forever",
    "spawn",
    "time_ns",
    "to_thread",
    "user",
    "writable",
]
