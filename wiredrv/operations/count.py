"""count: the estimate from a collection's metadata, and the legacy count of a query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from wiredrv.operations.base import READ, Limits, Operation, Target, add_options, count_in
from wiredrv.types import Address, Document, PlainDocument, Reply


@dataclass(frozen=True, slots=True)
class Count(Operation[int]):
    """Without a ``query`` among its options, an estimate. With one, the deprecated count of older drivers."""

    name: ClassVar[str] = "count"
    traits = READ

    target: Target
    options: Document

    def command(self, limits: Limits) -> PlainDocument:
        return add_options({"count": self.target.collection}, self.options, limits)

    def parse(self, reply: Reply, address: Address) -> int:
        return count_in(reply, "n")
