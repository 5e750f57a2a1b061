"""What a recording costs. ``python -m benchmarks.recording`` measures it in instructions and in processor time."""

from __future__ import annotations

import contextlib

import pytest

import wiredrv
from benchmarks.calls import count, steps
from tests.support.fake_server import FakeServer, with_sessions
from tests.test_calls import MOST, answer
from wiredrv import Client
from wiredrv.execution import budget, timeout

pytestmark = pytest.mark.anyio

#: The driver's further calls for each operation: these are what a recording costs, almost alone. Of 55, eight are 15 %.
FURTHER = {"find_one": 8, "find_one, session": 11, "find_one, transaction": 13, "insert_one": 10, "update_one": 9}


async def test_a_recording_adds_few_calls(monkeypatch: pytest.MonkeyPatch, anyio_backend: str) -> None:
    monkeypatch.setattr(timeout.use, "begun", False)
    monkeypatch.setattr(budget, "running", {})
    with FakeServer(with_sessions(), answer) as primary:
        primary.hello.update(setName="rs", hosts=[str(primary.address)], me=str(primary.address))
        async with Client(f"mongodb://{primary.address}/?replicaSet=rs") as client, steps(client) as named:
            found: dict[str, int] = {}
            for name, step in named.items():
                calls = []
                for block in (contextlib.nullcontext(), wiredrv.record(), contextlib.nullcontext()):
                    with block:
                        calls.append((await count(step, 50)).driver)
                assert calls[0] == calls[2] <= max(MOST[name][:2]), "nothing is left of a recording"
                found[name] = calls[1] - calls[0]
    assert found.keys() == FURTHER.keys()
    assert {name: more for name, more in found.items() if more > FURTHER[name]} == {}
    assert min(found.values()) > 0
