"""A bank under transfers: whoever reads one moment, in whatever process and on whatever member, finds the same sums."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import anyio.to_thread
import pytest

import wiredrv
from tests.support.commands import watched
from tests.support.scans import many_ranges
from wiredrv import ReadPreference
from wiredrv.client.snapshots.snapshot import Snapshot
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

DATABASE = "wiredrv_snapshot_bank"
ACCOUNTS = 200
BALANCE = 1000
ROUNDS = 4


async def transfer(client: wiredrv.Client, chance: random.Random) -> None:
    """Move money from one account to another, in a transaction."""
    accounts = client[DATABASE].accounts
    source, target = chance.sample(range(ACCOUNTS), 2)
    amount = chance.randrange(1, 50)

    async def move(session: wiredrv.ClientSession) -> None:
        await accounts.update_one({"_id": source}, {"$inc": {"balance": -amount}}, session=session)
        await accounts.update_one({"_id": target}, {"$inc": {"balance": amount}}, session=session)

    async with client.start_session() as session:
        await session.with_transaction(move)


async def of_session(snap: Snapshot, client: wiredrv.Client, preference: ReadPreference) -> dict[int, int]:
    accounts = client[DATABASE].get_collection("accounts", read_preference=preference)
    async with snap.start_session() as session:
        return {found["_id"]: found["balance"] async for found in accounts.find({}, batch_size=50, session=session)}


async def of_scan(snap: Snapshot, client: wiredrv.Client, readers: int) -> dict[int, int]:
    scan = snap.scan(client[DATABASE].accounts, readers=readers, batch_size=7, read_preference=ReadPreference.NEAREST)
    return {found["_id"]: found["balance"] async for batch in scan for found in batch}


async def of_process(snap: Snapshot, uri: str) -> dict[int, int]:
    program = [sys.executable, "-m", "wiredrv", "export", uri, f"{DATABASE}.accounts", "--token", snap.token]
    found = await anyio.to_thread.run_sync(partial(subprocess.run, program, capture_output=True, check=True))
    documents = [json.loads(line) for line in found.stdout.splitlines()]
    return {document["_id"]: document["balance"] for document in documents}


async def test_every_reader_of_a_moment_finds_the_same_bank(replica_set: ReplicaSet) -> None:
    async with watched(replica_set) as (client, _), wiredrv.Client(replica_set.uri) as other:
        await client.drop_database(DATABASE)
        await client[DATABASE].accounts.insert_many([{"_id": n, "balance": BALANCE} for n in range(ACCOUNTS)])
        moments: list[dict[int, int]] = []
        transfers = 0

        async def keep_transferring(seed: int) -> None:
            nonlocal transfers
            chance = random.Random(seed)
            while True:
                await transfer(client, chance)
                transfers += 1

        async def read(reader: Callable[[], Awaitable[dict[int, int]]], found: list[dict[int, int]]) -> None:
            found.append(await reader())

        async with anyio.create_task_group() as bank:
            for seed in range(4):
                bank.start_soon(keep_transferring, seed)
            with many_ranges():
                for _ in range(ROUNDS):
                    found: list[dict[int, int]] = []
                    before = transfers
                    async with client.snapshot() as snap, other.snapshot(snap.token) as same:
                        readers: list[Callable[[], Awaitable[dict[int, int]]]] = [
                            partial(of_session, snap, client, ReadPreference.PRIMARY),
                            partial(of_session, same, other, ReadPreference.SECONDARY),
                            partial(of_scan, snap, client, 1),
                            partial(of_scan, snap, client, 4),
                            partial(of_scan, same, other, 3),
                            partial(of_process, snap, replica_set.uri),
                        ]
                        async with anyio.create_task_group() as tasks:
                            for reader in readers:
                                tasks.start_soon(read, reader, found)
                    assert transfers > before
                    assert len(found) == len(readers)
                    assert all(one == found[0] for one in found)
                    assert sum(found[0].values()) == ACCOUNTS * BALANCE
                    moments.append(found[0])
            bank.cancel_scope.cancel()
        assert len({tuple(sorted(moment.items())) for moment in moments}) == ROUNDS
        await client.drop_database(DATABASE)
