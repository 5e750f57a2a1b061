"""Transfers on two routers, one of which is killed and restarted every second: nothing is lost, nothing done twice."""

from __future__ import annotations

import random
from itertools import count

import anyio
import anyio.to_thread
import pytest

import wiredrv
from tests.support.commands import fresh_collection, watched
from tests.support.sharded_double import ShardedDouble
from wiredrv import _introspect

pytestmark = pytest.mark.anyio

#: At least this many are made, and as many more as it takes until the routers were killed this often.
TRANSFERS = 500
KILLS = 5
_WORKERS = 8
_ACCOUNTS = 20
_BALANCE = 1000
_DOWN_SECONDS = 0.3
#: The minimum seconds between the starts of two transfers, so that kills hit them on a fast machine too.
_PACE = 0.01


class Fire:
    """Kills and restarts the routers in turn, one a second, each while it has a transaction open.

    A transfer whose transaction is on the router whose turn it is kills that router: the transaction's next statement
    is then certain to reach a dead router.
    """

    def __init__(self, double: ShardedDouble) -> None:
        self._double = double
        self._target: int | None = None
        self._hit = anyio.Event()
        self.kills = 0

    async def pass_by(self, session: wiredrv.ClientSession) -> None:
        """Kill the router that the session's transaction is pinned to, if it is that router's turn."""
        number = self._target
        if number is not None and self._double.routers[number].address == _introspect.pinned_address(session):
            self._target = None
            await anyio.to_thread.run_sync(self._double.kill, number)
            self.kills += 1
            self._hit.set()

    async def burn(self) -> None:
        """Run until cancelled; no router is left down."""
        while True:
            self._hit = anyio.Event()
            self._target = number = self.kills % len(self._double.routers)
            await self._hit.wait()
            try:
                await anyio.sleep(_DOWN_SECONDS)
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(self._double.start, number)
            await anyio.sleep(1 - _DOWN_SECONDS)


class Bank:
    """Accounts and a ledger with one entry for each transfer."""

    def __init__(
        self, client: wiredrv.Client, accounts: wiredrv.Collection, ledger: wiredrv.Collection, fire: Fire
    ) -> None:
        self._client = client
        self._accounts = accounts
        self._ledger = ledger
        self._fire = fire
        self._begin = anyio.current_time()
        self._numbers = count()
        self.made: set[int] = set()
        self.acknowledged: set[int] = set()
        self.attempts = 0

    def enough(self) -> bool:
        """Whether there were enough transfers and kills."""
        return len(self.acknowledged) >= TRANSFERS and self._fire.kills >= KILLS

    async def work(self) -> None:
        """Make transfers until there are enough."""
        while not self.enough():
            number = next(self._numbers)
            self.made.add(number)
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
            await self._fire.pass_by(session)
            await self._accounts.update_one({"_id": source}, {"$inc": {"balance": -amount}}, session=session)
            await self._accounts.update_one({"_id": target}, {"$inc": {"balance": amount}}, session=session)

        async with self._client.start_session() as session:
            await session.with_transaction(move)

    async def check(self) -> None:
        """Every acknowledged transfer is in the ledger, and the balances agree with the ledger."""
        entries = await self._ledger.find({}).to_list()
        assert len(entries) == len(self.made)
        assert {entry["_id"] for entry in entries} == self.acknowledged == self.made
        expected = dict.fromkeys(range(_ACCOUNTS), _BALANCE)
        for entry in entries:
            expected[entry["from"]] -= entry["amount"]
            expected[entry["to"]] += entry["amount"]
        balances = {account["_id"]: account["balance"] for account in await self._accounts.find({}).to_list()}
        assert balances == expected
        assert sum(balances.values()) == _ACCOUNTS * _BALANCE


async def test_transfers_survive_routers_that_are_killed_every_second(sharded_double: ShardedDouble) -> None:
    """Transactions: transient errors, unknown commits and recovery tokens, all together and continuously."""
    # A router that is slow on a busy machine must still be selected: otherwise its turn might never come.
    async with watched(sharded_double.uri, localThresholdMS=60_000) as (client, log):
        accounts = await fresh_collection(client, "fire_accounts")
        ledger = await fresh_collection(client, "fire_ledger")
        await accounts.insert_many([{"_id": number, "balance": _BALANCE} for number in range(_ACCOUNTS)])
        log.clear()
        fire = Fire(sharded_double)
        bank = Bank(client, accounts, ledger, fire)
        with anyio.fail_after(120):
            async with anyio.create_task_group() as burning:
                burning.start_soon(fire.burn)
                async with anyio.create_task_group() as workers:
                    for _ in range(_WORKERS):
                        workers.start_soon(bank.work)
                burning.cancel_scope.cancel()
        commits = log.sent("commitTransaction")
        print(f"{fire.kills} kills, {bank.attempts} attempts and {len(commits)} commits for {len(bank.made)} transfers")
        assert bank.attempts >= len(bank.made) + fire.kills
        assert all("recoveryToken" in commit for commit in commits)
        await bank.check()
