"""Which labels the driver adds: a table of (error, circumstances) -> labels."""

from __future__ import annotations

import pytest

from wiredrv.errors import (
    RETRYABLE_WRITE,
    SYSTEM_OVERLOADED,
    TRANSIENT_TRANSACTION,
    UNKNOWN_COMMIT_RESULT,
    AutoReconnect,
    DriverError,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PoolClearedError,
    ProtocolError,
    ServerSelectionTimeoutError,
    UnreadableReply,
    WaitQueueTimeoutError,
    WriteConcernError,
    WTimeoutError,
)
from wiredrv.execution.circumstances import Circumstances
from wiredrv.execution.labels import add_labels, outcome_of_failed_commit
from wiredrv.execution.settings import ExecutionSettings
from wiredrv.failures import is_network_error
from wiredrv.operations.base import OperationKind
from wiredrv.server_errors import command_error
from wiredrv.session.transaction import Outcome

R, T, U = RETRYABLE_WRITE, TRANSIENT_TRANSACTION, UNKNOWN_COMMIT_RESULT
#: The wire version of 4.2, whose servers add no labels, and of 4.4, whose servers do.
OLD, LABELLING = 8, 9

#: name: (error, kind, in a transaction, wire version, from a mongos, labels)
CASES: dict[str, tuple[DriverError, OperationKind, bool, int, bool, set[str]]] = {
    # No reply.
    "network, read": (AutoReconnect("x"), OperationKind.READ, False, 0, False, set()),
    "network, write": (AutoReconnect("x"), OperationKind.WRITE, False, 0, False, {R}),
    "timeout, write": (NetworkTimeout("x"), OperationKind.WRITE, False, 17, False, {R}),
    "pool cleared, write": (PoolClearedError("x"), OperationKind.WRITE, False, 0, False, {R}),
    "network, generic command": (AutoReconnect("x"), OperationKind.COMMAND, False, 0, False, set()),
    "network, read in a transaction": (AutoReconnect("x"), OperationKind.READ, True, 0, False, {T}),
    "network, write in a transaction": (AutoReconnect("x"), OperationKind.WRITE, True, 0, False, {T}),
    "network, command in a transaction": (AutoReconnect("x"), OperationKind.COMMAND, True, 0, False, {T}),
    "selection in a transaction": (ServerSelectionTimeoutError("x"), OperationKind.READ, True, 0, False, {T}),
    "network, commit": (AutoReconnect("x"), OperationKind.COMMIT, True, 17, False, {R, U}),
    # Neither a server nor a connection was available: not a network error, so no RetryableWriteError label.
    "selection, write": (ServerSelectionTimeoutError("x"), OperationKind.WRITE, False, 0, False, set()),
    "no connection free, write": (WaitQueueTimeoutError("x"), OperationKind.WRITE, False, 0, False, set()),
    "selection, commit": (ServerSelectionTimeoutError("x"), OperationKind.COMMIT, True, 0, False, {U}),
    "no connection free, commit": (WaitQueueTimeoutError("x"), OperationKind.COMMIT, True, 0, False, {U}),
    "selection, abort": (ServerSelectionTimeoutError("x"), OperationKind.ABORT, True, 0, False, set()),
    "network, abort": (AutoReconnect("x"), OperationKind.ABORT, True, 17, False, {R}),
    # A reply of a server that adds no labels.
    "not primary, write, 4.2": (NotPrimaryError("x", {"code": 10107}), OperationKind.WRITE, False, OLD, False, {R}),
    "not primary, write, 4.4": (
        NotPrimaryError("x", {"code": 10107}),
        OperationKind.WRITE,
        False,
        LABELLING,
        False,
        set(),
    ),
    "not primary, commit, 4.2": (NotPrimaryError("x", {"code": 91}), OperationKind.COMMIT, True, OLD, False, {R, U}),
    "not primary in a transaction, 4.2": (
        NotPrimaryError("x", {"code": 10107}),
        OperationKind.WRITE,
        True,
        OLD,
        False,
        set(),
    ),
    "another code, write, 4.2": (OperationFailure("x", 11000), OperationKind.WRITE, False, OLD, False, set()),
    "ExceededTimeLimit, write, 4.2": (OperationFailure("x", 262), OperationKind.WRITE, False, OLD, False, {R}),
    "write concern, write, 4.2": (WriteConcernError("x", 91), OperationKind.WRITE, False, OLD, False, {R}),
    "write concern of a mongos, 4.2": (WriteConcernError("x", 91), OperationKind.WRITE, False, OLD, True, set()),
    # Commits.
    "commit, maxTimeMS": (OperationFailure("x", 50), OperationKind.COMMIT, True, 17, False, {U}),
    "commit, wtimeout": (WTimeoutError("x", 64), OperationKind.COMMIT, True, 17, False, {U}),
    "commit, write concern failed": (WriteConcernError("x", 75), OperationKind.COMMIT, True, 17, False, {U}),
    "commit, unsatisfiable": (WriteConcernError("x", 100), OperationKind.COMMIT, True, 17, False, set()),
    "commit, unknown concern": (WriteConcernError("x", 79), OperationKind.COMMIT, True, 17, False, set()),
    "commit, unreadable": (UnreadableReply("x"), OperationKind.COMMIT, True, 17, False, {U}),
    "commit, broken stream": (ProtocolError("x"), OperationKind.COMMIT, True, 17, False, {R, U}),
    "commit, interrupted": (OperationFailure("x", 11601), OperationKind.COMMIT, True, 17, False, set()),
    "abort, unreadable": (UnreadableReply("x"), OperationKind.ABORT, True, 17, False, set()),
    "statement, unreadable": (UnreadableReply("x"), OperationKind.READ, True, 17, False, set()),
    "statement, broken stream": (ProtocolError("x"), OperationKind.READ, True, 17, False, {T}),
    "write, unreadable": (UnreadableReply("x"), OperationKind.WRITE, False, 17, False, set()),
    "write, broken stream": (ProtocolError("x"), OperationKind.WRITE, False, 17, False, {R}),
    "commit, no such transaction": (OperationFailure("x", 251), OperationKind.COMMIT, True, 17, False, set()),
    "commit, labelled by the server": (
        OperationFailure("x", 91, {"errorLabels": [R]}),
        OperationKind.COMMIT,
        True,
        17,
        False,
        {R, U},
    ),
    "read, maxTimeMS": (OperationFailure("x", 50), OperationKind.READ, False, 17, False, set()),
    # Labels from the server are kept.
    "labelled by the server": (
        OperationFailure("x", 1, {"errorLabels": [T]}),
        OperationKind.WRITE,
        True,
        17,
        False,
        {T},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_labels(name: str) -> None:
    error, kind, in_transaction, wire_version, from_mongos, expected = CASES[name]
    where = Circumstances(kind, True, in_transaction, wire_version=wire_version, from_mongos=from_mongos)
    add_labels(error, where, ExecutionSettings())
    assert error.error_labels == expected


@pytest.mark.parametrize("retryable, retry_writes", [(False, True), (True, False)])
def test_a_write_that_may_not_be_retried_is_not_labelled_as_retryable(retryable: bool, retry_writes: bool) -> None:
    error = AutoReconnect("x")
    where = Circumstances(OperationKind.WRITE, retryable, in_transaction=False, wire_version=17)
    add_labels(error, where, ExecutionSettings(retry_writes=retry_writes))
    assert error.error_labels == set()


@pytest.mark.parametrize("retry_writes", [True, False])
@pytest.mark.parametrize("kind", [OperationKind.COMMIT, OperationKind.ABORT])
def test_commit_and_abort_are_retryable_whatever_the_client_says_about_writes(
    kind: OperationKind, retry_writes: bool
) -> None:
    error = AutoReconnect("x")
    where = Circumstances(kind, True, in_transaction=True, wire_version=17)
    add_labels(error, where, ExecutionSettings(retry_writes=retry_writes))
    assert error.has_error_label(R)


@pytest.mark.parametrize(
    "error, network",
    [
        (AutoReconnect("x"), True),
        (NetworkTimeout("x"), True),
        (PoolClearedError("x"), True),
        (ServerSelectionTimeoutError("x"), True),
        (NotPrimaryError("x"), False),
        (OperationFailure("x", 1), False),
        (command_error({"ok": 0, "code": 11600, "errmsg": "x"}), False),
    ],
)
def test_an_answer_of_a_server_is_no_network_error(error: DriverError, network: bool) -> None:
    assert is_network_error(error) is network


class TestOutcomeOfAFailedCommit:
    """A transaction counts as aborted only if that is certain."""

    @pytest.mark.parametrize(
        "error, attempted_before, outcome",
        [
            (OperationFailure("no", 251, error_labels=[TRANSIENT_TRANSACTION]), False, Outcome.ABORTED),
            (OperationFailure("no", 251, error_labels=[TRANSIENT_TRANSACTION]), True, Outcome.ABORTED),
            (OperationFailure("no", 251), False, Outcome.ABORTED),
            (OperationFailure("no", 251), True, Outcome.UNKNOWN),
            (WriteConcernError("done", 64, error_labels=[TRANSIENT_TRANSACTION]), False, Outcome.UNKNOWN),
            (AutoReconnect("gone", error_labels=[UNKNOWN_COMMIT_RESULT]), False, Outcome.UNKNOWN),
            (OperationFailure("busy", 462, error_labels=[SYSTEM_OVERLOADED]), False, Outcome.UNKNOWN),
            (WriteConcernError("unmet", 100), False, Outcome.UNKNOWN),
            (OperationFailure("stopped half-way, perhaps", 11601), False, Outcome.UNKNOWN),
            (OperationFailure("not clear without a code"), False, Outcome.UNKNOWN),
            (UnreadableReply("not clear at all"), False, Outcome.UNKNOWN),
            (ProtocolError("not clear at all"), False, Outcome.UNKNOWN),
            (OperationFailure("a refusal", 13), False, Outcome.ABORTED),
        ],
    )
    def test_table(self, error: DriverError, attempted_before: bool, outcome: Outcome) -> None:
        assert outcome_of_failed_commit(error, attempted_before) is outcome
