"""What a recording contains, against a fake server."""

from __future__ import annotations

import contextlib
import copy
import gc
import os
import pickle
import threading
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from bson.timestamp import Timestamp

import wiredrv
import wiredrv.sync
from tests.support.fake_server import FakeServer, fine, with_sessions
from wiredrv import Client, Timeline
from wiredrv.errors import ConfigurationError, DriverError, InvalidOperation, OperationFailure
from wiredrv.execution import recording
from wiredrv.timeline.buffer import tape
from wiredrv.timeline.records import (
    CommandRecord,
    Dropped,
    Record,
    SessionMark,
    TopologyMark,
    TransactionMark,
    read_lines,
)

pytestmark = pytest.mark.anyio

SECRET = "hunter2secret"
TIME = Timestamp(1_700_000_000, 7)


def answer(command: dict[str, Any]) -> Mapping[str, Any]:
    times = {"operationTime": TIME, "$clusterTime": {"clusterTime": TIME}}
    match command:
        case {"createUser": _, **rest}:
            return {"ok": 0, "code": 9, "errmsg": f"cannot parse {rest}"}
        case {"drop": _}:
            return {"ok": 0, "code": 72, "errmsg": "unknown option"}
        case {"delete": _} if command.get("autocommit") is False:
            return {"ok": 0, "code": 112, "errmsg": "conflict", "errorLabels": ["TransientTransactionError"]}
    return {**fine(command), **times}


@pytest.fixture
def server() -> Iterator[FakeServer]:
    hello = {**with_sessions(), "setName": "rs", "hosts": [], "maxWireVersion": 17}
    with FakeServer(hello, answer) as fake:
        fake.hello["hosts"] = [str(fake.address)]
        fake.hello["me"] = str(fake.address)
        yield fake


@pytest.fixture
async def client(server: FakeServer) -> AsyncIterator[Client]:
    async with Client(server.uri) as connected:
        await connected.admin.command("ping")
        yield connected


@pytest.fixture(autouse=True)
def nothing_is_recorded_afterwards() -> Iterator[None]:
    yield
    assert tape.buffers == ()
    assert recording._make is None


def commands(timeline: Timeline) -> list[CommandRecord]:
    return [record for record in timeline.records if isinstance(record, CommandRecord)]


def names(timeline: Timeline) -> list[str]:
    return [record.name for record in commands(timeline)]


def marks(timeline: Timeline) -> list[str]:
    kinds = (SessionMark, TransactionMark)
    return [record.event for record in timeline.records if isinstance(record, kinds)]


async def test_a_command_is_recorded(server: FakeServer, client: Client) -> None:
    with wiredrv.record() as timeline:
        await client.shop.orders.find_one({"sku": "abc"})
    (found,) = commands(timeline)
    assert (found.name, found.database, found.collection) == ("find", "shop", "orders")
    assert found.server == str(server.address)
    assert (found.attempt, found.ok, found.error, found.retried) == (1, True, None, False)
    assert found.sent is not None
    assert found.replied is not None
    assert found.selected is not None
    assert found.connected is not None
    assert found.at <= found.selected <= found.connected <= found.sent < found.replied
    assert found.session == server.commands[-1]["lsid"]["id"].hex()
    assert found.implicit
    assert found.transaction is None
    assert (found.cluster_time, found.operation_time) == ((1_700_000_000, 7), (1_700_000_000, 7))
    assert found.command is not None
    assert found.command.startswith('{"find": "orders", "filter": {"sku": "abc"}')
    assert "signature" not in found.command


async def test_only_what_happens_in_the_block_is_recorded(client: Client) -> None:
    await client.shop.orders.find_one({})
    with wiredrv.record() as timeline:
        assert timeline.records == ()
    await client.shop.orders.find_one({})
    assert timeline.records == ()
    assert len(timeline) == 0


async def test_clients_that_are_made_in_the_block_are_recorded(server: FakeServer) -> None:
    with wiredrv.record() as timeline:
        for _ in range(2):
            async with Client(server.uri) as other:
                await other.shop.orders.find_one({})
    assert names(timeline).count("find") == 2
    assert len({record.client for record in commands(timeline)}) == 2
    assert "endSessions" in names(timeline)


async def test_a_client_that_is_closed_in_the_block_is_recorded_and_then_forgotten(server: FakeServer) -> None:
    other = Client(server.uri)
    await other.open()
    with wiredrv.record() as timeline:
        await other.shop.orders.find_one({})
        await other.close()
        there = weakref.ref(other._core.executor)
        del other
        gc.collect()
        await anyio.sleep(0.05)
        gc.collect()
        assert there() is None
    assert names(timeline) == ["find", "endSessions"]


async def test_blocks_may_be_nested(client: Client) -> None:
    with wiredrv.record() as outer:
        await client.shop.orders.insert_one({})
        with wiredrv.record() as inner:
            await client.shop.orders.find_one({})
        await client.shop.orders.update_one({}, {"$set": {"a": 1}})
    assert names(outer) == ["insert", "find", "update"]
    assert names(inner) == ["find"]
    assert commands(inner)[0].at < commands(outer)[1].at  # each counts from its own start


async def test_blocks_may_overlap(client: Client) -> None:
    first, second = wiredrv.record(), wiredrv.record()
    with contextlib.ExitStack() as later:
        with first as one:
            two = later.enter_context(second)
            await client.shop.orders.insert_one({})
        await client.shop.orders.find_one({})
    assert (names(one), names(two)) == (["insert"], ["insert", "find"])


async def test_tasks_may_record_at_the_same_time(client: Client) -> None:
    found: list[list[str]] = []

    async def work() -> None:
        with wiredrv.record() as timeline:
            await client.shop.orders.find_one({})
            await anyio.sleep(0.05)
        found.append(names(timeline))

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(work)
    assert all("find" in each for each in found)
    assert len(found) == 3


def test_synchronous_clients_in_threads_are_recorded(server: FakeServer) -> None:
    def work() -> None:
        for _ in range(20):
            shared.shop.orders.find_one({})

    with wiredrv.sync.Client(server.uri) as shared, wiredrv.record() as timeline:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert names(timeline).count("find") == 80
    ids = [record.id for record in commands(timeline)]
    assert len(set(ids)) == len(ids)


async def test_a_recording_is_used_once() -> None:
    block = wiredrv.record()
    with block:
        pass
    with pytest.raises(InvalidOperation, match="used before"), block:
        pass


@pytest.mark.parametrize("arguments", [{"limit": 0}, {"limit": 1.5}, {"max_bytes": True}, {"max_bytes": -1}])
async def test_a_limit_that_is_none_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="a whole number from 1 up"):
        wiredrv.record(**arguments)


# --- sessions and transactions ---


async def test_a_transaction_is_recorded(client: Client) -> None:
    with wiredrv.record() as timeline:
        async with client.start_session() as session:
            async with session.start_transaction():
                await client.shop.orders.insert_one({}, session=session)
            with contextlib.suppress(ValueError):
                async with session.start_transaction():
                    await client.shop.orders.insert_one({}, session=session)
                    raise ValueError
            async with session.start_transaction():
                pass
    assert marks(timeline) == ["start", "begin", "committed", "begin", "aborted", "begin", "committed", "end"]
    assert names(timeline) == ["insert", "commitTransaction", "insert", "abortTransaction"]
    numbers = [record.transaction for record in commands(timeline)]
    assert numbers[0] == numbers[1]
    assert numbers[2] == numbers[3] == (numbers[0] or 0) + 1
    begun = [record.number for record in timeline.records if isinstance(record, TransactionMark)]
    assert begun == [numbers[0], numbers[0], numbers[2], numbers[2], (numbers[2] or 0) + 1, (numbers[2] or 0) + 1]
    assert not any(record.implicit for record in commands(timeline))
    assert len({record.session for record in commands(timeline)}) == 1


async def test_a_retried_transaction_is_recorded(client: Client) -> None:
    calls: list[int] = []

    async def work(session: wiredrv.ClientSession) -> None:
        calls.append(1)
        if len(calls) == 1:
            await client.shop.orders.delete_one({}, session=session)
        await client.shop.orders.insert_one({}, session=session)

    with wiredrv.record() as timeline:
        async with client.start_session() as session:
            await session.with_transaction(work)
    assert marks(timeline) == ["start", "begin", "aborted", "retry", "begin", "committed", "end"]
    found = {record.event: record for record in timeline.records if isinstance(record, TransactionMark)}
    retry, begun, committed = found["retry"], found["begin"], found["committed"]
    assert retry.error is not None
    assert retry.error.type == "OperationFailure"
    assert (retry.error.code, retry.error.labels) == (112, ("TransientTransactionError",))
    assert (retry.attempt, begun.attempt) == (2, 2)
    assert (retry.number + 1, committed.number) == (begun.number, begun.number)
    assert committed.error is None
    failed = commands(timeline)[0]
    assert failed.error == retry.error


async def test_what_began_before_the_recording_has_no_beginning(client: Client) -> None:
    async with client.start_session() as session:
        async with session.start_transaction():
            await client.shop.orders.insert_one({}, session=session)
            with wiredrv.record() as timeline:
                await client.shop.orders.insert_one({}, session=session)
        with wiredrv.record() as later:
            await client.shop.orders.insert_one({}, session=session)
            async with session.start_transaction():
                await client.shop.orders.insert_one({}, session=session)
    assert marks(timeline) == []
    assert commands(timeline)[0].transaction is not None
    assert marks(later) == ["begin", "committed"]


async def test_a_collected_session_has_an_end(client: Client) -> None:
    with wiredrv.record() as timeline:
        session = client.start_session()
        with pytest.warns(ResourceWarning):
            del session
        await anyio.sleep(0.05)
    assert marks(timeline) == ["start", "end"]


# --- failures ---


async def test_an_error_is_recorded(client: Client) -> None:
    with wiredrv.record() as timeline, pytest.raises(OperationFailure):
        await client.shop.command("drop", "orders")
    (found,) = commands(timeline)
    assert (found.ok, found.retried) == (False, False)
    assert found.error is not None
    assert (found.error.type, found.error.code) == ("OperationFailure", 72)
    assert "unknown option" in found.error.message


async def test_a_recording_may_end_between_two_attempts() -> None:
    block = contextlib.ExitStack()
    answered: list[object] = []

    def busy(command: dict[str, Any]) -> Mapping[str, Any]:
        if "find" in command and not answered:
            answered.append(command)
            block.close()
            return {"ok": 0, "code": 91, "errmsg": "shutting down"}
        return fine(command)

    with FakeServer(with_sessions(), busy) as server:
        async with Client(server.uri) as client:
            timeline = block.enter_context(wiredrv.record())
            await client.shop.orders.find_one({})
    (found,) = commands(timeline)
    assert (found.name, found.ok) == ("find", False)


async def test_an_attempt_without_a_server_is_recorded() -> None:
    with wiredrv.record() as timeline:
        async with Client("mongodb://127.0.0.1:1", serverSelectionTimeoutMS=60) as nowhere:
            with pytest.raises(DriverError):
                await nowhere.shop.orders.find_one({})
    assert names(timeline)
    for found in commands(timeline):
        assert (found.name, found.ok, found.server, found.sent, found.command) == ("find", False, None, None, None)
        assert found.replied is not None
        assert found.error is not None
        assert found.error.type == "ServerSelectionTimeoutError"
    assert (commands(timeline)[0].replied or 0) - commands(timeline)[0].at >= 50_000


async def test_a_command_that_cannot_be_encoded_is_recorded_as_not_sent(client: Client) -> None:
    with wiredrv.record() as timeline, pytest.raises(wiredrv.errors.InvalidDocument):
        await client.shop.orders.find_one({"x": object()})
    (found,) = commands(timeline)
    assert (found.sent, found.command, found.ok) == (None, None, False)
    assert found.error is not None
    assert found.error.type == "InvalidDocument"


async def test_a_command_without_a_proper_name_can_be_saved(client: Client, tmp_path: Any) -> None:
    with wiredrv.record() as timeline:
        for command in ({5: 1}, {"": 1}):
            with contextlib.suppress(Exception):
                await client.admin.command(command)  # type: ignore[arg-type]  # a mistake is the point
    timeline.save(tmp_path / "run.jsonl")
    with (tmp_path / "run.jsonl").open(encoding="utf-8") as file:
        assert tuple(read_lines(file, "run")[1]) == timeline.records


async def test_a_document_that_cannot_be_shown_is_sent_nevertheless(client: Client) -> None:
    class Once(dict[str, object]):
        """It can be encoded, and not be read again."""

        def items(self) -> Any:
            raise RuntimeError

    with wiredrv.record() as timeline:
        await client.shop.orders.insert_one({"_id": 1, "text": "x" * 10_000, "other": Once(a=1)})
        await client.shop.orders.insert_one({"_id": 1, "other": Once(a=1), "text": "x" * 10_000})
    assert [record.ok for record in commands(timeline)] == [True, True]


async def test_a_cancelled_command_is_recorded() -> None:
    release = threading.Event()

    def slow(command: dict[str, Any]) -> Mapping[str, Any]:
        if "find" in command:
            release.wait(10)
        return fine(command)

    with FakeServer(with_sessions(), slow) as server:
        async with Client(server.uri, maxPoolSize=1) as client:
            await client.admin.command("ping")
            with wiredrv.record() as timeline:
                with anyio.move_on_after(0.2):
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(client.shop.orders.find_one, {})
                        await anyio.sleep(0.05)
                        (flying,) = commands(timeline)
                        assert (flying.ok, flying.replied, flying.error) == (None, None, None)
                        tasks.start_soon(client.shop.orders.insert_one, {})
                release.set()
            sent, waited = commands(timeline)[:2]
            assert (sent.name, sent.ok, waited.name, waited.ok) == ("find", False, "insert", False)
            assert sent.error is not None
            assert waited.error is not None
            assert sent.error.type in ("CancelledError", "Cancelled")
            assert sent.sent is not None
            assert waited.sent is None
            assert waited.server is None or waited.selected is not None


# --- what is kept ---


async def test_credentials_are_never_kept(client: Client) -> None:
    with wiredrv.record() as timeline:
        with pytest.raises(OperationFailure):
            await client.admin.command({"createUser": "ann", "pwd": SECRET, "roles": []})
        with pytest.raises(wiredrv.errors.InvalidDocument):
            await client.admin.command({"updateUser": "ann", "pwd": {SECRET: object()}})
        await client.admin.command({"hello": 1, "speculativeAuthenticate": {"payload": SECRET}})
        await client.admin.command({"hello": 1, "comment": "seen"})
    assert SECRET not in repr(timeline.records)
    assert SECRET.encode() not in pickle.dumps(timeline)
    created, updated, spoken, seen = commands(timeline)
    assert (created.command, updated.command, spoken.command) == (None, None, None)
    assert "seen" in (seen.command or "")
    assert created.error is not None
    assert (created.error.message, created.error.code) == ("(redacted)", 9)
    assert updated.error is not None
    assert updated.error.message == "(redacted)"


@pytest.mark.parametrize("begun", ["before it", "after its error"])
async def test_what_ended_a_transaction_is_redacted_too(client: Client, begun: str) -> None:
    recorded = wiredrv.record()
    timelines: list[Timeline] = []

    async def fail(session: wiredrv.ClientSession) -> None:
        async with session.start_transaction():
            try:
                await client.admin.command({"createUser": "ann", "pwd": SECRET, "roles": []}, session=session)
            finally:
                if not timelines:
                    timelines.append(recorded.__enter__())

    try:
        if begun == "before it":
            timelines.append(recorded.__enter__())
        async with client.start_session() as session:
            with pytest.raises(OperationFailure) as caught:
                await fail(session)
    finally:
        recorded.__exit__(None, None, None)
    (timeline,) = timelines
    (aborted,) = [mark for mark in timeline.records if isinstance(mark, TransactionMark) and mark.event == "aborted"]
    assert aborted.error is not None
    assert (aborted.error.type, aborted.error.message, aborted.error.code) == ("OperationFailure", "(redacted)", 9)
    part = caught.value.timeline
    assert (part is None) == (begun == "after its error")
    assert SECRET not in repr((timeline.records, part.records if part else ()))


async def test_any_text_can_be_saved(client: Client, tmp_path: Path) -> None:
    collection = client.shop["orders \u2028\ud800\x85\x1b[31m"]
    with wiredrv.record() as timeline:
        with pytest.raises(DriverError):
            await collection.find_one({})
        await client.shop["orders \u2028\x85"].find_one({})
    timeline.save(tmp_path / "run.jsonl")
    timeline.html(tmp_path / "run.html")
    with (tmp_path / "run.jsonl").open(encoding="ascii", newline="\n") as file:
        assert tuple(read_lines(file, "run.jsonl")[1]) == timeline.records


async def test_documents_are_cut_off_as_in_the_log(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["x" * 3_000, "y" * 100_000]
    with wiredrv.record() as timeline:
        for text in texts:
            await client.shop.orders.find_one({"text": text})
            await client.shop.orders.insert_one({"text": text})
            await client.shop.orders.insert_many([{"text": "short"}, {"text": text}])
            await client.shop.orders.insert_many([{"number": number} for number in range(3_000)])
    for found in commands(timeline):
        assert found.command is not None
        assert len(found.command) == 1003
        assert found.command.endswith("...")
    monkeypatch.setenv("MONGODB_LOG_MAX_DOCUMENT_LENGTH", "20")
    with wiredrv.record() as timeline:
        await client.shop.orders.find_one({"text": texts[1]})
    assert commands(timeline)[0].command == '{"find": "orders", "...'


async def test_inserted_documents_are_shown(client: Client) -> None:
    with wiredrv.record() as timeline:
        await client.shop.orders.insert_many([{"_id": 1}, {"_id": 2}])
    assert (commands(timeline)[0].command or "").endswith('"documents": [{"_id": 1}, {"_id": 2}]}')


async def test_what_the_program_changes_afterwards_is_recorded_as_it_was_sent(client: Client) -> None:
    query: dict[str, Any] = {"sku": {"$in": ["before"]}}
    large: dict[str, Any] = {"sku": "before", "text": "x" * 20_000}
    with wiredrv.record() as timeline:
        await client.shop.orders.find_one(query)
        await client.shop.orders.insert_one(large)
        query["sku"]["$in"][0] = large["sku"] = "after"
    for found in commands(timeline):
        assert "before" in (found.command or "")
        assert "after" not in (found.command or "")


async def test_a_recording_keeps_no_object_of_the_program_alive(client: Client) -> None:
    class Text(str):
        """A user's own."""

    with wiredrv.record() as timeline:
        text = Text("abc")
        there = weakref.ref(text)
        await client.shop.orders.find_one({"text": text})
        await client.shop.orders.insert_one({"text": text, "large": "x" * 20_000})
        del text
        gc.collect()
        assert there() is None
    assert len(timeline.records) == 2


async def test_the_oldest_records_are_dropped_and_counted(client: Client) -> None:
    with wiredrv.record(limit=5) as few, wiredrv.record(max_bytes=20_000) as small:
        for number in range(40):
            await client.shop.orders.find_one({"number": number})
    assert (len(few), few.dropped) == (5, 35)
    assert [f'"number": {number}' in (record.command or "") for number, record in enumerate(commands(few), 35)]
    assert 10 < len(small) < 30
    assert small.dropped == 40 - len(small)
    assert '"number": 39}' in (commands(small)[-1].command or "")


async def test_a_record_that_is_larger_than_the_buffer_is_dropped(client: Client) -> None:
    with wiredrv.record(max_bytes=1) as timeline:
        await client.shop.orders.find_one({})
    assert (timeline.records, timeline.dropped) == ((), 1)


async def test_a_saved_timeline_can_be_read(client: Client, tmp_path: Any) -> None:
    with wiredrv.record(limit=3) as timeline:
        for _ in range(5):
            await client.shop.orders.find_one({"text": "ü"})
    timeline.save(tmp_path / "run.jsonl")
    with (tmp_path / "run.jsonl").open(encoding="utf-8") as file:
        header, records = read_lines(file, "run.jsonl")
        found: list[Record] = list(records)
    assert header == timeline.header
    assert header.process == os.getpid()
    assert header.driver.startswith("wiredrv ")
    assert found[0] == Dropped(count=2)
    assert tuple(found[1:]) == timeline.records


async def test_a_timeline_is_shown_and_drawn(client: Client, tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with wiredrv.record(limit=1) as timeline:
        for _ in range(3):
            await client.shop.orders.find_one({"sku": "abc"})
    timeline.show()
    shown = capsys.readouterr().out
    assert "1 command, 1 session, 0 failed, 2 older records dropped" in shown
    assert "find shop.orders" in shown
    timeline.html(tmp_path / "run.html")
    assert "abc" in (tmp_path / "run.html").read_text(encoding="utf-8")


async def test_a_traced_client_is_recorded_too(server: FakeServer) -> None:
    async with Client(server.uri, tracing={"enabled": True}) as traced:
        with wiredrv.record() as timeline:
            async with traced.start_session() as session, session.start_transaction():
                await traced.shop.orders.insert_one({}, session=session)
    assert names(timeline) == ["insert", "commitTransaction"]
    assert marks(timeline) == ["start", "begin", "committed", "end"]


# --- the part of a transaction ---


async def _delete_in_transaction(client: Client, inserts: int = 1) -> None:
    async with client.start_session() as session, session.start_transaction():
        for _ in range(inserts):
            await client.shop.orders.insert_one({}, session=session)
        await client.shop.orders.delete_one({}, session=session)


async def _failing(client: Client, inserts: int = 1) -> OperationFailure:
    with pytest.raises(OperationFailure) as caught:
        await _delete_in_transaction(client, inserts)
    return caught.value


async def test_an_error_of_a_transaction_has_its_part(client: Client, tmp_path: Any) -> None:
    with wiredrv.record() as timeline:
        await client.shop.orders.find_one({})
        error = await _failing(client)
        await client.shop.orders.find_one({})
    part = error.timeline
    assert isinstance(part, Timeline)
    assert names(part) == ["insert", "delete", "abortTransaction"]
    assert marks(part) == ["begin", "aborted"]
    assert set(part.records) < set(timeline.records)
    assert part.dropped == 0
    assert "recorded: `error.timeline.show()` prints it" in error.__notes__[0]
    part.save(tmp_path / "part.jsonl")
    assert len((tmp_path / "part.jsonl").read_text().splitlines()) == 6


async def test_an_error_that_was_not_recorded_has_no_part(client: Client) -> None:
    error = await _failing(client)
    assert error.timeline is None
    assert "recorded" not in error.__notes__[0]
    with wiredrv.record(), pytest.raises(OperationFailure) as outside:
        await client.shop.command("drop", "orders")
    assert outside.value.timeline is None


async def test_a_later_transaction_of_the_session_has_no_part_of_an_earlier_one(client: Client) -> None:
    async with client.start_session() as session:
        with wiredrv.record():
            async with session.start_transaction():
                await client.shop.orders.insert_one({}, session=session)
        with pytest.raises(OperationFailure) as caught:
            async with session.start_transaction():
                await client.shop.orders.delete_one({}, session=session)
    assert caught.value.timeline is None


async def test_the_users_own_error_has_the_part_too(client: Client) -> None:
    async def work() -> None:
        async with client.start_session() as session, session.start_transaction():
            await client.shop.orders.insert_one({}, session=session)
            raise ValueError("mine")

    with wiredrv.record(), pytest.raises(ValueError, match="mine") as caught:
        await work()
    assert names(caught.value.timeline) == ["insert", "abortTransaction"]  # type: ignore[attr-defined]  # set by the driver


async def test_the_part_survives_wrapping_copying_and_pickling(client: Client) -> None:
    async def work(session: wiredrv.ClientSession) -> None:
        await client.shop.orders.delete_one({}, session=session)

    with wiredrv.record():
        async with client.start_session() as session:
            with pytest.raises(wiredrv.errors.TransactionTimeoutError) as caught:
                await session.with_transaction(work, retry=wiredrv.RetryPolicy(timeout=0))
    for error in (caught.value, copy.copy(caught.value), pickle.loads(pickle.dumps(caught.value))):
        assert isinstance(error.timeline, Timeline)
        assert names(error.timeline) == ["delete", "abortTransaction"]


async def test_the_part_makes_no_reference_cycles(client: Client) -> None:
    """An error refers to itself, as the cause that its record names; what it has of the recording does not."""
    with wiredrv.record():
        error = await _failing(client)
        assert isinstance(error.timeline, Timeline)
        part = weakref.ref(error.timeline)
        gc.collect()
        gc.disable()
        try:
            error.transaction = None
            assert part() is None
        finally:
            gc.enable()


async def test_a_long_transaction_keeps_its_end(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wiredrv.timeline.recorder._PART_LIMIT", 10)
    with wiredrv.record():
        part = (await _failing(client, inserts=20)).timeline
    assert part is not None
    assert len(part.records) == 10
    assert part.dropped == 14


# --- the deployment ---


async def test_the_deployment_is_recorded(server: FakeServer) -> None:
    with wiredrv.record() as timeline:
        async with Client(server.uri.replace("directConnection=true", "replicaSet=rs")) as other:
            await other.shop.orders.find_one({})
            topology = other._core.topology
            (known,) = topology.servers.values()
            topology.on_error(known, wiredrv.errors.AutoReconnect("gone"), None, 0)
            seen = len(timeline)
        closed = [record for record in timeline.records[seen:] if isinstance(record, TopologyMark)]
    found = [record for record in timeline.records if isinstance(record, TopologyMark)]
    assert closed == []
    assert [record.event for record in found][:2] == ["server", "primary"]
    assert found[0].detail == "Unknown -> RSPrimary"
    assert found[1].server == str(server.address)
    assert found[1].detail == f"none -> {server.address}"
    cleared = [record for record in found if record.event == "pool cleared"]
    assert len(cleared) == 1
    assert cleared[0].server == str(server.address)
    gone = [record for record in found if record.event == "primary" and record.server is None]
    assert gone[0].detail == f"{server.address} -> none"


# --- processes ---


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_process_goes_on_by_itself(server: FakeServer) -> None:
    with wiredrv.sync.Client(server.uri) as client, wiredrv.record() as timeline:
        client.shop.orders.find_one({})
        process = os.fork()
        if process == 0:
            status = 1
            try:
                client.shop.orders.insert_one({})
                status = 0 if names(timeline) == ["find", "insert"] else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
        assert names(timeline) == ["find"]
