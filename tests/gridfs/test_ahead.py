"""Fetching ahead: the order, how much at once, and what errors and cancellations do."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from wiredrv.gridfs.ahead import in_order

pytestmark = pytest.mark.anyio


class _Fetches:
    def __init__(self) -> None:
        self.running = self.most = 0
        self.begun: list[int] = []
        self.used: list[int] = []

    async def fetch(self, key: int) -> int:
        self.begun.append(key)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            for _ in range(7 - key % 7):
                await anyio.lowlevel.checkpoint()
        finally:
            self.running -= 1
        return key

    async def use(self, value: int) -> None:
        self.used.append(value)
        await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("ahead", [0, 1, 3, 30])
async def test_everything_is_used_in_order(ahead: int) -> None:
    fetches = _Fetches()
    await in_order(fetches.fetch, range(20), fetches.use, ahead)
    assert fetches.used == list(range(20))
    assert fetches.most <= ahead + 1


async def test_no_more_is_fetched_ahead_than_asked_for() -> None:
    fetches = _Fetches()

    async def use(value: int) -> None:
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        assert max(fetches.begun) <= value + 2

    await in_order(fetches.fetch, range(20), use, 2)


async def test_an_error_of_a_fetch_is_raised_in_its_place_and_as_it_is() -> None:
    fetches = _Fetches()

    async def fetch(key: int) -> int:
        if key == 3:
            raise ZeroDivisionError
        return await fetches.fetch(key)

    with pytest.raises(ZeroDivisionError):
        await in_order(fetch, range(20), fetches.use, 2)
    assert fetches.used == [0, 1, 2]
    assert fetches.running == 0


async def test_an_error_of_the_user_is_raised_as_it_is_and_stops_the_fetches() -> None:
    fetches = _Fetches()

    async def use(value: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await in_order(fetches.fetch, range(20), use, 5)
    assert fetches.running == 0


async def test_a_cancellation_stops_the_fetches() -> None:
    fetches = _Fetches()
    with anyio.CancelScope() as scope:

        async def use(value: int) -> None:
            scope.cancel()
            await anyio.lowlevel.checkpoint()

        await in_order(fetches.fetch, range(20), use, 5)
    assert scope.cancelled_caught
    assert fetches.running == 0
