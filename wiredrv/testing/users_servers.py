"""The user's own servers, which a connection string names: checked before the first test, and asked one by one."""

from __future__ import annotations

import re

from wiredrv.description import ServerType, TopologyType
from wiredrv.errors import ConfigurationError, ConnectionFailure, InvalidOperation, OperationFailure
from wiredrv.server_facts import ErrorCode
from wiredrv.sync import Client
from wiredrv.types import Address, Document

#: Seconds to wait for a server, unless the connection string says how long.
_FOUND_WITHIN = 5
_SELECTION = re.compile(r"[?&]serverSelectionTimeoutMS=", re.IGNORECASE)
_ADVICE = "leave out --mongodb-uri and MONGODB_URI to have a replica set started for the run"


class UsersServers:
    """The servers behind a connection string.

    :param uri: the connection string.
    :raises ConfigurationError: it cannot be read.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._client = _client(uri)

    def check(self) -> tuple[Address, ...]:
        """Where the servers are.

        :raises ConnectionFailure: they cannot be reached.
        :raises ConfigurationError: they are no replica set, and no sharded cluster either.
        """
        try:
            self._client.admin.command("ping")
        except ConnectionFailure as error:
            raise ConnectionFailure(
                f"the servers that --mongodb-uri or MONGODB_URI names cannot be reached: {error}. Start them, or "
                f"{_ADVICE}"
            ) from error
        description = self._client.topology_description
        hosts = tuple(sorted(description.servers))
        alone = ServerType.STANDALONE in {server.server_type for server in description.servers.values()}
        if alone:
            raise ConfigurationError(
                f"{hosts[0]}, which --mongodb-uri or MONGODB_URI names, is a standalone server: sessions have no "
                f"transactions there. Start it with --replSet and call replSetInitiate, or {_ADVICE}"
            )
        return hosts

    def primary(self) -> Address:
        """The writable primary.

        :raises InvalidOperation: there are routers or a load balancer in front of the servers.
        """
        self._client.admin.command("ping")
        description = self._client.topology_description
        for address, server in description.servers.items():
            if server.server_type is ServerType.RS_PRIMARY:
                return address
        if description.topology_type in (TopologyType.SHARDED, TopologyType.LOAD_BALANCED):
            raise InvalidOperation(
                "the servers that --mongodb-uri or MONGODB_URI names are a sharded cluster, which has no primary of "
                "its own: skip the test where `mongodb.managed` is false"
            )
        raise ConnectionFailure("no member of the replica set is primary at the moment")

    def ask(self, address: Address, command: Document, fixture: str) -> None:
        """Run a command on the ``admin`` database of one server.

        :raises InvalidOperation: the server does not allow it.
        """
        with _client(for_one_host(self._uri, address), directConnection=True) as client:
            try:
                client.admin.command(command)
            except OperationFailure as error:
                if error.code in (ErrorCode.CommandNotFound, ErrorCode.Unauthorized):
                    raise InvalidOperation(
                        f"{fixture} cannot be used with the servers that --mongodb-uri or MONGODB_URI names: {error}. "
                        "Fail points need servers that run with --setParameter enableTestCommands=1, stepping down "
                        f"needs the role clusterManager; or {_ADVICE}"
                    ) from error
                raise

    def close(self) -> None:
        """Close the client."""
        self._client.close()


def _client(uri: str, **options: bool) -> Client:
    limit = {} if _SELECTION.search(uri) else {"serverSelectionTimeoutMS": _FOUND_WITHIN * 1000}
    return Client(uri, **limit, **options)  # type: ignore[arg-type]  # no TypedDict: only two options


def for_one_host(uri: str, address: Address) -> str:
    """The same connection string with one host.

    :raises InvalidOperation: its hosts are not in it.
    """
    match = re.fullmatch(r"(mongodb://(?:[^@/?]*@)?)([^/?]+)(.*)", uri)
    if match is None:
        raise InvalidOperation(
            "a single member cannot be reached through a connection string of this kind: name the members, as in "
            f"mongodb://host1,host2/?replicaSet=..., or {_ADVICE}"
        )
    return f"{match[1]}{address}{match[3]}"
