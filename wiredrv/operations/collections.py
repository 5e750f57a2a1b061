"""listCollections, create, drop, renameCollection, validate. Enumerate-collections specification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from wiredrv.operations.base import WRITE, Limits, Operation, OperationKind, Target, Traits, add_options, decoded
from wiredrv.operations.cursors import CursorReply, parse_cursor
from wiredrv.operations.failures import raise_concern_failure
from wiredrv.types import Address, Document, PlainDocument, Reply


@dataclass(frozen=True, slots=True)
class ListCollections(Operation[CursorReply]):
    """The collections of a database, from the primary."""

    name: ClassVar[str] = "listCollections"
    traits = Traits(retryable=True, opens_cursor=True, reads_primary=True)

    target: Target
    options: Document
    batch_size: int | None = None

    def command(self, limits: Limits) -> PlainDocument:
        cursor = {} if self.batch_size is None else {"batchSize": self.batch_size}
        return add_options({"listCollections": 1, "cursor": cursor}, self.options, limits)

    def parse(self, reply: Reply, address: Address) -> CursorReply:
        return parse_cursor(reply, address, self.target)


@dataclass(frozen=True, slots=True)
class Create(Operation[None]):
    """Create a collection or a view."""

    name: ClassVar[str] = "create"
    traits = WRITE

    target: Target
    options: Document

    def command(self, limits: Limits) -> PlainDocument:
        return add_options({"create": self.target.collection}, self.options, limits)

    def parse(self, reply: Reply, address: Address) -> None:
        raise_concern_failure(reply)


@dataclass(frozen=True, slots=True)
class Drop(Operation[Reply]):
    """Drop a collection. Servers before 7.0 answer ``NamespaceNotFound`` if there is none."""

    name: ClassVar[str] = "drop"
    traits = WRITE

    target: Target
    options: Document

    def command(self, limits: Limits) -> PlainDocument:
        return add_options({"drop": self.target.collection}, self.options, limits)

    def parse(self, reply: Reply, address: Address) -> Reply:
        raise_concern_failure(reply)
        return reply


@dataclass(frozen=True, slots=True)
class Validate(Operation[Reply]):
    """Check a collection's data and indexes, on the primary."""

    name: ClassVar[str] = "validate"
    traits = Traits(OperationKind.COMMAND, reads_primary=True)

    target: Target
    options: Document

    def command(self, limits: Limits) -> PlainDocument:
        return add_options({"validate": self.target.collection}, self.options, limits)

    def parse(self, reply: Reply, address: Address) -> Reply:
        return decoded(reply, self.target)


def is_valid(reply: Reply) -> bool:
    """Whether the reply to a validate says that the collection is valid; on a sharded cluster, on every shard."""
    shards = reply.get("raw")
    if isinstance(shards, Mapping):
        return all(isinstance(found, Mapping) and bool(found.get("valid")) for found in shards.values())
    return bool(reply.get("valid"))


@dataclass(frozen=True, slots=True)
class Rename(Operation[Reply]):
    """Rename a collection. Runs on the admin database."""

    name: ClassVar[str] = "renameCollection"
    traits = Traits(OperationKind.WRITE, accepts_write_concern=True)

    #: The admin database, with the write concern of the collection.
    target: Target
    old: str
    new: str
    options: Document

    def command(self, limits: Limits) -> PlainDocument:
        return add_options({"renameCollection": self.old, "to": self.new}, self.options, limits)

    def parse(self, reply: Reply, address: Address) -> Reply:
        raise_concern_failure(reply)
        return reply
