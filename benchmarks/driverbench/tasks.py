"""The benchmark's tasks: what each does, how many bytes that is, what must be there before, and what afterwards.

Rules kept here:

* Documents and sizes are the specification's. The number of operations is too with ``--full``; else it is smaller where
  a task would take minutes, and the score is computed from the bytes that were really processed.
* Documents are made before the clock starts, as the specification says; a task is what is then awaited.
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import anyio

from benchmarks.driverbench.data import DataSets
from benchmarks.driverbench.drivers import OpenDriver

T = TypeVar("T")
#: What is timed: one iteration.
Iteration = Callable[[], Awaitable[object]]
#: Makes an iteration of so many operations with an open driver.
Prepare = Callable[[OpenDriver, DataSets, int], Iteration]
#: What the referee sets up before an iteration. See ``referee``.
Scene = Literal["nothing", "tweets", "empty", "bucket", "file", "lines", "files"]

#: How many files a parallel task works on at once.
WORKERS = 4
#: The size of ``{hello: true}`` in BSON.
_HELLO_BYTES = 13


class WrongResult(AssertionError):
    """A driver answered, but not with what the task must give."""


@dataclass(frozen=True)
class Task:
    """One task. The number of operations in one iteration is the specification's with ``full``."""

    name: str
    group: Literal["single", "multi", "parallel"]
    direction: Literal["read", "write"] | None
    scene: Scene
    full: int
    quick: int
    #: The bytes that one operation counts for in the score.
    size: Callable[[DataSets], int]
    prepare: Prepare
    #: The first server version that has what the task needs.
    server: tuple[int, int] = (0, 0)

    def operations(self, full: bool) -> int:
        return self.full if full else self.quick

    def megabytes(self, data: DataSets, operations: int) -> float:
        """What one iteration processes, in units of 1,000,000 bytes."""
        return self.size(data) * operations / 1e6


def _run_command(driver: OpenDriver, data: DataSets, operations: int) -> Iteration:
    async def run() -> None:
        for _ in range(operations):
            await driver.run_command({"hello": True})

    return run


def _find_one(driver: OpenDriver, data: DataSets, operations: int) -> Iteration:
    async def run() -> None:
        for number in range(1, operations + 1):
            if await driver.find_one(number) is None:
                raise WrongResult(f"document {number} was not found")

    return run


def _insert_one(name: str) -> Prepare:
    def prepare(driver: OpenDriver, data: DataSets, operations: int) -> Iteration:
        documents = _copies(data.document(name), operations)

        async def run() -> None:
            for document in documents:
                await driver.insert_one(document)

        return run

    return prepare


def _find_many(driver: OpenDriver, data: DataSets, operations: int) -> Iteration:
    async def run() -> None:
        found = await driver.count_found({})
        if found != operations:
            raise WrongResult(f"{found} documents were found, not {operations}")

    return run


def _insert_many(name: str) -> Prepare:
    def prepare(driver: OpenDriver, data: DataSets, operations: int) -> Iteration:
        return partial(driver.insert_many, _copies(data.document(name), operations))

    return prepare


def _bulk(name: str, *, client: bool = False, mixed: bool = False) -> Prepare:
    def prepare(driver: OpenDriver, data: DataSets, operations: int) -> Iteration:
        # Of the mixed models the specification counts insert and replacement: two operations for each document.
        documents = _copies(data.document(name), operations // 2 if mixed else operations)
        models = driver.models(documents, mixed=mixed, client=client)
        return partial(driver.client_bulk_write if client else driver.bulk_write, models)

    return prepare


def _upload(driver: OpenDriver, data: DataSets, operations: int) -> Iteration:
    return partial(driver.upload, data.large_file.name, data.large_file.read_bytes())


def _download(driver: OpenDriver, data: DataSets, operations: int) -> Iteration:
    size = data.large_file.stat().st_size

    async def run() -> None:
        found = await driver.download(data.large_file.name)
        if len(found) != size:
            raise WrongResult(f"{len(found)} bytes were downloaded, not {size}")

    return run


def _import(driver: OpenDriver, data: DataSets, operations: int) -> Iteration:
    return partial(_in_parallel, driver.import_file, data.json_files[:operations])


def _export(driver: OpenDriver, data: DataSets, operations: int) -> Iteration:
    async def run() -> None:
        with tempfile.TemporaryDirectory(dir=data.folder) as folder:

            async def export(number: int) -> None:
                await driver.export_file(number, Path(folder, f"{number}.txt"))

            await _in_parallel(export, range(operations))

    return run


def _upload_files(driver: OpenDriver, data: DataSets, operations: int) -> Iteration:
    async def upload(path: Path) -> None:
        await driver.upload(path.name, _content(path))

    return partial(_in_parallel, upload, data.binary_files[:operations])


def _download_files(driver: OpenDriver, data: DataSets, operations: int) -> Iteration:
    async def run() -> None:
        with tempfile.TemporaryDirectory(dir=data.folder) as folder:

            async def download(path: Path) -> None:
                _keep(folder, path.name, await driver.download(path.name))

            await _in_parallel(download, data.binary_files[:operations])

    return run


def _content(path: Path) -> bytes:
    return path.read_bytes()


def _keep(folder: str, name: str, content: bytes) -> None:
    Path(folder, name).write_bytes(content)


def _copies(document: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """A document of its own for each operation: drivers add the ``_id`` to the one that they are given."""
    return [dict(document) for _ in range(number)]


async def _in_parallel(act: Callable[[T], Awaitable[None]], items: Iterable[T]) -> None:
    """Apply ``act`` to all items, to :data:`WORKERS` of them at a time."""
    left = iter(items)

    async def work() -> None:
        for item in left:
            await act(item)

    async with anyio.create_task_group() as tasks:
        for _ in range(WORKERS):
            tasks.start_soon(work)


def _hello(data: DataSets) -> int:
    return _HELLO_BYTES


def _document(name: str) -> Callable[[DataSets], int]:
    return lambda data: data.document_size(name)


def _large_file(data: DataSets) -> int:
    return data.large_file.stat().st_size


def _json_file(data: DataSets) -> int:
    return data.json_files[0].stat().st_size


def _binary_file(data: DataSets) -> int:
    return data.binary_files[0].stat().st_size


_TWEET, _SMALL, _LARGE = (_document(name) for name in ("tweet", "small_doc", "large_doc"))
_BULK_SERVER = (8, 0)

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("run command", "single", None, "nothing", 10_000, 2_000, _hello, _run_command),
        Task("find one by id", "single", "read", "tweets", 10_000, 2_000, _TWEET, _find_one),
        Task("small insert one", "single", "write", "empty", 10_000, 1_000, _SMALL, _insert_one("small_doc")),
        Task("large insert one", "single", "write", "empty", 10, 10, _LARGE, _insert_one("large_doc")),
        Task("find many", "multi", "read", "tweets", 10_000, 10_000, _TWEET, _find_many),
        Task("small bulk insert", "multi", "write", "empty", 10_000, 10_000, _SMALL, _insert_many("small_doc")),
        Task("large bulk insert", "multi", "write", "empty", 10, 10, _LARGE, _insert_many("large_doc")),
        Task("small collection bulk", "multi", "write", "empty", 10_000, 10_000, _SMALL, _bulk("small_doc")),
        Task("large collection bulk", "multi", "write", "empty", 10, 10, _LARGE, _bulk("large_doc")),
        Task("mixed collection bulk", "multi", "write", "empty", 20_000, 1_000, _SMALL, _bulk("small_doc", mixed=True)),
        Task(
            "small client bulk",
            "multi",
            "write",
            "empty",
            10_000,
            10_000,
            _SMALL,
            _bulk("small_doc", client=True),
            _BULK_SERVER,
        ),
        Task(
            "large client bulk",
            "multi",
            "write",
            "empty",
            10,
            10,
            _LARGE,
            _bulk("large_doc", client=True),
            _BULK_SERVER,
        ),
        Task(
            "mixed client bulk",
            "multi",
            "write",
            "empty",
            20_000,
            1_000,
            _SMALL,
            _bulk("small_doc", client=True, mixed=True),
            _BULK_SERVER,
        ),
        Task("GridFS upload", "multi", "write", "bucket", 1, 1, _large_file, _upload),
        Task("GridFS download", "multi", "read", "file", 1, 1, _large_file, _download),
        Task("LDJSON import", "parallel", "write", "empty", 100, 8, _json_file, _import),
        Task("LDJSON export", "parallel", "read", "lines", 100, 8, _json_file, _export),
        Task("GridFS import", "parallel", "write", "bucket", 50, 8, _binary_file, _upload_files),
        Task("GridFS export", "parallel", "read", "files", 50, 8, _binary_file, _download_files),
    )
}
