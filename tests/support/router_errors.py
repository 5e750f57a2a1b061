"""The errors that a router double returns itself, with the labels that a mongos gives them. Pure.

A mongos labels its own failures: statements of a transaction as transient; as retryable writes only those
that fail because it is shutting down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import bson

from wiredrv.wire.codec import decode

_NAMES = {
    1: "InternalError",
    2: "BadValue",
    6: "HostUnreachable",
    7: "HostNotFound",
    8: "UnknownError",
    9: "FailedToParse",
    10: "CannotMutateObject",
    11: "UserNotFound",
    24: "LockTimeout",
    43: "CursorNotFound",
    48: "NamespaceExists",
    50: "MaxTimeMSExpired",
    51: "ManualInterventionRequired",
    59: "CommandNotFound",
    64: "WriteConcernFailed",
    72: "InvalidOptions",
    79: "UnknownReplWriteConcern",
    89: "NetworkTimeout",
    91: "ShutdownInProgress",
    100: "UnsatisfiableWriteConcern",
    112: "WriteConflict",
    115: "CommandNotSupported",
    117: "ConflictingOperationInProgress",
    133: "FailedToSatisfyReadPreference",
    134: "ReadConcernMajorityNotAvailableYet",
    136: "CappedPositionLost",
    189: "PrimarySteppedDown",
    225: "TransactionTooOld",
    237: "CursorKilled",
    246: "SnapshotUnavailable",
    251: "NoSuchTransaction",
    256: "TransactionCommitted",
    267: "PreparedTransactionInProgress",
    63: "StaleShardVersion",
    150: "StaleEpoch",
    234: "RetryChangeStream",
    262: "ExceededTimeLimit",
    263: "OperationNotSupportedInTransaction",
    354: "LoadBalancerSupportMismatch",
    391: "ReauthenticationRequired",
    462: "IngressRequestRateLimitExceeded",
    9001: "SocketException",
    10107: "NotWritablePrimary",
    11600: "InterruptedAtShutdown",
    11601: "Interrupted",
    11602: "InterruptedDueToReplStateChange",
    13388: "StaleConfig",
    13435: "NotPrimaryNoSecondaryOk",
    13436: "NotPrimaryOrSecondary",
}

_SHUTDOWN = frozenset({91, 11600})
_RETRYABLE = frozenset({6, 7, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436})
_TRANSIENT = frozenset({24, 112, 246, 251, 267})
_ENDINGS = frozenset({"committransaction", "aborttransaction"})

#: Commands that a mongos does not forward unchanged.
BATCHED_WRITES = frozenset({"insert", "update", "delete"})
TIME_LIMIT_EXCEEDED = 50

TRANSIENT = "TransientTransactionError"
RETRYABLE_WRITE = "RetryableWriteError"


def failure(code: int, message: str, labels: Sequence[str] = ()) -> dict[str, Any]:
    """The reply to a failed command."""
    reply: dict[str, Any] = {
        "ok": 0.0,
        "errmsg": message,
        "code": code,
        "codeName": _NAMES.get(code, f"Location{code}"),
    }
    if labels:
        reply["errorLabels"] = list(labels)
    return reply


def as_router_says(name: str, body: bytes, shard: str) -> bytes:
    """A shard's reply as a mongos returns it for the commands that it builds anew: those that write in batches.

    A time limit that expired on the shard is a write error, and a write concern error names the shard it came from. The
    reply to a drop says nothing more, and that a change stream was invalidated is for the router alone.
    """
    if name == "drop":
        return bson.encode({key: value for key, value in decode(body).items() if key not in ("nIndexesWas", "ns")})
    if name == "getMore" and b"\x08invalidated\x00" in body:
        reply = decode(body)
        reply["cursor"].pop("invalidated", None)
        return bson.encode(reply)
    if name not in BATCHED_WRITES:
        return body
    reply = decode(body)
    if reply.get("code") == TIME_LIMIT_EXCEEDED:
        error = {"index": 0, **{key: reply[key] for key in ("code", "codeName", "errmsg")}}
        counts = {"nModified": 0, "n": 0} if name == "update" else {"n": 0}
        times: dict[str, Any] = {key: reply[key] for key in ("$clusterTime", "operationTime") if key in reply}
        return bson.encode({**counts, "writeErrors": [error], "ok": 1.0, **times})
    entry = reply.get("writeConcernError")
    if entry is None:
        return body
    concern = (entry.get("errInfo") or {}).get("writeConcern")
    text = f"{entry['errmsg']}; Error details: {{ writeConcern: {concern} }} at {shard}"
    told = {key: entry[key] for key in ("code", "codeName") if key in entry}
    return bson.encode({**reply, "writeConcernError": {**told, "errmsg": text, "errInfo": {}}})


def labels_for(command: Mapping[str, Any], code: int) -> list[str]:
    """The labels that a mongos gives an error of its own."""
    name = next(iter(command)).lower()
    ending = name in _ENDINGS
    in_transaction = "autocommit" in command
    labels = []
    if in_transaction and (code in _TRANSIENT or (not ending and code in _RETRYABLE)):
        labels.append(TRANSIENT)
    retryable_write = "txnNumber" in command and not in_transaction
    if code in _SHUTDOWN and (retryable_write or ending):
        labels.append(RETRYABLE_WRITE)
    return labels
