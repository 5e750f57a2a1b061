"""The referee: sets up the collections before a measurement and checks what the server holds after it.

It is PyMongo's synchronous client in the parent process, whichever contender is measured, so none checks itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo import MongoClient
from pymongo.collection import Collection

from benchmarks.workload import (
    DATABASE,
    STOCK_SIZE,
    Document,
    Operation,
    WrongResult,
    account_pair,
    stock_document,
)

STOCK = "stock"


class Referee:
    """Prepares and verifies on the deployment at `uri`.

    Use it as a context manager: it drops the benchmark's database at both ends.
    """

    def __init__(self, uri: str) -> None:
        self.client: MongoClient[Document] = MongoClient(uri)
        self.database = self.client[DATABASE]

    def __enter__(self) -> Referee:
        self.client.drop_database(DATABASE)
        self.database[STOCK].insert_many([stock_document(number) for number in range(STOCK_SIZE)])
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.client.drop_database(DATABASE)
        self.client.close()

    @property
    def primary(self) -> tuple[str, int]:
        """Host and port of the server that takes the writes."""
        address = self.client.address
        if address is None:
            raise RuntimeError("the deployment has no primary")
        return address[0], address[1] or 27017

    @property
    def server_version(self) -> str:
        version: str = self.client.server_info()["version"]
        return version

    def prepare(self, operation: Operation, concurrency: int) -> str:
        """The name of a collection that is ready for `operation`: created, and holding what it needs."""
        if operation == "find_one":
            return STOCK
        collection = self.database[operation]
        collection.drop()
        self.database.create_collection(collection.name)
        if operation == "transaction":
            keys = [key for worker in range(concurrency) for key in account_pair(worker)]
            collection.insert_many([{"_id": key, "n": 0} for key in keys])
        return collection.name

    def verify(self, operation: Operation, performed: Sequence[int]) -> None:
        """Raise WrongResult unless the server holds exactly what the workers did, `performed` times each."""
        if operation == "insert_one":
            check_inserts(self._inserted(self.database[operation]), performed)
        elif operation == "transaction":
            balances = {account["_id"]: account["n"] for account in self.database[operation].find()}
            check_balances(balances, performed)

    @staticmethod
    def _inserted(collection: Collection[Document]) -> dict[int, tuple[int, int, int]]:
        totals: dict[str, Any] = {"count": {"$sum": 1}, "sum": {"$sum": "$sequence"}, "last": {"$max": "$sequence"}}
        groups = collection.aggregate([{"$group": {"_id": "$worker", **totals}}])
        return {group["_id"]: (group["count"], group["sum"], group["last"]) for group in groups}


def check_inserts(found: dict[int, tuple[int, int, int]], performed: Sequence[int]) -> None:
    """Each worker inserted the sequence 0, 1, 2… without a gap: `found` is its count, sum and last number."""
    wanted = {worker: (times, times * (times - 1) // 2, times - 1) for worker, times in enumerate(performed)}
    _compare("inserted (count, sum, last) by worker", found, wanted)


def check_balances(found: dict[int, int], performed: Sequence[int]) -> None:
    """Each transaction took 1 from its worker's first account and gave it to the second."""
    wanted: dict[int, int] = {}
    for worker, times in enumerate(performed):
        giver, taker = account_pair(worker)
        wanted |= {giver: -times, taker: times}
    _compare("balances by account", found, wanted)


def _compare(what: str, found: dict[int, Any], wanted: dict[int, Any]) -> None:
    wrong = {key: (found.get(key), wanted.get(key)) for key in found | wanted if found.get(key) != wanted.get(key)}
    if wrong:
        raise WrongResult(f"{what}: {len(wrong)} differ, as (found, wanted): {dict(list(wrong.items())[:3])}")
