"""``assert_commands``: what a client sent in a block, by session and transaction, compared with what a test expects."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Self
from weakref import WeakKeyDictionary

from wiredrv.client.client import Client
from wiredrv.client.collection import Collection as AsyncCollection
from wiredrv.client.core import ClientCore
from wiredrv.client.database import Database
from wiredrv.errors import ConfigurationError, InvalidOperation
from wiredrv.events import CommandFailedEvent, CommandStartedEvent, CommandSucceededEvent
from wiredrv.server_facts import HELLO_COMMANDS
from wiredrv.session.state import SessionState
from wiredrv.sync.base import Synchronous, wrapped
from wiredrv.testing.difference import describe, lanes
from wiredrv.testing.expected import Expected, SentCommand, checked, grouped, groups
from wiredrv.types import Document

#: What the driver sends by itself, at times that a test cannot foresee.
_HOUSEKEEPING = ("endSessions", "killCursors", "killSessions")
#: What opens and authenticates connections.
_NEVER = HELLO_COMMANDS | {"authenticate", "getnonce", "saslcontinue", "saslstart"}
_HINT = (
    "This client's operations run in one transaction that is rolled back: transactions of the code under test join it, "
    "and send no commit. Use the `database` fixture for a test about transactions."
)


class Commands:
    """The commands that a client has sent since the block began.

    :param core: of the client.
    :param ignore: names of commands that are left out.
    """

    def __init__(self, core: ClientCore, ignore: Collection[str]) -> None:
        self._core = core
        self._ignore = {name.lower() for name in ignore}
        self._sessions: WeakKeyDictionary[SessionState, int] = WeakKeyDictionary()
        self._count = 0
        self._latest: dict[bytes, int] = {}
        self._transactions: dict[int, list[int]] = {}
        self._sent: list[SentCommand] = []
        #: Those that are not answered yet, by the numbers of their messages.
        self._waiting: dict[int, SentCommand] = {}

    @property
    def sent(self) -> tuple[SentCommand, ...]:
        """All of them, in the order of sending."""
        return tuple(self._sent)

    @property
    def names(self) -> list[str]:
        """Their names, in the order of sending."""
        return [command.name for command in self._sent]

    def __len__(self) -> int:
        return len(self._sent)

    def __str__(self) -> str:
        return "\n".join(lanes(self._sent))

    def _hear(self, event: object) -> None:
        """Listens to the client."""
        if isinstance(event, CommandFailedEvent) and (failed := self._waiting.pop(event.request_id, None)) is not None:
            failed.failure = event.failure
        elif isinstance(event, CommandSucceededEvent):
            self._waiting.pop(event.request_id, None)
        elif isinstance(event, CommandStartedEvent):
            self._add(event)

    def _add(self, event: CommandStartedEvent) -> None:
        name = event.command_name.lower()
        if name in self._ignore or name in _NEVER:
            return
        command = event.command
        session, transaction = self._place_of(command)
        number = len(self._sent) + 1
        sent = SentCommand(number, event.command_name, event.database_name, command, session, transaction)
        self._sent.append(sent)
        self._waiting[event.request_id] = sent

    def _number_of(self, state: SessionState) -> int:
        if state not in self._sessions:
            self._count += 1
            self._sessions[state] = self._count
        return self._sessions[state]

    def _place_of(self, command: Document) -> tuple[int, int]:
        """The numbers of the session and the transaction of a command; 0 for none."""
        lsid = command.get("lsid")
        if not isinstance(lsid, Mapping):
            return 0, 0
        state = self._core.started_sessions.find(lsid)
        in_transaction = command.get("autocommit") is False
        key = bytes(lsid["id"])
        if state is not None:
            # The ids are those of server sessions, which later sessions use again.
            session = self._latest[key] = self._number_of(state)
        else:
            # After the end of a session, its commit may still be sent again.
            session = self._latest.get(key, 0) if in_transaction else 0
        if not in_transaction:
            return session, 0
        # Counted from 1: the numbers on the server include those of single writes.
        seen = self._transactions.setdefault(session, [])
        if command["txnNumber"] not in seen:
            seen.append(command["txnNumber"])
        return session, seen.index(command["txnNumber"]) + 1


class assert_commands:
    """A block whose commands are compared with those that are expected, when it ends without an error.

    ::

        with assert_commands(client, [in_transaction("insert", {"update": "stock"}, "commitTransaction")]):
            await place_order(client)

    ``with`` in coroutines too: nothing waits. It gives :class:`Commands`, which can be asked in the block and after it.
    Commands that open and authenticate connections are left out.

    :param client: the client to listen to; or a database or a collection of it. Of ``wiredrv`` or ``wiredrv.sync``.
    :param expected: the commands in their order; each a name (``"insert"``), a mapping of some of its fields
        (``{"insert": "orders", "txnNumber": ABSENT}``; fields that are documents may be partial too, and
        ``unittest.mock.ANY`` is any value), or a group of these by :func:`in_transaction` or :func:`in_session`. A
        mapping begins with the command's name. None: nothing is compared.
    :param ordered: whether the order of the entries of ``expected`` matters; in groups it always does.
    :param ignore: the names of commands to leave out; by default those that the driver sends by itself.
    :raises AssertionError: other commands were sent; the text shows the difference, by session and transaction.
    :raises ConfigurationError: an argument is of the wrong kind.
    """

    def __init__(
        self,
        client: object,
        expected: Sequence[Expected] | None = None,
        *,
        ordered: bool = True,
        ignore: Collection[str] = _HOUSEKEEPING,
    ) -> None:
        self._core = _core_of(client)
        self._expected = None if expected is None else checked(expected)
        self._ordered = ordered
        if isinstance(ignore, str):
            raise ConfigurationError(f"ignore takes a list of names, not {ignore!r}")
        self._ignore = ignore
        self._commands: Commands | None = None
        self._remove: Callable[[], None] | None = None

    def __enter__(self) -> Commands:
        if self._remove is not None:
            raise InvalidOperation("this assert_commands() is in use: each block has one of its own")
        self._commands = Commands(self._core, self._ignore)
        self._remove = self._core.hub.add(self._commands._hear)
        return self._commands

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        if self._remove is not None:
            self._remove()
            self._remove = None
        if exc is None and self._expected is not None and self._commands is not None:
            sent = self._commands.sent
            hint = "" if self._core.ambient is None else _HINT
            entries = grouped(sent, groups(self._expected))
            text = describe(self._expected, entries, sent, ordered=self._ordered, hint=hint)
            if text is not None:
                raise AssertionError(text)

    async def __aenter__(self) -> Self:
        raise TypeError("use `with assert_commands(...)`, not `async with`: nothing in it waits")

    async def __aexit__(self, *_: object) -> None:
        """Never called. Python looks it up before it calls ``__aenter__``."""


def _core_of(client: object) -> ClientCore:
    inner = wrapped(client) if isinstance(client, Synchronous) else client
    if isinstance(inner, AsyncCollection):
        inner = inner.database
    if isinstance(inner, Database):
        inner = inner.client
    if not isinstance(inner, Client):
        raise ConfigurationError(
            f"assert_commands() takes a client, a database or a collection, not {type(client).__name__}"
        )
    return inner._core
