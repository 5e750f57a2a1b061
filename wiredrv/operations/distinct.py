"""distinct: the values that a field has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from wiredrv.operations.base import READ, Limits, Operation, Target, add_options, decoded, field_of
from wiredrv.types import Address, Document, PlainDocument, Reply


@dataclass(frozen=True, slots=True)
class Distinct(Operation[list[Any]]):
    """The distinct values of ``key`` among the documents that match the options' ``query``."""

    name: ClassVar[str] = "distinct"
    traits = READ

    target: Target
    key: str
    options: Document

    def command(self, limits: Limits) -> PlainDocument:
        return add_options({"distinct": self.target.collection, "key": self.key}, self.options, limits)

    def parse(self, reply: Reply, address: Address) -> list[Any]:
        values: list[Any] = field_of(decoded(reply, self.target), "values", list)
        return values
