"""The demo's ledger and verdicts: what is correct, and that each check fails on data that should fail it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from demo import verdicts
from demo.ledger import LARGEST_AMOUNT, Book, Fate, Tally, Transfer, merged, plan, replay
from demo.verdicts import Check, Failover, OwnWrites, Snapshot, Snapshots, Transfers, Verdict

OPENING = {0: 100, 1: 100, 2: 100}
FIRST, SECOND, THIRD, FOURTH = Transfer(1, 0, 1, 10), Transfer(2, 1, 2, 20), Transfer(3, 2, 0, 5), Transfer(4, 0, 2, 7)


# --- the ledger -----------------------------------------------------------------------------------------------------


def test_a_plan_numbers_its_transfers_and_never_transfers_to_the_same_account() -> None:
    planned = plan(7, 500, 3, Random(1))
    assert [transfer.id for transfer in planned] == list(range(7, 507))
    assert all(transfer.source != transfer.target for transfer in planned)
    assert {account for transfer in planned for account in transfer[1:3]} == {0, 1, 2}
    assert {transfer.amount for transfer in planned} == set(range(1, LARGEST_AMOUNT + 1))


@pytest.mark.parametrize(
    "entries, balances",
    [
        ([], {0: 100, 1: 100, 2: 100}),
        ([FIRST], {0: 90, 1: 110, 2: 100}),
        ([FIRST, SECOND, THIRD], {0: 95, 1: 90, 2: 115}),
        ([THIRD, SECOND, FIRST], {0: 95, 1: 90, 2: 115}),
        ([FIRST, FIRST], {0: 80, 1: 120, 2: 100}),
        ([Transfer(1, 0, 9, 1)], {0: 99, 1: 100, 2: 100, 9: 1}),
    ],
)
def test_the_ledger_is_replayed(entries: list[Transfer], balances: dict[int, int]) -> None:
    assert replay(OPENING, entries) == balances


def test_a_tally_knows_what_must_be_there_and_what_is_unsettled() -> None:
    fates = {1: Fate.COMMITTED, 2: Fate.ABORTED, 3: Fate.UNKNOWN, 4: Fate.UNKNOWN, 5: Fate.UNKNOWN}
    tally = Tally(acknowledged={9}, fates=fates, resolved={3: True, 4: False})
    assert tally.must_be_there() == {1, 3, 9}
    assert tally.unknown() == {3, 4, 5}
    assert tally.unsettled() == {5}


def test_two_tallies_become_one() -> None:
    first = Tally({1: FIRST}, {1}, {1: Fate.COMMITTED}, {}, 2, Counter(gone=1), Counter(), {}, set())
    second = Tally(
        {2: SECOND}, set(), {2: Fate.UNKNOWN}, {2: True}, 3, Counter(gone=1, lost=1), Counter(no=1), {3: "no"}, {2}
    )
    both = merged(first, second)
    assert both.ordered == {1: FIRST, 2: SECOND}
    assert (both.acknowledged, both.cancelled, both.failures, both.resolved) == ({1}, {2}, {3: "no"}, {2: True})
    assert (both.conflicts, both.retries, both.doubts) == (5, 8, {"no": 1})
    assert both.must_be_there() == {1, 2}


# --- good data ------------------------------------------------------------------------------------------------------


def good_own_writes() -> OwnWrites:
    return OwnWrites(written=(2,), causal=(2,), began=10.0, ended=11.1, released=11.0, stale=80, fresh=0)


def good_book() -> Book:
    entries = (FIRST, SECOND, THIRD)
    return Book(replay(OPENING, entries), entries)


def good_tally() -> Tally:
    """Three transfers that exist, of which two were acknowledged, and one that was cancelled and rolled back."""
    return Tally(
        ordered={transfer.id: transfer for transfer in (FIRST, SECOND, THIRD, FOURTH)},
        acknowledged={1, 2, 3},
        fates={1: Fate.COMMITTED, 2: Fate.COMMITTED, 3: Fate.UNKNOWN, 4: Fate.ABORTED},
        resolved={3: True},
        cancelled={4},
    )


def good_transfers() -> Transfers:
    return Transfers(good_tally(), good_book(), OPENING, wanted=4, cancelled_workers=1, left_open=0)


def good_failover() -> Failover:
    tally = good_tally()
    return Failover(
        tally, tally, good_book(), OPENING, 4, in_flight=3, acknowledged_before=1, old_primary="a:1", new_primary="b:1"
    )


def good_snapshot() -> Snapshot:
    return Snapshot([(300, 35)] * 3, good_book(), {"secondary"}, (300, 42))


def good_snapshots() -> Snapshots:
    return Snapshots([good_snapshot(), good_snapshot()], OPENING)


JUDGES: dict[str, tuple[Callable[[Any], Verdict], Callable[[], Any]]] = {
    "own writes": (verdicts.own_writes, good_own_writes),
    "transfers": (verdicts.transfers, good_transfers),
    "failover": (verdicts.failover, good_failover),
    "snapshots": (verdicts.snapshots, good_snapshots),
}


@pytest.mark.parametrize("name", JUDGES)
def test_good_data_hold(name: str) -> None:
    judge, good = JUDGES[name]
    verdict = judge(good())
    assert verdict.holds
    assert verdict.failed == ()


def test_on_servers_of_others_stale_reads_are_no_failure() -> None:
    facts = OwnWrites(range(3), [0, 1, 2], 0.0, 1.0, released=None, stale=0, fresh=3)
    assert verdicts.own_writes(facts).holds
    assert not verdicts.own_writes(replace(facts, causal=[0, 1, 1])).holds


def test_on_servers_of_others_their_transactions_do_not_count() -> None:
    facts = replace(good_transfers(), left_open=None)
    assert verdicts.transfers(facts).holds
    assert len(verdicts.transfers(facts).checks) == len(verdicts.transfers(good_transfers()).checks) - 1


# --- bad data -------------------------------------------------------------------------------------------------------


def with_tally(**changes: Any) -> Transfers:
    return replace(good_transfers(), tally=replace(good_tally(), **changes))


def with_entries(*entries: Transfer) -> Transfers:
    """A wrong ledger, and balances that agree with it."""
    return replace(good_transfers(), book=Book(replay(OPENING, entries), entries))


def with_balances(**changes: int) -> Transfers:
    book = good_book()
    balances = {**book.balances, **{int(name[1:]): amount for name, amount in changes.items()}}
    return replace(good_transfers(), book=replace(book, balances=balances))


def with_snapshot(**changes: Any) -> Snapshots:
    return Snapshots([good_snapshot(), replace(good_snapshot(), **changes)], OPENING)


WAITS = "the session's read waits until the secondary has the write"
STALE = "without a session every read meanwhile is stale"
SEEN = "every read in the session sees the write before it"
THERE = "every acknowledged transfer is in the ledger"
TWICE = "no transfer is there twice"
FOREIGN = "nothing else is there"
ORDERED = "every entry says what was ordered"
BALANCES = "the balances equal the replayed ledger"
KNOWN = "every outcome is known in the end"
GIVEN_UP = "no transfer is given up"
COMPLETE = "all 4 transfers are acknowledged, but for those of workers that are cancelled"
CANCELLED = "one worker is cancelled in the middle of a transfer, whose outcome is known"
OPEN = "no transaction stays open"
KILLED = "the primary is killed while transfers are under way"
GOES_ON = "another primary goes on with the work"
SAME = "all reads of a snapshot give the same sums"
TOTAL = "every balance total is 300"
AGREE = "accounts and ledger of a snapshot agree: the one is the other, replayed"
SECONDARIES = "they are read on secondaries"
MEANWHILE = "the writers go on meanwhile"

#: For each part: bad data, and exactly the checks that must fail on it.
BAD: list[tuple[str, Any, set[str]]] = [
    ("own writes", replace(good_own_writes(), causal=(1,)), {SEEN}),
    ("own writes", replace(good_own_writes(), causal=(None,)), {SEEN}),
    ("own writes", replace(good_own_writes(), causal=()), {SEEN}),
    ("own writes", replace(good_own_writes(), written=(), causal=()), {SEEN}),
    ("own writes", replace(good_own_writes(), ended=10.9), {WAITS}),
    ("own writes", replace(good_own_writes(), began=11.05), {WAITS}),
    ("own writes", replace(good_own_writes(), stale=0), {STALE}),
    ("own writes", replace(good_own_writes(), fresh=1), {STALE}),
    ("transfers", with_entries(FIRST, SECOND), {THERE}),
    ("transfers", with_entries(), {THERE}),
    ("transfers", with_entries(FIRST, SECOND, THIRD, SECOND), {TWICE}),
    ("transfers", with_entries(FIRST, SECOND, THIRD, FOURTH), {FOREIGN}),
    ("transfers", with_entries(FIRST, SECOND, THIRD, Transfer(77, 0, 1, 1)), {FOREIGN}),
    ("transfers", with_entries(FIRST, SECOND, THIRD._replace(amount=6)), {ORDERED}),
    ("transfers", with_entries(FIRST, SECOND, THIRD._replace(target=1)), {ORDERED}),
    ("transfers", with_balances(_0=96), {BALANCES}),
    ("transfers", with_balances(_0=96, _1=89), {BALANCES}),
    ("transfers", with_balances(_9=0), {BALANCES}),
    ("transfers", replace(good_transfers(), book=Book({}, good_book().entries)), {BALANCES}),
    ("transfers", with_tally(resolved={}), {KNOWN}),
    ("transfers", with_tally(resolved={3: False}, acknowledged={1, 2}), {FOREIGN, COMPLETE}),
    ("transfers", with_tally(failures={4: "AutoReconnect: gone"}), {GIVEN_UP}),
    ("transfers", with_tally(acknowledged={1, 2}), {COMPLETE}),
    ("transfers", replace(good_transfers(), wanted=5), {COMPLETE.replace("4", "5")}),
    ("transfers", with_tally(acknowledged=set(), fates={}, resolved={}), {THERE, FOREIGN, COMPLETE, CANCELLED}),
    ("transfers", replace(good_transfers(), cancelled_workers=0), {CANCELLED}),
    ("transfers", replace(good_transfers(), cancelled_workers=2), {CANCELLED}),
    ("transfers", with_tally(cancelled=set()), {COMPLETE, CANCELLED}),
    ("transfers", with_tally(fates={3: Fate.UNKNOWN}), {CANCELLED}),
    ("transfers", replace(good_transfers(), left_open=1), {OPEN}),
    ("failover", replace(good_failover(), book=with_entries(FIRST, SECOND).book), {THERE}),
    ("failover", replace(good_failover(), book=with_entries(FIRST, SECOND, THIRD, THIRD).book), {TWICE}),
    ("failover", replace(good_failover(), book=with_entries(FIRST, SECOND, THIRD, FOURTH).book), {FOREIGN}),
    ("failover", replace(good_failover(), book=with_entries(FIRST, SECOND, FOURTH._replace(id=3)).book), {ORDERED}),
    ("failover", replace(good_failover(), book=with_balances(_2=0).book), {BALANCES}),
    ("failover", replace(good_failover(), everything=replace(good_tally(), resolved={})), {KNOWN}),
    ("failover", replace(good_failover(), everything=replace(good_tally(), failures={4: "no"})), {GIVEN_UP}),
    ("failover", replace(good_failover(), tally=replace(good_tally(), acknowledged={1, 2})), {COMPLETE}),
    ("failover", replace(good_failover(), in_flight=0), {KILLED}),
    ("failover", replace(good_failover(), acknowledged_before=0), {KILLED}),
    ("failover", replace(good_failover(), acknowledged_before=3), {GOES_ON}),
    ("failover", replace(good_failover(), new_primary="a:1"), {GOES_ON}),
    ("failover", replace(good_failover(), new_primary=""), {GOES_ON}),
    ("snapshots", Snapshots([], OPENING), {SAME}),
    ("snapshots", with_snapshot(sums=[(300, 35), (300, 36)]), {SAME}),
    ("snapshots", with_snapshot(sums=[(300, 35)]), {SAME}),
    ("snapshots", with_snapshot(sums=[]), {SAME, MEANWHILE}),
    ("snapshots", with_snapshot(sums=[(299, 35), (299, 35)]), {TOTAL}),
    ("snapshots", with_snapshot(sums=[(300, 35), (299, 35)]), {SAME, TOTAL}),
    ("snapshots", with_snapshot(book=with_balances(_0=96, _1=89).book), {AGREE}),
    ("snapshots", with_snapshot(roles={"secondary", "primary"}), {SECONDARIES}),
    ("snapshots", with_snapshot(roles=set()), {SECONDARIES}),
    ("snapshots", with_snapshot(sum_outside=(300, 35)), {MEANWHILE}),
]


@pytest.mark.parametrize("name, facts, fails", BAD)
def test_bad_data_fail_the_checks_they_should(name: str, facts: Any, fails: set[str]) -> None:
    judge, _ = JUDGES[name]
    verdict = judge(facts)
    assert {check.says for check in verdict.failed} == fails
    assert all(check.detail for check in verdict.failed)
    assert not verdict.holds


@pytest.mark.parametrize("name", JUDGES)
def test_every_check_fails_on_some_data(name: str) -> None:
    judge, good = JUDGES[name]
    failing = {says for part, _, fails in BAD for says in fails if part == name}
    assert {check.says for check in judge(good()).checks} <= failing


# --- verdicts as such -----------------------------------------------------------------------------------------------

HOLDS = Verdict("a", (Check("it is so", True),))
FAILS = Verdict("b", (Check("it is so", True), Check("so is this", False, "it is not")))


@pytest.mark.parametrize(
    "judged, status",
    [
        ([HOLDS], 0),
        ([HOLDS, HOLDS], 0),
        ([FAILS], 1),
        ([HOLDS, FAILS], 1),
        ([FAILS, HOLDS], 1),
        ([], 1),
        ([HOLDS, Verdict("nothing was checked", ())], 1),
        ([verdicts.broken("c", "it hung")], 1),
    ],
)
def test_the_exit_status_is_0_only_when_everything_holds(judged: list[Verdict], status: int) -> None:
    assert verdicts.exit_status(judged) == status


def test_a_long_list_is_cut_short() -> None:
    facts = replace(good_transfers(), book=Book({}, tuple(Transfer(n, 0, 1, 1) for n in range(100, 120))))
    foreign = next(check for check in verdicts.transfers(facts).failed if check.says == FOREIGN)
    assert foreign.detail == "aborted or never made, yet there: 100, 101, 102, 103, 104 and 15 more"
