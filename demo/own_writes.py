"""Part 1: write on the primary, read your own write from a secondary, with and without a session.

Where the demo may disturb the servers, it holds replication back on one secondary: then a read there that does not wait
is certainly stale, and one that waits can be seen waiting. Elsewhere it reads back many writes and counts the stale
reads.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import anyio

from demo import verdicts
from demo.excerpts import causal_read
from demo.stage import Stage, ask_member, until
from wiredrv.client.collection import Collection as Documents
from wiredrv.concerns import ReadPreference, WriteConcern
from wiredrv.errors import OperationFailure
from wiredrv.server_facts import ErrorCode
from wiredrv.types import PlainDocument

#: Stops a secondary from applying what it has fetched. One of the servers' own fail points.
_FAIL_POINT = "rsSyncApplyStop"
_TAG = {"demo": "held-back"}
_HELD_BACK = ReadPreference("secondary", [_TAG])
_READ_EVERY = 0.005  # seconds
_AGREED_WITHIN = 15.0  # seconds
_LOOKS_EVERY = 0.05  # seconds
_CONFIG_BUSY = frozenset({ErrorCode.ConfigurationInProgress, ErrorCode.CurrentConfigNotCommittedYet})


async def play(stage: Stage) -> verdicts.Verdict | None:
    """Show and judge the first part."""
    mark = stage.recorder.mark
    if stage.deployment is not None:
        facts = await _held_back(stage)
        _tell_held_back(stage, facts)
    elif stage.client.topology.secondaries:
        facts = await _as_it_comes(stage)
        stage.show.line(
            f"{len(facts.written)} writes read back from a secondary: in a session all "
            f"{sum(a == b for a, b in zip(facts.written, facts.causal, strict=True))} seen, "
            f"without one {facts.stale} not"
        )
    else:
        stage.show.line("left out: no secondary is known here")
        return None
    stage.show.excerpt(causal_read(stage.recorder.entries[mark:]))
    return verdicts.own_writes(facts)


def _tell_held_back(stage: Stage, facts: verdicts.OwnWrites) -> None:
    assert facts.released is not None
    held = facts.released - facts.began
    show = stage.show
    show.line(f"replication to one secondary was held back for {held:.2f} s after a write")
    show.line(f"without a session: {facts.stale + facts.fresh:,} reads there meanwhile, {facts.stale:,} of them stale")
    show.line(
        f"in the session: one read there, which waited {facts.ended - facts.began:.3f} s "
        f"and came back {(facts.ended - facts.released) * 1000:.0f} ms after the release"
    )


# --- with replication held back -------------------------------------------------------------------------------------


async def _held_back(stage: Stage) -> verdicts.OwnWrites:
    own = stage.database.get_collection("own_writes", write_concern=WriteConcern("majority"))
    behind = own.with_options(read_preference=_HELD_BACK)
    watch = _Watch()
    causal: list[int | None] = []
    async with _tagged_secondary(stage) as held, stage.client.start_session() as session:
        # This read waits until the secondary has the document, so that it is known what a stale read returns.
        await own.insert_one({"_id": "page", "edition": 1}, session=session)
        await behind.find_one({"_id": "page"}, session=session)
        async with _replication_stopped(stage, held, watch), anyio.create_task_group() as tasks:
            await own.update_one({"_id": "page"}, {"$set": {"edition": 2}}, session=session)
            watch.began = monotonic()
            tasks.start_soon(_read_without_session, behind, watch)
            tasks.start_soon(_release_later, stage, held, watch)
            causal.append(_edition(await behind.find_one({"_id": "page"}, session=session)))
            watch.ended = monotonic()
            watch.done = True
    return verdicts.OwnWrites((2,), causal, watch.began, watch.ended, watch.released, watch.stale, watch.fresh)


class _Watch:
    """What the tasks of this part share."""

    def __init__(self) -> None:
        self.began = self.ended = 0.0
        self.released: float | None = None
        self.stale = self.fresh = 0
        self.done = False


async def _read_without_session(behind: Documents, watch: _Watch) -> None:
    while not watch.done:
        found = _edition(await behind.find_one({"_id": "page"}))
        # A read that overlaps the release may see either.
        if watch.released is None:
            if found == 2:
                watch.fresh += 1
            else:
                watch.stale += 1
        await anyio.sleep(_READ_EVERY)


async def _release_later(stage: Stage, held: str, watch: _Watch) -> None:
    await anyio.sleep(stage.scale.hold)
    # On a busy machine the first read may take longer than that.
    await until(lambda: watch.stale + watch.fresh > 0, "a read without a session")
    watch.released = monotonic()
    await _set_fail_point(stage, held, "off")


@asynccontextmanager
async def _replication_stopped(stage: Stage, held: str, watch: _Watch) -> AsyncIterator[None]:
    """Hold replication back on one member. Whatever happens in the block, it is released in the end."""
    try:
        reply = await _set_fail_point(stage, held, "alwaysOn")
        wait = {"waitForFailPoint": _FAIL_POINT, "timesEntered": reply["count"] + 1, "maxTimeMS": 10_000}
        await ask_member(stage, held, wait, timeout=15.0)
        yield
    finally:
        if watch.released is None:
            with anyio.CancelScope(shield=True):
                await _set_fail_point(stage, held, "off")


async def _set_fail_point(stage: Stage, address: str, mode: str) -> Any:
    return await ask_member(stage, address, {"configureFailPoint": _FAIL_POINT, "mode": mode}, timeout=10.0)


@asynccontextmanager
async def _tagged_secondary(stage: Stage) -> AsyncIterator[str]:
    """Tag one secondary for the block, so that reads can be sent to it alone; yields its address."""
    client = stage.client
    await client.admin.command("ping")
    await until(lambda: len(client.topology.secondaries) >= 2, "the discovery of the secondaries")
    address = min(client.topology.secondaries, key=str)
    await _tag(stage, str(address), _TAG)
    try:
        description = f"the news that {address} has a tag"
        await until(lambda: dict(client.topology_description.servers[address].tags) == _TAG, description)
        yield str(address)
    finally:
        with anyio.CancelScope(shield=True):
            await _tag(stage, str(address), {})


async def _tag(stage: Stage, address: str, tags: dict[str, str]) -> None:
    admin = stage.client.admin
    deadline = monotonic() + _AGREED_WITHIN
    while True:
        config = (await admin.command("replSetGetConfig"))["config"]
        config["version"] += 1
        for member in config["members"]:
            if member["host"] == address:
                member["tags"] = tags
        try:
            await admin.command({"replSetReconfig": config})
            return
        except OperationFailure as error:
            # A new set is still agreeing on its first configuration.
            if error.code not in _CONFIG_BUSY or monotonic() > deadline:
                raise
        await anyio.sleep(_READ_EVERY)


# --- on servers that the demo did not start -------------------------------------------------------------------------


async def _as_it_comes(stage: Stage) -> verdicts.OwnWrites:
    """Read many writes back immediately. How many plain reads are stale is chance; the session's must not be."""
    own = stage.database.get_collection("own_writes", write_concern=WriteConcern("majority"))
    behind = own.with_options(read_preference=ReadPreference.SECONDARY)
    written = range(1, stage.scale.rounds + 1)
    causal: list[int | None] = []
    stale = 0
    began = monotonic()
    async with stage.client.start_session() as session:
        for edition in written:
            change = {"$set": {"edition": edition}}
            await own.update_one({"_id": "page"}, change, upsert=True, session=session)
            stale += _edition(await behind.find_one({"_id": "page"})) != edition
            causal.append(_edition(await behind.find_one({"_id": "page"}, session=session)))
    return verdicts.OwnWrites(written, causal, began, monotonic(), None, stale, len(written) - stale)


def _edition(found: PlainDocument | None) -> int | None:
    return None if found is None else found["edition"]
