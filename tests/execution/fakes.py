"""Operations and server answers for the tests of pure execution; nothing here reaches a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wiredrv.connection.handshake import Handshake
from wiredrv.operations.base import Limits, Operation, OperationKind, Target
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
    kind: OperationKind = OperationKind.READ  # type: ignore[misc]  # a class attribute everywhere else
    retryable: bool = True
    accepts_read_concern: bool = True  # type: ignore[misc]
    accepts_cluster_time: bool = True  # type: ignore[misc]
    accepts_write_concern: bool = False
    opens_cursor: bool = False  # type: ignore[misc]
    server: Address | None = None
    lease: Any = None

    def command(self, limits: Limits) -> dict[str, Any]:
        return {"fake": 1}

    def parse(self, reply: Reply, address: Address) -> Reply:
        return reply


def make_operation(kind: OperationKind, target: Target | None = None, **traits: Any) -> FakeOperation:
    """An operation with the traits that commands of its kind have."""
    usual: dict[OperationKind, dict[str, Any]] = {
        OperationKind.READ: {},
        OperationKind.WRITE: {"accepts_read_concern": False, "accepts_write_concern": True},
        OperationKind.COMMAND: {"accepts_read_concern": False, "accepts_cluster_time": False, "retryable": False},
        OperationKind.COMMIT: {
            "accepts_read_concern": False,
            "accepts_cluster_time": False,
            "accepts_write_concern": True,
        },
        OperationKind.ABORT: {
            "accepts_read_concern": False,
            "accepts_cluster_time": False,
            "accepts_write_concern": True,
        },
        OperationKind.HOUSEKEEPING: {"accepts_read_concern": False, "accepts_cluster_time": False, "retryable": False},
    }
    return FakeOperation(target or Target("db", "c"), kind, **{**usual[kind], **traits})


def make_handshake(
    *,
    wire_version: int = 17,
    supports_sessions: bool = True,
    is_mongos: bool = False,
    is_standalone: bool = False,
    reply: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
) -> Handshake:
    """What a server says of itself: by default, a member of a replica set, 6.0."""
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
