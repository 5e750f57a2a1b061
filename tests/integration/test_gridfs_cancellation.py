"""An upload or a download that is cancelled at any await leaves nothing behind: no chunk, no file, no cursor, no task.

The harness is that of ``tests/test_cancellation.py``: each program runs again and again, and is cancelled at its first
await, its second, and so on.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import anyio
import pytest

import wiredrv
from tests.support.commands import Canceller
from tests.support.failpoints import fail_command
from tests.support.leaks import LeakWatch
from tests.support.steps import cancelled_at
from tests.support.waiting import until, until_async
from wiredrv.description import ServerType
from wiredrv.gridfs import chunks
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

_NAME = "wiredrv_gridfs_cancellation"
_APP_NAME = "gridfs-cancellation"
_DATA = bytes(range(30))
#: More awaits than any of the programs has.
_MOST_AWAITS = 80


class Scene:
    """A client, and a bucket that has one file and its indexes."""

    def __init__(self, client: wiredrv.Client) -> None:
        self.client = client
        self.database = client[_NAME]

    @property
    def bucket(self) -> wiredrv.GridFSBucket:
        """A new bucket: its first upload looks for files."""
        return wiredrv.GridFSBucket(self.database, chunk_size_bytes=4)

    async def counts(self) -> tuple[int, int]:
        """How many files and chunks there are besides the one file."""
        query = {"files_id": {"$ne": 0}}
        files = await self.database["fs.files"].count_documents({"_id": {"$ne": 0}})
        return files, await self.database["fs.chunks"].count_documents(query)


Run = Callable[[Scene], Awaitable[object]]


async def upload(it: Scene) -> object:
    return await it.bucket.upload_from_stream("file", _DATA)


async def upload_with_id(it: Scene) -> object:
    await it.bucket.upload_from_stream_with_id(1, "file", _DATA)
    return None


async def upload_over_an_existing_file(it: Scene) -> object:
    with contextlib.suppress(wiredrv.errors.FileExists):
        await it.bucket.upload_from_stream_with_id(0, "file", _DATA)
    return None


async def upload_in_a_session(it: Scene) -> object:
    async with it.client.start_session() as session:
        return await it.bucket.upload_from_stream("file", _DATA, session=session)


async def upload_in_a_binding(it: Scene) -> object:
    async with it.client.start_session() as session, session.bind():
        return await it.bucket.upload_from_stream("file", _DATA)


async def upload_in_a_transaction(it: Scene) -> object:
    async with it.client.transaction():
        return await it.bucket.upload_from_stream("file", _DATA)


async def upload_without_a_block(it: Scene) -> object:
    stream = it.bucket.open_upload_stream("file")
    await stream.write(_DATA)
    await stream.close()
    return None


async def abort(it: Scene) -> object:
    stream = it.bucket.open_upload_stream("file")
    await stream.write(_DATA)
    await stream.abort()
    return None


async def upload_from_a_slow_source(it: Scene) -> object:
    async def source() -> AsyncGenerator[bytes, None]:
        for start in range(0, 30, 5):
            await anyio.lowlevel.checkpoint()
            yield _DATA[start : start + 5]

    async with contextlib.aclosing(source()) as pieces:
        return await it.bucket.upload_from_stream("file", pieces)


UPLOADS: tuple[Run, ...] = (
    upload,
    upload_with_id,
    upload_over_an_existing_file,
    upload_in_a_session,
    upload_in_a_binding,
    upload_in_a_transaction,
    upload_without_a_block,
    abort,
    upload_from_a_slow_source,
)


async def download(it: Scene) -> object:
    sink = io.BytesIO()
    await it.bucket.download_to_stream(0, sink)
    return sink.getvalue()


async def download_in_a_session(it: Scene) -> object:
    async with it.client.start_session() as session:
        return await (await it.bucket.open_download_stream(0, session=session)).read()


async def read_lines_of_a_file(it: Scene) -> object:
    async with await it.bucket.open_download_stream_by_name("kept") as stream:
        return b"".join([line async for line in stream])


DOWNLOADS: tuple[Run, ...] = (download, download_in_a_session, read_lines_of_a_file)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read in windows of two chunks, and inserted in batches of three, with an await for each chunk."""
    monkeypatch.setattr(chunks, "DOWNLOAD_BATCH", 2 * (4 + 64 + 128))
    monkeypatch.setattr("wiredrv.gridfs.upload.UPLOAD_BATCH", 3 * 75)
    monkeypatch.setattr("wiredrv.gridfs.upload._PER_CHECKPOINT", 1)


@asynccontextmanager
async def scene_on(deployment: ReplicaSet, **options: Any) -> AsyncIterator[tuple[Scene, LeakWatch]]:
    async with wiredrv.Client(deployment.uri, appName=_APP_NAME, **options) as client:
        it = Scene(client)
        await until(lambda: _all_known(client, len(deployment.members)), "every member is known")
        await client.drop_database(_NAME)
        await it.bucket.upload_from_stream_with_id(0, "kept", _DATA)
        watch = LeakWatch(deployment, client, f"{_NAME}.")
        await watch.remember()
        yield it, watch


def _all_known(client: wiredrv.Client, members: int) -> bool:
    kinds = [server.server_type for server in client.topology_description.servers.values()]
    return kinds.count(ServerType.RS_PRIMARY) == 1 and kinds.count(ServerType.RS_SECONDARY) == members - 1


@pytest.mark.parametrize("run", UPLOADS, ids=lambda run: run.__name__)
async def test_an_upload_cancelled_at_any_await_leaves_no_chunks(replica_set: ReplicaSet, run: Run) -> None:
    async with scene_on(replica_set) as (it, watch):
        for step in range(1, _MOST_AWAITS):
            outcome = await cancelled_at(step, lambda: _coroutine(run, it))
            when = f"{run.__name__}, cancelled at await {step}"
            await watch.check(when)
            counts = await it.counts()
            # Whether a commit that was sent takes effect, the server alone decides.
            undecided = run is upload_in_a_transaction and outcome.cancelled and counts == (1, 8)
            whole = undecided or (not outcome.cancelled and run not in (abort, upload_over_an_existing_file))
            assert counts == ((1, 8) if whole else (0, 0)), when
            assert await (await it.bucket.open_download_stream(0)).read() == _DATA, when
            if whole:
                await it.bucket.delete_by_name("file")
            if outcome.awaits < step:
                assert step > 3
                return
        raise AssertionError(f"{run.__name__} had more than {_MOST_AWAITS} awaits")


@pytest.mark.parametrize("run", DOWNLOADS, ids=lambda run: run.__name__)
async def test_a_download_cancelled_at_any_await_leaves_nothing_open(replica_set: ReplicaSet, run: Run) -> None:
    async with scene_on(replica_set) as (it, watch):
        for step in range(1, _MOST_AWAITS):
            outcome = await cancelled_at(step, lambda: _coroutine(run, it))
            await watch.check(f"{run.__name__}, cancelled at await {step}")
            if outcome.awaits < step:
                assert outcome.value == _DATA
                return
        raise AssertionError(f"{run.__name__} had more than {_MOST_AWAITS} awaits")


async def _coroutine(run: Run, it: Scene) -> object:
    return await run(it)


@pytest.mark.parametrize("run", [upload, upload_with_id, upload_in_a_session], ids=lambda run: run.__name__)
async def test_what_a_slow_insert_stores_after_its_cancellation_is_removed_in_the_background(
    replica_set: ReplicaSet, run: Run
) -> None:
    """The server stores the chunks only after the caller has gone on."""
    canceller = Canceller("insert")
    async with scene_on(replica_set, event_listeners=[canceller]) as (it, watch):
        primary = replica_set.primary().address
        async with fail_command(primary, "insert", block_ms=800, app_name=_APP_NAME):
            begun = monotonic()
            with canceller.cancelling():
                await run(it)
            assert monotonic() - begun < 5

            async def clean() -> bool:
                return await it.counts() == (0, 0)

            await watch.check("a slow insert")
            await until_async(clean, "the chunks are deleted")


async def test_a_cancelled_write_in_a_transaction_that_goes_on_is_not_committed(replica_set: ReplicaSet) -> None:
    """Cancelled where no command is in flight, so that the transaction itself can be committed."""
    async with scene_on(replica_set) as (it, watch):
        async with it.client.transaction():
            with anyio.CancelScope() as scope:
                async with it.bucket.open_upload_stream("file") as stream:
                    await stream.write(_DATA)
                    scope.cancel()
                    await anyio.sleep_forever()
            await it.database["other"].insert_one({})
        assert await it.counts() == (0, 0)
        assert await it.database["other"].count_documents({}) == 1
        await watch.check("an upload in a transaction")
