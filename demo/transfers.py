"""Part 2: many workers transfer between few accounts, so that transactions conflict; one worker is cancelled midway."""

from __future__ import annotations

from collections import Counter
from random import Random

import anyio

from demo import verdicts
from demo.bank import Crew
from demo.excerpts import conflict_and_retry
from demo.ledger import Tally, plan
from demo.stage import Stage

_SEED = 2
_LOOKS_EVERY = 0.1  # seconds
_ENDED_WITHIN = 5.0  # seconds


async def play(stage: Stage, tally: Tally) -> verdicts.Verdict:
    """Show and judge the second part. ``tally`` takes what the workers keep."""
    scale, show = stage.scale, stage.show
    mark = stage.recorder.mark
    transfers = plan(0, scale.transfers, scale.accounts, Random(_SEED))
    crew = Crew(stage.bank, iter(transfers), tally)
    began = anyio.current_time()
    with show.progress("transfers", scale.transfers) as progress:
        async with anyio.create_task_group() as tasks:
            crew.start(tasks, scale.workers - 1)
            tasks.start_soon(_cancelled_midway, stage, crew, tally, name="the worker that is cancelled")
            while len(tally.acknowledged) + len(tally.cancelled) + len(tally.failures) < scale.transfers:
                progress.update(len(tally.acknowledged))
                await anyio.sleep(_LOOKS_EVERY)
        progress.update(scale.transfers)
    took = anyio.current_time() - began
    await stage.bank.resolve_all(tally)
    show.line(f"{len(tally.acknowledged):,} transfers by {scale.workers} workers in {took:.1f} s")
    tell_tally(stage, tally)
    fates = [tally.fates[number].value if number in tally.fates else "not sent" for number in tally.cancelled]
    show.line(f"the transfer of the worker that was cancelled: {', '.join(fates) or 'none'}")
    left_open = await _left_open(stage)
    show.excerpt(conflict_and_retry(stage.recorder.entries[mark:]))
    book = await stage.bank.book()
    return verdicts.transfers(
        verdicts.Transfers(tally, book, stage.bank.opening, scale.transfers, crew.cancelled_workers, left_open)
    )


def tell_tally(stage: Stage, tally: Tally) -> None:
    """Print what was counted."""
    stage.show.line(f"{tally.conflicts:,} write conflicts, {tally.retries:,} retries{_told(tally.other_retries)}")
    present = sum(tally.resolved.values())
    stage.show.line(
        f"{tally.doubts.total()} calls left the outcome unknown{_told(tally.doubts)}; {len(tally.resolved)} transfers "
        f"looked up: {present} had taken place, {len(tally.resolved) - present} had not"
    )


def _told(counted: Counter[str]) -> str:
    told = ", ".join(f"{count} {name}" for name, count in counted.most_common())
    return f" ({told})" if told else ""


async def _cancelled_midway(stage: Stage, crew: Crew, tally: Tally) -> None:
    """Run a worker and cancel it between the two halves of a transfer, once half of all transfers are done."""
    scope = anyio.CancelScope()
    between = anyio.Event()

    def halfway() -> None:
        if 2 * len(tally.acknowledged) >= stage.scale.transfers:
            between.set()

    async def cancel() -> None:
        await between.wait()
        # By now the worker waits for the answer to its next command.
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel)
        await crew.work(scope, halfway)
        tasks.cancel_scope.cancel()


async def _left_open(stage: Stage) -> int | None:
    """How many transactions are open on the primary, after giving those that are ending a moment to do so."""
    if stage.deployment is None:
        return None
    status = await stage.client.admin.command("serverStatus")
    counted = [int(status["transactions"]["currentOpen"])]
    with anyio.move_on_after(_ENDED_WITHIN):
        while counted[-1]:
            await anyio.sleep(_LOOKS_EVERY)
            status = await stage.client.admin.command("serverStatus")
            counted.append(int(status["transactions"]["currentOpen"]))
    return counted[-1]
