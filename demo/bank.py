"""Accounts, a ledger, and workers who transfer between accounts in transactions.

A transfer changes two balances and writes its ledger entry in one transaction. What the driver says about its outcome
is kept in a :class:`~demo.ledger.Tally`; what the database holds is read as a :class:`~demo.ledger.Book`. This module
does not compare the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import anyio
from anyio.abc import TaskGroup
from bson import ObjectId

from demo.ledger import Book, Fate, Tally, Transfer
from wiredrv.client.client import Client
from wiredrv.client.database import Database
from wiredrv.client.sessions.client_session import ClientSession
from wiredrv.client.sessions.with_transaction import RetryPolicy
from wiredrv.concerns import ReadConcern, ReadPreference, WriteConcern
from wiredrv.errors import DriverError, OperationFailure
from wiredrv.server_facts import ErrorCode
from wiredrv.types import Document, PlainDocument

_MAJORITY = WriteConcern("majority")
_SNAPSHOT = ReadConcern("snapshot")
_RETRIES_FOR = 60.0  # seconds
_CALLS = 3
_TOTALS = [{"$group": {"_id": None, "sum": {"$sum": "$balance"}}}]
_MOVED = [{"$group": {"_id": None, "sum": {"$sum": "$amount"}}}]


class Bank:
    """The two collections. ``opening`` is what each account holds in the beginning."""

    def __init__(self, database: Database, accounts: int, opening_balance: int) -> None:
        self._client: Client = database.client
        self._accounts = database.get_collection("accounts", write_concern=_MAJORITY)
        self._ledger = database.get_collection("ledger", write_concern=_MAJORITY)
        self.opening: Mapping[int, int] = dict.fromkeys(range(accounts), opening_balance)

    async def open(self) -> None:
        """Create the collections and the accounts."""
        await self._ledger.database.create_collection("ledger")
        await self._accounts.insert_many(
            [{"_id": account, "balance": balance} for account, balance in self.opening.items()]
        )

    async def transfer(self, transfer: Transfer, tally: Tally, halfway: Callable[[], object] | None = None) -> None:
        """Make a transfer exactly once, retrying after conflicts, and record its outcome.

        An error may leave open whether the transfer took place (a commit got no reply, or one that does not confirm a
        majority). Then it is looked up by its id, and made again only if it is not found.

        :param halfway: called in every attempt between the change of the first balance and that of the second.
        :raises DriverError: it kept failing.
        """
        tally.ordered[transfer.id] = transfer
        for calls_left in reversed(range(_CALLS)):
            try:
                await self._call(transfer, tally, halfway)
                break
            except DriverError as error:
                tally.doubts[_reason(error)] += 1
                tally.fates[transfer.id] = Fate.UNKNOWN
                tally.resolved.pop(transfer.id, None)
                if await self.resolve(transfer, tally):
                    break
                if not calls_left:
                    raise
        tally.acknowledged.add(transfer.id)

    async def _call(self, transfer: Transfer, tally: Tally, halfway: Callable[[], object] | None) -> None:
        async def attempt(session: ClientSession) -> None:
            for hook, fate in (
                (session.on_commit, Fate.COMMITTED),
                (session.on_abort, Fate.ABORTED),
                (session.on_unknown, Fate.UNKNOWN),
            ):
                hook(partial(tally.fates.__setitem__, transfer.id, fate))
            await self._change(transfer.source, -transfer.amount, session)
            if halfway is not None:
                halfway()
            await self._change(transfer.target, transfer.amount, session)
            await self._ledger.insert_one(_as_document(transfer), session=session)

        policy = RetryPolicy(timeout=_RETRIES_FOR, on_retry=lambda _, error: _count(tally, error))
        async with self._client.start_session() as session:
            await session.with_transaction(attempt, _SNAPSHOT, _MAJORITY, retry=policy)

    async def _change(self, account: int, amount: int, session: ClientSession) -> None:
        await self._accounts.update_one({"_id": account}, {"$inc": {"balance": amount}}, session=session)

    async def resolve(self, transfer: Transfer, tally: Tally) -> bool:
        """Find out whether a transfer took place when the outcome of its commit is unknown.

        This writes both of its accounts in a new transaction. While the old transaction is still open it locks them,
        and the new one is retried; once the new one is committed by a majority, the outcome of the old one can no
        longer change, and what was read is final.
        """

        async def look(session: ClientSession) -> bool:
            for account in (transfer.source, transfer.target):
                # A unique value: a write that changes nothing would not count as a write.
                change = {"$set": {"looked_up": ObjectId()}}
                await self._accounts.update_one({"_id": account}, change, session=session)
            return await self._ledger.find_one({"transfer": transfer.id}, session=session) is not None

        deadline = anyio.current_time() + _RETRIES_FOR
        while True:
            try:
                async with self._client.start_session() as session:
                    policy = RetryPolicy(timeout=_RETRIES_FOR)
                    present = await session.with_transaction(look, _SNAPSHOT, _MAJORITY, retry=policy)
            except DriverError:
                # Looking a transfer up changes nothing that matters, so it may be repeated.
                if anyio.current_time() >= deadline:
                    raise
                continue
            tally.resolved[transfer.id] = present
            return present

    async def resolve_all(self, tally: Tally) -> None:
        """Resolve every transfer whose outcome is unknown."""
        for number in sorted(tally.unsettled()):
            await self.resolve(tally.ordered[number], tally)

    async def book(self, preference: ReadPreference | None = None, session: ClientSession | None = None) -> Book:
        """Everything that the two collections hold.

        :param preference: the read preference; None reads from the primary.
        :param session: a snapshot session, to read one point in time; without one, the read concern is majority.
        """
        concern = None if session is not None else ReadConcern("majority")
        accounts = self._accounts.with_options(read_preference=preference, read_concern=concern)
        ledger = self._ledger.with_options(read_preference=preference, read_concern=concern)
        balances = {found["_id"]: found["balance"] async for found in accounts.find({}, session=session)}
        entries = [_as_transfer(found) async for found in ledger.find({}, session=session)]
        return Book(balances, tuple(entries))

    async def sums(self, preference: ReadPreference, session: ClientSession | None) -> tuple[int, int]:
        """The total of all balances, and that of all amounts in the ledger."""
        totals = []
        for collection, pipeline in ((self._accounts, _TOTALS), (self._ledger, _MOVED)):
            reader = collection.with_options(read_preference=preference)
            found = await (await reader.aggregate(pipeline, session=session)).to_list()
            totals.append(found[0]["sum"] if found else 0)
        return totals[0], totals[1]


def _as_document(transfer: Transfer) -> PlainDocument:
    return {
        "transfer": transfer.id,
        "source": transfer.source,
        "target": transfer.target,
        "amount": transfer.amount,
    }


def _as_transfer(found: Document) -> Transfer:
    return Transfer(found["transfer"], found["source"], found["target"], found["amount"])


def _count(tally: Tally, error: BaseException) -> None:
    if isinstance(error, OperationFailure) and error.code == ErrorCode.WriteConflict:
        tally.conflicts += 1
    else:
        tally.other_retries[_reason(error)] += 1


def _reason(error: BaseException) -> str:
    return (error.code_name if isinstance(error, OperationFailure) else None) or type(error).__name__


class Crew:
    """Workers who share a list of transfers, each taking the next one when it has finished one."""

    def __init__(self, bank: Bank, transfers: Iterator[Transfer], tally: Tally) -> None:
        self._bank = bank
        self._transfers = transfers
        self._tally = tally
        self._in_flight: set[int] = set()
        self.cancelled_workers = 0

    @property
    def in_flight(self) -> int:
        """How many transfers are under way."""
        return len(self._in_flight)

    def start(self, tasks: TaskGroup, workers: int) -> None:
        """Start this many workers."""
        for number in range(1, workers + 1):
            tasks.start_soon(self.work, None, None, name=f"worker {number}")

    async def work(self, scope: anyio.CancelScope | None, halfway: Callable[[], object] | None) -> None:
        """Run one worker, until there is nothing left to do or ``scope`` is cancelled."""
        with scope or anyio.CancelScope() as cancelled:
            for transfer in self._transfers:
                await self._make(transfer, halfway)
        self.cancelled_workers += cancelled.cancelled_caught

    async def _make(self, transfer: Transfer, halfway: Callable[[], object] | None) -> None:
        self._in_flight.add(transfer.id)
        try:
            await self._bank.transfer(transfer, self._tally, halfway)
        except DriverError as error:
            self._tally.failures[transfer.id] = f"{type(error).__name__}: {error}"
        except anyio.get_cancelled_exc_class():
            self._tally.cancelled.add(transfer.id)
            raise
        finally:
            self._in_flight.discard(transfer.id)
