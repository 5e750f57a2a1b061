"""The signatures of what has the same name in PyMongo and here, and in Motor and here; on both faces.

What differs is listed in the tables of "Signatures" in ``docs/coming-from-pymongo.md``, and this test reads them: a
difference without a row fails, and so does a row without its difference. A key in the first column is

* ``Class.method(parameter)``: the parameter is missing here, or is not at its place, or has another name;
* ``Class()``: objects of the class are made by methods, and the constructor is not for users;
* ``Class.method: await``: one of the two is awaited, and the other is not.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
from gridfs import asynchronous as gridfs
from gridfs import synchronous as gridfs_synchronous
from gridfs.asynchronous import grid_file
from motor import motor_asyncio
from pymongo.asynchronous import (
    change_stream,
    client_session,
    collection,
    command_cursor,
    cursor,
    database,
    mongo_client,
)
from pymongo.synchronous import change_stream as sync_change_stream
from pymongo.synchronous import client_session as sync_client_session
from pymongo.synchronous import collection as sync_collection
from pymongo.synchronous import command_cursor as sync_command_cursor
from pymongo.synchronous import cursor as sync_cursor
from pymongo.synchronous import database as sync_database

import wiredrv
import wiredrv.sync
from wiredrv.client import positions

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coming-from-pymongo.md"

#: This driver's classes, with PyMongo's and Motor's.
CLASSES: dict[str, tuple[type[Any], type[Any]]] = {
    "Client": (mongo_client.AsyncMongoClient, motor_asyncio.AsyncIOMotorClient),
    "Database": (database.AsyncDatabase, motor_asyncio.AsyncIOMotorDatabase),
    "Collection": (collection.AsyncCollection, motor_asyncio.AsyncIOMotorCollection),
    "Cursor": (cursor.AsyncCursor, motor_asyncio.AsyncIOMotorCursor),
    "CommandCursor": (command_cursor.AsyncCommandCursor, motor_asyncio.AsyncIOMotorCommandCursor),
    "ClientSession": (client_session.AsyncClientSession, motor_asyncio.AsyncIOMotorClientSession),
    "ChangeStream": (change_stream.AsyncChangeStream, motor_asyncio.AsyncIOMotorChangeStream),
    "GridFSBucket": (gridfs.AsyncGridFSBucket, motor_asyncio.AsyncIOMotorGridFSBucket),
    "GridIn": (grid_file.AsyncGridIn, motor_asyncio.AsyncIOMotorGridIn),
    "GridOut": (grid_file.AsyncGridOut, motor_asyncio.AsyncIOMotorGridOut),
    "GridOutCursor": (grid_file.AsyncGridOutCursor, motor_asyncio.AsyncIOMotorGridOutCursor),
}
#: The classes of ``wiredrv.sync``, with PyMongo's synchronous ones.
SYNCHRONOUS: dict[str, type[Any]] = {
    "Client": pymongo.MongoClient,
    "Database": sync_database.Database,
    "Collection": sync_collection.Collection,
    "Cursor": sync_cursor.Cursor,
    "CommandCursor": sync_command_cursor.CommandCursor,
    "ClientSession": sync_client_session.ClientSession,
    "ChangeStream": sync_change_stream.ChangeStream,
    "GridFSBucket": gridfs_synchronous.GridFSBucket,
    "GridIn": gridfs_synchronous.GridIn,
    "GridOut": gridfs_synchronous.GridOut,
    "GridOutCursor": gridfs_synchronous.GridOutCursor,
}
PEERS = ("PyMongo", "Motor", "PyMongo, synchronous")
#: What is awaitable without being a coroutine: the page says so in "With or without `await`".
_EITHER = frozenset({"ChangeStream", "ClientSession", "CommandCursor", "RawBatchCommandCursor", "TransactionContext"})
_EITHER_TOO = frozenset({"OpeningGridOut", "Coroutine"})


def _parameters(function: Any) -> list[inspect.Parameter]:
    return [found for found in inspect.signature(function).parameters.values() if found.name != "self"]


def _by_position(parameters: list[inspect.Parameter]) -> list[str]:
    return [found.name for found in parameters if found.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]


def _missing(ours: Any, theirs: Any) -> Iterator[str]:
    """The parameters of theirs that ours does not have, or has at another place."""
    wanted, found = _parameters(theirs), _parameters(ours)
    here = _by_position(found)
    for place, name in enumerate(_by_position(wanted)):
        if here[place : place + 1] != [name]:
            yield name
    names = {parameter.name for parameter in found}
    for parameter in wanted:
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.name not in names:
            yield parameter.name


def _awaitable(function: Any) -> bool | None:
    """Whether a call is awaited; None if it can be, and need not."""
    returned = str(inspect.signature(function).return_annotation).partition("[")[0]
    if returned in _EITHER | _EITHER_TOO:
        return None
    return inspect.iscoroutinefunction(function)


def _differences(name: str, peer: str) -> set[str]:
    if peer == "PyMongo, synchronous":
        ours, theirs = getattr(wiredrv.sync, name), SYNCHRONOUS[name]
    else:
        ours, theirs = getattr(wiredrv, name), CLASSES[name][PEERS.index(peer)]
    shared = {member for member in dir(theirs) if not member.startswith("_")} & set(dir(ours))
    found = {f"{name}()"} if set(_missing(ours, theirs)) else set()
    for member in shared:
        function, other = getattr(ours, member), getattr(theirs, member)
        if not (inspect.isfunction(function) and inspect.isfunction(other)):
            continue
        found |= {f"{name}.{member}({parameter})" for parameter in _missing(function, other)}
        if peer == "PyMongo" and _awaitable(function) not in (None, inspect.iscoroutinefunction(other)):
            found.add(f"{name}.{member}: await")
    return found


def _listed(peer: str) -> set[str]:
    """The keys of the table of a peer."""
    section = PAGE.read_text(encoding="utf-8").partition("\n## Signatures\n")[2].partition("\n## ")[0]
    table = section.partition(f"\n| {peer} | here |")[2].partition("\n\n")[0]
    rows = [row for row in table.splitlines() if row.startswith("| `")]
    return {key for row in rows for key in re.findall(r"`([^`]+)`", row.split(" | ")[0])}


@pytest.mark.parametrize("peer", PEERS)
def test_what_differs_is_a_row_of_the_table(peer: str) -> None:
    differences = {difference for name in CLASSES for difference in _differences(name, peer)}
    assert sorted(differences - _listed(peer)) == [], "not in the table"
    assert sorted(_listed(peer) - differences) == [], "in the table, and does not differ"


def test_the_comparison_finds_what_differs() -> None:
    class Theirs:
        def find(self, filter: Any = None, skip: int = 0, *, limit: int = 0) -> None: ...

    def less(self: Any, filter: Any = None) -> None: ...

    def elsewhere(self: Any, skip: int = 0, filter: Any = None, limit: int = 0) -> None: ...

    def more(self: Any, filter: Any = None, skip: int = 0, extra: int = 0, *, limit: int = 0) -> None: ...

    assert list(_missing(less, Theirs.find)) == ["skip", "limit"]
    assert list(_missing(elsewhere, Theirs.find)) == ["filter", "skip"]
    assert list(_missing(more, Theirs.find)) == []


def test_the_order_of_a_finds_options_is_that_of_pymongos_cursor() -> None:
    """PyMongo's ``find`` hands everything on to its cursor."""
    order = _by_position(_parameters(cursor.AsyncCursor))
    assert order == ["collection", "filter", "projection", *positions.FIND]
    assert _by_position(_parameters(wiredrv.Collection.find))[:2] == ["filter", "projection"]
    shown = _by_position(_parameters(wiredrv.Collection.find))[2:]
    assert shown == [name for name in positions.FIND if name not in ("max_scan", "snapshot")]
