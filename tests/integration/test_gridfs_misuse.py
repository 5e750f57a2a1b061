"""GridFS used in ways that the guide does not show: two tasks with one stream, PyMongo's habits, wrong arguments."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

import wiredrv
from tests.support.failpoints import fail_command
from wiredrv.errors import ConfigurationError, CorruptGridFile, InvalidOperation
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

_APP_NAME = "gridfs misuse"
_NAME = "wiredrv_gridfs_misuse"
_DATA = bytes(range(30))


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of four bytes are inserted three at a time."""
    monkeypatch.setattr("wiredrv.gridfs.upload.UPLOAD_BATCH", 3 * 75)


@asynccontextmanager
async def bucket_on(deployment: ReplicaSet) -> AsyncIterator[wiredrv.GridFSBucket]:
    async with wiredrv.Client(deployment.uri, appName=_APP_NAME) as client:
        await client.drop_database(_NAME)
        yield wiredrv.GridFSBucket(client[_NAME], chunk_size_bytes=4)


async def counts(bucket: wiredrv.GridFSBucket) -> tuple[int, int]:
    """How many documents the two collections have."""
    store = bucket._store
    return await store.files.count_documents({}), await store.chunks.count_documents({})


# --- one stream, two tasks --------------------------------------------------------------------------------------------


class Gate:
    """A source that gives its second half when it is told to."""

    def __init__(self) -> None:
        self.reached = anyio.Event()
        self.opened = anyio.Event()

    async def pieces(self) -> AsyncIterator[bytes]:
        yield _DATA[:15]
        self.reached.set()
        await self.opened.wait()
        yield _DATA[15:]


async def test_an_upload_is_not_aborted_while_another_task_writes(replica_set: ReplicaSet) -> None:
    async with bucket_on(replica_set) as bucket, bucket.open_upload_stream("file") as stream:
        gate = Gate()
        async with anyio.create_task_group() as group:
            group.start_soon(stream.write, gate.pieces())
            await gate.reached.wait()
            with pytest.raises(InvalidOperation, match="another task is writing to this stream: cancel it"):
                await stream.abort()
            gate.opened.set()
        await stream.close()
        assert await (await bucket.open_download_stream(stream._id)).read() == _DATA


async def _write_by_halves(stream: wiredrv.GridIn, gate: Gate) -> None:
    await stream.write(gate.pieces())


async def _write_at_once(stream: wiredrv.GridIn, gate: Gate) -> None:
    gate.reached.set()
    await stream.write(_DATA)


async def _close(stream: wiredrv.GridIn, gate: Gate) -> None:
    gate.reached.set()
    await stream.close()


@pytest.mark.parametrize("use", [_write_by_halves, _write_at_once, _close])
async def test_a_task_that_writes_after_the_block_was_left_by_an_exception_stores_nothing(
    replica_set: ReplicaSet, use: Callable[[wiredrv.GridIn, Gate], Awaitable[None]]
) -> None:
    failures: list[InvalidOperation] = []
    gate = Gate()

    async def write() -> None:
        try:
            await use(stream, gate)
        except InvalidOperation as error:
            failures.append(error)

    async with bucket_on(replica_set) as bucket:
        await bucket.create_indexes()
        primary = replica_set.primary().address
        async with contextlib.AsyncExitStack() as stack:
            if use is not _write_by_halves:
                # The block is left while the insert is being carried out.
                await stack.enter_async_context(fail_command(primary, "insert", block_ms=300, app_name=_APP_NAME))
            group = await stack.enter_async_context(anyio.create_task_group())
            with contextlib.suppress(ZeroDivisionError):
                async with bucket.open_upload_stream("file") as stream:
                    group.start_soon(write)
                    await gate.reached.wait()
                    await anyio.sleep(0.05)
                    raise ZeroDivisionError
            gate.opened.set()
        assert await counts(bucket) == (0, 0)
        assert len(failures) == 1
        assert "aborted" in str(failures[0])


async def test_an_upload_is_removed_outside_of_a_transaction_that_it_does_not_belong_to(
    replica_set: ReplicaSet,
) -> None:
    async with bucket_on(replica_set) as bucket, bucket._store.client.start_session() as session:
        await bucket.create_indexes()
        stream = bucket.open_upload_stream("file", session=session)
        await stream.write(_DATA)
        assert (await counts(bucket))[1] > 0
        async with session.start_transaction():
            await bucket._store.client[_NAME]["other"].insert_one({}, session=session)
            await stream.abort()
            await session.abort_transaction()
        assert await counts(bucket) == (0, 0)


# --- what PyMongo's users may try -------------------------------------------------------------------------------------


async def test_an_attribute_that_is_not_stored_cannot_be_set(replica_set: ReplicaSet) -> None:
    async with bucket_on(replica_set) as bucket, bucket.open_upload_stream("file") as stream:
        unchecked: Any = stream
        with pytest.raises(AttributeError, match=r"store it in its metadata, as in stream.metadata = {'content_type'"):
            unchecked.content_type = "text/plain"
        with pytest.raises(AttributeError, match="only filename and metadata can"):
            unchecked.length = 3
        stream.metadata = {"content_type": "text/plain"}


async def test_a_document_without_a_length_is_no_empty_file(replica_set: ReplicaSet) -> None:
    async with bucket_on(replica_set) as bucket:
        await bucket._store.files.insert_one({"_id": 1, "chunkSize": 4})
        await bucket._store.chunks.insert_one({"files_id": 1, "n": 0, "data": b"1"})
        with pytest.raises(CorruptGridFile, match="the file 1 has the 'length' None"):
            await bucket.open_download_stream(1)
        for options in ({"projection": {"filename": 1}}, {"return_key": True}):
            unchecked: Any = options
            with pytest.raises(ConfigurationError, match=r"query their collection, as in database\['fs.files'\]"):
                bucket.find({}, **unchecked)


async def test_reading_refuses_what_is_no_number_of_bytes(replica_set: ReplicaSet) -> None:
    async with bucket_on(replica_set) as bucket:
        file_id = await bucket.upload_from_stream("file", _DATA)
        stream: Any = await bucket.open_download_stream(file_id)
        wrong: tuple[Any, ...] = ("1", 1.5, True, b"1", [])
        for value in wrong:
            for method in (stream.read, stream.readline, stream.readlines, stream.seek):
                with pytest.raises(ConfigurationError, match="must be a whole number of bytes"):
                    await method(value)
            with pytest.raises(ConfigurationError, match="whence must be"):
                await stream.seek(0, [value])
        assert await stream.read(None) == _DATA


async def test_what_cannot_be_stored_is_refused_before_a_chunk_is_sent(replica_set: ReplicaSet) -> None:
    async with bucket_on(replica_set) as bucket:
        name = "caf\udce9"  # as os.listdir() gives a name that is not UTF-8
        with pytest.raises(ConfigurationError, match="filename cannot be encoded as UTF-8"):
            await bucket.upload_from_stream(name, _DATA)
        with pytest.raises(ConfigurationError, match="new_filename cannot be encoded"):
            await bucket.rename(1, name)
        async with bucket.open_upload_stream("file") as stream:
            unchecked: Any = stream
            with pytest.raises(ConfigurationError, match="sequence must be an iterable of bytes, not 3"):
                await unchecked.writelines(3)
            await stream.write(memoryview(_DATA)[::2])
        assert await (await bucket.open_download_stream(stream._id)).read() == _DATA[::2]
        assert await counts(bucket) == (1, 4)


async def test_a_plain_loop_and_an_unknown_method_are_refused_with_advice(replica_set: ReplicaSet) -> None:
    async with bucket_on(replica_set) as bucket:
        file_id = await bucket.upload_from_stream("file", _DATA)
        out: Any = await bucket.open_download_stream(file_id)
        found: Any = bucket.find({})
        for stream in (out, found):
            with pytest.raises(TypeError, match="`async for`"):
                iter(stream)
        with pytest.raises(AttributeError, match=r"'max_time_ms': .* are options of bucket.find\(\)"):
            found.max_time_ms(100)
        await found.close()
