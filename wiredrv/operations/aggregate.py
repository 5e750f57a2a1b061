"""aggregate: a pipeline on a collection or a database; one that ends in ``$out`` or ``$merge`` writes.

CRUD specification, "Aggregate" and "Read Preferences for Aggregations with $out/$merge".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from wiredrv.operations.base import (
    CURSOR_READ,
    NEVER_ENCODED,
    READ,
    Limits,
    Operation,
    Target,
    Traits,
    add_options,
    count_in,
)
from wiredrv.operations.cursors import CursorReply, parse_cursor
from wiredrv.operations.failures import raise_concern_failure
from wiredrv.server_facts import SERVER_5_0
from wiredrv.types import Address, Document, PlainDocument, Reply

_WRITING = replace(
    CURSOR_READ, retryable=False, accepts_write_concern=True, has_write_stage=True, secondaries_since=SERVER_5_0
)

#: Of a pipeline that lists search indexes: it takes no read concern (index-management, "Search Indexes").
_OF_SEARCH = replace(CURSOR_READ, accepts_read_concern=False, accepts_cluster_time=False)


def writes(pipeline: Sequence[Document]) -> bool:
    """Whether the pipeline's last stage writes its result to a collection."""
    return bool(pipeline) and ("$out" in pipeline[-1] or "$merge" in pipeline[-1])


@dataclass(frozen=True, slots=True)
class Aggregate(Operation[CursorReply]):
    """Run a pipeline and open a cursor on its result.

    :param target: with an empty collection for a pipeline on the database itself.
    :param pipeline: the stages.
    :param options: the command's own fields under the wire's names.
    :param batch_size: documents in the first batch; not sent with a pipeline that writes, which it would suppress.
    """

    name: ClassVar[str] = "aggregate"

    target: Target
    pipeline: Sequence[Document]
    options: Document
    batch_size: int | None = None
    encoded_from: int = NEVER_ENCODED

    def command(self, limits: Limits) -> PlainDocument:
        cursor = {} if self.batch_size is None or writes(self.pipeline) else {"batchSize": self.batch_size}
        command = {"aggregate": self.target.collection or 1, "pipeline": self.pipeline, "cursor": cursor}
        return add_options(command, self.options, limits) if self.options else command

    def parse(self, reply: Reply, address: Address) -> CursorReply:
        if not reply:
            return CursorReply(0, self.target.namespace, [], address, reply)
        raise_concern_failure(reply)
        return parse_cursor(reply, address, self.target)

    @property
    def traits(self) -> Traits:
        if writes(self.pipeline):
            return _WRITING
        return _OF_SEARCH if self.pipeline and "$listSearchIndexes" in self.pipeline[0] else CURSOR_READ


@dataclass(frozen=True, slots=True)
class CountDocuments(Operation[int]):
    """The exact number of documents that match: an aggregate that groups them (CRUD specification)."""

    name: ClassVar[str] = "aggregate"
    traits = READ

    target: Target
    filter: Document
    options: Document
    skip: int | None = None
    limit: int | None = None

    def command(self, limits: Limits) -> PlainDocument:
        pipeline: list[PlainDocument] = [{"$match": self.filter}]
        if self.skip:
            pipeline.append({"$skip": self.skip})
        if self.limit:
            pipeline.append({"$limit": self.limit})
        pipeline.append({"$group": {"_id": 1, "n": {"$sum": 1}}})
        command = {"aggregate": self.target.collection, "pipeline": pipeline, "cursor": {}}
        return add_options(command, self.options, limits)

    def parse(self, reply: Reply, address: Address) -> int:
        batch = parse_cursor(reply, address, self.target).batch
        assert isinstance(batch, list)  # this operation's replies are decoded as a whole
        return count_in(batch[0], "n") if batch else 0
