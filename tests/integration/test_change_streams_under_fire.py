"""Change streams while the primary is killed and frozen: each gives exactly what is in the oplog, in its order.

``make test`` runs some hundred events and two faults; ``make streams`` runs 10,000 events and eight faults.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from time import monotonic
from typing import Any

import anyio
import anyio.to_thread
import pytest
from bson.timestamp import Timestamp

import wiredrv
from tests.support.waiting import until
from wiredrv import _introspect
from wiredrv.errors import DriverError
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

EVENTS = int(os.environ.get("WIREDRV_STREAM_EVENTS", "400"))
FAULTS = 2 if EVENTS < 5_000 else 8
#: Seconds that a run may take on a busy machine.
_PATIENCE = 120 + EVENTS / 25
_WRITERS = 8
#: Seconds that a frozen primary stays frozen after the others have elected another one.
_STAYS_FROZEN = 1.0
_END = "end"
#: A frozen server is noticed after both.
_WATCHFUL: dict[str, Any] = {"heartbeatFrequencyMS": 500, "connectTimeoutMS": 1000, "serverSelectionTimeoutMS": 30_000}
_OPERATIONS = {"insert": "i", "update": "u", "replace": "u", "delete": "d"}

#: When something was changed, how, and the ``_id`` of the document.
Change = tuple[Timestamp, str, Any]
Reader = Callable[["Scene", list[Change]], Any]


class Scene:
    """A collection that is written to, until there are enough events and faults."""

    def __init__(self, replica_set: ReplicaSet, writer: wiredrv.Client, reader: wiredrv.Client, name: str) -> None:
        self.replica_set = replica_set
        self.writer = writer
        self.reader = reader
        self.written = writer.under_fire[name]
        self.read = reader.under_fire[name]
        self.numbers = count()
        self.changes = 0
        self.faults = 0
        self.opened = 0

    # --- writing ---

    async def write(self) -> None:
        """Write documents of all kinds; what a fault interrupts is left as it is."""
        while self.changes < EVENTS or self.faults < FAULTS:
            try:
                self.changes += await self._write_some(next(self.numbers))
            except DriverError:
                await anyio.sleep(0.05)

    async def _write_some(self, number: int) -> int:
        written = self.written
        match number % 5:
            case 0:
                await written.insert_many([{"_id": (number + part) * 10} for part in (0.1, 0.2, 0.3)])
                return 3
            case 1:
                async with self.writer.start_session() as session, session.start_transaction():
                    await written.insert_one({"_id": number}, session=session)
                    await written.update_one({"_id": number}, {"$set": {"in": "transaction"}}, session=session)
                return 2
            case 2:
                await written.replace_one({"_id": number}, {"replaced": True}, upsert=True)
                await written.delete_one({"_id": number})
                return 2
            case _:
                await written.insert_one({"_id": number})
                await written.update_one({"_id": number}, {"$inc": {"n": 1}})
                return 2

    # --- faults ---

    async def disturb(self) -> None:
        """Kill and freeze the primary in turn, each after as many changes as those before."""
        while self.faults < FAULTS:
            await until(self._is_time_for_a_fault, "it is time for the next fault", _PATIENCE)
            await anyio.to_thread.run_sync(self._fault, self.faults % 2 == 0)
            self.faults += 1

    def _is_time_for_a_fault(self) -> bool:
        return self.changes >= EVENTS * (self.faults + 1) / (FAULTS + 1)

    def _fault(self, kill: bool) -> None:
        primary = self.replica_set.primary(30)
        if kill:
            primary.kill()
        else:
            primary.freeze()
        elected = monotonic() + 30
        while monotonic() < elected:
            others = [member for member in self.replica_set.members if member is not primary]
            if any(member.hello().get("ismaster") for member in others):
                break
        if not kill:
            anyio.run(anyio.sleep, _STAYS_FROZEN)
        self.replica_set.heal()

    # --- what was changed, according to the server ---

    async def oplog(self, since: Timestamp) -> list[Change]:
        """The changes of the collection in the primary's oplog."""
        entries = self.writer.local["oplog.rs"].with_options(read_concern=wiredrv.ReadConcern("majority"))
        found: list[Change] = []
        async for entry in entries.find({"ts": {"$gte": since}}).sort("$natural", 1):
            operations = entry["o"].get("applyOps", ()) if entry["op"] == "c" else (entry,)
            for one in operations:
                if one.get("ns") == self.written.full_name and one["op"] in "iud":
                    found.append((entry["ts"], one["op"], one.get("o2", one["o"])["_id"]))
        return found


def _change(event: Mapping[str, Any]) -> Change:
    return event["clusterTime"], _OPERATIONS[event["operationType"]], event["documentKey"]["_id"]


# --- ways to read a stream --------------------------------------------------------------------------------------------


async def iterated(scene: Scene, seen: list[Change]) -> None:
    """One stream, read with ``async for``."""
    async with scene.read.watch() as stream:
        scene.opened += 1
        async for event in stream:
            seen.append(_change(event))
            if seen[-1][2] == _END:
                return


async def with_deadlines(scene: Scene, seen: list[Change]) -> None:
    """One stream in a session of its own; each wait for an event is cancelled after a short time."""
    async with scene.reader.start_session() as session, scene.read.watch(session=session) as stream:
        scene.opened += 1
        while not seen or seen[-1][2] != _END:
            with anyio.move_on_after(0.4):
                while not seen or seen[-1][2] != _END:
                    event = await stream.next()
                    seen.append(_change(event))


async def reopened(scene: Scene, seen: list[Change]) -> None:
    """Streams of the database, one after the other: each continues at the token of the one before."""
    token: Mapping[str, Any] | None = None
    while not seen or seen[-1][2] != _END:
        until = len(seen) + 60
        async with scene.reader.under_fire.watch(resume_after=token, batch_size=7, max_await_time_ms=50) as stream:
            scene.opened += token is None
            while len(seen) < until and (not seen or seen[-1][2] != _END):
                event = await stream.try_next()
                token = stream.resume_token
                if event is not None and event["ns"]["coll"] == scene.read.name:
                    seen.append(_change(event))


READERS: Sequence[Reader] = (iterated, with_deadlines, reopened)


def _difference(expected: list[Change], seen: list[Change]) -> str:
    lost, doubled = set(expected) - set(seen), len(seen) - len(set(seen))
    place = next((n for n, pair in enumerate(zip(expected, seen, strict=False)) if pair[0] != pair[1]), None)
    return f"{len(lost)} lost, {doubled} given twice, {len(set(seen) - set(expected))} made up; first at {place}"


async def test_no_event_is_lost_or_doubled_while_the_primary_is_killed_and_frozen(
    disturbed_replica_set: ReplicaSet, anyio_backend: str
) -> None:
    """Three streams that are read in different ways, beside one another. Change-streams specification, "Resume"."""
    replica_set = disturbed_replica_set
    async with (
        wiredrv.Client(replica_set.uri, w="majority", **_WATCHFUL) as writer,
        wiredrv.Client(replica_set.uri, **_WATCHFUL) as reader,
    ):
        name = f"changes_{anyio_backend}"
        await writer.under_fire.drop_collection(name)
        await writer.under_fire.create_collection(name)
        scene = Scene(replica_set, writer, reader, name)
        begin = (await writer.admin.command("hello"))["operationTime"]
        seen: dict[str, list[Change]] = {read.__name__: [] for read in READERS}
        with anyio.fail_after(_PATIENCE):
            async with anyio.create_task_group() as reading:
                for read in READERS:
                    reading.start_soon(read, scene, seen[read.__name__])
                await until(lambda: scene.opened == len(READERS), "all streams are open")
                async with anyio.create_task_group() as writing:
                    writing.start_soon(scene.disturb)
                    for _ in range(_WRITERS):
                        writing.start_soon(scene.write)
                await scene.written.insert_one({"_id": _END})
            expected = await scene.oplog(begin)
            # On a frozen server a cursor stays until it expires there; here nothing is left.
            await until(lambda: _introspect.checked_out(reader) == 0, "all connections are back")
        print(f"{len(expected)} changes, {scene.faults} faults")
        assert len(expected) >= EVENTS
        for how, found in seen.items():
            assert found == expected, f"{how}: {_difference(expected, found)}"
