"""The drivers that take part, each behind the same few calls, written as its documentation shows them.

Every client is a default client with the same URI. A driver is imported only in the process that measures it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

Document = dict[str, Any]
Backend = Literal["asyncio", "trio"]

DATABASE = "perftest"
COLLECTION = "corpus"
NAMESPACE = f"{DATABASE}.{COLLECTION}"
#: Documents of an LDJSON file that are inserted at once.
_LINES = 1_000


class OpenDriver(Protocol):
    """An open client of one driver, bound to the benchmark's database."""

    async def run_command(self, command: Document) -> object:
        """Run a command on the database."""

    async def find_one(self, key: int) -> Document | None:
        """The document with this ``_id``."""

    async def insert_one(self, document: Document) -> object:
        """Insert one document."""

    async def insert_many(self, documents: list[Document]) -> object:
        """Insert documents in order."""

    async def count_found(self, query: Document) -> int:
        """Read all documents that match; how many there were."""

    def models(self, documents: Sequence[Document], *, mixed: bool, client: bool) -> list[Any]:
        """The models for a bulk write: inserts, or for each document an insert, a replacement and a deletion."""

    async def bulk_write(self, models: list[Any]) -> object:
        """Write them in order, by the collection."""

    async def client_bulk_write(self, models: list[Any]) -> object:
        """Write them in order, by the client."""

    async def upload(self, name: str, content: bytes) -> object:
        """Store a GridFS file."""

    async def download(self, name: str) -> bytes:
        """Read the GridFS file of this name."""

    async def import_file(self, path: Path) -> None:
        """Insert the documents of an LDJSON file, in any order."""

    async def export_file(self, number: int, path: Path) -> None:
        """Write the documents of the file of this number to an LDJSON file."""


class Driver(Protocol):
    """A driver that takes part: its name, its package, the event loops that it runs on."""

    name: str
    module: str
    backends: Sequence[Backend]

    def able(self, task: str) -> bool:
        """Whether the driver has what the task of this name needs."""

    def open(self, uri: str) -> AbstractAsyncContextManager[OpenDriver]:
        """An open client, closed at the block's end."""


class _Named:
    """The calls that all drivers spell alike, on the collection."""

    collection: Any

    async def find_one(self, key: int) -> Document | None:
        found: Document | None = await self.collection.find_one({"_id": key})
        return found

    async def insert_one(self, document: Document) -> object:
        return await self.collection.insert_one(document)

    async def insert_many(self, documents: list[Document]) -> object:
        return await self.collection.insert_many(documents)

    async def import_file(self, path: Path) -> None:
        for documents in _read(path):
            await self.collection.insert_many(documents, ordered=False)


class _LikePyMongo(_Named):
    """The calls that wiredrv, PyMongo Async and Motor spell alike. ``models`` come from ``package``."""

    def __init__(self, client: Any, bucket: Any, package: Any) -> None:
        self.client = client
        self.database = client[DATABASE]
        self.collection = self.database[COLLECTION]
        self.bucket = bucket(self.database)
        self.package = package

    async def run_command(self, command: Document) -> object:
        return await self.database.command(command)

    def found(self, query: Document) -> Any:
        return self.collection.find(query)

    async def count_found(self, query: Document) -> int:
        count = 0
        async for _ in self.found(query):
            count += 1
        return count

    def models(self, documents: Sequence[Document], *, mixed: bool, client: bool) -> list[Any]:
        package, where = self.package, {"namespace": NAMESPACE} if client else {}
        if not mixed:
            return [package.InsertOne(document, **where) for document in documents]
        return [
            model
            for document in documents
            for model in (
                package.InsertOne(document, **where),
                package.ReplaceOne({}, dict(document), **where),
                package.DeleteOne({}, **where),
            )
        ]

    async def bulk_write(self, models: list[Any]) -> object:
        return await self.collection.bulk_write(models)

    async def client_bulk_write(self, models: list[Any]) -> object:
        return await self.client.bulk_write(models)

    async def upload(self, name: str, content: bytes) -> object:
        return await self.bucket.upload_from_stream(name, content)

    async def download(self, name: str) -> bytes:
        stream = await self.bucket.open_download_stream_by_name(name)
        content: bytes = await stream.read()
        return content

    async def export_file(self, number: int, path: Path) -> None:
        with path.open("w", encoding="utf-8") as file:
            async for document in self.found({"file": number}):
                file.write(line_of(document))


class Wiredrv:
    name = "wiredrv"
    module = "wiredrv"
    backends: Sequence[Backend] = ("asyncio", "trio")

    def able(self, task: str) -> bool:
        return True

    @asynccontextmanager
    async def open(self, uri: str) -> AsyncIterator[OpenDriver]:
        import wiredrv

        async with wiredrv.Client(uri) as client:
            yield _LikePyMongo(client, wiredrv.GridFSBucket, wiredrv)


class _Prefetching(_LikePyMongo):
    def found(self, query: Document) -> Any:
        return self.collection.find(query, prefetch=True)


class WiredrvPrefetching:
    """The same, with cursors that read a batch ahead."""

    name = "wiredrv, prefetch"
    module = "wiredrv"
    backends: Sequence[Backend] = ("asyncio", "trio")

    def able(self, task: str) -> bool:
        return task in {"find many", "LDJSON export"}

    @asynccontextmanager
    async def open(self, uri: str) -> AsyncIterator[OpenDriver]:
        import wiredrv

        async with wiredrv.Client(uri) as client:
            yield _Prefetching(client, wiredrv.GridFSBucket, wiredrv)


class PyMongoAsync:
    name = "pymongo"
    module = "pymongo"
    backends: Sequence[Backend] = ("asyncio",)

    def able(self, task: str) -> bool:
        return True

    @asynccontextmanager
    async def open(self, uri: str) -> AsyncIterator[OpenDriver]:
        import gridfs
        import pymongo

        async with pymongo.AsyncMongoClient[Document](uri) as client:
            yield _LikePyMongo(client, gridfs.AsyncGridFSBucket, pymongo)


class Motor:
    name = "motor"
    module = "motor"
    backends: Sequence[Backend] = ("asyncio",)

    def able(self, task: str) -> bool:
        return not task.endswith("client bulk")

    @asynccontextmanager
    async def open(self, uri: str) -> AsyncIterator[OpenDriver]:
        import pymongo
        from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorGridFSBucket

        client: Any = AsyncIOMotorClient(uri)
        try:
            yield _LikePyMongo(client, AsyncIOMotorGridFSBucket, pymongo)
        finally:
            client.close()


class _MongojetClient(_Named):
    """mongojet's own names. It has no bulk writes."""

    def __init__(self, client: Any) -> None:
        self.database = client[DATABASE]
        self.collection = self.database[COLLECTION]
        self.bucket = self.database.gridfs_bucket()

    async def run_command(self, command: Document) -> object:
        return await self.database.run_command(command)

    async def count_found(self, query: Document) -> int:
        count = 0
        async for _ in await self.collection.find(query):
            count += 1
        return count

    def models(self, documents: Sequence[Document], *, mixed: bool, client: bool) -> list[Any]:
        raise NotImplementedError

    async def bulk_write(self, models: list[Any]) -> object:
        raise NotImplementedError

    async def client_bulk_write(self, models: list[Any]) -> object:
        raise NotImplementedError

    async def upload(self, name: str, content: bytes) -> object:
        return await self.bucket.put(content, filename=name)

    async def download(self, name: str) -> bytes:
        content: bytes = await self.bucket.get_by_name(name)
        return content

    async def export_file(self, number: int, path: Path) -> None:
        with path.open("w", encoding="utf-8") as file:
            async for document in await self.collection.find({"file": number}):
                file.write(line_of(document))


class Mongojet:
    name = "mongojet"
    module = "mongojet"
    backends: Sequence[Backend] = ("asyncio",)

    def able(self, task: str) -> bool:
        return not task.endswith("bulk")

    @asynccontextmanager
    async def open(self, uri: str) -> AsyncIterator[OpenDriver]:
        import mongojet

        client = await mongojet.create_client(uri)
        try:
            yield _MongojetClient(client)
        finally:
            await client.close()


def _read(path: Path) -> Iterable[list[Document]]:
    """The documents of an LDJSON file, in lists that are inserted at once."""
    documents: list[Document] = []
    with path.open("rb") as file:
        for line in file:
            documents.append(json.loads(line))
            if len(documents) == _LINES:
                yield documents
                documents = []
    if documents:
        yield documents


def line_of(document: Document) -> str:
    """A document as a line of an LDJSON file."""
    return json.dumps(document, default=str) + "\n"


BASELINE = PyMongoAsync.name
DRIVERS: dict[str, Driver] = {
    driver.name: driver for driver in (Wiredrv(), WiredrvPrefetching(), PyMongoAsync(), Motor(), Mongojet())
}
