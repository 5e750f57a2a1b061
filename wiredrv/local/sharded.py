"""A sharded cluster on this machine: a config server, shards, and routers (``mongos``) in front of them.

The config server and each shard are a replica set of one member. If the mongos is older than the mongod, the servers
use the mongos' feature compatibility version. Ready means that every router answers and knows all shards.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from wiredrv.errors import ConfigurationError, ConnectionFailure, InvalidOperation
from wiredrv.local._wait import until
from wiredrv.local.deployment import READY_WITHIN, Deployment, ReplicaSet, check_free
from wiredrv.local.find import Mongod, find_mongod, find_mongos
from wiredrv.local.home import Home, Record, fixed_ports
from wiredrv.local.server import LOOPBACK, Launch, Server, free_ports
from wiredrv.local.watchdog import Watchdog
from wiredrv.types import PlainDocument

_ASK_SECONDS = 30.0
_MOST = 8
#: From this version on a change of the feature compatibility version must be confirmed.
_CONFIRMS = (7, 0)


class ConfigServer(ReplicaSet):
    """The replica set that stores where a cluster's data are."""

    name = "config"

    def _arguments(self) -> tuple[str, ...]:
        return ("--configsvr", *super()._arguments())

    def _configuration(self) -> PlainDocument:
        return {**super()._configuration(), "configsvr": True}


class Shard(ReplicaSet):
    """A replica set that holds a part of a cluster's data."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(1, **options)
        self.name = name

    def _arguments(self) -> tuple[str, ...]:
        return ("--shardsvr", *super()._arguments())

    @property
    def seed(self) -> str:
        """The set in the form that other servers' configurations use."""
        return _seed(self)


class Router(Server):
    """A ``mongos`` process."""

    def _command(self) -> list[str]:
        program = str(self._launch.program)
        return [program, "--port", str(self.port), "--bind_ip", LOOPBACK, "--nounixsocket", *self._launch.arguments]


class ShardedCluster(Deployment):
    """A sharded cluster: routers (mongos), shards, each of them a replica set of one member, and a config server."""

    _kind = "sharded cluster"

    def __init__(
        self,
        shards: int = 2,
        routers: int = 2,
        *,
        mongos: str | os.PathLike[str] | None = None,
        test_commands: bool = False,
        directory: str | os.PathLike[str] | None = None,
        port: int | None = None,
        mongod: str | os.PathLike[str] | None = None,
    ) -> None:
        """Describe a sharded cluster.

        :param shards: how many, from 1 to 8.
        :param routers: how many, from 1 to 8.
        :param mongos: the router program; None looks for one, as :func:`~wiredrv.local.find.find_mongos` does.
        :param test_commands: allow the servers' test commands (``enableTestCommands``), fail points among them.
        :param directory: where the data are kept, to be started from again; None takes a temporary directory.
        :param port: the first router's port, those of the others follow; None takes free ports.
        :param mongod: the server program; None looks for one, as :func:`~wiredrv.local.find.find_mongod` does.
        :raises ConfigurationError: the number of shards or of routers is another.
        """
        for what, number in (("shards", shards), ("routers", routers)):
            if not 1 <= number <= _MOST:
                raise ConfigurationError(f"a sharded cluster has from 1 to {_MOST} {what} here, not {number}")
        super().__init__(test_commands=test_commands, directory=directory, port=port, mongod=mongod)
        self._mongos = mongos
        self._size = routers
        self._shard_count = shards
        #: The config server, once it is started.
        self.config_server: ConfigServer | None = None
        #: The shards, each of them a replica set.
        self.shards: tuple[Shard, ...] = ()
        #: The routers (mongos).
        self.routers: tuple[Router, ...] = ()

    @property
    def uri(self) -> str:
        self._started()
        return f"mongodb://{','.join(str(router.address) for router in self.routers)}/"

    def start(self, timeout: float = READY_WITHIN) -> None:
        """Start the servers and return when they are ready.

        :param timeout: seconds.
        :raises ConfigurationError: no mongod or mongos is found, or the directory holds something else.
        :raises InvalidOperation: it is started already.
        :raises ConnectionFailure: it did not become ready; the message has the end of a server's log.
        """
        if self._home is not None:
            raise InvalidOperation("the deployment is started already")
        deadline = time.monotonic() + timeout
        mongos, mongod = find_mongos(self._mongos), find_mongod(self._mongod)
        self._home = Home(self._directory)
        self._watchdog = Watchdog(remove=str(self._home.path) if self._home.temporary else None)
        try:
            fixed = fixed_ports(self._home.read_record(), self._kind, self._size, self._port)
            check_free(fixed or ())
            ports = fixed or free_ports(self._size)
            self._home.remember(Record(self._kind, tuple(ports)))
            self._start_sets(mongod, self._home.path, deadline)
            if mongos.version[:2] < mongod.version[:2]:
                self._lower_feature_version(mongod, mongos)
            folder = self._home.path
            launch = Launch(mongos.path, self._router_arguments(), self._watchdog.group)
            self.routers = tuple(
                Router(launch, folder / f"router-{number}", port) for number, port in enumerate(ports, start=1)
            )
            self.members = (*self.routers, *(server for one in self._sets for server in one.members))
            self._start_routers(deadline)
            self._establish()
        except BaseException:
            self.stop()
            raise

    def _start_sets(self, mongod: Mongod, folder: Path, deadline: float) -> None:
        options: PlainDocument = {"test_commands": self._test_commands, "mongod": mongod.path}
        self.config_server = ConfigServer(1, directory=folder / "config", **options)
        names = [f"shard{number}" for number in range(1, self._shard_count + 1)]
        self.shards = tuple(Shard(name, directory=folder / name, **options) for name in names)
        self._at_once(lambda one: one.start(deadline - time.monotonic()))

    def _lower_feature_version(self, mongod: Mongod, mongos: Mongod) -> None:
        """Make newer servers behave as the older routers expect."""
        command: PlainDocument = {"setFeatureCompatibilityVersion": ".".join(map(str, mongos.version[:2]))}
        if mongod.version >= _CONFIRMS:
            command["confirm"] = True
        self._at_once(lambda one: one.primary().ask(command, _ASK_SECONDS))

    def _at_once(self, action: Callable[[ReplicaSet], object]) -> None:
        with ThreadPoolExecutor(len(self._sets)) as threads:
            for done in [threads.submit(action, one) for one in self._sets]:
                done.result()

    @property
    def _sets(self) -> tuple[ReplicaSet, ...]:
        return (self.config_server, *self.shards) if self.config_server is not None else ()

    def _router_arguments(self) -> tuple[str, ...]:
        assert self.config_server is not None
        tests = ("--setParameter", "enableTestCommands=1") if self._test_commands else ()
        return ("--configdb", _seed(self.config_server), *tests)

    def _start_routers(self, deadline: float) -> None:
        for router in self.routers:
            router.start()
        for router in self.routers:
            router.wait_listening(deadline - time.monotonic())

    def _establish(self) -> None:
        for shard in self.shards:
            self.routers[0].ask({"addShard": shard.seed}, _ASK_SECONDS)
        for router in self.routers:
            if not until(partial(self._knows_all, router), _ASK_SECONDS):
                raise ConnectionFailure(f"the router {router.address} does not know all shards.\n{router.log_tail()}")

    def _knows_all(self, router: Server) -> bool:
        return len(router.ask({"listShards": 1}, _ASK_SECONDS)["shards"]) >= len(self.shards)

    def stop(self) -> None:
        quick = self._home is not None and self._home.temporary
        for server in self.members if quick else self.routers:
            server.kill()
        for one in self._sets:
            one.stop()
        super().stop()

    def primary(self, timeout: float = 10.0) -> Server:
        """Not for a sharded cluster: ask one of its ``shards``.

        :param timeout: seconds; not used.
        :returns: nothing: it always raises.
        :raises InvalidOperation: always.
        """
        raise InvalidOperation("a sharded cluster has no primary of its own: ask one of its `shards`, or a router")

    def secondaries(self) -> tuple[Server, ...]:
        """Not for a sharded cluster: ask one of its ``shards``.

        :returns: an empty tuple.
        """
        return ()

    def wait_ready(self, timeout: float = READY_WITHIN) -> None:
        """Wait until the shards have a primary each, and every router answers.

        :param timeout: seconds.
        :raises ConnectionFailure: that did not come about.
        """
        deadline = time.monotonic() + timeout
        for one in self._sets:
            one.wait_ready(deadline - time.monotonic())
        for router in self.routers:
            if router.state == "running" and not until(router.hello, deadline - time.monotonic()):
                raise ConnectionFailure(f"the router {router.address} does not answer.\n{router.log_tail()}")

    def heal(self, timeout: float = READY_WITHIN) -> None:
        deadline = time.monotonic() + timeout
        for one in self._sets:
            one.heal(deadline - time.monotonic())
        for router in self.routers:
            router.thaw()
            if not router.running:
                router.start()
                router.wait_listening(deadline - time.monotonic())
        self.wait_ready(deadline - time.monotonic())


def _seed(replica_set: ReplicaSet) -> str:
    return f"{replica_set.name}/{','.join(str(server.address) for server in replica_set.members)}"
