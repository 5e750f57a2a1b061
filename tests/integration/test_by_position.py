"""Calls with options by position send what PyMongo sends for the same calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.commands import DATABASE, watched
from tests.support.pymongo_peer import plain, with_pymongo
from wiredrv.local import ReplicaSet

pytestmark = pytest.mark.anyio

NAME = "by_position"
SET = {"$set": {"n": 2}}
ENGLISH = {"locale": "en"}

CALLS: dict[str, Callable[[Any], Any]] = {
    "insert_one": lambda c: c.insert_one({"_id": 1}, True, None, "why"),
    "insert_many": lambda c: c.insert_many([{"_id": 1}, {"_id": 2}], False, True, None, "why"),
    "update_one": lambda c: c.update_one({"n": 1}, SET, True, True, ENGLISH, None, "_id_", None, {"x": 1}, None, "why"),
    "update_many": lambda c: c.update_many({"n": 1}, SET, True, None, True, ENGLISH, "_id_", None, {"x": 1}, "why"),
    "array_filters": lambda c: c.update_many({}, {"$set": {"a.$[x]": 1}}, False, [{"x": 2}]),
    "replace_one": lambda c: c.replace_one({"n": 1}, {"n": 2}, True, True, ENGLISH, "_id_", None, {"x": 1}, None, "w"),
    "delete_one": lambda c: c.delete_one({"n": 1}, ENGLISH, "_id_", None, {"x": 1}, "why"),
    "delete_many": lambda c: c.delete_many({"n": 1}, ENGLISH, "_id_", None, {"x": 1}, "why"),
    "find_one_and_delete": lambda c: c.find_one_and_delete({}, {"n": 1}, [("n", -1)], "_id_", None, {"x": 1}, "why"),
    "find_one_and_replace": lambda c: c.find_one_and_replace(
        {}, {"n": 2}, {"n": 1}, [("n", -1)], True, True, "_id_", None, {"x": 1}, "why"
    ),
    "find_one_and_update": lambda c: c.find_one_and_update(
        {}, {"$set": {"a.$[x]": 1}}, {"n": 1}, [("n", -1)], False, True, [{"x": 2}], "_id_", None, {"x": 1}, "why"
    ),
    "find_one": lambda c: c.find_one({"n": 1}, ["n"], 2),
    "find": lambda c: c.find({"n": 1}, ["n"], 2, 3, True, 0, [("n", 1)], True, False, 5, ENGLISH, "_id_").to_list(None),
    "aggregate": lambda c: c.aggregate([{"$match": {}}], None, {"x": 1}, "why"),
    "count_documents": lambda c: c.count_documents({"n": 1}, None, "why"),
    "distinct": lambda c: c.distinct("n", {"n": 1}, None, "why"),
    "estimated_document_count": lambda c: c.estimated_document_count("why"),
    "drop_indexes": lambda c: c.drop_indexes(None, "why"),
    "watch": lambda c: c.watch([], "updateLookup", None, 20, 5),
}


def _without_defaults(value: Any) -> Any:
    """A command without the server's defaults, which one driver sends and the other does not."""
    if isinstance(value, list):
        return [_without_defaults(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    given = {name: _without_defaults(entry) for name, entry in value.items()}
    return {name: entry for name, entry in given.items() if name not in ("multi", "new", "upsert") or entry is True}


async def _theirs(uri: str, call: Callable[[Any], Any]) -> list[dict[str, Any]]:
    async def use(client: Any) -> None:
        found = await call(client[DATABASE][NAME])
        if hasattr(found, "close"):
            await found.close()

    result, commands = await with_pymongo(uri, use)
    assert result is None, result
    return [command for command in commands if "killCursors" not in command]


async def _emptied(database: Any) -> None:
    await database.drop_collection(NAME)
    await database.create_collection(NAME)


@pytest.mark.parametrize("name", CALLS)
async def test_the_commands_are_pymongos(replica_set: ReplicaSet, name: str) -> None:
    async with watched(replica_set) as (client, log):
        database = client[DATABASE]
        await _emptied(database)
        theirs = await _theirs(replica_set.uri, CALLS[name])
        await _emptied(database)
        log.clear()
        found = await CALLS[name](database[NAME])
        if hasattr(found, "close"):
            await found.close()
        ours = [plain(event.command) for event in log.started_events if event.command_name != "killCursors"]
        await database.drop_collection(NAME)
    assert ours
    assert _without_defaults(ours) == _without_defaults(theirs)
