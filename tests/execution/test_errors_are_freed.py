"""An error, and with it the frames of its callers, is freed as soon as the program drops it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

import wiredrv
from tests.support.fake_server import FakeServer, fine, with_sessions
from wiredrv.errors import OperationFailure

pytestmark = pytest.mark.anyio


@contextmanager
def collecting_nothing() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Held:
    """What a caller of the driver has in a variable."""


async def fail(client: wiredrv.Client, kept: list[weakref.ref[Any]]) -> None:
    held = Held()
    kept.append(weakref.ref(held))
    try:
        await client.db.command("fails")
    except OperationFailure as error:
        kept.append(weakref.ref(error))


async def retry(client: wiredrv.Client, kept: list[weakref.ref[Any]]) -> None:
    held = Held()
    kept.append(weakref.ref(held))
    assert await client.db.items.find_one() is None


@pytest.mark.parametrize("work", [fail, retry])
async def test_an_error_that_nobody_keeps_is_freed(work: Any) -> None:
    finds = []

    def answer(command: dict[str, Any]) -> Mapping[str, Any]:
        if "fails" in command:
            return {"ok": 0, "code": 59, "errmsg": "no such command: 'fails'"}
        if "find" in command:
            finds.append(command)
            if len(finds) == 2:
                return {"ok": 0, "code": 11600, "errmsg": "the server shuts down"}
        return fine(command)

    kept: list[weakref.ref[Any]] = []
    with FakeServer(with_sessions(), answer) as server:
        async with wiredrv.Client(f"mongodb://{server.address}") as client:
            assert await client.db.items.find_one() is None
            with collecting_nothing():
                await work(client, kept)
                assert [reference() for reference in kept] == [None] * len(kept)
    assert len(finds) == (1 if work is fail else 3)
