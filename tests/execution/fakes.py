"""Operations and server answers for the tests of the pure parts of execution; nothing here reaches a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from wiredrv.connection.handshake import Handshake
from wiredrv.operations.base import READ, RETRIED_WRITE, Limits, Operation, OperationKind, Target, Traits
from wiredrv.operations.transactions import AbortTransaction, CommitTransaction
from wiredrv.session.options import SessionOptions, TransactionOptions
from wiredrv.session.server_session import ServerSession
from wiredrv.session.state import SessionState
from wiredrv.types import Address, Reply

SERVER = Address("server.example", 1)


@dataclass
class FakeOperation(Operation[Reply]):
    """An operation whose traits a test chooses."""

    name = "fake"

    target: Target
    chosen: Traits
    server: Address | None = None
    lease: Any = None

    @property
    def traits(self) -> Traits:
        return self.chosen

    def command(self, limits: Limits) -> dict[str, Any]:
        return {"fake": 1}

    def parse(self, reply: Reply, address: Address) -> Reply:
        return reply


_USUAL = {
    OperationKind.READ: READ,
    OperationKind.WRITE: RETRIED_WRITE,
    OperationKind.COMMAND: Traits(OperationKind.COMMAND),
    OperationKind.COMMIT: CommitTransaction.traits,
    OperationKind.ABORT: AbortTransaction.traits,
    OperationKind.HOUSEKEEPING: Traits(OperationKind.HOUSEKEEPING),
}


def make_operation(
    kind: OperationKind, target: Target | None = None, server: Address | None = None, **traits: Any
) -> FakeOperation:
    """An operation with the traits that commands of its kind have."""
    return FakeOperation(target or Target("db", "c"), replace(_USUAL[kind], **traits), server)


def make_handshake(
    *,
    wire_version: int = 17,
    supports_sessions: bool = True,
    is_mongos: bool = False,
    is_standalone: bool = False,
    reply: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
) -> Handshake:
    """A server's hello: by default, that of a 6.0 replica set member."""
    return Handshake(
        reply=reply or {},
        limits=limits or Limits(wire_version, 16 * 1024 * 1024, 48_000_000, 100_000),
        server_connection_id=1,
        service_id=None,
        supports_sessions=supports_sessions,
        is_mongos=is_mongos,
        is_standalone=is_standalone,
        hello_ok=True,
    )


def make_session(**options: Any) -> SessionState:
    """An explicit session."""
    return SessionState(SessionOptions(**options), ServerSession(0.0), owner=object())


def begin_transaction(session: SessionState, options: TransactionOptions | None = None) -> None:
    """Start a transaction, as a client's session does."""
    session.transaction.start(options or TransactionOptions(), 0.0, 1)
    session.server_session.next_txn_number()
