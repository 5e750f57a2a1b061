"""What sessions and cursors are pinned to."""

from __future__ import annotations

from wiredrv.execution.pins import ConnectionPin, RouterPin
from wiredrv.types import Address, Pin

ADDRESS = Address("balancer.example", 27017)


class FakeConnection:
    """Stands in for a connection."""

    def __init__(self) -> None:
        self.address = ADDRESS
        self.pinned_by: str | None = None


def test_a_connection_goes_back_when_the_last_holder_lets_it_go() -> None:
    given_back: list[FakeConnection] = []
    connection = FakeConnection()
    pin = ConnectionPin(connection, given_back.append, "transaction")
    assert (pin.address, connection.pinned_by) == (ADDRESS, "transaction")
    assert pin.hold() is pin
    pin.release()
    assert (given_back, connection.pinned_by) == ([], "transaction")
    pin.release()
    assert (given_back, connection.pinned_by) == ([connection], None)


def test_a_router_is_kept_from_nobody() -> None:
    pin = RouterPin(ADDRESS)
    assert pin.hold() is pin
    pin.release()
    assert pin.address == ADDRESS


def test_both_are_what_a_session_keeps() -> None:
    assert isinstance(RouterPin(ADDRESS), Pin)
    assert isinstance(ConnectionPin(FakeConnection(), lambda connection: None, "cursor"), Pin)


def test_only_a_connection_that_streams_is_pinned_for_a_stream() -> None:
    connection = FakeConnection()
    assert not RouterPin(ADDRESS).for_stream
    assert not ConnectionPin(connection, lambda connection: None, "cursor").for_stream
    assert ConnectionPin(connection, lambda connection: None, "cursor", for_stream=True).for_stream
