"""The circumstances of a failure: what labels and the decision about a retry depend on, besides the error. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from wiredrv.operations.base import OperationKind


@dataclass(frozen=True, slots=True)
class Circumstances:
    """An operation, its session, and the server that it was sent to.

    ``kind`` is that of a write for everything that writes, including an aggregate with ``$out``. ``retryable`` is
    whether a specification lets this command be sent again, and the server can distinguish a retry from a second write.
    ``wire_version`` is that of the server that answered, 0 if none did. ``commit_sent`` is whether a commit of the
    transaction was sent before, in this call or an earlier one. ``seconds_left`` is what is left of the time limit.
    """

    kind: OperationKind
    retryable: bool
    in_transaction: bool
    sharded: bool = False
    has_deadline: bool = False
    waits_for_server: bool = False
    wire_version: int = 0
    from_mongos: bool = False
    commit_sent: bool = False
    seconds_left: float = math.inf
