"""Errors that both type checkers must find. An unused ignore comment fails ``make lint``."""

from __future__ import annotations

from typing import TypedDict

import wiredrv
from wiredrv import Client, Collection, IndexModel, InsertOne


class Order(TypedDict):
    sku: str
    quantity: int


def names_that_the_package_lacks() -> None:
    wiredrv.Clinet()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    from wiredrv import Colection  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]

    print(Colection)


async def names_that_do_not_exist(client: Client, orders: Collection[Order]) -> int:
    await orders.find_on({})  # type: ignore[operator]  # pyright: ignore[reportCallIssue]
    await client.shop.list_collection_nmes()  # type: ignore[operator]  # pyright: ignore[reportCallIssue]
    client.start_sesion()  # type: ignore[operator]  # pyright: ignore[reportCallIssue]
    # The type checker continues after them: it reads what follows.
    return "text"  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


async def documents_of_another_form(orders: Collection[Order]) -> None:
    await orders.insert_one({"sku": "abc"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await orders.insert_many([{"sku": 1, "quantity": 1}])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    await orders.bulk_write([InsertOne({"sku": "abc"})])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def results_that_may_be_missing(orders: Collection[Order]) -> None:
    found = await orders.find_one()
    found["sku"]  # type: ignore[index]  # pyright: ignore[reportOptionalSubscript]
    assert found is not None
    found["price"]  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues]


def options(client: Client, orders: Collection[Order]) -> None:
    Client(maxPoolSize="20")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Client(maxPoolsSize=20)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Client(document_class=int)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    Client(event_listeners=[5])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    Client(credentials=("ann", "secret"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Client(credentials=lambda: ("ann", "secret"))  # type: ignore[arg-type, return-value]  # pyright: ignore[reportArgumentType]
    orders.find({}, limmit=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    orders.find({}, limit="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def schemas(client: Client, orders: Collection[Order]) -> None:
    await orders.create_index("sku", uniqe=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await orders.create_index("sku", unique=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    IndexModel("sku", sparse="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await orders.rename("new", dropTarget="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.list_databases(nameOnl=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.shop.list_collections(nameOnly=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
