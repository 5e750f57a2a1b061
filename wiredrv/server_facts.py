"""Facts about MongoDB servers: error codes by the servers' own names, wire versions by release, sensitive commands.

Rules kept here:

* An error code or a wire version that the driver or the demo acts on is written as a number here and nowhere else.
* A list of codes that a specification gives is kept here whole, so that two of them can be compared at a glance.

Specifications: wireversion-featurelist, server-discovery-and-monitoring, retryable-reads, retryable-writes.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

SERVER_4_2: Final = 8
SERVER_4_4: Final = 9
SERVER_5_0: Final = 13
SERVER_6_0: Final = 17
SERVER_8_0: Final = 25
SERVER_8_2: Final = 27

#: The wire versions that this driver speaks.
MIN_WIRE_VERSION: Final = SERVER_4_2
MAX_WIRE_VERSION: Final = 29
#: The release that ``MIN_WIRE_VERSION`` stands for.
MIN_SERVER_VERSION: Final = "4.2"


class ErrorCode(IntEnum):
    """The codes that the driver or ``demo/`` acts on. The names are the servers' own: ``codeName`` in a reply."""

    HostUnreachable = 6
    HostNotFound = 7
    Unauthorized = 13
    AuthenticationFailed = 18
    IllegalOperation = 20
    AlreadyInitialized = 23
    NamespaceNotFound = 26
    CursorNotFound = 43
    NamespaceExists = 48
    MaxTimeMSExpired = 50
    CommandNotFound = 59
    StaleShardVersion = 63
    WriteConcernTimeout = 64  #: Older servers, 6.0 among them, call it WriteConcernFailed.
    MultipleErrorsOccurred = 65
    UnknownReplWriteConcern = 79
    NetworkTimeout = 89
    ShutdownInProgress = 91
    UnsatisfiableWriteConcern = 100
    ConfigurationInProgress = 109
    WriteConflict = 112
    FailedToSatisfyReadPreference = 133
    ReadConcernMajorityNotAvailableYet = 134
    CappedPositionLost = 136
    StaleEpoch = 150
    QueryPlanKilled = 175
    PrimarySteppedDown = 189
    TimeProofMismatch = 204
    ClusterTimeFailsRateLimiter = 205
    CannotVerifyAndSignLogicalTime = 210
    KeyNotFound = 211
    TransactionTooOld = 225
    RetryChangeStream = 234
    CursorKilled = 237
    SnapshotTooOld = 239
    SnapshotUnavailable = 246
    NoSuchTransaction = 251
    ExceededTimeLimit = 262
    OperationNotSupportedInTransaction = 263
    CurrentConfigNotCommittedYet = 308
    ReauthenticationRequired = 391
    SocketException = 9001
    LegacyNotPrimary = 10058
    NotWritablePrimary = 10107
    BSONObjectTooLarge = 10334
    DuplicateKey = 11000
    DuplicateKeyOnUpdate = 11001  #: Of old servers, without a name there.
    InterruptedAtShutdown = 11600
    Interrupted = 11601
    InterruptedDueToReplStateChange = 11602
    DuplicateKeyOnCappedInsert = 12582  #: Of old servers, without a name there.
    StaleConfig = 13388
    NotPrimaryNoSecondaryOk = 13435
    NotPrimaryOrSecondary = 13436


#: Server-discovery-and-monitoring specification, "'not writable primary' and 'node is recovering'".
NOT_PRIMARY_CODES: Final = frozenset(
    {ErrorCode.NotWritablePrimary, ErrorCode.NotPrimaryNoSecondaryOk, ErrorCode.LegacyNotPrimary}
)
RECOVERING_CODES: Final = frozenset(
    {
        ErrorCode.InterruptedAtShutdown,
        ErrorCode.InterruptedDueToReplStateChange,
        ErrorCode.NotPrimaryOrSecondary,
        ErrorCode.PrimarySteppedDown,
        ErrorCode.ShutdownInProgress,
    }
)
#: Of those, the codes of a server that is shutting down.
SHUTDOWN_CODES: Final = frozenset({ErrorCode.InterruptedAtShutdown, ErrorCode.ShutdownInProgress})

#: Retryable-writes specification, "RetryableWriteError Labels": for servers that do not label their errors (before
#: 4.4). ``LegacyNotPrimary`` is in neither list: it is a server's answer to messages older than OP_MSG.
RETRYABLE_WRITE_CODES: Final = frozenset(
    {
        ErrorCode.InterruptedAtShutdown,
        ErrorCode.InterruptedDueToReplStateChange,
        ErrorCode.NotWritablePrimary,
        ErrorCode.NotPrimaryNoSecondaryOk,
        ErrorCode.NotPrimaryOrSecondary,
        ErrorCode.PrimarySteppedDown,
        ErrorCode.ShutdownInProgress,
        ErrorCode.HostNotFound,
        ErrorCode.HostUnreachable,
        ErrorCode.NetworkTimeout,
        ErrorCode.SocketException,
        ErrorCode.ExceededTimeLimit,
    }
)
#: Retryable-reads specification, "Retryable Error". It has one code more than the list for writes (since 2023-11-30): a
#: member that knows of no majority-committed data yet refuses reads with read concern "majority". That cannot happen to
#: a write, which has no read concern.
RETRYABLE_READ_CODES: Final = RETRYABLE_WRITE_CODES | {ErrorCode.ReadConcernMajorityNotAvailableYet}

#: Change-streams specification, "Resumable Error": for servers that do not label their errors (before 4.4).
RESUMABLE_CODES: Final = frozenset(
    {
        ErrorCode.HostUnreachable,
        ErrorCode.HostNotFound,
        ErrorCode.NetworkTimeout,
        ErrorCode.ShutdownInProgress,
        ErrorCode.PrimarySteppedDown,
        ErrorCode.ExceededTimeLimit,
        ErrorCode.SocketException,
        ErrorCode.NotWritablePrimary,
        ErrorCode.InterruptedAtShutdown,
        ErrorCode.InterruptedDueToReplStateChange,
        ErrorCode.NotPrimaryNoSecondaryOk,
        ErrorCode.NotPrimaryOrSecondary,
        ErrorCode.StaleShardVersion,
        ErrorCode.StaleEpoch,
        ErrorCode.StaleConfig,
        ErrorCode.RetryChangeStream,
        ErrorCode.FailedToSatisfyReadPreference,
    }
)

#: Write concern errors that say that the concern cannot ever be met: a retry would fail in the same way (transactions
#: specification, "UnknownTransactionCommitResult").
UNSATISFIABLE_CONCERN_CODES: Final = frozenset({ErrorCode.UnknownReplWriteConcern, ErrorCode.UnsatisfiableWriteConcern})

#: The server has no such cursor any longer. ``CappedPositionLost``: the collection has overwritten what was to be read
#: next.
CURSOR_GONE_CODES: Final = frozenset(
    {
        ErrorCode.CursorNotFound,
        ErrorCode.CappedPositionLost,
        ErrorCode.QueryPlanKilled,
        ErrorCode.CursorKilled,
    }
)

#: The server cannot read a snapshot of that time: its history does not go back so far, or the collection was changed
#: since.
HISTORY_CODES: Final = frozenset({ErrorCode.SnapshotTooOld, ErrorCode.SnapshotUnavailable})

#: Commands of the handshake, in lower case.
HELLO_COMMANDS: Final = frozenset({"hello", "ismaster"})
#: Commands with sensitive contents, in lower case: listeners and logs do not get the contents (command-logging-
#: and-monitoring specification, "Security"), and they are never compressed (compression, "Messages not allowed to be
#: compressed"). A hello is one of them while it authenticates.
SENSITIVE_COMMANDS: Final = frozenset(
    {
        "authenticate",
        "copydb",
        "copydbgetnonce",
        "copydbsaslstart",
        "createuser",
        "getnonce",
        "saslcontinue",
        "saslstart",
        "updateuser",
    }
)
