"""A client's information about its deployment: the databases and the servers. PyMongo's names.

Specifications: enumerate-databases, server-discovery-and-monitoring.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from wiredrv.client import validation as check
from wiredrv.client.core import ClientCore
from wiredrv.client.cursors.command_cursor import CommandCursor
from wiredrv.client.limits import limited
from wiredrv.client.schema_arguments import ListDatabasesOptions
from wiredrv.client.signatures import expanded
from wiredrv.client.watchable import Watchable
from wiredrv.description import ServerType, TopologyDescription, TopologyType
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
    def nodes(self) -> frozenset[Address]:
        """The addresses of the servers that answer."""
        servers = self.topology_description.servers
        return frozenset(address for address, server in servers.items() if server.is_data_bearing)

    @property
    def primary(self) -> Address | None:
        """The address of the replica set's primary, if one is known."""
        primary = self.topology_description.primary
        return primary.address if primary is not None else None

    @property
    def secondaries(self) -> frozenset[Address]:
        """The addresses of the replica set's secondaries that are known."""
        servers = self.topology_description.servers
        return frozenset(a for a, server in servers.items() if server.server_type is ServerType.RS_SECONDARY)

    @property
    def is_sharded(self) -> bool:
        """Whether the deployment is known to be a sharded cluster."""
        return self.topology_description.topology_type is TopologyType.SHARDED
