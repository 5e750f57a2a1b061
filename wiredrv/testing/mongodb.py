"""What the fixture ``mongodb`` gives: the servers of the run, as one process of it sees them."""

from __future__ import annotations

from collections.abc import Mapping

from wiredrv.errors import InvalidOperation
from wiredrv.local import ReplicaSet
from wiredrv.sync import Client
from wiredrv.testing.failpoints import FailPoint, Mode, checked_command
from wiredrv.testing.owner import Owner, Servers
from wiredrv.types import Address, PlainDocument

#: The application name of the client that prepares and cleans up.
_HOUSEKEEPING = "wiredrv.testing"


class MongoDB:
    """The servers that the tests of a run use: a replica set that was started for it, or your own.

    Its methods block until they are done: in a coroutine, use the fixtures ``kill_primary`` and ``stepdown``, whose
    calls are awaited. What they do to the servers is undone after a test by these fixtures, or by :meth:`restore`.

    :param servers: what the plugin knows of them.
    """

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        description = servers.describe()
        #: The connection string.
        self.uri: str = description.uri
        #: Where the servers listen.
        self.hosts: tuple[Address, ...] = description.hosts
        #: Whether the run started the servers. If not, ``--mongodb-uri`` or ``MONGODB_URI`` named them.
        self.managed: bool = description.managed

    @classmethod
    def of(cls, replica_set: ReplicaSet) -> MongoDB:
        """For a fixture ``mongodb`` of your own, which starts a replica set as your tests need it.

        ::

            @pytest.fixture(scope="session")
            def mongodb():
                with ReplicaSet(members=1, test_commands=True) as replica_set:
                    yield MongoDB.of(replica_set)

        With xdist, each worker has its own then.

        :param replica_set: a replica set that is started.
        :returns: what the plugin's other fixtures take.
        :raises InvalidOperation: it is not started.
        """
        return cls(Owner.of(replica_set))

    def __repr__(self) -> str:
        kind = "started for this run" if self.managed else "the user's own"
        return f"<MongoDB {', '.join(map(str, self.hosts))}, {kind}>"

    def primary(self) -> Address:
        """The member that is the writable primary now.

        :returns: where it listens.
        :raises ConnectionFailure: there is none.
        :raises InvalidOperation: these are your own servers, and a sharded cluster.
        """
        return self._servers.primary()

    def kill_primary(self) -> Address:
        """End the primary's process with SIGKILL, and return at once.

        :returns: where it listened.
        :raises InvalidOperation: these are your own servers.
        """
        return self._servers.kill_primary()

    def step_down(self) -> Address:
        """Make the primary step down; returns when it has. The next primary is elected meanwhile or shortly after.

        :returns: where the former primary listens.
        :raises InvalidOperation: these are your own servers, and they do not allow it.
        """
        return self._servers.step_down()

    def failpoint(
        self,
        name: str,
        mode: Mode = "alwaysOn",
        data: Mapping[str, object] | None = None,
        *,
        member: str | Address = "primary",
    ) -> FailPoint:
        """A fail point for a block: set where the block begins, and turned off where it ends.

        :param name: the fail point, as ``failCommand``.
        :param mode: ``alwaysOn``, or a document such as ``{"times": 2}``.
        :param data: what it does, as ``{"failCommands": ["insert"], "errorCode": 91}``.
        :param member: ``primary`` (the one at the beginning of the block), ``all``, or the address of a member.
        :returns: the fail point, for ``with`` and for ``async with``.
        :raises ConfigurationError: an argument is of the wrong kind.
        """
        return FailPoint(self._servers, checked_command(name, mode, data), str(member))

    def restore(self) -> None:
        """Undo all that was done to the servers: fail points are turned off, killed members started again.

        Returns when every member is ready. Does nothing if nothing was done.

        :raises ConnectionFailure: the servers did not become ready.
        """
        self._servers.restore()


def housekeeping(fixture: object) -> Client[PlainDocument]:
    """A synchronous client for what comes before and after tests: whatever happens to a test's client or event loop.

    :param fixture: what the fixture ``mongodb`` gave.
    """
    return Client(checked(fixture).uri, appName=_HOUSEKEEPING)


def checked(fixture: object) -> MongoDB:
    """What the fixture ``mongodb`` gave.

    :raises InvalidOperation: it is another plugin's or the project's own, and gives something else.
    """
    if not isinstance(fixture, MongoDB):
        raise InvalidOperation(
            f"the fixture mongodb gives a {type(fixture).__name__}, not wiredrv's MongoDB: another plugin or a "
            "conftest.py has a fixture of that name, which takes precedence. Rename that one, or leave that plugin out "
            "with -p no:NAME"
        )
    return fixture
