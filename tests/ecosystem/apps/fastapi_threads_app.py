"""The FastAPI application of docs/web.md with ``def`` endpoints, which run in threads."""

import os
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException

from wiredrv.sync import Client, ClientSession

client = Client(os.environ["MONGODB_URI"])
app = FastAPI()


def transaction() -> Iterator[ClientSession]:
    with client.start_session() as session, session.start_transaction():
        yield session


Transaction = Annotated[ClientSession, Depends(transaction, scope="function")]


@app.post("/seats/{number}")
def reserve(number: int, name: str, session: Transaction) -> dict[str, Any]:
    seats, bookings = client.theatre.seats, client.theatre.bookings
    free = {"_id": number, "taken_by": None}
    if not seats.update_one(free, {"$set": {"taken_by": name}}, session=session).modified_count:
        raise HTTPException(409, "this seat is taken")
    bookings.insert_one({"seat": number, "name": name}, session=session)
    return {"seat": number, "name": name}
