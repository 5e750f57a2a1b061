"""A client's information about its deployment: the databases and the servers. PyMongo's names.

Written by ``python -m tools.synchronous`` from ``wiredrv.client.client_deployment``: do not edit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from wiredrv.client.known_topology import KnownTopology
from wiredrv.client.schema_arguments import ListDatabasesOptions
from wiredrv.client.signatures import expanded
from wiredrv.description import TopologyDescription
from wiredrv.sync.base import awaited, session_of
from wiredrv.sync.command_cursor import CommandCursor
from wiredrv.sync.watchable import Watchable
from wiredrv.types import Address, Document, DocumentT

if TYPE_CHECKING:
    from wiredrv.client.client import Client as AsyncClient
    from wiredrv.sync.client_session import ClientSession


class ClientDeployment(Watchable[DocumentT]):
    """The methods of a client that list databases, and describe the known servers."""

    __slots__ = ()

    _inner: AsyncClient[DocumentT]

    @expanded(ListDatabasesOptions)
    def list_databases(
        self, session: ClientSession | None = None, comment: object = None, **options: Unpack[ListDatabasesOptions]
    ) -> CommandCursor[dict[str, Any]]:
        """The deployment's databases, as documents with ``name`` and ``sizeOnDisk``.

        :param session: the session to use; without it the bound one, or an implicit one.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler (server 4.4).
        :param options: ``filter`` (a query on those documents), ``nameOnly``, ``authorizedDatabases``.
        :returns: a cursor over the documents.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        return CommandCursor(
            self._threads.run(
                awaited(
                    self._inner.list_databases(None if session is None else session_of(session), comment, **options)
                )
            ),
            self,
        )

    def list_database_names(
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
        return self._threads.run(
            self._inner.list_database_names(
                None if session is None else session_of(session),
                comment,
                filter=filter,
                authorizedDatabases=authorizedDatabases,
                timeout_ms=timeout_ms,
            )
        )

    @property
    def topology_description(self) -> TopologyDescription:
        """What is known of the deployment now."""
        return self._inner.topology_description

    @property
    def topology(self) -> KnownTopology:
        """What is known of the deployment now, by the roles of its servers. Nothing is waited for."""
        return self._inner.topology

    @property
    def nodes(self) -> frozenset[Address]:
        """The addresses of the servers that answer, as ``topology.nodes``."""
        return self._inner.nodes

    @property
    def is_sharded(self) -> bool:
        """Whether the deployment is known to be a sharded cluster, as ``topology.is_sharded``."""
        return self._inner.is_sharded

    @property
    def primary(self) -> Address | None:
        """The address of the replica set's primary, if one is known. Opens the client; waits for no server.

        :raises InvalidOperation: the client is closed.
        """
        return self._threads.run(self._inner.primary)

    @property
    def secondaries(self) -> frozenset[Address]:
        """The addresses of the replica set's secondaries that are known. As :attr:`primary`.

        :raises InvalidOperation: the client is closed.
        """
        return self._threads.run(self._inner.secondaries)

    @property
    def arbiters(self) -> frozenset[Address]:
        """The addresses of the replica set's arbiters that are known. As :attr:`primary`.

        :raises InvalidOperation: the client is closed.
        """
        return self._threads.run(self._inner.arbiters)

    @property
    def address(self) -> Address:
        """The address of the server that takes writes: the primary, the standalone, the router.

        :raises InvalidOperation: there are several routers: see :attr:`nodes`; or the client is closed.
        :raises ServerSelectionTimeoutError: there is no such server.
        """
        return self._threads.run(self._inner.address)

    @property
    def is_primary(self) -> bool:
        """Whether the client is connected to a server that takes writes.

        It is False only with a direct connection to a member that does not; otherwise such a server is waited for.

        :raises ServerSelectionTimeoutError: there is none.
        :raises InvalidOperation: the client is closed.
        """
        return self._threads.run(self._inner.is_primary)

    @property
    def is_mongos(self) -> bool:
        """Whether the server that takes writes is the router of a sharded cluster.

        :raises ServerSelectionTimeoutError: there is no such server.
        :raises InvalidOperation: the client is closed.
        """
        return self._threads.run(self._inner.is_mongos)
