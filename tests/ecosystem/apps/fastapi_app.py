"""The FastAPI application of docs/web.md: transfers between accounts, and settings that are read on secondaries."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, PositiveInt

import wiredrv
from wiredrv import ReadConcern, ReadPreference, ReturnDocument, WriteConcern
from wiredrv.asgi import CausalTokenMiddleware


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with wiredrv.Client(os.environ["MONGODB_URI"]) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


async def get_client(request: Request) -> wiredrv.Client:
    client: wiredrv.Client = request.app.state.client
    return client


TheClient = Annotated[wiredrv.Client, Depends(get_client)]


async def transaction(client: TheClient) -> AsyncIterator[wiredrv.ClientSession]:
    async with client.transaction() as session:
        yield session


in_transaction = Depends(transaction, scope="function")


class Transfer(BaseModel):
    source: str
    target: str
    amount: PositiveInt


async def move(bank: wiredrv.Database, order: Transfer) -> dict[str, Any]:
    source = await bank.accounts.find_one_and_update(
        {"_id": order.source, "amount": {"$gte": order.amount}},
        {"$inc": {"amount": -order.amount}},
        return_document=ReturnDocument.AFTER,
    )
    if source is None:
        raise HTTPException(409, "the account does not hold that much")
    target = await bank.accounts.update_one({"_id": order.target}, {"$inc": {"amount": order.amount}})
    if not target.matched_count:
        raise HTTPException(404, "there is no such account")
    return {"left": source["amount"]}


async def write_receipt(bank: wiredrv.Database, order: Transfer) -> None:
    await bank.receipts.insert_one(order.model_dump())


@app.post("/transfers", dependencies=[in_transaction])
async def transfer(order: Transfer, client: TheClient, tasks: BackgroundTasks) -> dict[str, Any]:
    tasks.add_task(write_receipt, client.bank, order)
    return await move(client.bank, order)


@app.post("/retried-transfers")
async def retried_transfer(order: Transfer, client: TheClient) -> dict[str, Any]:
    async with client.start_session() as session, session.bind():
        return await session.with_transaction(lambda session: move(client.bank, order))


@app.exception_handler(wiredrv.DriverError)
async def failed(request: Request, error: wiredrv.DriverError) -> JSONResponse:
    if error.has_error_label("TransientTransactionError"):
        return JSONResponse({"detail": "nothing was changed: try again"}, 503)
    if error.has_error_label("UnknownTransactionCommitResult"):
        return JSONResponse({"detail": "whether this was done is not known"}, 500)
    raise error


app.add_middleware(
    CausalTokenMiddleware,
    client=lambda scope: scope["app"].state.client,
    keys=wiredrv.TokenKeys(os.environ["TOKEN_KEY"]),
)


async def get_settings(client: TheClient) -> wiredrv.Collection:
    return client.bank.get_collection(
        "settings",
        read_preference=ReadPreference.SECONDARY_PREFERRED,
        read_concern=ReadConcern("majority"),
        write_concern=WriteConcern("majority"),
    )


Settings = Annotated[wiredrv.Collection, Depends(get_settings)]


@app.put("/settings/{name}", status_code=204)
async def change(name: str, value: str, settings: Settings) -> None:
    await settings.update_one({"_id": name}, {"$set": {"value": value}}, upsert=True)


@app.get("/settings/{name}")
async def read(name: str, settings: Settings) -> dict[str, Any]:
    found = await settings.find_one({"_id": name})
    if found is None:
        raise HTTPException(404)
    return found
