"""A few hundred scenarios in every test run, always the same ones; and tests that the lab detects differences."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from time import monotonic
from typing import Any

import pytest

from tests.differential.adapters import Watcher, Wiredrv
from tests.differential.calls import Block, Call, Make, Scenario, StartSession, Step, Take, Target, TheSession, options
from tests.differential.known import OF_CALLS
from tests.differential.lab import Lab, opened
from tests.differential.report import report
from tests.differential.row import Known
from tests.differential.runs import not_shown, reports, run
from tests.differential.short import MANY, PEOPLE, call
from wiredrv.local import ReplicaSet

#: Scenarios in a test run on each event loop. `make differential` runs many more.
SLICE = 200
SEED = 3


@pytest.fixture(scope="module")
def deployment(starts_servers: None) -> Iterator[ReplicaSet]:
    """A replica set of one member: comparing needs no more, and writes are fast."""
    with ReplicaSet(members=1, test_commands=True) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """PyMongo Async only supports asyncio, so both drivers run in the same asyncio event loop in all tests here."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def labs(deployment: ReplicaSet, runner: asyncio.Runner) -> Iterator[list[Lab]]:
    """Both drivers, ours on asyncio and on trio."""
    labs = [runner.run(opened(deployment.uri, trio)) for trio in (False, True)]
    yield labs
    for lab in labs:
        runner.run(lab.close())


@pytest.fixture
def lab(labs: list[Lab]) -> Lab:
    """Both drivers on asyncio."""
    return labs[0]


@pytest.mark.parametrize("seed", [SEED, SEED + 1], ids=["trio", "asyncio"])
def test_generated_scenarios_differ_only_as_the_table_says(runner: asyncio.Runner, labs: list[Lab], seed: int) -> None:
    findings = run(runner, labs, seed, SLICE, lambda text: None)
    assert findings.examples == SLICE
    found = [text for _, text in reports(runner, labs, findings)]
    assert not found, "\n\n".join(found)
    # It detects something: several of the deliberate differences appear in any two hundred scenarios.
    assert len(findings.used) > 7


@pytest.mark.parametrize("trio", [False, True], ids=["asyncio", "trio"])
def test_each_row_has_an_example_that_shows_it(runner: asyncio.Runner, labs: list[Lab], trio: bool) -> None:
    assert not_shown(runner, labs[trio], OF_CALLS) == []


def test_a_row_whose_example_does_not_show_it_is_told(runner: asyncio.Runner, lab: Lab) -> None:
    counted = call(PEOPLE, "count_documents", {})
    assert not_shown(runner, lab, [Known("a row", "this", "that", "why", example=(counted,))]) == ["a row"]
    # With a difference other than its own, which no row of this lab excuses.
    obsolete = replace(OF_CALLS[0], example=())
    assert not_shown(runner, lab, [obsolete]) == [obsolete.id]


def test_nothing_is_left_open_on_the_server(runner: asyncio.Runner, lab: Lab, deployment: ReplicaSet) -> None:
    steps: tuple[Step, ...] = (
        StartSession(1),
        Call(Target("session", 1), "start_transaction", take=Take("ignore")),
        Call(
            MANY,
            "find",
            options=options(batch_size=2, session=TheSession(1)),
            take=Take("keep", 2),
        ),
        Call(Target("cursor", 2), "next"),
    )
    verdict = runner.run(lab.run(Scenario(steps)))
    assert not verdict.unexcused

    def left() -> tuple[int, int]:
        status = deployment.primary().ask({"serverStatus": 1})
        return status["metrics"]["cursor"]["open"]["total"], status["transactions"]["currentOpen"]

    deadline = monotonic() + 5
    while left() != (0, 0) and monotonic() < deadline:
        # Once a second PyMongo tries to close what it could not close before.
        runner.run(asyncio.sleep(0.1))
    assert left() == (0, 0)


# --- a driver that behaves differently is detected ---


class Wrapped:
    """One of our handles with a method that behaves differently."""

    def __init__(self, inner: Any, name: str, method: Any) -> None:
        self._inner, self._name, self._method = inner, name, method

    def __getattr__(self, name: str) -> Any:
        if name == self._name:
            return lambda *args, **keywords: self._method(getattr(self._inner, name), *args, **keywords)
        found = getattr(self._inner, name)
        return Wrapped(found, self._name, self._method) if name == "admin" else found

    def __getitem__(self, name: str) -> Any:
        return Wrapped(self._inner[name], self._name, self._method)


class Altered(Wiredrv):
    """wiredrv with one method of its collections replaced: the lab must notice."""

    def __init__(self, name: str, method: Any) -> None:
        self._name, self._method = name, method

    def client(self, uri: str, watcher: Watcher) -> Any:
        """The client, altered."""
        return Wrapped(super().client(uri, watcher), self._name, self._method)


async def _twice(insert_one: Any, document: Any, **keywords: Any) -> Any:
    await insert_one({"_id": 98, "u": 98})
    return await insert_one(document, **keywords)


async def _another_result(count: Any, *args: Any, **keywords: Any) -> int:
    found: int = await count(*args, **keywords)
    return found + 1


async def _another_error(insert_one: Any, document: Any, **keywords: Any) -> Any:
    try:
        return await insert_one(document, **keywords)
    except Exception as error:
        raise KeyError("an error of another kind") from error


async def _outside_the_session(insert_one: Any, document: Any, session: Any = None) -> Any:
    return await insert_one(document)


INSERT = Call(PEOPLE, "insert_one", ({"_id": 99, "u": 99},))
IN_TRANSACTION: tuple[Step, ...] = (
    StartSession(1),
    Block("transaction", 1, (Call(PEOPLE, "insert_one", ({"_id": 99, "u": 99},), options(session=TheSession(1))),)),
)


@pytest.mark.parametrize(
    "name, method, steps, what",
    [
        ("insert_one", _twice, (INSERT,), "commands"),
        ("count_documents", _another_result, (Call(PEOPLE, "count_documents", ({},)),), "result"),
        ("insert_one", _another_error, (Call(PEOPLE, "insert_one", ({"_id": 0},)),), "outcome"),
        ("insert_one", _outside_the_session, IN_TRANSACTION, "field"),
    ],
)
def test_what_is_wrong_is_found(
    runner: asyncio.Runner, deployment: ReplicaSet, name: str, method: Any, steps: tuple[Step, ...], what: str
) -> None:
    async def compared() -> str:
        lab = Lab(deployment.uri, ours=Altered(name, method))
        try:
            await lab.open()
            verdict = await lab.run(Scenario(steps))
            assert verdict.unexcused[0].what == what, verdict.unexcused
            return report(Scenario(steps), verdict.unexcused)
        finally:
            await lab.close()

    text = runner.run(compared())
    assert name in text
    assert "PyMongo" in text
    assert "wiredrv" in text
    assert "sent {" in text


def test_data_that_differs_is_found_where_commands_do_not(runner: asyncio.Runner, lab: Lab) -> None:
    async def compared() -> list[str]:
        # Another client writes to one of the databases, without a command of either driver.
        scenario = Scenario((Call(PEOPLE, "insert_one", ({"_id": 99, "u": 99},)),))
        await lab.run(scenario)
        perform = lab.ours.perform

        async def meddled(step: Any) -> Any:
            records = await perform(step)
            lab.referee.meddle(lab.ours.database_name, "people", {"_id": 97, "u": 97})
            return records

        lab.ours.perform = meddled  # type: ignore[method-assign]  # for this one scenario
        try:
            verdict = await lab.run(scenario)
        finally:
            del lab.ours.perform  # restores the class's method
        return [difference.what for difference in verdict.unexcused]

    assert runner.run(compared()) == ["data"]


def test_a_scenario_is_made_smaller_and_its_report_can_be_run_again(
    runner: asyncio.Runner, deployment: ReplicaSet
) -> None:
    async def altered() -> Lab:
        lab = Lab(deployment.uri, ours=Altered("count_documents", _another_result))
        await lab.open()
        return lab

    lab = runner.run(altered())
    told: list[str] = []
    # Which methods the scenarios of a seed call depends on the list of methods: take the first seed that counts.
    for seed in range(SEED, SEED + 10):
        told.clear()
        findings = run(runner, [lab], seed, 120, told.append)
        if any(s[:2] == ("result", "count_documents") for s in findings.unexcused):
            break
    else:
        pytest.fail("no scenario counted")
    assert len([text for text in told if "made smaller at the end" in text]) == len(findings.unexcused)
    texts = [text for _, text in reports(runner, [lab], findings)]
    runner.run(lab.close())
    shortest = next(text for text in texts if "result count_documents" in text.partition("\n")[0])
    assert f"(seed {seed})" in shortest
    assert "1. db[" in shortest
    assert "2. " not in shortest
    assert ".count_documents(" in shortest


def test_the_starting_data_is_laid_out_again_after_each_scenario(runner: asyncio.Runner, lab: Lab) -> None:
    async def states() -> list[Any]:
        found = []
        for steps in (
            (Call(PEOPLE, "count_documents", ({},)),),
            (Call(PEOPLE, "drop"), Call(Target("database"), "create_collection", ("fresh",))),
            (Call(PEOPLE, "update_many", ({}, {"$set": {"u2": 1}})),),
            (Call(Target("collection", "capped"), "insert_one", ({"_id": 9},)),),
        ):
            for side in lab.sides:
                lab.referee.restore(side.database_name)
                found.append(lab.referee.state(side.database_name))
            verdict = await lab.run(Scenario(steps))
            assert not verdict.unexcused, report(Scenario(steps), verdict.unexcused)
        return found

    first, *others = runner.run(states())
    contents = {name: documents for name, (_, _, documents) in first.items()}
    for other in others:
        assert {name: documents for name, (_, _, documents) in other.items()} == contents


def test_values_are_made_anew_for_each_driver(lab: Lab) -> None:
    document = {"list": [{"a": 1}]}
    for side in lab.sides:
        made = side.real(Make("SON", (document,)))
        assert made == document
        assert made["list"] is not document["list"]
