"""The whole demo: the servers, the parts one after another, the verdicts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from secrets import token_hex
from time import monotonic

import anyio

import wiredrv
from demo import failover, own_writes, snapshots, transfers, verdicts
from demo.bank import Bank
from demo.ledger import Tally
from demo.scale import Scale
from demo.show import Show
from demo.stage import Part, Stage
from demo.timeline import Recorder
from wiredrv.client.client import Client
from wiredrv.client.sessions.with_transaction import leaves
from wiredrv.errors import ConfigurationError, DriverError
from wiredrv.local import ReplicaSet
from wiredrv.local.progress import progress
from wiredrv.timeline.timeline import Timeline

_DROPPED_WITHIN = 10.0  # seconds


def perform(backend: str, uri: str | None, members: int, scale: Scale, show: Show, page: Path | None = None) -> int:
    """Show everything and return the exit status: 0 if every check passed.

    :param backend: ``asyncio`` or ``trio``.
    :param uri: the deployment to use; None starts a replica set of ``members``.
    :param page: where to write the session timeline of all of it, as a page of HTML; None writes none.
    :raises ConfigurationError: the backend is not installed, or the deployment does not support transactions.
    :raises DriverError: the servers cannot be started or reached.
    """
    if find_spec(backend) is None:
        raise ConfigurationError(f"{backend} is not installed: pip install {backend}")
    try:
        return anyio.run(_perform, uri, members, scale, show, page, backend=backend)
    except BaseExceptionGroup as group:
        # Ctrl-C, as trio raises it from within task groups.
        if group.split(KeyboardInterrupt)[1] is not None:
            raise
        raise KeyboardInterrupt from None


async def _perform(uri: str | None, members: int, scale: Scale, show: Show, page: Path | None) -> int:
    began = monotonic()
    with wiredrv.record() if page is not None else nullcontext() as timeline:
        async with _stage(uri, members, scale, show) as stage:
            judged = await play(stage)
    _sum_up(judged, show, monotonic() - began)
    if timeline is not None and page is not None:
        _write(timeline, page, show)
    return verdicts.exit_status(judged)


@asynccontextmanager
async def _stage(uri: str | None, members: int, scale: Scale, show: Show) -> AsyncIterator[Stage]:
    if uri is not None:
        show.line("using the servers of --uri: nothing there is held back or killed")
        async with open_stage(uri, None, scale, show) as stage:
            yield stage
        return
    async with AsyncExitStack() as stack:
        with progress(show.line):
            deployment = await stack.enter_async_context(ReplicaSet(members, test_commands=True))
        show.line(f"the connection string is {deployment.uri}")
        async with open_stage(deployment.uri, deployment, scale, show) as stage:
            yield stage


@asynccontextmanager
async def open_stage(uri: str, deployment: ReplicaSet | None, scale: Scale, show: Show) -> AsyncIterator[Stage]:
    """Open a client and, in a database that is dropped at the end, an empty bank.

    :param deployment: the servers of ``uri``, where the demo may disturb them.
    :raises ConfigurationError: the deployment does not support transactions.
    """
    recorder = Recorder()
    async with Client(uri, event_listeners=[recorder], appName="wiredrv demo") as client:
        if not await client.supports_transactions():
            raise ConfigurationError(
                "the demo needs a replica set or a sharded cluster: a standalone has no transactions"
            )
        # A unique name, so that no existing data are changed.
        database = client[f"wiredrv_demo_{token_hex(4)}"]
        bank = Bank(database, scale.accounts, scale.opening_balance)
        try:
            yield Stage(client, database, deployment, recorder, scale, show, bank)
        finally:
            with anyio.move_on_after(_DROPPED_WITHIN, shield=True), suppress(DriverError):
                await client.drop_database(database)


async def play(stage: Stage) -> list[verdicts.Verdict]:
    """Play the parts and return the verdicts of those that could be shown."""
    tally = Tally()
    parts: tuple[tuple[str, Part], ...] = (
        (verdicts.OWN_WRITES, own_writes.play),
        (verdicts.TRANSFERS, partial(transfers.play, tally=tally)),
        (verdicts.FAILOVER, partial(failover.play, before=tally)),
        (verdicts.SNAPSHOTS, snapshots.play),
    )
    await stage.bank.open()
    judged = []
    for number, (name, part) in enumerate(parts, 1):
        stage.show.heading(f"({number}) {name}")
        began = monotonic()
        verdict = await _judge(name, part, stage)
        if verdict is not None:
            stage.show.verdict(verdict)
            stage.show.line(f"({monotonic() - began:.1f} s)")
            judged.append(verdict)
    return judged


async def _judge(name: str, part: Part, stage: Stage) -> verdicts.Verdict | None:
    """A part's verdict. An error or a timeout is a verdict too, and the parts after it are still shown."""
    limit = stage.scale.part_limit
    try:
        with anyio.fail_after(limit):
            return await part(stage)
    except TimeoutError:
        return verdicts.broken(name, f"it took longer than {limit:g} s")
    except DriverError as error:
        return verdicts.broken(name, f"{type(error).__name__}: {error}")
    except ExceptionGroup as group:
        # Errors of the part's tasks. A bug in the demo itself is not a verdict.
        if group.split(DriverError)[1] is not None:
            raise
        return verdicts.broken(name, "; ".join(f"{type(error).__name__}: {error}" for error in leaves(group)))


def _write(timeline: Timeline, page: Path, show: Show) -> None:
    try:
        timeline.html(page)
    except OSError as error:
        show.line(f"the session timeline cannot be written to {page}: {error.strerror}")
    else:
        show.line(f"every command of it is in the session timeline, a page for a browser: {page}")


def _sum_up(judged: list[verdicts.Verdict], show: Show, seconds: float) -> None:
    show.heading("all that was shown holds" if verdicts.exit_status(judged) == 0 else "something does not hold")
    for verdict in judged:
        for check in verdict.failed:
            show.check(verdicts.Check(f"{verdict.part}: {check.says}", False, check.detail))
    show.line(f"{sum(len(verdict.checks) for verdict in judged)} checks in {seconds:.1f} s")
