"""The state of a session between two commands. ``ClientSession`` is the users' view of it.

The executor decorates commands from it and updates it from their replies; ``client/`` starts and ends the session and
its transactions. Both note here what can only be cleaned up later: cursors, and servers that may hold some.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Protocol

from bson.timestamp import Timestamp

from wiredrv.session.cluster_time import ClusterTime, later
from wiredrv.session.options import SessionOptions
from wiredrv.session.pinning import EFFECTS, PinEffect, PinEvent
from wiredrv.session.server_session import ServerSession
from wiredrv.session.transaction import Transaction
from wiredrv.session.turns import Turns
from wiredrv.types import (
    Address,
    Pin,
    PlainDocument,
    RecordedTimeline,
    ServerCursor,
    TimeLimit,
    TransactionRecord,
)

if TYPE_CHECKING:
    from wiredrv.session.after import After


class RecordedSession(Protocol):
    """What recordings know of a session."""

    def part(self, number: int) -> RecordedTimeline | None:
        """The part of the recording that belongs to a transaction, by its number; None if that was not recorded."""
        ...


class SessionState:
    """The state of one explicit session.

    ``owner`` is the executor of the client that started the session; no other may use it.
    """

    #: Whether the session chooses the operations that run in it, with :meth:`admit`.
    chooses: ClassVar[bool] = False

    __slots__ = (
        "__weakref__",
        "_cursors_left",
        "after",
        "cluster_time",
        "default_limit",
        "limit",
        "operation_time",
        "options",
        "origin",
        "owner",
        "pin",
        "recorded",
        "server_session",
        "servers_to_kill",
        "snapshot_time",
        "traced",
        "transaction",
        "turns",
    )

    def __init__(self, options: SessionOptions, server_session: ServerSession, owner: object) -> None:
        self.options = options
        self.server_session = server_session
        self.owner = owner
        #: Where in the user's program the session was started, for messages.
        self.origin = ""
        self.transaction = Transaction()
        self.turns = Turns(self.transaction, options.overlap)
        #: The causal tokens that it was started after, until an operation has succeeded; None if there is none.
        self.after: After | None = None
        self.cluster_time: ClusterTime | None = None
        self.operation_time: Timestamp | None = None
        self.snapshot_time: Timestamp | None = options.snapshot_time
        self.pin: Pin | None = None
        #: The span of its transaction, if the client is traced. (Not in a weak dictionary: the garbage collector clears
        #: weak references before the session's finalizer has the transaction aborted.)
        self.traced: object = None
        #: What recordings know of it; None if it was never recorded.
        self.recorded: RecordedSession | None = None
        #: The time limit of its commits, aborts, ``with_transaction`` and ``end_session``; None if there is none.
        self.default_limit: TimeLimit | None = None
        #: The time limit of the ``with_transaction`` in progress; nothing but that sets it.
        self.limit: TimeLimit | None = None
        #: The servers that may still hold a cursor of a cancelled operation of this session.
        self.servers_to_kill: set[Address] = set()
        #: Cursors that are no longer read, but cannot be killed before their transaction has ended.
        self._cursors_left: list[ServerCursor] = []

    # --- the end ---

    @property
    def ended(self) -> bool:
        """Whether the session has ended."""
        return self.turns.closed

    def end(self, release: Callable[[], None]) -> None:
        """End the session: new operations are refused, and so are those that wait.

        :param release: releases the server session; called when no operation is in flight any longer.
        """

        def idle() -> None:
            self.on_pin_event(PinEvent.SESSION_ENDED)
            release()

        self.turns.close(idle, self.origin)

    def admit(self, operation: object) -> SessionState | None:
        """The session that an operation runs in: this one, unless a subclass decides otherwise.

        :param operation: the operation, which was not sent yet.
        :returns: the session; None for an implicit one.
        :raises InvalidOperation: it cannot run at all.
        """
        return self

    # --- to be cleaned up later ---

    def leave_cursor(self, cursor: ServerCursor) -> None:
        """Note a cursor that is no longer read, but cannot be killed before the transaction has ended."""
        self._cursors_left.append(cursor)

    def take_cursors_left(self) -> list[ServerCursor]:
        """Remove and return the cursors that were noted; the caller kills them."""
        left, self._cursors_left = self._cursors_left, []
        return left

    def note_server_to_kill(self, address: Address) -> None:
        """Note a server that may still hold a cursor of a cancelled operation; it gets killSessions at the end."""
        self.servers_to_kill.add(address)

    # --- learned from replies ---

    def advance_cluster_time(self, cluster_time: ClusterTime) -> None:
        """Keep the later of the two."""
        self.cluster_time = later(self.cluster_time, cluster_time)

    def advance_operation_time(self, operation_time: Timestamp) -> None:
        """Keep the later of the two."""
        if self.operation_time is None or operation_time > self.operation_time:
            self.operation_time = operation_time

    def continue_from(self, other: SessionState) -> None:
        """See what another session of the same client has done and seen until now."""
        if other.cluster_time is not None:
            self.advance_cluster_time(other.cluster_time)
        if other.operation_time is not None:
            self.advance_operation_time(other.operation_time)
        self.after = self.after or other.after

    # --- the pin ---

    def on_pin_event(self, event: PinEvent, pin: Pin | None = None) -> None:
        """Apply the pinning table. A pin that is removed is released."""
        effect = EFFECTS[event]
        if effect is PinEffect.PIN:
            self.pin = pin
        elif effect is PinEffect.UNPIN and self.pin is not None:
            released, self.pin = self.pin, None
            released.release()

    def record(self) -> TransactionRecord:
        """The record of the current transaction."""
        session_id = str(uuid.UUID(bytes=bytes(self.lsid["id"])))
        server = self.pin.address if self.pin is not None else None
        return self.transaction.record(session_id, self.server_session.txn_number, server, self.timeline)

    @property
    def timeline(self) -> RecordedTimeline | None:
        """The part of a recording that belongs to the current transaction, if that is recorded."""
        return None if self.recorded is None else self.recorded.part(self.transaction.number)

    @property
    def lsid(self) -> PlainDocument:
        """The session's id on the server."""
        return self.server_session.lsid
