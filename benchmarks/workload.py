"""What is measured: the documents, the three operations, and what each of them must answer.

Rules kept here:

* Nothing here depends on a driver or a clock; a contender is used only through ``OpenClient``.
* Every single result is compared with what it must be; the comparison is part of the measured loop, and the same for
  all contenders.
* No two workers touch the same document in a transaction, so that no conflict is measured.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, Protocol, get_args

from bson import ObjectId

Document = dict[str, Any]
Operation = Literal["find_one", "insert_one", "transaction"]
Step = Callable[[int, int], Awaitable[None]]
"""One operation of one worker: called with the worker's number and that worker's count of operations so far."""

OPERATIONS: tuple[Operation, ...] = get_args(Operation)
DATABASE = "wiredrv_bench"
STOCK_SIZE = 1000


class WrongResult(AssertionError):
    """A contender answered, but not with what the workload must return."""


class OpenClient(Protocol):
    """An open client of one contender, bound to one collection."""

    async def find_one(self, key: int) -> Document | None:
        """The document whose ``_id`` is `key`."""

    async def insert_one(self, document: Document) -> object:
        """Insert a document without ``_id``; the ``_id`` that it was given."""

    async def transfer(self, giver: int, taker: int) -> int:
        """In one transaction, take 1 from one document's ``n`` and add it to another's; how many were modified."""


def stock_document(number: int) -> Document:
    """The document with ``_id`` `number`: about 200 bytes of the usual types."""
    return {
        "_id": number,
        "sku": f"sku-{number:06d}",
        "name": f"A thing of the kind {number % 7}",
        "quantity": number % 97,
        "price": number / 4,
        "available": number % 3 == 0,
        "tags": ["blue", "small"],
        "size": {"width": number % 11, "height": number % 13, "unit": "cm"},
    }


def order_document(worker: int, sequence: int) -> Document:
    """What `worker` inserts as its `sequence`-th document."""
    document = stock_document(sequence % STOCK_SIZE)
    del document["_id"]
    return {"worker": worker, "sequence": sequence, **document}


def account_pair(worker: int) -> tuple[int, int]:
    """The ``_id`` values of the two accounts that only `worker` moves money between."""
    return 2 * worker, 2 * worker + 1


def step_for(operation: Operation, client: OpenClient) -> Step:
    """The checked step that `client` runs again and again for `operation`."""
    return {"find_one": _find_step, "insert_one": _insert_step, "transaction": _transaction_step}[operation](client)


def _find_step(client: OpenClient) -> Step:
    stock = [stock_document(number) for number in range(STOCK_SIZE)]

    async def step(worker: int, sequence: int) -> None:
        number = (worker * 37 + sequence) % STOCK_SIZE
        found = await client.find_one(number)
        if found != stock[number]:
            raise WrongResult(f"find_one of _id {number} gave {found!r}, not {stock[number]!r}")

    return step


def _insert_step(client: OpenClient) -> Step:
    async def step(worker: int, sequence: int) -> None:
        inserted = await client.insert_one(order_document(worker, sequence))
        if not isinstance(inserted, ObjectId):
            raise WrongResult(f"insert_one gave {inserted!r}, not an ObjectId")

    return step


def _transaction_step(client: OpenClient) -> Step:
    async def step(worker: int, sequence: int) -> None:
        modified = await client.transfer(*account_pair(worker))
        if modified != 2:
            raise WrongResult(f"a transaction of two updates modified {modified!r} documents")

    return step
