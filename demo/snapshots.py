"""Part 4: snapshot reads on a secondary while writers go on."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import anyio

from demo import verdicts
from demo.bank import Crew
from demo.excerpts import snapshot_reads
from demo.ledger import Tally, Transfer, plan
from demo.stage import Stage, until
from wiredrv.concerns import ReadPreference

_SEED = 4
_FIRST_ID = 1_000_000
_PLENTY = 100_000
_SECONDARY = ReadPreference.SECONDARY


async def play(stage: Stage) -> verdicts.Verdict | None:
    """Show and judge the fourth part."""
    scale, show = stage.scale, stage.show
    if not stage.client.topology.secondaries:
        show.line("left out: no secondary is known here")
        return None
    mark = stage.recorder.mark
    tally = Tally()
    stop = anyio.Event()
    crew = Crew(stage.bank, _until(stop, plan(_FIRST_ID, _PLENTY, scale.accounts, Random(_SEED))), tally)
    taken: list[verdicts.Snapshot] = []
    with show.progress("snapshots", scale.snapshots) as progress:
        async with anyio.create_task_group() as tasks:
            crew.start(tasks, scale.writers)
            for _ in range(scale.snapshots):
                taken.append(await _read_snapshot(stage, tally))
                progress.update(len(taken))
            stop.set()
    _tell(stage, taken, len(tally.acknowledged))
    show.excerpt(snapshot_reads(stage.recorder.entries[mark:]))
    return verdicts.snapshots(verdicts.Snapshots(taken, stage.bank.opening))


def _until(stop: anyio.Event, transfers: list[Transfer]) -> Iterator[Transfer]:
    for transfer in transfers:
        if stop.is_set():
            return
        yield transfer


async def _read_snapshot(stage: Stage, tally: Tally) -> verdicts.Snapshot:
    """Take a snapshot, read it many times, and check that the data changed meanwhile."""
    bank = stage.bank
    mark = stage.recorder.mark
    async with stage.client.start_session(snapshot=True) as session:
        digits = bytes(session.session_id["id"]).hex()
        sums = [await bank.sums(_SECONDARY, session)]
        seen = len(tally.acknowledged)
        sums += [await bank.sums(_SECONDARY, session) for _ in range(stage.scale.reads - 1)]
        book = await bank.book(_SECONDARY, session)
        await until(lambda: len(tally.acknowledged) > seen, "another transfer")
    reads = [e for e in stage.recorder.entries[mark:] if e.snapshot and e.session and digits.startswith(e.session)]
    async with stage.client.start_session() as session:
        # A session that has seen what a majority has by now, so that this read is not stale by chance.
        await stage.client.admin.command("ping", session=session)
        outside = await bank.sums(_SECONDARY, session)
    return verdicts.Snapshot(sums, book, {entry.role for entry in reads}, outside)


def _tell(stage: Stage, taken: list[verdicts.Snapshot], transfers: int) -> None:
    reads = sum(len(snapshot.sums) for snapshot in taken)
    moved = [f"{s.sums[0][1]:,} -> {s.sum_outside[1]:,}" for s in taken]
    show = stage.show
    show.line(f"{len(taken)} snapshots, each read {stage.scale.reads} times ({reads} reads) on a secondary")
    show.line(f"meanwhile {stage.scale.writers} writers made {transfers:,} transfers")
    show.line(f"sum of all amounts moved, in each snapshot and after it: {'; '.join(moved)}")
