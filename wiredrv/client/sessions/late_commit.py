"""Sends a commit that ran out of time once more, in the background: until then its transaction may hold locks.

When a time limit ends, the connection is closed (client-side-operations-timeout specification). Measured on a real
server: a commit that was not answered may never have been executed, and the server keeps its transaction for a minute.
Its outcome is unknown to the caller, who gets the error at once. Sending it again is what the specification lets the
caller do, and safe: a server commits a transaction once.

The commit names its transaction, and does not take a turn in the session, which can be used meanwhile. A server that
has seen a later transaction of the session refuses it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from wiredrv import waits
from wiredrv.client.sessions.late_abort import PAUSES
from wiredrv.errors import DriverError, OperationFailure
from wiredrv.execution.executor import CleanUp, Executor
from wiredrv.execution.labels import outcome_of_failed_commit
from wiredrv.execution.timeout import leave_blocks
from wiredrv.operations.transactions import CommitAgain, CommitTransaction, retried_commit_concern
from wiredrv.server_facts import ErrorCode
from wiredrv.session.state import SessionState
from wiredrv.session.transaction import Outcome

_LOG = logging.getLogger("wiredrv.session")


def late_commit(
    executor: Executor, state: SessionState, commit: CommitTransaction, concluded: Callable[[], None]
) -> CleanUp:
    """What the background has to do after a commit that ran out of time.

    The session's server session is released at the end: its ``settling`` counts this as one of its clean-ups.

    :param commit: the commit that was sent; its transaction is still the session's current one.
    :param concluded: called when the outcome has become known, unless the session has a later transaction.
    """
    transaction = state.transaction
    number = transaction.number
    concern = retried_commit_concern(commit.target.write_concern)
    again = CommitAgain(state.lsid, state.server_session.txn_number, concern, transaction.recovery_token)

    async def repeat() -> Outcome | None:
        # The block in which the commit ran out of time does not limit this.
        leave_blocks()
        for pause in PAUSES:
            await waits.sleep(pause)
            if transaction.number == number and (transaction.outcome is not Outcome.UNKNOWN or state.turns.ending):
                return None  # The caller has sent it again, or is about to.
            found = await _outcome(executor, again)
            if found is not Outcome.UNKNOWN:
                return found
        return Outcome.UNKNOWN

    async def work(seconds: float) -> None:
        found: list[Outcome | None] = []

        async def find() -> None:
            found.append(await repeat())

        try:
            await waits.run_shielded(find, seconds)
            outcome = found[0] if found else Outcome.UNKNOWN
            if outcome is Outcome.UNKNOWN:
                text = "commitTransaction ran out of time and its outcome is unknown (session %s, txnNumber %d)"
                _LOG.warning(text, state.lsid["id"].hex(), again.txn_number)
            elif outcome is not None and not state.turns.ending and transaction.outcome_learned(number, outcome):
                concluded()
        finally:
            executor.session_settled(state.server_session)

    return work


async def _outcome(executor: Executor, commit: CommitAgain) -> Outcome | None:
    """Send the commit. Returns the outcome, or None if the session has a later transaction on the server."""
    try:
        await executor.execute(commit)
    except DriverError as error:
        if isinstance(error, OperationFailure) and error.code == ErrorCode.TransactionTooOld:
            return None
        return outcome_of_failed_commit(error, attempted_before=True)
    return Outcome.COMMITTED
