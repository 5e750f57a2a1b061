"""update, with one statement: of one document or of many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from reprlib import repr as shown
from typing import ClassVar

from wiredrv.errors import UnreadableReply
from wiredrv.operations.base import (
    RETRIED_WRITE,
    Limits,
    Operation,
    Target,
    add_options,
    count_in,
    decoded,
)
from wiredrv.operations.failures import check_statement, raise_write_failure
from wiredrv.operations.results import UpdateResult
from wiredrv.types import Address, Document, PlainDocument, Reply


@dataclass(frozen=True, slots=True)
class Update(Operation[UpdateResult]):
    """Apply one statement: ``{"q": filter, "u": update, "multi": ..., ...}``. ``options`` are the command's."""

    name: ClassVar[str] = "update"
    traits = RETRIED_WRITE

    target: Target
    statement: Document
    options: Document

    def command(self, limits: Limits) -> PlainDocument:
        check_statement(self.statement, self.target, limits)
        command = {"update": self.target.collection, "ordered": True, "updates": [self.statement]}
        return add_options(command, self.options, limits) if self.options else command

    def parse(self, reply: Reply, address: Address) -> UpdateResult:
        if "writeErrors" in reply or "writeConcernError" in reply:
            raise_write_failure(reply)
        if not self.target.plain:
            reply = decoded(reply, self.target)
        count_in(reply, "n")
        count_in(reply, "nModified")
        if reply.get("upserted"):
            _check_upserted(reply["upserted"])
        return UpdateResult(reply, bool(reply))

    @property
    def touches_many(self) -> bool:
        return bool(self.statement.get("multi"))


def _check_upserted(upserted: object) -> None:
    first = upserted[0] if isinstance(upserted, list) else None
    if not isinstance(first, Mapping) or "_id" not in first:
        raise UnreadableReply(f"its 'upserted' is {shown(upserted)}")
