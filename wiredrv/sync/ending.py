"""What becomes of synchronous clients that are open when the interpreter ends.

Their open transactions are aborted and their sessions ended, within two seconds for all of them together. No thread is
started any more; the background threads are daemons, and end with the process.
"""

from __future__ import annotations

import atexit
import weakref

from wiredrv import waits
from wiredrv.client.core import ClientCore
from wiredrv.waits.threads import Threads

#: Seconds for all clients together.
_SECONDS = 2.0

_open: weakref.WeakKeyDictionary[ClientCore, Threads] = weakref.WeakKeyDictionary()


def clean_up_at_exit(core: ClientCore, threads: Threads) -> None:
    """Have a client cleaned up after at the end of the interpreter, if it is open then."""
    _open[core] = threads


@atexit.register
def _clean_up() -> None:
    until = waits.monotonic() + _SECONDS
    for core, threads in list(_open.items()):
        threads.is_ending = True
        if core.was_opened:
            threads.run(core.clean_up_at_exit(max(until - waits.monotonic(), 0.0)))
