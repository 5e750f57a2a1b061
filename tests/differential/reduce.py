"""A smaller scenario with the same difference: steps, options and arguments are left out one by one.

Pure, but for ``holds``, which runs a scenario.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from tests.differential.calls import Block, Call, Scenario, StartSession, Step


def smaller(scenario: Scenario) -> Iterator[Scenario]:
    """Scenarios with one thing left out, the largest things first."""
    steps = scenario.steps
    if len(steps) > 1:
        yield from (Scenario(without) for without in _without_one(steps))
    for number, step in enumerate(steps):
        for less in _smaller_step(step):
            yield Scenario((*steps[:number], less, *steps[number + 1 :]))


def _smaller_step(step: Step) -> Iterator[Step]:
    if isinstance(step, Call):
        yield from _smaller_call(step)
    elif isinstance(step, Block):
        yield from (replace(step, steps=without) for without in _without_one(step.steps))
        yield from (replace(step, options=without) for without in _without_one(step.options))
        if step.raises or step.forgives:
            yield replace(step, raises=False, forgives=False)
        for number, inner in enumerate(step.steps):
            if isinstance(inner, Call):
                for less in _smaller_call(inner):
                    yield replace(step, steps=(*step.steps[:number], less, *step.steps[number + 1 :]))
    elif isinstance(step, StartSession) and step.options:
        yield replace(step, options=())


def _smaller_call(call: Call) -> Iterator[Call]:
    yield from (replace(call, chain=without) for without in _without_one(call.chain))
    yield from (replace(call, options=without) for without in _without_one(call.options))
    if call.target.options:
        yield replace(call, target=replace(call.target, options=()))
    for number, argument in enumerate(call.args):
        for less in _smaller_value(argument):
            yield replace(call, args=(*call.args[:number], less, *call.args[number + 1 :]))


def _smaller_value(value: Any) -> Iterator[Any]:
    if isinstance(value, list) and len(value) > 1:
        yield from (list(without) for without in _without_one(value))
    elif isinstance(value, dict) and len(value) > 1:
        yield from (dict(without) for without in _without_one(tuple(value.items())))


def _without_one(items: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    for number in range(len(items)):
        yield (*items[:number], *items[number + 1 :])


async def reduced(scenario: Scenario, holds: Callable[[Scenario], Awaitable[bool]], most: int = 150) -> Scenario:
    """The smallest scenario found for which ``holds`` is still true.

    :param most: how many candidates are tried.
    """
    tries = 0
    progress = True
    while progress:
        progress = False
        for candidate in smaller(scenario):
            tries += 1
            if tries > most:
                return scenario
            if await holds(candidate):
                scenario, progress = candidate, True
                break
    return scenario
