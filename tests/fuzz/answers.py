"""The deployment's reply to each command, and what it records for checking the case.

It stores no data: each reply has the form of a real server's, with a few made-up documents.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bson import Int64, ObjectId, Timestamp

from tests.fuzz.chance import Chance
from tests.fuzz.damage import Delivery

#: A date of the deployment.
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Commit:
    """How a transaction's commit was answered: how often it was received, and what the client could read."""

    came: int = 0
    refused: int = 0
    granted: int = 0
    unsure: int = 0
    concern: int = 0


@dataclass
class Record:
    """What the deployment has seen."""

    log: list[str] = field(default_factory=list)
    commands: int = 0
    opened: int = 0
    nonsense: list[str] = field(default_factory=list)
    damages: int = 0
    commits: dict[tuple[bytes, int], Commit] = field(default_factory=dict)
    cursors: dict[int, list[list[Any]]] = field(default_factory=dict)


def note_commit(record: Record, command: Mapping[str, Any], delivery: Delivery) -> None:
    """Record that a commit was received, and how it was answered."""
    key = (bytes(command["lsid"]["id"]), int(command["txnNumber"]))
    commit = record.commits.setdefault(key, Commit())
    commit.came += 1
    if not delivery.sure:
        commit.unsure += 1
    elif delivery.told is not None:
        word = delivery.told.get("ok")
        if isinstance(word, (bool, int, float)):
            commit.refused += word == 0
            commit.granted += word != 0
        commit.concern += "writeConcernError" in delivery.told


def _is_cluster_time(value: Any) -> bool:
    """Whether a server accepts it as a cluster time: it refuses every command with any other value."""
    if not isinstance(value, dict) or not isinstance(value.get("clusterTime"), Timestamp):
        return False
    signature = value.get("signature", {"hash": b"", "keyId": 0})
    known = isinstance(signature, dict) and isinstance(signature.get("hash"), bytes)
    return known and isinstance(signature.get("keyId"), int)


def _documents(command: Mapping[str, Any], chance: Chance) -> list[dict[str, Any]]:
    token = command.get("filter", {}).get("token", "")
    return [
        {"_id": number, "token": token, "name": "x", "list": [1, {"b": 2}], "when": NOW, "id": ObjectId(bytes(12))}
        for number in range(chance.choice((0, 1, 1, 2, 5)))
    ]


def _cursor(batch: list[Any], command: Mapping[str, Any], record: Record, chance: Chance) -> dict[str, Any]:
    database, name = command["$db"], next(iter(command.values()))
    number = 0
    single = command.get("singleBatch") or command.get("limit") == 1
    if chance.maybe(0.45) and not single:
        record.opened += 1
        number = 1_000 + record.opened
        record.cursors[number] = [copy.deepcopy(batch) for _ in range(chance.randint(1, 3))]
    cursor: dict[str, Any] = {"id": Int64(number), "ns": f"{database}.{name}", "firstBatch": batch}
    if command.get("readConcern", {}).get("level") == "snapshot":
        cursor["atClusterTime"] = Timestamp(1_700_000_000, 1)
    return {"cursor": cursor}


def _get_more(command: Mapping[str, Any], record: Record, chance: Chance) -> dict[str, Any]:
    number = command["getMore"]
    left = record.cursors.get(number)
    if not left:
        return {"ok": 0.0, "code": 43, "codeName": "CursorNotFound", "errmsg": f"cursor id {number} not found"}
    batch = left.pop()
    if not left:
        del record.cursors[number]
    namespace = f"{command['$db']}.{command['collection']}"
    cursor = {"id": Int64(number if left else 0), "ns": namespace, "nextBatch": batch}
    if batch and "operationType" in batch[0]:
        cursor["postBatchResumeToken"] = batch[-1]["_id"]
    return {"cursor": cursor}


def _kill_cursors(command: Mapping[str, Any], record: Record, chance: Chance) -> dict[str, Any]:
    for number in command["cursors"]:
        record.cursors.pop(number, None)
    return {"cursorsKilled": command["cursors"], "cursorsNotFound": [], "cursorsAlive": [], "cursorsUnknown": []}


def _aggregate(command: Mapping[str, Any], record: Record, chance: Chance) -> dict[str, Any]:
    stages = [next(iter(stage), "") for stage in command["pipeline"]]
    if "explain" in command:
        return {"stages": [], "serverInfo": {}}
    if "$group" in stages:
        return {"cursor": {"id": Int64(0), "ns": "db.c", "firstBatch": [{"_id": 1, "n": 3}]}}
    if "$sample" in stages:
        sampled = [{"_id": number, "size": 5_000} for number in range(40)]
        return {"cursor": {"id": Int64(0), "ns": "db.c", "firstBatch": sampled}}
    if "$out" in stages or "$merge" in stages:
        return {"cursor": {"id": Int64(0), "ns": "db.c", "firstBatch": []}}
    if "$changeStream" in stages:
        events = [
            {"_id": {"_data": f"82{number}"}, "operationType": "insert", "fullDocument": document}
            for number, document in enumerate(_documents(command, chance))
        ]
        answer = _cursor(events, command, record, chance)
        if chance.maybe(0.8):
            answer["cursor"]["postBatchResumeToken"] = {"_data": "829"}
        return answer
    return _cursor(_documents(command, chance), command, record, chance)


def _update(command: Mapping[str, Any], record: Record, chance: Chance) -> dict[str, Any]:
    statements = command["updates"]
    upserted = [{"index": at, "_id": at} for at, statement in enumerate(statements) if statement.get("upsert")]
    return {"n": len(statements), "nModified": len(statements) - len(upserted), "upserted": upserted}


def _bulk_write(command: Mapping[str, Any], record: Record, chance: Chance) -> dict[str, Any]:
    results = [{"ok": 1.0, "idx": index, "n": 1, "nModified": 1} for index in range(len(command["ops"]))]
    counts = dict.fromkeys(("nErrors", "nInserted", "nMatched", "nModified", "nUpserted", "nDeleted"), 0)
    shown = [] if command["errorsOnly"] else results
    return {**_cursor(shown, command, record, chance), **counts, "nInserted": len(results)}


def _list_collections(command: Mapping[str, Any], record: Record, chance: Chance) -> dict[str, Any]:
    shown = {"name": "c", "type": "collection", "options": {"capped": True}, "info": {"readOnly": False}}
    if "filter" in command:
        options: Any = chance.choice(({}, {}, {}, {"capped": True}, {"clusteredIndex": {"v": 2}}))
        kind = chance.choice(("collection", "collection", "collection", "view", "timeseries"))
        return _cursor([{**shown, "type": kind, "options": options}], command, record, chance)
    return _cursor([shown, {"name": "v", "type": "view"}], command, record, chance)


def _list_indexes(command: Mapping[str, Any], record: Record, chance: Chance) -> dict[str, Any]:
    shown = [{"v": 2, "key": {"_id": 1}, "name": "_id_"}, {"v": 2, "key": {"a": 1}, "name": "a_1", "unique": True}]
    return _cursor(shown, command, record, chance)


#: The file that every bucket has, and its chunks.
_FILE: dict[str, Any] = {"_id": 1, "length": Int64(10), "chunkSize": 4, "uploadDate": NOW, "filename": "f"}
_CHUNKS = [
    {"_id": number, "files_id": 1, "n": number, "data": data} for number, data in enumerate((b"01\n3", b"4567", b"89"))
]


def _find(command: Mapping[str, Any], record: Record, chance: Chance) -> dict[str, Any]:
    name = command["find"]
    if isinstance(name, str) and name.endswith(".chunks"):
        first = command["filter"].get("n", {"$gte": 0})["$gte"]
        # A reply holds all that is asked for, so no cursor is opened.
        batch = [copy.deepcopy(chunk) for chunk in _CHUNKS if chunk["n"] >= first][: command["limit"]]
        return {"cursor": {"id": Int64(0), "ns": f"{command['$db']}.{name}", "firstBatch": batch}}
    if isinstance(name, str) and name.endswith(".files"):
        return _cursor([copy.deepcopy(_FILE)], command, record, chance)
    return _cursor(_documents(command, chance), command, record, chance)


_Answer = Callable[[Mapping[str, Any], Record, Chance], dict[str, Any]]
_ANSWERS: dict[str, _Answer] = {
    "find": _find,
    "getMore": _get_more,
    "killCursors": _kill_cursors,
    "aggregate": _aggregate,
    # A scan samples the ids of a large collection.
    "count": lambda command, record, chance: {"n": chance.choice((3, 3, 30_000))},
    "distinct": lambda *_: {"values": [1, "x", {"a": 1}]},
    "mapReduce": lambda *_: {"results": [{"_id": 1, "value": 2.0}]},
    "bulkWrite": _bulk_write,
    "insert": lambda command, *_: {"n": len(command["documents"])},
    "update": _update,
    "delete": lambda command, *_: {"n": len(command["deletes"])},
    "findAndModify": lambda *_: {"lastErrorObject": {"n": 1, "updatedExisting": True}, "value": {"_id": 1, "a": 2}},
    "listDatabases": lambda *_: {
        "databases": [{"name": "db", "sizeOnDisk": Int64(4096), "empty": False}],
        "totalSize": Int64(4096),
    },
    "listCollections": _list_collections,
    "listIndexes": _list_indexes,
    "createIndexes": lambda *_: {"numIndexesBefore": 1, "numIndexesAfter": 2, "createdCollectionAutomatically": False},
    "createSearchIndexes": lambda command, *_: {
        "indexesCreated": [{"id": str(at), "name": f"index {at}"} for at in range(len(command["indexes"]))]
    },
    "validate": lambda *_: {"ns": "db.c", "nrecords": 2, "valid": True, "errors": []},
    "dropIndexes": lambda *_: {"nIndexesWas": 2},
    "drop": lambda *_: {"nIndexesWas": 2, "ns": "db.c"},
    "dropDatabase": lambda *_: {"dropped": "db"},
    "buildInfo": lambda *_: {"version": "6.0.5", "versionArray": [6, 0, 5, 0], "bits": 64},
    "explain": lambda *_: {"queryPlanner": {"winningPlan": {"stage": "COLLSCAN"}}},
}


def answer_to(command: Mapping[str, Any], record: Record, chance: Chance) -> dict[str, Any]:
    """The reply to a command, without the fields at the end of every reply."""
    if "$clusterTime" in command and not _is_cluster_time(command["$clusterTime"]):
        return {"ok": 0.0, "code": 14, "codeName": "TypeMismatch", "errmsg": "$clusterTime is of the wrong type"}
    answer = _ANSWERS.get(next(iter(command)))
    return {} if answer is None else answer(command, record, chance)
