"""Time limits of GridFS: one for a call, and one for the whole life of a stream.

Client-side-operations-timeout specification, "GridFS API", and its prose tests 6 and 7.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from bson.objectid import ObjectId

import wiredrv
from tests.support.commands import CommandLog
from tests.support.failpoints import fail_command
from tests.support.waiting import until_async
from wiredrv.errors import ConfigurationError, DriverError
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

_APP_NAME = "gridfs-timeouts"
_NAME = "wiredrv_gridfs_timeouts"
#: Longer than those of the specification's tests: what comes before the fail point must not use them up.
_LIMIT, _BLOCK = 1500, 2500


@asynccontextmanager
async def bucket_on(
    deployment: ReplicaSet, log: CommandLog | None = None, **options: Any
) -> AsyncIterator[wiredrv.GridFSBucket]:
    listeners = [] if log is None else [log]
    async with wiredrv.Client(deployment.uri, appName=_APP_NAME, event_listeners=listeners, **options) as client:
        await client.drop_database(_NAME)
        database = client[_NAME]
        for name in ("fs.files", "fs.chunks"):
            await database.create_collection(name)
        yield wiredrv.GridFSBucket(database, chunk_size_bytes=2)


async def test_an_upload_stream_runs_out_of_time_when_it_is_closed(replica_set: ReplicaSet) -> None:
    """Prose test 6, "uploads via openUploadStream can be timed out"."""
    async with bucket_on(replica_set, timeoutMS=_LIMIT) as bucket:
        stream = bucket.open_upload_stream("filename")
        await stream.write(b"\x12")
        address = replica_set.primary().address
        async with fail_command(address, "insert", block_ms=_BLOCK, app_name=_APP_NAME):
            with pytest.raises(DriverError) as raised:
                await stream.close()
        assert raised.value.timeout


async def test_aborting_an_upload_runs_out_of_time(replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prose test 6, "Aborting an upload stream can be timed out". Here only chunks that were sent are deleted."""
    monkeypatch.setattr("wiredrv.gridfs.upload.UPLOAD_BATCH", 1)
    async with bucket_on(replica_set, timeoutMS=_LIMIT) as bucket:
        stream = bucket.open_upload_stream("filename")
        await stream.write(bytes([1, 2, 3, 4]))
        address = replica_set.primary().address
        async with fail_command(address, "delete", block_ms=_BLOCK, app_name=_APP_NAME):
            with pytest.raises(DriverError) as raised:
                await stream.abort()
        assert raised.value.timeout


async def test_a_download_stream_runs_out_of_time_when_it_is_read(replica_set: ReplicaSet) -> None:
    """Prose test 7."""
    log = CommandLog()
    async with bucket_on(replica_set, log, timeoutMS=_LIMIT) as bucket:
        file_id = ObjectId("000000000000000000000005")
        files = bucket._store.files
        await files.insert_one({"_id": file_id, "length": 10, "chunkSize": 4, "filename": "length-10"})
        log.clear()
        stream = await bucket.open_download_stream(file_id)
        address = replica_set.primary().address
        async with fail_command(address, "find", block_ms=_BLOCK, app_name=_APP_NAME):
            with pytest.raises(DriverError) as raised:
                await stream.read()
        assert raised.value.timeout
        assert [command["find"] for command in log.sent("find")] == ["fs.files", "fs.chunks"]


async def test_the_limit_of_a_stream_ends_its_life(replica_set: ReplicaSet) -> None:
    async with bucket_on(replica_set) as bucket:
        file_id = await bucket.upload_from_stream("file", bytes(10))
        upload = bucket.open_upload_stream("file", timeout_ms=300)
        download = await bucket.open_download_stream(file_id, timeout_ms=300)
        (found,) = await bucket.find({}, timeout_ms=300).to_list()
        with wiredrv.timeout(0.3):
            in_a_block = bucket.open_upload_stream("file")
        await upload.write(b"1")
        await in_a_block.write(b"1")
        await anyio.sleep(0.35)
        for call in (upload.close, download.read, in_a_block.close):
            with pytest.raises(DriverError) as raised:
                await call()
            assert raised.value.timeout
        # The time of a file that was found begins when it is read, and is the bucket's.
        assert await found.read() == bytes(10)
        assert await bucket._store.files.count_documents({}) == 1


async def test_an_upload_whose_source_is_too_slow_is_removed_with_the_whole_limit_again(
    replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wiredrv.gridfs.upload.UPLOAD_BATCH", 1)

    async def source() -> AsyncIterator[bytes]:
        yield b"1234"
        await anyio.sleep(0.6)
        raise ZeroDivisionError

    async with bucket_on(replica_set) as bucket:
        await bucket.create_indexes()
        with pytest.raises(ZeroDivisionError):
            await bucket.upload_from_stream("file", source(), timeout_ms=500)

        async def gone() -> bool:
            return await bucket._store.chunks.count_documents({}) == 0

        await until_async(gone, "the chunks are deleted")


async def test_the_limit_of_a_bucket_is_that_of_its_database_or_its_own(replica_set: ReplicaSet) -> None:
    log = CommandLog()
    async with bucket_on(replica_set, log) as bucket:
        database = bucket._store.files.database
        limited = wiredrv.GridFSBucket(database.client.get_database(_NAME, timeout_ms=20_000))
        own = wiredrv.GridFSBucket(database, timeout_ms=30_000)
        for chosen, milliseconds in ((bucket, 0), (limited, 20_000), (own, 30_000)):
            log.clear()
            file_id = await chosen.upload_from_stream("a", b"123")
            await chosen.rename(file_id, "b")
            await chosen.rename_by_name("b", "c")
            assert await (await chosen.open_download_stream_by_name("c")).read() == b"123"
            await chosen.delete_by_name("c")
            limits = [command.get("maxTimeMS", 0) for command in log.sent()]
            assert all(milliseconds - 10_000 < limit <= milliseconds for limit in limits)
        log.clear()
        await own.create_indexes(timeout_ms=5000)
        await own.drop(timeout_ms=5000)
        assert all(0 < command["maxTimeMS"] <= 5000 for command in log.sent())
        with pytest.raises(ConfigurationError, match="timeout_ms"):
            bucket.open_upload_stream("a", timeout_ms=-1)
