"""Deployments of real servers on this machine: a standalone, or a replica set.

Rules kept here:

* A deployment works in ``with`` and in ``async with`` (on either backend; cancelling the start stops what it has
  started). Its other methods are plain functions: in a coroutine, run those that wait with
  ``anyio.to_thread.run_sync``; the cancellation of the coroutine ends their wait.
* Ready means that every member that is not stopped or frozen answers, one of them as a writable primary and the others
  as secondaries, not just that the processes run.
* Nothing started here outlives this process (see :mod:`wiredrv.local.watchdog`).
* What is being done is logged while it is done (``wiredrv.local``, level INFO), for programs that show it.
"""

from __future__ import annotations

import logging
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar, Self

import anyio
import anyio.to_thread

from wiredrv.errors import ConfigurationError, ConnectionFailure, DriverError, InvalidOperation, OperationFailure
from wiredrv.local._wait import until
from wiredrv.local.find import Mongod, find_mongod
from wiredrv.local.home import Home, Record, fixed_ports
from wiredrv.local.server import LOOPBACK, Launch, Server, free_ports, is_free
from wiredrv.local.watchdog import Watchdog
from wiredrv.server_facts import ErrorCode
from wiredrv.types import PlainDocument

_LOG = logging.getLogger("wiredrv.local")

#: Seconds that a deployment may take until it is ready.
READY_WITHIN = 60.0

_SMALL = (
    *("--wiredTigerCacheSizeGB", "0.25"),
    *("--setParameter", "diagnosticDataCollectionEnabled=false"),
    # Otherwise each server writes 300 MB of empty journal files before it starts.
    *("--wiredTigerEngineConfigString", "log=(file_max=16MB,prealloc=false)"),
)
# Otherwise servers since 5.0 wait 15 s before they shut down, so that drivers notice.
_QUICK_SHUTDOWN = ("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100")
_TEST_COMMANDS = ("--setParameter", "enableTestCommands=1")
# Without chaining, all members sync from the primary. Otherwise those of a new set sometimes refuse one another as sync
# source for a minute, and majority writes hang for as long after a failover.
_FAST_ELECTIONS = {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500, "chainingAllowed": False}
_ELECTED_WITHIN = 10.0
_MOST_MEMBERS = 7  # of a replica set, with a vote


class Deployment(ABC):
    """What all deployments have in common."""

    _kind: ClassVar[str]
    _size: int
    #: Where the temporary directory is made; None leaves that to the system.
    _root: Path | None = None

    def __init__(
        self,
        *,
        test_commands: bool = False,
        directory: str | os.PathLike[str] | None = None,
        port: int | None = None,
        mongod: str | os.PathLike[str] | None = None,
        extra_args: Sequence[str] = (),
    ) -> None:
        """Describe a deployment; entering it (or :meth:`start`) starts it.

        :param test_commands: allow the servers' test commands (``enableTestCommands``), fail points among them.
        :param directory: where the data are kept, to be started from again; without it, a temporary directory.
        :param port: the first server's port, further ones follow; without it, free ports.
        :param mongod: the server program; without it, see :func:`~wiredrv.local.find.find_mongod`.
        :param extra_args: further command line arguments for every server.
        """
        #: The servers, in the order of their ports.
        self.members: tuple[Server, ...] = ()
        self._test_commands = test_commands
        self._directory = directory
        self._port = port
        self._mongod = mongod
        self._extra_args = tuple(extra_args)
        self._home: Home | None = None
        self._watchdog: Watchdog | None = None

    @property
    @abstractmethod
    def uri(self) -> str:
        """The connection string of the deployment."""

    def start(self, timeout: float = READY_WITHIN) -> None:
        """Start the servers and return when they are ready.

        :param timeout: seconds.
        :raises ConfigurationError: no mongod is found, or the directory holds something else.
        :raises InvalidOperation: it is started already.
        :raises ConnectionFailure: it did not become ready; the message has the end of a server's log.
        """
        if self._home is not None:
            raise InvalidOperation("the deployment is started already")
        deadline = time.monotonic() + timeout
        mongod = find_mongod(self._mongod)
        _LOG.info("starting %s: mongod %s, %s", self._described(), ".".join(map(str, mongod.version)), mongod.path)
        self._home = Home(self._directory, self._root)
        try:
            ports = fixed_ports(self._home.read_record(), self._kind, self._size, self._port)
            check_free(ports or ())
            self._launch(mongod, self._home, ports or free_ports(self._size))
            self._listen(deadline, may_move=ports is None)
            _LOG.info("listening on port %s", ", ".join(str(server.port) for server in self.members))
            self._home.remember(Record(self._kind, tuple(server.port for server in self.members)))
            self._establish()
            self.wait_ready(deadline - time.monotonic())
            _LOG.info("ready: %s", self._roles())
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop every server, and remove the directory if it is a temporary one. Does nothing the second time."""
        if self._home is None:
            return
        if not self._home.temporary:
            for server in self.members:
                server.terminate()  # all in parallel
            for server in self.members:
                server.stop()
        for server in self.members:
            server.kill()
        self._home.leave()
        if self._watchdog is not None:
            self._watchdog.close()
        self._home = self._watchdog = None

    def primary(self, timeout: float = 10.0) -> Server:
        """The member that is the writable primary now (of a standalone, its one server).

        :param timeout: seconds to wait for one, where there is none at the moment.
        :returns: the member.
        :raises ConnectionFailure: there is none.
        """
        found = until(self._primary_now, timeout)
        if found is None:
            raise ConnectionFailure(f"no member was primary within {timeout:g} s: {self._roles()}")
        return found

    def secondaries(self) -> tuple[Server, ...]:
        """The members that are secondaries now.

        :returns: the members, in the order of their ports.
        """
        return tuple(server for server in self.members if server.hello().get("secondary"))

    def wait_ready(self, timeout: float = READY_WITHIN) -> None:
        """Wait until one member is a writable primary and all others, but those stopped or frozen, are secondaries.

        :param timeout: seconds.
        :raises ConnectionFailure: that did not come about, or a server ended by itself; the message has the end of a
            server's log.
        """
        if not until(self._is_ready, timeout):
            late = next((server for server in self.members if _role(server.hello()) is None), self.members[0])
            raise ConnectionFailure(f"the servers were not ready in time: {self._roles()}.\n{late.log_tail()}")

    def heal(self, timeout: float = READY_WITHIN) -> None:
        """Undo what was done to members: thaw the frozen, restart the stopped, and wait until all are ready.

        :param timeout: seconds.
        :raises ConnectionFailure: they did not become ready.
        """
        deadline = time.monotonic() + timeout
        for server in self.members:
            server.thaw()
            if not server.running:
                server.start()
        self._listen(deadline)
        self.wait_ready(deadline - time.monotonic())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await anyio.to_thread.run_sync(self.start)
        return self

    async def __aexit__(self, *_: object) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.stop)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(map(repr, self.members)) or 'not started'}>"

    def _started(self) -> tuple[Server, ...]:
        if not self.members:
            raise InvalidOperation("the deployment was not started yet: enter it, or call start()")
        return self.members

    def _described(self) -> str:
        return f"a {self._kind}"

    def _arguments(self) -> tuple[str, ...]:
        """The server arguments that this kind of deployment needs."""
        return ()

    @abstractmethod
    def _establish(self) -> None:
        """Make a deployment of the servers, which are all listening."""

    def _launch(self, mongod: Mongod, home: Home, ports: Sequence[int]) -> None:
        """Start all processes in parallel."""
        self._watchdog = Watchdog(remove=str(home.path) if home.temporary else None)
        quick = _QUICK_SHUTDOWN if mongod.version >= (5, 0) else ()
        tests = _TEST_COMMANDS if self._test_commands else ()
        arguments = (*_SMALL, *quick, *tests, *self._arguments(), *self._extra_args)
        launch = Launch(mongod.path, arguments, self._watchdog.group)
        self.members = tuple(
            Server(launch, home.path / f"member-{number}", port) for number, port in enumerate(ports, start=1)
        )
        for server in self.members:
            server.start()

    def _listen(self, deadline: float, may_move: bool = False) -> None:
        """Wait until every server listens.

        If another program took a server's port, the server tries another one (if ``may_move``).
        """
        for server in self.members:
            while True:
                try:
                    server.wait_listening(deadline - time.monotonic())
                    break
                except ConnectionFailure as error:
                    if not server.port_was_taken():
                        raise
                    if not may_move:
                        raise _port_taken(server.port) from error
                    server.move(free_ports(1)[0])
                    server.start()

    def _is_ready(self) -> bool:
        for server in self.members:
            if server.failed:
                server.is_listening()  # raises, and says how it ended
        roles = [_role(server.hello()) for server in self.members if server.state == "running"]
        return None not in roles and roles.count("primary") == 1

    def _primary_now(self) -> Server | None:
        # One that was frozen may still think it is primary; the newest election is right.
        answers = [(server, server.hello()) for server in self.members]
        primaries = [(hello.get("electionId"), server) for server, hello in answers if _role(hello) == "primary"]
        return max(primaries, key=lambda found: str(found[0] or ""))[1] if primaries else None

    def _roles(self) -> str:
        told = {"running": "running, but neither primary nor secondary"}
        states = ((server, _role(server.hello()) or told.get(server.state, server.state)) for server in self.members)
        return ", ".join(f"{server.address} is {state}" for server, state in states)


class Standalone(Deployment):
    """One server, in no replica set: no transactions and no failover, but ready in half a second."""

    _kind = "standalone"
    _size = 1

    @property
    def uri(self) -> str:
        return f"mongodb://{self._started()[0].address}/"

    def _establish(self) -> None:
        pass  # a single server is its own primary


class ReplicaSet(Deployment):
    """A replica set whose members have equal votes and notice within two seconds that their primary is gone."""

    _kind = "replica set"
    #: The set's name.
    name = "rs0"

    def __init__(
        self,
        members: int = 3,
        *,
        test_commands: bool = False,
        directory: str | os.PathLike[str] | None = None,
        port: int | None = None,
        mongod: str | os.PathLike[str] | None = None,
        extra_args: Sequence[str] = (),
    ) -> None:
        """Describe a replica set.

        :param members: how many, from 1 to 7.
        :param test_commands: allow the servers' test commands (``enableTestCommands``), fail points among them.
        :param directory: where the data are kept, to be started from again; None takes a temporary directory.
        :param port: the first server's port, further ones follow; None takes free ports.
        :param mongod: the server program; None looks for one, as :func:`~wiredrv.local.find.find_mongod` does.
        :param extra_args: further command line arguments for every server.
        :raises ConfigurationError: the number of members is another.
        """
        if not 1 <= members <= _MOST_MEMBERS:
            raise ConfigurationError(f"a replica set has from 1 to {_MOST_MEMBERS} members here, not {members}")
        super().__init__(
            test_commands=test_commands, directory=directory, port=port, mongod=mongod, extra_args=extra_args
        )
        self._size = members

    @property
    def uri(self) -> str:
        hosts = ",".join(str(server.address) for server in self._started())
        return f"mongodb://{hosts}/?replicaSet={self.name}"

    def _described(self) -> str:
        return f"a replica set of {self._size} member{'' if self._size == 1 else 's'}"

    def _arguments(self) -> tuple[str, ...]:
        return ("--replSet", self.name, "--oplogSize", "128")

    def _establish(self) -> None:
        first = self.members[0]
        try:
            first.ask({"replSetInitiate": self._configuration()}, 30.0)
        except OperationFailure as error:
            if error.code != ErrorCode.AlreadyInitialized:  # as it is when started again from a kept directory
                raise
        _LOG.info("electing a primary")
        until(self._elect_first, _ELECTED_WITHIN)

    def _configuration(self) -> PlainDocument:
        members = [{"_id": number, "host": str(server.address)} for number, server in enumerate(self.members)]
        return {"_id": self.name, "members": members, "settings": dict(_FAST_ELECTIONS)}

    def _elect_first(self) -> bool:
        """Have the first member start an election immediately, not after two seconds without a candidate.

        It may be refused, when it lags behind the others: then they elect a primary as they always do.
        """
        try:
            self.members[0].ask({"replSetStepUp": 1})
        except DriverError:
            return self._primary_now() is not None
        return True


def check_free(ports: Iterable[int]) -> None:
    """Refuse ports that other programs listen on, before anything is started.

    :raises ConnectionFailure: there is such a port.
    """
    for port in ports:
        if not is_free(port):
            raise _port_taken(port)


def _port_taken(port: int) -> ConnectionFailure:
    return ConnectionFailure(
        f"another program listens on {LOOPBACK}:{port}: end it, ask for another port, or for none (then free ones are "
        "taken)"
    )


def _role(hello: PlainDocument) -> str | None:
    if hello.get("ismaster"):
        return "primary"
    return "secondary" if hello.get("secondary") else None
