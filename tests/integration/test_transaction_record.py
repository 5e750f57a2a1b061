"""``error.transaction``: what the error of a failed transaction says about the transaction."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import re
import weakref
from typing import Any

import anyio.lowlevel
import pytest

import wiredrv
from tests.support.commands import APP_NAME, fresh_collection, primary_of, watched
from tests.support.failpoints import fail_command
from wiredrv.errors import (
    TRANSIENT_TRANSACTION,
    AutoReconnect,
    BulkWriteError,
    DriverError,
    DuplicateKeyError,
    OperationFailure,
    TransactionTimeoutError,
)
from wiredrv.local import ReplicaSet
from wiredrv.types import TransactionRecord

pytestmark = pytest.mark.anyio


def _record(error: DriverError) -> TransactionRecord:
    record = error.transaction
    assert isinstance(record, TransactionRecord)
    return record


async def test_it_has_the_attempt_the_number_the_server_the_commands_and_the_cause(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, "record", 1)
        address = primary_of(client)
        async with client.start_session() as session:
            session.start_transaction()
            log.clear()
            await collection.insert_one({"_id": "new"}, session=session)
            await collection.find_one({}, session=session)
            with pytest.raises(DuplicateKeyError) as caught:
                await collection.insert_one({"_id": 0}, session=session)
            number = log.sent("insert")[0]["txnNumber"]
        record = _record(caught.value)
        assert record.attempt == 1
        assert record.txn_number == number
        assert record.server == address
        assert [sent.name for sent in record.commands] == ["insert", "find", "insert"]
        assert {sent.address for sent in record.commands} == {address}
        assert [sent.outcome for sent in record.commands] == ["ok", "ok", "DuplicateKeyError"]
        assert record.cause is caught.value
        started = [sent.started for sent in record.commands]
        assert started == sorted(started)
        assert all(0 < sent.duration < 10 and sent.started >= 0 for sent in record.commands)
        for earlier, later in zip(record.commands, record.commands[1:], strict=False):
            assert earlier.started + earlier.duration <= later.started


async def test_later_errors_name_the_first_one(replica_set: ReplicaSet) -> None:
    """The server aborts the transaction with the first error, and answers "no such transaction" from then on."""
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, "record", 1)
        async with client.start_session() as session:
            session.start_transaction()
            with pytest.raises(DuplicateKeyError) as first:
                await collection.insert_one({"_id": 0}, session=session)
            with pytest.raises(OperationFailure) as second:
                await collection.find_one({}, session=session)
            with pytest.raises(OperationFailure) as third:
                await session.commit_transaction()
        assert second.value.code == third.value.code == 251
        assert second.value.has_error_label(TRANSIENT_TRANSACTION)
        assert _record(second.value).cause is first.value
        record = _record(third.value)
        assert record.cause is first.value
        assert [sent.name for sent in record.commands] == ["insert", "find", "commitTransaction"]


async def test_a_session_that_lives_on_keeps_nothing_of_the_users_alive(replica_set: ReplicaSet) -> None:
    """An error's traceback refers to every frame that it passed through, and those to their variables."""

    class Data:
        """A user's object."""

    async def fail() -> weakref.ref[Data]:
        data = Data()
        with contextlib.suppress(DuplicateKeyError):
            await collection.insert_one({"_id": 0}, session=session)
        return weakref.ref(data)

    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, "record", 1)
        async with client.start_session() as session:
            session.start_transaction()
            data = await fail()
            await anyio.lowlevel.checkpoint()
            gc.collect()
            assert data() is None
            with pytest.raises(OperationFailure) as second:
                await collection.find_one({}, session=session)
            cause = _record(second.value).cause
            assert isinstance(cause, DuplicateKeyError)
            assert (cause.code, cause.__traceback__) == (11000, None)
            assert "first failure: DuplicateKeyError: E11000" in str(second.value.transaction)


async def test_it_can_be_read(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, "record", 1)
        address = primary_of(client)

        async def work() -> None:
            async with client.transaction():
                await collection.update_one({"_id": "new"}, {"$set": {"a": 1}}, upsert=True)
                await collection.insert_one({"_id": 0})

        with pytest.raises(DuplicateKeyError) as caught:
            await work()
        lines = str(caught.value.transaction).splitlines()
        assert re.fullmatch(rf"transaction \d+ of session [0-9a-f-]{{36}} on {address}, attempt 1", lines[0])
        assert re.fullmatch(rf" +\d+\.\d ms  update -> {address}: ok \(\d+\.\d ms\)", lines[1])
        assert re.fullmatch(rf" +\d+\.\d ms  insert -> {address}: DuplicateKeyError \(\d+\.\d ms\)", lines[2])
        assert lines[3].startswith("  first failure: DuplicateKeyError: E11000")


async def test_the_attempts_of_with_transaction_have_records_of_their_own(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, "record")
        seen: list[TransactionRecord] = []

        async def callback(session: wiredrv.ClientSession) -> None:
            await collection.insert_one({}, session=session)
            try:
                await collection.find_one({}, session=session)
            except DriverError as error:
                seen.append(_record(error))
                raise

        data = {"errorCode": 251}
        async with client.start_session() as session:
            # The server looks up a session's first transaction number with a find, which would hit the fail point.
            await collection.insert_one({}, session=session)
            async with fail_command(primary_of(client), "find", times=2, app_name=APP_NAME, data=data):
                await session.with_transaction(callback, retry=wiredrv.RetryPolicy(jitter=lambda: 0.0))
            assert session.attempt == 3
        assert [record.attempt for record in seen] == [1, 2]
        assert [record.txn_number for record in seen] == [2, 3]
        assert all([sent.name for sent in record.commands] == ["insert", "find"] for record in seen)
        assert seen[0].cause is not seen[1].cause


async def test_a_timeout_of_with_transaction_carries_the_last_record(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, "record")

        async def callback(session: wiredrv.ClientSession) -> None:
            await collection.insert_one({}, session=session)

        async with client.start_session() as session:
            data = {"errorCode": 251}
            async with fail_command(primary_of(client), "commitTransaction", app_name=APP_NAME, data=data):
                with pytest.raises(TransactionTimeoutError) as caught:
                    await session.with_transaction(callback, retry=wiredrv.RetryPolicy(timeout=0))
        record = _record(caught.value)
        assert [sent.name for sent in record.commands] == ["insert", "commitTransaction"]
        assert record.cause is caught.value.__cause__


async def test_a_command_that_was_tried_again_appears_twice(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, "record")
        async with client.start_session() as session:
            session.start_transaction()
            await collection.insert_one({}, session=session)
            data = {"closeConnection": True}
            address = primary_of(client)
            async with fail_command(address, "commitTransaction", times=2, app_name=APP_NAME, data=data):
                with pytest.raises(AutoReconnect) as caught:
                    await session.commit_transaction()
            record = _record(caught.value)
            assert [sent.name for sent in record.commands] == ["insert"] + ["commitTransaction"] * 2
            assert record.commands[1].outcome.endswith(", retried")
            assert not record.commands[2].outcome.endswith(", retried")
            await session.commit_transaction()


async def test_a_bulk_that_fails_in_a_transaction_carries_the_record(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, "record", 1)
        with pytest.raises(BulkWriteError) as caught:
            async with client.transaction():
                await collection.insert_many([{"_id": 1}, {"_id": 0}, {"_id": 2}])
        record = _record(caught.value)
        assert [(sent.name, sent.outcome) for sent in record.commands] == [("insert", "BulkWriteError")]


async def test_errors_outside_of_transactions_have_none(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, "record", 1)
        async with client.start_session() as session:
            for options in ({}, {"session": session}):
                given: dict[str, Any] = dict(options)
                with pytest.raises(DuplicateKeyError) as caught:
                    await collection.insert_one({"_id": 0}, **given)
                assert caught.value.transaction is None
            async with session.start_transaction():
                await collection.insert_one({}, session=session)
            with pytest.raises(DuplicateKeyError) as caught:
                await collection.insert_one({"_id": 0}, session=session)
            assert caught.value.transaction is None


async def test_a_record_shows_no_contents(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, "record")

        async def work() -> None:
            async with client.transaction():
                await collection.insert_one({"password": "hunter2"})
                await collection.find_one({"$nonsense": "hunter2"})

        with pytest.raises(OperationFailure) as caught:
            await work()
        record = _record(caught.value)
        assert "hunter2" not in repr(record.commands)
        assert "password" not in str(record)


# --- the note of an uncaught error ------------------------------------------------------------------------------------

_NOTE = re.compile(
    r"wiredrv: transaction \d+ of session [0-9a-f-]{36} on \S+, attempt (\d+)\n"
    r"( +\S+ ms  \w+ -> \S+: \w+ \(\S+ ms\)\n?)+"
)


def _note(error: BaseException) -> str:
    notes: list[str] = getattr(error, "__notes__", [])
    assert len(notes) == 1, notes
    assert _NOTE.fullmatch(notes[0]), notes[0]
    return notes[0]


async def _in_client_transaction(client: wiredrv.Client, collection: Any) -> None:
    async with client.transaction():
        await collection.insert_one({"_id": "new"})
        await collection.insert_one({"_id": 0, "secret": "s3cret"})


async def _in_block(client: wiredrv.Client, collection: Any) -> None:
    async with client.start_session() as session, session.start_transaction():
        await collection.find_one({"secret": "s3cret"}, session=session)
        raise ValueError("mine")


async def _without_block(client: wiredrv.Client, collection: Any) -> None:
    async with client.start_session() as session:
        session.start_transaction()
        await collection.find_one({"secret": "s3cret"}, session=session)
        raise ValueError("mine")


@pytest.mark.parametrize(
    "body, kind, command",
    [
        (_in_client_transaction, DuplicateKeyError, "insert"),
        (_in_block, ValueError, "find"),
        (_without_block, ValueError, "find"),
    ],
)
async def test_an_error_that_leaves_a_transaction_is_shown_with_the_record(
    replica_set: ReplicaSet, body: Any, kind: type[Exception], command: str
) -> None:
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, "record", 1)
        with pytest.raises(kind) as caught:
            await body(client, collection)
    note = _note(caught.value)
    assert f"{command} -> " in note
    assert ("DuplicateKeyError" in note) is (kind is DuplicateKeyError)
    assert not any(text in note for text in ("s3cret", "dup key", "mine"))


async def test_an_error_that_leaves_with_transaction_has_the_note_of_its_last_attempt(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, "record", 1)
        attempts: list[DriverError] = []

        async def callback(session: wiredrv.ClientSession) -> None:
            await collection.find_one({}, session=session)
            if session.attempt < 3:
                attempts.append(OperationFailure("again", error_labels=[TRANSIENT_TRANSACTION]))
                raise attempts[-1]
            raise ValueError("mine")

        async with client.start_session() as session:
            with pytest.raises(ValueError, match="mine") as caught:
                await session.with_transaction(callback)
        assert ", attempt 3\n" in _note(caught.value)
        assert [getattr(error, "__notes__", []) for error in attempts] == [[], []]


async def test_an_error_that_is_caught_in_the_block_or_comes_before_it_gets_no_note(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, "record", 1)
        async with client.start_session() as session:
            with pytest.raises(DuplicateKeyError) as caught:
                await collection.insert_one({"_id": 0}, session=session)
            session.start_transaction()
            with pytest.raises(DuplicateKeyError) as inside:
                await collection.insert_one({"_id": 0}, session=session)
            await session.abort_transaction()
            with pytest.raises(wiredrv.errors.ConfigurationError) as unstarted:
                await session.with_transaction("no function")  # type: ignore[arg-type]  # the mistake

        async def nothing_sent() -> None:
            async with client.transaction():
                raise ValueError("mine")

        with pytest.raises(ValueError, match="mine") as empty:
            await nothing_sent()
        for one in (caught, inside, unstarted, empty):
            assert not hasattr(one.value, "__notes__")


@dataclasses.dataclass(frozen=True)
class _Frozen(Exception):
    """Takes no attributes, and so no notes."""

    account: str


class _Stubborn(Exception):
    def add_note(self, note: str) -> None:
        raise RuntimeError(note)


async def _in_with_transaction(client: wiredrv.Client, collection: Any, error: Exception) -> None:
    async def callback(session: wiredrv.ClientSession) -> None:
        await collection.insert_one({"_id": "new"}, session=session)
        raise error

    async with client.start_session() as session:
        try:
            await session.with_transaction(callback)
        finally:
            assert not session.in_transaction


async def _in_transaction_block(client: wiredrv.Client, collection: Any, error: Exception) -> None:
    async with client.start_session() as session:
        try:
            async with session.start_transaction():
                await collection.insert_one({"_id": "new"}, session=session)
                raise error
        finally:
            assert not session.in_transaction


async def _in_session_block(client: wiredrv.Client, collection: Any, error: Exception) -> None:
    session = client.start_session()
    try:
        async with session:
            session.start_transaction()
            await collection.insert_one({"_id": "new"}, session=session)
            raise error
    finally:
        assert session.has_ended


async def _in_clients_transaction(client: wiredrv.Client, collection: Any, error: Exception) -> None:
    async with client.transaction():
        await collection.insert_one({"_id": "new"})
        raise error


@pytest.mark.parametrize(
    "body", [_in_with_transaction, _in_transaction_block, _in_session_block, _in_clients_transaction]
)
@pytest.mark.parametrize("error", [_Frozen("a"), _Stubborn()], ids=["frozen", "stubborn"])
async def test_an_error_that_takes_no_note_aborts_the_transaction_all_the_same(
    replica_set: ReplicaSet, body: Any, error: Exception
) -> None:
    async with watched(replica_set) as (client, log):
        collection = await fresh_collection(client, "record")
        with pytest.raises(type(error)) as caught:
            await body(client, collection, error)
        assert caught.value is error
        assert len(log.sent("abortTransaction")) == 1
        assert await collection.count_documents({}) == 0


async def test_an_exception_object_that_is_raised_again_and_again_keeps_its_last_notes(
    replica_set: ReplicaSet,
) -> None:
    error = ValueError("mine")
    async with watched(replica_set) as (client, _):
        collection = await fresh_collection(client, "record")
        for _round in range(6):
            with pytest.raises(ValueError, match="mine"):
                await _in_clients_transaction(client, collection, error)
    numbers = [int(note.split()[2]) for note in error.__notes__]
    assert numbers == sorted(numbers)
    assert len(numbers) == 3


@pytest.mark.parametrize("by_server", [False, True], ids=["user's error", "server's refusal"])
async def test_an_error_that_leaves_the_transactions_of_two_sessions_has_the_notes_of_both(
    replica_set: ReplicaSet, by_server: bool
) -> None:
    async with watched(replica_set) as (client, _), watched(replica_set) as (other, _):
        collection = await fresh_collection(client, "record")
        query = {"$none": 1} if by_server else {}

        async def move() -> None:
            async with client.start_session() as outer, outer.start_transaction():
                await collection.insert_one({"_id": 1}, session=outer)
                async with other.start_session() as inner, inner.start_transaction():
                    await other[collection.database.name][collection.name].find_one(query, session=inner)
                    raise KeyError("mine")

        with pytest.raises(OperationFailure if by_server else KeyError) as caught:
            await move()
    first, second = caught.value.__notes__
    assert "find -> " in first
    assert "insert -> " in second
