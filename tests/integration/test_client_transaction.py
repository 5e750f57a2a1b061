"""``client.transaction()``: session, transaction and binding in one step."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

import wiredrv
from tests.support.commands import APP_NAME, CommandLog, fresh_collection, primary_of, watched
from tests.support.failpoints import fail_command
from wiredrv import _introspect
from wiredrv.errors import (
    UNKNOWN_COMMIT_RESULT,
    AutoReconnect,
    ConfigurationError,
    InvalidOperation,
    OperationFailure,
)
from wiredrv.local import ReplicaSet, Standalone

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def _scene(replica_set: ReplicaSet) -> AsyncIterator[tuple[wiredrv.Client, wiredrv.Collection, CommandLog]]:
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, "one_step")
        log.clear()
        yield client, collection, log


def _here() -> str:
    """``file:line`` of the caller."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return f"{frame.f_back.f_code.co_filename}:{frame.f_back.f_lineno}"


async def test_the_end_of_the_block_commits_and_ends_the_session(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):
        async with client.transaction() as session:
            assert isinstance(session, wiredrv.ClientSession)
            assert session.in_transaction
            await collection.insert_one({"_id": 1})
            await collection.insert_one({"_id": 2}, session=session)
        assert session.has_ended
        assert log.names == ["insert", "insert", "commitTransaction"]
        assert len(set(log.lsids())) == 1
        assert log.sent()[0]["startTransaction"] is True
        assert await collection.count_documents({}) == 2


async def test_an_exception_aborts_and_is_raised_as_it_is(replica_set: ReplicaSet) -> None:
    raised = ValueError("the block's own")
    sessions: list[wiredrv.ClientSession] = []
    async with _scene(replica_set) as (client, collection, log):

        async def work() -> None:
            async with client.transaction() as session:
                sessions.append(session)
                await collection.insert_one({"_id": 1})
                raise raised

        with pytest.raises(ValueError, match="own") as caught:
            await work()
        assert caught.value is raised
        assert sessions[0].has_ended
        assert log.names == ["insert", "abortTransaction"]
        assert await collection.count_documents({}) == 0


async def test_a_cancellation_aborts(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):
        with anyio.CancelScope() as scope:
            async with client.transaction() as session:
                await collection.insert_one({"_id": 1})
                scope.cancel()
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert session.has_ended
        assert log.names == ["insert", "abortTransaction"]


async def test_an_empty_block_sends_nothing(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, _, log):
        async with client.transaction():
            pass
        assert log.names == []


async def test_the_options_are_the_transactions(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):
        async with client.transaction(
            wiredrv.ReadConcern("snapshot"),
            wiredrv.WriteConcern("majority", wtimeout=5000),
            wiredrv.ReadPreference.PRIMARY,
            max_commit_time_ms=6000,
        ):
            await collection.insert_one({"_id": 1})
        assert log.sent("insert")[0]["readConcern"]["level"] == "snapshot"
        assert "writeConcern" not in log.sent("insert")[0]
        commit = log.sent("commitTransaction")[0]
        assert commit["writeConcern"] == {"w": "majority", "wtimeout": 5000}
        assert commit["maxTimeMS"] == 6000


async def test_options_that_make_no_sense_are_refused_before_anything_begins(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, _, log):
        with pytest.raises(ConfigurationError, match="unacknowledged"):
            client.transaction(write_concern=wiredrv.WriteConcern(w=0))
        with pytest.raises(ConfigurationError, match="max_commit_time_ms"):
            client.transaction(max_commit_time_ms=-1)
        assert log.names == []


async def test_a_commit_that_fails_is_raised_and_the_session_ends(replica_set: ReplicaSet) -> None:
    sessions: list[wiredrv.ClientSession] = []
    async with _scene(replica_set) as (client, collection, log):

        async def work() -> None:
            async with client.transaction() as session:
                sessions.append(session)
                await collection.insert_one({"_id": 1})

        data = {"closeConnection": True}
        async with fail_command(primary_of(client), "commitTransaction", times=2, app_name=APP_NAME, data=data):
            with pytest.raises(AutoReconnect) as caught:
                await work()
        assert caught.value.has_error_label(UNKNOWN_COMMIT_RESULT)
        assert sessions[0].has_ended
        # The transaction may have been committed by what was sent, so it is not aborted.
        assert log.names == ["insert", "commitTransaction", "commitTransaction"]
        # The fail point broke the connection before the server looked at the commit: the transaction is still open.
        await client.admin.command("killSessions", [_introspect.session_lsid(sessions[0])])


async def test_a_commit_that_is_refused_is_raised_and_the_session_ends(replica_set: ReplicaSet) -> None:
    sessions: list[wiredrv.ClientSession] = []
    async with _scene(replica_set) as (client, collection, log):

        async def work() -> None:
            async with client.transaction() as session:
                sessions.append(session)
                await collection.insert_one({"_id": 1})
                with wiredrv.unbound():
                    await client.admin.command("killSessions", [session.session_id])

        with pytest.raises(OperationFailure) as caught:
            await work()
        assert caught.value.code == 251
        assert sessions[0].has_ended
        assert log.names == ["insert", "killSessions", "commitTransaction"]


async def test_the_block_may_end_the_transaction_itself(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):
        async with client.transaction() as session:
            await collection.insert_one({"_id": 1})
            await session.abort_transaction()
        async with client.transaction() as session:
            await collection.insert_one({"_id": 2})
            await session.commit_transaction()
        assert log.names == ["insert", "abortTransaction", "insert", "commitTransaction"]


# --- nested transactions ----------------------------------------------------------------------------------------------


async def test_one_inside_another_is_refused_naming_the_outer(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):
        outer, where = client.transaction(), _here()
        async with outer as session:
            await collection.insert_one({"_id": 1})
            with pytest.raises(InvalidOperation) as caught:
                await client.transaction().__aenter__()
            for part in (where, "join=True", "wiredrv.unbound()"):
                assert part in str(caught.value)
            # The outer one continues.
            assert session.in_transaction
            await collection.insert_one({"_id": 2})
        assert log.names == ["insert", "insert", "commitTransaction"]


async def test_inside_a_bound_transaction_of_a_session_it_is_refused_too(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, _, _log):
        session, where = client.start_session(), _here()
        async with session, session.bind(), session.start_transaction():
            with pytest.raises(InvalidOperation) as caught:
                await client.transaction().__aenter__()
            assert where in str(caught.value)


async def test_join_takes_part_in_the_outer_one(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):
        async with client.transaction() as outer:
            await collection.insert_one({"_id": 1})
            async with client.transaction(join=True) as inner:
                assert inner is outer
                await collection.insert_one({"_id": 2})
                async with client.transaction(join=True) as innermost:
                    assert innermost is outer
            assert outer.in_transaction
            assert not outer.has_ended
            await collection.insert_one({"_id": 3})
        assert log.names == ["insert", "insert", "insert", "commitTransaction"]
        assert len(set(log.lsids())) == 1


async def test_join_alone_is_a_transaction_of_its_own(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):
        async with client.transaction(join=True) as session:
            await collection.insert_one({"_id": 1})
        assert session.has_ended
        assert log.names == ["insert", "commitTransaction"]


async def test_an_error_of_a_part_that_joined_aborts_when_it_leaves_the_outer_block(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):

        async def part() -> None:
            async with client.transaction(join=True):
                await collection.insert_one({"_id": 2})
                raise ValueError("the part's own")

        async def whole() -> None:
            async with client.transaction():
                await collection.insert_one({"_id": 1})
                await part()

        with pytest.raises(ValueError, match="the part's own"):
            await whole()
        assert log.names == ["insert", "insert", "abortTransaction"]


async def test_unbound_allows_an_independent_one_inside(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):
        async with client.transaction() as outer:
            await collection.insert_one({"_id": 1})
            with wiredrv.unbound():
                async with client.transaction() as inner:
                    assert inner is not outer
                    await collection.insert_one({"_id": 2})
            await collection.insert_one({"_id": 3})
        assert log.names == ["insert", "insert", "commitTransaction", "insert", "commitTransaction"]
        lsids = log.lsids()
        assert lsids[0] == lsids[3] == lsids[4] != lsids[1] == lsids[2]


async def test_a_bound_session_without_a_transaction_is_no_outer_one(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log), client.start_session() as session, session.bind():
        async with client.transaction() as own:
            assert own is not session
            await collection.insert_one({"_id": 1})
        log.clear()
        await collection.find_one({})
        assert log.lsids() == [bytes(session.session_id["id"])]


async def test_inside_a_transaction_of_another_client_it_is_refused_with_advice(replica_set: ReplicaSet) -> None:
    async with (
        _scene(replica_set) as (client, collection, _),
        watched(replica_set) as (other, _log),
        other.transaction(),
    ):
        with pytest.raises(InvalidOperation, match="belongs to another client"):
            await client.transaction().__aenter__()
        with wiredrv.unbound():
            async with client.transaction():
                await collection.insert_one({"_id": 1})


async def test_a_child_task_inherits_no_transaction(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, collection, log):

        async def child() -> None:
            with pytest.raises(InvalidOperation, match="inherited a session"):
                await collection.insert_one({"_id": 2})
            with pytest.raises(InvalidOperation, match="inherited a session"):
                await client.transaction(join=True).__aenter__()
            with wiredrv.unbound():
                async with client.transaction():
                    await collection.insert_one({"_id": 3})

        async with client.transaction():
            await collection.insert_one({"_id": 1})
            async with anyio.create_task_group() as group:
                group.start_soon(child)
        assert log.names == ["insert", "insert", "commitTransaction", "commitTransaction"]


async def test_it_is_entered_once(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, _, _log):
        block = client.transaction()
        async with block:
            pass
        with pytest.raises(InvalidOperation, match="entered only once"):
            await block.__aenter__()


async def test_hooks_work_in_it(replica_set: ReplicaSet) -> None:
    heard: list[str] = []
    async with _scene(replica_set) as (client, collection, _):
        async with client.transaction() as session:
            session.on_commit(lambda: heard.append("committed"))
            await collection.insert_one({"_id": 1})
            assert heard == []
        assert heard == ["committed"]


async def test_a_standalone_is_named_before_anything_is_sent(standalone: Standalone) -> None:
    async with watched(standalone) as (client, log):
        assert not await client.supports_transactions()
        collection = await fresh_collection(client, "one_step")
        log.clear()

        async def work() -> None:
            async with client.transaction():
                await collection.insert_one({"_id": 1})

        with pytest.raises(InvalidOperation, match="wiredrv local up"):
            await work()
        assert log.names == []


async def test_a_replica_set_supports_transactions(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (client, _, _log):
        assert await client.supports_transactions()


async def test_a_transaction_and_the_session_that_is_bound_around_it_see_one_another(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, "around")
        async with client.start_session() as session, session.bind():
            await orders.insert_one({"_id": 1})
            before = session.operation_time
            log.clear()
            async with client.transaction():
                await orders.insert_one({"_id": 2})
            assert log.sent("insert")[0]["readConcern"] == {"afterClusterTime": before}
            committed = log.succeeded_events[-1].reply["operationTime"]
            assert session.operation_time == committed
            await orders.find_one({})
            assert log.sent("find")[0]["readConcern"] == {"afterClusterTime": committed}
            with contextlib.suppress(ZeroDivisionError):
                async with client.transaction():
                    await orders.insert_one({"_id": 3})
                    raise ZeroDivisionError
            assert session.operation_time == log.succeeded_events[-1].reply["operationTime"]


@pytest.mark.parametrize("options", [{"causal_consistency": False}, {"snapshot": True}])
async def test_a_session_that_is_not_causally_consistent_is_not_continued_from(
    replica_set: ReplicaSet, options: dict[str, Any]
) -> None:
    async with watched(replica_set) as (client, log):
        orders = await fresh_collection(client, "around")
        async with client.start_session(**options) as session, session.bind():
            await orders.find_one({})
            before = session.operation_time
            async with client.transaction():
                await orders.insert_one({"_id": 2})
            assert "readConcern" not in log.sent("insert")[0]
            assert session.operation_time == before
