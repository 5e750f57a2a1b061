"""listDatabases and dropDatabase. Enumerate-databases specification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from wiredrv.operations.base import WRITE, Limits, Operation, Target, Traits, add_options, decoded, field_of
from wiredrv.operations.cursors import CursorReply
from wiredrv.operations.failures import raise_concern_failure
from wiredrv.types import Address, Document, PlainDocument, Reply


@dataclass(frozen=True, slots=True)
class ListDatabases(Operation[CursorReply]):
    """The databases of the deployment, from its primary. The reply has all of them, so no cursor is left open."""

    name: ClassVar[str] = "listDatabases"
    traits = Traits(retryable=True, reads_primary=True)

    target: Target
    options: Document

    def command(self, limits: Limits) -> PlainDocument:
        return add_options({"listDatabases": 1}, self.options, limits)

    def parse(self, reply: Reply, address: Address) -> CursorReply:
        databases = [dict(entry) for entry in field_of(decoded(reply, self.target), "databases", list)]
        return CursorReply(0, "admin.$cmd", databases, address, reply)


@dataclass(frozen=True, slots=True)
class DropDatabase(Operation[None]):
    """Drop a database with all its collections."""

    name: ClassVar[str] = "dropDatabase"
    traits = WRITE

    target: Target
    options: Document

    def command(self, limits: Limits) -> PlainDocument:
        return add_options({"dropDatabase": 1}, self.options, limits)

    def parse(self, reply: Reply, address: Address) -> None:
        raise_concern_failure(reply)
