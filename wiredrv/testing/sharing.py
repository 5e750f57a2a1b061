"""One set of servers for all workers of pytest-xdist: the controller owns it, and workers ask the controller.

The controller outlives every worker, also those that crash and are replaced. It listens on loopback, and answers those
that know the run's key; xdist hands the address and the key to the workers. Where a connection ends because its worker
has ended, however that came about, the worker's turn ends too.

Tests of several workers run at a time. A test that disturbs the servers has them to itself: it waits until the tests of
other workers that use them have ended, and those that come next wait for it. Such a turn is a test's whole protocol.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from multiprocessing.connection import Client, Connection, Listener
from threading import Condition, Lock, Thread
from typing import cast

from wiredrv.errors import ConnectionFailure, DriverError
from wiredrv.testing.owner import Description, Owner, called
from wiredrv.types import Address, PlainDocument

_KEY_BYTES = 32
_BEGIN, _END = "begin_turn", "end_turn"


class Turns:
    """Who may use the servers now: many at a time, or one alone. In the order in which they ask."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._queue: list[object] = []
        self._using: set[object] = set()
        self._alone: object | None = None

    def begin(self, who: object, *, alone: bool) -> None:
        """Wait for a turn.

        :param alone: without others at the same time.
        """
        with self._changed:
            self._queue.append(who)
            self._changed.wait_for(lambda: self._is_next(who, alone))
            self._queue.remove(who)
            self._using.add(who)
            if alone:
                self._alone = who
            self._changed.notify_all()

    def _is_next(self, who: object, alone: bool) -> bool:
        return self._queue[0] is who and self._alone is None and not (alone and self._using)

    def is_alone(self, who: object) -> bool:
        """Whether ``who`` has the servers to itself."""
        return self._alone is who

    def end(self, who: object) -> None:
        """Give the turn back, if there is one."""
        with self._changed:
            self._using.discard(who)
            if self._alone is who:
                self._alone = None
            self._changed.notify_all()


class OwnerServer:
    """In the controller: does what workers ask for.

    :param owner: of the servers.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._turns = Turns()
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._listener = Listener(("127.0.0.1", 0), authkey=self._key)
        Thread(target=self._accept, name="wiredrv.testing", daemon=True).start()

    @property
    def invitation(self) -> tuple[str, int, str]:
        """What a worker needs to connect, in types that xdist can send."""
        host, port = cast("tuple[str, int]", self._listener.address)
        return host, port, self._key.hex()

    def close(self) -> None:
        """Answer no further workers."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except OSError:
                return  # closed
            except Exception:
                continue  # a stranger, who does not know the key
            Thread(target=self._serve, args=(connection,), name="wiredrv.testing worker", daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        try:
            with suppress(EOFError, OSError):
                while True:
                    name, arguments = connection.recv()
                    connection.send(self._answer(connection, name, arguments))
        finally:
            self._end_turn(connection)
            connection.close()

    def _answer(self, worker: object, name: str, arguments: tuple[object, ...]) -> tuple[bool, object]:
        try:
            if name == _BEGIN:
                self._turns.begin(worker, alone=bool(arguments[0]))
                return True, None
            if name == _END:
                self._end_turn(worker)
                return True, None
            return True, called(self._owner, name, arguments)
        except DriverError as error:
            return False, error

    def _end_turn(self, worker: object) -> None:
        try:
            if self._turns.is_alone(worker):
                # Its fixtures have done it, unless the worker crashed.
                self._owner.restore()
        finally:
            self._turns.end(worker)


class OwnerProxy:
    """In a worker: the servers, which the controller owns.

    :param invitation: from :class:`OwnerServer`.
    """

    def __init__(self, invitation: tuple[str, int, str]) -> None:
        self._invitation = invitation
        self._connection: Connection | None = None
        self._lock = Lock()

    def begin_turn(self, *, alone: bool) -> None:
        """Wait until the servers may be used, together with tests of other workers, or alone."""
        self._call(_BEGIN, alone)

    def end_turn(self) -> None:
        """Let others have their turn."""
        self._call(_END)

    def describe(self) -> Description:
        """Where the servers are; the controller starts them the first time."""
        return cast(Description, self._call("describe"))

    def primary(self) -> Address:
        """The member that is the writable primary now."""
        return cast(Address, self._call("primary"))

    def kill_primary(self) -> Address:
        """End the primary's process; returns where it listened."""
        return cast(Address, self._call("kill_primary"))

    def step_down(self) -> Address:
        """Make the primary step down; returns where it listens."""
        return cast(Address, self._call("step_down"))

    def set_fail_point(self, command: PlainDocument, member: str) -> list[Address]:
        """Set a fail point on a member, the primary or all; returns on which."""
        return cast("list[Address]", self._call("set_fail_point", command, member))

    def clear_fail_point(self, name: str, addresses: list[Address]) -> None:
        """Turn a fail point off where it was set."""
        self._call("clear_fail_point", name, addresses)

    def restore(self) -> None:
        """Undo all of this; returns when every member is ready."""
        self._call("restore")

    def _call(self, name: str, *arguments: object) -> object:
        with self._lock:
            try:
                if self._connection is None:
                    host, port, key = self._invitation
                    self._connection = Client((host, port), authkey=bytes.fromhex(key))
                self._connection.send((name, arguments))
                done, value = self._connection.recv()
            except (EOFError, OSError) as error:
                self.close()
                raise ConnectionFailure("the controller of the test run, which owns the servers, has ended") from error
            except BaseException:
                # Interrupted, as by Ctrl-C or a time limit for tests: the next call would be given this one's answer.
                self.close()
                raise
        if not done:
            assert isinstance(value, Exception)
            raise value
        return value

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
