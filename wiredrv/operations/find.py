"""find: a cursor over the documents that match, or the first of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from wiredrv.errors import UnreadableReply
from wiredrv.operations.base import CURSOR_READ, NEVER_ENCODED, READ, Limits, Operation, Target, add_options
from wiredrv.operations.cursors import CursorReply, parse_cursor
from wiredrv.types import Address, Document, DocumentT, PlainDocument, Reply
from wiredrv.wire.codec import decode_document


@dataclass(frozen=True, slots=True)
class Find(Operation[CursorReply]):
    """Open a cursor. ``options`` are the command's own fields, already checked, under the wire's names."""

    name: ClassVar[str] = "find"
    traits = CURSOR_READ

    target: Target
    filter: Document
    options: Document
    encoded_from: int = NEVER_ENCODED

    def command(self, limits: Limits) -> PlainDocument:
        return add_options({"find": self.target.collection, "filter": self.filter}, self.options, limits)

    def parse(self, reply: Reply, address: Address) -> CursorReply:
        return parse_cursor(reply, address, self.target)


@dataclass(frozen=True, slots=True)
class FindOne(Operation[DocumentT | None]):
    """The first document that matches, or None. It leaves no cursor open: the command has ``singleBatch``."""

    name: ClassVar[str] = "find"
    traits = READ

    target: Target
    filter: Document
    options: Document

    def command(self, limits: Limits) -> PlainDocument:
        command = {"find": self.target.collection, "filter": self.filter, "limit": 1, "singleBatch": True}
        return add_options(command, self.options, limits) if self.options else command

    def parse(self, reply: Reply, address: Address) -> DocumentT | None:
        batch = reply["cursor"]["firstBatch"]
        if type(batch) is not list:
            raise UnreadableReply(f"its firstBatch is a {type(batch).__name__}")
        if not batch:
            return None
        if not self.target.plain:
            decoded: DocumentT = decode_document(batch[0], self.target.codec_options)
            return decoded
        document: DocumentT = batch[0]
        if type(document) is not dict:
            raise UnreadableReply("its firstBatch contains something other than documents")
        return document
