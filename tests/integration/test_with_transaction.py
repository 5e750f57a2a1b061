"""``with_transaction`` beyond its specification: the retry policy, the attempt, hooks, labels of wrapped errors.

The pure decisions are tables at the top; everything below runs on the replica set.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pymongo.errors
import pytest

import wiredrv
from tests.support.commands import APP_NAME, CommandLog, fresh_collection, primary_of, watched
from tests.support.failpoints import fail_command
from wiredrv.client.sessions.with_transaction import DEFAULT_POLICY, backoff, has_label, leaves, out_of_time
from wiredrv.errors import (
    TRANSIENT_TRANSACTION,
    UNKNOWN_COMMIT_RESULT,
    AutoReconnect,
    ConfigurationError,
    DriverError,
    ExecutionTimeout,
    InvalidOperation,
    OperationFailure,
    TransactionTimeoutError,
)
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio


class _Cancelled(BaseException):
    """What the pure functions treat as a cancellation."""


def _transient(message: str = "transient") -> OperationFailure:
    return OperationFailure(message, 112, error_labels=[TRANSIENT_TRANSACTION])


def _wrapped(cause: BaseException, wrapper: type[Exception] = RuntimeError) -> Exception:
    try:
        raise wrapper("wrapped") from cause
    except wrapper as error:
        return error


def _pymongos() -> pymongo.errors.OperationFailure:
    return pymongo.errors.OperationFailure("no", 112, {"errorLabels": [TRANSIENT_TRANSACTION]})


def _caused(error: Exception) -> Exception:
    error.__cause__ = ConnectionResetError("reset")
    return error


# --- pure -------------------------------------------------------------------------------------------------------------

LABELLED: list[tuple[str, BaseException, bool]] = [
    ("a labelled error", _transient(), True),
    ("an error without labels", OperationFailure("no", 1), False),
    ("an error of the user's", ValueError("no"), False),
    ("wrapped once", _wrapped(_transient()), True),
    ("wrapped twice", _wrapped(_wrapped(_transient()), KeyError), True),
    ("wrapping one without labels", _wrapped(OperationFailure("no", 1)), False),
    ("a group of one", ExceptionGroup("g", [_transient()]), True),
    ("a group of two", ExceptionGroup("g", [_transient(), _transient()]), True),
    ("a group with a stranger", ExceptionGroup("g", [_transient(), ValueError("no")]), False),
    ("a group in a group", ExceptionGroup("g", [ExceptionGroup("h", [_transient()])]), True),
    ("a wrapped one in a group", ExceptionGroup("g", [_wrapped(_transient())]), True),
    ("a group as a cause", _wrapped(ExceptionGroup("g", [_transient()])), True),
    ("a group with a cancellation", BaseExceptionGroup("g", [_transient(), _Cancelled()]), True),
    ("a group of cancellations", BaseExceptionGroup("g", [_Cancelled()]), False),
    ("a cancellation", _Cancelled(), False),
    ("PyMongo's error with the label", _pymongos(), True),
    ("PyMongo's error with the label and a cause", _caused(_pymongos()), True),
    ("PyMongo's error without it", pymongo.errors.OperationFailure("no", 1, {}), False),
    ("a group of both drivers' errors", ExceptionGroup("g", [_transient(), _pymongos()]), True),
]


@pytest.mark.parametrize("error, expected", [row[1:] for row in LABELLED], ids=[row[0] for row in LABELLED])
def test_labels_are_found_through_groups_and_wrappers(error: BaseException, expected: bool) -> None:
    assert has_label(error, TRANSIENT_TRANSACTION, _Cancelled) is expected


def test_the_pauses_are_the_specifications() -> None:
    """Convenient API, "Sequence of Actions" 2.1."""
    assert [round(backoff(attempt, 1.0) * 1000, 3) for attempt in (1, 2, 3)] == [7.5, 11.25, 16.875]
    assert backoff(12, 1.0) == backoff(10_000, 1.0) == 0.5
    assert backoff(5, 0.0) == 0
    assert sum(backoff(attempt, 1.0) for attempt in range(1, 14)) == pytest.approx(2.28, abs=0.01)


def test_the_default_policy_is_the_specifications() -> None:
    assert DEFAULT_POLICY.timeout == 120
    assert DEFAULT_POLICY.max_attempts is None
    assert DEFAULT_POLICY.on_retry is None


@pytest.mark.parametrize("options", [{"timeout": -1}, {"timeout": float("nan")}, {"max_attempts": 0}])
def test_a_policy_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        wiredrv.RetryPolicy(**options)


def test_a_timeout_carries_the_labels_that_all_its_errors_have() -> None:
    one, other = _transient(), _transient()
    one.add_error_label("Another")
    for error, labels in (
        (one, {TRANSIENT_TRANSACTION, "Another"}),
        (_wrapped(one), {TRANSIENT_TRANSACTION, "Another"}),
        (ExceptionGroup("g", [one, other]), {TRANSIENT_TRANSACTION}),
        (_pymongos(), {TRANSIENT_TRANSACTION}),
        (ExceptionGroup("g", [one, _pymongos()]), {TRANSIENT_TRANSACTION}),
        (ValueError("no"), set()),
    ):
        raised = out_of_time(error, 120)
        assert isinstance(raised, TransactionTimeoutError)
        assert raised.__cause__ is error
        assert raised.error_labels == labels


@pytest.mark.parametrize(
    "error",
    [ExecutionTimeout("expired", 50), BaseExceptionGroup("g", [_transient(), _Cancelled()])],
    ids=["a timeout", "a cancellation"],
)
def test_a_timeout_and_a_cancellation_stay_what_they_are(error: BaseException) -> None:
    assert out_of_time(error, 120) is error


def test_the_leaves_of_an_error_are_what_went_wrong() -> None:
    one, other = _transient("one"), ValueError("other")
    assert list(leaves(ExceptionGroup("g", [_wrapped(one), ExceptionGroup("h", [other])]))) == [one, other]


# --- on the replica set -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def _scene(
    replica_set: ReplicaSet,
) -> AsyncIterator[tuple[wiredrv.ClientSession, wiredrv.Collection, CommandLog]]:
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, "with_transaction")
        async with client.start_session() as session:
            log.clear()
            yield session, collection, log


def _failing(
    collection: wiredrv.Collection, errors: list[BaseException], calls: list[int]
) -> Callable[[wiredrv.ClientSession], Awaitable[str]]:
    """A callback that inserts, and raises the errors one after the other before it succeeds."""

    async def callback(session: wiredrv.ClientSession) -> str:
        calls.append(session.attempt)
        await collection.insert_one({"attempt": session.attempt}, session=session)
        if errors:
            raise errors.pop(0)
        return "done"

    return callback


RETRIED: list[tuple[str, Callable[[], BaseException]]] = [
    ("a transient error", _transient),
    ("one that is wrapped", lambda: _wrapped(_transient())),
    ("a group of them", lambda: ExceptionGroup("g", [_transient(), _wrapped(_transient())])),
    ("one of PyMongo's", _pymongos),
]


@pytest.mark.parametrize("error", [row[1] for row in RETRIED], ids=[row[0] for row in RETRIED])
async def test_a_transient_error_of_the_callback_starts_over(
    replica_set: ReplicaSet, error: Callable[[], BaseException]
) -> None:
    calls: list[int] = []
    async with _scene(replica_set) as (session, collection, log):
        result = await session.with_transaction(_failing(collection, [error(), error()], calls))
        assert result == "done"
        assert calls == [1, 2, 3]
        assert log.names == ["insert", "abortTransaction"] * 2 + ["insert", "commitTransaction"]
        assert [command["txnNumber"] for command in log.sent("insert")] == [1, 2, 3]
        assert await collection.distinct("attempt") == [3]


RAISED: list[tuple[str, BaseException]] = [
    ("an error without labels", OperationFailure("no", 1)),
    ("a group with a stranger", ExceptionGroup("g", [_transient(), ValueError("no")])),
    ("a wrapped error without labels", _wrapped(OperationFailure("no", 1))),
    ("a commit of the callback's own that is unknown", AutoReconnect("no", error_labels=[UNKNOWN_COMMIT_RESULT])),
]


@pytest.mark.parametrize("error", [row[1] for row in RAISED], ids=[row[0] for row in RAISED])
async def test_any_other_error_of_the_callback_is_raised_as_it_is(
    replica_set: ReplicaSet, error: BaseException
) -> None:
    calls: list[int] = []
    cause = error.__cause__
    async with _scene(replica_set) as (session, collection, log):
        with pytest.raises(type(error)) as caught:
            await session.with_transaction(_failing(collection, [error], calls))
        assert caught.value is error
        assert error.__cause__ is cause
        assert calls == [1]
        assert log.names == ["insert", "abortTransaction"]
        assert not session.in_transaction


async def test_tasks_of_a_callback_that_fail_together_are_tried_again(replica_set: ReplicaSet) -> None:
    """A task group in the callback raises a group; its tasks take turns with the session."""
    calls: list[int] = []
    async with _scene(replica_set) as (session, collection, _):

        async def fails() -> None:
            await collection.insert_one({}, session=session)
            if session.attempt == 1:
                raise _transient()

        async def callback(session: wiredrv.ClientSession) -> None:
            calls.append(session.attempt)
            async with anyio.create_task_group() as group:
                group.start_soon(fails)

        await session.with_transaction(callback)
        assert calls == [1, 2]
        assert await collection.count_documents({}) == 1


async def test_a_wrapper_whose_time_is_up_keeps_its_cause(replica_set: ReplicaSet) -> None:
    calls: list[int] = []
    transient = _transient()
    error = _wrapped(transient)
    async with _scene(replica_set) as (session, collection, _):
        with pytest.raises(TransactionTimeoutError) as caught:
            await session.with_transaction(_failing(collection, [error], calls), retry=wiredrv.RetryPolicy(timeout=0))
        assert caught.value.__cause__ is error
        assert error.__cause__ is transient
        assert caught.value.has_error_label(TRANSIENT_TRANSACTION)


async def test_the_policy_limits_the_attempts(replica_set: ReplicaSet) -> None:
    calls: list[int] = []
    errors: list[BaseException] = [_transient(str(number)) for number in range(5)]
    last = errors[2]
    async with _scene(replica_set) as (session, collection, _):
        with pytest.raises(OperationFailure) as caught:
            await session.with_transaction(
                _failing(collection, errors, calls), retry=wiredrv.RetryPolicy(max_attempts=3)
            )
        assert caught.value is last
        assert calls == [1, 2, 3]


async def test_the_policy_is_asked_for_jitter_and_told_of_each_retry(replica_set: ReplicaSet) -> None:
    calls: list[int] = []
    asked: list[float] = []
    told: list[tuple[int, BaseException]] = []
    errors: list[BaseException] = [_transient("one"), _transient("two")]
    expected = [(2, errors[0]), (3, errors[1])]

    def jitter() -> float:
        asked.append(0.5)
        return 0.5

    policy = wiredrv.RetryPolicy(jitter=jitter, on_retry=lambda attempt, error: told.append((attempt, error)))
    async with _scene(replica_set) as (session, collection, _):
        await session.with_transaction(_failing(collection, errors, calls), retry=policy)
        assert told == expected
        assert asked == [0.5, 0.5]


async def test_no_attempt_begins_that_the_pause_would_carry_past_the_deadline(replica_set: ReplicaSet) -> None:
    """Convenient API, "Sequence of Actions" 2.1: elapsed time and backoff together are compared."""
    calls: list[int] = []
    async with _scene(replica_set) as (session, collection, _):
        policy = wiredrv.RetryPolicy(timeout=5, jitter=lambda: 10_000.0)
        with pytest.raises(TransactionTimeoutError):
            await session.with_transaction(_failing(collection, [_transient()], calls), retry=policy)
        assert calls == [1]


async def test_a_commit_whose_result_is_unknown_is_sent_again_with_majority(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (session, collection, log):
        calls: list[int] = []
        data = {"writeConcernError": {"code": 64, "errmsg": "made up", "errInfo": {"wtimeout": True}}}
        async with fail_command(primary_of(session.client), "commitTransaction", times=2, app_name=APP_NAME, data=data):
            await session.with_transaction(_failing(collection, [], calls), write_concern=wiredrv.WriteConcern(w=1))
        assert calls == [1]
        assert log.names == ["insert"] + ["commitTransaction"] * 3
        concerns = [command.get("writeConcern") for command in log.sent("commitTransaction")]
        assert concerns[0] == {"w": 1}
        assert [concern["w"] for concern in concerns[1:] if concern] == ["majority", "majority"]


async def test_a_commit_that_is_out_of_time_on_the_server_is_not_sent_again(replica_set: ReplicaSet) -> None:
    """Convenient API, "The commit is not retried after a MaxTimeMSExpired error"."""
    async with _scene(replica_set) as (session, collection, log):
        calls: list[int] = []
        async with fail_command(
            primary_of(session.client), "commitTransaction", app_name=APP_NAME, data={"errorCode": 50}
        ):
            with pytest.raises(ExecutionTimeout):
                await session.with_transaction(_failing(collection, [], calls), max_commit_time_ms=5000)
        assert log.names == ["insert", "commitTransaction"]
        assert log.sent("commitTransaction")[0]["maxTimeMS"] == 5000


@pytest.mark.parametrize("ending", ["commit", "abort"])
async def test_a_callback_may_end_the_transaction_itself(replica_set: ReplicaSet, ending: str) -> None:
    """Convenient API, "Sequence of Actions" 8."""
    async with _scene(replica_set) as (session, collection, log):

        async def callback(session: wiredrv.ClientSession) -> str:
            await collection.insert_one({}, session=session)
            await (session.commit_transaction() if ending == "commit" else session.abort_transaction())
            return ending

        assert await session.with_transaction(callback) == ending
        assert log.names == ["insert", f"{ending}Transaction"]


async def test_a_callback_that_sends_nothing_commits_nothing(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (session, _, log):

        async def callback(session: wiredrv.ClientSession) -> int:
            return 7

        assert await session.with_transaction(callback) == 7
        assert log.names == []


async def test_a_transaction_cannot_be_begun_inside_another(replica_set: ReplicaSet) -> None:
    """Convenient API, "It is assumed that the callback will not start a new transaction"."""
    calls: list[int] = []
    async with _scene(replica_set) as (session, collection, log):

        async def callback(session: wiredrv.ClientSession) -> None:
            calls.append(session.attempt)
            await collection.insert_one({}, session=session)
            await session.with_transaction(callback)

        with pytest.raises(InvalidOperation, match="already in progress"):
            await session.with_transaction(callback)
        assert calls == [1]
        assert log.names == ["insert", "abortTransaction"]


async def test_a_callback_that_is_not_asynchronous_is_refused(replica_set: ReplicaSet) -> None:
    async with _scene(replica_set) as (session, _, log):

        def callback(session: wiredrv.ClientSession) -> int:
            return 1

        with pytest.raises(ConfigurationError, match="async def"):
            await session.with_transaction(callback)  # type: ignore[arg-type]
        assert not session.in_transaction
        assert log.names == []


async def test_a_cancelled_callback_aborts_and_is_not_tried_again(replica_set: ReplicaSet) -> None:
    calls: list[int] = []
    async with _scene(replica_set) as (session, collection, log):

        async def callback(session: wiredrv.ClientSession) -> None:
            calls.append(session.attempt)
            await collection.insert_one({}, session=session)
            scope.cancel()
            await anyio.sleep_forever()

        with anyio.CancelScope() as scope:
            await session.with_transaction(callback)
        assert scope.cancelled_caught
        assert calls == [1]
        assert log.names == ["insert", "abortTransaction"]


async def test_the_options_of_the_call_win_over_those_of_the_session(replica_set: ReplicaSet) -> None:
    """Convenient API, "Sequence of Actions" 3, in every attempt."""
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, "with_transaction")
        defaults = wiredrv.TransactionOptions(wiredrv.ReadConcern("majority"), max_commit_time_ms=4000)
        calls: list[int] = []
        async with client.start_session(causal_consistency=False, default_transaction_options=defaults) as session:
            log.clear()
            await session.with_transaction(
                _failing(collection, [_transient()], calls), read_concern=wiredrv.ReadConcern("snapshot")
            )
        assert [command["readConcern"] for command in log.sent("insert")] == [{"level": "snapshot"}] * 2
        assert log.sent("commitTransaction")[0]["maxTimeMS"] == 4000


# --- hooks ------------------------------------------------------------------------------------------------------------


class _Heard:
    """Registers a hook of each kind and records the calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def on(self, session: wiredrv.ClientSession) -> None:
        attempt = session.attempt
        session.on_commit(lambda: self.calls.append(f"committed {attempt}"))
        session.on_abort(lambda: self.calls.append(f"aborted {attempt}"))
        session.on_unknown(lambda: self.calls.append(f"unknown {attempt}"))


async def test_hooks_belong_to_one_attempt(replica_set: ReplicaSet) -> None:
    heard = _Heard()
    async with _scene(replica_set) as (session, collection, _):

        async def callback(session: wiredrv.ClientSession) -> None:
            heard.on(session)
            await collection.insert_one({}, session=session)
            if session.attempt < 3:
                raise _transient()

        await session.with_transaction(callback)
        assert heard.calls == ["aborted 1", "aborted 2", "committed 3"]


@pytest.mark.parametrize("sends", [True, False], ids=["with commands", "empty"])
@pytest.mark.parametrize("ending", ["commit", "abort"])
async def test_hooks_run_once_when_the_outcome_is_known(replica_set: ReplicaSet, ending: str, sends: bool) -> None:
    heard = _Heard()
    async with _scene(replica_set) as (session, collection, _):
        session.start_transaction()
        heard.on(session)
        if sends:
            await collection.insert_one({}, session=session)
        assert heard.calls == []
        if ending == "commit":
            await session.commit_transaction()
            assert heard.calls == ["committed 1"]
            await session.commit_transaction()
            assert heard.calls == ["committed 1"]
        else:
            await session.abort_transaction()
            assert heard.calls == ["aborted 1"]


async def test_ending_the_session_aborts_and_says_so(replica_set: ReplicaSet) -> None:
    heard = _Heard()
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, "with_transaction")
        session = client.start_session()
        session.start_transaction()
        heard.on(session)
        await collection.insert_one({}, session=session)
        await session.end_session()
        assert heard.calls == ["aborted 1"]
        assert log.names[-1] == "abortTransaction"


async def test_an_unknown_outcome_may_become_known(replica_set: ReplicaSet) -> None:
    heard = _Heard()
    async with _scene(replica_set) as (session, collection, _):
        session.start_transaction()
        heard.on(session)
        await collection.insert_one({}, session=session)
        async with fail_command(
            primary_of(session.client),
            "commitTransaction",
            times=2,
            app_name=APP_NAME,
            data={"closeConnection": True},
        ):
            with pytest.raises(AutoReconnect) as caught:
                await session.commit_transaction()
        assert caught.value.has_error_label(UNKNOWN_COMMIT_RESULT)
        assert heard.calls == ["unknown 1"]
        await session.commit_transaction()
        assert heard.calls == ["unknown 1", "committed 1"]


async def test_a_commit_that_the_server_refuses_is_an_abort(replica_set: ReplicaSet) -> None:
    heard = _Heard()
    async with _scene(replica_set) as (session, collection, _):
        session.start_transaction()
        heard.on(session)
        await collection.insert_one({}, session=session)
        async with fail_command(
            primary_of(session.client), "commitTransaction", app_name=APP_NAME, data={"errorCode": 251}
        ):
            with pytest.raises(OperationFailure) as caught:
                await session.commit_transaction()
        assert caught.value.code == 251
        assert heard.calls == ["aborted 1"]


async def test_an_exception_in_a_hook_changes_nothing(
    replica_set: ReplicaSet, caplog: pytest.LogCaptureFixture
) -> None:
    after: list[str] = []

    def broken() -> None:
        raise ValueError("a hook's own failure")

    async with _scene(replica_set) as (session, collection, _):
        with caplog.at_level(logging.ERROR, logger="wiredrv.session"):
            async with session.start_transaction():
                session.on_commit(broken)
                session.on_commit(lambda: after.append("called"))
                await collection.insert_one({"_id": 1}, session=session)
        assert after == ["called"]
        assert "a hook for a transaction that is committed failed" in caplog.text
        assert await collection.count_documents({}) == 1


async def test_a_hook_needs_a_transaction_and_a_function(replica_set: ReplicaSet) -> None:
    async def asynchronous() -> None:
        """It would never be awaited."""

    async with _scene(replica_set) as (session, _, _log):
        for register in (session.on_commit, session.on_abort, session.on_unknown):
            with pytest.raises(InvalidOperation, match="after start_transaction"):
                register(lambda: None)
        session.start_transaction()
        for register in (session.on_commit, session.on_abort, session.on_unknown):
            with pytest.raises(ConfigurationError, match="plain function"):
                register(asynchronous)
            with pytest.raises(ConfigurationError, match="plain function"):
                register("a name")  # type: ignore[arg-type]
        await session.abort_transaction()


async def test_hooks_of_one_transaction_are_not_called_for_the_next(replica_set: ReplicaSet) -> None:
    heard = _Heard()
    async with _scene(replica_set) as (session, collection, _):
        session.start_transaction()
        heard.on(session)
        await session.abort_transaction()
        async with session.start_transaction():
            await collection.insert_one({}, session=session)
        assert heard.calls == ["aborted 1"]


async def test_a_real_conflict_is_tried_again_until_it_succeeds(replica_set: ReplicaSet) -> None:
    """Two transactions change one document at once: the server refuses one of them, which starts over."""
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, "with_transaction", 1)
        attempts: list[int] = []
        reads: list[int] = []
        both = anyio.Event()

        async def add() -> None:
            async def callback(session: wiredrv.ClientSession) -> None:
                attempts.append(session.attempt)
                found: Any = await collection.find_one({"_id": 0}, session=session)
                reads.append(session.attempt)
                if len(reads) == 2:
                    both.set()
                await both.wait()
                value = found.get("n", 0) + 1
                await collection.update_one({"_id": 0}, {"$set": {"n": value}}, session=session)

            async with client.start_session() as session:
                await session.with_transaction(callback)

        async with anyio.create_task_group() as group:
            group.start_soon(add)
            group.start_soon(add)
        assert await collection.find_one({"_id": 0}) == {"_id": 0, "n": 2}
        assert max(attempts) > 1


async def test_a_callback_that_swallows_an_error_gets_no_such_transaction_in_the_end(replica_set: ReplicaSet) -> None:
    """Convenient API, "Handling errors inside the callback": the loop cannot help; a limit on attempts ends it."""
    async with _scene(replica_set) as (session, collection, _):
        await collection.insert_one({"_id": 1})

        async def callback(session: wiredrv.ClientSession) -> None:
            try:
                await collection.insert_one({"_id": 1}, session=session)
            except DriverError:
                pass  # a callback must not do this

        with pytest.raises(OperationFailure) as caught:
            await session.with_transaction(callback, retry=wiredrv.RetryPolicy(max_attempts=2, jitter=lambda: 0.0))
        assert caught.value.code == 251
        record = caught.value.transaction
        assert record is not None
        assert record.attempt == 2
        assert "E11000" in str(record.cause)
