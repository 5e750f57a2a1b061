"""How many Python calls common operations make. ``benchmarks/calls.py`` says how they are counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from bson.timestamp import Timestamp

from benchmarks.calls import Calls, count, steps
from tests.support.fake_server import FakeServer, fine, with_sessions
from wiredrv import Client
from wiredrv.execution import budget, timeout

pytestmark = pytest.mark.anyio

#: The driver's calls on asyncio and on trio, and the frames. Lower a number when there are fewer; raising one needs a
#: good reason.
MOST = {
    "find_one": (55, 54, 7),
    "find_one, session": (62, 61, 7),
    "find_one, transaction": (66, 65, 7),
    "insert_one": (63, 62, 7),
    "update_one": (68, 67, 8),
}


def answer(command: dict[str, Any]) -> Mapping[str, Any]:
    """The fields that a replica set member adds to its reply."""
    reply = dict(fine(command))
    if "find" in command:
        reply["cursor"]["firstBatch"] = [{"_id": 1, "name": "one"}]
    time = Timestamp(1_700_000_000, 1)
    return {**reply, "n": 1, "$clusterTime": {"clusterTime": time}, "operationTime": time}


@pytest.fixture
def primary() -> Iterator[FakeServer]:
    """The only member of a replica set."""
    with FakeServer(with_sessions(), answer) as server:
        server.hello.update(setName="rs", hosts=[str(server.address)], me=str(server.address))
        yield server


@pytest.fixture
async def found(primary: FakeServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, Calls]:
    # A program without `wiredrv.timeout` blocks and cancellations, whatever the tests before this one did.
    monkeypatch.setattr(timeout.use, "begun", False)
    monkeypatch.setattr(budget, "running", {})
    async with Client(f"mongodb://{primary.address}/?replicaSet=rs") as client, steps(client) as named:
        return {name: await count(step) for name, step in named.items()}


async def test_operations_make_no_more_calls_than_before(found: dict[str, Calls], anyio_backend: str) -> None:
    column = ("asyncio", "trio").index(anyio_backend)
    more = {
        name: (calls.driver, calls.frames)
        for name, calls in found.items()
        if calls.driver > MOST[name][column] or calls.frames > MOST[name][2]
    }
    assert more == {}
    assert found.keys() == MOST.keys()
