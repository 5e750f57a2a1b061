"""What a failure means for a range that is being read: it is continued, or the scan fails. Pure.

| failure                                              | a range with an index on ``_id``   | others |
|------------------------------------------------------|------------------------------------|--------|
| no server answered; the server changed its state     | continued at a server that can     | raised |
| the cursor is gone                                   | continued                          | raised |
| a member without the snapshot's history              | continued, some times: perhaps another member has it | raised |
| overload                                             | continued, with a growing pause    | raised |
| no server in time, a time limit; any other refusal   | raised                             | raised |
"""

from __future__ import annotations

from wiredrv.errors import SYSTEM_OVERLOADED, DriverError, NotPrimaryError, OperationFailure
from wiredrv.failures import FailureKind, is_network_error, kind_of
from wiredrv.server_facts import CURSOR_GONE_CODES, HISTORY_CODES, RETRYABLE_READ_CODES

#: How often a range is continued without a batch in between.
_MOST = 8
#: The same, where the members say that they do not have the history: with ``nearest``, three members and one that was
#: restarted, a try fails every third time.
_MOST_WITHOUT_HISTORY = 5
#: Seconds: the first pause, and the longest.
_PAUSE, _LONGEST_PAUSE = 0.05, 2.0


def continues(error: DriverError, failures: int) -> bool:
    """Whether a range is continued after a failure.

    :param failures: how often it failed since its last batch, this time included.
    """
    if kind_of(error) is FailureKind.SERVER_REFUSAL:
        code = error.code if isinstance(error, (OperationFailure, NotPrimaryError)) else None
        if code in HISTORY_CODES:
            return failures < _MOST_WITHOUT_HISTORY
        again = code in RETRYABLE_READ_CODES or code in CURSOR_GONE_CODES or isinstance(error, NotPrimaryError)
        return failures < _MOST and (again or error.has_error_label(SYSTEM_OVERLOADED))
    if error.timeout and kind_of(error) is FailureKind.NO_CONNECTION:
        return False  # It has waited for one as long as it may.
    return failures < _MOST and is_network_error(error)


def longest_pause(failures: int) -> float:
    """The seconds to wait at most before a range is continued."""
    return float(min(_LONGEST_PAUSE, _PAUSE * 2**failures)) if failures > 1 else 0.0
