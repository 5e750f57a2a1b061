"""The servers of a run, in the one process that owns them: started when they are first asked for, disturbed, restored.

They are either a replica set that is started here, or the user's own servers, named by a connection string. What a test
does to them is recorded, so that :meth:`Owner.restore` can undo it even if the test cannot.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Protocol

from wiredrv.errors import ConfigurationError, ConnectionFailure, DriverError, InvalidOperation, OperationFailure
from wiredrv.local import ReplicaSet
from wiredrv.local._wait import until
from wiredrv.local.deployment import READY_WITHIN
from wiredrv.testing.binary import chosen_mongod
from wiredrv.testing.users_servers import UsersServers
from wiredrv.types import Address, Document, PlainDocument

#: Seconds. Without it, a debugger that holds a test for more than a minute would end the transaction that it looks at.
_TRANSACTION_LIFETIME = 24 * 60 * 60
#: Where a file system in memory is, and how many bytes must be free.
_MEMORY, _ROOM = Path("/dev/shm"), 4 * 2**30
#: Seconds that a command to one member may take.
_ANSWERS_WITHIN = 10.0
#: Seconds that a primary which steps down stays without being elected; undone by :meth:`Owner.restore`.
_STEPPED_DOWN_FOR = 60
_CATCHES_UP_WITHIN = 10


#: What a worker of xdist can ask for.
_CALLABLE = frozenset(
    {"describe", "primary", "kill_primary", "step_down", "set_fail_point", "clear_fail_point", "restore"}
)


@dataclass(frozen=True, slots=True)
class Description:
    """What a process needs to know of the servers.

    :param uri: their connection string.
    :param hosts: where they listen.
    :param managed: whether the run started them.
    """

    uri: str
    hosts: tuple[Address, ...]
    managed: bool


class Servers(Protocol):
    """What :class:`Owner` does, and what a worker of xdist asks it to do."""

    def describe(self) -> Description:
        """Where the servers are; starts them the first time."""
        ...

    def primary(self) -> Address:
        """The member that is the writable primary now."""
        ...

    def kill_primary(self) -> Address:
        """End the primary's process; returns where it listened."""
        ...

    def step_down(self) -> Address:
        """Make the primary step down; returns where it listens."""
        ...

    def set_fail_point(self, command: PlainDocument, member: str) -> list[Address]:
        """Set a fail point on a member, the primary or all; returns on which."""
        ...

    def clear_fail_point(self, name: str, addresses: list[Address]) -> None:
        """Turn a fail point off where it was set."""
        ...

    def restore(self) -> None:
        """Undo all of this; returns when every member is ready. Does nothing if nothing was done."""
        ...


class _InMemory(ReplicaSet):
    """Keeps its data in memory where there is room: what tests write, and dropping it, takes half the time."""

    def __init__(self, *, test_commands: bool, mongod: Path | None, extra_args: Sequence[str]) -> None:
        super().__init__(test_commands=test_commands, mongod=mongod, extra_args=extra_args)
        self._root = in_memory()


def in_memory() -> Path | None:
    """A folder in memory with room for a replica set's data; None where there is none, or ``TMPDIR`` names a folder."""
    try:
        room = shutil.disk_usage(_MEMORY).free
        available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None  # not Linux
    fits = min(room, available) >= _ROOM and os.access(_MEMORY, os.W_OK | os.X_OK)
    return _MEMORY if fits and "TMPDIR" not in os.environ else None


class Owner:
    """Owns the servers of a run.

    :param uri: of the user's own servers; None starts a replica set.
    :param binary: which ``mongod`` that is started with: a path, a version, or None for the one that is found.
    """

    def __init__(self, uri: str | None = None, binary: str | None = None) -> None:
        self._uri = uri
        self._binary = binary
        self._lock = RLock()
        self._description: Description | None = None
        self._failure: Exception | None = None
        self._replica_set: ReplicaSet | None = None
        self._users: UsersServers | None = None
        self._fail_points: set[tuple[str, Address]] = set()
        self._disturbed = False
        self._stepped_down: list[Address] = []

    @classmethod
    def of(cls, replica_set: ReplicaSet) -> Owner:
        """The owner of a replica set that the caller has started, and stops."""
        owner = cls()
        owner._replica_set = replica_set
        owner._description = _described(replica_set)
        return owner

    def describe(self) -> Description:
        """Where the servers are; starts them the first time.

        :raises DriverError: they cannot be started, or the user's own cannot be reached or are no replica set.
        """
        with self._lock:
            if self._failure is not None:
                raise self._failure  # every test that needs the servers gets the same answer, immediately
            if self._description is None:
                try:
                    self._description = self._start()
                except Exception as error:
                    self._failure = error
                    raise
            return self._description

    def _start(self) -> Description:
        if self._uri is not None:
            self._users = UsersServers(self._uri)
            return Description(self._uri, self._users.check(), managed=False)
        replica_set = _InMemory(
            test_commands=True,
            mongod=chosen_mongod(self._binary),
            extra_args=("--setParameter", f"transactionLifetimeLimitSeconds={_TRANSACTION_LIFETIME}"),
        )
        replica_set.start()
        self._replica_set = replica_set
        return _described(replica_set)

    def stop(self) -> None:
        """Stop the servers that were started here. Afterwards nothing is started any more."""
        with self._lock:
            if self._failure is None:
                self._failure = InvalidOperation("the test run has ended, and its servers are stopped")
            if self._replica_set is not None:
                self._replica_set.stop()
            if self._users is not None:
                self._users.close()
            self._replica_set = self._users = None

    # --- disturbing ---

    def primary(self) -> Address:
        """The member that is the writable primary now."""
        self.describe()
        return self._replica_set.primary().address if self._replica_set is not None else self._own().primary()

    def kill_primary(self) -> Address:
        """End the primary's process (SIGKILL).

        :raises InvalidOperation: these are the user's own servers.
        """
        with self._lock:
            self.describe()
            if self._replica_set is None:
                raise InvalidOperation(
                    "kill_primary ends a server's process, and these servers were not started by the test run: leave "
                    "out --mongodb-uri and MONGODB_URI, or skip the test where `mongodb.managed` is false"
                )
            self._disturbed = True
            server = self._replica_set.primary()
            server.kill()
            return server.address

    def step_down(self) -> Address:
        """Make the primary step down. A secondary is elected while the caller goes on.

        :raises InvalidOperation: the user's own servers do not allow it.
        """
        with self._lock:
            self.describe()
            address = self.primary()
            self._disturbed = True
            self._stepped_down.append(address)
            command = {"replSetStepDown": _STEPPED_DOWN_FOR, "secondaryCatchUpPeriodSecs": _CATCHES_UP_WITHIN}
            self._ask(address, command, "stepdown")
            return address

    def set_fail_point(self, command: PlainDocument, member: str) -> list[Address]:
        """Set a fail point.

        :param command: ``configureFailPoint`` with its arguments.
        :param member: ``primary``, ``all``, or an address.
        :raises ConfigurationError: there is no such member.
        :raises InvalidOperation: the user's own servers do not allow it.
        """
        with self._lock:
            known = self.describe().hosts
            addresses = list(known) if member == "all" else [self._member(member)]
            for address in addresses:
                self._set(command, address)
            return addresses

    def _set(self, command: PlainDocument, address: Address) -> None:
        entry = (command["configureFailPoint"], address)
        self._fail_points.add(entry)
        try:
            self._ask(address, command, "mongodb_failpoint")
        except (OperationFailure, InvalidOperation):
            self._fail_points.discard(entry)  # refused, so it is not set
            raise

    def _member(self, member: str) -> Address:
        if member == "primary":
            return self.primary()
        hosts = self.describe().hosts
        try:
            address = Address.parse(member)
        except ValueError as error:
            raise ConfigurationError(f"member={member!r}: {error}") from None
        if address not in hosts:
            named = ", ".join(map(str, hosts))
            raise ConfigurationError(f"member must be 'primary', 'all' or one of {named}, not {member!r}")
        return address

    def clear_fail_point(self, name: str, addresses: list[Address]) -> None:
        """Turn a fail point off. A server that is down has forgotten it.

        :raises DriverError: a server that runs did not turn it off.
        """
        with self._lock:
            first: DriverError | None = None
            for address in addresses:
                try:
                    self._clear(name, address)
                except DriverError as error:
                    first = first or error
            if first is not None:
                raise first

    def _clear(self, name: str, address: Address) -> None:
        if not self._is_down(address):
            self._ask(address, {"configureFailPoint": name, "mode": "off"}, "mongodb_failpoint")
        self._fail_points.discard((name, address))

    def restore(self) -> None:
        """Undo what was done to the servers; returns when every member is ready again.

        :raises DriverError: they did not become ready.
        """
        with self._lock:
            for name, address in sorted(self._fail_points):
                self._clear(name, address)
            if not self._disturbed:
                return
            if self._replica_set is not None:
                self._replica_set.heal()
            for address in self._stepped_down:
                self._ask(address, {"replSetFreeze": 0}, "stepdown")
            self._wait_ready()
            self._stepped_down.clear()
            self._disturbed = False

    def _wait_ready(self) -> None:
        if self._replica_set is None:
            self._own().primary()
        elif not until(self._all_see_all, READY_WITHIN):
            raise ConnectionFailure(f"the members were not ready in time: {self._replica_set}")

    def _all_see_all(self) -> bool:
        """Whether the members know of one another that they are ready: the primary learns it later than they do."""
        assert self._replica_set is not None
        self._replica_set.wait_ready()
        status = self._replica_set.primary().ask({"replSetGetStatus": 1}, _ANSWERS_WITHIN)
        return all(member["stateStr"] in ("PRIMARY", "SECONDARY") for member in status["members"])

    # --- one member ---

    def _ask(self, address: Address, command: Document, fixture: str) -> None:
        if self._replica_set is None:
            self._own().ask(address, command, fixture)
            return
        server = next(server for server in self._replica_set.members if server.address == address)
        server.ask(command, _ANSWERS_WITHIN)

    def _is_down(self, address: Address) -> bool:
        if self._replica_set is None:
            return False
        return any(server.address == address and not server.running for server in self._replica_set.members)

    def _own(self) -> UsersServers:
        assert self._users is not None
        return self._users


def _described(replica_set: ReplicaSet) -> Description:
    return Description(replica_set.uri, tuple(server.address for server in replica_set.members), managed=True)


def called(servers: Servers, name: str, arguments: tuple[object, ...]) -> object:
    """Call a method of ``servers`` that another process named."""
    if name not in _CALLABLE:
        raise InvalidOperation(f"servers have no {name!r}")
    method: Callable[..., object] = getattr(servers, name)
    return method(*arguments)
