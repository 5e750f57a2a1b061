"""Type checkers know the names that ``from wiredrv import *`` imports."""
# ruff: noqa: F403, F405  # the star is what is tested

from __future__ import annotations

from typing import Any, assert_type

from wiredrv import *


async def names_are_known(client: Client, orders: Collection[dict[str, int]]) -> None:
    assert_type(client, Client[dict[str, Any]])
    assert_type(await orders.find_one(sort=[("sku", ASCENDING)]), dict[str, int] | None)
    assert_type(errors.BulkWriteError({}), errors.BulkWriteError)
    print(events.CommandListener, __version__)
