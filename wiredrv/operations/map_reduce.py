"""mapReduce, which is deprecated: only with its results inline, for code that does not use aggregate yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from bson.code import Code

from wiredrv.operations.base import Limits, Operation, Target, Traits, add_options, decoded, field_of
from wiredrv.types import Address, Document, PlainDocument, Reply


@dataclass(frozen=True, slots=True)
class MapReduce(Operation[list[Any]]):
    """Run a map-reduce with ``out: {inline: 1}``. It is not among the retryable reads."""

    name: ClassVar[str] = "mapReduce"
    # Servers refuse afterClusterTime on it, so a causally consistent session could not run it otherwise.
    traits = Traits(accepts_read_concern=True)

    target: Target
    map: str
    reduce: str
    options: Document

    def command(self, limits: Limits) -> PlainDocument:
        command: PlainDocument = {
            "mapReduce": self.target.collection,
            "map": Code(self.map),
            "reduce": Code(self.reduce),
            "out": {"inline": 1},
        }
        return add_options(command, self.options, limits)

    def parse(self, reply: Reply, address: Address) -> list[Any]:
        results: list[Any] = field_of(decoded(reply, self.target), "results", list)
        return results
