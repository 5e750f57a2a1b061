"""A test double of a mongos: a server that looks like a router to a driver, in front of one real replica set.

It is a double, not a mongos. It implements what a driver must get right: ``hello``, transactions that can only
continue on the router that started them, recovery tokens, fail points of each router, cursors of one router and
session, service ids behind a load balancer. It forwards everything else to the primary of the replica set, which is
the one shard: it does not split data, read from secondaries, or retry. Its behaviour is tested against
recordings of a real mongos.

A router that is killed forgets its transactions, cursors and fail points, as a process does; they still exist on the
shard. ``buildInfo`` says that it is a double, so that reports can say so too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Any, NamedTuple

import anyio
import anyio.abc
import bson
from bson import ObjectId
from bson.int64 import Int64

from tests.support.router_errors import as_router_says, failure, labels_for
from tests.support.router_fail_points import FailCommand, FailGetMore, Strike
from tests.support.router_shard import Backend, Shard, ShardLost
from tests.support.router_transactions import Passage, RouterTransactions
from wiredrv.errors import DriverError
from wiredrv.types import Address
from wiredrv.wire.codec import decode, decode_raw
from wiredrv.wire.framing import Framer
from wiredrv.wire.op_msg import (
    EXHAUST_ALLOWED,
    MORE_TO_COME,
    Message,
    decode_message,
    encode_message,
    next_request_id,
)

#: Fields in a double's ``buildInfo`` that a real server's does not have.
MARK = "routerDouble"

_HELLOS = frozenset({"hello", "ismaster"})
_LIMITS = (
    "maxBsonObjectSize",
    "maxMessageSizeBytes",
    "maxWriteBatchSize",
    "logicalSessionTimeoutMinutes",
    "minWireVersion",
    "maxWireVersion",
)
#: Fields that a shard sends to a router and a router does not pass on to clients.
_OF_SHARDS = ("electionId", "opTime", "retriedStmtIds")
_CURSOR_NOT_FOUND, _OTHER_SESSION, _NO_SUCH_COMMAND, _UNREACHABLE, _NO_BALANCER = 43, 50801, 59, 6, 354
_NOT_IN_TRANSACTIONS = 263
_GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


class Router:
    """One router. :meth:`run` serves until :meth:`stop`; both can be called repeatedly."""

    def __init__(self, shard: Shard, port: int) -> None:
        self.shard = shard
        self.address = Address("127.0.0.1", port)
        #: What went wrong in the double itself.
        self.defects: list[BaseException] = []
        self._tasks: anyio.abc.TaskGroup | None = None
        self._stopped = anyio.Event()
        self._connection_ids = count(1)
        self._forget()

    def _forget(self) -> None:
        self.process_id = ObjectId()
        self.fail_point = FailCommand()
        self.fail_get_more = FailGetMore()
        self.transactions = RouterTransactions(self.shard.name)
        self.cursors: dict[int, _Cursor] = {}

    @property
    def running(self) -> bool:
        """Whether it accepts connections."""
        return self._tasks is not None

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Accept connections until the router is stopped."""
        self._stopped = anyio.Event()
        listener = await anyio.create_tcp_listener(local_host=self.address.host, local_port=self.address.port or 0)
        try:
            async with listener, anyio.create_task_group() as self._tasks:
                task_status.started()
                await listener.serve(self.adopt)
        finally:
            self._tasks = None
            self._forget()
            self._stopped.set()

    async def stop(self) -> None:
        """Stop as a killed process does: at once, dropping all connections."""
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()
            await self._stopped.wait()

    async def adopt(self, stream: anyio.abc.SocketStream, balanced: bool = False) -> None:
        """Serve a connection that was accepted; ``balanced``: by a load balancer."""
        if self._tasks is None:
            await anyio.aclose_forcefully(stream)
            return
        self._tasks.start_soon(self._serve, stream, balanced)

    async def _serve(self, stream: anyio.abc.SocketStream, balanced: bool) -> None:
        backend = Backend(self.shard)
        client = self.client(stream, backend, next(self._connection_ids), balanced)
        try:
            await client.run()
        except (*_GONE, DriverError):
            await client.leave()
        except Exception as error:
            self.defects.append(error)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.aclose_forcefully(stream)
                await backend.close()

    def client(self, stream: anyio.abc.SocketStream, backend: Backend, number: int, balanced: bool) -> _Client:
        """What serves a connection."""
        return _Client(self, stream, backend, number, balanced)

    def hello(self, command: Mapping[str, Any], connection_id: int, balanced: bool) -> dict[str, Any]:
        """The router's answer to ``hello`` and its older names."""
        name = next(iter(command))
        if balanced and "client" in command and not command.get("loadBalanced"):
            text = "The server is being accessed through a load balancer, but load balancing is not enabled"
            return failure(_NO_BALANCER, text)
        reply: dict[str, Any] = {
            "isWritablePrimary" if name == "hello" else "ismaster": True,
            "msg": "isdbgrid",
            "topologyVersion": {"processId": self.process_id, "counter": Int64(0)},
            **{key: self.shard.hello[key] for key in _LIMITS if key in self.shard.hello},
            "localTime": datetime.now(UTC),
            "connectionId": connection_id,
            "ok": 1.0,
        }
        if command.get("helloOk"):
            reply["helloOk"] = True
        if balanced and command.get("loadBalanced"):
            reply["serviceId"] = self.process_id
        return reply


class _Cursor(NamedTuple):
    """The owner of a cursor: the session's id, and the fields of the transaction in which it was opened."""

    session: bytes | None
    transaction: Mapping[str, Any] | None
    is_change_stream: bool


class _Client:
    """One connection of a client, with its own connection to the shard."""

    def __init__(
        self, router: Router, stream: anyio.abc.SocketStream, backend: Backend, number: int, balanced: bool
    ) -> None:
        self._router = router
        self._stream = stream
        self._backend = backend
        self._number = number
        self._balanced = balanced
        self._app_name: str | None = None
        # Behind a load balancer: what ends with the connection.
        self._cursors: dict[int, tuple[str, str]] = {}
        self._transactions: dict[bytes, Mapping[str, Any]] = {}

    async def leave(self) -> None:
        """Behind a load balancer, the cursors and transactions of a connection end with it."""
        if not self._balanced:
            return
        mine = [number for number in self._cursors if self._router.cursors.pop(number, None) is not None]
        with contextlib.suppress(ShardLost):
            for number in mine:
                database, collection = self._cursors[number]
                kill = {"killCursors": collection, "cursors": [Int64(number)], "$db": database}
                await self._backend.exchange(bson.encode(kill), (), 0)
            for abort in self._transactions.values():
                await self._backend.exchange(bson.encode({"abortTransaction": 1, **abort}), (), 0)

    async def run(self) -> None:
        framer = Framer()
        while True:
            data = framer.feed(await self._stream.receive())
            while data is not None:
                await self._handle(decode_message(data))
                data = framer.next()

    async def _handle(self, message: Message) -> None:
        command = decode_raw(message.body)
        name = next(iter(command))
        strike: Strike | None = None
        if name != "configureFailPoint":
            if "client" in command and name.lower() in _HELLOS:
                self._app_name = (command["client"].get("application") or {}).get("name")
            strike = self._router.fail_point.meet(command, self._app_name)
        if strike is not None:
            if strike.wait:
                await anyio.sleep(strike.wait)
            if strike.close:
                raise anyio.EndOfStream
            if strike.reply is not None:
                await self._answer(message, strike.reply)
                return
        if name.lower() in _HELLOS:
            await self._hello(message, command)
            return
        own = await self._own_answer(name, command)
        if own is not None:
            await self._answer(message, own)
            return
        body = await self._forward(message, command)
        if strike is not None and strike.write_concern_error is not None:
            extra: dict[str, Any] = {"writeConcernError": strike.write_concern_error}
            body = _append(body, extra | ({"errorLabels": list(strike.labels)} if strike.labels else {}))
        await self._reply(message, body)

    # --- replies ---

    async def _answer(self, message: Message, reply: Mapping[str, Any]) -> None:
        """Send a reply that the router makes itself."""
        await self._reply(message, bson.encode({**reply, **self._router.shard.times}))

    async def _reply(self, message: Message, body: bytes) -> None:
        if not message.more_to_come:
            await self._stream.send(encode_message(body, next_request_id(), response_to=message.request_id))

    async def _hello(self, message: Message, command: Mapping[str, Any]) -> None:
        """Answer at once, or after the client's ``maxAwaitTimeMS``; with exhaustAllowed, again and again."""
        router = self._router
        known = command.get("topologyVersion") or {}
        current = known.get("processId") == router.process_id
        seconds = command.get("maxAwaitTimeMS", 0) / 1000
        streaming = bool(message.flags & EXHAUST_ALLOWED) and "topologyVersion" in command
        answers = message.request_id
        while True:
            if current:
                await anyio.sleep(seconds)
            request_id = next_request_id()
            reply = {**router.hello(command, self._number, self._balanced), **router.shard.times}
            flags = MORE_TO_COME if streaming else 0
            await self._stream.send(encode_message(bson.encode(reply), request_id, (), flags, answers))
            if not streaming:
                return
            current, answers = True, request_id
            strike = router.fail_point.meet(command, self._app_name)
            if strike is not None:
                await anyio.sleep(strike.wait)
                if strike.close:
                    raise anyio.EndOfStream
                if strike.reply is not None:
                    body = bson.encode({**strike.reply, **router.shard.times})
                    await self._stream.send(encode_message(body, next_request_id(), (), 0, answers))
                    return

    # --- what the router decides by itself ---

    async def _own_answer(self, name: str, command: Mapping[str, Any]) -> Mapping[str, Any] | None:
        router = self._router
        if name == "configureFailPoint":
            return self._configure(decode(command.raw))  # type: ignore[attr-defined]  # a RawBSONDocument
        if name == "waitForFailPoint":
            return await self._wait_for_fail_point(command)
        if name == "isdbgrid":
            return {"isdbgrid": 1, "hostname": "router double", "ok": 1.0}
        if name == "listShards":
            host = f"{router.shard.name}/{','.join(map(str, router.shard.members))}"
            return {"shards": [{"_id": router.shard.name, "host": host, "state": 1}], "ok": 1.0}
        if name.startswith("replSet"):
            return failure(_NO_SUCH_COMMAND, f"no such cmd: {name}")
        if name == "getMore":
            return self._cursor_refusal(command)
        if _is_change_stream(command) and "autocommit" in command:
            return failure(_NOT_IN_TRANSACTIONS, "$changeStream cannot run within a multi-document transaction")
        if name == "killCursors" and not any(int(one) in router.cursors for one in command["cursors"]):
            none: dict[str, Any] = {"cursorsKilled": [], "cursorsAlive": [], "cursorsUnknown": []}
            return {**none, "cursorsNotFound": list(command["cursors"]), "ok": 1.0}
        return None

    def _configure(self, command: Mapping[str, Any]) -> Mapping[str, Any]:
        name = command["configureFailPoint"]
        points = {"failCommand": self._router.fail_point, "failGetMoreAfterCursorCheckout": self._router.fail_get_more}
        if name not in points:
            return failure(2, f"the router double knows no fail point {name!r}")
        return points[name].configure(command)

    async def _wait_for_fail_point(self, command: Mapping[str, Any]) -> Mapping[str, Any]:
        with anyio.move_on_after(command.get("maxTimeMS", 10_000) / 1000):
            while self._router.fail_point.count < command["timesEntered"]:  # noqa: ASYNC110 - the fail point is pure
                await anyio.sleep(0.005)
            return {"ok": 1.0}
        return failure(50, "operation exceeded time limit")

    def _cursor_refusal(self, command: Mapping[str, Any]) -> Mapping[str, Any] | None:
        number, cursors = int(command["getMore"]), self._router.cursors
        if number not in cursors:
            namespace = f"{command['$db']}.{command['collection']}"
            return failure(_CURSOR_NOT_FOUND, f"Cursor not found (namespace: '{namespace}', id: {number}).")
        if cursors[number].session != _session(command):
            return failure(_OTHER_SESSION, f"Cannot run getMore on cursor {number}, which another session created")
        return self._router.fail_get_more.meet(cursors[number].is_change_stream)

    # --- what the shard answers ---

    async def _forward(self, message: Message, command: Mapping[str, Any]) -> bytes:
        name = next(iter(command))
        try:
            if "autocommit" in command and "lsid" in command:
                return await self._in_transaction(message, command)
            asked = _opened_empty(command) if _is_change_stream(command) else bytes(message.body)
            body = as_router_says(name, await self._ask(message, asked), self._router.shard.name)
            if name == "killCursors":
                await self._abort_where_killed(command)
        except ShardLost as lost:
            reply = failure(_UNREACHABLE, str(lost), labels_for(command, _UNREACHABLE))
            return bson.encode({**reply, **self._router.shard.times})
        self._note_cursors(command, body)
        return _append(body, {MARK: True}) if "buildInfo" in command or "buildinfo" in command else body

    async def _ask(self, message: Message, body: bytes) -> bytes:
        flags = message.flags & MORE_TO_COME
        reply = await self._backend.exchange(body, message.sequences, flags)
        fields = decode_raw(reply)
        return _without(fields, *_OF_SHARDS) if any(field in fields for field in _OF_SHARDS) else reply

    async def _abort_where_killed(self, command: Mapping[str, Any]) -> None:
        """Killing a transaction's cursor without the transaction's fields aborts the transaction."""
        for number in command["cursors"]:
            cursor = self._router.cursors.get(int(number))
            if cursor is not None and cursor.transaction is not None:
                abort = {"abortTransaction": 1, **cursor.transaction, "$db": "admin"}
                await self._backend.exchange(bson.encode(abort), (), 0)

    async def _in_transaction(self, message: Message, command: Mapping[str, Any]) -> bytes:
        transactions = self._router.transactions
        passage = transactions.admit(command)
        if isinstance(passage, Mapping):
            return bson.encode({**passage, **self._router.shard.times})
        if passage is Passage.RECOVER:
            body = await self._recover(message, command)
        elif "recoveryToken" in command:
            body = await self._ask(message, _without(command, "recoveryToken"))
        else:
            body = await self._ask(message, bytes(message.body))
        if self._balanced:
            self._note_transaction(command)
        token = transactions.token(command, decode_raw(body))
        self._note_cursors(command, body)
        return body if token is None else _append(body, {"recoveryToken": token})

    def _note_transaction(self, command: Mapping[str, Any]) -> None:
        session = bytes(command["lsid"]["id"])
        if command.get("startTransaction"):
            self._transactions[session] = {**(_transaction(command) or {}), "$db": "admin"}
        elif "commitTransaction" in command or "abortTransaction" in command:
            self._transactions.pop(session, None)

    async def _recover(self, message: Message, command: Mapping[str, Any]) -> bytes:
        """Find a transaction's outcome on the shard. This aborts one that is still open."""
        abort = {key: command[key] for key in ("lsid", "txnNumber", "autocommit", "$db")}
        body = await self._ask(message, bson.encode({"abortTransaction": 1, **abort}))
        reply = decode_raw(body)
        if reply.get("ok") or reply.get("code") == 251:
            text = "Recovering the transaction's outcome found the transaction aborted"
            refusal = failure(251, text, ["TransientTransactionError"])
            return bson.encode({**refusal, **self._router.shard.times})
        if reply.get("code") != 256:
            return body
        return await self._ask(message, _without(command, "recoveryToken"))

    def _note_cursors(self, command: Mapping[str, Any], body: bytes) -> None:
        cursors = self._router.cursors
        if "killAllSessions" in command:
            cursors.clear()
        elif "killSessions" in command:
            killed = {bytes(one["id"]) for one in command["killSessions"]}
            for number in [number for number, cursor in cursors.items() if cursor.session in killed]:
                del cursors[number]
        elif "killCursors" in command:
            for number in command["cursors"]:
                cursors.pop(int(number), None)
        elif "getMore" in command:
            reply = decode_raw(body)
            if not reply.get("ok") or not reply["cursor"]["id"]:
                cursors.pop(int(command["getMore"]), None)
        else:
            cursor = decode_raw(body).get("cursor")
            if isinstance(cursor, Mapping) and cursor.get("id"):
                cursors[int(cursor["id"])] = _Cursor(
                    _session(command), _transaction(command), _is_change_stream(command)
                )
                if self._balanced:
                    database, _, collection = str(cursor["ns"]).partition(".")
                    self._cursors[int(cursor["id"])] = (database, collection)


def _is_change_stream(command: Mapping[str, Any]) -> bool:
    pipeline: Any = command.get("pipeline") if "aggregate" in command else None
    return bool(pipeline) and "$changeStream" in pipeline[0]


def _opened_empty(command: Mapping[str, Any]) -> bytes:
    """The aggregate of a change stream: a mongos opens the cursors on the shards first, so its first batch is empty."""
    return bson.encode({**command, "cursor": {"batchSize": 0}})


def _session(command: Mapping[str, Any]) -> bytes | None:
    with contextlib.suppress(KeyError, TypeError):
        return bytes(command["lsid"]["id"])
    return None


def _transaction(command: Mapping[str, Any]) -> dict[str, Any] | None:
    """The fields that make a command part of its transaction."""
    return {key: command[key] for key in ("lsid", "txnNumber", "autocommit")} if "autocommit" in command else None


def _append(body: bytes, extra: Mapping[str, Any]) -> bytes:
    """An encoded document with more fields at its end; the others keep their bytes."""
    elements = body[4:-1] + bson.encode(extra)[4:-1]
    return (len(elements) + 5).to_bytes(4, "little") + elements + b"\x00"


def _without(document: Mapping[str, Any], *fields: str) -> bytes:
    return bson.encode({key: value for key, value in document.items() if key not in fields})
