"""OpenTelemetry specification, "Prose Tests"."""

from __future__ import annotations

import pytest

import wiredrv
from tests.support.spans import SpanWatch
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

ENABLED = "OTEL_PYTHON_INSTRUMENTATION_MONGODB_ENABLED"
LENGTH = "OTEL_PYTHON_INSTRUMENTATION_MONGODB_QUERY_TEXT_MAX_LENGTH"


async def _find(replica_set: ReplicaSet, watch: SpanWatch) -> None:
    """An operation of a client that leaves it to the environment whether it is traced."""
    async with wiredrv.Client(replica_set.uri, tracing={"tracer_provider": watch.provider}) as client:
        await client.wiredrv_open_telemetry.test.find({}).to_list()


async def test_1_the_environment_enables_and_disables_tracing(
    replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = SpanWatch()
    monkeypatch.setenv(ENABLED, "false")
    await _find(replica_set, watch)
    assert watch.finished == ()
    monkeypatch.setenv(ENABLED, "true")
    await _find(replica_set, watch)
    assert ("find wiredrv_open_telemetry.test", "find") in watch.outline


async def test_2_the_environment_sets_the_length_of_the_command_payload(
    replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = SpanWatch()
    monkeypatch.setenv(ENABLED, "true")
    monkeypatch.setenv(LENGTH, "1024")
    await _find(replica_set, watch)
    assert (watch.one("find").attributes or {})["db.query.text"] == '{"find": "test", "filter": {}}'
    watch.clear()
    monkeypatch.delenv(LENGTH)
    await _find(replica_set, watch)
    assert "db.query.text" not in (watch.one("find").attributes or {})
