"""The Flask application of docs/web.md, for a server that forks its workers."""

import os
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import Flask, abort, request

from wiredrv import ReturnDocument
from wiredrv.sync import Client

P = ParamSpec("P")
T = TypeVar("T")

client = Client(os.environ["MONGODB_URI"])
app = Flask(__name__)


def in_transaction(view: Callable[P, T]) -> Callable[P, T]:
    @wraps(view)
    def committed(*arguments: P.args, **values: P.kwargs) -> T:
        with client.start_session() as session, session.bind():
            return session.with_transaction(lambda session: view(*arguments, **values))

    return committed


@app.post("/seats/<int:number>")
@in_transaction
def reserve(number: int) -> dict[str, object]:
    name = request.get_json()["name"]
    seat = client.theatre.seats.find_one_and_update(
        {"_id": number, "taken_by": None}, {"$set": {"taken_by": name}}, return_document=ReturnDocument.AFTER
    )
    if seat is None:
        abort(409, "this seat is taken")
    client.theatre.bookings.insert_one({"seat": number, "name": name})
    return {"seat": number, "name": name}


@app.get("/seats")
def seats() -> list[int]:
    return [seat["_id"] for seat in client.theatre.seats.find({"taken_by": None}).sort("_id")]
