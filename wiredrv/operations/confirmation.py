"""What is asked of servers about the time of a causal token: has the deployment reached it, has one member?

Each reply carries the server's own ``$clusterTime``, which is what is asked for: the executor learns it from any reply.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from bson.timestamp import Timestamp

from wiredrv.operations.base import Limits, Operation, Target, Traits
from wiredrv.types import Address, PlainDocument, Reply


@dataclass(frozen=True, slots=True)
class AskPrimary(Operation[None]):
    """A ping to the primary, whose time is that of its last write or later; or to a router."""

    name: ClassVar[str] = "ping"
    traits = Traits(retryable=True, reads_primary=True, takes_session=False)

    target: Target

    def command(self, limits: Limits) -> PlainDocument:
        return {"ping": 1}

    def parse(self, reply: Reply, address: Address) -> None:
        return None


@dataclass(frozen=True, slots=True)
class AskShards(Operation[None]):
    """A command for which a router asks every shard, and so learns the time of each. Any user may send it."""

    name: ClassVar[str] = "listDatabases"
    traits = Traits(retryable=True, reads_primary=True, takes_session=False)

    target: Target

    def command(self, limits: Limits) -> PlainDocument:
        return {"listDatabases": 1, "nameOnly": True, "filter": {"name": "admin"}}

    def parse(self, reply: Reply, address: Address) -> None:
        return None


@dataclass(frozen=True, slots=True)
class AskMember(Operation[Timestamp | None]):
    """How far a member of a replica set has come; None if unknown.

    It is the time of the last write that the member has applied; for reads with read concern ``majority``, of the last
    one that it knows to be on a majority of members.
    """

    name: ClassVar[str] = "hello"
    traits = Traits(takes_session=False)

    target: Target
    server: Address
    majority: bool = False

    def command(self, limits: Limits) -> PlainDocument:
        return {"hello": 1}

    def parse(self, reply: Reply, address: Address) -> Timestamp | None:
        last_write = reply.get("lastWrite")
        field = "majorityOpTime" if self.majority else "opTime"
        position = last_write.get(field) if isinstance(last_write, Mapping) else None
        time = position.get("ts") if isinstance(position, Mapping) else None
        return time if isinstance(time, Timestamp) else None
