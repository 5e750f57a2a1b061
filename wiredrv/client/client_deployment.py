"""A client's information about its deployment: the databases and the servers. PyMongo's names.

Specifications: enumerate-databases, server-discovery-and-monitoring.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from wiredrv.client import validation as check
from wiredrv.client.core import ClientCore
from wiredrv.client.cursors.command_cursor import CommandCursor
from wiredrv.client.known_topology import KnownTopology
from wiredrv.client.limits import limited
from wiredrv.client.schema_arguments import ListDatabasesOptions
from wiredrv.client.signatures import expanded
from wiredrv.client.watchable import Watchable
from wiredrv.concerns import ReadPreference
from wiredrv.description import ServerDescription, ServerType, TopologyDescription
from wiredrv.errors import InvalidOperation
from wiredrv.operations.base import field_of
from wiredrv.operations.databases import ListDatabases
from wiredrv.types import Address, Document, DocumentT, PlainDocument

if TYPE_CHECKING:
    from wiredrv.client.sessions.client_session import ClientSession

_LIST: check.Table = {
    "filter": ("filter", check.document),
    "name_only": ("nameOnly", check.boolean),
    "authorized_databases": ("authorizedDatabases", check.boolean),
    "max_time_ms": ("maxTimeMS", check.whole_number),
}


class ClientDeployment(Watchable[DocumentT]):
    """The methods of a client that list databases, and describe the known servers."""

    _core: ClientCore
    _is_deployment = True

    @expanded(ListDatabasesOptions)
    def list_databases(
        self,
        session: ClientSession | None = None,
        comment: object = None,
        **options: Unpack[ListDatabasesOptions],
    ) -> CommandCursor[dict[str, Any]]:
        """The deployment's databases, as documents with ``name`` and ``sizeOnDisk``.

        :param session: the session to use; without it the bound one, or an implicit one.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler (server 4.4).
        :param options: ``filter`` (a query on those documents), ``nameOnly``, ``authorizedDatabases``.
        :returns: a cursor over the documents, with or without ``await``.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        given: PlainDocument = {**options, "comment": comment}
        target = limited(self._target, given.pop("timeout_ms", None))
        return CommandCursor(self._core, ListDatabases(target, check.wire_options(given, _LIST, strict=False)), session)

    async def list_database_names(
        self,
        session: ClientSession | None = None,
        comment: object = None,
        *,
        filter: Document | None = None,
        authorizedDatabases: bool | None = None,
        timeout_ms: int | None = None,
    ) -> list[str]:
        """The names of the deployment's databases. Only the names are requested, unless the filter needs more.

        :param session: the session to use; without it the bound one, or an implicit one.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler (server 4.4).
        :param filter: a query on the documents that :meth:`list_databases` gives.
        :param authorizedDatabases: whether only those are named that the user may access; None leaves it to the server.
        :param timeout_ms: milliseconds for the whole call, its retries included; 0 sets no limit, None takes the
            ``timeoutMS`` of the client.
        :returns: the names.
        :raises OperationFailure: the server refused the command.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        names_do = filter is None or all(key == "name" for key in filter)
        cursor = self.list_databases(
            session,
            comment,
            nameOnly=names_do or None,
            filter=filter,
            authorizedDatabases=authorizedDatabases,
            timeout_ms=timeout_ms,
        )
        return [field_of(document, "name", str) for document in await cursor.to_list()]

    @property
    def topology_description(self) -> TopologyDescription:
        """What is known of the deployment now."""
        return self._core.topology.description

    @property
    def topology(self) -> KnownTopology:
        """What is known of the deployment now, by the roles of its servers. Nothing is waited for."""
        return KnownTopology(self.topology_description)

    @property
    def nodes(self) -> frozenset[Address]:
        """The addresses of the servers that answer, as ``topology.nodes``."""
        return self.topology.nodes

    @property
    def is_sharded(self) -> bool:
        """Whether the deployment is known to be a sharded cluster, as ``topology.is_sharded``."""
        return self.topology.is_sharded

    # --- PyMongo's properties, which open the client, and wait for a server where they need one ---

    @property
    async def primary(self) -> Address | None:
        """Await it: the address of the replica set's primary, if one is known. Opens the client; waits for no server.

        ``topology.primary`` is the same without ``await``.

        :raises InvalidOperation: the client is closed.
        """
        return (await self._opened()).primary

    @property
    async def secondaries(self) -> frozenset[Address]:
        """Await it: the addresses of the replica set's secondaries that are known. As :attr:`primary`.

        :raises InvalidOperation: the client is closed.
        """
        return (await self._opened()).secondaries

    @property
    async def arbiters(self) -> frozenset[Address]:
        """Await it: the addresses of the replica set's arbiters that are known. As :attr:`primary`.

        :raises InvalidOperation: the client is closed.
        """
        return (await self._opened()).arbiters

    @property
    async def address(self) -> Address:
        """Await it: the address of the server that takes writes: the primary, the standalone, the router.

        :raises InvalidOperation: there are several routers: see :attr:`nodes`; or the client is closed.
        :raises ServerSelectionTimeoutError: there is no such server.
        """
        known = await self._opened()
        if known.is_sharded and len(known.description.servers) > 1:
            raise InvalidOperation("a client of several routers has no single address: `nodes` has them all")
        return (await self._writable()).address

    @property
    async def is_primary(self) -> bool:
        """Await it: whether the client is connected to a server that takes writes.

        It is False only with a direct connection to a member that does not; otherwise such a server is waited for.

        :raises ServerSelectionTimeoutError: there is none.
        :raises InvalidOperation: the client is closed.
        """
        return (await self._writable()).is_writable

    @property
    async def is_mongos(self) -> bool:
        """Await it: whether the server that takes writes is the router of a sharded cluster.

        :raises ServerSelectionTimeoutError: there is no such server.
        :raises InvalidOperation: the client is closed.
        """
        return (await self._writable()).server_type is ServerType.MONGOS

    async def _opened(self) -> KnownTopology:
        await self._core.ensure_open()
        return self.topology

    async def _writable(self) -> ServerDescription:
        await self._core.ensure_open()
        return (await self._core.topology.select(ReadPreference.PRIMARY, "a property of the client")).description
