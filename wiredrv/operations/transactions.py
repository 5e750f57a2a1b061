"""commitTransaction and abortTransaction. Transactions specification, "Server Commands"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bson.int64 import Int64

from wiredrv.concerns import WriteConcern
from wiredrv.operations.base import Limits, Operation, OperationKind, Target, Traits
from wiredrv.operations.failures import raise_concern_failure
from wiredrv.types import Address, Document, PlainDocument, Reply

#: The write concern timeout of a repeated commit, unless its write concern has one (milliseconds).
RETRIED_COMMIT_WTIMEOUT = 10_000


_ADMIN = Target("admin")


@dataclass(frozen=True, slots=True)
class CommitTransaction(Operation[None]):
    """Make the transaction's writes visible. ``target.write_concern`` is the transaction's."""

    name: ClassVar[str] = "commitTransaction"
    traits = Traits(OperationKind.COMMIT, retryable=True, accepts_write_concern=True)

    target: Target
    max_time_ms: int | None = None

    def command(self, limits: Limits) -> PlainDocument:
        command: PlainDocument = {"commitTransaction": 1}
        if self.max_time_ms is not None:
            command["maxTimeMS"] = self.max_time_ms
        return command

    def parse(self, reply: Reply, address: Address) -> None:
        raise_concern_failure(reply)


@dataclass(frozen=True, slots=True)
class AbortTransaction(Operation[None]):
    """Abort the transaction."""

    name: ClassVar[str] = "abortTransaction"
    traits = Traits(OperationKind.ABORT, retryable=True, accepts_write_concern=True)

    target: Target

    def command(self, limits: Limits) -> PlainDocument:
        return {"abortTransaction": 1}

    def parse(self, reply: Reply, address: Address) -> None:
        raise_concern_failure(reply)


@dataclass(frozen=True, slots=True)
class AbortAgain(Operation[None]):
    """Abort a transaction that the driver has aborted before, whatever its session does now.

    :param lsid: the session's id.
    :param txn_number: which of its transactions.
    :param server: where it is; None for the primary.
    """

    name: ClassVar[str] = "abortTransaction"
    traits = Traits(OperationKind.HOUSEKEEPING, uses_session=False)

    lsid: Document
    txn_number: int
    server: Address | None
    target: Target = _ADMIN

    def command(self, limits: Limits) -> PlainDocument:
        return {"abortTransaction": 1, "lsid": self.lsid, "txnNumber": Int64(self.txn_number), "autocommit": False}

    def parse(self, reply: Reply, address: Address) -> None:
        return None


@dataclass(frozen=True, slots=True)
class CommitAgain(Operation[None]):
    """Commit a transaction whose commit was sent before, whatever its session does now.

    :param lsid: the session's id.
    :param txn_number: which of its transactions.
    :param write_concern: that of a repeated commit.
    :param recovery_token: by which any router can find the outcome.
    """

    name: ClassVar[str] = "commitTransaction"
    traits = Traits(OperationKind.HOUSEKEEPING, uses_session=False)

    lsid: Document
    txn_number: int
    write_concern: WriteConcern
    recovery_token: Document | None
    target: Target = _ADMIN

    def command(self, limits: Limits) -> PlainDocument:
        command: PlainDocument = {
            "commitTransaction": 1,
            "lsid": self.lsid,
            "txnNumber": Int64(self.txn_number),
            "autocommit": False,
            "writeConcern": self.write_concern.document,
        }
        if self.recovery_token is not None:
            command["recoveryToken"] = self.recovery_token
        return command

    def parse(self, reply: Reply, address: Address) -> None:
        raise_concern_failure(reply)


def retried_commit_concern(concern: WriteConcern) -> WriteConcern:
    """The write concern of a repeated commit: a majority, so that the transaction cannot be applied twice."""
    document = concern.document
    return WriteConcern(
        w="majority",
        wtimeout=document.get("wtimeout") or RETRIED_COMMIT_WTIMEOUT,
        j=document.get("j"),
        fsync=document.get("fsync"),
    )
