"""What workers ask of the controller, over a connection."""

from __future__ import annotations

import signal
from threading import Thread
from types import FrameType
from typing import cast

import pytest

from wiredrv.testing.owner import Description, Owner
from wiredrv.testing.sharing import OwnerProxy, OwnerServer


class FakeOwner:
    """Has no servers."""

    def describe(self) -> Description:
        return Description("mongodb://h", (), managed=True)

    def restore(self) -> None: ...


class Interrupted(BaseException):
    """As Ctrl-C, or a plugin that limits the time of tests."""


def interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted


def test_a_call_that_is_interrupted_leaves_its_answer_to_no_other() -> None:
    server = OwnerServer(cast(Owner, FakeOwner()))
    alone, waits = OwnerProxy(server.invitation), OwnerProxy(server.invitation)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        alone.begin_turn(alone=True)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(Interrupted):
            waits.begin_turn(alone=True)
        assert waits.describe() == FakeOwner().describe()
        alone.end_turn()
        again = Thread(target=waits.begin_turn, kwargs={"alone": True}, daemon=True)
        again.start()
        again.join(10)
        assert not again.is_alive(), "the turn of the call that was interrupted was not given back"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        alone.close()
        waits.close()
        server.close()
