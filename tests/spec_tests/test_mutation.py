"""The making of mutants: each differs from the original, and the original's judgement refuses it."""

from __future__ import annotations

from typing import Any

from spec_tests.capture import Observed
from spec_tests.expectations import check_events
from spec_tests.matching import Matcher
from spec_tests.mutation import EXTRA, UNSET, Mutant, Tally, chosen, mutants
from spec_tests.schema import TestCase
from wiredrv import events
from wiredrv.types import Address

COMMAND = {"find": "c", "filter": {"x": [1, {"y": True}]}, "lsid": {"id": 1}, "limit": 5.0}
EXPECTED = {
    "find": "c",
    "filter": {"x": [1, {"y": True}]},
    "lsid": {"$$exists": True},
    "limit": {"$$type": "double"},
    "txnNumber": {"$$exists": False},
    "readConcern": {"$$unsetOrMatches": {"level": "local"}},
}


def _test(extra: bool = False, **changes: Any) -> TestCase:
    event = {"commandStartedEvent": {"commandName": "find", "command": {**EXPECTED, **changes}}}
    events_ = [{"client": "c", "events": [event], "ignoreExtraEvents": extra}]
    return TestCase.read({"description": "t", "operations": [], "expectEvents": events_}, "t")


def _observed(**changes: Any) -> list[Observed]:
    event = events.CommandStartedEvent("find", "db", 1, 1, Address("a"), 1, command={**COMMAND, **changes})
    return [Observed("commandStartedEvent", event)]


def _passes(test: TestCase, observed: list[Observed]) -> bool:
    return all(check_events(group, observed, Matcher()) is None for group in test.expect_events or ())


def test_every_leaf_name_and_number_has_its_mutant() -> None:
    found = list(mutants(_test()))
    paths = {mutant.where.removeprefix("expectEvents[0].") for mutant in found}
    started = "events[0].commandStartedEvent"
    assert {
        f"{started}.command.{leaf}" for leaf in ("find", "filter.x", "filter.x[0]", "filter.x[1].y", "lsid")
    } < paths
    assert {f"{started}.command.{leaf}" for leaf in ("limit", "txnNumber", "readConcern.level")} < paths
    assert {started, f"{started}.commandName", "events"} < paths
    assert [mutant.change for mutant in found][-2:] == ["one event more", "one event less"]


def test_mutants_die_but_for_those_with_a_reason() -> None:
    test, observed = _test(), _observed()
    assert _passes(test, observed)
    survivors = [mutant for mutant in mutants(test) if _passes(mutant.test, observed)]
    assert [(mutant.where[-17:], mutant.excuse) for mutant in survivors] == [("readConcern.level", UNSET)]
    proof = survivors[0].proof
    assert proof is not None
    assert not _passes(proof, observed)


def test_the_proof_of_an_excuse_fails_where_the_value_is_set() -> None:
    test = _test(readConcern={"$$unsetOrMatches": {"level": "local"}})
    observed = _observed(readConcern={"level": "local"})
    (mutant,) = [mutant for mutant in mutants(test) if mutant.excuse == UNSET]
    assert mutant.proof is not None
    assert _passes(mutant.proof, observed)
    assert not _passes(mutant.test, observed)


def test_one_event_more_may_live_only_where_extra_events_are_ignored() -> None:
    last = list(mutants(_test(extra=True)))[-1]
    assert (last.change, last.excuse) == ("one event more", EXTRA)


def test_the_seed_decides_which_mutant_is_tried() -> None:
    test = _test()
    assert [m.where for m in chosen(test, 1, False)] == [m.where for m in chosen(test, 1, False)]
    assert len({chosen(test, seed, False)[0].where for seed in range(30)}) > 3
    assert len(chosen(test, 1, True)) == len(list(mutants(test)))


def test_98_of_100_must_die() -> None:
    survivor: Any = (None, Mutant(_test(), "", ""))
    assert Tally(98, [survivor] * 2).good_enough
    assert not Tally(97, [survivor] * 3).good_enough
    assert not Tally().good_enough
