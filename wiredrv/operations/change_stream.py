"""The commands of a change stream: the aggregate that opens or resumes it, and its getMores.

Change-streams specification, "Helper Method".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from wiredrv.operations.base import CURSOR_READ, NEVER_ENCODED, Limits, Operation, Target, add_options
from wiredrv.operations.cursors import CursorReply, GetMore, parse_cursor
from wiredrv.types import Address, Document, PlainDocument, Reply


@dataclass(frozen=True, slots=True)
class OpenChangeStream(Operation[CursorReply]):
    """Open a change stream, or open it again where it was interrupted.

    :param target: with an empty collection for the changes of a database, or of the deployment.
    :param stage: the contents of the ``$changeStream`` stage.
    :param pipeline: the user's stages, which follow it.
    :param options: the command's own fields under the wire's names.
    :param batch_size: documents in the first batch; None leaves it to the server.
    """

    name: ClassVar[str] = "aggregate"
    traits = CURSOR_READ

    target: Target
    stage: Document
    pipeline: Sequence[Document]
    options: Document
    batch_size: int | None = None
    encoded_from: int = NEVER_ENCODED

    def command(self, limits: Limits) -> PlainDocument:
        cursor = {} if self.batch_size is None else {"batchSize": self.batch_size}
        stages = [{"$changeStream": self.stage}, *self.pipeline]
        command = {"aggregate": self.target.collection or 1, "pipeline": stages, "cursor": cursor}
        return add_options(command, self.options, limits)

    def parse(self, reply: Reply, address: Address) -> CursorReply:
        return parse_cursor(reply, address, self.target)


@dataclass(frozen=True, slots=True)
class ChangeStreamGetMore(GetMore):
    """The next batch of a change stream. It does not wait for a server that failed: the stream is resumed elsewhere."""

    traits = replace(GetMore.traits, waits_for_server=False)
