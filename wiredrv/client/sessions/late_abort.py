"""Aborts a transaction once more, in the background, if its abort may not have ended it on the server.

When a time limit ends, the connection is closed, and the transaction is aborted immediately, on another connection
(client-side-operations-timeout specification). Measured on a real server: the abort may overtake the statement that was
not answered. The server refuses it then, and the statement begins the transaction afterwards, which would hold its
locks for a minute. The abort itself may run out of time, too.

So the abort is sent again a few times until the server accepts it. It names its transaction: a later one of the same
session is not affected.
"""

from __future__ import annotations

from wiredrv import waits
from wiredrv.errors import DriverError, OperationFailure, is_timeout
from wiredrv.execution.executor import CleanUp, Executor
from wiredrv.execution.timeout import leave_blocks
from wiredrv.operations.transactions import AbortAgain
from wiredrv.server_facts import ErrorCode
from wiredrv.session.state import SessionState

#: Seconds between the abort and each further one: the statement takes effect soon, or never.
PAUSES = (0.1, 0.2, 0.4, 0.8)


def late_abort(executor: Executor, state: SessionState, error: DriverError) -> CleanUp | None:
    """What the background has to do after an abort that failed; None if that is nothing.

    :param error: what the abort failed with.
    """
    lost = state.transaction.lost_on
    if lost is None and not is_timeout(error):
        return None
    server = lost if state.pin is None else state.pin.address
    abort = AbortAgain(state.lsid, state.server_session.txn_number, server)

    async def repeat() -> None:
        # The block in which the abort ran out of time does not limit this.
        leave_blocks()
        for pause in PAUSES:
            await waits.sleep(pause)
            try:
                await executor.execute(abort)
                return
            except OperationFailure as refusal:
                if refusal.code != ErrorCode.NoSuchTransaction or lost is None:
                    return
            except DriverError:
                continue

    async def work(seconds: float) -> None:
        await waits.run_shielded(repeat, seconds)

    return work
