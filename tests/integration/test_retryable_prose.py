"""The prose tests of the retryable-writes and retryable-reads specifications (their tests/README.md), by number.

Not here, because they need a sharded cluster: retryable-writes 4 and 5, retryable-reads 2.1 and 2.2.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import pytest

import wiredrv
from tests.support.commands import APP_NAME, CommandLog, fresh_collection, primary_of, watched
from tests.support.failpoints import fail_command
from tests.support.fake_server import FakeServer, fine, with_sessions
from tests.support.pauses import recorded_pauses
from tests.support.waiting import until
from wiredrv import events
from wiredrv.errors import (
    NO_WRITES_PERFORMED,
    BulkWriteError,
    DriverError,
    NotPrimaryError,
    OperationFailure,
    WriteConcernError,
)
from wiredrv.execution import attempts
from wiredrv.local import ReplicaSet, Server

pytestmark = pytest.mark.anyio

_OVERLOAD = ["RetryableError", "SystemOverloadedError"]
#: How often an operation is retried on overload by default (client-backpressure).
_MAX_RETRIES = 2


class _PoolLog(events.ConnectionPoolListener):
    """What happened to the pools, in order, since ``clear``."""

    def __init__(self) -> None:
        self.events: list[events.PoolEvent] = []

    def connection_checked_out(self, event: events.ConnectionCheckedOutEvent) -> None:
        self.events.append(event)

    def connection_check_out_failed(self, event: events.ConnectionCheckOutFailedEvent) -> None:
        self.events.append(event)

    def pool_cleared(self, event: events.PoolClearedEvent) -> None:
        self.events.append(event)


class _SecondFailPoint(events.CommandListener):
    """Changes the server's fail point as soon as a command has hit the first one, before the driver retries."""

    def __init__(self, server: Server, command: str, mode: Any, data: Mapping[str, Any], on_success: bool) -> None:
        self._server = server
        self._command = command
        self._configure = {
            "configureFailPoint": "failCommand",
            "mode": mode,
            "data": {"failCommands": [command], "appName": APP_NAME, **data},
        }
        self._on_success = on_success
        self.armed = True

    def succeeded(self, event: events.CommandSucceededEvent) -> None:
        if self._on_success and event.command_name == self._command and "writeConcernError" in event.reply:
            self._fire()

    def failed(self, event: events.CommandFailedEvent) -> None:
        if not self._on_success and event.command_name == self._command:
            self._fire()

    def _fire(self) -> None:
        if self.armed:
            self.armed = False
            self._server.ask(dict(self._configure))


@asynccontextmanager
async def _two_fail_points(
    replica_set: ReplicaSet,
    command: str,
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    *,
    on_success: bool = False,
    once: bool = False,
) -> AsyncIterator[tuple[wiredrv.Collection, CommandLog]]:
    """A collection whose ``command`` fails with ``first``, then (``once`` or always) with ``second``."""
    primary = await anyio.to_thread.run_sync(replica_set.primary)
    mode: Any = {"times": 1} if once else "alwaysOn"
    switch = _SecondFailPoint(primary, command, mode, second, on_success)
    async with watched(replica_set, switch, retryWrites=True, retryReads=True) as (client, log):
        collection = await fresh_collection(client, "prose")
        log.clear()
        async with fail_command(primary.address, command, app_name=APP_NAME, data=first):
            yield collection, log
        assert not switch.armed, "the first fail point met no command"


# --- retryable writes -------------------------------------------------------------------------------------------------


async def test_writes_1_a_storage_engine_without_retryable_writes_is_explained() -> None:
    """Retryable writes, prose test 1; a fake stands in for a member with the storage engine MMAPv1."""
    said = "Transaction numbers are only allowed on storage engines that support document-level locking"

    def answer(command: dict[str, Any]) -> Mapping[str, Any]:
        return {"ok": 0, "code": 20, "errmsg": said} if "insert" in command else fine(command)

    hello = {**with_sessions(), "maxWireVersion": 8, "setName": "rs0"}
    with FakeServer(hello, answer) as server:
        hello["hosts"] = server.hello["hosts"] = [str(server.address)]
        async with watched(server.uri, retryWrites=True) as (client, log):
            with pytest.raises(OperationFailure) as caught:
                await client.test.test.insert_one({})
            assert "txnNumber" in log.sent("insert")[0]
    assert caught.value.code == 20
    assert str(caught.value).startswith(
        "This MongoDB deployment does not support retryable writes. Please add retryWrites=false to your connection "
        "string."
    )


async def _pool_is_cleared_under_two(
    replica_set: ReplicaSet, command: str, data: Mapping[str, Any], call: Callable[[wiredrv.Collection], Any]
) -> None:
    pool = _PoolLog()
    async with watched(replica_set, pool, maxPoolSize=1, retryWrites=True, retryReads=True) as (client, log):
        collection = await fresh_collection(client, "prose", 1)
        address = primary_of(client)
        data = {"errorCode": 91, **data}
        async with fail_command(address, command, block_ms=300, app_name=APP_NAME, data=data):
            pool.events.clear()
            log.clear()
            async with anyio.create_task_group() as group:
                group.start_soon(call, collection)
                group.start_soon(call, collection)
        assert log.names == [command] * 3
        kinds = [type(event) for event in pool.events if event.address == address]
        assert kinds[:3] == [
            events.ConnectionCheckedOutEvent,
            events.PoolClearedEvent,
            events.ConnectionCheckOutFailedEvent,
        ]
        failed = next(event for event in pool.events if isinstance(event, events.ConnectionCheckOutFailedEvent))
        assert failed.reason == "connectionError"


async def test_writes_2_a_cleared_pool_is_retried(replica_set: ReplicaSet) -> None:
    """Retryable writes, prose test 2."""
    await _pool_is_cleared_under_two(
        replica_set, "insert", {"errorLabels": ["RetryableWriteError"]}, lambda collection: collection.insert_one({})
    )


async def test_writes_3_the_first_error_is_raised_when_the_retry_wrote_nothing(replica_set: ReplicaSet) -> None:
    """Retryable writes, prose test 3."""
    async with _two_fail_points(
        replica_set,
        "insert",
        {"errorLabels": ["RetryableWriteError"], "writeConcernError": {"code": 91, "errmsg": "made up"}},
        {"errorCode": 10107, "errorLabels": ["RetryableWriteError", NO_WRITES_PERFORMED]},
        on_success=True,
        once=True,
    ) as (collection, log):
        with pytest.raises(WriteConcernError) as caught:
            await collection.insert_one({})
        assert caught.value.code == 91
        assert log.names == ["insert"] * 2


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_bulk_tells_what_was_written_when_its_retry_wrote_nothing(
    replica_set: ReplicaSet, ordered: bool
) -> None:
    """Retryable writes, "Executing Retryable Write Commands": the first error is raised, here with a bulk's counts."""
    async with _two_fail_points(
        replica_set,
        "insert",
        {"errorLabels": ["RetryableWriteError"], "writeConcernError": {"code": 91, "errmsg": "made up"}},
        {"errorCode": 10107, "errorLabels": ["RetryableWriteError", NO_WRITES_PERFORMED]},
        on_success=True,
        once=True,
    ) as (collection, log):
        requests = [wiredrv.InsertOne({"_id": 1}), wiredrv.InsertOne({"_id": 2}), wiredrv.DeleteOne({"_id": 1})]
        with pytest.raises(BulkWriteError) as caught:
            await collection.bulk_write(requests, ordered=ordered)
        details = caught.value.details or {}
        assert (details["nInserted"], details["nRemoved"], details["writeErrors"]) == (2, 0, [])
        assert [error["code"] for error in details["writeConcernErrors"]] == [91]
        assert caught.value.partial_result.inserted_count == 2
        assert log.names == ["insert"] * 2
        assert await collection.count_documents({}) == 2


@pytest.mark.parametrize(
    "case, first, second_code, second, code",
    [
        (1, _OVERLOAD, 10107, _OVERLOAD, 10107),
        (2, [*_OVERLOAD, NO_WRITES_PERFORMED], 10107, [*_OVERLOAD, NO_WRITES_PERFORMED], 91),
        (3, _OVERLOAD, 91, [*_OVERLOAD, NO_WRITES_PERFORMED], 91),
    ],
)
async def test_writes_6_which_of_several_errors_is_raised(
    replica_set: ReplicaSet, case: int, first: list[str], second_code: int, second: list[str], code: int
) -> None:
    """Retryable writes, prose test 6, cases 1 to 3."""
    async with _two_fail_points(
        replica_set,
        "insert",
        {"errorCode": 91, "errorLabels": first},
        {"errorCode": second_code, "errorLabels": second},
    ) as (collection, _):
        with pytest.raises(NotPrimaryError) as caught:
            await collection.insert_one({})
        assert caught.value.code == code
        if case == 3:
            assert not caught.value.has_error_label(NO_WRITES_PERFORMED)


async def test_writes_6_case_4_after_an_overload_all_errors_have_its_number_of_retries(
    replica_set: ReplicaSet,
) -> None:
    """Retryable writes, prose test 6, case 4."""
    async with _two_fail_points(
        replica_set,
        "insert",
        {"errorCode": 91, "errorLabels": _OVERLOAD},
        {"errorCode": 91, "errorLabels": ["RetryableError", "RetryableWriteError"]},
    ) as (collection, log):
        with pytest.raises(NotPrimaryError):
            await collection.insert_one({})
        assert log.names == ["insert"] * (_MAX_RETRIES + 1)


async def test_writes_6_case_5_only_overload_is_followed_by_a_pause(
    replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retryable writes, prose test 6, case 5."""
    pauses = recorded_pauses(monkeypatch, attempts)
    async with _two_fail_points(
        replica_set,
        "insert",
        {"errorCode": 91, "errorLabels": _OVERLOAD},
        {"errorCode": 91, "errorLabels": ["RetryableError", "RetryableWriteError"]},
    ) as (collection, log):
        with pytest.raises(NotPrimaryError):
            await collection.insert_one({})
        assert len(log.names) == _MAX_RETRIES + 1
        assert len(pauses) == 1


# --- retryable reads --------------------------------------------------------------------------------------------------


async def test_reads_1_a_cleared_pool_is_retried(replica_set: ReplicaSet) -> None:
    """Retryable reads, prose test 1."""
    await _pool_is_cleared_under_two(replica_set, "find", {}, lambda collection: collection.find_one({}))


@pytest.mark.parametrize(
    "case, labels, retargeting, same_server",
    [
        ("3.1", _OVERLOAD, True, False),
        ("3.2", ["RetryableError"], False, True),
        ("3.3", _OVERLOAD, False, True),
    ],
)
async def test_reads_3_which_member_is_asked_again(
    replica_set: ReplicaSet, case: str, labels: list[str], retargeting: bool, same_server: bool
) -> None:
    """Retryable reads, prose tests 3.1 to 3.3."""
    options = {"readPreference": "primaryPreferred", "retryReads": True, "enableOverloadRetargeting": retargeting}
    async with watched(replica_set, **options) as (client, log):
        collection = await fresh_collection(client, "prose", 1)
        await until(lambda: bool(client.topology.secondaries), "a secondary is known")
        data = {"errorCode": 6, "errorLabels": labels}
        async with fail_command(primary_of(client), "find", app_name=APP_NAME, data=data):
            log.clear()
            await collection.find_one({})
        (failed,) = log.failed_events
        (succeeded,) = log.succeeded_events
        assert (failed.address == succeeded.address) == same_server


async def test_reads_4_after_an_overload_all_errors_have_its_number_of_retries(replica_set: ReplicaSet) -> None:
    """Retryable reads, prose test 4."""
    async with _two_fail_points(
        replica_set,
        "find",
        {"errorCode": 91, "errorLabels": _OVERLOAD},
        {"errorCode": 91, "errorLabels": ["RetryableError"]},
    ) as (collection, log):
        with pytest.raises(DriverError):
            await collection.find_one({})
        assert log.names == ["find"] * (_MAX_RETRIES + 1)


async def test_reads_5_only_overload_is_followed_by_a_pause(
    replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retryable reads, prose test 5."""
    pauses = recorded_pauses(monkeypatch, attempts)
    async with _two_fail_points(
        replica_set,
        "find",
        {"errorCode": 91, "errorLabels": _OVERLOAD},
        {"errorCode": 91, "errorLabels": ["RetryableError"]},
    ) as (collection, log):
        with pytest.raises(DriverError):
            await collection.find_one({})
        assert len(log.names) == _MAX_RETRIES + 1
        assert len(pauses) == 1


# --- beside the prose -------------------------------------------------------------------------------------------------


class _Changing(events.CommandListener):
    """Changes a document as soon as a command has failed."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def failed(self, event: events.CommandFailedEvent) -> None:
        self.document.update(_id="another", n=2)


async def test_a_retried_insert_sends_the_document_as_it_was_when_it_was_called(replica_set: ReplicaSet) -> None:
    document: dict[str, Any] = {"n": 1}
    primary = await anyio.to_thread.run_sync(replica_set.primary)
    async with watched(replica_set, _Changing(document), retryWrites=True) as (client, log):
        collection = await fresh_collection(client, "retried")
        async with fail_command(primary.address, "insert", app_name=APP_NAME, data={"closeConnection": True}):
            inserted = await collection.insert_one(document)
        assert document["n"] == 2
        assert len(log.sent("insert")) == 2
        assert await collection.find().to_list() == [{"_id": inserted.inserted_id, "n": 1}]
