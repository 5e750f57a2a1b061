"""What must hold in each part, judged from what was measured. Pure: facts in, verdict out.

Each function takes the facts of one part and returns every check with its outcome, so that a reader sees what was
checked, and the exit status depends on nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from demo.ledger import Book, Fate, Tally, replay

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must hold. ``detail`` says what was found instead, where it does not."""

    says: str
    holds: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The checks of one part. A part that checked nothing does not hold."""

    part: str
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        """Whether every check holds."""
        return bool(self.checks) and all(check.holds for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that do not hold."""
        return tuple(check for check in self.checks if not check.holds)


def broken(part: str, reason: str) -> Verdict:
    """The verdict on a part that did not finish."""
    return Verdict(part, (Check("the part comes to its end", False, reason),))


def exit_status(verdicts: Sequence[Verdict]) -> int:
    """0 when there are verdicts and all of them hold."""
    return 0 if verdicts and all(verdict.holds for verdict in verdicts) else 1


# --- (1) reading one's own write ------------------------------------------------------------------------------------

OWN_WRITES = "reading your own write from a secondary"


@dataclass(frozen=True, slots=True)
class OwnWrites:
    """What was read after a write. Moments are seconds on one clock.

    :param written: the value written; ``causal``: what the session read.
    :param began: when the session's read began; ``ended``: when it was answered.
    :param released: when replication was released, or None where it was never held back.
    :param stale: reads without a session that did not see the write (while it was held back, if it was).
    :param fresh: those that did.
    """

    written: Sequence[int]
    causal: Sequence[int | None]
    began: float
    ended: float
    released: float | None
    stale: int
    fresh: int


def own_writes(facts: OwnWrites) -> Verdict:
    """Judge the first part."""
    missed = [value for value, seen in zip(facts.written, facts.causal, strict=False) if seen != value]
    missed += facts.written[len(facts.causal) :]
    checks = [
        Check(
            "every read in the session sees the write before it",
            bool(facts.written) and not missed,
            f"missed {_some(missed)} of {len(facts.written)}",
        )
    ]
    if facts.released is not None:
        checks += [
            Check(
                "the session's read waits until the secondary has the write",
                facts.began < facts.released <= facts.ended,
                f"it began {facts.released - facts.began:.3f} s before the release of replication "
                f"and ended {facts.ended - facts.released:.3f} s after it",
            ),
            Check(
                "without a session every read meanwhile is stale",
                facts.stale > 0 and facts.fresh == 0,
                f"{facts.stale} stale, {facts.fresh} not",
            ),
        ]
    return Verdict(OWN_WRITES, tuple(checks))


# --- the ledger, in (2) and (3) -------------------------------------------------------------------------------------


def ledger_checks(tally: Tally, book: Book, opening: Mapping[int, int]) -> tuple[Check, ...]:
    """What must hold of any number of transfers, whatever happened meanwhile."""
    times = book.times()
    expected = tally.must_be_there()
    missing = expected - times.keys()
    twice = [number for number, count in times.items() if count > 1]
    possible = expected | tally.unsettled()
    foreign = times.keys() - possible
    altered = [entry.id for entry in book.entries if tally.ordered.get(entry.id, entry) != entry]
    replayed = replay(opening, book.entries)
    wrong = [account for account in replayed.keys() | book.balances.keys() if not _same(account, replayed, book)]
    return (
        Check("every acknowledged transfer is in the ledger", bool(expected) and not missing, _missing(missing)),
        Check("no transfer is there twice", not twice, f"twice: {_some(twice)}"),
        Check("nothing else is there", not foreign, f"aborted or never made, yet there: {_some(foreign)}"),
        Check("every entry says what was ordered", not altered, f"changed: {_some(altered)}"),
        Check("the balances equal the replayed ledger", not wrong, f"accounts {_some(wrong)} differ"),
        Check("every outcome is known in the end", not tally.unsettled(), f"unknown: {_some(tally.unsettled())}"),
        Check("no transfer is given up", not tally.failures, _failures(tally.failures)),
    )


def _same(account: int, replayed: Mapping[int, int], book: Book) -> bool:
    return account in book.balances and replayed.get(account) == book.balances[account]


def _missing(missing: Collection[int]) -> str:
    return f"missing: {_some(missing)}" if missing else "there was none"


def _failures(failures: Mapping[int, str]) -> str:
    number, reason = next(iter(failures.items()), (0, ""))
    return f"{len(failures)}, the first of them {number}: {reason}"


def _complete(tally: Tally, wanted: int) -> Check:
    return Check(
        f"all {wanted:,} transfers are acknowledged, but for those of workers that are cancelled",
        len(tally.ordered) == wanted and tally.acknowledged | tally.cancelled == tally.ordered.keys(),
        f"{len(tally.acknowledged)} acknowledged and {len(tally.cancelled)} cancelled of {wanted}",
    )


# --- (2) transfers --------------------------------------------------------------------------------------------------

TRANSFERS = "transfers in transactions"


@dataclass(frozen=True, slots=True)
class Transfers:
    """:param wanted: how many were to be made.
    :param cancelled_workers: how many workers were cancelled midway.
    :param left_open: transactions that were open on the servers afterwards; None where others use the servers too.
    """

    tally: Tally
    book: Book
    opening: Mapping[int, int]
    wanted: int
    cancelled_workers: int
    left_open: int | None


def transfers(facts: Transfers) -> Verdict:
    """Judge the second part."""
    tally = facts.tally
    checks = [
        *ledger_checks(tally, facts.book, facts.opening),
        _complete(tally, facts.wanted),
        Check(
            "one worker is cancelled in the middle of a transfer, whose outcome is known",
            facts.cancelled_workers == len(tally.cancelled) == 1 and tally.cancelled <= tally.fates.keys(),
            f"{facts.cancelled_workers} cancelled; outcomes: {_outcomes(tally, tally.cancelled)}",
        ),
    ]
    if facts.left_open is not None:
        checks.append(
            Check("no transaction stays open", facts.left_open == 0, f"{facts.left_open} open on the primary")
        )
    return Verdict(TRANSFERS, tuple(checks))


def _outcomes(tally: Tally, numbers: Iterable[int]) -> str:
    fates: list[Fate | None] = [tally.fates.get(number) for number in numbers]
    return ", ".join(fate.value if fate else "nothing sent" for fate in fates) or "none"


# --- (3) failover ---------------------------------------------------------------------------------------------------

FAILOVER = "the primary is killed during transfers"


@dataclass(frozen=True, slots=True)
class Failover:
    """:param wanted: how many transfers were to be made in this part.
    :param in_flight: how many were under way when the primary was killed.
    :param acknowledged_before: how many were acknowledged by then.
    :param old_primary: the address of the primary that was killed; ``new_primary``: the primary at the end.

    ``tally`` counts this part's transfers; ``everything`` those of the parts before as well, as the book does.
    """

    tally: Tally
    everything: Tally
    book: Book
    opening: Mapping[int, int]
    wanted: int
    in_flight: int
    acknowledged_before: int
    old_primary: str
    new_primary: str


def failover(facts: Failover) -> Verdict:
    """Judge the third part."""
    after = len(facts.tally.acknowledged) - facts.acknowledged_before
    return Verdict(
        FAILOVER,
        (
            *ledger_checks(facts.everything, facts.book, facts.opening),
            _complete(facts.tally, facts.wanted),
            Check(
                "the primary is killed while transfers are under way",
                facts.in_flight > 0 and facts.acknowledged_before > 0,
                f"{facts.acknowledged_before} were acknowledged, {facts.in_flight} under way",
            ),
            Check(
                "another primary goes on with the work",
                bool(facts.new_primary) and facts.new_primary != facts.old_primary and after > 0,
                f"killed {facts.old_primary}, now {facts.new_primary or 'none'}; {after} acknowledged afterwards",
            ),
        ),
    )


# --- (4) snapshots --------------------------------------------------------------------------------------------------

SNAPSHOTS = "snapshot reads on a secondary"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One snapshot session.

    :param sums: what its reads returned, in order: the total of all balances and that of all amounts transferred.
    :param balances: one look at the accounts, and ``entries`` one at the ledger, in the same snapshot.
    :param roles: of the servers that answered.
    :param sum_outside: the same sums, read on a secondary without a snapshot after the last of its reads.
    """

    sums: Sequence[tuple[int, int]]
    book: Book
    roles: Collection[str]
    sum_outside: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Snapshots:
    """:param opening: the accounts' opening balances."""

    snapshots: Sequence[Snapshot]
    opening: Mapping[int, int]


def snapshots(facts: Snapshots) -> Verdict:
    """Judge the fourth part."""
    taken = facts.snapshots
    total = sum(facts.opening.values())
    torn = [n for n, s in enumerate(taken, 1) if len(s.sums) < 2 or len(set(s.sums)) > 1]
    lost = [n for n, s in enumerate(taken, 1) if any(balances != total for balances, _ in s.sums)]
    apart = [n for n, s in enumerate(taken, 1) if replay(facts.opening, s.book.entries) != dict(s.book.balances)]
    elsewhere = sorted({role for s in taken for role in s.roles} - {"secondary"})
    still = [n for n, s in enumerate(taken, 1) if not s.sums or s.sum_outside[1] <= s.sums[0][1]]
    return Verdict(
        SNAPSHOTS,
        (
            Check(
                "all reads of a snapshot give the same sums",
                bool(taken) and not torn,
                f"not in snapshots {_some(torn)}",
            ),
            Check(f"every balance total is {total:,}", not lost, f"not in snapshots {_some(lost)}"),
            Check(
                "accounts and ledger of a snapshot agree: the one is the other, replayed",
                not apart,
                f"not in snapshots {_some(apart)}",
            ),
            Check(
                "they are read on secondaries",
                not elsewhere and all(s.roles for s in taken),
                f"read on: {', '.join(elsewhere) or 'unknown members'}",
            ),
            Check("the writers go on meanwhile", not still, f"nothing was written during snapshots {_some(still)}"),
        ),
    )


def _some(things: Iterable[object]) -> str:
    """The first few, and how many more."""
    listed = sorted(things, key=str)
    shown = ", ".join(str(thing) for thing in listed[:_SHOWN]) or "none"
    return f"{shown} and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else shown
