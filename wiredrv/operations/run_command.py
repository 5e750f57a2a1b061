"""Users' own commands. Run-command specification: sent as given, not inspected, never retried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bson.raw_bson import RawBSONDocument

from wiredrv.operations.base import Limits, Operation, OperationKind, T_co, Target, Traits
from wiredrv.operations.cursors import CursorReply, parse_cursor
from wiredrv.types import Address, Document, PlainDocument, Reply
from wiredrv.wire.codec import decode_for_user


@dataclass(frozen=True, slots=True)
class _AnyCommand(Operation[T_co]):
    """A command as the user wrote it. ``body``'s first key is the command's name; it is not changed."""

    target: Target
    body: Document

    @property
    def name(self) -> str:  # type: ignore[override]  # a generic command's name is its document's
        return next(iter(self.body), "")

    def command(self, limits: Limits) -> PlainDocument:
        return dict(self.body)


@dataclass(frozen=True, slots=True)
class RunCommand(_AnyCommand[Any]):
    """Run a command and return the reply."""

    traits = Traits(OperationKind.COMMAND)

    def parse(self, reply: Reply, address: Address) -> Any:
        if self.target.plain or not isinstance(reply, RawBSONDocument):
            return reply
        return decode_for_user(reply.raw, self.target.codec_options)


@dataclass(frozen=True, slots=True)
class RunCursorCommand(_AnyCommand[CursorReply]):
    """Run a command whose reply contains a cursor, and keep the cursor.

    :raises UnreadableReply: the reply contains none.
    """

    traits = Traits(OperationKind.COMMAND, opens_cursor=True)

    def parse(self, reply: Reply, address: Address) -> CursorReply:
        return parse_cursor(reply, address, self.target)
