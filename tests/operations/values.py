"""Values that the tests of operations share."""

from __future__ import annotations

from wiredrv.concerns import WriteConcern
from wiredrv.operations.base import Limits, Target
from wiredrv.types import Address

ADDRESS = Address("server", 1)
SHOP = Target("shop")
ORDERS = Target("shop", "orders")
UNACKNOWLEDGED = Target("shop", "orders", write_concern=WriteConcern(w=0))


def limits(wire: int = 17, document: int = 16_777_216, message: int = 48_000_000, statements: int = 100_000) -> Limits:
    """The limits of a 6.0 server, unless given otherwise."""
    return Limits(wire, document, message, statements)


SERVER_6_0 = limits()
SERVER_4_2 = limits(wire=8)
SERVER_8_2 = limits(wire=27)
