"""What a failure means: for the connection, the topology, the retry and a commit that was sent. One table, pure.

Everything else asks here: the executor (whether to close the connection), ``topology/reactions.py`` (what it says about
the server), ``execution/labels.py`` and ``execution/retry.py``. They add what the specifications make of labels and
codes.

The kinds differ in how far the command came:

* With a *broken stream* nobody knows, and nothing more can be read from that connection.
* An *unreadable* reply arrived whole: the server has done its work and the stream is sound. What cannot be read is one
  document, which says nothing about the server and concerns no other operation.
* A *refusal* is the server's own word.
* What was *refused here*, or found *no connection*, was never sent.
* What was *given up* is settled by the one who cancelled (``execution/cancellation.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from wiredrv.errors import (
    ConnectionFailure,
    NotPrimaryError,
    OperationFailure,
    PoolClearedError,
    ProtocolError,
    ServerSelectionTimeoutError,
    TransactionTimeoutError,
    UnreadableReply,
    WaitQueueTimeoutError,
)


class FailureKind(Enum):
    """The kinds of failures."""

    #: Reset, closed, silent for too long; a bad header, op code, checksum or size; an answer to another request.
    BROKEN_STREAM = "broken stream"
    #: A whole message whose content cannot be decoded, or is not of the form that its command's replies have.
    UNREADABLE = "unreadable content"
    #: ``ok: 0``, a write error, a write concern error.
    SERVER_REFUSAL = "the server's refusal"
    #: A bad argument, an ended session, a document that is too large.
    REFUSED_HERE = "refused here"
    #: No server, no connection: waiting for one ended without it.
    NO_CONNECTION = "no connection"
    #: Cancelled, or out of time.
    GIVEN_UP = "given up"


class Told(Enum):
    """What the topology makes of a failure."""

    NOTHING = "nothing"
    #: "Network error" of the SDAM specification: the server is unknown, its pool is cleared.
    NETWORK_ERROR = "network error"
    #: Only "not writable primary" and "node is recovering" say something about the server.
    STATE_CHANGE = "state change"


class Repeated(Enum):
    """Whether the operation may be sent again."""

    NEVER = "never"
    AS_NETWORK_ERROR = "as a network error"
    BY_LABEL_AND_CODE = "by label and code"


class CommitResult(Enum):
    """What a failed commit says about its transaction."""

    UNKNOWN = "unknown"
    BY_CODE = "by code"
    NOT_SENT = "not sent"


@dataclass(frozen=True, slots=True)
class Consequences:
    """What follows from a failure.

    :param keeps_connection: whether the connection can be used again.
    :param told: what the topology makes of it.
    :param repeated: whether the operation may be sent again. A commit whose result is unknown always may.
    :param commit: what it says about a transaction whose commit met it.
    """

    keeps_connection: bool
    told: Told
    repeated: Repeated
    commit: CommitResult


CONSEQUENCES: dict[FailureKind, Consequences] = {
    FailureKind.BROKEN_STREAM: Consequences(False, Told.NETWORK_ERROR, Repeated.AS_NETWORK_ERROR, CommitResult.UNKNOWN),
    FailureKind.UNREADABLE: Consequences(True, Told.NOTHING, Repeated.NEVER, CommitResult.UNKNOWN),
    FailureKind.SERVER_REFUSAL: Consequences(True, Told.STATE_CHANGE, Repeated.BY_LABEL_AND_CODE, CommitResult.BY_CODE),
    FailureKind.REFUSED_HERE: Consequences(True, Told.NOTHING, Repeated.NEVER, CommitResult.NOT_SENT),
    # "Network error or server selection error", the specifications say of both in one breath.
    FailureKind.NO_CONNECTION: Consequences(True, Told.NOTHING, Repeated.AS_NETWORK_ERROR, CommitResult.UNKNOWN),
    FailureKind.GIVEN_UP: Consequences(False, Told.NOTHING, Repeated.NEVER, CommitResult.UNKNOWN),
}

_NO_CONNECTION = (PoolClearedError, WaitQueueTimeoutError, ServerSelectionTimeoutError)
_REFUSALS = (NotPrimaryError, OperationFailure)
_BROKEN = (ConnectionFailure, ProtocolError, OSError)


def kind_of(error: BaseException) -> FailureKind:
    """Sort a failure of an operation."""
    if isinstance(error, UnreadableReply):
        return FailureKind.UNREADABLE
    if isinstance(error, _NO_CONNECTION):
        return FailureKind.NO_CONNECTION
    if isinstance(error, _REFUSALS):
        return FailureKind.SERVER_REFUSAL
    if isinstance(error, _BROKEN):
        return FailureKind.BROKEN_STREAM
    if isinstance(error, TransactionTimeoutError) or not isinstance(error, Exception):
        return FailureKind.GIVEN_UP
    return FailureKind.REFUSED_HERE


def consequences(error: BaseException) -> Consequences:
    """What follows from a failure of an operation."""
    return CONSEQUENCES[kind_of(error)]


def is_network_error(error: BaseException) -> bool:
    """Whether no server answered: a broken or unmade connection, no server, a cleared pool."""
    return consequences(error).repeated is Repeated.AS_NETWORK_ERROR


def leaves_commit_open(error: BaseException) -> bool:
    """Whether a commit that met this may have taken place, for want of a clear answer.

    A refusal without a code is not one: servers give one with each.
    """
    result = consequences(error).commit
    if result is CommitResult.BY_CODE:
        return getattr(error, "code", None) is None
    return result is CommitResult.UNKNOWN
