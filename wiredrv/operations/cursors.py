"""The commands of cursors: the reply that opens one, getMore, killCursors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from reprlib import repr as shown
from typing import Any, ClassVar

import bson

from wiredrv.errors import UnreadableReply
from wiredrv.operations.base import NEVER_ENCODED, Limits, Operation, OperationKind, Target, Traits
from wiredrv.server_facts import SERVER_4_4
from wiredrv.types import Address, Document, Pin, PlainDocument, Reply, ServerCursor
from wiredrv.wire.batch import Batch
from wiredrv.wire.codec import decode_documents

#: The types of the documents of a reply that was decoded with the driver's own options.
_PLAIN = frozenset({dict})


@dataclass(slots=True)
class CursorReply:
    """A batch of a cursor. ``id`` is 0 when the server has no more.

    ``lease`` is the implicit server session that goes with an open cursor, ``pin`` the connection that it needs behind
    a load balancer, or while the server ``streams`` its batches there, and ``opened_in`` the number of the transaction
    that it was opened in (0: in none); the executor sets them. ``reply`` is the whole reply, for callers that need more
    of it (post batch resume tokens).
    """

    id: int
    namespace: str
    batch: list[Any] | Batch
    address: Address
    reply: Reply = field(repr=False)
    lease: Any = None
    pin: Pin | None = None
    opened_in: int = 0
    streams: bool = False

    @property
    def is_change_stream(self) -> bool:
        """Whether the cursor is a change stream's: its replies contain a token for resuming, and it has no end."""
        cursor = self.reply.get("cursor")
        return isinstance(cursor, Mapping) and "postBatchResumeToken" in cursor


def parse_cursor(reply: Reply, address: Address, target: Target, batch_field: str = "firstBatch") -> CursorReply:
    """Read the ``cursor`` of a reply.

    :raises UnreadableReply: there is none, or its documents cannot be decoded.
    """
    cursor = reply.get("cursor")
    if not isinstance(cursor, Mapping):
        raise UnreadableReply("it contains no cursor")
    number, namespace = cursor.get("id", 0), cursor.get("ns", "")
    if not isinstance(number, int) or isinstance(number, bool) or not isinstance(namespace, str):
        raise UnreadableReply(f"its cursor has the id {shown(number)} and the namespace {shown(namespace)}")
    batch = documents_in(cursor, batch_field, target)
    return CursorReply(int(number), namespace, batch, address, reply)


def documents_in(cursor: Document, batch_field: str, target: Target) -> list[Any] | Batch:
    """The documents of a batch, decoded with the user's options, or encoded where they are decoded as they are read.

    :raises UnreadableReply: there is no such batch, or one of its documents cannot be decoded.
    """
    batch = cursor.get(batch_field)
    if isinstance(batch, Batch):
        return batch
    if not isinstance(batch, list):
        raise UnreadableReply(f"its cursor has no {batch_field}")
    if not target.plain:
        return decode_documents(batch, target.codec_options)
    if not set(map(type, batch)) <= _PLAIN:
        raise UnreadableReply(f"its {batch_field} contains something other than documents")
    return batch


@dataclass(frozen=True, slots=True)
class GetMore(Operation[CursorReply]):
    """The next batch of a cursor. Retried for overload only (retryable-reads specification)."""

    name: ClassVar[str] = "getMore"
    # The server refuses to read a cursor in another session than the one it was opened in, or without it.
    traits = Traits(opens_cursor=True, takes_session=False, waits_for_server=True, keeps_max_time=True)

    target: Target
    cursor_id: int
    collection: str
    server: Address
    lease: Any = None
    batch_size: int | None = None
    max_time_ms: int | None = None
    comment: object = None
    pin: Pin | None = None
    opened_in: int = 0
    encoded_from: int = NEVER_ENCODED
    exhaust: bool = False

    def command(self, limits: Limits) -> PlainDocument:
        command: PlainDocument = {"getMore": bson.int64.Int64(self.cursor_id), "collection": self.collection}
        if self.batch_size:
            command["batchSize"] = self.batch_size
        if self.max_time_ms is not None:
            command["maxTimeMS"] = self.max_time_ms
        if self.comment is not None and limits.max_wire_version >= SERVER_4_4:
            command["comment"] = self.comment
        return command

    def parse(self, reply: Reply, address: Address) -> CursorReply:
        return parse_cursor(reply, address, self.target, "nextBatch")


@dataclass(frozen=True, slots=True)
class RangeGetMore(GetMore):
    """The next batch of a scan's range. It does not wait for a server that failed: another one continues the range."""

    traits = replace(GetMore.traits, waits_for_server=False)


@dataclass(frozen=True, slots=True)
class KillCursors(Operation[None]):
    """Close cursors on the server. It takes part in a transaction only if the cursor was opened in it."""

    name: ClassVar[str] = "killCursors"
    traits = Traits(OperationKind.HOUSEKEEPING)

    target: Target
    collection: str
    cursor_ids: tuple[int, ...]
    server: Address
    lease: Any = None
    pin: Pin | None = None
    opened_in: int = 0

    def command(self, limits: Limits) -> PlainDocument:
        return {"killCursors": self.collection, "cursors": [bson.int64.Int64(number) for number in self.cursor_ids]}

    def parse(self, reply: Reply, address: Address) -> None:
        return None


def kill(cursor: ServerCursor, opened_in: int = 0) -> KillCursors:
    """The command that kills a cursor; ``opened_in`` is the number of the transaction that it belongs to (0: none)."""
    database, _, collection = cursor.namespace.partition(".")
    target = Target(database, limit=cursor.limit)
    return KillCursors(target, collection, (cursor.id,), cursor.address, cursor.lease, cursor.pin, opened_in)
