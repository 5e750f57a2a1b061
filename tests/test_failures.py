"""What a failure means: every error of the driver has a kind, and every kind its consequences."""

from __future__ import annotations

import asyncio

import pytest

from wiredrv import errors
from wiredrv.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    DocumentTooLarge,
    DriverError,
    InvalidOperation,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PoolClearedError,
    ProtocolError,
    ServerSelectionTimeoutError,
    TransactionTimeoutError,
    UnreadableReply,
    WaitQueueTimeoutError,
    WriteConcernError,
)
from wiredrv.failures import (
    CONSEQUENCES,
    CommitResult,
    FailureKind,
    Repeated,
    TopologyReaction,
    consequences,
    is_network_error,
    kind_of,
    leaves_commit_open,
)

KINDS: list[tuple[BaseException, FailureKind]] = [
    (AutoReconnect("x"), FailureKind.BROKEN_STREAM),
    (NetworkTimeout("x"), FailureKind.BROKEN_STREAM),
    (ProtocolError("x"), FailureKind.BROKEN_STREAM),
    (OSError("x"), FailureKind.BROKEN_STREAM),
    (UnreadableReply("x"), FailureKind.UNREADABLE),
    (OperationFailure("x", 1), FailureKind.SERVER_REFUSAL),
    (NotPrimaryError("x"), FailureKind.SERVER_REFUSAL),
    (WriteConcernError("x", 64), FailureKind.SERVER_REFUSAL),
    (BulkWriteError({}), FailureKind.SERVER_REFUSAL),
    (ConfigurationError("x"), FailureKind.REFUSED_HERE),
    (InvalidOperation("x"), FailureKind.REFUSED_HERE),
    (DocumentTooLarge("x"), FailureKind.REFUSED_HERE),
    (ServerSelectionTimeoutError("x"), FailureKind.NO_CONNECTION),
    (PoolClearedError("x"), FailureKind.NO_CONNECTION),
    (WaitQueueTimeoutError("x"), FailureKind.NO_CONNECTION),
    (TransactionTimeoutError("x"), FailureKind.ABANDONED),
    (asyncio.CancelledError(), FailureKind.ABANDONED),
]


@pytest.mark.parametrize("error, kind", KINDS, ids=lambda value: getattr(value, "name", type(value).__name__))
def test_the_kind(error: BaseException, kind: FailureKind) -> None:
    assert kind_of(error) is kind


def test_every_kind_has_consequences() -> None:
    assert set(CONSEQUENCES) == set(FailureKind)


def test_every_error_that_an_operation_can_meet_has_a_kind_of_its_own_making() -> None:
    """A new class that was not classified would count as refused here, and a commit that raised it as not sent."""
    refused_here = {
        "ConfigurationError",
        "CredentialsError",
        "InvalidTimeline",
        "InvalidURI",
        "UnknownOption",
        "InvalidOperation",
        "InvalidName",
        "InvalidToken",
        "CollectionInvalid",
        "InvalidDocument",
        "DocumentTooLarge",
        # Of GridFS, which raises them itself, after the operations that tell it.
        "GridFSError",
        "NoFile",
        "FileExists",
        "CorruptGridFile",
    }
    classes = {found for found in vars(errors).values() if isinstance(found, type) and issubclass(found, DriverError)}
    unsorted = {found.__name__ for found in classes if kind_of(found.__new__(found)) is FailureKind.REFUSED_HERE}
    assert unsorted - {"DriverError"} == refused_here


@pytest.mark.parametrize(
    "kind, keeps, reaction, repeated, commit",
    [
        (
            FailureKind.BROKEN_STREAM,
            False,
            TopologyReaction.NETWORK_ERROR,
            Repeated.AS_NETWORK_ERROR,
            CommitResult.UNKNOWN,
        ),
        (FailureKind.UNREADABLE, True, TopologyReaction.NOTHING, Repeated.NEVER, CommitResult.UNKNOWN),
        (
            FailureKind.SERVER_REFUSAL,
            True,
            TopologyReaction.STATE_CHANGE,
            Repeated.BY_LABEL_AND_CODE,
            CommitResult.BY_CODE,
        ),
        (FailureKind.REFUSED_HERE, True, TopologyReaction.NOTHING, Repeated.NEVER, CommitResult.NOT_SENT),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_consequences(
    kind: FailureKind, keeps: bool, reaction: TopologyReaction, repeated: Repeated, commit: CommitResult
) -> None:
    found = CONSEQUENCES[kind]
    assert (found.keeps_connection, found.reaction, found.repeated, found.commit) == (keeps, reaction, repeated, commit)


def test_one_unreadable_document_costs_neither_a_connection_nor_a_server() -> None:
    found = consequences(UnreadableReply("x"))
    assert found.keeps_connection
    assert found.reaction is TopologyReaction.NOTHING
    assert not is_network_error(UnreadableReply("x"))


@pytest.mark.parametrize(
    "error, is_open",
    [
        (AutoReconnect("x"), True),
        (ProtocolError("x"), True),
        (UnreadableReply("x"), True),
        (ServerSelectionTimeoutError("x"), True),
        (OperationFailure("a refusal without a code is not clear"), True),
        (OperationFailure("x", 251), False),
        (NotPrimaryError("x", {"code": 10107}), False),
        (InvalidOperation("x"), False),
    ],
    ids=lambda value: str(value),
)
def test_only_a_clear_answer_settles_a_commit(error: DriverError, is_open: bool) -> None:
    assert leaves_commit_open(error) is is_open
