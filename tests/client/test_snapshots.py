"""Scans, without a server: ranges, projections, failures, kinds of collections, and the flow of batches."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import anyio
import bson
import pytest
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

from tests.support.fake_server import FakeServer, with_sessions
from tests.support.waiting import until
from wiredrv import Client
from wiredrv.client.snapshots.failures import continues, longest_pause
from wiredrv.client.snapshots.flow import Chunk, Flow, Stopped
from wiredrv.client.snapshots.layout import Layout, identity_of, layout_of
from wiredrv.client.snapshots.projection import shape_of
from wiredrv.client.snapshots.ranges import (
    Range,
    Step,
    first_step,
    ranges_wanted,
    sample_size,
    split,
    step_after_end,
    step_after_failure,
)
from wiredrv.errors import (
    AutoReconnect,
    ConfigurationError,
    DriverError,
    InvalidOperation,
    NotPrimaryError,
    OperationFailure,
    OperationTimeout,
    ServerSelectionTimeoutError,
    UnreadableReply,
)
from wiredrv.server_facts import ErrorCode
from wiredrv.wire.batch import Batch, id_document, without_id


def identifier(value: object) -> bytes:
    return bson.encode({"_id": value})


ONE, TWO, THREE = identifier(1), identifier("two"), identifier({"three": 3})
TOP, BOTTOM = identifier(MaxKey()), identifier(MinKey())


# --- ranges ---------------------------------------------------------------------------------------------------------


def test_ranges_meet_and_are_open_at_both_ends() -> None:
    assert split([ONE, TWO, THREE], 3) == [Range(0, None, TWO), Range(1, TWO, THREE), Range(2, THREE, None)]
    many = split([identifier(number) for number in range(1000)], 10)
    assert [part.number for part in many] == list(range(10))
    assert many[0].lower is None
    assert many[-1].upper is None
    assert all(before.upper == after.lower for before, after in pairwise(many))


@pytest.mark.parametrize(
    ("ids", "wanted", "expected"),
    [
        ([], 8, 1),
        ([ONE], 8, 2),
        ([ONE, ONE, ONE, TWO], 4, 3),
        ([BOTTOM, TOP], 2, 1),
        ([BOTTOM, ONE, TOP], 3, 2),
        ([ONE, TWO, THREE], 1, 1),
    ],
)
def test_there_are_no_more_ranges_than_different_ids_and_no_key_is_a_bound_that_servers_refuse(
    ids: list[bytes], wanted: int, expected: int
) -> None:
    """A server refuses ``max: MinKey``, and ``min: MaxKey``: the bounds would not be in order."""
    found = split(ids, wanted)
    assert len(found) == expected
    assert not {BOTTOM, TOP} & {bound for part in found for bound in (part.lower, part.upper)}


@pytest.mark.parametrize(
    ("documents", "average", "readers", "ordered", "expected"),
    [
        (1_000_000, 500.0, 1, False, 1),
        (1_000_000, 500.0, 4, False, 32),
        (1_000_000, None, 8, False, 64),
        (100_000, 340.0, 4, False, 8),
        (60_000, 400.0, 4, False, 4),
        (150_000, 340.0, 4, False, 12),
        (160_000, 400.0, 4, False, 12),
        (100_000, 20.0, 4, False, 4),
        (0, None, 8, False, 1),
        (399, None, 8, False, 1),
        (2000, None, 8, False, 10),
        (1_000_000, 500.0, 4, True, 238),
        (10**9, 1000.0, 4, True, 2000),
    ],
)
def test_how_many_ranges(documents: int, average: float | None, readers: int, ordered: bool, expected: int) -> None:
    assert ranges_wanted(documents, average, readers, ordered) == expected


@pytest.mark.parametrize(
    ("documents", "readers", "ordered", "expected"),
    [
        (20_000, 8, False, None),
        (20_001, 8, False, 512),
        (20_001, 8, True, 999),
        (10**8, 8, True, 2000),
        (30_000, 256, False, 1499),
    ],
)
def test_a_sample_is_smaller_than_five_per_cent(
    documents: int, readers: int, ordered: bool, expected: int | None
) -> None:
    found = sample_size(documents, readers, ordered)
    assert found == expected
    assert found is None or found < documents * 0.05


@pytest.mark.parametrize(
    ("step", "last", "failed", "ended"),
    [
        # Nothing was read yet.
        (Step(), None, Step(), None),
        (Step(None, TWO), None, Step(None, TWO), None),
        (Step(TWO, None), None, Step(TWO, None), Step(top=True)),
        # Something was read.
        (Step(), ONE, Step(ONE, None, ONE), None),
        (Step(None, TWO), ONE, Step(ONE, TWO, ONE), None),
        (Step(ONE, THREE), TWO, Step(TWO, THREE, TWO), None),
        (Step(TWO, None), THREE, Step(THREE, None, THREE), Step(top=True)),
        (Step(ONE, None, ONE), ONE, Step(ONE, None, ONE), Step(top=True)),
        # The document whose id is MaxKey: a find without `max` leaves it out where there is a `min`.
        (Step(), TOP, None, None),
        (Step(TWO, None), TOP, None, None),
        (Step(top=True), TWO, Step(top=True), None),
        (Step(top=True), TOP, Step(top=True), None),
    ],
)
def test_what_is_read_after_a_step_that_failed_or_ended(
    step: Step, last: bytes | None, failed: Step | None, ended: Step | None
) -> None:
    assert step_after_failure(step, last) == failed
    assert step_after_end(step, last) == ended


def test_the_fields_of_a_find() -> None:
    found = first_step(Range(3, ONE, TWO)).bounds()
    assert bson.decode(bson.encode(found)) == {"hint": {"_id": 1}, "min": {"_id": 1}, "max": {"_id": "two"}}
    assert Step().bounds() == {"hint": {"_id": 1}}
    assert Step(top=True).bounds() == {}
    wanted = {"a": 1}
    assert Step(ONE).filter(wanted) is wanted
    assert Step(top=True).filter({}) == {"_id": MaxKey()}
    assert Step(top=True).filter(wanted) == {"$and": [wanted, {"_id": MaxKey()}]}


NOT_UTF_8 = identifier("?").replace(b"?", b"\xff")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "sampled",
    [
        [{"_id": number, "size": 50_000} for number in range(100)],
        [{"_id": number} for number in range(100)],
        [{"_id": number, "size": float("nan")} for number in range(100)],
        [{"_id": number, "size": "large"} for number in range(100)],
        [{"_id": number, "size": -(2**31)} for number in range(100)],
        [RawBSONDocument(NOT_UTF_8), *({"_id": number} for number in range(100))],
    ],
    ids=["usual", "no size", "not a number", "a text", "less than nothing", "an id that cannot be decoded"],
)
async def test_a_sample_is_used_whatever_is_in_it(sampled: list[Any]) -> None:
    def answer(command: dict[str, Any]) -> Mapping[str, Any]:
        batches = {"listCollections": [{"name": "c", "type": "collection"}], "aggregate": sampled}
        if "count" in command:
            return {"ok": 1, "n": 10**6}
        batch = batches.get(next(iter(command)), [{"_id": 1}])
        return {"ok": 1, "cursor": {"id": 0, "ns": "db.c", "firstBatch": batch}}

    with FakeServer(with_sessions(), answer) as server:
        set_fields = {"setName": "rs", "hosts": [str(server.address)], "me": str(server.address)}
        server.hello.update(**set_fields, operationTime=Timestamp(1, 1))
        async with Client(f"mongodb://{server.address}/?replicaSet=rs") as client, client.snapshot() as snap:
            batches = [batch async for batch in snap.scan(client.db.c)]
        finds = [command for command in server.commands if "find" in command]
    # Each find was answered with one document.
    assert len(batches) == len(finds) > 1


# --- projections and kinds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "asked", "hides"),
    [
        (None, None, False),
        ([], None, False),
        (["a"], {"a": 1}, False),
        ({"a": 1}, {"a": 1}, False),
        ({"a": 0}, {"a": 0}, False),
        ({"_id": 1, "a": 1}, {"_id": 1, "a": 1}, False),
        ({"_id": 0, "a": 1}, {"a": 1}, True),
        ({"a": 1, "_id": False}, {"a": 1}, True),
        ({"_id": 0}, None, True),
        ({"_id": 0.0, "a": 0}, {"a": 0}, True),
    ],
)
def test_a_projection_always_asks_for_the_id(given: Any, asked: Any, hides: bool) -> None:
    assert shape_of(given) == (asked, hides)


@pytest.mark.parametrize("given", [{"_id": "$other"}, {"_id": {"$toString": "$_id"}}, {"_id.a": 1}, 7, "a"])
def test_a_projection_that_changes_the_id_is_refused(given: Any) -> None:
    with pytest.raises(ConfigurationError):
        shape_of(given)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (None, Layout.RANGES),
        ({"name": "c", "type": "collection", "options": {}}, Layout.RANGES),
        ({"name": "c", "type": "collection"}, Layout.RANGES),
        ({"name": "c", "type": "collection", "options": {"clusteredIndex": {"v": 2}}}, Layout.CLUSTERED),
        ({"name": "c", "type": "view", "options": {"viewOn": "d"}}, Layout.VIEW),
        ({"name": "c", "type": "timeseries", "options": {"timeseries": {}}}, Layout.TIME_SERIES),
    ],
)
def test_how_a_collection_is_read(entry: Any, expected: Layout) -> None:
    assert layout_of("db.c", entry) is expected
    assert expected.has_index == (expected in (Layout.RANGES, Layout.CLUSTERED))


def test_a_capped_collection_is_refused() -> None:
    with pytest.raises(InvalidOperation, match=r"db\.c is a capped collection"):
        layout_of("db.c", {"type": "collection", "options": {"capped": True}})


# --- failures -------------------------------------------------------------------------------------------------------


def refused(code: ErrorCode) -> OperationFailure:
    return OperationFailure("refused", code)


@pytest.mark.parametrize(
    ("error", "times"),
    [
        (AutoReconnect("reset"), 7),
        (NotPrimaryError("not primary"), 7),
        (refused(ErrorCode.CursorNotFound), 7),
        (refused(ErrorCode.CursorKilled), 7),
        (refused(ErrorCode.InterruptedDueToReplStateChange), 7),
        (refused(ErrorCode.SnapshotTooOld), 4),
        (refused(ErrorCode.SnapshotUnavailable), 4),
        (OperationFailure("busy", 1, error_labels={"SystemOverloadedError"}), 7),
        (ServerSelectionTimeoutError("none"), 0),
        (OperationTimeout("late"), 0),
        (refused(ErrorCode.Unauthorized), 0),
        (refused(ErrorCode.MaxTimeMSExpired), 0),
        (UnreadableReply("bad"), 0),
        (ConfigurationError("bad"), 0),
    ],
)
def test_how_often_a_range_is_continued(error: DriverError, times: int) -> None:
    assert [continues(error, number) for number in range(1, 10)] == [True] * times + [False] * (9 - times)


def test_the_pauses_grow_up_to_two_seconds() -> None:
    pauses = [longest_pause(failures) for failures in range(1, 10)]
    assert pauses[0] == 0
    assert pauses == sorted(pauses)
    assert pauses[-1] == 2


# --- batches --------------------------------------------------------------------------------------------------------


def batch_of(*documents: dict[str, Any]) -> Batch:
    parts = [bson.encode(document) for document in documents]
    starts = [sum(map(len, parts[:number])) for number in range(len(parts))]
    ends = [start + len(part) for start, part in zip(starts, parts, strict=True)]
    return Batch(b"".join(parts), starts, ends, bson.codec_options.DEFAULT_CODEC_OPTIONS)


def test_ids_are_found_in_encoded_documents() -> None:
    assert id_document(bson.encode({"a": "x", "_id": {"b": [1]}, "c": 2})) == identifier({"b": [1]})
    assert without_id(bson.encode({"a": "x", "_id": 7, "c": 2})) == bson.encode({"a": "x", "c": 2})
    assert without_id(bson.encode({"a": 1})) == bson.encode({"a": 1})
    with pytest.raises(UnreadableReply, match="no '_id'"):
        id_document(bson.encode({"a": 1}))


def test_a_batch_tells_its_ids_and_size_and_leaves_documents_out() -> None:
    batch = batch_of({"_id": 1}, {"_id": "two", "a": 5}, {"_id": 3, "a": 6})
    assert (batch.id_document(0), batch.id_document(-1)) == (ONE, identifier(3))
    batch.skip(1)
    assert (batch.id_document(0), len(batch)) == (TWO, 2)
    assert batch.size == len(bson.encode({"_id": "two", "a": 5})) + len(bson.encode({"_id": 3, "a": 6}))
    assert batch.without_ids().take(9) == [{"a": 5}, {"a": 6}]
    batch.skip(9)
    assert (len(batch), batch.size) == (0, 0)


# --- the flow -------------------------------------------------------------------------------------------------------


class FakeReader:
    def __init__(self) -> None:
        self.unread = 0
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


def numbered(flow: Flow) -> list[int]:
    found = []
    while (chunk := flow.take()) is not None:
        found.append(chunk.batch.take(1)[0]["_id"])
    return found


async def put(flow: Flow, part: Range, reader: FakeReader, *numbers: int) -> None:
    for number in numbers:
        await flow.put(part, Chunk(batch_of({"_id": number}), None, reader))


@pytest.mark.anyio
@pytest.mark.parametrize(("ordered", "first", "then"), [(False, [20, 0], [1]), (True, [0], [1, 20])])
async def test_batches_are_given_as_they_come_or_in_order(ordered: bool, first: list[int], then: list[int]) -> None:
    flow = Flow([Range(0), Range(1)], ordered)
    one, two = FakeReader(), FakeReader()
    ranges = [flow.claim(), flow.claim()]
    assert flow.claim() is None
    low, high = ranges
    assert low is not None
    assert high is not None
    await put(flow, high, two, 20)
    flow.finished(high)
    await put(flow, low, one, 0)
    assert numbered(flow) == first
    assert not flow.is_over
    await put(flow, low, one, 1)
    flow.finished(low)
    assert numbered(flow) == then
    assert flow.is_over


@pytest.mark.anyio
async def test_a_reader_waits_while_two_of_its_batches_were_not_taken() -> None:
    flow, reader = Flow([Range(0)], False), FakeReader()
    done: list[int] = []

    async def read() -> None:
        part = flow.claim()
        assert part is not None
        for number in range(4):
            await put(flow, part, reader, number)
            done.append(number)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        for taken in range(3):
            await anyio.wait_all_tasks_blocked()
            assert done == list(range(taken + 1))
            assert reader.unread == 2
            assert flow.take() is not None
    assert done == [0, 1, 2, 3]


@pytest.mark.anyio
async def test_a_reader_that_waits_is_told_to_leave_and_one_that_stays_is_cancelled() -> None:
    flow, waiting, stuck = Flow([Range(0), Range(1)], False), FakeReader(), FakeReader()
    left: list[str] = []

    async def read() -> None:
        part = flow.claim()
        assert part is not None
        with pytest.raises(Stopped):
            await put(flow, part, waiting, 1, 2)
        left.append("it")
        flow.left(waiting)

    flow.entered(waiting)
    flow.entered(stuck)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(flow.end)
        await anyio.wait_all_tasks_blocked()
        assert left == ["it"]
        assert not stuck.cancelled
        await until(lambda: stuck.cancelled, "it is cancelled")
        flow.left(stuck)
    assert flow.error is None
    assert flow.claim() is None


@pytest.mark.anyio
async def test_readers_that_end_early_are_an_error() -> None:
    flow, reader = Flow([Range(0)], False), FakeReader()
    flow.entered(reader)
    flow.left(reader)
    assert isinstance(flow.error, InvalidOperation)


@pytest.mark.anyio
async def test_when_a_reader_fails_the_others_stop_at_their_next_batch() -> None:
    flow, reader = Flow([Range(0), Range(1), Range(2)], False), FakeReader()
    part = flow.claim()
    assert part is not None
    await put(flow, part, reader, 1)
    flow.fail(InvalidOperation("first"))
    flow.fail(InvalidOperation("second"))
    assert flow.claim() is None
    with pytest.raises(Stopped):
        await put(flow, part, reader, 2)
    assert numbered(flow) == [1]
    assert str(flow.error) == "first"


@pytest.mark.parametrize(
    ("entry", "other"),
    [
        ({"type": "collection", "info": {"uuid": 1}}, None),
        ({"type": "collection", "info": {"uuid": 1}}, {"type": "collection", "info": {"uuid": 2}}),
        ({"type": "collection", "info": {"uuid": 1}}, {"type": "view", "options": {"viewOn": "a"}}),
        ({"type": "view", "options": {"viewOn": "a", "pipeline": []}}, {"type": "view", "options": {"viewOn": "a"}}),
        ({"type": "collection"}, None),
    ],
)
def test_collections_that_take_a_name_one_after_the_other_differ(entry: Any, other: Any) -> None:
    assert identity_of(entry) == identity_of(dict(entry))
    assert identity_of(entry) != identity_of(other)


def test_a_collection_whose_validator_is_changed_stays_the_same() -> None:
    entry = {"type": "collection", "info": {"uuid": 1}, "options": {}}
    assert identity_of(entry) == identity_of({**entry, "options": {"validator": {"a": 1}}})
