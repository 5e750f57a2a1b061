"""GridFS on real servers: files of every size, corrupt files, indexes, revisions, failures, sessions and transactions.

GridFS specification. The unified tests are in ``spec_tests/test_gridfs.py``; cancellations in
``test_gridfs_cancellation.py``.
"""

from __future__ import annotations

import gc
import io
import os
import tracemalloc
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import bson
import bson.decimal128
import pytest
from gridfs.asynchronous import AsyncGridFSBucket

import wiredrv
from tests.support.commands import CommandLog
from tests.support.failpoints import fail_command
from tests.support.pymongo_peer import with_pymongo
from tests.support.waiting import until_async
from wiredrv.errors import (
    AutoReconnect,
    ConfigurationError,
    CorruptGridFile,
    DriverError,
    FileExists,
    InvalidOperation,
    NoFile,
    OperationFailure,
)
from wiredrv.gridfs import chunks
from wiredrv.gridfs.reader import ChunkReader
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

_APP_NAME = "gridfs"
_NAME = "wiredrv_gridfs"


class Scene:
    """A client with a bucket of its own, whose chunks have four bytes."""

    def __init__(self, client: wiredrv.Client, log: CommandLog) -> None:
        self.client = client
        self.log = log
        self.database = client[_NAME]
        self.bucket = wiredrv.GridFSBucket(self.database, chunk_size_bytes=4)
        self.files = self.database["fs.files"]
        self.chunks = self.database["fs.chunks"]

    async def counts(self) -> tuple[int, int]:
        """How many documents the two collections have."""
        return await self.files.count_documents({}), await self.chunks.count_documents({})

    async def read(self, file_id: object, **options: Any) -> bytes:
        return await (await self.bucket.open_download_stream(file_id, **options)).read()


@asynccontextmanager
async def scene_on(deployment: ReplicaSet, **options: Any) -> AsyncIterator[Scene]:
    log = CommandLog()
    async with wiredrv.Client(deployment.uri, event_listeners=[log], appName=_APP_NAME, **options) as client:
        scene = Scene(client, log)
        await client.drop_database(_NAME)
        log.clear()
        yield scene


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read in windows of two chunks, and inserted in batches of three."""
    monkeypatch.setattr(chunks, "DOWNLOAD_BATCH", 2 * (4 + 64 + 128))
    monkeypatch.setattr("wiredrv.gridfs.upload.UPLOAD_BATCH", 3 * 75)


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_windows")
async def test_a_file_of_any_size_is_read_as_it_was_written(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        for length in (0, 1, 3, 4, 5, 8, 11, 12, 13, 24, 25, 50):
            data = os.urandom(length)
            file_id = await it.bucket.upload_from_stream("file", data)
            document = await it.files.find_one(file_id)
            assert document is not None
            assert (document["length"], document["chunkSize"]) == (length, 4)
            assert isinstance(document["length"], bson.Int64)
            assert not {"metadata", "md5"} & document.keys()
            found = await it.chunks.find({"files_id": file_id}).sort("n").to_list()
            assert [(c["n"], c["data"]) for c in found] == [
                (n, data[start : start + 4]) for n, start in enumerate(range(0, length, 4))
            ]
            assert await it.read(file_id) == data
            sink = io.BytesIO()
            await it.bucket.download_to_stream(file_id, sink)
            assert sink.getvalue() == data
            stream = await it.bucket.open_download_stream(file_id)
            assert b"".join([chunk async for chunk in stream.chunks()]) == data
            for size in (1, 3, 7):
                await stream.seek(0)
                assert b"".join([part async for part in _parts(stream, size)]) == data


async def _fail_after(stream: wiredrv.GridIn, data: bytes) -> None:
    async with stream:
        await stream.write(data)
        raise ZeroDivisionError


def _drop(held: list[wiredrv.GridIn]) -> None:
    held.clear()
    gc.collect()


async def _parts(stream: wiredrv.GridOut, size: int) -> AsyncIterator[bytes]:
    while part := await stream.read(size):
        assert len(part) == size or stream.tell() == stream.length
        yield part


async def test_chunks_of_large_replies_are_read_alike_in_every_way(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        data = os.urandom(350_000).replace(b"\n", b"n") + b"\nlast line"
        file_id = await it.bucket.upload_from_stream("file", data, chunk_size_bytes=100_000)

        async def opened() -> wiredrv.GridOut:
            return await it.bucket.open_download_stream(file_id)

        for size in (997, 50_000, 99_999, 100_000, 100_001, 250_000):
            stream, parts = await opened(), []
            while part := await stream.read(size):
                assert type(part) is bytes
                parts.append(part)
            assert b"".join(parts) == data
            assert {len(part) for part in parts[:-1]} <= {size}
        assert [chunk async for chunk in (await opened()).chunks()] == [
            data[start : start + 100_000] for start in range(0, len(data), 100_000)
        ]
        assert [line async for line in await opened()] == [data[:350_001], b"last line"]
        stream = await opened()
        await stream.seek(120_000)
        assert await stream.read(10) + await stream.read(0) + await stream.read(10) == data[120_000:120_020]
        assert await stream.readline() == data[120_020:350_001]
        sink = io.BytesIO()
        await it.bucket.download_to_stream(file_id, sink)
        assert sink.getvalue() == data


async def test_a_file_takes_little_more_memory_than_its_bytes(replica_set: ReplicaSet) -> None:
    # Without the scene's log, which keeps the replies.
    async with scene_on(replica_set) as it, wiredrv.Client(replica_set.uri) as client:
        bucket = wiredrv.GridFSBucket(client[it.database.name])
        data = os.urandom(1_000_000) * 12
        stream = await bucket.open_download_stream(await bucket.upload_from_stream("file", data))
        tracemalloc.start()
        try:
            assert len(await stream.read()) == len(data)
            assert tracemalloc.get_traced_memory()[1] < len(data) + 4 * chunks.DOWNLOAD_BATCH
        finally:
            tracemalloc.stop()


@pytest.mark.usefixtures("small_windows")
async def test_what_is_written_in_pieces_is_one_file(replica_set: ReplicaSet) -> None:
    data = bytes(range(100))
    async with scene_on(replica_set) as it:
        for size in (1, 3, 4, 5, 8, 9, 99):
            async with it.bucket.open_upload_stream("file") as stream:
                for start in range(0, 100, size):
                    await stream.write(bytearray(data[start : start + size]))
                assert stream.length == 100
            assert await it.read(stream._id) == data
            assert stream.closed
            assert stream.upload_date is not None
        async with it.bucket.open_upload_stream("file") as stream:
            await stream.writelines([data[:10], memoryview(data)[10:]])
        assert await it.read(stream._id) == data


async def test_a_file_is_copied_from_a_bucket_to_another(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        other = wiredrv.GridFSBucket(it.database, "other", 3)
        first = await it.bucket.upload_from_stream("file", b"a file of the first bucket")
        async with await it.bucket.open_download_stream(first) as source:
            second = await other.upload_from_stream("copy", source)
        async with other.open_upload_stream("again") as sink:
            await it.bucket.download_to_stream(first, sink)
        assert await (await other.open_download_stream(second)).read() == b"a file of the first bucket"
        assert await (await other.open_download_stream(sink._id)).read() == b"a file of the first bucket"


@pytest.mark.usefixtures("small_windows")
async def test_a_download_is_opened_with_await_or_as_a_block(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        file_id = await it.bucket.upload_from_stream("file", b"12345")
        async with (
            it.bucket.open_download_stream(file_id) as first,
            await it.bucket.open_download_stream(file_id) as same,
        ):
            assert await first.read() == await same.read() == b"12345"
        async with it.bucket.open_download_stream_by_name("file") as second:
            assert await second.read() == b"12345"
        assert [stream.closed for stream in (first, same, second)] == [True] * 3
        with pytest.raises(NoFile):
            await it.bucket.open_download_stream(1).__aenter__()


async def test_files_are_exchanged_with_pymongo(replica_set: ReplicaSet) -> None:
    data = os.urandom(700_000)

    async def theirs(client: Any) -> Any:
        bucket = AsyncGridFSBucket(client[_NAME])
        await bucket.upload_from_stream("theirs", data, metadata={"a": 1})
        return await (await bucket.open_download_stream_by_name("ours")).read()

    async with scene_on(replica_set) as it:
        bucket = wiredrv.GridFSBucket(it.database)
        await bucket.upload_from_stream("ours", data, metadata={"a": 1})
        found, _ = await with_pymongo(replica_set.uri, theirs)
        assert found == data
        assert await (await bucket.open_download_stream_by_name("theirs")).read() == data
        ours_file, theirs_file = await it.files.find().sort("filename").to_list()
        drop = {"_id": None, "filename": None, "uploadDate": None}
        assert {**ours_file, **drop} == {**theirs_file, **drop}
        assert {name: type(value) for name, value in ours_file.items()} == {
            name: type(value) for name, value in theirs_file.items()
        }
        by_file = [
            [
                (chunk["n"], type(chunk["n"]), chunk["data"], list(chunk))
                async for chunk in it.chunks.find(query).sort("n")
            ]
            for query in ({"files_id": ours_file["_id"]}, {"files_id": theirs_file["_id"]})
        ]
        assert by_file[0] == by_file[1]


async def test_a_download_is_a_file_object(replica_set: ReplicaSet) -> None:
    text = b"first line\n\nthird line\nthe last"
    async with scene_on(replica_set) as it:
        file_id = await it.bucket.upload_from_stream("file", text, metadata={"a": 1})
        stream = await it.bucket.open_download_stream(file_id)
        assert [line async for line in stream] == list(io.BytesIO(text))
        assert stream.tell() == len(text)
        assert await stream.readline() == await stream.read() == await stream.readchunk() == b""
        for position in (0, 3, 4, 9, 30, len(text), 100):
            assert await stream.seek(position) == stream.tell() == position
            assert await stream.readline() == io.BytesIO(text[position:]).readline()
        await stream.seek(2)
        assert await stream.readchunk() == text[2:4]
        assert await stream.readline(3) == text[4:7]
        assert await stream.seek(-4, os.SEEK_END) == len(text) - 4
        assert await stream.read(2) == b"la"
        assert await stream.seek(-1, os.SEEK_CUR) == len(text) - 3
        assert await stream.readlines() == [b"ast"]
        await stream.seek(0)
        assert await stream.readlines(12) == [b"first line\n", b"\n"]
        assert (stream.filename, stream.name, stream.length, stream.chunk_size) == ("file", "file", len(text), 4)
        assert (stream.metadata, stream._id) == ({"a": 1}, file_id)
        assert (stream.md5, stream.aliases, stream.content_type) == (None, None, None)
        assert (stream.readable(), stream.seekable(), stream.writable()) == (True, True, False)
        with pytest.raises(AttributeError, match="no field, 'other'"):
            _ = stream.other
        with pytest.raises(ConfigurationError, match="before the beginning"):
            await stream.seek(-1)
        with pytest.raises(ConfigurationError, match="whence must be"):
            await stream.seek(0, 7)
        await stream.close()
        for call in (stream.read, stream.readline, stream.readchunk, stream.readlines):
            with pytest.raises(InvalidOperation, match="was closed"):
                await call()


async def test_reading_a_part_reads_only_the_chunks_that_hold_it(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        file_id = await it.bucket.upload_from_stream("file", bytes(range(200)))
        stream = await it.bucket.open_download_stream(file_id)
        it.log.clear()
        await stream.seek(101)
        assert await stream.read(6) == bytes(range(101, 107))
        (find,) = it.log.sent("find")
        assert (find["filter"]["n"], find["limit"]) == ({"$gte": 25}, 2)
        assert await stream.read(1) == bytes([107])
        assert len(it.log.sent("find")) == 1


async def test_a_download_leaves_no_cursor_open(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        bucket = wiredrv.GridFSBucket(it.database)
        data = os.urandom(9_000_000)
        file_id = await bucket.upload_from_stream("large", data)
        it.log.clear()
        async with await bucket.open_download_stream(file_id) as stream:
            parts = [part async for part in _parts(stream, 65_536)]
        assert b"".join(parts) == data
        assert await (await bucket.open_download_stream(file_id)).read() == data
        assert set(it.log.names) == {"find"}
        assert {event.reply["cursor"]["id"] for event in it.log.succeeded_events} == {0}


async def test_files_are_found_by_a_query(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        for number in range(5):
            await it.bucket.upload_from_stream(f"{number}", bytes([number]), metadata={"odd": number % 2})
        found = [(f.filename, await f.read()) async for f in it.bucket.find({"metadata.odd": 1}).sort("filename", -1)]
        assert found == [("3", b"\x03"), ("1", b"\x01")]
        files = await it.bucket.find(sort=[("filename", 1)], skip=1, limit=2).to_list()
        assert [f.filename for f in files] == ["1", "2"]
        async with it.bucket.find().sort("filename").skip(3).limit(2).batch_size(1) as cursor:
            assert cursor.alive
            assert (await cursor.next()).filename == "3"
        assert not cursor.alive


async def test_revisions_are_counted_by_the_dates_of_uploads(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        for number in range(3):
            await it.bucket.upload_from_stream("file", bytes([number]))
            await anyio.sleep(0.002)  # dates have milliseconds
        for revision, number in ((0, 0), (1, 1), (2, 2), (-1, 2), (-2, 1), (-3, 0)):
            stream = await it.bucket.open_download_stream_by_name("file", revision)
            assert await stream.read() == bytes([number])
        sink = io.BytesIO()
        await it.bucket.download_to_stream_by_name("file", sink, revision=1)
        assert sink.getvalue() == b"\x01"
        for revision in (3, -4):
            with pytest.raises(NoFile, match=f"'file' in the bucket 'fs' has no revision {revision}"):
                await it.bucket.open_download_stream_by_name("file", revision)
        with pytest.raises(NoFile, match="no file with the name 'none'"):
            await it.bucket.open_download_stream_by_name("none", 3)


async def test_files_are_renamed_and_deleted(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        first = await it.bucket.upload_from_stream("a", b"12345")
        await it.bucket.upload_from_stream("a", b"12345")
        await it.bucket.rename(first, "b")
        assert (await it.bucket.open_download_stream(first)).filename == "b"
        await it.bucket.rename_by_name("a", "b")
        assert await it.files.count_documents({"filename": "b"}) == 2
        await it.bucket.delete(first)
        assert await it.counts() == (1, 2)
        await it.bucket.upload_from_stream("b", b"1")
        await it.bucket.upload_from_stream("c", b"1")
        await it.bucket.delete_by_name("b")
        assert await it.counts() == (1, 1)
        for call in (
            it.bucket.rename(first, "x"),
            it.bucket.rename_by_name("a", "x"),
            it.bucket.delete(first),
            it.bucket.delete_by_name("a"),
            it.bucket.open_download_stream(first),
            it.bucket.download_to_stream(first, io.BytesIO()),
        ):
            with pytest.raises(NoFile, match="there is no file with the"):
                await call
        await it.bucket.drop()
        assert await it.database.list_collection_names() == []


async def test_an_id_may_have_any_type(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        for file_id in (1, "a", {"a": {"b": 1}}, bson.decimal128.Decimal128("1.5"), None):
            await it.bucket.upload_from_stream_with_id(file_id, "file", b"12345")
            assert await it.read(file_id) == b"12345"
            await it.bucket.rename(file_id, "other")
            await it.bucket.delete(file_id)
            assert await it.counts() == (0, 0)


async def test_legacy_files_can_be_read(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        await it.files.insert_one({"_id": 1, "length": 5.0, "chunkSize": 4.0, "md5": "x", "owner": "ann"})
        await it.chunks.insert_many(
            [{"files_id": 1, "n": 1.0, "data": b"5"}, {"files_id": 1, "n": 0.0, "data": b"1234"}]
        )
        await it.chunks.insert_one({"files_id": 1, "n": 2, "data": b""})
        stream = await it.bucket.open_download_stream(1)
        assert await stream.read() == b"12345"
        assert (stream.filename, stream.upload_date, stream.md5, stream.owner) == (None, None, "x", "ann")


async def test_a_length_that_no_file_can_have_is_corrupt(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        await it.files.insert_one({"_id": 1, "length": 2**40, "chunkSize": 16_000_000})
        await it.chunks.insert_one({"files_id": 1, "n": 0, "data": b"1234"})
        stream = await it.bucket.open_download_stream(1)
        with pytest.raises(CorruptGridFile, match="chunk 0 has 4 bytes where 16000000 are expected"):
            await stream.read()


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize(
    "change, message",
    [
        ({"delete": 0}, "chunk 0 is missing"),
        ({"delete": 2}, "chunk 2 is missing"),
        ({"delete": 4}, "chunk 4 is missing"),
        ({"insert": 5}, "chunk 5 is one too many"),
        ({"resize": 1}, "chunk 1 has 3 bytes where 4 are expected"),
        ({"resize": 4}, "chunk 4 has 3 bytes where 2 are expected"),
    ],
)
async def test_a_corrupt_file_is_not_read(replica_set: ReplicaSet, change: Mapping[str, int], message: str) -> None:
    async with scene_on(replica_set) as it:
        file_id = await it.bucket.upload_from_stream("file", bytes(18))
        ((what, n),) = change.items()
        if what == "delete":
            await it.chunks.delete_one({"files_id": file_id, "n": n})
        elif what == "insert":
            await it.chunks.insert_one({"files_id": file_id, "n": n, "data": b"x"})
        else:
            await it.chunks.update_one({"files_id": file_id, "n": n}, {"$set": {"data": b"123"}})
        with pytest.raises(CorruptGridFile, match=message):
            await it.read(file_id)
        with pytest.raises(CorruptGridFile, match=message):
            await it.bucket.download_to_stream(file_id, io.BytesIO())
        stream = await it.bucket.open_download_stream(file_id)
        with pytest.raises(CorruptGridFile, match=message):
            async for _ in stream.chunks():
                pass


async def test_a_chunk_that_a_secondary_lacks_is_read_on_the_primary(
    replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene_on(replica_set) as it:
        secondary = wiredrv.ReadPreference("secondary")
        bucket = wiredrv.GridFSBucket(it.database, read_preference=secondary, write_concern=wiredrv.WriteConcern(w=3))
        file_id = await bucket.upload_from_stream("file", b"12345")
        stream = await bucket.open_download_stream(file_id)
        find, modes = ChunkReader._find, []

        async def lagging(
            reader: ChunkReader, collection: wiredrv.Collection, first: int, count: int
        ) -> Iterable[Mapping[str, Any]]:
            modes.append(collection.read_preference.mode.value)
            return [] if modes == ["secondary"] else await find(reader, collection, first, count)

        monkeypatch.setattr(ChunkReader, "_find", lagging)
        assert await stream.read() == b"12345"
        assert modes == ["secondary", "primary"]


# --- indexes --------------------------------------------------------------------------------------------------------


async def test_the_first_upload_creates_the_indexes_and_no_other_does(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        await it.bucket.upload_from_stream("file", b"1")
        assert it.log.names == [
            "find",
            "listIndexes",
            "createIndexes",
            "listIndexes",
            "createIndexes",
            "insert",
            "insert",
        ]
        (find,) = it.log.sent("find")
        assert (find["find"], find["projection"]) == ("fs.files", {"_id": 1})
        created = [(command["createIndexes"], command["indexes"]) for command in it.log.sent("createIndexes")]
        assert [(name, index["key"], index.get("unique")) for name, (index,) in created] == [
            ("fs.files", {"filename": 1, "uploadDate": 1}, None),
            ("fs.chunks", {"files_id": 1, "n": 1}, True),
        ]
        it.log.clear()
        await it.bucket.upload_from_stream("file", b"1")
        assert it.log.names == ["insert", "insert"]
        it.log.clear()
        await wiredrv.GridFSBucket(it.database).upload_from_stream("file", b"")
        assert it.log.names == ["find", "insert"]


async def test_indexes_that_exist_are_not_created_again(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        index = {"key": {"filename": 1.0, "uploadDate": bson.Int64(1)}, "name": "ours"}
        await it.database.command("createIndexes", "fs.files", indexes=[index])
        it.log.clear()
        await it.bucket.upload_from_stream("file", b"1")
        assert [command["createIndexes"] for command in it.log.sent("createIndexes")] == ["fs.chunks"]


async def test_reading_renaming_and_deleting_create_no_index(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        for call in (it.bucket.delete(1), it.bucket.rename(1, "a"), it.bucket.open_download_stream(1)):
            with pytest.raises(NoFile):
                await call
        assert await it.bucket.find().to_list() == []
        assert not {"createIndexes", "listIndexes"} & set(it.log.names)


# --- failures -------------------------------------------------------------------------------------------------------


async def test_an_id_that_is_taken_harms_no_other_file(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        await it.bucket.upload_from_stream_with_id(1, "first", b"123456789")
        await it.bucket.upload_from_stream_with_id(2, "empty", b"")
        for data in (b"x", b"", b"x" * 100):
            for file_id in (1, 2):
                with pytest.raises(FileExists, match=f"a file with the id {file_id} exists"):
                    await it.bucket.upload_from_stream_with_id(file_id, "second", data)
        assert await it.read(1) == b"123456789"
        # The user aborts by hand: nothing of the other file is deleted.
        stream = it.bucket.open_upload_stream_with_id(1, "third")
        await stream.write(b"x" * 9)
        with pytest.raises(FileExists):
            await stream.close()
        with pytest.raises(InvalidOperation, match="this upload has failed"):
            await stream.write(b"x")
        await stream.abort()
        with pytest.raises(ZeroDivisionError):
            await _fail_after(it.bucket.open_upload_stream_with_id(1, "fourth"), bytes(9))
        assert await it.read(1) == b"123456789"


@pytest.mark.usefixtures("small_windows")
async def test_an_exception_in_the_block_or_of_the_source_removes_what_was_stored(replica_set: ReplicaSet) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield bytes(50)
        assert (await it.counts())[1] > 0
        raise ZeroDivisionError

    async with scene_on(replica_set) as it:
        for options in ({}, {"file_id": 7}):
            upload: Any = it.bucket.upload_from_stream_with_id if options else it.bucket.upload_from_stream
            with pytest.raises(ZeroDivisionError):
                await upload(**options, filename="file", source=source())
            assert await it.counts() == (0, 0)
        stream = it.bucket.open_upload_stream("file")
        with pytest.raises(ZeroDivisionError):
            await stream.write(source())
        assert await it.counts() == (0, 0)
        with pytest.raises(InvalidOperation, match="a write was cancelled or refused, or its source failed"):
            await stream.close()
        with pytest.raises(ZeroDivisionError):
            await _fail_after(it.bucket.open_upload_stream("file"), bytes(50))
        assert await it.counts() == (0, 0)


@pytest.mark.usefixtures("small_windows")
async def test_an_upload_is_aborted_by_hand(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        async with it.bucket.open_upload_stream("file") as stream:
            await stream.write(bytes(50))
            await stream.abort()
            assert await it.counts() == (0, 0)
            await stream.abort()
            with pytest.raises(InvalidOperation, match="this upload was aborted"):
                await stream.write(b"x")
        assert await it.counts() == (0, 0)
        file_id = await it.bucket.upload_from_stream("file", b"1")
        async with it.bucket.open_upload_stream("file") as stream:
            stream.filename, stream.metadata = "other", {"a": 1}
        with pytest.raises(InvalidOperation, match="upload is complete"):
            await stream.abort()
        with pytest.raises(InvalidOperation, match="is closed"):
            stream.filename = "third"
        found = await it.bucket.open_download_stream(stream._id)
        assert (found.filename, found.metadata) == ("other", {"a": 1})
        assert await it.read(file_id) == b"1"


@pytest.mark.usefixtures("small_windows")
async def test_after_a_failure_of_the_server_nothing_is_removed(replica_set: ReplicaSet) -> None:
    """GridFS specification, "Operation Failure"."""
    async with scene_on(replica_set) as it:
        await it.bucket.upload_from_stream("file", b"")
        primary = replica_set.primary().address
        stream = it.bucket.open_upload_stream("file")

        async def upload() -> None:
            async with stream, fail_command(primary, "insert", data={"errorCode": 2}, app_name=_APP_NAME, times=1):
                await stream.write(bytes(12))

        await stream.write(bytes(12))
        with pytest.raises(OperationFailure) as raised:
            await upload()
        assert raised.value.code == 2
        assert "delete" not in it.log.names
        assert await it.counts() == (1, 3)
        await stream.abort()
        assert await it.counts() == (1, 0)


@pytest.mark.usefixtures("small_windows")
async def test_an_upload_that_is_refused_before_its_end_is_sent_is_removed(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        stream = it.bucket.open_upload_stream("file", metadata={"a": object()})
        await stream.write(bytes(50))
        assert (await it.counts())[1] > 0
        with pytest.raises(DriverError, match="cannot be encoded"):
            await stream.close()
        assert await it.counts() == (0, 0)
        async with it.client.start_session() as session:
            stream = it.bucket.open_upload_stream("file", session=session)
            await stream.write(bytes(50))
        with pytest.raises(InvalidOperation, match="ended session"):
            await stream.close()
        assert await it.counts() == (0, 0)


async def test_an_upload_that_is_forgotten_warns_and_is_removed(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        bucket = wiredrv.GridFSBucket(it.database, chunk_size_bytes=1_000_000)
        held = [bucket.open_upload_stream("file")]
        await held[0].write(bytes(9_000_000))
        assert await it.chunks.count_documents({}) > 0
        with pytest.warns(ResourceWarning, match=r"an upload begun at .*test_gridfs.py:\d+ was neither closed nor"):
            _drop(held)

        async def gone() -> bool:
            return await it.counts() == (0, 0)

        await until_async(gone, "the chunks are deleted")


@pytest.mark.usefixtures("small_windows")
async def test_calls_are_retried_after_a_broken_connection(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        primary = replica_set.primary().address
        file_id = await it.bucket.upload_from_stream("a", bytes(30))
        broken = {"closeConnection": True}

        async def failing(command: str, call: Any) -> Any:
            it.log.clear()
            async with fail_command(primary, command, data=broken, app_name=_APP_NAME):
                result = await call
            # Of finds that are sent at once, the fail point may fail two.
            assert 1 <= len(it.log.failed_events) <= 2
            return result

        second = await failing("insert", it.bucket.upload_from_stream("a", bytes(range(30))))
        assert await failing("find", it.read(second)) == bytes(range(30))
        stream = await it.bucket.open_download_stream(second)
        assert await stream.read(4) == bytes(range(4))
        assert await failing("find", stream.read()) == bytes(range(4, 30))  # in the middle of a download
        await failing("update", it.bucket.rename(file_id, "b"))
        await failing("update", it.bucket.rename_by_name("a", "b"))
        assert await it.files.count_documents({"filename": "b"}) == 2
        await failing("delete", it.bucket.delete(second))
        await failing("delete", it.bucket.delete_by_name("b"))
        assert await it.counts() == (0, 0)


async def test_a_rename_whose_answer_was_lost_is_no_missing_file(
    replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene_on(replica_set) as it:
        await it.bucket.upload_from_stream("a", b"1")
        update_many, calls = wiredrv.Collection.update_many, []

        async def losing(*arguments: Any, **options: Any) -> Any:
            result = await update_many(*arguments, **options)
            calls.append(result)
            if len(calls) == 1:
                raise AutoReconnect("the connection broke before the answer came")
            return result

        monkeypatch.setattr(wiredrv.Collection, "update_many", losing)
        await it.bucket.rename_by_name("a", "b")
        assert [result.matched_count for result in calls] == [1, 0]


async def test_without_retries_nothing_is_sent_twice(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set, retryWrites=False) as it:
        await it.bucket.upload_from_stream("a", b"1")
        primary = replica_set.primary().address
        async with fail_command(primary, "update", data={"closeConnection": True}, app_name=_APP_NAME):
            with pytest.raises(AutoReconnect):
                await it.bucket.rename_by_name("a", "b")


async def test_two_tasks_cannot_use_one_stream_at_once(replica_set: ReplicaSet) -> None:
    refusals: list[InvalidOperation] = []

    async def attempt(function: Any, *arguments: Any) -> None:
        try:
            await function(*arguments)
        except InvalidOperation as error:
            refusals.append(error)

    async with scene_on(replica_set) as it:
        bucket = wiredrv.GridFSBucket(it.database, chunk_size_bytes=10)
        async with bucket.open_upload_stream("file") as stream, anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(attempt, stream.write, bytes(5000))
        out = await bucket.open_download_stream(stream._id)
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(attempt, out.read, 10)
        assert [str(error).partition(":")[0] for error in refusals] == [
            "another task is writing to this stream",
            "another task is reading this file",
        ]


async def test_uploads_at_once_do_not_mix(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        contents = {name: os.urandom(50_000) for name in "abcd"}
        bucket = wiredrv.GridFSBucket(it.database, chunk_size_bytes=1000)

        async def upload(name: str) -> None:
            async with bucket.open_upload_stream(name) as stream:
                for start in range(0, 50_000, 700):
                    await stream.write(contents[name][start : start + 700])

        async with anyio.create_task_group() as group:
            for name in contents:
                group.start_soon(upload, name)
        for name, content in contents.items():
            assert await (await bucket.open_download_stream_by_name(name)).read() == content


async def test_one_of_two_uploads_with_the_same_id_wins(replica_set: ReplicaSet) -> None:
    outcomes: list[object] = []

    async def upload(data: bytes) -> None:
        try:
            await it.bucket.upload_from_stream_with_id(1, "file", data)
            outcomes.append(data)
        except FileExists as error:
            outcomes.append(type(error))

    async with scene_on(replica_set) as it:
        await it.bucket.create_indexes()
        async with anyio.create_task_group() as group:
            for letter in (b"a", b"b"):
                group.start_soon(upload, letter * 50)
        assert len(outcomes) == 2
        (winner,) = (found for found in outcomes if found is not FileExists)
        assert await it.read(1) == winner


async def test_a_primary_that_is_killed_costs_no_upload_and_no_download(
    disturbed_replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wiredrv.gridfs.upload.UPLOAD_BATCH", 20_000)
    monkeypatch.setattr(chunks, "DOWNLOAD_BATCH", 20_000)
    data = os.urandom(400_000)
    async with scene_on(disturbed_replica_set) as it:
        majority = wiredrv.WriteConcern(w="majority")
        bucket = wiredrv.GridFSBucket(it.database, chunk_size_bytes=1000, write_concern=majority)
        file_id = await bucket.upload_from_stream("file", data)
        out = await bucket.open_download_stream(file_id)
        first = await out.read(100_000)
        async with bucket.open_upload_stream("file") as stream:
            await stream.write(data[:200_000])
            await anyio.to_thread.run_sync(lambda: disturbed_replica_set.primary().kill())
            await stream.write(data[200_000:])
            assert first + await out.read() == data
        assert await (await bucket.open_download_stream(stream._id)).read() == data


# --- options, sessions, transactions --------------------------------------------------------------------------------


async def test_concerns_and_preference_are_the_databases_or_the_buckets_own(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        majority, one = wiredrv.WriteConcern(w="majority"), wiredrv.WriteConcern(w=1)
        database = it.database.with_options(
            write_concern=majority,
            read_concern=wiredrv.ReadConcern("majority"),
            read_preference=wiredrv.ReadPreference("primaryPreferred"),
        )
        inherited = wiredrv.GridFSBucket(database)
        own = wiredrv.GridFSBucket(
            database,
            write_concern=one,
            read_concern=wiredrv.ReadConcern("local"),
            read_preference=wiredrv.ReadPreference("primary"),
        )
        for bucket, concern, level in ((inherited, {"w": "majority"}, "majority"), (own, {"w": 1}, "local")):
            file_id = await bucket.upload_from_stream("file", b"1")
            it.log.clear()
            await (await bucket.open_download_stream(file_id)).read()
            assert [command["readConcern"]["level"] for command in it.log.sent("find")] == [level, level]
            await bucket.rename(file_id, "x")
            await bucket.delete(file_id)
            assert [event.command["writeConcern"] for event in it.log.started_events[2:]] == [concern] * 3
        unacknowledged = it.database.with_options(write_concern=wiredrv.WriteConcern(w=0))
        with pytest.raises(ConfigurationError, match="GridFS needs an acknowledged write concern"):
            wiredrv.GridFSBucket(unacknowledged)


async def test_arguments_of_the_wrong_kind_are_refused(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        wrong: Any = it.client
        with pytest.raises(ConfigurationError, match="db must be a Database"):
            wiredrv.GridFSBucket(wrong)
        with pytest.raises(ConfigurationError, match="bucket_name must be a string"):
            wiredrv.GridFSBucket(it.database, bucket_name=wrong)
        with pytest.raises(ConfigurationError, match="chunk_size_bytes"):
            wiredrv.GridFSBucket(it.database, chunk_size_bytes=0)
        with pytest.raises(TypeError, match="disable_md5"):
            wiredrv.GridFSBucket(it.database, disable_md5=True)  # type: ignore[call-arg]  # there is none
        for options in ({"filename": 3}, {"chunk_size_bytes": 0}, {"metadata": 3}):
            arguments: Any = {"filename": "a", **options}
            with pytest.raises(ConfigurationError):
                it.bucket.open_upload_stream(**arguments)
        with pytest.raises(DriverError, match="cannot be encoded"):
            it.bucket.open_upload_stream_with_id(object(), "a")
        async with it.bucket.open_upload_stream("a") as stream:
            text: Any = "text"
            with pytest.raises(ConfigurationError, match="the source must be bytes"):
                await stream.write(text)
            await stream.write(b"still open")
        synchronous: Any = stream
        with pytest.raises(TypeError, match="async with"):
            synchronous.__enter__()


async def test_every_command_of_a_stream_uses_its_session(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it, it.client.start_session() as session:
        lsid = bytes(session.session_id["id"])
        file_id = await it.bucket.upload_from_stream("file", bytes(30), session=session)
        async with session.bind(end_session=False):
            stream = it.bucket.open_upload_stream("file")
            found = await it.bucket.open_download_stream(file_id)
            (listed,) = await it.bucket.find({"_id": file_id}).to_list()
        # Opened in the binding: they keep its session.
        async with stream:
            await stream.write(bytes(30))
        assert stream.session is found.session is listed.session is session
        assert await found.read() == await listed.read() == bytes(30)
        await it.bucket.rename(file_id, "b", session=session)
        await it.bucket.rename_by_name("b", "c", session=session)
        await it.bucket.delete(file_id, session=session)
        await it.bucket.delete_by_name("file", session=session)
        assert set(it.log.lsids()) == {lsid}
        # A stream without a session does not join a binding that it was not opened in.
        it.log.clear()
        outside = it.bucket.open_upload_stream("file")
        async with session.bind(end_session=False), outside:
            await outside.write(b"1")
        assert lsid not in it.log.lsids()


async def test_a_transaction_stores_a_file_whole_or_not_at_all(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        await it.bucket.create_indexes()
        it.log.clear()
        async with it.client.transaction():
            file_id = await it.bucket.upload_from_stream("file", bytes(30))
            assert await it.read(file_id) == bytes(30)
            with wiredrv.unbound(), pytest.raises(NoFile):
                await it.bucket.open_download_stream(file_id)
            await it.bucket.rename_by_name("file", "other")
        assert "listIndexes" not in it.log.names
        assert (await it.bucket.open_download_stream(file_id)).filename == "other"

        async def fail() -> None:
            async with it.client.transaction():
                await it.bucket.upload_from_stream("file", bytes(30))
                await it.bucket.delete(file_id)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert await it.counts() == (1, 8)
        # A block within the transaction that fails: its chunks are not committed with the rest.
        async with it.client.transaction():
            with pytest.raises(ZeroDivisionError):
                await _fail_after(it.bucket.open_upload_stream("x", chunk_size_bytes=9_000_000), bytes(9_000_000))
            await it.bucket.delete_by_name("other")
        assert await it.counts() == (0, 0)


async def test_a_stream_stays_in_its_transaction(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it, it.client.start_session() as session:
        file_id = await it.bucket.upload_from_stream("file", bytes(30), session=session)
        before = it.bucket.open_upload_stream("before", session=session)
        async with session.start_transaction():
            stream = it.bucket.open_upload_stream("file", session=session)
            await stream.write(b"1")
            out = await it.bucket.open_download_stream(file_id, session=session)
            with pytest.raises(InvalidOperation, match="begun before the transaction"):
                await before.write(b"1")
        with pytest.raises(InvalidOperation, match="begun in a transaction that has ended"):
            await stream.close()
        with pytest.raises(InvalidOperation, match="opened in a transaction that has ended"):
            await out.read()
        await stream.abort()
        async with before:
            await before.write(b"1")
        assert await it.read(before._id) == b"1"


async def test_a_snapshot_session_reads_a_file_that_was_deleted_meanwhile(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        bucket = wiredrv.GridFSBucket(it.database, write_concern=wiredrv.WriteConcern(w="majority"))
        file_id = await bucket.upload_from_stream("file", b"12345")
        async with it.client.start_session(snapshot=True) as session:
            stream = await bucket.open_download_stream(file_id, session=session)
            await bucket.delete(file_id)
            assert await stream.read() == b"12345"
            with pytest.raises(DriverError):
                await bucket.upload_from_stream("file", b"1", session=session)
        with pytest.raises(NoFile):
            await bucket.open_download_stream(file_id)


async def test_a_session_of_another_client_and_a_closed_client_are_refused(replica_set: ReplicaSet) -> None:
    async with scene_on(replica_set) as it:
        file_id = await it.bucket.upload_from_stream("file", b"1")
        async with wiredrv.Client(replica_set.uri) as other, other.start_session() as foreign:
            with pytest.raises(InvalidOperation, match="the client that started it"):
                it.bucket.open_upload_stream("file", session=foreign)
            with pytest.raises(InvalidOperation, match="the client that started it"):
                await it.bucket.open_download_stream(file_id, session=foreign)
        stream = await it.bucket.open_download_stream(file_id)
        await it.client.close()
        with pytest.raises(InvalidOperation, match="after close"):
            it.bucket.open_upload_stream("file")
        with pytest.raises(InvalidOperation, match="after close"):
            await stream.read()
