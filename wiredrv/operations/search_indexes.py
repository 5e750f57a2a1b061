"""createSearchIndexes, updateSearchIndex, dropSearchIndex. Index-management specification, "Search Indexes".

They have neither a read concern nor a write concern: the server passes them on to a process that refuses both. An
aggregate with ``$listSearchIndexes`` lists the indexes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from wiredrv.errors import UnreadableReply
from wiredrv.operations.base import Limits, Operation, OperationKind, Target, Traits, add_options, field_of
from wiredrv.types import Address, Document, PlainDocument, Reply

_MANAGES = Traits(OperationKind.WRITE)


@dataclass(frozen=True, slots=True)
class CreateSearchIndexes(Operation[list[str]]):
    """Have search indexes built; the value is their names. Each of ``indexes`` has a ``definition``."""

    name: ClassVar[str] = "createSearchIndexes"
    traits = _MANAGES

    target: Target
    indexes: Sequence[Document]
    options: Document

    def command(self, limits: Limits) -> PlainDocument:
        command = {"createSearchIndexes": self.target.collection, "indexes": list(self.indexes)}
        return add_options(command, self.options, limits)

    def parse(self, reply: Reply, address: Address) -> list[str]:
        created = reply.get("indexesCreated")
        if not isinstance(created, list) or len(created) != len(self.indexes):
            raise UnreadableReply("its 'indexesCreated' does not name the indexes that were to be created")
        return [field_of(index, "name", str) for index in created]


@dataclass(frozen=True, slots=True)
class UpdateSearchIndex(Operation[None]):
    """Have a search index built again by another definition."""

    name: ClassVar[str] = "updateSearchIndex"
    traits = _MANAGES

    target: Target
    index: str
    definition: Document
    options: Document

    def command(self, limits: Limits) -> PlainDocument:
        command = {"updateSearchIndex": self.target.collection, "name": self.index, "definition": self.definition}
        return add_options(command, self.options, limits)

    def parse(self, reply: Reply, address: Address) -> None:
        return None


@dataclass(frozen=True, slots=True)
class DropSearchIndex(Operation[None]):
    """Drop a search index."""

    name: ClassVar[str] = "dropSearchIndex"
    traits = _MANAGES

    target: Target
    index: str
    options: Document

    def command(self, limits: Limits) -> PlainDocument:
        return add_options({"dropSearchIndex": self.target.collection, "name": self.index}, self.options, limits)

    def parse(self, reply: Reply, address: Address) -> None:
        return None
