"""delete, with one statement: of one document or of many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from wiredrv.operations.base import RETRIED_WRITE, Limits, Operation, Target, add_options, count_in
from wiredrv.operations.failures import check_statement, raise_write_failure
from wiredrv.operations.results import DeleteResult
from wiredrv.types import Address, Document, PlainDocument, Reply


@dataclass(frozen=True, slots=True)
class Delete(Operation[DeleteResult]):
    """Apply one statement: ``{"q": filter, "limit": 1}``, or ``"limit": 0`` for all that match."""

    name: ClassVar[str] = "delete"
    traits = RETRIED_WRITE

    target: Target
    statement: Document
    options: Document

    def command(self, limits: Limits) -> PlainDocument:
        check_statement(self.statement, self.target, limits)
        command = {"delete": self.target.collection, "ordered": True, "deletes": [self.statement]}
        return add_options(command, self.options, limits) if self.options else command

    def parse(self, reply: Reply, address: Address) -> DeleteResult:
        if "writeErrors" in reply or "writeConcernError" in reply:
            raise_write_failure(reply)
        count_in(reply, "n")
        return DeleteResult(reply, bool(reply))

    @property
    def touches_many(self) -> bool:
        return bool(self.statement["limit"] != 1)
