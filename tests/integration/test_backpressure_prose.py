"""The prose tests of the client-backpressure specification (client-backpressure/tests/README.md), by number.

2 was removed from the specification.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from typing import Any

import pytest

from tests.support.commands import APP_NAME, fresh_collection, primary_of, watched
from tests.support.failpoints import fail_command
from tests.support.fake_server import FakeServer, fine, with_sessions
from tests.support.pauses import recorded_pauses
from wiredrv import waits
from wiredrv.errors import RETRYABLE, SYSTEM_OVERLOADED, OperationFailure
from wiredrv.execution import attempts
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

_LABELS = [SYSTEM_OVERLOADED, RETRYABLE]
_RATE_LIMITED = 462
#: More than any operation is retried.
_ALWAYS = 1000


def _jitter(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    monkeypatch.setattr(waits, "random", lambda: value)


async def test_1_the_pauses_grow(replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Client backpressure, prose test 1: two pauses that add up to 0.6 s.

    The machine's own delays do not count: the test compares the requested durations of the pauses, and checks that
    the run takes at least that long.
    """
    pauses = recorded_pauses(monkeypatch, attempts)
    sums: list[float] = []
    duration = 0.0
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, "prose")
        data = {"errorCode": 2, "errorLabels": _LABELS}
        async with fail_command(primary_of(client), "insert", times=_ALWAYS, app_name=APP_NAME, data=data):
            for jitter in (0.0, 1.0):
                _jitter(monkeypatch, jitter)
                pauses.clear()
                start = monotonic()
                with pytest.raises(OperationFailure):
                    await collection.insert_one({"a": 1})
                duration = monotonic() - start
                sums.append(sum(pauses))
    assert sums == pytest.approx([0.0, 0.6])
    assert duration >= 0.59


@pytest.mark.parametrize(
    "options, retries",
    [
        pytest.param({}, 2, id="3"),
        pytest.param({"maxAdaptiveRetries": 1}, 1, id="4"),
        pytest.param({"maxAdaptiveRetries": 0}, 0, id="none"),
    ],
)
async def test_3_and_4_how_often_an_overloaded_server_is_asked_again(
    replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], retries: int
) -> None:
    """Client backpressure, prose tests 3 and 4."""
    _jitter(monkeypatch, 0.0)
    async with watched(replica_set, **options) as (client, log):
        collection = await fresh_collection(client, "prose")
        data = {"errorCode": _RATE_LIMITED, "errorLabels": _LABELS}
        async with fail_command(primary_of(client), "find", times=_ALWAYS, app_name=APP_NAME, data=data):
            log.clear()
            with pytest.raises(OperationFailure) as caught:
                await collection.find_one({})
        assert caught.value.error_labels >= set(_LABELS)
        assert log.names == ["find"] * (retries + 1)


async def test_5_the_server_may_name_the_base_of_the_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Client backpressure, prose test 5; a fake stands in for a 9.0 server."""
    _jitter(monkeypatch, 1.0)
    pauses = recorded_pauses(monkeypatch, attempts)
    base: dict[str, Any] = {}

    def answer(command: dict[str, Any]) -> Mapping[str, Any]:
        if "insert" not in command:
            return fine(command)
        return {"ok": 0, "code": _RATE_LIMITED, "errmsg": "too many", "errorLabels": _LABELS, **base}

    with FakeServer(with_sessions(), answer) as server:
        async with watched(server.uri) as (client, _):
            with pytest.raises(OperationFailure):
                await client.test.test.insert_one({"a": 1})
            assert pauses == pytest.approx([0.2, 0.4])
            pauses.clear()
            base["baseBackoffMS"] = 50
            start = monotonic()
            with pytest.raises(OperationFailure) as caught:
                await client.test.test.insert_one({"a": 1})
            assert (caught.value.details or {})["baseBackoffMS"] == 50
            assert pauses == pytest.approx([0.1, 0.2])
            assert monotonic() - start >= 0.29
