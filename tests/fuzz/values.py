"""Wrong values: values that a reply may contain in place of the right ones. Pure."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any

from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument

from tests.fuzz.chance import Chance

_INT32 = Struct("<i")

#: More levels than Python's recursion limit allows, and less than a reply's maximum size.
_DEPTHS = (90, 250, 5_000, 60_000)

NUMBERS: tuple[Any, ...] = (
    0,
    -1,
    1,
    2,
    2**31 - 1,
    2**31,
    -(2**31),
    Int64(2**63 - 1),
    Int64(-(2**63)),
    Int64(0),
    0.0,
    -0.0,
    0.5,
    1.0,
    -1.5,
    1e300,
    -1e300,
    float("nan"),
    float("inf"),
    float("-inf"),
    Decimal128("NaN"),
    Decimal128("Infinity"),
    Decimal128("1"),
)
TEXTS: tuple[Any, ...] = (
    "",
    "x",
    "1",
    "a\0b",
    "\0",
    "$cmd",
    "a.b.c",
    ".",
    "é" * 200,
    "x" * 70_000,
    "\N{PILE OF POO}",
    "not master",
    "isdbgrid",
    "zlib",
)
HOSTS: tuple[Any, ...] = (
    "",
    ":",
    "a\0b:27017",
    "\0:27017",
    "a.test\0:27017",
    "[::1",
    "[]:1",
    "x.test:0",
    "x.test:-1",
    "x.test:65536",
    "x.test:99999999999999999999",
    "x.test:é",
    "é" * 80 + ":27017",
    "x" * 300 + ":27017",
    "a..b:27017",
    "/tmp/no such directory/x.sock",
    "\0abstract.sock",
    "x" * 300 + ".sock",
    "unknown.test:27017",
    "A.TEST:27017",
)
OTHERS: tuple[Any, ...] = (
    None,
    True,
    False,
    b"",
    b"\0" * 20,
    Binary(b"x", 4),
    Binary(b"x" * 16, 4),
    Binary(b"x" * 16, 3),
    Binary(b"x", 9),
    Timestamp(0, 0),
    Timestamp(2**32 - 1, 2**32 - 1),
    ObjectId(b"\xff" * 12),
    ObjectId(bytes(12)),
    DatetimeMS(0),
    DatetimeMS(2**62),
    DatetimeMS(-(2**62)),
    DatetimeMS(253_402_300_800_000),  # the first millisecond of the year 10000
    Regex("(", "i"),
    Code("f()"),
    Code("f()", {"a": 1}),
    DBRef("c", 1),
    MinKey(),
    MaxKey(),
)
SHAPES: tuple[Callable[[], Any], ...] = (
    dict,
    list,
    lambda: [None],
    lambda: [[]],
    lambda: [1],
    lambda: ["x"],
    lambda: [{}],
    lambda: {"": None},
    lambda: {"a": 1},
    lambda: {"0": {}},
    lambda: {"$ref": 1, "$id": 2},
    lambda: list(range(3_000)),
    lambda: [{}] * 500,
)


def nested(depth: int) -> RawBSONDocument:
    """A document within a document, ``depth`` times; made of bytes, because no encoder supports that depth."""
    size = 5 + 8 * (depth - 1)
    heads = b"".join(
        _INT32.pack(size - 8 * level) + (b"\x03a\0" if level < depth - 1 else b"") for level in range(depth)
    )
    return RawBSONDocument(heads + b"\0" * depth)


def odd(chance: Chance) -> Any:
    """Any wrong value."""
    kind = chance.random()
    if kind < 0.3:
        return chance.choice(NUMBERS)
    if kind < 0.4:
        return chance.choice(TEXTS)
    if kind < 0.48:
        return chance.choice(HOSTS)
    if kind < 0.75:
        return chance.choice(OTHERS)
    if kind < 0.98:
        return chance.choice(SHAPES)()
    return nested(chance.choice(_DEPTHS))


_CODES = (1, 6, 7, 11, 13, 18, 20, 26, 43, 48, 50, 64, 79, 89, 91, 100, 112, 117, 136, 189, 225, 251, 262, 263, 286)
_MORE_CODES = (462, 9001, 10058, 10107, 11000, 11001, 11600, 11602, 12582, 13435, 13436)
_LABELS = (
    "TransientTransactionError",
    "UnknownTransactionCommitResult",
    "RetryableWriteError",
    "NoWritesPerformed",
    "SystemOverloadedError",
    "RetryableError",
    "ResumableChangeStreamError",
    "x",
)


def code(chance: Chance) -> int:
    """A server's error code that has a meaning to drivers."""
    return chance.choice(_CODES + _MORE_CODES)


def labels(chance: Chance) -> list[Any]:
    """Error labels that have a meaning to drivers, perhaps the wrong ones."""
    return chance.sample(_LABELS, chance.randint(0, 3))


def _entry(chance: Chance) -> dict[str, Any]:
    return {"index": chance.choice((0, 0, 1, -1, 7)), "code": code(chance), "errmsg": "E"}


def _concern_error(chance: Chance) -> dict[str, Any]:
    entry: dict[str, Any] = {"code": code(chance), "codeName": "E", "errmsg": "E"}
    if chance.maybe(0.3):
        entry["errInfo"] = {"wtimeout": True}
    if chance.maybe(0.3):
        entry["errorLabels"] = labels(chance)
    return entry


#: Fields that drivers look for in replies, with values that they would understand, in places where they do not belong.
KNOWN: dict[str, Callable[[Chance], Any]] = {
    "ok": lambda chance: chance.choice(NUMBERS),
    "code": code,
    "codeName": lambda chance: "NotWritablePrimary",
    "errmsg": lambda chance: chance.choice(("", "not master", "node is recovering", "Transaction numbers are only")),
    "$err": lambda chance: "not master",
    "errorLabels": labels,
    "writeErrors": lambda chance: [_entry(chance)],
    "writeConcernError": _concern_error,
    "writeConcernErrors": lambda chance: [_concern_error(chance)],
    "upserted": lambda chance: [{"index": chance.choice((0, 5, -1)), "_id": 1}],
    "cursor": lambda chance: {"id": Int64(chance.choice((0, 9, -9))), "ns": "db.c", "firstBatch": [], "nextBatch": []},
    "$clusterTime": lambda chance: {"clusterTime": Timestamp(2**32 - 1, chance.randrange(9)), "signature": {}},
    "operationTime": lambda chance: Timestamp(chance.choice((0, 1, 2**32 - 1)), 1),
    "atClusterTime": lambda chance: Timestamp(5, 5),
    "topologyVersion": lambda chance: {
        "processId": ObjectId(bytes(12)),
        "counter": Int64(chance.choice((0, 2**63 - 1))),
    },
    "recoveryToken": lambda chance: {"shardId": "s"},
    "serviceId": lambda chance: ObjectId(bytes(12)),
    "errorDetails": lambda chance: {},
    "partialResultsReturned": lambda chance: True,
    "postBatchResumeToken": lambda chance: {"_data": "x"},
    "n": lambda chance: chance.choice(NUMBERS),
    "nModified": lambda chance: chance.choice(NUMBERS),
    "value": lambda chance: {"_id": 1},
    "lastErrorObject": lambda chance: {},
    "isreplicaset": lambda chance: True,
    "arbiterOnly": lambda chance: True,
    "hidden": lambda chance: True,
    "passives": lambda chance: [chance.choice(HOSTS)],
    "arbiters": lambda chance: [chance.choice(HOSTS)],
    "me": lambda chance: chance.choice(HOSTS),
    "primary": lambda chance: chance.choice(HOSTS),
    "tags": lambda chance: {"a": odd(chance)},
    "compression": lambda chance: ["zlib", "x"],
    "speculativeAuthenticate": lambda chance: {"conversationId": 1, "done": True, "payload": b""},
    "saslSupportedMechs": lambda chance: ["SCRAM-SHA-1"],
    "moreToCome": lambda chance: True,
}

Path = tuple[Any, ...]


def paths(value: Any, path: Path = ()) -> list[Path]:
    """The paths of all values in a document."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += paths(inner, (*path, key))
    elif isinstance(value, list) and len(value) <= 20:
        for position, inner in enumerate(value):
            found += paths(inner, (*path, position))
    return found


def parent_of(document: Any, path: Path) -> Any:
    """The document or list that holds the value at ``path``."""
    for key in path[:-1]:
        document = document[key]
    return document


def mutated(document: dict[str, Any], chance: Chance) -> dict[str, Any]:
    """The document with one to three wrong values, missing fields or extra fields."""
    changed = copy.deepcopy(document)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        _mutate(changed, chance)
    return changed


def _mutate(document: dict[str, Any], chance: Chance) -> None:
    found = paths(document)
    kind = chance.random()
    if kind < 0.22 or not found:
        name = chance.choice(list(KNOWN))
        document[name] = KNOWN[name](chance) if chance.maybe(0.7) else odd(chance)
        return
    path = chance.choice(found)
    parent, last = parent_of(document, path), path[-1]
    if kind < 0.62:
        parent[last] = _replacement(parent[last], chance)
    elif kind < 0.8:
        del parent[last]
    elif kind < 0.86:
        other = chance.choice(found)
        parent[last] = copy.deepcopy(parent_of(document, other)[other[-1]])
    elif kind < 0.92 and isinstance(parent[last], list):
        parent[last] = _longer(parent[last], chance)
    elif isinstance(parent, dict):
        parent[chance.choice(("", "a", "_id", "$ref", str(last).upper(), f"{last} "))] = parent.pop(last)
    else:
        parent.append(odd(chance))


def _replacement(value: Any, chance: Chance) -> Any:
    """Usually an extreme value of the same kind, otherwise of another kind."""
    same: Sequence[Any] = ()
    if isinstance(value, str):
        same = HOSTS if ":" in value else TEXTS
    elif isinstance(value, (int, float)):
        same = NUMBERS
    if same and chance.maybe(0.6):
        return chance.choice(same)
    return odd(chance)


def _longer(values: list[Any], chance: Chance) -> list[Any]:
    if not values or chance.maybe(0.3):
        return [*values, odd(chance)]
    return values * chance.choice((2, 50))
