"""What a session or a cursor can be pinned to: a router or, behind a load balancer, a connection. Pure.

A connection is also pinned while a server streams replies on it (exhaust cursors).

A pinned connection stays checked out. The pin counts its holders; the connection goes back to its pool when the last
one releases it. A cursor that was opened in a transaction shares the transaction's connection.

Specifications: transactions, "Mongos Pinning"; load-balancers, "Connection Pooling".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

from wiredrv.types import Address


class Pinnable(Protocol):
    """The part of a connection that a pin uses. ``pinned_by``: ``"cursor"``, ``"transaction"``, or None."""

    address: Address
    pinned_by: str | None


C = TypeVar("C", bound=Pinnable)


class RouterPin(NamedTuple):
    """A router of a sharded cluster. Others may use it too."""

    address: Address

    def hold(self) -> Self:
        """Add a holder."""
        return self

    def release(self) -> None:
        """Remove a holder."""

    @property
    def for_stream(self) -> bool:
        """Never: a router does not stream."""
        return False


class ConnectionPin(Generic[C]):
    """A connection behind a load balancer, or one on which a server streams the batches of an exhaust cursor.

    The creator of the pin is its first holder; ``give_back`` checks the connection in, which closes one that streams.
    """

    __slots__ = ("_give_back", "_holders", "connection", "for_stream")

    def __init__(self, connection: C, give_back: Callable[[C], None], holder: str, *, for_stream: bool = False) -> None:
        self.connection = connection
        self.for_stream = for_stream
        self._give_back = give_back
        self._holders = 1
        connection.pinned_by = holder

    @property
    def address(self) -> Address:
        """The server, or the load balancer."""
        return self.connection.address

    def hold(self) -> Self:
        """Add a holder."""
        self._holders += 1
        return self

    def release(self) -> None:
        """Remove a holder; after the last one, the connection is checked in."""
        self._holders -= 1
        if self._holders == 0:
            self.connection.pinned_by = None
            self._give_back(self.connection)
