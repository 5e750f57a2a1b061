"""What a failure means: for the connection, the topology, the retry and a commit that was sent. One table, pure.

It is used by the executor (whether to close the connection), ``topology/reactions.py`` (what it says about the server),
``execution/labels.py`` and ``execution/retry.py``. These add the specifications' rules for labels and codes.

The kinds differ in how far the command came:

* With a *broken stream* that is not known, and nothing more can be read from that connection.
* An *unreadable* reply arrived whole: the command took effect and the stream is intact. Only one document cannot be
  read, which says nothing about the server and affects no other operation.
* A *refusal* is the server's answer.
* What was *refused here*, or found *no connection*, was never sent.
* After an operation was *abandoned*, ``execution/cancellation.py`` cleans up.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from wiredrv.errors import (
    ConnectionFailure,
    NotPrimaryError,
    OperationFailure,
    OperationTimeout,
    PoolClearedError,
    ProtocolError,
    ServerSelectionTimeoutError,
    TransactionTimeoutError,
    UnreadableReply,
    WaitQueueTimeoutError,
)


class FailureKind(Enum):
    """The kinds of failures."""

    #: Reset, closed, no answer in time; a bad header, op code, checksum or size; an answer to another request.
    BROKEN_STREAM = "broken stream"
    #: A whole message whose content cannot be decoded, or does not have the form of its command's replies.
    UNREADABLE = "unreadable content"
    #: ``ok: 0``, a write error, a write concern error.
    SERVER_REFUSAL = "the server's refusal"
    #: A bad argument, an ended session, a document that is too large.
    REFUSED_HERE = "refused here"
    #: No server or no connection was available in time, or no time was left to send anything.
    NO_CONNECTION = "no connection"
    #: Cancelled, or out of time.
    ABANDONED = "abandoned"


class TopologyReaction(Enum):
    """How the topology reacts to a failure."""

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
    :param reaction: how the topology reacts to it.
    :param repeated: whether the operation may be sent again. A commit whose result is unknown always may.
    :param commit: what it says about a transaction whose commit failed with it.
    """

    keeps_connection: bool
    reaction: TopologyReaction
    repeated: Repeated
    commit: CommitResult


CONSEQUENCES: dict[FailureKind, Consequences] = {
    FailureKind.BROKEN_STREAM: Consequences(
        False, TopologyReaction.NETWORK_ERROR, Repeated.AS_NETWORK_ERROR, CommitResult.UNKNOWN
    ),
    FailureKind.UNREADABLE: Consequences(True, TopologyReaction.NOTHING, Repeated.NEVER, CommitResult.UNKNOWN),
    FailureKind.SERVER_REFUSAL: Consequences(
        True, TopologyReaction.STATE_CHANGE, Repeated.BY_LABEL_AND_CODE, CommitResult.BY_CODE
    ),
    FailureKind.REFUSED_HERE: Consequences(True, TopologyReaction.NOTHING, Repeated.NEVER, CommitResult.NOT_SENT),
    # The specifications treat both alike: "network error or server selection error".
    FailureKind.NO_CONNECTION: Consequences(
        True, TopologyReaction.NOTHING, Repeated.AS_NETWORK_ERROR, CommitResult.UNKNOWN
    ),
    FailureKind.ABANDONED: Consequences(False, TopologyReaction.NOTHING, Repeated.NEVER, CommitResult.UNKNOWN),
}

_NO_CONNECTION = (PoolClearedError, WaitQueueTimeoutError, ServerSelectionTimeoutError, OperationTimeout)
_REFUSALS = (NotPrimaryError, OperationFailure)
_BROKEN = (ConnectionFailure, ProtocolError, OSError)


def kind_of(error: BaseException) -> FailureKind:
    """The kind of an operation's failure."""
    if isinstance(error, UnreadableReply):
        return FailureKind.UNREADABLE
    if isinstance(error, _NO_CONNECTION):
        return FailureKind.NO_CONNECTION
    if isinstance(error, _REFUSALS):
        return FailureKind.SERVER_REFUSAL
    if isinstance(error, _BROKEN):
        return FailureKind.BROKEN_STREAM
    if isinstance(error, TransactionTimeoutError) or not isinstance(error, Exception):
        return FailureKind.ABANDONED
    return FailureKind.REFUSED_HERE


def consequences(error: BaseException) -> Consequences:
    """What follows from a failure of an operation."""
    return CONSEQUENCES[kind_of(error)]


def is_network_error(error: BaseException) -> bool:
    """Whether no server answered: a broken or unmade connection, no server, a cleared pool."""
    return consequences(error).repeated is Repeated.AS_NETWORK_ERROR


def leaves_commit_open(error: BaseException) -> bool:
    """Whether a commit that failed with this may have taken effect: there was no clear answer.

    A refusal without a code does not count as an answer: servers always send a code.
    """
    result = consequences(error).commit
    if result is CommitResult.BY_CODE:
        return getattr(error, "code", None) is None
    return result is CommitResult.UNKNOWN
