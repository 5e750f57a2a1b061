"""Transfers between accounts, and the book that is kept of them. Pure.

A transfer's id is a field of its ledger entry, without a unique index: a transfer that took place twice shows up as two
entries, instead of being hidden by a duplicate key error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import NamedTuple

LARGEST_AMOUNT = 10


class Transfer(NamedTuple):
    """An amount that goes from one account to another, under an id of its own."""

    id: int
    source: int
    target: int
    amount: int


def plan(first_id: int, count: int, accounts: int, random: Random) -> list[Transfer]:
    """``count`` transfers between different accounts, numbered from ``first_id``."""
    planned = []
    for number in range(first_id, first_id + count):
        source, target = random.sample(range(accounts), 2)
        planned.append(Transfer(number, source, target, random.randint(1, LARGEST_AMOUNT)))
    return planned


def replay(opening: Mapping[int, int], entries: Iterable[Transfer]) -> dict[int, int]:
    """The balances that follow from the opening ones and the ledger alone."""
    balances = dict(opening)
    for entry in entries:
        balances[entry.source] = balances.get(entry.source, 0) - entry.amount
        balances[entry.target] = balances.get(entry.target, 0) + entry.amount
    return balances


class Fate(Enum):
    """What the driver said about a transfer's last attempt."""

    COMMITTED = "committed"
    ABORTED = "aborted"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Tally:
    """What the workers record.

    :param ordered: every transfer that a worker began.
    :param acknowledged: the ids of the transfers that were reported as done.
    :param fates: what the driver last said about an id, whether or not that was reported.
    :param resolved: of the ids whose fate was unknown, whether they turned out to have taken place.
    :param conflicts: attempts that conflicted with another transaction's write.
    :param other_retries: attempts that failed for another reason and were repeated, by reason.
    :param doubts: calls that ended in an error which leaves the transfer's outcome open, by reason.
    :param failures: the ids that a worker gave up on, and the error.
    :param cancelled: the ids whose worker was cancelled.
    """

    ordered: dict[int, Transfer] = field(default_factory=dict)
    acknowledged: set[int] = field(default_factory=set)
    fates: dict[int, Fate] = field(default_factory=dict)
    resolved: dict[int, bool] = field(default_factory=dict)
    conflicts: int = 0
    other_retries: Counter[str] = field(default_factory=Counter)
    doubts: Counter[str] = field(default_factory=Counter)
    failures: dict[int, str] = field(default_factory=dict)
    cancelled: set[int] = field(default_factory=set)

    @property
    def retries(self) -> int:
        """Attempts beyond the first."""
        return self.conflicts + self.other_retries.total()

    def unknown(self) -> set[int]:
        """The ids whose outcome the driver could not determine."""
        return {number for number, fate in self.fates.items() if fate is Fate.UNKNOWN}

    def must_be_there(self) -> set[int]:
        """The ids of the transfers that took place according to all reports."""
        committed = {number for number, fate in self.fates.items() if fate is Fate.COMMITTED}
        return self.acknowledged | committed | {number for number, present in self.resolved.items() if present}

    def unsettled(self) -> set[int]:
        """The ids of the transfers whose outcome is unknown and was not resolved."""
        return self.unknown() - self.resolved.keys()


@dataclass(frozen=True, slots=True)
class Book:
    """What the database holds: the balances, and the ledger's entries in any order."""

    balances: Mapping[int, int]
    entries: tuple[Transfer, ...]

    def times(self) -> Counter[int]:
        """How often each id is in the ledger."""
        return Counter(entry.id for entry in self.entries)


def merged(first: Tally, second: Tally) -> Tally:
    """One tally of two parts that used different ids."""
    return Tally(
        first.ordered | second.ordered,
        first.acknowledged | second.acknowledged,
        first.fates | second.fates,
        first.resolved | second.resolved,
        first.conflicts + second.conflicts,
        first.other_retries + second.other_retries,
        first.doubts + second.doubts,
        first.failures | second.failures,
        first.cancelled | second.cancelled,
    )
