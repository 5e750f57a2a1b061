"""Money moves on two routers, one of which is killed and restarted every second: nothing is lost, nothing doubled."""

from __future__ import annotations

import random
from collections.abc import Callable

import anyio
import anyio.to_thread
import pytest

import wiredrv
from tests.support.commands import fresh_collection, watched
from tests.support.sharded_double import ShardedDouble

pytestmark = pytest.mark.anyio

TRANSFERS = 500
_WORKERS = 8
_ACCOUNTS = 20
_BALANCE = 1000
_DOWN_SECONDS = 0.3
#: Seconds between the beginnings of two transfers at least, so that a fast machine is under fire too.
_PACE = 0.01


class Bank:
    """Accounts and a ledger with one entry for each transfer."""

    def __init__(self, client: wiredrv.Client, accounts: wiredrv.Collection, ledger: wiredrv.Collection) -> None:
        self._client = client
        self._accounts = accounts
        self._ledger = ledger
        self._begin = anyio.current_time()
        self._next = iter(range(TRANSFERS))
        self.acknowledged: set[int] = set()
        self.attempts = 0

    async def work(self) -> None:
        """Make transfers until none is left."""
        for number in self._next:
            await anyio.sleep_until(self._begin + number * _PACE)
            chance = random.Random(number)
            source, target = chance.sample(range(_ACCOUNTS), 2)
            await self._transfer(number, source, target, chance.randint(1, 9))
            self.acknowledged.add(number)

    async def _transfer(self, number: int, source: int, target: int, amount: int) -> None:
        async def move(session: wiredrv.ClientSession) -> None:
            self.attempts += 1
            entry = {"_id": number, "from": source, "to": target, "amount": amount}
            await self._ledger.insert_one(entry, session=session)
            await self._accounts.update_one({"_id": source}, {"$inc": {"balance": -amount}}, session=session)
            await self._accounts.update_one({"_id": target}, {"$inc": {"balance": amount}}, session=session)

        async with self._client.start_session() as session:
            await session.with_transaction(move)

    async def check(self) -> None:
        """Every acknowledged transfer is in the ledger, and the balances are what the ledger makes of them."""
        entries = await self._ledger.find({}).to_list()
        assert {entry["_id"] for entry in entries} == self.acknowledged == set(range(TRANSFERS))
        expected = dict.fromkeys(range(_ACCOUNTS), _BALANCE)
        for entry in entries:
            expected[entry["from"]] -= entry["amount"]
            expected[entry["to"]] += entry["amount"]
        balances = {account["_id"]: account["balance"] for account in await self._accounts.find({}).to_list()}
        assert balances == expected
        assert sum(balances.values()) == _ACCOUNTS * _BALANCE


async def _fire(double: ShardedDouble, finished: Callable[[], bool]) -> int:
    """Kill and restart one router after the other, one a second. Returns how often."""
    kills = 0
    while not finished():
        number = kills % len(double.routers)
        await anyio.to_thread.run_sync(double.kill, number)
        kills += 1
        try:
            await anyio.sleep(_DOWN_SECONDS)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(double.start, number)
        await anyio.sleep(1 - _DOWN_SECONDS)
    return kills


async def test_transfers_survive_routers_that_are_killed_every_second(sharded_double: ShardedDouble) -> None:
    """Transactions: transient errors, unknown commits and recovery tokens, together and all the time."""
    async with watched(sharded_double.uri) as (client, log):
        accounts = await fresh_collection(client, "fire_accounts")
        ledger = await fresh_collection(client, "fire_ledger")
        await accounts.insert_many([{"_id": number, "balance": _BALANCE} for number in range(_ACCOUNTS)])
        log.clear()
        bank = Bank(client, accounts, ledger)
        with anyio.fail_after(120):
            async with anyio.create_task_group() as tasks:
                for _ in range(_WORKERS):
                    tasks.start_soon(bank.work)
                kills = await _fire(sharded_double, lambda: len(bank.acknowledged) == TRANSFERS)
        commits = log.sent("commitTransaction")
        print(f"{kills} kills, {bank.attempts} attempts and {len(commits)} commits for {TRANSFERS} transfers")
        assert kills >= 3, "there was hardly any fire"
        assert bank.attempts > TRANSFERS
        assert all("recoveryToken" in commit for commit in commits)
        await bank.check()
