"""Part 3: the primary is killed during transfers; a new one is elected, and the work goes on."""

from __future__ import annotations

from random import Random

import anyio
import anyio.to_thread

from demo import verdicts
from demo.bank import Crew
from demo.excerpts import across_failover, unanswered_commits
from demo.ledger import Tally, merged, plan
from demo.stage import Stage, until
from demo.transfers import tell_tally

_SEED = 3
_LOOKS_EVERY = 0.1  # seconds


class _Kill:
    """What is known of the moment at which the primary was killed."""

    def __init__(self) -> None:
        self.primary = ""
        self.at = 0.0
        self.in_flight = 0
        self.acknowledged = 0


async def play(stage: Stage, before: Tally) -> verdicts.Verdict | None:
    """Show and judge the third part. ``before``: the transfers that the ledger holds already."""
    scale, show = stage.scale, stage.show
    if stage.deployment is None:
        show.line("left out: the demo kills its own servers only (run it without --uri)")
        return None
    mark = stage.recorder.mark
    tally, kill = Tally(), _Kill()
    transfers = plan(scale.transfers, scale.failover_transfers, scale.accounts, Random(_SEED))
    crew = Crew(stage.bank, iter(transfers), tally)
    with show.progress("transfers", scale.failover_transfers) as progress:
        async with anyio.create_task_group() as tasks:
            crew.start(tasks, scale.workers)
            tasks.start_soon(_kill_primary, stage, crew, tally, kill)
            while len(tally.acknowledged) + len(tally.failures) < scale.failover_transfers:
                progress.update(len(tally.acknowledged))
                await anyio.sleep(_LOOKS_EVERY)
        progress.update(scale.failover_transfers)
    await stage.bank.resolve_all(tally)
    _tell(stage, kill, mark)
    tell_tally(stage, tally)
    show.excerpt(across_failover(stage.recorder.entries[mark:]))
    return verdicts.failover(
        verdicts.Failover(
            tally,
            merged(before, tally),
            await stage.bank.book(),
            stage.bank.opening,
            scale.failover_transfers,
            kill.in_flight,
            kill.acknowledged,
            kill.primary,
            str(stage.client.topology.primary or ""),
        )
    )


async def _kill_primary(stage: Stage, crew: Crew, tally: Tally, kill: _Kill) -> None:
    """Kill the primary once a quarter of the transfers is done."""
    assert stage.deployment is not None
    await until(lambda: 4 * len(tally.acknowledged) >= stage.scale.failover_transfers, "a quarter of the transfers", 60)
    primary = await anyio.to_thread.run_sync(stage.deployment.primary)
    kill.primary = str(primary.address)
    kill.in_flight, kill.acknowledged = crew.in_flight, len(tally.acknowledged)
    kill.at = stage.recorder.now
    await anyio.to_thread.run_sync(primary.kill)
    stage.show.line(f"killed the primary {primary.address} with {kill.in_flight} transfers under way")


def _tell(stage: Stage, kill: _Kill, mark: int) -> None:
    entries = stage.recorder.entries[mark:]
    commits = [e for e in entries if e.name == "commitTransaction" and e.failure is None and e.at > kill.at]
    elsewhere = [entry.at + entry.duration for entry in commits if str(entry.address) != kill.primary]
    if elsewhere:
        heir = stage.client.topology.primary
        stage.show.line(f"{min(elsewhere) - kill.at:.1f} s later {heir} committed the next transfer")
    hanging = unanswered_commits(entries)
    answered = sum(any(not commit.unanswered for commit in commits) for commits in hanging)
    stage.show.line(f"{len(hanging)} commits got no answer: outcome unknown; sent again, {answered} of them got one")
