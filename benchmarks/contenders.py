"""The drivers that are compared: one small class for each, all with the same three operations.

Rules kept here:

* Every client is a default client: the URI is the same for all, and no option is set.
* Each uses its driver's public API, written as its documentation shows it.
* A peer is imported only when it is opened, in a process of its own, so none is slowed by another's import.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from benchmarks.raw import RawProtocolLoop, RawSocketLoop
from benchmarks.workload import DATABASE, OPERATIONS, Document, OpenClient, Operation

Backend = Literal["asyncio", "uvloop", "trio", "threads"]

BACKENDS: tuple[Backend, ...] = get_args(Backend)
ON_ASYNCIO: tuple[Backend, ...] = ("asyncio", "uvloop")
ON_LOOPS: tuple[Backend, ...] = (*ON_ASYNCIO, "trio")
TAKE: Document = {"$inc": {"n": -1}}
GIVE: Document = {"$inc": {"n": 1}}


@dataclass(frozen=True)
class Target:
    """Where a measurement runs. Drivers use `uri`; raw loops connect to `primary` (host, port) themselves."""

    uri: str
    primary: tuple[str, int]
    collection: str
    concurrency: int


class Contender(Protocol):
    """A driver or raw loop that takes part: its name, what it can run on, and how it is opened."""

    name: str
    module: str
    backends: tuple[Backend, ...]
    operations: tuple[Operation, ...]

    def open(self, target: Target) -> AbstractAsyncContextManager[OpenClient]:
        """An open client for a measurement on an event loop, closed at the block's end."""


class _Collection:
    """The calls that wiredrv, PyMongo Async and Motor spell alike."""

    def __init__(self, client: Any, collection: str) -> None:
        self.client = client
        self.collection = client[DATABASE][collection]

    async def find_one(self, key: int) -> Document | None:
        found: Document | None = await self.collection.find_one({"_id": key})
        return found

    async def insert_one(self, document: Document) -> object:
        return (await self.collection.insert_one(document)).inserted_id

    async def two_updates(self, giver: int, taker: int, session: Any) -> int:
        taken = await self.collection.update_one({"_id": giver}, TAKE, session=session)
        given = await self.collection.update_one({"_id": taker}, GIVE, session=session)
        modified: int = taken.modified_count + given.modified_count
        return modified


class _WiredrvCollection(_Collection):
    async def transfer(self, giver: int, taker: int) -> int:
        async with self.client.start_session() as session, session.start_transaction():
            return await self.two_updates(giver, taker, session)


class _PyMongoCollection(_Collection):
    async def transfer(self, giver: int, taker: int) -> int:
        async with self.client.start_session() as session, await session.start_transaction():
            return await self.two_updates(giver, taker, session)


class _MotorCollection(_Collection):
    async def transfer(self, giver: int, taker: int) -> int:
        async with await self.client.start_session() as session, session.start_transaction():
            return await self.two_updates(giver, taker, session)


class _MongojetCollection(_Collection):
    async def insert_one(self, document: Document) -> object:
        return (await self.collection.insert_one(document))["inserted_id"]

    async def transfer(self, giver: int, taker: int) -> int:
        session = await self.client.start_session()
        async with await session.start_transaction():
            taken = await self.collection.update_one({"_id": giver}, TAKE, session=session)
            given = await self.collection.update_one({"_id": taker}, GIVE, session=session)
        modified: int = taken["modified_count"] + given["modified_count"]
        return modified


class Wiredrv:
    name = "wiredrv"
    module = "wiredrv"
    backends = BACKENDS
    operations = OPERATIONS

    @asynccontextmanager
    async def open(self, target: Target) -> AsyncIterator[OpenClient]:
        import wiredrv

        async with wiredrv.Client(target.uri) as client:
            yield _WiredrvCollection(client, target.collection)


class PyMongoAsync:
    """PyMongo: its asynchronous client, and on threads its synchronous one (``threads.py``)."""

    name = "pymongo"
    module = "pymongo"
    backends = (*ON_ASYNCIO, "threads")
    operations = OPERATIONS

    @asynccontextmanager
    async def open(self, target: Target) -> AsyncIterator[OpenClient]:
        import pymongo

        async with pymongo.AsyncMongoClient[Document](target.uri) as client:
            yield _PyMongoCollection(client, target.collection)


class Motor:
    name = "motor"
    module = "motor"
    backends = ON_ASYNCIO
    operations = OPERATIONS

    @asynccontextmanager
    async def open(self, target: Target) -> AsyncIterator[OpenClient]:
        from motor.motor_asyncio import AsyncIOMotorClient

        client: Any = AsyncIOMotorClient(target.uri)
        try:
            yield _MotorCollection(client, target.collection)
        finally:
            client.close()


class Mongojet:
    name = "mongojet"
    module = "mongojet"
    backends = ON_ASYNCIO
    operations = OPERATIONS

    @asynccontextmanager
    async def open(self, target: Target) -> AsyncIterator[OpenClient]:
        import mongojet

        client = await mongojet.create_client(target.uri)
        try:
            yield _MongojetCollection(client, target.collection)
        finally:
            await client.close()


class RawProtocol:
    """No driver: pre-encoded requests on as many connections as there are workers, through an asyncio.Protocol."""

    name = "raw-protocol"
    module = "asyncio"
    backends = ON_ASYNCIO
    operations: tuple[Operation, ...] = ("find_one",)

    def open(self, target: Target) -> AbstractAsyncContextManager[OpenClient]:
        return RawProtocolLoop.open(target.primary, target.collection, target.concurrency)


class RawSocket:
    """The same, through non-blocking sockets and anyio.wait_readable."""

    name = "raw-socket"
    module = "anyio"
    backends = ON_LOOPS
    operations: tuple[Operation, ...] = ("find_one",)

    def open(self, target: Target) -> AbstractAsyncContextManager[OpenClient]:
        return RawSocketLoop.open(target.primary, target.collection, target.concurrency)


BASELINE = PyMongoAsync.name
CONTENDERS: dict[str, Contender] = {
    contender.name: contender
    for contender in (Wiredrv(), PyMongoAsync(), Motor(), Mongojet(), RawProtocol(), RawSocket())
}
