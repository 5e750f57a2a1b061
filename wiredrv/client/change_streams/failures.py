"""What a failure means for a change stream: it is resumed, stays as it is, or ends. Pure.

Change-streams specification, "Resumable Error"; client-side-operations-timeout, "Change Streams".

| failure                                             | of a getMore | of an aggregate |
|-----------------------------------------------------|--------------|-----------------|
| no server answered: broken connection, no server... | resumed      | interrupted     |
| CursorNotFound; a server's error that is resumable  | resumed      | ended           |
| a time limit, an overloaded server                  | interrupted  | interrupted     |
| refused by the driver, before anything was sent     | unchanged    | unchanged       |
| an answer that cannot be read; any other error      | ended        | ended           |

An error of an aggregate is never resumable. But the stream has kept its place: where the same call may succeed later,
it is *interrupted*, and the next call tries to resume again.
"""

from __future__ import annotations

from enum import Enum

from wiredrv.errors import SYSTEM_OVERLOADED, DriverError, NotPrimaryError, OperationFailure
from wiredrv.failures import FailureKind, is_network_error, kind_of
from wiredrv.server_facts import RESUMABLE_CODES, SERVER_4_4, ErrorCode

#: The label of a server's errors after which a change stream can be resumed (server 4.4).
RESUMABLE = "ResumableChangeStreamError"


#: Seconds: the first pause between two resumes, and the longest.
_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
#: How often a stream is resumed at once although no getMore succeeds in between: a failover may take several attempts.
_AT_ONCE = 3


class Fate(Enum):
    """What becomes of a stream after a failure."""

    #: It is opened again at once, without telling the user.
    RESUMED = "resumed"
    #: The error is raised; the next call opens it again.
    INTERRUPTED = "interrupted"
    #: The error is raised; nothing happened to the stream.
    UNCHANGED = "unchanged"
    #: The error is raised, and the stream is closed.
    ENDED = "ended"


def fate_after_get_more(error: DriverError) -> Fate:
    """What becomes of a stream whose getMore failed."""
    if is_network_error(error) or _is_resumable_refusal(error):
        return Fate.RESUMED
    return _fate(error)


def fate_after_aggregate(error: DriverError) -> Fate:
    """What becomes of a stream that could not be opened, for the first time or again."""
    if is_network_error(error) or isinstance(error, NotPrimaryError):
        return Fate.INTERRUPTED
    return _fate(error)


def _fate(error: DriverError) -> Fate:
    if kind_of(error) is FailureKind.REFUSED_HERE:
        return Fate.UNCHANGED
    if error.timeout or error.has_error_label(SYSTEM_OVERLOADED):
        return Fate.INTERRUPTED
    return Fate.ENDED


def longest_pause(resumes: int) -> float:
    """The seconds that a stream may wait before it is resumed, so that a server which fails each getMore is not sent
    commands without end. The specification asks for an attempt after each failure, and not for a pause.

    :param resumes: how often it was resumed since its last getMore that succeeded, this time included.
    """
    return 0.0 if resumes <= _AT_ONCE else float(min(_LONGEST_PAUSE, _PAUSE * 2 ** (resumes - _AT_ONCE - 1)))


def _is_resumable_refusal(error: DriverError) -> bool:
    """Whether a server's error is resumable, by the wire version of the connection that it came from."""
    if not isinstance(error, (OperationFailure, NotPrimaryError)):
        return False
    if error.code == ErrorCode.CursorNotFound or error.has_error_label(RESUMABLE):
        return True
    version = error.max_wire_version
    return version is not None and version < SERVER_4_4 and error.code in RESUMABLE_CODES
