"""endSessions and killSessions, which the driver sends by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from wiredrv.concerns import ReadPreference
from wiredrv.operations.base import Limits, Operation, OperationKind, Target, Traits
from wiredrv.types import Address, Document, PlainDocument, Reply

#: How many sessions one endSessions may end (sessions specification).
END_SESSIONS_BATCH = 10_000
ADMIN = Target("admin", read_preference=ReadPreference.PRIMARY_PREFERRED)


@dataclass(frozen=True, slots=True)
class EndSessions(Operation[None]):
    """End sessions on the server. Sent without a session of its own."""

    name: ClassVar[str] = "endSessions"
    traits = Traits(OperationKind.HOUSEKEEPING, uses_session=False)

    ids: tuple[Document, ...]
    target: Target = ADMIN

    def command(self, limits: Limits) -> PlainDocument:
        return {"endSessions": list(self.ids)}

    def parse(self, reply: Reply, address: Address) -> None:
        return None


@dataclass(frozen=True, slots=True)
class KillSessions(Operation[None]):
    """Stop everything that runs in a session on one server, cursors and transactions included.

    For cancelled operations whose reply can no longer be read: closing the socket does not stop them.
    """

    name: ClassVar[str] = "killSessions"
    traits = Traits(OperationKind.HOUSEKEEPING, uses_session=False)

    ids: tuple[Document, ...]
    server: Address
    target: Target = ADMIN

    def command(self, limits: Limits) -> PlainDocument:
        return {"killSessions": list(self.ids)}

    def parse(self, reply: Reply, address: Address) -> None:
        return None
