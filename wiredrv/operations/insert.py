"""insert, of one document. For many documents see :mod:`wiredrv.operations.write_batch`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from wiredrv.operations.base import RETRIED_WRITE, Limits, Operation, Target, add_options
from wiredrv.operations.failures import raise_write_failure
from wiredrv.operations.results import InsertOneResult
from wiredrv.types import Address, Document, PlainDocument, Reply


@dataclass(frozen=True, slots=True)
class Insert(Operation[InsertOneResult]):
    """Insert one document, whose ``_id`` is ``inserted_id``. ``options`` have the wire's names."""

    name: ClassVar[str] = "insert"
    traits = RETRIED_WRITE

    target: Target
    document: Document
    inserted_id: Any
    options: Document

    def command(self, limits: Limits) -> PlainDocument:
        command = {"insert": self.target.collection, "ordered": True, "documents": [self.document]}
        return add_options(command, self.options, limits) if self.options else command

    def parse(self, reply: Reply, address: Address) -> InsertOneResult:
        if "writeErrors" in reply or "writeConcernError" in reply:
            raise_write_failure(reply)
        return InsertOneResult(self.inserted_id, bool(reply))
