"""The prose tests of the specification "Convenient API for Transactions" (transactions-convenient-api/tests/README.md).

They have headings instead of numbers; they are numbered here in their order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest

import wiredrv
from tests.support.commands import APP_NAME, CommandLog, fresh_collection, primary_of, watched
from tests.support.failpoints import fail_command
from tests.support.pauses import recorded_pauses
from wiredrv.client.sessions import with_transaction
from wiredrv.errors import (
    TRANSIENT_TRANSACTION,
    UNKNOWN_COMMIT_RESULT,
    DriverError,
    OperationFailure,
    TransactionTimeoutError,
)
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

#: Too little time for a second attempt.
_NO_TIME = wiredrv.RetryPolicy(timeout=0)


@asynccontextmanager
async def _scene(
    replica_set: ReplicaSet,
) -> AsyncIterator[tuple[wiredrv.ClientSession, wiredrv.Collection, CommandLog]]:
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, "prose")
        async with client.start_session() as session:
            log.clear()
            yield session, collection, log


async def test_1_an_error_without_labels_of_the_callback_is_raised_as_it_is(replica_set: ReplicaSet) -> None:
    """Convenient API, "Callback Raises a Custom Error"."""

    class OwnError(Exception):
        pass

    calls: list[int] = []
    raised = OwnError("mine")
    async with _scene(replica_set) as (session, _, _log):

        async def callback(session: wiredrv.ClientSession) -> None:
            calls.append(session.attempt)
            raise raised

        with pytest.raises(OwnError) as caught:
            await session.with_transaction(callback)
        assert caught.value is raised
        assert calls == [1]


@pytest.mark.parametrize("value", [True, "a string", {"an": "object"}, None])
async def test_2_what_the_callback_returns_is_returned(replica_set: ReplicaSet, value: object) -> None:
    """Convenient API, "Callback Returns a Value"."""
    async with _scene(replica_set) as (session, collection, _):

        async def callback(session: wiredrv.ClientSession) -> object:
            await collection.insert_one({}, session=session)
            return value

        assert await session.with_transaction(callback) is value


async def test_3_1_no_retry_of_the_callback_when_time_is_up(replica_set: ReplicaSet) -> None:
    """Convenient API, "Retry Timeout is Enforced", first case: the callback fails with a transient error."""
    calls: list[int] = []
    transient = OperationFailure("a transient error", 112, error_labels=[TRANSIENT_TRANSACTION, "AndAnother"])
    async with _scene(replica_set) as (session, _, _log):

        async def callback(session: wiredrv.ClientSession) -> None:
            calls.append(session.attempt)
            raise transient

        with pytest.raises(TransactionTimeoutError) as caught:
            await session.with_transaction(callback, retry=_NO_TIME)
        assert calls == [1]
        assert caught.value.__cause__ is transient
        assert caught.value.error_labels == transient.error_labels
        assert caught.value.timeout


@pytest.mark.parametrize(
    "case, data, label",
    [
        ("3.2", {"writeConcernError": {"code": 91, "errmsg": "made up"}}, UNKNOWN_COMMIT_RESULT),
        ("3.3", {"errorCode": 251}, TRANSIENT_TRANSACTION),
    ],
)
async def test_3_2_and_3_3_no_retry_of_the_commit_when_time_is_up(
    replica_set: ReplicaSet, case: str, data: Mapping[str, Any], label: str
) -> None:
    """Convenient API, "Retry Timeout is Enforced", second and third case: the commit's result is unknown, or it
    is that there is no such transaction."""
    async with _scene(replica_set) as (session, collection, log):

        async def callback(session: wiredrv.ClientSession) -> None:
            await collection.insert_one({}, session=session)

        address = primary_of(session.client)
        async with fail_command(address, "commitTransaction", times=2, app_name=APP_NAME, data=data):
            with pytest.raises(TransactionTimeoutError) as caught:
                await session.with_transaction(callback, retry=_NO_TIME)
        cause = caught.value.__cause__
        assert isinstance(cause, DriverError)
        assert cause.has_error_label(label)
        assert caught.value.error_labels == cause.error_labels
        assert log.names.count("insert") == 1
        # The made-up replies replaced a commit or an abort: the transaction would hold its locks for a minute.
        await session.client.admin.command("killAllSessions", [])


async def test_4_retries_are_preceded_by_growing_pauses(
    replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Convenient API, "Retry Backoff is Enforced": thirteen pauses that add up to 2.3 s.

    The machine's own delays do not count: the test compares the requested durations of the pauses, and checks that a
    run takes at least that long.
    """
    pauses = recorded_pauses(monkeypatch, with_transaction)
    durations: list[float] = []
    sums: list[float] = []
    async with _scene(replica_set) as (session, collection, log):

        async def callback(session: wiredrv.ClientSession) -> None:
            await collection.insert_one({}, session=session)

        async def timed_run(jitter: float) -> None:
            start = monotonic()
            await session.with_transaction(callback, retry=wiredrv.RetryPolicy(jitter=lambda: jitter))
            durations.append(monotonic() - start)

        for jitter in (0.0, 1.0):
            pauses.clear()
            log.clear()
            address = primary_of(session.client)
            async with fail_command(address, "commitTransaction", times=13, app_name=APP_NAME, data={"errorCode": 251}):
                await timed_run(jitter)
            assert log.names.count("commitTransaction") == 14
            assert len(pauses) == 13
            sums.append(sum(pauses))
        assert sums[0] == 0
        assert abs(sums[1] - 2.3) < 0.5
        assert durations[1] >= 2.28
