"""What follows a commit that ran out of ``timeoutMS``: the background sends it again, so that no lock stays."""

from __future__ import annotations

import os
from typing import Any

import anyio
import pytest

import wiredrv
from tests.integration.test_session_lifetime import exit_code
from tests.integration.test_timeouts import LIMIT, held, scene
from tests.support.commands import APP_NAME
from tests.support.waiting import until
from wiredrv import ClientSession
from wiredrv.errors import UNKNOWN_COMMIT_RESULT, DriverError
from wiredrv.execution import budget
from wiredrv.local import ReplicaSet
from wiredrv.session.transaction import Outcome

pytestmark = pytest.mark.anyio


class _Transfer:
    """A callback that inserts a document, and what its hooks were told."""

    def __init__(self, collection: wiredrv.Collection, number: int = 1) -> None:
        self.told: list[str] = []
        self._collection = collection
        self._number = number

    async def __call__(self, session: ClientSession) -> None:
        session.on_commit(lambda: self.told.append("committed"))
        session.on_abort(lambda: self.told.append("aborted"))
        session.on_unknown(lambda: self.told.append("unknown"))
        await self._collection.insert_one({"_id": self._number}, session=session)


async def _late(collection: wiredrv.Collection, session: ClientSession, times: int = 1) -> _Transfer:
    """A transaction whose commit runs out of time."""
    transfer = _Transfer(collection)
    async with held(collection, "commitTransaction", times=times):
        with pytest.raises(DriverError) as caught:
            await session.with_transaction(transfer, timeout_ms=LIMIT)
    assert caught.value.timeout
    assert caught.value.has_error_label(UNKNOWN_COMMIT_RESULT)
    assert transfer.told[0] == "unknown"
    return transfer


async def test_the_background_sends_it_again_and_tells_the_outcome(replica_set: ReplicaSet) -> None:
    async with scene(replica_set) as (collection, log), collection.database.client.start_session() as session:
        transfer = await _late(collection, session)
        await until(lambda: len(transfer.told) == 2, "the outcome is known")
        assert transfer.told == ["unknown", "committed"]
        assert session._state.transaction.outcome is Outcome.COMMITTED
        assert await collection.count_documents({}) == 1
        first, second = log.sent("commitTransaction")
        same = ("lsid", "txnNumber", "autocommit")
        assert [first[name] for name in same] == [second[name] for name in same]
        assert second["writeConcern"]["w"] == "majority"
        # To commit once more is allowed, and changes nothing.
        await session.commit_transaction()
        assert transfer.told == ["unknown", "committed"]


async def test_a_bound_transaction_too(replica_set: ReplicaSet) -> None:
    async with scene(replica_set) as (collection, log):
        with pytest.raises(DriverError) as caught:
            await _bound(collection)
        assert caught.value.timeout
        assert await _transactions(collection) == 0
        assert await collection.count_documents({}) == 1
        assert log.names.count("commitTransaction") == 2


async def _bound(collection: wiredrv.Collection) -> None:
    async with held(collection, "commitTransaction"):
        with wiredrv.timeout(LIMIT / 1000):
            async with collection.database.client.transaction():
                await collection.insert_one({"_id": 1})


async def test_the_end_of_the_session_waits_for_it(replica_set: ReplicaSet) -> None:
    async with scene(replica_set) as (collection, _):
        async with collection.database.client.start_session() as session:
            transfer = await _late(collection, session)
        assert transfer.told == ["unknown", "committed"]
        assert await _transactions(collection) == 0


@pytest.mark.parametrize("in_block", [False, True])
async def test_the_end_of_the_session_does_not_wait_for_long(replica_set: ReplicaSet, in_block: bool) -> None:
    async with scene(replica_set) as (collection, _):
        async with held(collection, "commitTransaction", times=2):
            session = collection.database.client.start_session()
            with pytest.raises(DriverError):
                await session.with_transaction(_Transfer(collection), timeout_ms=LIMIT)
            started = anyio.current_time()
            if in_block:
                with wiredrv.timeout(0.05):
                    await session.end_session()
            else:
                await session.end_session(timeout_ms=50)
            assert anyio.current_time() - started < 0.4
        await until_closed(collection)


async def test_the_end_of_the_session_does_not_wait_for_it_in_another_process(
    replica_set: ReplicaSet, anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "GRACE_SECONDS", 20.0)
    async with scene(replica_set) as (collection, _):
        async with held(collection, "commitTransaction", times=2):
            session = collection.database.client.start_session()
            with pytest.raises(DriverError):
                await session.with_transaction(_Transfer(collection), timeout_ms=LIMIT)

            async def end_in_child() -> bool:
                started = anyio.current_time()
                await session.end_session()
                return anyio.current_time() - started < 10

            child = os.fork()
            if child == 0:  # pragma: no cover
                os._exit(exit_code(end_in_child, anyio_backend_name))
            status = await anyio.to_thread.run_sync(lambda: os.waitpid(child, 0)[1])
            assert os.waitstatus_to_exitcode(status) == 0
        await session.end_session()
        await until_closed(collection)


async def until_closed(collection: wiredrv.Collection) -> None:
    for _ in range(40):
        if not await _transactions(collection):
            return
        await anyio.sleep(0.1)
    raise AssertionError("a transaction is open")


async def test_the_end_of_the_client_waits_for_it(replica_set: ReplicaSet) -> None:
    told: list[_Transfer] = []
    async with scene(replica_set) as (collection, _):
        await collection.insert_one({"_id": 0})
        async with wiredrv.Client(replica_set.uri, appName=APP_NAME) as client:
            other = client[collection.database.name][collection.name]
            session = client.start_session()
            told.append(await _late_elsewhere(collection, other, session))
        assert told[0].told == ["unknown", "committed"]
        assert await _transactions(collection) == 0
        assert await collection.count_documents({}) == 2
        await session.end_session()


async def _late_elsewhere(
    collection: wiredrv.Collection, other: wiredrv.Collection, session: ClientSession
) -> _Transfer:
    transfer = _Transfer(other)
    async with held(collection, "commitTransaction"):
        with pytest.raises(DriverError):
            await session.with_transaction(transfer, timeout_ms=LIMIT)
    return transfer


@pytest.mark.parametrize("pause", [0.0, 0.09, 0.1, 0.12])
async def test_the_next_transaction_of_the_session_is_not_harmed(replica_set: ReplicaSet, pause: float) -> None:
    async with scene(replica_set) as (collection, log), collection.database.client.start_session() as session:
        first = await _late(collection, session)
        second = _Transfer(collection, 2)

        async def slow(session: ClientSession) -> None:
            await second(session)
            await anyio.sleep(0.15)
            await collection.insert_one({"_id": 3}, session=session)

        await anyio.sleep(pause)
        await session.with_transaction(slow, timeout_ms=30_000)
        assert second.told == ["committed"]
        await anyio.sleep(0.3)
        found = {document["_id"] async for document in collection.find({})}
        assert {2, 3} <= found
        # A server gives up a transaction when the next one of its session begins, if it was not committed before.
        assert (1 in found) or first.told == ["unknown"]
        assert second.told == ["committed"]
        assert session._state.transaction.outcome is Outcome.COMMITTED
        assert log.names.count("abortTransaction") == 0


async def test_a_commit_of_the_caller_meanwhile_is_told_once(replica_set: ReplicaSet) -> None:
    async with scene(replica_set) as (collection, _), collection.database.client.start_session() as session:
        transfer = await _late(collection, session)
        await session.commit_transaction()
        await anyio.sleep(0.2)
        assert transfer.told == ["unknown", "committed"]


async def _transactions(collection: wiredrv.Collection) -> Any:
    status = await collection.database.client["admin"].command("serverStatus", timeout_ms=0)
    return status["transactions"]["currentOpen"]
