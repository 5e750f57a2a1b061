"""Tests of the runner by mutation: a passing test whose expectation is changed must fail.

For every passing test with ``expectEvents``, its expected events are changed in one place: a field's value, an
event's name, or their number. The same check that passed the test must reject the mutant. For each test, one mutant is
chosen at random, from a seed; ``--all`` tries every one; ``--rerun`` runs each mutant against the server again instead
of checking the events that the first run observed.

    python -m spec_tests.mutation [--suite NAME]… [--seed N] [--all] [--rerun] [the options of spec_tests]
"""

from __future__ import annotations

import argparse
import functools
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import anyio

from spec_tests.deployment import KINDS, deployment
from spec_tests.environment import Environment
from spec_tests.errors import SpecFailure
from spec_tests.matching import operator_of
from spec_tests.results import Outcome
from spec_tests.run import TestRun
from spec_tests.runner import Case, cases, open_environment, run_case
from spec_tests.schema import ExpectedEvent, ExpectedEvents, TestCase
from spec_tests.schema.events import EVENT_FIELDS
from spec_tests.suites import SpecsMissing, Suite, discover, find_specs
from spec_tests.uris import SpecUri

_ABSENT_TYPE = "minKey"
#: Why a mutant may survive: for the observed events it means the same as the original.
UNSET = "the value under $$unsetOrMatches is unset, so that it is not compared"
EXTRA = "ignoreExtraEvents: a further event like the last one was observed"


@dataclass(frozen=True, slots=True)
class Change:
    """A changed value: where, and what was done to it.

    ``excuse`` says why the mutant may survive. ``proof``, if there is one, is the value with a change that must be
    rejected for the excuse to hold.
    """

    value: Any
    where: str
    text: str
    excuse: str = ""
    proof: Any = None

    def within(self, wrap: Callable[[Any], Any], where: str | None = None) -> Change:
        """The same change inside of a larger value."""
        proof = None if self.proof is None else wrap(self.proof)
        return replace(self, value=wrap(self.value), proof=proof, where=self.where if where is None else where)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A changed test: where and how, and, if it may survive, why."""

    test: TestCase
    where: str
    change: str
    excuse: str = ""
    proof: TestCase | None = None


@dataclass(slots=True)
class Tally:
    """How many mutants died, and which did not."""

    killed: int = 0
    survivors: list[tuple[Case, Mutant]] = field(default_factory=list)
    tests: int = 0

    @property
    def total(self) -> int:
        return self.killed + len(self.survivors)

    @property
    def good_enough(self) -> bool:
        """At least 98 of 100 died."""
        return self.total > 0 and self.killed * 100 >= self.total * 98


def mutants(test: TestCase) -> Iterator[Mutant]:
    """Every mutant of a test's expected events."""
    groups = test.expect_events or ()
    for index, group in enumerate(groups):
        for change in _of_group(group):
            whole = change.within(_replaced(groups, index), f"expectEvents[{index}].{change.where}")
            proof = None if whole.proof is None else replace(test, expect_events=whole.proof)
            mutated = replace(test, expect_events=whole.value)
            yield Mutant(mutated, whole.where, whole.text, whole.excuse, proof)


def _replaced(items: Sequence[Any], index: int) -> Callable[[Any], tuple[Any, ...]]:
    return lambda item: (*items[:index], item, *items[index + 1 :])


def _of_group(group: ExpectedEvents) -> Iterator[Change]:
    def with_events(events: tuple[ExpectedEvent, ...]) -> ExpectedEvents:
        return replace(group, events=events)

    for index, event in enumerate(group.events):
        for change in _of_event(event):
            at = _replaced(group.events, index)
            yield change.within(at, f"events[{index}].{change.where}").within(with_events)
    last = group.events[-1] if group.events else _any_event(group.event_type)
    excuse = EXTRA if group.ignore_extra_events else ""
    yield Change(with_events((*group.events, last)), "events", "one event more", excuse)
    if group.events and not group.ignore_extra_events:
        # Without the last one: where extra events are ignored, that would ask for less and not for something else.
        yield Change(with_events(group.events[:-1]), "events", "one event less")


def _any_event(family: str) -> ExpectedEvent:
    return next(ExpectedEvent(name, family) for name, (known, _) in EVENT_FIELDS.items() if known == family)


def _of_event(event: ExpectedEvent) -> Iterator[Change]:
    other = next(name for name, (family, _) in EVENT_FIELDS.items() if family == event.family and name != event.name)
    yield Change(replace(event, name=other), event.name, f"renamed to {other}")
    for key, value in event.assertions.items():

        def put(changed: Any, key: str = key) -> ExpectedEvent:
            return replace(event, assertions={**event.assertions, key: changed})

        for change in _of_value(value, key):
            yield change.within(put, f"{event.name}.{change.where}")


def _of_value(value: Any, path: str) -> Iterator[Change]:
    """Changed values; each changes one leaf."""
    operator = operator_of(value)
    if operator is not None:
        yield from _of_operator(operator, value[operator], path)
    elif isinstance(value, Mapping) and value:
        for key, inner in value.items():

            def put(changed: Any, key: str = key) -> Mapping[str, Any]:
                return {**value, key: changed}

            for change in _of_value(inner, f"{path}.{key}"):
                yield change.within(put)
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            at = _replaced(value, index)
            for change in _of_value(inner, f"{path}[{index}]"):
                yield change.within(at).within(list)
        yield Change([*value, value[-1]], path, "one element more")
    else:
        changed = _other(value)
        yield Change(changed, path, f"{value!r} became {changed!r}")


def _of_operator(operator: str, operand: Any, path: str) -> Iterator[Change]:
    if operator in ("$$unsetOrMatches", "$$matchAsRoot", "$$matchAsDocument"):
        for change in _of_value(operand, path):
            inside = change.within(lambda changed: {operator: changed})
            if operator == "$$unsetOrMatches":
                inside = replace(inside, excuse=UNSET, proof={"$$exists": True})
            yield inside
        return
    changed: dict[str, Any] = {"$$exists": False}
    if operator == "$$exists":
        changed = {"$$exists": not operand}
    elif operator == "$$type":
        changed = {"$$type": _ABSENT_TYPE}
    elif operator == "$$lte":
        changed = {"$$lte": -(2**62)}
    yield Change(changed, path, f"{operator} became {changed!r}")


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if isinstance(value, str):
        return f"{value}-mutant"
    return {"mutant": 1} if isinstance(value, (Mapping, list)) else "mutant"


def chosen(test: TestCase, seed: int, every: bool) -> list[Mutant]:
    """The mutants to try for one test."""
    known = list(mutants(test))
    if every or not known:
        return known
    return [random.Random(f"{seed} {test.description}").choice(known)]


def dies_again(run: TestRun, mutant: Mutant) -> bool:
    """Whether checking the observed events again rejects the mutant."""
    try:
        run.check_expectations(mutant.test)
    except SpecFailure:
        return True
    return False


async def dies_on_server(case: Case, mutant: Mutant, environment: Environment) -> bool:
    """Whether the mutant fails when it is run."""
    result, _ = await run_case(replace(case, test=mutant.test), environment)
    return result.outcome is Outcome.FAILED


@dataclass(frozen=True, slots=True)
class Trial:
    """Which suites to mutate, and how."""

    suites: Sequence[Suite]
    text: str = ""
    seed: int = 0
    every: bool = False
    rerun: bool = False


async def try_all(trial: Trial, uri: SpecUri) -> Tally:
    """Run the suites and try the mutants of the tests that passed."""
    tally = Tally()
    async with open_environment(uri) as environment:
        for suite in trial.suites:
            for case in cases(suite, trial.text):
                if case.test is not None and case.test.expect_events:
                    await _try_case(case, trial, environment, tally)
    return tally


async def _try_case(case: Case, trial: Trial, environment: Environment, tally: Tally) -> None:
    result, run = await run_case(case, environment)
    if result.outcome is not Outcome.PASSED or run is None or case.test is None:
        return
    tally.tests += 1
    for mutant in chosen(case.test, trial.seed, trial.every):
        dead = await dies_on_server(case, mutant, environment) if trial.rerun else dies_again(run, mutant)
        if dead:
            tally.killed += 1
            continue
        unproved = mutant.proof is not None and not dies_again(run, replace(mutant, test=mutant.proof))
        tally.survivors.append((case, replace(mutant, excuse="") if unproved else mutant))


def describe(tally: Tally) -> str:
    """The figures and every survivor with its reason."""
    lines = [
        f"{tally.tests} passing tests with expected events, {tally.total} mutants, {tally.killed} died, "
        f"{len(tally.survivors)} survived"
    ]
    for case, mutant in tally.survivors:
        reason = mutant.excuse or "NO REASON KNOWN"
        lines.append(f"  {case.suite} / {case.file_name} / {case.description}")
        lines.append(f"    {mutant.where}: {mutant.change}: {reason}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: exit status 0 if at least 98 of 100 mutants died."""
    line = argparse.ArgumentParser("python -m spec_tests.mutation", description=(__doc__ or "").partition("\n")[0])
    line.add_argument("--uri")
    line.add_argument("--deployment", choices=KINDS, default="replicaset")
    line.add_argument("--specs", metavar="DIR")
    line.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio")
    line.add_argument("--suite", metavar="NAME", action="append", default=[])
    line.add_argument("-k", metavar="TEXT", dest="text", default="")
    line.add_argument("--seed", type=int, default=0, help="which mutant of each test is tried")
    line.add_argument("--all", dest="every", action="store_true", help="try every mutant (slow with --rerun)")
    line.add_argument("--rerun", action="store_true", help="run each mutant against the server")
    options = line.parse_args(arguments)
    try:
        suites = discover(find_specs(options.specs), options.suite)
    except SpecsMissing as error:
        print(error, file=sys.stderr)
        return 2
    trial = Trial(suites, options.text, options.seed, options.every, options.rerun)
    with ExitStack() as stack:
        uri = stack.enter_context(deployment(options.deployment, options.uri))
        tally: Tally = anyio.run(functools.partial(try_all, trial, uri), backend=options.backend)
    print(describe(tally))
    return 0 if tally.good_enough else 1


if __name__ == "__main__":
    sys.exit(main())
