"""Operations of one session take turns, on real servers: in the order of the calls, each in its own transaction.

The rules themselves are tested in ``tests/session/test_turns.py``; here two tasks really overlap, for every pair of
operations in both orders, with a cancellation at each wait.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import pytest

import wiredrv
from tests.support.commands import APP_NAME, CommandLog, fresh_collection, primary_of, watched
from tests.support.failpoints import FailPoint, fail_command
from tests.support.leaks import LeakWatch
from tests.support.steps import Steps
from tests.support.waiting import until
from wiredrv.errors import DriverError, InvalidDocument, InvalidOperation
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

_NAME = "turns"
#: Long enough, even on a busy machine, for the waiting call to start.
_HELD_MS = 400

Call = Callable[[], Awaitable[object]]


async def _together(*calls: Call) -> list[object]:
    """Each in a task of its own, started in this order; returns what they returned or raised."""
    results: list[object] = [None] * len(calls)

    async def run(index: int, call: Call) -> None:
        try:
            results[index] = await call()
        except DriverError as error:
            results[index] = error

    async with anyio.create_task_group() as group:
        for index, call in enumerate(calls):
            started = anyio.Event()

            async def begin(index: int = index, call: Call = call, started: anyio.Event = started) -> None:
                started.set()
                await run(index, call)

            group.start_soon(begin)
            # trio starts tasks in any order.
            await started.wait()
    return results


def _failures(results: list[object]) -> list[object]:
    return [result for result in results if isinstance(result, BaseException)]


async def test_overlapping_statements_run_one_after_the_other_in_one_session(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, _NAME)
        async with client.start_session() as session:
            log.clear()
            results = await _together(
                lambda: collection.insert_one({"_id": 1}, session=session),
                lambda: collection.count_documents({}, session=session),
                lambda: collection.insert_one({"_id": 2}, session=session),
                lambda: collection.count_documents({}, session=session),
            )
        assert (results[1], results[3]) == (1, 2)
        assert log.names[:4] == ["insert", "aggregate", "insert", "aggregate"]
        assert len(set(log.lsids())) == 1


async def test_overlapping_statements_of_a_transaction_are_committed_together(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, _NAME)
        async with client.start_session() as session:
            log.clear()
            async with session.start_transaction():
                inserts = [lambda n=n: collection.insert_one({"_id": n}, session=session) for n in range(5)]
                assert not _failures(await _together(*inserts))
            assert log.names == ["insert"] * 5 + ["commitTransaction"]
        starts = [command.get("startTransaction") for command in log.sent("insert")]
        assert starts == [True, None, None, None, None]
        assert await collection.count_documents({}) == 5


async def test_a_commit_waits_for_what_was_called_before_it(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _log):
        collection = await fresh_collection(client, _NAME)
        async with (
            client.start_session() as session,
            anyio.create_task_group() as group,
            fail_command(primary_of(client), "insert", app_name=APP_NAME, block_ms=_HELD_MS) as point,
            session.start_transaction(),
        ):
            for number in (1, 2, 3):
                group.start_soon(partial(collection.insert_one, {"_id": number}, session=session))
            await point.wait_until_entered()
        assert await collection.count_documents({}) == 3


@pytest.mark.parametrize("fails", ["here", "on the server"])
async def test_a_commit_behind_a_statement_that_fails_commits_nothing(replica_set: ReplicaSet, fails: str) -> None:
    async with watched(replica_set) as (client, _log):
        collection = await fresh_collection(client, _NAME)
        watch = LeakWatch(replica_set, client, collection.full_name)
        await watch.remember()
        bad: dict[str, Any] = {"_id": object()} if fails == "here" else {"_id": 0}
        async with client.start_session() as session:
            session.start_transaction()
            async with fail_command(primary_of(client), "insert", app_name=APP_NAME, block_ms=_HELD_MS):
                results = await _together(
                    lambda: collection.insert_one({"_id": 0}, session=session),
                    lambda: collection.insert_one(bad, session=session),
                    session.commit_transaction,
                )
            first, second, commit = results
            assert not isinstance(first, DriverError)
            assert isinstance(second, DriverError)
            assert isinstance(commit, DriverError)
            if fails == "here":
                assert isinstance(second, InvalidDocument)
                assert isinstance(commit, InvalidOperation)
                assert commit.__cause__ is second
            assert await collection.count_documents({}) == 0
            await watch.check("a commit behind a failure")
            # The session is still usable.
            async with session.start_transaction():
                await collection.insert_one({"_id": 0}, session=session)
        assert await collection.count_documents({}) == 1


@pytest.mark.parametrize("ending", ["commit_transaction", "abort_transaction"])
async def test_what_is_called_after_an_ending_is_refused_and_never_runs_outside(
    replica_set: ReplicaSet, ending: str
) -> None:
    async with watched(replica_set) as (client, _log):
        collection = await fresh_collection(client, _NAME)
        async with (
            fail_command(primary_of(client), "update", app_name=APP_NAME, block_ms=_HELD_MS),
            client.start_session() as session,
        ):
            session.start_transaction()
            await collection.insert_one({"_id": 0}, session=session)
            results = await _together(
                lambda: collection.update_one({"_id": 1}, {"$set": {"x": 1}}, upsert=True, session=session),
                getattr(session, ending),
                lambda: collection.insert_one({"_id": 2}, session=session),
                session.commit_transaction,
                session.abort_transaction,
            )
            for refused in results[2:]:
                assert isinstance(refused, InvalidOperation)
                assert "which is not done yet" in str(refused)
            await collection.insert_one({"_id": 3}, session=session)
        kept = [0, 1, 3] if ending == "commit_transaction" else [3]
        assert await collection.distinct("_id") == kept


async def test_a_block_that_is_left_by_an_error_refuses_what_waits_and_aborts(replica_set: ReplicaSet) -> None:
    class Mine(Exception):
        pass

    async with watched(replica_set) as (client, _log):
        collection = await fresh_collection(client, _NAME)
        watch = LeakWatch(replica_set, client, collection.full_name)
        await watch.remember()
        async with client.start_session() as session:
            results: list[list[object]] = []

            async def others() -> None:
                results.append(
                    await _together(
                        lambda: collection.insert_one({"_id": 1}, session=session),
                        lambda: collection.insert_one({"_id": 2}, session=session),
                    )
                )

            async def left_by_an_error(point: FailPoint) -> None:
                async with session.start_transaction():
                    await collection.update_one({"_id": 0}, {"$set": {"x": 1}}, upsert=True, session=session)
                    group.start_soon(others)
                    await point.wait_until_entered()
                    raise Mine

            async with (
                fail_command(primary_of(client), "insert", app_name=APP_NAME, block_ms=_HELD_MS) as held,
                anyio.create_task_group() as group,
            ):
                with pytest.raises(Mine):
                    await left_by_an_error(held)
                assert not session.in_transaction
            flight, waiting = results[0]
            assert not isinstance(flight, BaseException)
            assert isinstance(waiting, InvalidOperation)
            assert "left by an error" in str(waiting)
            await watch.check("a block left by an error")
            assert await collection.count_documents({}) == 0


async def test_a_transaction_is_not_started_over_an_operation_in_flight(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _log):
        collection = await fresh_collection(client, _NAME, 1)
        async with client.start_session() as session:
            async with (
                fail_command(primary_of(client), "find", app_name=APP_NAME, block_ms=_HELD_MS) as point,
                anyio.create_task_group() as group,
            ):
                group.start_soon(lambda: collection.find_one({}, session=session))
                await point.wait_until_entered()
                with pytest.raises(InvalidOperation, match="while 'find' is still running"):
                    session.start_transaction()
            session.start_transaction()
            await session.abort_transaction()


async def test_a_session_that_ends_refuses_what_waits(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _log):
        collection = await fresh_collection(client, _NAME, 1)
        session = client.start_session()
        results: list[list[object]] = []
        async with (
            fail_command(primary_of(client), "find", app_name=APP_NAME, block_ms=_HELD_MS) as point,
            anyio.create_task_group() as group,
        ):

            async def use() -> None:
                find = lambda: collection.find_one({}, session=session)  # noqa: E731
                results.append(await _together(find, find))

            group.start_soon(use)
            await point.wait_until_entered()
            await session.end_session()
        assert results[0][0] == {"_id": 0}
        assert isinstance(results[0][1], InvalidOperation)


async def test_whoever_has_the_turn_and_calls_again_is_refused(replica_set: ReplicaSet) -> None:
    """A listener runs within the operation that it is notified of: the call would wait for itself."""
    errors: list[BaseException] = []
    wanted: list[Callable[[], Any]] = []

    def listener(event: object) -> None:
        if wanted and isinstance(event, wiredrv.events.CommandStartedEvent):
            call = wanted.pop()()
            try:
                call.send(None)
            except BaseException as error:
                errors.append(error)
            finally:
                call.close()

    async with watched(replica_set, listener) as (client, _log):
        collection = await fresh_collection(client, _NAME, 1)
        async with client.start_session() as session:
            wanted.append(lambda: collection.find_one({}, session=session))
            assert await collection.find_one({}, session=session) == {"_id": 0}
        assert isinstance(errors[0], InvalidOperation)
        assert "it would wait for itself" in str(errors[0])


async def test_the_debug_log_names_both_tasks(replica_set: ReplicaSet, caplog: pytest.LogCaptureFixture) -> None:
    async with watched(replica_set) as (client, _log):
        collection = await fresh_collection(client, _NAME, 1)
        async with client.start_session() as session:

            async def read() -> None:
                await collection.find_one({}, session=session)

            async def write() -> None:
                await collection.insert_one({}, session=session)

            with caplog.at_level(logging.DEBUG, "wiredrv.session"):
                async with (
                    fail_command(primary_of(client), "find", app_name=APP_NAME, block_ms=_HELD_MS) as point,
                    anyio.create_task_group() as group,
                ):
                    group.start_soon(read, name="the reader")
                    await point.wait_until_entered()
                    group.start_soon(write, name="the writer")
        assert "task 'the writer' waits with insert for its turn: task 'the reader' runs find" in caplog.text


async def test_a_bulk_of_several_commands_has_one_turn(replica_set: ReplicaSet) -> None:
    """A commit that is called afterwards commits all of it."""
    requests = [
        wiredrv.InsertOne({"_id": 1}),
        wiredrv.UpdateOne({"_id": 1}, {"$set": {"x": 1}}),
        wiredrv.InsertOne({"_id": 2}),
    ]
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, _NAME)
        async with (
            fail_command(primary_of(client), "insert", app_name=APP_NAME, block_ms=_HELD_MS),
            client.start_session() as session,
        ):
            session.start_transaction()
            log.clear()
            results = await _together(
                lambda: collection.bulk_write(requests, session=session), session.commit_transaction
            )
        assert not _failures(results)
        assert log.names[:4] == ["insert", "update", "insert", "commitTransaction"]
        assert await collection.count_documents({}) == 2


@pytest.mark.parametrize("ending", ["commit_transaction", "abort_transaction"])
async def test_a_call_on_a_client_that_still_opens_has_its_place_in_the_transaction(
    replica_set: ReplicaSet, ending: str
) -> None:
    async with watched(replica_set) as (client, _log):
        collection = await fresh_collection(client, _NAME)
        unopened = wiredrv.Client(replica_set.uri)
        same = unopened[collection.database.name][collection.name]
        session = unopened.start_session()
        session.start_transaction()
        results = await _together(lambda: same.insert_one({"_id": 1}, session=session), getattr(session, ending))
        assert not _failures(results)
        await session.end_session()
        await unopened.close()
        assert await collection.count_documents({}) == (1 if ending == "commit_transaction" else 0)


async def test_a_block_whose_commit_does_not_get_its_turn_aborts(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _log):
        collection = await fresh_collection(client, _NAME)
        watch = LeakWatch(replica_set, client, collection.full_name)
        await watch.remember()
        async with (
            client.start_session() as session,
            fail_command(primary_of(client), "insert", app_name=APP_NAME, block_ms=_HELD_MS) as point,
            anyio.create_task_group() as group,
        ):
            with anyio.CancelScope() as scope:
                async with session.start_transaction():
                    group.start_soon(partial(collection.insert_one, {"_id": 1}, session=session))
                    await point.wait_until_entered()
                    group.start_soon(_cancel_soon, scope)
            assert scope.cancelled_caught
            with pytest.raises(InvalidOperation):
                await session.commit_transaction()
        await watch.check("a commit that was cancelled while it waited")
        assert await collection.count_documents({}) == 0


async def _cancel_soon(scope: anyio.CancelScope) -> None:
    await anyio.sleep(0.05)
    scope.cancel()


async def test_a_cancelled_block_is_aborted_however_long_its_statement_takes(replica_set: ReplicaSet) -> None:
    """The abort has to wait for the statement of another task; until then nothing else can run or be committed."""
    told: list[str] = []
    async with watched(replica_set) as (client, _log):
        collection = await fresh_collection(client, _NAME)
        async with (
            client.start_session() as session,
            fail_command(primary_of(client), "insert", app_name=APP_NAME, block_ms=3000) as point,
            anyio.create_task_group() as group,
        ):
            with anyio.CancelScope() as scope:
                async with session.start_transaction():
                    session.on_abort(lambda: told.append("aborted"))
                    group.start_soon(partial(collection.insert_one, {"_id": 1}, session=session))
                    await point.wait_until_entered()
                    scope.cancel()
                    await anyio.sleep(60)
            for call in (lambda: collection.insert_one({"_id": 2}, session=session), session.commit_transaction):
                with pytest.raises(InvalidOperation):
                    await call()
        await until(lambda: told == ["aborted"], "the background aborted it")
        assert await collection.count_documents({}) == 0


# --- every pair, in both orders, cancelled at each wait ---------------------------------------------------------------


class Place:
    """A session with a cursor that has more documents, and the collection to write to."""

    def __init__(self, client: wiredrv.Client, collection: wiredrv.Collection, session: wiredrv.ClientSession) -> None:
        self.client = client
        self.collection = collection
        self.session = session
        self.cursor = collection.find({"seed": True}, batch_size=2, session=session)

    async def insert(self) -> None:
        await self.collection.insert_one({"written": True}, session=self.session)

    async def update_many(self) -> None:
        await self.collection.update_many({"seed": True}, {"$inc": {"count": 1}}, session=self.session)

    async def find_one(self) -> None:
        await self.collection.find_one({}, session=self.session)

    async def get_more(self) -> None:
        await self.cursor.to_list()

    async def close_cursor(self) -> None:
        await self.cursor.close()

    async def commit(self) -> None:
        await self.session.commit_transaction()

    async def abort(self) -> None:
        await self.session.abort_transaction()

    async def end_session(self) -> None:
        await self.session.end_session()


PLAIN = ("insert", "find_one", "get_more", "close_cursor", "end_session")
IN_TRANSACTION = ("insert", "update_many", "get_more", "close_cursor", "commit", "abort", "end_session")
PAIRS = [
    *((first, second, False) for first, second in itertools.product(PLAIN, repeat=2)),
    *((first, second, True) for first, second in itertools.product(IN_TRANSACTION, repeat=2)),
]
ENDINGS = ("commit", "abort", "end_session")
#: More waits than any of the calls makes.
_MOST_WAITS = 25


async def _place(client: wiredrv.Client, collection: wiredrv.Collection, transaction: bool) -> Place:
    await collection.delete_many({})
    await collection.insert_many([{"_id": n, "seed": True} for n in range(6)])
    place = Place(client, collection, client.start_session())
    if transaction:
        place.session.start_transaction()
        await place.collection.insert_one({"written": True}, session=place.session)
    await place.cursor.next()
    return place


async def _run_pair(place: Place, first: str, second: str, cancel: str, step: int) -> tuple[bool, list[object]]:
    """Run both at once and cancel one of them at a wait; returns whether it got that far, and what was raised."""
    reached = False
    raised: list[object] = []

    async def run(name: str, cancelled: bool) -> None:
        nonlocal reached
        with anyio.CancelScope() as scope:
            steps = Steps(
                getattr(place, name)(), lambda number: scope.cancel() if number == step and cancelled else None
            )
            try:
                await steps
            except DriverError as error:
                raised.append(error)
            finally:
                reached = reached or (cancelled and steps.count >= step)

    await _together(lambda: run(first, cancel == "first"), lambda: run(second, cancel == "second"))
    return reached, raised


@pytest.mark.parametrize("first, second, transaction", PAIRS)
async def test_every_pair_in_every_order_cancelled_at_each_wait(
    replica_set: ReplicaSet, first: str, second: str, transaction: bool
) -> None:
    log = CommandLog()
    async with wiredrv.Client(replica_set.uri, event_listeners=[log], appName=APP_NAME) as client:
        collection = await fresh_collection(client, _NAME)
        watch = LeakWatch(replica_set, client, collection.full_name)
        await watch.remember()
        for cancel in ("first", "second"):
            for step in range(1, _MOST_WAITS):
                place = await _place(client, collection, transaction)
                log.clear()
                outcomes: list[str] = []
                if transaction:
                    place.session.on_commit(partial(outcomes.append, "committed"))
                    place.session.on_abort(partial(outcomes.append, "aborted"))
                    place.session.on_unknown(partial(outcomes.append, "unknown"))
                reached, raised = await _run_pair(place, first, second, cancel, step)
                where = f"{first} and {second}, the {cancel} one cancelled at its wait {step}: {raised!r}"
                assert all(isinstance(error, DriverError) for error in raised), where
                await place.cursor.close()
                await place.session.end_session()
                await until(partial(_is_idle, place.session), where)
                outside = any("autocommit" not in command for command in [*log.sent("insert"), *log.sent("update")])
                # A call made after an ending was cancelled runs outside of the transaction.
                assert not outside or not transaction or first in ENDINGS, where
                if transaction and not outside:
                    await _all_or_nothing(collection, outcomes, where)
                if not reached:
                    break
            else:
                raise AssertionError("one of the calls never ends")
        await watch.check(f"{first} and {second}")


def _is_idle(session: wiredrv.ClientSession) -> bool:
    return not session._state.turns.busy


async def _all_or_nothing(collection: wiredrv.Collection, outcomes: list[str], where: str) -> None:
    """The data agrees with the reported outcome, and no part of the transaction is there without the rest."""
    await until(lambda: bool(set(outcomes) & {"committed", "aborted"}), f"the outcome is known: {where}")
    written = await collection.count_documents({"written": True})
    assert (written > 0) == ("committed" in outcomes), f"{where}: {written} written, told {outcomes}"
    counts = await collection.distinct("count")
    assert len(counts) <= 1, where
    if "committed" not in outcomes:
        assert counts == [], where
