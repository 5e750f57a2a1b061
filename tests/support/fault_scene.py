"""A scene behind fault proxies, and the faults that can happen to one message, with their effect on a client.

The client of a scene reaches the replica set through the proxies; what the servers store is read directly.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

import anyio
import pytest

import wiredrv
from tests.support.commands import DATABASE, CommandLog, primary_of, watched
from tests.support.fault_proxy import Direction, Fault, FaultProxies, FaultProxy, cut, hold
from tests.support.leaks import counters
from tests.support.waiting import until, until_async
from wiredrv import _introspect
from wiredrv.errors import AutoReconnect, NetworkTimeout
from wiredrv.local import ReplicaSet

#: Seconds that may pass in addition to the deadlines that a test sets: a failed server is checked again after half
#: a second, and the machine may be busy.
GRACE = 15.0
#: ``socketTimeoutMS`` when a server does not answer, in seconds.
SOCKET_TIMEOUT = 0.5
#: How many bytes of a reply arrive when it is cut: its header, and a little of what follows.
SOME = 30


@dataclass(frozen=True)
class Scene:
    """A client behind the proxies, and ``direct``, a second one that bypasses them."""

    client: wiredrv.Client
    log: CommandLog
    direct: wiredrv.Client
    proxies: FaultProxies
    accounts: wiredrv.Collection

    @property
    def primary(self) -> FaultProxy:
        """The proxy in front of the member that the client considers primary."""
        return self.proxies.before(primary_of(self.client))

    @property
    def ledger(self) -> wiredrv.Collection:
        """The collection with one document per transfer."""
        return self.client[DATABASE]["ledger"]

    def sent_elsewhere(self, proxy: FaultProxy) -> set[str]:
        """The names of the commands that were sent to other members."""
        return {event.command_name for event in self.log.started_events if event.address != proxy.address}

    async def balances(self) -> list[int]:
        """The balances on the servers, read with majority read concern."""
        accounts = self.direct[DATABASE].get_collection("accounts", read_concern=wiredrv.ReadConcern("majority"))
        return [account["balance"] async for account in accounts.find().sort("_id", 1)]

    async def lines(self) -> int:
        """How many transfers the servers have."""
        ledger = self.direct[DATABASE].get_collection("ledger", read_concern=wiredrv.ReadConcern("majority"))
        return await ledger.count_documents({})

    async def find_or_update(self, command: str) -> None:
        """Read an account, or add one to it."""
        if command == "find":
            await self.accounts.find_one({"_id": 0})
        else:
            await self.accounts.update_one({"_id": 0}, {"$inc": {"balance": 1}})

    async def transfer(self, session: wiredrv.ClientSession) -> None:
        """Move ten from the first account to the second. For ``with_transaction``."""
        await self.accounts.update_one({"_id": 0}, {"$inc": {"balance": -10}}, session=session)
        await self.accounts.update_one({"_id": 1}, {"$inc": {"balance": 10}}, session=session)
        await self.ledger.insert_one({"amount": 10}, session=session)


@asynccontextmanager
async def scene(proxies: FaultProxies, *listeners: Any, **options: Any) -> AsyncIterator[Scene]:
    """Four accounts of 100 and no transfer; at the end nothing may be left open, and the client must still work."""
    replica_set = proxies.replica_set
    async with (
        wiredrv.Client(replica_set.uri) as direct,
        watched(proxies.uri, *listeners, **{"serverSelectionTimeoutMS": 4000, **options}) as (client, log),
    ):
        await _prepare(direct[DATABASE])
        accounts = client[DATABASE]["accounts"]
        await client.admin.command("ping")
        await until(lambda: len(client.nodes) == len(proxies.members), "all members are known")
        before = await counters(replica_set)
        log.clear()
        yield Scene(client, log, direct, proxies, accounts)
        await _nothing_is_left(replica_set, client, before)
        with anyio.fail_after(GRACE):
            await accounts.update_one({"_id": 3}, {"$inc": {"visits": 1}})
            account = await accounts.find_one({"_id": 3})
            assert account is not None
            assert account["visits"] == 1, "the client works again"


async def _prepare(database: wiredrv.Database) -> None:
    existing = await database.list_collection_names()
    for name in ("accounts", "ledger"):
        if name not in existing:
            await database.create_collection(name)
        await database[name].delete_many({})
    await database["accounts"].insert_many([{"_id": number, "balance": 100} for number in range(4)])


async def _nothing_is_left(replica_set: ReplicaSet, client: wiredrv.Client, before: dict[str, dict[str, int]]) -> None:
    await until(lambda: _introspect.checked_out(client) == 0, "all connections are back")

    async def no_transaction() -> bool:
        now = await counters(replica_set)
        return all(counts["open transactions"] <= before[server]["open transactions"] for server, counts in now.items())

    await until_async(no_transaction, "no transaction is open on the servers")


@contextmanager
def taking(least: float, most: float) -> Iterator[None]:
    """Fail if the block takes fewer or more seconds than this."""
    started = monotonic()
    with anyio.fail_after(most):
        yield
    assert monotonic() - started >= least, "it ended before its deadline"


@dataclass(frozen=True)
class Spoiled:
    """A fault of one message, and the error that it causes if nothing is retried.

    ``done`` is whether the server has carried out the command.
    """

    fault: Callable[..., Fault]
    error: type[AutoReconnect]
    says: str
    done: bool

    @property
    def least(self) -> float:
        """The least number of seconds before the error."""
        return SOCKET_TIMEOUT if self.error is NetworkTimeout else 0.0

    @property
    def options(self) -> dict[str, Any]:
        """The client options with which it notices the fault."""
        return {"socketTimeoutMS": int(SOCKET_TIMEOUT * 1000)} if self.error is NetworkTimeout else {}


LATE = r"socketTimeoutMS \(500 ms\)"

SPOILED = {
    "reply cut": Spoiled(partial(cut, after=SOME), AutoReconnect, "in the middle of a reply", done=True),
    "request cut": Spoiled(
        partial(cut, after=SOME, direction=Direction.REQUEST), AutoReconnect, "closed the connection|broke", done=False
    ),
    "never answered": Spoiled(hold, NetworkTimeout, LATE, done=True),
    "never delivered": Spoiled(partial(hold, direction=Direction.REQUEST), NetworkTimeout, LATE, done=False),
}
#: For behaviour that is the same for a lost request and a lost reply.
REPLIES = ["reply cut", "never answered"]


def each(*names: str) -> pytest.MarkDecorator:
    """Run a test with each of these faults."""
    return pytest.mark.parametrize("spoiled", [SPOILED[name] for name in names], ids=names)
