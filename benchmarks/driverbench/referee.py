"""The referee: sets up what a task needs, and checks what it has left, with PyMongo's synchronous client."""

from __future__ import annotations

import json
from typing import Any, Self

import gridfs
from pymongo import MongoClient

from benchmarks.driverbench.data import DataSets
from benchmarks.driverbench.drivers import COLLECTION, DATABASE, Document
from benchmarks.driverbench.tasks import Scene, Task, WrongResult

#: Scenes that a task only reads: they are set up once for all iterations of the task.
_READ_ONLY: frozenset[Scene] = frozenset({"nothing", "tweets", "file", "lines", "files"})
_FIRST_FILE = "first"


class Referee:
    """Use it as a context manager: it drops the benchmark's database at both ends."""

    def __init__(self, uri: str, data: DataSets) -> None:
        self.client: MongoClient[Document] = MongoClient(uri)
        self.database = self.client[DATABASE]
        self.corpus = self.database[COLLECTION]
        self.data = data
        self._there: tuple[Scene, int] | None = None

    def __enter__(self) -> Self:
        self.client.drop_database(DATABASE)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.client.drop_database(DATABASE)
        self.client.close()

    @property
    def server_version(self) -> str:
        version: str = self.client.server_info()["version"]
        return version

    def prepare(self, task: Task, operations: int) -> None:
        """Set up what ``task`` needs before an iteration of so many operations."""
        wanted = task.scene, operations
        if self._there == wanted and task.scene in _READ_ONLY:
            return
        self.client.drop_database(DATABASE)
        self._there = wanted
        if task.scene == "tweets":
            tweet = self.data.document("tweet")
            self.corpus.insert_many([{"_id": number, **tweet} for number in range(1, operations + 1)])
        elif task.scene == "empty":
            self.database.create_collection(COLLECTION)
        elif task.scene == "lines":
            for number, path in enumerate(self.data.json_files[:operations]):
                lines = path.read_bytes().splitlines()
                self.corpus.insert_many([{"file": number, **json.loads(line)} for line in lines], ordered=False)
            self.corpus.create_index("file")
        elif task.scene != "nothing":
            self._fill_bucket(task.scene, operations)

    def _fill_bucket(self, scene: Scene, operations: int) -> None:
        bucket = gridfs.GridFSBucket(self.database)
        # The collections and their indexes are there before the clock starts, as the specification says.
        bucket.upload_from_stream(_FIRST_FILE, b"1")
        paths = [self.data.large_file] if scene == "file" else self.data.binary_files[:operations]
        for path in paths if scene != "bucket" else ():
            bucket.upload_from_stream(path.name, path.read_bytes())

    def verify(self, task: Task, operations: int) -> None:
        """Raise WrongResult unless the server holds what one iteration of ``task`` must leave."""
        if task.scene == "empty":
            # The mixed tasks delete what they insert; a file of the import has 5,000 documents.
            documents = {"LDJSON import": 5_000 * operations}.get(task.name, operations)
            _compare("documents", self.corpus.count_documents({}), 0 if task.name.startswith("mixed") else documents)
        elif task.scene == "bucket":
            sizes: Any = {"$group": {"_id": None, "bytes": {"$sum": "$length"}}}
            stored = next(self.database["fs.files"].aggregate([sizes]))["bytes"] - 1
            _compare("bytes", stored, task.size(self.data) * operations)
            total: Any = {"$group": {"_id": None, "bytes": {"$sum": {"$binarySize": "$data"}}}}
            _compare("bytes of chunks", next(self.database["fs.chunks"].aggregate([total]))["bytes"] - 1, stored)


def _compare(what: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise WrongResult(f"the server holds {found:,} {what}, not {wanted:,}")
