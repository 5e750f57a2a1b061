"""The runner's own client: it sets data up, reads it back, ends fail points and kills sessions.

It is a client of this project's driver, with its own application name so that no test's fail point hits it.

Unified test format specification, "Initializing the Test Runner", "Terminating Open Transactions".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import anyio

from spec_tests import seam
from spec_tests.errors import RunnerError
from spec_tests.requirements import Deployment
from spec_tests.schema import CollectionData, Version
from spec_tests.uris import SpecUri
from wiredrv import Client
from wiredrv.concerns import ReadConcern, ReadPreference, WriteConcern
from wiredrv.errors import DriverError

_OPTIONS: dict[str, Any] = {"appName": "spec-tests-internal", "retryWrites": True, "serverSelectionTimeoutMS": 15_000}
_WRITE_SECONDS = 2.0
_MAJORITY = WriteConcern(w="majority")
# Interrupted and Unauthorized: the two failures of killAllSessions that a runner may ignore.
_IGNORED_KILL = frozenset({11601, 13})


class Internal:
    """Work on the deployment that is not part of any test. An asynchronous context manager."""

    def __init__(self, uri: SpecUri) -> None:
        self._uri = uri
        self._client = Client(uri.first_host(), **_OPTIONS)
        self._direct: dict[str, Any] = {}

    async def __aenter__(self) -> Internal:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            for client in (*self._direct.values(), self._client):
                await client.close()

    async def admin(self, command: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run a command of the ``admin`` database on the primary or the router."""
        reply: Mapping[str, Any] = await self._client.get_database("admin").command(dict(command))
        return reply

    async def survey(self) -> Deployment:
        """Find out the facts that the requirements of tests refer to."""
        build = await self.admin({"buildInfo": 1})
        hello = await self.admin({"hello": 1})
        parameters = await self._parameters()
        if hello.get("msg") == "isdbgrid":
            topology = "load-balanced" if self._uri.single else "sharded"
        else:
            topology = "replicaset" if "setName" in hello else "single"
        return Deployment(
            Version(*(int(part) for part in build["versionArray"][:3])),
            topology,
            parameters,
            auth="@" in self._uri.text,
            mongoses=len(self._uri.hosts) if topology == "sharded" else 0,
            double=bool(build.get("routerDouble")),
            data_bearing=len(hello.get("hosts") or "x"),
        )

    async def reset(self, data: Sequence[CollectionData]) -> None:
        """Drop and fill the collections of ``initialData``.

        The last write waits for the majority; it comes after all others in the oplog, so it covers them.
        """
        for index, collection in enumerate(data):
            last = index == len(data) - 1
            await self._reset_one(collection, _MAJORITY if last else WriteConcern(w=1))

    async def _reset_one(self, data: CollectionData, concern: WriteConcern) -> None:
        database = self._client.get_database(data.database_name, write_concern=WriteConcern(w=1))
        name = data.collection_name
        await database.drop_collection(name)
        options = dict(data.create_options or {})
        if "encryptedFields" in options:
            for suffix in ("esc", "ecoc"):
                await database.drop_collection(f"enxcol_.{name}.{suffix}")
        if options or not data.documents:
            await database.command({"create": name, **options, "writeConcern": concern.document})
        if data.documents:
            collection = database.get_collection(name, write_concern=concern)
            await collection.insert_many([dict(document) for document in data.documents])

    async def cluster_time(self) -> Mapping[str, Any] | None:
        """The latest cluster time that the deployment reports."""
        reply = await self.admin({"ping": 1})
        return reply.get("$clusterTime")

    async def warm_distinct(self, data: Sequence[CollectionData]) -> None:
        """Make every router learn of the databases: ``distinct`` in a transaction needs that ("StaleDbVersion…")."""
        for host in self._uri.hosts:
            client = await self._direct_client(host)
            for collection in data:
                database = client.get_database(collection.database_name)
                await database.get_collection(collection.collection_name).distinct("_id")

    async def documents(self, data: CollectionData) -> list[Any]:
        """The contents of a collection, by ``_id``, from the primary."""
        database = self._client.get_database(data.database_name)
        collection = database.get_collection(
            data.collection_name, read_concern=ReadConcern("local"), read_preference=ReadPreference.PRIMARY
        )
        return await seam.rows(collection.find({}, sort=[("_id", 1)]))

    async def collection_names(self, database: str) -> list[str]:
        """The collections of a database."""
        names: list[str] = await self._client.get_database(database).list_collection_names()
        return names

    async def index_names(self, database: str, collection: str) -> list[str]:
        """The indexes of a collection; none if it does not exist."""
        if collection not in await self.collection_names(database):
            return []
        indexes = self._client.get_database(database).get_collection(collection).list_indexes()
        return [index["name"] for index in await seam.rows(indexes)]

    async def set_fail_point(self, address: str, command: Mapping[str, Any]) -> None:
        """Configure a fail point on one server."""
        client = await self._direct_client(address)
        await client.get_database("admin").command(dict(command))

    async def end_fail_point(self, address: str, name: str) -> None:
        """Switch a fail point off on the server that it was set on."""
        if name == "onPrimaryTransactionalWrite":
            await self._writes_ended(address)
        await self.set_fail_point(address, {"configureFailPoint": name, "mode": "off"})

    async def _writes_ended(self, address: str) -> None:
        # This fail point closes the connection while the server still works on the write. Switched off too early, it
        # lets the rest of the write through, and the outcome is different.
        admin = (await self._direct_client(address)).get_database("admin")
        under_way = {"currentOp": 1, "active": True, "command.txnNumber": {"$exists": True}}
        with anyio.move_on_after(_WRITE_SECONDS):
            while (await admin.command(under_way))["inprog"]:  # noqa: ASYNC110  # the server does not announce the end
                await anyio.sleep(0.005)

    async def kill_all_sessions(self) -> None:
        """End every session and open transaction of the deployment."""
        for host in self._uri.hosts if len(self._uri.hosts) > 1 and self._routed else [""]:
            client = await self._direct_client(host) if host else self._client
            try:
                await client.get_database("admin").command({"killAllSessions": []})
            except DriverError as error:
                if getattr(error, "code", None) not in _IGNORED_KILL:
                    raise

    @property
    def _routed(self) -> bool:
        return "replicaset=" not in self._uri.text.lower()

    async def _direct_client(self, address: str) -> Any:
        if not address:
            raise RunnerError("the server of the fail point is not known")
        if address not in self._direct:
            self._direct[address] = Client(self._uri.direct(address), **_OPTIONS)
        return self._direct[address]

    async def _parameters(self) -> Mapping[str, Any]:
        try:
            return await self.admin({"getParameter": "*"})
        except DriverError:
            return {}  # not permitted: no requirement on a parameter holds then
