"""createIndexes, listIndexes, dropIndexes. Index-management specification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from wiredrv.errors import ConfigurationError
from wiredrv.operations.base import WRITE, Limits, Operation, Target, Traits, add_options
from wiredrv.operations.cursors import CursorReply, parse_cursor
from wiredrv.operations.failures import raise_concern_failure
from wiredrv.server_facts import SERVER_4_4
from wiredrv.types import Address, Document, PlainDocument, Reply


@dataclass(frozen=True, slots=True)
class CreateIndexes(Operation[list[str]]):
    """Create indexes; the value is their names. Each of ``indexes`` has a ``key`` and a ``name``."""

    name: ClassVar[str] = "createIndexes"
    traits = WRITE

    target: Target
    indexes: Sequence[Document]
    options: Document

    def command(self, limits: Limits) -> PlainDocument:
        if "commitQuorum" in self.options and limits.max_wire_version < SERVER_4_4:
            raise ConfigurationError("commitQuorum needs server 4.4 or later")
        command = {"createIndexes": self.target.collection, "indexes": list(self.indexes)}
        return add_options(command, self.options, limits)

    def parse(self, reply: Reply, address: Address) -> list[str]:
        raise_concern_failure(reply)
        return [index["name"] for index in self.indexes]


@dataclass(frozen=True, slots=True)
class ListIndexes(Operation[CursorReply]):
    """The indexes of a collection, from the primary."""

    name: ClassVar[str] = "listIndexes"
    traits = Traits(retryable=True, opens_cursor=True, reads_primary=True)

    target: Target
    options: Document
    batch_size: int | None = None

    def command(self, limits: Limits) -> PlainDocument:
        cursor = {} if self.batch_size is None else {"batchSize": self.batch_size}
        return add_options({"listIndexes": self.target.collection, "cursor": cursor}, self.options, limits)

    def parse(self, reply: Reply, address: Address) -> CursorReply:
        return parse_cursor(reply, address, self.target)


@dataclass(frozen=True, slots=True)
class DropIndexes(Operation[None]):
    """Drop the index of a name or of a key pattern, or all but that of ``_id`` (``"*"``)."""

    name: ClassVar[str] = "dropIndexes"
    traits = WRITE

    target: Target
    index: str | Document
    options: Document

    def command(self, limits: Limits) -> PlainDocument:
        return add_options({"dropIndexes": self.target.collection, "index": self.index}, self.options, limits)

    def parse(self, reply: Reply, address: Address) -> None:
        raise_concern_failure(reply)
