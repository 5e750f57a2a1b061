"""Everything that a session knows between two commands. The client's ``ClientSession`` is a face on this.

The executor reads it to decorate a command and writes back what the reply taught; nobody else writes to it.
"""

from __future__ import annotations

from typing import Any

from bson.timestamp import Timestamp

from wiredrv.errors import InvalidOperation
from wiredrv.session.cluster_time import ClusterTime, later
from wiredrv.session.options import SessionOptions
from wiredrv.session.pinning import EFFECTS, PinEffect, PinEvent
from wiredrv.session.server_session import ServerSession
from wiredrv.session.transaction import Transaction, TransactionRecord
from wiredrv.types import Address, Pin, ServerCursor


class SessionState:
    """The state of one explicit session.

    ``owner`` is the executor of the client that started the session: no other may use it.
    """

    __slots__ = (
        "_user",
        "cluster_time",
        "cursors_left",
        "ended",
        "operation_time",
        "options",
        "owner",
        "pin",
        "server_session",
        "snapshot_time",
        "transaction",
        "unsettled",
    )

    def __init__(self, options: SessionOptions, server_session: ServerSession, owner: object) -> None:
        self.options = options
        self.server_session = server_session
        self.owner = owner
        self.transaction = Transaction()
        self.cluster_time: ClusterTime | None = None
        self.operation_time: Timestamp | None = None
        self.snapshot_time: Timestamp | None = options.snapshot_time
        self.pin: Pin | None = None
        #: The servers that may still hold a cursor of a cancelled operation of this session.
        self.unsettled: set[Address] = set()
        #: Cursors that nobody reads any longer, but that cannot be killed before their transaction has ended.
        self.cursors_left: list[ServerCursor] = []
        self.ended = False
        self._user: tuple[object, str] | None = None

    # --- one operation at a time ---

    def begin(self, command_name: str, task: object) -> None:
        """Claim the session for one operation.

        :param task: the running task, or its name; only an error asks for that.
        :raises InvalidOperation: the session is ended, or another operation of it is in flight.
        """
        if self.ended:
            raise InvalidOperation("Cannot use ended session: start a new one with client.start_session()")
        user = self._user
        if user is not None:
            raise InvalidOperation(
                f"a session carries one operation at a time: task {_name(task)!r} starts {command_name!r} while task "
                f"{_name(user[0])!r} still runs {user[1]!r} with it; give each task a session of its own, or await one "
                "operation before the next"
            )
        self._user = (task, command_name)

    def finish(self) -> None:
        """Give the session free for its next operation."""
        self._user = None

    @property
    def busy(self) -> bool:
        """Whether an operation is in flight."""
        return self._user is not None

    # --- what replies teach ---

    def advance_cluster_time(self, cluster_time: ClusterTime) -> None:
        """Keep the later of the two."""
        self.cluster_time = later(self.cluster_time, cluster_time)

    def advance_operation_time(self, operation_time: Timestamp) -> None:
        """Keep the later of the two."""
        if self.operation_time is None or operation_time > self.operation_time:
            self.operation_time = operation_time

    # --- the pin ---

    def on_pin_event(self, event: PinEvent, pin: Pin | None = None) -> None:
        """Apply the pinning table. A pin that goes is released."""
        effect = EFFECTS[event]
        if effect is PinEffect.PIN:
            self.pin = pin
        elif effect is PinEffect.UNPIN and self.pin is not None:
            released, self.pin = self.pin, None
            released.release()

    def record(self) -> TransactionRecord:
        """The record of the current transaction."""
        return self.transaction.record(
            self.server_session.txn_number, self.pin.address if self.pin is not None else None
        )

    @property
    def lsid(self) -> dict[str, Any]:
        """The session's id on the server."""
        return self.server_session.lsid


def _name(task: object) -> str:
    get_name = getattr(task, "get_name", None)
    return str(get_name() if get_name is not None else getattr(task, "name", task))
