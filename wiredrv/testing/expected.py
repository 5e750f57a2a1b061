"""What a test expects to be sent, and how that is compared with what was. Pure.

An expectation is a list. A name, or a mapping of some of its fields, stands for one command. ``in_transaction`` and
``in_session`` group them. What the expectation groups is grouped in what was sent as well: with ``in_transaction`` in
it, each transaction is one entry, however its commands and those of others alternate; without it, the list is that of
all commands in the order of sending.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from wiredrv.errors import ConfigurationError
from wiredrv.types import Document


class _Absent:
    """The value of a field that a command must not have."""

    def __repr__(self) -> str:
        return "ABSENT"


#: The value, in an expected command, of a field that it must not have.
ABSENT: Final = _Absent()


@dataclass(frozen=True, slots=True)
class Group:
    """Commands that are expected in one transaction, or in one session. Made by in_transaction and in_session.

    :param kind: ``transaction`` or ``session``.
    :param entries: what is expected, in this order.
    """

    kind: str
    entries: tuple[Expected, ...]

    def __repr__(self) -> str:
        return f"in_{self.kind}({', '.join(map(repr, self.entries))})"


#: One entry of an expectation.
Expected: TypeAlias = str | Mapping[str, object] | Group


def in_transaction(*commands: str | Mapping[str, object]) -> Group:
    """These commands, in this order, in one transaction; ``commitTransaction`` or ``abortTransaction`` is one of them.

    :param commands: each a name, or a mapping with some of its fields.
    :returns: an entry for :func:`assert_commands`.
    :raises ConfigurationError: one is neither.
    """
    for command in commands:
        if isinstance(command, Group):
            raise ConfigurationError(f"in_transaction() takes commands, not {command!r}: a session holds transactions")
    return Group("transaction", checked(commands))


def in_session(*entries: Expected) -> Group:
    """These commands and transactions, in this order, in one session that the code under test has started.

    :param entries: commands, and transactions made by :func:`in_transaction`.
    :returns: an entry for :func:`assert_commands`.
    :raises ConfigurationError: one is neither.
    """
    for entry in entries:
        if isinstance(entry, Group) and entry.kind == "session":
            raise ConfigurationError(f"in_session() takes commands and transactions, not {entry!r}")
    return Group("session", checked(entries))


def checked(expected: object) -> tuple[Expected, ...]:
    """The entries of an expectation.

    :raises ConfigurationError: one is neither a command nor a group.
    """
    if isinstance(expected, (str, Mapping)) or not isinstance(expected, Sequence):
        raise ConfigurationError(f"expected commands are given as a list, as ['insert', 'update'], not {expected!r}")
    for entry in expected:
        if not (isinstance(entry, (str, Group)) or (isinstance(entry, Mapping) and entry)):
            raise ConfigurationError(
                f"an expected command is its name, or a mapping of some of its fields, as {{'insert': 'orders'}}, not "
                f"{entry!r}"
            )
    return tuple(expected)


def groups(expected: Sequence[Expected]) -> frozenset[str]:
    """The kinds of groups that an expectation has."""
    found: set[str] = set()
    for entry in expected:
        if isinstance(entry, Group):
            found |= {entry.kind} | groups(entry.entries)
    return frozenset(found)


# --- what was sent ---


@dataclass(slots=True)
class SentCommand:
    """A command that was sent.

    :param number: its place in the order of sending, from 1.
    :param name: of the command.
    :param database: that it was sent to.
    :param command: the document as it was sent.
    :param session: the number of the session that the code under test started, in the order of their first commands,
        from 1; 0 if it started none for the command, so that the driver chose one, or none.
    :param transaction: the number of its transaction in its session, from 1; 0 outside of transactions.
    :param failure: the error that it failed with; None if it did not fail, or was not answered yet.
    """

    number: int
    name: str
    database: str
    command: Document
    session: int
    transaction: int
    failure: BaseException | None = None

    @property
    def lane(self) -> str:
        """Where it was sent: its session, and its transaction."""
        if not self.session:
            return "implicit session" if "lsid" in self.command else "no session"
        session = f"session {self.session}"
        return f"{session}, transaction {self.transaction}" if self.transaction else session

    def __str__(self) -> str:
        value = self.command.get(self.name)
        return f"{self.name} {self.database}.{value}" if isinstance(value, str) else self.name


@dataclass(slots=True)
class SentGroup:
    """The commands of one transaction, or of one session."""

    kind: str
    title: str
    entries: list[SentCommand | SentGroup]


def grouped(commands: Sequence[SentCommand], kinds: frozenset[str]) -> list[SentCommand | SentGroup]:
    """What was sent, grouped by the kinds of groups that the expectation has."""
    entries: list[SentCommand | SentGroup] = []
    sessions: dict[int, SentGroup] = {}
    transactions: dict[tuple[int, int], SentGroup] = {}
    for command in commands:
        place = entries
        if "session" in kinds and command.session:
            session = sessions.get(command.session)
            if session is None:
                session = sessions[command.session] = SentGroup("session", f"session {command.session}", [])
                entries.append(session)
            place = session.entries
        if "transaction" in kinds and command.transaction:
            key = command.session, command.transaction
            transaction = transactions.get(key)
            if transaction is None:
                title = f"transaction {command.transaction} of session {command.session}"
                transaction = transactions[key] = SentGroup("transaction", title, [])
                place.append(transaction)
            place = transaction.entries
        place.append(command)
    return entries


# --- whether one is the other ---


def differences(expected: Mapping[str, object], sent: Mapping[str, object], path: str = "") -> list[str]:
    """Where the fields that are expected differ from those that were sent."""
    found: list[str] = []
    for name, value in expected.items():
        where = f"{path}{name}"
        if value is ABSENT:
            if name in sent:
                found.append(f"{where}: expected to be absent, sent {sent[name]!r}")
        elif name not in sent:
            found.append(f"{where}: expected {value!r}, not sent")
        elif isinstance(value, Mapping) and isinstance(sent[name], Mapping):
            found += differences(value, sent[name], f"{where}.")  # type: ignore[arg-type]  # checked in this line
        elif not _is_equal(value, sent[name]):
            found.append(f"{where}: expected {value!r}, sent {sent[name]!r}")
    return found


def _is_equal(expected: object, sent: object) -> bool:
    if isinstance(expected, Mapping) and isinstance(sent, Mapping):
        return not differences(expected, sent)
    if isinstance(expected, (list, tuple)) and isinstance(sent, (list, tuple)):
        return len(expected) == len(sent) and all(map(_is_equal, expected, sent))
    return bool(expected == sent)


def mismatch(expected: Expected, sent: SentCommand | SentGroup) -> list[str] | None:
    """Why a command that was sent is not the one that is expected: the fields that differ; empty if it is that one.

    None if they have nothing in common: another command, or a group and a command.
    """
    if isinstance(expected, Group) or isinstance(sent, SentGroup):
        return None
    if isinstance(expected, str):
        return [] if expected == sent.name else None
    found = differences(expected, sent.command)
    return found if not found or next(iter(expected)) == sent.name else None


def fits(expected: Expected, sent: SentCommand | SentGroup) -> bool:
    """Whether an entry of what was sent is what is expected."""
    if isinstance(expected, Group):
        if not isinstance(sent, SentGroup) or sent.kind != expected.kind or len(sent.entries) != len(expected.entries):
            return False
        return all(map(fits, expected.entries, sent.entries))
    return mismatch(expected, sent) == []
