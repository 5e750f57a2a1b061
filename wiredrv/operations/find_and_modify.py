"""findAndModify: change or delete one document and return it, as it was before or after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from wiredrv.errors import UnreadableReply
from wiredrv.operations.base import RETRIED_WRITE, Limits, Operation, Target, add_options
from wiredrv.operations.failures import check_hint, raise_concern_failure
from wiredrv.types import Address, Document, DocumentT, PlainDocument, Reply
from wiredrv.wire.codec import decode_document


@dataclass(frozen=True, slots=True)
class FindAndModify(Operation[DocumentT | None]):
    """``change`` is ``{"update": ...}`` or ``{"remove": True}``; ``options`` have the wire's names.

    The value is the document, or None if none matched.
    """

    name: ClassVar[str] = "findAndModify"
    traits = RETRIED_WRITE

    target: Target
    filter: Document
    change: Document
    options: Document

    def command(self, limits: Limits) -> PlainDocument:
        check_hint(self.options, self.target, limits)
        command = {"findAndModify": self.target.collection, "query": self.filter, **self.change}
        return add_options(command, self.options, limits)

    def parse(self, reply: Reply, address: Address) -> DocumentT | None:
        raise_concern_failure(reply)
        value: DocumentT | None = reply.get("value")
        if value is None:
            return None
        if self.target.plain:
            if type(value) is not dict:
                raise UnreadableReply(f"its 'value' is a {type(value).__name__}, not a document")
            return value
        decoded: DocumentT = decode_document(value, self.target.codec_options)
        return decoded
