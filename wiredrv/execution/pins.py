"""What a session or a cursor can be pinned to: a router, or behind a load balancer a connection. Pure.

A pinned connection stays checked out. Whoever keeps the pin holds it; the connection goes back to its pool when the
last of them lets it go. A cursor that was opened in a transaction shares the transaction's connection.

Specifications: transactions, "Mongos Pinning"; load-balancers, "Connection Pooling".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

from wiredrv.types import Address


class Pinnable(Protocol):
    """What a pin needs to know of a connection. ``pinned_by``: ``"cursor"``, ``"transaction"``, or None."""

    address: Address
    pinned_by: str | None


C = TypeVar("C", bound=Pinnable)


class RouterPin(NamedTuple):
    """A router of a sharded cluster. Nothing is kept from others."""

    address: Address

    def hold(self) -> Self:
        """Keep it for one more."""
        return self

    def release(self) -> None:
        """Let the router go."""


class ConnectionPin(Generic[C]):
    """A connection behind a load balancer. Whoever makes the pin holds it; ``give_back`` takes the connection back."""

    __slots__ = ("_give_back", "_holders", "connection")

    def __init__(self, connection: C, give_back: Callable[[C], None], holder: str) -> None:
        self.connection = connection
        self._give_back = give_back
        self._holders = 1
        connection.pinned_by = holder

    @property
    def address(self) -> Address:
        """The load balancer."""
        return self.connection.address

    def hold(self) -> Self:
        """Hold the connection besides those who do."""
        self._holders += 1
        return self

    def release(self) -> None:
        """Let the connection go; the last who does gives it back."""
        self._holders -= 1
        if self._holders == 0:
            self.connection.pinned_by = None
            self._give_back(self.connection)
