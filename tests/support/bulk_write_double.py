"""A test double of a server 8.0, for ``bulkWrite`` and the commands on search indexes: routers before a replica set.

It is a double: no server 8.0 answers. It is the double of a router (``router_double``) that says it is 8.0, and sends
each write of a bulkWrite as an insert, update or delete command to the replica set behind it: in the same transaction,
or with the same transaction number and a statement id for each write, so that the real servers recognize a retry. What
they answer becomes the reply of bulkWrite as the specification describes it (CRUD, "Handling the bulkWrite Server
Response"), with a cursor over the results. Fail points are the router double's.

The commands on search indexes are refused, as servers without search do, with "Atlas" in the message.

``limits`` replaces limits of ``hello``: with smaller ones, batches are split without large documents. ``batch_bytes``
is how large a batch of results may be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import anyio.abc
import bson
from bson.int64 import Int64

from tests.support.router_double import Router, _append, _Client, _without
from tests.support.router_errors import failure
from tests.support.router_shard import Backend
from tests.support.sharded_double import ShardedDouble
from wiredrv.wire.codec import decode, decode_raw
from wiredrv.wire.op_msg import Message

VERSION = [8, 0, 0, 0]
WIRE_VERSION = 25
_NAMESPACE = "admin.$cmd.bulkWrite"
_OF_SEARCH = frozenset({"createSearchIndexes", "updateSearchIndex", "dropSearchIndex"})
_NO_SEARCH, _NO_SEARCH_TEXT = 31082, "Search index commands are only supported with Atlas, or a local deployment of it"
_FIELDS = {"insert": "documents", "update": "updates", "delete": "deletes"}
_COUNTS = ("nErrors", "nInserted", "nUpserted", "nMatched", "nModified", "nDeleted")
#: Fields of a bulkWrite that its translation has too.
_COMMON = (
    "lsid", "txnNumber", "autocommit", "$clusterTime", "apiVersion", "apiStrict", "comment", "bypassDocumentValidation",
)  # fmt: skip


class BulkWriteRouter(Router):
    """A router that knows bulkWrite."""

    limits: Mapping[str, int] = {}
    batch_bytes = 16_777_216

    def _forget(self) -> None:
        super()._forget()
        #: The results that are left of each cursor.
        self.results: dict[int, list[Mapping[str, Any]]] = {}
        self.cursor_ids = count(8_000_000_001)

    def client(self, stream: anyio.abc.SocketStream, backend: Backend, number: int, balanced: bool) -> _Client:
        return _BulkClient(self, stream, backend, number, balanced)

    def hello(self, command: Mapping[str, Any], connection_id: int, balanced: bool) -> dict[str, Any]:
        reply = super().hello(command, connection_id, balanced)
        return {**reply, "maxWireVersion": WIRE_VERSION, **self.limits} if reply["ok"] else reply

    def batch(self, results: list[Mapping[str, Any]], cursor_id: int = 0) -> tuple[list[Mapping[str, Any]], int]:
        """As many results as fit into a batch, and the id of the cursor that has the others."""
        taken, size = 0, 0
        while taken < len(results):
            size += len(bson.encode(results[taken]))
            if taken and size > self.batch_bytes:
                break
            taken += 1
        if taken == len(results):
            self.results.pop(cursor_id, None)
            return results, 0
        cursor_id = cursor_id or next(self.cursor_ids)
        self.results[cursor_id] = results[taken:]
        return results[:taken], cursor_id


class _BulkClient(_Client):
    """A connection of a client."""

    _router: BulkWriteRouter

    async def _ask(self, message: Message, body: bytes) -> bytes:
        command = decode_raw(body)
        name = next(iter(command))
        if name == "bulkWrite":
            return await self._bulk(message, command)
        if name in _OF_SEARCH or (name == "aggregate" and "$listSearchIndexes" in (command["pipeline"] or [{}])[0]):
            assert not {"readConcern", "writeConcern"} & command.keys(), "the specification forbids both"
            return bson.encode({**failure(_NO_SEARCH, _NO_SEARCH_TEXT), **self._router.shard.times})
        if name == "getMore" and int(command["getMore"]) in self._router.results:
            number = int(command["getMore"])
            batch, number = self._router.batch(self._router.results[number], number)
            cursor = {"id": Int64(number), "nextBatch": batch, "ns": _NAMESPACE}
            return bson.encode({"cursor": cursor, "ok": 1.0, **self._router.shard.times})
        if name == "killCursors" and any(int(one) in self._router.results for one in command["cursors"]):
            for one in command["cursors"]:
                self._router.results.pop(int(one), None)
            killed = {"cursorsKilled": command["cursors"], "cursorsNotFound": [], "cursorsAlive": []}
            return bson.encode({**killed, "cursorsUnknown": [], "ok": 1.0, **self._router.shard.times})
        answer = await super()._ask(message, body)
        if name.lower() == "buildinfo":
            version = {"version": ".".join(map(str, VERSION[:3])), "versionArray": VERSION}
            return _append(_without(decode_raw(answer), *version), version)
        return answer

    async def _bulk(self, message: Message, command: Mapping[str, Any]) -> bytes:
        """Carry out a bulkWrite, one write after another."""
        sequences = {sequence.identifier: sequence.documents for sequence in message.sequences}
        assert sequences.keys() == {"ops", "nsInfo"}, "the specification requires document sequences for both"
        namespaces = [decode(document)["ns"] for document in sequences["nsInfo"]]
        assert len(set(namespaces)) == len(namespaces), "a namespace is named twice"
        results: list[Mapping[str, Any]] = []
        totals = dict.fromkeys(_COUNTS, 0)
        concern_error: Mapping[str, Any] | None = None
        for index, op in enumerate(map(decode_raw, sequences["ops"])):
            translated = _translated(command, op, namespaces, index)
            if "sort" in op:
                await self._sort(translated, op)
            answer = await self._backend.exchange(bson.encode(translated), (), 0)
            reply = decode(answer)
            if not reply.get("ok"):
                return answer
            concern_error = reply.get("writeConcernError", concern_error)
            entry = _result(next(iter(op)), index, reply, totals)
            if not entry["ok"] or not command["errorsOnly"]:
                results.append(entry)
            if not entry["ok"] and command["ordered"]:
                break
        batch, cursor_id = self._router.batch(results)
        whole: dict[str, Any] = {
            "cursor": {"id": Int64(cursor_id), "firstBatch": batch, "ns": _NAMESPACE},
            **totals,
            "ok": 1.0,
            **self._router.shard.times,
        }
        if concern_error is not None:
            whole["writeConcernError"] = concern_error
        return bson.encode(whole)

    async def _sort(self, translated: dict[str, Any], op: Mapping[str, Any]) -> None:
        """Let an update find the document that comes first in its order: that is new in 8.0 too."""
        find = {"find": translated["update"], "filter": op["filter"], "sort": op["sort"], "limit": 1}
        answer = await self._backend.exchange(bson.encode({**find, "$db": translated["$db"]}), (), 0)
        for document in decode(answer)["cursor"]["firstBatch"]:
            translated["updates"] = [{**translated["updates"][0], "q": {"_id": document["_id"]}}]


def _translated(
    command: Mapping[str, Any], op: Mapping[str, Any], namespaces: Sequence[str], index: int
) -> dict[str, Any]:
    """The command of one write."""
    name = next(iter(op))
    database, _, collection = namespaces[op[name]].partition(".")
    translated: dict[str, Any] = {name: collection, _FIELDS[name]: [_statement(op)], "$db": database}
    translated |= {field: command[field] for field in _COMMON if field in command}
    if "let" in command and name != "insert":
        translated["let"] = command["let"]
    if command.get("writeConcern", {}).get("w") != 0 and "writeConcern" in command:
        translated["writeConcern"] = command["writeConcern"]
    if index == 0:
        translated |= {field: command[field] for field in ("startTransaction", "readConcern") if field in command}
    if "txnNumber" in command and "autocommit" not in command:
        translated["stmtIds"] = [index]
    return translated


def _statement(op: Mapping[str, Any]) -> Mapping[str, Any]:
    if "insert" in op:
        document: Mapping[str, Any] = op["document"]
        return document
    rest = {name: op[name] for name in ("collation", "hint", "arrayFilters", "upsert") if name in op}
    if "delete" in op:
        return {"q": op["filter"], "limit": 0 if op.get("multi") else 1, **rest}
    return {"q": op["filter"], "u": op["updateMods"], "multi": op.get("multi", False), **rest}


def _result(name: str, index: int, reply: Mapping[str, Any], totals: dict[str, int]) -> dict[str, Any]:
    """The result of one write, added to the counts."""
    errors = reply.get("writeErrors")
    if errors:
        totals["nErrors"] += 1
        failure = {
            key: errors[0][key] for key in ("code", "errmsg", "errInfo", "keyPattern", "keyValue") if key in errors[0]
        }
        return {"ok": 0.0, "idx": index, **failure, "n": 0}
    entry: dict[str, Any] = {"ok": 1.0, "idx": index, "n": reply["n"]}
    if name == "insert":
        totals["nInserted"] += reply["n"]
    elif name == "delete":
        totals["nDeleted"] += reply["n"]
    else:
        upserted = reply.get("upserted") or []
        entry["nModified"] = reply["nModified"]
        totals["nModified"] += reply["nModified"]
        totals["nMatched"] += reply["n"] - len(upserted)
        totals["nUpserted"] += len(upserted)
        if upserted:
            entry["upserted"] = {"_id": upserted[0]["_id"]}
    return entry


class BulkWriteDouble(ShardedDouble):
    """Routers that know bulkWrite, before a real replica set; ``limits`` and ``batch_bytes`` as in the module."""

    def __init__(
        self, *arguments: Any, limits: Mapping[str, int] | None = None, batch_bytes: int = 0, **more: Any
    ) -> None:
        super().__init__(*arguments, **more)
        self._limits = limits or {}
        self._batch_bytes = batch_bytes or BulkWriteRouter.batch_bytes

    async def _router(self, port: int) -> Router:
        router = BulkWriteRouter(self._shard, port)
        router.limits, router.batch_bytes = self._limits, self._batch_bytes
        return router
